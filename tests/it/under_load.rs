//! wrk's requests while the binary stops and reloads.

use serde_json::json;

use crate::support::counterparts::or_skip;
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::programs::Nginx;
use crate::support::sidecar::{config, token};
use crate::support::wrk::{Counted, Wrk};

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
    let Counted { responses, .. } = counted;
    assert_eq!(
        counted,
        Counted {
            responses,
            ..Counted::default()
        }
    );
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
