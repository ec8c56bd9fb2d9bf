//! Words of LogQL.

use std::fmt;

/// A token. Names and keywords are both [`Token::Word`]: most keywords are also allowed as label names, so only the
/// parser can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// `app`, `sum`, `json`.
    Word(String),
    /// A string literal's value.
    Text(String),
    /// A number without sign.
    Number(f64),
    /// A duration without sign, nanoseconds.
    Duration(i64),
    /// A size in bytes.
    Size(u64),
    /// `--strict`, without the dashes.
    Flag(String),
    /// An operator or a bracket.
    Sign(&'static str),
    /// The end of the query.
    End,
}

/// All signs, longer ones before those they start with.
pub const SIGNS: [&str; 29] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "{", "}", "(", ")", "[", "]", ",", "|", "=", ">", "<", "+", "-", "*", "/",
    "%", "^", ".", ";",
];

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(w) => write!(f, "`{w}`"),
            Token::Text(_) => f.write_str("a string"),
            Token::Number(n) => write!(f, "the number {n}"),
            Token::Duration(d) => write!(f, "the duration {}", lang::duration::format_go(*d)),
            Token::Size(s) => write!(f, "the size {s}B"),
            Token::Flag(w) => write!(f, "`--{w}`"),
            Token::Sign(s) => write!(f, "`{s}`"),
            Token::End => f.write_str("the end of the query"),
        }
    }
}
