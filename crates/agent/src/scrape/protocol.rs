//! The forms in which a page can come: what is asked for, and what it came as.

use base::{Error, Result};

/// A form, by the name that Prometheus' settings (`scrape_protocols`) give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `PrometheusProto`: the only one with native histograms.
    Protobuf,
    /// `OpenMetricsText1.0.0`
    OpenMetrics1,
    /// `OpenMetricsText0.0.1`
    OpenMetrics0,
    /// `PrometheusText1.0.0`
    Text1,
    /// `PrometheusText0.0.4`
    Text0,
}

use Protocol::{OpenMetrics0, OpenMetrics1, Protobuf, Text0, Text1};

/// How a target writes names that are not of the old form (`[a-zA-Z_:][a-zA-Z0-9_:]*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// As they are, in quotes.
    #[default]
    AllowUtf8,
    /// Other signs as `_`.
    Underscores,
    /// Dots as `_dot_`, `_` as `__`.
    Dots,
    /// `U__` and other signs by their number.
    Values,
}

impl Escaping {
    const ALL: [(Escaping, &str); 4] = [
        (Escaping::AllowUtf8, "allow-utf-8"),
        (Escaping::Underscores, "underscores"),
        (Escaping::Dots, "dots"),
        (Escaping::Values, "values"),
    ];

    /// The one of this name.
    ///
    /// # Errors
    /// `Invalid`, with the names that there are.
    pub fn from_name(name: &str) -> Result<Escaping> {
        Self::ALL.iter().find(|e| e.1 == name).map(|e| e.0).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|e| e.1).collect();
            Error::invalid(format!("{name:?} is none of {}", names.join(", ")))
        })
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|e| e.0 == self).map_or("allow-utf-8", |e| e.1)
    }
}

/// Name in the settings, and what is asked for over HTTP.
const ALL: [(Protocol, &str, &str); 5] = [
    (Protobuf, "PrometheusProto", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"),
    (OpenMetrics1, "OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0"),
    (OpenMetrics0, "OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1"),
    (Text1, "PrometheusText1.0.0", "text/plain;version=1.0.0"),
    (Text0, "PrometheusText0.0.4", "text/plain;version=0.0.4"),
];

impl Protocol {
    /// What is asked for where nothing is said; as in Prometheus, protobuf comes first where native histograms are wanted.
    pub fn defaults(native_histograms: bool) -> Vec<Protocol> {
        let first = native_histograms.then_some(Protobuf);
        first.into_iter().chain([OpenMetrics1, OpenMetrics0, Text1, Text0]).collect()
    }

    /// The form of this name.
    ///
    /// # Errors
    /// `Invalid`, with the names that there are.
    pub fn from_name(name: &str) -> Result<Protocol> {
        ALL.iter().find(|p| p.1 == name).map(|p| p.0).ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|p| p.1).collect();
            Error::invalid(format!("{name:?} is no form of pages; there are {}", names.join(", ")))
        })
    }

    /// The forms of these names, in the order in which they are liked.
    ///
    /// # Errors
    /// `Invalid` for a name that is none or stands there twice, and for an empty list.
    pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Protocol>> {
        let mut all = vec![];
        for name in names {
            let p = Protocol::from_name(name)?;
            if all.contains(&p) {
                return Err(Error::invalid(format!("{name:?} stands there twice")));
            }
            all.push(p);
        }
        if all.is_empty() {
            return Err(Error::invalid("no form of pages is named"));
        }
        Ok(all)
    }
}

/// The header `Accept` that asks for these, the first one most of all, and takes anything else: to the letter that of Prometheus 3.
pub(super) fn accept(protocols: &[Protocol], escaping: Escaping) -> String {
    let mut weight = ALL.len() + 1;
    let mut out = String::new();
    for p in protocols {
        let (.., media) = ALL.iter().find(|a| a.0 == *p).expect("every form is in the list");
        out += media;
        // The older forms know no names but those of the old form.
        if matches!(p, OpenMetrics1 | Text1) {
            out += &format!(";escaping={}", escaping.name());
        }
        out += &format!(";q=0.{weight},");
        weight -= 1;
    }
    out + &format!("*/*;q=0.{weight}")
}

/// What a page came as, by its content type; `otherwise`, or else as text, where that says nothing that is known.
pub(super) fn came_as(content_type: Option<&str>, otherwise: Option<Protocol>) -> Protocol {
    let content_type = content_type.unwrap_or("");
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or("");
    let is = |wanted: &str| media.eq_ignore_ascii_case(wanted);
    let says = |wanted: &str| parts.clone().any(|p| p.eq_ignore_ascii_case(wanted));
    if is("application/vnd.google.protobuf") && says("proto=io.prometheus.client.MetricFamily") && says("encoding=delimited") {
        return Protobuf;
    }
    if is("application/openmetrics-text") {
        return OpenMetrics1;
    }
    if is("text/plain") { Text0 } else { otherwise.unwrap_or(Text0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        assert_eq!(
            accept(&Protocol::defaults(false), Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "what a Prometheus 3.5.3 sends"
        );
        assert_eq!(
            accept(&[Protobuf, Text1], Escaping::Dots),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             text/plain;version=1.0.0;escaping=dots;q=0.5,*/*;q=0.4"
        );
        assert_eq!(accept(&[Text0], Escaping::Values), "text/plain;version=0.0.4;q=0.6,*/*;q=0.5");
        assert!(Escaping::from_name("values").is_ok_and(|e| e == Escaping::Values) && Escaping::from_name("none").is_err());
        assert!(!Protocol::defaults(false).contains(&Protobuf));
    }

    #[test]
    fn names() {
        assert_eq!(Protocol::list(["PrometheusProto", "PrometheusText0.0.4"]).unwrap(), [Protobuf, Text0]);
        for (names, said) in [
            (&["nonsense"][..], "\"nonsense\" is no form of pages; there are PrometheusProto, "),
            (&["PrometheusProto", "PrometheusProto"], "twice"),
            (&[], "no form"),
        ] {
            let e = Protocol::list(names.iter().copied()).expect_err(said).to_string();
            assert!(e.contains(said), "{e}");
        }
    }

    #[test]
    fn what_a_page_came_as() {
        let delimited = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        for (content_type, otherwise, wanted) in [
            (Some(delimited), None, Protobuf),
            (Some("Application/VND.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily"), None, Protobuf),
            (Some("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text"), None, Text0),
            (Some("application/openmetrics-text; version=1.0.0; charset=utf-8"), None, OpenMetrics1),
            (Some("text/plain; version=0.0.4"), Some(Protobuf), Text0),
            (Some("application/octet-stream"), Some(Protobuf), Protobuf),
            (None, Some(OpenMetrics1), OpenMetrics1),
            (None, None, Text0),
        ] {
            assert_eq!(came_as(content_type, otherwise), wanted, "{content_type:?}");
        }
    }
}
