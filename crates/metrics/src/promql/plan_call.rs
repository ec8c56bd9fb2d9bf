//! Checking of function calls.

use lang::{Diagnostic, Parsed, Span};

use crate::promql::ast::{Edge, Expr, ExprKind};
use crate::promql::function::{Func, Function, More, Type, find};
use crate::promql::plan::{CallPlan, Plan, Planner, RangePlan, RangeSource};

impl Planner {
    pub(super) fn call(&self, name: &str, args: &[Expr], span: Span) -> Parsed<Plan> {
        let f = find(name).ok_or_else(|| Diagnostic::new(span, format!("unknown function with name {name:?}")))?;
        check_count(f, args.len(), span)?;
        let seconds = |ms: i64| Plan::Number(ms as f64 / 1000.0);
        match f.id {
            Func::Start => return Ok(seconds(self.times.start)),
            Func::End => return Ok(seconds(self.times.end)),
            Func::Step => return Ok(seconds(self.times.step)),
            Func::Range => return Ok(seconds(self.times.end - self.times.start)),
            Func::Pi => return Ok(Plan::Number(std::f64::consts::PI)),
            Func::Info => check_info(args)?,
            _ => {}
        }
        let place = format!("call to function {name:?}");
        let mut plans = Vec::with_capacity(args.len());
        for (i, a) in args.iter().enumerate() {
            let want = f.args[i.min(f.args.len() - 1)];
            plans.push(match &a.kind {
                // It selects labels, not series; so it may be as wide as one likes.
                ExprKind::Selector(s) if f.id == Func::Info && i == 1 => self.selector(s, a.span)?,
                _ => self.typed(a, want, &place)?,
            });
        }
        check_edges(f, &plans, span)?;
        Ok(Plan::Call(CallPlan { func: f.id, args: plans, spans: args.iter().map(|a| a.span).collect(), span }))
    }
}

fn check_count(f: &Function, got: usize, span: Span) -> Parsed<()> {
    let listed = f.args.len();
    let (least, most) = match f.more {
        More::No => (listed, Some(listed)),
        More::Optional => (listed - 1, Some(listed)),
        More::Any => (listed - 1, None),
        More::UpTo(n) => (listed, Some(listed - 1 + n)),
    };
    let err = |how: &str, n: usize| Err(Diagnostic::new(span, format!("expected {how}{n} argument(s) in call to {:?}, got {got}", f.name)));
    match most {
        Some(m) if m == least && got != m => err("", m),
        _ if got < least => err("at least ", least),
        Some(m) if got > m => err("at most ", m),
        _ => Ok(()),
    }
}

/// The second argument of `info` is not evaluated: it says in the form of a selector which labels are taken.
fn check_info(args: &[Expr]) -> Parsed<()> {
    match args.get(1) {
        Some(a) if !matches!(&a.kind, ExprKind::Selector(s) if s.range.is_none() && s.name.is_none()) => {
            Err(Diagnostic::new(a.span, "expected label selectors as the second argument to the info function"))
        }
        _ => Ok(()),
    }
}

/// `anchored` and `smoothed` have a meaning for the functions of differences alone.
fn check_edges(f: &Function, args: &[Plan], span: Span) -> Parsed<()> {
    use Func as F;
    for a in args {
        let Plan::Range(RangePlan { source: RangeSource::Select(s), .. }) = a else { continue };
        let (word, allowed, names): (_, &[Func], _) = match s.edge {
            Edge::Inside => continue,
            Edge::Anchored => {
                ("anchored", &[F::Changes, F::Delta, F::Increase, F::Rate, F::Resets], "changes, delta, increase, rate, resets")
            }
            Edge::Smoothed => ("smoothed", &[F::Delta, F::Increase, F::Rate], "delta, increase, rate"),
        };
        if !allowed.contains(&f.id) {
            return Err(Diagnostic::new(span, format!("{word} modifier can only be used with: {names} - not with {}", f.name)));
        }
    }
    // The types of the arguments were checked before; this says only what a table of types cannot.
    debug_assert!(args.iter().filter(|a| a.ty() == Type::Matrix).count() <= 1);
    Ok(())
}
