//! `watchfire agent convert`: settings of an Alloy file.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use disk::RealFs;

use crate::cli::ConvertArgs;
use crate::exit::{Exit, Failure};

/// Prints or writes the settings; what is to be known of them stands in front, as comments, and is counted here.
pub fn run(args: &ConvertArgs) -> Result<ExitCode> {
    let name = args.file.display();
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("reading {name}"))?;
    let converted = ::agent::convert::convert(&text).map_err(|e| Failure::error(Exit::Settings, format!("{name}: {e}")))?;
    match &args.output {
        None => print!("{}", converted.yaml),
        Some(path) => {
            let path = std::path::absolute(path).with_context(|| format!("finding {}", path.display()))?;
            disk::write_durably(&RealFs, &path, converted.yaml.as_bytes()).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    if !converted.notes.is_empty() {
        eprintln!("{} remarks stand at the beginning of the settings; read them before you use these", converted.notes.len());
    }
    Ok(Exit::Ok.into())
}
