//! This machine as a node.

use std::path::Path;

use anyhow::{Result, bail};

use super::Bed;

/// Addresses and bridges of the node bed.
pub struct Network {
    /// The node's own address.
    pub node_address: &'static str,
    /// Addresses of pods.
    pub pod_range: &'static str,
}

impl Network {
    /// The one that is used.
    pub const BED: Self = Self { node_address: "10.89.0.1", pod_range: "10.88.0.0/16" };
}
pub fn check_machine(_name: &str) -> Result<()> {
    bail!("not yet")
}
pub fn prepare(_bed: &mut Bed) -> Result<()> {
    Ok(())
}
pub fn start(_bed: &mut Bed) -> Result<()> {
    Ok(())
}
pub fn import(_bed: &mut Bed, _archive: &Path) -> Result<()> {
    Ok(())
}
pub fn stop(_bed: &mut Bed, _gently: bool) -> Result<()> {
    Ok(())
}
pub fn clean(_bed: &mut Bed) -> Result<()> {
    Ok(())
}
