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

fn main() -> ExitCode {
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
