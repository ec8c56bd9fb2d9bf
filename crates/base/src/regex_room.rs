//! What the regular expressions of one request may take together.

use crate::limits::{REGEX_COMPILED_BYTES, REGEX_REQUEST_BYTES};

/// What an expression is counted as: the first of these that it can be compiled within.
const STEPS: [usize; 3] = [256 << 10, 1 << 20, REGEX_COMPILED_BYTES];

/// Room for the compiled regular expressions of one request. Each alone is bounded by [`REGEX_COMPILED_BYTES`]; without a
/// common bound a query of some kilobytes could have thousands of that size.
#[derive(Debug)]
pub struct RegexRoom {
    left: usize,
}

impl Default for RegexRoom {
    fn default() -> Self {
        RegexRoom { left: REGEX_REQUEST_BYTES }
    }
}

impl RegexRoom {
    /// Compiles one more expression: `compile` is given the most bytes that it may take. The error is for people.
    pub fn compile<R>(&mut self, compile: impl Fn(usize) -> Result<R, regex::Error>) -> Result<R, String> {
        for step in STEPS {
            if step > self.left {
                break;
            }
            match compile(step) {
                Ok(regex) => {
                    self.left -= step;
                    return Ok(regex);
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(e) => return Err(in_a_line(&e)),
            }
        }
        if self.left < REGEX_COMPILED_BYTES {
            return Err(format!(
                "too many regular expressions: together they may take {} MiB when compiled. Ask in several queries, or join alternatives with |",
                REGEX_REQUEST_BYTES >> 20
            ));
        }
        Err(format!("it would take more than {} MiB when compiled. Write it with fewer repetitions", REGEX_COMPILED_BYTES >> 20))
    }
}

/// The crate's syntax errors show the pattern over several lines; the last one says what is wrong.
fn in_a_line(e: &regex::Error) -> String {
    let text = e.to_string();
    text.lines().last().unwrap_or("invalid").trim_start_matches("error: ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(room: &mut RegexRoom, pattern: &str) -> Result<regex::Regex, String> {
        room.compile(|most| regex::RegexBuilder::new(pattern).size_limit(most).build())
    }

    #[test]
    fn many_small_ones_or_few_large_ones() {
        for (pattern, fit) in [("a+", 256), ("a{9000}", 64), ("a{50000}", 16)] {
            let mut room = RegexRoom::default();
            let made = (0..1000).take_while(|_| compile(&mut room, pattern).is_ok()).count();
            assert_eq!(made, fit, "{pattern}");
            assert!(compile(&mut room, "a").unwrap_err().contains("64 MiB"));
        }
    }

    #[test]
    fn what_is_wrong_alone_is_said_and_takes_no_room() {
        let mut room = RegexRoom::default();
        for _ in 0..1000 {
            assert_eq!(compile(&mut room, "(").unwrap_err(), "unclosed group");
            assert!(compile(&mut room, "((a{999}){999}){999}").unwrap_err().contains("more than 4 MiB"));
        }
        assert!(compile(&mut room, "a").is_ok());
    }
}
