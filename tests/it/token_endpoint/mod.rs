//! Token endpoints: how clients authenticate there, and what becomes of calls when one is slow, says
//! no, or is away.

mod msal;
mod outage;
mod strict;

use std::path::Path;
use std::process::Output;

use crate::support::gatepost::run;

/// `gatepost token c` with this config, and what it printed.
fn describe(directory: &Path, config: &str, more: &[&str]) -> (bool, String) {
    let file = directory.join("token.toml");
    std::fs::write(&file, config).expect("written");
    let file = file.to_str().expect("UTF-8");
    let arguments = [&["token", "c", "--config", file], more].concat();
    let Output {
        status,
        stdout,
        stderr,
    } = run(&arguments, &[]);
    let text = String::from_utf8([stdout, stderr].concat()).expect("UTF-8");
    (status.success(), text)
}

/// Egress with one target `t` at `upstream`, and the credential `c` of these lines.
fn config(upstream: &str, credential: &str) -> String {
    format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"

        [[egress_targets]]
        name = "t"
        url = "{upstream}"
        credential = "c"

        [credentials.c]
        {credential}
        "#
    )
}
