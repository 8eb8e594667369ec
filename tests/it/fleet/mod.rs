//! Sidecars that share tokens through a real Redis: egress of several real processes, one token
//! endpoint that counts, one target that says which token it saw.

mod outage;
mod poison;
mod sharing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::redis::Redis;
use crate::support::upstream::{self, Upstream};
use crate::support::{DEADLINE, eventually, eventually_within};

/// A sealing key, and another.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "/wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What a token lives, in seconds, where it is refreshed while a test waits: after half of it.
const SHORT: u64 = 4;

/// The world of a fleet.
struct World {
    endpoint: Upstream,
    target: Upstream,
}

impl World {
    /// Tokens `s3cret-CLIENT-1`, `s3cret-CLIENT-2`… of this life in seconds.
    async fn new(life: u64) -> Self {
        let issued = Arc::new(AtomicUsize::new(0));
        let endpoint = Upstream::answering(move |request| {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            let client = request.uri.path().trim_start_matches("/token/");
            upstream::json(&json!({
                "access_token": format!("s3cret-{client}-{number}"),
                "token_type": "Bearer",
                "expires_in": life,
            }))
        })
        .await;
        let target = Upstream::answering(|request| {
            upstream::json(&json!({ "token": request.header("authorization") }))
        })
        .await;
        Self { endpoint, target }
    }

    /// How many token requests there were.
    fn asked(&self) -> usize {
        self.endpoint.requests().len()
    }

    /// A config with this `[redis]`.
    fn config(&self, redis: &str) -> String {
        let (token_url, target) = (self.endpoint.url(), self.target.url());
        let sources = ["billing", "metrics"].map(|name| {
            format!(
                r#"
                [credentials.{name}]
                kind = "client_credentials"
                token_url = "{token_url}/token/{name}"
                client_id = "{name}"
                client_secret = {{ insecure_literal = "s3cret-of-{name}" }}
                refresh_before = "2s"
                [[egress_targets]]
                name = "{name}"
                url = "{target}"
                credential = "{name}"
                "#
            )
        });
        let egress = "[egress]\nlisten = \"127.0.0.1:0\"";
        format!("{egress}\n{redis}\n{}", sources.concat())
    }

    /// A sidecar at this Redis, with this sealing key.
    async fn sidecar_with(&self, redis: &Redis, key: &str) -> Sidecar {
        let table = format!(
            "[redis]\nurl = \"{}\"\nsealing_keys = [{{ id = \"k\", secret = {{ insecure_literal = \"{key}\" }} }}]",
            redis.url()
        );
        Sidecar(Gatepost::start(&self.config(&table)).await)
    }

    async fn sidecar(&self, redis: &Redis) -> Sidecar {
        self.sidecar_with(redis, KEY).await
    }

    /// Three sidecars at this Redis.
    async fn three(&self, redis: &Redis) -> [Sidecar; 3] {
        let (a, b, c) = tokio::join!(
            self.sidecar(redis),
            self.sidecar(redis),
            self.sidecar(redis)
        );
        [a, b, c]
    }
}

/// A running sidecar.
struct Sidecar(Gatepost);

impl Sidecar {
    /// The token a call of this target carries.
    async fn sends_to(&self, target: &str) -> String {
        let egress = self.0.listener("egress").await;
        let reply = Call::get(egress, &format!("/{target}/x")).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let token = reply.json()["token"].as_str().expect("a text").to_owned();
        token.trim_start_matches("Bearer ").to_owned()
    }

    async fn sends(&self) -> String {
        self.sends_to("billing").await
    }

    /// Waits until `gatepost_redis_up` has this value.
    async fn redis_up(&self, value: u8) {
        self.0.counts(&format!("gatepost_redis_up {value}")).await;
    }

    /// How many warnings say this.
    fn warned(&self, of: &str) -> usize {
        let says = |event: &&serde_json::Value| {
            event["fields"]["message"]
                .as_str()
                .is_some_and(|message| message.contains(of))
        };
        self.0.events("WARN").iter().filter(says).count()
    }

    /// Waits until a warning says this. It was said once.
    async fn warned_once(&self, of: &str) {
        let what = format!("a warning: {of}");
        eventually(&what, || async { (self.warned(of) > 0).then_some(()) }).await;
        assert_eq!(self.warned(of), 1, "{}", self.0.output());
    }

    async fn status(&self) -> serde_json::Value {
        let admin = self.0.listener("admin").await;
        Call::get(admin, "/status").send().await.json()
    }
}

/// What each of the three sends now.
async fn send(three: &[Sidecar; 3]) -> BTreeSet<String> {
    let [a, b, c] = three;
    let (a, b, c) = tokio::join!(a.sends(), b.sends(), c.sends());
    BTreeSet::from([a, b, c])
}

/// Sends until what the three send now is as wanted.
async fn eventually_sends(
    three: &[Sidecar; 3],
    wanted: impl Fn(&BTreeSet<String>) -> bool,
) -> BTreeSet<String> {
    eventually_within(DEADLINE * 2, "tokens as wanted", || async {
        Some(send(three).await).filter(&wanted)
    })
    .await
}

/// Sends until all three send one and the same token of at least this number: its number.
async fn common_token(three: &[Sidecar; 3], at_least: usize) -> usize {
    let common = eventually_sends(three, |sent| sent.len() == 1 && highest(sent) >= at_least);
    highest(&common.await)
}

/// The highest number of these tokens.
fn highest(tokens: &BTreeSet<String>) -> usize {
    let number = |token: &String| token.rsplit('-').next()?.parse().ok();
    tokens.iter().filter_map(number).max().unwrap_or(0)
}
