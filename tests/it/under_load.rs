//! wrk's requests while the binary stops, reloads, and loses an upstream's address.

use serde_json::json;

use crate::support::counterparts::or_skip;
use crate::support::gatepost::Gatepost;
use crate::support::programs::Nginx;
use crate::support::sidecar::{config, token};
use crate::support::wrk::{Counted, Wrk};
use crate::support::{Gone, eventually};

const FILE: &[(&str, &[u8])] = &[("file", &[b'x'; 1024])];

async fn load(gatepost: &Gatepost) -> Option<Wrk> {
    let url = format!("http://{}/file", gatepost.listener("ingress").await);
    let wrk = Wrk::start(&url, &token(&json!({})))?;
    allowed(gatepost, 200).await;
    Some(wrk)
}

/// Waits until so many more requests were let pass.
async fn allowed(gatepost: &Gatepost, more: u64) {
    let count = || async {
        let metrics = gatepost.health("/metrics").await;
        let samples = metrics.text().lines().filter_map(|line| {
            let value = line.strip_prefix("gatepost_decisions_total{")?;
            value.contains(r#"outcome="allow""#).then_some(value)?;
            value.rsplit_once(' ')?.1.parse::<u64>().ok()
        });
        samples.sum::<u64>()
    };
    let before = count().await;
    eventually("requests", || async {
        (count().await >= before + more).then_some(())
    })
    .await;
}

/// Whether nothing but good responses was counted.
fn all_answered(counted: &Counted) {
    let answered = Counted {
        responses: counted.responses,
        ..Counted::default()
    };
    assert_eq!(*counted, answered);
}

#[tokio::test]
async fn fifty_reloads_fail_no_request() {
    let nginx = or_skip!(Nginx::serving(FILE).await);
    let gatepost = Gatepost::start(&config(nginx.url(), "")).await;
    let wrk = or_skip!(load(&gatepost).await);
    for turn in 1..=50 {
        // other connections each time
        let keys = format!(r#"timeout = "{turn}s""#);
        gatepost
            .reload(&config(nginx.url(), &keys), "accepted", turn)
            .await;
    }
    let counted = wrk.stop().await;
    assert!(counted.responses > 200, "{counted:?}");
    all_answered(&counted);
}

#[tokio::test]
async fn a_stop_fails_no_request_that_had_begun() {
    let nginx = or_skip!(Nginx::serving(FILE).await);
    let mut gatepost = Gatepost::start_with(
        &config(nginx.url(), ""),
        &[("GATEPOST__SHUTDOWN__PRE_DRAIN", "1s")],
    )
    .await;
    let wrk = or_skip!(load(&gatepost).await);
    gatepost.signal("TERM");
    assert_eq!(gatepost.exit().await, Some(0));
    let counted = wrk.stop().await;
    // whoever came after the end could not send
    let Counted {
        responses, write, ..
    } = counted;
    assert!(responses > 200, "{counted:?}");
    assert_eq!(
        counted,
        Counted {
            responses,
            write,
            ..Counted::default()
        }
    );
}

#[tokio::test]
async fn an_address_that_dies_costs_502_to_504_and_then_nothing() {
    let one = or_skip!(Nginx::serving(FILE).await);
    let other = or_skip!(Nginx::serving(FILE).await);
    let addresses = [one.url(), other.url()].map(|url| url.trim_start_matches("http://"));
    let keys = format!("addresses = {addresses:?}");
    let gatepost = Gatepost::start(&config("http://app.test", &keys)).await;
    let wrk = or_skip!(load(&gatepost).await);
    let address = addresses[0].parse().expect("an address");
    let _gone = Gone::beside(address);
    drop(one);
    allowed(&gatepost, 1000).await;
    let counted = wrk.stop().await;
    let Counted {
        responses, others, ..
    } = counted;
    assert_eq!(
        counted,
        Counted {
            responses,
            others,
            ..Counted::default()
        }
    );

    let wrk = or_skip!(load(&gatepost).await);
    allowed(&gatepost, 1000).await;
    let counted = wrk.stop().await;
    all_answered(&counted);
    let output = gatepost.output();
    for line in output
        .lines()
        .filter(|line| line.contains(r#""plane":"ingress""#))
    {
        // 499: wrk left when it was stopped
        let statuses = [200, 499, 502, 503, 504].map(|status| format!(r#""status":{status},"#));
        assert!(
            statuses.iter().any(|status| line.contains(status)),
            "{line}"
        );
    }
}
