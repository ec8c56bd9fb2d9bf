//! What a node stands on: disk, clock, wires and object store as they are, or as a drill makes them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use base::Clock;
use cluster::transport::Transport;
use disk::{Fs, RealFs};
use store::Store;

use super::drill::Drill;
use crate::cli::ServeArgs;

/// Disk, clock and wires.
#[derive(Clone)]
pub struct Ground {
    /// The disk of the data directory.
    pub fs: Arc<dyn Fs>,
    /// The clock.
    pub clock: Clock,
    drill: Option<Arc<Drill>>,
}

impl Ground {
    /// The system's, unless the arguments say that this is a drill.
    pub async fn new(args: &ServeArgs) -> Result<Ground> {
        match args.drill {
            None => Ok(Ground { fs: Arc::new(RealFs), clock: Clock::System, drill: None }),
            Some(address) => Ground::of_drill(address, args.drill_clock_offset).await,
        }
    }

    async fn of_drill(address: SocketAddr, offset_seconds: i64) -> Result<Ground> {
        let drill = Drill::new();
        drill.clone().listen(address).await?;
        let clock = match offset_seconds {
            0 => Clock::System,
            s => Clock::Shifted(s.saturating_mul(base::units::SECOND_NS)),
        };
        Ok(Ground { fs: drill.fs(), clock, drill: Some(drill) })
    }

    /// The object store, which is there.
    pub fn store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.drill {
            None => store,
            Some(drill) => drill.store(store),
        }
    }

    /// The way to other nodes, over these wires.
    pub fn transport(&self, wires: Arc<dyn Transport>) -> Arc<dyn Transport> {
        match &self.drill {
            None => wires,
            Some(drill) => drill.transport(wires),
        }
    }
}
