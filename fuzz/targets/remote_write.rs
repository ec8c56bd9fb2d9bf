//! Walks a remote write.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for series in wire::remote_write::SeriesList::new(body).map_while(Result::ok) {
        series.labels().count();
        series.items().count();
    }
    let _ = wire::remote_write::count_metadata(body);
});
