//! The table of data decisions: what is done about each data set, and from what.

use super::duration::human;
use super::progress::{Decided, PhaseState, Progress};
use super::text::{Line, Tone, list};
use crate::data::Decisions;

/// The table as lines, with what survived and is not used below it; empty when nothing is done about any data set. `change`
/// redacts and cleans a text before it is shown.
pub fn table(decisions: &Decisions, change: &dyn Fn(&str) -> String) -> Vec<Line> {
    if decisions.sets.iter().all(|set| set.word() == "keep") && decisions.left.is_empty() {
        return Vec::new();
    }
    let longest = decisions.sets.iter().map(|set| set.data_set.chars().count()).max().unwrap_or_default();
    let (second, third) = (2 + longest.max("data".len()) + 2, 2 + longest.max("data".len()) + 2 + 10);
    let mut lines = vec![
        Line::new()
            .with(Tone::Dim, "  data")
            .to_column(second)
            .with(Tone::Dim, "decision")
            .to_column(third)
            .with(Tone::Dim, "from"),
    ];
    for set in &decisions.sets {
        for (index, claim) in set.claims.iter().enumerate() {
            let name = if index == 0 { set.data_set.as_str() } else { "" };
            let word = if set.promoted { set.word() } else { claim.choice.word() };
            let tone = match word {
                "adopt" | "restore" | "promote" => Tone::Good,
                "empty" => Tone::Warn,
                _ => Tone::Plain,
            };
            let several = if set.claims.len() > 1 { format!("{}: ", claim.name) } else { String::new() };
            lines.push(
                Line::new()
                    .with(Tone::Strong, format!("  {name}"))
                    .to_column(second)
                    .with(tone, word)
                    .to_column(third)
                    .and(change(&format!("{several}{}", claim.reason))),
            );
        }
    }
    if !decisions.left.is_empty() {
        lines.push(Line::new().with(Tone::Dim, "  not used and not touched:"));
        let left = decisions.left.iter().map(|left| format!("    pv/{}   {}", left.volume, left.facts));
        lines.extend(left.map(|text| Line::new().and(change(&text))));
    }
    lines
}

/// What came back of the data, for the last screen: how far restored data reaches is what an accident has cost.
pub fn brought_back(progress: &Progress) -> Vec<Line> {
    let well = progress.end.as_ref().is_none_or(|end| end.exit == 0);
    let done = |phase: &str| progress.phases.iter().any(|it| it.name == phase && it.state == PhaseState::Done);
    // What is in a phase that was not healthy may be there, and may not.
    let is_back = |it: &&Decided| well || done(&it.phase);
    let all = |word: &'static str| progress.decisions.iter().filter(move |it| it.decision == word && !it.follows);
    let of = |word: &'static str| all(word).filter(is_back);
    let adopted: Vec<&str> = of("adopt").map(|it| it.data_set.as_str()).collect();
    let mut lines = Vec::new();
    let on_their_way = progress.decisions.iter().filter(|it| ["adopt", "restore"].contains(&it.decision.as_str()));
    let on_their_way = on_their_way.filter(|it| !it.follows && !is_back(it));
    let on_their_way: Vec<&str> = on_their_way.map(|it| it.data_set.as_str()).collect();
    if !on_their_way.is_empty() {
        let survives = all("adopt").any(|it| !is_back(&it));
        let kept = if survives { "; volumes that survived are kept" } else { "" };
        lines.push(format!("  {} not back yet{kept}", list(&on_their_way)).into());
    }
    if !adopted.is_empty() {
        lines.push(format!("  {} back on the volumes that survived: nothing of it is lost", list(&adopted)).into());
    }
    lines.extend(of("restore").map(|it| {
        let reach = it.recovery_point.map(|point| {
            format!(
                " as it was archived until {}; what was written later is lost",
                point.strftime("%Y-%m-%d %H:%M:%S UTC")
            )
        });
        format!("  {} back from its backup{}", it.data_set, reach.unwrap_or_default()).into()
    }));
    // The two figures by which a recovery is judged. A run that did not end well has not recovered anything yet.
    let end = progress.end.as_ref().filter(|end| end.exit == 0 && !lines.is_empty());
    if let Some(end) = end {
        let oldest = of("restore").filter_map(|it| it.recovery_point).min();
        let point = match oldest {
            Some(point) => point.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            None if of("restore").next().is_some() => "not known".to_owned(),
            None => "the outage itself".to_owned(),
        };
        lines.push(format!("  recovery time {}, recovery point: {point}", human(end.seconds)).into());
    }
    let promoted: Vec<&str> = of("promote").map(|it| it.data_set.as_str()).collect();
    if !promoted.is_empty() {
        let it = if promoted.len() == 1 { "it takes writes and archives" } else { "they take writes and archive" };
        lines.push(format!("  {} promoted: from now on {it} by itself", list(&promoted)).into());
    }
    let following: Vec<&str> =
        progress.decisions.iter().filter(|it| it.follows).map(|it| it.data_set.as_str()).collect();
    if !following.is_empty() {
        let takes = if following.len() == 1 { "follows" } else { "follow" };
        let line = format!(
            "  {} {takes} another environment's archive and takes no writes; to let it take over, add ",
            list(&following)
        );
        lines.push(Line::new().and(line).with(Tone::Paste, "--promote"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::decision::Left;
    use crate::data::memory::Comeback;
    use crate::data::{Choice, ClaimDecision, Decision, Lineage, Source};

    fn claim(name: &str, choice: Choice, reason: &str) -> ClaimDecision {
        ClaimDecision { namespace: "shop".into(), name: name.into(), choice, reason: reason.into() }
    }

    fn shown(decisions: &Decisions) -> String {
        table(decisions, &str::to_owned).iter().map(Line::plain).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_data_set_has_a_line_for_each_claim() {
        let set = |name: &str, claims| Decision {
            data_set: name.into(),
            source: Source::Adopt,
            claims,
            lineage: Lineage::default(),
            recovery_point: None,
            restored_bytes: None,
            confirm: false,
            promoted: false,
            comeback: Comeback::No,
        };
        let adopt = Choice::Adopt { volume: "pg-app-0".into() };
        let decisions = Decisions {
            sets: vec![
                set(
                    "postgresql-app",
                    vec![
                        claim("data-0", adopt, "pv/pg-app-0: released 14 minutes ago, 10 GiB"),
                        claim("data-1", Choice::Copy, "filled by the claims beside it"),
                    ],
                ),
                set(
                    "redis",
                    vec![claim("data", Choice::Empty, "nothing is there; allowed by environments/local.yaml:5")],
                ),
            ],
            left: vec![Left { volume: "old".into(), facts: "released 3 days ago".into() }],
            ..Decisions::default()
        };
        insta::assert_snapshot!(shown(&decisions), @r"
          data            decision  from
          postgresql-app  adopt     data-0: pv/pg-app-0: released 14 minutes ago, 10 GiB
                          copy      data-1: filled by the claims beside it
          redis           empty     nothing is there; allowed by environments/local.yaml:5
          not used and not touched:
            pv/old   released 3 days ago
        ");
    }

    #[test]
    fn where_all_is_as_it_was_nothing_is_shown() {
        let kept = vec![claim("data", Choice::Keep, "bound")];
        let lineage = Lineage::default();
        let set = Decision {
            data_set: "db".into(),
            source: Source::Adopt,
            claims: kept,
            lineage,
            recovery_point: None,
            restored_bytes: None,
            confirm: false,
            promoted: false,
            comeback: Comeback::No,
        };
        assert_eq!(shown(&Decisions { sets: vec![set], ..Decisions::default() }), "");
    }

    #[test]
    fn the_last_screen_says_how_far_restored_data_reaches() {
        use crate::rebuild::event::Outcome;
        use crate::report::progress::{Decided, End, Phase, PhaseState};
        let decided = |name: &str, word: &str, point: Option<&str>| Decided {
            data_set: name.into(),
            phase: "database".into(),
            decision: word.into(),
            recovery_point: point.and_then(|point| point.parse().ok()),
            follows: false,
            claims: Vec::new(),
        };
        let mut progress = Progress {
            decisions: vec![
                decided("app", "adopt", None),
                decided("ingest", "restore", Some("2026-11-25T17:43:12Z")),
                decided("fingerprint", "adopt", None),
                decided("redis", "keep", None),
            ],
            ..Progress::default()
        };
        progress.end =
            Some(End { outcome: Outcome::Done, exit: 0, seconds: 252.0, written: 9, critical_path: Vec::new() });
        let shown: Vec<String> = brought_back(&progress).iter().map(|line| line.plain().trim().to_owned()).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        app and fingerprint back on the volumes that survived: nothing of it is lost
        ingest back from its backup as it was archived until 2026-11-25 17:43:12 UTC; what was written later is lost
        recovery time 4 m 12 s, recovery point: 2026-11-25 17:43:12 UTC
        ");
        progress.decisions.remove(1);
        let last = brought_back(&progress).pop().map(|line| line.plain());
        assert_eq!(last.as_deref(), Some("  recovery time 4 m 12 s, recovery point: the outage itself"));
        let failed = |storage: PhaseState, database: PhaseState| {
            let mut progress = Progress { decisions: progress.decisions.clone(), ..Progress::default() };
            let phase = |name: &str, state| {
                let mut phase = Phase::default();
                (phase.name, phase.state) = (name.into(), state);
                phase
            };
            progress.phases = vec![phase("storage", storage), phase("database", database)];
            progress.end =
                Some(End { outcome: Outcome::Unhealthy, exit: 7, seconds: 9.0, written: 9, critical_path: Vec::new() });
            brought_back(&progress).iter().map(|line| line.plain().trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            failed(PhaseState::Done, PhaseState::Failed),
            ["app and fingerprint not back yet; volumes that survived are kept"]
        );
        assert_eq!(
            failed(PhaseState::Done, PhaseState::Done),
            ["app and fingerprint back on the volumes that survived: nothing of it is lost"]
        );
    }
}
