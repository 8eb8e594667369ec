//! What our credential is written to, nobody else writes: in the head, in another spelling, in
//! trailers.

use crate::attack::recorder::Recorder;
use crate::egress::strangers::keys;
use crate::egress::{Running, fixed, source, target};
use crate::support::http::raw;

use super::key;

#[tokio::test]
async fn nobody_writes_what_our_credential_is_written_to() {
    let recorder = Recorder::start().await;
    let url = format!("http://{}", recorder.address);
    let sources = vec![
        fixed(),
        source("key", key("x-key", "s3cret-key")),
        source("s3", keys("s3")),
    ];
    let names = ["static", "key", "s3"];
    let targets = names.map(|name| target(name, &url, &[name]));
    let gatepost = Running::start(sources, targets.into()).await;
    let own = gatepost.at;
    let mut tried = 0;
    for (target, fields) in [
        ("static", &["authorization"][..]),
        ("key", &["authorization", "x-key"]),
        (
            "s3",
            &["authorization", "x-amz-date", "x-amz-security-token"],
        ),
    ] {
        for field in fields {
            for name in [
                (*field).to_owned(),
                field.to_uppercase(),
                field.replacen('-', "_", 1),
                field.replace('-', "_"),
                field.replace('-', "."),
            ] {
                let line = format!("POST /{target}/x HTTP/1.1\r\nHost: {own}\r\nConnection: close");
                for request in [
                    format!("{line}\r\n{name}: EVIL\r\nContent-Length: 1\r\n\r\nx"),
                    format!(
                        "{line}\r\nConnection: {field}\r\n{name}: EVIL\r\nContent-Length: 0\r\n\r\n"
                    ),
                    format!(
                        "{line}\r\nTE: trailers\r\nTrailer: {name}, x-sum\r\n\
                         Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{name}: EVIL\r\nx-sum: 1\r\n\r\n"
                    ),
                ] {
                    let answer = raw(own, request.as_bytes()).await;
                    assert!(answer.starts_with("HTTP/1.1 200"), "{request:?}: {answer}");
                    tried += 1;
                    assert_eq!(recorder.heard().len(), tried, "{request:?}");
                    let heard = recorder.last();
                    let all = format!("{heard:?}");
                    assert!(!all.contains("EVIL"), "{request:?}: {all}");
                    assert_eq!(heard.folded(field).len(), expected(target, field), "{all}");
                    if request.contains("x-sum") {
                        assert_eq!(heard.folded("x-sum"), ["1"], "others pass");
                        let announced = heard.folded("trailer").concat();
                        assert_eq!(announced, "x-sum", "{all}");
                    }
                }
            }
        }
    }
}

/// How often a target is told a field: a key target gets no token.
fn expected(target: &str, field: &str) -> usize {
    usize::from((target, field) != ("key", "authorization"))
}
