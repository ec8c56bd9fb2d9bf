//! Reads exposition in protobuf; its native histograms are those of remote write, so they are read as such.
#![no_main]

use libfuzzer_sys::fuzz_target;
use metrics::histogram::Histogram;
use wire::exposition::{Line, protobuf};

fuzz_target!(|page: &[u8]| {
    for native in [false, true] {
        let mut natives = 0;
        let _ = protobuf::read(page, protobuf::Histograms { native, classic: true }, &mut |line| {
            if let Line::Native(n) = line {
                natives += 1;
                let _ = Histogram::check(&n.message);
            }
            Ok(())
        });
        assert!(native || natives == 0);
    }
});
