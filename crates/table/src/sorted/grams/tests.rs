use proptest::prelude::*;

use super::*;

/// The pages' filters, a page being a list of texts.
fn blob(pages: &[Vec<Vec<u8>>]) -> (Vec<u8>, u32) {
    let mut g = PageGrams::default();
    for p in pages {
        let lengths: Vec<u32> = p.iter().map(|t| t.len() as u32).collect();
        g.page(&lengths, &p.concat());
    }
    (g.finish(), pages.iter().map(|p| p.len() as u32).sum())
}

fn found(blob: &(Vec<u8>, u32), needle: &[u8]) -> Option<Vec<Range<u32>>> {
    let needle = Needle::new(needle)?;
    Some(pages_with(&blob.0, blob.1, &[needle]).expect("a blob of ours can be read"))
}

fn hex(i: u64) -> String {
    format!("{:016x}{:016x}", hash64(&i.to_le_bytes()), hash64(&(i + 1_000_000).to_le_bytes()))
}

/// Texts with long words, short ones, none at all, letters of several bytes, and bytes that are no letters.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        "[a-f0-9]{8,40}",
        "[a-zA-Z_]{1,12}",
        "(é|日本|ß|x|_|7){0,20}",
        "[ -~]{0,30}",
        Just("x".repeat(70)),
        Just(String::new()),
    ];
    let bytes = prop_oneof![9 => word.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..30)];
    let gap = prop_oneof![Just(" "), Just(""), Just("\":\""), Just("\n"), Just("\u{7f}")];
    prop::collection::vec((bytes, gap), 0..8).prop_map(|v| {
        v.into_iter()
            .flat_map(|(mut b, g)| {
                b.extend_from_slice(g.as_bytes());
                b
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_page_with_the_needle_is_ever_left_out(pages in prop::collection::vec(prop::collection::vec(text(), 0..6), 1..5)) {
        let b = blob(&pages);
        let mut row = 0;
        for texts in &pages {
            for t in texts {
                // Every substring of some lengths, at every place, and the whole.
                for len in [1, 7, 8, 9, 10, 11, 12, 15, 16, 20, 33, t.len()] {
                    for needle in t.windows(len.max(1)) {
                        if let Some(found) = found(&b, needle) {
                            prop_assert!(found.iter().any(|r| r.contains(&row)), "{needle:?} of {t:?}: row {row} is not in {found:?}");
                        }
                    }
                }
                row += 1;
            }
        }
    }

    #[test]
    fn all_letters_of_a_needle_are_among_those_of_its_page(texts in prop::collection::vec(text(), 0..6)) {
        let mut threes = Threes::default();
        let lengths: Vec<u32> = texts.iter().map(|t| t.len() as u32).collect();
        threes.note(&[3], b"zzz");
        threes.note(&lengths, &texts.concat());
        let bits = threes.bits();
        let noted: Vec<u16> = (0..LETTERS.pow(3) as u16).filter(|n| bits[usize::from(*n) / 8] >> (n % 8) & 1 == 1).collect();
        let mut all: Vec<u16> = texts.iter().flat_map(|t| threes_of(t)).collect();
        all.sort_unstable();
        all.dedup();
        // Exactly those: of no text's end and the next one's beginning.
        prop_assert_eq!(noted, all);
    }

    #[test]
    fn a_damaged_blob_is_refused_or_answers_something(pages in prop::collection::vec(prop::collection::vec(text(), 0..4), 1..4), at in 0usize..10_000, with in any::<u8>()) {
        let (mut bytes, rows) = blob(&pages);
        prop_assert_eq!(pages_with(&bytes, rows + 1, &[]), None);
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = pages_with(&bytes, rows, &[Needle::new(b"0123456789abcdef").unwrap()]);
        let _ = pages_with(&bytes[..at], rows, &[Needle::new(b"0123456789abcdef").unwrap()]);
    }
}

#[test]
fn a_needle_says_something_from_11_bytes_of_a_word_or_8_where_it_begins() {
    let says = |n: &str| Needle::new(n.as_bytes()).is_some_and(|n| !n.words.is_empty());
    assert!(says("01234567890") && !says("0123456789"));
    assert!(says(" 01234567") && !says(" 0123456") && !says("01234567 "));
    assert!(says("a b c=\"deadlock_") && !says("a b c d e f g") && !says(""));
    assert!(says("日本語を話す"), "letters of several bytes are words");
}

#[test]
fn ids_that_are_nowhere_open_hardly_a_page() {
    // 100 pages of 1000 texts, each with a template and an id.
    let page =
        |p: u64| (0..1000).map(|i| format!("level=info msg=\"order placed\" trace={} took=5ms", hex(p * 1000 + i)).into_bytes()).collect();
    let pages: Vec<Vec<Vec<u8>>> = (0..100).map(page).collect();
    let b = blob(&pages);
    assert!(b.0.len() < 100 * (1000 * 8 + LETTERS_BYTES), "{} bytes for 100,000 ids", b.0.len());
    let opened = |needle: &[u8]| found(&b, needle).unwrap().iter().map(|r| r.len()).sum::<usize>() / 1000;
    let absent = |len: usize| (0..200u64).map(|i| opened(&hex(1 << 40 | i).as_bytes()[6..6 + len])).sum::<usize>() as f64 / 200.0;
    assert!(absent(26) < 0.1, "{}", absent(26));
    assert!(absent(15) < 2.0, "{}", absent(15));
    assert!(absent(11) < 30.0, "{}", absent(11));
    let there = (0..200u64).map(|i| opened(&hex(i * 400).as_bytes()[6..26])).sum::<usize>() as f64 / 200.0;
    assert!((1.0..1.1).contains(&there), "{there}");
    assert_eq!(opened(b"msg=\"order placed\" trace="), 100, "what is in all pages opens all of them");
    assert_eq!((opened(b"refund"), opened(b"ORDER"), opened(b"older")), (0, 100, 0), "short words are told by their letters, without case");
    assert_eq!(found(&b, b"5m"), None, "two letters tell nothing");
}

#[test]
fn a_page_of_random_text_has_no_filter_and_is_never_left_out() {
    let noise: Vec<Vec<u8>> = (0..20_000u64).map(|i| hex(i).into_bytes()).collect();
    let b = blob(&[noise, vec![b"plain".to_vec()]]);
    assert!(b.0.len() < 100 + LETTERS_BYTES);
    let all = found(&b, b"0123456789abcdef").unwrap();
    assert!(all.len() == 1 && all[0] == (0..20_000), "{all:?}");
}

#[test]
fn the_bits_of_words_are_those_of_their_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    for bytes in all.chunks(64).chain(all.chunks(48)) {
        let want = bytes
            .iter()
            .enumerate()
            .fold(0u64, |bits, (i, b)| bits | u64::from(b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80) << i);
        assert_eq!(word_bits(bytes), want);
    }
}
