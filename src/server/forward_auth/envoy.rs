//! Envoy `ext_authz` over HTTP: the original method, `Host`, and path after `path_prefix`.

use http::request::Parts;

use super::Asked;
use crate::reason::Denial;
use crate::request::Host;

/// The original request, whose path stands after the prefix.
pub(super) fn asked<'r>(head: &'r Parts, path: &'r str) -> Result<Asked<'r>, Denial> {
    Ok(Asked {
        method: head.method.clone(),
        host: Host::of(&head.uri, &head.headers)?,
        path,
    })
}
