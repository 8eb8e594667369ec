//! `authorization = { replace = … }` with what is made from the caller's token.

use super::*;

#[tokio::test]
async fn a_route_may_replace_the_callers_token_by_one_made_from_it() {
    let replacing = Route {
        forward: Some(Forward {
            authorization: Authorization::Replace("exchanged".into()),
            ..forward()
        }),
        ..route("all", "/**")
    };
    let place = Place::by(Arc::new(SystemClock), vec![replacing]).await;
    for user in ["ada", "bob", "ada"] {
        let token = token(json!({ "sub": user }));
        assert_eq!(place.ingress().bearer(&token).send().await.status, 200);
    }
    let seen: Vec<_> = place
        .app
        .requests()
        .iter()
        .map(|request| request.header("authorization").to_owned())
        .collect();
    assert_eq!(
        seen,
        [
            "Bearer s3cret-ada-1",
            "Bearer s3cret-bob-2",
            "Bearer s3cret-ada-1"
        ]
    );
    for (user, expected) in [("eve", 403), ("mallory", 503)] {
        let token = token(json!({ "sub": user }));
        let reply = place.ingress().bearer(&token).send().await;
        assert_eq!(reply.status, expected, "{user}");
    }
    assert_eq!(place.app.requests().len(), 3);
}

/// The caller's own token is the one that was verified, and nothing else that they wrote.
#[tokio::test]
async fn what_a_client_wrote_itself_never_stands_in_for_the_verified_token() {
    let replacing = |name, path| Route {
        forward: Some(Forward {
            authorization: Authorization::Replace("own".into()),
            ..forward()
        }),
        ..route(name, path)
    };
    let from = |token_from: Vec<TokenSource>, optional| {
        Access::Protected(Box::new(Protected {
            token_from,
            optional,
            ..protected()
        }))
    };
    let header = TokenSource::Header(header::HeaderName::from_static("x-token"));
    let cookie = TokenSource::Cookie("session".to_owned());
    let elsewhere = vec![header, cookie];
    let routes = vec![
        Route {
            access: from(elsewhere.clone(), false),
            ..replacing("elsewhere", "/elsewhere")
        },
        Route {
            access: from(elsewhere, true),
            ..replacing("optional", "/optional")
        },
        Route {
            access: Access::Public,
            ..replacing("public", "/public")
        },
    ];
    let place = Place::by(Arc::new(SystemClock), routes).await;
    let ada = token(json!({ "sub": "ada" }));
    let session = format!("session={ada}");
    let forged = ("authorization", "Bearer forged");
    let expected = format!("Bearer {ada}");
    for (path, headers, status) in [
        ("/elsewhere", vec![("x-token", &*ada)], 200),
        ("/elsewhere", vec![("x-token", &*ada), forged], 200),
        ("/elsewhere", vec![("cookie", &*session), forged], 200),
        ("/optional", vec![("cookie", &*session), forged], 200),
        ("/elsewhere", vec![forged], 401),
        // the config refuses these two routes; nothing is lent on them all the same
        ("/optional", vec![forged], 403),
        ("/public", vec![forged], 403),
        ("/public", vec![("x-token", &*ada), forged], 403),
    ] {
        let before = place.app.requests().len();
        let mut call = Call::get(place.world.ingress(), path);
        for (name, value) in &headers {
            call = call.header(name, value);
        }
        let reply = call.send().await;
        assert_eq!(reply.status, status, "{path} {headers:?}");
        let seen = place.app.requests();
        let sent: Vec<_> = seen[before..]
            .iter()
            .flat_map(|request| request.headers.get_all("authorization"))
            .collect();
        let expected: &[&str] = if status == 200 { &[&expected] } else { &[] };
        assert_eq!(sent, expected, "{path} {headers:?}");
    }
}
