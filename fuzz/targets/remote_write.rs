//! Walks a remote write of either version, and a remote read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::remote_write::{Item, SeriesList, exemplar, metadata, v2};

fuzz_target!(|body: &[u8]| {
    for series in SeriesList::new(body).map_while(Result::ok) {
        series.labels().count();
        for item in series.items().map_while(Result::ok) {
            if let Item::Exemplar { message } = item {
                let _ = exemplar(message);
            }
        }
    }
    metadata(body).count();
    if let Ok(symbols) = v2::Symbols::new(body) {
        for series in v2::SeriesList::new(body).map_while(Result::ok) {
            symbols.pairs(series.refs.bytes()).count();
            for item in series.items().map_while(Result::ok) {
                match item {
                    v2::Item::Exemplar { message } => _ = v2::exemplar(message, &symbols),
                    v2::Item::Metadata { message } => _ = v2::metadata(message, &symbols),
                    _ => {}
                }
            }
        }
    }
    let _ = (wire::remote_read::queries(body), wire::remote_read::Form::accepted(body));
});
