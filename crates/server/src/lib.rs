//! The edge: one port that speaks the protocols people already have, over HTTP/1.1 and HTTP/2.
//!
//! Constraints: knows the store only as a [`Backend`]; every byte comes from somebody else, so sizes, times, counts and
//! patience are bounded ([`limits`], [`Settings`]); a failure of ours must never make a client drop what it holds.
//!
//! Design: an adapter is one module per protocol, and it does three things: decode, call one function, encode. The quirks of
//! a protocol live there and nowhere else. Around every handler stand the same few steps ([`routes`]): admission, token,
//! tenant, panic, figures. A kind of error becomes a status in one place ([`status`]). Computing runs off the async
//! runtime in two bounded pools, pushes and queries apart, so that neither starves the other ([`cpu`]).
//!
//! Rejected: a framework's extractors for bodies and parameters (they answer errors in shapes of their own), and a
//! listener for each protocol (one address is easier to remember, and to protect).

mod admin;
mod agents;
mod answer;
mod app;
mod auth;
mod backend;
pub mod body;
mod cpu;
pub mod grpc;
pub mod limits;
mod listen;
mod loki;
mod memory;
mod node;
mod otlp;
mod params;
mod prometheus;
mod request_line;
mod routes;
mod settings;
pub mod stats;
mod status;
mod tempo;
mod time;

pub use app::App;
pub use auth::Token;
pub use backend::Backend;
pub use listen::{Connections, bind, serve, serve_router};
pub use node::{Figures, GiveStore, Node};
pub use routes::Paths;
pub use settings::{QueryLimits, Settings};
