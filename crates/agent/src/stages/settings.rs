//! How stages are written: a list of maps with one key each.

use lang::nearest::nearest;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error};
use serde_yaml_ng::{Mapping, Value};

use super::pipeline::Pipeline;
use super::{Refused, Stage};
use super::{
    cri, decolorize, docker, drop, json, label_drop, label_keep, labels, limit, logfmt, matching, multiline, output, pack, pattern,
};
use super::{
    redact, regex, relabelling, replace, sampling, split_json, static_labels, structured_metadata, template, tenant, timestamp, truncate,
};
use crate::limits;

/// Stages as they were written, checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Stages(Vec<Value>);

impl<'de> Deserialize<'de> for Stages {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let stages = Stages(Vec::deserialize(d)?);
        stages.build().map_err(D::Error::custom)?;
        Ok(stages)
    }
}

impl Stages {
    /// Compiles them. Each call gives a pipeline of its own: rates of `limit` stages are not shared between two.
    pub fn build(&self) -> Result<Pipeline, String> {
        let mut place = Place { prefix: String::new(), depth: 0, left: limits::STAGES };
        place.list(&self.0)
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Checks stages that are already values.
    pub fn from_value(stages: Vec<Value>) -> Result<Stages, String> {
        let stages = Stages(stages);
        stages.build().map(|_| stages)
    }
    /// Reads stages from YAML.
    pub fn from_yaml(text: &str) -> Result<Stages, String> {
        serde_yaml_ng::from_str(text).map_err(|e| e.to_string())
    }
}

/// Where in the settings stages are compiled.
pub(super) struct Place {
    prefix: String,
    depth: usize,
    left: usize,
}

type Build = fn(Value, &mut Place) -> Result<Box<dyn Stage>, Refused>;

/// Reads the settings of a stage and makes it.
fn plain<T: DeserializeOwned>(settings: Value, build: fn(T) -> Result<Box<dyn Stage>, Refused>) -> Result<Box<dyn Stage>, Refused> {
    build(read(settings)?)
}

/// Reads settings; what is not there has its default.
pub(super) fn read<T: DeserializeOwned>(settings: Value) -> Result<T, Refused> {
    let settings = if settings.is_null() { Value::Mapping(Mapping::new()) } else { settings };
    serde_yaml_ng::from_value(settings).map_err(|e| explained(&e.to_string()))
}

const KINDS: &[(&str, Build)] = &[
    ("cri", |v, _| plain(v, cri::build)),
    ("decolorize", |v, _| plain(v, decolorize::build)),
    ("docker", |v, _| plain(v, docker::build)),
    ("drop", |v, _| plain(v, drop::build)),
    ("json", |v, _| plain(v, json::build)),
    ("label_drop", |v, _| plain(v, label_drop::build)),
    ("label_keep", |v, _| plain(v, label_keep::build)),
    // The names that Promtail has for them.
    ("labeldrop", |v, _| plain(v, label_drop::build)),
    ("labelallow", |v, _| plain(v, label_keep::build)),
    ("labels", |v, _| plain(v, labels::build)),
    ("limit", |v, _| plain(v, limit::build)),
    ("logfmt", |v, _| plain(v, logfmt::build)),
    ("match", matching::build),
    ("multiline", |v, _| plain(v, multiline::build)),
    ("output", |v, _| plain(v, output::build)),
    ("pack", |v, _| plain(v, pack::build)),
    ("pattern", |v, _| plain(v, pattern::build)),
    ("redact", |v, _| plain(v, redact::build)),
    ("regex", |v, _| plain(v, regex::build)),
    ("relabel", |v, _| plain(v, relabelling::build)),
    ("replace", |v, _| plain(v, replace::build)),
    ("sampling", |v, _| plain(v, sampling::build)),
    ("split_json", |v, _| plain(v, split_json::build)),
    ("static_labels", |v, _| plain(v, static_labels::build)),
    ("structured_metadata", |v, _| plain(v, structured_metadata::build)),
    ("template", |v, _| plain(v, template::build)),
    ("tenant", |v, _| plain(v, tenant::build)),
    ("timestamp", |v, _| plain(v, timestamp::build)),
    ("truncate", |v, _| plain(v, truncate::build)),
];

/// Stages that others have and we do not.
const UNSUPPORTED: &[&str] = &["eventlogmessage", "geoip", "luhn", "metrics", "structured_metadata_drop", "windowsevent"];

/// Whether there is a stage of this name.
pub(crate) fn is_known(name: &str) -> bool {
    KINDS.iter().any(|(n, _)| *n == name)
}

impl Place {
    /// Compiles a list of stages.
    fn list(&mut self, stages: &[Value]) -> Result<Pipeline, Refused> {
        let mut pipeline = Pipeline::default();
        for (i, stage) in stages.iter().enumerate() {
            let one = stage.as_mapping().filter(|m| m.len() == 1).and_then(|m| m.iter().next());
            let Some((Value::String(kind), settings)) = one else {
                return Err(format!(
                    "{}stage {}: write one name and its settings, for example `- json: {{expressions: ...}}`",
                    self.prefix,
                    i + 1
                ));
            };
            let name = format!("{}{i} {kind}", self.prefix);
            self.left = self.left.checked_sub(1).ok_or_else(|| format!("there are more than {} stages", limits::STAGES))?;
            let outer = std::mem::replace(&mut self.prefix, format!("{name}/"));
            let built = self.one(kind, settings.clone()).map_err(|e| format!("stage {} ({kind}): {e}", i + 1));
            self.prefix = outer;
            pipeline.stages.push((name, built?));
        }
        Ok(pipeline)
    }

    fn one(&mut self, kind: &str, settings: Value) -> Result<Box<dyn Stage>, Refused> {
        if let Some((_, build)) = KINDS.iter().find(|(n, _)| *n == kind) {
            return build(settings, self);
        }
        if UNSUPPORTED.contains(&kind) {
            return Err("this stage is not supported".into());
        }
        let names: Vec<&str> = KINDS.iter().map(|(n, _)| *n).collect();
        Err(match nearest(kind, &names) {
            Some(n) => format!("unknown stage; did you mean {n:?}?"),
            None => format!("unknown stage; there are {}", names.join(", ")),
        })
    }

    /// Compiles the stages inside the stage that is being compiled.
    pub(super) fn inner(&mut self, stages: &[Value]) -> Result<Pipeline, Refused> {
        if self.depth == limits::STAGE_DEPTH {
            return Err(format!("stages are nested more than {} deep", limits::STAGE_DEPTH));
        }
        self.depth += 1;
        let inner = self.list(stages);
        self.depth -= 1;
        inner
    }
}

/// Adds what was probably meant to serde's message about an unknown field.
pub(crate) fn explained(message: &str) -> String {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match words.split_first() {
        Some((given, known)) if message.contains("unknown field") => match nearest(given, known) {
            Some(n) => format!("unknown field `{given}`; did you mean `{n}`?"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}
