//! Names to addresses. The system's resolver blocks, for as long as it wants, so few ask it at a time.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use base::{Error, Kind, Result};
use tokio::sync::Semaphore;

use crate::limits;

/// Lookups under way.
pub struct Lookups(Arc<Semaphore>);

impl Default for Lookups {
    fn default() -> Self {
        Lookups(Arc::new(Semaphore::new(limits::LOOKUPS)))
    }
}

impl Lookups {
    /// The addresses behind `name:port`, or an address itself.
    pub async fn find(&self, name: &str) -> Result<Vec<SocketAddr>> {
        if let Ok(a) = name.parse() {
            return Ok(vec![a]);
        }
        let name = name.to_owned();
        let slow = Error::new(Kind::Timeout, format!("{name} was not looked up within {} s", limits::LOOKUP_WAIT.as_secs()));
        let places = self.0.clone();
        let lookup = async move {
            let place = places.acquire_owned().await.map_err(|e| Error::internal(e.to_string()))?;
            tokio::task::spawn_blocking(move || {
                // Held until the resolver returns, whether or not anybody waits for it.
                let _place = place;
                let found = name.to_socket_addrs().map_err(|e| Error::unavailable(format!("{name} cannot be looked up: {e}")))?;
                Ok(found.take(limits::ADDRESSES_PER_NAME).collect::<Vec<_>>())
            })
            .await
            .map_err(|e| Error::internal(e.to_string()))?
        };
        tokio::time::timeout(limits::LOOKUP_WAIT, lookup).await.unwrap_or(Err(slow))
    }
}
