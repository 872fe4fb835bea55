//! One object on its way to being ready: pure bookkeeping, no requests.

use std::time::Duration;

use tokio::time::Instant;

use crate::health::status::{Cause, Status};
use crate::kit::PhaseSettings;
use crate::report::duration::human;

/// Limits of a phase with the defaults filled in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the whole phase.
    pub phase: Duration,
    /// For one object, from being sent to being ready.
    pub object: Duration,
    /// For a phase in which nothing changes.
    pub stall: Duration,
    /// For a failing image pull.
    pub pull: Duration,
    /// For a crashing container.
    pub crash: Duration,
}

impl Limits {
    /// The settings with defaults where they say nothing.
    pub fn of(settings: &PhaseSettings) -> Self {
        let phase = settings.timeout.unwrap_or(Duration::from_secs(30 * 60));
        Self {
            phase,
            object: settings.object_timeout.unwrap_or(phase),
            stall: settings.stall_timeout.unwrap_or(Duration::from_secs(10 * 60)),
            pull: settings.pull_grace.unwrap_or(Duration::from_secs(30)),
            crash: settings.crash_grace.unwrap_or(Duration::from_secs(60)),
        }
    }

    /// The same for a phase in which data of this size is restored, during which nothing else may change.
    pub fn with_restore(self, bytes: u64) -> Self {
        let more = crate::data::restore::allowance(bytes);
        Self { phase: self.phase + more, object: self.object + more, stall: self.stall + more, ..self }
    }

    /// How long something that fails for this cause is given to heal.
    pub fn grace(&self, cause: Cause) -> Duration {
        match cause {
            Cause::Pull | Cause::Config => self.pull,
            Cause::Crash | Cause::Refused => self.crash,
            // A node may still have to be made; only the object's own limit decides.
            Cause::Unschedulable => self.object,
        }
    }
}

/// How far an object is.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Other objects must come first.
    Blocked,
    /// May be sent now.
    Queued,
    /// May be as it should be, or as ready as it was, as far as it was known long ago; looked at again.
    Looking,
    /// The cluster does not serve its kind, at least not yet.
    Unserved,
    /// Being sent.
    Applying,
    /// Sent; waited for.
    Waiting,
    /// A definition of custom kinds that is established, but not yet served.
    Discovering,
    /// Ready.
    Ready,
    /// Will not become ready, or was refused.
    Failed,
}

/// What a new verdict means for an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Nothing that has to be told.
    Nothing,
    /// It has become ready; the remark may be empty.
    Ready(String),
    /// It waits for something else than before.
    Waiting(String),
    /// It has failed for good.
    Failed(String),
}

/// The bookkeeping of one object.
#[derive(Clone, Debug)]
pub struct Node {
    /// How far it is.
    pub state: State,
    /// Needs that are not met yet.
    pub open_needs: usize,
    /// When it was sent.
    pub sent: Option<Instant>,
    /// When it became ready, for the last time.
    pub ready: Option<Instant>,
    /// When it was looked at again, or found not to be ready any more: its patience counts from then.
    pub again: Option<Instant>,
    /// Where it has run to its end: the UID of its namespace, where that is known. It is not made again for being gone.
    pub ran: Option<Option<String>>,
    /// Since when its kind has been missing in the cluster.
    pub unserved: Option<Instant>,
    /// The object whose progress let this one begin.
    pub released_by: Option<usize>,
    /// Limit from being sent to being ready.
    pub limit: Duration,
    /// Whether this run wrote it.
    pub written: bool,
    /// What it waits for, as last told.
    pub reason: String,
    /// When it had missed its progress deadline as this run found it. That says nothing about what has been mended since.
    pub missed: Option<String>,
    failing: Option<(Instant, Cause, String)>,
}

impl Node {
    /// An object that has not been sent.
    pub fn new(open_needs: usize, limit: Duration) -> Self {
        Self {
            state: if open_needs == 0 { State::Queued } else { State::Blocked },
            open_needs,
            sent: None,
            ready: None,
            again: None,
            ran: None,
            unserved: None,
            released_by: None,
            limit,
            written: false,
            reason: String::new(),
            missed: None,
            failing: None,
        }
    }

    /// Takes in a verdict.
    pub fn judge(&mut self, status: Status, now: Instant) -> Turn {
        if self.state != State::Waiting {
            return Turn::Nothing;
        }
        let told = |reason: String, before: &mut String| {
            if *before == reason {
                Turn::Nothing
            } else {
                before.clone_from(&reason);
                Turn::Waiting(reason)
            }
        };
        match status {
            Status::Ready { reason } => {
                self.failing = None;
                Turn::Ready(reason)
            }
            Status::Failed { reason } => {
                self.reason.clone_from(&reason);
                Turn::Failed(reason)
            }
            Status::Failing { reason, cause } => {
                let since = match self.failing {
                    Some((since, same, _)) if same == cause => since,
                    _ => now,
                };
                self.failing = Some((since, cause, reason.clone()));
                told(reason, &mut self.reason)
            }
            Status::Progressing { reason } | Status::Terminating { reason } => {
                self.failing = None;
                told(reason, &mut self.reason)
            }
        }
    }

    /// It was ready, and has to show that it is so still or once more, with patience of its own.
    pub fn retry(&mut self, state: State, now: Instant) {
        self.state = state;
        self.again = Some(now);
        self.reason.clear();
    }

    /// The moment from which patience with it counts.
    fn awaited(&self) -> Option<Instant> {
        self.again.max(self.sent)
    }

    /// Whether something is wrong with it right now.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Whether it has been sent and is not ready.
    pub fn is_under_way(&self) -> bool {
        matches!(self.state, State::Looking | State::Unserved | State::Applying | State::Waiting | State::Discovering)
    }

    /// The moment at which patience with it ends: its own limit, or the grace of what is wrong with it.
    pub fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let late = self.awaited().filter(|_| self.is_under_way())? + self.limit;
        let failing = self.failing.as_ref().map(|(since, cause, _)| *since + limits.grace(*cause));
        Some(failing.map_or(late, |failing| failing.min(late)))
    }

    /// The reason to give when the deadline has come.
    pub fn overdue(&self, limits: &Limits) -> String {
        match (&self.failing, self.awaited()) {
            (Some((since, cause, reason)), Some(awaited)) if *since + limits.grace(*cause) < awaited + self.limit => {
                reason.clone()
            }
            _ if self.reason.is_empty() => format!("not ready after {}", human(self.limit.as_secs_f64())),
            _ => format!("not ready after {}: {}", human(self.limit.as_secs_f64()), self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::of(&PhaseSettings::default())
    }

    fn waiting(now: Instant) -> Node {
        let mut node = Node::new(0, Duration::from_secs(600));
        node.state = State::Waiting;
        node.sent = Some(now);
        node
    }

    fn pull(reason: &str) -> Status {
        Status::Failing { reason: reason.into(), cause: Cause::Pull }
    }

    #[test]
    fn limits_grow_with_what_is_restored() {
        let limits = Limits::of(&PhaseSettings::default());
        assert_eq!(limits.with_restore(0).phase, limits.phase);
        // 349 GB, as the fingerprint table alone.
        let large = limits.with_restore(349_000_000_000);
        assert_eq!(large.stall.as_secs() - limits.stall.as_secs(), 33_283);
        assert_eq!(large.pull, limits.pull, "an image is no larger");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_gets_its_grace_from_the_first_time_it_was_seen() {
        let start = Instant::now();
        let mut node = waiting(start);
        assert_eq!(node.judge(pull("cannot pull x"), start), Turn::Waiting("cannot pull x".into()));
        assert_eq!(node.judge(pull("back-off pulling x"), start + Duration::from_secs(20)), {
            Turn::Waiting("back-off pulling x".into())
        });
        assert_eq!(node.deadline(&limits()).map(|at| at - start), Some(Duration::from_secs(30)));
        assert_eq!(node.overdue(&limits()), "back-off pulling x");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_heals_is_forgotten() {
        let start = Instant::now();
        let mut node = waiting(start);
        node.judge(pull("cannot pull x"), start);
        node.judge(Status::Progressing { reason: "starting".into() }, start + Duration::from_secs(5));
        assert!(!node.is_failing());
        assert_eq!(node.deadline(&limits()).map(|at| at - start), Some(Duration::from_secs(600)));
        assert_eq!(node.overdue(&limits()), "not ready after 10 m: starting");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_reason_is_told_once() {
        let start = Instant::now();
        let mut node = waiting(start);
        let progressing = || Status::Progressing { reason: "0 of 1 pods ready".into() };
        assert_eq!(node.judge(progressing(), start), Turn::Waiting("0 of 1 pods ready".into()));
        assert_eq!(node.judge(progressing(), start), Turn::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_ready_any_more_has_patience_of_its_own() {
        let start = Instant::now();
        let mut node = waiting(start);
        assert_eq!(node.judge(Status::Ready { reason: String::new() }, start), Turn::Ready(String::new()));
        node.state = State::Ready;
        assert!(node.deadline(&limits()).is_none());
        let later = start + Duration::from_secs(7200);
        node.retry(State::Waiting, later);
        let progressing = Status::Progressing { reason: "0 of 1 pods ready".into() };
        assert_eq!(node.judge(progressing, later), Turn::Waiting("0 of 1 pods ready".into()));
        assert_eq!(node.deadline(&limits()).map(|at| at - later), Some(Duration::from_secs(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_was_not_sent_has_no_deadline_and_takes_no_verdict() {
        let mut node = Node::new(1, Duration::from_secs(1));
        assert_eq!(node.state, State::Blocked);
        assert_eq!(node.judge(Status::Ready { reason: String::new() }, Instant::now()), Turn::Nothing);
        assert!(node.deadline(&limits()).is_none());
    }
}
