//! The proof of belonging: who may call, and that what arrives is what was sent.
//!
//! Nodes of a cluster share a secret. It never travels. On each new connection both sides name a random number and prove, with
//! a MAC (HMAC-SHA-256) over both numbers, the cluster's name and the version, that they know the secret: first the caller, then the
//! listener, so that a stranger who connects learns nothing to try secrets against. From the same input two keys are derived for
//! this connection alone: one for calls, one for answers. A call proves its number, method and the hash of its body; a frame of an
//! answer proves the call's number, its place in the answer, its kind and its payload.
//!
//! So nothing can be forged, altered, moved to another call or, because a connection takes each number once and has keys of its
//! own, played again. No clock takes part: a node whose clock is wrong still belongs. What it does not do is hide what is
//! said; for that there are certificates.
//!
//! Rejected: a bearer token (readable on the way), and a MAC with a time stamp (needs clocks that agree, and a memory of all
//! calls of the last minutes on every node).

use std::collections::BTreeSet;
use std::fmt;

use base::{Error, Result};
use parking_lot::Mutex;
use ring::rand::SecureRandom;
use ring::{digest, hmac, rand};

use super::frame::{FrameKind, TAG_BYTES};
use crate::limits;

/// Bytes of a random number of the handshake.
pub const NONCE_BYTES: usize = 16;
/// The least a secret has: what a person thinks up can be guessed from a recorded handshake.
const SECRET_BYTES: usize = 16;

/// What the nodes of a cluster share. It never appears in logs.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Takes a secret: 16 or more printable ASCII characters.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.len() < SECRET_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid(format!(
                "a secret has {SECRET_BYTES} or more printable ASCII characters without blanks, as `openssl rand -hex 32` makes them"
            )));
        }
        Ok(Secret(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }
    /// The key of those who have no secret: their proofs are checksums.
    pub fn none() -> Self {
        Secret(hmac::Key::new(hmac::HMAC_SHA256, b""))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// A random number of the handshake.
pub fn nonce() -> Result<[u8; NONCE_BYTES]> {
    let mut out = [0; NONCE_BYTES];
    rand::SystemRandom::new().fill(&mut out).map_err(|_| Error::internal("the system gives no random numbers"))?;
    Ok(out)
}

/// What both sides of a new connection know once each has named its number.
pub struct Handshake<'a> {
    /// The shared secret.
    pub secret: &'a Secret,
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Version of the protocol.
    pub version: &'a str,
    /// The caller's number.
    pub caller: &'a [u8],
    /// The listener's number.
    pub listener: &'a [u8],
}

impl Handshake<'_> {
    fn mac(&self, what: &str) -> hmac::Tag {
        mac(&self.secret.0, &[what.as_bytes(), self.cluster.as_bytes(), self.version.as_bytes(), self.caller, self.listener])
    }
    /// What the caller sends.
    pub fn proof_of_caller(&self) -> String {
        hex(self.mac("caller").as_ref())
    }
    /// What the listener sends.
    pub fn proof_of_listener(&self) -> String {
        hex(self.mac("listener").as_ref())
    }
    /// The keys of this connection.
    pub fn session(&self) -> Session {
        let key = |what| hmac::Key::new(hmac::HMAC_SHA256, self.mac(what).as_ref());
        Session { calls: key("calls"), answers: key("answers"), seen: Mutex::new(Seen::default()) }
    }
}

/// The keys of one connection, and at the listener the numbers of calls that came.
pub struct Session {
    calls: hmac::Key,
    answers: hmac::Key,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    highest: u64,
    recent: BTreeSet<u64>,
}

impl Session {
    /// The proof of a call.
    pub fn call(&self, number: u64, method: &str, body_hash: &str) -> String {
        hex(mac(&self.calls, &[&number.to_le_bytes(), method.as_bytes(), body_hash.as_bytes()]).as_ref())
    }

    /// Whether a call is from the other side of this connection, and comes for the first time.
    pub fn takes(&self, number: u64, method: &str, body_hash: &str, proof: &str) -> bool {
        equal(&self.call(number, method, body_hash), proof) && self.seen.lock().takes(number)
    }

    /// The tag of a frame.
    pub fn tag(&self, number: u64, place: u64, kind: FrameKind, payload: &[u8]) -> [u8; TAG_BYTES] {
        let whole = mac(&self.answers, &[&number.to_le_bytes(), &place.to_le_bytes(), &[kind as u8], payload]);
        let mut out = [0; TAG_BYTES];
        out.copy_from_slice(&whole.as_ref()[..TAG_BYTES]);
        out
    }
}

impl Seen {
    fn takes(&mut self, number: u64) -> bool {
        if number.saturating_add(limits::CALL_NUMBERS_BACK) <= self.highest || !self.recent.insert(number) {
            return false;
        }
        self.highest = self.highest.max(number);
        while self.recent.first().is_some_and(|n| n + limits::CALL_NUMBERS_BACK <= self.highest) {
            self.recent.pop_first();
        }
        true
    }
}

/// Parts carry their lengths, so that no two lists of parts are one string.
fn mac(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for p in parts {
        context.update(&(p.len() as u64).to_le_bytes());
        context.update(p);
    }
    context.sign()
}

/// Whether both are the same, in a time that does not depend on where they differ.
pub fn equal(want: &str, given: &str) -> bool {
    let differs = given.bytes().zip(want.bytes()).fold(u8::from(given.len() != want.len()), |d, (a, b)| d | std::hint::black_box(a ^ b));
    std::hint::black_box(differs) == 0
}

/// The hash of a body.
pub fn body_hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)] as char, DIGITS[usize::from(b & 15)] as char]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake<'a>(secret: &'a Secret, cluster: &'a str, caller: &'a [u8]) -> Handshake<'a> {
        Handshake { secret, cluster, version: "1", caller, listener: &[2; NONCE_BYTES] }
    }

    #[test]
    fn each_part_of_a_handshake_counts() {
        let (a, b) = (Secret::new("0123456789abcdef").unwrap(), Secret::new("0123456789abcdeF").unwrap());
        let one = handshake(&a, "x", &[1; NONCE_BYTES]);
        assert_eq!(one.proof_of_caller(), handshake(&a, "x", &[1; NONCE_BYTES]).proof_of_caller());
        for other in [handshake(&b, "x", &[1; 16]), handshake(&a, "y", &[1; 16]), handshake(&a, "x", &[3; 16])] {
            assert_ne!(one.proof_of_caller(), other.proof_of_caller());
            assert_ne!(one.session().call(1, "hello", "h"), other.session().call(1, "hello", "h"));
        }
        assert_ne!(one.proof_of_caller(), one.proof_of_listener(), "a proof cannot be sent back as one's own");
        assert!(Secret::new("short").is_err() && Secret::new("0123456789abcd f0").is_err());
        assert!(!format!("{a:?}").contains("0123"));
    }

    #[test]
    fn a_call_is_taken_once_and_as_it_was_sent() {
        let secret = Secret::none();
        let s = handshake(&secret, "x", &[1; 16]).session();
        let proof = s.call(7, "append", "hash");
        assert!(!s.takes(7, "append", "other", &proof) && !s.takes(7, "scan", "hash", &proof) && !s.takes(8, "append", "hash", &proof));
        assert!(!s.takes(7, "append", "hash", &proof[1..]) && !s.takes(7, "append", "hash", ""));
        assert!(s.takes(7, "append", "hash", &proof));
        assert!(!s.takes(7, "append", "hash", &proof), "played again");
        let take = |n| s.takes(n, "m", "h", &s.call(n, "m", "h"));
        assert!(take(9) && take(8), "calls may overtake each other");
        assert!(take(9 + limits::CALL_NUMBERS_BACK) && !take(9) && !take(5) && take(10));
        assert!(s.seen.lock().recent.len() <= limits::CALL_NUMBERS_BACK as usize);
    }

    #[test]
    fn a_frame_belongs_to_its_call_and_its_place() {
        let secret = Secret::none();
        let s = handshake(&secret, "x", &[1; 16]).session();
        let tag = s.tag(1, 0, FrameKind::Message, b"rows");
        let others = [
            s.tag(2, 0, FrameKind::Message, b"rows"),
            s.tag(1, 1, FrameKind::Message, b"rows"),
            s.tag(1, 0, FrameKind::Error, b"rows"),
            s.tag(1, 0, FrameKind::Message, b"rowz"),
        ];
        assert!(others.iter().all(|o| *o != tag));
    }
}
