//! The edge over real HTTP: a server on a free port in this process, a plain client, and behind it the engine on a
//! simulated disk, or a store that answers what the test says.
#![allow(clippy::unwrap_used)] // a test

mod admin;
mod edges;
mod grpc;
mod harness;
mod incomplete;
mod loki;
mod loki_delete;
mod loki_grafana;
mod loki_tail;
mod otlp;
mod prometheus;
mod prometheus_clients;
mod prometheus_refused;
mod prometheus_tenants;
mod tempo;
