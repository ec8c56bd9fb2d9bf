//! `watchfire agent convert`: makes our settings of an Alloy configuration.
//!
//! Constraints: nothing is carried over silently wrong. What has no counterpart is named with its line; what people
//! commonly believe of a setting and is not so is said where the setting stands ([`beliefs`]).
//!
//! Design: [`parser`] reads the syntax, [`value`] evaluates what can be known without running Alloy, and [`components`]
//! follows the references from each source to its endpoints, collecting rules and stages on the way. The result is plain
//! data ([`model`]), which [`sections`] writes as the agent's settings have it. Stages and rules are compiled before they are written, so that the file we write is one we read.

mod beliefs;
mod components;
mod endpoints;
pub mod model;
mod open;
pub mod parser;
mod sections;
mod sources;
mod stages;
pub mod syntax;
mod targets;
pub mod value;

use base::Result;

/// What the converter has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A setting does not do what people believe it does.
    Belief,
    /// It could not be carried over.
    Missing,
    /// It was carried over, and is different here.
    Different,
}

/// A remark about a place in the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The line, from 1.
    pub line: usize,
    /// What it is about.
    pub about: About,
    /// For people.
    pub text: String,
}

/// The result.
#[derive(Debug)]
pub struct Converted {
    /// The settings, with the remarks as comments in front.
    pub yaml: String,
    /// The remarks, by line.
    pub notes: Vec<Note>,
    /// What they are made of.
    pub plan: model::Plan,
}

impl Note {
    /// `line 12: text`
    pub fn shown(&self) -> String {
        format!("line {}: {}", self.line, self.text)
    }
}

/// Converts the text of an Alloy file. An error says where it is no such file.
pub fn convert(text: &str) -> Result<Converted> {
    let body = parser::parse(text).map_err(|e| e.to_error(text))?;
    let (plan, settings, mut notes) = components::translate(text, &body);
    notes.sort();
    notes.dedup();
    let yaml = serde_yaml_ng::to_string(&settings).map_err(|e| base::Error::internal(format!("settings cannot be written: {e}")))?;
    Ok(Converted { yaml: format!("{}{yaml}", comments(&notes)), notes, plan })
}

fn comments(notes: &[Note]) -> String {
    let mut out = String::from("# Made by `watchfire agent convert`. Numbers are lines of the Alloy file.\n");
    for (about, title) in [
        (About::Missing, "Not carried over"),
        (About::Belief, "What these settings do not do, though it is often believed"),
        (About::Different, "Different here"),
    ] {
        let those: Vec<&Note> = notes.iter().filter(|n| n.about == about).collect();
        if !those.is_empty() {
            out.push_str(&format!("#\n# {title}:\n"));
            those.iter().for_each(|n| out.push_str(&format!("# - {}\n", n.shown().replace('\n', " "))));
        }
    }
    out + "\n"
}

#[cfg(test)]
mod tests;
