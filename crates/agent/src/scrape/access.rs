//! How a page is asked for: who asks, through whom, and how it is kept secret.

use std::net::IpAddr;
use std::path::PathBuf;

use base::{Error, Result};

use crate::ship::{Credentials, Tls};

/// How it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who asks.
    pub credentials: Credentials,
    /// Certificates.
    pub tls: Tls,
    /// Through whom it asks: a URL.
    pub proxy: Option<String>,
    /// Hosts that are asked without the proxy, separated by commas: names with all below them, `.name` for what is below alone, addresses,
    /// networks (`10.0.0.0/8`), each also with a port; `*` for all.
    pub no_proxy: String,
    /// Whether an answer may point elsewhere.
    pub follow_redirects: bool,
    /// Further headers.
    pub headers: Vec<Header>,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            credentials: Credentials::None,
            tls: Tls::default(),
            proxy: None,
            no_proxy: String::new(),
            follow_redirects: true,
            headers: vec![],
        }
    }
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Held,
}

/// A text that may be secret. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Held {
    /// The text.
    Text(String),
    /// A file that holds it, which is read each time.
    File(PathBuf),
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hidden")
    }
}

impl Held {
    /// The text.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(&self) -> Result<String> {
        match self {
            Held::Text(t) => Ok(t.clone()),
            Held::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(e) => Err(Error::unavailable(format!("{}: {e}", path.display()))),
            },
        }
    }
}

impl Access {
    /// Whether what is at `url` is asked for without the proxy.
    pub(super) fn is_direct(&self, url: &str) -> bool {
        if self.proxy.is_none() || self.no_proxy.is_empty() {
            return self.proxy.is_none();
        }
        let Some((scheme, rest)) = url.split_once("://") else { return false };
        let authority = rest.split(['/', '?']).next().unwrap_or(rest);
        let (host, port) = host_and_port(authority);
        let port = port.unwrap_or(if scheme == "https" { "443" } else { "80" });
        let host = host.to_ascii_lowercase();
        let ip: Option<IpAddr> = host.parse().ok();
        // As in Go, whose rules these are: with exceptions, this host is one.
        let is_here = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        is_here || self.no_proxy.split(',').map(str::trim).any(|rule| fits(&rule.to_ascii_lowercase(), &host, ip, port))
    }
}

/// `[::1]:80`, `host:80`, `host`.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, after)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return (host, after.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

fn fits(rule: &str, host: &str, ip: Option<IpAddr>, port: &str) -> bool {
    if rule.is_empty() || rule == "*" {
        return rule == "*";
    }
    if let Some((net, bits)) = rule.split_once('/') {
        return ip.is_some_and(|ip| is_within(ip, net, bits));
    }
    let (name, of_port) = host_and_port(rule);
    if of_port.is_some_and(|p| p != port) {
        return false;
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return ip == Some(address);
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    let below = name.strip_prefix('.');
    let is_below = host.strip_suffix(below.unwrap_or(name)).is_some_and(|h| h.ends_with('.'));
    is_below || (below.is_none() && host == name)
}

fn is_within(ip: IpAddr, net: &str, bits: &str) -> bool {
    let (Ok(net), Ok(bits)) = (net.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let (a, b, width) = match (ip, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (a ^ b).checked_shr(width - bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_need_no_proxy() {
        let is_direct = |no_proxy: &str, url: &str| {
            Access { proxy: Some("http://p:1".into()), no_proxy: no_proxy.into(), ..Access::default() }.is_direct(url)
        };
        for (rules, url, wanted) in [
            ("", "http://localhost:1/x", false),
            ("x", "http://localhost:1/x", true),
            ("x", "http://[::1]:1/x", true),
            ("a.b, c", "http://c/metrics", true),
            ("a.b", "https://x.A.b/metrics", true),
            ("a.b", "http://xa.b/", false),
            (".a.b", "http://a.b/", false),
            (".a.b", "http://x.a.b?q", true),
            ("*.a.b", "http://x.a.b", true),
            ("*", "http://x", true),
            ("10.0.0.0/8", "http://10.1.2.3:9/", true),
            ("10.0.0.0/8", "http://11.1.2.3:9/", false),
            ("0.0.0.0/0", "http://11.1.2.3:9/", true),
            ("10.0.0.1", "http://10.0.0.1:9/", true),
            ("fd00::/8", "http://[fd00::1]:9/", true),
            ("h:80", "http://h/", true),
            ("h:80", "https://h/", false),
        ] {
            assert_eq!(is_direct(rules, url), wanted, "{rules} {url}");
        }
        assert!(Access::default().is_direct("http://x"));
    }
}
