//! What the system and its neighbours log: syslog and the journal.

use ::agent::files::From;
use ::agent::stages::Stages;
use ::agent::{Format, journal, syslog};

use super::super::layer;
use super::{Routes, labels_of, text};

/// A place where syslog is taken.
#[derive(Clone, Debug)]
pub struct Syslog {
    /// Its name in the ledger.
    pub name: String,
    /// Where, and how lines are labelled.
    pub settings: syslog::Settings,
    /// What becomes of each line.
    pub stages: Stages,
    /// Names of the endpoints that it goes to; empty for all.
    pub to: Vec<String>,
}

/// A journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The position is kept under it.
    pub name: String,
    /// Which, and how lines are labelled.
    pub settings: journal::Settings,
    /// What becomes of each line.
    pub stages: Stages,
    /// Names of the endpoints that it goes to; empty for all.
    pub to: Vec<String>,
}

pub fn syslog_of(i: usize, s: &layer::Syslog, routes: &Routes<'_>) -> Result<Syslog, String> {
    let at = |key: &str| format!("agent.sources.syslog[{i}].{key}");
    if s.tcp.is_none() && s.udp.is_none() {
        return Err(format!("{}: has no value, nor has udp; name an address, as in \"127.0.0.1:1514\"", at("tcp")));
    }
    Ok(Syslog {
        name: text(&s.name).unwrap_or_else(|| "syslog".into()),
        settings: syslog::Settings {
            tcp: text(&s.tcp),
            udp: text(&s.udp),
            job: text(&s.job).unwrap_or_else(|| "syslog".into()),
            labels: labels_of(&s.labels, &at("labels"))?,
            relabel: s.relabel.clone(),
        },
        stages: s.stages.clone(),
        to: routes.of(&s.to, Format::LokiPush, &format!("agent.sources.syslog[{i}]"))?,
    })
}

pub fn journal_of(i: usize, j: &layer::Journal, routes: &Routes<'_>) -> Result<Journal, String> {
    let at = |key: &str| format!("agent.sources.journal[{i}].{key}");
    let from = match text(&j.from).as_deref() {
        None | Some("end") => From::End,
        Some("start") => From::Start,
        Some(t) => return Err(format!("{}: {t:?} is neither end nor start", at("from"))),
    };
    Ok(Journal {
        name: text(&j.name).unwrap_or_else(|| "journal".into()),
        settings: journal::Settings {
            directory: text(&j.directory),
            from,
            job: text(&j.job).unwrap_or_else(|| "journal".into()),
            labels: labels_of(&j.labels, &at("labels"))?,
            relabel: j.relabel.clone(),
        },
        stages: j.stages.clone(),
        to: routes.of(&j.to, Format::LokiPush, &format!("agent.sources.journal[{i}]"))?,
    })
}
