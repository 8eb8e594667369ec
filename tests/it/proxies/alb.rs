//! `deploy/alb`: Gatepost as an ALB's target. The test stands for the ALB and sends what one does.

use super::shipped;
use crate::support::cognito::Pool;
use crate::support::counterparts::{self, or_skip};
use crate::support::gatepost::{Gatepost, run};
use crate::support::upstream::Upstream;

const CONFIG: &str = include_str!("../../../deploy/alb/gatepost.toml");

#[tokio::test]
async fn what_the_load_balancer_writes_holds_and_what_it_passes_on_does_not() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, &[]).await;
    let ada = pool.sign_in("ada", &[]).await;
    let app = Upstream::start().await;
    let issuer = pool.issuer();
    let keys = issuer.lines().find(|line| line.contains("jwks_url"));
    let client = format!(
        "client_ids = [{:?}]\n{}",
        pool.client_id,
        keys.expect("a line")
    );
    let config = shipped(
        CONFIG,
        &[
            ("10.0.0.0/16", "127.0.0.1/32"),
            ("us-east-1_ABC123DEF", &pool.id),
            (r#"client_ids = ["1example23456789"]"#, &client),
            ("http://127.0.0.1:3000", &app.url()),
        ],
    );
    let gatepost = Gatepost::start(&config).await;
    gatepost.ready().await;
    let sent = [
        // the ALB's: it appends whom it saw
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        (
            "x-amzn-trace-id",
            "Root=1-67891233-abcdef012345678912345678",
        ),
        // its client's
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-uri", "/admin"),
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-prefix", "/admin"),
        ("x-real-ip", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;host=evil.example"),
        ("x-amzn-oidc-identity", "root"),
        ("x-amzn-oidc-data", "e30.e30."),
        ("x-user-id", "root"),
        ("x_user_id", "root"),
    ];
    let call = gatepost.get("/orders?page=2").await.bearer(&ada.access);
    let call = sent
        .iter()
        .fold(call, |call, (name, value)| call.header(name, value));
    let reply = call.header("host", "api.example.com").send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = app.last();
    let values = |name: &str| -> Vec<String> {
        let values = seen.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().expect("text").to_owned())
            .collect()
    };
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-host", "api.example.com"),
        ("x-user-id", ada.sub.as_str()),
    ] {
        assert_eq!(values(name), [value], "{name}");
    }
    assert_eq!(values("x-amzn-trace-id").len(), 1);
    for name in [
        "x-forwarded-uri",
        "x-forwarded-method",
        "x-forwarded-prefix",
        "x-real-ip",
        "forwarded",
        "x-amzn-oidc-identity",
        "x-amzn-oidc-data",
        "x_user_id",
    ] {
        assert_eq!(values(name), [""; 0], "{name}");
    }
    // whom the ALB saw, not whom its client named
    assert_eq!(gatepost.line_of(&reply).await["client"], "198.51.100.7");
}

#[test]
fn its_configuration_is_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("gatepost.toml");
    std::fs::write(&file, CONFIG).expect("written");
    let path = file.to_str().expect("a plain path");
    let output = run(&["check", "--config", path], &[]);
    assert!(output.status.success(), "{output:?}");
}
