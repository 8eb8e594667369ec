//! `kind = "file"`: a TOML file, read again when it changes.

use serde_json::json;

use super::{ask, config, decides, outcome, token, validated};
use crate::support::eventually;
use crate::support::gatepost::{Gatepost, run};
use crate::support::upstream::Upstream;

const MEMBERS: &str = r#"
[[members]]
issuer = "users"
user_id = "ada"
groups = ["admins", "a,b", "line\nbreak"]
roles = ["editor"]
permissions = ["orders.write"]

[[members]]
issuer = "users"
user_id = "mallory"
groups = ["banned"]

[[members]]
issuer = "users"
user_id = "tess"
tenant = "acme"
groups = ["admins"]
"#;

struct Setup {
    gatepost: Gatepost,
    upstream: Upstream,
    members: tempfile::NamedTempFile,
}

fn store(file: &tempfile::NamedTempFile, more: &str) -> String {
    let path = file.path().display();
    format!("[memberships.main]\nkind = \"file\"\nfile = \"{path}\"\n{more}\n")
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

async fn start(more: &str) -> Setup {
    let members = file(MEMBERS);
    let upstream = Upstream::start().await;
    let config = config(&upstream.url(), &store(&members, more));
    Setup {
        gatepost: Gatepost::start(&config).await,
        upstream,
        members,
    }
}

#[tokio::test]
async fn the_file_decides_and_the_upstream_is_told() {
    let setup = start("").await;
    let Setup {
        gatepost, upstream, ..
    } = &setup;
    decides(gatepost).await;
    let claimed = json!({ "groups": ["x"] });
    let ada = token("users", "ada", &claimed);
    for _twice in 0..2 {
        let reply = ask(gatepost, "/admins/1", &ada).await;
        let line = gatepost.line_of(&reply).await;
        assert_eq!(line["memberships"], "cached", "{line}");
        let told = upstream.last();
        assert_eq!(told.header("x-user-groups"), "admins,a%2Cb,line%0Abreak");
        assert_eq!(told.header("x-user-roles"), "editor");
        assert_eq!(told.header("x-user-permissions"), "orders.write");
    }
    // named, and nothing asked: what the store would say is not said
    let reply = ask(gatepost, "/named/1", &ada).await;
    assert_eq!(gatepost.line_of(&reply).await.get("memberships"), None);
    let told = upstream.last();
    assert_eq!(told.header("x-user-id"), "ada");
    assert!(!told.headers.contains_key("x-user-groups"), "{told:?}");
    assert_eq!(
        validated(gatepost, "named", &ada).await["groups"],
        json!(null)
    );
}

#[tokio::test]
async fn who_is_asked_about_is_who_the_token_proves() {
    let setup = start("").await;
    let gatepost = &setup.gatepost;
    let acme = token("users", "tess", &json!({ "org": "acme" }));
    assert_eq!(outcome(gatepost, "/admins/1", &acme).await, "200");
    for claims in [json!({ "org": "other" }), json!({})] {
        let token = token("users", "tess", &claims);
        let outcome = outcome(gatepost, "/admins/1", &token).await;
        assert_eq!(outcome, "403 group_missing", "{claims}");
    }
    // nor does a header make her one of acme
    let call = gatepost.get("/admins/1").await;
    let call = call.bearer(&token("users", "tess", &json!({})));
    let reply = call.header("x-tenant-id", "acme").send().await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn both_is_either_and_claims_are_the_tokens() {
    let setup =
        start("from = { groups = \"both\", roles = \"claims\", permissions = \"store\" }").await;
    let gatepost = &setup.gatepost;
    let claimed = json!({ "groups": ["admins"] });
    let editor = json!({ "roles": ["editor"] });
    let none = json!({});
    let elsewhere = json!({ "_claim_names": { "groups": "src1" } });
    for (path, user, claims, expected) in [
        ("/admins/1", "bob", &claimed, "200"),
        ("/admins/1", "ada", &none, "200"),
        ("/admins/1", "bob", &none, "403 group_missing"),
        ("/writers/1", "ada", &editor, "200"),
        ("/writers/1", "ada", &none, "403 role_missing"),
        ("/unbanned/1", "mallory", &claimed, "403 group_missing"),
        // the token's groups are elsewhere: half of them decides nothing
        ("/unbanned/1", "bob", &elsewhere, "403 groups_unresolved"),
        ("/admins/1", "ada", &elsewhere, "403 groups_unresolved"),
    ] {
        let token = token("users", user, claims);
        let outcome = outcome(gatepost, path, &token).await;
        assert_eq!(outcome, expected, "{path} {user} {claims}");
    }
}

#[tokio::test]
async fn a_changed_file_counts_and_a_broken_one_changes_nothing() {
    let setup = start("").await;
    let Setup {
        gatepost, members, ..
    } = &setup;
    let ada = token("users", "ada", &json!({}));
    let bob = token("users", "bob", &json!({}));
    assert_eq!(outcome(gatepost, "/admins/1", &ada).await, "200");
    std::fs::write(members.path(), MEMBERS.replace("\"ada\"", "\"bob\"")).unwrap();
    gatepost.reloads("accepted", 1).await;
    assert_eq!(outcome(gatepost, "/admins/1", &bob).await, "200");
    let refused = outcome(gatepost, "/admins/1", &ada).await;
    assert_eq!(refused, "403 group_missing");
    // half written
    std::fs::write(members.path(), "[[members]]\nissuer = \"users\"\n").unwrap();
    gatepost.reloads("rejected", 1).await;
    let told = eventually("the mistake in the log", || async {
        let mut events = gatepost.events("ERROR").into_iter();
        events.find_map(|event| {
            let text = event["fields"]["message"].as_str()?.to_owned();
            text.contains("members[0].user_id: missing").then_some(text)
        })
    })
    .await;
    let place = format!("{}:1:1: ", members.path().display());
    assert!(told.contains(&place), "{told}");
    assert_eq!(outcome(gatepost, "/admins/1", &bob).await, "200");
    std::fs::write(members.path(), MEMBERS).unwrap();
    gatepost.reloads("accepted", 2).await;
    assert_eq!(outcome(gatepost, "/admins/1", &ada).await, "200");
}

#[test]
fn a_broken_file_is_an_error_of_the_config_with_its_line() {
    let members = file("[[members]]\nissuer = \"users\"\nuser_id = \"ada\"\ngroups = 3\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gatepost.toml");
    let text = config("http://127.0.0.1:1", &store(&members, ""));
    std::fs::write(&path, text).unwrap();
    let checked = run(&["check", "--config", path.to_str().unwrap()], &[]);
    let told = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{told}");
    let place = format!("{}:4:1: members[0].groups: ", members.path().display());
    assert!(told.contains(&place), "{told}");
    assert!(told.contains("memberships.main.file"), "{told}");
}

#[test]
fn explain_reads_the_file_and_says_what_it_found() {
    let members = file(MEMBERS);
    let folder = tempfile::tempdir().unwrap();
    let config_path = folder.path().join("gatepost.toml");
    let text = config("http://127.0.0.1:1", &store(&members, ""));
    std::fs::write(&config_path, text).unwrap();
    let token_path = folder.path().join("token");
    std::fs::write(&token_path, token("users", "ada", &json!({}))).unwrap();
    let explained = run(
        &[
            "explain",
            "--path",
            "/writers/1",
            "--config",
            config_path.to_str().unwrap(),
            "--token-file",
            token_path.to_str().unwrap(),
        ],
        &[],
    );
    let told = String::from_utf8_lossy(&explained.stdout);
    assert_eq!(explained.status.code(), Some(0), "{told}");
    let step = told.lines().find(|line| line.contains("memberships"));
    assert!(
        step.is_some_and(|step| step.contains("main, cached: groups [\"admins\"")),
        "{told}"
    );
}
