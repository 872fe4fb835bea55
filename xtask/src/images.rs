//! The images of the node bed.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// Builds the images of the node bed, unless they are in the cache, and returns the docker-archive that holds them all.
///
/// # Errors
/// When something needed is missing or fails to build.
pub fn archive() -> Result<PathBuf> {
    bail!("there are no images for the node yet")
}
