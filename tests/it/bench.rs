//! The benchmark in `bench/` is not run by CI; what it needs of Gatepost must hold all the same.

use std::path::Path;
use std::process::Command;

/// What `bench/process.py` fills in, where the value's form matters.
const VALUES: [(&str, &str); 8] = [
    ("@PORT@", "7400"),
    ("@HEALTH@", "7404"),
    ("@ADMIN@", "7403"),
    ("@WORKERS@", "2"),
    ("@ORIGIN@", "127.0.0.1:3000"),
    ("@POOL@", "us-east-1_AbCdEf123"),
    ("@CLIENT@", "4example1234567890abcdefg"),
    ("@GROUP@", "analysts"),
];

fn bench() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench")
}

#[test]
fn the_benchmarks_configurations_of_gatepost_load() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["gatepost.toml", "gatepost-decision.toml"] {
        let template = std::fs::read(bench().join("contenders").join(name)).unwrap();
        let mut text = String::from_utf8(template).unwrap();
        for (place, value) in VALUES {
            text = text.replace(place, value);
        }
        assert!(!text.contains('@'), "{name}: a place without a value here");
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let output = Command::new(crate::support::gatepost::binary())
            .args(["check", "--config"])
            .arg(&file)
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("warning"), "{said}");
    }
}

#[test]
fn the_benchmarks_command_starts() {
    let output = Command::new("python3")
        .arg(bench().join("run"))
        .arg("--help")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
}
