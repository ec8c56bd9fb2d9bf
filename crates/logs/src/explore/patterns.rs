//! Kinds of lines: lines that differ in their variable parts alone are one kind, which is shown as a pattern that
//! `|>` takes.
//!
//! A line is cut into words and what separates them. Words with a digit in them vary. Lines of the same separators whose
//! words are mostly the same, place by place, are one kind, and the places where they differ vary too. (The original's
//! Drain descends a tree by the first words instead; here the separators, which templates keep, do the grouping.)
//! The newest lines are looked at, up to a bound.

use std::collections::{BTreeMap, HashMap};

use base::Result;
use table::{Direction, TimeRange};

use crate::eval::scan::{self, Batch, Reads};
use crate::limits;
use crate::query::Context;
use crate::stage::{Pipeline, Row, RowLabels, SeriesLabels, Wanted};

/// A kind of lines, and how many there were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternSeries {
    /// The pattern.
    pub pattern: String,
    /// Detected level of its lines.
    pub level: String,
    /// Start of each step, nanoseconds, and its lines.
    pub samples: Vec<(i64, u64)>,
}

/// Kinds of lines, the most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// They.
    pub series: Vec<PatternSeries>,
    /// Whether there were more lines than were looked at; older ones are missing then.
    pub is_partial: bool,
}

/// The kinds of the lines of a log query; times in nanoseconds.
pub fn patterns(context: Context<'_>, query: &str, start_ns: i64, end_ns: i64, step_ns: i64) -> Result<Patterns> {
    let log = super::log_query(query)?;
    let budget = context.budget();
    let source = context.source(&budget);
    let pipeline = Pipeline::new(&log, Wanted::All, source.now_ns)?;
    let range = TimeRange { start: start_ns, end: end_ns };
    let reads = Reads { metadata: !pipeline.is_empty(), ..Reads::ALL };
    let stream = scan::open(source, &log.matchers, range, pipeline.predicate.clone(), reads, Direction::Backward)?;
    let mut miner = Miner::default();
    let mut labels = RowLabels::default();
    let mut looked_at = 0;
    for batch in stream.batches {
        source.cancel.check()?;
        let batch = Batch::new(&batch?)?;
        if looked_at >= limits::PATTERN_LINES {
            return Ok(Patterns { series: miner.finish(), is_partial: true });
        }
        looked_at += batch.len();
        let mut current = None;
        for i in 0..batch.len() {
            let time = batch.times()[i];
            let step = time.div_euclid(step_ns) * step_ns;
            if pipeline.is_empty() {
                miner.add(batch.line(i), batch.level(i), step);
                continue;
            }
            let s = batch.series()[i];
            if current.replace(s) == Some(s) {
                labels.start_row();
            } else {
                labels.start_series(&SeriesLabels::new(scan::series_labels(&stream.series, s)?));
            }
            batch.add_metadata(i, &Wanted::All, &mut labels);
            let mut row = Row { time_ns: time, line: batch.line(i).into(), labels: &mut labels, cancel: source.cancel };
            if pipeline.apply(&mut row)? {
                miner.add(&row.line, batch.level(i), step);
            }
        }
    }
    Ok(Patterns { series: miner.finish(), is_partial: false })
}

/// What varies.
const HOLE: &str = "<_>";

struct Kind {
    level: String,
    /// Words; `HOLE` where they vary.
    words: Vec<String>,
    /// What is before, between and behind the words.
    gaps: Vec<String>,
    samples: BTreeMap<i64, u64>,
    lines: u64,
}

#[derive(Default)]
struct Miner {
    kinds: Vec<Kind>,
    /// Kinds by level and separators.
    by_shape: HashMap<(String, u64), Vec<usize>>,
}

impl Miner {
    fn add(&mut self, line: &str, level: &str, step_ns: i64) {
        let (words, gaps) = cut(line);
        let shape = (level.to_string(), xxhash_rust::xxh3::xxh3_64(gaps.join("\u{0}").as_bytes()));
        let near = self.by_shape.entry(shape).or_default();
        let best = near.iter().copied().max_by_key(|k| alike(&self.kinds[*k].words, &words));
        let fits = best.filter(|k| {
            // All kinds there may be are there: the nearest takes it.
            near.len() >= limits::PATTERNS_OF_A_SHAPE || alike(&self.kinds[*k].words, &words) * 10 >= words.len() * 6
        });
        let k = match fits {
            Some(k) => k,
            None if self.kinds.len() >= limits::PATTERNS => return,
            None => {
                near.push(self.kinds.len());
                let own = |v: &[&str]| v.iter().map(|w| (*w).to_string()).collect();
                self.kinds.push(Kind {
                    level: level.to_string(),
                    words: own(&words),
                    gaps: own(&gaps),
                    samples: BTreeMap::new(),
                    lines: 0,
                });
                self.kinds.len() - 1
            }
        };
        let kind = &mut self.kinds[k];
        for (mine, word) in kind.words.iter_mut().zip(&words) {
            if mine != word && mine != HOLE {
                *mine = HOLE.to_string();
            }
        }
        *kind.samples.entry(step_ns).or_default() += 1;
        kind.lines += 1;
    }

    fn finish(mut self) -> Vec<PatternSeries> {
        self.kinds.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| a.words.cmp(&b.words)));
        // Kinds that came to look the same are one.
        let mut out: Vec<PatternSeries> = vec![];
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        for kind in self.kinds {
            let pattern = kind.pattern();
            let place = *places.entry((pattern.clone(), kind.level.clone())).or_insert_with(|| {
                out.push(PatternSeries { pattern, level: kind.level.clone(), samples: vec![] });
                out.len() - 1
            });
            let mut samples: BTreeMap<i64, u64> = out[place].samples.iter().copied().collect();
            kind.samples.into_iter().for_each(|(t, n)| *samples.entry(t).or_default() += n);
            out[place].samples = samples.into_iter().collect();
        }
        out
    }
}

impl Kind {
    fn pattern(&self) -> String {
        let mut out = self.gaps[0].clone();
        for (word, gap) in self.words.iter().zip(&self.gaps[1..]) {
            // Two holes in a row are one.
            if word != HOLE || !out.ends_with(HOLE) {
                out.push_str(word);
            }
            out.push_str(gap);
        }
        out
    }
}

/// How many words are the same, holes included.
fn alike(a: &[String], b: &[&str]) -> usize {
    a.iter().zip(b).filter(|(a, b)| *a == *b || *a == HOLE).count()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '%' | '+' | '~' | '$' | '#' | '*')
}

/// The words of a line, those with digits as holes, and what is around them: one gap more than words. Lines that are longer
/// than people read end in a hole.
fn cut(line: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut words, mut gaps) = (vec![], vec![]);
    let mut rest = line;
    loop {
        let gap = rest.find(is_word).unwrap_or(rest.len());
        gaps.push(&rest[..gap]);
        rest = &rest[gap..];
        if rest.is_empty() {
            return (words, gaps);
        }
        if words.len() >= limits::PATTERN_WORDS {
            words.push(HOLE);
            gaps.push("");
            return (words, gaps);
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        // `<name>` in a line would be a capture of the pattern.
        let tagged = gaps.last().is_some_and(|g| g.ends_with('<')) && rest[end..].starts_with('>');
        words.push(if tagged || word.contains(|c: char| c.is_ascii_digit()) { HOLE } else { word });
        rest = &rest[end..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stage::pattern::Pattern;

    fn mined(lines: &[&str]) -> Vec<(String, u64)> {
        let mut miner = Miner::default();
        lines.iter().for_each(|l| miner.add(l, "info", 0));
        miner.finish().into_iter().map(|p| (p.pattern, p.samples.iter().map(|s| s.1).sum())).collect()
    }

    #[test]
    fn what_varies_becomes_a_hole() {
        let got = mined(&[
            "GET /api/orders/17 took 5ms for alice",
            "GET /api/orders/18 took 12ms for bob",
            "GET /api/orders/9 took 7ms for carol",
            "cache flushed",
        ]);
        assert_eq!(got, [("GET /api/orders/<_> took <_> for <_>".to_string(), 3), ("cache flushed".to_string(), 1)]);
        assert_eq!(mined(&["10.0.0.1 1 2 x"]), [("<_> <_> <_> x".to_string(), 1)]);
        assert_eq!(mined(&["see <name> there"]), [("see <<_>> there".to_string(), 1)]);
        assert_eq!(mined(&["", ""]), [(String::new(), 2)]);
    }

    #[test]
    fn kinds_are_bounded() {
        let lines: Vec<String> = (0..limits::PATTERNS + 50).map(|i| format!("{} x", "a ".repeat(i))).collect();
        let mut miner = Miner::default();
        lines.iter().for_each(|l| miner.add(l, "", 0));
        assert!(miner.finish().len() <= limits::PATTERNS);
    }

    proptest! {
        #[test]
        fn a_pattern_matches_the_lines_it_was_made_of(lines in prop::collection::vec("[a-c0-2<>_ =\"/é]{0,24}", 1..8)) {
            let mut miner = Miner::default();
            lines.iter().for_each(|l| miner.add(l, "", 0));
            let patterns: Vec<String> = miner.finish().into_iter().map(|p| p.pattern).collect();
            for l in lines.iter().filter(|l| !l.is_empty()) {
                let hit = patterns.iter().any(|p| p == l || Pattern::of_line(p).is_ok_and(|p| p.matches(l)));
                prop_assert!(hit, "{:?} has no pattern among {:?}", l, patterns);
            }
        }
    }
}
