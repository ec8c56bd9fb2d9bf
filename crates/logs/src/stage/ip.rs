//! `ip("..")`: addresses in lines and labels.

use std::net::IpAddr;

/// An address, a range of them, or a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpMatcher {
    first: IpAddr,
    last: IpAddr,
}

impl IpMatcher {
    /// Reads `1.2.3.4`, `1.2.3.4-1.2.3.9`, `1.2.3.0/24`, and the same with IPv6.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("ip: invalid pattern: {text:?} is not an address, a range or a prefix");
        let address = |t: &str| t.parse::<IpAddr>().map_err(|_| bad());
        if let Some((a, b)) = text.split_once('-') {
            let (first, last) = (address(a)?, address(b)?);
            return if first.is_ipv4() == last.is_ipv4() && first <= last { Ok(IpMatcher { first, last }) } else { Err(bad()) };
        }
        let Some((a, bits)) = text.split_once('/') else {
            let one = address(text)?;
            return Ok(IpMatcher { first: one, last: one });
        };
        let bits: u32 = bits.parse().map_err(|_| bad())?;
        match address(a)? {
            IpAddr::V4(a) if bits <= 32 => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let n = u32::from(a);
                Ok(IpMatcher { first: IpAddr::V4((n & !host).into()), last: IpAddr::V4((n | host).into()) })
            }
            IpAddr::V6(a) if bits <= 128 => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let n = u128::from(a);
                Ok(IpMatcher { first: IpAddr::V6((n & !host).into()), last: IpAddr::V6((n | host).into()) })
            }
            _ => Err(bad()),
        }
    }

    /// Whether it means this address.
    pub fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether any address written in `text` is meant.
    pub fn is_in(&self, text: &str) -> bool {
        let part = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
        text.split(|c| !part(c)).filter(|w| w.len() >= 2).any(|word| {
            let hit = |w: &str| w.parse::<IpAddr>().is_ok_and(|a| self.has(a));
            // A sentence's end, a port, or letters before a colon stick to an address.
            hit(word) || hit(word.trim_end_matches(['.', ':'])) || word.split(':').any(hit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_texts() {
        for (pattern, yes, no) in [
            ("192.168.0.1", "vpn 192.168.0.1 up", "vpn 192.168.0.10 up"),
            ("192.168.0.1-192.168.0.9", "at 192.168.0.9.", "at 192.168.0.10."),
            ("10.0.0.0/8", "10.255.1.1:8080 x", "11.0.0.1:8080"),
            ("::1", "connected to ::1", "connected to ::2"),
            ("2001:db8::/32", "[2001:db8::5]", "2001:db9::5"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
        ] {
            let m = IpMatcher::parse(pattern).unwrap();
            assert!(m.is_in(yes), "{pattern} in {yes}");
            assert!(!m.is_in(no), "{pattern} in {no}");
        }
        for bad in ["", "1.2.3", "1.2.3.4-1.2.3.1", "1.2.3.4-::1", "1.2.3.4/33", "::/129", "a", "1.2.3.4 - 1.2.3.9"] {
            assert!(IpMatcher::parse(bad).is_err(), "{bad}");
        }
    }
}
