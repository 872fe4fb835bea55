//! What `down` shows: first what goes and what stays, at the end what became of it, and the proof.

use unicode_width::UnicodeWidthStr as _;

use super::duration::human;
use super::ending::{self, Setting, exit_meaning};
use super::progress::{End, PhaseState, Progress};
use super::text::{Line, Tone, count};
use crate::cluster::volumes::claim_key;
use crate::manifest::ObjectKey;
use crate::plan::down::Proof;
use crate::rebuild::down::Survey;
use crate::rebuild::event::Outcome;

/// A data set that is to be deleted: its name, with namespace and name of each of its claims that are there.
type Goes = (String, Vec<(String, String)>);

/// What is shown before anything is asked. `delete_data` are data sets that go as well.
pub fn preview(survey: &Survey, proofs: &[Proof], delete_data: &[Goes]) -> Vec<Line> {
    let phases: Vec<String> =
        survey.down.phases().into_iter().map(|(phase, objects)| format!("{phase} {objects}")).collect();
    let goes = match survey.down.goes() {
        0 => "  goes    no object".to_owned(),
        objects => format!("  goes    {}, in this order: {}", count(objects, "object"), phases.join(", ")),
    };
    let mut lines = vec![Line::from(goes)];
    let going: Vec<_> =
        delete_data.iter().flat_map(|(_, claims)| claims).map(|(place, name)| claim_key(place, name)).collect();
    let stays: Vec<Proof> = proofs.iter().filter(|proof| !is_deleted(proof, delete_data)).cloned().collect();
    // A namespace of ours goes with the last of its data.
    let emptied = |key: &ObjectKey| {
        key.group.is_empty()
            && key.kind == "Namespace"
            && !delete_data.is_empty()
            && stays.iter().all(|proof| proof.namespace != key.name)
    };
    let kept = survey.down.kept.iter().map(|kept| &kept.key).filter(|key| !going.contains(key));
    let (emptied, kept): (Vec<&ObjectKey>, Vec<&ObjectKey>) = kept.partition(|key| emptied(key));
    let names = |keys: &[&ObjectKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !emptied.is_empty() {
        lines.push(
            format!("  goes    {}, with the last of its data, if nothing else is left in it", names(&emptied)).into(),
        );
    }
    if !kept.is_empty() {
        lines.push(format!("  stays   {}", names(&kept)).into());
    }
    if !stays.is_empty() {
        lines.push(format!("  stays   {}, whatever their policy was before:", count(stays.len(), "claim")).into());
        lines.extend(table(&stays).into_iter().map(|line| Line::new().and("          ").append(line)));
    }
    for (set, claims) in delete_data {
        let names: Vec<&str> = claims.iter().map(|(_, name)| name.as_str()).collect();
        let what = if names.is_empty() { "nothing of it is there".to_owned() } else { names.join(", ") };
        lines.push(Line::new().with(Tone::Warn, format!("  data set {set} is deleted")).and(format!(": {what}")));
    }
    lines
}

fn is_deleted(proof: &Proof, delete_data: &[Goes]) -> bool {
    let mut claims = delete_data.iter().flat_map(|(_, claims)| claims);
    claims.any(|(namespace, claim)| *namespace == proof.namespace && *claim == proof.claim)
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
            0 if !progress.deleted_data.is_empty() => "only data was deleted".to_owned(),
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
            _ => {
                // What happens before and after the phases is in none of them.
                let headline = ending::headline(progress, end);
                if headline.starts_with(' ') { format!("{}{headline}", progress.environment) } else { headline }
            }
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
        (true, 0) if progress.deleted_data.is_empty() => lines.push("  it had no claims".into()),
        (true, 0) => lines.push("  no claim of it is left".into()),
        (true, claims) => {
            let held = progress.proofs.iter().filter(|proof| !proof.volume.is_empty()).count();
            if held > 0 {
                let text = format!("  data kept and proven: {} with Retain, see the table", count(held, "claim"));
                lines.push(text.into());
            }
            if claims > held {
                lines.push(format!("  {} without a volume, so without data", count(claims - held, "claim")).into());
            }
        }
        (false, _) if end.outcome != Outcome::Unproven && progress.deleted_data.is_empty() => {
            lines.push("  no data was deleted on the way: claims are never deleted without a typed name".into());
        }
        (false, _) => {}
    }
    lines.extend(ending::warnings(progress, width));
    if done {
        if !setting.look.is_empty() {
            let label = if progress.proofs.iter().all(|proof| proof.volume.is_empty()) {
                "  up again:   "
            } else {
                "  up again, on the same volumes:   "
            };
            lines.push(Line::new().and(label).with(Tone::Paste, &setting.look));
        }
        return lines;
    }
    let meaning = match end.outcome {
        Outcome::Stuck => "something does not go away",
        _ => exit_meaning(end.exit),
    };
    lines.push(Line::new());
    lines.push(Line::new().and("  again, from where it stopped:   ").with(Tone::Paste, &setting.again));
    lines.push(Line::new().with(Tone::Dim, format!("  exit code {}: {meaning}", end.exit)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::diagnosis::Diagnosis;
    use crate::manifest::Origin;
    use crate::rebuild::event::{Event, EventKind, ObjectName, PhaseSummary, VERSION};

    fn object(kind: &str, name: &str) -> ObjectName {
        ObjectName { api_version: "v1".into(), kind: kind.into(), namespace: None, name: name.into() }
    }

    /// The last screen after these events between the first and the last.
    fn screen(kinds: Vec<EventKind>, outcome: Outcome, exit: u8) -> String {
        let phases = ["services", "database"].map(|phase| PhaseSummary {
            phase: phase.into(),
            objects: 1,
            ..PhaseSummary::default()
        });
        let started = EventKind::RunStarted {
            environment: "local".into(),
            stack: "acoustid".into(),
            context: "kind".into(),
            server: String::new(),
            kubernetes: "1.34.4".into(),
            cluster: String::new(),
            nodes: None,
            phases: phases.to_vec(),
            left_out: Vec::new(),
            resumes: None,
        };
        let taking = EventKind::TakingDown { claims: 1, delete_data: Vec::new() };
        let gone = PhaseSummary { ready: 1, written: 1, seconds: Some(2.0), started: Some(0.0), ..phases[0].clone() };
        let first = [started, taking, EventKind::PhaseFinished { summary: gone }];
        let (seconds, critical_path) = (12.0, Vec::new());
        let end = EventKind::RunFinished { outcome, exit, seconds, written: 1, phases: Vec::new(), critical_path };
        let mut progress = Progress::default();
        for kind in first.into_iter().chain(kinds).chain([end]) {
            let time = jiff::Timestamp::UNIX_EPOCH;
            progress.apply(&Event { version: VERSION, time, run: "7f3a1c02".into(), kind });
        }
        let setting =
            Setting { again: "rekindle down local".into(), look: "rekindle up local".into(), ..Setting::default() };
        let lines = ending::ending(&progress, &setting, 100);
        lines.iter().map(Line::plain).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_went_with_its_data_is_not_told_as_kept() {
        let namespace = object("Namespace", "acoustid");
        let reason = "deleting it could delete data".to_owned();
        let kept = EventKind::ObjectKept { phase: "storage".into(), object: namespace.clone(), reason };
        let data = EventKind::DataDeleted {
            data_set: "redis".into(),
            namespace: "acoustid".into(),
            claim: "data-redis-0".into(),
            volume: "pvc-1".into(),
            volume_deleted: true,
        };
        let gone = EventKind::ObjectDeleted { phase: String::new(), object: namespace, seconds: 5.0 };
        insta::assert_snapshot!(screen(vec![kept, data, gone], Outcome::Done, 0), @r"
        ✓ local is down   12 s, 1 object deleted
          data set redis: data-redis-0 deleted
          no claim of it is left
          up again:   rekindle up local
        ");
    }

    fn stuck(phase: &str, kind: &str, name: &str, reason: &str) -> EventKind {
        EventKind::ObjectFailed {
            phase: phase.into(),
            object: object(kind, name),
            origin: Origin::default(),
            reason: reason.into(),
            diagnosis: Diagnosis::default(),
        }
    }

    #[test]
    fn the_last_screen_says_what_went_and_what_stays() {
        let kept = EventKind::ObjectKept {
            phase: "storage".into(),
            object: object("Namespace", "acoustid"),
            reason: "deleting it could delete data".into(),
        };
        let data = EventKind::DataDeleted {
            data_set: "redis".into(),
            namespace: "a".into(),
            claim: "data-redis-0".into(),
            volume: "by-hand".into(),
            volume_deleted: false,
        };
        let unbound = Proof { volume: String::new(), policy: String::new(), ..proof("a", "data-db-1") };
        let proof = EventKind::VolumeKept { proof: proof("a", "data-db-0") };
        insta::assert_snapshot!(screen(vec![kept, data, proof], Outcome::Done, 0), @r"
        ✓ local is down   12 s, 1 object deleted
          data set redis: data-redis-0 deleted, its volume by-hand was made by hand and is left with what it holds
          kept: Namespace/acoustid: deleting it could delete data
          data kept and proven: 1 claim with Retain, see the table
          up again, on the same volumes:   rekindle up local
        ");
        insta::assert_snapshot!(screen(vec![EventKind::VolumeKept { proof: unbound }], Outcome::Done, 0), @r"
        ✓ local is down   12 s, 1 object deleted
          1 claim without a volume, so without data
          up again:   rekindle up local
        ");
        insta::assert_snapshot!(screen(Vec::new(), Outcome::Interrupted, 130), @r"
        ✗ local interrupted: nothing more is deleted   after 12 s

          gone: services
          no data was deleted on the way: claims are never deleted without a typed name

          again, from where it stopped:   rekindle down local
          exit code 130: interrupted
        ");
        let reason = "StatefulSet/db is being deleted, its pods first";
        insta::assert_snapshot!(screen(vec![stuck("database", "StatefulSet", "db", reason)], Outcome::Stuck, 7), @r"
        ✗ database stopped: StatefulSet/db does not go away   after 12 s

          StatefulSet db
            StatefulSet/db is being deleted, its pods first

          gone: services
          no data was deleted on the way: claims are never deleted without a typed name

          again, from where it stopped:   rekindle down local
          exit code 7: something does not go away
        ");
        let reason = "it does not keep the policy Retain, so nothing was deleted";
        insta::assert_snapshot!(screen(vec![stuck("", "PersistentVolume", "v", reason)], Outcome::Unproven, 4), @r"
        ✗ local was left as it is: a volume could be lost with its claim   after 12 s

          PersistentVolume v
            it does not keep the policy Retain, so nothing was deleted

          gone: services

          again, from where it stopped:   rekindle down local
          exit code 4: refused to protect something
        ");
        let reason = "not allowed: patch persistentvolumes";
        insta::assert_snapshot!(screen(vec![stuck("", "PersistentVolume", "v", reason)], Outcome::NotAllowed, 5), @r"
        ✗ local stopped: you are not allowed to do this to PersistentVolume/v   after 12 s

          PersistentVolume v
            not allowed: patch persistentvolumes

          gone: services
          no data was deleted on the way: claims are never deleted without a typed name

          again, from where it stopped:   rekindle down local
          exit code 5: cluster unreachable or not allowed
        ");
    }

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
