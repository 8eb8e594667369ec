//! Who waits for a turn: new tokens, and nobody else.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt as _;

use super::*;

/// Nobody's turn comes while it is shut.
#[derive(Debug, Default)]
struct Gatekeeper {
    shut: AtomicBool,
    /// How many went on.
    ended: AtomicUsize,
}

impl Turns for Gatekeeper {
    fn wait(&self) -> Option<Boxed<'_, ()>> {
        let shut = self.shut.load(Ordering::Relaxed);
        shut.then(|| Box::pin(std::future::pending()) as Boxed<'_, ()>)
    }

    fn end(&self) -> Option<Boxed<'_, ()>> {
        self.ended.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[tokio::test]
async fn known_tokens_do_not_wait_behind_new_ones() {
    let turns = Arc::new(Gatekeeper::default());
    let parts = Parts {
        turns: Some(Arc::<Gatekeeper>::clone(&turns)),
        ..parts(
            Arc::new(FixedKeys(vec![key_set(SECRET)])),
            vec![issuer("users", "app")],
        )
    };
    let gate = Gate::new(parts, None);
    let known = mint(SECRET, &json!({}));
    for _ in 0..2 {
        let judgement = ask(&gate, "/users/1", Some(&known), NOW).await;
        assert_eq!(outcome(&judgement), "allow");
    }
    turns.shut.store(true, Ordering::Relaxed);
    for token in [Some(known.as_str()), None] {
        let decided = ask(&gate, "/users/1", token, NOW).now_or_never();
        assert!(decided.is_some(), "{token:?}");
    }
    assert_eq!(turns.ended.load(Ordering::Relaxed), 2);
    let new = mint(SECRET, &json!({"sub": "eve"}));
    for token in [&new, "no.such.token"] {
        let decided = ask(&gate, "/users/1", Some(token), NOW).now_or_never();
        assert!(decided.is_none(), "{token}");
    }
}
