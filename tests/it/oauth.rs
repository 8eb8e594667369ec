//! A strict authorization server (oidc-provider): client credentials on egress, RFC 9068 access
//! tokens on ingress.

use std::fmt::Write as _;

use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::upstream::Upstream;

/// Everything that Basic must form-encode first, within what RFC 6749 allows in a secret.
const SECRET: &str = "p+s/%w rd:&=~\"'";

async fn provider() -> Option<Counterpart> {
    counterparts::oidc_provider(&[
        ("basic:client+1", SECRET, "client_secret_basic"),
        ("post-client", SECRET, "client_secret_post"),
    ])
    .await
}

/// Egress through each client; ingress accepts the tokens of every resource.
fn config(provider: &Counterpart, upstream: &Upstream) -> String {
    let mut config = format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"

        [issuers.partner]
        kind = "oidc"
        issuer = "{0}"
        audiences = ["https://rs256.example", "https://es256.example", "https://eddsa.example"]
        algorithms = ["RS256", "ES256", "EdDSA"]

        [upstreams.app]
        url = "{1}"

        [[routes]]
        path = "/**"
        require = {{ scopes = ["read"], principal = "service" }}
        upstream = "app"
        "#,
        provider.url,
        upstream.url()
    );
    for (name, client, method, resource) in [
        (
            "rs256",
            "basic:client+1",
            "client_secret_basic",
            "https://rs256.example",
        ),
        (
            "es256",
            "basic:client+1",
            "client_secret_basic",
            "https://es256.example",
        ),
        (
            "eddsa",
            "post-client",
            "client_secret_post",
            "https://eddsa.example",
        ),
    ] {
        write!(
            config,
            r#"
            [credentials.{name}]
            kind = "client_credentials"
            token_url = "{}/token"
            client_id = "{client}"
            client_secret = {{ env = "OAUTH_SECRET" }}
            auth_method = "{method}"
            scopes = ["read"]
            resource = "{resource}"

            [[egress_targets]]
            name = "{name}"
            url = "{}"
            credential = "{name}"
            "#,
            provider.url,
            upstream.url()
        )
        .expect("text");
    }
    config
}

#[tokio::test]
async fn a_token_fetched_on_egress_passes_on_ingress_whatever_signed_it() {
    let provider = or_skip!(provider().await);
    let upstream = Upstream::start().await;
    let config = config(&provider, &upstream);
    let gatepost = Gatepost::start_with(&config, &[("OAUTH_SECRET", SECRET)]).await;
    gatepost.ready().await;
    let egress = gatepost.listener("egress").await;

    for (target, client) in [
        ("rs256", "basic:client+1"),
        ("es256", "basic:client+1"),
        ("eddsa", "post-client"),
    ] {
        let sent = Call::get(egress, &format!("/{target}/x")).send().await;
        assert_eq!(sent.status, 200, "{target}: {sent:?}");
        let carried = upstream.last();
        let token = carried
            .header("authorization")
            .strip_prefix("Bearer ")
            .expect("a bearer token")
            .to_owned();

        let allowed = gatepost.get("/orders").await.bearer(&token).send().await;
        assert_eq!(allowed.status, 200, "{target}: {allowed:?}");
        let seen = upstream.last();
        assert_eq!(seen.header("x-client-id"), client, "{target}");
        assert_eq!(seen.header("x-principal-kind"), "service", "{target}");
        assert!(!gatepost.output().contains(&token), "{target}: logged");
    }
    assert!(!gatepost.output().contains(SECRET), "the secret was logged");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_there_and_503_here() {
    let provider = or_skip!(provider().await);
    let upstream = Upstream::start().await;
    let config = config(&provider, &upstream);
    let gatepost = Gatepost::start_with(&config, &[("OAUTH_SECRET", "wrong")]).await;
    let egress = gatepost.listener("egress").await;

    for target in ["rs256", "eddsa"] {
        let refused = Call::get(egress, &format!("/{target}/x")).send().await;
        assert_eq!(refused.status, 503, "{target}: {refused:?}");
        assert_eq!(refused.header("x-auth-reason"), "egress_token_unavailable");
    }
    assert!(upstream.requests().is_empty());
    assert_eq!(gatepost.health("/livez").await.status, 200);
}
