//! Issuers, users and clients that mean harm.

use http::HeaderValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::bound::Holder;

/// An answer that begins well and never ends; how many bytes were taken until the one who asked has gone.
async fn endless() -> (String, JoinSet<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _read = stream.read(&mut request).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        let mut written = stream.write_all(head.as_bytes()).await;
        let mut taken = 0;
        while written.is_ok() {
            taken += chunk.len();
            written = stream.write_all(chunk.as_bytes()).await;
        }
        taken
    });
    (url, server)
}

#[tokio::test]
async fn no_redirect_is_followed_and_nobody_is_waited_for_forever() {
    let thief = Upstream::start().await;
    let to = HeaderValue::try_from(format!("{}/userinfo", thief.url())).unwrap();
    let issuer = Issuer::start(json!({}), move |_| {
        let mut moved = status(StatusCode::TEMPORARY_REDIRECT);
        moved.headers_mut().insert("location", to.clone());
        moved
    })
    .await;
    // it accepts connections and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", silent.local_addr().unwrap());
    let (endless, mut hung_up) = endless().await;
    let upstream = Upstream::start().await;
    for more in [
        PROFILE.to_owned(),
        format!("{PROFILE}\nuserinfo_url = \"{silent}\""),
        format!("{PROFILE}\nuserinfo_url = \"{endless}\""),
    ] {
        let gatepost = Gatepost::start(&config(&issuer.server.url(), &more, &upstream)).await;
        gatepost.ready().await;
        let token = issuer.token("ada", &json!({}));
        assert_eq!(told(&gatepost, &upstream, &token).await, nothing());
        assert_eq!(told(&gatepost, &upstream, &token).await, nothing());
    }
    assert_eq!(issuer.asked().len(), 1);
    assert!(thief.requests().is_empty());
    // it was left while it still spoke; most of that are the sockets' buffers
    let taken = hung_up.join_next().await.unwrap().unwrap();
    assert!(taken < 16 << 20, "{taken}");
}

#[tokio::test]
async fn the_token_goes_where_the_issuers_own_document_says_and_nowhere_else() {
    let upstream = Upstream::start().await;
    let elsewhere = Upstream::answering(of_subject).await;
    let endpoint = format!("{}/oauth2/userInfo", elsewhere.url());
    let ada = ["Zo%C3%AB%20L.", "ada@example.com", ""].map(str::to_owned);
    for (document, trusted) in [
        (json!({ "userinfo_endpoint": endpoint }), true),
        (
            json!({ "userinfo_endpoint": endpoint, "issuer": "https://other.test" }),
            false,
        ),
        (
            json!({ "userinfo_endpoint": endpoint.replace("http://", "http://ada:pw@") }),
            false,
        ),
        (
            json!({ "userinfo_endpoint": "http://issuer.test/userinfo" }),
            false,
        ),
        (json!({ "userinfo_endpoint": null }), false),
    ] {
        let asked = elsewhere.requests().len();
        let issuer = Issuer::start(document.clone(), of_subject).await;
        let url = issuer.server.url();
        let more = format!("{PROFILE}\njwks_url = \"{url}/jwks\"");
        let gatepost = Gatepost::start(&config(&url, &more, &upstream)).await;
        gatepost.ready().await;
        let token = issuer.token("ada", &json!({}));
        let expected = if trusted { ada.clone() } else { nothing() };
        assert_eq!(
            told(&gatepost, &upstream, &token).await,
            expected,
            "{document}"
        );
        assert!(issuer.asked().is_empty(), "{document}");
        let now_asked = elsewhere.requests().len() - asked;
        assert_eq!(now_asked, usize::from(trusted), "{document}");
    }
}

#[tokio::test]
async fn the_same_subject_of_two_issuers_is_two_people() {
    let named = async |name: &'static str| {
        Issuer::start(json!({}), move |request| {
            let sub = subject(request);
            answer(&json!({ "sub": sub, "name": name, "email": format!("{name}@example.com") }))
        })
        .await
    };
    let (one, two) = (named("One").await, named("Two").await);
    let upstream = Upstream::start().await;
    let first = config(&one.server.url(), PROFILE, &upstream);
    let second = format!(
        "[issuers.others]\nkind = \"oidc\"\nissuer = \"{}\"\naudiences = [\"app\"]\n{PROFILE}\n",
        two.server.url()
    );
    let first = first.replace("path = ", "issuers = [\"users\", \"others\"]\npath = ");
    let gatepost = Gatepost::start(&format!("{first}{second}")).await;
    gatepost.ready().await;
    for _ in 0..3 {
        for (issuer, name) in [(&one, "One"), (&two, "Two")] {
            let token = issuer.token("ada", &json!({}));
            let expected = [name, &format!("{name}@example.com"), ""].map(str::to_owned);
            assert_eq!(told(&gatepost, &upstream, &token).await, expected);
        }
    }
    assert_eq!((one.asked().len(), two.asked().len()), (1, 1));
    // no token is shown to the other one
    for issuer in [&one, &two] {
        let asked = issuer.asked();
        let token = asked[0].header("authorization").strip_prefix("Bearer ");
        let claims = token.unwrap().split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["iss"], issuer.server.url());
    }
}

#[tokio::test]
async fn what_is_known_of_an_issuer_is_not_known_of_the_one_that_takes_its_name() {
    let issuer = Issuer::start(json!({}), of_subject).await;
    let upstream = Upstream::start().await;
    let url = issuer.server.url();
    let places = format!("{PROFILE}\njwks_url = \"{url}/jwks\"\nuserinfo_url = \"{url}/me\"");
    let of = |iss: &str| config(iss, &places, &upstream);
    let gatepost = Gatepost::start(&of("https://one.test")).await;
    gatepost.ready().await;
    for (reloads, iss) in [(0, "https://one.test"), (1, "https://two.test")] {
        if reloads > 0 {
            gatepost.reload(&of(iss), "accepted", reloads).await;
        }
        let token = issuer.token("ada", &json!({ "iss": iss }));
        for _ in 0..2 {
            let [_, email, _] = told(&gatepost, &upstream, &token).await;
            assert_eq!(email, "ada@example.com");
        }
        assert_eq!(issuer.asked().len(), if reloads > 0 { 2 } else { 1 });
    }
}

#[tokio::test]
async fn what_a_user_calls_themselves_is_one_value_of_one_header_and_in_no_log() {
    let issuer = Issuer::start(json!({}), |request| {
        let (name, email) = match &*subject(request) {
            "crlf" => (
                "Eve\r\nX-User-Groups: admins\r\n\r\nGET /\u{0}\u{7f}\u{85}".to_owned(),
                "e\u{2028}@example.com, root@example.com;%0d%0a".to_owned(),
            ),
            "long" => ("\u{10ffff}".repeat(256), "a".repeat(1024)),
            _longer => ("\u{10ffff}".repeat(257), "a".repeat(1025)),
        };
        let more = json!({ "groups": ["admins"], "roles": ["admin"], "iss": "https://other.test" });
        let mut said = json!({ "sub": subject(request), "name": name, "email": email });
        merge(&mut said, &more);
        answer(&said)
    })
    .await;
    let upstream = Upstream::start().await;
    let text = config(&issuer.server.url(), PROFILE, &upstream);
    let gatepost = Gatepost::start(&format!("{text}\n[log]\nlevel = \"trace\"\n")).await;
    gatepost.ready().await;
    let crlf = [
        "Eve%0D%0AX-User-Groups:%20admins%0D%0A%0D%0AGET%20/%00%7F%C2%85",
        "e%E2%80%A8@example.com,%20root@example.com;%250d%250a",
        "",
    ];
    let long = ["%F4%8F%BF%BF".repeat(256), "a".repeat(1024), String::new()];
    for (user, expected) in [
        ("crlf", crlf.map(str::to_owned)),
        ("long", long),
        ("longer", nothing()),
    ] {
        let token = issuer.token(user, &json!({}));
        assert_eq!(told(&gatepost, &upstream, &token).await, expected, "{user}");
        let seen = upstream.last();
        assert_eq!(
            seen.headers.get_all("x-user-email").iter().count(),
            usize::from(user != "longer")
        );
        assert_eq!(seen.header("x-user-roles"), "");
        let output = gatepost.output();
        for secret in [
            &token,
            token.rsplit('.').next().unwrap(),
            "root@example.com",
            "Eve",
        ] {
            assert!(!output.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_is_not_shown_without_its_proof() {
    let issuer = Issuer::start(json!({}), of_subject).await;
    let upstream = Upstream::start().await;
    let more = format!("{PROFILE}\ndpop = \"accepted\"");
    let gatepost = Gatepost::start(&config(&issuer.server.url(), &more, &upstream)).await;
    gatepost.ready().await;
    let holder = Holder::new();
    let bound = issuer.token("ada", &json!({ "cnf": { "jkt": holder.thumbprint() } }));
    let url = format!("http://{}/", gatepost.listener("ingress").await);
    for _ in 0..2 {
        let proof = holder.proof("GET", &url, Some(&bound));
        let call = gatepost.get("/").await.header("dpop", &proof);
        let call = call.header("authorization", &format!("DPoP {bound}"));
        let reply = call.send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(upstream.last().header("x-user-email"), "");
    }
    // as a bearer token it is none
    assert_eq!(ask(&gatepost, &bound).await.status, 401);
    assert!(issuer.asked().is_empty());
    // what the user's plain token brought is known of the user
    let plain = issuer.token("ada", &json!({}));
    assert_eq!(
        told(&gatepost, &upstream, &plain).await[1],
        "ada@example.com"
    );
    let proof = holder.proof("GET", &url, Some(&bound));
    let call = gatepost.get("/").await.header("dpop", &proof);
    let call = call.header("authorization", &format!("DPoP {bound}"));
    assert_eq!(call.send().await.status, 200);
    assert_eq!(upstream.last().header("x-user-email"), "ada@example.com");
    assert_eq!(issuer.asked().len(), 1);
}
