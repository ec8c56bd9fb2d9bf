//! The stages of a query, compiled; what can be left to the scan is not among them.

use base::Result;
use table::Predicate;

use super::decolorize::DecolorizeStage;
use super::json::{JsonPathStage, JsonStage};
use super::json_glance::GlanceStage;
use super::keep::{DropStage, KeepStage};
use super::label_filter::{self, LabelFilterStage};
use super::label_format::LabelFormatStage;
use super::labels::{ERROR, ERROR_DETAILS};
use super::line_filter::{self, LineFilterStage};
use super::line_format::LineFormatStage;
use super::logfmt::LogfmtStage;
use super::pattern::PatternStage;
use super::regexp::RegexpStage;
use super::template::Template;
use super::unpack::UnpackStage;
use super::{Row, Stage, Wanted};
use crate::logql::ast::{LabelFilter, LogExpr, Pick, StageExpr};

/// A compiled pipeline.
pub struct Pipeline {
    stages: Vec<Box<dyn Stage>>,
    /// Line filters that the scan applies.
    pub predicate: Option<Predicate>,
    /// Whether a stage reads or changes the line.
    pub reads_line: bool,
    /// Labels that the stages look at on arrival: of the stream and the metadata.
    pub reads_labels: Wanted,
    /// Whether a stage can change labels.
    pub changes_labels: bool,
    /// Whether a stage can change or remove a label of the stream. (Parsers cannot: what they find under such a name gets
    /// another one.)
    pub rewrites_labels: bool,
    /// Whether a filter looks at `__error__`, so that errors do not fail a metric query.
    pub looks_at_errors: bool,
}

impl Pipeline {
    /// Compiles the stages of `log`, of whose labels `wanted` are looked at in the end.
    /// `now_ns` is the time of the query, for templates.
    pub fn new(log: &LogExpr, wanted: Wanted, now_ns: i64) -> Result<Self> {
        Self::compiled(log, wanted, now_ns, true)
    }

    /// The same; without `leaves_to_scan`, every line filter is a stage.
    pub(crate) fn compiled(log: &LogExpr, wanted: Wanted, now_ns: i64, leaves_to_scan: bool) -> Result<Self> {
        let stages: Vec<&StageExpr> = log.stages.iter().map(|s| &s.value).collect();
        // What each stage must leave behind is known from behind.
        let mut after = vec![wanted];
        for s in stages.iter().rev() {
            let mut before = after.last().cloned().unwrap_or(Wanted::All);
            needs(s, &mut before, now_ns)?;
            after.push(before);
        }
        after.reverse();
        let mut out = Pipeline {
            stages: vec![],
            predicate: None,
            reads_line: false,
            reads_labels: after[0].clone(),
            changes_labels: false,
            rewrites_labels: false,
            looks_at_errors: false,
        };
        let mut pushed = vec![];
        let mut same_line = leaves_to_scan;
        for (i, (s, wanted)) in stages.iter().zip(&after[1..]).enumerate() {
            if let StageExpr::LineFilter(l) = s
                && same_line
                && let Some(p) = line_filter::predicate(l)
            {
                pushed.push(p);
                continue;
            }
            same_line &= !matches!(s, StageExpr::LineFormat(_) | StageExpr::Unpack | StageExpr::Decolorize);
            out.note(s, wanted);
            if matches!(s, StageExpr::Json(fields) if fields.is_empty())
                && let Some(glance) = GlanceStage::new(filters(&stages[i + 1..]))
            {
                out.stages.push(Box::new(glance));
            }
            out.stages.push(compile(s, wanted, now_ns)?);
        }
        out.predicate = if pushed.len() > 1 { Some(Predicate::And(pushed)) } else { pushed.pop() };
        Ok(out)
    }

    fn note(&mut self, stage: &StageExpr, wanted: &Wanted) {
        match stage {
            StageExpr::LabelFilter(f) => self.looks_at_errors |= label_filter::looks_at_errors(f),
            StageExpr::Json(_) | StageExpr::Logfmt { .. } | StageExpr::Regexp(_) | StageExpr::Pattern(_) => {
                self.reads_line |= !wanted.is_nothing();
                self.changes_labels |= !wanted.is_nothing();
            }
            StageExpr::LineFilter(_) | StageExpr::Decolorize => self.reads_line = true,
            StageExpr::Unpack | StageExpr::LineFormat(_) => {
                self.reads_line = true;
                self.changes_labels = true;
            }
            StageExpr::LabelFormat(_) => {
                self.reads_line = true;
                self.changes_labels = true;
                self.rewrites_labels = true;
            }
            StageExpr::Drop(_) | StageExpr::Keep(_) => {
                self.changes_labels = true;
                self.rewrites_labels = true;
            }
        }
    }

    /// Runs the stages; false drops the row. An error if nobody waits any more.
    pub fn apply(&self, row: &mut Row<'_>) -> Result<bool> {
        let passes = self.stages.iter().all(|s| !row.cancel.is_cancelled() && s.apply(row));
        row.cancel.check()?;
        Ok(passes)
    }
    /// How many stages there are to run.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.stages.len()
    }
    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }
}

/// The label filters with which `stages` begin.
fn filters<'s>(stages: &[&'s StageExpr]) -> impl Iterator<Item = &'s LabelFilter> {
    stages.iter().map_while(|s| if let StageExpr::LabelFilter(f) = *s { Some(f) } else { None })
}

/// Adds the labels that a stage looks at.
fn needs(stage: &StageExpr, wanted: &mut Wanted, now_ns: i64) -> Result<()> {
    match stage {
        StageExpr::LabelFilter(f) => label_filter::names(f, &mut |n| wanted.add(n)),
        StageExpr::LineFormat(t) => Template::parse(t, now_ns)?.needs(wanted),
        StageExpr::LabelFormat(l) => LabelFormatStage::new(l, now_ns)?.needs(wanted),
        StageExpr::Drop(p) | StageExpr::Keep(p) => p.iter().for_each(|p| match p {
            Pick::Match(m) => wanted.add(&m.name),
            // Dropping an error must not stop it from being found.
            Pick::Name(n) if n == ERROR || n == ERROR_DETAILS => wanted.add(n),
            Pick::Name(_) => {}
        }),
        _ => {}
    }
    Ok(())
}

fn compile(stage: &StageExpr, wanted: &Wanted, now_ns: i64) -> Result<Box<dyn Stage>> {
    Ok(match stage {
        StageExpr::LineFilter(l) => Box::new(LineFilterStage::new(l)?),
        StageExpr::Json(fields) if fields.is_empty() => Box::new(JsonStage::new(wanted.clone())),
        StageExpr::Json(fields) => Box::new(JsonPathStage::new(fields, wanted)?),
        StageExpr::Logfmt { strict, keep_empty, fields } => Box::new(LogfmtStage::new(*strict, *keep_empty, fields, wanted.clone())),
        StageExpr::Regexp(p) => Box::new(RegexpStage::new(p, wanted.clone())?),
        StageExpr::Pattern(p) => Box::new(PatternStage::new(p, wanted.clone())?),
        StageExpr::Unpack => Box::new(UnpackStage::new(wanted.clone())),
        StageExpr::LabelFilter(f) => Box::new(LabelFilterStage::new(f)?),
        StageExpr::LineFormat(t) => Box::new(LineFormatStage(Template::parse(t, now_ns)?)),
        StageExpr::LabelFormat(l) => Box::new(LabelFormatStage::new(l, now_ns)?),
        StageExpr::Decolorize => Box::new(DecolorizeStage),
        StageExpr::Drop(p) => Box::new(DropStage(p.clone())),
        StageExpr::Keep(p) => Box::new(KeepStage(p.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logql::Expr;

    fn pipeline(q: &str, wanted: &[&str]) -> Pipeline {
        let Expr::Log(log) = crate::logql::parse(q).unwrap() else { panic!("{q}") };
        Pipeline::new(&log, Wanted::Only(wanted.iter().map(|w| w.to_string()).collect()), 0).unwrap()
    }

    #[test]
    fn line_filters_go_to_the_scan_until_the_line_changes() {
        let p = pipeline(r#"{a="b"} |= "x" | json | y="1" != "z" | line_format "{{.y}}" |= "w""#, &[]);
        assert!(matches!(&p.predicate, Some(Predicate::And(ps)) if ps.len() == 2));
        assert_eq!(p.stages.len(), 5);
    }

    #[test]
    fn nothing_is_read_that_nobody_looks_at() {
        let p = pipeline(r#"{a="b"} |= "x" | json"#, &[]);
        assert!(!p.reads_line && !p.changes_labels);
        let p = pipeline(r#"{a="b"} | json | status >= 500"#, &["app"]);
        assert!(p.reads_line);
        assert_eq!(p.reads_labels, Wanted::Only(vec!["app".into(), "status".into()]));
    }
}
