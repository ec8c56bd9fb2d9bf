//! Skip filters for substrings of text.
//!
//! Text is cut into words: runs of ASCII letters, digits, `_` and bytes beyond ASCII. Of each word, eight bytes (a gram) are
//! noted at its start and at every fourth byte after it, as far as the word goes, in a Bloom filter for each page. A page
//! that holds a needle holds every gram that lies in the needle at those places; where the needle's word began is known
//! if the needle shows what is before it, and else all four cases are tried. So nothing is ever left out, and a needle says
//! something if one of its words has 11 bytes, or 8 when it is seen to begin.
//!
//! The grams of an id of 32 digits are 7, an eighth of what all its substrings would be, and a needle of 20 digits must
//! find 3 or 4 of them in one page: which is why eight bits for each gram do.

use std::ops::Range;

use base::attrs::{read_varint, write_varint};
use base::hash::hash64;

use super::filter;
use super::limits::GRAMS_OF_A_PAGE;

/// Bytes of a gram.
const GRAM: usize = 8;
/// Distance of the grams of a word.
const STRIDE: usize = 4;
/// Bits of a filter for each gram: one wrong "perhaps" in about 30 grams.
const BITS_PER_GRAM: usize = 8;
/// What a blob begins with.
const VERSION: u8 = 1;
/// Hashes met lately, as a power of two: words of a template come in every line, and need not be noted each time.
const LATELY: u32 = 13;

/// Without branches: it is asked for each byte of text.
fn is_word(b: u8) -> bool {
    ((b | 0x20).wrapping_sub(b'a') < 26) | (b.wrapping_sub(b'0') < 10) | (b == b'_') | (b >= 0x80)
}

/// Collects the filters of one column chunk, page by page.
pub struct PageGrams {
    // One bit for each byte of the page: whether it is part of a word.
    words: Vec<u64>,
    lately: Vec<u64>,
    hashes: Vec<u64>,
    heads: Vec<u8>,
    filters: Vec<u8>,
    pages: u64,
}

impl Default for PageGrams {
    fn default() -> Self {
        PageGrams { words: vec![], lately: vec![0; 1 << LATELY], hashes: vec![], heads: vec![], filters: vec![], pages: 0 }
    }
}

impl PageGrams {
    /// Adds a page: the lengths of its texts, and the texts one after the other.
    pub fn page(&mut self, lengths: &[u32], text: &[u8]) {
        self.mark_words(text);
        self.cut_at_ends(lengths);
        self.hashes.clear();
        self.lately.fill(0);
        let mut before = false;
        for block in 0..text.len().div_ceil(64) {
            // Grams that begin a word: no gram begins one byte before, for then the word began earlier. (Seven bytes without
            // a gram lie between two words.)
            let here = self.words[block];
            let mut starts = here & !(here << 1 | u64::from(before));
            before = here >> 63 == 1;
            while starts != 0 {
                self.word(text, block * 64 + starts.trailing_zeros() as usize);
                starts &= starts - 1;
            }
        }
        let filter = if self.hashes.len() > GRAMS_OF_A_PAGE { vec![] } else { filter::build(&self.hashes, BITS_PER_GRAM) };
        write_varint(&mut self.heads, lengths.len() as u64);
        write_varint(&mut self.heads, filter.len() as u64);
        self.filters.extend_from_slice(&filter);
        self.pages += 1;
    }

    /// Sets the bits of bytes at which a gram can begin: eight bytes of a word follow one another.
    fn mark_words(&mut self, text: &[u8]) {
        self.words.clear();
        self.words.extend(text.chunks(64).map(word_bits));
        for i in 0..self.words.len() {
            let next = self.words.get(i + 1).copied().unwrap_or(0);
            let mut both = u128::from(self.words[i]) | u128::from(next) << 64;
            both &= both >> 1;
            both &= both >> 2;
            both &= both >> 4;
            self.words[i] = both as u64;
        }
    }

    /// Clears the bits of grams that would reach into the next text. What begins a text then begins a word: the byte
    /// before has no bit.
    fn cut_at_ends(&mut self, lengths: &[u32]) {
        let mut end = 0usize;
        for len in lengths {
            end += *len as usize;
            for at in end.saturating_sub(GRAM - 1)..end {
                self.words[at / 64] &= !(1 << (at % 64));
            }
        }
    }

    fn word(&mut self, text: &[u8], start: usize) {
        let mut at = start;
        while self.words.get(at / 64).is_some_and(|w| w >> (at % 64) & 1 == 1) {
            let hash = hash64(&text[at..at + GRAM]);
            let lately = &mut self.lately[(hash >> (64 - LATELY)) as usize];
            // Hash 0 would never be noted: it becomes 1, also in a needle.
            let hash = hash.max(1);
            if *lately != hash {
                *lately = hash;
                self.hashes.push(hash);
            }
            at += STRIDE;
        }
    }

    /// The filters of the pages, and starts over.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = vec![VERSION];
        write_varint(&mut out, self.pages);
        out.append(&mut self.heads);
        out.append(&mut self.filters);
        self.pages = 0;
        out
    }
}

/// One bit for each of up to 64 bytes: whether it is part of a word.
fn word_bits(bytes: &[u8]) -> u64 {
    let Some(bytes) = bytes.first_chunk::<64>() else {
        return bytes.iter().enumerate().fold(0, |bits, (i, b)| bits | u64::from(is_word(*b)) << i);
    };
    let flags = bytes.map(|b| u8::from(is_word(b)));
    let mut bits = 0;
    for (i, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Gathers the lowest bit of each byte into the highest byte of the product.
        bits |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    bits
}

/// What the filters can be asked about a text that must be contained.
pub struct Needle {
    /// All of these must be in a page: for each word, the cases of where it may have begun, each of them the grams that
    /// there are then.
    words: Vec<Vec<Vec<u64>>>,
}

impl Needle {
    /// `None` if the filters can say nothing about it.
    pub fn new(needle: &[u8]) -> Option<Needle> {
        let mut words = vec![];
        let mut at = 0;
        for word in needle.split(|b| !is_word(*b)) {
            // The word may have begun earlier, but only if the needle begins with it.
            let cases = if at == 0 { STRIDE } else { 1 };
            at += word.len() + 1;
            let grams = |case: usize| -> Vec<u64> {
                let starts = (case..(word.len() + 1).saturating_sub(GRAM)).step_by(STRIDE);
                starts.map(|s| hash64(&word[s..s + GRAM]).max(1)).collect()
            };
            let cases: Vec<Vec<u64>> = (0..cases).map(grams).collect();
            if cases.iter().all(|grams| !grams.is_empty()) {
                words.push(cases);
            }
        }
        (!words.is_empty()).then_some(Needle { words })
    }

    fn may_be_in(&self, filter: &[u8]) -> bool {
        let holds = |grams: &Vec<u64>| grams.iter().all(|g| filter::may_hold(filter, *g));
        self.words.iter().all(|cases| cases.iter().any(holds))
    }
}

/// The pages of a column chunk of so many rows, as rows of it, that may hold any of the needles. `None` if the blob cannot
/// be understood: then nothing is known.
pub fn pages_with(blob: &[u8], rows_of_chunk: u32, needles: &[Needle]) -> Option<Vec<Range<u32>>> {
    let (version, rest) = blob.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (pages, mut rest) = read_varint(rest)?;
    let mut heads = vec![];
    for _ in 0..pages {
        let (rows, r) = read_varint(rest)?;
        let (len, r) = read_varint(r)?;
        rest = r;
        heads.push((u32::try_from(rows).ok()?, usize::try_from(len).ok()?));
    }
    let mut out: Vec<Range<u32>> = vec![];
    let mut row = 0u32;
    for (rows, len) in heads {
        let (filter, r) = rest.split_at_checked(len)?;
        rest = r;
        let here = row..row.checked_add(rows)?;
        row = here.end;
        if needles.iter().any(|n| n.may_be_in(filter)) {
            match out.last_mut() {
                Some(l) if l.end == here.start => l.end = here.end,
                _ => out.push(here),
            }
        }
    }
    // Rows that it does not speak of must not be left out.
    (row == rows_of_chunk).then_some(out)
}

#[cfg(test)]
mod tests;
