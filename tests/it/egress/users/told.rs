//! What a target is told of the user.

use super::*;

#[tokio::test]
async fn whom_shadow_mode_lets_through_is_named_and_lends_no_token() {
    let shadow = Route {
        access: Access::Protected(Box::new(Protected {
            require: gatepost::authz::Rule {
                principal: Some(gatepost::authn::PrincipalKind::Service),
                ..gatepost::authz::Rule::default()
            },
            mode: Mode::Shadow,
            ..protected()
        })),
        ..route("all", "/**")
    };
    let place = Place::by(Arc::new(SystemClock), vec![shadow]).await;
    let ada = place.handle("ada").await;
    for target in ["exchanged-else-service", "own-else-service"] {
        let (reply, sent) = place.call(target, &ada).await;
        assert_eq!((reply.status.as_u16(), sent), (403, None), "{target}");
    }
    let (reply, _) = place.call("told", &ada).await;
    assert_eq!(reply.status, 200);
    assert_eq!(place.orders.last().header("x-user-id"), "ada");
}

#[tokio::test]
async fn a_target_is_told_the_user_of_the_handle_and_nothing_the_app_says() {
    let acting = Route {
        access: Access::Protected(Box::new(Protected {
            on_behalf_of: Some(OnBehalfOf {
                clients: vec!["batch".to_owned()],
                groups: None,
                tenants: vec![],
            }),
            ..protected()
        })),
        ..route("all", "/**")
    };
    let place = Place::by(Arc::new(SystemClock), vec![acting]).await;
    let batch = token(json!({"sub": "batch", "client_id": "batch"}));
    let ada = token(json!({"sub": "ada", "client_id": "spa", "email": "ada@example.com"}));
    let stated = |by: &str| {
        place
            .ingress()
            .bearer(by)
            .header("x-user-id", "carol")
            .header("x-user-email", "root@example.com")
    };
    for (call, expected) in [
        (
            Some(stated(&ada)),
            ["ada", "ada@example.com", "spa", "user"],
        ),
        (Some(stated(&batch)), ["carol", "", "batch", "service"]),
        (None, ["", "", "", ""]),
    ] {
        let mut told = place
            .egress("told")
            .header("x-user-id", "root")
            .header("x_user_id", "root")
            .header("X-User.Email", "root@example.com")
            .header("x-client-id", "root")
            .header("x-principal-kind", "root")
            .header("x-auth-anything", "root");
        if let Some(call) = call {
            told = told.header("x-auth-handle", &place.handle_of(call).await);
        }
        assert_eq!(told.send().await.status, 200);
        let last = place.orders.last();
        let names = [
            "x-user-id",
            "x-user-email",
            "x-client-id",
            "x-principal-kind",
        ];
        assert_eq!(names.map(|name| last.header(name)), expected);
        for name in ["x_user_id", "x-user.email", "x-auth-anything"] {
            assert_eq!(last.header(name), "", "{name}");
        }
    }
    // the caller is the service: its token is exchanged, and no token of carol's
    let carols = place.handle_of(stated(&batch)).await;
    let (_, sent) = place.call("exchanged", &carols).await;
    assert_eq!(sent.as_deref(), Some("Bearer s3cret-batch-1"));
    let lines = format!("{:?}", place.world.log(7).await);
    assert!(
        lines.contains("carol") && !lines.contains(&carols),
        "{lines}"
    );
}
