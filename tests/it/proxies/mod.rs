//! Gatepost behind real proxies, each run from the config file we ship for it in `deploy/`: only
//! addresses and paths in it are replaced. [`matrix`] holds what must be true of every one of them.
//!
//! A proxy joins by implementing [`Kind`] and writing `matrix!(Its);` in a module of its own.

mod alb;
mod caddy;
mod contracts;
mod doctor;
#[cfg(feature = "grpc")]
mod envoy;
mod haproxy;
mod matrix;
mod nginx;
mod passed;
mod running;
mod spoofed;
mod stated;

use std::net::SocketAddr;

use self::running::Proxy;
use crate::support::Gone;
use crate::support::cognito::{Pool, SignedIn};
use crate::support::counterparts::{self, Counterpart, free_port};
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::upstream::Upstream;

/// A proxy that is tested.
trait Kind {
    /// What its clients see.
    const SEES: Sees;

    /// Starts it from its shipped config; `None`, said on stderr, if it is not installed.
    async fn start(places: &Places) -> Option<Proxy>;
}

/// The status a client sees, where proxies differ. 200, 401 and 403 are the same everywhere.
struct Sees {
    /// A known issuer has no keys: Gatepost says 503.
    outage: u16,
    /// Nobody listens at Gatepost's address.
    gone: u16,
    /// The route does not serve the method: Gatepost says 405.
    method: u16,
}

/// Where the addresses of a shipped config lead in a test.
struct Places {
    /// Gatepost's forward-auth listener: 127.0.0.1:7401 in shipped files.
    gatepost: SocketAddr,
    /// The app: 127.0.0.1:3000 in shipped files.
    app: SocketAddr,
}

/// A shipped file with these texts replaced, each of which it must hold.
fn shipped(file: &str, replaced: &[(&str, &str)]) -> String {
    replaced
        .iter()
        .fold(file.to_owned(), |text, (literal, by)| {
            assert!(text.contains(literal), "no {literal:?} in {text}");
            text.replace(literal, by)
        })
}

/// A Cognito pool, Gatepost, the proxy that asks it, and the app behind the proxy. `ada` is in group
/// `admins`, `bob` in none, `eve` in a pool that Gatepost does not know.
///
/// `/public/**` is public, `/admin/**` wants the group, `/read/**` serves GET alone, `/mixed/**` is
/// public to GET and wants the group to change something; the rest wants any token.
struct Stage {
    proxy: Proxy,
    gatepost: Gatepost,
    app: Upstream,
    cognito: Counterpart,
    ada: SignedIn,
    bob: SignedIn,
    eve: SignedIn,
    config: String,
    /// Where the keys would be, if nobody serves them.
    _gone: Option<Gone>,
}

impl Stage {
    /// All of it running, the keys loaded.
    async fn set<K: Kind>() -> Option<Self> {
        let stage = Self::set_with::<K>(None).await?;
        stage.gatepost.ready().await;
        Some(stage)
    }

    /// The same, but nobody serves the issuer's keys.
    async fn set_without_keys<K: Kind>() -> Option<Self> {
        let gone = Gone::take();
        let stage = Self::set_with::<K>(Some(format!("http://{}", gone.address))).await?;
        Some(Self {
            _gone: Some(gone),
            ..stage
        })
    }

    async fn set_with<K: Kind>(keys: Option<String>) -> Option<Self> {
        let cognito = counterparts::cognito().await?;
        let pool = Pool::create(&cognito, &["admins"]).await;
        let ada = pool.sign_in("ada", &["admins"]).await;
        let bob = pool.sign_in("bob", &[]).await;
        let eve = Pool::create(&cognito, &["admins"]).await;
        let eve = eve.sign_in("eve", &["admins"]).await;
        // known before it starts, so that it can start again at the same address
        let port = free_port();
        let issuer = keys.map_or_else(|| pool.issuer(), |url| pool.issuer_at(&url));
        let config = config(&issuer, port);
        let gatepost = Gatepost::start(&config).await;
        let app = Upstream::start().await;
        let places = Places {
            gatepost: gatepost.listener("forward_auth").await,
            app: app.address,
        };
        Some(Self {
            proxy: K::start(&places).await?,
            gatepost,
            app,
            cognito,
            ada,
            bob,
            eve,
            config,
            _gone: None,
        })
    }

    /// A `GET` through the proxy.
    fn get(&self, path: &str) -> Call {
        Call::get(self.proxy.address, path)
    }

    /// How many requests the app has seen.
    fn arrived(&self) -> usize {
        self.app.requests().len()
    }
}

fn config(issuer: &str, port: u16) -> String {
    format!(
        r#"
        {issuer}

        [forward_auth]
        listen = "127.0.0.1:{port}"
        trusted_proxies = ["127.0.0.1/32"]

        [[routes]]
        path = "/**"

        [[routes]]
        path = "/public/**"
        auth = "none"

        [[routes]]
        path = "/admin/**"
        require = {{ groups = ["admins"] }}

        [[routes]]
        path = "/read/**"
        methods = ["GET"]

        [[routes]]
        path = "/mixed/**"
        methods = ["GET"]
        auth = "none"

        [[routes]]
        path = "/mixed/**"
        methods = ["POST", "PUT", "PATCH", "DELETE"]
        require = {{ groups = ["admins"] }}
        "#
    )
}
