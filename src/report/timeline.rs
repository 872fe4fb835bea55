//! The timeline of a run: a bar for each phase over one axis of time.

use super::duration::human;
use super::progress::{Phase, PhaseState, Progress};
use super::text::{Line, Tone, count};

/// Columns of the bars at most; more would only move the numbers away from the names.
const WIDEST: usize = 48;
/// Steps of the axis, seconds.
pub(super) const STEPS: [f64; 26] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0,
    3600.0, 7200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0,
];

/// A line for each phase, and below them the axis. `total` is the run's wall time in seconds.
pub fn timeline(progress: &Progress, total: f64, width: usize) -> Vec<Line> {
    let names = progress.name_width();
    let counts: Vec<String> = progress.phases.iter().map(counts).collect();
    let longest = counts.iter().map(String::len).max().unwrap_or_default();
    let times: Vec<String> = progress.phases.iter().map(|phase| taken(phase, total)).collect();
    let time = times.iter().map(|time| time.chars().count()).max().unwrap_or_default();
    // "  ✓ name  ▏" + bars + "  " + time + "   " + counts; on a narrow terminal the counts are what is cut.
    let bars = width.saturating_sub(names + 7 + 2 + time + 3 + longest).clamp(12, WIDEST);
    let mut lines = Vec::new();
    for ((phase, counts), time_taken) in progress.phases.iter().zip(&counts).zip(&times) {
        let (mark, tone) = match phase.state {
            PhaseState::Done => ("✓", Tone::Good),
            PhaseState::Failed => ("✗", Tone::Bad),
            PhaseState::Running => ("●", Tone::Warn),
            PhaseState::Ahead => (" ", Tone::Dim),
        };
        let name = if phase.begun() { Tone::Plain } else { Tone::Dim };
        let line = Line::new().and("  ").with(tone, mark).and(" ").with(name, &phase.name).to_column(names + 6);
        let (blank, filled) = bar(phase, total, bars);
        let line = line.with(Tone::Dim, "▏").and(" ".repeat(blank)).with(tone, "▇".repeat(filled));
        let line = line.to_column(names + 7 + bars + 2);
        let line = line.and(format!("{time_taken:>time$}")).and("   ").with(Tone::Dim, counts);
        lines.push(line.fit(width));
    }
    lines.push(Line::new().to_column(names + 7).with(Tone::Dim, axis(total, bars)).fit(width));
    lines
}

/// Blank and filled columns of a phase's bar; a phase that began has at least one filled.
fn bar(phase: &Phase, total: f64, columns: usize) -> (usize, usize) {
    let (Some(start), true) = (phase.offset, total > 0.0) else { return (0, 0) };
    let end = phase.seconds.map_or(total, |seconds| start + seconds);
    let first = column(start, total, columns).min(columns - 1);
    (first, column(end, total, columns).clamp(first + 1, columns) - first)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "small and positive"
)]
fn column(seconds: f64, total: f64, columns: usize) -> usize {
    (seconds / total * columns as f64).round().clamp(0.0, columns as f64) as usize
}

/// The labels of the axis: the smallest steps of which all stand apart.
fn axis(total: f64, columns: usize) -> String {
    let wide_enough = STEPS.into_iter().filter(|step| *step <= total && column(*step, total, columns) >= 8);
    wide_enough.map(|step| ticks(step, total, columns)).find_map(|ticks| spaced(&ticks)).unwrap_or_else(|| "0".into())
}

/// Labels with their columns. One may stand over the end a little; one that would not is left out.
fn ticks(step: f64, total: f64, columns: usize) -> Vec<(usize, String)> {
    let mut ticks = vec![(0, "0".to_owned())];
    let mut at = step;
    while at <= total {
        let (label, place) = (human(at).replace(".0 s", " s"), column(at, total, columns));
        if place + label.len() <= columns + 4 {
            ticks.push((place, label));
        }
        at += step;
    }
    ticks
}

/// The labels on one line; `None` when two are less than two blanks apart.
fn spaced(ticks: &[(usize, String)]) -> Option<String> {
    let mut line = String::new();
    for (place, label) in ticks {
        let used = line.chars().count();
        let blanks = place.checked_sub(used).filter(|blanks| *blanks >= 2 || used == 0)?;
        line.push_str(&" ".repeat(blanks));
        line.push_str(label);
    }
    Some(line)
}

fn taken(phase: &Phase, total: f64) -> String {
    match (phase.seconds, phase.offset) {
        (Some(seconds), _) => human(seconds),
        (None, Some(offset)) => human(total - offset),
        (None, None) => String::new(),
    }
}

fn counts(phase: &Phase) -> String {
    let partly = phase.begun() && phase.state != PhaseState::Done;
    let of = |part: usize, whole: usize, noun: &str| {
        if partly { format!("{part} of {}", count(whole, noun)) } else { count(whole, noun) }
    };
    let mut text = of(phase.ready, phase.objects, "object");
    if phase.gates > 0 {
        text.push_str(&format!(", {}", of(phase.passed, phase.gates, "gate")));
    }
    if phase.skipped > 0 {
        text.push_str(&format!(", {} switched off", phase.skipped));
    }
    if !phase.begun() {
        text.push_str(", not begun");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bars_stay_inside_the_axis(start in 0.0..1e6f64, seconds in 0.0..1e6f64, total in 0.0..1e6f64, columns in 12usize..48) {
            let mut phase = Phase::default();
            (phase.offset, phase.seconds) = (Some(start), Some(seconds));
            let (blank, filled) = bar(&phase, total, columns);
            proptest::prop_assert!(blank + filled <= columns);
            proptest::prop_assert!(axis(total, columns).chars().count() <= columns + 4);
        }
    }

    #[test]
    fn labels_stand_apart_and_none_is_left_out() {
        for (total, axis_of) in [
            (178.0, "0               1 m             2 m"),
            (100.0, "0         20 s     40 s      1 m      1 m 20 s"),
            (14_400.0, "0           1 h         2 h         3 h         4 h"),
            (0.0, "0"),
        ] {
            assert_eq!(axis(total, 48), axis_of, "{total}");
        }
    }
}
