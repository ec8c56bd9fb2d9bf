//! Values as they are written in a settings file, each with its own words for what is wrong with it.

use std::fmt;
use std::marker::PhantomData;

use base::units;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A value that is written as one word or number.
pub trait FromText: Sized {
    /// Reads it, after `${...}` was filled in.
    fn from_text(text: &str) -> Result<Self, String>;
    /// Prints it so that it reads back; a secret prints as `(hidden)`.
    fn show(&self) -> String;
}

/// A value of a settings file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T>(pub T);

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Several<T>(pub Vec<Given<T>>);

impl<T> Default for Several<T> {
    fn default() -> Self {
        Several(vec![])
    }
}

impl<'de, T: FromText> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct OneOrMore<T>(PhantomData<T>);
        impl<'de, T: FromText> Visitor<'de> for OneOrMore<T> {
            type Value = Vec<Given<T>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(vec![Given(Scalar(PhantomData).visit_str(v)?)])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut out = vec![];
                while let Some(value) = list.next_element()? {
                    out.push(value);
                }
                Ok(out)
            }
        }
        d.deserialize_any(OneOrMore(PhantomData)).map(Several)
    }
}

struct Scalar<T>(PhantomData<T>);

impl<'de, T: FromText> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Scalar(PhantomData)).map(Given)
    }
}

impl<T: FromText> Visitor<'_> for Scalar<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<T, E> {
        let filled = substitute(v, &environment).map_err(E::custom)?;
        T::from_text(filled.trim()).map_err(E::custom)
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<T, E> {
        T::from_text(if v { "true" } else { "false" }).map_err(E::custom)
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<T, E> {
        T::from_text(&v.to_string()).map_err(E::custom)
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<T, E> {
        T::from_text(&v.to_string()).map_err(E::custom)
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<T, E> {
        T::from_text(&v.to_string()).map_err(E::custom)
    }
}

/// The environment, which settings read only where the file says `${NAME}`.
#[allow(clippy::disallowed_methods)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Fills in `${NAME}` and `${NAME:-otherwise}`; `$$` is a dollar sign. Values are filled into one scalar after the
/// file was taken apart, so that nothing in them can become a key.
fn substitute(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        out.push_str(&rest[..i]);
        rest = &rest[i + 1..];
        if let Some(r) = rest.strip_prefix('$') {
            out.push('$');
            rest = r;
        } else if let Some(r) = rest.strip_prefix('{') {
            let end = r.find('}').ok_or_else(|| format!("{text:?}: \"${{\" without \"}}\""))?;
            let (name, otherwise) = r[..end].split_once(":-").map_or((&r[..end], None), |(n, o)| (n, Some(o)));
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(format!("{name:?} is not the name of an environment variable"));
            }
            let value = environment(name).filter(|v| !v.is_empty() || otherwise.is_none());
            match value.as_deref().or(otherwise) {
                Some(v) => out.push_str(v),
                None => return Err(format!("environment variable {name} is not set; write ${{{name}:-VALUE}} to do without it")),
            }
            rest = &r[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Any text that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl FromText for Text {
    fn from_text(t: &str) -> Result<Self, String> {
        if t.is_empty() { Err("must not be empty".into()) } else { Ok(Text(t.into())) }
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A secret: itself, or `file:PATH`. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl FromText for Secret {
    fn from_text(t: &str) -> Result<Self, String> {
        if t.is_empty() { Err("must not be empty".into()) } else { Ok(Secret(t.into())) }
    }
    fn show(&self) -> String {
        if self.0.starts_with("file:") { self.0.clone() } else { "(hidden)".into() }
    }
}

/// Bytes, with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromText for Size {
    fn from_text(t: &str) -> Result<Self, String> {
        match units::parse_size(t).map_err(|e| e.to_string())? {
            0 => Err(format!("{t:?} must be more than nothing")),
            n => Ok(Size(n)),
        }
    }
    fn show(&self) -> String {
        decimal_size(self.0)
    }
}

/// Sizes that were written in powers of 1000 are shown so.
fn decimal_size(bytes: u64) -> String {
    for (name, unit) in [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    if bytes.is_multiple_of(1024) { units::format_size(bytes) } else { format!("{bytes}B") }
}

/// Bytes with a unit, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap(pub Option<u64>);

impl FromText for Cap {
    fn from_text(t: &str) -> Result<Self, String> {
        if t == "none" {
            return Ok(Cap(None));
        }
        Size::from_text(t).map(|s| Cap(Some(s.0))).map_err(|e| format!("{e}; \"none\" sets no limit"))
    }
    fn show(&self) -> String {
        self.0.map_or_else(|| "none".into(), decimal_size)
    }
}

/// How long the lines of some log streams are kept: `3d {level="debug"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAge {
    /// Nanoseconds from a line's time.
    pub keep_ns: i64,
    /// Which streams.
    pub selector: String,
}

impl FromText for StreamAge {
    fn from_text(t: &str) -> Result<Self, String> {
        let (age, selector) = t.split_once(' ').ok_or_else(|| format!("{t:?} is no age and selector, as in '3d {{level=\"debug\"}}'"))?;
        let keep_ns = Age::from_text(age)?.0.ok_or_else(|| format!("{t:?} keeps its lines for good: leave it out"))?;
        let selector = selector.trim().to_owned();
        match logs::logql::parse_selector(&selector) {
            Ok(m) if !m.is_empty() => Ok(StreamAge { keep_ns, selector }),
            Ok(_) => Err(format!("{t:?} selects all streams: that is retention.logs")),
            Err(e) => Err(format!("{t:?}: {}", e.message())),
        }
    }
    fn show(&self) -> String {
        format!("{} {}", units::format_duration_ns(self.keep_ns), self.selector)
    }
}

/// A bound, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtMost<T>(pub Option<T>);

impl<T: FromText> FromText for AtMost<T> {
    fn from_text(t: &str) -> Result<Self, String> {
        if t == "none" {
            return Ok(AtMost(None));
        }
        T::from_text(t).map(|v| AtMost(Some(v))).map_err(|e| format!("{e}; \"none\" sets no limit"))
    }
    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| "none".into(), FromText::show)
    }
}

/// A duration with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span(pub i64);

impl FromText for Span {
    fn from_text(t: &str) -> Result<Self, String> {
        match units::parse_duration_ns(t).map_err(|e| e.to_string())? {
            0 => Err(format!("{t:?} must be longer than nothing")),
            ns => Ok(Span(ns)),
        }
    }
    fn show(&self) -> String {
        units::format_duration_ns(self.0)
    }
}

/// How long rows are kept, or `none` for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Age(pub Option<i64>);

impl FromText for Age {
    fn from_text(t: &str) -> Result<Self, String> {
        if t == "none" {
            return Ok(Age(None));
        }
        let ns = Span::from_text(t).map_err(|e| format!("{e}; \"none\" keeps rows for good"))?.0;
        // Rows go by whole days; less than one would remove what has just come.
        if ns < 86_400 * units::SECOND_NS {
            Err(format!("{t:?} is shorter than a day, the least that rows are kept"))
        } else {
            Ok(Age(Some(ns)))
        }
    }
    fn show(&self) -> String {
        self.0.map_or_else(|| "none".into(), units::format_duration_ns)
    }
}

/// Memory: a size, or a share of what the process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Bytes.
    Bytes(u64),
    /// Percent of the control group or the machine.
    Percent(u64),
}

impl FromText for Memory {
    fn from_text(t: &str) -> Result<Self, String> {
        if let Some(p) = t.strip_suffix('%') {
            return match p.trim().parse() {
                Ok(n @ 1..=90) => Ok(Memory::Percent(n)),
                _ => Err(format!("{t:?}: a share of the memory is 1% to 90%")),
            };
        }
        let Size(n) = Size::from_text(t).map_err(|e| format!("{e}, or a share as in 25%"))?;
        if n < 64 << 20 { Err(format!("{t:?} is less than 64MiB, the least it runs in")) } else { Ok(Memory::Bytes(n)) }
    }
    fn show(&self) -> String {
        match self {
            Memory::Bytes(n) => decimal_size(*n),
            Memory::Percent(p) => format!("{p}%"),
        }
    }
}

/// `true` or `false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromText for Switch {
    fn from_text(t: &str) -> Result<Self, String> {
        match t {
            "true" => Ok(Switch(true)),
            "false" => Ok(Switch(false)),
            _ => Err(format!("{t:?} is neither true nor false")),
        }
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A number from 1 up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl FromText for Count {
    fn from_text(t: &str) -> Result<Self, String> {
        match t.parse() {
            Ok(n @ 1..=1_000_000) => Ok(Count(n)),
            _ => Err(format!("{t:?} is not a whole number from 1 to 1000000")),
        }
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Name of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterName(pub String);

impl FromText for ClusterName {
    fn from_text(t: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if (1..=64).contains(&t.len()) && t.bytes().all(fits) {
            Ok(ClusterName(t.into()))
        } else {
            Err(format!("{t:?} is not a cluster's name: letters, digits, '-', '_' and '.', at most 64 of them"))
        }
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Where a node is: a host and a port, which is 3101 when left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddress(pub String);

impl FromText for NodeAddress {
    fn from_text(t: &str) -> Result<Self, String> {
        let wrong = || format!("{t:?} is not a node's address: write host:port, as in 10.0.0.2:3101, node-b:3101 or [::1]:3101");
        let (host, port) = match t.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (t, 3101u16),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let good = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        };
        if good && port > 0 { Ok(NodeAddress(format!("{host}:{port}"))) } else { Err(wrong()) }
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Nodes that hold a row before it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies(pub usize);

impl FromText for Copies {
    fn from_text(t: &str) -> Result<Self, String> {
        match t.parse() {
            Ok(n @ 1..=8) => Ok(Copies(n)),
            _ => Err(format!("{t:?} is not a number of nodes from 1 to 8; 2 survives the loss of one")),
        }
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// One of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }
        impl FromText for $name {
            fn from_text(t: &str) -> Result<Self, String> {
                match t {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{t:?} is not one of {}", [$($word),+].join(", "))),
                }
            }
            fn show(&self) -> String {
                match self { $(Self::$variant => $word.into(),)+ }
            }
        }
    };
}

words!(
    /// A set of limits and retention.
    ProfileName {
        /// A developer's machine.
        Dev = "dev",
        /// Before production.
        Staging = "staging",
        /// Production.
        Prod = "prod",
    }
);
words!(
    /// What to do while there are too few nodes for all copies.
    WhenDegraded {
        /// Go on with those there are.
        Accept = "accept",
        /// Ask to come again.
        Refuse = "refuse",
    }
);
words!(
    /// What becomes of OTLP's names, in Prometheus' words.
    TranslationStrategy {
        /// Other characters become `_`, units and `_total` are appended.
        EscapedSuffixed = "UnderscoreEscapingWithSuffixes",
        /// Other characters become `_`.
        Escaped = "UnderscoreEscapingWithoutSuffixes",
        /// Units and `_total` are appended.
        Suffixed = "NoUTF8EscapingWithSuffixes",
        /// As they are.
        Untouched = "NoTranslation",
    }
);
words!(
    /// How much the server's own log tells.
    Level {
        /// What failed.
        Error = "error",
        /// And what may fail soon.
        Warn = "warn",
        /// And what happened.
        Info = "info",
        /// And each request that was refused.
        Debug = "debug",
    }
);
words!(
    /// Form of the server's own log.
    Format {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_is_filled_in() {
        let env = |n: &str| (n == "NAME").then(|| "x: ${y}".to_owned());
        let sub = |t: &str| substitute(t, &env);
        assert_eq!(sub("a${NAME}b$$c$d").unwrap(), "ax: ${y}b$c$d");
        assert_eq!(sub("${GONE:-30d}").unwrap(), "30d");
        assert!(sub("${GONE}").unwrap_err().contains("GONE is not set"));
        assert!(sub("${").is_err() && sub("${a b}").is_err());
    }

    #[test]
    fn what_is_shown_reads_back() {
        fn check<T: FromText + PartialEq + fmt::Debug>(texts: &[&str]) {
            for t in texts {
                let v = T::from_text(t).unwrap();
                assert_eq!(T::from_text(&v.show()).unwrap(), v, "{t}");
            }
        }
        check::<Size>(&["1B", "10MB", "64MiB", "1536B", "1.5KiB", "123456789B"]);
        check::<Cap>(&["none", "4MB"]);
        check::<Age>(&["none", "30d", "36h"]);
        check::<Memory>(&["25%", "512MiB"]);
        check::<Level>(&["error", "debug"]);
        check::<NodeAddress>(&["node-b", "node-b:3101", "10.0.0.2:1", "[::1]", "[::1]:9"]);
        check::<ClusterName>(&["prod-eu.1"]);
        check::<Copies>(&["1", "8"]);
        for bad in ["", ":1", "a:0", "a:b", "a:1:2", "::1", "[::1", "a/b:1", "a:65536"] {
            assert!(NodeAddress::from_text(bad).is_err(), "{bad}");
        }
    }
}
