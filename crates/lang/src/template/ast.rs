//! What a template consists of.

use regex::Regex;

use super::functions::Run;

/// A stretch of text or an action.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// Prints the value of an expression.
    Print(Expr),
    /// Sets a variable; prints nothing.
    Set(usize, Expr),
    If {
        variable: Option<usize>,
        condition: Expr,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        variable: Option<usize>,
        value: Expr,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        key: Option<usize>,
        element: Option<usize>,
        over: Expr,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Break,
    Continue,
}

/// Something that has a value.
#[derive(Debug)]
pub(super) enum Expr {
    Dot,
    /// `$`
    Root,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Variable(usize),
    /// `.a.b` of something.
    Field(Box<Expr>, Vec<String>),
    /// A name that the data knows beside its fields.
    Context(String),
    /// A call, with the compiled pattern if that is a literal.
    Call {
        name: &'static str,
        run: Run,
        pattern: Option<Regex>,
        args: Vec<Expr>,
    },
    /// `and` stops at the first that is empty, `or` at the first that is not.
    First {
        stop_at: bool,
        args: Vec<Expr>,
    },
}

/// See [`super::Template::names`].
pub(super) fn names(nodes: &[Node], found: &mut dyn FnMut(&str)) -> bool {
    let mut known = true;
    for n in nodes {
        known &= match n {
            Node::Text(_) | Node::Break | Node::Continue => true,
            Node::Print(e) | Node::Set(_, e) => of_expr(e, found),
            Node::If { condition: e, then, otherwise, .. }
            | Node::With { value: e, then, otherwise, .. }
            | Node::Range { over: e, body: then, otherwise, .. } => {
                let (a, b, c) = (of_expr(e, found), names(then, found), names(otherwise, found));
                a && b && c
            }
        };
    }
    known
}

fn of_expr(e: &Expr, found: &mut dyn FnMut(&str)) -> bool {
    match e {
        Expr::Dot | Expr::Root => false,
        Expr::Field(base, path) => match (&**base, path.first()) {
            // Inside `with` and `range` the dot is something else: then a name too many is named, which does no harm.
            (Expr::Dot | Expr::Root, Some(first)) => {
                found(first);
                true
            }
            (base, _) => of_expr(base, found),
        },
        Expr::Call { args, .. } | Expr::First { args, .. } => {
            // Every argument is looked at, also behind one that says no.
            let unknown = args.iter().filter(|a| !of_expr(a, found)).count();
            unknown == 0
        }
        _ => true,
    }
}
