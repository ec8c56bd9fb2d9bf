//! Tempo's HTTP API: a trace by its id. Errors are plain text.

use crate::app::{Call, reply};
use crate::routes::Answer;

/// `GET /api/echo`
pub(crate) async fn echo(_: Call) -> Answer {
    Ok(reply("text/plain; charset=utf-8", "echo"))
}
