//! Loki push. JSON is turned into the protobuf form first.

use base::hash::hash128_seeded;
use base::{Error, Kind, Result};
use bytes::Bytes;
use table::{Codec, FrameHeader, Sink};
use wire::Options;
use wire::loki::Streams;
use wire::proto::text;

use super::entries::{Entries, Line, Metadata, Stream};
use super::level::Hint;
use super::stream::{self, BadStream};
use super::{LOKI_JSON, stream::quoted};

/// Both forms, told apart by id.
pub struct Push {
    /// [`super::LOKI_PROTOBUF`] or [`LOKI_JSON`].
    pub id: u16,
}

impl Codec for Push {
    fn id(&self) -> u16 {
        self.id
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let options = Options::from_bytes(&header.options)?;
        let mut body = options.unpack(body, &mut |bytes| sink.unpack(bytes))?;
        if self.id == LOKI_JSON {
            body = wire::loki::json::to_protobuf(&body)?.into();
        }
        let mut entries = Entries::new(header, options, &body, sink)?;
        let mut streams = 0;
        for s in Streams::new(&body) {
            streams += 1;
            self.stream(&s?, &options, &mut entries)?;
        }
        if streams == 0 {
            return Err(Error::new(Kind::Unprocessable, "error at least one valid stream is required for ingestion"));
        }
        entries.finish()
    }
}

impl Push {
    fn stream(&self, s: &wire::loki::Stream<'_>, options: &Options, entries: &mut Entries<'_>) -> Result<()> {
        let mut list = s.entries().peekable();
        if list.peek().is_none() {
            return Ok(());
        }
        let shown = text(s.labels);
        let raw = hash128_seeded(s.labels, u64::from(self.id));
        let mut stream = Stream {
            series: entries.series(raw, || new_labels(s.labels, options))?,
            shown: &shown,
            hint: Hint::default(),
            about: Metadata::default(),
        };
        if stream.series.is_ok() {
            wire::loki::labels::parse(&shown, |n, v| {
                stream.hint.see(n, v);
                Ok(())
            })?;
        }
        for entry in list {
            let entry = entry?;
            if entry.has_metadata {
                for pair in entry.metadata() {
                    let (name, value) = pair?;
                    entries.metadata.push(&text(name), &text(value));
                }
            }
            entries.push(&stream, entry.time_ns, Line::Body(entry.line))?;
        }
        Ok(())
    }
}

/// The labels of a label string that this node has not seen.
fn new_labels(bytes: &[u8], options: &Options) -> std::result::Result<base::Labels, BadStream> {
    let invalid = |why: &str| BadStream {
        reason: "invalid_labels",
        error: Error::invalid(format!("Error parsing labels '{}' with error: {why}", quoted(&text(bytes)))),
    };
    if bytes.len() > wire::limits::LABEL_STRING_BYTES {
        return Err(invalid("it is too long"));
    }
    let shown = std::str::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))?;
    let pairs = stream::parse(shown).map_err(|e| invalid(e.message()))?;
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    stream::labels(&pairs, shown, options)
}
