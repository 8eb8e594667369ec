//! `[identity]`, and which headers a config may name for its own ends.

use http::HeaderName;

use super::super::error::KeyPath;
use super::super::raw;
use super::Resolver;
use crate::request::IdentityNames;

/// Headers to the upstream that say something else than who the principal is.
const OURS: [&str; 5] = [
    "forwarded",
    "x-auth-handle",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

impl Resolver<'_> {
    /// Two parts of a principal cannot share a header, and no identity header may be one that HTTP
    /// or the app needs for itself.
    pub(super) fn identity(&mut self, raw: &raw::Identity) {
        let path = KeyPath::of(&["identity"]);
        let mut taken: Vec<(String, &str)> = Vec::new();
        for (key, name) in raw.names() {
            let Some(name) = &name.0.0 else { continue };
            self.ordinary(name, &path.key(key));
            let folded = name.as_str().replace(['_', '.'], "-");
            if OURS.contains(&folded.as_str()) {
                self.mistakes.push(
                    &path.key(key),
                    format!("{name} is written by Gatepost with something else"),
                    "name another header",
                );
            }
            match taken.iter().find(|(known, _)| *known == folded) {
                Some((_, other)) => self.mistakes.push(
                    &path.key(key),
                    format!("{name} is the header of {other} already"),
                    "give each its own header, or \"\" to stop writing one",
                ),
                None => taken.push((folded, key)),
            }
        }
        for (index, name) in raw.strip.iter().enumerate() {
            self.framing(&name.0, &path.key("strip").index(index));
        }
    }

    /// A header that HTTP itself needs cannot be set or removed.
    pub(super) fn framing(&mut self, name: &HeaderName, path: &KeyPath) -> bool {
        let needed = [
            "host",
            "connection",
            "content-length",
            "transfer-encoding",
            "te",
            "trailer",
            "upgrade",
            "keep-alive",
        ];
        let is_framing = needed.contains(&name.as_str());
        if is_framing {
            self.mistakes
                .push(path, format!("{name} is HTTP's own"), "name another header");
        }
        is_framing
    }

    /// Nor may one that carries the client's credentials be overwritten with an identity.
    pub(super) fn ordinary(&mut self, name: &HeaderName, path: &KeyPath) {
        if !self.framing(name, path) && ["authorization", "cookie"].contains(&name.as_str()) {
            self.mistakes.push(
                path,
                format!("{name} carries the client's credentials"),
                "name another header",
            );
        }
    }
}

pub(super) fn names(raw: raw::Identity) -> IdentityNames {
    IdentityNames {
        user_id: raw.user_id.0.0,
        request_id: raw.request_id.0.0,
        tenant_id: raw.tenant_id.0.0,
        user_name: raw.user_name.0.0,
        user_email: raw.user_email.0.0,
        user_groups: raw.user_groups.0.0,
        user_roles: raw.user_roles.0.0,
        user_permissions: raw.user_permissions.0.0,
        issuer: raw.issuer.0.0,
        client_id: raw.client_id.0.0,
        principal_kind: raw.principal_kind.0.0,
    }
}
