//! The start without a file (DESIGN §5.4): well-known environment names become the table a file
//! would have. With a file none of them is read.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::error::{KeyPath, Mistakes, Step};
use super::settings::Warning;
use crate::authn::cognito::PoolId;

/// What the well-known names say, and which of them said it.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) tree: Value,
    pub(super) variables: BTreeMap<KeyPath, String>,
    pub(super) warnings: Vec<Warning>,
}

/// Reads the well-known names.
pub(super) fn read(environment: &BTreeMap<String, String>, mistakes: &mut Mistakes) -> Known {
    let mut reader = Reader {
        environment,
        mistakes,
        known: Known {
            tree: json!({}),
            ..Known::default()
        },
    };
    reader.disabled();
    let cognito = reader.cognito();
    let entra = reader.entra();
    reader.upstream(cognito, entra);
    reader.egress();
    reader.intervals();
    reader.log_level();
    reader.known
}

struct Reader<'r> {
    environment: &'r BTreeMap<String, String>,
    mistakes: &'r mut Mistakes,
    known: Known,
}

impl<'r> Reader<'r> {
    /// The first of these variables that is set to something, with its name.
    fn variable(&self, names: &[&'static str]) -> Option<(&'static str, &'r str)> {
        names.iter().find_map(|&name| {
            let value = self.environment.get(name)?.trim();
            (!value.is_empty()).then_some((name, value))
        })
    }

    /// Writes a value, and remembers the variable that said it.
    fn put(&mut self, keys: &[&str], variable: &str, value: Value) {
        let path = KeyPath::of(keys);
        self.known
            .variables
            .insert(path.clone(), variable.to_owned());
        insert(&mut self.known.tree, &path.0, value);
    }

    /// Notes a mistake once and for all: nothing further is said about this key.
    fn wrong(&mut self, keys: &[&str], variable: &str, message: &str, fix: &str) {
        let path = KeyPath::of(keys);
        self.known
            .variables
            .insert(path.clone(), variable.to_owned());
        self.mistakes.push(&path, message, fix);
        self.mistakes.settled.push(path);
    }

    fn disabled(&mut self) {
        const NAME: &str = "AUTH_MIDDLEWARE_DISABLED";
        let says_off = |text: &str| matches!(text, "false" | "0" | "no" | "off");
        if let Some((_, value)) = self.variable(&[NAME])
            && !says_off(&value.to_ascii_lowercase())
        {
            self.wrong(
                &[NAME],
                NAME,
                "authentication cannot be switched off",
                "remove it; to try things out use `gatepost dev`, to refuse nobody yet write a file whose route has mode = \"shadow\"",
            );
        }
    }

    fn cognito(&mut self) -> bool {
        let pool_names = ["COGNITO_USER_POOL_ID", "USER_POOL_ID"];
        let Some((pool_name, pool)) = self.variable(&pool_names) else {
            return false;
        };
        self.put(&["issuers", "cognito", "kind"], pool_name, json!("cognito"));
        self.put(
            &["issuers", "cognito", "user_pool_id"],
            pool_name,
            json!(pool),
        );
        self.agree(&pool_names, &["issuers", "cognito", "user_pool_id"]);
        let region_names = ["COGNITO_REGION", "USER_POOL_REGION"];
        if let Some((name, region)) = self.variable(&region_names) {
            self.put(&["issuers", "cognito", "region"], name, json!(region));
        }
        self.agree(&region_names, &["issuers", "cognito", "region"]);
        let client_ids = ["issuers", "cognito", "client_ids"];
        match self.variable(&["COGNITO_CLIENT_ID"]) {
            Some((name, clients)) => self.put(&client_ids, name, list(clients)),
            None => self.wrong(
                &client_ids,
                "COGNITO_CLIENT_ID",
                "missing beside the user pool: a pool's tokens are for its clients, not for everyone",
                "set COGNITO_CLIENT_ID to the accepted app client, or several with commas",
            ),
        }
        true
    }

    fn entra(&mut self) -> bool {
        const TENANT: &str = "AUTH_PROVIDER_AZURE_ENTRA_ID_TENANT_ID";
        const AUDIENCE: &str = "AUTH_PROVIDER_AZURE_ENTRA_ID_AUDIENCE_ID";
        let Some((_, tenant)) = self.variable(&[TENANT]) else {
            return false;
        };
        self.put(&["issuers", "entra", "kind"], TENANT, json!("entra"));
        self.put(&["issuers", "entra", "tenant_id"], TENANT, json!(tenant));
        let audiences = ["issuers", "entra", "audiences"];
        match self.variable(&[AUDIENCE]) {
            Some((name, audience)) => self.put(&audiences, name, list(audience)),
            None => self.wrong(
                &audiences,
                AUDIENCE,
                "missing beside the tenant: its tokens are for many applications",
                "set AUTH_PROVIDER_AZURE_ENTRA_ID_AUDIENCE_ID to this API's audience",
            ),
        }
        true
    }

    fn upstream(&mut self, cognito: bool, entra: bool) {
        const NAME: &str = "UPSTREAM_SERVICE";
        let Some((_, url)) = self.variable(&[NAME]) else {
            return;
        };
        self.put(&["upstreams", "app", "url"], NAME, json!(url));
        let issuers: Vec<&str> = [("cognito", cognito), ("entra", entra)]
            .into_iter()
            .filter_map(|(name, given)| given.then_some(name))
            .collect();
        let mut route = json!({ "path": "/**", "upstream": "app" });
        if issuers.is_empty() {
            let path = KeyPath::of(&["routes"]).index(0).key("issuers");
            self.mistakes.push(
                &path,
                "UPSTREAM_SERVICE is protected, and no issuer is configured",
                "set COGNITO_USER_POOL_ID and COGNITO_CLIENT_ID, or AUTH_PROVIDER_AZURE_ENTRA_ID_TENANT_ID and …_AUDIENCE_ID, or write gatepost.toml",
            );
            self.mistakes.settled.push(path);
        } else if let Some(route) = route.as_object_mut() {
            route.insert("issuers".to_owned(), json!(issuers));
        }
        self.put(&["routes"], NAME, json!([route]));
    }

    fn egress(&mut self) {
        const NAME: &str = "EGRESS_TARGETS";
        let Some((_, text)) = self.variable(&[NAME]) else {
            return;
        };
        let credentials = self.credentials();
        if credentials.is_empty() {
            self.wrong(
                &["credentials"],
                NAME,
                "there is no credential for the egress targets",
                "set COGNITO_CLIENT_ID, COGNITO_CLIENT_SECRET and COGNITO_DOMAIN, or SERVICE_AUTH_TOKEN",
            );
        }
        let mut targets = Vec::new();
        for pair in text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            match pair.split_once('=') {
                Some((name, url)) => targets.push(json!({
                    "name": name.trim(),
                    "url": url.trim(),
                    "credential": credentials,
                })),
                None => self.wrong(
                    &["egress_targets"],
                    NAME,
                    "not a list of targets",
                    "write EGRESS_TARGETS=name=https://host.example,other=https://…",
                ),
            }
        }
        self.put(&["egress"], NAME, json!({}));
        // without a credential a target's own mistake would only repeat the one above
        if !credentials.is_empty() {
            self.put(&["egress_targets"], NAME, Value::Array(targets));
        }
    }

    /// The credential sources for egress, in the order they are tried.
    fn credentials(&mut self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let secret = self.variable(&["COGNITO_CLIENT_SECRET"]);
        let domain = self.variable(&["COGNITO_DOMAIN"]);
        if let (Some((secret, _)), Some((domain_name, domain))) = (secret, domain) {
            let at = |key| ["credentials", "cognito", key];
            let domain = domain.strip_prefix("https://").unwrap_or(domain);
            let domain = domain.trim_end_matches('/');
            self.put(&at("kind"), domain_name, json!("client_credentials"));
            self.put(&at("domain"), domain_name, json!(domain));
            self.put(&at("client_secret"), secret, json!({ "env": secret }));
            if !domain.contains('.') {
                let pool = self.variable(&["COGNITO_USER_POOL_ID", "USER_POOL_ID"]);
                let of_pool = pool.and_then(|(name, id)| Some((name, PoolId::parse(id)?)));
                let region = of_pool.map_or_else(
                    || {
                        self.variable(&["COGNITO_REGION", "USER_POOL_REGION"])
                            .map(|(name, region)| (name, region.to_owned()))
                    },
                    |(name, pool)| Some((name, pool.region().to_owned())),
                );
                match region {
                    Some((name, region)) => self.put(&at("region"), name, json!(region)),
                    None => self.wrong(
                        &at("region"),
                        "COGNITO_REGION",
                        "missing: a Cognito domain prefix needs its region",
                        "set COGNITO_REGION, or the whole host as COGNITO_DOMAIN",
                    ),
                }
            }
            match self.variable(&["COGNITO_CLIENT_ID"]) {
                Some((name, client)) => self.put(&at("client_id"), name, json!(client)),
                None => self.wrong(
                    &at("client_id"),
                    "COGNITO_CLIENT_ID",
                    "missing beside COGNITO_CLIENT_SECRET",
                    "set COGNITO_CLIENT_ID to the client whose secret this is",
                ),
            }
            for (variable, key) in [
                ("TOKEN_CACHE_TTL", "max_reuse"),
                ("TOKEN_REFRESH_THRESHOLD", "refresh_before"),
            ] {
                if let Some(seconds) = self.seconds(variable, 1, &at(key)) {
                    self.put(&at(key), variable, json!(format!("{seconds}s")));
                }
            }
            names.push("cognito");
        }
        if let Some((name, _)) = self.variable(&["SERVICE_AUTH_TOKEN"]) {
            let at = |key| ["credentials", "service", key];
            self.put(&at("kind"), name, json!("static_token"));
            self.put(&at("token"), name, json!({ "env": name }));
            names.push("service");
        }
        names
    }

    fn intervals(&mut self) {
        let key = ["jwks", "refresh_interval"];
        let interval = self
            .seconds("JWK_REFRESH_INTERVAL", 1, &key)
            .map(|seconds| ("JWK_REFRESH_INTERVAL", seconds))
            .or_else(|| {
                self.seconds("JWKS_CACHE_INTERVAL", 60, &key)
                    .map(|seconds| ("JWKS_CACHE_INTERVAL", seconds))
            });
        let ceiling = self
            .seconds("JWK_CACHE_TTL", 1, &key)
            .map(|seconds| ("JWK_CACHE_TTL", seconds));
        // 30 min is the default that a ceiling alone may lower
        let shorter = match (interval, ceiling) {
            (None, Some((name, ceiling))) => (ceiling < 1800).then_some((name, ceiling)),
            (Some(interval), Some(ceiling)) => Some(if ceiling.1 < interval.1 {
                ceiling
            } else {
                interval
            }),
            (interval, None) => interval,
        };
        if let Some((name, seconds)) = shorter {
            self.put(&key, name, json!(format!("{seconds}s")));
        }
        if self.variable(&["JWKS_CACHE_USAGES"]).is_some() {
            self.known.warnings.push(Warning {
                key: "JWKS_CACHE_USAGES".to_owned(),
                message: "accepted and unused: keys are refreshed by time, and for unknown key ids"
                    .to_owned(),
            });
        }
    }

    /// A whole number of units, in seconds.
    fn seconds(&mut self, variable: &'static str, unit: u64, key: &[&str]) -> Option<u64> {
        let (_, text) = self.variable(&[variable])?;
        let seconds = text
            .parse::<u64>()
            .ok()
            .filter(|number| *number > 0)
            .and_then(|number| number.checked_mul(unit));
        if seconds.is_none() {
            let unit = if unit == 60 { "minutes" } else { "seconds" };
            self.wrong(
                key,
                variable,
                "not a whole number above zero",
                &format!("write a number of {unit}"),
            );
        }
        seconds
    }

    fn log_level(&mut self) {
        const NAME: &str = "AUTH_MIDDLEWARE_LOG_LEVEL";
        if let Some((_, level)) = self.variable(&[NAME]) {
            let level = match level.to_ascii_lowercase().as_str() {
                "warning" => "warn".to_owned(),
                "critical" | "fatal" => "error".to_owned(),
                level => level.to_owned(),
            };
            self.put(&["log", "level"], NAME, json!(level));
        }
    }

    /// Two names for one thing must not say two things.
    fn agree(&mut self, names: &[&'static str; 2], key: &[&str]) {
        let [first, second] = names;
        if let (Some((_, one)), Some((_, other))) =
            (self.variable(&[first]), self.variable(&[second]))
            && one != other
        {
            let message = format!("{first} and {second} differ");
            self.wrong(key, second, &message, "set one of them");
        }
    }
}

fn list(text: &str) -> Value {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

fn insert(tree: &mut Value, path: &[Step], value: Value) {
    match path.split_first() {
        Some((Step::Key(key), rest)) => {
            if !tree.is_object() {
                *tree = Value::Object(Map::new());
            }
            if let Some(table) = tree.as_object_mut() {
                insert(
                    table.entry(key.as_str()).or_insert(Value::Null),
                    rest,
                    value,
                );
            }
        }
        Some((Step::Index(_), _)) | None => *tree = value,
    }
}
