//! `tenant`: whose the line is, from a written value, something extracted or a label. A name that no tenant can have
//! changes nothing.

use base::Tenant;
use serde::Deserialize;

use super::parse::is_set;
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    label: Option<String>,
    source: Option<String>,
    value: Option<String>,
}

enum TenantStage {
    Label(String),
    Source(String),
    Value(Tenant),
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    let set = [&s.label, &s.source, &s.value].into_iter().filter(|t| is_set(t)).count();
    if set != 1 {
        return Err("exactly one of label, source and value is needed".into());
    }
    let stage = match s {
        Settings { label: Some(l), .. } if !l.is_empty() => TenantStage::Label(l),
        Settings { source: Some(n), .. } if !n.is_empty() => TenantStage::Source(n),
        Settings { value, .. } => TenantStage::Value(Tenant::new(&value.unwrap_or_default()).map_err(|e| e.message().to_owned())?),
    };
    Ok(Box::new(stage))
}

impl Stage for TenantStage {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let tenant = match self {
            TenantStage::Value(t) => Some(t.clone()),
            TenantStage::Label(name) => entry.labels.get(name).and_then(|t| Tenant::new(t).ok()),
            TenantStage::Source(name) => entry.extracted.text(name).and_then(|t| Tenant::new(&t).ok()),
        };
        entry.tenant = tenant.or(entry.tenant.take());
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    #[test]
    fn tenants_are_set() {
        assert_eq!(one("[tenant: {value: team}]", "a=1", "x"), "{a=\"1\"} @team x");
        assert_eq!(one("[tenant: {label: a}]", "a=1", "x"), "{a=\"1\"} @1 x");
        assert_eq!(one("[{logfmt: {mapping: {t: }}}, {tenant: {source: t}}]", "", "t=q"), "{} @q t=q");
        assert_eq!(one("[{tenant: {value: team}}, {tenant: {label: a}}]", "a=no/name", "x"), "{a=\"no/name\"} @team x");
        assert!(refused("[tenant: {}]").contains("exactly one of"));
        assert!(refused("[tenant: {value: a, label: b}]").contains("exactly one of"));
        assert!(refused("[tenant: {value: a/b}]").contains("not valid"));
    }
}
