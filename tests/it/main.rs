//! Everything that is tested from outside the crate, in one binary.

#[cfg(test)]
mod acting;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod alb;
#[cfg(test)]
mod attack;
#[cfg(test)]
mod aws;
#[cfg(test)]
mod basic;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod bound;
#[cfg(test)]
mod cognito;
#[cfg(test)]
mod config;
#[cfg(test)]
mod cors;
#[cfg(test)]
#[cfg(feature = "redis")]
mod deny_list;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod entra;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod explain;
#[cfg(test)]
#[cfg(feature = "grpc")]
mod ext_authz;
#[cfg(test)]
#[cfg(feature = "redis")]
mod fleet;
#[cfg(test)]
mod forward_auth;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod health;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod ingress;
#[cfg(test)]
mod ingress_carried;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod keys_outgoing;
#[cfg(test)]
mod keys_tls;
#[cfg(test)]
mod large_bodies;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod login;
#[cfg(test)]
mod mappings;
#[cfg(test)]
mod memberships;
#[cfg(test)]
mod mlflow;
#[cfg(test)]
mod nginx;
#[cfg(test)]
mod oauth;
#[cfg(test)]
mod oauth_refused;
#[cfg(test)]
mod opaque;
#[cfg(test)]
mod planes_together;
#[cfg(test)]
mod process;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod rule_cases;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
#[cfg(feature = "sql")]
mod sql;
#[cfg(test)]
mod support;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod telemetry_reasons;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod token_endpoint;
#[cfg(test)]
mod trailers;
#[cfg(test)]
mod under_load;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod upstream_faults;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod upstreams_tls;
#[cfg(test)]
mod userinfo;
#[cfg(test)]
mod validate;
#[cfg(test)]
mod websocket;
