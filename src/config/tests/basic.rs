//! `[basic]`, its users, and the routes that take passwords.

use super::*;
use crate::authn::credential::Kind;
use crate::authz::route::Access;

const SESAME: &str = "$2y$10$SR/n2OSFhzteLZrbUJO/LeNh5ZbHghnD2GeboK43MfWZONmXaUGee";

struct Users {
    _folder: tempfile::TempDir,
    path: String,
}

fn users(text: &str) -> Users {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    Users {
        _folder: folder,
        path,
    }
}

fn file(basic: &str, route: &str) -> String {
    format!(
        "[upstreams.app]\nurl = \"http://127.0.0.1:3000\"\n{basic}\n[[routes]]\npath = \"/**\"\n\
         upstream = \"app\"\nauthorization = \"strip\"\n{route}"
    )
}

#[test]
fn a_route_that_takes_passwords_alone_needs_no_issuer() {
    let users = users(&format!("ada:{SESAME}\n"));
    let basic = format!("[basic]\nusers_file = {:?}", users.path);
    let config = good(&file(&basic, "auth = [\"basic\"]"), &[]);
    let basic = config.basic.unwrap();
    let BasicUsers::File(read) = &basic.users else {
        panic!("{basic:?}");
    };
    assert!(read.find("ada").is_some());
    assert_eq!(
        basic.challenge,
        "Basic realm=\"gatepost\", charset=\"UTF-8\""
    );
    assert_eq!((basic.cache.as_secs(), basic.max_entries), (300, 10_000));
    assert_eq!(
        (basic.lockout.attempts, basic.lockout.window.as_secs()),
        (10, 900)
    );
    assert_eq!(
        (basic.lockout.duration.as_secs(), basic.hash_threads),
        (900, None)
    );
    assert!(
        config
            .watched
            .iter()
            .any(|path| path.to_str() == Some(&users.path))
    );
    assert_eq!(config.warnings, []);
    let Access::Protected(asked) = &config.routes.routes()[0].access else {
        panic!("public");
    };
    assert_eq!(asked.accepts, [Kind::Basic]);
}

#[test]
fn every_bad_line_of_the_file_is_a_mistake_that_says_how_to_mend_it() {
    let users = users(&format!(
        "ada:{SESAME}\nbob:$apr1$salt$hunter2\nada:{SESAME}\neve:hunter2\n"
    ));
    let basic = format!("[basic]\nusers_file = {:?}", users.path);
    let errors = bad(&file(&basic, "auth = [\"basic\"]"), &[]);
    let told: Vec<_> = errors
        .iter()
        .map(|error| error.message.replace(&users.path, "users"))
        .collect();
    assert_eq!(
        told,
        [
            "users, line 2: \"bob\": MD5 is not accepted",
            "users, line 3: \"ada\" stands here twice",
            "users, line 4: \"eve\": not a password hash",
        ]
    );
    assert!(
        errors
            .iter()
            .all(|error| error.key == "basic.users_file" && error.line == Some(4))
    );
    assert!(errors[0].fix.contains("htpasswd -B"), "{errors:?}");
}

#[test]
fn what_cannot_work_is_a_mistake() {
    let users = users(&format!("ada:{SESAME}\n"));
    let basic = format!("[basic]\nusers_file = {:?}\n", users.path);
    let route = "auth = [\"basic\"]\n";
    for (basic, route, expected) in [
        (
            "",
            route.to_owned(),
            "routes[0].auth: nobody can tell whether a password is right",
        ),
        (
            "[basic]\n",
            route.to_owned(),
            "basic.users_file: there are no users",
        ),
        (
            &*format!(
                "{basic}[issuers.basic]\nkind = \"cognito\"\nuser_pool_id = \"us-east-1_ABC123DEF\"\nclient_ids = [\"x\"]\n"
            ),
            route.to_owned(),
            "issuers.basic: the name stands for passwords, which a route accepts",
        ),
        (
            &basic,
            "auth = [\"basic\", \"basic\"]\n".to_owned(),
            "routes[0].auth[1]: \"basic\" is named twice",
        ),
        (
            &basic,
            format!("{route}require = {{ groups = [\"a\"] }}"),
            "routes[0].require.groups: this route reads no token, and a password tells nothing but whose it is",
        ),
        (
            &basic,
            format!("{route}require = {{ clients = [\"a\"] }}"),
            "routes[0].require.clients: a password names no client: nobody could pass",
        ),
        (
            &basic,
            format!("{route}require = {{ principal = \"service\" }}"),
            "routes[0].require.principal: a password is a user's: nobody could pass",
        ),
        (
            &*format!("{basic}hash_threads = 0\n"),
            route.to_owned(),
            "basic.hash_threads: out of range",
        ),
        (
            &*format!("{basic}cache = \"0s\"\n"),
            route.to_owned(),
            "basic.cache: must be longer than zero",
        ),
        (
            &*format!("{basic}lockout = {{ attempts = 0 }}\n"),
            route.to_owned(),
            "basic.lockout.attempts: out of range",
        ),
    ] {
        let errors = bad(&file(basic, &route), &[]);
        let told: Vec<_> = errors
            .iter()
            .map(|error| format!("{}: {}", error.key, error.message))
            .collect();
        assert!(
            told.iter().any(|told| told == expected),
            "{expected}\n{told:?}"
        );
    }
    let by_name = format!("{route}require = {{ principal = \"user\" }}");
    good(&file(&basic, &by_name), &[]);
}

#[test]
fn what_deserves_a_second_look_is_warned_of() {
    let cheap = "$2y$05$SR/n2OSFhzteLZrbUJO/LeNh5ZbHghnD2GeboK43MfWZONmXaUGee";
    let mixed = users(&format!("ada:{SESAME}\nbob:{cheap}\n"));
    let none = users("");
    let warned = |text: String| -> Vec<String> {
        let warnings = good(&text, &[]).warnings.into_iter();
        warnings
            .map(|warning| format!("{}: {}", warning.key, warning.message))
            .collect()
    };
    let basic = |users: &Users| format!("[basic]\nusers_file = {:?}\n", users.path);
    let warnings = warned(file(&basic(&mixed), "auth = [\"basic\"]\n"));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("bcrypt cost 5 are cheap"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("the time an answer takes tells which names"),
        "{warnings:?}"
    );
    let warnings = warned(file(&basic(&none), "auth = [\"basic\"]\n"));
    assert!(warnings[0].contains("it has no users"), "{warnings:?}");
    let warnings = warned(file(
        &format!("{}cache = \"2h\"\n", basic(&none)),
        "auth = \"none\"\n",
    ));
    assert!(
        warnings
            .iter()
            .any(|told| told.starts_with("basic: no route accepts passwords")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().any(|told| told.starts_with("basic.cache:")),
        "{warnings:?}"
    );
    let forwards =
        file(&basic(&none), "auth = [\"basic\"]\n").replace("authorization = \"strip\"\n", "");
    let warnings = warned(forwards);
    assert!(
        warnings
            .iter()
            .any(|told| told.contains("passes users' passwords on")),
        "{warnings:?}"
    );
}
