//! The control groups of a node bed: one below the root of each hierarchy, for its kubelet.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Network;

const BASE: &str = "/sys/fs/cgroup";
/// What a kubelet needs of version 2, where it has to be handed down.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// The group of a bed, by the network it has.
pub fn of(network: Network) -> String {
    format!("rekindle-{}", network.number())
}

/// Every hierarchy (version 1), or the one (version 2).
fn hierarchies() -> Vec<PathBuf> {
    let base = Path::new(BASE);
    if base.join("cgroup.controllers").exists() {
        return vec![base.to_owned()];
    }
    fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Makes a group: a kubelet does not start without its own.
///
/// # Errors
/// When the kernel refuses.
pub fn make(group: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        for controller in CONTROLLERS {
            // One that there is not is missed by nobody, or by the kubelet, which says so.
            let _ = fs::write(hierarchy.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let path = hierarchy.join(group);
        fs::create_dir_all(&path).with_context(|| format!("cannot make the control group {}", path.display()))?;
    }
    Ok(())
}

/// Removes a group with all below it, which are empty by now.
pub fn remove(group: &str) {
    for hierarchy in hierarchies() {
        remove_tree(&hierarchy.join(group));
    }
}

fn remove_tree(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path());
        }
    }
    // One that still holds a process stays, and the next kubelet takes it over.
    let _ = fs::remove_dir(group);
}
