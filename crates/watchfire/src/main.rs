//! The `watchfire` binary: the command line, the settings, and the one place where the tables meet the engine.

mod agent;
mod ask;
mod check;
mod cli;
mod cluster_command;
mod drill;
mod exit;
mod inspect;
mod ledger_command;
mod load;
mod metrics_command;
mod query;
mod serve;
mod settings;
mod storage;
mod storage_command;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps peaks of memory near what is in use, without asking the system for the same pages again and again. Measured with
/// freed pages given back after 3, 10, 20 and 1000 ms: a push of logs took 16.1, 14.4, - and 10.6 CPU seconds a GB (before
/// text pages were written into memory that is used again), a push of 28.8 million samples 1.10, -, 0.97 and 0.98 a
/// million, its peak being 169, -, 174 and 254 MiB.
fn give_memory_back() {
    const PURGE_DELAY_MS: libmimalloc_sys::mi_option_t = 15; // `mi_option_purge_delay` of mimalloc.h
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the call takes no pointers and only changes a policy for pages yet to come.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY_MS, 10) };
    }
}

/// Huge pages round every allocation up to 2 MiB: 289 MB where 194 do, under load, and 22.7 MiB where 18.9 do, in an agent that
/// is idle. The very first allocation, before `main`, takes one: so the loader calls this when it calls constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static WITHOUT_HUGE_PAGES: extern "C" fn() = {
    extern "C" fn forbid() {
        // SAFETY: it takes no pointers and only changes a policy. Where the kernel does not know the option, nothing changes.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    }
    forbid
};

fn main() -> ExitCode {
    give_memory_back();
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
        cli::Command::Agent(args) => agent::run(&args),
        cli::Command::Ledger(args) => ledger_command::run(&args),
        cli::Command::Logs(args) => query::run(&args),
        cli::Command::Metrics(args) => metrics_command::run(&args),
        cli::Command::Check(args) => check::run(&args),
        cli::Command::Inspect(command) => inspect::run(command),
        cli::Command::Cluster(command) => cluster_command::run(&command),
        cli::Command::Storage(command) => storage_command::run(&command),
        cli::Command::Load(args) => load::run(args),
        cli::Command::Drill(args) => drill::run(&args),
    }
}
