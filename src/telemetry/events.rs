//! What is not a request: start, reload, key refresh, drain. `tracing` events on stderr.

use std::sync::OnceLock;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::config;

/// Sends events to stderr, as `[log] format` says, at `[log] level`. Called again, it takes over
/// the level; the format stays until a restart.
pub fn init_events(log: &config::Log) {
    if LEVEL.get().is_some() {
        apply_level(log);
        return;
    }
    let filter = filter(&log.level);
    let (filter, handle) = reload::Layer::new(filter);
    let stderr = fmt::layer().with_writer(std::io::stderr);
    let format = if log.json {
        stderr
            .json()
            .with_current_span(false)
            .with_span_list(false)
            .boxed()
    } else {
        stderr.boxed()
    };
    // an error means that somebody (a test) installed a subscriber before us, which then stays
    let installed = tracing_subscriber::registry()
        .with(filter)
        .with(format)
        .try_init();
    if installed.is_ok() {
        LEVEL.get_or_init(|| handle);
    }
}

/// Takes over `[log] level`, if [`init_events`] was called.
pub(super) fn apply_level(log: &config::Log) {
    if let Some(level) = LEVEL.get()
        && let Err(error) = level.reload(filter(&log.level))
    {
        tracing::warn!(%error, "cannot change the log level");
    }
}

/// Whether `[log] level` lets `info` through somewhere: the level of request lines.
pub(super) fn admits_info(level: &str) -> bool {
    filter(level).max_level_hint() >= Some(LevelFilter::INFO)
}

/// The configured directives; `info` if they cannot be read. Libraries that narrate every
/// connection speak from `warn` up, unless the directives name them.
fn filter(level: &str) -> EnvFilter {
    let parse = |directives: &str| EnvFilter::builder().parse(directives);
    let plain = parse(level).unwrap_or_else(|_unreadable| EnvFilter::new("info"));
    if plain.max_level_hint() <= Some(LevelFilter::WARN) {
        return plain;
    }
    // of two directives for one target the last counts
    parse(&format!("{LIBRARIES},{plain}")).unwrap_or(plain)
}

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

const LIBRARIES: &str = "h2=warn,hyper=warn,hyper_util=warn,reqwest=warn,rustls=warn,sqlx=off";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_capped_at_warn_unless_named() {
        let cases = [
            ("info", "hyper=warn", true),
            ("debug", "rustls=warn", true),
            ("debug,hyper=trace", "hyper=trace", true),
            ("debug,hyper=trace", "hyper=warn", false),
            ("debug,hyper=trace", "h2=warn", true),
            ("error", "hyper=warn", false),
            ("gatepost=loud", "info", true),
        ];
        for (level, directive, present) in cases {
            let directives = filter(level).to_string();
            assert_eq!(
                directives.split(',').any(|one| one == directive),
                present,
                "{level}: {directives}"
            );
        }
    }

    #[test]
    fn request_lines_follow_the_level() {
        for (level, admitted) in [
            ("trace", true),
            ("info", true),
            ("warn,gatepost=info", true),
            ("warn", false),
            ("error", false),
            ("off", false),
        ] {
            assert_eq!(admits_info(level), admitted, "{level}");
        }
    }

    #[test]
    fn events_can_be_set_up_twice() {
        for level in ["info", "warn"] {
            init_events(&config::Log {
                level: level.to_owned(),
                json: true,
                requests: true,
            });
        }
    }
}
