use super::*;

fn ns(layout: &str, text: &str) -> Option<i64> {
    Layout::new(named(layout).unwrap_or(layout)).read(text)?.ns()
}

#[test]
fn times_are_read() {
    const T: i64 = 1_136_239_445_000_000_000; // 2006-01-02T22:04:05Z
    for (layout, text) in [
        ("RFC3339", "2006-01-02T15:04:05-07:00"),
        ("RFC3339Nano", "2006-01-02T22:04:05Z"),
        ("ANSIC", "Mon Jan  2 22:04:05 2006"),
        ("UnixDate", "Mon Jan  2 22:04:05 UTC 2006"),
        ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
        ("RFC850", "Monday, 02-Jan-06 22:04:05 UTC"),
        ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
        ("RFC1123", "mon, 02 jan 2006 22:04:05 GMT"),
        ("2006-01-02 15:04:05", "2006-01-02 22:04:05"),
        ("2/Jan/2006:15:04:05 -0700", "2/Jan/2006:15:04:05 -0700"),
        ("2006/1/2 3:4:5 PM", "2006/1/2 10:4:5 PM"),
        ("2006-002 15:04:05", "2006-002 22:04:05"),
        ("Jan _2 2006 15:04:05 MST", "Jan 2 2006 22:04:05 UTC"),
        ("2006-01-02 15:04:05 Z07", "2006-01-02 23:04:05 +01"),
        ("06_2006", "06_2006"),
    ] {
        let want = if layout == "06_2006" { Some(1_136_073_600_000_000_000) } else { Some(T) };
        assert_eq!(ns(layout, text), want, "{layout} {text}");
    }
    // A fraction may follow the seconds whether the layout has one or not.
    assert_eq!(ns("RFC3339", "2006-01-02T22:04:05.5Z"), Some(T + 500_000_000));
    assert_eq!(ns("RFC3339Nano", "2006-01-02T22:04:05.123456789Z"), Some(T + 123_456_789));
    assert_eq!(ns("2006-01-02 15:04:05.000", "2006-01-02 22:04:05.250"), Some(T + 250_000_000));
    assert_eq!(ns("2006-01-02 15:04:05,000", "2006-01-02 22:04:05,250"), Some(T + 250_000_000));
    assert_eq!(ns("RFC822", "02 Jan 06 22:04 UTC"), Some(T - 5_000_000_000));
}

#[test]
fn what_is_no_time_is_refused() {
    for (layout, text) in [
        ("RFC3339", "2006-02-30T00:00:00Z"),
        ("RFC3339", "2006-01-02T24:00:00Z"),
        ("RFC3339", "2006-01-02T00:00:00"),
        ("RFC3339", "2006-01-02T00:00:00Zx"),
        ("2006-01-02", "2006-13-02"),
        ("15:04:05.000", "10:00:00.5"),
        ("2006", "é006"),
        ("Jan", "é"),
        ("MST", ""),
    ] {
        assert_eq!(ns(layout, text), None, "{layout} {text}");
    }
}

#[test]
fn times_are_written() {
    let t = 1_136_239_445_120_000_000;
    for (layout, want) in [
        (RFC3339_NANO, "2006-01-02T22:04:05.12Z"),
        ("2006-01-02 15:04:05.000", "2006-01-02 22:04:05.120"),
        ("Mon Jan _2 3:04PM MST 06", "Mon Jan  2 10:04PM UTC 06"),
        ("002 __2 -07:00", "002   2 +00:00"),
        ("plain text", "plain text"),
    ] {
        assert_eq!(Layout::new(layout).write(t, 0), want, "{layout}");
    }
    assert_eq!(Layout::new("15:04 -0700 MST").write(t, -5 * 3_600), "17:04 -0500 -05");
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_again(ns: i64) {
        let l = Layout::new(RFC3339_NANO);
        let text = l.write(ns, 0);
        proptest::prop_assert_eq!(l.read(&text).and_then(|c| c.ns()), Some(ns), "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(layout in "\\PC{0,24}", text in "\\PC{0,24}", ns: i64) {
        let l = Layout::new(&layout);
        l.read(&text);
        l.write(ns, 3_600);
    }
}
