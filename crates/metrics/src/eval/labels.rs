//! `label_replace` and `label_join`.

use std::collections::HashSet;

use base::labels::METRIC_NAME;
use base::{Error, Kind, Result};

use crate::eval::value::{Grid, Series, with_labels};
use crate::eval::{Evaluator, same_labels};
use crate::limits;
use crate::promql::plan::{CallPlan, Plan};

fn text(p: &Plan) -> &str {
    match p {
        Plan::Text(t) => t,
        _ => "",
    }
}

/// Whether a label can have this name: any text, but not one that was not UTF-8, whose broken bytes the parser replaced.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER)
}

fn invalid(message: String) -> Error {
    Error::new(Kind::Unprocessable, message)
}

impl Evaluator<'_> {
    /// `label_replace(v, dst, replacement, src, pattern)`.
    pub(super) fn label_replace(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let [dst, replacement, src, pattern] = [1, 2, 3, 4].map(|i| text(&c.args[i]));
        if !is_name(dst) {
            return Err(invalid(format!("invalid destination label name in label_replace(): {dst}")));
        }
        let mut series = self.vector(&c.args[0], grid)?;
        // After the argument, which may be one of many calls within each other: their patterns are not in memory together.
        let re = lang::re2::compile(&format!("^(?s:{pattern})$"))
            .map_err(|_| invalid(format!("invalid regular expression in label_replace(): {pattern}")))?;
        let groups = replacement.matches('$').count();
        for s in &mut series {
            self.check()?;
            let mut new = String::new();
            {
                let source = s.labels.get(src).unwrap_or("");
                // No group is longer than the whole.
                if groups.saturating_mul(source.len()) > limits::LABEL_MADE_BYTES {
                    return Err(too_long("label_replace"));
                }
                let Some(found) = re.captures(source) else { continue };
                found.expand(replacement, &mut new);
            }
            self.relabel(s, dst, &new, "label_replace")?;
        }
        unique(series)
    }

    /// `label_join(v, dst, separator, src...)`.
    pub(super) fn label_join(&self, c: &CallPlan, grid: &Grid) -> Result<Vec<Series>> {
        let (dst, separator) = (text(&c.args[1]), text(&c.args[2]));
        let sources: Vec<&str> = c.args[3..].iter().map(text).collect();
        if !is_name(dst) {
            return Err(invalid(format!("invalid destination label name in label_join(): {dst}")));
        }
        if let Some(s) = sources.iter().find(|s| s.is_empty()) {
            return Err(invalid(format!("invalid source label name in label_join(): {s}")));
        }
        let mut series = self.vector(&c.args[0], grid)?;
        for s in &mut series {
            self.check()?;
            let parts: Vec<&str> = sources.iter().map(|n| s.labels.get(n).unwrap_or("")).collect();
            if parts.iter().map(|p| p.len() + separator.len()).sum::<usize>() > limits::LABEL_MADE_BYTES {
                return Err(too_long("label_join"));
            }
            let new = parts.join(separator);
            self.relabel(s, dst, &new, "label_join")?;
        }
        unique(series)
    }

    fn relabel(&self, s: &mut Series, name: &str, value: &str, function: &str) -> Result<()> {
        if s.labels.as_bytes().len() + name.len() + value.len() > limits::SERIES_BYTES {
            return Err(too_long(function));
        }
        s.labels = with_labels(&s.labels, &[(name, value)]);
        self.budget.labels(&s.labels)?;
        if name == METRIC_NAME {
            s.drop_name = false;
        }
        Ok(())
    }
}

fn too_long(function: &str) -> Error {
    invalid(format!("{function}() would make a series whose labels have more than {} KiB", limits::SERIES_BYTES >> 10))
}

/// Refuses series that have become the same at any step.
fn unique(series: Vec<Series>) -> Result<Vec<Series>> {
    let mut seen = HashSet::with_capacity(series.len());
    if series.iter().all(|s| seen.insert((&s.labels, s.drop_name))) {
        return Ok(series);
    }
    let mut by_labels: std::collections::HashMap<&base::Labels, Vec<&Series>> = std::collections::HashMap::new();
    series.iter().for_each(|s| by_labels.entry(&s.labels).or_default().push(s));
    for same in by_labels.values().filter(|s| s.len() > 1) {
        let n = same[0].column.len();
        if (0..n).any(|i| same.iter().filter(|s| s.column.has(i)).count() > 1) {
            return Err(same_labels());
        }
    }
    Ok(series)
}
