//! Text to tokens.

use lang::{Cursor, Diagnostic, Parsed, Span, Spanned};

use super::token::{SIGNS, Token};
use crate::limits;

/// Splits a query into tokens; the last one is [`Token::End`].
pub fn lex(source: &str) -> Parsed<Vec<Spanned<Token>>> {
    if source.len() > limits::QUERY_BYTES {
        return Err(Diagnostic::new(Span::new(0, 0), format!("the query is longer than {} bytes", limits::QUERY_BYTES)));
    }
    let mut cursor = Cursor::new(source);
    let mut out = vec![];
    loop {
        cursor.skip_blank();
        let start = cursor.at();
        let token = next(&mut cursor)?;
        let done = token == Token::End;
        out.push(Spanned::new(token, cursor.span_from(start)));
        if done {
            return Ok(out);
        }
    }
}

fn next(cursor: &mut Cursor<'_>) -> Parsed<Token> {
    let Some(c) = cursor.peek() else { return Ok(Token::End) };
    if c == '"' || c == '`' {
        return cursor.take_string("\"`").map(Token::Text);
    }
    if c.is_ascii_digit() || c == '.' && cursor.peek_second().is_some_and(|c| c.is_ascii_digit()) {
        return quantity(cursor);
    }
    let is_letter = |c: char| c.is_alphabetic();
    let word = cursor.take_ident(is_letter);
    if !word.is_empty() {
        return Ok(Token::Word(word.to_string()));
    }
    let mut ahead = *cursor;
    if ahead.eat("--") && ahead.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
        let flag = ahead.take_while(|c| c.is_ascii_alphanumeric() || c == '-').to_string();
        *cursor = ahead;
        return Ok(Token::Flag(flag));
    }
    for sign in SIGNS {
        if cursor.eat(sign) {
            return Ok(Token::Sign(sign));
        }
    }
    Err(cursor.unexpected())
}

/// A number, a duration or a size: all start with a digit, and only the letters after it tell.
fn quantity(cursor: &mut Cursor<'_>) -> Parsed<Token> {
    let start = cursor.at();
    let mut last = ' ';
    let text = cursor.take_while(|c| {
        // A sign belongs to a number only as that of its exponent.
        let exponent_sign = (c == '+' || c == '-') && matches!(last, 'e' | 'E' | 'p' | 'P');
        let more = c.is_alphanumeric() || c == '.' || c == '_' || exponent_sign;
        last = c;
        more
    });
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    let number = lang::number::parse(text).filter(|_| !is_hex || text.contains(['p', 'P']));
    number
        .map(Token::Number)
        .or_else(|| lang::duration::parse_go(text).or_else(|| lang::duration::parse_prom(text)).map(Token::Duration))
        .or_else(|| lang::size::parse(text).map(Token::Size))
        .ok_or_else(|| {
            Diagnostic::new(cursor.span_from(start), format!("unable to parse literal as a float, a duration or a size: {text:?}"))
                .hint("write 0.5, 5m, 1h30m or 10MB")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(s: &str) -> Vec<Token> {
        lex(s).expect("lexes").into_iter().map(|t| t.value).collect()
    }

    #[test]
    fn quantities_are_told_apart() {
        use Token::*;
        assert_eq!(
            tokens("5 5m 5MB .5 1e3 1e-3 1.5h 3d"),
            [
                Number(5.0),
                Duration(300_000_000_000),
                Size(5_000_000),
                Number(0.5),
                Number(1000.0),
                Number(0.001),
                Duration(5_400_000_000_000),
                Duration(259_200_000_000_000),
                End
            ]
        );
        assert_eq!(tokens("0X1p3"), [Number(8.0), End]);
        for bad in ["5minutes", "0o17", "0x10", "1.2.3", "{a=\"b}", "&"] {
            assert!(lex(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn longest_signs_win_and_comments_are_blank() {
        use Token::*;
        assert_eq!(
            tokens("a|=`x`!~\"y\" # no\n--keep-empty 1--1"),
            [
                Word("a".into()),
                Sign("|="),
                Text("x".into()),
                Sign("!~"),
                Text("y".into()),
                Flag("keep-empty".into()),
                Number(1.0),
                Sign("-"),
                Sign("-"),
                Number(1.0),
                End
            ]
        );
    }
}
