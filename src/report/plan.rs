//! The view of `rekindle plan`: what would be done, phase by phase, with the fields that would change.

use super::duration::human;
use super::text::{Line, Tone, count, list, wrap};
use crate::plan::diff::lines;
use crate::plan::estimate::Estimate;
use crate::plan::proposal::{Intent, Proposal, ProposedObject, ProposedPhase};
use crate::rebuild::event::ObjectName;

/// Steps of the critical path that are named.
const STEPS: usize = 6;

/// The plan as lines of data. `change` redacts and cleans a text before it is shown.
pub fn rows(proposal: &Proposal, change: &dyn Fn(&str) -> String) -> Vec<Line> {
    let home = usual_namespace(proposal);
    let longest = proposal.objects().map(|it| name(&it.object, home).chars().count()).max().unwrap_or_default();
    let shape = Shape { home, column: 14 + longest + 2, change };
    let mut rows = Vec::new();
    for phase in &proposal.phases {
        rows.push(heading(phase));
        for object in phase.objects.iter().filter(|object| object.intent != Intent::Unchanged) {
            rows.extend(shape.object(object));
        }
        for gate in &phase.gates {
            let line = Line::new().with(Tone::Dim, "  gate").to_column(14).and(gate.name.clone());
            rows.push(match &gate.skipped {
                Some(reason) => line.with(Tone::Warn, format!("   switched off: {}", change(reason))),
                None => line,
            });
        }
    }
    if !proposal.left.is_empty() {
        rows.push(Line::new().with(Tone::Strong, "no longer in the kit"));
        rows.extend(proposal.left.iter().flat_map(|object| shape.object(object)));
    }
    if !proposal.data.is_empty() {
        rows.push(Line::new().with(Tone::Strong, "data"));
        for data in &proposal.data {
            let line = Line::new().and("  ").and(name(&data.object, home));
            rows.push(line.to_column(shape.column).and(change(&data.fate)));
        }
    }
    rows
}

/// How objects are shown.
struct Shape<'a> {
    home: Option<&'a str>,
    column: usize,
    change: &'a dyn Fn(&str) -> String,
}

impl Shape<'_> {
    fn object(&self, object: &ProposedObject) -> Vec<Line> {
        let (sign, tone) = match object.intent {
            Intent::Create | Intent::Apply | Intent::Adopt => ("+", Tone::Good),
            Intent::Change => ("~", Tone::Warn),
            Intent::Replace | Intent::Recreate => ("±", Tone::Warn),
            Intent::Prune => ("-", Tone::Bad),
            Intent::Keep | Intent::Unchanged => ("=", Tone::Dim),
            Intent::Refuse => ("✗", Tone::Bad),
        };
        let line = Line::new().and("  ").with(tone, format!("{sign} {}", object.intent.word())).to_column(14);
        let line = line.and(name(&object.object, self.home));
        let origin = if object.origin.file.is_empty() { String::new() } else { object.origin.to_string() };
        let mut shown = vec![match origin.as_str() {
            "" => line,
            origin => line.to_column(self.column).with(Tone::Dim, origin),
        }];
        if !object.reason.is_empty() {
            let words = wrap(&(self.change)(&object.reason), 84);
            shown.extend(words.into_iter().map(|words| Line::new().to_column(14).and("  ").and(words)));
        }
        for (sign, text) in object.changes.iter().flat_map(lines) {
            let tone = match sign {
                '-' => Tone::Bad,
                '+' => Tone::Good,
                _ => Tone::Plain,
            };
            shown.push(Line::new().to_column(16).with(tone, format!("{sign} {}", (self.change)(&text))));
        }
        shown
    }
}

fn heading(phase: &ProposedPhase) -> Line {
    let mut counts = Vec::new();
    for intent in [
        Intent::Refuse,
        Intent::Apply,
        Intent::Create,
        Intent::Adopt,
        Intent::Change,
        Intent::Replace,
        Intent::Recreate,
        Intent::Unchanged,
    ] {
        let number = phase.objects.iter().filter(|object| object.intent == intent).count();
        if number > 0 {
            counts.push(told(intent, number));
        }
    }
    let objects = count(phase.objects.len(), "object");
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    Line::new().with(Tone::Strong, phase.phase.clone()).and(format!("   {objects}{counts}"))
}

fn told(intent: Intent, number: usize) -> String {
    match intent {
        Intent::Unchanged => format!("{number} unchanged"),
        Intent::Refuse => format!("{number} refused"),
        Intent::Keep => format!("{number} kept"),
        other => format!("{number} to {}", other.word()),
    }
}

/// What the plan comes to, for people. `go` is the command that does it.
pub fn summary(environment: &str, proposal: &Proposal, go: &str, offline: bool) -> Vec<Line> {
    let counts: Vec<String> = proposal.counts().into_iter().map(|(intent, number)| told(intent, number)).collect();
    let mut lines = vec![Line::new()];
    for (reason, number) in &proposal.untried {
        let objects = count(*number, "object");
        lines.push(format!("{objects} not tried by the API server, shown as the kit says: {reason}").into());
    }
    lines.extend(time(&proposal.estimate));
    let refused = proposal.objects().any(|object| object.intent == Intent::Refuse);
    if offline {
        lines.push(
            Line::new()
                .with(Tone::Strong, format!("{environment}: {}", counts.join(", ")))
                .and("; no cluster was looked at, nothing was written"),
        );
    } else if !proposal.has_changes() {
        let text = format!("{environment} is as the kit says: {}", counts.join(", "));
        lines.push(Line::new().with(Tone::Good, "✓ ").with(Tone::Strong, text));
        return lines;
    } else {
        let text = format!("{environment}: {}", counts.join(", "));
        let line = if refused { Line::new().with(Tone::Bad, "✗ ") } else { Line::new() };
        lines.push(line.with(Tone::Strong, text).and("; nothing was written"));
    }
    if refused {
        lines.push("  up stops at what is refused".into());
    } else {
        lines.push(Line::new().and("  to do it:   ").with(Tone::Paste, go));
    }
    lines
}

/// How long it would take, and what binds the time.
fn time(estimate: &Estimate) -> Vec<Line> {
    if estimate.critical_path.is_empty() {
        return Vec::new();
    }
    let basis = if estimate.measured <= 0.0 {
        "all of it assumed: no earlier run was measured".to_owned()
    } else if estimate.measured >= estimate.seconds * 0.99 {
        "as measured in an earlier run".to_owned()
    } else {
        format!("{} of it measured in an earlier run, the rest assumed", human(estimate.measured))
    };
    let mut longest: Vec<_> = estimate.critical_path.iter().collect();
    longest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    longest.truncate(STEPS);
    let named: Vec<_> = estimate.critical_path.iter().filter(|step| longest.contains(step)).collect();
    let steps: Vec<String> = named.iter().map(|step| format!("{} {}", step.step, human(step.seconds))).collect();
    let more = estimate.critical_path.len() - named.len();
    let mut steps = steps.join(" → ");
    if more > 0 {
        steps.push_str(&format!(" (and {more} shorter)"));
    }
    let mut lines = vec![Line::from(format!("about {}, {basis}", human(estimate.seconds)))];
    lines.extend(wrap(&format!("bound by: {steps}"), 100).into_iter().map(|line| Line::new().and("  ").and(line)));
    lines
}

/// The namespace most objects are in: it is not repeated at each of them.
fn usual_namespace(proposal: &Proposal) -> Option<&str> {
    super::status::usual_namespace(proposal.objects().map(|it| &it.object))
}

fn name(object: &ObjectName, home: Option<&str>) -> String {
    super::status::name(object, home)
}

/// The header above the rows: what is compared with what.
pub fn header(environment: &str, cluster: Option<(&str, &str)>, phases: &[ProposedPhase]) -> Vec<Line> {
    let order: Vec<&str> = phases.iter().map(|phase| phase.phase.as_str()).collect();
    let line = Line::new().with(Tone::Strong, environment);
    let line = match cluster {
        Some((context, version)) => line.and(format!(" → {context}   Kubernetes {version}")),
        None => line.and("   without a cluster"),
    };
    vec![line, format!("{} in order: {}", count(order.len(), "phase"), list(&order)).into(), Line::new()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;
    use crate::plan::diff::Change;
    use crate::plan::proposal::{ProposedData, ProposedGate};
    use crate::rebuild::event::CriticalStep;

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| line.plain() + "\n").collect()
    }

    fn object(kind: &str, name: &str, intent: Intent, reason: &str, changes: Vec<Change>) -> ProposedObject {
        let (api_version, namespace) = ("apps/v1".to_owned(), Some("shop".to_owned()));
        ProposedObject {
            object: ObjectName { api_version, kind: kind.into(), namespace, name: name.into() },
            origin: match intent {
                Intent::Prune | Intent::Keep => Origin::default(),
                _ => Origin { file: "templates/services/api.yaml".into(), line: 3 },
            },
            intent,
            reason: reason.into(),
            changes,
            after: Vec::new(),
        }
    }

    fn proposal() -> Proposal {
        let replicas = Change { path: "spec.replicas".into(), before: Some(json!(2)), after: Some(json!(4)) };
        let objects = vec![
            object("Deployment", "api", Intent::Change, "", vec![replicas]),
            object("Service", "api", Intent::Unchanged, "", Vec::new()),
            object("Job", "migrate", Intent::Replace, "its template cannot be changed in place", Vec::new()),
            object("ConfigMap", "theirs", Intent::Refuse, "it is there and not ours, managed by helm", Vec::new()),
        ];
        let gate = |name: &str, skipped: Option<&str>| ProposedGate {
            name: name.into(),
            origin: Origin::default(),
            skipped: skipped.map(str::to_owned),
        };
        let claim = object("PersistentVolumeClaim", "data-db-0", Intent::Keep, "", Vec::new());
        Proposal {
            phases: vec![ProposedPhase {
                phase: "services".into(),
                objects,
                gates: vec![gate("api answers", None), gate("mail is sent", Some("no mail here"))],
            }],
            left: vec![
                object("ConfigMap", "old", Intent::Prune, "", Vec::new()),
                object("PersistentVolumeClaim", "old", Intent::Keep, "it holds data", Vec::new()),
            ],
            data: vec![ProposedData { object: claim.object, fate: "stays, bound to pv/db-0, 10Gi".into() }],
            estimate: Estimate {
                seconds: 95.0,
                measured: 80.0,
                critical_path: vec![
                    CriticalStep { phase: "services".into(), step: "Job/migrate".into(), seconds: 80.0 },
                    CriticalStep { phase: "services".into(), step: "Deployment/api".into(), seconds: 15.0 },
                ],
            },
            untried: [("namespace shop is made by this run".to_owned(), 2)].into(),
        }
    }

    #[test]
    fn every_object_that_would_be_touched_says_how() {
        let same = |text: &str| text.to_owned();
        insta::assert_snapshot!(text(&rows(&proposal(), &same)), @"
        services   4 objects: 1 refused, 1 to change, 1 to replace, 1 unchanged
          ~ change    Deployment/api             templates/services/api.yaml:3
                        - spec.replicas: 2
                        + spec.replicas: 4
          ± replace   Job/migrate                templates/services/api.yaml:3
                        its template cannot be changed in place
          ✗ refuse    ConfigMap/theirs           templates/services/api.yaml:3
                        it is there and not ours, managed by helm
          gate        api answers
          gate        mail is sent   switched off: no mail here
        no longer in the kit
          - prune     ConfigMap/old
          = keep      PersistentVolumeClaim/old
                        it holds data
        data
          PersistentVolumeClaim/data-db-0        stays, bound to pv/db-0, 10Gi
        ");
        insta::assert_snapshot!(text(&summary("shop", &proposal(), "rekindle up shop", false)), @"

        2 objects not tried by the API server, shown as the kit says: namespace shop is made by this run
        about 1 m 35 s, 1 m 20 s of it measured in an earlier run, the rest assumed
          bound by: Job/migrate 1 m 20 s → Deployment/api 15 s
        ✗ shop: 1 to change, 1 to replace, 1 to prune, 1 kept, 1 unchanged, 1 refused; nothing was written
          up stops at what is refused
        ");
        let mut unchanged = proposal();
        unchanged.phases[0].objects.retain(|object| object.intent == Intent::Unchanged);
        unchanged.left.clear();
        unchanged.untried.clear();
        unchanged.estimate.critical_path.clear();
        insta::assert_snapshot!(text(&summary("shop", &unchanged, "rekindle up shop", false)), @"

        ✓ shop is as the kit says: 1 unchanged
        ");
    }
}
