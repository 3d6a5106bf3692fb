//! The host of a registry: who is asked, and whose credentials that needs.

use std::fmt;
use std::str::FromStr;

/// A host as people write it, with its port: `ghcr.io`, `localhost:5000`, `[::1]:5000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl Host {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host that answers requests: Docker Hub's is not the one people write.
    pub fn api(&self) -> &str {
        if self.is_docker_hub() { "registry-1.docker.io" } else { &self.0 }
    }

    /// Under which name `docker login` keeps the credentials.
    pub fn credentials_key(&self) -> &str {
        if self.is_docker_hub() { "https://index.docker.io/v1/" } else { &self.0 }
    }

    /// Whether it is one of the names of Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&self.as_str())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(host: &str) -> Result<Self, String> {
        check(host).map(|()| Self(host.to_owned()))
    }
}

fn check(host: &str) -> Result<(), String> {
    if host.contains('/') {
        return Err("a host is written without https:// and without a path".to_owned());
    }
    let (name, port) = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, rest))) => {
            let port = rest.strip_prefix(':');
            if address.parse::<std::net::Ipv6Addr>().is_err()
                || (port.is_none() && !rest.is_empty())
            {
                return Err("the address in [ ] is no IPv6 address".to_owned());
            }
            ("ipv6", port)
        }
        Some(None) => return Err("'[' without ']'".to_owned()),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty()
            && label.len() <= 63
            && inner
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(label) {
        return Err("the host is no host name".to_owned());
    }
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        Some(port) if !digits(port) || !port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Err("the port is not a number from 1 to 65535".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().expect(text)
    }

    #[test]
    fn docker_hub_has_several_names() {
        for text in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(host(text).api(), "registry-1.docker.io");
            assert_eq!(host(text).credentials_key(), "https://index.docker.io/v1/");
        }
        assert_eq!(host("ghcr.io").credentials_key(), "ghcr.io");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "a..b", "https://ghcr.io", "ghcr.io/", "u@ghcr.io", "a:0", "[::1", "a b"] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
    }
}
