//! Several tables that describe one issuer.

use super::*;

#[tokio::test]
async fn two_tables_of_one_issuer_each_prove_their_own_audience() {
    let keys = Arc::new(FixedKeys(vec![key_set(SECRET), key_set(SECRET)]));
    let tables = vec![issuer("web", "app"), issuer("machines", "batch")];
    let gate = Gate::new(parts(keys, tables), None);
    for (audience, table) in [("batch", "machines"), ("app", "web"), ("batch", "machines")] {
        let judged = ask(
            &gate,
            "/both",
            Some(&mint(SECRET, &json!({"aud": audience}))),
            NOW,
        )
        .await;
        assert_eq!(outcome(&judged), "allow");
        assert_eq!(&*judged.evidence.principal.unwrap().issuer, table);
    }
    let other = mint(SECRET, &json!({"aud": "batch"}));
    assert_eq!(
        outcome(&ask(&gate, "/users/1", Some(&other), NOW).await),
        "audience_mismatch"
    );
    let foreign = mint(SECRET, &json!({"iss": "https://issuer.test/"}));
    assert_eq!(
        outcome(&ask(&gate, "/both", Some(&foreign), NOW).await),
        "issuer_unknown"
    );
}

#[tokio::test]
async fn a_token_known_to_a_table_that_refuses_it_is_still_proven_by_another() {
    let keys = Arc::new(FixedKeys(vec![key_set(SECRET), key_set(SECRET)]));
    let tables = vec![issuer("web", "app"), issuer("machines", "batch")];
    let gate = Gate::new(parts(keys, tables), None);
    let token = mint(SECRET, &json!({"aud": "batch"}));
    let alone = ask(&gate, "/users/1", Some(&token), NOW).await;
    assert_eq!(outcome(&alone), "audience_mismatch");
    // refused by one table, it came once already
    for cached in [false, true] {
        let judged = ask(&gate, "/both", Some(&token), NOW).await;
        assert_eq!(outcome(&judged), "allow");
        assert_eq!(judged.evidence.cached, Some(cached));
    }
}

/// The first issuer's keys cannot be had, the second's can.
#[derive(Debug)]
struct FirstDown(Arc<KeySet>);

impl KeySource for FirstDown {
    fn find(&self, issuer: usize) -> KeysNow {
        if issuer == 0 {
            return KeysNow::Unavailable {
                retry_after: Duration::from_secs(1),
            };
        }
        KeysNow::Usable(Arc::clone(&self.0))
    }

    fn seek<'s>(&'s self, _issuer: usize, _key_id: &'s str) -> Boxed<'s, Sought> {
        Box::pin(std::future::ready(Sought::Absent))
    }
}

#[tokio::test]
async fn a_table_without_keys_makes_a_refusal_by_another_an_outage() {
    let tables = vec![issuer("web", "app"), issuer("machines", "batch")];
    let gate = Gate::new(parts(Arc::new(FirstDown(key_set(SECRET))), tables), None);
    for (token, expected) in [
        (mint(SECRET, &json!({"aud": "batch"})), "allow"),
        // the table that could tell has no keys
        (mint(SECRET, &json!({})), "keys_unavailable"),
        (mint(OTHER_SECRET, &json!({})), "keys_unavailable"),
    ] {
        let judged = ask(&gate, "/both", Some(&token), NOW).await;
        assert_eq!(outcome(&judged), expected);
    }
}
