//! What is found, and the rules, make a target.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use base::{Error, Labels, Result};

use super::job::Job;
use crate::label_set::LabelSet;
use crate::relabel::apply_to;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";

/// What is known of a target before the rules.
pub(super) type Found = BTreeMap<String, String>;

/// A target, ready to be scraped.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// What was found, with the defaults of its job.
    pub found: Found,
    /// Where its page is.
    pub url: String,
    /// The labels of all its series.
    pub labels: Labels,
    /// How often.
    pub interval: Duration,
    /// A page that takes longer does not come.
    pub timeout: Duration,
    /// It is not scraped, since its job has more targets than this.
    pub refused: Option<usize>,
}

/// What settings say of a target that is named: `host:port`, or a whole URL.
pub(super) fn named(text: &str) -> Found {
    let Some((scheme, rest)) = text.split_once("://") else { return BTreeMap::from([(ADDRESS.into(), text.into())]) };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let mut labels = BTreeMap::from([(SCHEME.into(), scheme.into()), (ADDRESS.into(), rest[..at].into())]);
    if at < rest.len() {
        labels.insert(PATH.into(), rest[at..].into());
    }
    labels
}

/// What becomes of labels that were found.
pub(super) struct Made {
    /// They, with the defaults of the job.
    pub found: Found,
    /// The target; none if rules leave it out. An error if the rules leave no address, or what they leave is no target.
    pub target: Result<Option<Target>>,
}

/// Makes a target of the labels that were found.
pub(super) fn of(job: &Job, found: &Found) -> Made {
    let mut set = LabelSet::default();
    found.iter().for_each(|(n, v)| set.set(n, v));
    let defaults = [
        ("job", job.job.clone()),
        (SCHEME, job.scheme.clone()),
        (PATH, job.path.clone()),
        (INTERVAL, text(job.interval)),
        (TIMEOUT, text(job.timeout)),
    ];
    let params = job.params.iter().filter_map(|(n, v)| Some((format!("{PARAM}{n}"), v.first()?.clone())));
    // What was found says it best, then the labels of the job.
    for (name, value) in job.labels.clone().into_iter().chain(defaults.map(|(n, v)| (n.to_owned(), v))).chain(params) {
        if set.get(&name).is_none() {
            set.set(&name, &value);
        }
    }
    let found: Found = set.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let target = after_rules(job, &found, set);
    Made { found, target }
}

fn after_rules(job: &Job, found: &Found, mut set: LabelSet) -> Result<Option<Target>> {
    if !apply_to(&job.relabel, &mut set) {
        return Ok(None);
    }
    let address = set.get(ADDRESS).unwrap_or("").to_owned();
    if address.is_empty() || address.contains('/') {
        return Err(Error::invalid(format!("{address:?} is not an address of a target")));
    }
    let (interval, timeout) = (duration(&set, INTERVAL)?, duration(&set, TIMEOUT)?);
    if timeout > interval {
        return Err(Error::invalid(format!("{address}: the timeout {} is longer than the interval {}", text(timeout), text(interval))));
    }
    let url = url(job, &set, &address)?;
    if set.get("instance").is_none() {
        set.set("instance", &address);
    }
    set.retain(|n| !n.starts_with("__"));
    Ok(Some(Target { found: found.clone(), url, labels: set.to_labels()?, interval, timeout, refused: None }))
}

fn text(d: Duration) -> String {
    base::units::format_duration_ns(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

fn duration(set: &LabelSet, name: &str) -> Result<Duration> {
    let written = set.get(name).unwrap_or("");
    match base::units::parse_duration_ns(written) {
        Ok(ns) if ns > 0 => Ok(Duration::from_nanos(ns as u64)),
        _ => Err(Error::invalid(format!("{name} is {written:?}, which is not a duration"))),
    }
}

/// The address of the page. Of a parameter with several values the rules may change the first, as in Prometheus.
fn url(job: &Job, set: &LabelSet, address: &str) -> Result<String> {
    let scheme = set.get(SCHEME).unwrap_or("");
    if scheme != "http" && scheme != "https" {
        return Err(Error::invalid(format!("{address}: {scheme:?} is neither http nor https")));
    }
    let path = set.get(PATH).unwrap_or("");
    let mut params: BTreeMap<&str, Vec<&str>> =
        job.params.iter().map(|(n, v)| (n.as_str(), v.iter().skip(1).map(String::as_str).collect())).collect();
    for (name, value) in set.iter().filter_map(|(n, v)| Some((n.strip_prefix(PARAM)?, v))) {
        params.entry(name).or_default().insert(0, value);
    }
    let slash = if path.starts_with(['/', '?']) || path.is_empty() { "" } else { "/" };
    let mut url = format!("{scheme}://{address}{slash}{path}");
    for (name, value) in params.iter().flat_map(|(n, v)| v.iter().map(move |v| (*n, *v))) {
        url.push(if url.contains('?') { '&' } else { '?' });
        escape(name, &mut url);
        url.push('=');
        escape(value, &mut url);
    }
    Ok(url)
}

/// As a query has it: everything but letters, digits and a few signs as `%XX`.
pub(super) fn escape(text: &str, out: &mut String) {
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(b)),
            // Writing to a string cannot fail.
            _ => _ = write!(out, "%{b:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(relabel: &str) -> Job {
        Job {
            job: "app".into(),
            labels: [("env".to_owned(), "prod".to_owned())].into(),
            params: [("module".to_owned(), vec!["a b".to_owned(), "c".to_owned()])].into(),
            relabel: serde_yaml_ng::from_str(relabel).unwrap(),
            ..Job::default()
        }
    }

    /// Rules, the target as it is named, its page and labels; `-` when it is left out, an error's part after `!`.
    const CASES: &[(&str, &str, &str)] = &[
        ("[]", "h:1", r#"http://h:1/metrics?module=a%20b&module=c {env="prod", instance="h:1", job="app"}"#),
        ("[]", "https://h/x?y=z", r#"https://h/x?y=z&module=a%20b&module=c {env="prod", instance="h", job="app"}"#),
        ("[{source_labels: [__address__], regex: 'h:.*', action: drop}]", "h:1", "-"),
        (
            "[{source_labels: [__address__], target_label: __param_module}, {target_label: __address__, replacement: 'prober:9115'}, {source_labels: [__param_module], target_label: instance}]",
            "h:1",
            r#"http://prober:9115/metrics?module=h%3A1&module=c {env="prod", instance="h:1", job="app"}"#,
        ),
        (
            "[{target_label: __scheme__, replacement: https}, {target_label: __metrics_path__, replacement: m}, {target_label: __scrape_interval__, replacement: 20s}, {regex: env, action: labeldrop}]",
            "h:1",
            r#"https://h:1/m?module=a%20b&module=c {instance="h:1", job="app"}"#,
        ),
        ("[{target_label: __address__, replacement: ''}]", "h:1", "!not an address"),
        ("[{target_label: __address__, replacement: 'h/x'}]", "h:1", "!not an address"),
        ("[{target_label: __scheme__, replacement: ftp}]", "h:1", "!neither http nor https"),
        ("[{target_label: __scrape_interval__, replacement: 5s}]", "h:1", "!longer than the interval"),
        ("[{target_label: __scrape_timeout__, replacement: soon}]", "h:1", "!not a duration"),
    ];

    #[test]
    fn rules_make_targets() {
        for (relabel, target, wanted) in CASES {
            let got = match of(&job(relabel), &named(target)).target {
                Ok(Some(t)) => format!("{} {}", t.url, t.labels),
                Ok(None) => "-".into(),
                Err(e) => format!("!{e}"),
            };
            let fits = wanted.strip_prefix('!').map_or(got == *wanted, |part| got.starts_with('!') && got.contains(part));
            assert!(fits, "{relabel} on {target}: {got}");
        }
    }
}
