//! Pages over HTTP.

use std::io::Read as _;
use std::time::Duration;

use base::{Error, Kind, Result};

use super::access::Access;
use crate::limits;
use crate::ship::tls;

/// Fetches in the way of a job, over connections that stay.
pub(super) struct Client {
    agent: ureq::Agent,
    /// Without the proxy.
    direct: ureq::Agent,
    access: Access,
}

/// What was fetched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    /// What it is.
    pub bytes: Vec<u8>,
    /// The header that says in which form.
    pub content_type: Option<String>,
}

impl Fetched {
    /// As text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.bytes).map_err(|_| Error::invalid("the page is not UTF-8"))
    }
}

impl Client {
    /// A client that asks so.
    ///
    /// # Errors
    /// A file of certificates that cannot be read.
    pub fn new(access: &Access) -> Result<Client> {
        let wrong = |e: ureq::Error| Error::invalid(format!("a proxy: {e}"));
        let proxy = access.proxy.as_deref().map(|url| ureq::Proxy::new(url).map_err(wrong)).transpose()?;
        let tls = tls(&access.tls)?;
        let agent = |proxy: Option<ureq::Proxy>| -> ureq::Agent {
            let mut config = ureq::Agent::config_builder()
                .timeout_connect(Some(limits::CONNECT_TIMEOUT))
                .user_agent(concat!("watchfire-agent/", env!("CARGO_PKG_VERSION")))
                // As Prometheus, which heeds no proxy of the environment unless it is told to.
                .proxy(proxy)
                .tls_config(tls.clone());
            if !access.follow_redirects {
                config = config.max_redirects(0);
            }
            config.build().into()
        };
        let direct = agent(None);
        let agent = if proxy.is_some() { agent(proxy) } else { direct.clone() };
        Ok(Client { agent, direct, access: access.clone() })
    }

    /// What is at `url`; of at most `max_bytes`, also when it comes compressed.
    pub fn get(&self, url: &str, accept: &str, timeout: Duration, max_bytes: u64) -> Result<Fetched> {
        let failed = |e: ureq::Error| Error::unavailable(format!("{url}: {e}"));
        let agent = if self.access.is_direct(url) { &self.direct } else { &self.agent };
        let mut request = agent
            .get(url)
            .header("Accept", accept)
            .header("Accept-Encoding", "gzip")
            .header("X-Prometheus-Scrape-Timeout-Seconds", timeout.as_secs_f64().to_string());
        if let Some(a) = self.access.credentials.header()? {
            request = request.header("Authorization", a);
        }
        for h in &self.access.headers {
            request = request.header(&h.name, h.value.read()?);
        }
        let mut response = request.config().timeout_global(Some(timeout)).build().call().map_err(failed)?;
        if !response.status().is_success() {
            return Err(Error::unavailable(format!("{url}: the answer is {}", response.status())));
        }
        let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let is_gzip = response.headers().get("content-encoding").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"gzip"));
        // The bound is on what it is after decompression, so it is kept here.
        let body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut bytes = vec![];
        // One byte more than may be: whoever sends that has sent too much.
        let most = max_bytes.saturating_add(1);
        let read = if is_gzip {
            flate2::read::MultiGzDecoder::new(body).take(most).read_to_end(&mut bytes)
        } else {
            body.take(most).read_to_end(&mut bytes)
        };
        read.map_err(|e| Error::unavailable(format!("{url}: {e}")))?;
        if bytes.len() as u64 > max_bytes {
            return Err(Error::new(Kind::TooLarge, format!("{url}: the page has more than {max_bytes} bytes")));
        }
        Ok(Fetched { bytes, content_type })
    }
}
