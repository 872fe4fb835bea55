//! Who has which of the places for node beds on this machine, whatever their user and cache folder: one record each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Network, clean, groups};
use crate::cache::Lock;
use crate::cluster::{Bed, lock_file, state};
use crate::process::Process;
use crate::progress::say;

/// Where the records and the beds' sockets are: short, because a socket's path has at most 107 bytes.
pub const RUN: &str = "/run/rekindle";

/// Holds the folder of the bed that has this place.
fn record(network: Network) -> PathBuf {
    Path::new(RUN).join(format!("node-{}", network.number()))
}

/// The folder of the bed that has a place, if one has it.
fn holder(network: Network) -> Option<PathBuf> {
    fs::read_to_string(record(network)).ok().map(|text| PathBuf::from(text.trim()))
}

fn lock() -> Result<Lock> {
    Lock::take(&Path::new(RUN).join("lock"), "with the machine's node beds")
}

/// Takes a place for a bed and makes its network. A bed that had one keeps it when it can.
///
/// # Errors
/// When all are taken by beds that run, or the network cannot be made.
pub fn take(bed: &mut Bed) -> Result<Network> {
    clean_abandoned(bed)?;
    let _lock = lock()?;
    let free: Vec<Network> =
        Network::all().filter(|network| holder(*network).is_none_or(|holder| holder == bed.folder)).collect();
    let earlier = bed.network().ok().filter(|network| free.contains(network));
    let Some(network) = earlier.or_else(|| free.first().copied()) else {
        bail!("{} node beds run on this machine, and no more fit; see: cargo xtask cluster list", Network::COUNT);
    };
    fs::write(record(network), bed.folder.display().to_string())
        .with_context(|| format!("cannot write {}", record(network).display()))?;
    bed.state.network = Some(network.number());
    bed.save()?;
    network.make()?;
    Ok(network)
}

/// Ends what is left of beds that do not run any more but have a place.
fn clean_abandoned(bed: &Bed) -> Result<()> {
    for network in Network::all() {
        let Some(folder) = holder(network).filter(|folder| *folder != bed.folder) else { continue };
        // One that is just being made has no processes yet either.
        let Some(_at_work) = work_on(&folder)? else { continue };
        match state::load(&folder)? {
            Some(state) if state.processes.iter().any(Process::alive) => {}
            Some(state) => {
                say(format_args!("cleaning up after the node {}, which does not run", state.name));
                Bed { folder, state }.stop(false)?;
            }
            None => {
                let _lock = lock()?;
                release(network)?;
            }
        }
    }
    Ok(())
}

/// The lock of the bed in a folder, whatever cache that is in, unless somebody is at work on the bed.
fn work_on(folder: &Path) -> Result<Option<Lock>> {
    let name = folder.file_name().and_then(|name| name.to_str());
    match (folder.ancestors().nth(2), name) {
        (Some(cache), Some(name)) => Lock::try_take(&lock_file(cache, name)),
        _ => bail!("{} is no bed's folder", folder.display()),
    }
}

/// Gives a bed's place back, with its network and control groups.
///
/// # Errors
/// When the network cannot be removed.
pub fn give_back(bed: &Bed) -> Result<()> {
    // Whoever is not on record got no further than the checks, and what is there belongs to somebody else.
    let Ok(network) = bed.network() else { return Ok(()) };
    let _lock = lock()?;
    if holder(network).is_some_and(|holder| holder == bed.folder) { release(network) } else { Ok(()) }
}

fn release(network: Network) -> Result<()> {
    let last = Network::all().all(|other| other == network || holder(other).is_none());
    groups::remove(&groups::of(network));
    network.remove(last)?;
    if last {
        clean::remove_shared();
    }
    fs::remove_file(record(network)).with_context(|| format!("cannot remove {}", record(network).display()))
}
