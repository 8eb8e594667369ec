//! The process and the machine it stands on: full disks, closed pipes, no file descriptors, taken
//! ports, no config file.

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::support::eventually;
use crate::support::gatepost::{Gatepost, command, run};
use crate::support::http::Call;
use crate::support::issuer::{Signer, now};
use crate::support::upstream::{Upstream, json};

fn public(upstream: &str) -> String {
    format!(
        r#"
        [upstreams.app]
        url = "{upstream}"
        [[routes]]
        name = "all"
        path = "/**"
        auth = "none"
        upstream = "app"
        "#
    )
}

#[tokio::test]
async fn a_log_that_cannot_be_written_costs_no_request() {
    let app = Upstream::start().await;
    for line in [
        r#"exec "$@" >/dev/full"#,
        r#"exec "$@" >&-"#,
        // a reader that is gone
        r#"PATH=/usr/bin:/bin; mkfifo "$4.pipe"; : <"$4.pipe" & exec "$@" >"$4.pipe""#,
    ] {
        let gatepost = Gatepost::start_under(line, &public(&app.url()), &[]).await;
        for _ in 0..50 {
            assert_eq!(gatepost.get("/").await.send().await.status, 200, "{line}");
        }
        eventually("dropped lines", || async {
            let metrics = gatepost.health("/metrics").await;
            let dropped = metrics.text().lines().find_map(|line| {
                let count = line.strip_prefix("gatepost_log_lines_dropped_total ")?;
                count.parse::<u32>().ok()
            });
            // a closed stdout is nobody's: the standard library calls that written
            (line.contains(">&-") || dropped >= Some(50)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn without_file_descriptors_it_waits_and_recovers() {
    let app = Upstream::start().await;
    let line = r#"ulimit -n 40; exec "$@""#;
    let gatepost = Gatepost::start_under(line, &public(&app.url()), &[]).await;
    let ingress = gatepost.listener("ingress").await;
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(ingress).await.unwrap());
    }
    eventually("no more descriptors", || async {
        let said = gatepost.events("WARN");
        said.iter()
            .any(|event| event.to_string().contains("cannot accept"))
            .then_some(())
    })
    .await;
    drop(held);
    // the descriptors come back one by one, and a request takes two
    eventually("descriptors are free again", || async {
        let status = gatepost.get("/").await.send().await.status;
        (status == 200).then_some(())
    })
    .await;
    for _ in 0..5 {
        assert_eq!(gatepost.get("/").await.send().await.status, 200);
    }
}

#[tokio::test]
async fn a_taken_address_is_named_with_its_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gatepost.toml");
    let config = public("http://127.0.0.1:9") + "[egress]\n";
    std::fs::write(&file, config).unwrap();
    for listener in ["ingress", "egress", "admin", "health"] {
        let free = ["INGRESS", "EGRESS", "ADMIN", "HEALTH"]
            .map(|plane| (format!("GATEPOST__{plane}__LISTEN"), "127.0.0.1:0"));
        let output = command(&["serve", "--config", file.to_str().unwrap()])
            .envs(free)
            .env(
                format!("GATEPOST__{}__LISTEN", listener.to_uppercase()),
                &address,
            )
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{listener}");
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!("{listener}.listen: cannot listen on {address}");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn a_bad_config_ends_the_start_with_78() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gatepost.toml");
    let path = file.to_str().unwrap();
    for config in ["not TOML", "[ingres]\n", "[ingress]\nlisten = 7\n"] {
        std::fs::write(&file, config).unwrap();
        let output = run(&["serve", "--config", path], &[]);
        assert_eq!(output.status.code(), Some(78), "{config}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("gatepost.toml"), "{said}");
    }
    let output = run(&["serve", "--config", "/nowhere/gatepost.toml"], &[]);
    assert_eq!(output.status.code(), Some(78));
    // no file, and nothing in the environment
    let output = command(&["serve"])
        .current_dir(directory.path())
        .env("GATEPOST__INGRESS__LISTEN", "127.0.0.1:0")
        .output();
    assert_eq!(
        output.unwrap().status.code(),
        Some(78),
        "gatepost.toml here is bad"
    );
}

/// `gatepost serve` in an empty directory, with an environment alone.
async fn by_environment(variables: &[(&str, &str)]) -> Gatepost {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(&["serve"]);
    command
        .current_dir(directory.path())
        .env("GATEPOST__SHUTDOWN__PRE_DRAIN", "0s")
        .envs(variables.iter().copied());
    Gatepost::spawn(command, directory).await
}

#[tokio::test]
async fn without_a_file_the_environment_is_enough() {
    let app = Upstream::start().await;
    let signer = Signer::new("one");
    let keys = json!({ "keys": [signer.jwk()] });
    let cognito = Upstream::answering(move |request| {
        if request.uri.path() == "/oauth2/token" {
            return json(
                &json!({"access_token": "fresh", "token_type": "Bearer", "expires_in": 600}),
            );
        }
        json(&keys)
    })
    .await;
    let target = Upstream::start().await;
    let targets = format!("billing={}", target.url());
    let gatepost = by_environment(&[
        ("UPSTREAM_SERVICE", &app.url()),
        ("COGNITO_USER_POOL_ID", "eu-west-1_ABCdef123"),
        ("COGNITO_CLIENT_ID", "web"),
        ("EGRESS_TARGETS", &targets),
        ("SERVICE_AUTH_TOKEN", "s3cret-service"),
        // ours, beside the short names: tests have no way to the real pool
        (
            "GATEPOST__ISSUERS__COGNITO__JWKS_URL",
            &format!("{}/jwks", cognito.url()),
        ),
        ("GATEPOST__INGRESS__LISTEN", "127.0.0.1:0"),
        ("GATEPOST__EGRESS__LISTEN", "127.0.0.1:0"),
    ])
    .await;
    gatepost.ready().await;
    let token = signer.mint(&json!({
        "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_ABCdef123",
        "sub": "ada", "username": "ada", "client_id": "web", "token_use": "access", "exp": now() + 600,
    }));
    assert_eq!(gatepost.get("/x").await.send().await.status, 401);
    let reply = gatepost.get("/x").await.bearer(&token).send().await;
    assert_eq!(reply.status, 200, "{}", gatepost.output());
    assert_eq!(app.last().header("x-user-id"), "ada");

    let egress = gatepost.listener("egress").await;
    let reply = Call::get(egress, "/billing/v1").send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        target.last().header("authorization"),
        "Bearer s3cret-service"
    );
    assert_eq!(target.last().uri, "/v1");
}

/// Binds a socket, hands it over as systemd does, and says its address as `ingress.listen`: binding
/// that a second time would fail.
const ACTIVATE: &str = r#"exec perl -MIO::Socket::INET -MPOSIX -e '
    my $socket = IO::Socket::INET->new(Listen => 16, LocalAddr => "127.0.0.1:0") or die;
    POSIX::dup2(fileno($socket), 3) // die;
    @ENV{qw(LISTEN_FDS LISTEN_PID)} = (1, $$);
    $ENV{GATEPOST__INGRESS__LISTEN} = "127.0.0.1:" . $socket->sockport;
    exec @ARGV;
' "$@""#;

#[tokio::test]
async fn a_socket_handed_over_by_systemd_is_taken() {
    let app = Upstream::start().await;
    let gatepost = Gatepost::start_under(ACTIVATE, &public(&app.url()), &[]).await;
    assert_eq!(gatepost.get("/").await.send().await.status, 200);
}
