//! Where the quotes of a line are, found many bytes at a time.
//!
//! A query wants one or two of a line's dozen members, and what stands before them must be passed over, in line after line. Going from
//! string to string, the processor guesses wrong at nearly each end, because strings have all lengths; that was most of the cost. The
//! quotes of a stretch of the line, as bits of a word, are found without guesses, and lines of one program have as many.

use super::JsonCursor;

/// Bytes that are looked at together: a bit of a word each.
const BLOCK: usize = 64;
/// Blocks that are looked at when more quotes are asked for: often most of a line, and not too much if the first member is what is wanted.
const BLOCKS: usize = 4;

/// The quotes of one line, as bits of the blocks that it consists of. Its memory serves for line after line.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    blocks: Vec<u64>,
    next: Place,
    /// No further than to a backslash: whether a quote behind one ends a string is not said here.
    ended: bool,
}

/// A place among the quotes: a block, and those of its quotes that were not passed yet.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    block: usize,
    left: u64,
}

impl Outline {
    /// Goes to another line.
    pub fn start(&mut self) {
        self.blocks.clear();
        (self.next, self.ended) = (Place::default(), false);
    }

    /// The quote at a place, which goes on to the next one.
    #[inline]
    fn quote(&mut self, at: &mut Place, text: &[u8]) -> Option<usize> {
        while at.left == 0 {
            // The first block has the number 1: at 0 nothing was looked at.
            if at.block == self.blocks.len() {
                if self.ended {
                    return None;
                }
                self.look(text);
                continue;
            }
            at.left = self.blocks[at.block];
            at.block += 1;
        }
        let quote = (at.block - 1) * BLOCK + at.left.trailing_zeros() as usize;
        at.left &= at.left - 1;
        Some(quote)
    }

    fn look(&mut self, text: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has what the function was compiled for. The one unsafe place of this crate: with the instructions that
            // every processor has, finding the quotes took a third of the time of a query of JSON lines.
            return unsafe { self.look_wide(text) };
        }
        self.look_with(text, quotes);
    }

    /// The same for processors with wide registers.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn look_wide(&mut self, text: &[u8]) {
        self.look_with(text, |block| quotes_wide(block));
    }

    #[inline(always)]
    fn look_with(&mut self, text: &[u8], quotes: impl Fn(&[u8; BLOCK]) -> (u64, bool)) {
        for _ in 0..BLOCKS {
            let rest = text.get(self.blocks.len() * BLOCK..).unwrap_or_default();
            let (bits, plain) = match rest.first_chunk::<BLOCK>() {
                Some(block) => quotes(block),
                None => {
                    let mut block = [0; BLOCK];
                    block[..rest.len()].copy_from_slice(rest);
                    self.ended = true;
                    quotes(&block)
                }
            };
            if !plain {
                self.ended = true;
                return;
            }
            self.blocks.push(bits);
            if self.ended {
                return;
            }
        }
    }
}

/// A bit for each quote of a block, and whether there is no backslash.
#[inline]
fn quotes(block: &[u8; BLOCK]) -> (u64, bool) {
    let flags = block.map(|b| u8::from(b == b'"'));
    let mut bits = 0;
    for (i, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Gathers the lowest bit of each byte into the highest byte of the product.
        bits |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    (bits, block.iter().fold(true, |plain, b| plain & (*b != b'\\')))
}

/// The same with the instructions that are made for it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn quotes_wide(block: &[u8; BLOCK]) -> (u64, bool) {
    use std::arch::x86_64::{_mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set_epi64x, _mm256_set1_epi8};
    let (quote, backslash) = (_mm256_set1_epi8(b'"' as i8), _mm256_set1_epi8(b'\\' as i8));
    let word = |i: usize| block.as_chunks::<8>().0.get(i).map_or(0, |w| i64::from_le_bytes(*w));
    let low = _mm256_set_epi64x(word(3), word(2), word(1), word(0));
    let high = _mm256_set_epi64x(word(7), word(6), word(5), word(4));
    let bits = |half| u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(half, quote)) as u32);
    let escapes = _mm256_or_si256(_mm256_cmpeq_epi8(low, backslash), _mm256_cmpeq_epi8(high, backslash));
    (bits(low) | bits(high) << 32, _mm256_movemask_epi8(escapes) == 0)
}

/// Whether the text from `start` to `end` is a number as most are written: up to eight digits and points, a digit first. All are looked at
/// at once: numbers, too, have all lengths.
#[inline]
fn is_plain_number(text: &[u8], start: usize, end: usize) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let Some(word) = text.get(start..).and_then(|t| t.first_chunk::<8>()) else { return false };
    let len = end.wrapping_sub(start);
    if len == 0 || len > 8 || !word[0].is_ascii_digit() {
        return false;
    }
    let behind = u64::MAX.checked_shl(8 * len as u32).unwrap_or(0);
    // Digits become 0 to 9.
    let word = (u64::from_le_bytes(*word) ^ (EACH * b'0' as u64)) & !behind;
    let low = EACH * 0x7f;
    let no_digits = ((word & low) + EACH * (0x7f - 9)) | word;
    let point = word ^ (EACH * (b'.' ^ b'0') as u64);
    let no_points = ((point & low) + low) | point;
    no_digits & no_points & (EACH * 0x80) == 0
}

impl JsonCursor<'_> {
    /// Passes over members of the object that the cursor is in, before a key, as far as they are plainly written (strings without escapes,
    /// numbers, no spaces) and nobody wants them by their key. The cursor is then before the key of another member. `outline` is of this
    /// text.
    #[inline]
    pub fn pass_members(&mut self, outline: &mut Outline, is_wanted: impl Fn(&str) -> bool) {
        let bytes = self.text.as_bytes();
        let mut at = outline.next;
        while let Some(open) = outline.quote(&mut at, bytes) {
            if open < self.at {
                outline.next = at;
                continue;
            }
            let Some(close) = outline.quote(&mut at, bytes) else { return };
            if open != self.at || bytes.get(close + 1) != Some(&b':') || self.text.get(open + 1..close).is_none_or(&is_wanted) {
                return;
            }
            let (value, behind_key) = (close + 2, at);
            // Of a value that is no string this is the key of the next member, and before it there is a comma.
            let Some(third) = outline.quote(&mut at, bytes) else { return };
            let end = if third == value {
                let Some(end) = outline.quote(&mut at, bytes) else { return };
                end + 1
            } else if is_plain_number(bytes, value, third - 1) {
                at = behind_key;
                third - 1
            } else {
                return;
            };
            // Behind the last member the caller must look himself, and what comes must be a key.
            if bytes.get(end) != Some(&b',') || bytes.get(end + 1) != Some(&b'"') {
                return;
            }
            outline.next = at;
            self.at = end + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json_text::{Value, Wrong};

    fn walked<'a>(text: &'a str, wanted: &str, outline: Option<&mut Outline>) -> (Vec<Value<'a>>, Result<bool, Wrong>) {
        let mut found = vec![];
        let mut cursor = JsonCursor::new(text);
        let end = match outline {
            None => cursor.object(|c, key| {
                if key == wanted {
                    found.push(c.value()?)
                } else {
                    c.skip()?
                }
                Ok(true)
            }),
            Some(outline) => {
                outline.start();
                cursor.object_of(
                    |c| c.pass_members(outline, |key| key == wanted),
                    |c, key| {
                        if key == wanted {
                            found.push(c.value()?)
                        } else {
                            c.skip()?
                        }
                        Ok(true)
                    },
                )
            }
        };
        (found, end)
    }

    #[test]
    fn members_are_passed() {
        let long = "long".repeat(30);
        let text = format!(r#"{{"ts":"2026","n":12.5,"{long}":1,"e":{{"x":1}},"b":"{long}\"","x":3,"end":true}}"#);
        let mut outline = Outline::default();
        assert_eq!(walked(&text, "x", Some(&mut outline)), (vec![Value::Word("3")], Ok(true)));
        let mut cursor = JsonCursor::new(&text);
        cursor.eat(b'{');
        outline.start();
        cursor.pass_members(&mut outline, |_| false);
        assert!(text[cursor.at..].starts_with(r#""e":{"#), "only an object is not passed plainly");
    }

    proptest! {
        #[test]
        fn a_walk_that_passes_members_is_a_walk(
            members in prop::collection::vec(("[a-c]{0,2}", prop_oneof![
                Just("1"), Just("-1.5"), Just("1.2.3"), Just("\"\""), Just(r#""x\"y""#), Just("\"é, {\""), Just("null"), Just("{\"a\":1}"), Just("[1,\"a\"]"),
                Just(" 1"), Just("1 "), Just("oops"), Just(""), Just("1,2"), Just("\"0123456789012345678901234567890123456789012345678901234567890123456789\""),
            ]), 0..12),
            cut in 0usize..200,
        ) {
            let members: Vec<String> = members.iter().map(|(k, v)| format!(r#""{k}":{v}"#)).collect();
            let text = format!("{{{}}}", members.join(","));
            let mut outline = Outline::default();
            let cut = (0..=cut.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
            for text in [text.as_str(), &text[..cut]] {
                prop_assert_eq!(walked(text, "a", Some(&mut outline)), walked(text, "a", None), "{}", text);
            }
        }
        #[test]
        fn plain_numbers_are_digits_and_points(text in "[0-9./:,\"é-]{0,9}", len in 0usize..10) {
            let len = len.min(text.len());
            let all = [text.as_bytes(), &b"\",9 behind"[..]].concat();
            let digit = |b: &u8| b.is_ascii_digit();
            let want = (1..=8).contains(&len) && digit(&all[0]) && all[..len].iter().all(|b| digit(b) || *b == b'.');
            prop_assert_eq!(is_plain_number(&all, 0, len), want);
        }
        #[test]
        fn quotes_have_bits(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'x'), Just(0xA2), Just(0x23)], 64)) {
            let block: [u8; 64] = bytes.clone().try_into().unwrap();
            let want = (0..64).filter(|i| bytes[*i] == b'"').fold(0, |bits, i| bits | 1u64 << i);
            let mut with = block;
            with[bytes.iter().position(|b| *b == b'x').unwrap_or(0)] = b'\\';
            prop_assert_eq!(quotes(&block), (want, true));
            prop_assert!(!quotes(&with).1);
            // Whichever this processor uses sees the same.
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut outline = Outline::default();
            let mut at = Place::default();
            let found: Vec<usize> = std::iter::from_fn(|| outline.quote(&mut at, text.as_bytes())).collect();
            let places: Vec<usize> = text.bytes().enumerate().filter(|(_, b)| *b == b'"').map(|(i, _)| i).collect();
            prop_assert_eq!(found, places);
        }
    }
}
