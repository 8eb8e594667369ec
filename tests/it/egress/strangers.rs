//! Who is not on this machine.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gatepost::config::{AwsCredential, AwsKeySource, AwsSource, CredentialKind, TokenEndpoint};
use gatepost::secret::{Secret, SecretSource};
use gatepost::server::accept::Downstream;
use gatepost::server::egress;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Running, config, fixed, source, target};
use crate::support::http::raw;
use crate::support::upstream::Upstream;

const SAID: &str = "s3cret-of-the-app-itself";

/// Keys named `keys` that sign, without asking anybody.
pub(super) fn keys(service: &str) -> CredentialKind {
    let literal = |text: &str| SecretSource::Literal(Secret::new(text.to_owned()));
    CredentialKind::Aws(Box::new(AwsCredential {
        service: service.to_owned(),
        region: "eu-west-1".to_owned(),
        source: AwsSource::Own(AwsKeySource::Kept {
            access_key_id: literal("AKIAIOSFODNN7EXAMPLE"),
            secret_access_key: literal("s3cret-access-key"),
            session_token: Some(literal("s3cret-session")),
        }),
    }))
}

/// What egress answers to a peer at this address: as on its own listener, but for the address.
async fn answered_to(gatepost: &Running, peer: &str, request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let world = gatepost.app.world();
    let peer = SocketAddr::new(peer.parse::<IpAddr>().unwrap(), 50_000);
    let downstream = Arc::new(Downstream::new(peer, 0, None));
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (stream, _ourselves) = listener.accept().await.unwrap();
        let service = service_fn(move |request| {
            let (world, downstream) = (Arc::clone(&world), Arc::clone(&downstream));
            let answer = egress::answer(world, request, downstream);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connection.await.unwrap();
    });
    raw(at, request.as_bytes()).await
}

/// A listener that was opened wider lets others call targets; the app's own credentials stay here.
#[tokio::test]
async fn a_peer_on_another_machine_is_handed_no_credential() {
    let billing = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app-token");
    std::fs::write(&file, SAID).unwrap();
    for opened in [false, true] {
        let sources = vec![fixed(), source("keys", keys("s3"))];
        let targets = vec![target("billing", &billing.url(), &["static"])];
        let mut config = config(sources, targets);
        let egress = config.egress.as_mut().unwrap();
        if opened {
            // what it says decides; nobody but this test comes
            egress.listener.listen = "0.0.0.0:0".parse().unwrap();
        }
        egress.token_endpoint = Some(TokenEndpoint {
            authorization_file: file.clone(),
            credentials: vec!["static".into(), "keys".into()],
        });
        let gatepost = Running::of(config).await;
        for (peer, here) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.7", false),
            ("169.254.170.2", false),
            ("::ffff:10.0.0.7", false),
            ("fd00::7", false),
        ] {
            for (path, secret) in [
                ("/.gatepost/token/static", "s3cret-static"),
                ("/.gatepost/aws/keys", "s3cret-access-key"),
                ("/billing/x", ""),
            ] {
                let head = format!(
                    "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {SAID}\r\n\
                     Connection: close\r\n\r\n"
                );
                let before = billing.requests().len();
                let answer = answered_to(&gatepost, peer, &head).await;
                let case = format!("{opened} {peer} {path}: {answer}");
                let passes = here || (opened && secret.is_empty());
                let status = if passes { "200" } else { "403" };
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{case}");
                if passes {
                    assert!(answer.contains(secret), "{case}");
                } else {
                    assert!(answer.contains("x-auth-reason: peer_untrusted"), "{case}");
                    assert!(!answer.contains("s3cret"), "{case}");
                }
                let sent = usize::from(passes && secret.is_empty());
                assert_eq!(billing.requests().len(), before + sent, "{case}");
            }
        }
    }
}
