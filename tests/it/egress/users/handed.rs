//! What is made from a user's token, handed to the app by the token endpoint.

use super::*;

#[tokio::test]
async fn what_is_the_users_is_handed_out_for_a_live_handle_only() {
    let place = Place::start().await;
    let live = place.handle("ada").await;
    let foreign = Place::start().await.handle("ada").await;
    let turned: String = live.chars().rev().collect();
    let own = token(json!({ "sub": "ada" }));
    let egress = place.world.addresses().egress.unwrap();
    let ask = |source: &str| {
        let path = format!("/.gatepost/token/{source}");
        Call::get(egress, &path).header("authorization", SAID)
    };
    for (source, expected) in [("own", &*own), ("exchanged", "s3cret-ada-1")] {
        let told = ask(source).header("x-auth-handle", &live).send().await;
        let told = told.json();
        assert_eq!(told["access_token"], expected, "{told}");
        assert!(told["expires_in"].is_u64(), "{told}");
        let dead = "AAAAAAAAAAAAAAAAAAAAAA";
        for (headers, status) in [
            (vec![], 403),
            (vec![("x-auth-handle", "")], 403),
            (vec![("x-auth-handle", dead)], 403),
            (vec![("x-auth-handle", &*turned)], 403),
            (vec![("x-auth-handle", &*foreign)], 403),
            (vec![("x_auth_handle", &*live)], 403),
            (
                vec![("x-auth-handle", &*live), ("x-auth-handle", dead)],
                400,
            ),
        ] {
            let mut call = ask(source);
            for (name, value) in &headers {
                call = call.header(name, value);
            }
            let reply = call.send().await;
            assert_eq!(reply.status, status, "{source} {headers:?}");
            let shown = format!("{reply:?}");
            assert!(
                !shown.contains("s3cret") && !shown.contains(&own),
                "{shown}"
            );
            if status == 403 {
                assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
            }
        }
    }
    assert_eq!(place.endpoint.requests().len(), 1);
    let lines = place.world.log(17).await;
    let handed: Vec<_> = lines
        .iter()
        .filter(|line| line["plane"] == "egress" && line["decision"] == "allow")
        .map(|line| (&line["credential"], &line["user_id"]))
        .collect();
    assert_eq!(
        json!(handed),
        json!([["own", "ada"], ["exchanged", "ada"]]),
        "whose they were"
    );
    let lines = format!("{lines:?}");
    assert!(lines.contains("egress_token_unavailable"), "{lines}");
    for secret in ["s3cret", &*own, &*live] {
        assert!(!lines.contains(secret), "{lines}");
    }
}
