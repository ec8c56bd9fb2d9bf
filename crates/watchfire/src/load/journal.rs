//! The journal of acknowledged requests: a text file whose first line is the run as JSON, and every other line
//! `<batch> <time_ns>`, written when the acknowledgement came. It is written through at each line, because the server is
//! what gets killed, not this process; a line cut short by a kill of this process is passed over.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use parking_lot::Mutex;

use super::rows::Run;

/// What was acknowledged, and where it is noted.
pub struct Journal {
    run: Run,
    state: Mutex<State>,
}

struct State {
    /// In the order of acknowledgement.
    acknowledged: Vec<(u64, i64)>,
    file: Option<std::fs::File>,
}

impl Journal {
    /// Begins a journal, in memory only if there is no path.
    pub fn create(run: Run, path: Option<&Path>) -> anyhow::Result<Self> {
        let file = match path {
            None => None,
            Some(path) => {
                let open = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
                let mut file = open.with_context(|| format!("creating {}", path.display()))?;
                writeln!(file, "{}", serde_json::to_string(&run)?)?;
                Some(file)
            }
        };
        Ok(Journal { run, state: Mutex::new(State { acknowledged: Vec::new(), file }) })
    }
    /// Reads a journal back.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let Some((first, rest)) = text.split_once('\n') else { bail!("{} is not a journal: it has no first line", path.display()) };
        let run: Run = serde_json::from_str(first).with_context(|| format!("{} is not a journal", path.display()))?;
        let mut acknowledged = Vec::new();
        for line in rest.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')) {
            let numbers = line.split_once(' ').and_then(|(b, t)| Some((b.parse().ok()?, t.parse().ok()?)));
            let (batch, time_ns) = numbers.with_context(|| format!("{}: {line:?} is not a line of a journal", path.display()))?;
            acknowledged.push((batch, time_ns));
        }
        Ok(Journal { run, state: Mutex::new(State { acknowledged, file: None }) })
    }
    /// The run it tells of.
    pub fn run(&self) -> &Run {
        &self.run
    }
    /// Notes that a batch was acknowledged.
    pub fn acknowledge(&self, batch: u64, time_ns: i64) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        if let Some(file) = &mut state.file {
            file.write_all(format!("{batch} {time_ns}\n").as_bytes()).context("writing the journal")?;
        }
        state.acknowledged.push((batch, time_ns));
        Ok(())
    }
    /// Acknowledged batches and their times.
    pub fn acknowledged(&self) -> BTreeMap<u64, i64> {
        self.state.lock().acknowledged.iter().copied().collect()
    }
    /// How many batches were acknowledged.
    pub fn acknowledgements(&self) -> usize {
        self.state.lock().acknowledged.len()
    }
    /// The batch that was acknowledged as the `n`-th, from 0, and its time.
    pub fn nth(&self, n: usize) -> Option<(u64, i64)> {
        self.state.lock().acknowledged.get(n).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::run;

    #[test]
    fn a_journal_cut_short_loses_its_last_line_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let j = Journal::create(run("logs", &[]), Some(&path)).unwrap();
        (0..3).for_each(|b| j.acknowledge(b, 1000 + b as i64).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        disk::write_durably(&disk::RealFs, &path, &text.as_bytes()[..text.len() - 3]).unwrap();
        let back = Journal::read(&path).unwrap();
        assert_eq!(back.acknowledged().into_iter().collect::<Vec<_>>(), vec![(0, 1000), (1, 1001)]);
        assert_eq!(serde_json::to_string(back.run()).unwrap(), serde_json::to_string(j.run()).unwrap());
        assert!(Journal::create(run("logs", &[]), Some(&path)).is_err(), "an existing journal was overwritten");
    }

    #[test]
    fn another_file_is_not_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        disk::write_durably(&disk::RealFs, &path, b"hello\nworld\n").unwrap();
        assert!(Journal::read(&path).is_err());
    }
}
