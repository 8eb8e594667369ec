//! Mappings: what an issuer's names mean here.

use super::*;
use crate::authn::Mapping;
use crate::authn::mapping::Set;

/// The smallest file, with an issuer that names the mapping `app`, and these tables.
fn with(mapping: &str) -> String {
    let client_ids = "client_ids = [\"1example23456789\"]";
    let named = format!("{client_ids}\nmapping = \"app\"");
    format!("{}{mapping}", SMALLEST.replace(client_ids, &named))
}

#[test]
fn an_issuer_has_the_mapping_it_names() {
    let text = with(
        "[mappings.app]\nprefixes = { roles = \"Orders.\" }\nroles_from = [\"roles\", \"groups\"]\n\
         role_permissions = { admin = [\"orders.*\"] }\n[mappings.other]\nwildcards = true",
    );
    let expected = Mapping {
        role_prefix: Some("Orders.".to_owned()),
        roles_from: vec![Set::Roles, Set::Groups],
        role_permissions: vec![("admin".to_owned(), vec!["orders.*".to_owned()])],
        ..Mapping::default()
    };
    assert_eq!(good(&text, &[]).issuers[0].issuer.mapping, expected);
    let without = good(SMALLEST, &[]).issuers[0].issuer.mapping.clone();
    assert_eq!(without, Mapping::default());
}

#[test]
fn a_mapping_that_maps_nothing_or_cannot_mean_what_it_says_is_refused() {
    for (mapping, expected) in [
        ("", "issuers.users.mapping: there is no [mappings.app]"),
        ("[mappings.app]", "mappings.app: it maps nothing"),
        (
            "[mappings.app]\nroles_from = [\"roles\"]",
            "mappings.app: it maps nothing",
        ),
        (
            "[mappings.app]\nroles_from = []",
            "mappings.app.roles_from: an empty list",
        ),
        (
            "[mappings.app]\nroles_from = [\"scopes\"]",
            "mappings.app.roles_from[0]: unknown value \"scopes\"",
        ),
        (
            "[mappings.app]\nrole_permissions = { admin = [\"orders.re*\"] }",
            "mappings.app.role_permissions.admin[0]: \"orders.re*\" is no wildcard, and no name either",
        ),
        (
            "[mappings.app]\nprefixes = { role = \"a\" }\nwildcards = true",
            "mappings.app.prefixes.role: unknown key",
        ),
    ] {
        let errors = shown(&bad(&with(mapping), &[]));
        assert!(
            errors.iter().any(|error| error.contains(expected)),
            "{expected}: {errors:?}"
        );
    }
}

#[test]
fn a_wildcard_in_a_rule_is_warned_of() {
    let rule = "\nrequire = { permissions = [\"orders.*\"] }";
    let warnings = good(&format!("{SMALLEST}{rule}"), &[]).warnings;
    let key = "routes[0].require.permissions";
    assert!(
        warnings.iter().any(|warning| warning.key == key),
        "{warnings:?}"
    );
}
