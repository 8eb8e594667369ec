//! README.md and the pages beside it say what is so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::dev::{Dev, gatepost};
use crate::support::gatepost::{binary, run};

/// The pages whose commands and links are checked.
const PAGES: &[&str] = &[
    "README.md",
    "docs/dev.md",
    "docs/doctor.md",
    "docs/egress.md",
    "docs/explain.md",
    "docs/forward-auth.md",
    "docs/testing-rules.md",
    "deploy/alb/README.md",
    "deploy/ingress-nginx/README.md",
    "deploy/nginx/README.md",
    "deploy/traefik/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    String::from_utf8(std::fs::read(root().join(page)).unwrap()).unwrap()
}

/// The fenced blocks of that language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    page.split("\n```")
        .filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'))
        .collect()
}

/// Every `gatepost …` of a page's code: command, and the options that follow it.
fn commands(page: &str) -> BTreeSet<(Vec<String>, String)> {
    let fenced = blocks(page, "sh").join("\n");
    let spans = page.split('`').skip(1).step_by(2);
    let mut found = BTreeSet::new();
    let stages = fenced.lines().chain(spans).flat_map(|line| {
        let line = line.split(" #").next().unwrap_or(line);
        line.split(" | ")
    });
    for line in stages {
        let line = line.replace("cargo run --release -- ", "gatepost ");
        let Some(arguments) = line.strip_prefix("gatepost ") else {
            continue;
        };
        let command: Vec<String> = arguments
            .split(' ')
            .take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
            .take_while(|word| !word.starts_with("--"))
            .map(str::to_owned)
            .collect();
        let mut options: Vec<_> = arguments
            .split([' ', '='])
            .filter(|word| word.starts_with("--"))
            .collect();
        if options.is_empty() {
            options.push("--help");
        }
        for option in options {
            found.insert((command.clone(), option.to_owned()));
        }
    }
    found
}

#[test]
fn the_smallest_config_is_accepted() {
    let readme = read("README.md");
    let [config] = blocks(&readme, "toml")[..] else {
        panic!("README.md has one config");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, config).unwrap();
    let output = gatepost(&["check", "--config", &file.display().to_string()]);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_command_and_option_that_is_named_exists() {
    let mut seen = 0;
    for page in PAGES {
        for (command, option) in commands(&read(page)) {
            let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
            arguments.push("--help");
            let help = gatepost(&arguments);
            let text = String::from_utf8_lossy(&help.stdout);
            assert!(
                help.status.success() && text.contains(&option),
                "{page}: gatepost {} {option}",
                command.join(" ")
            );
            seen += 1;
        }
    }
    assert!(seen > 12, "only {seen} were found");
}

/// The headings of a page, as links name them.
fn headings(page: &Path) -> BTreeSet<String> {
    let text = String::from_utf8(std::fs::read(page).unwrap()).unwrap();
    let headings = text.lines().filter_map(|line| {
        let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
        let kept = |byte: &char| byte.is_ascii_alphanumeric() || matches!(byte, ' ' | '-' | '_');
        let heading: String = heading.to_lowercase().chars().filter(kept).collect();
        Some(heading.replace(' ', "-"))
    });
    headings.collect()
}

#[test]
fn every_config_of_the_egress_page_is_accepted() {
    let page = read("docs/egress.md");
    let [first, users, table] = blocks(&page, "toml")[..] else {
        panic!("docs/egress.md has three configs");
    };
    for config in [
        first.to_owned(),
        format!("{first}\n{users}"),
        first.replacen("[egress]", table, 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gatepost.toml");
        std::fs::write(&file, &config).unwrap();
        let arguments = ["check", "--config", &file.display().to_string()];
        let secrets = ["BILLING_SECRET", "GATEWAY_SECRET", "ENTRA_SECRET"].map(|name| (name, "s"));
        let output = run(&arguments, &secrets);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !said.contains("warning"),
            "{config}\n{said}"
        );
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for page in PAGES {
        let folder = Path::new(page).parent().map(PathBuf::from).unwrap();
        let text = read(page);
        let links: Vec<_> = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link)
            .filter(|link| !link.starts_with("http"))
            .collect();
        assert!(!links.is_empty());
        for link in links {
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let there = if file.is_empty() {
                root().join(page)
            } else {
                root().join(&folder).join(file)
            };
            assert!(there.exists(), "{page}: {link}");
            assert!(
                place.is_empty() || headings(&there).contains(place),
                "{page}: {link}"
            );
        }
    }
}

#[test]
fn the_transcript_is_what_dev_prints() {
    let dev = Dev::start();
    let base_port = dev.base_port;
    let mut printed = dev
        .printed
        .replace(&*binary().to_string_lossy(), "target/release/gatepost");
    for offset in 0..10 {
        printed = printed.replace(
            &format!("127.0.0.1:{}", base_port + offset),
            &format!("127.0.0.1:{}", 7400 + offset),
        );
    }
    let printed = printed
        .replace(&format!(" --base-port {base_port}"), "")
        .replace(&format!("--dev={base_port}"), "--dev")
        // printed where a proxy is set
        .replace(" --noproxy 127.0.0.1", "");
    let readme = read("README.md");
    let transcript = blocks(&readme, "text");
    assert_eq!(transcript.first().copied(), Some(printed.trim_end()));
}

#[test]
fn the_explanation_shown_has_the_steps_of_a_real_one() {
    let dev = Dev::start();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("bob");
    std::fs::write(&token, dev.token(&["--user", "bob"])).unwrap();
    let output = gatepost(&[
        "explain",
        &format!("--dev={}", dev.base_port),
        "--path",
        "/admin/users",
        "--token-file",
        &token.display().to_string(),
    ]);
    let steps = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split("  ").next().map(str::to_owned))
            .collect()
    };
    let page = read("docs/explain.md");
    let [shown] = blocks(&page, "text")[..] else {
        panic!("docs/explain.md shows one explanation");
    };
    let real = String::from_utf8(output.stdout).unwrap();
    assert_eq!(steps(shown), steps(&real), "{real}");
    assert!(!real.contains("Some("), "{real}");
}
