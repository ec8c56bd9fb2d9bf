//! One rule: how it is written, what is refused, what it does.

use lang::{letters, re2};
use md5::{Digest, Md5};
use regex::{Captures, Regex};
use serde::Deserialize;

use crate::label_set::LabelSet;
use crate::scalar::Scalar;

const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";
const SEPARATOR: &str = ";";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: [(&str, Action); 11] = [
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

/// A rule as it stands in a file; what is not written has Prometheus' default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    source_labels: Option<Vec<Scalar>>,
    separator: Option<Scalar>,
    regex: Option<Scalar>,
    modulus: Option<u64>,
    target_label: Option<Scalar>,
    replacement: Option<Scalar>,
    action: Option<String>,
}

/// A checked rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct Rule {
    action: Action,
    source: Vec<String>,
    separator: String,
    regex: Regex,
    modulus: u64,
    target: String,
    replacement: String,
    /// Nothing to match and nothing to fill in: the target takes the replacement as it is.
    constant: bool,
}

fn text(v: Option<Scalar>, default: &str) -> String {
    v.map_or_else(|| default.to_owned(), |s| s.0)
}

impl TryFrom<Written> for Rule {
    type Error = String;

    fn try_from(w: Written) -> Result<Rule, String> {
        let name = w.action.as_deref().unwrap_or("replace").to_lowercase();
        let Some((name, action)) = ACTIONS.iter().find(|(n, _)| *n == name) else {
            return Err(format!("unknown relabel action {:?}; {}", w.action.unwrap_or_default(), nearest_action(&name)));
        };
        let has_sources = w.source_labels.is_some();
        let pattern = text(w.regex, REGEX);
        let regex = re2::compile(&format!("^(?s:{pattern})$")).map_err(|e| format!("invalid 'regex' {pattern:?}: {e}"))?;
        let rule = Rule {
            action: *action,
            source: w.source_labels.unwrap_or_default().into_iter().map(|s| s.0).collect(),
            separator: text(w.separator, SEPARATOR),
            regex,
            modulus: w.modulus.unwrap_or(0),
            target: text(w.target_label, ""),
            replacement: text(w.replacement, REPLACEMENT),
            constant: false,
        };
        rule.check(name, &pattern, has_sources)?;
        let constant = pattern == REGEX && !rule.target.contains('$') && !rule.replacement.contains('$');
        Ok(Rule { constant, ..rule })
    }
}

fn nearest_action(word: &str) -> String {
    let names: Vec<&str> = ACTIONS.iter().map(|(n, _)| *n).collect();
    match lang::nearest::nearest(word, &names) {
        Some(n) => format!("did you mean {n:?}?"),
        None => format!("one of {}", names.join(", ")),
    }
}

impl Rule {
    /// Refuses what Prometheus refuses.
    fn check(&self, name: &str, pattern: &str, has_sources: bool) -> Result<(), String> {
        use Action::*;
        let plain_separator = self.separator == SEPARATOR;
        let plain_replacement = self.replacement == REPLACEMENT;
        if self.modulus == 0 && self.action == HashMod {
            return Err("relabel configuration for hashmod requires non-zero modulus".into());
        }
        let targeted = matches!(self.action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if targeted && self.target.is_empty() {
            return Err(format!("relabel configuration for {name} action requires 'target_label' value"));
        }
        if matches!(self.action, Lowercase | Uppercase | KeepEqual | DropEqual) && !plain_replacement {
            return Err(format!("'replacement' can not be set for {name} action"));
        }
        if self.action == LabelMap && self.replacement.is_empty() {
            return Err(format!("{:?} is invalid 'replacement' for {name} action", self.replacement));
        }
        let only_names = pattern == REGEX && self.modulus == 0 && plain_separator;
        if matches!(self.action, KeepEqual | DropEqual) && !only_names {
            return Err(format!("{name} action requires only 'source_labels' and 'target_label', and no other fields"));
        }
        let only_regex = !has_sources && self.target.is_empty() && self.modulus == 0 && plain_separator && plain_replacement;
        if matches!(self.action, LabelDrop | LabelKeep) && !only_regex {
            return Err(format!("{name} action requires only 'regex', and no other fields"));
        }
        Ok(())
    }

    /// Works on a set; false drops it.
    pub(super) fn apply(&self, set: &mut LabelSet) -> bool {
        use Action::*;
        match self.action {
            Keep => return self.regex.is_match(&self.joined(set)),
            Drop => return !self.regex.is_match(&self.joined(set)),
            KeepEqual => return set.get(&self.target).unwrap_or("") == self.joined(set),
            DropEqual => return set.get(&self.target).unwrap_or("") != self.joined(set),
            Replace => self.replace(set),
            Lowercase => set.set(&self.target, &letters::to_lower(&self.joined(set))),
            Uppercase => set.set(&self.target, &letters::to_upper(&self.joined(set))),
            HashMod => {
                // The last 8 bytes, big endian: which half it is decides who scrapes what, so it is not ours to choose.
                let digest = Md5::digest(self.joined(set).as_bytes());
                let half = u64::from_be_bytes(digest[8..].try_into().expect("an MD5 has 16 bytes"));
                set.set(&self.target, &(half % self.modulus).to_string());
            }
            LabelMap => {
                let found: Vec<(String, String)> =
                    set.iter().filter_map(|(n, v)| Some((self.filled(&self.replacement, &self.regex.captures(n)?), v.into()))).collect();
                found.iter().for_each(|(n, v)| set.set(n, v));
            }
            LabelDrop => set.retain(|n| !self.regex.is_match(n)),
            LabelKeep => set.retain(|n| self.regex.is_match(n)),
        }
        true
    }

    fn replace(&self, set: &mut LabelSet) {
        let value = self.joined(set);
        if self.constant {
            set.set(&self.target, &self.replacement);
            return;
        }
        let Some(found) = self.regex.captures(&value) else { return };
        let target = self.filled(&self.target, &found);
        if !target.is_empty() {
            set.set(&target, &self.filled(&self.replacement, &found));
        }
    }

    fn filled(&self, template: &str, found: &Captures<'_>) -> String {
        let mut out = String::new();
        found.expand(template, &mut out);
        out
    }

    fn joined(&self, set: &LabelSet) -> String {
        let mut out = String::new();
        for (i, name) in self.source.iter().enumerate() {
            if i > 0 {
                out.push_str(&self.separator);
            }
            out.push_str(set.get(name).unwrap_or(""));
        }
        out
    }
}
