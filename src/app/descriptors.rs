//! File descriptors: every connection has one, and a soft limit of 1024 (systemd's and some
//! containers' default) would stand before `max_connections`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors for upstream connections, files and pipes, beside those of clients.
const OTHERS: u64 = 1024;

/// Raises the soft limit as far as the configured connections need and the hard limit allows.
pub(super) fn provide(config: &Config) {
    let wanted = wanted(config);
    let limit = getrlimit(Resource::Nofile);
    let Some(raised) = raised(limit, wanted) else {
        return;
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, wanted, "cannot raise the limit of open files");
    } else if raised.current.is_some_and(|current| current < wanted) {
        tracing::warn!(
            wanted,
            allowed = raised.current,
            "fewer open files are allowed than connections: raise the hard limit (nofile), or lower max_connections"
        );
    }
}

/// Clients of all planes that carry traffic; health and admin have few.
fn wanted(config: &Config) -> u64 {
    let [ingress, forward_auth, egress, _admin, _health] = config.listeners();
    [ingress, forward_auth, egress]
        .into_iter()
        .filter_map(|(_name, listener)| listener)
        .map(|listener| u64::try_from(listener.max_connections).unwrap_or(u64::MAX))
        .fold(OTHERS, u64::saturating_add)
}

/// The limit to set; `None` if it is high enough (without a value: unlimited).
fn raised(limit: Rlimit, wanted: u64) -> Option<Rlimit> {
    let current = limit.current.filter(|current| *current < wanted)?;
    let most = limit
        .maximum
        .map_or(wanted, |maximum| maximum.min(wanted))
        .max(current);
    Some(Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_goes_as_far_as_wanted_and_allowed_and_never_down() {
        for (current, maximum, wanted, expected) in [
            (Some(1024), Some(65_536), 11_024, Some(11_024)),
            (Some(1024), Some(4096), 11_024, Some(4096)),
            (Some(1024), None, 11_024, Some(11_024)),
            (Some(1024), Some(1024), 11_024, Some(1024)),
            (Some(65_536), Some(65_536), 11_024, None),
            (None, None, 11_024, None),
        ] {
            let raised = raised(Rlimit { current, maximum }, wanted);
            let shown = format!("{current:?} {maximum:?} {wanted}");
            assert_eq!(
                raised.as_ref().and_then(|limit| limit.current),
                expected,
                "{shown}"
            );
            assert!(
                raised.is_none_or(|limit| limit.maximum == maximum),
                "{shown}"
            );
        }
    }
}
