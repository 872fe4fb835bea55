//! From YAML documents to objects, gates and data sets.

use serde_json::Value;

use super::metadata::faults;
use super::template::Output;
use super::{Kit, mistake};
use crate::data::DataSet;
use crate::health::gate::{Gate, GateMistake};
use crate::manifest::fit;
use crate::manifest::kinds::{NameRule, holds_data, removed_version};
use crate::manifest::mistake::{Mistake, nearest};
use crate::manifest::yaml::{Node, NodeKind, Place, parse_nodes};
use crate::manifest::{Object, Origin};

/// The group of documents that are for Rekindle and never reach a cluster.
const OWN_GROUP: &str = "rekindle.dev";
/// The annotations that Rekindle understands, without their prefix.
const ANNOTATIONS: [&str; 6] = ["after", "ready", "replace", "keep", "timeout", "ignore-fields"];

/// What the documents of one file are.
#[derive(Default)]
pub struct Documents {
    /// Objects for the cluster.
    pub objects: Vec<Object>,
    /// Gates.
    pub gates: Vec<Gate>,
    /// Data sets.
    pub data_sets: Vec<DataSet>,
    /// Fields of objects that an API server of the recorded version would refuse. Another version may know them.
    pub misfits: Vec<Mistake>,
}

/// Reads the documents of one file.
pub struct Reader<'a> {
    /// The kit.
    pub kit: &'a Kit,
    /// The file.
    pub file: &'a str,
    /// The YAML text: the file's own, or what its template gave.
    pub text: &'a str,
    /// The template's output, when the file is one.
    pub output: Option<&'a Output>,
    /// The environment's namespace, for gates.
    pub namespace: &'a str,
    /// Whether a text is the value of a secret, or what stands in for it.
    pub is_secret: &'a dyn Fn(&str) -> bool,
}

impl Reader<'_> {
    /// Reads everything; collects what is wrong.
    pub fn read(&self, mistakes: &mut Vec<Mistake>) -> Documents {
        let mut documents = Documents::default();
        match parse_nodes(self.text) {
            Ok(nodes) => {
                for node in &nodes {
                    self.document(node, &mut documents, mistakes);
                }
            }
            Err(error) => {
                let mut wrong = self.wrong("yaml", error.message, error.place);
                if self.output.is_none() {
                    wrong.span = error.place.span(self.text);
                } else if wrong.span.as_ref().is_some_and(|span| is_glued(&span.text)) {
                    let advice =
                        "a text brings its own quotes: join texts inside, {{ \"a/\" ~ b }}, or use {{ b | plain }}";
                    wrong.hint = Some(wrong.hint.map_or(advice.into(), |hint| format!("{advice}; {hint}")));
                }
                mistakes.push(wrong);
            }
        }
        documents
    }

    fn origin(&self, place: Place) -> Origin {
        match self.output {
            None => Origin { file: self.file.into(), line: place.line },
            // A document belongs to the file that renders it, even when a component wrote its first line.
            Some(output) => {
                let found = (1..=place.line)
                    .rev()
                    .filter_map(|line| output.origin(line))
                    .find(|origin| origin.file == self.file);
                found.cloned().unwrap_or_else(|| Origin { file: self.file.into(), line: 0 })
            }
        }
    }

    /// A mistake at a place of the text. In a rendered text the place is the template's line, and the rendered line is told.
    fn wrong(&self, code: &'static str, message: impl Into<String>, place: Place) -> Mistake {
        let Some(output) = self.output else {
            // A whole mapping or document is shown by its line.
            let whole = place.length <= 1 && place.column == 1;
            let line = Origin { file: self.file.into(), line: place.line };
            let span = if whole { self.kit.span_at(&line) } else { place.span(self.text) };
            return mistake(code, message, self.file, span);
        };
        let line = self.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default().trim();
        match output.origin(place.line) {
            Some(origin) => {
                let hint = (!line.is_empty()).then(|| format!("the line was rendered as: {line}"));
                Mistake { hint, ..self.kit.mistake_at(code, message, origin) }
            }
            None => {
                let hint = (place.line > 0).then(|| format!("line {} of the rendered text is: {line}", place.line));
                Mistake { hint, ..mistake(code, message, self.file, None) }
            }
        }
    }

    fn document(&self, node: &Node, documents: &mut Documents, mistakes: &mut Vec<Mistake>) {
        let Some(entries) = node.as_map() else {
            return mistakes.push(self.wrong(
                "object",
                format!("a document is a mapping, this is {}", node.describe()),
                node.place,
            ));
        };
        let text = |key: &str| entries.iter().find(|(found, _)| found.text == key).and_then(|(_, node)| node.as_text());
        let (api_version, kind) = (text("apiVersion").unwrap_or_default(), text("kind").unwrap_or_default());
        let items = entries.iter().find(|(key, _)| key.text == "items").map(|(_, node)| &node.kind);
        if let (true, Some(NodeKind::List(items))) = (kind.ends_with("List") && !api_version.is_empty(), items) {
            return items.iter().for_each(|item| self.document(item, documents, mistakes));
        }
        let own = api_version == OWN_GROUP || api_version.starts_with("rekindle.dev/");
        let before = mistakes.len();
        let Some(object) = self.object(node, mistakes) else { return };
        match (own, kind) {
            (false, _) => {
                self.check_object(&object, node, mistakes);
                if mistakes.len() == before {
                    self.check_fields(&object, node, &mut documents.misfits);
                    documents.objects.push(object);
                }
            }
            (true, _) if api_version != "rekindle.dev/v1" => {
                mistakes.push(self.wrong(
                    "kind",
                    format!("Rekindle has no {api_version}, only rekindle.dev/v1"),
                    node.place,
                ));
            }
            (true, "Gate") => match Gate::parse(object.body(), &object.origin, self.namespace) {
                Ok(gate) => documents.gates.push(gate),
                Err(found) => self.own_mistakes(&format!("gate {}", object.name()), node, found, mistakes),
            },
            (true, "DataSet") => match DataSet::parse(object.body(), &object.origin, self.namespace) {
                Ok(set) => documents.data_sets.push(set),
                Err(found) => self.own_mistakes(&format!("data set {}", object.name()), node, found, mistakes),
            },
            (true, _) => {
                let hint = Some("known are Gate and DataSet".to_owned());
                mistakes
                    .push(Mistake { hint, ..self.wrong("kind", format!("Rekindle has no kind {kind}"), node.place) });
            }
        }
    }

    /// Tells what is wrong in a document of ours, each where it stands.
    fn own_mistakes(&self, what: &str, node: &Node, found: Vec<GateMistake>, mistakes: &mut Vec<Mistake>) {
        mistakes.extend(found.into_iter().map(|found| {
            let path: Vec<&str> = found.path.split('.').collect();
            let place = node.place_of(&path, found.code == "unknown-key");
            let wrong = self.wrong(found.code, format!("{what}: {}", found.message), place);
            Mistake { hint: found.hint.or(wrong.hint.clone()), ..wrong }
        }));
    }

    fn object(&self, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Object> {
        let body = node.to_value();
        if body.pointer("/metadata/name").is_none() && body.pointer("/metadata/generateName").is_some() {
            let message = "has a generateName: an object whose name nobody knows cannot be applied twice";
            let hint = Some("give it a name; a Job whose template changes is replaced by itself".to_owned());
            mistakes.push(Mistake { hint, ..self.wrong("object", message, node.place) });
            return None;
        }
        match Object::new(body, self.origin(node.place)) {
            Ok(object) => Some(object),
            Err(message) => {
                let name = node.to_value().pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
                let message = name.map_or(message.clone(), |name| format!("{name} {message}"));
                // What is there and is no text is shown where it stands.
                let wrong_type = |path: &&[&str]| matches!(found(node, path), Some(node) if node.as_text().is_none());
                let fields: [&[&str]; 3] = [&["apiVersion"], &["kind"], &["metadata", "name"]];
                match fields.iter().find(|path| wrong_type(path)) {
                    Some(path) => mistakes.push(Mistake {
                        hint: Some("write it in quotes; y, n, yes, no, on and off are booleans, too".into()),
                        ..self.wrong("object", message, node.place_of(path, false))
                    }),
                    None => mistakes.push(self.wrong("object", message, node.place)),
                }
                None
            }
        }
    }

    fn check_object(&self, object: &Object, node: &Node, mistakes: &mut Vec<Mistake>) {
        let key = object.key();
        if let Some(instead) = removed_version(object.api_version(), object.kind()) {
            let message = format!("{key}: {} is no longer served by Kubernetes", object.api_version());
            let hint = if instead.is_empty() {
                "this kind is gone; remove the object".into()
            } else {
                format!("write apiVersion: {instead}")
            };
            mistakes.push(Mistake {
                hint: Some(hint),
                ..self.wrong("removed-version", message, node.place_of(&["apiVersion"], false))
            });
        }
        if let Err(message) = NameRule::of(object.group(), object.kind()).check(object.name()) {
            mistakes.push(self.wrong(
                "name",
                format!("the name {} {message}", object.name()),
                node.place_of(&["metadata", "name"], false),
            ));
        }
        for fault in faults(object) {
            let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
            let wrong = self.wrong(fault.code, format!("{key}: {}", fault.message), node.place_of(&path, fault.key));
            mistakes.push(Mistake { hint: fault.hint.or(wrong.hint.clone()), ..wrong });
        }
        self.check_annotations(object, node, mistakes);
    }

    fn check_fields(&self, object: &Object, node: &Node, misfits: &mut Vec<Mistake>) {
        for misfit in fit::misfits(object) {
            let path: Vec<&str> = misfit.path.iter().map(String::as_str).collect();
            let value = path.iter().try_fold(object.body(), |value, step| match value {
                Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                value => value.get(*step),
            });
            // A stand-in need not look like what it stands for.
            let stands_in = || value.and_then(Value::as_str).is_some_and(|text| (self.is_secret)(text));
            if misfit.code == "wrong-type" && stands_in() {
                continue;
            }
            let message = format!("{}: {}", object.key(), misfit.message);
            let wrong = self.wrong(misfit.code, message, node.place_of(&path, misfit.of_key()));
            misfits.push(Mistake { hint: misfit.hint.or(wrong.hint.clone()), ..wrong });
        }
    }

    fn check_annotations(&self, object: &Object, node: &Node, mistakes: &mut Vec<Mistake>) {
        let annotations = object.body().get("metadata").and_then(|metadata| metadata.get("annotations"));
        let Some(annotations) = annotations.and_then(Value::as_object) else { return };
        for (name, value) in annotations {
            let Some(short) = name.strip_prefix("rekindle.dev/") else { continue };
            let mut wrong = |key: bool, message: String, hint: Option<String>| {
                let place = node.place_of(&["metadata", "annotations", name], key);
                mistakes.push(Mistake { hint, ..self.wrong("annotation", message, place) });
            };
            let text = value.as_str().unwrap_or_default();
            match short {
                _ if !ANNOTATIONS.contains(&short) => {
                    let hint = nearest(short, ANNOTATIONS).map(|known| format!("did you mean rekindle.dev/{known}?"));
                    wrong(true, format!("Rekindle has no annotation {name}"), hint);
                }
                "after" => {
                    for entry in crate::manifest::references::after(object).into_iter().filter_map(Result::err) {
                        wrong(false, format!("rekindle.dev/after: {entry} is not Kind/name"), None);
                    }
                }
                "ready" => {
                    if let Err(error) = crate::health::cel::check(text) {
                        wrong(false, format!("rekindle.dev/ready: {error}"), None);
                    }
                }
                "replace" if text != "allowed" => {
                    wrong(false, format!("rekindle.dev/replace is {text}, it can only be allowed"), None);
                }
                "replace" if holds_data(object.group(), object.kind()) => wrong(
                    true,
                    format!("{} holds data and is never deleted to be made again", object.key()),
                    Some(format!("take {name} out; to begin anew, give it another name")),
                ),
                "ignore-fields" => {
                    for fault in crate::plan::ignored::faults(object) {
                        wrong(false, format!("rekindle.dev/ignore-fields: {fault}"), None);
                    }
                }
                "timeout" => {
                    if let Err(message) = crate::manifest::duration::parse_duration(text) {
                        wrong(false, format!("rekindle.dev/timeout: {text} {message}"), None);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether an expression of a template's line touches other text, as in `"registry/{{ tag }}"`.
fn is_glued(line: &str) -> bool {
    let before = line.rsplit("{{").skip(1).filter_map(|text| text.chars().last());
    let after = line.split("}}").skip(1).filter_map(|text| text.chars().next());
    before.chain(after).any(|letter| !letter.is_whitespace() && !"[](){},:".contains(letter))
}

/// The node at a path of mappings.
fn found<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, segment| {
        node.as_map()?.iter().find(|(key, _)| key.text == *segment).map(|(_, node)| node)
    })
}
