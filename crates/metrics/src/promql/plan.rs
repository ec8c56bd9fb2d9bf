//! The checked form of a query: names resolved, types right, durations and `@` turned into milliseconds, and parts that
//! are the same at every step marked. Only this form can be evaluated.

use std::cell::Cell;

use base::{Error, Kind, Matcher, Result};
use lang::{Diagnostic, Parsed, Span};

use crate::promql::ast::{
    self, Aggregate, AggregateOp, At, Binary, BinaryOp, Cardinality, DurationExpr, Edge, Expr, ExprKind, Matching, Shift,
};
use crate::promql::function::{Func, Type};
use crate::promql::parse::{parse, to_error};
use crate::promql::parse_selector::check_selective;

/// The times a query is asked for, milliseconds. An instant query has `start == end` and `step == 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryTimes {
    /// First step.
    pub start: i64,
    /// Last time at which a step may lie.
    pub end: i64,
    /// Distance of the steps.
    pub step: i64,
}

/// A checked expression.
#[derive(Clone, Debug)]
pub enum Plan {
    /// A constant scalar.
    Number(f64),
    /// A text.
    Text(String),
    /// The latest sample of each series.
    Select(Select),
    /// The samples of a window of each series.
    Range(RangePlan),
    /// Minus.
    Negate(Box<Plan>),
    /// A binary operation.
    Binary(Box<BinaryPlan>),
    /// An aggregation.
    Aggregate(Box<AggregatePlan>),
    /// A function call.
    Call(CallPlan),
    /// Evaluated once: the same at every step.
    Invariant(Box<Plan>),
}

/// A selector of series at a time.
#[derive(Clone, Debug)]
pub struct Select {
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// Looks this much into the past, milliseconds.
    pub offset: i64,
    /// Looks from this time rather than from the step, milliseconds.
    pub at: Option<i64>,
    /// For an instant selector `Inside` or `Smoothed`.
    pub edge: Edge,
    /// Where it is written.
    pub span: Span,
}

/// Where a range vector comes from.
#[derive(Clone, Debug)]
pub struct RangePlan {
    /// Width of the window, milliseconds, more than 0.
    pub width: i64,
    /// The samples.
    pub source: RangeSource,
}

/// Where a window's samples come from.
#[derive(Clone, Debug)]
pub enum RangeSource {
    /// From the store.
    Select(Select),
    /// From evaluating an expression at the multiples of a step.
    Subquery {
        /// Evaluated.
        plan: Box<Plan>,
        /// Milliseconds; none asks for the default of the server.
        step: Option<i64>,
        /// Looks this much into the past, milliseconds.
        offset: i64,
        /// Looks from this time, milliseconds.
        at: Option<i64>,
    },
}

/// A checked binary operation.
#[derive(Clone, Debug)]
pub struct BinaryPlan {
    /// Operator.
    pub op: BinaryOp,
    /// Whether a comparison gives 0 and 1.
    pub returns_bool: bool,
    /// Which series belong together.
    pub matching: Matching,
    /// Left side.
    pub left: Plan,
    /// Right side.
    pub right: Plan,
    /// Where it is written.
    pub span: Span,
}

/// A checked aggregation.
#[derive(Clone, Debug)]
pub struct AggregatePlan {
    /// Which.
    pub op: AggregateOp,
    /// Its parameter.
    pub param: Option<Plan>,
    /// Where the parameter is written.
    pub param_span: Span,
    /// What is aggregated.
    pub input: Plan,
    /// Labels of the groups, sorted.
    pub labels: Vec<String>,
    /// Whether they are left out.
    pub without: bool,
    /// Where what is aggregated is written.
    pub span: Span,
}

/// A checked call.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// Which function.
    pub func: Func,
    /// Its arguments.
    pub args: Vec<Plan>,
    /// Where the arguments are written.
    pub spans: Vec<Span>,
    /// Where the call is written.
    pub span: Span,
}

impl Plan {
    /// Type of its value.
    pub fn ty(&self) -> Type {
        match self {
            Plan::Number(_) => Type::Scalar,
            Plan::Text(_) => Type::Text,
            Plan::Select(_) | Plan::Aggregate(_) => Type::Vector,
            Plan::Range(_) => Type::Matrix,
            Plan::Negate(p) | Plan::Invariant(p) => p.ty(),
            Plan::Binary(b) if b.left.ty() == Type::Scalar && b.right.ty() == Type::Scalar => Type::Scalar,
            Plan::Binary(_) => Type::Vector,
            Plan::Call(c) => crate::promql::function::FUNCTIONS.iter().find(|f| f.id == c.func).map_or(Type::Vector, |f| f.returns),
        }
    }
}

/// Checks an expression; errors have the form of parse errors.
pub fn plan(expr: &Expr, source: &str, times: QueryTimes) -> Result<Plan> {
    let planner = Planner { times, of_times: Cell::new(false) };
    let mut p = planner.expr(expr).map_err(|d| {
        let e = to_error(&d, source);
        // What is wrong for the times of this query may be right for others: that is no error of the text.
        if planner.of_times.get() { Error::new(Kind::Unprocessable, e.message()) } else { e }
    })?;
    if mark_invariant(&mut p) {
        wrap(&mut p);
    }
    Ok(p)
}

/// Parses a query and checks it without any times to ask it for: what is wrong only at some times is not wrong here.
pub fn checked(source: &str) -> Result<Expr> {
    let expr = parse(source)?;
    match plan(&expr, source, QueryTimes { start: 0, end: 3_600_000, step: 60_000 }) {
        Err(e) if e.kind() != Kind::Unprocessable => Err(e),
        _ => Ok(expr),
    }
}

/// Checks expressions against the times of a query.
pub(super) struct Planner {
    pub(super) times: QueryTimes,
    /// Whether the duration at hand depends on the query's times.
    of_times: Cell<bool>,
}

impl Planner {
    pub(super) fn expr(&self, e: &Expr) -> Parsed<Plan> {
        Ok(match &e.kind {
            ExprKind::Number(v) => Plan::Number(*v),
            ExprKind::Duration(ms) => Plan::Number(*ms as f64 / 1000.0),
            ExprKind::Str(s) => Plan::Text(s.clone()),
            ExprKind::Paren(e) => self.expr(e)?,
            ExprKind::Selector(s) => {
                check_selective(s, e.span)?;
                self.selector(s, e.span)?
            }
            ExprKind::Subquery(q) => self.subquery(q, e.span)?,
            ExprKind::Unary(minus, inner) => self.unary(*minus, inner, e.span)?,
            ExprKind::Binary(b) => self.binary(b, e.span)?,
            ExprKind::Aggregate(a) => self.aggregate(a, e.span)?,
            ExprKind::Call(name, args) => self.call(name, args, e.span)?,
        })
    }

    pub(super) fn selector(&self, s: &ast::Selector, span: Span) -> Parsed<Plan> {
        let (offset, at) = self.shift(&s.shift, span)?;
        let select = Select { matchers: s.matchers.clone(), offset, at, edge: s.edge, span };
        Ok(match &s.range {
            None => Plan::Select(select),
            Some(r) => Plan::Range(RangePlan { width: self.positive(r, span)?, source: RangeSource::Select(select) }),
        })
    }

    fn subquery(&self, q: &ast::Subquery, span: Span) -> Parsed<Plan> {
        let plan = self.expr(&q.expr)?;
        if plan.ty() != Type::Vector {
            return Err(Diagnostic::new(span, format!("subquery is only allowed on instant vector, got {} instead", plan.ty().name())));
        }
        let (offset, at) = self.shift(&q.shift, span)?;
        let width = self.positive(&q.range, span)?;
        let step = q.step.as_ref().map(|s| self.positive(s, span)).transpose()?;
        Ok(Plan::Range(RangePlan { width, source: RangeSource::Subquery { plan: Box::new(plan), step, offset, at } }))
    }

    fn unary(&self, minus: bool, inner: &Expr, span: Span) -> Parsed<Plan> {
        let p = self.expr(inner)?;
        if !matches!(p.ty(), Type::Scalar | Type::Vector) {
            return Err(Diagnostic::new(
                span,
                format!("unary expression only allowed on expressions of type scalar or instant vector, got {:?}", p.ty().name()),
            ));
        }
        Ok(match p {
            p if !minus => p,
            Plan::Number(v) => Plan::Number(-v),
            p => Plan::Negate(Box::new(p)),
        })
    }

    fn binary(&self, b: &Binary, span: Span) -> Parsed<Plan> {
        let (left, right) = (self.expr(&b.left)?, self.expr(&b.right)?);
        let err = |m: String| Err(Diagnostic::new(span, m));
        for t in [left.ty(), right.ty()] {
            if !matches!(t, Type::Scalar | Type::Vector) {
                return err("binary expression must contain only scalar and instant vector types".into());
            }
        }
        let scalars = left.ty() == Type::Scalar && right.ty() == Type::Scalar;
        let vectors = left.ty() == Type::Vector && right.ty() == Type::Vector;
        if b.returns_bool && !b.op.is_comparison() {
            return err("bool modifier can only be used on comparison operators".into());
        }
        if b.op.is_comparison() && !b.returns_bool && scalars {
            return err("comparisons between scalars must use BOOL modifier".into());
        }
        if b.op.is_set() && !vectors {
            return err(format!("set operator {:?} not allowed in binary scalar expression", b.op.text()));
        }
        if b.matching != Matching::default() && !vectors {
            return err("vector matching only allowed between instant vectors".into());
        }
        if b.op.is_set() && b.matching.cardinality != Cardinality::OneToOne {
            return err(format!("no grouping allowed for {:?} operation", b.op.text()));
        }
        if b.op.is_set() && (b.matching.fill_left.is_some() || b.matching.fill_right.is_some()) {
            return err("filling in missing series not allowed for set operators".into());
        }
        if b.matching.on == Some(true)
            && let Some(l) = b.matching.include.iter().find(|l| b.matching.labels.contains(l))
        {
            return err(format!("label {l:?} must not occur in ON and GROUP clause at once"));
        }
        Ok(Plan::Binary(Box::new(BinaryPlan { op: b.op, returns_bool: b.returns_bool, matching: b.matching.clone(), left, right, span })))
    }

    fn aggregate(&self, a: &Aggregate, span: Span) -> Parsed<Plan> {
        let input = self.typed(&a.expr, Type::Vector, "aggregation expression")?;
        let want = if a.op == AggregateOp::CountValues { Type::Text } else { Type::Scalar };
        let param = a.param.as_ref().map(|p| self.typed(p, want, "aggregation parameter")).transpose()?;
        if let (AggregateOp::CountValues, Some(Plan::Text(l))) = (a.op, &param)
            && l.is_empty()
        {
            return Err(Diagnostic::new(span, format!("invalid label name {l:?} in count_values")));
        }
        let mut labels = a.labels.clone();
        labels.sort();
        labels.dedup();
        let param_span = a.param.as_ref().map_or(span, |p| p.span);
        // What the two that choose series say is said of all, as in Prometheus; of the others, of what they aggregate.
        let span = if matches!(a.op, AggregateOp::Topk | AggregateOp::Bottomk) { span } else { a.expr.span };
        Ok(Plan::Aggregate(Box::new(AggregatePlan { op: a.op, param, param_span, input, labels, without: a.without, span })))
    }

    pub(super) fn typed(&self, e: &Expr, want: Type, place: &str) -> Parsed<Plan> {
        let p = self.expr(e)?;
        if p.ty() != want {
            return Err(Diagnostic::new(e.span, format!("expected type {} in {place}, got {}", want.name(), p.ty().name())));
        }
        Ok(p)
    }

    /// Offset and `@` in milliseconds.
    fn shift(&self, s: &Shift, span: Span) -> Parsed<(i64, Option<i64>)> {
        let offset = s.offset.as_ref().map(|d| self.milliseconds(d, span)).transpose()?.unwrap_or(0);
        self.of_times.set(false);
        let at = s.at.map(|at| match at {
            At::Time(t) => (t * 1000.0).round() as i64,
            At::Start => self.times.start,
            At::End => self.times.end,
        });
        Ok((offset, at))
    }

    fn positive(&self, d: &DurationExpr, span: Span) -> Parsed<i64> {
        match self.milliseconds(d, span)? {
            ms if ms > 0 => {
                self.of_times.set(false);
                Ok(ms)
            }
            _ => Err(Diagnostic::new(span, "duration must be greater than 0")),
        }
    }

    fn milliseconds(&self, d: &DurationExpr, span: Span) -> Parsed<i64> {
        self.of_times.set(false);
        let s = self.seconds(d, span)?;
        // A century of hours either way; more would overflow when it is added to a time.
        if !s.is_finite() || s.abs() > 9e12 {
            return Err(Diagnostic::new(span, "duration out of range"));
        }
        Ok((s * 1000.0).round() as i64)
    }

    fn of_times(&self, ms: i64) -> f64 {
        self.of_times.set(true);
        ms as f64 / 1000.0
    }

    fn seconds(&self, d: &DurationExpr, span: Span) -> Parsed<f64> {
        Ok(match d {
            DurationExpr::Number(v) => *v,
            DurationExpr::Literal(ms) => *ms as f64 / 1000.0,
            DurationExpr::Step => self.of_times(self.times.step),
            DurationExpr::Range => self.of_times(self.times.end - self.times.start),
            DurationExpr::Minus(d) => -self.seconds(d, span)?,
            DurationExpr::Min(a, b) => self.seconds(a, span)?.min(self.seconds(b, span)?),
            DurationExpr::Max(a, b) => self.seconds(a, span)?.max(self.seconds(b, span)?),
            DurationExpr::Binary(op, a, b) => {
                let (a, b) = (self.seconds(a, span)?, self.seconds(b, span)?);
                match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    '/' if b == 0.0 => return Err(Diagnostic::new(span, "division by zero")),
                    '/' => a / b,
                    '%' if b == 0.0 => return Err(Diagnostic::new(span, "modulo by zero")),
                    '%' => a % b,
                    _ => a.powf(b),
                }
            }
        })
    }
}

/// Marks what is the same at every step; answers whether all of `p` is.
fn mark_invariant(p: &mut Plan) -> bool {
    let (own, children): (bool, Vec<&mut Plan>) = match p {
        Plan::Number(_) | Plan::Text(_) | Plan::Invariant(_) => return true,
        Plan::Select(s) => return s.at.is_some(),
        Plan::Range(r) => match &mut r.source {
            RangeSource::Select(s) => return s.at.is_some(),
            RangeSource::Subquery { plan, at, .. } => {
                // The inner expression is evaluated on a grid of its own; whether that one moves is up to `@`.
                if mark_invariant(plan) {
                    wrap(plan);
                    return true;
                }
                return at.is_some();
            }
        },
        Plan::Negate(p) => (true, vec![&mut **p]),
        Plan::Binary(b) => (true, vec![&mut b.left, &mut b.right]),
        Plan::Aggregate(a) => (true, a.param.iter_mut().chain([&mut a.input]).collect()),
        Plan::Call(c) => (!c.func.reads_clock(c.args.len()), c.args.iter_mut().collect()),
    };
    let marks: Vec<(bool, &mut Plan)> = children.into_iter().map(|c| (mark_invariant(c), c)).collect();
    let all = own && marks.iter().all(|(m, _)| *m);
    if !all {
        marks.into_iter().filter(|(m, _)| *m).for_each(|(_, c)| wrap(c));
    }
    all
}

fn wrap(p: &mut Plan) {
    if !matches!(p, Plan::Number(_) | Plan::Text(_) | Plan::Range(_) | Plan::Invariant(_)) {
        let inner = std::mem::replace(p, Plan::Number(0.0));
        *p = Plan::Invariant(Box::new(inner));
    }
}
