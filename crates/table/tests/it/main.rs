//! The engine as a whole, on a simulated disk.

mod damage;
mod diskfull;
mod sim;
mod toy;
