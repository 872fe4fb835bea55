//! Processes that outlive this one: started detached, recorded by pid and start time, stopped by what was recorded.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::progress::check_interrupt;

/// One process of ours. A pid alone may have gone to somebody else; with the start time it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What it is, e.g. `etcd`.
    pub name: String,
    /// Its process id.
    pub pid: i32,
    /// When it began: clock ticks since the machine started (field 22 of /proc/PID/stat).
    pub started: u64,
}

/// What /proc/PID/stat says about a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

/// Reads a line of /proc/PID/stat. The second field is the program's name in parentheses and may itself hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        started: fields.nth(17)?.parse().ok()?,
    })
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

impl Process {
    /// Starts a program detached from this process and its terminal, its output going to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.get_program().display()))?;
        let pid = i32::try_from(child.id())?;
        let started = stat(pid).with_context(|| format!("{name} was gone at once"))?.started;
        Ok(Self { name: name.to_owned(), pid, started })
    }

    /// This very process.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn current() -> Result<Self> {
        let pid = i32::try_from(std::process::id())?;
        Ok(Self { name: "xtask".to_owned(), pid, started: stat(pid).context("cannot read /proc/self/stat")?.started })
    }

    /// Whether it still runs; one that ended and was not yet reaped does not.
    pub fn alive(&self) -> bool {
        match stat(self.pid) {
            Some(stat) if stat.started != self.started => false,
            // Only its first thread ended, perhaps: until all have, its ports stay taken.
            Some(stat) if matches!(stat.state, 'Z' | 'X') => {
                fs::read_dir(format!("/proc/{}/task", self.pid)).is_ok_and(|threads| threads.count() > 1)
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Sends a signal, if it still is our process.
    pub fn signal(&self, signal: Signal) {
        if self.alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may have ended in between; then there is nothing to do.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Ends processes: asks, waits up to `grace` for all of them, then kills, and waits until they are gone.
///
/// # Errors
/// When one cannot even be killed.
pub fn stop(processes: &[Process], grace: Duration) -> Result<()> {
    for process in processes {
        process.signal(Signal::TERM);
    }
    if wait_gone(processes, grace) {
        return Ok(());
    }
    for process in processes {
        process.signal(Signal::KILL);
    }
    if wait_gone(processes, Duration::from_secs(20)) {
        return Ok(());
    }
    let left: Vec<_> = processes.iter().filter(|p| p.alive()).map(|p| format!("{} ({})", p.name, p.pid)).collect();
    bail!("these processes do not end even when killed: {}", left.join(", "))
}

fn wait_gone(processes: &[Process], limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        if !processes.iter().any(Process::alive) {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks `ready` again and again until it says yes.
///
/// # Errors
/// When it takes longer than `limit`, on Ctrl-C, or as soon as one of `needed` has ended; then with the end of its log
/// from the folder `logs`.
pub fn wait_for(
    what: &str,
    limit: Duration,
    needed: &[Process],
    logs: &Path,
    mut ready: impl FnMut() -> bool,
) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        if ready() {
            return Ok(());
        }
        check_interrupt()?;
        if let Some(dead) = needed.iter().find(|process| !process.alive()) {
            bail!("{} ended while waiting for {what}; {}", dead.name, tail(&logs.join(format!("{}.log", dead.name))));
        }
        if Instant::now() >= end {
            bail!("waited {} s in vain for {what}; logs are in {}", limit.as_secs(), logs.display());
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// The last lines of a log, introduced by its name.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default();
    format!("the end of {}:\n  {}", log.display(), last.join("\n  "))
}

/// Every process on the machine whose command line satisfies `matches`, with all its descendants before it.
pub fn find_trees(matches: impl Fn(&[&str]) -> bool) -> Vec<Process> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Some(stat) = stat(pid) else { continue };
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        all.push((pid, stat, String::from_utf8_lossy(&command).into_owned()));
    }
    let mut found = Vec::new();
    let mut queue: Vec<i32> = all
        .iter()
        .filter(|(_, _, command)| matches(&command.split('\0').collect::<Vec<_>>()))
        .map(|(pid, ..)| *pid)
        .collect();
    while let Some(pid) = queue.pop() {
        for (child, stat, command) in &all {
            if *child == pid {
                let name = command.split('\0').next().unwrap_or_default().to_owned();
                found.push(Process { name, pid, started: stat.started });
            } else if stat.parent == pid {
                queue.push(*child);
            }
        }
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn stat_survives_a_name_with_parentheses_and_spaces() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1000 10 18446744073709551615";
        assert_eq!(parse_stat(line), Some(Stat { state: 'S', parent: 7, started: 98765 }));
        for broken in ["", "42 (sh", "42 (sh)", "42 (sh) S", "42 (sh) S x 1 1 1 1 1"] {
            assert_eq!(parse_stat(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_process_with_another_start_time_is_not_ours() {
        let me = Process::current().unwrap();
        assert!(me.alive());
        assert!(!Process { started: me.started + 1, ..me }.alive());
    }

    #[test]
    fn stopping_waits_for_the_real_end() {
        let folder = std::env::temp_dir();
        let log = folder.join(format!("xtask-process-{}.log", std::process::id()));
        // Ignores the polite request, so it must be killed.
        let stubborn = Process::start(
            "stubborn",
            Command::new("sh").args(["-c", "trap '' TERM; while :; do sleep 60 & wait; done"]),
            &log,
        )
        .unwrap();
        let polite = Process::start("polite", Command::new("sleep").arg("60"), &log).unwrap();
        assert!(stubborn.alive() && polite.alive());
        let tree =
            find_trees(|command| command.first() == Some(&"sh") && command.iter().any(|a| a.contains("trap ''")));
        stop(&[stubborn.clone(), polite.clone()], Duration::from_millis(300)).unwrap();
        assert!(!stubborn.alive() && !polite.alive());
        stop(&tree, Duration::from_millis(100)).unwrap();
        fs::remove_file(log).unwrap();
    }
}
