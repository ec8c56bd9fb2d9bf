//! Files that are right, files that are wrong with the words that say so, and how layers stack.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layer::Layer;
use super::resolve::{Caps, Keep, Settings};
use super::value::{Given, ProfileName};
use super::{defaults, keys, load, profile, show};

const DAY: i64 = 86_400_000_000_000;

fn fixtures(ending: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/settings/fixtures");
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.to_string_lossy().ends_with(ending));
    found.sort();
    assert!(!found.is_empty());
    found
}

fn layer(text: &str) -> Layer {
    load::parse("test.yaml", text).unwrap()
}

#[test]
fn good_files_are_read() {
    for path in fixtures(".good.yaml") {
        let file = load::read(&path).unwrap_or_else(|e| panic!("{e}"));
        Settings::compose(file, Layer::default()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

#[test]
fn bad_files_are_refused_in_these_words() {
    for path in fixtures(".bad.yaml") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let said = match load::parse(&name, &text) {
            Err(e) => e.to_string(),
            Ok(file) => Settings::compose(file, Layer::default()).map(|_| ()).expect_err(&name),
        };
        let want = std::fs::read_to_string(path.with_extension("error")).unwrap();
        assert_eq!(said, want.trim_end(), "{name}");
    }
}

#[test]
fn the_whole_file_comes_out_as_it_was_written() {
    let path = fixtures("whole.good.yaml").remove(0);
    let (s, stack) = Settings::compose(load::read(&path).unwrap(), Layer::default()).unwrap();
    assert_eq!(s.limits, Caps { rate: Some(8_000_000), burst: Some(16_000_000), stream_rate: None, stream_burst: None });
    assert_eq!(s.retention, Keep { logs: Some(14 * DAY), metrics: None, traces: Some(DAY * 3 / 2) });
    let own = &s.tenants[&base::Tenant::new("team-a").unwrap()];
    assert_eq!((own.logs, own.traces), (Some(2 * DAY), Some(DAY * 3 / 2)));
    assert_eq!((s.memory_bytes, s.server.body_bytes, s.server.query_timeout), (512 << 20, 8 << 20, Duration::from_secs(90)));
    let all = server::QueryLimits {
        range_ns: Some(30 * DAY),
        bytes: Some(10 << 30),
        series: Some(1000),
        time: Some(Duration::from_secs(60)),
        at_once: Some(4),
    };
    assert_eq!(*s.server.query_limits_of(&base::Tenant::default()), all);
    let own = server::QueryLimits { bytes: None, at_once: Some(2), ..all };
    assert_eq!(*s.server.query_limits_of(&base::Tenant::new("team-a").unwrap()), own);
    let rules: Vec<_> =
        s.stream_retention.iter().map(|r| (r.tenant.as_ref().map(|t| t.as_str()), r.keep_ns, r.selector.as_str())).collect();
    assert_eq!(rules, [(None, 2 * DAY, "{app=\"debug\"}"), (Some("team-a"), DAY, "{app=~\"a|b\"}")]);
    assert_eq!(s.storage.max_bytes, Some(1 << 40));
    assert!(s.server.token.is_some());
    assert_eq!((s.otlp.listen.as_slice(), s.otlp.is_wanted), (&["0.0.0.0:4317".to_owned()][..], true));
    let c = s.cluster.as_ref().unwrap();
    assert_eq!((c.name.as_str(), c.zone.as_str(), c.replication, c.refuse_degraded), ("prod", "eu-1a", 3, true));
    assert_eq!(c.join, ["10.0.0.2:3101", "nodes.example.org:3101"]);
    assert_eq!((c.listen.as_str(), c.advertise.as_deref()), ("0.0.0.0:3101", Some("10.0.0.1:3101")));
    assert_eq!(c.tls.as_ref().unwrap().name.as_deref(), Some("nodes.example.org"));
    let storage = s.storage.bucket.as_ref().unwrap();
    assert_eq!((storage.url.as_str(), storage.secret_key.as_str()), ("s3://bucket/prefix", "secret-key"));
    assert_eq!(s.storage.cache_bytes, 1 << 30);
    let shown = show(&stack);
    assert!(shown.contains(&("auth.token", "(hidden)".into())), "{shown:?}");
    assert!(!format!("{shown:?}{stack:?}{s:?}").contains("secret-"));
}

#[test]
fn without_a_profile_nothing_is_limited_and_everything_kept() {
    let (s, _) = Settings::compose(Layer::default(), Layer::default()).unwrap();
    assert_eq!((s.limits, s.retention), (Caps::default(), Keep::default()));
    assert_eq!((s.otlp.listen.len(), s.otlp.is_wanted), (2, false), "nobody asked for the usual ports");
    assert!(s.stream_retention.is_empty() && s.storage.max_bytes.is_none());
}

#[test]
fn profiles_lie_between_the_defaults_and_the_file_and_flags_on_top() {
    let caps = |rate, burst, stream_rate, stream_burst| {
        let mb = |n: u64| Some(n * 1_000_000);
        Caps { rate: mb(rate), burst: mb(burst), stream_rate: mb(stream_rate), stream_burst: mb(stream_burst) }
    };
    for (name, want, days) in [
        (ProfileName::Dev, caps(4, 6, 3, 15), 30),
        (ProfileName::Staging, caps(10, 20, 5, 20), 30),
        (ProfileName::Prod, caps(10, 20, 5, 20), 90),
    ] {
        let flags = Layer { profile: Some(Given(name)), ..Layer::default() };
        let (s, _) = Settings::compose(Layer::default(), flags.clone()).unwrap();
        assert_eq!(s.limits, want, "{name:?}");
        assert_eq!(s.retention, Keep { logs: Some(days * DAY), metrics: Some(days * DAY), traces: Some(days * DAY) });
        let (s, _) = Settings::compose(layer("profile: dev\nlimits: { rate: 7MB }\nretention: { logs: none }"), flags).unwrap();
        assert_eq!(s.limits, Caps { rate: Some(7_000_000), ..want });
        assert_eq!((s.retention.logs, s.retention.traces), (None, Some(days * DAY)));
    }
}

#[test]
fn an_open_address_needs_a_token_or_consent() {
    let try_with = |text: &str| Settings::compose(layer(text), Layer::default()).map(|_| ());
    for open in ["0.0.0.0:3100", "'[::]:3100'", "192.168.0.7:3100", "example.org:3100"] {
        assert!(try_with(&format!("listen: {open}")).is_err(), "{open}");
        assert!(try_with(&format!("listen: {open}\ninsecure: true")).is_ok(), "{open}");
        assert!(try_with(&format!("listen: {open}\nauth: {{ token: abc }}")).is_ok(), "{open}");
    }
    for own in ["127.0.0.1:0", "'[::1]:3100'", "localhost:3100"] {
        assert!(try_with(&format!("listen: {own}")).is_ok(), "{own}");
    }
}

#[test]
fn a_token_can_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("auth: {{ token: 'file:{}' }}", file.path().display());
    assert!(Settings::compose(layer(&text), Layer::default()).unwrap_err().contains("auth.token"));
    std::io::Write::write_all(&mut file.as_file(), b"abc\n").unwrap();
    assert!(Settings::compose(layer(&text), Layer::default()).unwrap().0.server.token.is_some());
}

/// The table of keys is what the reader takes: in each section, the keys that the reader says are allowed.
#[test]
fn the_table_of_keys_is_complete() {
    let allowed = |text: &str| -> Option<Vec<String>> {
        // Tenants name themselves.
        let message = load::parse("t", text).err().filter(|_| !text.contains("tenants"))?.message;
        Some(message.split("Allowed here: ").nth(1)?.split(", ").map(str::to_owned).collect())
    };
    // A key is a section if it says which keys it allows.
    fn walk(above: &[String], allowed: &dyn Fn(&str) -> Option<Vec<String>>, found: &mut Vec<String>) {
        let text = above.iter().map(|k| format!("{{ {k}: ")).collect::<String>() + "{ nonsense_: 1 }" + &" }".repeat(above.len());
        match allowed(&text) {
            Some(keys) => keys.into_iter().for_each(|k| walk(&[above, &[k]].concat(), allowed, found)),
            None => found.push(above.join(".")),
        }
    }
    let mut from_reader = vec![];
    walk(&[], &allowed, &mut from_reader);
    let mut from_table: Vec<&str> = keys::KEYS.iter().map(|k| k.path).collect();
    from_reader.sort();
    from_table.sort_unstable();
    assert_eq!(from_table, from_reader);
    // Every key that can have a default has one, or the reference page would have a hole.
    let shown = show(&defaults());
    let without = ["profile", "auth.token", "tenants", "cluster.name", "cluster.advertise", "cluster.secret", "cluster.zone"];
    let bucket =
        |path: &str| path.starts_with("storage.") && !matches!(path, "storage.cache_size" | "storage.max_size" | "storage.erase_after");
    for k in keys::KEYS.iter().filter(|k| !without.contains(&k.path) && !k.path.starts_with("cluster.tls.") && !bucket(k.path)) {
        assert!(shown.iter().any(|(p, _)| *p == k.path), "{} has no default", k.path);
    }
    assert!(!show(&profile(ProfileName::Dev)).is_empty());
}
