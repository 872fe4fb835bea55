//! Testbeds: clusters made of processes on this machine, each in a folder of its own, several side by side.

mod command;
mod control_plane;
mod kwok;
mod node;
mod pki;
mod ports;
mod state;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use command::{ClusterCommand, run};
pub use node::unavailable as node_unavailable;
use ports::Ports;
pub use state::Kind;
use state::State;

use crate::api::Api;
use crate::cache::{self, Lock};
use crate::process::{self, Process};
use crate::progress::{Step, say};

/// What `up` is asked for.
pub struct Wish {
    /// The cluster's name.
    pub name: String,
    /// How real it is to be.
    pub kind: Kind,
    /// How many fake nodes a KWOK cluster gets.
    pub nodes: u32,
    /// Whether a node gets the project's images.
    pub images: bool,
    /// Whether this process will take it down.
    pub owned: bool,
}

/// A cluster: its folder and its record.
pub struct Bed {
    folder: PathBuf,
    state: State,
}

impl Bed {
    /// Makes a cluster, or starts a dead one again with its state, or finds that it runs.
    ///
    /// # Errors
    /// When it cannot be made; what was started is stopped again then.
    pub fn up(wish: &Wish) -> Result<Self> {
        state::check_name(&wish.name)?;
        let folder = state::clusters()?.join(&wish.name);
        let _lock = lock(&wish.name)?;
        let recorded = state::load(&folder)?;
        if let Some(state) = &recorded {
            if state.kind != wish.kind {
                bail!(
                    "cluster {name} is there already, but as {is}, not {wanted}; first: cargo xtask cluster down {name}",
                    name = wish.name,
                    is = state.kind.name(),
                    wanted = wish.kind.name()
                );
            }
            if state.live() {
                say(format_args!("{} runs already", wish.name));
                let mut bed = Self { folder, state: state.clone() };
                bed.settle(wish)?;
                return Ok(bed);
            }
            say(format_args!("{} is recorded but does not run: starting it again with its state", wish.name));
        }
        if wish.kind == Kind::Node
            && let Some(reason) = node::unavailable()
        {
            bail!("{reason}");
        }
        let mut bed = Self::allot(folder, wish, recorded)?;
        if let Err(error) = bed.start_all(wish) {
            say(format_args!("{} did not come up: stopping what was started", bed.state.name));
            if let Err(also) = bed.stop(false) {
                say(format_args!("and that failed too: {also:#}"));
            }
            return Err(error);
        }
        Ok(bed)
    }

    /// Cleans up after an earlier life, picks ports and writes the first record.
    fn allot(folder: PathBuf, wish: &Wish, recorded: Option<State>) -> Result<Self> {
        cache::private_dir(&folder.join("logs"))?;
        if let Some(state) = &recorded {
            Self { folder: folder.clone(), state: state.clone() }.stop(true)?;
        }
        // Others picking at the same moment must see our choice.
        let _ports_lock = Lock::take(&cache::root()?.join("locks/ports"), "picking ports")?;
        let kept =
            recorded.as_ref().map(|state| state.ports.clone()).filter(|p| p.all().into_iter().all(ports::is_free));
        let ports = match kept {
            Some(ports) => ports,
            None => {
                let start = u16::try_from(std::process::id() % 11_000)?;
                Ports::pick(&state::taken_ports(&wish.name)?, start, ports::is_free)?
            }
        };
        let state = State {
            name: wish.name.clone(),
            kind: wish.kind,
            ports,
            nodes: wish.nodes,
            boot: state::boot()?,
            processes: Vec::new(),
            ready: false,
            owner: if wish.owned { Some(Process::current()?) } else { None },
            network: recorded.as_ref().and_then(|state| state.network),
            imported: recorded.map(|state| state.imported).unwrap_or_default(),
        };
        state::save(&folder, &state)?;
        Ok(Self { folder, state })
    }

    fn start_all(&mut self, wish: &Wish) -> Result<()> {
        if self.state.kind == Kind::Node {
            node::prepare(self)?;
        }
        control_plane::start(self)?;
        match self.state.kind {
            Kind::ControlPlane => {}
            Kind::Kwok => kwok::start(self)?,
            Kind::Node => node::start(self)?,
        }
        self.settle(wish)?;
        self.state.ready = true;
        self.save()
    }

    /// What a wish may change on a cluster that runs: fake nodes, images, owner.
    fn settle(&mut self, wish: &Wish) -> Result<()> {
        match self.state.kind {
            Kind::ControlPlane => {}
            Kind::Kwok => kwok::nodes(self, wish.nodes)?,
            Kind::Node if wish.images => node::import(self, &crate::images::archive()?)?,
            Kind::Node => {}
        }
        if !wish.owned && self.state.owner.take().is_some() {
            self.save()?;
        }
        Ok(())
    }

    /// Finds a recorded cluster.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn find(name: &str) -> Result<Self> {
        state::check_name(name)?;
        let folder = state::clusters()?.join(name);
        let state = state::load(&folder)?
            .with_context(|| format!("there is no cluster {name}; see: cargo xtask cluster list"))?;
        Ok(Self { folder, state })
    }

    /// Ends the cluster, waits until it is gone, and removes its state unless `keep`.
    ///
    /// # Errors
    /// When a process cannot be ended or a file not be removed.
    pub fn down(name: &str, keep: bool) -> Result<()> {
        state::check_name(name)?;
        let _lock = lock(name)?;
        let mut bed = Self::find(name)?;
        let step = Step::begin(format_args!("stopping {name}"));
        bed.stop(keep)?;
        step.done();
        if !keep {
            // Tens of thousands of files, where images were unpacked.
            let step = Step::begin(format_args!("removing the state of {name}"));
            fs::remove_dir_all(&bed.folder).with_context(|| format!("cannot remove {}", bed.folder.display()))?;
            step.done();
        }
        Ok(())
    }

    /// Takes down clusters whose owner ended without doing so.
    ///
    /// # Errors
    /// As [`Bed::down`].
    pub fn down_abandoned() -> Result<()> {
        for (_, state) in state::all()? {
            if state.abandoned() {
                say(format_args!("{} was left behind by a run that is gone", state.name));
                Self::down(&state.name, false)?;
            }
        }
        Ok(())
    }

    /// Ends the processes: first what starts others, then the rest in the reverse of the order of their start.
    fn stop(&mut self, gently: bool) -> Result<()> {
        self.state.ready = false;
        self.save()?;
        if self.state.kind == Kind::Node {
            node::stop(self, gently)?;
        }
        let (store, others): (Vec<_>, Vec<_>) = self.state.processes.iter().cloned().partition(|p| p.name == "etcd");
        let (api, clients): (Vec<_>, Vec<_>) = others.into_iter().partition(|p| p.name == "kube-apiserver");
        process::stop(&clients, Duration::from_secs(5))?;
        // It waits for watchers that may belong to nobody any more; all it knows is in etcd.
        process::stop(&api, Duration::from_secs(3))?;
        process::stop(&store, Duration::from_secs(10))?;
        if self.state.kind == Kind::Node {
            node::clean(self)?;
        }
        self.state.processes.clear();
        self.save()
    }

    /// Starts one of the cluster's processes and records it at once.
    fn start(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = self.logs().join(format!("{name}.log"));
        let mut inside;
        let command = match self.state.kind {
            Kind::Node => {
                inside = self.network()?.inside(command);
                &mut inside
            }
            Kind::ControlPlane | Kind::Kwok => command,
        };
        let process = Process::start(name, command.current_dir(&self.folder), &log)?;
        self.state.processes.push(process);
        self.save()
    }

    fn save(&self) -> Result<()> {
        state::save(&self.folder, &self.state)
    }

    fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The network of a node bed.
    fn network(&self) -> Result<node::Network> {
        let number = self.state.network.with_context(|| format!("{} has no network of its own yet", self.name()))?;
        Ok(node::Network::numbered(number))
    }

    /// The address on which its API server listens.
    fn address(&self) -> Result<String> {
        match self.state.kind {
            Kind::Node => Ok(self.network()?.address()),
            Kind::ControlPlane | Kind::Kwok => Ok("127.0.0.1".to_owned()),
        }
    }

    /// The file that gives access to it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// A client with all rights.
    ///
    /// # Errors
    /// When its keys cannot be read.
    pub fn api(&self) -> Result<Api> {
        let keys = self.folder.join("pki");
        let ca = fs::read(keys.join("ca.crt")).context("cannot read the cluster's certificate authority")?;
        Api::new(&self.address()?, self.state.ports.api, &ca, &pki::token(&keys, "admin")?)
    }
}

/// What is locked while somebody works on a cluster of a cache folder.
fn lock_file(cache: &Path, cluster: &str) -> PathBuf {
    cache.join("locks").join(format!("cluster-{cluster}"))
}

/// Keeps others from working on the same cluster.
fn lock(cluster: &str) -> Result<Lock> {
    Lock::take(&lock_file(&cache::root()?, cluster), &format!("with cluster {cluster}"))
}

/// A cluster for the use of this process alone, taken down when this goes out of scope, however that happens.
pub struct Borrowed(Bed);

impl Borrowed {
    /// Makes it.
    ///
    /// # Errors
    /// As [`Bed::up`]; nothing is left of it then.
    pub fn up(name: &str, kind: Kind) -> Result<Self> {
        let wish = Wish { name: name.to_owned(), kind, nodes: 4, images: true, owned: true };
        match Bed::up(&wish) {
            Ok(bed) => Ok(Self(bed)),
            Err(error) => {
                if state::load(&state::clusters()?.join(name))?.is_some() {
                    Bed::down(name, false)?;
                }
                Err(error)
            }
        }
    }
}

impl std::ops::Deref for Borrowed {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.0
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Err(error) = Bed::down(self.name(), false) {
            say(format_args!("{} could not be taken down: {error:#}", self.name()));
        }
    }
}
