//! Metric queries: windows, aggregations, operators.

use lang::{Diagnostic, Parsed, Span};

use super::{Parser, Token};
use crate::logql::ast::*;

/// What a window is taken of.
struct LogRange {
    log: LogExpr,
    unwrap: Option<Unwrap>,
    range_ns: i64,
    offset_ns: i64,
}

impl Parser<'_> {
    /// An expression whose operators all bind tighter than `min`.
    pub(super) fn expr(&mut self, min: u8) -> Parsed<Expr> {
        let start = self.span();
        let mut left = self.nested(Self::atom)?;
        while let Some(op) = self.operator() {
            if op.precedence() <= min {
                break;
            }
            self.count_operator()?;
            let op_span = self.span();
            self.bump();
            let l = self.metric_only(left, start)?;
            let (returns_bool, matching) = self.modifiers(op)?;
            let right_start = self.span();
            // `^` groups to the right, the others to the left.
            let floor = op.precedence() - u8::from(op == BinaryOp::Pow);
            let right = self.nested(|p| p.expr(floor))?;
            let right = self.metric_only(right, right_start)?;
            check_sides(op, op_span, &l, &right)?;
            left = Expr::Metric(MetricExpr::Binary(Box::new(Binary { op, returns_bool, matching, left: l, right })));
        }
        Ok(left)
    }

    fn operator(&self) -> Option<BinaryOp> {
        match self.peek() {
            Token::Sign(s) => value_of(&BinaryOp::ALL, s),
            Token::Word(w) if matches!(w.as_str(), "or" | "and" | "unless") => value_of(&BinaryOp::ALL, w),
            _ => None,
        }
    }

    fn modifiers(&mut self, op: BinaryOp) -> Parsed<(bool, Matching)> {
        let span = self.span();
        let returns_bool = self.eat_word("bool");
        if returns_bool && !matches!(op, BinaryOp::Compare(_)) {
            return Err(Diagnostic::new(span, "bool modifier can only be used on comparison operators"));
        }
        let mut matching = Matching::default();
        if !self.is_word("on") && !self.is_word("ignoring") {
            return Ok((returns_bool, matching));
        }
        matching.on = self.is_word("on");
        self.bump();
        matching.labels = self.label_list()?;
        let span = self.span();
        matching.group = if self.eat_word("group_left") {
            Some(Side::Left)
        } else if self.eat_word("group_right") {
            Some(Side::Right)
        } else {
            None
        };
        if matching.group.is_some() {
            if op.is_set() {
                return Err(Diagnostic::new(span, format!("no grouping allowed for {:?} operation", op.name())));
            }
            // `group_left (a, b)` is a list; `group_left (sum(..))` is the right side.
            if self.is_sign("(") && self.is_label_list_next() {
                matching.include = self.label_list()?;
            }
        }
        Ok((returns_bool, matching))
    }

    fn is_label_list_next(&self) -> bool {
        let rest = self.tokens[self.at + 1..].iter().map(|t| &t.value);
        let mut want_word = true;
        for (i, t) in rest.enumerate() {
            match t {
                Token::Sign(")") => return i == 0 || !want_word,
                Token::Word(_) if want_word => want_word = false,
                Token::Sign(",") if !want_word => want_word = true,
                _ => return false,
            }
        }
        false
    }

    fn label_list(&mut self) -> Parsed<Vec<String>> {
        self.expect_sign("(")?;
        let mut out = vec![];
        if self.eat_sign(")") {
            return Ok(out);
        }
        loop {
            out.push(self.expect_word("a label name")?);
            if self.eat_sign(")") {
                return Ok(out);
            }
            if !self.eat_sign(",") {
                return Err(self.expected("`,` or `)`"));
            }
        }
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.bump();
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    fn signed_number(&mut self) -> Parsed<f64> {
        let negative = self.eat_sign("-");
        if !negative {
            self.eat_sign("+");
        }
        match self.peek() {
            Token::Number(n) => {
                let n = if negative { -n } else { *n };
                self.bump();
                Ok(n)
            }
            _ => Err(self.expected("a number")),
        }
    }

    fn atom(&mut self) -> Parsed<Expr> {
        let metric = match self.peek().clone() {
            Token::Sign("{") => return self.log().map(Expr::Log),
            Token::Sign("(") => {
                self.bump();
                let inner = self.nested(|p| p.expr(0))?;
                self.expect_sign(")")?;
                return match inner {
                    Expr::Log(mut log) => {
                        while let Some(stage) = self.stage()? {
                            log.stages.push(stage);
                        }
                        Ok(Expr::Log(log))
                    }
                    metric => Ok(metric),
                };
            }
            Token::Number(_) | Token::Sign("-") | Token::Sign("+") => MetricExpr::Literal(self.signed_number()?),
            Token::Word(w) => self.call(&w)?,
            _ => return Err(self.expected("a log selector `{...}`, a function or a number")),
        };
        Ok(Expr::Metric(metric))
    }

    fn call(&mut self, word: &str) -> Parsed<MetricExpr> {
        let span = self.span();
        if let Some(op) = value_of(&RangeOp::ALL, word) {
            self.bump();
            return self.range_call(op, span);
        }
        if let Some(op) = value_of(&AggregateOp::ALL, word) {
            self.bump();
            return self.aggregate(op, span);
        }
        match word {
            "vector" => {
                self.bump();
                self.expect_sign("(")?;
                let n = self.signed_number()?;
                self.expect_sign(")")?;
                Ok(MetricExpr::Vector(n))
            }
            "label_replace" => {
                self.bump();
                self.label_replace()
            }
            _ => Err(Diagnostic::new(span, format!("syntax error: unexpected `{word}`: no function has that name"))
                .hint("a log query starts with a selector, for example {app=\"nginx\"}")),
        }
    }

    fn label_replace(&mut self) -> Parsed<MetricExpr> {
        self.expect_sign("(")?;
        let start = self.span();
        let inner = self.nested(|p| p.expr(0))?;
        let inner = self.metric_only(inner, start)?;
        let mut argument = |what| {
            self.expect_sign(",")?;
            self.expect_text(what)
        };
        let target = argument("the label to set, in quotes")?;
        let replacement = argument("the replacement, in quotes")?;
        let source = argument("the label to read, in quotes")?;
        let pattern = argument("a pattern, in quotes")?;
        self.expect_sign(")")?;
        lang::re2::compile_in(&pattern.value, self.room)
            .map_err(|e| Diagnostic::new(pattern.span, format!("invalid regex in label_replace: {e}")))?;
        if !super::stages::is_label_name(&target.value) {
            return Err(Diagnostic::new(target.span, format!("invalid destination label name in label_replace(): {}", target.value)));
        }
        Ok(MetricExpr::LabelReplace(Box::new(LabelReplace {
            inner,
            target: target.value,
            replacement: replacement.value,
            source: source.value,
            pattern,
        })))
    }

    fn aggregate(&mut self, op: AggregateOp, span: Span) -> Parsed<MetricExpr> {
        let mut grouping = self.grouping()?;
        self.expect_sign("(")?;
        let parameter = if op.takes_k() {
            let span = self.span();
            let n = self.signed_number()?;
            if n.fract() != 0.0 || !(1.0..=1e9).contains(&n) {
                return Err(Diagnostic::new(
                    span,
                    format!("invalid parameter {}({n},: it must be a whole number greater than 0", op.name()),
                ));
            }
            self.expect_sign(",")?;
            Some(n as usize)
        } else {
            None
        };
        let start = self.span();
        let inner = self.nested(|p| p.expr(0))?;
        let inner = self.metric_only(inner, start)?;
        self.expect_sign(")")?;
        let after = self.span();
        if let Some(g) = self.grouping()? {
            if grouping.is_some() {
                return Err(Diagnostic::new(after, "there are two groupings, one before and one after the parentheses"));
            }
            grouping = Some(g);
        }
        if grouping.is_some() && matches!(op, AggregateOp::Sort | AggregateOp::SortDesc) {
            return Err(Diagnostic::new(span, format!("{} cannot be grouped", op.name())));
        }
        if op == AggregateOp::ApproxTopk && grouping.is_some() {
            return Err(Diagnostic::new(span, "grouping not allowed for approx_topk aggregation"));
        }
        Ok(MetricExpr::Aggregate(Aggregate { op, parameter, inner: Box::new(inner), grouping }))
    }

    fn range_call(&mut self, op: RangeOp, span: Span) -> Parsed<MetricExpr> {
        self.expect_sign("(")?;
        let parameter_span = self.span();
        let has_parameter = matches!(self.peek(), Token::Number(_) | Token::Sign("-" | "+"));
        let parameter = if has_parameter {
            let n = self.signed_number()?;
            self.expect_sign(",")?;
            Some(n)
        } else {
            None
        };
        if parameter.is_some() != (op == RangeOp::Quantile) {
            let what = if parameter.is_some() { "parameter not supported" } else { "parameter required" };
            return Err(Diagnostic::new(parameter_span, format!("{what} for operation {}", op.name())));
        }
        let start = self.span();
        let range = self.nested(Self::log_range)?;
        let end = self.span();
        self.expect_sign(")")?;
        let grouping = self.grouping()?;
        check_range(op, span, range.0.unwrap.is_some(), grouping.is_some())?;
        let (LogRange { log, unwrap, range_ns, offset_ns }, found) = range;
        if !found {
            return Err(Diagnostic::new(start.to(end), "expected a window such as [5m] after the selector")
                .hint(format!("{}({{...}} [5m])", op.name())));
        }
        Ok(MetricExpr::Range(RangeExpr { op, parameter, log, unwrap, range_ns, offset_ns, grouping }))
    }

    /// A selector with stages, a window somewhere after it, and an unwrap; whether the window was found.
    fn log_range(&mut self) -> Parsed<(LogRange, bool)> {
        let (mut range, mut found) = if self.eat_sign("(") {
            let inner = self.nested(Self::log_range)?;
            self.expect_sign(")")?;
            inner
        } else {
            let matchers = self.selector()?;
            (LogRange { log: LogExpr { matchers, stages: vec![] }, unwrap: None, range_ns: 0, offset_ns: 0 }, false)
        };
        loop {
            if range.unwrap.is_none()
                && let Some(stage) = self.stage()?
            {
                range.log.stages.push(stage);
            } else if range.unwrap.is_none()
                && let Some(unwrap) = self.unwrap_stage()?
            {
                range.unwrap = Some(unwrap);
            } else if !found && self.is_sign("[") {
                self.window(&mut range)?;
                found = true;
            } else {
                return Ok((range, found));
            }
        }
    }

    fn window(&mut self, range: &mut LogRange) -> Parsed<()> {
        self.bump();
        let span = self.span();
        range.range_ns = self.duration("a duration such as 5m")?;
        if range.range_ns <= 0 {
            return Err(Diagnostic::new(span, "a window must be longer than nothing"));
        }
        self.expect_sign("]")?;
        if self.eat_word("offset") {
            let negative = self.eat_sign("-");
            let d = self.duration("a duration such as 5m")?;
            range.offset_ns = if negative { -d } else { d };
        }
        Ok(())
    }

    fn duration(&mut self, what: &str) -> Parsed<i64> {
        match self.peek() {
            Token::Duration(d) => {
                let d = *d;
                self.bump();
                Ok(d)
            }
            Token::Number(n) if *n == 0.0 => {
                self.bump();
                Ok(0)
            }
            _ => Err(self.expected(what)),
        }
    }
}

/// Sets are joined of series, so neither side can be a number.
fn check_sides(op: BinaryOp, span: Span, left: &MetricExpr, right: &MetricExpr) -> Parsed<()> {
    if !op.is_set() {
        return Ok(());
    }
    for (side, expr) in [("left", left), ("right", right)] {
        if is_constant(expr) {
            return Err(Diagnostic::new(
                span,
                format!("unexpected literal for {side} leg of logical/set binary operation ({})", op.name()),
            ));
        }
    }
    Ok(())
}

/// Whether an expression is a number, whatever the data is.
fn is_constant(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Literal(_) => true,
        MetricExpr::Binary(b) => is_constant(&b.left) && is_constant(&b.right),
        _ => false,
    }
}

fn check_range(op: RangeOp, span: Span, unwrap: bool, grouping: bool) -> Parsed<()> {
    use RangeOp::*;
    if grouping && !matches!(op, Avg | Min | Max | First | Last | Stddev | Stdvar | Quantile) {
        return Err(Diagnostic::new(span, format!("grouping not allowed for {} aggregation", op.name()))
            .hint("aggregate its result instead, for example sum by (app) (...)"));
    }
    let of_lines = matches!(op, Count | Rate | Bytes | BytesRate | Absent);
    if unwrap && matches!(op, Count | Bytes | BytesRate) {
        return Err(Diagnostic::new(span, format!("invalid aggregation {} with unwrap", op.name())));
    }
    if !unwrap && !of_lines {
        return Err(Diagnostic::new(span, format!("invalid aggregation {} without unwrap", op.name()))
            .hint("name the label whose value is meant: | unwrap latency"));
    }
    Ok(())
}
