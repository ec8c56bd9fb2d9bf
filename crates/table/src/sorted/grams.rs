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
//!
//! Words that people look for are shorter. For them a page also notes which three letters follow one another in it, whatever their case:
//! a bit for each of the 26³ that there are. `error` is in a page only if `err`, `rro` and `ror` are.

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
/// What a blob begins with. Version 1 had no letters.
const VERSION: u8 = 2;
const WITHOUT_LETTERS: u8 = 1;
/// Letters that are told apart, and what every other byte is.
const LETTERS: usize = 26;
const NO_LETTER: u8 = 31;
/// Bytes of a page's letters.
const LETTERS_BYTES: usize = (LETTERS * LETTERS * LETTERS).div_ceil(8);
/// Pages with less text than this have none: reading them costs no more.
const LETTERS_FROM_BYTES: usize = 64 << 10;

/// The letter that each byte is, without its case.
const LETTER: [u8; 256] = {
    let mut table = [NO_LETTER; 256];
    let mut b = 0;
    while b < 256 {
        let letter = (b as u8 | 0x20).wrapping_sub(b'a');
        if b < 128 && letter < LETTERS as u8 {
            table[b] = letter;
        }
        b += 1;
    }
    table
};

/// Whether each three letters are in a page, by five bits for each of them: a byte is written without looking at it, which is all
/// that is done for each byte of text.
struct Threes(Box<[u8; 1 << 15]>);

impl Default for Threes {
    fn default() -> Self {
        Threes(Box::new([0; 1 << 15]))
    }
}

impl Threes {
    fn note(&mut self, lengths: &[u32], text: &[u8]) {
        self.0.fill(0);
        let mut rest = text;
        for len in lengths {
            let Some((line, after)) = rest.split_at_checked(*len as usize) else { return };
            rest = after;
            let (mut first, mut second) = (NO_LETTER, NO_LETTER);
            for b in line {
                let third = LETTER[usize::from(*b)];
                let at = usize::from(first) << 10 | usize::from(second) << 5 | usize::from(third);
                self.0[at & 0x7FFF] = 1;
                (first, second) = (second, third);
            }
        }
    }

    /// As they are kept: a bit for each three letters, in the order of the alphabet.
    fn bits(&self) -> [u8; LETTERS_BYTES] {
        let mut out = [0; LETTERS_BYTES];
        let mut n = 0;
        for first in 0..LETTERS {
            for second in 0..LETTERS {
                for third in 0..LETTERS {
                    out[n / 8] |= self.0[first << 10 | second << 5 | third] << (n % 8);
                    n += 1;
                }
            }
        }
        out
    }
}

/// The numbers of the bits of all three letters that follow one another in a text.
fn threes_of(text: &[u8]) -> Vec<u16> {
    let number = |w: &[u8]| {
        let letters = [LETTER[usize::from(w[0])], LETTER[usize::from(w[1])], LETTER[usize::from(w[2])]];
        let all = letters.iter().all(|l| *l != NO_LETTER);
        all.then(|| letters.iter().fold(0, |n, l| n * LETTERS as u16 + u16::from(*l)))
    };
    let mut out: Vec<u16> = text.windows(3).filter_map(number).collect();
    out.sort_unstable();
    out.dedup();
    out
}
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
    threes: Threes,
    pages: u64,
}

impl Default for PageGrams {
    fn default() -> Self {
        PageGrams {
            words: vec![],
            lately: vec![0; 1 << LATELY],
            hashes: vec![],
            heads: vec![],
            filters: vec![],
            threes: Threes::default(),
            pages: 0,
        }
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
        if text.len() >= LETTERS_FROM_BYTES {
            self.threes.note(lengths, text);
            write_varint(&mut self.heads, LETTERS_BYTES as u64);
            self.filters.extend_from_slice(&self.threes.bits());
        } else {
            write_varint(&mut self.heads, 0);
        }
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
    /// All of these three letters must be in a page.
    threes: Vec<u16>,
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
        let threes = threes_of(needle);
        (!words.is_empty() || !threes.is_empty()).then_some(Needle { words, threes })
    }

    fn may_be_in(&self, filter: &[u8], letters: &[u8]) -> bool {
        let holds = |grams: &Vec<u64>| grams.iter().all(|g| filter::may_hold(filter, *g));
        let is_there = |n: &u16| letters[usize::from(*n) / 8] >> (n % 8) & 1 == 1;
        if letters.len() == LETTERS_BYTES && !self.threes.iter().all(is_there) {
            return false;
        }
        self.words.iter().all(|cases| cases.iter().any(holds))
    }
}

/// The pages of a column chunk of so many rows, as rows of it, that may hold any of the needles. `None` if the blob cannot
/// be understood: then nothing is known.
pub fn pages_with(blob: &[u8], rows_of_chunk: u32, needles: &[Needle]) -> Option<Vec<Range<u32>>> {
    let (version, rest) = blob.split_first()?;
    if *version != VERSION && *version != WITHOUT_LETTERS {
        return None;
    }
    let (pages, mut rest) = read_varint(rest)?;
    let mut heads = vec![];
    for _ in 0..pages {
        let (rows, r) = read_varint(rest)?;
        let (len, r) = read_varint(r)?;
        let (letters, r) = if *version == WITHOUT_LETTERS { (0, r) } else { read_varint(r)? };
        rest = r;
        heads.push((u32::try_from(rows).ok()?, usize::try_from(len).ok()?, usize::try_from(letters).ok()?));
    }
    let mut out: Vec<Range<u32>> = vec![];
    let mut row = 0u32;
    for (rows, len, letters) in heads {
        let (filter, r) = rest.split_at_checked(len)?;
        let (letters, r) = r.split_at_checked(letters)?;
        rest = r;
        let here = row..row.checked_add(rows)?;
        row = here.end;
        if needles.iter().any(|n| n.may_be_in(filter, letters)) {
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
