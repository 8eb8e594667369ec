//! The copy on disk: used in an outage after a restart, and only if it is ours, whole and recent.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;

const URL: &str = "https://issuer.example/jwks";

fn with_snapshots(folder: &Path) -> Jwks {
    Jwks {
        snapshot_dir: Some(folder.to_owned()),
        ..policy()
    }
}

/// Writes a snapshot of a key `k1`, by an engine that had it from its issuer.
async fn write_snapshot(folder: &Path) -> PathBuf {
    let script = Script::new([set_of(&[jwk("k1")])]);
    let _bench = Bench::with(
        script,
        &[issuer_named("a", at(URL))],
        &with_snapshots(folder),
    );
    sleep(SECOND).await;
    let mut files = fs::read_dir(folder).unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none(), "temporary files stay behind");
    path
}

/// An engine in an outage, `later` than the snapshot.
async fn restart(folder: &Path, url: &str, later: i64) -> Bench {
    let now = UnixTime(START.checked_add_signed(later).unwrap());
    let issuers = [issuer_named("a", at(url))];
    let script = Script::new([status_500()]);
    let bench = Bench::at(now, script, &issuers, &with_snapshots(folder));
    sleep(SECOND).await;
    bench
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut snapshot = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut snapshot);
    fs::write(path, snapshot.to_string()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_serves_after_a_restart_in_an_outage() {
    let folder = tempfile::tempdir().unwrap();
    write_snapshot(folder.path()).await;
    let bench = restart(folder.path(), URL, 3600).await;
    assert!(bench.holds("k1"));
    assert!(bench.engine.is_ready());
    let report = bench.report();
    assert_eq!(report["state"], "stale");
    assert_eq!(report["from_snapshot"], true);
    assert_eq!(report["last_success"], UnixTime(START).to_string());

    // it ages from the fetch, not from the restart
    bench.pass(Duration::from_secs(86_400 - 3600 + 1)).await;
    assert!(bench.is_unavailable());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_answers_is_believed_before_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    write_snapshot(folder.path()).await;
    let script = Script::new([Reply::Slow(SECOND, Box::new(set_of(&[jwk("k2")])))]);
    let issuers = [issuer_named("a", at(URL))];
    let bench = Bench::with(script, &issuers, &with_snapshots(folder.path()));
    sleep(SECOND / 2).await;
    assert!(bench.is_unavailable());
    sleep(SECOND).await;
    assert!(bench.holds("k2") && !bench.holds("k1"));
    assert_eq!(bench.report()["from_snapshot"], false);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_holds_public_members_only_and_is_private_to_us() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("made/by/us");
    let mut leaked = jwk("leaked");
    leaked["d"] = json!("c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I");
    let mut good = jwk("good");
    good["x5c"] = json!(["MIIB"]);
    let issuers = [issuer_named("a", at(URL))];
    let script = Script::new([set_of(&[good, leaked])]);
    let _bench = Bench::with(script, &issuers, &with_snapshots(&inner));
    sleep(SECOND).await;

    let path = fs::read_dir(&inner)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&inner), 0o700);
    let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
    assert!(text.contains("good"));
    for never in ["leaked", "\"d\"", "c2VjcmV0", "x5c"] {
        assert!(!text.contains(never), "{never} in {text}");
    }
    assert!(restart(&inner, URL, 60).await.holds("good"));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_time_or_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_snapshot(folder.path()).await;
    let other_url = "https://other.example/jwks";
    let cases = [
        ("in time", URL, 86_400, true),
        ("older than max_stale", URL, 86_401, false),
        ("from the future", URL, -1, false),
        ("another URL", other_url, 60, false),
    ];
    for (what, url, later, used) in cases {
        let bench = restart(folder.path(), url, later).await;
        assert_eq!(bench.holds("k1"), used, "{what}");
        assert_eq!(bench.is_unavailable(), !used, "{what}");
    }

    // a file put in another's place
    let script = Script::new([set_of(&[jwk("k3")])]);
    let elsewhere = [issuer_named("a", at(other_url))];
    let _other = Bench::with(script, &elsewhere, &with_snapshots(folder.path()));
    sleep(SECOND).await;
    let theirs = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|found| *found != path)
        .unwrap();
    fs::copy(&path, &theirs).unwrap();
    assert!(restart(folder.path(), other_url, 60).await.is_unavailable());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_was_tampered_with_is_refused() {
    type Tamper = fn(&Path);
    let cases: [(&str, Tamper); 10] = [
        ("readable by others", |path| {
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        }),
        ("folder writable by group", |path| {
            let folder = path.parent().unwrap();
            fs::set_permissions(folder, Permissions::from_mode(0o770)).unwrap();
        }),
        ("folder writable by all", |path| {
            let folder = path.parent().unwrap();
            fs::set_permissions(folder, Permissions::from_mode(0o1777)).unwrap();
        }),
        ("a link", |path| {
            let real = path.with_extension("real");
            fs::rename(path, &real).unwrap();
            std::os::unix::fs::symlink(&real, path).unwrap();
        }),
        ("cut off", |path| {
            let text = fs::read(path).unwrap();
            fs::write(path, &text[..text.len() / 2]).unwrap();
        }),
        ("another format", |path| {
            edit(path, |snapshot| snapshot["format"] = json!(2));
        }),
        ("another issuer", |path| {
            edit(path, |snapshot| snapshot["issuer"] = json!("b"));
        }),
        ("no keys", |path| {
            edit(path, |snapshot| snapshot["keys"] = json!([]));
        }),
        ("a shared secret", |path| {
            edit(path, |snapshot| {
                snapshot["keys"] = json!([{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]);
            });
        }),
        ("later than now", |path| {
            edit(path, |snapshot| snapshot["fetched_at"] = json!(START + 61));
        }),
    ];
    for (what, tamper) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = write_snapshot(folder.path()).await;
        assert!(restart(folder.path(), URL, 60).await.holds("k1"), "{what}");
        tamper(&path);
        let bench = restart(folder.path(), URL, 60).await;
        assert!(bench.is_unavailable(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_of_another_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_snapshot(folder.path()).await;
    // only root may give a folder away; elsewhere there is nothing to see
    if std::os::unix::fs::chown(folder.path(), Some(65_534), None).is_ok() {
        assert!(restart(folder.path(), URL, 60).await.is_unavailable());
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_cannot_be_written_costs_the_snapshot_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let script = Script::new([set_of(&[jwk("k1")])]);
    let issuers = [issuer_named("a", at(URL))];
    let bench = Bench::with(script, &issuers, &with_snapshots(&file));
    sleep(SECOND).await;
    assert!(bench.holds("k1"));
}
