//! What `down` shows: first what goes and what stays, at the end what became of it, and the proof.

use unicode_width::UnicodeWidthStr as _;

use super::duration::human;
use super::ending::{self, Setting, exit_meaning};
use super::progress::{End, PhaseState, Progress};
use super::text::{Line, Tone, count};
use crate::plan::down::Proof;
use crate::rebuild::down::Survey;
use crate::rebuild::event::Outcome;

/// What is shown before anything is asked. `delete_data` are data sets that go as well.
pub fn preview(survey: &Survey, proofs: &[Proof], delete_data: &[(String, Vec<String>)]) -> Vec<Line> {
    let phases: Vec<String> =
        survey.down.phases().into_iter().map(|(phase, objects)| format!("{phase} {objects}")).collect();
    let mut lines = vec![Line::from(format!(
        "  goes    {}, in this order: {}",
        count(survey.down.goes(), "object"),
        phases.join(", ")
    ))];
    let kept: Vec<String> = survey.down.kept.iter().map(|kept| kept.key.to_string()).collect();
    if !kept.is_empty() {
        lines.push(format!("  stays   {}", kept.join(", ")).into());
    }
    let stays: Vec<Proof> = proofs.iter().filter(|proof| !is_deleted(proof, delete_data)).cloned().collect();
    if !stays.is_empty() {
        lines.push(format!("  stays   {}, whatever their policy was before:", count(stays.len(), "claim")).into());
        lines.extend(table(&stays).into_iter().map(|line| Line::new().and("          ").append(line)));
    }
    for (set, claims) in delete_data {
        let what = if claims.is_empty() { "nothing of it is there".to_owned() } else { claims.join(", ") };
        lines.push(Line::new().with(Tone::Warn, format!("  data set {set} is deleted")).and(format!(": {what}")));
    }
    lines
}

fn is_deleted(proof: &Proof, delete_data: &[(String, Vec<String>)]) -> bool {
    delete_data.iter().flat_map(|(_, claims)| claims).any(|claim| *claim == proof.claim)
}

/// The proofs as a table: a line for each claim. The namespace is named where there are several.
pub fn table(proofs: &[Proof]) -> Vec<Line> {
    let several = proofs.iter().any(|proof| proofs.first().is_some_and(|first| first.namespace != proof.namespace));
    let claim = |proof: &Proof| match several {
        true => format!("{}/{}", proof.namespace, proof.claim),
        false => proof.claim.clone(),
    };
    let head = ["claim", "volume", "phase", "policy", "size", "at"].map(str::to_owned);
    let cells = |proof: &Proof| {
        let text = |text: &String| if text.is_empty() { "-".to_owned() } else { text.clone() };
        let Proof { volume, phase, policy, size, place, .. } = proof;
        [claim(proof), text(volume), text(phase), text(policy), text(size), text(place)]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(proofs.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |(index, row): (usize, &[String; 6])| {
        let mut line = Line::new();
        let mut column = 0;
        for (cell, width) in row.iter().zip(&widths) {
            line = line.to_column(column);
            line = if index == 0 { line.with(Tone::Dim, cell) } else { line.and(cell) };
            column += width + 2;
        }
        line
    };
    rows.iter().enumerate().map(line).collect()
}

/// The last screen of `down`.
pub fn ending(progress: &Progress, end: &End, setting: &Setting, width: usize) -> Vec<Line> {
    let mut lines = if end.outcome == Outcome::Done {
        let gone = format!("{} is down", progress.environment);
        let deleted = match end.written {
            0 => "nothing had to be deleted".to_owned(),
            written => format!("{} deleted", count(written, "object")),
        };
        vec![
            Line::new()
                .with(Tone::Good, "✓ ")
                .with(Tone::Strong, gone)
                .and(format!("   {}, {deleted}", human(end.seconds))),
        ]
    } else {
        let headline = match end.outcome {
            Outcome::Interrupted => format!("{} interrupted: nothing more is deleted", progress.environment),
            Outcome::Unproven if progress.failures.is_empty() => {
                format!("{} is down, but not all of its data is proven to be safe", progress.environment)
            }
            Outcome::Unproven => {
                format!("{} was left as it is: a volume could be lost with its claim", progress.environment)
            }
            _ => ending::headline(progress, end),
        };
        let mut lines = vec![ending::bad(headline).and(format!("   after {}", human(end.seconds))), Line::new()];
        for failure in &progress.failures {
            lines.extend(ending::failure_lines(failure, width));
            lines.push(Line::new());
        }
        lines
    };
    let done = end.outcome == Outcome::Done;
    for (set, claim, left) in &progress.deleted_data {
        let volume = match left {
            None => String::new(),
            Some(volume) => format!(", its volume {volume} was made by hand and is left with what it holds"),
        };
        lines.push(format!("  data set {set}: {claim} deleted{volume}").into());
    }
    let gone: Vec<&str> = progress
        .phases
        .iter()
        .filter(|phase| phase.state == PhaseState::Done)
        .map(|phase| phase.name.as_str())
        .collect();
    if !done && !gone.is_empty() {
        lines.push(format!("  gone: {}", gone.join(", ")).into());
    }
    for (object, reason) in progress.kept.iter() {
        lines.extend(ending::paragraph("  kept: ", &format!("{object}: {reason}"), width));
    }
    match (done, progress.proofs.len()) {
        (true, 0) => lines.push("  it had no claims".into()),
        (true, claims) => {
            let text = format!("  data kept and proven: {} with Retain, see the table", count(claims, "claim"));
            lines.push(text.into());
        }
        (false, _) if end.outcome != Outcome::Unproven => {
            lines.push("  no data was deleted on the way: claims are never deleted without a typed name".into());
        }
        (false, _) => {}
    }
    lines.extend(ending::warnings(progress, width));
    if done {
        if !setting.look.is_empty() {
            let label = "  up again, on the same volumes:   ";
            lines.push(Line::new().and(label).with(Tone::Paste, &setting.look));
        }
        return lines;
    }
    lines.push(Line::new());
    lines.push(Line::new().and("  again, from where it stopped:   ").with(Tone::Paste, &setting.again));
    lines.push(Line::new().with(Tone::Dim, format!("  exit code {}: {}", end.exit, exit_meaning(end.exit))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(namespace: &str, claim: &str) -> Proof {
        let text = |text: &str| text.to_owned();
        Proof {
            namespace: text(namespace),
            claim: text(claim),
            volume: text("pvc-1"),
            place: text("/data/pvc-1"),
            phase: text("Bound"),
            policy: text("Retain"),
            size: text("1Gi"),
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_claim() {
        let lines: Vec<String> = table(&[proof("a", "data-db-0"), proof("a", "x")]).iter().map(Line::plain).collect();
        assert_eq!(
            lines,
            [
                "claim      volume  phase  policy  size  at",
                "data-db-0  pvc-1   Bound  Retain  1Gi   /data/pvc-1",
                "x          pvc-1   Bound  Retain  1Gi   /data/pvc-1",
            ]
        );
        let two: Vec<String> = table(&[proof("a", "x"), proof("b", "x")]).iter().map(Line::plain).collect();
        assert!(two[1].starts_with("a/x ") && two[2].starts_with("b/x "), "{two:?}");
    }
}
