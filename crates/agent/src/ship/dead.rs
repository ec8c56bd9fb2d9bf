//! What an endpoint will never take: a file of JSON lines for each endpoint, so that people can look at it, mend it and send
//! it themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Result;
use disk::Fs;
use serde_json::{Value, json};
use wire::loki::Streams;

use super::parcel::Parcel;
use crate::deliver::Format;
use crate::limits;

/// The file of one endpoint. When it has become too large it becomes `NAME.old.jsonl`, and the one before goes.
pub struct DeadLetters {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    name: String,
}

impl DeadLetters {
    /// Of the endpoint `name`; the file is made when it is needed.
    pub fn new(fs: Arc<dyn Fs>, dir: &Path, name: &str) -> DeadLetters {
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        DeadLetters { fs, dir: dir.to_owned(), name: name.chars().map(safe).collect() }
    }

    /// Appends what was refused, and why.
    ///
    /// # Errors
    /// Disk errors.
    pub fn keep(&self, parcel: &Parcel, status: u16, why: &str, now_ns: i64) -> Result<()> {
        self.fs.create_dir_all(&self.dir)?;
        let path = self.dir.join(format!("{}.jsonl", self.name));
        let mut file = self.fs.open(&path).or_else(|_| self.fs.create(&path))?;
        if file.len()? > limits::DEAD_LETTER_BYTES {
            drop(file);
            self.fs.rename(&path, &self.dir.join(format!("{}.old.jsonl", self.name)))?;
            file = self.fs.create(&path)?;
        }
        let mut text = Vec::new();
        for mut row in rows(parcel) {
            row["refused_ns"] = json!(now_ns);
            row["status"] = json!(status);
            row["why"] = json!(why);
            row["tenant"] = json!(parcel.tenant);
            text.extend_from_slice(row.to_string().as_bytes());
            text.push(b'\n');
        }
        file.write_at(file.len()?, &text)?;
        file.sync()?;
        Ok(self.fs.sync_dir(&self.dir)?)
    }
}

/// One object a line of log; of other forms, one for the body.
fn rows(parcel: &Parcel) -> Vec<Value> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    match (parcel.format, parcel.plain()) {
        (Format::LokiPush, Some(raw)) => Streams::new(raw)
            .flatten()
            .flat_map(|s| {
                let stream = text(s.labels);
                s.entries()
                    .flatten()
                    .map(move |e| json!({"stream": stream, "time_ns": e.time_ns, "line": text(e.line)}))
                    .collect::<Vec<_>>()
            })
            .collect(),
        (format, raw) => {
            let hex: String = raw.unwrap_or_default().iter().map(|b| format!("{b:02x}")).collect();
            vec![json!({"format": format!("{format:?}"), "rows": parcel.rows, "body_hex": hex})]
        }
    }
}
