//! The simulated API server: one request in, one answer out. Nothing here waits.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::deletion::{Propagation, delete, finalizers, is_dying, settle, uid};
use super::managers::{self, Manager};
use super::patch::{self, Misfit};
use super::request::{Query, Selector, Target, target};
use super::schema::Kind;
use super::status::{self, Refusal, invalid, refusal};
use super::store::Key;
use super::world::World;
use super::{defaults, discovery, tables, typed, validate};

/// What is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path.
    pub path: &'a str,
    /// The query.
    pub query: Query,
    /// The header `Accept`.
    pub accept: &'a str,
    /// The header `Content-Type`.
    pub content_type: &'a str,
    /// The header `User-Agent`.
    pub agent: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// A body of JSON.
    Json(u16, Value),
    /// The same, as an aggregated discovery document.
    Discovery(Value),
    /// Plain text.
    Text(u16, String),
    /// Events from a revision on.
    Watch(Watch),
}

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

type Answered = Result<Answer, Refusal>;

/// Answers a request.
pub fn answer(world: &mut World, ask: &Ask<'_>) -> Answer {
    route(world, ask).unwrap_or_else(|refusal| Answer::Json(refusal.code, refusal.body))
}

fn route(world: &mut World, ask: &Ask<'_>) -> Answered {
    let words: Vec<&str> = ask.path.trim_matches('/').split('/').collect();
    let aggregated = ask.accept.contains("as=APIGroupDiscoveryList");
    match words.as_slice() {
        ["version"] => {
            let version = super::schema::record().kubernetes.as_str();
            let mut parts = version.trim_start_matches('v').split('.');
            return Ok(Answer::Json(
                200,
                json!({
                    "major": parts.next(), "minor": parts.next(), "gitVersion": version, "gitCommit": "", "gitTreeState": "",
                    "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "simulated",
                }),
            ));
        }
        ["healthz" | "livez" | "readyz"] => return Ok(Answer::Text(200, "ok".into())),
        ["api"] if aggregated => return Ok(Answer::Discovery(discovery::aggregated(&world.kinds, true))),
        ["apis"] if aggregated => return Ok(Answer::Discovery(discovery::aggregated(&world.kinds, false))),
        ["api"] => return Ok(Answer::Json(200, json!({"kind": "APIVersions", "versions": ["v1"]}))),
        ["apis"] => return Ok(Answer::Json(200, discovery::groups(&world.kinds))),
        ["openapi", "v3", rest @ ..] => {
            return discovery::openapi(&world.kinds, &rest.join("/"))
                .map(|document| Answer::Json(200, document))
                .ok_or_else(status::no_such_path);
        }
        ["api", version] => return listed(discovery::resources(&world.kinds, "", version)),
        ["apis", group, version] => return listed(discovery::resources(&world.kinds, group, version)),
        _ => {}
    }
    let target = target(ask.path).ok_or_else(status::no_such_path)?;
    let Some(kind) = world.kind(&target.group, &target.version, &target.resource) else {
        // Of a group that nobody serves, there is not even a server to say so.
        let served = world.kinds.iter().any(|kind| kind.group == target.group && kind.version == target.version);
        return if served { Err(status::no_such_path()) } else { Ok(Answer::Text(404, "404 page not found\n".into())) };
    };
    if ask.content_type.contains("protobuf") && *ask.method != Method::DELETE {
        let message = format!("the simulated API server reads JSON, no {}", ask.content_type);
        return Err(refusal(415, "UnsupportedMediaType", message, json!({})));
    }
    if kind.namespaced && target.namespace.is_none() && target.name.is_some() {
        return Err(status::no_such_path());
    }
    match (ask.method, &target.name) {
        (&Method::GET, None) if ask.query.is_true("watch") => watch(world, ask, &target, kind),
        (&Method::GET, None) => list(world, ask, &target, &kind),
        (&Method::GET, Some(name)) => get(world, ask, &target, &kind, name),
        (&Method::POST, None) => create(world, ask, &target, &kind),
        (&Method::PUT, Some(name)) => replace(world, ask, &target, &kind, name),
        (&Method::PATCH, Some(name)) => patch(world, ask, &target, &kind, name),
        (&Method::DELETE, Some(name)) => remove(world, ask, &target, &kind, name),
        (&Method::DELETE, None) => remove_all(world, ask, &target, &kind),
        _ => Err(refusal(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
            json!({}),
        )),
    }
}

fn listed(found: Option<Value>) -> Answered {
    found.map(|found| Answer::Json(200, found)).ok_or_else(status::no_such_path)
}

fn key_of(kind: &Kind, target: &Target, name: &str) -> Key {
    let namespace = target.namespace.as_deref().filter(|_| kind.namespaced).unwrap_or_default();
    Key::new(&kind.group, &kind.resource, namespace, name)
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

fn get(world: &World, ask: &Ask<'_>, target: &Target, kind: &Kind, name: &str) -> Answered {
    let key = key_of(kind, target, name);
    let object = world.store.get(&key).ok_or_else(|| status::not_found(kind, name))?;
    match target.part.as_deref() {
        Some("log") if kind.resource == "pods" => Ok(Answer::Text(200, super::pods::last_words(world, object))),
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

fn list(world: &World, ask: &Ask<'_>, target: &Target, kind: &Kind) -> Answered {
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

fn watch(world: &World, ask: &Ask<'_>, target: &Target, kind: Arc<Kind>) -> Answered {
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

fn body(ask: &Ask<'_>) -> Result<Value, Refusal> {
    serde_json::from_slice(ask.body)
        .map_err(|error| refusal(400, "BadRequest", format!("the object provided is unrecognized: {error}"), json!({})))
}

fn dry_run(ask: &Ask<'_>) -> bool {
    ask.query.get("dryRun") == Some("All")
}

/// The field manager of a write: as it says, or the program of its user agent.
fn manager(world: &World, ask: &Ask<'_>, kind: &Kind, part: Option<&str>, applied: bool) -> Manager {
    let agent = ask.agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown");
    Manager {
        name: ask.query.get("fieldManager").unwrap_or(agent).to_owned(),
        applied,
        api_version: kind.api_version(),
        part: part.unwrap_or_default().to_owned(),
        fields: super::fields::Fields::default(),
        time: world.now(),
    }
}

/// The namespace of a write must be there and may not be going.
fn admit(world: &World, kind: &Kind, key: &Key) -> Result<(), Refusal> {
    if !kind.namespaced {
        return Ok(());
    }
    let namespaces = world.kind("", "v1", "namespaces");
    match (world.store.get(&Key::new("", "namespaces", "", &key.namespace)), namespaces) {
        (None, Some(namespaces)) => Err(status::not_found(&namespaces, &key.namespace)),
        (Some(namespace), _) if is_dying(namespace) => {
            let (name, namespace) = (&key.name, &key.namespace);
            let what = kind.qualified();
            let message = format!(
                "{what} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being \
                 terminated"
            );
            let mut details = json!({"name": name});
            if !kind.group.is_empty() {
                details["group"] = kind.group.as_str().into();
            }
            details["kind"] = kind.resource.as_str().into();
            details["causes"] = json!([{"reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
            Err(refusal(403, "Forbidden", message, details))
        }
        _ => Ok(()),
    }
}

/// Unknown and wrongly typed fields of a write that is no apply: an error where it is strict, else dropped.
fn decode(ask: &Ask<'_>, kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
    let wrong = typed::check(&kind.root, object);
    let unknown = |wrong: &&typed::Wrong| wrong.what == typed::NOT_DECLARED;
    if let Some(wrong) = wrong.iter().find(|wrong| !unknown(wrong)) {
        let field = wrong.path.trim_start_matches('.');
        let message = format!(
            "{} in version {:?} cannot be handled as a {}: {field}: {}",
            kind.kind, kind.version, kind.kind, wrong.what
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    let unknown: Vec<String> = wrong
        .iter()
        .filter(unknown)
        .map(|it| format!("unknown field {:?}", indexed(it.path.trim_start_matches('.'))))
        .collect();
    if !unknown.is_empty() && ask.query.get("fieldValidation").is_none_or(|wish| wish == "Strict") {
        let message = format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            kind.kind,
            kind.version,
            kind.kind,
            unknown.join(", ")
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    for wrong in wrong {
        let pointer = wrong.path.replace('.', "/");
        if let Some((above, name)) = pointer.rsplit_once('/') {
            object.pointer_mut(above).and_then(Value::as_object_mut).and_then(|above| above.shift_remove(name));
        }
    }
    Ok(())
}

/// Decoding errors name items by their place, not by their keys; which place is not known any more.
fn indexed(path: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for letter in path.chars() {
        match letter {
            '[' => {
                depth += 1;
                out.push_str("[0]");
            }
            ']' => depth -= 1,
            letter if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}

fn create(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>) -> Answered {
    let mut object = body(ask)?;
    if let Some(answer) = review(world, kind, &object) {
        return Ok(answer);
    }
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut name, prefix) = (text("/metadata/name"), text("/metadata/generateName"));
    if name.is_empty() && !prefix.is_empty() {
        name = format!("{prefix}{}", super::controllers::letters(world.number()));
        object["metadata"]["name"] = name.as_str().into();
    }
    if name.is_empty() {
        let error = status::FieldError::required("metadata.name", "name or generateName is required");
        return Err(invalid(kind, "", &[error]));
    }
    let key = key_of(kind, target, &name);
    decode(ask, kind, &mut object)?;
    admit(world, kind, &key)?;
    if world.store.get(&key).is_some() {
        return Err(status::exists(kind, &name));
    }
    let manager = manager(world, ask, kind, None, false);
    let stored = write(world, kind, &key, None, object, Recording::Update(manager), dry_run(ask))?;
    Ok(Answer::Json(201, (*stored).clone()))
}

/// Questions that are asked by making an object: what we may do, and who we are. Everything is allowed.
fn review(world: &World, kind: &Kind, object: &Value) -> Option<Answer> {
    let status = match kind.kind.as_str() {
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let allowed = world.model.allows(object.pointer("/spec/resourceAttributes").unwrap_or(&Value::Null));
            json!({"allowed": allowed})
        }
        "SelfSubjectReview" => json!({"userInfo": {"username": "rehearsal", "groups": ["system:authenticated"]}}),
        "SelfSubjectRulesReview" => {
            json!({"incomplete": false, "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": []})
        }
        _ => return None,
    };
    let mut answer = object.clone();
    answer["kind"] = kind.kind.as_str().into();
    answer["apiVersion"] = kind.api_version().into();
    answer["status"] = status;
    Some(Answer::Json(201, answer))
}

fn replace(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>, name: &str) -> Answered {
    let mut object = body(ask)?;
    let key = key_of(kind, target, name);
    decode(ask, kind, &mut object)?;
    let Some(live) = world.store.get(&key).cloned() else {
        return Err(status::not_found(kind, name));
    };
    fresh(kind, name, &live, &object)?;
    let manager = manager(world, ask, kind, target.part.as_deref(), false);
    let stored = write(world, kind, &key, Some(&live), object, Recording::Update(manager), dry_run(ask))?;
    Ok(Answer::Json(200, (*stored).clone()))
}

/// A write that names a version or a UID must meet it.
fn fresh(kind: &Kind, name: &str, live: &Value, object: &Value) -> Result<(), Refusal> {
    let text = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (wanted, found) = (text(object, "/metadata/resourceVersion"), text(live, "/metadata/resourceVersion"));
    if !wanted.is_empty() && wanted != "0" && wanted != found {
        return Err(status::changed(kind, name));
    }
    let (wanted, found) = (text(object, "/metadata/uid"), text(live, "/metadata/uid"));
    if !wanted.is_empty() && wanted != found {
        return Err(status::precondition(kind, name, "UID", &wanted, &found));
    }
    Ok(())
}

fn patch(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>, name: &str) -> Answered {
    let key = key_of(kind, target, name);
    let live = world.store.get(&key).cloned();
    let patch = body(ask)?;
    let part = target.part.as_deref();
    if part.is_some_and(|part| !kind.parts.iter().any(|known| known == part)) {
        return Err(status::no_such_path());
    }
    let kind_of_patch = ask.content_type.split(';').next().unwrap_or_default();
    if kind_of_patch.starts_with("application/apply-patch") {
        return apply(world, ask, kind, &key, live, patch, part);
    }
    let live = live.ok_or_else(|| status::not_found(kind, name))?;
    let mut object = (*live).clone();
    match kind_of_patch {
        "application/merge-patch+json" => patch::merge(&mut object, &patch),
        "application/strategic-merge-patch+json" if !kind.custom => patch::strategic(&kind.root, &mut object, &patch),
        "application/json-patch+json" => patch::json(&mut object, &patch).map_err(|misfit| match misfit {
            Misfit::Malformed(text) => refusal(400, "BadRequest", text, json!({})),
            // What does not fit is not said.
            Misfit::Failed(_) => {
                let text = "the server rejected our request due to an error in our request";
                let mut refused = refusal(422, "Invalid", text, json!({}));
                refused.body["details"] = json!({});
                refused
            }
        })?,
        other => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml: {other}"
            );
            return Err(refusal(415, "UnsupportedMediaType", message, json!({})));
        }
    }
    decode(ask, kind, &mut object)?;
    fresh(kind, name, &live, &object)?;
    let manager = manager(world, ask, kind, part, false);
    let stored = write(world, kind, &key, Some(&live), object, Recording::Update(manager), dry_run(ask))?;
    Ok(Answer::Json(200, (*stored).clone()))
}

fn apply(
    world: &mut World,
    ask: &Ask<'_>,
    kind: &Arc<Kind>,
    key: &Key,
    live: Option<Arc<Value>>,
    mut config: Value,
    part: Option<&str>,
) -> Answered {
    if ask.query.get("fieldManager").is_none() {
        let error =
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        let causes = json!([{"reason": "FieldValueRequired", "message": "Required value: is required for apply patch", "field": "fieldManager"}]);
        let details = json!({"group": "meta.k8s.io", "kind": "PatchOptions", "causes": causes});
        return Err(refusal(422, "Invalid", error, details));
    }
    if config.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Err(refusal(400, "BadRequest", "metadata.managedFields must be nil", json!({})));
    }
    let named = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if named("/kind") != kind.kind || named("/apiVersion") != kind.api_version() {
        let message = format!(
            "the object in the request is a {}, {}; the path is that of {}, Kind={}",
            named("/apiVersion"),
            named("/kind"),
            kind.api_version(),
            kind.kind
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    if !named("/metadata/name").is_empty() && named("/metadata/name") != key.name {
        let message = format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            named("/metadata/name"),
            key.name
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    let namespace = named("/metadata/namespace");
    config["metadata"]["name"] = key.name.as_str().into();
    if kind.namespaced {
        config["metadata"]["namespace"] = key.namespace.as_str().into();
    }
    let wrong = typed::check(&kind.root, &config);
    if !wrong.is_empty() {
        let texts: Vec<String> = wrong.iter().map(|wrong| format!("{}: {}", wrong.path, wrong.what)).collect();
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let place = format!("{namespace}/{}", key.name);
        let version = if kind.group.is_empty() { format!("/{}", kind.version) } else { kind.api_version() };
        let message = format!("failed to create typed patch object ({place}; {version}, Kind={}): {text}", kind.kind);
        return Err(refusal(500, "", message, json!({})));
    }
    if let Some(live) = &live {
        fresh(kind, &key.name, live, &config)?;
    } else {
        if part.is_some() || config.pointer("/metadata/uid").is_some() {
            return Err(status::not_found(kind, &key.name));
        }
        admit(world, kind, key)?;
    }
    let manager = manager(world, ask, kind, part, true);
    let force = ask.query.is_true("force");
    let merged = managers::apply(&kind.root, live.as_deref(), &config, manager, kind.has_status(), force)
        .map_err(|conflicts| status::conflict(&conflicts))?;
    let created = live.is_none();
    let stored = write(world, kind, key, live.as_deref(), merged, Recording::Done { part }, dry_run(ask))?;
    Ok(Answer::Json(if created { 201 } else { 200 }, (*stored).clone()))
}

/// How the owners of fields are to be recorded.
enum Recording<'a> {
    /// By this manager's write.
    Update(Manager),
    /// They are in the object already.
    Done {
        /// The part that is written.
        part: Option<&'a str>,
    },
}

/// Stores an object that is made or changed, after everything that the server does on the way.
fn write(
    world: &mut World,
    kind: &Arc<Kind>,
    key: &Key,
    live: Option<&Value>,
    mut object: Value,
    recording: Recording<'_>,
    dry_run: bool,
) -> Result<Arc<Value>, Refusal> {
    let part = match &recording {
        Recording::Update(manager) => manager.part.clone(),
        Recording::Done { part } => part.unwrap_or_default().to_owned(),
    };
    if !object.is_object() || !object.get("metadata").is_none_or(Value::is_object) {
        return Err(refusal(400, "BadRequest", "the body is no object", json!({})));
    }
    if key.resource == "secrets" && key.group.is_empty() {
        defaults::fold_string_data(&mut object);
    }
    keep_identity(world, kind, key, live, &mut object, &part);
    typed::normalise(&kind.root, &mut object);
    defaults::fill(kind, &mut object);
    if let Some(live) = live {
        keep_allocated(kind, live, &mut object);
    }
    let errors = match live {
        None => validate::created(kind, &object),
        Some(live) if part.is_empty() => validate::updated(kind, live, &object),
        Some(_) => Vec::new(),
    };
    if !errors.is_empty() {
        return Err(invalid(kind, &key.name, &errors));
    }
    // Who makes an object owns what it says and what is filled in by rule, not what the server gives to it.
    let recording = match recording {
        Recording::Update(manager) if live.is_none() => {
            managers::update(&kind.root, None, &mut object, manager, kind.has_status());
            Recording::Done { part: None }
        }
        later => later,
    };
    match live {
        None => {
            let number = world.number();
            defaults::allocate(kind, &mut object, number);
            // A priority class has one that never grows.
            if generations(kind) || kind.kind == "PriorityClass" {
                object["metadata"]["generation"] = 1.into();
            }
        }
        Some(live) if generations(kind) && part.is_empty() => {
            let known = live.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(1);
            let next = if wishes(live) == wishes(&object) { known } else { known + 1 };
            object["metadata"]["generation"] = next.into();
        }
        Some(_) => {}
    }
    if let Recording::Update(manager) = recording {
        managers::update(&kind.root, live, &mut object, manager, kind.has_status());
    }
    if let Some(live) = live
        && settled(live) == settled(&object)
    {
        return Ok(Arc::new(live.clone()));
    }
    if dry_run {
        return Ok(Arc::new(object));
    }
    let stored = world.put(key, ordered(object));
    if is_dying(&stored) && finalizers(&stored).is_empty() {
        settle(world, key);
    }
    Ok(stored)
}

/// Whether objects of a kind count the changes of what they wish for.
fn generations(kind: &Kind) -> bool {
    kind.custom
        || matches!(kind.group.as_str(), "apps" | "batch" | "policy" | "networking.k8s.io" | "apiextensions.k8s.io")
        || (kind.group.is_empty() && matches!(kind.kind.as_str(), "Pod" | "ReplicationController"))
        || matches!(kind.group.as_str(), "admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io")
}

/// What an object wishes for: all but metadata and status.
fn wishes(object: &Value) -> Map<String, Value> {
    let mut wishes = object.as_object().cloned().unwrap_or_default();
    for part in ["metadata", "status", "kind", "apiVersion"] {
        wishes.shift_remove(part);
    }
    wishes
}

/// An object without what a write that changes nothing changes.
fn settled(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("resourceVersion");
        for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            entry.as_object_mut().and_then(|entry| entry.shift_remove("time"));
        }
    }
    object
}

/// Kind and metadata first, as people expect it.
fn ordered(object: Value) -> Value {
    let Value::Object(mut object) = object else { return object };
    let mut out = Map::new();
    for first in ["apiVersion", "kind", "metadata", "spec"] {
        if let Some(value) = object.shift_remove(first) {
            out.insert(first.to_owned(), value);
        }
    }
    out.extend(object);
    Value::Object(out)
}

/// What a write cannot change: identity, and the part of the object that its path does not lead to.
fn keep_identity(world: &mut World, kind: &Kind, key: &Key, live: Option<&Value>, object: &mut Value, part: &str) {
    if let (Some(live), false) = (live, part.is_empty()) {
        // A part is written: everything else stays as it is, but for the records of who owns what.
        let own = if part == "status" { object.get("status").cloned() } else { object.get("spec").cloned() };
        let records = object.pointer("/metadata/managedFields").cloned();
        *object = live.clone();
        match (part, own) {
            ("status", Some(status)) => object["status"] = status,
            ("scale", Some(spec)) => object["spec"]["replicas"] = spec["replicas"].clone(),
            _ => {}
        }
        if let Some(records) = records {
            object["metadata"]["managedFields"] = records;
        }
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.as_str().into();
    let status = live.and_then(|live| live.get("status")).cloned();
    if part.is_empty()
        && kind.has_status()
        && let Some(map) = object.as_object_mut()
    {
        map.shift_remove("status");
        map.extend(status.map(|status| ("status".to_owned(), status)));
    }
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = json!({});
    }
    let fresh = live.is_none().then(|| (world.uid(), world.now()));
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    metadata.insert("name".into(), key.name.as_str().into());
    if kind.namespaced {
        metadata.insert("namespace".into(), key.namespace.as_str().into());
    }
    match (live, fresh) {
        (Some(live), _) => {
            for name in [
                "uid",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "generation",
                "resourceVersion",
            ] {
                metadata.shift_remove(name);
                if let Some(value) = live["metadata"].get(name) {
                    metadata.insert(name.into(), value.clone());
                }
            }
        }
        (None, Some((uid, now))) => {
            for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion", "selfLink"]
            {
                metadata.shift_remove(name);
            }
            metadata.insert("uid".into(), uid.into());
            metadata.insert("creationTimestamp".into(), now.into());
        }
        (None, None) => {}
    }
}

/// What was given when the object was made, and stays when a write leaves it out.
fn keep_allocated(kind: &Kind, live: &Value, object: &mut Value) {
    let paths: &[&str] = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") if object["spec"]["type"] != "ExternalName" => {
            &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"]
        }
        ("", "PersistentVolumeClaim") => &["volumeName", "storageClassName"],
        ("batch", "Job") => &["selector"],
        _ => return,
    };
    for name in paths {
        if object["spec"].get(*name).is_none()
            && let Some(value) = live["spec"].get(*name)
        {
            object["spec"][*name] = value.clone();
        }
    }
    if kind.kind == "Job" {
        let given =
            live.pointer("/spec/template/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
        let template = &mut object["spec"]["template"];
        for (name, value) in
            given.into_iter().filter(|(name, _)| name.contains("controller-uid") || name.contains("job-name"))
        {
            template["metadata"]["labels"][name] = value;
        }
    }
    if kind.kind == "Service" {
        let known = live.pointer("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
        for port in object.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let same = known.iter().find(|it| it["port"] == port["port"] && it["protocol"] == port["protocol"]);
            if let (None, Some(number)) = (port.get("nodePort"), same.and_then(|same| same.get("nodePort"))) {
                port["nodePort"] = number.clone();
            }
        }
    }
}

fn propagation(ask: &Ask<'_>, options: &Value) -> Propagation {
    let wish = options.get("propagationPolicy").and_then(Value::as_str).or_else(|| ask.query.get("propagationPolicy"));
    match wish {
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        _ => Propagation::Background,
    }
}

fn options(ask: &Ask<'_>) -> Value {
    serde_json::from_slice(ask.body).unwrap_or_default()
}

fn remove(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>, name: &str) -> Answered {
    let key = key_of(kind, target, name);
    let live = world.store.get(&key).cloned().ok_or_else(|| status::not_found(kind, name))?;
    let options = options(ask);
    for (what, pointer, known) in [
        ("UID", "/preconditions/uid", uid(&live)),
        (
            "ResourceVersion",
            "/preconditions/resourceVersion",
            live.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned(),
        ),
    ] {
        if let Some(wanted) = options.pointer(pointer).and_then(Value::as_str).filter(|wanted| *wanted != known) {
            return Err(status::precondition(kind, name, what, wanted, &known));
        }
    }
    let gone = |live: &Value| {
        let mut details = json!({"name": name});
        if !kind.group.is_empty() {
            details["group"] = kind.group.as_str().into();
        }
        details["kind"] = kind.resource.as_str().into();
        details["uid"] = uid(live).into();
        Answer::Json(
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        )
    };
    let dry = dry_run(ask) || options.get("dryRun").is_some_and(|it| it == &json!(["All"]));
    if dry {
        return Ok(gone(&live));
    }
    match delete(world, &key, propagation(ask, &options)) {
        None => Err(status::not_found(kind, name)),
        // Pods and claims are given back as they were last, most others as a status.
        Some((last, true)) if GIVEN_BACK.contains(&(kind.group.as_str(), kind.resource.as_str())) => {
            Ok(Answer::Json(200, (*last).clone()))
        }
        Some((last, true)) => Ok(gone(&last)),
        Some((object, false)) => Ok(Answer::Json(200, (*object).clone())),
    }
}

/// Kinds of which a deletion answers with the object.
const GIVEN_BACK: [(&str, &str); 8] = [
    ("", "pods"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("storage.k8s.io", "storageclasses"),
];

fn remove_all(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>) -> Answered {
    let selector = Selector::of(&ask.query);
    let place = (kind.group.clone(), kind.resource.clone());
    let found: Vec<(Key, Arc<Value>)> = world
        .store
        .list(&place, target.namespace.as_deref())
        .filter(|(_, object)| selector.fits(object))
        .map(|((namespace, name), object)| (Key::new(&kind.group, &kind.resource, namespace, name), object.clone()))
        .collect();
    let propagation = propagation(ask, &options(ask));
    let mut items = Vec::new();
    for (key, object) in found {
        delete(world, &key, propagation);
        let mut item = (*object).clone();
        if let (false, Some(item)) = (kind.custom, item.as_object_mut()) {
            item.shift_remove("kind");
            item.shift_remove("apiVersion");
        }
        items.push(item);
    }
    let list = format!("{}List", kind.kind);
    let metadata = json!({"resourceVersion": world.store.revision().to_string()});
    Ok(Answer::Json(200, json!({"kind": list, "apiVersion": kind.api_version(), "metadata": metadata, "items": items})))
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
