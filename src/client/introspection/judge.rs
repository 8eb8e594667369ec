//! One issuer that is asked: who asks, who waits, and what becomes of the answer.

use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::book::{Book, Turn};
use super::question::{Answer, Question, Unanswered};
use crate::authn::opaque;
use crate::client::jwks::Background;
use crate::client::outgoing;
use crate::client::token::Endpoint;
use crate::clock::{Clock, UnixTime};
use crate::config::AskedIssuer;
use crate::gate::{Said, TokenTag};
use crate::secret::Secret;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::TokenAsked;

/// Questions on their way at once; about tokens that were never said to be good, fewer.
const MOST_AT_ONCE: usize = 64;
const MOST_STRANGERS: usize = 48;
/// When to try again, where nothing says better.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What an issuer asks for is told up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);
/// A lasting outage is logged once per this.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// One issuer.
#[derive(Debug)]
pub(super) struct Judge {
    name: Arc<str>,
    definition: AskedIssuer,
    question: Question,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    background: Background,
    runtime: Handle,
    places: Semaphore,
    strangers: Semaphore,
    book: Mutex<Book>,
    complained: Mutex<Option<Instant>>,
    hasher: RandomState,
    /// No other judge has it, but by a chance of 2⁻⁶⁴.
    pub(super) edition: u64,
}

/// How a question ended.
enum Ended {
    /// It was put.
    Asked(Result<Answer, Unanswered>),
    /// It was not; in this time, perhaps.
    Unasked(Duration),
}

impl Judge {
    pub(super) fn new(
        name: &Arc<str>,
        definition: &AskedIssuer,
        endpoint: &Arc<dyn Endpoint>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
    ) -> Self {
        Self {
            name: Arc::clone(name),
            question: Question::new(definition, endpoint),
            definition: definition.clone(),
            clock: Arc::clone(clock),
            telemetry: Arc::clone(telemetry),
            background: background.clone(),
            runtime: Handle::current(),
            places: Semaphore::new(MOST_AT_ONCE),
            strangers: Semaphore::new(MOST_STRANGERS),
            book: Mutex::new(Book::new()),
            complained: Mutex::default(),
            edition: RandomState::new().hash_one(name),
            hasher: RandomState::new(),
        }
    }

    /// Whether `other` would ask the same, as the same client.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.definition == other.definition
            && self.question.is_same(&other.question)
    }

    pub(super) fn ask_through(&self, endpoint: &Arc<dyn Endpoint>) {
        self.question.ask_through(endpoint);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    /// What the issuer says of `token`. Who goes away does not end the question: others may wait for it.
    pub(super) async fn ask(self: &Arc<Self>, tag: &TokenTag, token: &str) -> Said {
        let (now, at) = (self.clock.now(), Instant::now());
        let turn = self.book().turn(tag, now, at);
        let mut waiting = match turn {
            Turn::Known(Said::Unknown { retry_after }) => return unknown(retry_after),
            Turn::Known(told) => return told,
            Turn::Wait(waiting) => waiting,
            Turn::Ask { told, is_stranger } => self.begin(*tag, token, told, is_stranger, at),
        };
        // a question ends by its deadline; the second on top is for one that could not say so
        let longest = self.definition.timeout + Duration::from_secs(1);
        match timeout(longest, waiting.wait_for(Option::is_some)).await {
            Ok(Ok(told)) => told.clone(),
            Ok(Err(_)) | Err(_) => None,
        }
        .unwrap_or_else(|| unknown(RETRY_AFTER))
    }

    /// How many tokens anything is remembered of.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.book().len()
    }

    fn begin(
        self: &Arc<Self>,
        tag: TokenTag,
        token: &str,
        told: watch::Sender<Option<Said>>,
        is_stranger: bool,
        began: Instant,
    ) -> watch::Receiver<Option<Said>> {
        let waiting = told.subscribe();
        let asked_at = self.clock.now();
        let under_way = UnderWay {
            judge: Arc::clone(self),
            tag,
            is_stranger,
            began,
            asked_at,
            told,
            ended: None,
        };
        let token = Secret::new(token.to_owned());
        let stop = self.background.stop.clone();
        let question = async move {
            let mut under_way = under_way;
            let judge = Arc::clone(&under_way.judge);
            let put = judge.put(&token, is_stranger, began, asked_at);
            under_way.ended = stop.run_until_cancelled(put).await;
        };
        self.background.tasks.spawn_on(question, &self.runtime);
        waiting
    }

    /// One question, waiting for its turn included. A panic in it is no answer.
    async fn put(&self, token: &Secret, is_stranger: bool, began: Instant, now: UnixTime) -> Ended {
        // the other half is the answer's: what had less time says nothing of the issuer
        let half = self.definition.timeout / 2;
        let places = async {
            let strangers = if is_stranger {
                Some(self.strangers.acquire().await)
            } else {
                None
            };
            (strangers, self.places.acquire().await)
        };
        let Ok(_places) = timeout(half, places).await else {
            return Ended::Unasked(RETRY_AFTER);
        };
        let at = Instant::now();
        if let Some(rest) = self.book().health(is_stranger).rest(began, at) {
            return Ended::Unasked(rest);
        }
        let question = AssertUnwindSafe(self.question.put(token, now)).catch_unwind();
        let rest = (began + self.definition.timeout).saturating_duration_since(at);
        Ended::Asked(match timeout(rest, question).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => {
                self.telemetry.metrics.panicked();
                Err(Unanswered::of_token("internal error"))
            }
            Err(_elapsed) => Err(Unanswered::from(outgoing::FetchError::Timeout)),
        })
    }

    /// Keeps the answer where the next one looks, and says what those who wait are told.
    fn settle(&self, question: &UnderWay, ended: Ended) -> Said {
        let UnderWay {
            tag,
            is_stranger,
            began,
            asked_at,
            ..
        } = *question;
        let metrics = &self.telemetry.metrics;
        let mut book = self.book();
        let answer = match ended {
            Ended::Unasked(rest) => {
                book.health(is_stranger).unasked(began);
                return unknown(rest);
            }
            Ended::Asked(answer) => answer,
        };
        let unanswered = match answer {
            Ok(answer) => {
                if book.answered() {
                    *lock(&self.complained) = None;
                    tracing::info!(issuer = &*self.name, "the issuer answers again");
                }
                return match answer {
                    Answer::Active(claims) => {
                        metrics.token_asked(&self.name, TokenAsked::Active);
                        let cache = self.definition.cache.as_secs();
                        let until = opaque::used_until(&claims, asked_at, cache);
                        let told = Said::Active {
                            claims,
                            asked_at,
                            until,
                        };
                        book.active(tag, told.clone());
                        told
                    }
                    Answer::Inactive => {
                        metrics.token_asked(&self.name, TokenAsked::Inactive);
                        let until = asked_at.plus(self.definition.negative_cache.as_secs());
                        book.inactive(tag, until);
                        Said::Inactive
                    }
                };
            }
            Err(unanswered) => unanswered,
        };
        metrics.token_asked(&self.name, TokenAsked::Failed);
        if unanswered.is_of_endpoint() {
            self.question.forget_endpoint();
        }
        let (whom, of) = (self.hasher.hash_one(tag), unanswered.of);
        let retry_after = unanswered.error.retry_after();
        let everyones = book.failed(is_stranger, of, retry_after, whom, began);
        let rest = if everyones {
            // when the issuer answers again, it does so about this one
            retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER)
        } else {
            book.rests(tag, retry_after)
        };
        drop(book);
        self.complain(&unanswered);
        unknown(rest)
    }

    fn complain(&self, unanswered: &Unanswered) {
        let (issuer, error) = (&*self.name, unanswered);
        let now = Instant::now();
        let mut complained = lock(&self.complained);
        let loud =
            complained.is_none_or(|at| now.saturating_duration_since(at) >= COMPLAINT_INTERVAL);
        if loud {
            *complained = Some(now);
            tracing::warn!(issuer, %error, "no answer about a token: such requests are answered 503");
        } else {
            tracing::debug!(issuer, %error, "no answer about a token again");
        }
    }
}

fn unknown(rest: Duration) -> Said {
    Said::Unknown {
        retry_after: rest.max(RETRY_AFTER),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A question that is under way. However it ends, those who wait learn of it.
struct UnderWay {
    judge: Arc<Judge>,
    tag: TokenTag,
    is_stranger: bool,
    began: Instant,
    asked_at: UnixTime,
    told: watch::Sender<Option<Said>>,
    /// `None` if it came to no end: the process stops.
    ended: Option<Ended>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let ended = self.ended.take().unwrap_or(Ended::Unasked(RETRY_AFTER));
        let told = self.judge.settle(self, ended);
        // who comes later finds what was kept
        self.judge.book().ended(&self.tag);
        self.told.send_replace(Some(told));
    }
}
