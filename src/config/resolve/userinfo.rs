//! `profile = "userinfo"`: where an issuer's userinfo endpoint is.

use url::Url;

use super::super::error::KeyPath;
use super::super::forms::Form as _;
use super::super::raw::{self, IssuerCommon};
use super::super::{KeyLocation, Userinfo, is_guarded};
use super::Resolver;
use super::kinds::Kind;

impl Resolver<'_> {
    /// The endpoint that is stated, else the one that the discovery document will tell.
    pub(super) fn userinfo(
        &mut self,
        raw: &raw::Userinfo,
        kind: &Kind,
        common: &IssuerCommon,
        path: &KeyPath,
    ) -> Option<Userinfo> {
        let at = path.key("userinfo_url");
        match (raw.profile, &raw.userinfo_url) {
            (None, None) => None,
            (None, Some(_)) => {
                self.mistakes.push(
                    &at,
                    "nothing is asked there",
                    "add profile = \"userinfo\", or remove it",
                );
                None
            }
            (Some(raw::Profile::Userinfo), Some(url)) => {
                self.guarded(is_guarded(&url.0), common.insecure_http, &at);
                Some(Userinfo::Url(url.0.clone()))
            }
            (Some(raw::Profile::Userinfo), None) => {
                if let KeyLocation::Discovery { issuer, url } = &kind.keys {
                    let (issuer, url) = (issuer.clone(), url.clone());
                    return Some(Userinfo::Discovery { issuer, url });
                }
                let issuer = kind.accepted_iss.first()?;
                let document = format!(
                    "{}/.well-known/openid-configuration",
                    issuer.trim_end_matches('/')
                );
                let Ok(url) = Url::read(&document) else {
                    self.mistakes.push(
                        &path.key("profile"),
                        "the issuer is no URL, so nothing tells its userinfo endpoint",
                        "add userinfo_url",
                    );
                    return None;
                };
                let at = path.key("profile");
                self.guarded(is_guarded(&url), common.insecure_http, &at);
                let issuer = issuer.clone();
                Some(Userinfo::Discovery { issuer, url })
            }
        }
    }
}
