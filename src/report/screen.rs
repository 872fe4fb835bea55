//! A run in a terminal: a block that is redrawn in place, as a pure function of the model, the terminal's size and the time.

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::duration::{clock, human};
use super::progress::{Phase, PhaseState, Progress, Waited, seconds_between};
use super::resumed;
use super::text::{Line, Tone, count};

/// Columns used at most: times stay near what they belong to.
const WIDEST: usize = 100;
/// Waited-for things shown at most below a running phase.
const WAITED: usize = 5;
/// Warnings shown at most while a run goes on; the last screen shows all.
const WARNINGS: usize = 2;

/// What is said once, above the block: which environment, which cluster, how much.
pub fn header(progress: &Progress) -> Vec<Line> {
    let nodes = progress.nodes.map(|nodes| format!(", {}", count(nodes, "node"))).unwrap_or_default();
    let cluster = format!("   Kubernetes {}{nodes}", progress.kubernetes);
    let first = Line::new().with(Tone::Strong, &progress.environment).and(" → ").with(Tone::Strong, &progress.context);
    let mut second = format!(
        "{} in {}, {}",
        count(progress.total(|phase| phase.objects), "object"),
        count(progress.phases.len(), "phase"),
        count(progress.total(|phase| phase.gates), "gate"),
    );
    let skipped = progress.total(|phase| phase.skipped);
    if skipped > 0 {
        second.push_str(&format!(" and {skipped} switched off by the environment"));
    }
    let mut lines = vec![first.and(cluster), second.into()];
    lines.extend(resumed::sentence(progress).map(Line::from));
    lines.push(Line::new());
    lines
}

/// The block as it should stand at a moment.
pub fn frame(progress: &Progress, width: usize, now: Timestamp) -> Vec<Line> {
    let width = width.min(WIDEST);
    let names = progress.name_width();
    let mut lines = Vec::new();
    for phase in &progress.phases {
        lines.push(phase_line(phase, names, progress.down).with_right(time(phase, now), width));
        if matches!(phase.state, PhaseState::Running | PhaseState::Failed) {
            lines.extend(waited_lines(&phase.waited(), names + 4, width, now));
        }
    }
    for warning in progress.warnings.iter().rev().take(WARNINGS).rev() {
        lines.push(Line::new().with(Tone::Warn, "  ! ").and(warning).fit(width));
    }
    let more = progress.warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        lines.push(Line::new().with(Tone::Dim, format!("    and {} before", count(more, "warning"))).fit(width));
    }
    lines
}

fn phase_line(phase: &Phase, names: usize, down: bool) -> Line {
    let (mark, tone) = match phase.state {
        PhaseState::Ahead => (" ", Tone::Dim),
        PhaseState::Running => ("●", Tone::Strong),
        PhaseState::Done => ("✓", Tone::Good),
        PhaseState::Failed => ("✗", Tone::Bad),
    };
    let name = match phase.state {
        PhaseState::Running => Tone::Strong,
        PhaseState::Ahead => Tone::Dim,
        _ => Tone::Plain,
    };
    let line = Line::new().and("  ").with(name, &phase.name).to_column(names + 4).with(tone, mark).and(" ");
    let begun = matches!(phase.state, PhaseState::Running | PhaseState::Failed);
    let mut text = if begun {
        format!("{} of {} {}", phase.ready, count(phase.objects, "object"), if down { "gone" } else { "ready" })
    } else {
        count(phase.objects, "object")
    };
    match (phase.gates, begun) {
        (0, _) => {}
        (gates, true) => text.push_str(&format!(", {} of {}", phase.passed, count(gates, "gate"))),
        (gates, false) => text.push_str(&format!(", {}", count(gates, "gate"))),
    }
    if phase.skipped > 0 {
        text.push_str(&format!(", {} switched off", phase.skipped));
    }
    line.with(if phase.state == PhaseState::Ahead { Tone::Dim } else { Tone::Plain }, text)
}

fn time(phase: &Phase, now: Timestamp) -> Line {
    match phase.state {
        PhaseState::Ahead => Line::new(),
        PhaseState::Done => human(phase.seconds_at(now).unwrap_or_default()).into(),
        _ => clock(phase.seconds_at(now).unwrap_or_default()).into(),
    }
}

/// The first waited-for things with their reasons and how long they take, and how many more there are.
fn waited_lines(waited: &[Waited<'_>], indent: usize, width: usize, now: Timestamp) -> Vec<Line> {
    // One line more is not worth a line that says so.
    let shown = if waited.len() == WAITED + 1 { waited.len() } else { waited.len().min(WAITED) };
    let longest = waited[..shown].iter().map(|waited| waited.subject.width()).max().unwrap_or_default();
    let subjects = longest.min(width.saturating_sub(indent) * 3 / 5);
    let mut lines: Vec<Line> = waited[..shown]
        .iter()
        .map(|waited| {
            let since = clock(seconds_between(waited.since, now));
            let subject = Line::new().to_column(indent + 2).append(Line::from(waited.subject.as_str()).fit(subjects));
            let line = subject.to_column(indent + 2 + subjects + 2).with(Tone::Dim, waited.reason);
            line.with_right(Line::new().with(Tone::Dim, since), width)
        })
        .collect();
    if waited.len() > shown {
        let more = format!("and {} more", waited.len() - shown);
        lines.push(Line::new().to_column(indent + 2).with(Tone::Dim, more).fit(width));
    }
    lines
}
