//! Origins of web pages, as browsers write them.

use http::HeaderValue;
use url::Url;

use super::Form;

/// A page's origin, or every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Origin {
    /// `*`
    Any,
    /// `scheme://host`, with the port if it is not the scheme's own.
    Exact(HeaderValue),
}

impl Form for Origin {
    const FORMAT: &'static str = "origin";
    const EXAMPLE: &'static str = "https://app.example.com";
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => {
                return Err("\"null\" is anybody's: every sandboxed frame sends it".to_owned());
            }
            _other => {}
        }
        // the text is repeated only once it is known to hold no password
        let wrong = || "not an origin: scheme, host, and port where it is unusual".to_owned();
        let url = Url::parse(text).map_err(|_error| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let (Some(host), "") = (host, url.username()) else {
            return Err(wrong());
        };
        if url.password().is_some() {
            return Err(wrong());
        }
        if host.contains('*') {
            return Err("a wildcard is not understood here: name each origin".to_owned());
        }
        let port = url.port().map(|port| format!(":{port}"));
        let origin = format!("{}://{host}{}", url.scheme(), port.unwrap_or_default());
        if origin != text {
            return Err(format!("browsers compare byte for byte: write {origin:?}"));
        }
        HeaderValue::try_from(origin)
            .map(Self::Exact)
            .map_err(|_opaque| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_a_browser_writes_it() {
        for text in [
            "https://app.example.com",
            "http://localhost:5173",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
            "chrome-extension://abcdefghijklmnop",
            "capacitor://localhost",
        ] {
            let exact = HeaderValue::from_static(text);
            assert_eq!(Origin::read(text), Ok(Origin::Exact(exact)), "{text}");
        }
        assert_eq!(Origin::read("*"), Ok(Origin::Any));
        for (text, instead) in [
            ("https://app.example/", "https://app.example"),
            ("https://app.example/path", "https://app.example"),
            ("https://app.example?q", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("https://App.Example", "https://app.example"),
            ("HTTPS://app.example", "https://app.example"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://127.1", "http://127.0.0.1"),
        ] {
            let message = Origin::read(text).unwrap_err();
            assert!(message.ends_with(&format!("{instead:?}")), "{message}");
        }
        for text in [
            "",
            "null",
            "app.example",
            "https://",
            "https://*.example",
            "//app.example",
            "mailto:a@b",
            "https://user:hunter2@app.example",
            "https://user@app.example",
        ] {
            let message = Origin::read(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
