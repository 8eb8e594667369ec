//! What was asked. Pure: no socket, no clock, no environment.

pub mod forwarded;
pub mod headers;
pub mod host;
pub mod id;
pub mod path;
pub mod preflight;
pub mod trailers;
pub mod upgrade;

use std::net::IpAddr;

use http::{HeaderMap, Method};

use crate::certificate::Certificate;

pub use self::headers::{IdentityNames, OwnedHeaders};
pub use self::host::Host;
pub use self::path::Path;
pub use self::preflight::Preflight;
pub use self::trailers::RequestTrailers;
pub use self::upgrade::Offer;

/// Everything a decision may look at. Each front end builds it in its own way (the request line
/// on ingress, the dialect's headers on forward auth); the decision is the same.
#[derive(Debug)]
pub struct RequestFacts<'r> {
    /// The original method, as sent.
    pub method: &'r Method,
    /// The original host: lower case, no port.
    pub host: Host<'r>,
    /// The original path, normalised. Rules and upstream see these bytes.
    pub path: Path<'r>,
    /// Every header of the request; credentials are read from here.
    pub headers: &'r HeaderMap,
    /// The client's address, as the proxies before us that are believed state it; `None` where nobody
    /// sends the request (`explain`, `test`).
    pub client: Option<IpAddr>,
    /// The certificate the client itself showed, verified by the handshake; `None` wherever somebody
    /// else states the request (forward auth: that would be the proxy's).
    pub certificate: Option<&'r Certificate>,
}
