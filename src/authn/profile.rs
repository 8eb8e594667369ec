//! What an issuer's userinfo endpoint says of a user (`OpenID` Connect Core 5.3.2): name and email, to show
//! and to pass on. No rule asks them.

use crate::authn::claims::{ClaimPath, Claims, Json};
use crate::authn::issuer::ClaimMap;
use crate::authn::principal::Principal;

/// Most bytes of a name or an email; a longer one is not taken.
pub const LONGEST_TEXT: usize = 1024;

/// Name and email of one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    name: Option<Text>,
    email: Option<Text>,
}

/// A text, and at which of its part's claims it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text {
    text: String,
    rank: usize,
}

/// The answer is not about the subject that was asked about (`OpenID` Connect Core 5.3.2: it must not be
/// used).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is about another subject")]
pub struct OtherSubject;

impl Profile {
    /// What an answer says of this subject, its claims where the issuer's map has them.
    pub fn read(answer: &Claims, sub: &str, map: &ClaimMap) -> Result<Self, OtherSubject> {
        if answer.find("sub").and_then(Json::as_str) != Some(sub) {
            return Err(OtherSubject);
        }
        Ok(Self {
            name: Text::find(answer, &map.name),
            email: Text::find(answer, &map.email),
        })
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { name, email } = self;
        name.is_none() && email.is_none()
    }

    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let texts = [&self.name, &self.email].into_iter().flatten();
        size_of::<Self>() + texts.map(|text| text.text.len()).sum::<usize>()
    }

    /// Adds to a principal what its credential does not carry: a part it has stays, unless it stood in for
    /// a claim that comes first (Cognito's `username` for `name`).
    pub fn complete(&self, principal: &mut Principal, map: &ClaimMap) {
        let Principal {
            name,
            email,
            claims,
            ..
        } = principal;
        for (told, stated, paths) in [
            (&self.name, name, &map.name),
            (&self.email, email, &map.email),
        ] {
            let Some(told) = told else { continue };
            let rank = paths.iter().position(|path| path.find(claims).is_some());
            if stated.is_none() || rank.is_some_and(|rank| told.rank < rank) {
                *stated = Some(told.text.clone());
            }
        }
    }
}

impl Text {
    fn find(answer: &Claims, paths: &[ClaimPath]) -> Option<Self> {
        let text = |path: &ClaimPath| {
            let text = path.find(answer)?.as_str()?;
            (!text.is_empty() && text.len() <= LONGEST_TEXT).then(|| text.to_owned())
        };
        let mut ranked = paths.iter().enumerate();
        ranked.find_map(|(rank, path)| text(path).map(|text| Self { text, rank }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::authn::principal::{Names, PrincipalKind};

    fn claims(json: &Value) -> Claims {
        Claims::parse(json.to_string()).unwrap()
    }

    fn read(answer: &Value, map: &ClaimMap) -> Result<Profile, OtherSubject> {
        Profile::read(&claims(answer), "ada", map)
    }

    fn user(token: &Value, map: &ClaimMap) -> Principal {
        let claims = claims(token);
        Principal {
            kind: PrincipalKind::User,
            issuer: Arc::from("users"),
            user_id: "ada".to_owned(),
            tenant_id: None,
            client_id: None,
            name: claims.text(&map.name).map(str::to_owned),
            email: claims.text(&map.email).map(str::to_owned),
            groups: Names::Unresolved,
            roles: Names::Unresolved,
            permissions: Names::Unresolved,
            wildcards: vec![],
            scopes: vec![],
            claims,
        }
    }

    #[test]
    fn an_answer_about_another_subject_is_not_taken() {
        let map = ClaimMap::generic();
        for answer in [
            json!({ "sub": "bob", "name": "Bob" }),
            json!({ "sub": "Ada", "name": "Ada" }),
            json!({ "sub": ["ada"], "name": "Ada" }),
            json!({ "sub": null, "name": "Ada" }),
            json!({ "name": "Ada" }),
        ] {
            assert_eq!(read(&answer, &map), Err(OtherSubject), "{answer}");
        }
        assert!(read(&json!({ "sub": "ada" }), &map).unwrap().is_empty());
    }

    #[test]
    fn a_part_that_the_token_carries_stays_and_a_stand_in_gives_way() {
        let (generic, cognito) = (ClaimMap::generic(), ClaimMap::cognito());
        let long = "a".repeat(LONGEST_TEXT + 1);
        let ada = || json!({ "name": "Ada L.", "email": "ada@example.com" });
        for (map, token, answer, name, email) in [
            (
                &generic,
                json!({}),
                ada(),
                Some("Ada L."),
                Some("ada@example.com"),
            ),
            (
                &generic,
                json!({ "name": "A" }),
                ada(),
                Some("A"),
                Some("ada@example.com"),
            ),
            (
                &generic,
                json!({ "email": "a@x" }),
                ada(),
                Some("Ada L."),
                Some("a@x"),
            ),
            (
                &cognito,
                json!({ "username": "0a1b" }),
                ada(),
                Some("Ada L."),
                Some("ada@example.com"),
            ),
            (
                &cognito,
                json!({ "username": "0a1b" }),
                json!({ "username": "0a1b" }),
                Some("0a1b"),
                None,
            ),
            (
                &cognito,
                json!({ "name": "A", "username": "0a1b" }),
                ada(),
                Some("A"),
                Some("ada@example.com"),
            ),
            // text only, and no endless one
            (
                &generic,
                json!({}),
                json!({ "name": 1, "email": ["ada@example.com"] }),
                None,
                None,
            ),
            (
                &generic,
                json!({}),
                json!({ "name": "", "email": long }),
                None,
                None,
            ),
        ] {
            let mut answer = answer;
            answer["sub"] = json!("ada");
            let mut principal = user(&token, map);
            let stated = principal.clone();
            read(&answer, map).unwrap().complete(&mut principal, map);
            assert_eq!(principal.name.as_deref(), name, "{token} {answer}");
            assert_eq!(principal.email.as_deref(), email, "{token} {answer}");
            // and it is nobody else
            let Principal { name, email, .. } = stated.clone();
            assert_eq!(
                Principal {
                    name,
                    email,
                    ..principal
                },
                stated
            );
        }
    }
}
