//! Who guesses is locked out, and nobody else is.

use serde_json::Value;

use super::{ADA, Setup, basic, challenges};
use crate::support::http::Reply;

impl Setup {
    async fn ask_from(&self, address: &str, pair: &str) -> Reply {
        let call = self.gatepost.get("/orders").await;
        let call = call.header("x-forwarded-for", address);
        call.header("authorization", &basic(pair)).send().await
    }

    async fn reason(&self, reply: &Reply) -> Value {
        self.gatepost.line_of(reply).await["reason"].clone()
    }
}

const LOCKOUT: &str = "lockout = { attempts = 3, window = \"10m\", duration = \"10m\" }";

#[tokio::test]
async fn a_source_is_locked_out_of_one_user_and_others_pass() {
    let setup = Setup::start(LOCKOUT).await;
    let (bad, home) = ("203.0.113.9", "198.51.100.7");
    assert_eq!(setup.ask_from(bad, ADA).await.status, 200);
    for number in 0..3 {
        let reply = setup.ask_from(bad, &format!("ada:guess {number}")).await;
        assert_eq!(reply.status, 401);
    }
    // not even what it knew before helps it now
    for pair in ["ada:guess 4", ADA] {
        let reply = setup.ask_from(bad, pair).await;
        assert_eq!(reply.status, 429);
        let after: u64 = reply.header("retry-after").parse().unwrap();
        assert!((590..=600).contains(&after), "{after}");
        assert_eq!(challenges(&reply), Vec::<&str>::new());
        assert_eq!(setup.reason(&reply).await, "locked_out");
    }
    // the same user from elsewhere, another from there, and a token too
    assert_eq!(setup.ask_from(home, ADA).await.status, 200);
    assert_eq!(setup.ask_from(bad, "bob:open sesame").await.status, 200);
    setup
        .gatepost
        .counts("gatepost_passwords_total{result=\"locked_out\"} 2")
        .await;
    // a name nobody has is locked just the same
    for number in 0..4 {
        let reply = setup.ask_from(bad, &format!("nobody:guess {number}")).await;
        assert_eq!(reply.status, if number < 3 { 401 } else { 429 });
    }
    assert!(!setup.gatepost.output().contains("nobody"));
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_source_and_what_a_stranger_states_is_none() {
    let setup = Setup::start(LOCKOUT).await;
    for number in 1..=3 {
        let from = format!("2001:db8:0:1::{number}");
        let reply = setup.ask_from(&from, &format!("ada:guess {number}")).await;
        assert_eq!(reply.status, 401);
    }
    assert_eq!(
        setup.ask_from("2001:db8:0:1:ffff::1", ADA).await.status,
        429
    );
    assert_eq!(setup.ask_from("2001:db8:0:2::1", ADA).await.status, 200);
    // what stands left of what the proxy saw is the client's own word
    for number in 0..3 {
        let from = format!("198.51.100.{number}, 203.0.113.9");
        setup.ask_from(&from, &format!("ada:other {number}")).await;
    }
    assert_eq!(setup.ask_from("203.0.113.9", ADA).await.status, 429);
}

#[tokio::test]
async fn the_same_wrong_password_again_and_again_locks_nobody_out() {
    let setup = Setup::start(LOCKOUT).await;
    let before = setup.hashes().await;
    for _each in 0..20 {
        assert_eq!(setup.ask("/orders", "ada:old password").await.status, 401);
    }
    assert!(setup.hashes().await <= before + 2);
    assert_eq!(setup.ask("/orders", ADA).await.status, 200);
}

#[tokio::test]
async fn a_crowd_that_guesses_at_one_user_does_not_lock_her_out() {
    let setup = Setup::start(LOCKOUT).await;
    assert_eq!(setup.ask_from("198.51.100.7", ADA).await.status, 200);
    let guesses = (0..200).map(|number| {
        let setup = &setup;
        async move {
            let pair = format!("ada:guess {number}");
            setup
                .ask_from(&format!("203.0.113.{number}"), &pair)
                .await
                .status
                .as_u16()
        }
    });
    let answers = futures_util::future::join_all(guesses).await;
    assert!(
        answers.iter().all(|status| matches!(status, 401 | 503)),
        "{answers:?}"
    );
    assert!(answers.contains(&503), "{answers:?}");
    // once more with a hash: the reload forgets what was found right
    let users =
        String::from_utf8(std::fs::read(setup.users.path().join("users")).unwrap()).unwrap();
    let text = users.replace("$2y$", "$2b$");
    setup.write(&text, "accepted", 1).await;
    assert_eq!(setup.ask_from("198.51.100.7", ADA).await.status, 200);
}
