//! Parses a query: what is parsed prints as text that parses to the same, also written out evenly, and has a tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metrics::promql;

fuzz_target!(|body: &[u8]| {
    let Ok(text) = std::str::from_utf8(body) else { return };
    let Ok(expr) = promql::parse(text) else { return };
    for printed in [expr.to_string(), promql::pretty(&expr)] {
        let again = promql::parse(&printed).unwrap_or_else(|e| panic!("{printed:?} of {text:?}: {e}"));
        assert_eq!(again, expr, "{printed:?} of {text:?}");
    }
    promql::tree(&expr);
    let times = promql::plan::QueryTimes { start: 0, end: 60_000, step: 10_000 };
    let _ = promql::plan::plan(&expr, text, times);
});
