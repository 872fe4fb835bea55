//! The journal of a run: an append-only file that tells afterwards, also after a kill, what was done.
//!
//! JSON lines: first a [`Header`], then every event as `-o json` prints it. A line that cannot be read, such as a last one
//! that a kill or a full disk has torn, is passed over. Journals are private (folder 0700, files 0600); texts are redacted
//! by whoever hands them in.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Ended, Event, Resumes};
use crate::cluster::lock::Process;

/// The format's version.
pub const VERSION: u32 = 1;

/// Journals that are kept in a folder.
const KEPT: usize = 200;

/// How a journal's name ends.
const EXTENSION: &str = "jsonl";

/// The first line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub journal: u32,
    /// Rekindle's version.
    pub rekindle: String,
    /// The run's id.
    pub run: String,
    /// When it began.
    pub time: jiff::Timestamp,
    /// The command that was given, as it can be pasted.
    pub command: String,
    /// The command that looks at the same environment.
    pub look: String,
    /// The environment, with the instance.
    pub environment: String,
    /// The kit's folder; absent for the one inside the binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kit: Option<String>,
    /// Name of the stack.
    pub stack: String,
    /// UID of `kube-system`.
    pub cluster: String,
    /// Kubeconfig context.
    pub context: String,
    /// The API server's address.
    pub server: String,
    /// `user@host`.
    pub by: String,
    /// The process that ran it.
    pub process: Process,
    /// Addresses at which the stack answers.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Writer {
    file: File,
}

impl Writer {
    /// Begins a journal in a folder, which is made where it is missing, and removes the oldest ones above 200.
    ///
    /// # Errors
    /// When the folder or the file cannot be made or written.
    pub fn begin(folder: &Path, run: &str, time: jiff::Timestamp, header: &Value) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let name = format!("{}{:03}Z-{run}.{EXTENSION}", time.strftime("%Y%m%dT%H%M%S."), time.subsec_millisecond());
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(folder.join(name))?;
        let mut writer = Self { file };
        writer.write(header, true)?;
        for old in list(folder).unwrap_or_default().into_iter().skip(KEPT) {
            let _ = fs::remove_file(old);
        }
        Ok(writer)
    }

    /// Appends an event in its JSON form. Those that a person will ask for are on the disk when this returns: the end of a
    /// phase, a failure and the end of the run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn event(&mut self, event: &Value) -> io::Result<()> {
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        let lasting = ["phase-finished", "object-failed", "gate-failed", "run-finished", "error"].contains(&name);
        self.write(event, lasting)
    }

    /// In one write, so that a kill leaves whole lines.
    fn write(&mut self, value: &Value, lasting: bool) -> io::Result<()> {
        self.file.write_all(format!("{value}\n").as_bytes())?;
        if lasting { self.file.sync_data() } else { Ok(()) }
    }
}

/// The journals of a folder, newest first; none where the folder is missing.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    // Their names begin with the time.
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

/// What the lines of a journal contain that a [`Summary`] is made of. Within texts, quotes are escaped.
const TOLD: [&str; 6] = [
    "\"event\":\"phase-started\"",
    "\"event\":\"object-applied\"",
    "\"event\":\"object-deleted\"",
    "\"event\":\"taking-down\"",
    "\"event\":\"run-finished\"",
    "\"event\":\"error\"",
];

impl Header {
    /// Reads the first line of a journal.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next()?).ok()
    }
}

/// How a journal says that its run ended, or what is known where it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It ended well.
    Done,
    /// It failed.
    Failed,
    /// It was refused before its first phase.
    Refused,
    /// Ctrl-C or a termination signal.
    Interrupted,
    /// It lost the lock.
    LockLost,
    /// It does not say, and its process is gone.
    Killed,
    /// It does not say, and its process lives.
    Running,
}

impl State {
    /// In words for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::LockLost => "lost its lock",
            Self::Killed => "killed",
            Self::Running => "running",
        }
    }
}

/// How a run ended, as its last event says.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Its outcome, e.g. `done`; `error` where it ended before its first phase.
    pub outcome: String,
    /// The exit code.
    pub exit: u8,
}

/// What a journal tells in short.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its first line.
    pub header: Header,
    /// How the run ended; `None` where the journal breaks off.
    pub end: Option<End>,
    /// When it was last heard of.
    pub last: jiff::Timestamp,
    /// The phase that it began last; empty before the first.
    pub phase: String,
    /// Objects that it wrote.
    pub written: usize,
    /// Whether it took the environment down: nothing of it is left to go on from.
    pub down: bool,
}

impl Summary {
    /// Reads a journal; `None` when it has no header that can be read.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header = Header::read(bytes)?;
        let (last, phase) = (header.time, String::new());
        let mut summary = Self { header, end: None, last, phase, written: 0, down: false };
        let lines: Vec<&str> = bytes.split(|byte| *byte == b'\n').skip(1).flat_map(std::str::from_utf8).collect();
        let told = |line: &&&str| TOLD.iter().any(|mark| line.contains(mark));
        let parsed = |line: &&str| serde_json::from_str::<Value>(line).ok();
        lines.iter().filter(told).filter_map(parsed).for_each(|event| summary.take(&event));
        let last = lines.iter().rev().filter_map(parsed).find_map(|event| event.get("time")?.as_str()?.parse().ok());
        summary.last = last.unwrap_or(summary.last);
        Some(summary)
    }

    fn take(&mut self, event: &Value) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let exit = || event.get("exit").and_then(Value::as_u64).and_then(|exit| u8::try_from(exit).ok()).unwrap_or(1);
        match text("event") {
            "phase-started" => text("phase").clone_into(&mut self.phase),
            "object-applied" if text("action") != "unchanged" => self.written += 1,
            "object-deleted" => self.written += 1,
            "taking-down" => self.down = true,
            "run-finished" => self.end = Some(End { outcome: text("outcome").to_owned(), exit: exit() }),
            "error" => self.end = Some(End { outcome: "error".into(), exit: exit() }),
            _ => {}
        }
    }

    /// How it ended. `alive` tells whether a process lives, where that can be known.
    pub fn state(&self, alive: impl Fn(&Process) -> bool) -> State {
        match &self.end {
            None if alive(&self.header.process) => State::Running,
            None => State::Killed,
            Some(end) => match end.outcome.as_str() {
                "done" => State::Done,
                "interrupted" => State::Interrupted,
                "lock-lost" => State::LockLost,
                "error" if self.phase.is_empty() => State::Refused,
                _ => State::Failed,
            },
        }
    }

    /// From its beginning to when it was last heard of, seconds.
    pub fn seconds(&self) -> f64 {
        self.last.duration_since(self.header.time).as_secs_f64().max(0.0)
    }

    /// What a later run of the same environment on the same cluster says of it; `None` when it ended well.
    fn resumes(&self, state: State) -> Option<Resumes> {
        let ended = match state {
            State::Done => return None,
            State::Killed => Ended::Killed,
            State::Failed | State::Refused => Ended::Failed,
            State::Interrupted => Ended::Interrupted,
            // Only a run that has its lock asks.
            State::LockLost | State::Running => Ended::LockLost,
        };
        let (run, phase) = (self.header.run.clone(), self.phase.clone());
        Some(Resumes { run, ended, phase, time: self.last, written: self.written })
    }
}

/// The run that a new one goes on from: the newest of the same environment on the same cluster that came as far as a phase,
/// unless it ended well or took the environment down. Takes the texts of journals, newest first.
pub fn resumes(
    journals: impl IntoIterator<Item = Vec<u8>>,
    environment: &str,
    cluster: &str,
    alive: impl Fn(&Process) -> bool,
) -> Option<Resumes> {
    let same = |header: &Header| header.environment == environment && header.cluster == cluster;
    let of_the_same = journals.into_iter().filter(|bytes| Header::read(bytes).is_some_and(|header| same(&header)));
    let newest = of_the_same.filter_map(|bytes| Summary::read(&bytes)).find(|summary| !summary.phase.is_empty())?;
    if newest.down { None } else { newest.resumes(newest.state(alive)) }
}

/// The events of a journal in their JSON form.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = Value> {
    bytes.split(|byte| *byte == b'\n').skip(1).filter_map(|line| serde_json::from_slice(line).ok())
}

/// An event as it was before it became JSON; `None` for one of a kind that this version does not know.
pub fn event(value: Value) -> Option<Event> {
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests;
