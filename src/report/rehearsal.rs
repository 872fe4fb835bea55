//! The last screen of a rehearsal: the picture, what bounds the time, what was assumed, what would be needed.

use std::collections::BTreeSet;

use super::duration::human;
use super::progress::{End, Progress};
use super::text::{Line, Tone, count, list, wrap};
use super::timeline::timeline;
use crate::rebuild::event::CriticalStep;
use crate::rehearsal::filling::{FilledSet, Via};
use crate::rehearsal::needs::Needs;

/// Columns used at most.
const WIDEST: usize = 110;
/// Steps of the critical path that are shown.
const STEPS: usize = 10;
/// Steps shorter than this share of the whole are not worth a line.
const SHORTEST: f64 = 0.01;

/// What the screen needs to know beside the events.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Seconds of real time that it took.
    pub took: f64,
    /// Steps whose time was measured in a real run, by `Kind/name`.
    pub measured: Vec<String>,
    /// Steps whose time was given on the command line.
    pub supposed: Vec<String>,
    /// What the model assumes of everything else, a phrase each.
    pub assumed: Vec<String>,
    /// What goes on after the rebuild, a sentence each.
    pub after: Vec<String>,
    /// The last rehearsal before this one, where there was one.
    pub before: Option<String>,
    /// What a rebuild needs.
    pub needs: Needs,
    /// Volumes that were filled from backups or from replicas.
    pub filled: Vec<FilledSet>,
    /// Data sets of whose backups nothing is known, so that one is assumed.
    pub assumed_backups: BTreeSet<String>,
    /// Age recipients are needed to open the secrets.
    pub secrets: bool,
}

impl Setting {
    /// Where the time of a step comes from: `measured` in a real run, `supposed` on the command line, or `assumed`.
    pub fn source(&self, step: &str) -> &'static str {
        if self.measured.iter().any(|measured| measured == step) {
            "measured"
        } else if self.supposed.iter().any(|supposed| supposed.starts_with(&format!("{step} "))) {
            "supposed"
        } else {
            "assumed"
        }
    }
}

/// The screen of a rehearsal that reached its end.
pub fn ending(progress: &Progress, end: &End, setting: &Setting, width: usize) -> Vec<Line> {
    let width = width.min(WIDEST);
    let objects = progress.total(|phase| phase.objects);
    let gates = progress.total(|phase| phase.passed);
    let mut lines = timeline(progress, end.seconds, width);
    lines.push(Line::new());
    lines.push(
        Line::new()
            .with(Tone::Good, "✓ ")
            .with(
                Tone::Strong,
                format!("{} can be rebuilt from nothing in {}", progress.environment, human(end.seconds)),
            )
            .and(format!("   simulated in {}", human(setting.took))),
    );
    lines.push(
        format!(
            "  {} written in order, {} passed; nothing real was touched",
            count(objects, "object"),
            count(gates, "gate")
        )
        .into(),
    );
    for goes_on in &setting.after {
        lines.extend(paragraph("  after that:      ", goes_on, width));
    }
    lines.push(Line::new());
    let bound = bound_by(end, setting);
    if !bound.is_empty() {
        lines.extend(bound);
        lines.push(Line::new());
    }
    lines.extend(paragraph("  assumed:         ", &assumed(setting), width));
    if !setting.supposed.is_empty() {
        lines.extend(paragraph("  supposed:        ", &setting.supposed.join(", "), width));
    }
    if !setting.measured.is_empty() {
        lines.extend(paragraph(
            "  measured:        ",
            &format!("{} of real runs", count(setting.measured.len(), "time")),
            width,
        ));
    }
    lines.extend(paragraph("  it would need:   ", &needed(&setting.needs, setting.secrets), width));
    if let Some(before) = &setting.before {
        lines.extend(paragraph("  before:          ", before, width));
    }
    lines
}

/// The longest steps of the chain that bounds the time, in their order.
fn bound_by(end: &End, setting: &Setting) -> Vec<Line> {
    let mut longest: Vec<usize> = (0..end.critical_path.len()).collect();
    longest.sort_by(|a, b| end.critical_path[*b].seconds.total_cmp(&end.critical_path[*a].seconds));
    let mut shown: Vec<usize> =
        longest.into_iter().take(STEPS).filter(|at| end.critical_path[*at].seconds >= end.seconds * SHORTEST).collect();
    shown.sort_unstable();
    let steps = shown.iter().map(|at| &end.critical_path[*at]);
    let names = steps.clone().flat_map(|step| {
        let parts = parts_of(step, setting).map(|it| part_of(it).chars().count());
        parts.chain([step.step.chars().count()])
    });
    let names = names.max().unwrap_or_default();
    let phases = steps.clone().map(|step| step.phase.chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for (index, step) in steps.enumerate() {
        let label = if index == 0 { "  bound by:        " } else { "                   " };
        let source = setting.source(&step.step);
        let line =
            Line::from(label).with(Tone::Dim, &step.phase).to_column(19 + phases + 2).with(Tone::Strong, &step.step);
        let line = line.to_column(19 + phases + 2 + names + 2);
        lines.push(line.and(format!("{:>10}  ", human(step.seconds))).with(Tone::Dim, source));
        lines.extend(parts_of(step, setting).map(|it| {
            let line = Line::new().to_column(19 + phases + 2).and(part_of(it)).to_column(19 + phases + 2 + names + 2);
            line.and(format!("{:>10}  ", human(it.seconds))).with(Tone::Dim, facts_of(it, setting))
        }));
    }
    let chain: f64 = end.critical_path.iter().map(|step| step.seconds).sum();
    if chain > 0.0 {
        lines.push(
            Line::from("                   ")
                .with(Tone::Dim, format!("the critical path is {} of {}", human(chain), human(end.seconds))),
        );
    }
    lines
}

/// What was filled in a step.
fn parts_of<'s>(step: &'s CriticalStep, setting: &'s Setting) -> impl Iterator<Item = &'s FilledSet> {
    setting.filled.iter().filter(|it| it.workload == step.step)
}

/// The part of a step that fills volumes.
fn part_of(filled: &FilledSet) -> String {
    match (filled.via, filled.volumes) {
        (Via::Backup, 1) => format!("  restore of {}", filled.data_set),
        (Via::Backup, many) => format!("  restore of {}, {many} volumes", filled.data_set),
        (Via::Neighbour, 1) => "  copy to its replica".to_owned(),
        (Via::Neighbour, many) => format!("  copy to its {many} replicas"),
    }
}

/// What was filled, a sentence each, with its time and how that is known.
pub fn filled(setting: &Setting) -> Vec<String> {
    let line = |it: &FilledSet| {
        let whose = if it.via == Via::Neighbour { format!(" of {}", it.data_set) } else { String::new() };
        format!("{}{whose}: {}, {}", part_of(it).trim(), human(it.seconds), facts_of(it, setting))
    };
    setting.filled.iter().map(line).collect()
}

/// How much that is, and how it is known.
fn facts_of(filled: &FilledSet, setting: &Setting) -> String {
    let is_assumed = filled.via == Via::Backup && setting.assumed_backups.contains(&filled.data_set);
    let each = if filled.volumes > 1 { " each" } else { "" };
    let by = if is_assumed { " (its claim's size)" } else { "" };
    let how =
        if filled.supposed { "supposed".to_owned() } else { format!("assumed at {} MB/s", filled.rate / 1_000_000) };
    format!("{}{each}{by}, {how}", size(filled.bytes))
}

fn assumed(setting: &Setting) -> String {
    if setting.assumed.is_empty() { "nothing".into() } else { setting.assumed.join(", ") }
}

pub(super) fn needed(needs: &Needs, secrets: bool) -> String {
    let mut parts = vec![if needs.nodes_to_spread > needs.nodes {
        format!("a cluster of {} ({} would do)", count(needs.nodes_to_spread, "node"), needs.nodes)
    } else {
        format!("a cluster of {} or more", count(needs.nodes, "node"))
    }];
    parts.extend(needs.labels.iter().cloned());
    if needs.claims > 0 {
        let by = needs.provisioners.iter().map(String::as_str).collect::<Vec<_>>();
        let by = if by.is_empty() { String::new() } else { format!(" from {}", list(&by)) };
        parts.push(format!("{} of {} in all{by}", count(needs.claims, "volume"), size(needs.bytes)));
    }
    if !needs.classes.is_empty() {
        let word = if needs.classes.len() == 1 { "StorageClass" } else { "StorageClasses" };
        parts.push(format!("the {word} {}", list(&needs.classes.iter().map(String::as_str).collect::<Vec<_>>())));
    }
    if needs.default_class {
        parts.push("a default StorageClass".into());
    }
    parts.extend(needs.other_classes.iter().map(|class| format!("the {} {}", class.kind, class.name)));
    if !needs.kinds.is_empty() {
        let kinds: Vec<String> = needs.kinds.iter().map(|it| format!("{} ({})", it.kind, it.api_version)).collect();
        let word = if kinds.len() == 1 { "kind" } else { "kinds" };
        parts.push(format!("the {word} {}", list(&kinds.iter().map(String::as_str).collect::<Vec<_>>())));
    }
    if !needs.images.is_empty() {
        parts.push(count(needs.images.len(), "image"));
    }
    if needs.load_balancer {
        parts.push("a load balancer".into());
    }
    if !needs.hosts.is_empty() {
        parts.push(format!("DNS for {}", count(needs.hosts.len(), "host")));
    }
    if secrets {
        parts.push("an age identity that opens the secrets".into());
    }
    parts.join(", ")
}

/// Bytes as a person would say them.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("TiB", 40), ("GiB", 30), ("MiB", 20)];
    let found = UNITS.iter().find(|(_, shift)| bytes >= 1 << shift);
    found.map_or_else(
        || format!("{bytes} bytes"),
        |(unit, shift)| {
            let amount = bytes as f64 / (1_u64 << shift) as f64;
            if amount.fract() < 0.05 { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") }
        },
    )
}

/// A text behind a label, wrapped so that it stays behind it.
fn paragraph(label: &str, text: &str, width: usize) -> Vec<Line> {
    let indent = label.chars().count();
    let pieces = wrap(text, width.saturating_sub(indent));
    let lines = pieces.into_iter().enumerate().map(|(index, piece)| {
        let head = if index == 0 { label.to_owned() } else { " ".repeat(indent) };
        Line::from(head).and(piece)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_their_unit() {
        for (bytes, said) in [(3 << 40, "3 TiB"), (1536 << 30, "1.5 TiB"), (10 << 30, "10 GiB"), (5, "5 bytes")] {
            assert_eq!(size(bytes), said);
        }
    }
}
