//! The `watchfire` binary: the command line, the settings, and the one place where the tables meet the engine.

mod check;
mod cli;
mod exit;
mod inspect;
mod load;
mod query;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asks the kernel not to back this process with huge pages. They round every allocation's pages up to 2 MiB: with them
/// the peak of a log push was 289 MB, without 194 MB, at the same CPU time.
fn no_huge_pages() {
    // SAFETY: this prctl takes no pointers and changes nothing but the policy for pages yet to come. Where it is not
    // known, it fails and nothing changes.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

fn main() -> ExitCode {
    no_huge_pages();
    let cli = cli::Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("watchfire: {e:#}");
            exit::of(&e).into()
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    match cli.command.unwrap_or(cli::Command::Serve(cli.serve)) {
        cli::Command::Serve(args) => serve::run(&args),
        cli::Command::Logs(args) => query::run(&args),
        cli::Command::Check(args) => check::run(&args),
        cli::Command::Inspect(command) => inspect::run(command),
        cli::Command::Load(args) => load::run(args),
    }
}
