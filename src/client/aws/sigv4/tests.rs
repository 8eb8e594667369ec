//! Vectors that AWS publishes, and what is rewritten or refused. `tests/it/aws` compares a table of
//! odd requests with botocore.

use http::Request;

use super::*;

const IAM: Scope<'_> = Scope {
    region: "us-east-1",
    service: "iam",
};
const S3: Scope<'_> = Scope {
    region: "us-east-1",
    service: "s3",
};
const STREAMED: Payload<'_> = Payload::Streamed { guarded: true };

fn keys(token: Option<&str>) -> AwsKeys {
    AwsKeys::new(
        "AKIDEXAMPLE".to_owned(),
        Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
        token.map(|token| Secret::new(token.to_owned())),
        None,
    )
    .unwrap()
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn header<'h>(head: &'h Parts, name: &str) -> &'h str {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next().map_or("", |value| value.to_str().unwrap());
    assert!(values.next().is_none(), "{name} twice");
    value
}

fn at(text: &str) -> UnixTime {
    let at = humantime::parse_rfc3339(text).unwrap();
    UnixTime(at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs())
}

#[test]
fn the_published_examples_are_signed_as_published() {
    // "Signature Version 4 signing process", IAM ListUsers
    let mut list = head(
        "GET",
        "/?Action=ListUsers&Version=2010-05-08",
        &[
            ("host", "iam.amazonaws.com"),
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
        ],
    );
    let now = at("2015-08-30T12:36:00Z");
    sign(&mut list, Payload::Whole(b""), &keys(None), IAM, now).unwrap();
    assert_eq!(
        header(&list, "authorization"),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
    assert_eq!(header(&list, "x-amz-date"), "20150830T123600Z");

    // "Authenticating Requests: Using the Authorization Header", S3 GET Object
    let mut object = head(
        "GET",
        "/test.txt",
        &[
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
        ],
    );
    let example = AwsKeys {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
        ..keys(None)
    };
    let now = at("2013-05-24T00:00:00Z");
    sign(&mut object, Payload::Whole(b""), &example, S3, now).unwrap();
    assert_eq!(
        header(&object, "authorization"),
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

#[test]
fn what_the_app_signed_dated_or_stated_is_replaced() {
    let stale = [
        ("host", "h.test"),
        ("authorization", "Bearer of-the-app"),
        ("date", "Mon, 24 May 2013 00:00:00 GMT"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-security-token", "of-the-app"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ];
    for (scope, hash) in [(IAM, ""), (S3, &*sha256(b"body"))] {
        let mut head = head("PUT", "/x", &stale);
        let body = Payload::Whole(b"body");
        for (moment, token) in [(0, Some("t-1")), (90, Some("t-2")), (180, None)] {
            sign(&mut head, body, &keys(token), scope, UnixTime(moment)).unwrap();
            assert!(header(&head, "authorization").starts_with("AWS4-HMAC-SHA256 "));
            assert_eq!(header(&head, "date"), "");
            assert_eq!(header(&head, "x-amz-security-token"), token.unwrap_or(""));
            assert_eq!(header(&head, "x-amz-content-sha256"), hash);
        }
        assert_eq!(header(&head, "x-amz-date"), "19700101T000300Z");
        assert!(!format!("{head:?}").contains("Signature"), "{head:?}");
    }
}

#[test]
fn path_and_query_are_sent_in_the_spelling_that_is_signed() {
    for (scope, asked, sent) in [
        (IAM, "/a(b)%20c?x", "/a(b)%20c?x"),
        (S3, "/b/a(b)+c%20d/%c3%a9", "/b/a%28b%29%2Bc%20d/%C3%A9"),
        (S3, "/b//x/", "/b//x/"),
        (S3, "/b/a%2Fb", "/b/a%2Fb"),
        (S3, "/b/100%zz", "/b/100%25zz"),
        (IAM, "/?prefix=a/b+c&&acl&=v", "/?prefix=a%2Fb%20c&acl&=v"),
        (IAM, "/?b=%e9&a=%7E*", "/?b=%E9&a=~%2A"),
        (IAM, "/?x=a=b", "/?x=a%3Db"),
        (IAM, "/?", "/?"),
    ] {
        let mut head = head("GET", asked, &[("host", "h.test")]);
        let body = Payload::Whole(b"");
        sign(&mut head, body, &keys(None), scope, UnixTime(0)).unwrap();
        assert_eq!(head.uri.to_string(), sent, "{asked}");
    }
}

#[test]
fn a_body_that_was_not_kept_is_signed_for_s3_over_tls_alone() {
    let bare = Payload::Streamed { guarded: false };
    let whole = Payload::Whole(b"x");
    let trailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let chunks = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let hash = sha256(b"x");
    for (scope, payload, stated, expected) in [
        (S3, STREAMED, "", Ok("UNSIGNED-PAYLOAD")),
        (S3, STREAMED, trailer, Ok(trailer)),
        (S3, STREAMED, chunks, Err(NotSigned::SignedChunks)),
        (S3, bare, "", Err(NotSigned::NotKept)),
        (S3, bare, trailer, Err(NotSigned::NotKept)),
        (S3, whole, "UNSIGNED-PAYLOAD", Ok(&*hash)),
        (S3, whole, trailer, Ok(trailer)),
        (S3, whole, chunks, Err(NotSigned::SignedChunks)),
        (IAM, STREAMED, "", Err(NotSigned::NotKept)),
        (IAM, STREAMED, trailer, Err(NotSigned::NotKept)),
        (IAM, whole, "", Ok("")),
        (IAM, whole, chunks, Err(NotSigned::SignedChunks)),
    ] {
        let mut head = head(
            "PUT",
            "/x",
            &[("host", "h.test"), ("x-amz-content-sha256", stated)],
        );
        let signed = sign(&mut head, payload, &keys(None), scope, UnixTime(0));
        match expected {
            Ok(stated) => {
                assert_eq!(signed, Ok(()));
                assert_eq!(header(&head, "x-amz-content-sha256"), stated);
            }
            Err(why) => {
                assert_eq!(signed, Err(why), "{scope:?} {payload:?} {stated}");
                assert_eq!(header(&head, "authorization"), "", "nothing half signed");
            }
        }
    }
}

#[test]
fn keys_that_could_not_stand_in_a_request_are_none() {
    let new = |id: &str, secret: &str, token: Option<&str>| {
        let token = token.map(|token| Secret::new(token.to_owned()));
        AwsKeys::new(id.to_owned(), Secret::new(secret.to_owned()), token, None)
    };
    assert!(new("AKIDEXAMPLE", "s", None).is_some());
    assert!(new("AKIDEXAMPLE", "s", Some("t/+=")).is_some());
    for (id, secret, token) in [
        ("", "s", None),
        ("AKID/EXAMPLE", "s", None),
        ("AKID, x", "s", None),
        ("AKIDEXAMPLE", "", None),
        ("AKIDEXAMPLE", "s", Some("")),
        ("AKIDEXAMPLE", "s", Some("a\r\nb")),
    ] {
        assert!(new(id, secret, token).is_none(), "{id} {token:?}");
    }
    let shown = format!("{:?}", new("AKIDEXAMPLE", "hunter2", Some("t0ken")));
    assert_eq!(shown, "Some(AwsKeys(…MPLE))");
}
