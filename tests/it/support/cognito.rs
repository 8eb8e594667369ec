//! A Cognito user pool and its users, as moto keeps them.

use serde_json::{Value, json};

use super::counterparts::Counterpart;
use super::http::Call;

/// A user pool with one app client.
pub(crate) struct Pool<'c> {
    cognito: &'c Counterpart,
    pub(crate) id: String,
    pub(crate) client_id: String,
}

/// The tokens of one sign-in.
pub(crate) struct SignedIn {
    pub(crate) access: String,
    pub(crate) id: String,
    pub(crate) sub: String,
}

const PASSWORD: &str = "Correct-horse-1";

impl<'c> Pool<'c> {
    /// A pool with these groups.
    pub(crate) async fn create(cognito: &'c Counterpart, groups: &[&str]) -> Self {
        let pool = cognito
            .aws("CreateUserPool", &json!({"PoolName": "users"}))
            .await;
        let id = text(&pool["UserPool"]["Id"]);
        let client = json!({
            "UserPoolId": id, "ClientName": "app",
            "ExplicitAuthFlows": ["ALLOW_ADMIN_USER_PASSWORD_AUTH"],
        });
        let client = cognito.aws("CreateUserPoolClient", &client).await;
        for name in groups {
            let group = json!({"UserPoolId": id, "GroupName": name});
            cognito.aws("CreateGroup", &group).await;
        }
        Self {
            cognito,
            client_id: text(&client["UserPoolClient"]["ClientId"]),
            id,
        }
    }

    /// Signs in a new user, a member of these groups.
    pub(crate) async fn sign_in(&self, name: &str, groups: &[&str]) -> SignedIn {
        let user = json!({"UserPoolId": self.id, "Username": name});
        let created = self.cognito.aws("AdminCreateUser", &user).await;
        let sub = created["User"]["Attributes"]
            .as_array()
            .and_then(|attributes| attributes.iter().find(|a| a["Name"] == "sub"))
            .map(|sub| text(&sub["Value"]))
            .expect("a sub");
        let password = json!({
            "UserPoolId": self.id, "Username": name, "Password": PASSWORD, "Permanent": true,
        });
        self.cognito.aws("AdminSetUserPassword", &password).await;
        for group in groups {
            let member = json!({"UserPoolId": self.id, "Username": name, "GroupName": group});
            self.cognito.aws("AdminAddUserToGroup", &member).await;
        }
        let sign_in = json!({
            "UserPoolId": self.id, "ClientId": self.client_id,
            "AuthFlow": "ADMIN_USER_PASSWORD_AUTH",
            "AuthParameters": {"USERNAME": name, "PASSWORD": PASSWORD},
        });
        let tokens = self.cognito.aws("AdminInitiateAuth", &sign_in).await;
        let tokens = &tokens["AuthenticationResult"];
        SignedIn {
            access: text(&tokens["AccessToken"]),
            id: text(&tokens["IdToken"]),
            sub,
        }
    }

    /// `iss` of its tokens.
    pub(crate) fn iss(&self) -> String {
        format!("https://cognito-idp.eu-west-1.amazonaws.com/{}", self.id)
    }

    /// Where its keys are.
    pub(crate) fn jwks_url(&self) -> String {
        format!("{}/{}/.well-known/jwks.json", self.cognito.url, self.id)
    }

    /// The table `[issuers.users]` of this pool.
    pub(crate) fn issuer(&self) -> String {
        self.issuer_at(&self.cognito.url)
    }

    /// The same, with the keys at another server.
    pub(crate) fn issuer_at(&self, url: &str) -> String {
        let Self { id, client_id, .. } = self;
        format!(
            r#"
            [issuers.users]
            kind = "cognito"
            user_pool_id = "{id}"
            client_ids = ["{client_id}"]
            jwks_url = "{url}/{id}/.well-known/jwks.json"
            "#
        )
    }

    /// Its key set.
    pub(crate) async fn keys(&self) -> Value {
        let address = self.cognito.url.trim_start_matches("http://");
        let path = format!("/{}/.well-known/jwks.json", self.id);
        Call::get(address.parse().expect("an address"), &path)
            .send()
            .await
            .json()
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not text: {value}"))
        .to_owned()
}
