//! What we hand out to run Gatepost with: the image and the ECS task definition.

use std::collections::HashMap;

use serde_json::Value;

use crate::support::gatepost::run;

const DOCKERFILE: &str = include_str!("../../Dockerfile");
const TASK: &str = include_str!("../../deploy/ecs/task-definition.json");

/// Instruction and arguments, continuation lines joined, of the last stage.
fn last_stage() -> Vec<(&'static str, String)> {
    let mut instructions: Vec<(&str, String)> = Vec::new();
    let mut continued = false;
    for line in DOCKERFILE.lines().filter(|line| !line.starts_with('#')) {
        let (text, more) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        match instructions.last_mut().filter(|_| continued) {
            Some((_, arguments)) => arguments.push_str(text),
            None => instructions.extend(
                text.split_once(' ')
                    .map(|(name, arguments)| (name, arguments.to_owned())),
            ),
        }
        continued = more;
    }
    let last = instructions.iter().rposition(|(name, _)| *name == "FROM");
    instructions.split_off(last.expect("a FROM"))
}

#[test]
fn the_image_is_empty_but_for_the_binary_and_roots_and_runs_as_nobody() {
    let stage = last_stage();
    assert_eq!(stage[0], ("FROM", "scratch".to_owned()));
    let all = |name| {
        let of_name = stage
            .iter()
            .filter(move |(instruction, _)| *instruction == name);
        of_name
            .map(|(_, arguments)| arguments.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("RUN"), [""; 0], "there is no shell to run it");
    assert_eq!(all("ADD"), [""; 0]);
    for copied in all("COPY") {
        assert!(copied.starts_with("--from=build "), "{copied}");
    }
    let [user] = all("USER")[..] else {
        panic!("one USER: {stage:?}")
    };
    for id in user.split(':') {
        assert_ne!(id.parse::<u32>().expect("a numeric id"), 0, "{user}");
    }
    assert_eq!(all("ENTRYPOINT"), [r#"["/gatepost"]"#]);
    assert_eq!(all("CMD"), [r#"["serve"]"#]);
    for check in all("HEALTHCHECK") {
        assert!(check.ends_with(r#"CMD ["/gatepost", "health"]"#), "{check}");
    }
}

/// Fails on a key of `object` that `RegisterTaskDefinition` does not know there.
fn only(place: &str, object: &Value, known: &str) {
    for key in object.as_object().expect("an object").keys() {
        assert!(
            known.split_whitespace().any(|name| name == key),
            "{place}: unknown key {key:?}"
        );
    }
}

fn task() -> Value {
    serde_json::from_str(TASK).expect("JSON")
}

fn container<'t>(task: &'t Value, name: &str) -> &'t Value {
    let containers = task["containerDefinitions"].as_array().expect("a list");
    let mut named = containers
        .iter()
        .filter(|container| container["name"] == name);
    named.next().expect("a container of that name")
}

#[test]
fn the_task_definition_uses_only_keys_that_ecs_knows() {
    let task = task();
    only(
        "task",
        &task,
        "family taskRoleArn executionRoleArn networkMode containerDefinitions volumes \
         placementConstraints requiresCompatibilities cpu memory tags pidMode ipcMode \
         proxyConfiguration inferenceAccelerators ephemeralStorage runtimePlatform \
         enableFaultInjection",
    );
    for container in task["containerDefinitions"].as_array().expect("a list") {
        only(
            "container",
            container,
            "name image repositoryCredentials cpu memory memoryReservation links portMappings \
             restartPolicy essential entryPoint command environment environmentFiles mountPoints \
             volumesFrom linuxParameters secrets dependsOn startTimeout stopTimeout \
             versionConsistency hostname user workingDirectory disableNetworking privileged \
             readonlyRootFilesystem dnsServers dnsSearchDomains extraHosts dockerSecurityOptions \
             interactive pseudoTerminal dockerLabels ulimits logConfiguration healthCheck \
             systemControls resourceRequirements firelensConfiguration credentialSpecs",
        );
        let lists = [
            ("environment", "name value"),
            ("secrets", "name valueFrom"),
            ("dependsOn", "containerName condition"),
            (
                "portMappings",
                "containerPort hostPort protocol name appProtocol containerPortRange",
            ),
        ];
        for (list, known) in lists {
            for entry in container[list].as_array().into_iter().flatten() {
                only(list, entry, known);
            }
        }
        let objects = [
            (
                "healthCheck",
                "command interval timeout retries startPeriod",
            ),
            (
                "restartPolicy",
                "enabled ignoredExitCodes restartAttemptPeriod",
            ),
            ("logConfiguration", "logDriver options secretOptions"),
        ];
        for (object, known) in objects {
            if !container[object].is_null() {
                only(object, &container[object], known);
            }
        }
    }
}

#[test]
fn in_the_task_the_app_waits_for_a_confined_sidecar_that_has_time_to_drain() {
    let task = task();
    let sidecar = container(&task, "gatepost");
    assert_eq!(
        sidecar["healthCheck"]["command"][0], "CMD",
        "there is no shell"
    );
    assert_eq!(sidecar["healthCheck"]["command"][1], "/gatepost");
    assert_eq!(sidecar["healthCheck"]["command"][2], "health");
    assert_eq!(sidecar["readonlyRootFilesystem"], true);
    assert_eq!(sidecar["essential"], true);
    // The defaults: 5 s before the listeners close, 25 s for requests in flight.
    assert!(sidecar["stopTimeout"].as_u64() > Some(5 + 25));
    let app = container(&task, "app");
    assert_eq!(app["dependsOn"][0]["containerName"], "gatepost");
    assert_eq!(app["dependsOn"][0]["condition"], "HEALTHY");
    assert!(
        app["portMappings"].is_null(),
        "the app is reached through Gatepost only"
    );
}

#[test]
fn the_sidecars_environment_is_a_complete_config() {
    let task = task();
    let sidecar = container(&task, "gatepost");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut environment: HashMap<String, String> = HashMap::new();
    for entry in sidecar["environment"].as_array().expect("a list") {
        environment.insert(text(&entry["name"]), text(&entry["value"]));
    }
    for secret in sidecar["secrets"].as_array().expect("a list") {
        let arn = text(&secret["valueFrom"]);
        assert!(arn.starts_with("arn:aws:secretsmanager:"), "{arn}");
        environment.insert(text(&secret["name"]), "injected-by-ecs".to_owned());
    }
    let pairs: Vec<_> = environment
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();

    let output = run(&["check"], &pairs);
    let written = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{written}");
    assert!(!written.contains("injected-by-ecs"), "{written}");

    // It can fail: without its pool there is nobody to trust.
    let without: Vec<_> = pairs
        .iter()
        .copied()
        .filter(|(n, _)| *n != "COGNITO_USER_POOL_ID")
        .collect();
    assert!(!run(&["check"], &without).status.success());
}
