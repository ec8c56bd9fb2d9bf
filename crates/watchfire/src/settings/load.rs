//! Reading a layer, and saying what is wrong with it.

use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::layer::Layer;
use super::value::ProfileName;

/// A settings file larger than this is not one.
const FILE_BYTES: u64 = 1 << 20;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The file.
    pub file: String,
    /// Line and column, from 1, if there is a place.
    pub place: Option<(usize, usize)>,
    /// What is wrong, what was meant, what is allowed.
    pub message: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for SettingsError {}

/// The layer at the bottom.
pub fn defaults() -> Layer {
    parse("default.yaml", include_str!("default.yaml")).expect("the built-in defaults are read in a test")
}

/// The layer of a profile.
pub fn profile(name: ProfileName) -> Layer {
    let text = match name {
        ProfileName::Dev => include_str!("profiles/dev.yaml"),
        ProfileName::Staging => include_str!("profiles/staging.yaml"),
        ProfileName::Prod => include_str!("profiles/prod.yaml"),
    };
    parse("profile", text).expect("the built-in profiles are read in a test")
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Layer, SettingsError> {
    read_as(path)
}

/// Reads a file of another form.
pub fn read_as<T: DeserializeOwned + Default>(path: &Path) -> Result<T, SettingsError> {
    let file = path.display().to_string();
    let err = |message: String| SettingsError { file: file.clone(), place: None, message };
    let meta = std::fs::metadata(path).map_err(|e| err(e.to_string()))?;
    if meta.len() > FILE_BYTES {
        return Err(err("larger than 1 MiB: this is not a settings file".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| err(e.to_string()))?;
    parse_as(&file, &text)
}

/// Reads a layer from text; `file` is for messages.
pub fn parse(file: &str, text: &str) -> Result<Layer, SettingsError> {
    parse_as(file, text)
}

/// Reads another form from text.
pub fn parse_as<T: DeserializeOwned + Default>(file: &str, text: &str) -> Result<T, SettingsError> {
    // A file of comments alone is an empty layer, which YAML calls null.
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok(T::default());
    }
    serde_yaml_ng::from_str(text).map_err(|e| {
        let place = e.location().map(|l| (l.line(), l.column()));
        let message = e.to_string();
        let message = message.rfind(" at line ").map_or(message.as_str(), |i| &message[..i]);
        SettingsError { file: file.to_owned(), place, message: explain(message) }
    })
}

/// Says what the parser says in words of the file's author: the key, the one that was meant, the ones there are.
fn explain(message: &str) -> String {
    let Some((path, rest)) = message.split_once("unknown field `") else { return message.to_owned() };
    let Some((key, rest)) = rest.split_once('`') else { return message.to_owned() };
    let allowed: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let section = path.trim_end_matches(": ");
    let section = if section.is_empty() { String::new() } else { format!(" in {section}") };
    let meant = lang::nearest::nearest(key, &allowed).map_or_else(|| elsewhere(key), |k| format!("; did you mean {k:?}?"));
    format!("unknown key {key:?}{section}{meant} Allowed here: {}", allowed.join(", "))
}

/// The key of another section that has this name.
fn elsewhere(key: &str) -> String {
    let path = super::keys::KEYS.iter().map(|k| k.path).find(|p| p.rsplit('.').next() == Some(key));
    path.map_or_else(|| ".".into(), |p| format!("; there is {p:?} elsewhere."))
}
