//! `gatepost doctor` before NGINX: as we ship it, and set up wrongly.

use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Response, StatusCode};

use super::nginx::{self, CONFIG, Nginx};
use super::{Places, Proxy, Stage, shipped};
use crate::support::counterparts::or_skip;
use crate::support::gatepost;
use crate::support::upstream::{Answer, Recorded, Upstream, status};

/// Answers with the headers it got, as any echo does.
fn echo(request: &Recorded) -> Answer {
    let headers = request.headers.iter();
    let lines = headers.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
    Response::new(lines.collect::<String>().into())
}

/// What the doctor says of this path of a proxy.
async fn examined(proxy: &Proxy, path: &str, token: Option<&str>) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    let url = format!("http://{}{path}", proxy.address);
    let mut arguments = vec!["doctor".to_owned(), "--url".to_owned(), url];
    if let Some(token) = token {
        std::fs::write(&file, token).expect("written");
        arguments.extend(["--token-file".to_owned(), file.display().to_string()]);
    }
    let ran = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        gatepost::run(&arguments, &[])
    });
    let output = ran.await.expect("it ran");
    drop(directory);
    output
}

fn text(output: &Output) -> String {
    let [said, complained] =
        [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
    format!("{said}{complained}")
}

#[tokio::test]
async fn the_shipped_config_leaks_nothing_and_a_wrong_one_is_told_its_leaks() {
    let stage = or_skip!(Stage::set::<Nginx>().await);
    let app = Upstream::answering(echo).await;
    let places = Places {
        gatepost: stage.gatepost.listener("forward_auth").await,
        app: app.address,
    };
    let token = Some(&*stage.ada.access);

    let right = or_skip!(nginx::run(CONFIG, &places).await);
    for (path, token) in [("/echo", token), ("/public/echo", None)] {
        let output = examined(&right, path, token).await;
        let told = text(&output);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains("0 leaks in "), "{told}");
        assert!(!told.contains(&stage.ada.access), "{told}");
    }

    let wrong = shipped(
        CONFIG,
        &[
            ("underscores_in_headers off", "underscores_in_headers on"),
            (
                "proxy_set_header X-User-Name        $gatepost_user_name;",
                "",
            ),
            ("$scheme://$host$request_uri", "$scheme://$host$asked"),
            (
                "    server {\n        listen",
                "    map $http_x_forwarded_uri $asked { default $http_x_forwarded_uri; '' $request_uri; }\n    \
                 server {\n        listen",
            ),
        ],
    );
    let wrong = or_skip!(nginx::run(&wrong, &places).await);
    let output = examined(&wrong, "/echo", token).await;
    let told = text(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for leak in [
        "LEAK  x_user_id of a client reaches the app",
        "LEAK  x_user-id of a client reaches the app",
        "LEAK  x-user-name of a client reaches the app",
        "LEAK  x-user-name of a client, sent twice, reaches the app",
        "LEAK  `x-forwarded-uri: /public` opens /echo without a credential",
    ] {
        assert!(told.contains(leak), "{leak}: {told}");
    }
    let documented = include_str!("../../../docs/doctor.md").split("```text\n");
    let documented = documented.last().and_then(|rest| rest.split("```").next());
    let mut lines = told.lines();
    for line in documented.expect("a transcript").lines().skip(1) {
        let line = line.trim();
        let told = line == "…" || lines.any(|told| told.trim() == line);
        assert!(told, "docs/doctor.md says {line:?}, in its place");
    }
    for held in ["LEAK  x-user-id of", "LEAK  x.user.id", "`x-original-url"] {
        assert!(!told.contains(held), "{held}: {told}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_neither_good_nor_bad() {
    let stage = or_skip!(Stage::set::<Nginx>().await);
    // the app of the stage shows nothing
    for (path, token, why) in [
        ("/echo", None, "pass --token-file"),
        ("/public/echo", None, "it must be an echo"),
        (
            "/admin/echo",
            Some(&*stage.bob.access),
            "403 Forbidden to the token",
        ),
    ] {
        let output = examined(&stage.proxy, path, token).await;
        let told = text(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(why), "{told}");
        assert!(output.stdout.is_empty(), "{told}");
    }
}

#[tokio::test]
async fn a_proxy_that_has_enough_is_not_a_good_one() {
    let asked = AtomicUsize::new(0);
    let proxy = Upstream::answering(move |request| {
        if asked.fetch_add(1, Ordering::SeqCst) < 20 {
            echo(&Recorded {
                headers: request
                    .headers
                    .iter()
                    .filter(|(name, _value)| name.as_str() == "x-gatepost-probe")
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
                ..request.clone()
            })
        } else {
            status(StatusCode::TOO_MANY_REQUESTS)
        }
    })
    .await;
    let url = format!("http://{}/echo", proxy.address);
    let ran = tokio::task::spawn_blocking(move || gatepost::run(&["doctor", "--url", &url], &[]));
    let output = ran.await.expect("it ran");
    let told = text(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("429 Too Many Requests"), "{told}");
}
