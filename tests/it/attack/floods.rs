//! HTTP/2 floods against the real binary: the attacker is closed and counted, everybody else is
//! answered, and memory stays bounded.

use std::future::Future;
use std::net::SocketAddr;

use tokio::task::JoinSet;

use super::frames::{
    CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, frame, get, request,
};
use super::sidecar;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection};
use crate::support::upstream::Upstream;

/// Resident memory that no flood reaches, in KiB: a debug build stands at some 60 MiB.
const BOUND: u64 = 160 * 1024;
/// Attackers at once.
const ATTACKERS: usize = 4;
/// Longest attack, in rounds of what it sends: all of them end long before.
const ROUNDS: u32 = 20_000;

/// Attacks from several connections while a good client asks, until every attack was ended.
async fn under<A, F>(gatepost: &Gatepost, attack: A) -> Vec<Option<u32>>
where
    A: Fn(SocketAddr) -> F,
    F: Future<Output = Option<u32>> + Send + 'static,
{
    let ingress = gatepost.listener("ingress").await;
    let mut attackers = JoinSet::new();
    for _ in 0..ATTACKERS {
        attackers.spawn(attack(ingress));
    }
    let mut good = Connection::open(ingress).await;
    let mut ends = Vec::new();
    let mut answered = 0;
    while answered < 20 || ends.len() < ATTACKERS {
        let reply = good.send(Call::get(ingress, "/good")).await;
        assert_eq!(reply.status, 200);
        answered += 1;
        while let Some(end) = attackers.try_join_next() {
            ends.push(end.expect("the attacker is told off, no more"));
        }
    }
    // a newcomer too
    assert_eq!(Call::get(ingress, "/good").send().await.status, 200);
    assert!(gatepost.peak_memory() < BOUND, "{}", gatepost.peak_memory());
    ends
}

async fn start() -> (Gatepost, Upstream) {
    sidecar("http2_max_resets = 100\nhttp2_max_control_frames = 500").await
}

#[tokio::test]
async fn a_client_that_cancels_what_was_accepted_is_closed() {
    let (gatepost, _upstream) = start().await;
    let ends = under(&gatepost, |ingress| async move {
        let mut client = Http2::connect(ingress).await;
        let mut cancelled = 0;
        for number in 0..ROUNDS {
            let stream = number * 2 + 1;
            // seen by the server before it is cancelled, so that h2's own limit does not count it
            if !(client.send(&request(stream, "/good")).await
                && client.caught_up().await
                && client
                    .send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]))
                    .await)
            {
                break;
            }
            cancelled += 1;
        }
        assert!((100..110).contains(&cancelled), "{cancelled}");
        None
    })
    .await;
    assert_eq!(ends.len(), ATTACKERS);
    let reason = r#"listener="ingress",reason="http2_resets""#;
    gatepost
        .counts(&format!(
            "gatepost_connections_refused_total{{{reason}}} {ATTACKERS}"
        ))
        .await;
    // nothing is left of it
    gatepost
        .counts(r#"gatepost_http2_streams{listener="ingress"} 0"#)
        .await;
}

#[tokio::test]
async fn a_rapid_reset_ends_before_it_costs_anything() {
    let (gatepost, upstream) = start().await;
    let ends = under(&gatepost, |ingress| async move {
        let mut client = Http2::connect(ingress).await;
        for batch in 0..ROUNDS / 100 {
            let mut bytes = Vec::new();
            for number in 0..100 {
                let stream = (batch * 100 + number) * 2 + 1;
                bytes.extend(request(stream, "/flood"));
                bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            }
            if !client.send(&bytes).await {
                break;
            }
        }
        client.farewell().await
    })
    .await;
    for end in ends {
        // closed by h2, or by us with what it sent still unread
        assert!(matches!(end, Some(CALM) | None), "{end:?}");
    }
    let carried = upstream.requests();
    let carried = carried.iter().filter(|heard| heard.uri.path() == "/flood");
    assert!(carried.count() < 100 * ATTACKERS);
}

#[tokio::test]
async fn a_head_that_continues_without_end_is_closed() {
    let (gatepost, _upstream) = start().await;
    under(&gatepost, |ingress| async move {
        let mut client = Http2::connect(ingress).await;
        client.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await;
        // literal fields that no table keeps: "x: " and 100 bytes
        let mut field = vec![0, 1, b'x', 100];
        field.extend([b'y'; 100]);
        let part = frame(CONTINUATION, 0, 1, &field.repeat(20));
        for _ in 0..ROUNDS {
            if !client.send(&part).await {
                break;
            }
        }
        client.farewell().await
    })
    .await;
    // empty ones are no better
    under(&gatepost, |ingress| async move {
        let mut client = Http2::connect(ingress).await;
        client.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await;
        let parts = frame(CONTINUATION, 0, 1, b"").repeat(100);
        for _ in 0..ROUNDS {
            if !client.send(&parts).await {
                break;
            }
        }
        client.farewell().await
    })
    .await;
}

#[tokio::test]
async fn frames_without_use_are_ended_and_counted() {
    let (gatepost, _upstream) = start().await;
    let kinds = [
        ("SETTINGS", frame(SETTINGS, 0, 0, b"")),
        ("PING", frame(PING, 0, 0, b"01234567")),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("an unknown frame", frame(0x42, 0, 0, b"")),
    ];
    for (at, (kind, useless)) in kinds.into_iter().enumerate() {
        let batch = useless.repeat(100);
        under(&gatepost, move |ingress| {
            let batch = batch.clone();
            async move {
                let mut client = Http2::connect(ingress).await;
                for round in 0..ROUNDS {
                    // answers are read, so that only the limit can end it
                    if !(client.send(&batch).await && client.caught_up().await) {
                        return None;
                    }
                    assert!(round < ROUNDS / 2, "{kind} without end");
                }
                None
            }
        })
        .await;
        let count = (at + 1) * ATTACKERS;
        let reason = r#"listener="ingress",reason="http2_control_frames""#;
        gatepost
            .counts(&format!(
                "gatepost_connections_refused_total{{{reason}}} {count}"
            ))
            .await;
    }
}

#[tokio::test]
async fn empty_parts_of_a_body_are_ended() {
    let (gatepost, _upstream) = start().await;
    under(&gatepost, |ingress| async move {
        let mut client = Http2::connect(ingress).await;
        client
            .send(&frame(HEADERS, END_HEADERS, 1, &get("/")))
            .await;
        let parts = frame(DATA, 0, 1, b"").repeat(100);
        for _ in 0..ROUNDS {
            if !client.send(&parts).await {
                break;
            }
        }
        client.farewell().await
    })
    .await;
}
