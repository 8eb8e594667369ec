use http::HeaderMap;

use super::*;

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn shown(asked: Result<Asked<'_>, Denial>) -> Result<String, Denial> {
    let Asked { method, host, path } = asked?;
    Ok(format!("{method} {} {path}", host.as_str()))
}

#[test]
fn a_path_belongs_to_one_dialect() {
    for (path, call) in [
        ("/auth/nginx", Some(Call::Nginx)),
        ("/auth/nginx/", None),
        ("/auth/traefik", Some(Call::Forwarded)),
        ("/auth/caddy", Some(Call::Forwarded)),
        ("/auth/haproxy", Some(Call::Forwarded)),
        ("/auth/envoy/a/b", Some(Call::Envoy("/a/b"))),
        ("/auth/envoy/", Some(Call::Envoy("/"))),
        ("/auth/envoy", None),
        ("/auth/envoyx", None),
        ("/api/v1/validate", Some(Call::Validate)),
        ("/", None),
        ("/auth", None),
    ] {
        assert_eq!(Call::at(path), call, "{path}");
    }
}

#[test]
fn nginx_states_method_and_url() {
    let uri: http::Uri = "/auth/nginx".parse().unwrap();
    let malformed = Err(Denial::RequestMalformed);
    let get = ("x-original-method", "GET");
    for (list, expected) in [
        (
            vec![get, ("x-original-url", "https://Api.test:8443/a/b?c=/d")],
            Ok("GET api.test /a/b"),
        ),
        (
            vec![get, ("x-original-url", "http://a.test?x")],
            Err(Denial::PathAmbiguous),
        ),
        (
            vec![get, ("x-original-url", "http://a.test")],
            Ok("GET a.test /"),
        ),
        (
            vec![get, ("x-original-uri", "/a?b"), ("host", "h.test")],
            Ok("GET h.test /a"),
        ),
        (
            vec![
                get,
                ("x-original-url", "http://a.test/x?y"),
                ("x-original-uri", "/x?y"),
                ("host", "A.test"),
            ],
            Ok("GET a.test /x"),
        ),
        (
            vec![
                get,
                ("x-original-url", "http://a.test/x?y"),
                ("x-original-uri", "/x?y"),
                ("host", "b.test"),
            ],
            malformed.clone(),
        ),
        (
            vec![
                get,
                ("x-original-url", "http://a.test/x"),
                ("x-original-uri", "/admin"),
            ],
            malformed.clone(),
        ),
        (vec![get], malformed.clone()),
        (
            vec![("x-original-url", "http://a.test/")],
            malformed.clone(),
        ),
        (
            vec![get, get, ("x-original-url", "http://a.test/")],
            malformed.clone(),
        ),
        (
            vec![
                get,
                ("x-original-url", "http://a.test/"),
                ("x-original-url", "http://a.test/"),
            ],
            malformed.clone(),
        ),
        (
            vec![
                ("x-original-method", "G T"),
                ("x-original-url", "http://a.test/"),
            ],
            malformed.clone(),
        ),
        (
            vec![get, ("x-original-url", "ftp://a.test/")],
            malformed.clone(),
        ),
        (vec![get, ("x-original-url", "/a")], malformed.clone()),
        (
            vec![get, ("x-original-url", "http://u:p@a.test/")],
            Err(Denial::HostInvalid),
        ),
        (
            vec![get, ("x-original-url", "http://a.test/admin#/public")],
            Err(Denial::PathAmbiguous),
        ),
        (
            vec![get, ("x-original-uri", "/a")],
            Err(Denial::HostInvalid),
        ),
        // another family says nothing here
        (
            vec![
                ("x-forwarded-method", "GET"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "a.test"),
                ("x-forwarded-uri", "/"),
            ],
            malformed.clone(),
        ),
    ] {
        let headers = headers(&list);
        // Path::parse comes after; a missing path shows there
        let asked = nginx::asked(&uri, &headers).and_then(|asked| {
            Path::parse(asked.path)?;
            Ok(asked)
        });
        assert_eq!(shown(asked), expected.map(str::to_owned), "{list:?}");
    }
}

#[test]
fn the_forwarded_family_is_complete_and_single_or_refused() {
    let full = [
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "A.test"),
        ("x-forwarded-uri", "/a/b?c"),
    ];
    assert_eq!(
        shown(forwarded::asked(&headers(&full))),
        Ok("DELETE a.test /a/b".to_owned())
    );
    for left_out in 0..full.len() {
        let mut list = full.to_vec();
        let (name, value) = list.remove(left_out);
        let refused = Err(Denial::RequestMalformed);
        assert_eq!(
            shown(forwarded::asked(&headers(&list))),
            refused,
            "no {name}"
        );
        list.extend([(name, value), (name, value)]);
        assert_eq!(
            shown(forwarded::asked(&headers(&list))),
            refused,
            "two {name}"
        );
        list.truncate(full.len() - 1);
        list.push((name, ""));
        assert_eq!(
            shown(forwarded::asked(&headers(&list))),
            refused,
            "empty {name}"
        );
    }
    let mut list = full.to_vec();
    list[2].1 = "a.test, b.test";
    assert_eq!(
        shown(forwarded::asked(&headers(&list))),
        Err(Denial::HostInvalid)
    );
    list[2].1 = "a.test";
    list[1].1 = "gopher";
    assert_eq!(
        shown(forwarded::asked(&headers(&list))),
        Err(Denial::RequestMalformed)
    );
}
