//! `docker`: lines of Docker's `json-file` driver. The label `stream` and the extracted `output`, `stream` and `timestamp`.

use lang::go_time::{Layout, RFC3339_NANO};
use lang::json_text::{JsonCursor, Value as Json, unescape};
use serde::Deserialize;

use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {}

struct Docker(Layout);

pub(super) fn build(_: Settings) -> Result<Box<dyn Stage>, Refused> {
    Ok(Box::new(Docker(Layout::new(RFC3339_NANO))))
}

impl Stage for Docker {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let (mut log, mut stream, mut time) = (String::new(), String::new(), String::new());
        let read = JsonCursor::new(&entry.line).object(|c, key| {
            let Json::Text(text) = c.value()? else { return Ok(true) };
            match key {
                "log" => log = unescape(text).into_owned(),
                "stream" => stream = unescape(text).into_owned(),
                "time" => time = unescape(text).into_owned(),
                _ => {}
            }
            Ok(true)
        });
        // Anything else is not a line of Docker's and goes on as it is.
        if read.is_err() || log.is_empty() {
            return Step::On;
        }
        if let Some(ns) = self.0.read(&time).and_then(|c| c.ns()) {
            entry.time_ns = ns;
        }
        entry.labels.set("stream", &stream);
        entry.extracted.set_text("output", log.clone());
        entry.extracted.set_text("stream", stream);
        entry.extracted.set_text("timestamp", time);
        entry.line = log;
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, time};

    #[test]
    fn a_line_of_docker_is_taken_apart() {
        let line = r#"{"log":"he said \"hi\"\n","stream":"stderr","time":"2023-11-14T22:13:20.5Z"}"#;
        assert_eq!(one("[docker: {}]", "a=1", line), "{a=\"1\", stream=\"stderr\"} he said \"hi\"\n");
        assert_eq!(time("[docker: ]", line), 1_700_000_000_500_000_000);
    }

    #[test]
    fn other_lines_pass() {
        for line in ["plain", "{\"log\":\"\"}", "{\"log\":1}", "{\"log\":\"x\""] {
            assert_eq!(one("[docker: {}]", "a=1", line), format!("{{a=\"1\"}} {line}"));
        }
    }
}
