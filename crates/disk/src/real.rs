//! The operating system's file system.
/// The operating system's file system.
pub struct RealFs;
