//! Exit codes. They are a contract: scripts and service managers decide by them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It failed while running: disk, network, a bug. Trying again may help.
    Failed = 1,
    /// The command line is wrong (the argument parser uses this one by itself).
    Usage = 2,
    /// The settings file is wrong. Trying again without changing it does not help.
    Settings = 3,
    /// No server answered at the address.
    Unreachable = 4,
    /// The server answered with an error: the query is wrong, or it refused.
    Refused = 5,
    /// What was checked is not as it should be: damage found, rows missing or doubled, a drill that failed.
    Mismatch = 6,
}

impl Exit {
    /// All codes with what they mean, for `--help` and the reference page.
    pub const ALL: [(Exit, &'static str); 7] = [
        (Exit::Ok, "it did what was asked"),
        (Exit::Failed, "it failed while running (disk, network, a bug); trying again may help"),
        (Exit::Usage, "the command line is wrong"),
        (Exit::Settings, "the settings file is wrong"),
        (Exit::Unreachable, "no server answered at the address"),
        (Exit::Refused, "the server answered with an error"),
        (Exit::Mismatch, "what was checked is not as it should be: damage, missing or doubled rows, a drill that failed"),
    ];
}

impl From<Exit> for ExitCode {
    fn from(e: Exit) -> Self {
        ExitCode::from(e as u8)
    }
}

/// An error that knows the exit code it ends in; any other error is [`Exit::Failed`].
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// For people.
    pub message: String,
}

impl Failure {
    /// An error that ends the command with `exit`.
    pub fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Failure { exit, message: message.into() })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The code an error ends in.
pub fn of(e: &anyhow::Error) -> Exit {
    e.downcast_ref::<Failure>().map_or(Exit::Failed, |f| f.exit)
}
