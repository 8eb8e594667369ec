//! The one outgoing HTTP client, for key sets and token endpoints: no redirects, a total deadline,
//! a bounded body, no proxy but the configured one.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;

use crate::client::names::NotLinkLocal;
use crate::client::tls::Trust;
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::config;
use crate::request::headers::listed;

/// Part of every deadline: a peer that does not even accept is given up earlier.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Fetches are minutes apart; a connection idle for longer is more likely dead than useful.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Hosts no proxy is ever asked for: this machine, and where a container's AWS keys come from.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.170.2,169.254.170.23,fd00:ec2::23";

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outgoing {
    client: reqwest::Client,
}

/// A response, read to its end. `Debug` shows the body's length only: it may hold a token.
#[derive(Clone)]
pub struct Fetched {
    /// Any status but a redirect.
    pub status: StatusCode,
    /// The whole body, at most the `max_bytes` asked for.
    pub body: Bytes,
    /// How long it may be reused: `Cache-Control: max-age` less `Age` (RFC 9111).
    pub max_age: Option<Duration>,
    /// `Retry-After`, from now.
    pub retry_after: Option<Duration>,
}

impl Fetched {
    /// This response if its status is 200, else [`FetchError::Status`].
    pub fn ok(self) -> Result<Self, FetchError> {
        if self.status == StatusCode::OK {
            Ok(self)
        } else {
            Err(FetchError::Status {
                status: self.status,
                retry_after: self.retry_after,
            })
        }
    }
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("max_age", &self.max_age)
            .field("retry_after", &self.retry_after)
            .finish()
    }
}

/// Why there is no response to use. Short; names no URL, no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not done within the deadline.
    #[error("timeout")]
    Timeout,
    /// No connection: refused, no route, no such name.
    #[error("connect: {0}")]
    Connect(String),
    /// The TLS handshake failed, mostly a certificate.
    #[error("tls: {0}")]
    Tls(String),
    /// The peer broke off or did not speak HTTP.
    #[error("protocol: {0}")]
    Protocol(String),
    /// 3xx: redirects are never followed.
    #[error("redirect refused (status {})", .0.as_u16())]
    Redirect(StatusCode),
    /// A status other than 200, from [`Fetched::ok`].
    #[error("status {}", status.as_u16())]
    Status {
        /// The status.
        status: StatusCode,
        /// `Retry-After`, if stated.
        retry_after: Option<Duration>,
    },
    /// More bytes than asked for.
    #[error("more than {0} bytes")]
    TooLarge(usize),
}

impl Outgoing {
    /// Builds it: TLS roots, proxy. Reads the disk: call it at start and on reload only.
    pub fn new(client: &config::Client) -> io::Result<Self> {
        Self::with_trust(client, &Trust::new(client)?)
    }

    /// [`Self::new`] with roots that were read before.
    pub fn with_trust(client: &config::Client, trust: &Trust) -> io::Result<Self> {
        Self::build(Self::builder(client, trust)?)
    }

    /// The same for what is sent secrets: no name leads it to a link-local address.
    pub fn for_credentials(client: &config::Client, trust: &Trust) -> io::Result<Self> {
        Self::build(Self::builder(client, trust)?.dns_resolver(NotLinkLocal))
    }

    fn build(builder: reqwest::ClientBuilder) -> io::Result<Self> {
        let client = builder
            .build()
            .map_err(|error| io::Error::other(error.without_url()))?;
        Ok(Self { client })
    }

    fn builder(client: &config::Client, trust: &Trust) -> io::Result<reqwest::ClientBuilder> {
        let mut tls = trust.client_config(&config::ServerTls::default())?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            // also ends reqwest's reading of HTTP_PROXY and its kin
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")));
        if let Some(url) = &client.proxy {
            let mut bypass = NEVER_PROXIED.to_owned();
            for host in &client.no_proxy {
                bypass.push(',');
                bypass.push_str(host);
            }
            let proxy = reqwest::Proxy::all(url.clone())
                .map_err(|error| io::Error::other(error.without_url()))?
                .no_proxy(reqwest::NoProxy::from_string(&bypass));
            builder = builder.proxy(proxy);
        }
        Ok(builder)
    }

    /// `GET`, at most `deadline` from now to the body's last byte, at most `max_bytes` of body.
    pub async fn get(
        &self,
        url: &Url,
        deadline: Duration,
        max_bytes: usize,
    ) -> Result<Fetched, FetchError> {
        let request = self
            .client
            .get(url.clone())
            .header(header::ACCEPT, "application/json");
        sent(request, deadline, max_bytes).await
    }

    /// `POST` of an `application/x-www-form-urlencoded` body, with `Authorization` if given (mark
    /// it sensitive). Sent once: nothing is repeated but what no peer has seen.
    pub async fn post_form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        authorization: Option<HeaderValue>,
        deadline: Duration,
        max_bytes: usize,
    ) -> Result<Fetched, FetchError> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = self
            .client
            .post(url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        sent(request, deadline, max_bytes).await
    }

    /// A whole request as it is, its target in absolute form. Sent once, as above.
    pub async fn send(
        &self,
        request: http::Request<Bytes>,
        deadline: Duration,
        max_bytes: usize,
    ) -> Result<Fetched, FetchError> {
        let request = reqwest::Request::try_from(request).map_err(explain)?;
        let request = reqwest::RequestBuilder::from_parts(self.client.clone(), request);
        sent(request, deadline, max_bytes).await
    }
}

async fn sent(
    request: reqwest::RequestBuilder,
    deadline: Duration,
    max_bytes: usize,
) -> Result<Fetched, FetchError> {
    // boxed: reqwest's future is large, and this is no hot path
    tokio::time::timeout(deadline, Box::pin(send_and_read(request, max_bytes)))
        .await
        .unwrap_or(Err(FetchError::Timeout))
}

async fn send_and_read(
    request: reqwest::RequestBuilder,
    max_bytes: usize,
) -> Result<Fetched, FetchError> {
    let mut response = request.send().await.map_err(explain)?;
    let status = response.status();
    if status.is_redirection() {
        return Err(FetchError::Redirect(status));
    }
    let too_large = |length: u64| usize::try_from(length).is_ok_and(|length| length > max_bytes);
    if response.content_length().is_some_and(too_large) {
        return Err(FetchError::TooLarge(max_bytes));
    }
    let max_age = max_age(response.headers());
    let retry_after = retry_after(response.headers(), SystemClock.now());
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(explain)? {
        if body.len().saturating_add(chunk.len()) > max_bytes {
            return Err(FetchError::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched {
        status,
        body: body.freeze(),
        max_age,
        retry_after,
    })
}

/// `max-age` of RFC 9111 5.2.2.1, less the `Age` a cache on the way states.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let stated = listed(headers, &header::CACHE_CONTROL)
        .filter_map(|directive| directive.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .filter_map(|(_, value)| value.trim().trim_matches('"').parse().ok())
        .map(Duration::from_secs)
        .min()?;
    let age = seconds(headers, &header::AGE).unwrap_or_default();
    Some(stated.saturating_sub(age))
}

/// `Retry-After` of RFC 9110 10.2.3: seconds, or a date, which is compared with the sender's clock
/// if it states it.
fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    if let Some(seconds) = seconds(headers, &header::RETRY_AFTER) {
        return Some(seconds);
    }
    let at = date(headers, &header::RETRY_AFTER)?;
    let now = date(headers, &header::DATE).unwrap_or(now);
    Some(Duration::from_secs(at.since(now)))
}

/// A header that is a date (RFC 9110 5.6.7).
fn date(headers: &HeaderMap, name: &header::HeaderName) -> Option<UnixTime> {
    let value = headers.get_all(name).iter().next()?.to_str().ok()?;
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    Some(UnixTime(since.as_secs()))
}

/// A header that counts seconds.
fn seconds(headers: &HeaderMap, name: &header::HeaderName) -> Option<Duration> {
    let value = headers.get_all(name).iter().next()?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// reqwest's error names the URL, query and all; what is kept is the innermost cause.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape map_err wants; the error ends here"
)]
fn explain(error: reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Timeout;
    }
    let mut innermost = None;
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(tls) = tls_error(cause) {
            return FetchError::Tls(tls.to_string());
        }
        innermost = Some(cause);
        // an io::Error hides the error it carries from `source`
        let carried = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        source = match carried {
            Some(carried) => Some(carried),
            None => cause.source(),
        };
    }
    let why = innermost.map_or_else(|| "no cause given".to_owned(), ToString::to_string);
    if error.is_connect() {
        FetchError::Connect(why)
    } else {
        FetchError::Protocol(why)
    }
}

fn tls_error<'e>(cause: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    cause.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 1994-11-06T08:49:37Z
        let now = UnixTime(784_111_777);
        for (stated, sent_at, expected) in [
            (None, None, None),
            (Some("120"), None, Some(120)),
            (Some("0"), None, Some(0)),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), None, Some(60)),
            (Some("Sunday, 06-Nov-94 08:50:37 GMT"), None, Some(60)),
            (Some("Sun, 06 Nov 1994 08:00:00 GMT"), None, Some(0)),
            (
                Some("Sun, 06 Nov 1994 08:50:37 GMT"),
                Some("Sun, 06 Nov 1994 08:50:27 GMT"),
                Some(10),
            ),
            (Some("soon"), None, None),
            (Some("-1"), None, None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::RETRY_AFTER, stated), (header::DATE, sent_at)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            let expected = expected.map(Duration::from_secs);
            assert_eq!(
                retry_after(&headers, now),
                expected,
                "{stated:?} {sent_at:?}"
            );
        }
    }

    #[test]
    fn max_age_is_read_from_any_spelling_and_lessened_by_age() {
        let cases: [(&[&str], Option<&str>, Option<u64>); 8] = [
            (&[], None, None),
            (&["no-cache"], None, None),
            (&["max-age=300"], None, Some(300)),
            (&["public, MAX-AGE=300, must-revalidate"], None, Some(300)),
            (&["private", "max-age=\"60\""], None, Some(60)),
            (&["max-age=300, max-age=30"], None, Some(30)),
            (&["max-age=300"], Some("120"), Some(180)),
            (&["max-age=x, s-maxage=5"], None, None),
        ];
        for (cache_control, age, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in cache_control {
                headers.append(header::CACHE_CONTROL, HeaderValue::from_str(value).unwrap());
            }
            if let Some(age) = age {
                headers.insert(header::AGE, HeaderValue::from_str(age).unwrap());
            }
            let expected = expected.map(Duration::from_secs);
            assert_eq!(max_age(&headers), expected, "{cache_control:?} {age:?}");
        }
    }

    #[test]
    fn a_fetched_body_is_not_shown() {
        let fetched = Fetched {
            status: StatusCode::OK,
            body: Bytes::from_static(b"{\"access_token\":\"hunter2\"}"),
            max_age: None,
            retry_after: None,
        };
        assert!(!format!("{fetched:?}").contains("hunter2"));
    }
}
