//! Who runs this process, and which one it is. Linux tells under `/proc`; elsewhere less is known, and what is not known is empty.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::cluster::lock::{Holder, Process};

/// This process as the holder of locks for a run.
pub fn holder(run: &str) -> Holder {
    let process = this();
    Holder::new(user(process.uid), host(), run.to_owned(), process)
}

/// Who runs this process: `user@host`.
pub fn who() -> String {
    format!("{}@{}", user(this().uid), host())
}

/// Whether a process lives, as far as this one can see it; one that it cannot see does not.
pub fn is_alive(process: &Process) -> bool {
    this().sees(process, started) == Some(true)
}

fn this() -> Process {
    let pid = std::process::id();
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    Process {
        pid,
        started: started(pid).unwrap_or_default(),
        uid: fs::metadata("/proc/self").map(|metadata| metadata.uid()).unwrap_or_default(),
        boot: text("/proc/sys/kernel/random/boot_id"),
        pid_namespace: namespace.to_string_lossy().into_owned(),
    }
}

/// When a process started, in clock ticks since boot; `None` when there is none of this number, or it has ended and is only
/// waited for.
pub fn started(pid: u32) -> Option<u64> {
    start_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The start time in a `/proc/PID/stat`: field 22. The second one, the program's name, may hold blanks and parentheses.
fn start_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // Field 3, the state: a zombie or a dead one.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// `$USER`, else the name in `/etc/passwd`, else the number.
fn user(uid: u32) -> String {
    let named = || {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        users.find(|fields| fields.get(2) == Some(&uid.to_string().as_str())).map(|fields| fields[0].to_owned())
    };
    let variable = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    variable.filter(|name| !name.is_empty()).or_else(named).unwrap_or_else(|| format!("uid-{uid}"))
}

/// The machine's name.
fn host() -> String {
    let read =
        ["/proc/sys/kernel/hostname", "/etc/hostname"].into_iter().find_map(|path| fs::read_to_string(path).ok());
    let name = read.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".into() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_of(&format!("7 (a) b) S {rest}")), Some(4711));
        assert_eq!(start_of(&format!("7 (rekindle) Z {rest}")), None, "ended, only waited for");
        assert_eq!(start_of("7 (rekindle"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_lives_and_one_that_has_ended_does_not() {
        assert!(is_alive(&this()));
        assert!(!is_alive(&Process { started: 1, ..this() }));
        assert_eq!(started(u32::MAX), None);
    }
}
