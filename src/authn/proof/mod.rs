//! Tokens that are bound to whoever holds a key: what binds them (`cnf`, RFC 7800), and what proves the
//! key: a client certificate (RFC 8705) or a [`dpop`] proof (RFC 9449).

pub mod dpop;
mod replays;

use crate::authn::claims::{Claims, Json, Kind};
use crate::authn::issuer::Issuer;
use crate::certificate::Certificate;
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::request::{Host, Path};
use crate::steps::Steps;

pub use self::replays::Replays;

/// What becomes of tokens that are bound to a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound {
    /// Refused: whoever stole one could show it as a plain bearer token.
    #[default]
    Refused,
    /// Good with their proof; tokens that are bound to nothing are good too.
    Accepted,
    /// Only these are good.
    Required,
}

/// What a token is bound to (`cnf`): SHA-256 each. Nothing for most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt`: thumbprint of the key of a `DPoP` proof (RFC 9449 6.1).
    pub key: Option<[u8; 32]>,
    /// `x5t#S256`: the client certificate (RFC 8705 3.1).
    pub certificate: Option<[u8; 32]>,
}

impl Confirmation {
    /// What `cnf` says, if the issuer's table takes such tokens. Anything we could not have proven:
    /// [`Denial::TokenTypeRefused`].
    pub(super) fn read(
        claims: &Claims,
        issuer: &Issuer,
        steps: &mut impl Steps,
    ) -> Result<Self, Denial> {
        let mut confirmation = Self::default();
        let mut understood = true;
        match claims.find("cnf").map(Json::kind) {
            None => {}
            Some(Kind::Object(members)) if !members.is_empty() => {
                for (name, value) in members {
                    let (place, bound) = match name {
                        "jkt" => (&mut confirmation.key, issuer.dpop),
                        "x5t#S256" => (&mut confirmation.certificate, issuer.certificate_bound),
                        _another => {
                            understood = false;
                            continue;
                        }
                    };
                    *place = value.as_str().and_then(dpop::digest);
                    understood &= place.is_some() && bound != Bound::Refused;
                }
            }
            Some(_no_object) => understood = false,
        }
        let lacks = |bound: Bound, of: Option<[u8; 32]>| bound == Bound::Required && of.is_none();
        let bound_enough = !lacks(issuer.dpop, confirmation.key)
            && !lacks(issuer.certificate_bound, confirmation.certificate);
        if understood && bound_enough {
            return Ok(confirmation);
        }
        steps.step("cnf", || {
            let why = if understood {
                "not bound to a key, as the issuer's table wants it"
            } else {
                "bound to a proof that this issuer's table does not take"
            };
            why.to_owned()
        });
        Err(Denial::TokenTypeRefused)
    }
}

/// The request that a proof must be about.
#[derive(Clone, Copy, Debug)]
pub struct About<'r> {
    /// Its method.
    pub method: &'r str,
    /// Its host.
    pub host: &'r Host<'r>,
    /// Its path.
    pub path: &'r Path<'r>,
}

/// What came with a token.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'r> {
    /// The proof, if the token came by the scheme `DPoP`.
    pub proof: Option<&'r str>,
    /// The client certificate, verified by the handshake.
    pub certificate: Option<&'r Certificate>,
    /// The request; `None` where nobody knows it.
    pub about: Option<About<'r>>,
    /// The token.
    pub token: &'r [u8],
}

/// Whether whoever presents a token holds what it is bound to. Judged on every request. A bound token
/// that came as a plain bearer token is [`Denial::TokenTypeRefused`]; a proof that does not hold, or is
/// for a token bound to nothing, [`Denial::ProofInvalid`].
pub fn judge(
    confirmation: Confirmation,
    shown: Shown<'_>,
    replays: &Replays,
    now: UnixTime,
    steps: &mut impl Steps,
) -> Result<(), Denial> {
    if let Some(bound_to) = confirmation.certificate {
        let holds = shown
            .certificate
            .is_some_and(|certificate| certificate.fingerprint.0 == bound_to);
        steps.step("cnf x5t#S256", || match (holds, shown.certificate) {
            (true, _) => "is the client certificate's".to_owned(),
            (false, Some(_)) => "is another certificate's".to_owned(),
            (false, None) => "and there is no client certificate".to_owned(),
        });
        if !holds {
            return Err(Denial::TokenTypeRefused);
        }
    }
    match (confirmation.key, shown.proof) {
        (None, None) => Ok(()),
        (Some(_), None) => {
            steps.step("cnf jkt", || {
                "and the token came without a DPoP proof".to_owned()
            });
            Err(Denial::TokenTypeRefused)
        }
        (None, Some(_)) => {
            steps.step("dpop", || {
                "a proof, and the token is bound to no key".to_owned()
            });
            Err(Denial::ProofInvalid)
        }
        (Some(key), Some(proof)) => {
            let judged = dpop::judge(proof, key, shown, replays, now);
            steps.step("dpop", || match judged {
                Ok(()) => "the proof is of the token's key, for this request".to_owned(),
                Err(why) => why.to_owned(),
            });
            judged.map_err(|_why| Denial::ProofInvalid)
        }
    }
}
