//! `deploy/nginx` in NGINX.

use super::matrix::matrix;
use super::{Kind, Places, Proxy, Sees, shipped};
use crate::support::counterparts::skipped;
use crate::support::programs::find;

const CONFIG: &str = include_str!("../../../deploy/nginx/nginx.conf");

struct Nginx;

matrix!(Nginx);

impl Kind for Nginx {
    const SEES: Sees = Sees {
        outage: 503,
        gone: 503,
        method: 405,
    };

    async fn start(places: &Places) -> Option<Proxy> {
        let program = find("nginx").or_else(|| skipped("nginx"))?;
        Proxy::run(&program, |directory, address| {
            let at = |name: &str| directory.join(name).display().to_string();
            // the packages' own places need root
            let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {};\n", at(name)))
                .concat();
            let config = shipped(
                CONFIG,
                &[
                    ("http {\n", &format!("http {{\n{kept}")),
                    ("/var/log/nginx/access.log", &at("access.log")),
                    ("127.0.0.1:7401", &places.gatepost.to_string()),
                    ("127.0.0.1:3000", &places.app.to_string()),
                    ("0.0.0.0:8080", &address.to_string()),
                ],
            );
            std::fs::write(directory.join("nginx.conf"), config).expect("written");
            let global = format!("daemon off; pid {}; error_log stderr;", at("pid"));
            vec![
                "-p".to_owned(),
                directory.display().to_string(),
                "-c".to_owned(),
                at("nginx.conf"),
                "-g".to_owned(),
                global,
            ]
        })
        .await
    }
}
