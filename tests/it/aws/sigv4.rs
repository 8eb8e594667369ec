//! Our signatures are botocore's, byte for byte, over odd paths, queries, headers and bodies.

use gatepost::client::aws::AwsKeys;
use gatepost::client::aws::sigv4::{Payload, Scope, sign};
use gatepost::clock::UnixTime;
use gatepost::secret::Secret;
use http::request::Parts;
use http::{HeaderValue, Request};
use serde_json::{Value, json};

use crate::support::counterparts::{or_skip, sigv4};

const PATHS: [&str; 19] = [
    "/",
    "/a",
    "/a/",
    "//a//b//",
    "/a/./b/../c/.",
    "/../a",
    "/a%20b",
    "/a%2Fb",
    "/%C3%BC/%F0%9F%94%91",
    "/a+b",
    "/(x)!*'",
    "/~user/-._/%7E",
    "/a:b@c,d=e&f$",
    "/%25zz%2525",
    "/%2e%2E/x",
    "/%c3%a9",
    "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations",
    "/\u{fc}",
    "/%00",
];

const QUERIES: [&str; 15] = [
    "",
    "?",
    "?acl",
    "?acl=",
    "?b=2&a=1&a=0&A=3&a",
    "?a=1&a%20b=2&a-b=3&aB=4&a.=5",
    "?prefix=a%2Fb%20c&list-type=2",
    "?prefix=a/b&x=(y)*'!",
    "?x=a+b",
    "?x=%7e&y=%e9&z=~",
    "?=v",
    "?k==v=",
    "?a&&b&",
    "?X-Amz-Foo=%2B%3D%26",
    "?z=%zz%",
];

const HEADERS: [&[(&str, &str)]; 7] = [
    &[],
    &[("content-type", "application/json; charset=utf-8")],
    &[
        ("x-a", "  a   b\t c  "),
        ("x-a", "z"),
        ("x-a", "a"),
        ("x-b", ""),
    ],
    &[
        ("x-quoted", "\"a   b\"  c"),
        ("x-utf8", "caf\u{e9}  \u{1f511}"),
    ],
    // left out of every signature
    &[
        ("user-agent", "curl/8"),
        ("connection", "close"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("traceparent", "00-0-0-01"),
        ("tracestate", "a=b"),
        ("baggage", "a=b"),
        ("x-amzn-trace-id", "Root=1"),
        ("proxy-authorization", "Basic eA=="),
    ],
    &[
        ("x-amz-meta-b", "2"),
        ("x-amz-meta-a", "1"),
        ("range", "bytes=0-9"),
    ],
    &[
        ("cookie", "a=b; c=d"),
        ("content-length", "4"),
        ("accept", "*/*"),
        ("x_y", "z"),
    ],
];

/// Stale values that signing replaces.
const STALE: [(&str, &str); 4] = [
    ("authorization", "Bearer of-the-app"),
    ("x-amz-date", "20010101T000000Z"),
    ("x-amz-security-token", "of-the-app"),
    ("x-amz-content-sha256", "of-the-app"),
];

fn head(method: &str, target: &str, host: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    let host = ("host", host);
    let given = headers.iter().chain(&STALE).chain([&host]);
    for (name, value) in given {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn signed(head: &Parts, name: &str) -> Value {
    let values: Vec<_> = head.headers.get_all(name).iter().collect();
    match values.as_slice() {
        [] => Value::Null,
        [value] => value.to_str().unwrap().into(),
        several => panic!("{several:?}"),
    }
}

#[tokio::test]
async fn our_signatures_are_botocores() {
    let services = ["s3", "execute-api", "sts", "bedrock"];
    let bodies: [(&str, &str); 4] = [
        ("GET", ""),
        ("POST", "{\"a\": 1}"),
        ("DELETE", ""),
        ("PUT", "\u{fc}"),
    ];
    let token = Some("FwoGZXIvYXdzEBYa//token+x==");
    let mut requests = Vec::new();
    for (service_at, service) in services.iter().enumerate() {
        for (path_at, path) in PATHS.iter().enumerate() {
            for (query_at, query) in QUERIES.iter().enumerate() {
                // every pair of neighbours meets; all products would only take longer
                let turn = service_at + path_at + query_at;
                let (method, body) = bodies[turn % bodies.len()];
                let headers = HEADERS[(turn + query_at) % HEADERS.len()];
                requests.push((*service, format!("{path}{query}"), method, headers, body));
            }
        }
    }
    for temporary in [false, true] {
        let keys = AwsKeys::new(
            "AKIDEXAMPLE".to_owned(),
            Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            token
                .filter(|_| temporary)
                .map(|token| Secret::new(token.to_owned())),
            None,
        )
        .unwrap();
        let (mut ours, mut orders) = (Vec::new(), Vec::new());
        for (at, (service, target, method, headers, body)) in requests.iter().enumerate() {
            let host = ["h.test", "h.test:8443", "[::1]:9000"][at % 3];
            let unsigned = *service == "s3" && at % 4 == 0;
            let payload = if unsigned {
                Payload::Streamed { guarded: true }
            } else {
                Payload::Whole(body.as_bytes())
            };
            let scope = Scope {
                region: ["eu-west-1", "us-gov-west-1"][at % 2],
                service,
            };
            let now = 1_700_000_000 + at as u64 * 86_399;
            let mut head = head(method, target, host, headers);
            sign(&mut head, payload, &keys, scope, UnixTime(now)).unwrap();
            // what is sent is what botocore is asked to sign
            let mut sent: Vec<_> = headers.to_vec();
            sent.push(("host", host));
            orders.push(json!({
                "service": service, "region": scope.region, "at": now, "method": method,
                "url": format!("https://{host}{}", head.uri), "headers": sent, "body": body,
                "unsigned": unsigned,
            }));
            ours.push(head);
        }
        let keys = json!({
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "session_token": token.filter(|_| temporary),
        });
        let theirs = or_skip!(sigv4(json!({ "keys": keys, "requests": orders })).await);
        assert_eq!(theirs.as_array().unwrap().len(), ours.len());
        for ((theirs, ours), order) in theirs.as_array().unwrap().iter().zip(&ours).zip(&orders) {
            for (name, value) in theirs.as_object().unwrap() {
                assert_eq!(signed(ours, name), *value, "{name} of {order}");
            }
        }
    }
}
