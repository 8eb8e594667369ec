//! Microsoft Entra ID: the tenant in `support::entra`, through the real binary.

use serde_json::{Value, json};

use crate::support::entra::{AUDIENCE, CLIENT, Entra, OTHER_TENANT, TENANT, USER, v2_issuer};
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::upstream::Upstream;

async fn gatepost(entra: &Entra, upstream: &Upstream) -> Gatepost {
    let gatepost = Gatepost::start(&format!(
        r#"
        [issuers.staff]
        kind = "entra"
        tenant_id = "{TENANT}"
        audiences = ["{AUDIENCE}"]
        jwks_url = "{}"

        [upstreams.app]
        url = "{}"

        [[routes]]
        path = "/**"
        upstream = "app"

        [[routes]]
        name = "admin"
        path = "/admin"
        require = {{ groups = ["group-admins"] }}
        upstream = "app"

        [[routes]]
        name = "not-contractors"
        path = "/internal"
        require = {{ groups = {{ none = ["group-contractors"] }} }}
        upstream = "app"

        [[routes]]
        name = "jobs"
        path = "/jobs"
        require = {{ roles = ["Jobs.Run"], principal = "service" }}
        upstream = "app"
        "#,
        entra.jwks_url(),
        upstream.url()
    ))
    .await;
    gatepost.ready().await;
    gatepost
}

/// The status for this token on this path, and the reason where it was denied.
async fn outcome(gatepost: &Gatepost, path: &str, token: &str) -> (u16, Value) {
    let reply = gatepost.get(path).await.bearer(token).send().await;
    let line = gatepost.line_of(&reply).await;
    (reply.status.as_u16(), line["reason"].clone())
}

#[tokio::test]
async fn users_of_both_token_versions_are_known_by_oid_and_tenant() {
    let entra = Entra::start().await;
    let upstream = Upstream::start().await;
    let gatepost = gatepost(&entra, &upstream).await;

    for token in [entra.v2(&json!({})), entra.v1(&json!({}))] {
        let reply = gatepost.get("/").await.bearer(&token).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let seen = upstream.last();
        assert_eq!(seen.header("x-user-id"), USER);
        assert_eq!(seen.header("x-tenant-id"), TENANT);
        assert_eq!(seen.header("x-client-id"), CLIENT);
        assert_eq!(seen.header("x-principal-kind"), "user");
        assert_eq!(seen.header("x-auth-issuer"), "staff");
    }
}

#[tokio::test]
async fn an_application_passes_by_its_roles_and_a_user_does_not() {
    let entra = Entra::start().await;
    let upstream = Upstream::start().await;
    let gatepost = gatepost(&entra, &upstream).await;

    let job = entra.app(&json!({"roles": ["Jobs.Run"]}));
    assert_eq!(outcome(&gatepost, "/jobs", &job).await.0, 200);
    let seen = upstream.last();
    assert_eq!(seen.header("x-principal-kind"), "service");
    assert_eq!(seen.header("x-user-id"), CLIENT);
    assert_eq!(seen.header("x-user-roles"), "Jobs.Run");

    // Entra issues tokens without roles to any application of the tenant.
    let stranger = entra.app(&json!({}));
    assert_eq!(
        outcome(&gatepost, "/jobs", &stranger).await,
        (403, json!("role_missing"))
    );
    let user = entra.v2(&json!({"roles": ["Jobs.Run"]}));
    assert_eq!(
        outcome(&gatepost, "/jobs", &user).await,
        (403, json!("principal_kind_refused"))
    );
}

#[tokio::test]
async fn groups_kept_elsewhere_are_unresolved_and_never_none() {
    let entra = Entra::start().await;
    let upstream = Upstream::start().await;
    let gatepost = gatepost(&entra, &upstream).await;

    let member = entra.v2(&json!({"groups": ["group-admins"]}));
    assert_eq!(outcome(&gatepost, "/admin", &member).await.0, 200);
    assert_eq!(outcome(&gatepost, "/internal", &member).await.0, 200);
    let unresolved = (403, json!("groups_unresolved"));
    for overage in [
        json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {
            "endpoint": "https://graph.windows.net/t/users/u/getMemberObjects"}}}),
        json!({"hasgroups": true}),
    ] {
        let token = entra.v2(&overage);
        assert_eq!(
            outcome(&gatepost, "/admin", &token).await,
            unresolved,
            "{overage}"
        );
        assert_eq!(
            outcome(&gatepost, "/internal", &token).await,
            unresolved,
            "{overage}"
        );
        assert_eq!(outcome(&gatepost, "/", &token).await.0, 200, "{overage}");
    }
}

#[tokio::test]
async fn nothing_but_this_tenant_and_audience_passes() {
    let entra = Entra::start().await;
    let upstream = Upstream::start().await;
    let gatepost = gatepost(&entra, &upstream).await;

    let other = json!({"tid": OTHER_TENANT, "iss": v2_issuer(OTHER_TENANT)});
    let cases = [
        ("another tenant", entra.v2(&other), Some("issuer_unknown")),
        (
            "tid of another tenant",
            entra.v2(&json!({"tid": OTHER_TENANT})),
            None,
        ),
        (
            "iss of another tenant",
            entra.v2(&json!({"iss": v2_issuer(OTHER_TENANT)})),
            None,
        ),
        ("no tid", entra.v2(&json!({"tid": null})), None),
        (
            "tid is no GUID",
            entra.v2(&json!({"tid": format!("{TENANT}/..")})),
            None,
        ),
        (
            "common",
            entra.v2(&json!({"iss": "https://login.microsoftonline.com/common/v2.0"})),
            Some("issuer_unknown"),
        ),
        (
            "template",
            entra.v2(&json!({"iss": "https://login.microsoftonline.com/{tenantid}/v2.0"})),
            Some("issuer_unknown"),
        ),
        (
            "v1 issuer without its slash",
            entra.v1(&json!({"iss": format!("https://sts.windows.net/{TENANT}")})),
            Some("issuer_unknown"),
        ),
        (
            "another API",
            entra.v2(&json!({"aud": "api://billing"})),
            Some("audience_mismatch"),
        ),
        (
            "the key of another tenant",
            entra.v2_by_consumers_key(),
            None,
        ),
        ("no aud", entra.v2(&json!({"aud": null})), None),
    ];
    for (case, token, reason) in cases {
        let (status, given) = outcome(&gatepost, "/", &token).await;
        assert_eq!(status, 401, "{case}: {given}");
        if let Some(reason) = reason {
            assert_eq!(given, reason, "{case}");
        }
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn egress_fetches_an_application_token_with_the_secret_in_the_body() {
    let entra = Entra::start().await;
    let target = Upstream::start().await;
    let gatepost = Gatepost::start_with(
        &format!(
            r#"
            [egress]
            listen = "127.0.0.1:0"

            [credentials.graph]
            kind = "client_credentials"
            token_url = "{}"
            client_id = "{CLIENT}"
            client_secret = {{ env = "ENTRA_SECRET" }}
            auth_method = "client_secret_post"
            scopes = ["{AUDIENCE}/.default"]

            [[egress_targets]]
            name = "orders"
            url = "{}"
            credential = "graph"
            "#,
            entra.token_url(),
            target.url()
        ),
        &[("ENTRA_SECRET", "s3cr3t~+/=")],
    )
    .await;
    let egress = gatepost.listener("egress").await;

    let reply = Call::get(egress, "/orders/1").send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(
        target
            .last()
            .header("authorization")
            .starts_with("Bearer ey")
    );
    assert_eq!(
        entra.server.last().body,
        format!(
            "grant_type=client_credentials&scope=api%3A%2F%2Forders%2F.default\
             &client_id={CLIENT}&client_secret=s3cr3t%7E%2B%2F%3D"
        )
    );
}
