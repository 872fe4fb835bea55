//! Reading: one object, lists in pages, watches and their events.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Answered, Ask, key_of};
use crate::manifest::schema::Kind;
use crate::rehearsal::request::{Selector, Target};
use crate::rehearsal::status::{self, refusal};
use crate::rehearsal::world::World;
use crate::rehearsal::{pods, tables};

/// A watch that has begun.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The kind.
    pub kind: Arc<Kind>,
    /// Where; everywhere without.
    pub namespace: Option<String>,
    /// Which.
    pub selector: Selector,
    /// The last revision that is known.
    pub after: u64,
    /// When it ends by itself.
    pub limit: Duration,
    /// Whether only metadata is wanted.
    pub metadata_only: bool,
    /// Whether objects are wanted as rows of tables.
    pub table: bool,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
}

fn metadata_only(ask: &Ask<'_>) -> bool {
    ask.accept.contains("as=PartialObjectMetadata")
}

/// An object as this request wants to see it.
fn shown(object: &Value, metadata_only: bool) -> Value {
    if metadata_only {
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
    } else {
        object.clone()
    }
}

pub(super) fn get(world: &World, ask: &Ask<'_>, target: &Target, kind: &Kind, name: &str) -> Answered {
    let key = key_of(kind, target, name);
    let object = world.store.get(&key).ok_or_else(|| status::not_found(kind, name))?;
    match target.part.as_deref() {
        Some("log") if kind.resource == "pods" => Ok(Answer::Text(200, pods::last_words(world, object))),
        Some(part) if !kind.parts.iter().any(|known| known == part) => Err(status::no_such_path()),
        None if tables::wanted(ask.accept) => Ok(Answer::Json(200, row(world, kind, object))),
        _ => Ok(Answer::Json(200, shown(object, metadata_only(ask)))),
    }
}

/// One object as a table.
fn row(world: &World, kind: &Kind, object: &Value) -> Value {
    let revision = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    tables::table(kind, std::iter::once(object), &world.now(), json!({"resourceVersion": revision}))
}

pub(super) fn list(world: &World, ask: &Ask<'_>, target: &Target, kind: &Kind) -> Answered {
    let selector = Selector::of(&ask.query);
    let place = (kind.group.clone(), kind.resource.clone());
    let limit = ask.query.get("limit").and_then(|limit| limit.parse::<usize>().ok()).filter(|limit| *limit > 0);
    // The token of the next page: the revision that the first one showed and the last name of this one. Pages show what is
    // there now; a name that went by is not shown again.
    let (revision, after) = match ask.query.get("continue") {
        None => (world.store.revision(), None),
        Some(token) => {
            let parts: Vec<&str> = token.splitn(3, '/').collect();
            let [revision, namespace, name] = parts.as_slice() else {
                return Err(refusal(400, "BadRequest", "continue key is not valid: incorrect encoding", json!({})));
            };
            (revision.parse().unwrap_or_default(), Some(((*namespace).to_owned(), (*name).to_owned())))
        }
    };
    if after.is_some() && world.store.changes(&place, revision).is_err() {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new \
                       list without the continue parameter, or use the continue token in this response to retrieve the \
                       remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
                       that were created, modified, or deleted between the time the first chunk was returned and now may show \
                       up in the list.";
        return Err(refusal(410, "Expired", message, json!({})));
    }
    let metadata_only = metadata_only(ask);
    let fits = |(name, object): &(&(String, String), &Arc<Value>)| {
        after.as_ref().is_none_or(|after| *name > after) && selector.fits(object)
    };
    let mut found = world.store.list(&place, target.namespace.as_deref()).filter(fits);
    let page: Vec<_> = found.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    let rest = found.count();
    if let (true, Some(((namespace, name), _))) = (rest > 0, page.last()) {
        metadata["continue"] = format!("{revision}/{namespace}/{name}").into();
        if ask.query.get("labelSelector").is_none() && ask.query.get("fieldSelector").is_none() {
            metadata["remainingItemCount"] = rest.into();
        }
    }
    if tables::wanted(ask.accept) {
        let objects = page.iter().map(|(_, object)| object.as_ref());
        return Ok(Answer::Json(200, tables::table(kind, objects, &world.now(), metadata)));
    }
    let items: Vec<Value> = page
        .into_iter()
        .map(|(_, object)| {
            let mut item = shown(object, metadata_only);
            // Items of a list of a built-in kind carry no kind of their own.
            if let (false, false, Some(item)) = (metadata_only, kind.custom, item.as_object_mut()) {
                item.shift_remove("kind");
                item.shift_remove("apiVersion");
            }
            item
        })
        .collect();
    let (api_version, list) = match metadata_only {
        true => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned()),
        false => (kind.api_version(), format!("{}List", kind.kind)),
    };
    Ok(Answer::Json(200, json!({"kind": list, "apiVersion": api_version, "metadata": metadata, "items": items})))
}

pub(super) fn watch(world: &World, ask: &Ask<'_>, target: &Target, kind: Arc<Kind>) -> Answered {
    let after = match ask.query.get("resourceVersion") {
        None | Some("0") => world.store.revision(),
        Some(text) => text.parse().map_err(|_| {
            refusal(400, "BadRequest", format!("invalid resource version {text:?}: strconv.ParseUint"), json!({}))
        })?,
    };
    let limit = ask.query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(1800);
    Ok(Answer::Watch(Watch {
        kind,
        namespace: target.namespace.clone(),
        selector: Selector::of(&ask.query),
        after,
        limit: Duration::from_secs(limit),
        metadata_only: metadata_only(ask),
        table: tables::wanted(ask.accept),
        bookmarks: ask.query.is_true("allowWatchBookmarks"),
    }))
}

/// The events of a watch that have come since; the last revision is moved on.
///
/// # Errors
/// The event that tells that they are forgotten, which ends the watch.
pub fn events(world: &World, watch: &mut Watch) -> Result<Vec<Value>, Value> {
    let place = (watch.kind.group.clone(), watch.kind.resource.clone());
    let mut told = Vec::new();
    let changes = world.store.changes(&place, watch.after).map_err(|_| {
        let message = format!("too old resource version: {} ({})", watch.after, world.store.revision());
        json!({"type": "ERROR", "object": refusal(410, "Expired", message, json!({})).body})
    })?;
    for change in changes {
        if watch.namespace.as_ref().is_some_and(|namespace| *namespace != change.name.0) {
            continue;
        }
        let fits = |object: &Option<Arc<Value>>| object.as_ref().is_some_and(|object| watch.selector.fits(object));
        let kind = match (fits(&change.before), fits(&change.after)) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => continue,
        };
        let object = match watch.table {
            true => row(world, &watch.kind, &change.last),
            false => shown(&change.last, watch.metadata_only),
        };
        told.push(json!({"type": kind, "object": object}));
    }
    watch.after = world.store.revision();
    Ok(told)
}

/// The event that only moves the revision on.
pub fn bookmark(watch: &Watch) -> Value {
    let (api_version, kind) = match watch.metadata_only {
        true => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned()),
        false => (watch.kind.api_version(), watch.kind.kind.clone()),
    };
    let metadata = json!({"resourceVersion": watch.after.to_string(), "creationTimestamp": null});
    json!({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": api_version, "metadata": metadata}})
}
