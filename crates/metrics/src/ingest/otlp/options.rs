//! How OTLP metrics are translated, and the form in which that is logged with a body.

use base::attrs::{read_varint, write_varint};
use base::{Error, Result};
use bytes::Bytes;
use wire::Options;

/// What becomes of names, in the words of Prometheus' `translation_strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Other characters than letters, digits and `_` become `_`; units and `_total` are appended.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters as above, nothing appended.
    UnderscoreEscapingWithoutSuffixes,
    /// Any characters; units and `_total` are appended.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl Strategy {
    const TABLE: [(Strategy, &'static str); 4] = [
        (Strategy::UnderscoreEscapingWithSuffixes, "UnderscoreEscapingWithSuffixes"),
        (Strategy::UnderscoreEscapingWithoutSuffixes, "UnderscoreEscapingWithoutSuffixes"),
        (Strategy::NoUtf8EscapingWithSuffixes, "NoUTF8EscapingWithSuffixes"),
        (Strategy::NoTranslation, "NoTranslation"),
    ];
    /// The strategy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, n)| *n == name).map(|(s, _)| *s)
    }
    /// Its name.
    pub fn name(self) -> &'static str {
        Self::TABLE.iter().find(|(s, _)| *s == self).map_or("", |(_, n)| n)
    }
    /// Whether other characters become `_`.
    pub fn escapes(self) -> bool {
        matches!(self, Strategy::UnderscoreEscapingWithSuffixes | Strategy::UnderscoreEscapingWithoutSuffixes)
    }
    /// Whether units and `_total` are appended.
    pub fn suffixes(self) -> bool {
        matches!(self, Strategy::UnderscoreEscapingWithSuffixes | Strategy::NoUtf8EscapingWithSuffixes)
    }
}

/// How metrics are translated; the fields are those of Prometheus' section `otlp`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Translation {
    /// What becomes of names.
    pub strategy: Strategy,
    /// Resource attributes that become labels of every series.
    pub promote: Vec<String>,
    /// All of them do.
    pub promote_all: bool,
    /// `target_info` keeps `service.name`, `service.namespace` and `service.instance.id`, which are `job` and `instance`.
    pub keep_identifying: bool,
    /// Histograms with explicit bounds become native ones with custom bounds.
    pub custom_buckets: bool,
    /// The scope's name, version and attributes become labels `otel_scope_…`.
    pub promote_scope: bool,
}

impl Translation {
    /// The logged form: length and bytes of `options`, strategy, flags, number of promoted attributes, and each of those with its length.
    pub fn to_bytes(&self, options: &Options) -> Bytes {
        let mut out = vec![];
        let text = |b: &[u8], out: &mut Vec<u8>| {
            write_varint(out, b.len() as u64);
            out.extend_from_slice(b);
        };
        text(&options.to_bytes(), &mut out);
        let place = Strategy::TABLE.iter().position(|(s, _)| *s == self.strategy).unwrap_or(0);
        write_varint(&mut out, place as u64);
        let flags = [self.promote_all, self.keep_identifying, self.custom_buckets, self.promote_scope];
        write_varint(&mut out, flags.iter().enumerate().map(|(i, f)| u64::from(*f) << i).sum());
        write_varint(&mut out, self.promote.len() as u64);
        self.promote.iter().for_each(|p| text(p.as_bytes(), &mut out));
        out.into()
    }

    /// Reads [`Translation::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, Options)> {
        fn number<'a>(rest: &'a [u8], bad: &dyn Fn() -> Error) -> Result<(u64, &'a [u8])> {
            read_varint(rest).ok_or_else(bad)
        }
        fn text<'a>(rest: &'a [u8], bad: &dyn Fn() -> Error) -> Result<(&'a [u8], &'a [u8])> {
            let (n, rest) = number(rest, bad)?;
            usize::try_from(n).ok().and_then(|n| rest.split_at_checked(n)).ok_or_else(bad)
        }
        let bad = || Error::corrupt("the options of a body of metrics cannot be read");
        let (options, rest) = text(bytes, &bad)?;
        let (strategy, rest) = number(rest, &bad)?;
        let strategy = usize::try_from(strategy).ok().and_then(|s| Strategy::TABLE.get(s)).ok_or_else(bad)?.0;
        let (flags, rest) = number(rest, &bad)?;
        let (count, mut rest) = number(rest, &bad)?;
        let mut promote = vec![];
        for _ in 0..count {
            let (name, after) = text(rest, &bad)?;
            promote.push(String::from_utf8(name.to_vec()).map_err(|_| bad())?);
            rest = after;
        }
        let flag = |i: u32| flags >> i & 1 == 1;
        let t = Translation {
            strategy,
            promote,
            promote_all: flag(0),
            keep_identifying: flag(1),
            custom_buckets: flag(2),
            promote_scope: flag(3),
        };
        Ok((t, Options::from_bytes(options)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_survive_the_log() {
        let t = Translation {
            strategy: Strategy::NoTranslation,
            promote: vec!["k8s.pod.name".into(), "é".into()],
            promote_all: false,
            keep_identifying: true,
            custom_buckets: false,
            promote_scope: true,
        };
        let o = Options::encoded(wire::Encoding::Gzip);
        let bytes = t.to_bytes(&o);
        assert_eq!(Translation::from_bytes(&bytes).unwrap(), (t, o));
        for cut in 0..bytes.len() {
            assert!(Translation::from_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
        for (s, name) in Strategy::TABLE {
            assert_eq!((Strategy::from_name(name), s.name()), (Some(s), name));
        }
    }
}
