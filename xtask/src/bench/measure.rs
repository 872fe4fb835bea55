//! How long something takes and how much memory it needs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::kit::Made;
use crate::api::Api;
use crate::process::tail;
use crate::progress::check_interrupt;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Wall time, until everything has been written.
    pub time: Duration,
    /// Wall time until everything is ready, of a program that waits for it.
    pub ready: Option<Duration>,
    /// Peak resident memory in kB, of a program.
    pub memory: Option<u64>,
}

/// Runs a program to its end.
///
/// # Errors
/// When it fails; then with the end of its output, which is kept in `log`.
pub fn program(command: &mut Command, log: &Path) -> Result<Measured> {
    let output = fs::File::create(log)?;
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut memory = None;
    let exit = loop {
        // The kernel's own high-water mark; gone when the process ends, so the last one seen counts.
        memory = fs::read_to_string(&status).ok().and_then(|text| high_water(&text)).or(memory);
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        if let Err(interrupt) = check_interrupt() {
            // Killed or already gone, it must be reaped either way.
            let _ = child.kill();
            child.wait()?;
            return Err(interrupt);
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let time = begun.elapsed();
    if !exit.success() {
        bail!("{} {exit}; {}", command.get_program().display(), tail(log));
    }
    Ok(Measured { time, ready: None, memory })
}

/// `VmHWM` of /proc/PID/status, in kB.
fn high_water(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The API server's own bound: the first object, then all others over so many connections, nothing else.
///
/// # Errors
/// When a request fails.
pub fn raw(api: &Api, objects: &[Made], connections: u32) -> Result<Measured> {
    // Encoding is not the API server's work.
    let requests: Vec<(String, Vec<u8>)> = objects
        .iter()
        .map(|made| {
            (format!("{}?fieldManager=raw&fieldValidation=Strict", made.path), made.object.to_string().into_bytes())
        })
        .collect();
    let begun = Instant::now();
    let Some(((path, body), rest)) = requests.split_first() else { bail!("there is nothing to apply") };
    let content_type = "application/apply-patch+yaml";
    api.send("PATCH", path, content_type, body)?.json()?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        let mut connection = api.connect()?;
        while let Some((path, body)) = rest.get(next.fetch_add(1, Ordering::Relaxed)) {
            check_interrupt()?;
            let answer = connection.send("PATCH", path, content_type, body)?;
            if answer.status >= 300 {
                answer.json()?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a connection's thread panicked"))?)
    })?;
    Ok(Measured { time: begun.elapsed(), ready: None, memory: None })
}

/// The middle one; of an even number, the lower of the two in the middle.
pub fn median(mut all: Vec<Measured>) -> Option<Measured> {
    all.sort_by_key(|measured| measured.time);
    let middle = all.len().checked_sub(1)? / 2;
    let memory = all.iter().filter_map(|measured| measured.memory).max();
    all.get(middle).map(|measured| Measured { memory, ..*measured })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_high_water_mark() {
        assert_eq!(high_water("Name:\tx\nVmHWM:\t   18988 kB\nVmRSS:\t 1 kB\n"), Some(18988));
        assert_eq!(high_water("Name:\tx\n"), None);
    }

    #[test]
    fn the_median_has_the_largest_memory() {
        let one = |seconds, memory| Measured { time: Duration::from_secs(seconds), ready: None, memory: Some(memory) };
        assert_eq!(median(vec![one(3, 5), one(1, 9), one(2, 7)]), Some(one(2, 9)));
        assert_eq!(median(vec![one(3, 5), one(1, 9)]), Some(one(1, 9)));
        assert_eq!(median(Vec::new()), None);
    }
}
