//! `X-Auth-Handle`: how an egress call names the user behind it (DESIGN §6).

/// Live handles. Bounded; each valid for its request and 60 s after.
#[derive(Debug, Default)]
pub struct Handles {}
