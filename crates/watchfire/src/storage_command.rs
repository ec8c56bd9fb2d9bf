//! `watchfire storage`: where blocks are, and how they get to an object store.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use base::units::format_size;
use serde::Deserialize;

use crate::ask;
use crate::cli::{ServerArgs, StorageCommand};
use crate::exit::Exit;

/// How often a move is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a server says of its blocks.
#[derive(Deserialize)]
struct Status {
    store: Option<String>,
    blocks_to_move: usize,
    bytes_to_move: u64,
}

/// Runs it.
pub fn run(command: &StorageCommand) -> Result<ExitCode> {
    match command {
        StorageCommand::Status(args) => println!("{}", words(&read(&args.server)?)),
        StorageCommand::Move(args) => follow(&args.server)?,
    }
    Ok(Exit::Ok.into())
}

fn read(server: &ServerArgs) -> Result<Status> {
    let text = ask::answer(server, ureq::get(ask::url(server, "/api/v1/storage")))?;
    serde_json::from_str(&text).context("the server's answer does not say where its blocks are")
}

/// Begins a move, or comes back to one, and returns when nothing is left.
fn follow(server: &ServerArgs) -> Result<()> {
    if read(server)?.store.is_none() {
        ask::order(server, ureq::post(ask::url(server, "/api/v1/storage/move")))?;
    }
    let mut told = usize::MAX;
    loop {
        let status = read(server)?;
        if status.blocks_to_move != told {
            println!("{}", words(&status));
            told = status.blocks_to_move;
        }
        if status.blocks_to_move == 0 {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn words(s: &Status) -> String {
    match (&s.store, s.blocks_to_move) {
        (None, _) => "blocks are in the data directory; set storage.url in the settings file and run `watchfire storage move`".to_owned(),
        (Some(store), 0) => format!("all blocks are in {store}"),
        (Some(store), n) => format!("blocks go to {store}; {n} ({}) are still on the server's disk", format_size(s.bytes_to_move)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_blocks_are_and_what_is_left() {
        let status =
            |store: Option<&str>, blocks_to_move| Status { store: store.map(str::to_owned), blocks_to_move, bytes_to_move: 2 << 20 };
        assert!(words(&status(None, 0)).contains("watchfire storage move"));
        assert_eq!(words(&status(Some("s3://b/p"), 0)), "all blocks are in s3://b/p");
        assert_eq!(words(&status(Some("s3://b/p"), 3)), "blocks go to s3://b/p; 3 (2MiB) are still on the server's disk");
    }
}
