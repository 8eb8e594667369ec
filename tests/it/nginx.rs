//! nginx as the upstream of the running binary.

use http::Method;
use serde_json::json;

use crate::support::counterparts::or_skip;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection};
use crate::support::programs::{Nginx, curl, text};
use crate::support::secure::authority;
use crate::support::sidecar::{config, token};

const MIB: usize = 1024 * 1024;

/// So many bytes in which no part repeats soon.
fn bytes(count: usize) -> Vec<u8> {
    let numbers = (0..u32::MAX).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes());
    numbers.take(count).collect()
}

struct Carried {
    gatepost: Gatepost,
    token: String,
}

impl Carried {
    async fn before(nginx: &Nginx) -> Self {
        Self {
            gatepost: Gatepost::start(&config(nginx.url(), "")).await,
            token: token(&json!({})),
        }
    }

    async fn call(&self, method: Method, path: &str) -> Call {
        Call::new(method, self.gatepost.listener("ingress").await, path).bearer(&self.token)
    }
}

#[tokio::test]
async fn requests_one_after_another_share_a_connection() {
    let nginx = or_skip!(Nginx::serving(&[]).await);
    let carried = Carried::before(&nginx).await;
    let mut client = Connection::open(carried.gatepost.listener("ingress").await).await;
    for number in 1..=5 {
        let call = carried.call(Method::GET, "/connection").await;
        let reply = client.send(call).await;
        assert_eq!(reply.text(), format!("HTTP/1.1 1 {number}\n"));
    }
}

#[tokio::test]
async fn a_file_its_parts_and_its_absence_are_told_as_nginx_tells_them() {
    let file = bytes(1024);
    let nginx = or_skip!(Nginx::serving(&[("file", &file)]).await);
    let carried = Carried::before(&nginx).await;

    let whole = carried.call(Method::GET, "/file").await.send().await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &file[..]));
    assert_eq!(whole.header("content-length"), "1024");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let etag = whole.header("etag");

    let head = carried.call(Method::HEAD, "/file").await.send().await;
    assert_eq!((head.status.as_u16(), &head.body[..]), (200, &[][..]));
    assert_eq!(head.header("content-length"), "1024");
    assert_eq!(head.header("etag"), etag);

    let unchanged = carried.call(Method::GET, "/file").await;
    let unchanged = unchanged.header("if-none-match", etag).send().await;
    assert_eq!(
        (unchanged.status.as_u16(), &unchanged.body[..]),
        (304, &[][..])
    );
    assert_eq!(unchanged.header("etag"), etag);

    let part = carried.call(Method::GET, "/file").await;
    let part = part.header("range", "bytes=10-19").send().await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &file[10..20]));
    assert_eq!(part.header("content-range"), "bytes 10-19/1024");

    let parts = carried.call(Method::GET, "/file").await;
    let parts = parts.header("range", "bytes=0-0,1023-1023").send().await;
    assert_eq!(parts.status, 206);
    let kind = parts.header("content-type");
    assert!(kind.starts_with("multipart/byteranges"), "{kind}");

    let beyond = carried.call(Method::GET, "/file").await;
    let beyond = beyond.header("range", "bytes=2000-").send().await;
    assert_eq!(beyond.status, 416);

    let absent = carried.call(Method::GET, "/absent").await.send().await;
    assert_eq!(absent.status, 404);
    assert!(absent.header("server").starts_with("nginx/"), "{absent:?}");
}

#[tokio::test]
async fn what_nginx_compressed_passes_as_it_is() {
    let nginx = or_skip!(Nginx::serving(&[("file", &[b'a'; 10_000])]).await);
    let carried = Carried::before(&nginx).await;
    let call = carried.call(Method::GET, "/zipped/file").await;
    let reply = call.header("accept-encoding", "gzip").send().await;
    assert_eq!(reply.header("content-encoding"), "gzip");
    assert_eq!(reply.body[..2], [0x1f, 0x8b]);
    assert!(reply.body.len() < 1000, "{} bytes", reply.body.len());

    let plain = carried.call(Method::GET, "/zipped/file").await.send().await;
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(plain.body.len(), 10_000);
}

#[tokio::test]
async fn a_large_file_and_a_large_upload_arrive_whole_and_are_never_held() {
    let file = bytes(32 * MIB);
    let nginx = or_skip!(Nginx::serving(&[("file", &file)]).await);
    let carried = Carried::before(&nginx).await;
    carried.call(Method::GET, "/").await.send().await;
    let before = carried.gatepost.peak_memory();

    let down = carried.call(Method::GET, "/file").await.send().await;
    assert!(down.body == file, "{} bytes came", down.body.len());

    let up = carried.call(Method::PUT, "/upload").await;
    let stored = up.body(file.clone()).send().await;
    let stored = std::fs::read(stored.text()).expect("nginx stored it");
    assert!(stored == file, "{} bytes went", stored.len());

    let grown = carried.gatepost.peak_memory() - before;
    assert!(grown < 16 * 1024, "{grown} KiB more");
}

#[tokio::test]
async fn curl_uploads_after_100_continue_and_sends_nothing_where_it_may_not() {
    let nginx = or_skip!(Nginx::serving(&[]).await);
    let carried = Carried::before(&nginx).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes(5 * MIB)).expect("written");
    let ingress = carried.gatepost.listener("ingress").await;
    let upload = |options: &[&str]| {
        let mut curl = curl()?;
        // longer than the test may take: it waits for the answer
        curl.args([
            "--expect100-timeout",
            "60",
            "--header",
            "expect: 100-continue",
        ])
        .args(options)
        .arg("--upload-file")
        .arg(file.path())
        .arg(format!("http://{ingress}/upload"));
        Some(curl)
    };
    let authorization = format!("authorization: Bearer {}", carried.token);
    for options in [
        &["--http1.1"][..],
        &["--http1.1", "--header", "transfer-encoding: chunked"],
        &["--http2-prior-knowledge"],
    ] {
        let curl = or_skip!(upload(&[options, &["--header", &authorization]].concat()));
        let stored = text(curl).await;
        let stored = std::fs::read(&stored).expect("nginx stored it");
        assert!(stored == bytes(5 * MIB), "{options:?}: {}", stored.len());
    }
    let show = ["--output", "/dev/null", "--write-out"];
    let sent = "%{http_code} %{size_upload}";
    let curl = or_skip!(upload(&[&["--http1.1"][..], &show, &[sent]].concat()));
    assert_eq!(text(curl).await, "401 0");
}

#[tokio::test]
async fn it_is_spoken_to_in_http2_where_it_can_and_in_http1_where_it_should() {
    let authority = authority();
    let nginx = or_skip!(Nginx::secure(&[], &authority).await);
    let roots = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(roots.path(), authority.pem()).expect("written");
    let (h2c, tls) = (nginx.h2c_url(), nginx.tls_url());
    for (url, protocol, spoken) in [
        (nginx.url(), "auto", "HTTP/1.1"),
        (nginx.url(), "http1", "HTTP/1.1"),
        (h2c, "http2", "HTTP/2.0"),
        (tls.as_str(), "auto", "HTTP/2.0"),
        (tls.as_str(), "http2", "HTTP/2.0"),
        (tls.as_str(), "http1", "HTTP/1.1"),
    ] {
        let keys = format!("protocol = {protocol:?}");
        let config = format!(
            "[client]\nextra_ca_file = {:?}\n{}",
            roots.path(),
            config(url, &keys)
        );
        let gatepost = Gatepost::start(&config).await;
        let call = gatepost.get("/connection").await.bearer(&token(&json!({})));
        let reply = call.send().await;
        let said = reply.text();
        assert!(said.starts_with(spoken), "{url} {protocol}: {said}");
    }
}
