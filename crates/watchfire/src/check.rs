//! `watchfire check`: says what is wrong with a settings file, or what it comes to; tries the storage if asked.

use std::process::ExitCode;

use crate::cli::CheckArgs;
use crate::exit::{Exit, Failure};
use crate::settings::{self, Layer, Settings};
use crate::storage;

/// Runs it.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let wrong = |e: String| Failure::error(Exit::Settings, e);
    let name = args.file.as_ref().map_or_else(|| "without a file, what is built in".to_owned(), |f| f.display().to_string());
    let file = args.file.as_deref().map(settings::read).transpose().map_err(|e| wrong(e.to_string()))?.unwrap_or_default();
    let flags = Layer { profile: args.profile.map(|p| settings::given(p.into())), ..Layer::default() };
    let (resolved, stack) = Settings::compose(file, flags).map_err(|e| wrong(format!("{name}: {e}")))?;
    println!("{name} is right. It comes to:");
    for (path, value) in settings::show(&stack) {
        println!("  {path}: {value}");
    }
    println!("  (memory_limit is {} here)", base::units::format_size(resolved.memory_bytes));
    if !args.storage {
        return Ok(Exit::Ok.into());
    }
    let dir = std::path::absolute(&resolved.data_dir)?;
    let Some(store) = storage::open(&resolved.storage, &dir, "check").map_err(|e| wrong(format!("{name}: {e}")))? else {
        return Err(wrong(format!("{name}: storage.url is not set, so there is nothing to try")));
    };
    let all = storage::check(&*store).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(if all { Exit::Ok } else { Exit::Mismatch }.into())
}
