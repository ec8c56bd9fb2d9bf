//! `redact`: hides secrets. Known forms of keys, tokens and passwords, and patterns of one's own; where a pattern has a
//! group named `secret`, that part alone is replaced.
//!
//! The rules find what has a form. They are a net, not a proof: what looks like any other word passes.

use ::regex::{Regex, RegexSet};
use lang::nearest::nearest;
use serde::Deserialize;

use super::parse::{pattern, source};
use super::state::Memory;
use super::{Entry, Moment, Refused, Stage, Step};

/// Name and form.
const RULES: &[(&str, &str)] = &[
    ("aws_access_key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("github_token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})"),
    ("gitlab_token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("slack_token", r"\bxox[abposr]-[A-Za-z0-9-]{10,}"),
    ("stripe_key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("google_api_key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("api_key_sk", r"\bsk-[A-Za-z0-9_-]{20,}"),
    ("npm_token", r"\bnpm_[A-Za-z0-9]{36}"),
    ("jwt", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    ("private_key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>(?s:.*?))(?:-----END|\z)"),
    ("authorization", r"(?i)\b(?:bearer|basic)\s+(?P<secret>[A-Za-z0-9._~+/-]{8,}=*)"),
    ("url_password", r"://[^\s:/@]+:(?P<secret>[^\s@/]+)@"),
    (
        "password",
        r#"(?i)(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|(?:access|auth|refresh)[_-]?token)["']?\s*[:=]\s*["']?(?P<secret>[^\s"'&,;}]{4,})"#,
    ),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    name: String,
    expression: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Names of known forms; all if absent.
    rules: Option<Vec<String>>,
    /// Forms of one's own.
    #[serde(default)]
    patterns: Vec<Own>,
    /// What a secret becomes; `$NAME` is the name of the rule.
    replacement: Option<String>,
    /// Secrets that match are left alone.
    #[serde(default)]
    allow: Vec<String>,
    source: Option<String>,
}

struct Rule {
    regex: Regex,
    /// Number of the group that is replaced; 0 is all of it.
    group: usize,
    by: String,
}

struct Redact {
    /// All forms at once: most lines have none.
    any: RegexSet,
    rules: Vec<Rule>,
    allow: Vec<Regex>,
    source: Option<String>,
}

pub(super) fn build(s: Settings) -> Result<Box<dyn Stage>, Refused> {
    source(&s.source)?;
    let names: Vec<&str> = RULES.iter().map(|(n, _)| *n).collect();
    let mut wanted: Vec<(&str, &str)> = vec![];
    for name in s.rules.as_deref().unwrap_or(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()) {
        let rule = RULES.iter().find(|(n, _)| n == name);
        wanted.push(*rule.ok_or_else(|| match nearest(name, &names) {
            Some(n) => format!("there is no rule {name:?}; did you mean {n:?}?"),
            None => format!("there is no rule {name:?}; there are {}", names.join(", ")),
        })?);
    }
    wanted.extend(s.patterns.iter().map(|o| (o.name.as_str(), o.expression.as_str())));
    if wanted.is_empty() {
        return Err("rules or patterns are required".into());
    }
    let replacement = s.replacement.unwrap_or_else(|| "<redacted:$NAME>".into());
    let mut rules = vec![];
    for (name, form) in wanted {
        let regex = pattern(form)?;
        let group = regex.capture_names().position(|n| n == Some("secret")).unwrap_or(0);
        rules.push(Rule { regex, group, by: replacement.replace("$NAME", name) });
    }
    let any = RegexSet::new(rules.iter().map(|r| r.regex.as_str())).map_err(|e| e.to_string())?;
    let allow = s.allow.iter().map(|t| pattern(t)).collect::<Result<_, _>>()?;
    Ok(Box::new(Redact { any, rules, allow, source: s.source }))
}

impl Redact {
    fn redacted(&self, text: &str) -> Option<String> {
        let found = self.any.matches(text);
        if !found.matched_any() {
            return None;
        }
        let mut text = text.to_owned();
        for i in &found {
            text = self.rules[i].apply(&text, &self.allow);
        }
        Some(text)
    }
}

impl Rule {
    fn apply(&self, text: &str, allow: &[Regex]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut last = 0;
        for found in self.regex.captures_iter(text) {
            let Some(secret) = found.get(self.group).filter(|m| !m.is_empty()) else { continue };
            // What another rule has hidden is no secret any more.
            if secret.as_str().starts_with("<redacted:") || secret.as_str() == self.by || allow.iter().any(|a| a.is_match(secret.as_str()))
            {
                continue;
            }
            out.push_str(&text[last..secret.start()]);
            out.push_str(&self.by);
            last = secret.end();
        }
        out.push_str(&text[last..]);
        out
    }
}

impl Stage for Redact {
    fn apply(&self, entry: &mut Entry, _: Moment, _: &mut Memory<'_>) -> Step {
        let redacted = entry.input(self.source.as_deref()).and_then(|t| self.redacted(&t));
        match (&self.source, redacted) {
            (_, None) => {}
            (None, Some(text)) => entry.line = text,
            (Some(name), Some(text)) => entry.extracted.set_text(name, text),
        }
        Step::On
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{one, refused};

    /// Secrets are put together here, so that no scanner takes this file for a leak.
    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        let a = |n: usize| "Ab1".repeat(n.div_ceil(3))[..n].to_owned();
        for (line, want) in [
            (format!("key AKIA{} used", "ABCDEFGH".repeat(2)), "key <redacted:aws_access_key> used"),
            (format!("t=ghp_{}", a(36)), "t=<redacted:github_token>"),
            (format!("xoxb-{}!", a(12)), "<redacted:slack_token>!"),
            (format!("eyJ{}.eyJ{}.{}", a(10), a(10), a(10)), "<redacted:jwt>"),
            (format!("Authorization: Bearer {}", a(20)), "Authorization: Bearer <redacted:authorization>"),
            ("postgres://app:hunter22@db:5432/x".into(), "postgres://app:<redacted:url_password>@db:5432/x"),
            (r#"{"password":"hunter22","user":"x"}"#.into(), r#"{"password":"<redacted:password>","user":"x"}"#),
            ("login?api_key=abcd1234&x=1".into(), "login?api_key=<redacted:password>&x=1"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----".into(),
                "-----BEGIN RSA PRIVATE KEY-----<redacted:private_key>-----END RSA PRIVATE KEY-----",
            ),
            ("the password policy changed".into(), "the password policy changed"),
        ] {
            assert_eq!(one("[redact: {}]", "", &line), format!("{{}} {want}"));
        }
    }

    #[test]
    fn rules_are_chosen_and_added() {
        let stages = "[redact: {rules: [password], patterns: [{name: card, expression: '\\b\\d{16}\\b'}], replacement: '[$NAME]', allow: ['^test']}]";
        assert_eq!(one(stages, "", "4111111111111111 pwd=abcd pwd=testing"), "{} [card] pwd=[password] pwd=testing");
        assert!(refused("[redact: {rules: [jwtt]}]").contains("did you mean \"jwt\"?"));
        assert!(refused("[redact: {rules: []}]").contains("required"));
    }
}
