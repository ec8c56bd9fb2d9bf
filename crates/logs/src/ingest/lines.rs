//! Lines of one stream from a source on this host ([`wire::lines`]).

use base::hash::hash128_seeded;
use base::{Error, Labels, Result};
use bytes::Bytes;
use table::{Codec, FrameHeader, Sink};
use wire::Options;
use wire::lines::Lines;

use super::LINES;
use super::entries::{Entries, Line, Metadata, Stream};
use super::level::Hint;
use super::stream::{self, BadStream};

/// The codec.
pub struct LinesCodec;

impl Codec for LinesCodec {
    fn id(&self) -> u16 {
        LINES
    }

    fn decode(&self, header: &FrameHeader, body: &Bytes, sink: &mut dyn Sink) -> Result<()> {
        let options = Options::from_bytes(&header.options)?;
        let body = options.unpack(body, &mut |bytes| sink.unpack(bytes))?;
        let mut entries = Entries::new(header, options, &body, sink)?;
        let lines = Lines::new(&body)?;
        let labels = Labels::from_canonical(lines.labels).map_err(|e| Error::invalid(e.message()))?;
        let shown = labels.to_string();
        let series = entries.series(hash128_seeded(lines.labels, u64::from(LINES)), || new_labels(&labels, &shown, &options))?;
        let mut stream = Stream { series, shown: &shown, hint: Hint::default(), about: Metadata::default() };
        labels.iter().for_each(|(n, v)| _ = stream.hint.see(n, v));
        for line in lines {
            let (time_ns, line) = line?;
            entries.push(&stream, time_ns, Line::Body(line))?;
        }
        entries.finish()
    }
}

fn new_labels(labels: &Labels, shown: &str, options: &Options) -> std::result::Result<Labels, BadStream> {
    let pairs: Vec<_> = labels.iter().collect();
    stream::labels(&pairs, shown, options)
}
