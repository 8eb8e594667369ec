//! Config → world.

use std::sync::Arc;

use super::Shared;
use crate::authz::Route;
use crate::authz::route::Mode;
use crate::client::egress::Targets;
use crate::client::introspection::Judges;
use crate::client::jwks::{Background, KeyEngine};
use crate::client::login::Login;
use crate::client::outgoing::Outgoing;
use crate::client::pool::Means;
use crate::client::through::Through;
use crate::client::tls::Trust;
use crate::client::token::Credentials;
use crate::client::upstream::Upstreams;
use crate::config::{Config, MembershipKind};
use crate::gate::{
    FixedMemberships, Gate, KeySource, Memberships, NobodyAsked, Parts, PasswordParts, Profiles,
    Revocations, UnaskedProfiles,
};
use crate::request::OwnedHeaders;
use crate::server::World;
use crate::server::handles::Wanted;
use crate::server::tls::Terminations;
use crate::store::memberships::{self, Stores};
use crate::store::passwords::{PasswordStore, Users};
use crate::store::{self, Fleet};

/// Builds everything one request needs. With `previous`, what did not change is kept, and goes on as it
/// did until [`put_into_force`].
pub(super) fn build(
    config: Arc<Config>,
    shared: &Shared,
    background: &Background,
    previous: Option<&World>,
) -> std::io::Result<World> {
    let Shared {
        clock,
        telemetry,
        handles,
        workers,
        fingerprint_key,
        ..
    } = shared;
    let trust = Trust::new(&config.client)?;
    let outgoing = Outgoing::with_trust(&config.client, &trust)?;
    let means = Means {
        trust: &trust,
        workers: workers.count(),
        background,
        metrics: &telemetry.metrics,
    };
    let upstreams = Upstreams::new(
        &config.upstreams,
        &means,
        previous.map(|old| &*old.upstreams),
    )?;
    let terminations = Terminations::load(&config, previous.map(|old| &old.tls))?;
    let keys = Arc::new(KeyEngine::start(
        &config.issuers,
        &config.jwks,
        &outgoing,
        clock,
        telemetry,
        background,
        previous.map(|old| &*old.keys),
    ));
    let fleet = Fleet::start(
        config.redis.as_ref(),
        config
            .deny_list
            .as_ref()
            .and_then(|list| list.redis.as_ref()),
        &store::Means {
            trust: &trust,
            clock,
            telemetry,
            background,
        },
        previous.map(|old| &old.fleet),
    )?;
    let asking = Outgoing::for_credentials(&config.client, &trust)?;
    let before = previous.and_then(|old| old.credentials.process());
    let through = Through::new(
        &config,
        asking.clone(),
        clock,
        telemetry,
        background,
        before,
    );
    let credentials = Credentials::start(
        &config.credentials,
        &through,
        fleet.store().as_ref(),
        clock,
        telemetry,
        background,
        previous.map(|old| &*old.credentials),
    );
    let passwords = match &config.basic {
        Some(basic) => {
            let before = previous.and_then(|old| old.passwords.as_ref());
            let known = before.map(PasswordStore::users);
            let users = <dyn Users>::of(&basic.users, &trust, background, known)?;
            Some(PasswordStore::start(
                basic, users, telemetry, background, before,
            )?)
        }
        None => None,
    };
    let login = config.login.as_ref().map(|login| {
        let before = previous.and_then(|old| old.login.as_ref());
        Login::start(login, &through, clock, telemetry, background, before)
    });
    let targets = Targets::new(
        &config.egress_targets,
        &credentials,
        &means,
        previous.map(|old| &*old.targets),
    )?;
    let credentials = Arc::new(credentials);
    let memberships = Arc::new(Stores::start(
        &config.memberships,
        &config.issuers,
        &memberships::Means {
            trust: &trust,
            outgoing: &asking,
            credentials: &credentials,
            clock,
            telemetry,
            background,
        },
        previous.map(|old| &*old.memberships),
    )?);
    let providers = Providers {
        keys: Arc::<KeyEngine>::clone(&keys),
        passwords: password_parts(&config, passwords.as_ref()),
        memberships: Arc::<Stores>::clone(&memberships),
        profiles: asks_profiles(&config)
            .then(|| Arc::<Stores>::clone(&memberships) as Arc<dyn Profiles>),
        revocations: fleet.revocations(),
    };
    let judges = Judges::start(
        &config.issuers,
        Arc::new(through.clone()),
        clock,
        telemetry,
        background,
        previous.map(|old| &*old.judges),
    );
    let judges = Arc::new(judges);
    let parts = Parts {
        judge: Arc::<Judges>::clone(&judges),
        turns: Some(Arc::new(workers.turns())),
        ..gate_parts(&config, providers, *fingerprint_key)
    };
    Ok(World {
        generation: previous.map_or(1, |old| old.generation + 1),
        gate: Gate::new(parts, previous.map(|old| &old.gate)),
        tls: terminations,
        keys,
        judges,
        passwords,
        login,
        upstreams: Arc::new(upstreams),
        wanted: Wanted::by(&config, &credentials),
        credentials,
        memberships,
        fleet,
        targets: Arc::new(targets),
        owned: OwnedHeaders::new(&config.identity, &config.strip, false),
        owned_passing_overrides: OwnedHeaders::new(&config.identity, &config.strip, true),
        handles: Arc::clone(handles),
        telemetry: Arc::clone(telemetry),
        clock: Arc::clone(clock),
        config,
    })
}

/// Does what must not be done for a world that may never be in force: what it keeps from the one before
/// follows it, and the metrics tell of it.
pub(super) fn put_into_force(world: &World) {
    world.keys.go_into_force();
    world.judges.go_into_force();
    world.credentials.go_into_force();
    world.memberships.go_into_force();
    let metrics = &world.telemetry.metrics;
    metrics.tls_certificates(world.tls.expiries());
    let shadow = |route: &&Arc<Route>| route.mode() == Mode::Shadow;
    let routes = world.config.routes.routes().iter();
    metrics.shadow_routes(routes.filter(shadow).count());
    let denied = world.config.deny_list.as_ref();
    metrics.deny_lists(
        denied.map(|list| list.file.len()),
        denied.is_some_and(|list| list.redis.is_some()),
    );
    if world.config.redis.is_none() {
        metrics.redis_gone();
    }
}

/// Whom the gate asks what the config does not hold.
pub(crate) struct Providers {
    pub(crate) keys: Arc<dyn KeySource>,
    pub(crate) memberships: Arc<dyn Memberships>,
    pub(crate) profiles: Option<Arc<dyn Profiles>>,
    /// Who can tell whether a password is right.
    pub(crate) passwords: Option<PasswordParts>,
    /// The fleet's, if it keeps a list.
    pub(crate) revocations: Option<Arc<dyn Revocations>>,
}

/// What a gate needs to take passwords.
pub(crate) fn password_parts(
    config: &Config,
    passwords: Option<&PasswordStore>,
) -> Option<PasswordParts> {
    let (basic, passwords) = config.basic.as_ref().zip(passwords)?;
    Some(PasswordParts {
        passwords: Arc::new(passwords.clone()),
        cache: basic.cache,
        max_entries: basic.max_entries,
    })
}

/// What a gate for this config is built from.
pub(crate) fn gate_parts(
    config: &Config,
    providers: Providers,
    fingerprint_key: [u8; 32],
) -> Parts {
    let Providers {
        keys,
        memberships,
        profiles,
        passwords,
        revocations,
    } = providers;
    let own = config.deny_list.iter().map(|list| &list.file);
    let own = own.filter(|list| !list.is_empty());
    let own = own.map(|list| Arc::new(list.clone()) as Arc<dyn Revocations>);
    Parts {
        revocations: own.chain(revocations).collect(),
        routes: config.routes.clone(),
        issuers: config
            .issuers
            .iter()
            .map(|known| Arc::clone(&known.issuer))
            .collect(),
        // who serves asks: nobody else may show a token to anybody
        judge: Arc::new(NobodyAsked),
        keys,
        memberships,
        profiles,
        passwords,
        turns: None,
        identity: config.identity.clone(),
        lists: config.identity_lists,
        max_entries: config.token_cache.max_entries,
        max_bytes: config.token_cache.max_bytes,
        fingerprint_key,
    }
}

/// The memberships on this machine: no other store can be asked.
pub(crate) fn memberships_here(config: &Config) -> FixedMemberships {
    let list = |kind: &MembershipKind| match kind {
        MembershipKind::File { members, .. } => Some(Arc::clone(members)),
        MembershipKind::Graph(_) | MembershipKind::Http(_) | MembershipKind::Sql(_) => None,
    };
    let stores = config.memberships.iter();
    FixedMemberships::new(stores.map(|store| list(&store.kind)).collect())
}

/// Whether any issuer is asked for profiles.
fn asks_profiles(config: &Config) -> bool {
    config
        .issuers
        .iter()
        .any(|issuer| issuer.userinfo.is_some())
}

/// Nobody's profile: the issuers cannot be asked from here.
pub(crate) fn profiles_here(config: &Config) -> Option<Arc<dyn Profiles>> {
    let issuers = config.issuers.iter();
    let asked = issuers.map(|issuer| issuer.userinfo.is_some()).collect();
    asks_profiles(config).then(|| Arc::new(UnaskedProfiles(asked)) as Arc<dyn Profiles>)
}
