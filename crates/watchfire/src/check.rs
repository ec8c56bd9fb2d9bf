//! `watchfire check`: says what is wrong with a settings file, or what it comes to.

use std::process::ExitCode;

use crate::cli::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::settings::{self, Layer, Settings};

/// Runs it.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let wrong = |e: String| Failure::error(Exit::Settings, e);
    let file = settings::read(&args.file).map_err(|e| wrong(e.to_string()))?;
    let flags = Layer { profile: args.profile.map(|p| settings::given(p.into())), ..Layer::default() };
    let (resolved, stack) = Settings::compose(file, flags).map_err(|e| wrong(format!("{}: {e}", args.file.display())))?;
    println!("{} is right. It comes to:", args.file.display());
    for (path, value) in settings::show(&stack) {
        println!("  {path}: {value}");
    }
    println!("  (memory_limit is {} here)", base::units::format_size(resolved.memory_bytes));
    Ok(Exit::Ok.into())
}
