//! `decolorize`: removes the escape sequences that colour a terminal.

use serde::Deserialize;

use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {}

struct Decolorize;

pub(super) fn build(_: Settings) -> Result<Box<dyn Stage>, Refused> {
    Ok(Box::new(Decolorize))
}

impl Stage for Decolorize {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        if entry.line.contains('\u{1b}') {
            entry.line = lang::ansi::plain(&entry.line);
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::one;

    #[test]
    fn colours_go() {
        assert_eq!(one("[decolorize: ]", "", "\u{1b}[1;31mred\u{1b}[0m"), "{} red");
    }
}
