//! Sends events with the run's id and time. Time is the run's start plus what tokio's clock has counted since, so that
//! a run in virtual time tells virtual times.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::event::{Event, EventKind, VERSION};

/// Where a run's events go.
pub struct Emitter {
    run: String,
    started: jiff::Timestamp,
    clock: Instant,
    events: UnboundedSender<Event>,
}

impl Emitter {
    /// An emitter for a run that starts now.
    pub fn new(run: String, started: jiff::Timestamp, events: UnboundedSender<Event>) -> Self {
        Self { run, started, clock: Instant::now(), events }
    }

    /// Time since the run's start.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Sends an event. A consumer that has gone away is no reason to stop a rebuild.
    pub fn send(&self, kind: EventKind) {
        let elapsed = jiff::SignedDuration::try_from(self.elapsed()).unwrap_or(jiff::SignedDuration::MAX);
        let time = self.started.saturating_add(elapsed).unwrap_or(self.started);
        let _ = self.events.send(Event { version: VERSION, time, run: self.run.clone(), kind });
    }
}
