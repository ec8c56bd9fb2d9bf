//! Bodies that say little and mean much: what they cost is bounded by their bytes. Without a bound each of these takes hours, or all memory.

use super::super::otlp::Translation;
use super::*;

/// Symbols of a request of version 2, and its series.
fn version2(symbols: &[&str], series: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    symbols.iter().for_each(|s| w.bytes(4, s.as_bytes()));
    w.message(5, series);
    w.out
}

fn sample(w: &mut Writer) {
    w.message(2, |w| w.varint(2, NOW_MS as u64));
}

fn decoded(codec: u16, options: Bytes, body: &[u8]) -> Recorder {
    let mut got = Recorder::default();
    decode_as(codec, &mut got, options, body).unwrap();
    got
}

fn reasons(got: &Recorder) -> Vec<&'static str> {
    got.refusals.iter().map(|r| r.reason).collect()
}

#[test]
fn labels_that_refer_to_one_long_text_a_million_times() {
    let long = "x".repeat(1 << 20);
    let refs = [&[1, 2][..], &[3, 4].repeat(1 << 20)].concat();
    let body = version2(&["", "__name__", "up", "label", &long], |w| {
        w.bytes(1, &refs);
        sample(w);
        w.message(4, |w| {
            w.bytes(1, &refs);
            w.varint(3, NOW_MS as u64);
        });
    });
    let got = decoded(REMOTE_WRITE_2, Options::default().to_bytes(), &body);
    assert_eq!(reasons(&got), ["label_value_too_long"; 2]);
    assert!(got.refusals[0].message.starts_with("series up{label=\"xxx") && got.refusals[0].message.len() < 2000);
    assert!(got.labels.is_empty(), "what is refused is not registered");
}

#[test]
fn exemplars_that_refer_to_one_long_text_a_million_times() {
    let long = "x".repeat(1 << 20);
    let body = version2(&["", "__name__", "up", &long], |w| {
        w.bytes(1, &[1, 2]);
        w.message(4, |w| {
            w.bytes(1, &[3, 3].repeat(1 << 20));
            w.varint(3, NOW_MS as u64);
        });
        sample(w);
    });
    let got = decoded(REMOTE_WRITE_2, Options::default().to_bytes(), &body);
    assert_eq!((reasons(&got), rows(&got).len()), (vec!["invalid_exemplar"], 1));
}

#[test]
fn metadata_of_a_series_with_a_million_labels() {
    let body = version2(&["", "a", "b"], |w| {
        w.bytes(1, &[1, 2].repeat(1 << 20));
        (0..1 << 20).for_each(|_| w.message(5, |w| w.varint(1, 1)));
        sample(w);
    });
    let got = decoded(REMOTE_WRITE_2, Options::default().to_bytes(), &body);
    assert_eq!(reasons(&got), ["duplicate_label_names"]);
}

#[test]
fn labels_within_each_bound_that_are_too_much_together() {
    let names: Vec<String> = (0..3).map(|i| format!("l{i}")).collect();
    let long = "x".repeat(50_000);
    let symbols = ["", "__name__", "up", &long, &names[0], &names[1], &names[2]];
    let series = |refs: &'static [u8]| {
        move |w: &mut Writer| {
            w.bytes(1, refs);
            sample(w);
        }
    };
    let got = decoded(REMOTE_WRITE_2, Options::default().to_bytes(), &version2(&symbols, series(&[1, 2, 4, 3, 5, 3])));
    assert_eq!((reasons(&got), rows(&got).len()), (vec![], 1));
    let got = decoded(REMOTE_WRITE_2, Options::default().to_bytes(), &version2(&symbols, series(&[1, 2, 4, 3, 5, 3, 6, 3])));
    assert_eq!((reasons(&got), rows(&got).len()), (vec!["series_too_large"], 0));
    // One bound for all ways in: what a replica was sent in another form is the same series.
    let mut w = RequestWriter::default();
    w.series([("__name__", "up"), ("l0", &*long), ("l1", &long), ("l2", &long)], &[(NOW_MS, 1.0)], &[]);
    assert_eq!(reasons(&decode(&w.finish()).unwrap()), ["series_too_large"]);
}

fn attribute(w: &mut Writer, number: u32, key: &str, value: &str) {
    w.message(number, |w| {
        w.bytes(1, key.as_bytes());
        w.message(2, |w| w.bytes(1, value.as_bytes()));
    });
}

/// A request with one metric of one resource, whose attributes `resource` writes.
fn otlp_body(resource: impl FnOnce(&mut Writer), scopes: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(1, |w| {
        w.message(1, resource);
        scopes(w);
    });
    w.out
}

/// A histogram of OTLP with bounds 0, 1, 2, .., whose point has more fields.
fn with_bounds(n: u32, more: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let bounds: Vec<u8> = (0..n).flat_map(|b| f64::from(b).to_le_bytes()).collect();
    otlp_body(
        |w| attribute(w, 1, "service.name", "shop"),
        |w| {
            w.message(2, |w| {
                w.message(2, |w| {
                    w.bytes(1, b"h");
                    w.message(9, |w| {
                        w.varint(2, 2);
                        w.message(1, |w| {
                            w.fixed64(3, NOW_MS as u64 * 1_000_000);
                            more(w);
                            w.bytes(7, &bounds);
                        });
                    });
                });
            });
        },
    )
}

#[test]
fn a_histogram_whose_labels_are_too_much_has_many_buckets() {
    let long = "x".repeat(1 << 20);
    let body = with_bounds(60_000, |w| (0..20).for_each(|i| attribute(w, 9, &format!("a{i}"), &long)));
    let got = decoded(OTLP_PROTOBUF, Translation::default().to_bytes(&Options::default()), &body);
    assert_eq!(got.refusals.len(), 60_002, "the count, each bucket and that of all");
    assert!(got.refusals.iter().all(|r| r.reason == "label_value_too_long"));
}

#[test]
fn histograms_with_more_bounds_than_memory_holds() {
    for custom_buckets in [false, true] {
        let options = Translation { custom_buckets, ..Translation::default() }.to_bytes(&Options::default());
        let got = decoded(OTLP_PROTOBUF, options.clone(), &with_bounds(1_500_000, |_| {}));
        assert_eq!((reasons(&got), rows(&got).len()), (vec!["invalid_histogram"], 0), "one point is refused");
        assert_eq!(got.refusals[0].message, "a histogram of h: it has 1500000 bounds, and 65536 are the most that are taken");
        let got = decoded(OTLP_PROTOBUF, options, &with_bounds(65_536, |_| {}));
        assert_eq!((reasons(&got), rows(&got).len()), (vec![], if custom_buckets { 1 } else { 65_538 }));
    }
    let custom = |n: u32| {
        let mut w = Writer::default();
        w.varint(4, 105);
        w.varint(15, NOW_MS as u64);
        w.bytes(16, &(0..n).flat_map(|b| f64::from(b).to_le_bytes()).collect::<Vec<_>>());
        w.out
    };
    let mut w = RequestWriter::default();
    w.series([("__name__", "h")], &[], &[&custom(65_537), &custom(65_536)]);
    let got = decode(&w.finish()).unwrap();
    assert_eq!((reasons(&got), rows(&got).len()), (vec!["invalid_histogram"], 1));
}

#[test]
fn scopes_and_metrics_without_points_cost_nothing_of_their_resource() {
    let body = otlp_body(
        |w| (0..5_000).for_each(|i| attribute(w, 1, &format!("attribute.{i}"), "v")),
        |w| {
            for _ in 0..1_000_000 {
                w.message(2, |w| w.message(2, |w| w.message(7, |w| w.varint(2, 1))));
            }
        },
    );
    let translation = Translation { promote_all: true, promote_scope: true, ..Translation::default() };
    let got = decoded(OTLP_PROTOBUF, translation.to_bytes(&Options::default()), &body);
    assert!(got.refusals.is_empty() && rows(&got).is_empty());
}
