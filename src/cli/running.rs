//! A run that holds its environment's lock, from taking it to giving it back: what `up` and `down` have in common.

use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::journal::Journal;
use super::lock::{self, Wish};
use super::run_view::RunView;
use super::settings::Context;
use super::{CliError, Exit, process};
use crate::cluster::lock::{Holder, Lock};
use crate::cluster::{Cluster, ClusterError};
use crate::rebuild::event::{Event, EventKind};
use crate::rebuild::journal::{self, Header};

/// A run that holds the lock.
pub struct Running {
    /// Its id.
    pub run: String,
    /// When it began.
    pub started: jiff::Timestamp,
    /// The lock.
    pub lock: Lock,
    holder: Holder,
    signals: Signals,
}

impl Running {
    /// Takes the lock for a run that begins now.
    ///
    /// # Errors
    /// Those of [`lock::take`]; exit 130 when somebody has pressed Ctrl-C before that.
    pub async fn begin(context: &mut Context, cluster: &Cluster, wish: &Wish<'_>) -> Result<Self, CliError> {
        let run = run_id();
        let holder = process::holder(&run);
        let mut signals = Signals::listen()?;
        let lock = tokio::select! {
            lock = lock::take(context, cluster, wish, &holder, jiff::Timestamp::now()) => Some(lock?),
            () = signals.next() => None,
        };
        if let Some(lock) = lock {
            // Events count from here: waiting for the lock is no part of the run.
            return Ok(Self { run, started: jiff::Timestamp::now(), lock, holder, signals });
        }
        // The request that takes it may have been on its way.
        Lock::give_back(cluster, wish.environment, &holder).await;
        Err(CliError::new(Exit::Interrupted, format!("interrupted before the run began; {}", wish.untouched)))
    }

    /// Begins its journal. `look` is the command to look at what it leaves, `hosts` the addresses at which the stack answers.
    pub fn journal(
        &self,
        context: &mut Context,
        cluster: &Cluster,
        stack: &str,
        wish: &Wish<'_>,
        look: String,
        hosts: Vec<String>,
    ) -> Journal {
        let header = Header {
            journal: journal::VERSION,
            rekindle: env!("CARGO_PKG_VERSION").into(),
            run: self.run.clone(),
            time: self.started,
            command: context.command(wish.words),
            look,
            environment: wish.environment.to_owned(),
            kit: context.common.kit.as_ref().map(|kit| kit.display().to_string()),
            stack: stack.to_owned(),
            cluster: cluster.uid.clone(),
            context: cluster.context.clone(),
            server: cluster.server.clone(),
            by: format!("{}@{}", self.holder.user, self.holder.host),
            process: self.holder.process.clone().unwrap_or_default(),
            hosts,
        };
        Journal::begin(context, &header)
    }

    /// Does the work; shows its events and writes them down; gives the lock back however it ended, unless it was asked twice
    /// to stop: `unknown` is the hint then.
    ///
    /// # Errors
    /// Those of the work, as `explain` tells them.
    pub async fn follow<F>(
        mut self,
        view: RunView,
        mut journal: Journal,
        work: impl FnOnce(mpsc::UnboundedSender<Event>, watch::Receiver<bool>) -> F,
        explain: impl FnOnce(ClusterError) -> CliError,
        unknown: String,
    ) -> Result<Exit, CliError>
    where
        F: Future<Output = Result<u8, ClusterError>>,
    {
        match self.events(view, work, &mut journal).await {
            // What is on its way may still arrive: the lock is left to run out.
            Ok(None) => {
                drop(self.lock);
                let message = "ended at once; what was on its way is not known";
                Err(CliError::new(Exit::Interrupted, message).hint(unknown))
            }
            ended => {
                self.lock.release().await;
                let ended = ended.map_err(explain).inspect_err(|error| journal.error(error));
                ended.map(|exit| exit.unwrap_or(Exit::Bug))
            }
        }
    }

    /// Starts the work; shows its events and writes them down until the last one. `None` when it was asked twice to stop.
    async fn events<F>(
        &mut self,
        mut view: RunView,
        work: impl FnOnce(mpsc::UnboundedSender<Event>, watch::Receiver<bool>) -> F,
        journal: &mut Journal,
    ) -> Result<Option<Exit>, ClusterError>
    where
        F: Future<Output = Result<u8, ClusterError>>,
    {
        let (events, mut happened) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let mut run = std::pin::pin!(work(events, stopped));
        let mut exit = None;
        let mut tick = tokio::time::interval(view.tick());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The channel closes when the run has ended and its last event has been taken.
        loop {
            tokio::select! {
                biased;
                () = self.signals.next() => {
                    if stop.send_replace(true) {
                        return Ok(None);
                    }
                    view.stopping();
                }
                event = happened.recv() => match event {
                    Some(event) => {
                        if let EventKind::PhaseStarted { phase } = &event.kind {
                            self.lock.phase(phase);
                        }
                        journal.event(&event);
                        view.event(&event);
                        if let Some(warning) = journal.warning() {
                            view.event(&warning);
                        }
                    }
                    None => break,
                },
                ended = &mut run, if exit.is_none() => exit = Some(ended?),
                _ = tick.tick() => view.redraw(),
            }
        }
        view.finish();
        Ok(Some(exit.map_or(Exit::Bug, Exit::from_code)))
    }
}

/// Ctrl-C and the termination signal.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on: neither of them ends the program any more.
    ///
    /// # Errors
    /// When the operating system does not let us.
    pub fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|error| CliError::new(Exit::Bug, format!("no signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// The next one of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// An identifier that tells this run from others on the same cluster.
pub fn run_id() -> String {
    let moment = std::time::UNIX_EPOCH.elapsed().map(|elapsed| elapsed.as_nanos()).unwrap_or_default();
    let seed = format!("{moment} {}", std::process::id());
    Sha256::digest(seed.as_bytes())[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}
