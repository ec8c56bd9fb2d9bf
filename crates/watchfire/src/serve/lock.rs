//! One process at a time uses a data directory.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use disk::{Fs, RealFs};

/// Held as long as it lives; the system lets go of it when the process ends, however it ends.
pub struct Lock(#[allow(dead_code)] File);

/// Takes the lock of `data_dir`, making the directory if it is not there.
pub fn take(data_dir: &Path) -> Result<Lock> {
    RealFs.create_dir_all(data_dir).with_context(|| data_dir.display().to_string())?;
    let path = data_dir.join("LOCK");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).with_context(|| path.display().to_string())?;
    // SAFETY: the descriptor is open for as long as `file` lives, and flock touches no memory.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(anyhow!("{} is in use by another process: {}", data_dir.display(), std::io::Error::last_os_error()));
    }
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_turned_away() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(&dir.path().join("data")).unwrap();
        assert!(take(&dir.path().join("data")).is_err());
        drop(first);
        assert!(take(&dir.path().join("data")).is_ok());
    }
}
