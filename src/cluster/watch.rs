//! Watching: one watcher per kind and namespace, all feeding one channel.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Resource;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::kinds::ServedKind;
use super::observe::live_key;
use super::{Cluster, ClusterError, FIELD_MANAGER};
use crate::manifest::ObjectKey;
use crate::manifest::managed_fields::CLIENT_SIDE;

/// Pauses between tries to watch again. A person waits for the end of each, and few watchers share a server.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Doubles from try to try; begins anew when the last one is long ago. What the stream calls a success is none: it also says
/// that a list is about to be asked for.
struct Pauses {
    next: Duration,
    last: Option<Instant>,
}

impl Pauses {
    fn new() -> Self {
        Self { next: SHORTEST_PAUSE, last: None }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_some_and(|last| last.elapsed() > 4 * LONGEST_PAUSE) {
            self.next = SHORTEST_PAUSE;
        }
        self.last = Some(Instant::now());
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

/// What a watcher saw.
#[derive(Clone, Debug)]
pub enum Seen {
    /// An object as it is now.
    There(ObjectKey, Box<Value>),
    /// An object is gone; as it was last, with the version of its deletion.
    Gone(ObjectKey, Box<Value>),
    /// A complete list is about to be asked for: what is not named between this and [`Seen::Listed`] was not there then.
    Relisting(Place, Instant),
    /// A complete list has ended.
    Listed(Place),
    /// The watch is interrupted; it goes on by itself with a backoff. What changes meanwhile is told late.
    Trouble(Place, ClusterError),
}

/// What one watcher watches: a kind, in a namespace or everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; `None` is everywhere.
    pub namespace: Option<String>,
}

impl Place {
    /// Whether an object belongs there.
    pub fn holds(&self, key: &ObjectKey) -> bool {
        key.group == self.group
            && key.kind == self.kind
            && (self.namespace.is_none() || self.namespace == key.namespace)
    }

    /// Where the objects of a kind are watched.
    pub fn of(kind: &ServedKind, namespace: Option<&str>) -> Self {
        Self {
            group: kind.resource.group.clone(),
            kind: kind.resource.kind.clone(),
            namespace: namespace.filter(|_| kind.namespaced).map(str::to_owned),
        }
    }
}

/// Watches the objects of a kind until the handle is aborted, whole or only their metadata. Reconnects by
/// itself: dropped streams go on where they were, `410 Gone` leads to a new list, with a backoff up to 5 s. Begins when the
/// former watcher of the place has ended, so that two never tell of it at once.
pub fn spawn(
    cluster: &Cluster,
    kind: &ServedKind,
    namespace: Option<&str>,
    labels: Option<&str>,
    metadata_only: bool,
    former: Option<JoinHandle<()>>,
    seen: mpsc::UnboundedSender<Seen>,
) -> JoinHandle<()> {
    let config = watcher::Config { label_selector: labels.map(str::to_owned), ..watcher::Config::default() };
    let (whole, metadata) = (cluster.api(kind, namespace), cluster.api_as(kind, namespace));
    let metadata: Api<PartialObjectMeta<DynamicObject>> = metadata;
    let (kind, server, place) = (kind.clone(), cluster.server.clone(), Place::of(kind, namespace));
    tokio::spawn(async move {
        if let Some(former) = former {
            former.abort();
            // Its end is an abortion, as asked.
            let _ = former.await;
        }
        if metadata_only {
            tell(watcher(metadata, config), kind, server, place, seen).await;
        } else {
            tell(watcher(whole, config), kind, server, place, seen).await;
        }
    })
}

async fn tell<K: Resource + Serialize + Send>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    kind: ServedKind,
    server: String,
    place: Place,
    seen: mpsc::UnboundedSender<Seen>,
) {
    let mut events = std::pin::pin!(events.backoff(Pauses::new()));
    while let Some(event) = events.next().await {
        let message = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let live = to_value(&kind, object);
                Seen::There(live_key(&kind, &live), Box::new(live))
            }
            Ok(watcher::Event::Delete(object)) => {
                let last = to_value(&kind, object);
                Seen::Gone(live_key(&kind, &last), Box::new(last))
            }
            // Comes before the LIST is sent.
            Ok(watcher::Event::Init) => Seen::Relisting(place.clone(), Instant::now()),
            Ok(watcher::Event::InitDone) => Seen::Listed(place.clone()),
            Err(error) => Seen::Trouble(place.clone(), cause(&server, error)),
        };
        if seen.send(message).is_err() {
            return;
        }
    }
}

/// Why a watch is interrupted.
pub fn cause(server: &str, error: watcher::Error) -> ClusterError {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => ClusterError::from_kube(server, &error),
        watcher::Error::WatchError(status) => ClusterError::from_kube(server, &kube::Error::Api(status)),
        watcher::Error::NoResourceVersion => ClusterError::Unreachable {
            server: server.to_owned(),
            reason: "what it lists has no version, so it cannot be watched".into(),
        },
    }
}

fn to_value<K: Resource + Serialize>(kind: &ServedKind, mut object: K) -> Value {
    // What others hold is never asked for here. Our own entry says whether an object is as we have left it, and of pods and
    // the like there is none.
    let manager = |entry: &ManagedFieldsEntry| entry.manager.clone().unwrap_or_default();
    if let Some(fields) = &mut object.meta_mut().managed_fields {
        fields.retain(|entry| [FIELD_MANAGER, CLIENT_SIDE].contains(&manager(entry).as_str()));
    }
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".into(), kind.resource.api_version.clone().into());
        map.insert("kind".into(), kind.resource.kind.clone().into());
    }
    value
}
