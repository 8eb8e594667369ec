//! Client certificates: who is let in, who they are, and where they do not count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::authn::credential::Kind;
use gatepost::authz::route::{Access, Protected};
use gatepost::certificate::Certificate;
use gatepost::clock::{Clock, ManualClock, UnixTime};
use gatepost::config::{ClientCa, Listener, Tls, TlsVersion};
use rcgen::DnType;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::Setting;
use crate::support::gatepost::{Gatepost, run};
use crate::support::issuer::now;
use crate::support::sidecar::{config, token};
use crate::support::tls::{Authority, Client, Files, Identity};
use crate::support::upstream::Upstream;
use crate::support::world::{World, protected, route};

const ORDERS: &str = "spiffe://example.org/orders";
const BILLING: &str = "spiffe://example.org/billing";

const ROUTES: &str = r#"
[[routes]]
path = "/mtls/**"
auth = ["mtls"]
upstream = "app"
[[routes]]
path = "/orders/**"
auth = ["mtls"]
require = { clients = ["spiffe://example.org/orders"], principal = "service" }
upstream = "app"
[[routes]]
path = "/either/**"
auth = ["bearer", "mtls"]
upstream = "app"
"#;

/// Gatepost that wants certificates of `clients`, or takes them.
async fn start(upstream: &Upstream, files: &Files, client_certificate: &str) -> Gatepost {
    let toml = files.mutual(client_certificate);
    let text = config(&upstream.url(), "");
    Gatepost::start(&format!("{text}{ROUTES}[ingress]\n{toml}")).await
}

/// `200`, or `refused` if there was no connection to speak of.
async fn outcome(
    authority: &Authority,
    shown: Option<&Identity>,
    to: SocketAddr,
    path: &str,
) -> Vec<String> {
    let mut outcomes = Vec::new();
    for version in [&TLS12, &TLS13] {
        for protocol in ["http/1.1", "h2"] {
            let client = Client::of(authority, shown, &[protocol], &[version]);
            let outcome = client.get(to, path).await;
            outcomes.push(outcome.map_or("refused".to_owned(), |reply| {
                reply.status.as_u16().to_string()
            }));
        }
    }
    outcomes.dedup();
    outcomes
}

#[tokio::test]
async fn a_certificate_is_required_or_optional_and_never_wrong() {
    let authority = Authority::new();
    let (clients, strangers) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server(), &clients);
    let good = clients.client(ORDERS);
    let strange = strangers.client(ORDERS);
    let old = clients.issue(&[], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let early = clients.issue(&[], |params| {
        params.not_before = rcgen::date_time_ymd(2100, 1, 1);
        params.not_after = rcgen::date_time_ymd(2101, 1, 1);
    });
    let upstream = Upstream::start().await;
    let required = start(&upstream, &files, "required").await;
    let optional = start(&upstream, &files, "optional").await;
    for (shown, path, by_required, by_optional) in [
        (Some(&good), "/mtls/", "200", "200"),
        (Some(&good), "/public/", "200", "200"),
        (Some(&good), "/else", "401", "401"),
        (None, "/mtls/", "refused", "401"),
        (None, "/public/", "refused", "200"),
        (Some(&strange), "/mtls/", "refused", "refused"),
        (Some(&strange), "/public/", "refused", "refused"),
        (Some(&old), "/public/", "refused", "refused"),
        (Some(&early), "/public/", "refused", "refused"),
    ] {
        for (gatepost, expected) in [(&required, by_required), (&optional, by_optional)] {
            let ingress = gatepost.listener("ingress").await;
            let found = outcome(&authority, shown, ingress, path).await;
            assert_eq!(
                found,
                [expected],
                "{path} {:?}",
                shown.map(|shown| &shown.pem)
            );
        }
    }
}

#[tokio::test]
async fn the_principal_is_the_certificate_s_spiffe_id_or_subject() {
    let setting = Setting::new().await;
    let Setting {
        authority,
        files,
        upstream,
    } = &setting;
    let gatepost = start(upstream, files, "optional").await;
    let ingress = gatepost.listener("ingress").await;

    let orders = authority.client(ORDERS);
    let client = Client::http1(authority, Some(&orders));
    let mut session = client.open(ingress).await.unwrap();
    let spoofed = [
        ("x-user-id", "root"),
        ("x-forwarded-client-cert", "URI=spiffe://example.org/root"),
        ("x-ssl-client-s-dn", "CN=root"),
    ];
    let reply = session.get("/orders/1", &spoofed).await.unwrap();
    assert_eq!(reply.status, 200);
    let seen = upstream.last();
    for (name, value) in [
        ("x-user-id", ORDERS),
        ("x-client-id", ORDERS),
        ("x-auth-issuer", "mtls"),
        ("x-principal-kind", "service"),
        ("x-user-groups", ""),
        ("x-forwarded-client-cert", ""),
        ("x-ssl-client-s-dn", ""),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let line = gatepost.line_of(&reply).await;
    let read = Certificate::read(&orders.certificate).unwrap();
    let fingerprint = read.fingerprint.to_string();
    assert_eq!(
        (
            &line["certificate"],
            &line["user_id"],
            &line["principal_kind"],
            &line["issuer"]
        ),
        (
            &json!(fingerprint),
            &json!(ORDERS),
            &json!("service"),
            &json!("mtls")
        )
    );

    let subject = authority.issue(&["orders.example"], |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Ex, Ample");
    });
    let billing = authority.client(BILLING);
    let two = authority.issue(&[], |params| {
        for uri in [ORDERS, BILLING] {
            let uri = uri.try_into().unwrap();
            params.subject_alt_names.push(rcgen::SanType::URI(uri));
        }
    });
    for (shown, path, status, reason, user) in [
        (&subject, "/mtls/", 200, "", "O=Ex\\, Ample,CN=test"),
        (&billing, "/orders/1", 403, "client_refused", BILLING),
        (
            &subject,
            "/orders/1",
            403,
            "client_refused",
            "O=Ex\\, Ample,CN=test",
        ),
        (&two, "/mtls/", 401, "subject_invalid", ""),
    ] {
        let reply = Client::http1(authority, Some(shown))
            .get(ingress, path)
            .await
            .unwrap();
        assert_eq!(reply.status, status, "{path} {user}");
        let line = gatepost.line_of(&reply).await;
        assert_eq!(line["reason"].as_str().unwrap_or_default(), reason);
        assert_eq!(line["user_id"].as_str().unwrap_or_default(), user);
        if status == 401 {
            assert!(reply.header("www-authenticate").starts_with("Bearer "));
        }
    }

    // beside a token, which the route names first
    let bearer = format!("Bearer {}", token(&json!({})));
    let reply = session
        .get("/either/", &[("authorization", &bearer)])
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(upstream.last().header("x-user-id"), "ada");
    let reply = session.get("/either/", &[]).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(upstream.last().header("x-user-id"), ORDERS);
    let forged = [("authorization", "Bearer a.b.c")];
    assert_eq!(session.get("/either/", &forged).await.unwrap().status, 401);
}

#[tokio::test]
async fn another_client_ca_counts_at_once_and_ends_what_the_old_one_vouched_for() {
    let authority = Authority::new();
    let (first, second) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server(), &first);
    let upstream = Upstream::start().await;
    let gatepost = start(&upstream, &files, "optional").await;
    let ingress = gatepost.listener("ingress").await;
    let of_first = Client::http1(&authority, Some(&first.client(ORDERS)));
    let of_second = Client::http1(&authority, Some(&second.client(ORDERS)));
    let http2 = Client::new(&authority, Some(&first.client(BILLING)), &["h2"]);
    let mut before = [
        of_first.open(ingress).await.unwrap(),
        http2.open(ingress).await.unwrap(),
    ];
    let mut nobody = Client::http1(&authority, None).open(ingress).await.unwrap();
    for session in &mut before {
        assert_eq!(session.get("/mtls/", &[]).await.unwrap().status, 200);
    }
    assert_eq!(nobody.get("/public/", &[]).await.unwrap().status, 200);
    // another server certificate is no reason
    files.show(&authority.server());
    gatepost.reloads("accepted", 1).await;
    for session in &mut before {
        assert_eq!(session.get("/mtls/", &[]).await.unwrap().status, 200);
    }
    of_second.get(ingress, "/mtls/").await.unwrap_err();

    files.write("clients-ca.pem", &second.pem());
    gatepost.reloads("accepted", 2).await;
    assert_eq!(of_second.get(ingress, "/mtls/").await.unwrap().status, 200);
    // neither anew nor by a ticket of its old session
    of_first.get(ingress, "/mtls/").await.unwrap_err();
    for mut session in before {
        // closed in order: what it asks meanwhile is answered
        while let Ok(reply) = session.get("/mtls/", &[]).await {
            assert_eq!(reply.status, 200);
        }
    }
    assert_eq!(nobody.get("/public/", &[]).await.unwrap().status, 200);

    // nobody is let in because the file is empty
    files.write("clients-ca.pem", "");
    gatepost.reloads("rejected", 1).await;
    assert_eq!(of_second.get(ingress, "/mtls/").await.unwrap().status, 200);
    of_first.get(ingress, "/mtls/").await.unwrap_err();
    assert_eq!(nobody.get("/mtls/", &[]).await.unwrap().status, 401);
}

#[tokio::test]
async fn the_certificate_of_a_proxy_that_asks_is_never_the_client_s() {
    let setting = Setting::new().await;
    let Setting {
        authority, files, ..
    } = &setting;
    let toml = files.mutual("required");
    let text = setting.config(&format!(
        "{ROUTES}[ingress]\n{toml}[forward_auth]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n{toml}"
    ));
    let gatepost = Gatepost::start(&text).await;
    let proxy = Client::http1(authority, Some(&authority.client(ORDERS)));
    let mut session = proxy
        .open(gatepost.listener("forward_auth").await)
        .await
        .unwrap();
    let bearer = format!("Bearer {}", token(&json!({})));
    for (path, token, status, user) in [
        ("/mtls/", None, 401, ""),
        ("/orders/1", None, 401, ""),
        ("/either/", None, 401, ""),
        ("/either/", Some(&bearer), 200, "ada"),
    ] {
        let mut asked = vec![
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-uri", path),
            ("x-forwarded-client-cert", "URI=spiffe://example.org/orders"),
        ];
        asked.extend(token.map(|token| ("authorization", &**token)));
        let reply = session.get("/auth/traefik", &asked).await.unwrap();
        assert_eq!(
            (reply.status.as_u16(), reply.header("x-user-id")),
            (status, user),
            "{path}"
        );
    }
    let reply = session
        .get("/api/v1/validate?route=/mtls/**", &[])
        .await
        .unwrap();
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn a_certificate_that_runs_out_is_refused_on_its_open_connection_and_by_its_ticket() {
    let setting = Setting::new().await;
    let Setting {
        authority,
        files,
        upstream,
    } = &setting;
    let clock = Arc::new(ManualClock::new(UnixTime(now())));
    let mut mtls = route("mtls", "/**");
    mtls.access = Access::Protected(Box::new(Protected {
        accepts: vec![Kind::Mtls],
        ..protected()
    }));
    let tls = Tls {
        certificate_file: files.path("tls.crt"),
        key_file: files.path("tls.key"),
        client_ca: Some(ClientCa {
            file: files.path("clients-ca.pem"),
            required: true,
        }),
        min_version: TlsVersion::V1_2,
    };
    let world = World::by_clock(
        Arc::clone(&clock) as Arc<dyn Clock>,
        upstream.address,
        vec![mtls],
        |config| {
            let ingress = config.ingress.as_mut().unwrap();
            ingress.listener = Listener {
                tls: Some(tls),
                ..ingress.listener.clone()
            };
        },
    )
    .await;
    // rustls reads the real clock, by which it is good all along
    let orders = authority.issue(&[], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    });
    for version in [&TLS12, &TLS13] {
        let client = Client::of(authority, Some(&orders), &["h2"], &[version]);
        let mut session = client.open(world.ingress()).await.unwrap();
        assert_eq!(session.get("/", &[]).await.unwrap().status, 200);
    }
    let client = Client::http1(authority, Some(&orders));
    let mut session = client.open(world.ingress()).await.unwrap();
    assert_eq!(session.get("/", &[]).await.unwrap().status, 200);
    clock.advance(Duration::from_secs(100 * 366 * 24 * 3600));
    let reply = session.get("/", &[]).await.unwrap();
    assert_eq!(reply.status, 401);
    let line = world.log(4).await.pop().unwrap();
    assert_eq!(line["reason"], "token_expired");
    client.get(world.ingress(), "/").await.unwrap_err();
}

#[tokio::test]
async fn explain_tells_who_a_certificate_is() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority);
    let toml = files.mutual("required");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = config("http://127.0.0.1:1", "");
    std::fs::write(
        path("gatepost.toml"),
        format!("{text}{ROUTES}[ingress]\n{toml}"),
    )
    .unwrap();
    std::fs::write(path("billing.pem"), authority.client(BILLING).pem).unwrap();
    let explained = run(
        &[
            "explain",
            "--config",
            &path("gatepost.toml"),
            "--path",
            "/orders/1",
            "--client-certificate",
            &path("billing.pem"),
        ],
        &[],
    );
    let text = String::from_utf8(explained.stdout).unwrap();
    assert_eq!(explained.status.code(), Some(1), "{text}");
    assert!(
        text.contains("principal       service \"spiffe://example.org/billing\""),
        "{text}"
    );
    assert!(text.contains("reason          client_refused"), "{text}");
}
