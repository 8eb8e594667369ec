//! HTTP/2 from curl and h2load to the running binary.

use serde_json::json;

use crate::support::counterparts::or_skip;
use crate::support::gatepost::Gatepost;
use crate::support::programs::{Nginx, curl, program, text};
use crate::support::sidecar::{config, token};
use crate::support::tls::{Authority, Files};
use crate::support::upstream::Upstream;

#[tokio::test]
async fn curl_with_prior_knowledge_is_answered_and_judged_like_any_client() {
    let mut allowed = or_skip!(curl());
    let mut refused = or_skip!(curl());
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), "")).await;
    let url = format!("http://{}/a%20b?c=d", gatepost.listener("ingress").await);
    let show = "%{http_version} %{http_code}\n";

    allowed
        .args(["--http2-prior-knowledge", "--write-out", show, "--header"])
        .arg(format!("authorization: Bearer {}", token(&json!({}))))
        .args(["--data", "some=body", &url]);
    assert_eq!(text(allowed).await, "{}2 200\n");
    let seen = upstream.last();
    assert_eq!(
        (seen.method.as_str(), &seen.body[..]),
        ("POST", &b"some=body"[..])
    );
    assert_eq!(seen.uri.to_string(), "/a%20b?c=d");
    assert_eq!(seen.header("x-user-id"), "ada");

    refused.args([
        "--http2-prior-knowledge",
        "--output",
        "/dev/null",
        "--write-out",
        show,
        &url,
    ]);
    assert_eq!(text(refused).await, "2 401\n");
    assert_eq!(
        upstream.requests().len(),
        1,
        "a refused request was carried"
    );
}

#[tokio::test]
async fn curl_that_asks_to_change_to_http2_stays_with_http1_and_the_upstream_hears_nothing_of_it() {
    let mut curl = or_skip!(curl());
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), "")).await;
    curl.args(["--http2", "--write-out", "%{http_version} %{http_code}\n"])
        .arg(format!(
            "http://{}/public/",
            gatepost.listener("ingress").await
        ));
    assert_eq!(text(curl).await, "{}1.1 200\n");
    let seen = upstream.last();
    for name in ["connection", "upgrade", "http2-settings"] {
        assert!(!seen.headers.contains_key(name), "{seen:?}");
    }
}

/// Runs h2load with many streams: its report.
async fn h2load(url: &str) -> Option<String> {
    let mut h2load = program("h2load")?;
    h2load
        .args([
            "--requests=2000",
            "--clients=4",
            "--max-concurrent-streams=50",
            "--header",
        ])
        .arg(format!("authorization: Bearer {}", token(&json!({}))))
        .arg(url);
    Some(text(h2load).await)
}

const ALL: &str =
    "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout";

#[tokio::test]
async fn h2load_with_many_streams_sees_every_request_answered() {
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), "")).await;
    let url = format!("http://{}/", gatepost.listener("ingress").await);
    let report = or_skip!(h2load(&url).await);
    assert!(report.contains(ALL), "{report}");
    assert!(report.contains("Application protocol: h2c"), "{report}");
    assert_eq!(upstream.requests().len(), 2000);
}

#[tokio::test]
async fn over_tls_and_to_an_http2_upstream_as_well() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority);
    let nginx = or_skip!(Nginx::serving(&[("file", &[b'x'; 1024])]).await);
    let config = config(nginx.h2c_url(), r#"protocol = "http2""#);
    let config = format!("{config}\n[ingress]\n{}", files.toml(""));
    let gatepost = Gatepost::start(&config).await;
    let port = gatepost.listener("ingress").await.port();
    let report = or_skip!(h2load(&format!("https://localhost:{port}/file")).await);
    assert!(report.contains(ALL), "{report}");
    assert!(report.contains("Application protocol: h2\n"), "{report}");
}
