//! Bodies with more series than there is memory for.

use base::{Clock, Kind};
use disk::SimFs;
use table::Settings;

use crate::toy::{header, open, read, settings};

const NOW_NS: i64 = 1_700_200_000_000_000_000;

fn series(prefix: &str, n: usize) -> String {
    (0..n).map(|i| format!("N {prefix}{i} {NOW_NS} text\n")).collect()
}

#[test]
fn a_body_that_alone_names_too_many_series_is_refused_for_good_and_is_in_nobodys_way() {
    let clock = Clock::manual(NOW_NS);
    let e = open(&SimFs::seeded(1), &clock, Settings { registry_limit: 40_000, ..settings() }).unwrap();
    let push = |body: String| e.ingest(header("a", &clock, None), body.into(), None).map(|done| done.rows);
    for _ in 0..3 {
        let kind = push(series("many", 1_000)).unwrap_err().kind();
        // The names it had brought before are still there when it comes again, and go.
        let kind = if kind == Kind::Unavailable {
            e.flush_due().unwrap();
            push(series("many", 1_000)).unwrap_err().kind()
        } else {
            kind
        };
        assert_eq!(kind, Kind::TooLarge);
    }
    assert_eq!(push(series("other", 1)).unwrap_err().kind(), Kind::Unavailable);
    e.flush_due().unwrap();
    assert_eq!(push(series("other", 50)).unwrap(), 50);
    assert_eq!(push(series("more", 70)).unwrap_err().kind(), Kind::Unavailable, "with those of others it is too many");
    e.flush_due().unwrap();
    assert_eq!(push(series("more", 70)).unwrap(), 70);
    assert_eq!(read(&*e, "a", vec![]).unwrap().len(), 120);
}
