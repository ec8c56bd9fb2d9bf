//! `| regexp "(?P<name>..)"`: named groups become labels.

use super::{Row, Stage, Wanted};

/// `| regexp`.
pub struct RegexpStage {
    regex: regex::Regex,
    groups: Vec<(usize, String)>,
    wanted: Wanted,
}

impl RegexpStage {
    /// Of a checked pattern.
    pub fn new(pattern: &str, wanted: Wanted) -> base::Result<Self> {
        let regex = lang::re2::compile(pattern).map_err(base::Error::internal)?;
        let groups = regex.capture_names().enumerate().filter_map(|(i, n)| Some((i, n?.to_string()))).collect();
        Ok(RegexpStage { regex, groups, wanted })
    }
}

impl Stage for RegexpStage {
    fn apply(&self, row: &mut Row<'_>) -> bool {
        if self.wanted.is_nothing() {
            return true;
        }
        let Some(found) = self.regex.captures(&row.line) else { return true };
        for (i, name) in &self.groups {
            row.labels.extract(name, found.get(*i).map_or("", |m| m.as_str()), &self.wanted);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::run;
    use super::*;

    #[test]
    fn named_groups_become_labels() {
        let s = RegexpStage::new(r"(?P<method>\w+) (?P<app>\S+) (\d+)", Wanted::All).unwrap();
        assert_eq!(run(&s, "GET /x 5"), r#"{app="web", app_extracted="/x", method="GET"}"#);
        assert_eq!(run(&s, "nothing"), r#"{app="web"}"#);
    }
}
