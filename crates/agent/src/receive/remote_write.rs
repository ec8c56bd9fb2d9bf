//! Prometheus remote write 1.0.

use base::Result;
use bytes::Bytes;
use wire::Encoding;
use wire::encoding::{media_type, shorten};
use wire::remote_write::{Item, MEDIA_TYPE, SeriesList, metadata};

use super::{Answer, Refused, Request, bounded, decoded};

/// A request that can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The body without its compression.
    pub body: Bytes,
    /// Samples, histograms among them.
    pub samples: u64,
    /// Metrics of which something is said.
    pub metadata: u64,
}

/// Reads a request and checks that all of it can be decoded. Version 2 is refused by its media type, at which a sender
/// falls back to version 1.
pub fn read(request: &Request) -> std::result::Result<Written, Refused> {
    let content_type = request.header("content-type").unwrap_or(MEDIA_TYPE);
    let proto = content_type.split(';').skip(1).find_map(|p| p.trim().strip_prefix("proto="));
    if media_type(content_type) != MEDIA_TYPE || !matches!(proto, None | Some("prometheus.WriteRequest")) {
        let text = format!(
            "content type {:?} is not supported: send remote write 1.0 ({MEDIA_TYPE};proto=prometheus.WriteRequest)",
            shorten(content_type)
        );
        return Err(Refused::MediaType(text));
    }
    // A sender that names no encoding sends snappy all the same: version 1 knows nothing else.
    let encoding = match Encoding::from_header(request.header("content-encoding"), Encoding::SnappyBlock)? {
        Encoding::Identity => Encoding::SnappyBlock,
        other => other,
    };
    Ok(checked(decoded(encoding, &request.body)?)?)
}

fn checked(body: Bytes) -> Result<Written> {
    let mut samples = 0;
    for series in SeriesList::new(&body) {
        let series = series?;
        for pair in series.labels() {
            pair?;
        }
        for item in series.items() {
            samples += u64::from(!matches!(item?, Item::Exemplar { .. }));
        }
        bounded(samples)?;
    }
    let metadata = metadata(&body).try_fold(0, |n, m| m.map(|_| n + 1))?;
    Ok(Written { body, samples, metadata })
}

/// 204, and what was written, as version 2's senders like to know and version 1's do not mind. Floats are not told from
/// histograms; exemplars are passed on uncounted.
pub fn answer(written: &Written) -> Answer {
    let mut answer = Answer::empty();
    for (name, n) in [
        ("x-prometheus-remote-write-samples-written", written.samples),
        ("x-prometheus-remote-write-histograms-written", 0),
        ("x-prometheus-remote-write-exemplars-written", 0),
    ] {
        answer.headers.push((name, n.to_string()));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::encoding::encode;
    use wire::remote_write::RequestWriter;

    fn request(content_type: &str, body: Vec<u8>) -> Request {
        Request { headers: [("content-type".to_owned(), content_type.to_owned())].into(), body: body.into() }
    }

    #[test]
    fn samples_are_counted_and_the_body_is_plain() {
        let mut w = RequestWriter::default();
        w.series([("__name__", "up")], &[(1, 1.0), (2, 0.0)], &[]);
        w.metadata(2, "up", "help", "");
        let body = w.finish();
        let sent = encode(Encoding::SnappyBlock, &body).unwrap();
        for content_type in ["application/x-protobuf", "application/x-protobuf;proto=prometheus.WriteRequest"] {
            let written = read(&request(content_type, sent.clone())).unwrap();
            assert_eq!((&written.body[..], written.samples, written.metadata), (&body[..], 2, 1));
            assert_eq!(answer(&written).header("x-prometheus-remote-write-samples-written"), Some("2"));
        }
        let newer = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        assert!(matches!(read(&request(newer, sent)), Err(Refused::MediaType(_))));
        assert!(matches!(read(&request(MEDIA_TYPE, vec![1, 2, 3])), Err(Refused::Error(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_request(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(checked(body.into()));
        }
    }
}
