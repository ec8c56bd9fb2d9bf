//! One message: RFC 5424, and what RFC 3164 found senders to write.

use jiff::Timestamp;

/// A message, as far as it says anything; what is absent is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// 0 to 23; none without a priority.
    pub facility: Option<u8>,
    /// 0 to 7; none without a priority.
    pub severity: Option<u8>,
    /// Nanoseconds since 1970, where the message says it with its year and zone: RFC 3164 has neither.
    pub time_ns: Option<i64>,
    /// Who writes.
    pub host: String,
    /// Which program.
    pub app: String,
    /// Which process.
    pub proc_id: String,
    /// Which kind of message.
    pub msg_id: String,
    /// Structured data: `id_name` and value, each name once.
    pub data: Vec<(String, String)>,
    /// The text.
    pub text: String,
    /// Bytes that are no UTF-8 were replaced.
    pub repaired: bool,
}

/// Names of severities, as `logger` takes them.
pub const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
/// Names of facilities.
pub const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads a message. Whatever it cannot make out is text: nothing is refused.
pub fn read(bytes: &[u8]) -> Message {
    let text = String::from_utf8_lossy(bytes);
    let repaired = matches!(text, std::borrow::Cow::Owned(_));
    let whole = text.trim_end_matches(['\n', '\r', '\0']);
    let mut m = Message { repaired, ..Message::default() };
    let Some((priority, rest)) = priority(whole) else {
        m.text = whole.to_owned();
        return m;
    };
    (m.facility, m.severity) = (Some(priority / 8), Some(priority % 8));
    let read = rest.strip_prefix("1 ").and_then(|r| modern(r, m.clone()));
    read.unwrap_or_else(|| old(rest, m))
}

/// `<34>`
fn priority(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let priority = digits.parse::<u8>().ok().filter(|p| is_number && *p < 192)?;
    Some((priority, rest))
}

/// What follows `<34>1 ` in RFC 5424.
fn modern(rest: &str, mut m: Message) -> Option<Message> {
    let mut parts = rest.splitn(6, ' ');
    let mut field = || parts.next().map(|f| if f == "-" { "" } else { f });
    let time = field()?;
    (m.host, m.app, m.proc_id, m.msg_id) = (field()?.into(), field()?.into(), field()?.into(), field()?.into());
    m.time_ns = if time.is_empty() { None } else { Some(rfc3339(time)?) };
    let rest = parts.next()?;
    let after = match rest.strip_prefix('-') {
        Some(after) => after,
        None => structured(rest, &mut m.data)?,
    };
    let text = match after.strip_prefix(' ') {
        Some(text) => text,
        None if after.is_empty() => "",
        None => return None,
    };
    m.text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    Some(m)
}

fn rfc3339(time: &str) -> Option<i64> {
    i64::try_from(time.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}

/// Reads `[id name="value" ...][...]`, and gives what follows.
fn structured<'a>(mut rest: &'a str, out: &mut Vec<(String, String)>) -> Option<&'a str> {
    let mut seen = false;
    while let Some(element) = rest.strip_prefix('[') {
        seen = true;
        let end = element.find([' ', ']']).filter(|end| *end > 0)?;
        let id = &element[..end];
        rest = &element[end..];
        while let Some(pair) = rest.strip_prefix(' ') {
            if pair.starts_with(']') {
                rest = pair;
                break;
            }
            let (name, after) = pair.split_once("=\"")?;
            if name.is_empty() || name.contains([' ', ']', '"']) {
                return None;
            }
            let (value, after) = quoted(after)?;
            let name = label_name(&format!("{id}_{name}"));
            if !out.iter().any(|(n, _)| *n == name) {
                out.push((name, value));
            }
            rest = after;
        }
        rest = rest.strip_prefix(']')?;
    }
    seen.then_some(rest)
}

/// A value up to its closing quote; `\"`, `\\` and `\]` are escapes, any other backslash is itself.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[i + 1..])),
            '\\' => match chars.next_if(|(_, c)| matches!(c, '"' | '\\' | ']')) {
                Some((_, escaped)) => out.push(escaped),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    None
}

/// A name as labels and metadata may have it.
pub fn label_name(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// What follows `<34>` as RFC 3164 describes it: `Oct 11 22:14:15 host tag[pid]: text`, or the same with a time of RFC 3339;
/// local senders leave the host out.
fn old(rest: &str, mut m: Message) -> Message {
    let after = if let Some(after) = old_time(rest) {
        after
    } else if let Some((time_ns, after)) = rest.split_once(' ').and_then(|(t, after)| Some((rfc3339(t)?, after))) {
        m.time_ns = Some(time_ns);
        after
    } else {
        // Without a time nobody can say what is a host.
        tagged(rest, &mut m);
        return m;
    };
    let is_host = |h: &str| !h.is_empty() && !h.ends_with(':') && !h.contains('[');
    match after.split_once(' ').filter(|(h, _)| is_host(h)) {
        Some((host, after)) => {
            m.host = host.to_owned();
            tagged(after, &mut m);
        }
        None => tagged(after, &mut m),
    }
    m
}

/// Passes over `Oct 11 22:14:15 `.
fn old_time(text: &str) -> Option<&str> {
    let head = text.get(..15)?;
    let clock = head.as_bytes();
    let digit = |i: usize| clock[i].is_ascii_digit();
    let is_time = MONTHS.contains(&head.get(..3)?)
        && clock[3] == b' '
        && (clock[4] == b' ' || digit(4))
        && digit(5)
        && clock[6] == b' '
        && [7, 8, 10, 11, 13, 14].into_iter().all(digit)
        && clock[9] == b':'
        && clock[12] == b':';
    if is_time { text[15..].strip_prefix(' ') } else { None }
}

/// `tag[pid]: text`; a text without a tag is just that.
fn tagged(text: &str, m: &mut Message) {
    const TAG: usize = 64;
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ':' | '[')).filter(|end| (1..=TAG).contains(end));
    let parsed = end.and_then(|end| {
        let (app, rest) = text.split_at(end);
        let (proc_id, rest) = match rest.strip_prefix('[') {
            Some(r) => r.split_once(']')?,
            None => ("", rest),
        };
        let text = rest.strip_prefix(':')?;
        Some((app, proc_id, text.strip_prefix(' ').unwrap_or(text)))
    });
    match parsed {
        Some((app, proc_id, text)) => (m.app, m.proc_id, m.text) = (app.into(), proc_id.into(), text.into()),
        None => m.text = text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Priority, host, app, process, id, text.
    type Seen<'a> = (Option<u8>, &'a str, &'a str, &'a str, &'a str, &'a str);

    fn seen(m: &Message) -> Seen<'_> {
        let priority = m.facility.zip(m.severity).map(|(f, s)| f * 8 + s);
        (priority, &m.host, &m.app, &m.proc_id, &m.msg_id, &m.text)
    }

    #[test]
    fn messages_of_both_rfcs() {
        let cases: &[(&str, Seen<'_>, Option<i64>)] = &[
            (
                "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed",
                (Some(34), "mymachine.example.com", "su", "", "ID47", "'su root' failed"),
                Some(1_065_910_455_003_000_000),
            ),
            (
                "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time",
                (Some(165), "192.0.2.1", "myproc", "8710", "", "%% It's time"),
                Some(1_061_727_255_000_003_000),
            ),
            ("<13>1 - - - - - -", (Some(13), "", "", "", "", ""), None),
            ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", (Some(34), "mymachine", "su", "", "", "'su root' failed"), None),
            ("<13>Oct  1 22:14:15 sshd[42]: hello", (Some(13), "", "sshd", "42", "", "hello"), None),
            ("<13>2024-01-01T00:00:00Z h cron[1]: x", (Some(13), "h", "cron", "1", "", "x"), Some(1_704_067_200_000_000_000)),
            ("<13>just text", (Some(13), "", "", "", "", "just text"), None),
            ("<192>too much", (None, "", "", "", "", "<192>too much"), None),
            ("plain", (None, "", "", "", "", "plain"), None),
            ("<13>1 not a time of any kind at all", (Some(13), "", "", "", "", "1 not a time of any kind at all"), None),
        ];
        for (text, expected, time_ns) in cases {
            let m = read(text.as_bytes());
            assert_eq!((seen(&m), m.time_ns), (*expected, *time_ns), "{text}");
        }
    }

    #[test]
    fn structured_data_is_named_by_its_id() {
        let text = r#"<165>1 - h a - - [ex@32473 iut="3" q="a\"b\]c\d"][meta] text"#;
        let m = read(text.as_bytes());
        let data = [("ex_32473_iut".to_owned(), "3".to_owned()), ("ex_32473_q".to_owned(), "a\"b]c\\d".to_owned())];
        assert_eq!((m.data.as_slice(), m.text.as_str()), (&data[..], "text"));
        assert!(read(b"<1>\xff").repaired);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&bytes);
        }

        #[test]
        fn anything_after_a_head_is_a_message(rest in "[\\[\\]\"\\\\ =a-z-]{0,60}") {
            read(format!("<13>1 - h a p m {rest}").as_bytes());
            read(format!("<13>Oct 11 22:14:15 {rest}").as_bytes());
        }
    }
}
