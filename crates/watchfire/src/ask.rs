//! Asking a server: tenant, token, and exit codes for what can go wrong.

use anyhow::{Context, Result, anyhow};
use ureq::http::Response;
use ureq::typestate::{WithBody, WithoutBody};
use ureq::{Body, RequestBuilder};

use crate::cli::ServerArgs;
use crate::exit::{Exit, Failure};

/// An answer larger than this is not asked for by a person.
const ANSWER_BYTES: u64 = 512 << 20;

/// The address of a path of the server.
pub fn url(server: &ServerArgs, path: &str) -> String {
    format!("{}{path}", server.addr.trim_end_matches('/'))
}

/// Sends a request with tenant and token, and gives the body of a success.
pub fn answer(server: &ServerArgs, request: RequestBuilder<WithoutBody>) -> Result<String> {
    given(server, signed(server, request)?.config().http_status_as_error(false).build().call())
}

/// Sends a request that changes something.
pub fn order(server: &ServerArgs, request: RequestBuilder<WithBody>) -> Result<String> {
    given(server, signed(server, request)?.config().http_status_as_error(false).build().send_empty())
}

fn signed<B>(server: &ServerArgs, mut request: RequestBuilder<B>) -> Result<RequestBuilder<B>> {
    if let Some(tenant) = &server.tenant {
        request = request.header("X-Scope-OrgID", tenant);
    }
    if let Some(token) = token(server)? {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    Ok(request)
}

fn given(server: &ServerArgs, response: std::result::Result<Response<Body>, ureq::Error>) -> Result<String> {
    let unreachable = |e: ureq::Error| Failure::error(Exit::Unreachable, format!("no answer from {}: {e}", server.addr));
    let mut response = response.map_err(unreachable)?;
    let status = response.status();
    let text = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string().map_err(unreachable)?;
    if !status.is_success() {
        return Err(Failure::error(Exit::Refused, format!("{} answered {}: {}", server.addr, status.as_u16(), text.trim_end())));
    }
    Ok(text)
}

/// The token: of the file, or of the environment, which is where a shell keeps a secret out of the list of processes.
#[allow(clippy::disallowed_methods)]
pub fn token(server: &ServerArgs) -> Result<Option<String>> {
    let text = match &server.token_file {
        Some(path) => Some(std::fs::read_to_string(path).with_context(|| path.display().to_string())?),
        None => std::env::var("WATCHFIRE_TOKEN").ok(),
    };
    let text = text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    match text {
        Some(t) if !t.bytes().all(|b| b.is_ascii_graphic()) => Err(anyhow!("the token has characters that no header can carry")),
        t => Ok(t),
    }
}
