//! The last screen of a run, enough to understand it: what happened, what is done and kept, what to do next.

use super::down;
use super::duration::human;
use super::progress::{End, Failure, Item, Phase, PhaseState, Progress};
use super::resumed;
use super::text::{Line, Tone, count, list, wrap};
use super::timeline::timeline;
use crate::health::diagnosis::{ContainerReport, Diagnosis, EventReport};
use crate::manifest::Origin;
use crate::rebuild::event::Outcome;

/// Columns used at most.
const WIDEST: usize = 110;
/// Failures shown in full; more at the same moment are only named.
const FAILURES: usize = 4;
/// From this length of a run on it is worth saying what its time went into, seconds.
const LONG: f64 = 10.0;

/// What the last screen needs to know beside the events.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The command that goes on, as the user would type it.
    pub again: String,
    /// The command that only looks.
    pub look: String,
    /// Addresses at which the stack answers, e.g. `https://acoustid.org`.
    pub hosts: Vec<String>,
    /// What it means when the events stop without an end.
    pub silence: Silence,
}

/// What it means when the events of a run stop without an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// Nothing but a bug stops them.
    #[default]
    Bug,
    /// They come from a journal, and its process is gone.
    Killed,
    /// They come from a journal that is still being written.
    Running,
}

/// The meaning of an exit code, as in the documentation.
pub fn exit_meaning(exit: u8) -> &'static str {
    match exit {
        0 => "done",
        2 => "wrong usage",
        3 => "the kit is wrong",
        4 => "refused to protect something",
        5 => "cluster unreachable or not allowed",
        6 => "the cluster refused an object",
        7 => "not healthy in time, or failed for good",
        8 => "somebody else holds the lock",
        9 => "there are changes",
        130 => "interrupted",
        _ => "a bug in rekindle",
    }
}

/// The last screen. Where the events stopped without an end, it says so.
pub fn ending(progress: &Progress, setting: &Setting, width: usize) -> Vec<Line> {
    let width = width.min(WIDEST);
    if let (true, Some(end)) = (progress.down, &progress.end) {
        return down::ending(progress, end, setting, width);
    }
    match &progress.end {
        Some(end) if end.outcome == Outcome::Done => success(progress, end, setting, width),
        Some(end) => stopped(progress, end, setting, width),
        None => silent(progress, setting, width),
    }
}

/// The last screen of a run that did not say how it ended.
fn silent(progress: &Progress, setting: &Setting, width: usize) -> Vec<Line> {
    let place = progress.phases.iter().rfind(|phase| phase.begun()).map(|phase| format!(" in {}", phase.name));
    let place = place.unwrap_or_default();
    let last = progress.latest.map(|latest| latest.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    let place = if progress.down { format!("{place} while it was taken down") } else { place };
    let headline = match setting.silence {
        Silence::Bug => "the run ended without saying how: this is a bug in rekindle".to_owned(),
        Silence::Killed => format!("{} was killed{place}; it was last heard of at {last}", progress.environment),
        Silence::Running => format!("{} is still running{place}; it was last heard of at {last}", progress.environment),
    };
    if setting.silence == Silence::Bug {
        let mut lines = vec![bad(headline)];
        lines.extend(go_on(progress, setting));
        return lines;
    }
    let mut lines = vec![bad(headline), Line::new()];
    lines.extend(waited_for(progress, width));
    lines.extend(kept(progress, 0, width));
    lines.extend(resumed::lines(progress));
    lines.extend(warnings(progress, width));
    lines.push(Line::new());
    lines.extend(go_on(progress, setting));
    lines
}

pub(super) fn bad(headline: String) -> Line {
    Line::new().with(Tone::Bad, "✗ ").with(Tone::Strong, headline)
}

fn success(progress: &Progress, end: &End, setting: &Setting, width: usize) -> Vec<Line> {
    let total = human(end.seconds);
    let done: Vec<&str> = names(progress, |phase| phase.begun());
    let left_out: Vec<&str> = names(progress, |phase| !phase.begun());
    let headline = match (done.as_slice(), left_out.is_empty()) {
        (_, true) => format!("{} is up", progress.environment),
        (names, false) => {
            let verb = if names.len() == 1 { "is" } else { "are" };
            format!("{} of {} {verb} up", list(names), progress.environment)
        }
    };
    let objects = progress.total(|phase| if phase.begun() { phase.objects } else { 0 });
    let line = Line::new().with(Tone::Good, "✓ ").with(Tone::Strong, headline).and(format!("   {total}"));
    let passed = progress.total(|phase| phase.passed);
    let gates = if passed > 0 { format!(", {} passed", count(passed, "gate")) } else { String::new() };
    let mut lines = Vec::new();
    if end.written == 0 && progress.pruned.is_empty() {
        lines.push(line.and(", nothing had to be written"));
        lines.push(format!("  {} already as the kit says{gates}", count(objects, "object")).into());
    } else {
        lines.push(line.and(bound_by(end)));
        lines.push(Line::new());
        lines.extend(timeline(progress, end.seconds, width));
        lines.push(Line::new());
        let rest = objects.saturating_sub(end.written);
        let unchanged = if rest > 0 { format!(", {rest} already as the kit says") } else { String::new() };
        lines.push(format!("  {} written{unchanged}{gates}", count(end.written, "object")).into());
    }
    lines.extend(super::data::brought_back(progress));
    lines.extend(resumed::lines(progress));
    lines.extend(left_the_kit(progress, width));
    lines.extend(switched_off(progress, width));
    lines.extend(not_part(&left_out));
    lines.extend(warnings(progress, width));
    // Behind the doors of a part there is nothing yet.
    if !setting.hosts.is_empty() && left_out.is_empty() {
        lines.extend(
            wrap(&setting.hosts.join("  "), width - 2)
                .into_iter()
                .map(|hosts| Line::new().and("  ").with(Tone::Paste, hosts)),
        );
    }
    lines
}

fn not_part<N: AsRef<str>>(left_out: &[N]) -> Option<Line> {
    let names: Vec<&str> = left_out.iter().map(AsRef::as_ref).collect();
    (!names.is_empty()).then(|| format!("  not part of this run: {}", list(&names)).into())
}

/// The one step that most of a long run's time went into, if there is such a step.
fn bound_by(end: &End) -> String {
    let longest = end.critical_path.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    match longest.filter(|step| end.seconds >= LONG && step.seconds >= end.seconds / 3.0) {
        Some(step) => format!(", of which {} waiting for {}", human(step.seconds), step.step),
        None => String::new(),
    }
}

fn stopped(progress: &Progress, end: &End, setting: &Setting, width: usize) -> Vec<Line> {
    let mut lines = vec![bad(headline(progress, end)).and(format!("   after {}", human(end.seconds))), Line::new()];
    for failure in progress.failures.iter().take(FAILURES) {
        lines.extend(failure_lines(failure, width));
        lines.push(Line::new());
    }
    let named: Vec<String> = progress.failures.iter().skip(FAILURES).map(Failure::subject).collect();
    if !named.is_empty() {
        lines.extend(paragraph("  at the same moment failed: ", &list(&named), width));
        lines.push(Line::new());
    }
    if progress.phases.iter().any(Phase::begun) {
        lines.extend(timeline(progress, end.seconds, width));
        lines.push(Line::new());
    }
    if progress.failures.is_empty() {
        lines.extend(waited_for(progress, width));
    }
    lines.extend(kept(progress, end.written, width));
    lines.extend(not_part(&progress.left_out));
    lines.extend(super::data::brought_back(progress));
    lines.extend(resumed::lines(progress));
    lines.extend(left_the_kit(progress, width));
    lines.extend(switched_off(progress, width));
    lines.extend(warnings(progress, width));
    lines.push(Line::new());
    lines.extend(go_on(progress, setting));
    lines.push(Line::new().with(Tone::Dim, format!("  exit code {}: {}", end.exit, exit_meaning(end.exit))));
    lines
}

pub(super) fn headline(progress: &Progress, end: &End) -> String {
    match (end.outcome, progress.failures.first()) {
        (Outcome::Interrupted, _) => format!("{} interrupted: nothing more is written", progress.environment),
        (Outcome::LockLost, _) => {
            format!("{} stopped: it lost its lock, so nothing more is written", progress.environment)
        }
        (Outcome::WrongCluster, _) => {
            let Progress { environment, server, .. } = progress;
            format!("{environment} stopped: the cluster behind {server} is another one now; nothing more was written")
        }
        (Outcome::Unreachable, _) => format!("{} stopped: the cluster is not reached any more", progress.environment),
        (Outcome::Refused, Some(failure)) => {
            format!("{} stopped: the cluster refused {}", failure.phase(), failure.subject())
        }
        (Outcome::Protected, Some(failure)) => {
            format!("{} stopped: others have a hand in {}", failure.phase(), failure.subject())
        }
        (Outcome::NotAllowed, Some(failure)) => {
            format!("{} stopped: you are not allowed to do this to {}", failure.phase(), failure.subject())
        }
        (Outcome::Stuck, Some(failure)) => {
            format!("{} stopped: {} does not go away", failure.phase(), failure.subject())
        }
        (Outcome::NotAllowed, None) => format!("{} stopped: the cluster does not allow it", progress.environment),
        (_, Some(Failure::Gate { phase, gate, .. })) => format!("{phase} stopped: gate {gate} did not pass"),
        (_, Some(failure)) => format!("{} stopped: {} will not become ready", failure.phase(), failure.subject()),
        (_, None) => {
            let stuck = progress.phases.iter().find(|phase| phase.begun() && phase.state != PhaseState::Done);
            let name = stuck.map_or(progress.environment.as_str(), |phase| phase.name.as_str());
            format!("{name} stopped: not healthy in time")
        }
    }
}

pub(super) fn failure_lines(failure: &Failure, width: usize) -> Vec<Line> {
    match failure {
        Failure::Object { object, origin, reason, diagnosis, .. } => {
            let name = match &object.namespace {
                Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
                None => format!("{} {}", object.kind, object.name),
            };
            let mut lines = vec![subject(name, origin, width)];
            lines.extend(paragraph("    ", reason, width));
            lines.extend(diagnosis_lines(diagnosis, reason, width));
            lines
        }
        Failure::Gate { gate, origin, answer, .. } => {
            let mut lines = vec![subject(format!("gate {gate}"), origin, width)];
            lines.extend(paragraph("    the last answer: ", answer, width));
            lines
        }
    }
}

fn subject(name: String, origin: &Origin, width: usize) -> Line {
    let left = Line::new().and("  ").with(Tone::Strong, name);
    let place = origin.to_string();
    if left.width() + place.chars().count() + 3 > width.min(90) {
        left.and("   ").with(Tone::Paste, place)
    } else {
        left.with_right(Line::new().with(Tone::Paste, place), width.min(90))
    }
}

fn diagnosis_lines(diagnosis: &Diagnosis, reason: &str, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for ContainerReport { pod, container, state, last_words } in &diagnosis.containers {
        // The reason often is this very sentence.
        let said = reason.contains(pod.as_str()) && reason.contains(&format!("container {container}"));
        if !said {
            lines.extend(paragraph("    ", &format!("container {container} of pod {pod} {state}"), width));
        }
        if last_words.is_empty() {
            continue;
        }
        let whose = if said { format!("the last words of {container}:") } else { "its last words:".to_owned() };
        lines.push(format!("    {whose}").into());
        for words in last_words {
            lines.extend(
                wrap(words, width.saturating_sub(8))
                    .into_iter()
                    .map(|words| Line::new().with(Tone::Dim, "      | ").and(words)),
            );
        }
    }
    if !diagnosis.events.is_empty() {
        lines.push("    events (UTC):".into());
    }
    let longest = diagnosis.events.iter().map(|event| event.reason.len()).max().unwrap_or_default();
    for EventReport { time, severity, reason, regarding, message } in &diagnosis.events {
        let tone = if severity == "Warning" { Tone::Warn } else { Tone::Plain };
        let head = Line::new().with(Tone::Dim, format!("      {}  ", time_of_day(time))).with(tone, reason);
        let head = head.to_column(16 + longest + 2);
        let about = if regarding.is_empty() { String::new() } else { format!("  ({regarding})") };
        let indent = head.width();
        let mut pieces = wrap(&format!("{message}{about}"), width.saturating_sub(indent)).into_iter();
        lines.push(head.and(pieces.next().unwrap_or_default()));
        lines.extend(pieces.map(|piece| Line::new().to_column(indent).and(piece)));
    }
    lines
}

/// The time of day of an RFC 3339 time, or the text as it is.
fn time_of_day(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(|_| time.to_owned(), |time| time.strftime("%H:%M:%S").to_string())
}

/// What was waited for when the run was stopped from outside.
pub(super) fn waited_for(progress: &Progress, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for phase in progress.phases.iter().filter(|phase| phase.state == PhaseState::Running) {
        let waited = phase.waited();
        if waited.is_empty() {
            continue;
        }
        lines.push("  not ready yet; what was sent goes on starting by itself:".into());
        for waited in waited.iter().take(FAILURES) {
            let reason = if waited.reason.is_empty() { "sent just now" } else { waited.reason };
            lines.extend(paragraph("    ", &format!("{}: {reason}", waited.subject), width));
        }
        if waited.len() > FAILURES {
            lines.push(format!("    and {} more", waited.len() - FAILURES).into());
        }
    }
    lines
}

fn kept(progress: &Progress, written: usize, width: usize) -> Vec<Line> {
    let written = progress.total(|phase| phase.items.iter().filter(|item| was_written(item)).count()).max(written);
    let mut parts: Vec<String> =
        names(progress, |phase| phase.state == PhaseState::Done).into_iter().map(String::from).collect();
    for phase in progress.phases.iter().filter(|phase| phase.ready > 0 && phase.state != PhaseState::Done) {
        parts.push(format!("{} of {} of {}", phase.ready, count(phase.objects, "object"), phase.name));
    }
    let wrote = match written {
        0 if progress.decisions.iter().any(|it| it.decision == "adopt") => {
            "no object was written; only volumes that survived may have been kept and reserved".to_owned()
        }
        0 => "nothing was written".to_owned(),
        written => format!("{} written, nothing was undone", count(written, "object")),
    };
    let mut lines = Vec::new();
    if !parts.is_empty() {
        lines.extend(paragraph("  done and kept: ", &parts.join(", "), width));
    }
    lines.push(format!("  {wrote}").into());
    lines
}

/// What left the kit: deleted, or kept and why.
fn left_the_kit(progress: &Progress, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if !progress.pruned.is_empty() {
        let verb = if progress.pruned.len() == 1 { "is" } else { "are" };
        let label = format!("  {} left the kit and {verb} deleted: ", count(progress.pruned.len(), "object"));
        lines.extend(paragraph(&label, &progress.pruned.join(", "), width));
    }
    for (object, reason) in &progress.kept {
        lines.extend(paragraph("  left the kit, and stays: ", &format!("{object}: {reason}"), width));
    }
    lines
}

fn was_written(item: &Item) -> bool {
    use crate::rebuild::event::Action;
    item.action.is_some_and(|action| action != Action::Unchanged)
}

fn switched_off(progress: &Progress, width: usize) -> Vec<Line> {
    let gates: Vec<(&str, &str)> = progress.switched_off().collect();
    if gates.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        Line::new()
            .with(Tone::Warn, format!("  {} switched off", count(gates.len(), "gate")))
            .and(" by the environment, so this was not asked:"),
    ];
    // Gates that share a reason, as one pattern gives it, share a line.
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for (gate, reason) in gates {
        match by_reason.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(gate),
            None => by_reason.push((reason, vec![gate])),
        }
    }
    for (reason, names) in by_reason {
        lines.extend(paragraph("    ", &format!("{}: {reason}", names.join(", ")), width));
    }
    lines
}

pub(super) fn warnings(progress: &Progress, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for warning in &progress.warnings {
        for (index, piece) in wrap(warning, width.saturating_sub(4)).into_iter().enumerate() {
            lines.push(Line::new().with(Tone::Warn, if index == 0 { "  ! " } else { "    " }).and(piece));
        }
    }
    lines
}

pub(super) fn go_on(progress: &Progress, setting: &Setting) -> Vec<Line> {
    let begun = progress.phases.iter().any(Phase::begun);
    let again = if begun { "again, from where it stopped:   " } else { "again:                          " };
    let mut lines = vec![Line::new().and("  ").and(again).with(Tone::Paste, &setting.again)];
    if !setting.look.is_empty() {
        lines.push(Line::new().and("  only look:                      ").with(Tone::Paste, &setting.look));
    }
    lines
}

/// A text behind a label, wrapped so that it stays behind it.
pub(super) fn paragraph(label: &str, text: &str, width: usize) -> Vec<Line> {
    let indent = label.chars().count();
    let pieces = wrap(text, width.saturating_sub(indent));
    let lines = pieces.into_iter().enumerate().map(|(index, piece)| {
        let head = if index == 0 { label.to_owned() } else { " ".repeat(indent) };
        Line::from(head).and(piece)
    });
    lines.collect()
}

fn names(progress: &Progress, of: impl Fn(&Phase) -> bool) -> Vec<&str> {
    progress.phases.iter().filter(|phase| of(phase)).map(|phase| phase.name.as_str()).collect()
}
