//! A full disk: writes are deferred, reads go on, and room heals it without help (P7, P9).

use base::{Clock, Kind};
use disk::SimFs;

use crate::toy::{Rng, body, header, open, read, rows_of, settings};

#[test]
fn writes_wait_reads_go_on_and_room_heals() {
    for seed in 1..=20 {
        let mut rng = Rng(seed);
        let fs = SimFs::seeded(seed);
        let clock = Clock::manual(1_700_200_000_000_000_000);
        let e = open(&fs, &clock, settings()).unwrap();
        fs.set_capacity(40_000 + rng.below(60_000));
        let mut acked = std::collections::BTreeSet::new();
        let mut sent = vec![];
        let mut refused = 0;
        for i in 0..600 {
            let (_, b) = body(&mut rng, &clock, &sent);
            match e.ingest(header("a", &clock, None), b.clone().into(), None) {
                Ok(_) => {
                    acked.extend(rows_of("a", &b).into_iter().map(|r| r.0));
                    sent.push((1, b));
                }
                Err(err) => {
                    assert_eq!(err.kind(), Kind::Unavailable, "{err}");
                    assert!(err.retry_hint().is_some());
                    refused += 1;
                }
            }
            // Background steps may fail meanwhile; they only may not lose anything.
            if i % 10 == 0 {
                let _ = e.flush();
            }
            if refused > 50 {
                break;
            }
        }
        assert!(refused > 0, "seed {seed}: the disk never filled");
        let got = read(&*e, "a", vec![]).unwrap();
        assert!(acked.iter().all(|id| got.contains_key(id)), "seed {seed}: a row is missing while the disk is full");
        fs.set_capacity(u64::MAX);
        e.ingest(header("a", &clock, None), "N healed 1700200000000000000 yes\n".into(), None).unwrap();
        e.flush().unwrap();
        drop(e);
        fs.power_cut();
        let e = open(&fs, &clock, settings()).unwrap();
        let got = read(&*e, "a", vec![]).unwrap();
        assert!(acked.iter().all(|id| got.contains_key(id)), "seed {seed}: a row is missing after the disk had room again");
        assert!(got.contains_key("a N healed 1700200000000000000 yes"));
    }
}
