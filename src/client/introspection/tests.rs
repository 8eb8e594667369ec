//! Questions against a scripted endpoint, in paused time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderValue, Request, StatusCode};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::*;
use crate::client::aws::AwsError;
use crate::client::outgoing::{FetchError, Fetched};
use crate::client::token::Refused;
use crate::clock::{ManualClock, UnixTime};
use crate::config::{
    AskedAt, AskedIssuer, ClientAuthentication, OAuthClient, TokenProtocol, WebIdentityToken,
};
use crate::secret::{Secret, SecretError, SecretSource};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Reply {
    Json(u16, String),
    Error(FetchError),
    Slow(Duration),
    Panic,
}

fn active() -> Reply {
    Reply::Json(200, json!({"active": true, "sub": "ada"}).to_string())
}

fn inactive() -> Reply {
    Reply::Json(200, json!({"active": false}).to_string())
}

/// Says the same to everybody but one, and counts.
#[derive(Debug)]
struct Script {
    reply: Mutex<Reply>,
    /// About this token it says that.
    but: Mutex<Option<(u32, Reply)>>,
    asked: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Script {
    fn play(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    fn play_for(&self, token: u32, reply: Reply) {
        *self.but.lock().unwrap() = Some((token, reply));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// One question less on its way, answered or cut off.
struct Done<'n>(&'n AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Endpoint for Script {
    fn post<'p>(
        &'p self,
        _url: &'p Url,
        form: &'p [(&'p str, &'p str)],
        _authorization: Option<HeaderValue>,
    ) -> Boxed<'p, Result<Fetched, FetchError>> {
        assert!(form.contains(&("token_type_hint", "access_token")));
        self.asked.fetch_add(1, Ordering::SeqCst);
        let but = self.but.lock().unwrap().clone();
        let of_this =
            |(token, _): &(u32, Reply)| form.contains(&("token", &*format!("token-{token}")));
        let but = but.filter(of_this).map(|(_, reply)| reply);
        let reply = but.unwrap_or_else(|| self.reply.lock().unwrap().clone());
        Box::pin(async move {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            let _done = Done(&self.now);
            self.most.fetch_max(now, Ordering::SeqCst);
            let reply = match reply {
                Reply::Slow(by) => {
                    sleep(by).await;
                    active()
                }
                other @ (Reply::Json(..) | Reply::Error(_) | Reply::Panic) => other,
            };
            match reply {
                Reply::Json(status, body) => Ok(Fetched {
                    status: StatusCode::from_u16(status).unwrap(),
                    body: Bytes::from(body),
                    max_age: None,
                    retry_after: None,
                }),
                Reply::Error(error) => Err(error),
                Reply::Slow(_) | Reply::Panic => panic!("scripted"),
            }
        })
    }

    fn send(&self, _request: Request<Bytes>) -> Boxed<'_, Result<Fetched, FetchError>> {
        panic!("not asked so here")
    }

    fn load<'l>(
        &'l self,
        _source: &'l SecretSource,
        _refused: Option<Refused<'l>>,
    ) -> Boxed<'l, Result<Secret, SecretError>> {
        panic!("no secret here")
    }

    fn web_identity_token<'w>(
        &'w self,
        _wanted: &'w WebIdentityToken,
        _refused: Option<&'w Secret>,
    ) -> Boxed<'w, Result<Secret, AwsError>> {
        panic!("no AWS here")
    }
}

struct Bench {
    script: Arc<Script>,
    clock: Arc<ManualClock>,
    judge: Arc<Judge>,
}

impl Bench {
    fn new(reply: Reply) -> Self {
        let script = Arc::new(Script {
            reply: Mutex::new(reply),
            but: Mutex::default(),
            asked: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let clock = Arc::new(ManualClock::new(UnixTime(1_800_000_000)));
        let url = Url::parse("https://op.example/introspect").unwrap();
        let definition = AskedIssuer {
            protocol: TokenProtocol::Introspection {
                client: Box::new(OAuthClient {
                    token_url: url.clone(),
                    client_id: "gatepost".to_owned(),
                    authentication: ClientAuthentication::None,
                    insecure_http: false,
                }),
                at: AskedAt::Url(url),
            },
            cache: Duration::from_secs(60),
            negative_cache: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
        };
        let background = Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let judge = Judge::new(
            &Arc::from("opaque"),
            &definition,
            &(Arc::clone(&script) as Arc<dyn Endpoint>),
            &(Arc::clone(&clock) as Arc<dyn Clock>),
            &Telemetry::quiet(),
            &background,
        );
        Self {
            script,
            clock,
            judge: Arc::new(judge),
        }
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        sleep(time).await;
    }

    async fn ask(&self, token: u32) -> Said {
        let mut tag = [0; 16];
        tag[..4].copy_from_slice(&token.to_be_bytes());
        self.judge.ask(&tag, &format!("token-{token}")).await
    }
}

fn is_active(said: &Said) -> bool {
    matches!(said, Said::Active { .. })
}

fn is_unknown(said: &Said) -> bool {
    matches!(said, Said::Unknown { retry_after } if *retry_after >= SECOND)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_are_one_question() {
    let bench = Bench::new(Reply::Slow(SECOND));
    let said = join_all((0..1000).map(|_| bench.ask(1))).await;
    assert!(said.iter().all(is_active));
    assert_eq!(bench.script.asked(), 1);
    // and who comes as they leave finds the answer
    assert!(is_active(&bench.ask(1).await));
    assert_eq!(bench.script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_for_its_time_and_then_asked_for_again() {
    let bench = Bench::new(active());
    assert!(is_active(&bench.ask(1).await));
    bench.script.play(inactive());
    bench.pass(Duration::from_secs(59)).await;
    assert!(is_active(&bench.ask(1).await));
    bench.pass(SECOND).await;
    assert!(matches!(bench.ask(1).await, Said::Inactive), "revoked");
    bench.script.play(active());
    bench.pass(Duration::from_secs(9)).await;
    assert!(matches!(bench.ask(1).await, Said::Inactive));
    bench.pass(SECOND).await;
    assert!(is_active(&bench.ask(1).await));
    assert_eq!(bench.script.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_does_not_end_the_question() {
    let bench = Bench::new(Reply::Slow(SECOND));
    let first = tokio::time::timeout(Duration::from_millis(10), bench.ask(1));
    assert!(first.await.is_err(), "it went away");
    bench.pass(SECOND).await;
    assert!(is_active(&bench.ask(1).await));
    assert_eq!(bench.script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_is_neither_yes_nor_no() {
    for reply in [
        Reply::Json(200, String::new()),
        Reply::Json(200, "<html>".to_owned()),
        Reply::Json(200, "[]".to_owned()),
        Reply::Json(200, "{}".to_owned()),
        Reply::Json(200, "eyJhbGciOiJub25lIn0.eyJhY3RpdmUiOnRydWV9.".to_owned()),
        Reply::Json(200, json!({"active": "true", "sub": "ada"}).to_string()),
        Reply::Json(200, json!({"active": 1, "sub": "ada"}).to_string()),
        Reply::Json(200, json!({"active": null}).to_string()),
        Reply::Json(200, json!({"active": [true]}).to_string()),
        Reply::Json(
            200,
            "{\"active\":false,\"active\":true,\"sub\":\"ada\"}".to_owned(),
        ),
        Reply::Json(201, json!({"active": true}).to_string()),
        Reply::Json(204, String::new()),
        Reply::Json(401, json!({"error": "invalid_client"}).to_string()),
        Reply::Json(403, json!({"active": false}).to_string()),
        Reply::Json(500, json!({"active": true}).to_string()),
        Reply::Error(FetchError::Redirect(StatusCode::FOUND)),
        Reply::Error(FetchError::TooLarge(1)),
        Reply::Error(FetchError::Connect("refused".to_owned())),
        Reply::Slow(Duration::from_secs(60)),
        Reply::Panic,
    ] {
        let bench = Bench::new(reply.clone());
        let said = bench.ask(1).await;
        assert!(is_unknown(&said), "{reply:?}: {said:?}");
        bench.script.play(active());
        bench.pass(Duration::from_secs(2)).await;
        assert!(is_active(&bench.ask(1).await), "{reply:?}: asked again");
    }
}

fn gone() -> Reply {
    Reply::Error(FetchError::Connect("refused".to_owned()))
}

fn not_let_in() -> Reply {
    Reply::Json(401, json!({"error": "invalid_client"}).to_string())
}

#[tokio::test(start_paused = true)]
async fn while_nobody_is_there_nobody_is_asked_and_known_answers_hold() {
    let bench = Bench::new(active());
    assert!(is_active(&bench.ask(0).await));
    bench.script.play(gone());
    for token in 1..1000 {
        assert!(is_unknown(&bench.ask(token).await));
    }
    assert_eq!(bench.script.asked(), 2, "a rest");
    assert!(is_active(&bench.ask(0).await));
    // then one finds out
    bench.pass(SECOND).await;
    bench.script.play(Reply::Slow(SECOND));
    let said = join_all((2000..2100).map(|token| bench.ask(token))).await;
    assert_eq!(said.iter().filter(|said| is_active(said)).count(), 1);
    assert_eq!(bench.script.asked(), 3);
    bench.script.play(active());
    let said = join_all((3000..3040).map(|token| bench.ask(token))).await;
    assert!(said.iter().all(is_active), "it is back");
}

#[tokio::test(start_paused = true)]
async fn that_our_client_is_not_let_in_is_believed_of_tokens_that_were_good_or_where_none_was() {
    let bench = Bench::new(not_let_in());
    assert!(is_unknown(&bench.ask(1).await));
    let asked = bench.script.asked();
    assert!(is_unknown(&bench.ask(2).await));
    assert_eq!(bench.script.asked(), asked, "nobody is asked");

    let bench = Bench::new(active());
    assert!(is_active(&bench.ask(0).await));
    bench.pass(Duration::from_secs(60)).await;
    for token in 1..20 {
        bench.script.play_for(token, not_let_in());
        assert!(is_unknown(&bench.ask(token).await));
    }
    assert!(is_active(&bench.ask(0).await));
    assert!(is_active(&bench.ask(99).await));
    bench.pass(Duration::from_secs(60)).await;
    bench.script.play(not_let_in());
    assert!(is_unknown(&bench.ask(0).await));
    let asked = bench.script.asked();
    assert!(is_unknown(&bench.ask(100).await));
    assert_eq!(bench.script.asked(), asked, "nobody is asked");
}

#[tokio::test(start_paused = true)]
async fn two_good_tokens_without_an_answer_in_time_are_an_outage_and_made_up_ones_never() {
    let hang = || Reply::Slow(Duration::from_secs(60));
    let bench = Bench::new(active());
    for good in 0..3 {
        assert!(is_active(&bench.ask(good).await));
    }
    bench.pass(Duration::from_secs(60)).await;
    // one that hangs, again and again
    bench.script.play_for(0, hang());
    for _ in 0..5 {
        assert!(is_unknown(&bench.ask(0).await));
        bench.pass(Duration::from_secs(6)).await;
    }
    // and a server that lets strangers wait
    bench.script.play(hang());
    let said = join_all((1000..1020).map(|token| bench.ask(token))).await;
    assert!(said.iter().all(is_unknown));
    bench.script.play_for(1, active());
    assert!(is_active(&bench.ask(1).await));
    bench.script.play_for(99, active());
    assert!(is_active(&bench.ask(99).await), "a new one too");
    // two that were good
    bench.pass(Duration::from_secs(60)).await;
    assert!(is_unknown(&bench.ask(1).await) || is_unknown(&bench.ask(2).await));
    assert!(is_unknown(&bench.ask(2).await));
    let asked = bench.script.asked();
    assert!(is_unknown(&bench.ask(99).await));
    assert!(is_unknown(&bench.ask(5000).await));
    assert_eq!(bench.script.asked(), asked, "nobody is asked");
}

#[tokio::test(start_paused = true)]
async fn whoever_makes_tokens_up_cannot_take_the_probe_of_those_that_were_good() {
    let bench = Bench::new(active());
    assert!(is_active(&bench.ask(0).await));
    bench.pass(Duration::from_secs(60)).await;
    bench.script.play(gone());
    assert!(is_unknown(&bench.ask(0).await));
    bench.pass(SECOND).await;
    bench.script.play(Reply::Slow(Duration::from_secs(60)));
    bench.script.play_for(0, active());
    let made_up = bench.ask(1000);
    let good = async {
        sleep(Duration::from_millis(10)).await;
        bench.ask(0).await
    };
    let (_, good) = tokio::join!(made_up, good);
    assert!(is_active(&good), "{good:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_no_longer_than_its_token_and_a_second_at_least() {
    let ends = |exp: u64| {
        let answer = json!({"active": true, "sub": "ada", "exp": 1_800_000_000 + exp});
        Reply::Json(200, answer.to_string())
    };
    let bench = Bench::new(ends(20));
    assert!(is_active(&bench.ask(1).await));
    bench.pass(Duration::from_secs(19)).await;
    assert!(is_active(&bench.ask(1).await));
    assert_eq!(bench.script.asked(), 1);
    bench.pass(SECOND).await;
    // past its end, as clocks differ: each second, not each request
    assert!(is_active(&bench.ask(1).await));
    assert!(is_active(&bench.ask(1).await));
    assert_eq!(bench.script.asked(), 2);
    bench.script.play(inactive());
    bench.pass(SECOND).await;
    assert!(matches!(bench.ask(1).await, Said::Inactive));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_issuer_stumbles_over_keeps_nobody_else_out() {
    for reply in [
        Reply::Json(400, json!({"error": "invalid_request"}).to_string()),
        Reply::Json(403, String::new()),
        Reply::Json(403, json!({"error": "blocked"}).to_string()),
        Reply::Json(404, String::new()),
        Reply::Json(429, String::new()),
        Reply::Json(500, String::new()),
        Reply::Json(503, String::new()),
        Reply::Json(200, "<html>".to_owned()),
        Reply::Error(FetchError::TooLarge(1)),
        Reply::Panic,
    ] {
        let bench = Bench::new(reply.clone());
        for token in 0..20 {
            assert!(is_unknown(&bench.ask(token).await));
        }
        assert_eq!(bench.script.asked(), 20, "{reply:?}");
        bench.script.play(active());
        assert!(is_active(&bench.ask(99).await), "{reply:?}");
        // itself it is left alone for a moment
        assert!(is_unknown(&bench.ask(1).await), "{reply:?}");
        assert_eq!(bench.script.asked(), 21, "{reply:?}");
        bench.pass(Duration::from_secs(2)).await;
        assert!(is_active(&bench.ask(1).await), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_tokens_leave_places_for_those_that_were_good() {
    let bench = Bench::new(active());
    for token in 0..10 {
        assert!(is_active(&bench.ask(token).await));
    }
    bench.pass(Duration::from_secs(60)).await;
    bench.script.play(Reply::Slow(Duration::from_secs(4)));
    let made_up = join_all((1000..3000).map(|token| bench.ask(token)));
    let good = async {
        sleep(Duration::from_millis(10)).await;
        join_all((0..10).map(|token| bench.ask(token))).await
    };
    let (made_up, good) = tokio::join!(made_up, good);
    assert!(good.iter().all(is_active), "{good:?}");
    assert!(made_up.iter().filter(|said| is_unknown(said)).count() >= 2000 - 48);
    assert_eq!(bench.script.most.load(Ordering::SeqCst), 48 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_tokens_neither_flood_the_issuer_nor_the_memory() {
    let bench = Bench::new(Reply::Slow(SECOND));
    let said = join_all((0..100_000).map(|token| bench.ask(token))).await;
    let unknown = said.iter().filter(|said| is_unknown(said)).count();
    assert!(unknown >= 100_000 - 1024, "{unknown}");
    // who has no place in half the time is not asked about
    assert!(bench.script.asked() <= 3 * 48, "{}", bench.script.asked());
    assert_eq!(bench.script.most.load(Ordering::SeqCst), 48);
    bench.script.play(inactive());
    bench.pass(Duration::from_secs(60)).await;
    for token in 0..30_000 {
        bench.ask(token).await;
    }
    assert!(bench.judge.remembered() <= 10_000 + 1024 + 10);
    bench.script.play(Reply::Json(500, String::new()));
    for token in 30_000..60_000 {
        bench.ask(token).await;
    }
    assert!(bench.judge.remembered() <= 2 * 10_000 + 1024 + 10);
}
