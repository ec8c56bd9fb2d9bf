use std::sync::Arc;

use super::*;

fn exponential(schema: i32, zero: (f64, f64), positive: &[(i32, f64)], sum: f64) -> Histogram {
    let count = zero.1 + positive.iter().map(|(_, c)| c).sum::<f64>();
    Histogram { schema, zero_threshold: zero.0, zero_count: zero.1, positive: positive.to_vec(), count, sum, ..Histogram::default() }
}

#[test]
fn bounds_are_powers() {
    assert_eq!(exponential_bound(0, 0), 1.0);
    assert_eq!(exponential_bound(3, 0), 8.0);
    assert_eq!(exponential_bound(1, -1), 4.0);
    assert_eq!(exponential_bound(-1, 0), 0.5);
    assert_eq!(exponential_bound(1024, 0), f64::MAX);
    assert_eq!(exponential_bound(1025, 0), f64::INFINITY);
    assert_eq!((exponential_bound(256, -2), exponential_bound(257, -2)), (f64::MAX, f64::INFINITY));
}

/// As Prometheus and its client libraries have them; the nearest floats are others.
#[test]
fn bounds_are_those_that_observations_are_counted_by() {
    for (index, schema, want) in [
        (3, 1, 2.82842712474619),
        (-3, 1, 0.35355339059327373),
        (-5, 1, 0.17677669529663687),
        (-13, 2, 0.1051120519067143),
        (30, 4, 3.6680161728186844),
        (-6, 3, 0.5946035575013605),
        (262_143, 8, 1.7928322734501122e308),
        // Too small for all of their digits.
        (-275_000, 8, 5e-324),
        (-1073, 0, 1e-323),
        (-1080, 0, 0.0),
    ] {
        assert_eq!(exponential_bound(index, schema), want, "{index} {schema}");
    }
    for schema in 1..=8 {
        // Each resolution has the bounds of the one below, and others between them.
        for i in -900..900 {
            let (low, high) = (exponential_bound(i, schema), exponential_bound(i + 1, schema));
            assert_eq!(exponential_bound(2 * i, schema), exponential_bound(i, schema - 1));
            assert!((high / low / f64::exp2(f64::powi(0.5, schema)) - 1.0).abs() < 1e-14);
        }
    }
}

#[test]
fn buckets_end_where_the_zero_bucket_does_but_are_written_whole() {
    let h = Histogram { negative: vec![(-1, 2.0), (3, 1.0)], ..exponential(-2, (0.001, 5.0), &[(-2, 4.0), (0, 8.0)], -2.5e6) };
    let borders: Vec<(f64, f64)> = h.all_buckets().iter().map(|b| (b.lower, b.upper)).collect();
    // 2^-12 to 2^-8 has a part beyond 0.001; 2^-8 to 2^-4 has none inside.
    assert_eq!(borders, [(-4096.0, -256.0), (-0.0625, -0.00390625), (-0.001, 0.001), (0.001, 0.00390625), (0.0625, 1.0)]);
    assert_eq!(
        h.to_string(),
        "{count:17, sum:-2.5e+06, [-4096,-256):1, [-0.0625,-0.00390625):2, [-0.001,0.001]:5, (0.000244140625,0.00390625]:4, (0.0625,1]:8}"
    );
    let beyond = exponential(-2, (0.5, 0.0), &[(0, 1.0)], 1.0);
    assert_eq!((beyond.quantile(0.0), beyond.fraction(0.0, 0.5)), (0.5, 0.0));
}

/// Found by fuzzing: the finest resolution that may be sent is 44 levels above the finest that is calculated with.
#[test]
fn the_finest_resolution_is_brought_down() {
    // count_int 2, schema 52, a positive span of two buckets from the least index on, each with one.
    let least = |offset: &[u8], index: i32| {
        let span = [&[0x5a, offset.len() as u8 + 3, 0x08], offset, &[0x10, 2]].concat();
        let m = [&[0x08, 2, 0x20, 104], &span[..], &[0x62, 2, 2, 0]].concat();
        let h = Histogram::decode(&m).unwrap();
        assert!(Histogram::check(&m).is_ok() && h.all_buckets().len() == 1);
        assert_eq!((h.schema, &h.positive[..]), (8, &[(index, 2.0)][..]));
    };
    least(&[0xff, 0xff, 0xff, 0xff, 0x0f], 0);
    least(&[2], 1);
}

#[test]
fn a_message_is_decoded_and_damage_is_not() {
    // count_int 5, sum 2.5, schema 1, zero_threshold 0.5, zero_count_int 1, one positive span (offset -1, 2 buckets), deltas 1 and 2.
    let mut m = vec![0x08, 5, 0x19];
    m.extend(2.5f64.to_le_bytes());
    m.extend([0x20, 2, 0x29]);
    m.extend(0.5f64.to_le_bytes());
    m.extend([0x30, 1, 0x5a, 4, 0x08, 1, 0x10, 2, 0x62, 2, 2, 4]);
    let h = Histogram::decode(&m).unwrap();
    assert_eq!((h.count, h.sum, h.schema, h.zero_count), (5.0, 2.5, 1, 1.0));
    assert_eq!(h.positive, [(-1, 1.0), (0, 3.0)]);
    for n in 0..m.len() {
        let _ = Histogram::decode(&m[..n]);
    }
    m.extend([0x62, 1, 2]);
    assert!(Histogram::decode(&m).is_none(), "more counts than the spans have room for");
}

/// Found by fuzzing: a sum looked for the wider of two zero buckets without end.
#[test]
fn a_zero_bucket_has_a_width() {
    // count_int 2, zero_threshold, zero_count_int 1, a positive span of one bucket.
    let message = |width: f64, sum: f64| {
        let mut m = vec![0x08, 2, 0x19];
        m.extend(sum.to_le_bytes());
        m.push(0x29);
        m.extend(width.to_le_bytes());
        m.extend([0x30, 1, 0x5a, 4, 0x08, 2, 0x10, 1, 0x62, 1, 2]);
        m
    };
    for width in [f64::NAN, -f64::NAN, -1.0, f64::NEG_INFINITY] {
        let why = Histogram::check(&message(width, 1.0)).unwrap_err();
        assert!(why.contains("zero bucket is"), "{why}");
        let stale = message(width, f64::from_bits(crate::spec::STALE_NAN_BITS));
        assert!(Histogram::check(&stale).is_ok());
        let h = Histogram::decode(&stale).unwrap();
        assert_eq!(h.zero_threshold, 0.0);
        assert_eq!(h.add(&h).unwrap().0.count, 4.0);
    }
    for width in [0.0, 1e-128, f64::MAX, f64::INFINITY] {
        let m = message(width, 1.0);
        assert!(Histogram::check(&m).is_ok());
        let (h, small) = (Histogram::decode(&m).unwrap(), exponential(0, (0.5, 1.0), &[(0, 5.0), (9, 1.0)], 1.0));
        let (s, _) = h.add(&small).unwrap();
        assert_eq!(s.count, 9.0);
        assert!(s.zero_threshold >= width.max(0.5));
    }
}

#[test]
fn sums_meet_at_the_lower_resolution_and_the_wider_zero() {
    let a = exponential(1, (0.0, 0.0), &[(1, 1.0), (2, 2.0), (3, 3.0)], 10.0);
    let b = exponential(0, (0.0, 0.0), &[(1, 4.0)], 5.0);
    let (s, _) = a.add(&b).unwrap();
    assert_eq!((s.schema, &s.positive[..], s.sum, s.count), (0, &[(1, 7.0), (2, 3.0)][..], 15.0, 10.0));
    let wide = exponential(0, (1.0, 2.0), &[(2, 1.0)], 1.0);
    let fine = exponential(0, (0.1, 1.0), &[(0, 5.0), (1, 1.0)], 1.0);
    let (s, _) = wide.add(&fine).unwrap();
    assert_eq!((s.zero_threshold, s.zero_count, &s.positive[..]), (1.0, 8.0, &[(1, 1.0), (2, 1.0)][..]));
    let custom = Histogram { schema: CUSTOM, ..Histogram::default() };
    assert!(custom.add(&a).is_err());
}

#[test]
fn custom_bounds_that_differ_are_reduced_to_the_common_ones() {
    let h = |bounds: &[f64], counts: &[f64]| Histogram {
        schema: CUSTOM,
        bounds: Arc::from(bounds),
        positive: counts.iter().enumerate().map(|(i, c)| (i as i32, *c)).collect(),
        count: counts.iter().sum(),
        ..Histogram::default()
    };
    let (s, remarks) = h(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]).add(&h(&[1.0, 3.0], &[1.0, 1.0, 1.0])).unwrap();
    assert!(remarks.bounds_reconciled);
    // Two hundred times 60,000 bounds, of which every other is shared: it took two minutes to look for each in all of the other's.
    let many = |step: f64| h(&(0..60_000).map(|i| f64::from(i) * step).collect::<Vec<_>>(), &[1.0]);
    let (one, two) = (many(1.0), many(2.0));
    for _ in 0..200 {
        assert_eq!(one.add(&two).unwrap().0.bounds.len(), 30_000);
    }
    assert_eq!((&s.bounds[..], &s.positive[..]), (&[1.0, 3.0][..], &[(0, 2.0), (1, 3.0), (2, 2.0)][..]));
}

#[test]
fn resets_are_seen_in_any_bucket() {
    let a = exponential(0, (0.0, 0.0), &[(1, 4.0), (2, 2.0)], 5.0);
    let more = exponential(0, (0.0, 0.0), &[(1, 4.0), (2, 3.0)], 8.0);
    let moved = exponential(0, (0.0, 0.0), &[(1, 3.0), (2, 5.0)], 8.0);
    assert!(!more.resets(&a) && moved.resets(&a) && a.resets(&more));
    let said = Histogram { hint: ResetHint::Reset, ..more.clone() };
    assert!(said.resets(&a));
    // The one that it speaks of may be missing here.
    let denied = Histogram { hint: ResetHint::NotReset, ..moved.clone() };
    assert!(denied.resets(&a));
    // What is taken into the zero bucket is rounded as Prometheus does it: 0.3, 0.2 and 0.1 are 0.6, and 0.3 and the others' sum is more.
    let narrow = exponential(0, (0.25, 0.3), &[(-1, 0.2), (0, 0.1)], 1.0);
    let wide = |zero: f64| exponential(0, (1.0, zero), &[(1, 1.0)], 1.0);
    assert!(!wide(0.6).resets(&narrow) && wide(0.5999).resets(&narrow));
    let finer = exponential(1, (0.0, 0.0), &[(1, 9.0), (2, 9.0), (3, 9.0)], 8.0);
    assert!(finer.resets(&a), "resolution only ever goes down without a reset");
}

#[test]
fn quantiles_and_fractions() {
    let h = exponential(0, (0.0, 0.0), &[(1, 1.0), (2, 1.0)], 4.0);
    assert_eq!(h.quantile(0.5), 2.0);
    assert!((h.quantile(0.75) - 8f64.sqrt()).abs() < 1e-12);
    assert_eq!((h.quantile(-1.0), h.quantile(2.0)), (f64::NEG_INFINITY, f64::INFINITY));
    assert!(Histogram::default().quantile(0.5).is_nan());
    assert_eq!(h.fraction(2.0, 4.0), 0.5);
    assert_eq!(h.fraction(f64::NEG_INFINITY, f64::INFINITY), 1.0);
    assert_eq!(h.fraction(3.0, 3.0), 0.0);
}
