//! The file that says what is left after an accident: volumes and nodes as `kubectl get pv,nodes -o yaml` prints them, and
//! `Backups` documents that say what the archives of data sets hold. Read strictly, with the place of every mistake. Pure.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::archives::Archives;
use super::{typed, validate};
use crate::data::DataSet;
use crate::data::backups::{Archive, Backup, HISTORY, History};
use crate::data::quantity::bytes;
use crate::health::gate::fields::{Collected, Fields, kind_of};
use crate::manifest::duration::parse_duration;
use crate::manifest::kinds::NameRule;
use crate::manifest::mistake::{Mistake, Mistakes, nearest};
use crate::manifest::schema;
use crate::manifest::yaml::{Node, NodeKind, Place, parse_nodes};
use crate::report::sanitize::clean;

/// What is left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survivors {
    /// PersistentVolumes, as they were read.
    pub volumes: Vec<Value>,
    /// Nodes, as they were read; none when the file has none.
    pub nodes: Vec<Value>,
    /// What archives hold; those that the file says nothing of are not in it.
    pub archives: Archives,
}

/// The kinds that a file may hold.
const KINDS: [&str; 3] = ["PersistentVolume", "Node", "Backups"];

/// Reads a file. `file` names it in mistakes, `now` is what times such as `6h ago` count from, `sets` are the kit's data sets.
///
/// # Errors
/// Every mistake in it.
pub fn read(text: &str, file: &str, now: Timestamp, sets: &[DataSet]) -> Result<Survivors, Mistakes> {
    let text = text.trim_start_matches('\u{feff}');
    let documents = parse_nodes(text).map_err(|error| Mistakes::from(error.mistake(file, text)))?;
    let mut reader = Reader { text, file, now, sets, found: Survivors::default(), mistakes: Vec::new() };
    if documents.is_empty() {
        reader.wrong("object", "holds no object", Place::default(), Some(format!("it may hold {}", KINDS.join(", "))));
    }
    documents.iter().for_each(|document| reader.take(document));
    let archives = &mut reader.found.archives;
    for archive in archives.own.values_mut().chain(archives.followed.values_mut()) {
        if let Archive::Known(histories) = archive {
            histories.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
    if reader.mistakes.is_empty() { Ok(reader.found) } else { Err(Mistakes(reader.mistakes)) }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    now: Timestamp,
    sets: &'a [DataSet],
    found: Survivors,
    mistakes: Vec<Mistake>,
}

fn member<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.as_map()?.iter().find(|(known, _)| known.text == key).map(|(_, value)| value)
}

impl Reader<'_> {
    fn wrong(&mut self, code: &'static str, message: impl Into<String>, place: Place, hint: Option<String>) {
        let (message, file, span) = (message.into(), self.file.to_owned(), place.span(self.text));
        self.mistakes.push(Mistake { code, message, file, span, hint });
    }

    /// Takes a document, or an item of a list.
    fn take(&mut self, node: &Node) {
        let word = |key: &str| member(node, key).and_then(Node::as_text).unwrap_or_default();
        let (version, kind) = (word("apiVersion"), word("kind"));
        if let (true, Some(NodeKind::List(items))) = (kind.ends_with("List"), member(node, "items").map(|it| &it.kind))
        {
            return items.iter().for_each(|item| self.take(item));
        }
        match (version, kind) {
            ("v1", "PersistentVolume") => self.object(node, kind),
            ("v1", "Node") => self.object(node, kind),
            ("rekindle.dev/v1", "Backups") => self.backups(node),
            ("", _) | (_, "") => {
                let hint = Some(format!("it may hold {}, or a List of them", KINDS.join(", ")));
                self.wrong(
                    "object",
                    "this is not a Kubernetes object: it has no apiVersion or no kind",
                    node.place,
                    hint,
                );
            }
            _ => {
                let hint = match nearest(kind, KINDS) {
                    Some("Backups") => "did you mean kind: Backups of apiVersion: rekindle.dev/v1?".into(),
                    Some(near) => format!("did you mean kind: {near} of apiVersion: v1?"),
                    None => format!("survivors are {}; take the others out", KINDS.join(", ")),
                };
                let message = format!("{kind} of {version} is nothing that says what survived");
                self.wrong("object", message, node.place_of(&["kind"], false), Some(hint));
            }
        }
    }

    fn object(&mut self, node: &Node, kind: &str) {
        let named = |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
        let body = node.to_value();
        let Some(name) = named(&body).filter(|name| !name.is_empty()) else {
            return self.wrong("object", format!("a {kind} has no metadata.name"), node.place, None);
        };
        if let Err(why) = NameRule::of("", kind).check(&name) {
            let place = node.place_of(&["metadata", "name"], false);
            return self.wrong("wrong-value", format!("{kind}/{}: the name {why}", clean(&name)), place, None);
        }
        let known = if kind == "Node" { &self.found.nodes } else { &self.found.volumes };
        if known.iter().any(|known| named(known).as_ref() == Some(&name)) {
            let place = node.place_of(&["metadata", "name"], false);
            return self.wrong("duplicate", format!("{kind}/{name} is in the file twice"), place, None);
        }
        let types = schema::record().kinds.iter().find(|it| it.group.is_empty() && it.kind == kind);
        let wrong = types.map(|it| typed::check(&it.root, &body)).unwrap_or_default();
        // A newer Kubernetes may know more fields.
        let wrong: Vec<_> = wrong.into_iter().filter(|it| it.what != typed::NOT_DECLARED).collect();
        for typed::Wrong { path, what } in &wrong {
            let path = path.trim_start_matches('.');
            let place = node.place_of(&path.split('.').collect::<Vec<_>>(), false);
            let what = what.split(", got").next().unwrap_or_default();
            self.wrong("wrong-type", format!("{kind}/{name}: {path}: {what}"), place, None);
        }
        if !wrong.is_empty() {
            return;
        }
        if let Some(wrong) = validate::labels(&body).into_iter().next() {
            let place = node.place_of(&["metadata", "labels"], false);
            return self.wrong(
                "wrong-value",
                format!("{kind}/{name}: {}: {}", wrong.field, wrong.message),
                place,
                None,
            );
        }
        if kind == "Node" {
            return self.found.nodes.push(body);
        }
        let capacity = body.pointer("/spec/capacity/storage").and_then(Value::as_str);
        if capacity.and_then(bytes).is_none() {
            let place = node.place_of(&["spec", "capacity", "storage"], false);
            return self.wrong("object", format!("pv/{name} has no spec.capacity.storage such as 10Gi"), place, None);
        }
        self.found.volumes.push(body);
    }

    fn backups(&mut self, node: &Node) {
        let (body, collected) = (node.to_value(), Collected::default());
        let read = document(&body, self.now, &collected);
        let mistakes = collected.into_mistakes();
        for found in &mistakes {
            let path: Vec<&str> = found.path.split('.').collect();
            let place = node.place_of(&path, found.code == "unknown-key");
            self.wrong(found.code, format!("Backups: {}", found.message), place, found.hint.clone());
        }
        let Some(Told { data_set: name, followed, archive }) = read.filter(|_| mistakes.is_empty()) else { return };
        let place = node.place_of(&["metadata", "name"], false);
        let known = self.sets.iter().find(|set| set.name == name);
        let has = |set: &DataSet| if followed { set.follow().is_some() } else { set.lookup().is_some() };
        if !known.is_some_and(has) {
            let looked_up: Vec<&str> = self.sets.iter().filter(|set| has(set)).map(|set| set.name.as_str()).collect();
            let message = match known {
                None => format!("the kit has no data set {name}"),
                Some(set) if followed => format!("the data set {name} ({}) follows no other archive", set.origin),
                Some(set) => format!("the data set {name} ({}) does not say how its backups are looked up", set.origin),
            };
            let hint = match nearest(&name, looked_up.iter().copied()) {
                Some(near) if known.is_none() => Some(format!("did you mean {near}?")),
                _ if looked_up.is_empty() => None,
                _ => Some(format!("archives are looked at of {}", looked_up.join(", "))),
            };
            return self.wrong("unknown-data-set", message, place, hint);
        }
        let archives = &mut self.found.archives;
        let archives = if followed { &mut archives.followed } else { &mut archives.own };
        match (archives.get_mut(&name), archive) {
            (None, archive) => drop(archives.insert(name, archive)),
            (Some(Archive::Known(all)), Archive::Known(more))
                if !more.iter().any(|new| all.iter().any(|known| known.name == new.name)) =>
            {
                all.extend(more);
            }
            _ => self.wrong("duplicate", format!("the archive of {name} is in the file twice"), place, None),
        }
    }
}

/// What a `Backups` document tells of.
struct Told {
    data_set: String,
    /// Whether it is the archive that the data set follows, not its own.
    followed: bool,
    archive: Archive,
}

/// Reads a `Backups` document: the data set and one history of an archive.
fn document(body: &Value, now: Timestamp, collected: &Collected) -> Option<Told> {
    let document = Fields::open(body, "", &["apiVersion", "kind", "metadata", "spec"], collected)?;
    let metadata = document.inside("metadata", &["name"]);
    let hint = || Some("metadata: {name: …} is the data set whose archive this is".to_owned());
    let Some(metadata) = metadata else {
        document.mistake_here("missing-key", "this has no metadata", hint());
        return None;
    };
    let name = metadata.required_text("name", hint());
    let Some(spec) = document.mapping("spec", &["history", "backups", "wal_until", "unreadable", "followed"]) else {
        document.mistake_here("missing-key", "this has no spec", Some("write spec: {backups: […]}".to_owned()));
        return None;
    };
    let told = |archive| Told { data_set: name.clone(), followed: spec.flag("followed"), archive };
    if let Some(why) = spec.text("unreadable") {
        if let Some(other) = ["history", "backups", "wal_until"].into_iter().find(|key| spec.written(key)) {
            spec.mistake("conflict", other, format!("{other} of an archive that cannot be read is not known"), None);
        }
        return Some(told(Archive::Unknown(why)));
    }
    let history = spec.text("history").unwrap_or_default();
    if !history.is_empty() && !history.starts_with(HISTORY) {
        let hint = Some(format!("the folder of a history is called {HISTORY}…; leave it out for the first one"));
        spec.mistake("wrong-value", "history", format!("{history} is no name of a history"), hint);
    }
    let listed = match spec.get("backups") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(other) => {
            let hint = Some("write backups: [{name: …, finished: …, size: …}], or [] for none".to_owned());
            spec.mistake("wrong-type", "backups", format!("backups is {}, not a list", kind_of(other)), hint);
            &[]
        }
        None => {
            spec.missing("backups", Some("write backups: [] where there is none".to_owned()));
            &[]
        }
    };
    let mut backups: Vec<Backup> =
        listed.iter().enumerate().filter_map(|(index, entry)| backup(&spec, index, entry, now)).collect();
    let twice = backups.iter().enumerate().find(|(at, it)| backups[..*at].iter().any(|known| known.name == it.name));
    if let Some((at, again)) = twice {
        spec.mistake("duplicate", &format!("backups.{at}.name"), format!("{} is there twice", again.name), None);
    }
    backups.sort_by_key(|backup| backup.finished);
    let newest_wal = moment(&spec, "wal_until", now);
    Some(told(Archive::Known(vec![History { name: history, backups, newest_wal }])))
}

fn backup(spec: &Fields<'_>, index: usize, entry: &Value, now: Timestamp) -> Option<Backup> {
    let known = ["name", "finished", "size", "system_identifier", "missing_wal"];
    let fields = spec.item(&format!("backups.{index}"), entry, &known)?;
    let name = fields.text("name").unwrap_or_default();
    for (key, hint) in [
        ("name", "the name that the program gave it, such as base_000000010000000000000002"),
        ("finished", "when it was complete: 2026-11-25T04:10:00Z, or 6h ago"),
    ] {
        if !fields.has(key) {
            fields.mistake_here("missing-key", format!("a backup has no {key}"), Some(hint.to_owned()));
        }
    }
    if name.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        fields.mistake("wrong-value", "name", "this is no name of a backup", None);
    }
    let finished = moment(&fields, "finished", now);
    let size = match fields.get("size") {
        None => None,
        Some(Value::Number(number)) if number.is_u64() => number.as_u64(),
        Some(value) => {
            let read = value.as_str().and_then(bytes);
            if read.is_none() {
                let hint = Some("write 349Gi, 349G or a number of bytes".to_owned());
                fields.mistake("wrong-value", "size", format!("{value} is no size"), hint);
            }
            read
        }
    };
    let system_identifier = fields.answer("system_identifier");
    if system_identifier.as_ref().is_some_and(|number| number.parse::<u64>().is_err()) {
        fields.mistake("wrong-value", "system_identifier", "PostgreSQL's system identifier is a whole number", None);
    }
    let gaps = if fields.written("missing_wal") { fields.words("missing_wal").unwrap_or_default() } else { Vec::new() };
    Some(Backup { name, finished: finished?, size, system_identifier, gaps })
}

/// A time, or how long ago it was.
fn moment(fields: &Fields<'_>, key: &str, now: Timestamp) -> Option<Timestamp> {
    let text = fields.text(key)?;
    let ago = text.strip_suffix(" ago").map(|text| parse_duration(text.trim()));
    let read = match ago {
        Some(ago) => ago.ok().and_then(|ago| now.checked_sub(SignedDuration::try_from(ago).ok()?).ok()),
        None => text.parse().ok(),
    };
    if read.is_none() {
        let hint = Some("write a time as 2026-11-25T04:10:00Z or as 6h ago".to_owned());
        fields.mistake("wrong-value", key, "this is no time", hint);
    }
    read
}

#[cfg(test)]
#[path = "survivors_tests.rs"]
mod tests;
