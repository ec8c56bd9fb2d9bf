//! Spans, trace by trace, by id.

use serde::Deserialize;

use super::super::client::Client;
use super::super::rows::spans;
use super::Tally;

#[derive(Deserialize)]
struct Trace {
    #[serde(default)]
    batches: Vec<Batch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    #[serde(default)]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    span_id: String,
    name: String,
    start_time_unix_nano: String,
}

/// Reads every acknowledged trace of the run, a few at a time.
pub fn read(client: &Client, tally: &mut Tally) -> anyhow::Result<()> {
    let batches: Vec<u64> = tally.acknowledged.keys().copied().collect();
    for batch in batches {
        if !tally.is_mine() {
            continue;
        }
        let tenant = tally.run.tenant_of(batch);
        for trace in spans::traces_of(tally.run, batch) {
            let id: String = spans::trace_id(tally.run, trace).iter().map(|b| format!("{b:02x}")).collect();
            tally.queries += 1;
            // A trace that is not there is 404; its spans are then missing.
            if let Some(body) = client.get(&format!("/api/traces/{id}"), &[], tenant.as_deref())? {
                let answer: Trace = serde_json::from_slice(&body)?;
                answer.batches.iter().flat_map(|b| &b.scope_spans).flat_map(|s| &s.spans).for_each(|span| count(tally, trace, span));
            }
        }
    }
    Ok(())
}

fn count(tally: &mut Tally, trace: u64, span: &Span) {
    let mut of_trace = spans::spans_of(tally.run, trace);
    let Some(sequence) = of_trace.find(|s| is_id(&span.span_id, &spans::span_id(*s))) else {
        return tally.altered(|| format!("trace {trace} has a span of no number: {}", span.span_id));
    };
    tally.saw(sequence);
    let start = tally.batch_ns(sequence).map(|b| spans::start_ns(tally.run, sequence, b).to_string());
    if span.name != spans::name(tally.run, sequence) || start.is_some_and(|t| t != span.start_time_unix_nano) {
        tally.altered(|| format!("trace {trace}: {} {} {}", span.span_id, span.name, span.start_time_unix_nano));
    }
}

/// Whether a text is this id, in hex or in the base64 of protobuf's JSON.
fn is_id(text: &str, id: &[u8; 8]) -> bool {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if text.len() == 16 {
        return text.bytes().zip(id.iter().flat_map(|b| [b >> 4, b & 15])).all(|(c, v)| char::from(c).to_digit(16) == Some(u32::from(v)));
    }
    let bits = u128::from(u64::from_be_bytes(*id)) << 2;
    text.trim_end_matches('=').len() == 11 && text.bytes().zip((0..11).rev()).all(|(c, i)| c == DIGITS[(bits >> (6 * i)) as usize & 63])
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn ids_in_both_spellings() {
        let id = [0xEE, 0xE1, 0x9B, 0x7E, 0xC3, 0xC1, 0xB1, 0x74];
        assert!(is_id("eee19b7ec3c1b174", &id));
        assert!(is_id("7uGbfsPBsXQ=", &id));
        assert!(!is_id("eee19b7ec3c1b175", &id));
        assert!(!is_id("7uGbfsPBsXR=", &id), "another last digit");
        assert!(!is_id("", &id));
    }
}
