//! `gatepost check` and `gatepost schema`, as a user runs them.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::gatepost::binary;

fn gatepost(arguments: &[&str], folder: &Path) -> Output {
    Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const GOOD: &str = "\
[issuers.users]
kind = \"cognito\"
user_pool_id = \"us-east-1_ABC123DEF\"
client_ids = [\"1example23456789\"]
[upstreams.app]
url = \"http://127.0.0.1:3000\"
[[routes]]
path = \"/**\"
upstream = \"app\"
";

#[test]
fn check_exits_by_whether_the_file_would_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, GOOD).unwrap();
    // found in the working directory, and by name
    for arguments in [&["check"][..], &["check", "--config", "gatepost.toml"]] {
        let output = gatepost(arguments, folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).ends_with("\nok\n"));
    }
    std::fs::write(&file, GOOD.replace("client_ids", "client_id")).unwrap();
    let output = gatepost(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "./gatepost.toml:4:1: issuers.users.client_id: unknown key\n  fix: did you mean `client_ids`?\n1 error\n"
    );
    let output = gatepost(&["check", "--format", "json"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"][0]["line"], 4);
}

#[test]
fn a_file_that_is_named_and_absent_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = gatepost(&["check", "--config", "absent.toml"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("absent.toml: cannot read it: "));
}

#[test]
fn schema_prints_a_json_schema() {
    let folder = tempfile::tempdir().unwrap();
    let output = gatepost(&["schema"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["title"], "Gatepost configuration");
    assert_eq!(
        schema["properties"]["ingress"]["additionalProperties"],
        false
    );
}

#[test]
fn check_says_where_two_credentials_share_a_state_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "r").unwrap();
    let credential = |name: &str| {
        format!(
            "[credentials.{name}]\nkind = \"refresh_token\"\ntoken_url = \"https://login.example/token\"\n\
             client_id = \"a\"\nauth_method = \"none\"\nrefresh_token = {{ file = \"token\" }}\n\
             state_file = \"state\"\n"
        )
    };
    let config = format!("{GOOD}{}{}", credential("one"), credential("two"));
    let line = config.lines().count();
    std::fs::write(folder.path().join("gatepost.toml"), config).unwrap();
    let output = gatepost(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "./gatepost.toml:{line}:1: credentials.two.state_file: one keeps its refresh token in this file\n"
    );
    let said = text(&output.stderr);
    assert!(said.starts_with(&expected), "{said}");
    assert!(
        said.ends_with("\n  fix: name a file for each\n1 error\n"),
        "{said}"
    );
}
