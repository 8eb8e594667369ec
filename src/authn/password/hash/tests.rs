//! Hashes that other programs wrote: htpasswd, Python's bcrypt and argon2-cffi.

use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[test]
fn hashes_of_other_programs_match_their_password_and_no_other() {
    let long = "x".repeat(72);
    for (stored, password) in [
        (
            "$2y$05$SR/n2OSFhzteLZrbUJO/LeNh5ZbHghnD2GeboK43MfWZONmXaUGee",
            "open sesame",
        ),
        (
            "$2a$04$qjmSjUMGOTx.9tvU.xQA8uwXQStajA3z8NoOZChjf78WwiSazIw.u",
            "open sesame",
        ),
        (
            "$2b$05$PUtUMv5nNi1YCcJiu7iece48mGmmUbKaH/.26eiFYykTZATi.Nhby",
            "pässwörd:1",
        ),
        (
            "$2b$04$s3oO3.IHAIpqcLfO05v4Qu0FzN9pNBhPMRP/MtigEswUIidqm3BR.",
            "",
        ),
        (
            "$2b$04$bFp9AKIUs/zDf4CeyTVF..FJ.gpCEwD.1okBrdNY6fpP8Z2aVdH2m",
            &long,
        ),
        (
            "$argon2id$v=19$m=64,t=1,p=1$MbmZVoJXygs23RKXmFj0og$B15qmeMowaRbIIHSx07pbQeudgZtmCOFKCS8qOZOucw",
            "open sesame",
        ),
        (
            "$argon2id$v=19$m=64,t=1,p=1$1i+6TNL5rgtuyZYHY5vT8Q$JpAbpNTXnGuPsY3XZhbkVHDaQ/BfQ/36l8x+vSugF5Y",
            "pässwörd:1",
        ),
        (
            "$argon2id$v=19$m=256,t=2,p=4$dh50RjBQJl4fLiQ4fCFddg$NBCIrFIy7supjvObDQNjrg",
            "open sesame",
        ),
    ] {
        let hash = PasswordHash::parse(stored).unwrap();
        assert!(hash.matches(&secret(password)), "{stored}");
        for other in [
            format!("{password} "),
            format!("{password}\0"),
            "Open sesame".to_owned(),
        ] {
            assert!(!hash.matches(&secret(&other)), "{stored} {other:?}");
        }
        assert!(!format!("{hash:?}").contains(stored.rsplit('$').next().unwrap()));
    }
}

#[test]
fn what_bcrypt_would_cut_off_matches_nothing() {
    let hash = "$2b$04$bFp9AKIUs/zDf4CeyTVF..FJ.gpCEwD.1okBrdNY6fpP8Z2aVdH2m";
    let hash = PasswordHash::parse(hash).unwrap();
    assert!(hash.matches(&secret(&"x".repeat(72))));
    assert!(!hash.matches(&secret(&"x".repeat(73))));
    assert!(!hash.matches(&secret(&"x".repeat(1024))));
}

#[test]
fn nobodys_hash_costs_the_same_and_matches_nothing() {
    for cost in [
        Cost::Bcrypt { cost: 4 },
        Cost::Argon2id {
            memory: 64,
            passes: 1,
            lanes: 1,
        },
        Cost::Argon2id {
            memory: 256,
            passes: 2,
            lanes: 4,
        },
    ] {
        let nobody = PasswordHash::of_nobody(cost);
        assert_eq!(nobody.cost(), cost);
        for password in ["", "x", "open sesame"] {
            assert!(!nobody.matches(&secret(password)), "{cost}");
        }
    }
}

#[test]
fn every_other_text_is_refused_and_says_why() {
    let kind = HashFault::Kind;
    let tail = "$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let argon2 = |head: &str| format!("$argon2id${head}{tail}");
    let bcrypt =
        |head: &str| format!("{head}$SR/n2OSFhzteLZrbUJO/LeNh5ZbHghnD2GeboK43MfWZONmXaUGee");
    let malformed = HashFault::Malformed("argon2id");
    let costly = |memory, passes, lanes| {
        HashFault::TooCostly(Cost::Argon2id {
            memory,
            passes,
            lanes,
        })
    };
    for (text, fault) in [
        ("hunter2".to_owned(), HashFault::Unknown),
        (String::new(), HashFault::Unknown),
        (
            "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=".to_owned(),
            kind("SHA-1"),
        ),
        (
            "$apr1$6Mm1qwB3$dwc1z36RdY016PPT0Hjw70".to_owned(),
            kind("MD5"),
        ),
        ("$1$a$b".to_owned(), kind("MD5")),
        ("$6$a$b".to_owned(), kind("crypt's SHA-2")),
        ("$y$j9T$a$b".to_owned(), kind("this kind of hash")),
        ("$ecret".to_owned(), kind("this kind of hash")),
        (bcrypt("$2x$05"), kind("old, faulty bcrypt")),
        (bcrypt("$2y$03"), HashFault::Malformed("bcrypt")),
        (bcrypt("$2y$+5"), HashFault::Malformed("bcrypt")),
        (bcrypt("$2y$99"), HashFault::Malformed("bcrypt")),
        (bcrypt("$2y$5"), HashFault::Malformed("bcrypt")),
        (bcrypt("$2y$05") + "x", HashFault::Malformed("bcrypt")),
        (
            bcrypt("$2y$17"),
            HashFault::TooCostly(Cost::Bcrypt { cost: 17 }),
        ),
        (format!("$argon2i$v=19$m=64,t=1,p=1{tail}"), kind("argon2i")),
        (format!("$argon2d$v=19$m=64,t=1,p=1{tail}"), kind("argon2d")),
        (argon2("m=64,t=1,p=1"), malformed.clone()),
        (argon2("v=16$m=64,t=1,p=1"), malformed.clone()),
        (argon2("v=19$t=1,p=1"), malformed.clone()),
        (argon2("v=19$m=64,t=0,p=1"), malformed.clone()),
        (argon2("v=19$m=7,t=1,p=1"), malformed.clone()),
        (argon2("v=19$m=64,t=1,p=1,keyid=Zm9v"), malformed.clone()),
        (
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0".to_owned(),
            malformed.clone(),
        ),
        (
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAA".to_owned(),
            malformed,
        ),
        (argon2("v=19$m=1048577,t=1,p=1"), costly(1_048_577, 1, 1)),
        (argon2("v=19$m=65536,t=33,p=1"), costly(65536, 33, 1)),
        (
            argon2("v=19$m=4294967295,t=4294967295,p=1"),
            costly(u32::MAX, u32::MAX, 1),
        ),
        (argon2("v=19$m=1024,t=1,p=17"), costly(1024, 1, 17)),
    ] {
        assert_eq!(PasswordHash::parse(&text), Err(fault), "{text}");
    }
    assert!(PasswordHash::parse(&argon2("v=19$m=65536,t=32,p=16")).is_ok());
    assert!(PasswordHash::parse(&bcrypt("$2y$16")).is_ok());
}

#[test]
fn a_cost_below_what_is_recommended_is_low() {
    let argon2id = |memory, passes| Cost::Argon2id {
        memory,
        passes,
        lanes: 1,
    };
    for (cost, is_low) in [
        (Cost::Bcrypt { cost: 9 }, true),
        (Cost::Bcrypt { cost: 10 }, false),
        (argon2id(7168, 5), false),
        (argon2id(19456, 2), false),
        (argon2id(19456, 1), true),
        (Cost::DEFAULT, false),
    ] {
        assert_eq!(cost.is_low(), is_low, "{cost}");
    }
}
