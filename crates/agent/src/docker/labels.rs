//! Labels of a container's lines, and which containers are collected.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Labels, LabelsBuilder, Result};

use super::Settings;
use super::engine::Listed;
use super::entry::Pipe;

/// Names and values that begin with `__`, for relabelling.
pub type Meta = BTreeMap<String, String>;

/// Makes the labels of a stream of its meta labels and the labels that it would have; none leaves it out.
pub type Relabel = Arc<dyn Fn(&Meta, &Labels) -> Option<Labels> + Send + Sync>;

const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// The `__meta_docker_*` labels of a container, as Prometheus names them. Of several networks or ports it has the first
/// by name or number. What only the list of networks tells (scope, internal, ingress, labels) is not among them.
pub fn meta(c: &Listed, pipe: Pipe) -> Meta {
    let mut m = Meta::new();
    let mut put = |name: &str, value: &str| m.insert(format!("__meta_docker_{name}"), value.to_owned());
    put("container_id", &c.id);
    put("container_name", &format!("/{}", c.name()));
    put("container_network_mode", c.network_mode());
    put("container_log_stream", pipe.name());
    for (name, value) in c.labels() {
        put(&format!("container_label_{}", sanitize(name)), value);
    }
    if let Some((name, n)) = c.networks().next() {
        put("network_name", name);
        put("network_id", &n.id);
        put("network_ip", &n.ip);
    }
    if let Some(p) = c.ports().iter().min_by_key(|p| p.private_port) {
        put("port_private", &p.private_port.to_string());
        if let Some(public) = p.public_port {
            put("port_public", &public.to_string());
            put("port_public_ip", p.ip.as_deref().unwrap_or_default());
        }
    }
    m
}

/// The labels that lines have where nothing else is said. Those of the settings come first, then: `job`, `container`,
/// `service_name` (the compose service, or else the container), `compose_project`, `compose_service`, `image`, `host`,
/// `stream`.
pub fn default(c: &Listed, pipe: Pipe, settings: &Settings, host: &str) -> Result<Labels> {
    let mut b = LabelsBuilder::default();
    for (name, value) in &settings.labels {
        b.push(name, value);
    }
    let service = c.label(COMPOSE_SERVICE);
    let own = [
        ("job", settings.job.as_str()),
        ("container", c.name()),
        ("service_name", service.unwrap_or_else(|| c.name())),
        ("compose_project", c.label(COMPOSE_PROJECT).unwrap_or_default()),
        ("compose_service", service.unwrap_or_default()),
        ("image", c.image.as_str()),
        ("host", host),
        ("stream", pipe.name()),
    ];
    for (name, value) in own {
        if !b.contains(name) {
            b.push(name, value);
        }
    }
    b.finish()
}

/// Whether the settings ask for this container.
pub fn is_wanted(c: &Listed, s: &Settings) -> bool {
    let named = |patterns: &[String]| patterns.iter().any(|p| wildcard(p.as_bytes(), c.name().as_bytes()));
    let labelled = |patterns: &[String]| {
        patterns.iter().any(|p| match p.split_once('=') {
            Some((name, value)) => c.label(name).is_some_and(|v| wildcard(value.as_bytes(), v.as_bytes())),
            None => c.label(p).is_some(),
        })
    };
    let all = s.include_names.is_empty() && s.include_labels.is_empty();
    (all || named(&s.include_names) || labelled(&s.include_labels)) && !named(&s.exclude_names) && !labelled(&s.exclude_labels)
}

/// Whether all of `text` fits `pattern`, in which `*` is any text and `?` one byte.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and the first byte that it has not taken yet.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((behind, from)) = star else { return false };
                star = Some((behind, from + 1));
                (p, t) = (behind, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// A name as labels may have it.
pub(crate) fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Listed {
        let labels = [(COMPOSE_PROJECT, "shop"), (COMPOSE_SERVICE, "web"), ("tier", "front"), ("name", "shop-web-1"), ("image", "nginx:1")];
        Listed::of_event("abc", labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into())
    }

    #[test]
    fn labels_of_a_compose_service_and_of_a_container_alone() {
        let mut s = Settings::default();
        let l = default(&web(), Pipe::Stderr, &s, "h1").unwrap();
        let expected = [
            ("compose_project", "shop"),
            ("compose_service", "web"),
            ("container", "shop-web-1"),
            ("host", "h1"),
            ("image", "nginx:1"),
            ("job", "docker"),
            ("service_name", "web"),
            ("stream", "stderr"),
        ];
        assert_eq!(l, Labels::from_pairs(expected).unwrap());
        s.labels.insert("service_name".into(), "mine".into());
        let alone = Listed::of_event("0123456789abcdef", BTreeMap::new());
        let l = default(&alone, Pipe::Stdout, &s, "h1").unwrap();
        assert_eq!((l.get("container"), l.get("service_name"), l.get("compose_project")), (Some("0123456789ab"), Some("mine"), None));
    }

    #[test]
    fn meta_labels() {
        let m = meta(&web(), Pipe::Stdout);
        let get = |n: &str| m.get(&format!("__meta_docker_{n}")).map(String::as_str);
        assert_eq!(
            (get("container_id"), get("container_name"), get("container_log_stream")),
            (Some("abc"), Some("/shop-web-1"), Some("stdout"))
        );
        assert_eq!((get("container_label_com_docker_compose_service"), get("network_name")), (Some("web"), None));
    }

    #[test]
    fn wildcards() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "axxbyybc", true),
            ("a*b", "abc", false),
            ("?", "", false),
            ("a?c*", "abc", true),
            ("**", "x", true),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn filters() {
        let wanted = |change: fn(&mut Settings)| {
            let mut s = Settings::default();
            change(&mut s);
            is_wanted(&web(), &s)
        };
        assert!(wanted(|_| {}));
        assert!(wanted(|s| s.include_names = vec!["shop-*".into()]));
        assert!(!wanted(|s| s.include_names = vec!["shop".into()]));
        assert!(wanted(|s| s.include_labels = vec!["tier=fr?nt".into()]));
        assert!(wanted(|s| s.include_labels = vec!["tier".into()]));
        assert!(!wanted(|s| s.include_labels = vec!["tier=back".into()]));
        assert!(!wanted(|s| s.exclude_names = vec!["*-1".into()]));
        assert!(!wanted(|s| s.exclude_labels = vec!["tier".into()]));
    }
}
