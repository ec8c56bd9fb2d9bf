//! The tree a text is parsed into. Nothing is resolved or type-checked yet. Two trees are equal when they say the
//! same, wherever it was written.

use base::Matcher;
use lang::Span;

/// An expression and where it is written.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
    /// Levels of the tree under and with this one.
    pub depth: usize,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Expr {
    /// An expression; its depth follows from its parts.
    pub fn new(kind: ExprKind, span: Span) -> Self {
        let below = match &kind {
            ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::Str(_) | ExprKind::Selector(_) => 0,
            ExprKind::Paren(e) | ExprKind::Unary(_, e) => e.depth,
            ExprKind::Subquery(s) => s.expr.depth,
            ExprKind::Binary(b) => b.left.depth.max(b.right.depth),
            ExprKind::Aggregate(a) => a.expr.depth.max(a.param.as_ref().map_or(0, |p| p.depth)),
            ExprKind::Call(_, args) => args.iter().map(|a| a.depth).max().unwrap_or(0),
        };
        Expr { kind, span, depth: below + 1 }
    }
    /// The expression inside any parentheses.
    pub fn bare(&self) -> &Expr {
        match &self.kind {
            ExprKind::Paren(e) => e.bare(),
            _ => self,
        }
    }
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A number.
    Number(f64),
    /// A duration where a number may stand, milliseconds; worth its seconds.
    Duration(i64),
    /// A string.
    Str(String),
    /// An instant or range selector.
    Selector(Selector),
    /// `expr[range:step]`.
    Subquery(Box<Subquery>),
    /// `(expr)`.
    Paren(Box<Expr>),
    /// `-expr` when true, `+expr` when not.
    Unary(bool, Box<Expr>),
    /// `left op right`.
    Binary(Box<Binary>),
    /// `sum by (x) (expr)`.
    Aggregate(Box<Aggregate>),
    /// `name(args)`.
    Call(String, Vec<Expr>),
}

impl PartialEq for ExprKind {
    fn eq(&self, other: &Self) -> bool {
        use ExprKind as K;
        match (self, other) {
            (K::Number(a), K::Number(b)) => a == b || a.is_nan() && b.is_nan(),
            (K::Duration(a), K::Duration(b)) => a == b,
            (K::Str(a), K::Str(b)) => a == b,
            (K::Selector(a), K::Selector(b)) => a == b,
            (K::Subquery(a), K::Subquery(b)) => a == b,
            (K::Paren(a), K::Paren(b)) => a == b,
            (K::Unary(m, a), K::Unary(n, b)) => m == n && a == b,
            (K::Binary(a), K::Binary(b)) => a == b,
            (K::Aggregate(a), K::Aggregate(b)) => a == b,
            (K::Call(f, a), K::Call(g, b)) => f == g && a == b,
            _ => false,
        }
    }
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// Seconds since 1970.
    Time(f64),
    /// `start()`.
    Start,
    /// `end()`.
    End,
}

/// What a range selector takes from outside its window's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Edge {
    /// Nothing: only samples inside.
    #[default]
    Inside,
    /// `anchored`: the last sample at or before the window's start stands for its start.
    Anchored,
    /// `smoothed`: values at the borders are interpolated between the samples around them.
    Smoothed,
}

/// Where an expression looks in time.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Shift {
    /// `offset`.
    pub offset: Option<DurationExpr>,
    /// `@`.
    pub at: Option<At>,
}

/// `name{matchers}[range] edge offset @`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Selector {
    /// The name before or in the braces, also among the matchers.
    pub name: Option<String>,
    /// All matchers, that of the name included.
    pub matchers: Vec<Matcher>,
    /// Width of the window, for a range selector.
    pub range: Option<DurationExpr>,
    /// What happens at the window's borders.
    pub edge: Edge,
    /// Offset and `@`.
    pub shift: Shift,
}

/// `expr[range:step] offset @`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// Evaluated at each step.
    pub expr: Expr,
    /// Width of the window.
    pub range: DurationExpr,
    /// Distance of the steps, if given.
    pub step: Option<DurationExpr>,
    /// Offset and `@`.
    pub shift: Shift,
}

/// A duration that may be calculated. Numbers are seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// Seconds.
    Number(f64),
    /// A literal, milliseconds.
    Literal(i64),
    /// `step()`: the query's step.
    Step,
    /// `range()`: the query's end minus its start.
    Range,
    /// `-x`.
    Minus(Box<DurationExpr>),
    /// `x op y`, op one of `+ - * / % ^`.
    Binary(char, Box<DurationExpr>, Box<DurationExpr>),
    /// `min_of(x, y)`.
    Min(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(x, y)`.
    Max(Box<DurationExpr>, Box<DurationExpr>),
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
    /// `</`: keeps a histogram's observations below a value.
    TrimUpper,
    /// `>/`: keeps a histogram's observations above a value.
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// All of them with their text and how strongly they bind.
    const TABLE: [(BinaryOp, &'static str, u8); 18] = [
        (BinaryOp::Or, "or", 1),
        (BinaryOp::And, "and", 2),
        (BinaryOp::Unless, "unless", 2),
        (BinaryOp::Eq, "==", 3),
        (BinaryOp::Ne, "!=", 3),
        (BinaryOp::Le, "<=", 3),
        (BinaryOp::Lt, "<", 3),
        (BinaryOp::Ge, ">=", 3),
        (BinaryOp::Gt, ">", 3),
        (BinaryOp::TrimUpper, "</", 3),
        (BinaryOp::TrimLower, ">/", 3),
        (BinaryOp::Add, "+", 4),
        (BinaryOp::Sub, "-", 4),
        (BinaryOp::Mul, "*", 5),
        (BinaryOp::Div, "/", 5),
        (BinaryOp::Mod, "%", 5),
        (BinaryOp::Atan2, "atan2", 5),
        (BinaryOp::Pow, "^", 6),
    ];
    /// The operator written so; words in any case.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, t, _)| t.eq_ignore_ascii_case(text)).map(|(op, ..)| *op)
    }
    /// As it is written.
    pub fn text(self) -> &'static str {
        Self::TABLE.iter().find(|(op, ..)| *op == self).map_or("", |(_, t, _)| t)
    }
    /// How strongly it binds; more binds first.
    pub fn precedence(self) -> u8 {
        Self::TABLE.iter().find(|(op, ..)| *op == self).map_or(0, |(.., p)| *p)
    }
    /// `== != < > <= >=`.
    pub fn is_comparison(self) -> bool {
        matches!(self, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Gt | BinaryOp::Le | BinaryOp::Ge)
    }
    /// `and or unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// How many series of each side belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cardinality {
    /// One and one.
    #[default]
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
}

/// Which series belong together.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Matching {
    /// `on` (true) or `ignoring`; none if neither was written.
    pub on: Option<bool>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Grouping.
    pub cardinality: Cardinality,
    /// Labels taken from the one side.
    pub include: Vec<String>,
    /// Value for what is missing on the left.
    pub fill_left: Option<f64>,
    /// Value for what is missing on the right.
    pub fill_right: Option<f64>,
}

/// `left op bool matching right`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Whether a comparison gives 0 and 1.
    pub returns_bool: bool,
    /// Which series belong together.
    pub matching: Matching,
    /// Left side.
    pub left: Expr,
    /// Right side.
    pub right: Expr,
}

/// Aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    const TABLE: [(AggregateOp, &'static str); 14] = [
        (AggregateOp::Sum, "sum"),
        (AggregateOp::Avg, "avg"),
        (AggregateOp::Min, "min"),
        (AggregateOp::Max, "max"),
        (AggregateOp::Count, "count"),
        (AggregateOp::Group, "group"),
        (AggregateOp::Stddev, "stddev"),
        (AggregateOp::Stdvar, "stdvar"),
        (AggregateOp::Topk, "topk"),
        (AggregateOp::Bottomk, "bottomk"),
        (AggregateOp::Quantile, "quantile"),
        (AggregateOp::CountValues, "count_values"),
        (AggregateOp::Limitk, "limitk"),
        (AggregateOp::LimitRatio, "limit_ratio"),
    ];
    /// The aggregation of that name, in any case.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, t)| t.eq_ignore_ascii_case(text)).map(|(op, _)| *op)
    }
    /// Its name.
    pub fn text(self) -> &'static str {
        Self::TABLE.iter().find(|(op, _)| *op == self).map_or("", |(_, t)| t)
    }
    /// Whether it takes a parameter before the vector.
    pub fn has_param(self) -> bool {
        use AggregateOp as A;
        matches!(self, A::Topk | A::Bottomk | A::Quantile | A::CountValues | A::Limitk | A::LimitRatio)
    }
}

/// `op(param, expr) by (labels)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// Its parameter.
    pub param: Option<Expr>,
    /// What is aggregated.
    pub expr: Expr,
    /// Labels of the groups.
    pub labels: Vec<String>,
    /// Whether the labels are left out (`without`) rather than kept (`by`).
    pub without: bool,
}
