//! What is going on, for people: lines on stderr, and the flag that Ctrl-C sets.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Turns Ctrl-C and SIGTERM into a flag that every wait looks at, so that beds are taken down on the way out.
///
/// # Errors
/// When the handler cannot be installed.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst))?;
    Ok(())
}

/// Whether Ctrl-C was pressed or SIGTERM received.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Fails once [`interrupted`] holds.
///
/// # Errors
/// "interrupted", then.
pub fn check_interrupt() -> Result<()> {
    if interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

/// Prints one line to stderr.
pub fn say(line: impl Display) {
    eprintln!("xtask: {line}");
}

/// A piece of work that takes longer than a moment: says what it is at the start and how long it took at the end.
pub struct Step {
    what: String,
    begun: Instant,
}

impl Step {
    /// Announces the work.
    pub fn begin(what: impl Display) -> Self {
        say(format_args!("{what} …"));
        Self { what: what.to_string(), begun: Instant::now() }
    }

    /// How long it has been going on.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Says that the work goes on.
    pub fn still(&self) {
        say(format_args!("still: {}, {}", self.what, duration(self.elapsed())));
    }

    /// Announces the end.
    pub fn done(self) {
        say(format_args!("{}: {}", self.what, duration(self.elapsed())));
    }
}

/// A duration as a person would say it: `0.4 s`, `12 s`, `3 m 05 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        format!("{seconds:.1} s")
    } else if seconds < 59.5 {
        format!("{seconds:.0} s")
    } else {
        // Rounded first, so that 119.6 s is not "1 m 60 s".
        let whole = seconds.round() as u64;
        format!("{} m {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        for (millis, text) in [
            (0, "0.0 s"),
            (440, "0.4 s"),
            (9_940, "9.9 s"),
            (9_960, "10 s"),
            (59_600, "1 m 00 s"),
            (119_600, "2 m 00 s"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
