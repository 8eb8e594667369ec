//! Addresses that a name must not lead credentials to: those of this link, where clouds keep the
//! service that tells a machine its own credentials, and the same service under other addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is link-local (RFC 3927, RFC 4291 2.5.6) or a cloud's metadata service, in
/// any form that leads there: IPv4-mapped and -compatible (RFC 4291 2.5.5), NAT64 (RFC 6052), 6to4
/// (RFC 3056).
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_link_local_v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || is_metadata(address)
                || embedded(address).is_some_and(is_link_local_v4)
        }
    }
}

fn is_link_local_v4(address: Ipv4Addr) -> bool {
    address.is_link_local()
        || matches!(
            address.octets(),
            // Alibaba Cloud, Oracle Cloud, Azure
            [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16]
        )
}

/// AWS (`fd00:ec2::/32`: instances, ECS tasks, EKS pods) and Google Cloud (`fd20:ce::254`).
fn is_metadata(address: Ipv6Addr) -> bool {
    matches!(
        address.segments(),
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]
    )
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            (high, low)
        }
        [0x2002, high, low, ..] => (high, low),
        _other => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_known_in_every_form() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fe80::1",
            "febf::a9fe:a9fe",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::ffff:100.100.100.200",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_link_local(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "100.100.100.201",
            "::1",
            "fec0::1",
            "fd00:ec3::254",
            "fd20:ce::253",
            "2600:1f18::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
        ] {
            assert!(!is_link_local(address.parse().unwrap()), "{address}");
        }
    }
}
