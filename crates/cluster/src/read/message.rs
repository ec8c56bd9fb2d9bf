//! Messages of an answer, each with its kind and its checksum, compressed where that pays.
//!
//! An answer is: any number of *working*, one *head*, the *series* it announces, any number of *rows* and *working*, and one
//! *end*. A stream that stops before its end was cut short.

use base::{Error, Labels, Result};
use bytes::Bytes;
use table::{BlockRef, Commits, Lack};

use super::bytes::{Reader, damaged, put};
use crate::limits;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The other side is there and has nothing to say yet.
    Working = 1,
    /// What follows: [`Head`].
    Head = 2,
    /// Labels of some of the announced series, in label order.
    Series = 3,
    /// A batch of rows.
    Rows = 4,
    /// All rows have come: [`End`].
    End = 5,
}

/// A checked message.
#[derive(Debug)]
pub struct Message {
    pub kind: Kind,
    pub payload: Bytes,
}

const COMPRESSED: u8 = 0x80;

/// A message as it travels: kind, payload (compressed if that saves a quarter), CRC32C of both.
pub fn close(kind: Kind, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + 5);
    out.push(kind as u8);
    let packed = (payload.len() >= limits::PACK_BYTES).then(|| zstd::bulk::compress(payload, limits::PACK_LEVEL).ok()).flatten();
    match packed.filter(|p| p.len() < payload.len() / 4 * 3) {
        Some(p) => {
            out[0] |= COMPRESSED;
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            out.extend_from_slice(&p);
        }
        None => out.extend_from_slice(payload),
    }
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.into()
}

/// Checks a message and unpacks it.
pub fn open(bytes: Bytes) -> Result<Message> {
    let (n, most) = (bytes.len(), limits::MESSAGE_BYTES);
    if n > most {
        return Err(damaged("it is too large to be one"));
    }
    let mut r = Reader(&bytes);
    let body = r.take(n.saturating_sub(4))?;
    if crc32c::crc32c(body) != r.u32()? {
        return Err(damaged("its checksum does not hold"));
    }
    let tag = Reader(body).u8()?;
    let kind = match tag & !COMPRESSED {
        1 => Kind::Working,
        2 => Kind::Head,
        3 => Kind::Series,
        4 => Kind::Rows,
        5 => Kind::End,
        _ => return Err(damaged("it is of no known kind")),
    };
    if tag & COMPRESSED == 0 {
        return Ok(Message { kind, payload: bytes.slice(1..n - 4) });
    }
    let mut packed = Reader(&body[1..]);
    let size = packed.u32()? as usize;
    if size > most {
        return Err(damaged("it is too large to be one"));
    }
    let payload = zstd::bulk::decompress(packed.0, size).map_err(|_| damaged("it cannot be unpacked"))?;
    if payload.len() == size { Ok(Message { kind, payload: payload.into() }) } else { Err(damaged("it has another size than it says")) }
}

/// What an answer begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Series that follow.
    pub series: u32,
    /// Blocks that the node committed lately.
    pub commits: Commits,
}

impl Head {
    /// As a message.
    pub fn encode(&self) -> Bytes {
        let mut out = self.series.to_le_bytes().to_vec();
        put_commits(&mut out, &self.commits);
        close(Kind::Head, &out)
    }
    /// From a message's payload.
    pub fn decode(m: &Message) -> Result<Head> {
        let mut r = Reader(&m.payload);
        let head = Head { series: r.u32()?, commits: take_commits(&mut r)? };
        r.end()?;
        Ok(head)
    }
}

fn put_commits(out: &mut Vec<u8>, c: &Commits) {
    out.extend_from_slice(&c.version.to_le_bytes());
    out.push(u8::from(c.reset));
    out.extend_from_slice(&(c.blocks.len() as u32).to_le_bytes());
    for b in &c.blocks {
        put(out, &b.table);
        put(out, &b.tenant);
        out.extend_from_slice(&b.day.to_le_bytes());
        put(out, &b.id);
    }
}

fn take_commits(r: &mut Reader<'_>) -> Result<Commits> {
    let (version, reset) = (r.u64()?, r.u8()? != 0);
    let block = |r: &mut Reader<'_>| -> Result<BlockRef> {
        Ok(BlockRef { table: r.text()?.into(), tenant: r.text()?.into(), day: r.i64()?, id: r.text()?.into() })
    };
    let blocks = (0..r.count(20)?).map(|_| block(r)).collect::<Result<Vec<_>>>()?;
    Ok(Commits { version, blocks, reset })
}

/// Label sets as messages of about [`limits::MESSAGE_TARGET_BYTES`].
pub fn encode_series(series: &[Labels], send: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> {
    let mut rest = series;
    while !rest.is_empty() {
        let mut out = vec![0; 4];
        let mut n = 0;
        while n < rest.len() && (n == 0 || out.len() < limits::MESSAGE_TARGET_BYTES) {
            put(&mut out, rest[n].as_bytes());
            n += 1;
        }
        out[..4].copy_from_slice(&(n as u32).to_le_bytes());
        send(close(Kind::Series, &out))?;
        rest = &rest[n..];
    }
    Ok(())
}

/// Label sets of one message, in strict label order.
pub fn decode_series(m: &Message) -> Result<Vec<Labels>> {
    let mut r = Reader(&m.payload);
    let out = (0..r.count(4)?).map(|_| Labels::from_canonical(r.bytes()?)).collect::<Result<Vec<_>>>()?;
    r.end()?;
    if out.is_sorted_by(|a, b| a < b) { Ok(out) } else { Err(damaged("series are not in order")) }
}

/// The whole answer to the question for series: what was committed lately, and the label sets in order.
pub fn encode_listing(commits: &Commits, series: &[Labels]) -> Result<Bytes> {
    let mut out = vec![];
    put_commits(&mut out, commits);
    out.extend_from_slice(&(series.len() as u32).to_le_bytes());
    series.iter().for_each(|l| put(&mut out, l.as_bytes()));
    if out.len() > limits::MESSAGE_BYTES - 16 {
        return Err(Error::new(base::Kind::TooLarge, "more series than one answer between nodes can name"));
    }
    Ok(close(Kind::Series, &out))
}

/// The other side of [`encode_listing`].
pub fn decode_listing(m: &Message) -> Result<(Commits, Vec<Labels>)> {
    let mut r = Reader(&m.payload);
    let commits = take_commits(&mut r)?;
    let series = (0..r.count(4)?).map(|_| Labels::from_canonical(r.bytes()?)).collect::<Result<Vec<_>>>()?;
    r.end()?;
    Ok((commits, series))
}

/// What an answer ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Rows that were sent.
    pub rows: u64,
    /// What the node could not read of its own.
    pub lacks: Vec<Lack>,
}

impl End {
    /// As a message.
    pub fn encode(&self) -> Bytes {
        let mut out = self.rows.to_le_bytes().to_vec();
        out.extend_from_slice(&(self.lacks.len() as u32).to_le_bytes());
        for l in &self.lacks {
            put(&mut out, &l.whose);
            put(&mut out, &l.why);
        }
        close(Kind::End, &out)
    }
    /// From a message's payload.
    pub fn decode(m: &Message) -> Result<End> {
        let mut r = Reader(&m.payload);
        let rows = r.u64()?;
        let lack = |r: &mut Reader<'_>| -> Result<Lack> { Ok(Lack { whose: r.text()?.into(), why: r.text()?.into(), since_ns: None }) };
        let lacks = (0..r.count(8)?).map(|_| lack(&mut r)).collect::<Result<Vec<_>>>()?;
        r.end()?;
        Ok(End { rows, lacks })
    }
}
