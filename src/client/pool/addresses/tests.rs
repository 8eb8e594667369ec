use std::collections::{HashMap, HashSet};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::gate::Boxed;
use crate::telemetry::{Plane, Telemetry};

const SECOND: Duration = Duration::from_secs(1);

/// Answers that a test changes; a name without one is never answered.
#[derive(Debug, Default)]
struct Answers {
    by_name: Mutex<HashMap<&'static str, Vec<&'static str>>>,
    asked: Mutex<Vec<String>>,
}

impl Answers {
    fn set(&self, name: &'static str, addresses: &[&'static str]) {
        let mut answers = self.by_name.lock().unwrap();
        answers.insert(name, addresses.to_vec());
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolve for Answers {
    fn resolve<'s>(&'s self, name: &'s str) -> Boxed<'s, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let answer = self.by_name.lock().unwrap().get(name).cloned();
        Box::pin(async move {
            match answer {
                None => std::future::pending().await,
                Some(addresses) if addresses.is_empty() => Err(io::Error::other("NXDOMAIN")),
                Some(addresses) => Ok(addresses
                    .iter()
                    .map(|address| address.parse().unwrap())
                    .collect()),
            }
        })
    }
}

struct Given {
    addresses: Arc<Addresses>,
    answers: Arc<Answers>,
    telemetry: Arc<Telemetry>,
    tasks: TaskTracker,
}

impl Given {
    /// A server at these places; `answers` answer before anything is asked.
    fn new(places: &[&str], answers: &[(&'static str, &[&'static str])]) -> Self {
        Self::letting(true, places, answers)
    }

    /// The same, whose names may or may not lead to link-local addresses.
    fn letting(
        link_local: bool,
        places: &[&str],
        answers: &[(&'static str, &[&'static str])],
    ) -> Self {
        let telemetry = Telemetry::quiet();
        let known = Arc::new(Answers::default());
        for (name, addresses) in answers {
            known.set(name, addresses);
        }
        let mut server = config::Server::at("http://app.internal:80".parse().unwrap());
        server.endpoints = places
            .iter()
            .map(|place| config::Endpoint {
                host: Host::parse(place).unwrap(),
                port: 80,
            })
            .collect();
        let tasks = TaskTracker::new();
        let background = Background {
            tasks: tasks.clone(),
            stop: CancellationToken::new(),
        };
        let metrics = telemetry.metrics.server(Plane::Ingress, "app");
        let resolver = Arc::clone(&known) as Arc<dyn Resolve>;
        Self {
            addresses: Addresses::resolved_by(&resolver, &server, link_local, metrics, &background),
            answers: known,
            telemetry,
            tasks,
        }
    }

    /// Where the next `count` requests go.
    fn picks(&self, count: usize) -> Vec<String> {
        let set = self.addresses.now();
        (0..count)
            .map(|turn| set.pick(turn, &[]).unwrap().at().ip().to_string())
            .collect()
    }

    fn address(&self, ip: &str) -> Arc<Address> {
        let set = self.addresses.now();
        let mut all = set.addresses.iter();
        let found = all.find(|address| address.at().ip().to_string() == ip);
        Arc::clone(found.unwrap())
    }

    /// Waits for the first answer.
    async fn known(&self) {
        let deadline = Instant::now() + SECOND;
        self.addresses.known(deadline).await.unwrap();
    }

    fn fail(&self, ip: &str, times: usize) {
        (0..times).for_each(|_| self.address(ip).failed());
    }

    fn metric(&self, name: &str) -> String {
        let sample = format!("{name}{{plane=\"ingress\",upstream=\"app\"}} ");
        let text = self.telemetry.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(&sample));
        value.unwrap().to_owned()
    }
}

/// Lets the background tasks run for this long.
async fn pass(time: Duration) {
    // a moment more: what is due in the same millisecond happens in no order
    tokio::time::sleep(time + Duration::from_millis(2)).await;
}

#[tokio::test(start_paused = true)]
async fn literals_and_localhost_need_no_resolver() {
    let given = Given::new(&["10.0.0.1", "[2001:db8::1]"], &[]);
    assert_eq!(
        given.picks(4),
        ["10.0.0.1", "2001:db8::1", "10.0.0.1", "2001:db8::1"]
    );
    let given = Given::new(&["localhost"], &[]);
    assert_eq!(given.picks(2), ["127.0.0.1", "127.0.0.1"]);
    // its other family, if the first fails this request
    let tried = [given.address("127.0.0.1")];
    let set = given.addresses.now();
    assert_eq!(set.pick(0, &tried).unwrap().at().to_string(), "[::1]:80");
    assert!(
        set.pick(0, &[given.address("127.0.0.1"), given.address("::1")])
            .is_none()
    );
    pass(SECOND * 60).await;
    assert_eq!(given.answers.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_leads_to_no_link_local_address_unless_it_may() {
    const METADATA: &str = "169.254.169.254";
    let place = &["app.internal"][..];
    let given = Given::letting(true, place, &[("app.internal", &[METADATA])]);
    given.known().await;
    assert_eq!(given.picks(1), [METADATA]);

    let given = Given::letting(false, place, &[("app.internal", &["10.0.0.1"])]);
    given.known().await;
    // the answer changes under us, and not one request follows
    for answer in [&[METADATA][..], &["::ffff:a9fe:a9fe", "fe80::1"]] {
        given.answers.set("app.internal", answer);
        pass(SECOND * 10).await;
        assert!(given.addresses.now().pick(0, &[]).is_none(), "{answer:?}");
        let refused = given.addresses.known(Instant::now()).await;
        assert!(
            matches!(refused, Err(Unresolved::LinkLocal(_))),
            "{refused:?}"
        );
        let told = given.addresses.report()["unresolved"].to_string();
        assert!(told.contains("link-local"), "{told}");
    }
    given.answers.set("app.internal", &["fe80::1", "10.0.0.2"]);
    pass(SECOND * 10).await;
    assert_eq!(given.picks(2), ["10.0.0.2", "10.0.0.2"]);

    // who writes the address itself means it
    let given = Given::letting(false, &[METADATA, "[fd00:ec2::254]"], &[]);
    assert_eq!(given.picks(2), [METADATA, "fd00:ec2::254"]);
}

#[tokio::test(start_paused = true)]
async fn the_family_the_resolver_prefers_takes_the_requests() {
    let answer = &["2001:db8::1", "10.0.0.1", "2001:db8::2"];
    let given = Given::new(&["app.internal"], &[("app.internal", answer)]);
    given.known().await;
    assert_eq!(
        given.picks(3),
        ["2001:db8::1", "2001:db8::2", "2001:db8::1"]
    );
    given.fail("2001:db8::1", 3);
    given.fail("2001:db8::2", 3);
    assert_eq!(given.picks(2), ["10.0.0.1", "10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_awaited_and_a_failure_is_told_at_once() {
    let given = Given::new(&["slow"], &[]);
    let begun = Instant::now();
    let late = given.addresses.known(begun + SECOND).await;
    assert!(matches!(late, Err(Unresolved::Late)), "{late:?}");
    assert_eq!(begun.elapsed(), SECOND);

    let given = Given::new(&["nowhere"], &[("nowhere", &[])]);
    let begun = Instant::now();
    let failed = given.addresses.known(begun + SECOND).await.unwrap_err();
    assert_eq!(failed.to_string(), "cannot resolve nowhere: NXDOMAIN");
    assert!(begun.elapsed() < SECOND);

    // one that is slow does not hold back another
    let given = Given::new(&["slow", "10.0.0.1"], &[]);
    given.addresses.known(Instant::now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_change_in_dns_is_followed_and_what_is_gone_is_marked() {
    let given = Given::new(&["app"], &[("app", &["10.0.0.1", "10.0.0.2"])]);
    given.known().await;
    let (stays, goes) = (given.address("10.0.0.1"), given.address("10.0.0.2"));
    given.fail("10.0.0.2", 3);
    assert_eq!(given.metric("gatepost_upstream_ejected"), "1");
    given.answers.set("app", &["10.0.0.3", "10.0.0.1"]);
    pass(SECOND * 10).await;
    assert_eq!(given.picks(2), ["10.0.0.3", "10.0.0.1"]);
    assert!(goes.is_gone() && !stays.is_gone());
    assert!(Arc::ptr_eq(&stays, &given.address("10.0.0.1")));
    // nobody waits for it to come back
    goes.failed();
    assert_eq!(given.metric("gatepost_upstream_ejected"), "0");
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_used_for_thirty_seconds_and_no_longer() {
    let given = Given::new(&["app"], &[("app", &["10.0.0.1"])]);
    given.known().await;
    let address = given.address("10.0.0.1");
    given.answers.set("app", &[]);
    // the failure is noticed within dns_refresh, and 30 s begin
    pass(SECOND * 38).await;
    assert_eq!(given.picks(1), ["10.0.0.1"]);
    pass(SECOND * 4).await;
    let failed = given.addresses.known(Instant::now()).await.unwrap_err();
    assert_eq!(failed.to_string(), "cannot resolve app: NXDOMAIN");
    assert!(address.is_gone());
    given.answers.set("app", &["10.0.0.1"]);
    pass(SECOND * 2).await;
    given.addresses.known(Instant::now()).await.unwrap();
    assert!(!given.address("10.0.0.1").is_gone());
}

#[tokio::test(start_paused = true)]
async fn an_address_is_ejected_after_failures_in_a_row_and_back_with_an_answer() {
    let given = Given::new(&["10.0.0.1", "10.0.0.2", "10.0.0.3"], &[]);
    given.fail("10.0.0.1", 2);
    given.address("10.0.0.1").succeeded();
    given.fail("10.0.0.1", 2);
    assert_eq!(given.picks(3), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    given.fail("10.0.0.1", 1);
    assert_eq!(
        given.picks(4),
        ["10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.3"]
    );
    assert_eq!(given.metric("gatepost_upstream_ejected"), "1");
    assert_eq!(given.metric("gatepost_upstream_ejections_total"), "1");
    // requests that were on their way fail too: nothing new
    given.fail("10.0.0.1", 5);
    assert_eq!(given.metric("gatepost_upstream_ejections_total"), "1");

    // one request tries it after the time
    pass(SECOND * 10).await;
    assert_eq!(given.picks(3), ["10.0.0.1", "10.0.0.3", "10.0.0.2"]);
    given.address("10.0.0.1").succeeded();
    assert_eq!(given.picks(3), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(given.metric("gatepost_upstream_ejected"), "0");
}

#[tokio::test(start_paused = true)]
async fn each_ejection_in_a_row_is_longer_up_to_eight_times() {
    let given = Given::new(&["10.0.0.1", "10.0.0.2"], &[]);
    let mut times = HashSet::new();
    for (round, longest) in [10, 20, 40, 80, 80].into_iter().enumerate() {
        given.fail("10.0.0.1", if round == 0 { 3 } else { 1 });
        let (_failures, time) = given.address("10.0.0.1").report();
        let longest = SECOND * longest;
        assert!(
            time <= longest && time + SECOND >= longest.mul_f64(0.9),
            "{time:?}"
        );
        times.insert(time.subsec_millis());
        assert_eq!(given.picks(2), ["10.0.0.2", "10.0.0.2"]);
        pass(longest).await;
        assert_eq!(given.picks(1), ["10.0.0.1"], "the trial");
    }
    assert!(times.len() > 1, "jittered: {times:?}");
    assert_eq!(given.metric("gatepost_upstream_ejected"), "1");
    assert_eq!(given.metric("gatepost_upstream_ejections_total"), "5");
    // a trial that comes to nothing makes room for another
    assert_eq!(given.picks(1), ["10.0.0.2"]);
    pass(SECOND).await;
    assert_eq!(given.picks(2), ["10.0.0.1", "10.0.0.2"]);
}

#[tokio::test(start_paused = true)]
async fn if_all_are_ejected_the_one_whose_time_ends_first_is_tried() {
    let given = Given::new(&["10.0.0.1", "10.0.0.2"], &[]);
    given.fail("10.0.0.2", 3);
    pass(SECOND * 2).await;
    given.fail("10.0.0.1", 3);
    assert_eq!(given.picks(2), ["10.0.0.2", "10.0.0.2"]);
    let tried = [given.address("10.0.0.2")];
    let set = given.addresses.now();
    assert_eq!(
        set.pick(0, &tried).unwrap().at().ip().to_string(),
        "10.0.0.1"
    );
    // the only address is never left out
    let given = Given::new(&["10.0.0.1"], &[]);
    given.fail("10.0.0.1", 100);
    assert_eq!(given.picks(1), ["10.0.0.1"]);
    assert_eq!(
        given.addresses.report()["addresses"][0],
        json!({
            "address": "10.0.0.1:80",
            "ejected": true,
            "failures": 100,
            "ejected_for_seconds": 9,
        })
    );
}

#[tokio::test(start_paused = true)]
async fn resolution_ends_with_the_pool_and_its_ejections_are_not_counted_on() {
    let given = Given::new(&["app"], &[("app", &["10.0.0.1"])]);
    given.known().await;
    given.fail("10.0.0.1", 3);
    let Given {
        addresses,
        answers,
        telemetry,
        tasks,
    } = given;
    drop(addresses);
    tasks.close();
    tasks.wait().await;
    let asked = answers.asked();
    pass(SECOND * 60).await;
    assert_eq!(answers.asked(), asked);
    let text = telemetry.metrics.render();
    assert!(text.contains(r#"gatepost_upstream_ejected{plane="ingress",upstream="app"} 0"#));
}
