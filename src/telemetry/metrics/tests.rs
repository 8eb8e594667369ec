use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::clock::UnixTime;
use crate::telemetry::Outcome;
use crate::telemetry::Telemetry;
use crate::telemetry::tests::line;

#[test]
fn the_documented_metrics_are_the_declared_ones() {
    let documented: Vec<[String; 3]> = include_str!("../../../docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `gatepost_") || line.starts_with("| `process_"))
        .filter(|line| !line.starts_with("| `gatepost_credential_expiry_timestamp_seconds -"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let mut cell = || cells.next().unwrap().trim_matches('`').to_owned();
            [cell(), cell(), cell()]
        })
        .collect();
    let declared: Vec<_> = Metrics::declare()
        .1
        .into_iter()
        .map(|metric| metric.row)
        .collect();
    assert_eq!(documented, declared);
}

#[test]
fn a_request_is_counted_under_its_plane_route_outcome_and_reason() {
    let telemetry = Telemetry::quiet();
    let metrics = &telemetry.metrics;
    for _ in 0..3 {
        let mut allowed = line();
        allowed.outcome = Outcome::Allow;
        allowed.shadowed = None;
        allowed.status = StatusCode::OK;
        telemetry.record(allowed);
    }
    let mut denied = line();
    denied.shadowed = None;
    telemetry.record(denied);
    let mut unrouted = line();
    unrouted.route = None;
    unrouted.shadowed = None;
    unrouted.plane = Plane::ForwardAuth;
    unrouted.outcome = Outcome::Fail("keys_unavailable");
    unrouted.status = StatusCode::SERVICE_UNAVAILABLE;
    unrouted.decision_time = Duration::from_secs(9);
    telemetry.record(unrouted);

    let mut shadowed = line();
    shadowed.outcome = Outcome::Allow;
    shadowed.status = StatusCode::NO_CONTENT;
    shadowed.shadowed = Some(Outcome::Fail("keys_unavailable"));
    telemetry.record(shadowed);
    metrics.shadow_routes(2);

    let text = metrics.render();
    for expected in [
        "gatepost_shadow_routes 2",
        r#"gatepost_shadow_decisions_total{outcome="fail",plane="ingress",reason="keys_unavailable",route="orders-write"} 1"#,
        r#"gatepost_decisions_total{outcome="allow",plane="ingress",reason="",route="orders-write"} 4"#,
        r#"gatepost_decisions_total{outcome="deny",plane="ingress",reason="group_missing",route="orders-write"} 1"#,
        r#"gatepost_decisions_total{outcome="fail",plane="forward_auth",reason="keys_unavailable",route=""} 1"#,
        r#"gatepost_requests_total{plane="ingress",route="orders-write",status_class="2xx"} 4"#,
        r#"gatepost_requests_total{plane="ingress",route="orders-write",status_class="4xx"} 1"#,
        r#"gatepost_requests_total{plane="forward_auth",route="",status_class="5xx"} 1"#,
        r#"gatepost_decision_seconds_count{plane="ingress"} 5"#,
        r#"gatepost_decision_seconds_bucket{plane="forward_auth",le="5"} 0"#,
        r#"gatepost_upstream_seconds_count{plane="ingress",route="orders-write"} 5"#,
    ] {
        assert!(
            text.lines().any(|line| line == expected),
            "{expected}\n{text}"
        );
    }
}

#[test]
fn every_other_method_shows_in_what_is_rendered() {
    let metrics = Metrics::new();
    metrics.key_refresh("users", true);
    metrics.key_refresh("users", false);
    metrics.keys_fetched("users", UnixTime(1_700_000_000));
    metrics.token_shared("billing");
    metrics.redis_up(false);
    metrics.redis_entry_refused();
    metrics.token_fetch("billing", false);
    metrics.token_expires("billing", UnixTime(1_700_000_100));
    metrics.token_fetched("billing", UnixTime(1_700_000_050));
    metrics
        .credential_calls("billing", "api_key")
        .count(Asked::Unavailable);
    metrics.token_cache(true);
    metrics.token_cache(true);
    metrics.token_cache(false);
    metrics.cached_tokens(11);
    metrics.handles(7, 4096);
    metrics.handles_evicted(3);
    metrics.handle_unkept();
    metrics.credential_subjects("orders", 2, 999);
    metrics.config_reload(true, 7);
    metrics.config_reload(false, 7);
    metrics.connections("ingress", 1);
    metrics.connections("ingress", 1);
    metrics.connections("ingress", -1);
    metrics.rejected(Plane::Egress, "request_malformed");
    metrics.foreign_headers(Dialect::Nginx);
    metrics.foreign_headers(Dialect::Envoy);
    metrics.panicked();
    metrics.log_lines_dropped().inc_by(5);

    assert_eq!(metrics.open_connections(), [("ingress".to_owned(), 1)]);
    let text = metrics.render();
    for expected in [
        r#"gatepost_keys_refresh_total{issuer="users",result="success"} 1"#,
        r#"gatepost_keys_refresh_total{issuer="users",result="error"} 1"#,
        r#"gatepost_keys_last_success_timestamp_seconds{issuer="users"} 1700000000"#,
        r#"gatepost_credential_fetch_total{credential="billing",result="error"} 1"#,
        r#"gatepost_credential_expiry_timestamp_seconds{credential="billing"} 1700000100"#,
        r#"gatepost_credential_fetched_timestamp_seconds{credential="billing"} 1700000050"#,
        r#"gatepost_credential_calls_total{credential="billing",kind="api_key",outcome="attached"} 0"#,
        r#"gatepost_credential_calls_total{credential="billing",kind="api_key",outcome="unavailable"} 1"#,
        r#"gatepost_token_cache_total{result="hit"} 2"#,
        r#"gatepost_token_cache_total{result="miss"} 1"#,
        "gatepost_token_cache_entries 11",
        "gatepost_handles 7",
        "gatepost_handle_bytes 4096",
        r#"gatepost_handles_evicted_total{handle="ended"} 3"#,
        r#"gatepost_handles_evicted_total{handle="new"} 1"#,
        r#"gatepost_credential_subjects{credential="orders"} 2"#,
        r#"gatepost_credential_subject_bytes{credential="orders"} 999"#,
        "gatepost_config_generation 7",
        r#"gatepost_config_reloads_total{result="accepted"} 1"#,
        r#"gatepost_config_reloads_total{result="rejected"} 1"#,
        r#"gatepost_connections{listener="ingress"} 1"#,
        r#"gatepost_rejected_total{plane="egress",reason="request_malformed"} 1"#,
        r#"gatepost_foreign_headers_total{dialect="nginx"} 1"#,
        r#"gatepost_foreign_headers_total{dialect="forwarded"} 0"#,
        r#"gatepost_foreign_headers_total{dialect="envoy"} 1"#,
        "gatepost_panics_total 1",
        "gatepost_log_lines_dropped_total 5",
    ] {
        assert!(
            text.lines().any(|line| line == expected),
            "{expected}\n{text}"
        );
    }
}

#[test]
fn a_source_that_is_none_any_more_holds_nothing_that_could_expire() {
    let metrics = Metrics::new();
    let of = |list: &[(&str, &'static str)]| {
        let named = list.iter().map(|(name, kind)| (Arc::from(*name), *kind));
        named.collect()
    };
    metrics.credentials_in_force(of(&[("kept", "aws"), ("gone", "aws"), ("other", "aws")]));
    // of a configuration that was rejected
    drop(metrics.credential_calls("other", "api_key"));
    metrics.token_fetch("untried", true);
    metrics.token_fetched("untried", UnixTime(1_700_000_050));
    for name in ["kept", "gone", "gone:assertion", "other"] {
        drop(metrics.credential_calls(name, "aws"));
        metrics.token_fetch(name, true);
        metrics.token_shared(name);
        metrics.token_expires(name, UnixTime(1_700_000_100));
        metrics.token_fetched(name, UnixTime(1_700_000_050));
        metrics.credential_subjects(name, 1, 9);
    }
    drop(metrics.credential_calls("other", "basic"));
    metrics.credentials_in_force(of(&[("kept", "aws"), ("new", "aws"), ("other", "basic")]));
    let text = metrics.render();
    let series = |word: &str| text.lines().filter(|line| line.contains(word)).count();
    for gone in ["\"gone\"", "assertion", "untried", "api_key"] {
        assert_eq!(series(gone), 0, "{gone}: {text}");
    }
    assert_eq!(series("\"kept\""), 11, "{text}");
    // calls by its kind, and what its new kind has too
    assert_eq!(series("\"other\""), 8, "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_reports_its_memory_files_and_start() {
    let text = Metrics::new().render();
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_threads",
        "process_start_time_seconds",
    ] {
        let value: f64 = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap()
            .parse()
            .unwrap();
        assert!(value >= 1.0, "{name} {value}");
    }
    assert!(text.contains("\nprocess_cpu_seconds_total "));
}
