//! The `watchfire` binary: the command line, the settings, and the one place where the tables meet the engine.

mod cli;
mod exit;
mod load;

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
        cli::Command::Load(args) => load::run(args),
        _ => Err(exit::Failure::new(exit::Exit::Usage, "this command is being written")),
    }
}
