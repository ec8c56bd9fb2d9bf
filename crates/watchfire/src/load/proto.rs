//! Protobuf, written by hand: a dozen fields do not need a generator. Nested messages are built inside out.

/// A message being written.
#[derive(Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    /// A varint field (wire type 0).
    pub fn varint(&mut self, field: u32, value: u64) -> &mut Self {
        self.raw((field as u64) << 3);
        self.raw(value);
        self
    }
    /// A 64-bit field (wire type 1): fixed64 and double.
    pub fn fixed64(&mut self, field: u32, bits: u64) -> &mut Self {
        self.raw((field as u64) << 3 | 1);
        self.0.extend_from_slice(&bits.to_le_bytes());
        self
    }
    /// A length-delimited field (wire type 2): bytes, strings, messages.
    pub fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.raw((field as u64) << 3 | 2);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }
    /// A nested message.
    pub fn message(&mut self, field: u32, build: impl FnOnce(&mut Message)) -> &mut Self {
        let mut inner = Message::default();
        build(&mut inner);
        self.bytes(field, &inner.0)
    }
    fn raw(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }
}
