//! The requests of a run, as tasks: each ends with one message to the dispatcher and says on the way why it waits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::event::Action;
use crate::cluster::apply::{ApplyError, apply, delete_and_wait};
use crate::cluster::connect::timed;
use crate::cluster::kinds::{Kinds, ServedKind};
use crate::cluster::observe::{ENVIRONMENT_LABEL, INSTANCE_LABEL};
use crate::cluster::{Cluster, ClusterError};
use crate::health::gate::{self, Answer, Asker, Gate};
use crate::manifest::Object;
use crate::manifest::kinds::holds_data;
use crate::plan::REPLACE_ANNOTATION;
use crate::report::duration::human;

/// A remark of a task that is still running.
#[derive(Debug)]
pub enum Note {
    /// An object cannot be sent yet.
    Object(usize, String),
    /// A gate was answered, and did not pass.
    Gate(usize, String),
}

/// How a task ended.
pub enum Done {
    /// An object was sent.
    Applied(usize, Result<(Action, Value), ApplyError>),
    /// The kinds of a definition are served now.
    Discovered(usize, Kinds),
    /// A gate passed or failed.
    Asked(usize, Result<Answer, Answer>),
}

/// How long the same internal error of the API server is taken for a passing one.
const LASTING: Duration = Duration::from_secs(60);

/// Waits between tries: doubling from 100 ms to 5 s, or what the server asks for.
struct Backoff(Duration);

impl Backoff {
    async fn wait(&mut self, asked: Option<Duration>) {
        tokio::time::sleep(asked.unwrap_or(self.0).min(Duration::from_secs(30))).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(5));
    }
}

/// A Job that has failed never runs again by itself: `status.conditions` has `Failed` with status `True`.
pub fn is_failed_job(object: &Object, live: &Value) -> bool {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    object.group() == "batch"
        && object.kind() == "Job"
        && conditions.is_some_and(|conditions| {
            conditions.iter().any(|condition| {
                let text = |name: &str| condition.get(name).and_then(Value::as_str);
                text("type") == Some("Failed") && text("status") == Some("True")
            })
        })
}

/// Whether an object may be deleted to be made again: a Job, or one that allows it; never one that holds data.
fn may_replace(object: &Object) -> bool {
    let allowed = (object.group() == "batch" && object.kind() == "Job")
        || object.annotation(REPLACE_ANNOTATION) == Some("allowed");
    allowed && !holds_data(object.group(), object.kind())
}

/// Whether a live object carries the labels that every object of the environment has.
fn is_ours(object: &Object, live: &Value) -> bool {
    let label = |body: &Value, name: &str| body.get("metadata")?.get("labels")?.get(name)?.as_str().map(str::to_owned);
    label(live, ENVIRONMENT_LABEL).is_some()
        && [ENVIRONMENT_LABEL, INSTANCE_LABEL].iter().all(|name| label(live, name) == label(object.body(), name))
}

/// What a task needs to send an object.
pub struct Sending {
    /// Where to.
    pub cluster: Cluster,
    /// Its kind there.
    pub kind: ServedKind,
    /// The object.
    pub object: Object,
    /// The live object, if one of ours is there.
    pub known: Option<Value>,
    /// Whether to take over fields that others hold.
    pub force: bool,
    /// How long a deletion before a replacement may take.
    pub limit: Duration,
    /// Becomes true when nothing is to be tried again.
    pub ending: tokio::sync::watch::Receiver<bool>,
}

/// Sends an object, again and again while the cluster says "later".
pub async fn send(sending: Sending, index: usize, notes: UnboundedSender<Note>) -> Done {
    let note = |reason: &str| {
        let _ = notes.send(Note::Object(index, reason.to_owned()));
    };
    Done::Applied(index, send_until_answered(&sending, note).await)
}

async fn send_until_answered(sending: &Sending, note: impl Fn(&str)) -> Result<(Action, Value), ApplyError> {
    let Sending { cluster, kind, object, known, force, limit, ending } = sending;
    let mut ending = ending.clone();
    let mut backoff = Backoff(Duration::from_millis(100));
    let mut replaced = false;
    let mut told = String::new();
    let mut since = tokio::time::Instant::now();
    if let Some(live) = known.as_ref().filter(|live| is_failed_job(object, live)) {
        note("the failed Job is being removed to run it again");
        delete_and_wait(cluster, kind, live, *limit).await.map_err(refusal)?;
        replaced = true;
    }
    loop {
        match apply(cluster, kind, object.body(), *force).await {
            Ok(reply) => {
                let version = |live: &Value| live.pointer("/metadata/resourceVersion").cloned();
                let same = known.as_ref().is_some_and(|known| version(known) == version(&reply.live));
                let action = match (replaced, reply.created, same) {
                    (true, ..) => Action::Replaced,
                    (false, true, _) => Action::Created,
                    (false, false, true) => Action::Unchanged,
                    (false, false, false) => Action::Changed,
                };
                return Ok((action, reply.live));
            }
            Err(ApplyError::Immutable(message)) if may_replace(object) && !replaced => {
                let api = cluster.api(kind, object.namespace());
                let live = timed(&cluster.server, api.get(object.name())).await.map_err(refusal)?;
                let live = serde_json::to_value(live).unwrap_or_default();
                if !is_ours(object, &live) {
                    return Err(ApplyError::Foreign(message));
                }
                note("is being removed to be made again");
                delete_and_wait(cluster, kind, &live, *limit).await.map_err(refusal)?;
                replaced = true;
            }
            Err(ApplyError::Later { reason, wait }) => {
                // An answer of 500 that never changes is a mistake that the server has no better word for; webhooks and
                // namespaces get as long as the object has.
                let lasting = reason == told && since.elapsed() >= LASTING;
                if lasting && reason.starts_with("Internal error occurred") && !reason.contains("webhook") {
                    return Err(ApplyError::Refused(reason));
                }
                if reason != told {
                    since = tokio::time::Instant::now();
                    note(&reason);
                    told = reason;
                }
                // A run that ends does not wait for another try.
                tokio::select! {
                    () = backoff.wait(wait) => {}
                    _ = ending.wait_for(|ending| *ending) => return Err(ApplyError::Later { reason: told, wait: None }),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn refusal(error: ClusterError) -> ApplyError {
    match error {
        ClusterError::Forbidden(message) => ApplyError::Forbidden(message),
        other => ApplyError::Refused(other.to_string()),
    }
}

/// Asks for the served kinds until those of a definition are among them: `Established` alone does not mean that the API
/// server in front of us lists them already.
pub async fn discover(cluster: Cluster, index: usize, definition: Value) -> Done {
    let mut backoff = Backoff(Duration::from_millis(50));
    loop {
        if let Ok(kinds) = Kinds::discover(&cluster.client, &cluster.server).await
            && kinds.serves_definition(&definition)
        {
            return Done::Discovered(index, kinds);
        }
        backoff.wait(None).await;
    }
}

/// Asks a gate until it passes, stays true for `hold`, or its time is up.
pub async fn ask(asker: Arc<Asker>, index: usize, gate: Gate, hold: Duration, notes: UnboundedSender<Note>) -> Done {
    let answer = gate::wait(&asker, &gate, hold, |answer| {
        let text = match (answer.passed, answer.fatal) {
            (false, false) => answer.text.clone(),
            (true, _) if !hold.is_zero() => format!("{}, must hold for {}", answer.text, human(hold.as_secs_f64())),
            // The end of the question tells these.
            _ => return,
        };
        let _ = notes.send(Note::Gate(index, text));
    })
    .await;
    Done::Asked(index, answer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn may(api_version: &str, kind: &str, annotation: &str) -> bool {
        let annotations = json!({REPLACE_ANNOTATION: annotation});
        let body =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "annotations": annotations}});
        may_replace(&Object::new(body, Origin::default()).unwrap())
    }

    #[test]
    fn no_annotation_deletes_what_holds_data() {
        assert!(may("batch/v1", "Job", ""));
        assert!(may("apps/v1", "Deployment", "allowed"));
        assert!(!may("apps/v1", "Deployment", "yes"));
        for (api_version, kind) in [
            ("v1", "PersistentVolumeClaim"),
            ("v1", "PersistentVolume"),
            ("v1", "Namespace"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ] {
            assert!(!may(api_version, kind, "allowed"), "{kind}");
        }
    }
}
