//! Decodes bodies with the codecs of metrics: whatever arrives becomes rows or refusals, and stored histograms can be read.
#![no_main]

use arrow_array::{Array, RecordBatch, cast::AsArray};
use base::{Labels, Result, Tenant};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use metrics::histogram::Histogram;
use metrics::ingest::{OTLP_JSON, OTLP_PROTOBUF, codecs, otlp::Translation};
use table::{FrameHeader, Refusal, Sink, TableId, TableSpec};
use wire::Options;

/// Looks at what it is given.
struct Looker;

impl Sink for Looker {
    fn table(&self, spec: &TableSpec) -> Result<TableId> {
        Ok(TableId(metrics::TABLES.iter().position(|t| t.name == spec.name).expect("a table of metrics") as u8))
    }
    fn series(&mut self, _: TableId, _: u128, labels: &mut dyn FnMut() -> Result<Labels>) -> Result<u32> {
        labels().map(|_| 0)
    }
    fn admit(&mut self, _: u32, _: TableId, _: u32, _: u64, _: i64) -> bool {
        true
    }
    fn refuse(&mut self, _: Refusal) {}
    fn rows(&mut self, table: TableId, batch: RecordBatch) {
        assert_eq!(batch.schema(), metrics::TABLES[table.0 as usize].schema());
        if table.0 == 0 {
            let histograms = batch.column(3).as_binary_view();
            for i in (0..histograms.len()).filter(|i| histograms.is_valid(*i)) {
                let h = Histogram::decode(histograms.value(i)).expect("what is stored can be read");
                h.quantile(0.9);
                h.variance();
                let _ = h.add(&h).map(|(sum, _)| sum.sub(&h));
            }
        }
    }
}

fuzz_target!(|body: &[u8]| {
    for codec in codecs() {
        let custom = Translation { custom_buckets: true, promote_scope: true, promote_all: true, ..Translation::default() };
        let otlp = matches!(codec.id(), OTLP_PROTOBUF | OTLP_JSON);
        let options = if otlp { custom.to_bytes(&Options::default()) } else { Options::default().to_bytes() };
        let header = FrameHeader {
            tenant: Tenant::default(),
            received_ns: 1_700_000_000_000_000_000,
            codec: codec.id(),
            options,
            origin: None,
            refused: vec![],
        };
        let _ = codec.decode(&header, &Bytes::copy_from_slice(body), &mut Looker);
    }
});
