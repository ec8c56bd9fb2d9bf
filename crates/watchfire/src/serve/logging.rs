//! The process's own log: structured, on standard error, without bodies and secrets.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, Settings};

/// Starts it. Libraries below us are heard from `warn` on.
pub fn start(settings: &Settings) {
    start_with(settings.log_level, settings.log_format);
}

/// Starts it at this level, in this form.
pub fn start_with(level: &str, format: LogFormat) {
    let ours = ["watchfire", "server", "table", "wal", "disk", "cluster", "agent", "logs", "metrics", "traces", "wire"];
    let filter = ours.iter().fold(EnvFilter::new("warn"), |f, name| match format!("{name}={level}").parse() {
        Ok(d) => f.add_directive(d),
        Err(_) => f,
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // Fails only if a log was started before, which then goes on.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
