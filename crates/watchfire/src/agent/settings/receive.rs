//! What is sent to the agent: who may, and what becomes of it.

use ::agent::receive::{self, firehose};
use ::agent::stages::Stages;

use super::super::layer;
use super::{labels_of, text};
use crate::settings::{Given, Secret, is_loopback, revealed};

/// Receivers.
#[derive(Clone, Debug, Default)]
pub struct Receive {
    /// Where they listen; empty for the address of the agent's page.
    pub listen: Vec<String>,
    /// What senders must know.
    pub token: Option<receive::Secret>,
    /// Loki push, with its stages.
    pub loki: Option<Stages>,
    /// OTLP over HTTP and gRPC.
    pub otlp: bool,
    /// Prometheus remote write.
    pub remote_write: bool,
    /// Amazon Data Firehose.
    pub firehose: Option<Firehose>,
}

impl Receive {
    /// Whether anything is received.
    pub fn is_wanted(&self) -> bool {
        self.takes_token() || self.firehose.is_some()
    }
    /// Whether there is a receiver that the token is for.
    fn takes_token(&self) -> bool {
        self.loki.is_some() || self.otlp || self.remote_write
    }
}

/// Amazon Data Firehose.
#[derive(Clone, Debug)]
pub struct Firehose {
    /// The key that the delivery stream sends.
    pub access_key: Option<receive::Secret>,
    /// What lines are labelled with.
    pub settings: firehose::Settings,
    /// What becomes of each line.
    pub stages: Stages,
}

/// Checks the section. `page` is where the agent shows itself.
pub fn resolve(r: &layer::Receive, page: &str) -> Result<Receive, String> {
    let out = Receive {
        listen: r.listen.0.iter().map(|g| g.0.0.clone()).collect(),
        token: secret(&r.token, "agent.receive.token")?,
        loki: r.loki.as_ref().map(|l| l.stages.clone()),
        otlp: r.otlp.as_ref().is_some_and(|g| g.0.0),
        remote_write: r.remote_write.as_ref().is_some_and(|g| g.0.0),
        firehose: r.firehose.as_ref().map(firehose_of).transpose()?,
    };
    let insecure = r.insecure.as_ref().is_some_and(|g| g.0.0);
    if !out.is_wanted() || insecure {
        return Ok(out);
    }
    let (key, addresses) = match out.listen.as_slice() {
        [] => ("agent.listen", vec![page]),
        own => ("agent.receive.listen", own.iter().map(String::as_str).collect()),
    };
    for listen in addresses {
        let open =
            |what: &str| Err(format!("{key}: {listen} can be reached by others: set {what}, or allow it without one by `insecure: true`"));
        let reached = !is_loopback(listen, key, 3101)?;
        if reached && out.takes_token() && out.token.is_none() {
            return open("agent.receive.token");
        }
        if reached && out.firehose.as_ref().is_some_and(|f| f.access_key.is_none()) {
            return open("agent.receive.firehose.access_key");
        }
    }
    Ok(out)
}

fn firehose_of(f: &layer::Firehose) -> Result<Firehose, String> {
    let otherwise = firehose::Settings::default();
    Ok(Firehose {
        access_key: secret(&f.access_key, "agent.receive.firehose.access_key")?,
        settings: firehose::Settings {
            job: text(&f.job).unwrap_or(otherwise.job),
            labels: labels_of(&f.labels, "agent.receive.firehose.labels")?,
            relabel: f.relabel.clone(),
        },
        stages: f.stages.clone(),
    })
}

fn secret(given: &Option<Given<Secret>>, at: &str) -> Result<Option<receive::Secret>, String> {
    let read = |g: &Given<Secret>| receive::Secret::new(&revealed(&g.0, at)?).map_err(|e| format!("{at}: {e}"));
    given.as_ref().map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::load;

    fn of(text: &str) -> Result<Receive, String> {
        let text = format!("agent: {{ receive: {text} }}");
        let file = load::parse_as::<layer::File>("agent.yaml", &text).map_err(|e| e.to_string())?;
        super::resolve(&file.agent.receive, "127.0.0.1:3101")
    }

    #[test]
    fn nothing_is_received_unless_it_is_asked_for() {
        assert!(!of("{}").unwrap().is_wanted());
        assert!(of("{ loki: {} }").unwrap().loki.is_some());
        let otlp = of("{ otlp: true, listen: 127.0.0.1:4318 }").unwrap();
        assert!(otlp.otlp && otlp.listen == ["127.0.0.1:4318"]);
        assert_eq!(of("{ otlp: true, listen: [127.0.0.1:4317, 127.0.0.1:4318] }").unwrap().listen.len(), 2);
    }

    #[test]
    fn others_must_know_the_secret() {
        for (text, said) in [
            ("{ loki: {}, listen: 0.0.0.0:3100 }", "set agent.receive.token"),
            ("{ firehose: {}, listen: 0.0.0.0:3100, token: x }", "set agent.receive.firehose.access_key"),
            ("{ otlp: true, listen: [127.0.0.1:4317, 0.0.0.0:4318] }", "agent.receive.listen: 0.0.0.0:4318 can be reached"),
            ("{ otlp: true, listen: { a: b } }", "a value or a list of values"),
            ("{ otlp: true, token: \"a b\" }", "agent.receive.token: a token or key is"),
            ("{ lokki: {} }", "did you mean \"loki\""),
        ] {
            let e = of(text).unwrap_err();
            assert!(e.contains(said), "{text}: {e}");
        }
        for text in [
            "{ loki: {}, listen: 0.0.0.0:3100, token: t0ken }",
            "{ loki: {}, listen: 0.0.0.0:3100, insecure: true }",
            "{ firehose: { access_key: k3y }, listen: 0.0.0.0:3100 }",
        ] {
            let debug = format!("{:?}", of(text).unwrap());
            assert!(!debug.contains("t0ken") && !debug.contains("k3y"), "{debug}");
        }
    }
}
