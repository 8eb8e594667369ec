//! `groups_overage = "graph"`

use super::*;
use crate::authz::route::Access;

/// Two issuers, one of them a tenant with these lines, and what follows.
fn with(lines: &str, more: &str) -> String {
    let routes = SMALLEST.replace(
        "path = \"/**\"",
        "path = \"/**\"\nissuers = [\"users\", \"staff\"]",
    );
    format!(
        "{routes}{more}\n[issuers.staff]\nkind = \"entra\"\naudiences = [\"a\"]\n\
         tenant_id = \"11111111-2222-3333-4444-555555555555\"\n{lines}\n"
    )
}

const GRAPH: &str = "groups_overage = \"graph\"\ncredential = \"directory\"";
const DIRECTORY: &str = "[credentials.directory]\nkind = \"client_credentials\"\n\
     tenant_id = \"11111111-2222-3333-4444-555555555555\"\nclient_id = \"c\"\n\
     client_secret = { env = \"SECRET\" }\nscopes = [\"https://graph.microsoft.com/.default\"]\n";
const FEW: &str =
    "[memberships.few]\nkind = \"http\"\nurl = \"https://few.test/{issuer}/{user_id}\"\n";

#[test]
fn graph_is_asked_where_a_rule_needs_the_tokens_groups() {
    let roles = "[mappings.m]\nroles_from = [\"roles\", \"groups\"]\n";
    let groups = "require = { groups = { none = [\"g\"] } }\n";
    for (lines, route, more, asked) in [
        (GRAPH, "", "", false),
        (GRAPH, groups, "", true),
        ("", groups, "", false),
        ("groups_overage = \"deny\"", groups, "", false),
        (GRAPH, "require = { roles = [\"r\"] }\n", "", false),
        (
            &format!("{GRAPH}\nmapping = \"m\""),
            "require = { roles = [\"r\"] }\n",
            roles,
            true,
        ),
        (GRAPH, "on_behalf_of = { groups = [\"g\"] }\n", "", true),
        (
            GRAPH,
            &format!("memberships = \"few\"\n{groups}"),
            FEW,
            false,
        ),
        (
            GRAPH,
            &format!("memberships = \"few\"\n{groups}"),
            &format!("{FEW}from = {{ groups = \"both\" }}\n"),
            true,
        ),
        (
            GRAPH,
            &format!("memberships = \"few\"\n{groups}"),
            &format!("{FEW}from = \"claims\"\n"),
            true,
        ),
    ] {
        let text = with(lines, &format!("{route}{DIRECTORY}{more}"));
        let config = good(&text, &[("SECRET", "s")]);
        let Access::Protected(protected) = &config.routes.routes()[0].access else {
            panic!("{text}");
        };
        let names: Vec<&str> = protected.overage.iter().map(|known| &*known.name).collect();
        assert_eq!(
            names,
            if asked { vec!["graph:staff"] } else { vec![] },
            "{text}"
        );
        for known in &protected.overage {
            let store = &config.memberships[known.store];
            assert_eq!((&*store.name, &*known.issuer), ("graph:staff", "staff"));
            let MembershipKind::Graph(graph) = &store.kind else {
                panic!("{store:?}");
            };
            assert_eq!(graph.url.as_str(), "https://graph.microsoft.com/");
        }
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let environment = [("SECRET", "s")];
    let user = "[credentials.directory]\nkind = \"pass_through\"\nissuers = [\"staff\"]\n";
    for (lines, more, expected) in [
        (
            "groups_overage = \"graph\"",
            DIRECTORY,
            "issuers.staff.groups_overage: Microsoft Graph answers nobody without a credential",
        ),
        (
            "credential = \"directory\"",
            DIRECTORY,
            "issuers.staff.credential: nobody is asked for groups without groups_overage = \"graph\"",
        ),
        (
            "groups_overage = \"deny\"\ngraph_url = \"https://graph.test\"",
            DIRECTORY,
            "issuers.staff.graph_url: nobody is asked for groups without groups_overage = \"graph\"",
        ),
        (
            GRAPH,
            "",
            "issuers.staff.credential: there is no [credentials.directory]",
        ),
        (
            GRAPH,
            user,
            "issuers.staff.credential: [credentials.directory] is made from a user's token, and this is no \
             user's request",
        ),
        (
            &format!("{GRAPH}\ngraph_url = \"http://graph.test\""),
            DIRECTORY,
            "issuers.staff.graph_url: plain http:// to another host carries keys or credentials in the clear",
        ),
        (
            &format!("{GRAPH}\ngraph_url = \"https://graph.test?x=1\""),
            DIRECTORY,
            "issuers.staff.graph_url: a URL here has neither query nor fragment",
        ),
    ] {
        let errors = bad(&with(lines, more), &environment);
        let told = shown(&errors);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].ends_with(expected), "{told:?}");
    }
    // the kinds that have no groups of their own elsewhere
    let cognito = SMALLEST.replace("client_ids", "groups_overage = \"graph\"\nclient_ids");
    let told = shown(&bad(&cognito, &[]));
    assert!(told[0].contains("issuers.users.groups_overage"), "{told:?}");
}
