//! Request lines as they are typed into command lines.
//!
//! `curl -g 'http://…/api/v1/series?match[]=up{job="x"}'` sends the quotes as they are, and the documentation of Prometheus has commands of
//! that kind. A URI has none of them (RFC 3986), and hyper refuses the request; Go's servers read them. So they are spelled out here, in the first
//! request of a connection: whoever sends several on one is a library, and libraries do it themselves.

use bytes::{BufMut, BytesMut};

/// Whether a byte has no place in a target and is no end of it either.
fn is_bare(b: u8) -> bool {
    matches!(b, b'"' | b'<' | b'>')
}

/// Whether the first line has come whole.
pub fn is_whole(head: &[u8]) -> bool {
    head.contains(&b'\n')
}

/// The beginning of a connection, with what a target must not hold as `%22` and the like.
pub fn spelled_out(head: BytesMut) -> BytesMut {
    let line = &head[..head.iter().position(|b| *b == b'\n').unwrap_or(0)];
    let is_space = |b: &u8| *b == b' ';
    let (Some(from), Some(to)) = (line.iter().position(is_space), line.iter().rposition(is_space)) else { return head };
    if !line[from..to].iter().copied().any(is_bare) {
        return head;
    }
    let mut out = BytesMut::with_capacity(head.len() + 128);
    out.put_slice(&head[..from]);
    for &b in &head[from..to] {
        if is_bare(b) {
            out.put_slice(format!("%{b:02X}").as_bytes());
        } else {
            out.put_u8(b);
        }
    }
    out.put_slice(&head[to..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_target_is_spelled_out() {
        let of = |text: &str| String::from_utf8(spelled_out(text.as_bytes().into()).to_vec()).unwrap();
        assert_eq!(
            of("GET /q?a={b=\"c\"}<>%22 HTTP/1.1\r\nx: \"<>\"\r\n\r\n\""),
            "GET /q?a={b=%22c%22}%3C%3E%22 HTTP/1.1\r\nx: \"<>\"\r\n\r\n\""
        );
        for same in ["", "\n", "GET\n\"", "GET \"\n", "GET / HTTP/1.1\r\n\"", "GET /\" HTTP/1.1", "PRI * HTTP/2.0\r\n\r\n"] {
            assert_eq!(of(same), same);
        }
    }
}
