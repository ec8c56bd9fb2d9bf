//! A simulated disk.
/// A simulated disk.
pub struct SimFs;
/// Settings of the simulated disk.
pub struct SimSettings;
