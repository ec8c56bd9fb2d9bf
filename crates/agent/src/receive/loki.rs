//! Loki push: `logproto.PushRequest` as protobuf in a snappy block, or its JSON form, compressed in any usual way.

use base::{Error, LabelsBuilder, Result, Tenant};
use bytes::Bytes;
use wire::Encoding;
use wire::encoding::{media_type, shorten};
use wire::loki::{Streams, json, labels};
use wire::proto::{Writer, repeated};

use super::{Refused, Request, bounded, decoded};
use crate::deliver::{Line, Stream};
use crate::limits;

/// A push whose streams can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The protobuf form, without what is refused.
    pub body: Bytes,
    /// Its lines.
    pub rows: u64,
    /// Why streams are refused, for the sender; empty if none is.
    pub refused: Vec<String>,
}

/// Reads a push and checks it. Streams whose label set is none are left out and named.
pub fn read(request: &Request) -> std::result::Result<Push, Refused> {
    let plain = plain(request)?;
    Ok(checked(plain)?)
}

fn plain(request: &Request) -> std::result::Result<Bytes, Refused> {
    let encoding = |snappy| Encoding::from_header(request.header("content-encoding"), snappy);
    match media_type(request.header("content-type").unwrap_or("")).as_str() {
        "" | "application/x-protobuf" => {
            // Whoever names no encoding sends snappy all the same, as Loki has it.
            let encoding = match encoding(Encoding::SnappyBlock)? {
                Encoding::Identity => Encoding::SnappyBlock,
                other => other,
            };
            Ok(decoded(encoding, &request.body)?)
        }
        "application/json" => {
            let text = decoded(encoding(Encoding::SnappyFramed)?, &request.body)?;
            Ok(json::to_protobuf(&text)?.into())
        }
        other => Err(Refused::MediaType(format!(
            "Content-Type {:?} is not supported: use application/json or application/x-protobuf",
            shorten(other)
        ))),
    }
}

fn checked(body: Bytes) -> Result<Push> {
    let mut push = Push { body: Bytes::new(), rows: 0, refused: vec![] };
    let (mut good, mut refused) = (vec![], 0);
    for (stream, message) in Streams::new(&body).zip(repeated(&body, 1)) {
        let (stream, message) = (stream?, message?);
        let mut rows = 0;
        for entry in stream.entries() {
            for pair in entry?.metadata() {
                pair?;
            }
            rows += 1;
        }
        match labels_of(stream.labels) {
            Ok(_) => {
                push.rows += rows;
                good.push(message);
            }
            Err(e) => {
                refused += 1;
                if push.refused.len() < limits::REFUSALS_NAMED {
                    push.refused.push(e.message().to_owned());
                }
            }
        }
        bounded(push.rows)?;
    }
    if refused > push.refused.len() {
        push.refused.push(format!("and {} streams more", refused - push.refused.len()));
    }
    if refused > 0 {
        let mut kept = Writer::default();
        good.into_iter().for_each(|message| kept.bytes(1, message));
        push.body = kept.out.into();
    } else {
        push.body = body;
    }
    Ok(push)
}

fn labels_of(text: &[u8]) -> Result<base::Labels> {
    if text.len() > limits::LABEL_SET_BYTES {
        return Err(Error::invalid(format!("a label set of {} bytes is too long", text.len())));
    }
    let text = std::str::from_utf8(text).map_err(|_| Error::invalid("a label set is not UTF-8"))?;
    let mut b = LabelsBuilder::default();
    labels::parse(text, |name, value| {
        b.push(name, value);
        Ok(())
    })?;
    b.finish()
}

/// The streams of a push that [`read`] has checked, line by line. Bytes that are no UTF-8 are replaced.
pub fn streams(body: &[u8], tenant: Option<&Tenant>) -> Result<Vec<Stream>> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let mut out = vec![];
    for stream in Streams::new(body) {
        let stream = stream?;
        let mut lines = vec![];
        for entry in stream.entries() {
            let entry = entry?;
            let mut metadata: Vec<(String, String)> = vec![];
            for pair in entry.metadata() {
                let (name, value) = pair?;
                let name = text(name);
                // Each name once: the last one counts.
                metadata.retain(|(n, _)| *n != name);
                metadata.push((name, text(value)));
            }
            lines.push(Line { time_ns: entry.time_ns, text: text(entry.line), metadata });
        }
        out.push(Stream { tenant: tenant.cloned(), labels: labels_of(stream.labels)?, lines });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::encoding::encode;
    use wire::loki::{PushEntry, PushStream, push_json, push_protobuf};

    fn request(content_type: &str, encoding: &str, body: Vec<u8>) -> Request {
        let headers = [("content-type", content_type), ("content-encoding", encoding)];
        Request { headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into(), body: body.into() }
    }

    const ENTRIES: [PushEntry<'static>; 2] =
        [PushEntry { time_ns: 5, line: "one", metadata: &[("trace_id", "ab")] }, PushEntry { time_ns: 6, line: "two", metadata: &[] }];

    #[test]
    fn all_forms_say_the_same() {
        let streams = [PushStream { labels: &[("app", "x")], entries: &ENTRIES }];
        let (proto, json) = (push_protobuf(&streams), push_json(&streams));
        for (content_type, header, encoding, body) in [
            ("application/x-protobuf", "snappy", Encoding::SnappyBlock, &proto),
            ("application/x-protobuf", "", Encoding::SnappyBlock, &proto),
            ("", "", Encoding::SnappyBlock, &proto),
            ("application/x-protobuf", "gzip", Encoding::Gzip, &proto),
            ("application/json; charset=utf-8", "", Encoding::Identity, &json),
            ("application/json", "gzip", Encoding::Gzip, &json),
        ] {
            let push = read(&request(content_type, header, encode(encoding, body).unwrap())).unwrap();
            assert_eq!((&push.body[..], push.rows, push.refused.len()), (&proto[..], 2, 0), "{content_type} {header}");
        }
        let tenant = Tenant::new("a").unwrap();
        let back = super::streams(&proto, Some(&tenant)).unwrap();
        assert_eq!(back[0].lines[0], Line { time_ns: 5, text: "one".into(), metadata: vec![("trace_id".into(), "ab".into())] });
        assert_eq!((back[0].tenant.as_ref(), back[0].labels.get("app")), (Some(&tenant), Some("x")));
    }

    #[test]
    fn a_stream_that_is_wrong_costs_only_itself() {
        let good = [PushStream { labels: &[("app", "x")], entries: &ENTRIES }];
        let bad = [PushStream { labels: &[("9", "x")], entries: &ENTRIES }];
        let body = [push_protobuf(&bad), push_protobuf(&good)].concat();
        let push = read(&request("", "", encode(Encoding::SnappyBlock, &body).unwrap())).unwrap();
        assert_eq!((&push.body[..], push.rows), (&push_protobuf(&good)[..], 2));
        assert!(push.refused[0].contains("label name"), "{:?}", push.refused);
    }

    #[test]
    fn nonsense_is_refused() {
        let of = |r: Request| match read(&r) {
            Err(Refused::Error(e)) => e.kind(),
            other => panic!("{other:?}"),
        };
        assert_eq!(of(request("", "", b"nonsense".to_vec())), base::Kind::Invalid);
        assert_eq!(of(request("application/json", "", b"{".to_vec())), base::Kind::Invalid);
        assert_eq!(of(request("application/json", "br", b"{}".to_vec())), base::Kind::Invalid);
        let bomb = encode(Encoding::Gzip, &vec![0; limits::RECEIVED_BYTES + 1]).unwrap();
        assert_eq!(of(request("application/json", "gzip", bomb)), base::Kind::TooLarge);
        assert!(matches!(read(&request("text/plain", "", vec![])), Err(Refused::MediaType(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_push_that_can_be_read_again(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(push) = checked(body.into()) {
                let rows: usize = streams(&push.body, None).unwrap().iter().map(|s| s.lines.len()).sum();
                prop_assert_eq!(rows as u64, push.rows);
            }
        }
    }
}
