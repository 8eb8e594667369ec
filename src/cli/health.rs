//! `gatepost health`: asks the health listener and says it by the exit code, for health checks in
//! an image without a shell.
//!
//! It reads two keys of the configuration and no secret: a file that would be refused at the next
//! reload must not make a healthy process look sick. Over TLS any certificate will do, for the same
//! reason: nothing is sent that anybody may not know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use crate::config::Sources;

/// Arguments of `health`.
#[derive(Debug, clap::Args)]
pub struct HealthArgs {
    /// Ask whether it is ready for requests (/readyz), not only alive (/livez)
    #[arg(long)]
    ready: bool,
    /// The health listener's address; otherwise `health.listen` of the configuration
    #[arg(long, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
    /// Ask over TLS; otherwise as `health.tls` of the configuration says
    #[arg(long, requires = "address")]
    tls: bool,
    /// The config file; without it as for `serve`
    #[arg(long, short, value_name = "FILE", conflicts_with = "address")]
    config: Option<PathBuf>,
}

/// Exits 0 if the answer within two seconds is 200, else 1. Prints nothing.
pub fn run(args: &HealthArgs) -> ExitCode {
    let healthy = match args.address {
        Some(address) => Some((address, args.tls)),
        None => configured(args),
    }
    .is_some_and(|(address, tls)| {
        let path = if args.ready { "/readyz" } else { "/livez" };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.is_ok_and(|runtime| runtime.block_on(answers_ok(reachable(address), tls, path)))
    });
    if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// `None` if a named file cannot be read.
fn configured(args: &HealthArgs) -> Option<(SocketAddr, bool)> {
    let sources = Sources::read(args.config.as_deref()).ok()?;
    let variable = sources.environment.get(VARIABLE).map(String::as_str);
    let file = sources.file.as_ref().map(|file| file.text.as_str());
    let tls = sources
        .environment
        .keys()
        .any(|name| name.starts_with(TLS_VARIABLES))
        || file.is_some_and(has_tls);
    Some((address(file, variable), tls))
}

/// Whether a file has `health.tls`.
fn has_tls(file: &str) -> bool {
    toml_edit::ImDocument::parse(file).is_ok_and(|document| {
        let health = document
            .get("health")
            .and_then(toml_edit::Item::as_table_like);
        health.is_some_and(|health| health.contains_key("tls"))
    })
}

/// `health.listen` of the environment, else of the file, else the default.
fn address(file: Option<&str>, variable: Option<&str>) -> SocketAddr {
    let in_file = || {
        let document = toml_edit::ImDocument::parse(file?).ok()?;
        let health = document.get("health")?.as_table_like()?;
        health.get("listen")?.as_str()?.parse().ok()
    };
    variable
        .and_then(|text| text.parse().ok())
        .or_else(in_file)
        .unwrap_or(DEFAULT)
}

/// Where a listener on every address is reached from the same machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_any) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_any) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn answers_ok(address: SocketAddr, tls: bool, path: &str) -> bool {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let mut stream = if tls {
            let name = ServerName::from(address.ip());
            Either::Right(TlsConnector::from(anybody()?).connect(name, stream).await?)
        } else {
            Either::Left(stream)
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut start = [0; OK.len()];
        stream.read_exact(&mut start).await?;
        std::io::Result::Ok(start)
    };
    matches!(tokio::time::timeout(DEADLINE, exchange).await, Ok(Ok(start)) if start == *OK)
}

/// A client that believes every server to be who it says.
fn anybody() -> std::io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let anybody = Anybody(provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?;
    Ok(Arc::new(
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(anybody))
            .with_no_client_auth(),
    ))
}

/// Takes any certificate, from whoever holds its key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

const VARIABLE: &str = "GATEPOST__HEALTH__LISTEN";
const TLS_VARIABLES: &str = "GATEPOST__HEALTH__TLS__";
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7404);
const OK: &[u8; 13] = b"HTTP/1.1 200 ";
const DEADLINE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_address_is_the_one_serve_would_take() {
        let file =
            "[health]\nlisten = \"0.0.0.0:8404\"\n[issuers.x]\nsecret = { env = \"UNSET\" }\n";
        let inline = "health = { listen = \"[::]:8404\" }";
        for (file, variable, expected) in [
            (None, None, "127.0.0.1:7404"),
            (Some(file), None, "127.0.0.1:8404"),
            (Some(inline), None, "[::1]:8404"),
            (Some(file), Some("10.0.0.7:9404"), "10.0.0.7:9404"),
            (
                Some("[ingress]\nlisten = \"0.0.0.0:1\""),
                None,
                "127.0.0.1:7404",
            ),
            (Some("not toml ["), None, "127.0.0.1:7404"),
        ] {
            let found = reachable(address(file, variable));
            assert_eq!(found.to_string(), expected, "{file:?} {variable:?}");
        }
    }

    #[test]
    fn tls_is_spoken_where_serve_would() {
        let inline = "[health]\ntls = { certificate_file = \"a\", key_file = \"b\" }";
        let table = "[health.tls]\ncertificate_file = \"a\"";
        for (file, expected) in [
            (inline, true),
            (table, true),
            ("[ingress.tls]\n", false),
            ("[health]\nlisten = \"0.0.0.0:1\"", false),
            ("not toml [", false),
        ] {
            assert_eq!(has_tls(file), expected, "{file}");
        }
    }

    /// Answers one connection with `response`; what was asked.
    async fn answer_once(response: &'static str) -> (SocketAddr, impl Future<Output = String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = async move {
            let (mut stream, _peer) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(response.as_bytes()).await.unwrap();
            request.truncate(length);
            String::from_utf8(request).unwrap()
        };
        (address, served)
    }

    #[tokio::test]
    async fn only_a_200_is_healthy() {
        for (response, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("HTTP/1.1 404 Not Found\r\n\r\n", false),
            ("HTTP/1.1 20", false),
            ("", false),
        ] {
            let (address, served) = answer_once(response).await;
            let (healthy, request) = tokio::join!(answers_ok(address, false, "/readyz"), served);
            assert_eq!(healthy, expected, "{response}");
            assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_not_healthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(!answers_ok(address, false, "/livez").await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_never_answers_is_not_healthy_after_two_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let before = tokio::time::Instant::now();
        assert!(!answers_ok(address, false, "/livez").await);
        assert_eq!(before.elapsed(), DEADLINE);
    }
}
