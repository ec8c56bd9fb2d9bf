//! Below the waist no signal and no protocol is named: adding a fourth signal must not change a line there.

use crate::source::Source;

/// The crates below the waist.
pub const BELOW: &[&str] = &["disk", "wal", "store", "table", "cluster"];

/// Words that no identifier and no string there may contain. `Metric` is not among them: the engine counts itself.
/// Neither is `log`, which is what `tracing` writes, nor the bare `trace`, which is one of its levels, nor `span`, which is
/// a stretch of rows as often as a piece of a trace.
const WORDS: &[&str] = &[
    "loki",
    "prometheus",
    "otlp",
    "opentelemetry",
    "tempo",
    "mimir",
    "jaeger",
    "logql",
    "promql",
    "traceql",
    "logs",
    "traces",
    "samples",
    "exemplar",
    "exemplars",
    "logline",
    "histogram",
    "detected",
    "severity",
];

/// Pairs of words that name a signal together.
const PAIRS: &[(&str, &str)] = &[
    ("trace", "id"),
    ("span", "id"),
    ("span", "kind"),
    ("span", "name"),
    ("root", "span"),
    ("child", "span"),
    ("log", "line"),
    ("log", "stream"),
    ("service", "name"),
    ("stale", "marker"),
    ("remote", "write"),
];

/// Names of tables, as whole strings.
const QUOTED: &[&str] = &["\"spans\"", "\"metrics\""];

/// Places where a shipped file names a signal: line and word.
pub fn signals(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (n, line) in source.shipped().lines().enumerate() {
        let words = split(line);
        found.extend(words.iter().filter(|w| WORDS.contains(&w.as_str())).map(|w| (n + 1, w.clone())));
        let pairs = words.windows(2).filter(|w| PAIRS.contains(&(w[0].as_str(), w[1].as_str())));
        found.extend(pairs.map(|w| (n + 1, w.join(" "))));
        found.extend(QUOTED.iter().filter(|q| line.contains(**q)).map(|q| (n + 1, (*q).to_owned())));
    }
    found
}

/// The words of a line of code, in lower case: `SpanRows`, `span_rows` and `"span rows"` are all `span`, `rows`.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in line.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().expect("there is always one").extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase();
    }
    words.retain(|w| !w.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let source = Source { path: "crates/table/src/a.rs".into(), text: text.into() };
        signals(&source).into_iter().map(|(_, w)| w).collect()
    }

    #[test]
    fn planted_names_are_caught() {
        for planted in [
            "fn scan_samples() {}",
            "struct RootSpan;",
            "if spec.name == \"spans\" {}",
            "if spec.name == \"logs\" {}",
            "use logs::SPEC;",
            "let samples = 3;",
            "const TRACE_ID: &str = \"x\";",
            "let traceId = 1;",
            "fn parse_promql() {}",
            "enum Protocol { Loki }",
            "\"service_name\"",
        ] {
            assert_eq!(found(planted).len(), 1, "{planted}: {:?}", found(planted));
        }
        assert_eq!(signals(&Source { path: "a.rs".into(), text: "\n\nlet traces;".into() }), vec![(3, "traces".into())]);
    }

    #[test]
    fn what_is_no_signal_passes() {
        for fine in [
            "// the logs table, spans, Loki",
            "tracing::warn!(segment, \"damaged\");",
            "pub struct Metric; fn metrics() {}",
            "fn a() {}\n#[cfg(test)]\nmod tests { const T: &str = \"logs\"; }",
            "let span = rows.span(); let spans = [span];",
            "let catalogs = dialogs;",
            "let backtrace = lifespan;",
        ] {
            assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
        }
    }
}
