//! Where an answer may lead: redirects, token servers, upload locations, next pages.

use std::net::{IpAddr, Ipv4Addr};

use super::Url;

/// Whether an answer may send us from one URL to another: never from TLS to none, and never from elsewhere to what answers
/// things that are not meant for the network: a server of this machine, or one of the link, where clouds hand out credentials.
///
/// # Errors
/// Where it leads instead, in words.
pub fn may_lead(from: &Url, to: &Url) -> Result<(), &'static str> {
    match (from.scheme(), to.scheme()) {
        ("https", "https") | ("http", "http" | "https") => {}
        ("https", "http") => return Err("from https to http"),
        _ => return Err("to another protocol"),
    }
    match inward(to) {
        Some(reason) if inward(from) != Some(reason) => Err(reason),
        _ => Ok(()),
    }
}

/// Whether the URL names this machine by the names that servers for trying things out have: those to which http is spoken.
/// Whatever else leads here is no reason to send anything in clear.
pub fn is_loopback(url: &Url) -> bool {
    match host(url) {
        Some(Host::Name(name)) => name == "localhost",
        Some(Host::Address(address)) => address.is_loopback(),
        None => false,
    }
}

/// A host as a URL has it: in lower case, and an address in whichever of its spellings it was.
enum Host<'a> {
    Name(&'a str),
    Address(IpAddr),
}

fn host(url: &Url) -> Option<Host<'_>> {
    let host = url.host_str()?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    Some(address.map_or(Host::Name(host), Host::Address))
}

/// What a URL leads to that is nearer than the network, whatever it calls it.
fn inward(url: &Url) -> Option<&'static str> {
    const MACHINE: &str = "to this machine";
    const LINK: &str = "to a link-local address";
    // RFC 1122, 3.2.1.3: an address of 0.0.0.0/8 is one of "this" host.
    let v4 = |address: Ipv4Addr| match address.octets() {
        [0 | 127, ..] => Some(MACHINE),
        [169, 254, ..] => Some(LINK),
        _ => None,
    };
    match host(url)? {
        // RFC 6761, 6.3: so is every name under it; and a name may end in the dot of the root.
        Host::Name(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            (name == "localhost" || name.ends_with(".localhost")).then_some(MACHINE)
        }
        Host::Address(IpAddr::V4(address)) => v4(address),
        Host::Address(IpAddr::V6(address)) if address.is_unicast_link_local() => Some(LINK),
        // `::`, `::1`, and those with an IPv4 address in them (RFC 4291, 2.5.5).
        Host::Address(IpAddr::V6(address)) => address.to_ipv4().and_then(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(from: &str, to: &str) -> bool {
        may_lead(&from.parse().expect("a URL"), &to.parse().expect("a URL")).is_ok()
    }

    #[test]
    fn redirects_never_weaken_and_never_point_inwards() {
        assert!(allowed("https://ghcr.io/v2/", "https://cdn.example/x"));
        assert!(allowed("http://127.0.0.1:5000/", "http://localhost:5001/x"));
        assert!(allowed("http://0.0.0.0:5000/", "http://127.0.0.1:5001/x"));
        assert!(allowed("http://169.254.7.7:5000/", "http://169.254.7.7:5001/x"));
        assert!(!allowed("https://ghcr.io/v2/", "http://ghcr.io/x"));
        assert!(!allowed("https://ghcr.io/v2/", "file:///etc/passwd"));
        assert!(!allowed("http://169.254.7.7:5000/", "http://127.0.0.1:5001/x"));
    }

    #[test]
    fn nobody_elsewhere_leads_here_by_any_name_of_this_machine_or_of_its_link() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "x.localhost",
            "x.Localhost.:5000",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0.0.0.0",
            "0",
            "0.0.0.1",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:0.0.0.0]",
            "[::127.0.0.1]",
            "169.254.169.254",
            "169.254.0.1:80",
            "[fe80::1]",
            "[febf::1]",
            "[::ffff:169.254.169.254]",
        ] {
            assert!(!allowed("https://ghcr.io/v2/", &format!("https://{host}/x")), "{host}");
            assert!(!allowed("http://10.0.0.7:5000/v2/", &format!("http://{host}/x")), "{host}");
        }
        for host in [
            "127.0.0.1.example",
            "localhost.example",
            "notlocalhost",
            "128.0.0.1",
            "10.0.0.1",
            "[fec0::1]",
            "[::2:1:1]",
        ] {
            assert!(allowed("https://ghcr.io/v2/", &format!("https://{host}/x")), "{host}");
        }
    }

    #[test]
    fn http_is_for_the_plain_names_of_this_machine() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:5000", "127.9.9.9:1", "[::1]:5000"] {
            assert!(is_loopback(&format!("https://{host}/").parse().expect(host)), "{host}");
        }
        for host in [
            "localhost.example",
            "128.0.0.1:1",
            "[::2]:1",
            "0.0.0.0:1",
            "x.localhost",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(!is_loopback(&format!("https://{host}/").parse().expect(host)), "{host}");
        }
    }
}
