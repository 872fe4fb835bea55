//! The requests of a run, as tasks: each ends with one message to the dispatcher and says on the way why it waits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use super::event::Action;
use crate::cluster::apply::{ApplyError, Reply, apply, delete_and_wait, take_client_side, would_be_valid};
use crate::cluster::connect::timed;
use crate::cluster::kinds::{Kinds, ServedKind};
use crate::cluster::observe::{ENVIRONMENT_LABEL, INSTANCE_LABEL};
use crate::cluster::{Cluster, ClusterError};
use crate::health::gate::{self, Answer, Asker, Gate};
use crate::manifest::Object;
use crate::manifest::managed_fields::has_client_side;
use crate::plan::decide::is_failed_job;
use crate::plan::ignored::{beside, ignored, in_place_of};
use crate::plan::immutable::strategy;
use crate::plan::proposal::Intent;
use crate::report::duration::human;

/// A remark of a task that is still running.
#[derive(Debug)]
pub enum Note {
    /// An object cannot be sent yet.
    Object(usize, String),
    /// A gate was answered, and did not pass.
    Gate(usize, String),
    /// What an object restores has come further.
    Restoring(usize, String),
}

/// How a task ended.
pub enum Done {
    /// An object was sent.
    Applied(usize, Result<(Action, Value), ApplyError>),
    /// The kinds of a definition are served now.
    Discovered(usize, Kinds),
    /// The served kinds as they are now, or none when the cluster did not answer.
    Kinds(Option<Kinds>),
    /// A gate passed or failed.
    Asked(usize, Result<Answer, Answer>),
    /// Another cluster answers.
    Moved(ClusterError),
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

/// Whether a live object carries the labels that every object of the environment has.
fn is_labelled(object: &Object, live: &Value) -> bool {
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
    /// The live object as it was last seen, if one is there.
    pub known: Option<Value>,
    /// Whether it must be there: a claim whose data was decided to be kept is never made anew, since it would begin empty.
    pub kept: bool,
    /// Whether that is somebody else's until now.
    pub adopting: bool,
    /// UID of the object that the inventory names.
    pub recorded: Option<String>,
    /// Whether to take over fields that others hold.
    pub force: bool,
    /// How long a deletion before a replacement may take.
    pub limit: Duration,
    /// Becomes true when nothing is to be tried again.
    pub ending: tokio::sync::watch::Receiver<bool>,
}

/// Why a claim is not made in its own place.
pub const GONE: &str = "the claim is gone since its data was looked at, and a new one would begin empty; run it again to find what survives";

/// Sends an object, again and again while the cluster says "later".
pub async fn send(sending: Sending, index: usize, notes: UnboundedSender<Note>) -> Done {
    let note = |reason: &str| {
        let _ = notes.send(Note::Object(index, reason.to_owned()));
    };
    Done::Applied(index, send_until_answered(&sending, note).await)
}

/// An object that was deleted to be made again.
struct Former {
    action: Action,
    live: Value,
}

async fn send_until_answered(sending: &Sending, note: impl Fn(&str)) -> Result<(Action, Value), ApplyError> {
    let Sending { cluster, object, known, .. } = sending;
    let mut ending = sending.ending.clone();
    let mut backoff = Backoff(Duration::from_millis(100));
    let mut former = None;
    let mut told = String::new();
    let mut since = tokio::time::Instant::now();
    let failed = known.as_ref().filter(|live| !sending.adopting && is_failed_job(object, live));
    if failed.is_some() {
        note("the failed Job is being removed to run it again");
    }
    loop {
        let mut answer = match failed.filter(|_| former.is_none()) {
            Some(live) => match sending.remove_failed(live).await {
                Ok(made) => {
                    former = Some(made);
                    continue;
                }
                Err(error) => Err(error),
            },
            None => sending.attempt(former.as_ref()).await,
        };
        if let (Err(ApplyError::Immutable(message)), None) = (&answer, &former) {
            match sending.make_room(message, &note).await {
                Ok(made) => {
                    former = Some(made);
                    continue;
                }
                Err(error) => answer = Err(error),
            }
        }
        match answer {
            Ok(reply) => return Ok((sending.action(former.as_ref(), &reply), reply.live)),
            Err(ApplyError::Conflict(conflicts)) => {
                let live = sending.live().await.ok().flatten();
                let told = conflicts.into_iter().map(|conflict| conflict.with_values(object, live.as_ref()));
                return Err(ApplyError::Conflict(told.collect()));
            }
            Err(ApplyError::Later { reason, wait }) => {
                cluster.doubt();
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

impl Sending {
    /// The object as it is there now.
    async fn live(&self) -> Result<Option<Value>, ApplyError> {
        let api = self.cluster.api(&self.kind, self.object.namespace());
        let live = timed(&self.cluster.server, api.get_opt(self.object.name())).await.map_err(refusal)?;
        Ok(live.map(|live| serde_json::to_value(live).unwrap_or_default()))
    }

    /// Sends it once. Only what gives fields up or bears marks of `kubectl apply` has to be looked at first.
    async fn attempt(&self, former: Option<&Former>) -> Result<Reply, ApplyError> {
        let Self { cluster, kind, object, .. } = self;
        cluster.verify_before_write().await.map_err(refusal)?;
        if let Some(former) = former {
            return apply(cluster, kind, &in_place_of(object, &former.live), self.force).await;
        }
        if self.kept {
            return self.keep().await;
        }
        let gives_up = !ignored(object).is_empty();
        let marked = self.adopting || self.known.as_ref().is_some_and(has_client_side);
        if !gives_up && !marked {
            return apply(cluster, kind, object.body(), self.force).await;
        }
        match self.live().await? {
            None => apply(cluster, kind, object.body(), self.force).await,
            Some(live) => {
                let live = take_client_side(cluster, kind, live).await.map_err(refusal)?;
                apply(cluster, kind, &beside(object, &live), self.force).await
            }
        }
    }

    /// Sends what must be there: with its UID, which the server never takes for something new.
    async fn keep(&self) -> Result<Reply, ApplyError> {
        let uid = |live: &Value| live.pointer("/metadata/uid").cloned();
        let gone = || ApplyError::Refused(GONE.into());
        let known = self.known.as_ref().and_then(uid).ok_or_else(gone)?;
        let Some(live) = self.live().await?.filter(|live| uid(live).as_ref() == Some(&known)) else {
            return Err(gone());
        };
        let live = if has_client_side(&live) {
            take_client_side(&self.cluster, &self.kind, live).await.map_err(refusal)?
        } else {
            live
        };
        let mut body = beside(&self.object, &live);
        body["metadata"]["uid"] = known;
        apply(&self.cluster, &self.kind, &body, self.force).await
    }

    /// Deletes a Job that has failed, so that it can be made again.
    async fn remove_failed(&self, live: &Value) -> Result<Former, ApplyError> {
        self.cluster.verify_before_write().await.map_err(refusal)?;
        delete_and_wait(&self.cluster, &self.kind, live, false, self.limit).await.map_err(refusal)?;
        Ok(Former { action: Action::Replaced, live: live.clone() })
    }

    /// Deletes what stands there and cannot be changed, if it is ours and its kind has a way to be made again.
    async fn make_room(&self, message: &str, note: impl Fn(&str)) -> Result<Former, ApplyError> {
        let Some(live) = self.live().await? else {
            return Err(ApplyError::Later { reason: "it has just been deleted".into(), wait: None });
        };
        let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
        let ours = is_labelled(&self.object, &live) || (uid.is_some() && uid == self.recorded.as_deref());
        let replacement = strategy(&self.object, &live, message)
            .map_err(|how| ApplyError::Immutable(format!("{}; {how}", message.trim_end_matches('.'))))?;
        if !ours {
            return Err(ApplyError::Foreign(message.to_owned()));
        }
        let body = in_place_of(&self.object, &live);
        would_be_valid(&self.cluster, &self.kind, &body, self.object.name()).await?;
        self.cluster.verify_before_write().await.map_err(refusal)?;
        note(&format!("cannot be changed in place: {}", replacement.reason));
        delete_and_wait(&self.cluster, &self.kind, &live, replacement.orphan, self.limit).await.map_err(refusal)?;
        let action = if replacement.intent == Intent::Recreate { Action::Recreated } else { Action::Replaced };
        Ok(Former { action, live })
    }

    /// What the server's answer means.
    fn action(&self, former: Option<&Former>, reply: &Reply) -> Action {
        let version = |live: &Value| live.pointer("/metadata/resourceVersion").cloned();
        let same = self.known.as_ref().is_some_and(|known| version(known) == version(&reply.live));
        match (former, reply.created) {
            (Some(former), _) => former.action,
            (None, true) => Action::Created,
            (None, false) if self.adopting => Action::Adopted,
            (None, false) if same => Action::Unchanged,
            (None, false) => Action::Changed,
        }
    }
}

fn refusal(error: ClusterError) -> ApplyError {
    match error {
        ClusterError::Forbidden(message) => ApplyError::Forbidden(message),
        ClusterError::WrongCluster { .. } => ApplyError::WrongCluster(error.to_string()),
        other if other.is_transient() => ApplyError::Later { reason: other.to_string(), wait: None },
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

/// Asks for the served kinds, after a pause.
pub async fn served(cluster: Cluster, pause: Duration) -> Done {
    tokio::time::sleep(pause).await;
    Done::Kinds(Kinds::discover(&cluster.client, &cluster.server).await.ok())
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
