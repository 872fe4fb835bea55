//! The view of `rekindle status`: a verdict on every object of an environment, grouped by phase.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::text::{Line, Tone, count};
use crate::cluster::observe;
use crate::health::status::Status;
use crate::rebuild::event::{ObjectName, VERSION};

/// An object of the kit as it is found in the cluster.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Its phase.
    pub phase: String,
    /// Which.
    pub object: ObjectName,
    /// The verdict; `None` when the cluster does not have it.
    pub status: Option<Status>,
}

impl From<observe::Observed> for Observed {
    fn from(observed: observe::Observed) -> Self {
        let object = ObjectName::of(&observed.object);
        Self { phase: observed.phase, object, status: observed.status }
    }
}

impl Observed {
    /// `ready`, `progressing`, `failed` or `missing`.
    pub fn verdict(&self) -> &'static str {
        match &self.status {
            None => "missing",
            Some(Status::Ready { .. }) => "ready",
            Some(Status::Progressing { .. } | Status::Terminating { .. }) => "progressing",
            Some(Status::Failing { .. } | Status::Failed { .. }) => "failed",
        }
    }

    /// Whether others may rely on it.
    pub fn is_ready(&self) -> bool {
        self.status.as_ref().is_some_and(Status::is_ready)
    }

    fn reason(&self) -> &str {
        self.status.as_ref().map_or("", Status::reason)
    }

    /// The verdict as JSON: `{"version":1,"phase":…,"object":{…},"status":"ready","reason":""}`.
    pub fn to_json(&self) -> Value {
        json!({
            "version": VERSION,
            "phase": self.phase,
            "object": self.object,
            "status": self.verdict(),
            "reason": self.reason(),
        })
    }
}

/// A line for each phase and below it one for each object. `change` redacts and cleans a reason before it is shown.
pub fn rows(observed: &[Observed], change: &dyn Fn(&str) -> String) -> Vec<Line> {
    let home = usual_namespace(observed.iter().map(|one| &one.object));
    let names: Vec<String> = observed.iter().map(|one| name(&one.object, home)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    let mut phase = None;
    for (one, name) in observed.iter().zip(names) {
        if phase != Some(&one.phase) {
            phase = Some(&one.phase);
            let all = observed.iter().filter(|other| other.phase == one.phase);
            let (total, ready) =
                all.fold((0, 0), |(total, ready), one| (total + 1, ready + usize::from(one.is_ready())));
            let summary = format!("   {ready} of {} ready", count(total, "object"));
            lines.push(Line::new().with(Tone::Strong, &one.phase).and(summary));
        }
        let tone = match one.verdict() {
            "ready" => Tone::Good,
            "progressing" => Tone::Warn,
            _ => Tone::Bad,
        };
        let line = Line::new().and("  ").with(tone, one.verdict()).to_column(15).and(name);
        lines.push(match one.reason() {
            "" => line,
            reason => line.to_column(15 + longest + 2).and(change(reason)),
        });
    }
    lines
}

/// The summary below the rows. `again` is the command that would mend it.
pub fn summary(environment: &str, observed: &[Observed], again: &str) -> Vec<Line> {
    let ready = observed.iter().filter(|one| one.is_ready()).count();
    if ready == observed.len() {
        let text = format!("{environment}: {} ready (gates are not asked here)", count(ready, "object"));
        return vec![Line::new().with(Tone::Good, "✓ ").with(Tone::Strong, text)];
    }
    let missing = observed.iter().filter(|one| one.status.is_none()).count();
    let text = if missing == observed.len() {
        format!("{environment} is not there: none of its {} is in the cluster", count(missing, "object"))
    } else {
        let mut text = format!("{environment} is not healthy: {ready} of {} ready", count(observed.len(), "object"));
        for verdict in ["progressing", "failed", "missing"] {
            let number = observed.iter().filter(|one| one.verdict() == verdict).count();
            if number > 0 {
                text.push_str(&format!(", {number} {verdict}"));
            }
        }
        text
    };
    vec![
        Line::new().with(Tone::Bad, "✗ ").with(Tone::Strong, text),
        Line::new().and("  to bring it up:   ").with(Tone::Paste, again),
    ]
}

/// The namespace most objects are in: it is not repeated at each of them.
pub(super) fn usual_namespace<'o>(objects: impl Iterator<Item = &'o ObjectName>) -> Option<&'o str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for namespace in objects.filter_map(|object| object.namespace.as_deref()) {
        *counts.entry(namespace).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, number)| *number).map(|(namespace, _)| namespace)
}

/// `Kind/name`, with its namespace where that is not the usual one.
pub(super) fn name(object: &ObjectName, home: Option<&str>) -> String {
    match object.namespace.as_deref() {
        Some(namespace) if Some(namespace) != home => format!("{}/{} in {namespace}", object.kind, object.name),
        _ => format!("{}/{}", object.kind, object.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::status::Cause;

    fn one(phase: &str, namespace: &str, name: &str, status: Option<Status>) -> Observed {
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        let (api_version, kind) = ("apps/v1".to_owned(), "Deployment".to_owned());
        let object = ObjectName { api_version, kind, namespace, name: name.into() };
        Observed { phase: phase.into(), object, status }
    }

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| line.plain() + "\n").collect()
    }

    fn mixed() -> Vec<Observed> {
        let reason = String::from;
        vec![
            one("storage", "acoustid", "a", Some(Status::Ready { reason: reason("waits for its first consumer") })),
            one(
                "database",
                "acoustid",
                "a-longer-name",
                Some(Status::Progressing { reason: reason("1 of 4 pods ready") }),
            ),
            one("database", "kube-system", "b", Some(Status::Ready { reason: reason("") })),
            one("database", "acoustid", "c", None),
            one(
                "database",
                "",
                "d",
                Some(Status::Failing { reason: reason("its \u{1b}[1mimage"), cause: Cause::Pull }),
            ),
        ]
    }

    #[test]
    fn every_object_has_its_verdict_and_reason() {
        insta::assert_snapshot!(text(&rows(&mixed(), &crate::report::sanitize::clean)), @"
        storage   1 of 1 object ready
          ready        Deployment/a                 waits for its first consumer
        database   1 of 4 objects ready
          progressing  Deployment/a-longer-name     1 of 4 pods ready
          ready        Deployment/b in kube-system
          missing      Deployment/c
          failed       Deployment/d                 its image
        ");
        insta::assert_snapshot!(text(&summary("production", &mixed(), "rekindle up production")), @"
        ✗ production is not healthy: 2 of 5 objects ready, 1 progressing, 1 failed, 1 missing
          to bring it up:   rekindle up production
        ");
        let json: Vec<String> = mixed().iter().map(|one| one.to_json().to_string()).collect();
        insta::assert_snapshot!(json[1], @r#"{"version":1,"phase":"database","object":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"acoustid","name":"a-longer-name"},"status":"progressing","reason":"1 of 4 pods ready"}"#);
        assert!(json[3].contains(r#""status":"missing","reason":"""#));
    }

    #[test]
    fn the_summary_tells_healthy_from_absent() {
        let all = |status: Option<Status>| vec![one("a", "x", "a", status.clone()), one("a", "x", "b", status)];
        let ready = all(Some(Status::Ready { reason: String::new() }));
        insta::assert_snapshot!(text(&summary("staging", &ready, "rekindle up staging")), @"✓ staging: 2 objects ready (gates are not asked here)");
        insta::assert_snapshot!(text(&summary("staging", &all(None), "rekindle up staging")), @"
        ✗ staging is not there: none of its 2 objects is in the cluster
          to bring it up:   rekindle up staging
        ");
    }
}
