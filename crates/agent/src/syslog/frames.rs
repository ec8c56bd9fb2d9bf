//! Messages in a stream of bytes (RFC 6587): counted (`57 <34>1 ...`) or ended by a line break. Senders differ, and one byte
//! tells: a message begins with `<`, a count with a digit.

use crate::limits;

/// What a connection has sent and what is not whole yet.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Bytes of a message that is too long, which are passed over: so many, or up to the next line break.
    skip: Option<Skip>,
}

#[derive(Debug, PartialEq, Eq)]
enum Skip {
    Bytes(usize),
    Line,
}

/// What was taken out of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages.
    pub messages: Vec<Vec<u8>>,
    /// Messages that were cut.
    pub cut: u64,
    /// Bytes that were cut off.
    pub cut_bytes: u64,
}

impl Frames {
    /// Takes what came, and gives the messages that are whole. A message that is too long is cut.
    pub fn push(&mut self, bytes: &[u8]) -> Taken {
        self.buffer.extend_from_slice(bytes);
        let mut taken = Taken::default();
        let mut at = 0;
        while let Some(used) = self.step(at, &mut taken) {
            at += used;
        }
        self.buffer.drain(..at);
        taken
    }

    /// The rest, when the sender has ended: a last line without its break is whole, a counted message is not.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.buffer);
        let text = rest.trim_ascii();
        let is_line = self.skip.take().is_none() && !text.is_empty() && count(text).is_none();
        is_line.then(|| text.to_vec())
    }

    /// One message, or one piece of what is passed over: the bytes used; none if there is nothing whole.
    fn step(&mut self, at: usize, taken: &mut Taken) -> Option<usize> {
        let rest = &self.buffer[at..];
        if rest.is_empty() {
            return None;
        }
        if let Some(skip) = self.skip.take() {
            let (used, left) = match skip {
                Skip::Bytes(n) if n > rest.len() => (rest.len(), Some(Skip::Bytes(n - rest.len()))),
                Skip::Bytes(n) => (n, None),
                Skip::Line => match memchr::memchr(b'\n', rest) {
                    Some(end) => (end + 1, None),
                    None => (rest.len(), Some(Skip::Line)),
                },
            };
            taken.cut_bytes += used as u64;
            self.skip = left;
            return Some(used);
        }
        // Between counted messages some senders write a line break all the same.
        let blank = rest.iter().take_while(|b| matches!(b, b'\n' | b'\r' | 0)).count();
        if blank > 0 {
            return Some(blank);
        }
        match count(rest) {
            Some(Count::Whole { digits, bytes }) => self.counted(at, digits, bytes, taken),
            Some(Count::Begun) => None,
            None => self.line(at, taken),
        }
    }

    fn counted(&mut self, at: usize, digits: usize, bytes: usize, taken: &mut Taken) -> Option<usize> {
        let rest = &self.buffer[at + digits..];
        let keep = bytes.min(limits::SYSLOG_BYTES);
        let message = rest.get(..keep)?;
        taken.messages.push(message.to_vec());
        if bytes > keep {
            taken.cut += 1;
            self.skip = Some(Skip::Bytes(bytes - keep));
        }
        Some(digits + keep)
    }

    fn line(&mut self, at: usize, taken: &mut Taken) -> Option<usize> {
        let rest = &self.buffer[at..];
        let end = memchr::memchr(b'\n', &rest[..rest.len().min(limits::SYSLOG_BYTES + 1)]);
        match end {
            Some(end) => {
                taken.messages.push(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]).to_vec());
                Some(end + 1)
            }
            None if rest.len() > limits::SYSLOG_BYTES => {
                taken.messages.push(rest[..limits::SYSLOG_BYTES].to_vec());
                taken.cut += 1;
                self.skip = Some(Skip::Line);
                Some(limits::SYSLOG_BYTES)
            }
            None => None,
        }
    }
}

enum Count {
    /// The digits and the blank, and what they say.
    Whole { digits: usize, bytes: usize },
    /// Digits so far.
    Begun,
}

/// The count that a message begins with; none if it does not, and the message is a line.
fn count(rest: &[u8]) -> Option<Count> {
    const DIGITS: usize = 9;
    let digits = rest.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > DIGITS || rest[0] == b'0' {
        return None;
    }
    match rest.get(digits) {
        None => Some(Count::Begun),
        Some(b' ') => {
            let bytes = rest[..digits].iter().fold(0, |n, b| n * 10 + usize::from(b - b'0'));
            Some(Count::Whole { digits: digits + 1, bytes })
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(taken: Taken) -> Vec<String> {
        taken.messages.into_iter().map(|m| String::from_utf8(m).unwrap()).collect()
    }

    #[test]
    fn both_framings_are_told_apart() {
        for (sent, messages) in [
            (&b"<1>one\n<2>two\r\n"[..], &["<1>one", "<2>two"][..]),
            (b"6 <1>one6 <2>two", &["<1>one", "<2>two"]),
            (b"6 <1>one\n6 <2>two\n", &["<1>one", "<2>two"]),
            (b"7 <1>o\nne<2>two\n", &["<1>o\nne", "<2>two"]),
            (b"2024-01-01 plain\n", &["2024-01-01 plain"]),
            (b"0 zero\n", &["0 zero"]),
            (b"6 <1>on", &[]),
            (b"<1>on", &[]),
        ] {
            let taken = Frames::default().push(sent);
            assert_eq!(taken.cut, 0);
            assert_eq!(texts(taken), messages, "{}", String::from_utf8_lossy(sent));
        }
        let mut f = Frames::default();
        f.push(b"<1>last");
        assert_eq!(f.finish(), Some(b"<1>last".to_vec()));
        f.push(b"60 <1>half");
        assert_eq!(f.finish(), None);
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_follows_is_not() {
        let long = "x".repeat(limits::SYSLOG_BYTES + 10);
        for sent in [format!("{long}\n<2>two\n"), format!("{} {long}7 <2>twos", long.len())] {
            let mut f = Frames::default();
            let (mut messages, mut cut, mut bytes) = (vec![], 0, 0);
            for piece in sent.as_bytes().chunks(1000) {
                let taken = f.push(piece);
                (cut, bytes) = (cut + taken.cut, bytes + taken.cut_bytes);
                messages.extend(taken.messages);
            }
            assert_eq!((messages.len(), messages[0].len(), cut), (2, limits::SYSLOG_BYTES, 1));
            assert!(messages[1].starts_with(b"<2>two") && (10..=11).contains(&bytes), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_the_bytes_arrive(
            messages in proptest::collection::vec("<[0-9]{1,2}>[ -~]{0,40}", 0..10), is_counted: bool, piece in 1usize..20
        ) {
            let of = |m: &String| if is_counted { format!("{} {m}", m.len()) } else { format!("{m}\n") };
            let sent: String = messages.iter().map(of).collect();
            let mut f = Frames::default();
            let got: Vec<Vec<u8>> = sent.as_bytes().chunks(piece).flat_map(|c| f.push(c).messages).collect();
            let sent: Vec<Vec<u8>> = messages.iter().map(|m| m.clone().into_bytes()).collect();
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut f = Frames::default();
            f.push(&bytes);
            f.finish();
        }
    }
}
