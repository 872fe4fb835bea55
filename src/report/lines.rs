//! A run where there is no terminal: a line an event, stable and greppable, never redrawn.
//!
//! ```text
//!   12.3 s  database  StatefulSet/redis ready after 11.2 s
//! ```
//! Objects that are ready at once are only counted; what is waited for is named when it lasts. `-v` shows every event.

use std::collections::HashMap;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::duration::human;
use super::progress::{PhaseState, Progress, seconds_between};
use super::resumed;
use super::text::{Line, Tone, count};
use crate::rebuild::event::{Action, Event, EventKind, ObjectName, PhaseSummary};

/// What is ready within this many seconds is only counted.
const AT_ONCE: f64 = 1.0;
/// A wait is named when it has lasted so many seconds, and a changed reason no more often than that.
const PATIENCE: f64 = 5.0;
/// After so many seconds without a line, one says what is still waited for; later, after this part of the run so far.
const SILENCE: f64 = 30.0;
const SILENT_PART: f64 = 0.1;

/// An answer that passed is a proof, not a reading: so many characters of it are enough.
const PROOF: usize = 60;

fn shortened(answer: &str) -> String {
    match answer.char_indices().nth(PROOF) {
        Some((end, _)) => format!("{}…", &answer[..end]),
        None => answer.to_owned(),
    }
}

/// Turns events into lines.
#[derive(Debug)]
pub struct Lines {
    progress: Progress,
    all: bool,
    spoken: Option<Timestamp>,
    /// What was last said of each waiting thing (`Kind/name`, with its phase), and when.
    said: HashMap<(String, String), (String, Timestamp)>,
}

impl Lines {
    /// A view; `all` shows every event.
    pub fn new(all: bool) -> Self {
        Self { progress: Progress::default(), all, spoken: None, said: HashMap::new() }
    }

    /// The model behind the lines.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes in an event and returns the lines it is worth.
    pub fn event(&mut self, event: &Event) -> Vec<Line> {
        self.progress.apply(event);
        let mut lines = self.lines_of(event, self.was_waited_for(&event.kind));
        lines.extend(self.due(event.time));
        if !lines.is_empty() {
            self.spoken = Some(event.time);
        }
        lines
    }

    /// Lines that are due because time has passed.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Line> {
        let mut lines = self.due(now);
        let silence = SILENCE.max(self.progress.seconds_at(now) * SILENT_PART);
        let quiet = self.spoken.is_some_and(|spoken| seconds_between(spoken, now) >= silence);
        if lines.is_empty() && quiet && self.progress.end.is_none() {
            lines.extend(self.still(now));
        }
        if !lines.is_empty() {
            self.spoken = Some(now);
        }
        lines
    }

    fn was_waited_for(&self, kind: &EventKind) -> bool {
        match kind {
            EventKind::ObjectReady { phase, object, .. } | EventKind::ObjectDeleted { phase, object, .. } => {
                self.said.contains_key(&(phase.clone(), object.key().to_string()))
            }
            EventKind::GatePassed { .. } => true,
            _ => false,
        }
    }

    fn lines_of(&self, event: &Event, waited_for: bool) -> Vec<Line> {
        let of = |object: &ObjectName| object.key().to_string();
        let line = match &event.kind {
            EventKind::RunStarted { environment, context, kubernetes, nodes, phases, .. } => {
                let gates: usize = phases.iter().map(|phase| phase.gates).sum();
                let objects: usize = phases.iter().map(|phase| phase.objects).sum();
                let nodes = nodes.map(|nodes| format!(", {}", count(nodes, "node"))).unwrap_or_default();
                let text = format!(
                    "run {} of {environment} → {context}, Kubernetes {kubernetes}{nodes}: {} in {}, {}",
                    event.run,
                    count(objects, "object"),
                    count(phases.len(), "phase"),
                    count(gates, "gate"),
                );
                let resumed = resumed::sentence(&self.progress).map(|text| self.line(event.time, None, text.into()));
                return [self.line(event.time, None, Line::from(text))].into_iter().chain(resumed).collect();
            }
            EventKind::PhaseStarted { phase } => {
                let known = self.progress.phases.iter().find(|known| &known.name == phase);
                let parts = known.map(|known| {
                    let gates = (known.gates > 0).then(|| format!(", {}", count(known.gates, "gate")));
                    format!(": {}{}", count(known.objects, "object"), gates.unwrap_or_default())
                });
                (phase, Line::from(format!("started{}", parts.unwrap_or_default())))
            }
            EventKind::ObjectApplied { phase, object, action } => {
                let (news, word) = match action {
                    Action::Created => (false, "created"),
                    Action::Changed => (true, "changed"),
                    Action::Unchanged => (false, "unchanged"),
                    Action::Replaced => (true, "replaced"),
                    Action::Recreated => (true, "recreated, its pods run on"),
                    Action::Adopted => (true, "adopted"),
                };
                if !news && !self.all {
                    return Vec::new();
                }
                (phase, Line::from(format!("{} {word}", of(object))))
            }
            EventKind::ObjectReady { phase, object, seconds, reason } => {
                if !self.all && !waited_for && *seconds < AT_ONCE {
                    return Vec::new();
                }
                let remark = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                (phase, Line::from(format!("{} ready after {}{remark}", of(object), human(*seconds))))
            }
            EventKind::ObjectFailed { phase, object, reason, .. } => {
                (phase, Line::new().and(of(object)).with(Tone::Bad, " failed").and(format!(": {reason}")))
            }
            EventKind::GatePassed { phase, gate, answer, seconds } => {
                let answer = if answer.is_empty() { String::new() } else { format!(": {}", shortened(answer)) };
                (phase, Line::from(format!("gate {gate} passed after {}{answer}", human(*seconds))))
            }
            EventKind::GateSkipped { phase, gate, reason } => (
                phase,
                Line::new().and(format!("gate {gate}")).with(Tone::Warn, " switched off").and(format!(": {reason}")),
            ),
            EventKind::GateFailed { phase, gate, answer, .. } => {
                let text = format!("gate {gate}");
                (phase, Line::from(text).with(Tone::Bad, " did not pass").and(format!(": {answer}")))
            }
            EventKind::ObjectPruned { phase, object } => {
                (phase, Line::from(format!("{} left the kit and is deleted", of(object))))
            }
            EventKind::ObjectDeleted { phase, object, seconds } => {
                if !self.all && !waited_for && *seconds < AT_ONCE {
                    return Vec::new();
                }
                (phase, Line::from(format!("{} gone after {}", of(object), human(*seconds))))
            }
            EventKind::VolumeRetained { volume, claim, before, .. } => {
                let text = format!("volume {volume} of {claim} outlives its claim from now on: Retain, was {before}");
                return vec![self.line(event.time, None, Line::from(text))];
            }
            EventKind::DataDeleted { data_set, claim, volume_deleted, .. } => {
                let volume = if *volume_deleted { "with its volume" } else { "its volume was left" };
                let text = format!("data set {data_set}: claim {claim} deleted, {volume}");
                return vec![self.line(event.time, None, Line::from(text))];
            }
            EventKind::ObjectKept { .. } if self.progress.down => return Vec::new(),
            EventKind::ObjectKept { phase, object, reason } => {
                (phase, Line::from(format!("{} left the kit and stays: {reason}", of(object))))
            }
            EventKind::PhaseFinished { summary } if self.progress.down => {
                let seconds = human(summary.seconds.unwrap_or_default());
                (&summary.phase, Line::from(format!("gone in {seconds}: {}", count(summary.ready, "object"))))
            }
            EventKind::PhaseFinished { summary } => (&summary.phase, Line::from(finished(summary))),
            EventKind::Warning { message } => {
                let line = Line::new().with(Tone::Warn, "warning").and(format!(": {message}"));
                return vec![self.line(event.time, None, line)];
            }
            // Shown before the run was confirmed.
            EventKind::Decision { .. } => return Vec::new(),
            // Waits are named by `due`, the end by the last screen.
            EventKind::ObjectWaiting { .. }
            | EventKind::GateWaiting { .. }
            | EventKind::RunFinished { .. }
            | EventKind::TakingDown { .. }
            | EventKind::VolumeKept { .. } => {
                return Vec::new();
            }
        };
        vec![self.line(event.time, Some(line.0), line.1)]
    }

    /// Waits that have lasted, or whose reason has changed and not been said for a while.
    fn due(&mut self, now: Timestamp) -> Vec<Line> {
        let patience = if self.all { 0.0 } else { PATIENCE };
        let mut due = Vec::new();
        for phase in self.progress.phases.iter().filter(|phase| phase.state == PhaseState::Running) {
            for waited in phase.waited().into_iter().filter(|waited| !waited.reason.is_empty()) {
                let key = (phase.name.clone(), waited.subject.clone());
                let worth = match self.said.get(&key) {
                    Some((reason, when)) => reason != waited.reason && seconds_between(*when, now) >= patience,
                    None => seconds_between(waited.since, now) >= patience,
                };
                if worth {
                    due.push((key, waited.reason.to_owned()));
                }
            }
        }
        due.into_iter()
            .map(|((phase, subject), reason)| {
                let line = self.line(now, Some(&phase), format!("{subject} waiting: {reason}").into());
                self.said.insert((phase, subject), (reason, now));
                line
            })
            .collect()
    }

    /// One line about everything that is still waited for.
    fn still(&self, now: Timestamp) -> Option<Line> {
        let phase = self.progress.phases.iter().find(|phase| phase.state == PhaseState::Running)?;
        let waited = phase.waited();
        let first = waited.first()?;
        let reason = if first.reason.is_empty() { String::new() } else { format!(": {}", first.reason) };
        let more = if waited.len() > 1 { format!(", {} more waiting", waited.len() - 1) } else { String::new() };
        let text = format!(
            "{} still waiting after {}{reason} ({} of {} {}{more})",
            first.subject,
            human(seconds_between(first.since, now)),
            phase.ready,
            count(phase.objects, "object"),
            if self.progress.down { "gone" } else { "ready" },
        );
        Some(self.line(now, Some(&phase.name), text.into()))
    }

    fn line(&self, time: Timestamp, phase: Option<&str>, rest: Line) -> Line {
        let mut line = Line::new().with(Tone::Dim, format!("{:>7.1} s  ", self.progress.seconds_at(time)));
        if let Some(phase) = phase {
            let fill = (self.progress.name_width() + 2).saturating_sub(phase.width());
            line = line.and(phase).and(" ".repeat(fill));
        }
        line.append(rest)
    }
}

fn finished(summary: &PhaseSummary) -> String {
    let mut text = format!(
        "finished in {}: {} ready, {}",
        human(summary.seconds.unwrap_or_default()),
        count(summary.ready, "object"),
        match summary.written {
            0 => "nothing written".to_owned(),
            written if written == summary.ready => "all of them written".to_owned(),
            written => format!("{written} of them written"),
        },
    );
    if summary.gates > 0 {
        text.push_str(&format!(", {} passed", count(summary.passed, "gate")));
    }
    if summary.skipped > 0 {
        text.push_str(&format!(", {} switched off", count(summary.skipped, "gate")));
    }
    text
}
