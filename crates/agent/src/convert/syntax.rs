//! What an Alloy file consists of.

use lang::Span;

/// The inside of a file or a block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// `name = value`
    pub attributes: Vec<Attribute>,
    /// `name "label" { ... }`
    pub blocks: Vec<Block>,
}

/// `name = value`
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Expr,
    /// Where it stands.
    pub span: Span,
}

/// `name "label" { ... }`
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its name, dots included.
    pub name: String,
    /// Its label; empty if it has none.
    pub label: String,
    /// What it holds.
    pub body: Body,
    /// Where its head stands.
    pub span: Span,
}

/// An expression and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What.
    pub kind: Kind,
    /// Where.
    pub span: Span,
}

/// Kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// Text.
    Text(String),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{ a = 1, "b" = 2 }`
    Object(Vec<(String, Expr)>),
    /// A name.
    Name(String),
    /// `a.b`
    Field(Box<Expr>, String),
    /// `a[b]`
    Index(Box<Expr>, Box<Expr>),
    /// `a(b, c)`
    Call(Box<Expr>, Vec<Expr>),
    /// `-a`, `!a`
    Unary(char, Box<Expr>),
    /// `a + b`
    Binary(&'static str, Box<Expr>, Box<Expr>),
}

impl Expr {
    /// The dotted name it is, as in `loki.write.x.receiver`.
    pub fn path(&self) -> Option<String> {
        match &self.kind {
            Kind::Name(n) => Some(n.clone()),
            Kind::Field(base, field) => Some(format!("{}.{field}", base.path()?)),
            _ => None,
        }
    }
}
