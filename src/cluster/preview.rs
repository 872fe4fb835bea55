//! Tries what a plan would send, as a dry run: nothing is stored, and the API server answers what it would store.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use serde_json::Value;

use super::Cluster;
use super::apply::{ApplyError, try_apply};
use super::connect::timed;
use crate::manifest::managed_fields::CLIENT_SIDE;
use crate::plan::ignored::beside;
use crate::plan::{Item, Plan};

/// Requests under way at once.
const CONCURRENCY: usize = 16;

/// What the API server would make of an object.
#[derive(Clone, Debug)]
pub enum Preview {
    /// It was not asked, for this reason: the object is taken as the kit says.
    NotTried(String),
    /// As it is, where it exists, and as it would be.
    Tried {
        /// The whole live object.
        before: Option<Value>,
        /// What would be stored.
        after: Value,
    },
    /// It would not take it.
    Refused {
        /// The whole live object.
        before: Option<Value>,
        /// Why not.
        error: ApplyError,
    },
}

/// Tries the items that are wanted, phase by phase and item by item as in the plan; the others get [`Preview::NotTried`] with
/// an empty reason. An answer that cannot be had is a reason too.
pub async fn preview(
    cluster: &Cluster,
    plan: &Plan,
    wanted: impl Fn(&Item) -> bool,
    force: impl Fn(&Item) -> bool,
) -> Vec<Vec<Preview>> {
    let items = || plan.phases.iter().flat_map(|phase| &phase.items);
    let namespaces: BTreeSet<&str> = items().filter_map(|item| item.object.namespace()).collect();
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let there = stream::iter(namespaces).map(|name| {
        let api = api.clone();
        async move {
            let found = timed(&cluster.server, api.get_opt(name)).await.ok().flatten();
            found.filter(|found| found.metadata.deletion_timestamp.is_none()).map(|_| name.to_owned())
        }
    });
    let there: BTreeSet<String> = there.buffer_unordered(CONCURRENCY).filter_map(|name| async { name }).collect().await;
    let tries = items().map(|item| {
        let (wanted, force, there) = (wanted(item), force(item), &there);
        async move {
            match item.object.namespace() {
                _ if !wanted => Preview::NotTried(String::new()),
                Some(namespace) if !there.contains(namespace) => {
                    Preview::NotTried(format!("namespace {namespace} is made by this run"))
                }
                _ => try_one(cluster, plan, item, force).await,
            }
        }
    });
    let mut tried = stream::iter(tries).buffered(CONCURRENCY).collect::<Vec<_>>().await.into_iter();
    plan.phases.iter().map(|phase| tried.by_ref().take(phase.items.len()).collect()).collect()
}

async fn try_one(cluster: &Cluster, plan: &Plan, item: &Item, force: bool) -> Preview {
    let Some(kind) = cluster.kinds.of(&item.object) else {
        let made = plan.definition_of(&item.object).is_some();
        let why = if made {
            "their kind is made by this run"
        } else {
            "the cluster has no such kind, and the kit does not define it"
        };
        return Preview::NotTried(why.into());
    };
    let api = cluster.api(kind, item.object.namespace());
    let before = match timed(&cluster.server, api.get_opt(item.object.name())).await {
        Ok(found) => found.and_then(|found| serde_json::to_value(found).ok()),
        Err(error) => return Preview::NotTried(error.to_string()),
    };
    let body = before.as_ref().map_or_else(|| item.object.body().clone(), |live| beside(&item.object, live));
    let mut tried = try_apply(cluster, kind, &body, force).await;
    // What `kubectl apply` has left is made ours before the object is sent, so it is no conflict then.
    if matches!(&tried, Err(ApplyError::Conflict(all)) if all.iter().all(|one| one.manager == CLIENT_SIDE)) {
        tried = try_apply(cluster, kind, &body, true).await;
    }
    match tried {
        Ok(reply) => Preview::Tried { before, after: reply.live },
        Err(ApplyError::Later { reason, .. }) => Preview::NotTried(reason),
        Err(error) => Preview::Refused { before, error },
    }
}
