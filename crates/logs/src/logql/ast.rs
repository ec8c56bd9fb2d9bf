//! The syntax tree. Two trees are equal when they mean the same text; spans do not count.

use base::{MatchOp, Matcher};
use lang::Spanned;

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Lines.
    Log(LogExpr),
    /// Numbers over time.
    Metric(MetricExpr),
}

/// `{app="a"} |= "x" | json`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogExpr {
    /// The stream selector; at least one does not match the empty value.
    pub matchers: Vec<Matcher>,
    /// What is done to each line, in order.
    pub stages: Vec<Spanned<StageExpr>>,
}

/// One stage of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum StageExpr {
    /// `|= "a" or "b"`.
    LineFilter(LineFilter),
    /// `| json`, `| json a="b.c"`.
    Json(Vec<Extraction>),
    /// `| logfmt --strict --keep-empty a="b"`.
    Logfmt {
        /// Stop at the first syntax error.
        strict: bool,
        /// Keep keys without a value.
        keep_empty: bool,
        /// Only these, if there are any.
        fields: Vec<Extraction>,
    },
    /// `| regexp "(?P<x>..)"`.
    Regexp(String),
    /// `| pattern "<a> <_>"`.
    Pattern(String),
    /// `| unpack`.
    Unpack,
    /// `| status >= 500 and method="GET"`.
    LabelFilter(LabelFilter),
    /// `| line_format "{{.x}}"`.
    LineFormat(String),
    /// `| label_format a=b, c="{{.d}}"`.
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`.
    Decolorize,
    /// `| drop a, b="x"`.
    Drop(Vec<Pick>),
    /// `| keep a, b="x"`.
    Keep(Vec<Pick>),
}

/// How a line filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineOp {
    /// As written.
    pub const ALL: [(&'static str, LineOp); 6] = [
        ("|=", LineOp::Contains),
        ("!=", LineOp::NotContains),
        ("|~", LineOp::Regex),
        ("!~", LineOp::NotRegex),
        ("|>", LineOp::Pattern),
        ("!>", LineOp::NotPattern),
    ];
    /// Whether lines that match are dropped.
    pub fn is_negative(self) -> bool {
        matches!(self, LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern)
    }
}

/// A line filter: the line matches if any operand does; a negative one passes lines that do not match.
#[derive(Clone, Debug, PartialEq)]
pub struct LineFilter {
    /// How.
    pub op: LineOp,
    /// What, joined by `or`.
    pub operands: Vec<Spanned<Operand>>,
}

/// What a line filter looks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// Text or pattern.
    Text(String),
    /// `ip("10.0.0.0/8")`.
    Ip(String),
}

/// `name="path"`: where in the line a label's value is.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// The label.
    pub name: String,
    /// JSON path or logfmt key.
    pub path: Spanned<String>,
}

/// A condition on labels.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelFilter {
    /// `a="b"`.
    Match(Matcher),
    /// `a >= 5`.
    Compare {
        /// Label.
        name: String,
        /// How.
        op: CompareOp,
        /// With what.
        value: Quantity,
    },
    /// `a = ip("..")`, `a != ip("..")`.
    Ip {
        /// Label.
        name: String,
        /// `!=`.
        negative: bool,
        /// Address, range or prefix.
        pattern: Spanned<String>,
    },
    /// Both.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// Either.
    Or(Box<LabelFilter>, Box<LabelFilter>),
}

/// What a label's value is compared with; says how the value is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// A number.
    Number(f64),
    /// Nanoseconds.
    Duration(i64),
    /// Bytes.
    Size(u64),
}

/// Comparison of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `<`
    Lt,
    /// `<=`
    Le,
}

impl CompareOp {
    /// As written. `=` in label filters is `==`.
    pub const ALL: [(&'static str, CompareOp); 6] = [
        ("==", CompareOp::Eq),
        ("!=", CompareOp::Ne),
        (">", CompareOp::Gt),
        (">=", CompareOp::Ge),
        ("<", CompareOp::Lt),
        ("<=", CompareOp::Le),
    ];

    /// Whether `a op b`.
    pub fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            CompareOp::Eq => a == b,
            CompareOp::Ne => a != b,
            CompareOp::Gt => a > b,
            CompareOp::Ge => a >= b,
            CompareOp::Lt => a < b,
            CompareOp::Le => a <= b,
        }
    }
}

/// One assignment of `label_format`.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelFormat {
    /// The label that is set.
    pub name: String,
    /// From what.
    pub from: FormatSource,
}

/// Where `label_format` takes a value from.
#[derive(Clone, Debug, PartialEq)]
pub enum FormatSource {
    /// Another label, which is renamed.
    Label(String),
    /// A template.
    Template(Spanned<String>),
}

/// A label named by `drop` or `keep`, perhaps only when its value matches.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// Always.
    Name(String),
    /// When it matches.
    Match(Matcher),
}

/// A metric query.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricExpr {
    /// `2`.
    Literal(f64),
    /// `vector(2)`.
    Vector(f64),
    /// `rate({..}[5m])`.
    Range(RangeExpr),
    /// `sum by (a) (..)`.
    Aggregate(Aggregate),
    /// `a + b`.
    Binary(Box<Binary>),
    /// `label_replace(..)`.
    LabelReplace(Box<LabelReplace>),
}

/// Aggregation of lines in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeExpr {
    /// Function.
    pub op: RangeOp,
    /// `quantile_over_time`'s first argument.
    pub parameter: Option<f64>,
    /// Which lines.
    pub log: LogExpr,
    /// Which label's value, if not the line itself.
    pub unwrap: Option<Unwrap>,
    /// Length of the window, nanoseconds.
    pub range_ns: i64,
    /// How far back the window lies, nanoseconds.
    pub offset_ns: i64,
    /// `by` or `without`.
    pub grouping: Option<Grouping>,
}

/// `| unwrap duration(x) | __error__=""`.
#[derive(Clone, Debug, PartialEq)]
pub struct Unwrap {
    /// Label.
    pub name: String,
    /// How its value is read.
    pub conversion: Conversion,
    /// Conditions on the labels afterwards.
    pub filters: Vec<LabelFilter>,
}

/// How an unwrapped value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// A number.
    Number,
    /// A duration, as seconds.
    Duration,
    /// The same.
    DurationSeconds,
    /// A size, as bytes.
    Bytes,
}

/// Functions over a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RangeOp {
    Count,
    Rate,
    RateCounter,
    Bytes,
    BytesRate,
    Sum,
    Avg,
    Min,
    Max,
    First,
    Last,
    Stddev,
    Stdvar,
    Quantile,
    Absent,
}

impl RangeOp {
    /// As written.
    pub const ALL: [(&'static str, RangeOp); 15] = [
        ("count_over_time", RangeOp::Count),
        ("rate", RangeOp::Rate),
        ("rate_counter", RangeOp::RateCounter),
        ("bytes_over_time", RangeOp::Bytes),
        ("bytes_rate", RangeOp::BytesRate),
        ("sum_over_time", RangeOp::Sum),
        ("avg_over_time", RangeOp::Avg),
        ("min_over_time", RangeOp::Min),
        ("max_over_time", RangeOp::Max),
        ("first_over_time", RangeOp::First),
        ("last_over_time", RangeOp::Last),
        ("stddev_over_time", RangeOp::Stddev),
        ("stdvar_over_time", RangeOp::Stdvar),
        ("quantile_over_time", RangeOp::Quantile),
        ("absent_over_time", RangeOp::Absent),
    ];
    /// The name.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }
}

/// `by (a, b)`, `without (a)`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Grouping {
    /// `without`.
    pub without: bool,
    /// Labels.
    pub labels: Vec<String>,
}

/// Aggregation over series.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Function.
    pub op: AggregateOp,
    /// `topk`'s first argument.
    pub parameter: Option<usize>,
    /// Over what.
    pub inner: Box<MetricExpr>,
    /// `by` or `without`.
    pub grouping: Option<Grouping>,
}

/// Functions over series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

impl AggregateOp {
    /// As written.
    pub const ALL: [(&'static str, AggregateOp); 12] = [
        ("sum", AggregateOp::Sum),
        ("avg", AggregateOp::Avg),
        ("min", AggregateOp::Min),
        ("max", AggregateOp::Max),
        ("count", AggregateOp::Count),
        ("stddev", AggregateOp::Stddev),
        ("stdvar", AggregateOp::Stdvar),
        ("topk", AggregateOp::Topk),
        ("bottomk", AggregateOp::Bottomk),
        ("approx_topk", AggregateOp::ApproxTopk),
        ("sort", AggregateOp::Sort),
        ("sort_desc", AggregateOp::SortDesc),
    ];
    /// The name.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }
    /// Whether its first argument is a number of series.
    pub fn takes_k(self) -> bool {
        matches!(self, AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::ApproxTopk)
    }
}

/// Name in a table of names.
pub fn name_of<T: PartialEq + Copy>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, v)| *v == value).map_or("", |(n, _)| n)
}

/// Value in a table of names.
pub fn value_of<T: Copy>(table: &[(&'static str, T)], name: &str) -> Option<T> {
    table.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
}

/// Two sides and what joins them.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub returns_bool: bool,
    /// Which series of the sides belong together.
    pub matching: Matching,
    /// Left.
    pub left: MetricExpr,
    /// Right.
    pub right: MetricExpr,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Compare(CompareOp),
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
}

impl BinaryOp {
    /// As written.
    pub const ALL: [(&'static str, BinaryOp); 15] = [
        ("or", BinaryOp::Or),
        ("and", BinaryOp::And),
        ("unless", BinaryOp::Unless),
        ("==", BinaryOp::Compare(CompareOp::Eq)),
        ("!=", BinaryOp::Compare(CompareOp::Ne)),
        (">", BinaryOp::Compare(CompareOp::Gt)),
        (">=", BinaryOp::Compare(CompareOp::Ge)),
        ("<", BinaryOp::Compare(CompareOp::Lt)),
        ("<=", BinaryOp::Compare(CompareOp::Le)),
        ("+", BinaryOp::Add),
        ("-", BinaryOp::Sub),
        ("*", BinaryOp::Mul),
        ("/", BinaryOp::Div),
        ("%", BinaryOp::Mod),
        ("^", BinaryOp::Pow),
    ];
    /// Higher binds tighter.
    pub fn precedence(self) -> u8 {
        match self {
            BinaryOp::Or => 1,
            BinaryOp::And | BinaryOp::Unless => 2,
            BinaryOp::Compare(_) => 3,
            BinaryOp::Add | BinaryOp::Sub => 4,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 5,
            BinaryOp::Pow => 6,
        }
    }
    /// `or`, `and`, `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::Or | BinaryOp::And | BinaryOp::Unless)
    }
    /// The name.
    pub fn name(self) -> &'static str {
        name_of(&Self::ALL, self)
    }
}

/// `on (a) group_left (b)`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Matching {
    /// `on` rather than `ignoring`; without either, all labels match.
    pub on: bool,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Which side has many.
    pub group: Option<Side>,
    /// Labels taken over from the other side.
    pub include: Vec<String>,
}

/// A side of a binary operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `group_left`.
    Left,
    /// `group_right`.
    Right,
}

/// `label_replace(v, "dst", "$1", "src", "(.*)")`.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelReplace {
    /// Over what.
    pub inner: MetricExpr,
    /// The label that is set.
    pub target: String,
    /// To what.
    pub replacement: String,
    /// The label that is read.
    pub source: String,
    /// Pattern, anchored.
    pub pattern: Spanned<String>,
}

/// As a matcher is written.
pub fn match_op(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Eq => "=",
        MatchOp::Ne => "!=",
        MatchOp::Re => "=~",
        MatchOp::NotRe => "!~",
    }
}
