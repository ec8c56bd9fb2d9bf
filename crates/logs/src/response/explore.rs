//! The bodies of the calls by which people look around: index statistics, labels, fields, patterns.

use serde_json::json;

use super::{comma_separated, put, write_string, write_warnings};
use crate::explore::{DetectedField, DetectedLabel, IndexStats, PatternSeries, Patterns};

/// The body of `index/stats`, which has no envelope.
pub fn index_stats(s: &IndexStats) -> Vec<u8> {
    json!({"streams": s.streams, "chunks": s.chunks, "bytes": s.bytes, "entries": s.entries}).to_string().into_bytes()
}

/// The body of `detected_labels`.
pub fn detected_labels(labels: &[DetectedLabel]) -> Vec<u8> {
    let labels: Vec<_> = labels.iter().map(|l| json!({"label": l.label, "cardinality": l.cardinality})).collect();
    json!({"detectedLabels": labels}).to_string().into_bytes()
}

/// The body of `detected_fields`. Structured metadata has no parsers, which is null.
pub fn detected_fields(fields: &[DetectedField], limit: usize) -> Vec<u8> {
    let one = |f: &DetectedField| {
        let mut field = json!({
            "label": f.label,
            "type": f.kind.name(),
            "cardinality": f.cardinality,
            "parsers": if f.parsers.is_empty() { serde_json::Value::Null } else { json!(f.parsers) },
        });
        if !f.json_path.is_empty() {
            field["jsonPath"] = json!(f.json_path);
        }
        field
    };
    json!({"fields": fields.iter().map(one).collect::<Vec<_>>(), "limit": limit}).to_string().into_bytes()
}

/// The body of `detected_field/{name}/values`.
pub fn detected_field_values(values: &[String], limit: usize) -> Vec<u8> {
    json!({"values": values, "limit": limit}).to_string().into_bytes()
}

/// The body of `patterns`.
pub fn patterns(patterns: &Patterns, warnings: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, "{\"status\":\"success\",\"data\":[");
    comma_separated(&mut out, &patterns.series, write_pattern);
    put(&mut out, "]");
    let mut warnings = warnings.to_vec();
    if patterns.is_partial {
        warnings.push(format!("there are more lines: these are the patterns of the newest {}", crate::limits::PATTERN_LINES));
    }
    write_warnings(&mut out, &warnings);
    put(&mut out, "}");
    out
}

fn write_pattern(out: &mut Vec<u8>, p: &PatternSeries) {
    put(out, "{\"pattern\":");
    write_string(out, &p.pattern);
    if !p.level.is_empty() {
        put(out, ",\"level\":");
        write_string(out, &p.level);
    }
    put(out, ",\"samples\":[");
    comma_separated(out, &p.samples, |out, (time_ns, n)| put(out, &format!("[{},{n}]", time_ns.div_euclid(1_000_000_000))));
    put(out, "]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::FieldType;

    #[test]
    fn bodies_have_the_shapes_that_clients_decode() {
        let field = |parsers, json_path| DetectedField { label: "a".into(), kind: FieldType::Int, cardinality: 2, parsers, json_path };
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        let got: serde_json::Value =
            serde_json::from_slice(&detected_fields(&[field(vec!["json"], vec!["a".into()]), field(vec![], vec![])], 7)).unwrap();
        assert_eq!(got["fields"][0], json!({"label": "a", "type": "int", "cardinality": 2, "parsers": ["json"], "jsonPath": ["a"]}));
        assert_eq!((&got["fields"][1]["parsers"], &got["limit"]), (&serde_json::Value::Null, &json!(7)));
        let series = vec![PatternSeries { pattern: "a <_>".into(), level: "info".into(), samples: vec![(5_000_000_000, 3)] }];
        assert_eq!(
            text(patterns(&Patterns { series, is_partial: false }, &[])),
            r#"{"status":"success","data":[{"pattern":"a <_>","level":"info","samples":[[5,3]]}]}"#
        );
        assert!(text(patterns(&Patterns { series: vec![], is_partial: true }, &[])).contains("\"warnings\":[\"there are more lines"));
    }
}
