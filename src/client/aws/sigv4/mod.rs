//! AWS Signature Version 4 in a request's headers. Pure: the moment is a parameter.
//!
//! What is signed is what is sent: a query, and the path of an S3 object, may be written in several
//! ways that mean the same, of which AWS signs one. The request is rewritten to that one.

use std::borrow::Cow;
use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};
use http::header::{AUTHORIZATION, DATE, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::client::aws::AwsKeys;
use crate::clock::UnixTime;
use crate::secret::Secret;

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What [`sign`] writes besides `Authorization`.
pub static WRITTEN: [HeaderName; 3] = [X_AMZ_DATE, X_AMZ_SECURITY_TOKEN, X_AMZ_CONTENT_SHA256];

const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// A body in `aws-chunked` framing with a checksum as its trailer, none of it signed.
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
/// The same with signed chunks: `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` and its kin.
const SIGNED_CHUNKS: &str = "STREAMING-AWS4-";

/// Everything but unreserved characters (RFC 3986 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same, for a path as a whole.
const ESCAPED_IN_PATH: &AsciiSet = &ESCAPED.remove(b'/');

/// Headers that somebody on the way may change or that belong to one hop; the AWS SDKs do not sign
/// them either. In alphabetical order.
const NOT_SIGNED: [&str; 14] = [
    "baggage",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// Where a signature counts.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    /// `eu-west-1`
    pub region: &'s str,
    /// The service's signing name: `execute-api`, `s3`.
    pub service: &'s str,
}

impl Scope<'_> {
    /// S3 takes paths as they are, signs the payload's hash as a header and accepts unsigned bodies.
    fn is_s3(self) -> bool {
        matches!(self.service, "s3" | "s3-outposts" | "s3-object-lambda")
    }
}

/// The body of a request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'b> {
    /// All of it.
    Whole(&'b [u8]),
    /// It passes as it comes; `guarded`: over TLS, or without leaving this machine.
    Streamed {
        /// Whether nobody on the way can change it.
        guarded: bool,
    },
}

/// Why a request cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// The service wants the body's hash, and the body was too large to be kept, or of unknown length.
    #[error("the body was not kept, and this service does not take an unsigned one")]
    NotKept,
    /// The body is in chunks that somebody else signed.
    #[error("the body's chunks are signed with other keys")]
    SignedChunks,
    /// Path, query or keys cannot be written into a request.
    #[error("the request cannot be written")]
    Unwritable,
}

/// Signs a finished request: nothing may be changed after this but what no signature covers (hop-by-hop
/// headers). A signature that it carries already is replaced.
pub fn sign(
    head: &mut Parts,
    payload: Payload<'_>,
    keys: &AwsKeys,
    scope: Scope<'_>,
    now: UnixTime,
) -> Result<(), NotSigned> {
    let hash = payload_hash(&head.headers, payload, scope)?;
    let timestamp = timestamp(now);
    let day = timestamp.get(..8).unwrap_or_default();
    rewrite(&mut head.uri, scope)?;
    for stale in [AUTHORIZATION, DATE] {
        head.headers.remove(stale);
    }
    set(&mut head.headers, X_AMZ_DATE, Some(&timestamp), false)?;
    let token = keys.session_token.as_ref().map(Secret::expose);
    set(&mut head.headers, X_AMZ_SECURITY_TOKEN, token, true)?;
    let stated = scope.is_s3().then_some(&*hash);
    set(&mut head.headers, X_AMZ_CONTENT_SHA256, stated, false)?;

    let signed = signed_headers(&head.headers);
    let request = canonical_request(head, &signed, &hash, scope);
    let scope_text = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{timestamp}\n{scope_text}\n{}",
        sha256(request.as_slice())
    );
    let key = signing_key(keys, day, scope);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope_text}, SignedHeaders={}, Signature={}",
        keys.access_key_id,
        signed.join(";"),
        hex(hmac::sign(&key, to_sign.as_bytes()).as_ref())
    );
    set(&mut head.headers, AUTHORIZATION, Some(&authorization), true)
}

/// Replaces a header, or removes it.
fn set(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: Option<&str>,
    sensitive: bool,
) -> Result<(), NotSigned> {
    let Some(value) = value else {
        headers.remove(name);
        return Ok(());
    };
    let mut value = HeaderValue::from_str(value).map_err(|_control| NotSigned::Unwritable)?;
    value.set_sensitive(sensitive);
    headers.insert(name, value);
    Ok(())
}

/// `20150830T123600Z`
fn timestamp(now: UnixTime) -> String {
    let mut text = now.to_string();
    text.retain(|c| c != '-' && c != ':');
    text
}

/// What stands for the body in the signature.
fn payload_hash(
    headers: &HeaderMap,
    payload: Payload<'_>,
    scope: Scope<'_>,
) -> Result<Cow<'static, str>, NotSigned> {
    let stated = |says: &str| {
        let mut values = headers.get_all(X_AMZ_CONTENT_SHA256).iter();
        values.any(|value| value.as_bytes().starts_with(says.as_bytes()))
    };
    if stated(SIGNED_CHUNKS) {
        return Err(NotSigned::SignedChunks);
    }
    let guarded = match payload {
        // no SDK needs this one hashed: its own checksum follows in the trailer
        Payload::Whole(_) if scope.is_s3() && stated(UNSIGNED_TRAILER) => true,
        Payload::Whole(bytes) => return Ok(sha256(bytes).into()),
        Payload::Streamed { guarded } => guarded,
    };
    if !scope.is_s3() || !guarded {
        return Err(NotSigned::NotKept);
    }
    Ok(if stated(UNSIGNED_TRAILER) {
        UNSIGNED_TRAILER.into()
    } else {
        UNSIGNED_PAYLOAD.into()
    })
}

/// Writes the target in the one spelling that AWS signs: each name and value of the query, and for
/// S3 each segment of the path, with every character escaped but the unreserved ones.
fn rewrite(uri: &mut Uri, scope: Scope<'_>) -> Result<(), NotSigned> {
    let path = if scope.is_s3() {
        let segments = uri.path().split('/');
        Cow::Owned(segments.map(escape).collect::<Vec<_>>().join("/"))
    } else {
        Cow::Borrowed(uri.path())
    };
    let target = match uri.query().map(rewrite_query) {
        None => path.into_owned(),
        Some(query) => format!("{path}?{query}"),
    };
    let target: PathAndQuery = target.parse().map_err(|_invalid| NotSigned::Unwritable)?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).map_err(|_invalid| NotSigned::Unwritable)?;
    Ok(())
}

fn rewrite_query(query: &str) -> String {
    // in a query a plus is a space, to AWS as to forms
    let escape = |text: &str| escape(&text.replace('+', " "));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", escape(name), escape(value)),
        None => escape(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn escape(text: &str) -> String {
    let bytes: Cow<'_, [u8]> = percent_decode_str(text).into();
    percent_encode(&bytes, ESCAPED).to_string()
}

/// Names of the headers a signature covers, sorted.
fn signed_headers(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| NOT_SIGNED.binary_search(name).is_err() && *name != AUTHORIZATION)
        .collect();
    names.sort_unstable();
    names
}

fn canonical_request(head: &Parts, signed: &[&str], hash: &str, scope: Scope<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(1024);
    let mut line = |parts: &[&[u8]]| {
        for part in parts {
            text.extend_from_slice(part);
        }
        text.push(b'\n');
    };
    line(&[head.method.as_str().as_bytes()]);
    let path = if scope.is_s3() {
        Cow::Borrowed(head.uri.path())
    } else {
        Cow::Owned(normal_path(head.uri.path()))
    };
    line(&[path.as_bytes()]);
    line(&[canonical_query(head.uri.query().unwrap_or_default()).as_bytes()]);
    for name in signed {
        let values = head.headers.get_all(*name).iter();
        let values: Vec<_> = values.map(|value| trimmed(value.as_bytes())).collect();
        line(&[name.as_bytes(), b":", &values.join(&b","[..])]);
    }
    line(&[]);
    line(&[signed.join(";").as_bytes()]);
    text.extend_from_slice(hash.as_bytes());
    text
}

/// The path of every service but S3: dot segments and empty ones resolved, then escaped once more.
fn normal_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    let normal = format!("/{}{end}", segments.join("/"));
    percent_encode(normal.as_bytes(), ESCAPED_IN_PATH).to_string()
}

/// The pairs of a rewritten query, sorted, each with its `=`.
fn canonical_query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(&str, &str)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

/// Without spaces around it, and with one instead of several inside.
fn trimmed(value: &[u8]) -> Vec<u8> {
    let words = value.split(|byte| matches!(byte, b' ' | b'\t'));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

fn signing_key(keys: &AwsKeys, day: &str, scope: Scope<'_>) -> hmac::Key {
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    let first = zeroize::Zeroizing::new(format!("AWS4{}", keys.secret_access_key.expose()));
    [day, scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(key(first.as_bytes()), |last, part| {
            key(hmac::sign(&last, part.as_bytes()).as_ref())
        })
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // writing to a String cannot fail
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
