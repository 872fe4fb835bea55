//! Who owns which field: server-side apply and what other writes do to its records. The rules are those of
//! sigs.k8s.io/structured-merge-diff, package `merge`.

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::typed::{compare, fields, merge, remove};
use crate::manifest::schema::Type;

/// One entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// Whether it applied; otherwise it wrote in another way.
    pub applied: bool,
    /// The version it wrote in.
    pub api_version: String,
    /// The part it wrote, such as `status`; empty for the whole.
    pub part: String,
    /// What it owns.
    pub fields: Fields,
    /// When that last changed, RFC 3339.
    pub time: String,
}

impl Manager {
    fn is(&self, other: &Self) -> bool {
        // Of an applier there is one entry, whatever version it speaks.
        self.name == other.name
            && self.applied == other.applied
            && self.part == other.part
            && (self.applied || self.api_version == other.api_version)
    }

    /// As messages about conflicts name it.
    fn shown(&self) -> String {
        let part = if self.part.is_empty() { String::new() } else { format!(" with subresource {:?}", self.part) };
        let version = if self.applied { String::new() } else { format!(" using {}", self.api_version) };
        format!("{:?}{part}{version}", self.name)
    }
}

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who.
    pub manager: String,
    /// Which.
    pub field: String,
}

/// The records of an object.
pub fn read(object: &Value) -> Vec<Manager> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    entries
        .map(|entry| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            Manager {
                name: text("manager"),
                applied: text("operation") == "Apply",
                api_version: text("apiVersion"),
                part: text("subresource"),
                fields: Fields::from_json(entry.get("fieldsV1").unwrap_or(&Value::Null)),
                time: text("time"),
            }
        })
        .collect()
}

/// Writes the records into an object, in the server's order.
pub fn write(object: &mut Value, mut managers: Vec<Manager>) {
    managers.retain(|manager| !manager.fields.is_empty());
    managers.sort_by(|a, b| {
        let key =
            |it: &Manager| (!it.applied, it.time.clone(), it.name.clone(), it.api_version.clone(), it.part.clone());
        key(a).cmp(&key(b))
    });
    let entries: Vec<Value> = managers
        .iter()
        .map(|manager| {
            let mut entry = Map::new();
            entry.insert("manager".into(), manager.name.as_str().into());
            entry.insert("operation".into(), if manager.applied { "Apply" } else { "Update" }.into());
            entry.insert("apiVersion".into(), manager.api_version.as_str().into());
            entry.insert("time".into(), manager.time.as_str().into());
            entry.insert("fieldsType".into(), "FieldsV1".into());
            entry.insert("fieldsV1".into(), manager.fields.to_json());
            if !manager.part.is_empty() {
                entry.insert("subresource".into(), manager.part.as_str().into());
            }
            Value::Object(entry)
        })
        .collect();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if entries.is_empty() {
            metadata.shift_remove("managedFields");
        } else {
            metadata.insert("managedFields".into(), Value::Array(entries));
        }
    }
}

/// Takes out of a set what nobody owns: identity and what the server writes, and what the path does not write.
fn strip(set: &mut Fields, part: &str, has_status: bool) {
    for path in [&["f:apiVersion"][..], &["f:kind"]] {
        set.remove(path);
    }
    for name in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "selfLink",
        "managedFields",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        set.remove(&["f:metadata", &format!("f:{name}")]);
    }
    match part {
        "status" => set.remove(&["f:spec"]),
        "" if has_status => set.remove(&["f:status"]),
        _ => {}
    }
}

/// Without the fields that take no part in the comparison.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    object
}

/// Applies a configuration over a live object (`None`: it is made). Returns the object with its records.
///
/// # Errors
/// The fields that other managers own with other values, unless `force`.
pub fn apply(
    of: &Type,
    live: Option<&Value>,
    config: &Value,
    manager: Manager,
    has_status: bool,
    force: bool,
) -> Result<Value, Vec<Conflict>> {
    let mut managers = live.map(read).unwrap_or_default();
    let config = bare(config);
    let base = live.map(bare);
    let set = fields(of, &config);
    let merged = merge(of, base.as_ref(), Some(&config));
    let last = managers.iter().position(|known| known.is(&manager));
    let last_set = last.map(|at| managers[at].fields.clone()).unwrap_or_default();
    let unchanged_time = last.map(|at| managers[at].time.clone());
    let mine = Manager { fields: set, ..manager };
    match last {
        Some(at) => managers[at] = mine.clone(),
        None => managers.push(mine.clone()),
    }
    let new = if last_set.is_empty() { merged } else { prune(of, &merged, &last_set, &managers) };
    // Only now: what nobody owns, such as the name, keeps what it stands in from being taken out.
    let mut mine = mine;
    strip(&mut mine.fields, &mine.part.clone(), has_status);
    for known in managers.iter_mut().filter(|known| known.is(&mine)) {
        known.fields.clone_from(&mine.fields);
    }
    let difference = compare(of, base.as_ref(), Some(&new));
    let mut changed = difference.modified.union(&difference.added);
    strip(&mut changed, &mine.part, has_status);
    let mut conflicts = Vec::new();
    for known in managers.iter_mut().filter(|known| !known.is(&mine)) {
        let taken = known.fields.both(&changed);
        if !taken.is_empty() {
            let shown = known.shown();
            conflicts.extend(taken.paths().into_iter().map(|field| Conflict { manager: shown.clone(), field }));
            known.fields = known.fields.without(&taken);
        }
        known.fields = known.fields.without(&difference.removed);
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    // The time of an entry tells when its fields last changed hands or its object did.
    let same = base.as_ref() == Some(&new) && last_set == mine.fields;
    if let (true, Some(time)) = (same, unchanged_time)
        && let Some(known) = managers.iter_mut().find(|known| known.is(&mine))
    {
        known.time = time;
    }
    let mut new = new;
    write(&mut new, managers);
    Ok(new)
}

/// Takes out what the applier owned, owns no more, and nobody else does.
fn prune(of: &Type, merged: &Value, last: &Fields, managers: &[Manager]) -> Value {
    let last = last.with_ways();
    let without = |value: &Value, set: &Fields| remove(of, value, set).unwrap_or_else(|| json!({}));
    let all = fields(of, merged).with_ways();
    let mut owned = Fields::default();
    for manager in managers {
        owned.add(&manager.fields.with_ways());
    }
    let pruned = without(merged, &last);
    let kept = fields(of, &pruned).with_ways().union(&owned);
    let pruned = without(merged, &all.without(&kept));
    let kept = fields(of, &pruned).with_ways();
    without(merged, &all.without(&kept).both(&last))
}

/// Records a write that was no apply: what it changed is its manager's now.
pub fn update(of: &Type, live: Option<&Value>, new: &mut Value, manager: Manager, has_status: bool) {
    let mut managers = live.map(read).unwrap_or_default();
    let base = live.map(bare);
    let written = bare(new);
    let difference = compare(of, base.as_ref(), Some(&written));
    let mut changed = difference.modified.union(&difference.added);
    changed.member = false;
    strip(&mut changed, &manager.part, has_status);
    for known in managers.iter_mut() {
        if !known.is(&manager) {
            known.fields = known.fields.without(&changed);
        }
        known.fields = known.fields.without(&difference.removed);
    }
    match managers.iter_mut().find(|known| known.is(&manager)) {
        Some(known) => {
            let fields = known.fields.union(&changed);
            if !changed.is_empty() {
                known.time.clone_from(&manager.time);
            }
            known.fields = fields;
        }
        None => managers.push(Manager { fields: changed, ..manager }),
    }
    write(new, managers);
}
