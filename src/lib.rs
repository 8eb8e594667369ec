//! **Gatepost** answers one question for every request: *who is this, and may they?*
//!
//! # The map
//!
//! | folder | idea | may know |
//! |---|---|---|
//! | [`request`] | what was asked: method, host, path, headers, peer | nothing but `http`, and what a [`certificate`] is |
//! | [`authn`] | credential → principal: JWS, JWK, claims, issuer presets | `request` |
//! | [`authz`] | principal → permit: routes, rules, the decision | `authn`, `request` |
//! | [`gate`] | the order of the steps, and the traits they need | the three above |
//! | [`client`] | whom we call: key sets, token endpoints, upstreams, egress targets | `gate`'s traits |
//! | [`store`] | what we keep outside this process: the fleet's tokens and deny-list in Redis, databases | `client`, `gate`'s traits and `authn`, of whose types they speak |
//! | [`server`] | who calls us: ingress, forward auth, egress, health, admin; the workers that serve them | `gate`, `client`, `store` |
//! | [`telemetry`] | the request log line, metrics | leaf |
//! | [`config`] | TOML as written → as meant; `client`, `server`, `telemetry` read its types | `request`, `authn`, `authz` (builds their types) |
//! | [`app`] | composition root: config → world; reload builds a new one and swaps | everything above |
//! | [`lifecycle`] | signals and changed files | leaf |
//! | [`cli`] | `serve`, `dev`, `check`, `explain`, `test`, `token`, `health`, `schema` | `app` |
//! | [`certificate`] | PEM files, what a certificate says | leaf |
//! | [`reason`], [`secret`], [`steps`], [`clock`] | why a request was refused, what cannot be printed, what `explain` hears, wall time | leaves |
//!
//! # The life of a request
//!
//! `server::accept`, over TLS `server::tls` → `server::ingress` opens the request's account (`server::account`: its log line
//! and counts) and builds [`request::RequestFacts`] → [`gate::Gate::check`]:
//! find the route, extract the credential, find the verified token or verify it against the
//! issuer's keys, judge it by today's clock, evaluate the rule → an unforgeable
//! [`authz::Permit`] → `client::upstream::forward` takes that permit **by value** and sends through a
//! `client::pool`, as egress does. A denial goes to `server::respond`, the only writer of error
//! responses; health and admin answer for themselves (`server::plain`).
//!
//! # The import rule
//!
//! Imports point down the table only. `request`, `authn` and `authz` are pure: no socket, no
//! runtime, no environment, no clock; time is a parameter. `tests/it/layering.rs` reads the source
//! and fails with file and line.

pub mod app;
pub mod authn;
pub mod authz;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod gate;
pub mod lifecycle;
pub mod reason;
pub mod request;
pub mod secret;
pub mod server;
pub mod steps;
pub mod store;
pub mod telemetry;
