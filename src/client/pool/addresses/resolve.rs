//! From names to addresses: the system's resolver, asked again and again.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Addresses;
use crate::client::jitter;
use crate::gate::Boxed;

/// Time between two attempts while a name does not resolve.
const RETRY: Duration = Duration::from_secs(1);

/// Resolves names.
pub(super) trait Resolve: fmt::Debug + Send + Sync {
    /// Addresses of a name, the preferred family first.
    fn resolve<'s>(&'s self, name: &'s str) -> Boxed<'s, io::Result<Vec<IpAddr>>>;
}

/// getaddrinfo: hosts file, search domains, and a cache where the system has one.
#[derive(Debug)]
pub(super) struct System;

impl Resolve for System {
    fn resolve<'s>(&'s self, name: &'s str) -> Boxed<'s, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Keeps one name resolved until the addresses are dropped.
pub(super) async fn keep_resolved(
    addresses: Weak<Addresses>,
    number: usize,
    name: String,
    resolver: Arc<dyn Resolve>,
    refresh: Duration,
    stop: CancellationToken,
) {
    let follow = async {
        loop {
            let answer = resolver.resolve(&name).await;
            let Some(addresses) = addresses.upgrade() else {
                return;
            };
            let next = if addresses.learn(number, answer) {
                refresh
            } else {
                RETRY.min(refresh)
            };
            drop(addresses);
            sleep(jitter::between(next.mul_f64(0.9), next)).await;
        }
    };
    stop.run_until_cancelled(follow).await;
}
