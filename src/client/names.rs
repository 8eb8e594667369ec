//! Names of token endpoints: they lead to no link-local address.

use std::io;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::config::is_link_local;

/// getaddrinfo, without the link-local addresses it finds: whoever answers for a name could have
/// secrets sent to the machine's metadata service. An address in a URL is none of its business.
#[derive(Debug)]
pub(super) struct NotLinkLocal;

impl Resolve for NotLinkLocal {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(allowed(name.as_str(), found)?)
        })
    }
}

fn allowed(name: &str, found: impl Iterator<Item = SocketAddr>) -> io::Result<Addrs> {
    let (link_local, found): (Vec<_>, Vec<_>) =
        found.partition(|address| is_link_local(address.ip()));
    match link_local.first() {
        Some(address) if found.is_empty() => Err(io::Error::other(format!(
            "{name} leads to the link-local address {}",
            address.ip()
        ))),
        Some(_) | None => Ok(Box::new(found.into_iter())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_link_local_address() {
        let found = |list: &[&str]| -> Result<Vec<String>, String> {
            let list: Vec<SocketAddr> = list.iter().map(|text| text.parse().unwrap()).collect();
            allowed("token.test", list.into_iter())
                .map(|left| left.map(|address| address.to_string()).collect())
                .map_err(|error| error.to_string())
        };
        let refused = Err("token.test leads to the link-local address 169.254.169.254".to_owned());
        assert_eq!(found(&["169.254.169.254:0", "[fe80::1]:0"]), refused);
        assert_eq!(
            found(&["[fd00:ec2::254]:0", "10.0.0.1:0"]),
            Ok(vec!["10.0.0.1:0".to_owned()])
        );
        assert_eq!(found(&[]), Ok(vec![]));
    }
}
