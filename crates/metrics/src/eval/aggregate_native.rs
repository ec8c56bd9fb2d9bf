//! Aggregations of groups that hold native histograms, alone or among floats.

use std::sync::Arc;

use base::Labels;
use lang::Span;

use crate::eval::Evaluator;
use crate::eval::aggregate::floats;
use crate::eval::over_time::{mean_histogram, sum_histograms};
use crate::eval::rate::Place;
use crate::eval::value::{Column, Grid, Sample, Series, is_present};
use crate::histogram::Histogram;
use crate::promql::ast::AggregateOp;
use crate::promql::plan::AggregatePlan;

impl Evaluator<'_> {
    pub(super) fn aggregate_histograms(&self, a: &AggregatePlan, members: &[&Series], param: &[f64], grid: &Grid) -> Column {
        use AggregateOp as A;
        let mut out = match a.op {
            // Both kinds are counted alike.
            A::Count | A::Group => Column::absent(grid.n),
            _ => floats(a.op, &members.iter().map(|s| &s.column).collect::<Vec<_>>(), param, grid.n),
        };
        let empty = Labels::empty();
        let place = Place { labels: &empty, span: a.span, notes: self.notes };
        for i in 0..grid.n {
            let here = || members.iter().filter_map(|m| m.column.histogram(i));
            let count = here().count();
            let floats = members.iter().filter(|m| is_present(m.column.floats[i])).count();
            match a.op {
                A::Count if count + floats > 0 => out.floats[i] = (count + floats) as f64,
                A::Group if count + floats > 0 => out.floats[i] = 1.0,
                A::Sum | A::Avg if count > 0 && !self.go_together(members, i, a.span) => out.clear(i),
                A::Sum | A::Avg if count > 0 => {
                    let all: Vec<&Histogram> = here().map(|h| &**h).collect();
                    let made = if a.op == A::Avg { mean_histogram(&all, &place) } else { sum_histograms(&all, &place) };
                    if let Some(h) = made {
                        out.set(i, Sample::Histogram(Arc::new(h)));
                    }
                }
                A::Count | A::Group | A::Sum | A::Avg => {}
                _ if count > 0 => self.notes.ignored_in_aggregation(a.op.text(), a.span),
                _ => {}
            }
        }
        out
    }

    /// Whether what a group with histograms has at a step can be added up. Says why not, of the first that does not go with those before it,
    /// and looks no further.
    fn go_together(&self, members: &[&Series], i: usize, span: Span) -> bool {
        let (mut floats, mut histograms, mut first) = (false, false, None::<&Histogram>);
        for s in members {
            match s.column.histogram(i) {
                None => floats |= is_present(s.column.floats[i]),
                Some(h) if first.is_some_and(|f| f.is_custom() != h.is_custom()) => {
                    self.notes.mixed_schemas(s.name(), span);
                    if floats {
                        self.notes.mixed_group(span);
                    }
                    return false;
                }
                // A group that begins with a float is nothing already: how its histograms go together is not looked at.
                Some(h) if !floats => (histograms, first) = (true, first.or(Some(h))),
                Some(_) => histograms = true,
            }
        }
        if floats && histograms {
            self.notes.mixed_group(span);
        }
        !(floats && histograms)
    }
}
