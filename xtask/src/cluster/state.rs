//! What is recorded about a cluster: `state.json` in its folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::ports::Ports;
use crate::cache;
use crate::process::Process;

/// How real a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// etcd, API server, controllers, scheduler; pods stay pending.
    ControlPlane,
    /// The same, with nodes and pods simulated.
    Kwok,
    /// The same, with this machine as a node that runs containers.
    Node,
}

impl Kind {
    /// Its name, which is also the name of a cluster that was given none.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::Kwok => "kwok",
            Self::Node => "node",
        }
    }
}

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The cluster's name, also that of its folder and of the context in its kubeconfig.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its ports.
    pub ports: Ports,
    /// Fake nodes of a KWOK cluster.
    pub nodes: u32,
    /// The start of the machine during which `processes` ran; they are all gone after another one.
    pub boot: String,
    /// Its processes, in the order in which they were started.
    pub processes: Vec<Process>,
    /// Whether it was seen ready after its last start.
    pub ready: bool,
    /// The process that uses it and will take it down; none when a person did `up`.
    pub owner: Option<Process>,
    /// The number of a node bed's network.
    #[serde(default)]
    pub network: Option<u8>,
    /// Image archives that were imported: path, size and time of change.
    pub imported: Vec<String>,
}

impl State {
    /// Whether all its processes run and it was ready.
    pub fn live(&self) -> bool {
        self.ready && !self.processes.is_empty() && self.processes.iter().all(Process::alive)
    }

    /// Whether the process that made it for itself is gone without having taken it down.
    pub fn abandoned(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| !owner.alive())
    }
}

/// Identifies the time since the machine started.
///
/// # Errors
/// When /proc is not there.
pub fn boot() -> Result<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot read the machine's boot id")?;
    Ok(id.trim().to_owned())
}

/// Where all clusters are.
///
/// # Errors
/// When there is no cache folder.
pub fn clusters() -> Result<PathBuf> {
    Ok(cache::root()?.join("clusters"))
}

/// Reads the record in a cluster's folder; none when there is none.
///
/// # Errors
/// When it is there but cannot be understood.
pub fn load(folder: &Path) -> Result<Option<State>> {
    let path = folder.join("state.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut state: State =
        serde_json::from_slice(&text).with_context(|| format!("cannot understand {}", path.display()))?;
    let boot = boot()?;
    if state.boot != boot {
        state.boot = boot;
        state.processes.clear();
        // Also after a restart of the machine an owner is gone, and another process may have its pid and start time.
        if let Some(owner) = &mut state.owner {
            owner.pid = 0;
        }
    }
    Ok(Some(state))
}

/// Writes the record.
///
/// # Errors
/// When it cannot be written.
pub fn save(folder: &Path, state: &State) -> Result<()> {
    cache::write_private(&folder.join("state.json"), &serde_json::to_vec_pretty(state)?)
}

/// Every recorded cluster with its folder, by name.
///
/// # Errors
/// When a record cannot be understood.
pub fn all() -> Result<Vec<(PathBuf, State)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(clusters()?).into_iter().flatten().flatten() {
        if entry.path().is_dir()
            && let Some(state) = load(&entry.path())?
        {
            found.push((entry.path(), state));
        }
    }
    found.sort_by(|one, other| one.1.name.cmp(&other.1.name));
    Ok(found)
}

/// Ports that recorded clusters hold, running or not, except the one called `except`.
///
/// # Errors
/// As [`all`].
pub fn taken_ports(except: &str) -> Result<BTreeSet<u16>> {
    Ok(all()?.iter().filter(|(_, state)| state.name != except).flat_map(|(_, state)| state.ports.all()).collect())
}

/// Checks a cluster's name: it becomes a folder, a context and part of other names.
///
/// # Errors
/// When it is not short, lower-case and plain.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(plain) || name.starts_with('-') || name.ends_with('-') {
        bail!("a cluster's name is 1 to 40 lower-case letters, digits and dashes between them; {name:?} is not");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn state() -> State {
        State {
            name: "one".to_owned(),
            kind: Kind::Kwok,
            ports: Ports { api: 1, etcd: 2, etcd_peer: 3, controller_manager: 4, scheduler: 5 },
            nodes: 4,
            boot: boot().unwrap(),
            processes: vec![Process::current().unwrap()],
            ready: true,
            owner: Some(Process::current().unwrap()),
            network: Some(1),
            imported: Vec::new(),
        }
    }

    #[test]
    fn a_record_survives_writing_and_reading_and_forgets_processes_of_another_boot() {
        let folder = std::env::temp_dir().join(format!("xtask-state-{}", std::process::id()));
        cache::private_dir(&folder).unwrap();
        assert_eq!(load(&folder).unwrap(), None);
        save(&folder, &state()).unwrap();
        let read = load(&folder).unwrap().unwrap();
        assert_eq!(read, state());
        assert!(read.live() && !read.abandoned());

        save(&folder, &State { boot: "another".to_owned(), ..state() }).unwrap();
        let read = load(&folder).unwrap().unwrap();
        assert!(read.processes.is_empty() && !read.live() && read.abandoned());

        fs::write(folder.join("state.json"), "{\"name\": \"one\"").unwrap();
        assert!(load(&folder).unwrap_err().to_string().contains("state.json"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_cluster_that_was_never_ready_or_lost_a_process_is_not_live() {
        let mut dead = Process::current().unwrap();
        dead.started += 1;
        assert!(!State { ready: false, ..state() }.live());
        assert!(!State { processes: Vec::new(), ..state() }.live());
        assert!(!State { processes: vec![Process::current().unwrap(), dead], ..state() }.live());
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "test-12-kwok"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "..", "a.b", &"x".repeat(41)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
