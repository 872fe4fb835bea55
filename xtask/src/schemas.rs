//! `cargo xtask record-schemas`: what the simulated control plane knows of the real one's kinds and types.
//!
//! Recorded from the API server of a testbed: its own kinds (discovery) and, of its OpenAPI documents, what server-side apply and
//! strict validation need: fields, list-map keys, atomic parts, required fields and those defaults that belong to list-map
//! keys. One compressed JSON file, compiled into the binary; `src/manifest/schema.rs` reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::cluster::{Borrowed, Kind};
use crate::progress::say;

/// Where the record is kept, relative to the project's folder.
const FILE: &str = "src/manifest/kubernetes.json.gz";

/// Groups of the API server's own bookkeeping.
const LEFT_OUT: [&str; 1] = ["internal.apiserver.k8s.io"];

/// Arguments of `record-schemas`.
#[derive(Args)]
pub struct RecordArgs {
    /// Name of the cluster to record from; made for it when it is not there
    #[arg(long, default_value = "schemas")]
    name: String,
}

/// Records.
///
/// # Errors
/// When the cluster does not answer, or the file cannot be written.
pub fn record(args: &RecordArgs) -> Result<()> {
    let bed = Borrowed::up(&args.name, Kind::ControlPlane)?;
    let record = read(&bed.api()?)?;
    let text = serde_json::to_vec(&record)?;
    // A fixed time in the header, so that the same record gives the same bytes.
    let mut packed = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
    packed.write_all(&text)?;
    let packed = packed.finish()?;
    std::fs::write(Path::new(FILE), &packed).with_context(|| format!("cannot write {FILE}"))?;
    say(format_args!("{FILE}: {} bytes, {} unpacked", packed.len(), text.len()));
    Ok(())
}

fn read(api: &Api) -> Result<Value> {
    let version = api.get("/version")?;
    let index = api.get("/openapi/v3")?;
    let defined = groups_of_definitions(api)?;
    let (mut kinds, mut types) = (Vec::new(), BTreeMap::new());
    for path in index["paths"].as_object().into_iter().flatten().map(|(path, _)| path) {
        let (group, version) = match path.split('/').collect::<Vec<_>>()[..] {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => continue,
        };
        if LEFT_OUT.contains(&group) || defined.contains(group) {
            continue;
        }
        let document = api.get(&format!("/openapi/v3/{path}"))?;
        let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
        let resources = api.get(&format!("/{path}"))?;
        let resources = resources["resources"].as_array().cloned().unwrap_or_default();
        for resource in resources.iter().filter(|it| !it["name"].as_str().unwrap_or_default().contains('/')) {
            let kind = resource["kind"].as_str().unwrap_or_default();
            let Some(name) = schemas.iter().find(|(_, schema)| is_kind(schema, group, version, kind)) else { continue };
            let own = format!("{}/", resource["name"].as_str().unwrap_or_default());
            let parts = resources.iter().filter_map(|it| it["name"].as_str()?.strip_prefix(&own).map(str::to_owned));
            kinds.push(json!({
                "group": group, "version": version, "kind": kind, "resource": resource["name"],
                "singular": resource["singularName"], "namespaced": resource["namespaced"], "verbs": resource["verbs"],
                "short": resource["shortNames"], "categories": resource["categories"],
                "parts": parts.collect::<Vec<_>>(), "type": name.0,
            }));
            collect(name.0, &schemas, &mut types);
        }
    }
    Ok(json!({"kubernetes": version["gitVersion"], "kinds": kinds, "types": types}))
}

/// Groups that definitions have brought: they are no part of Kubernetes, and tests may have left some in a testbed.
fn groups_of_definitions(api: &Api) -> Result<BTreeSet<String>> {
    let definitions = api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")?;
    let definitions = definitions["items"].as_array().into_iter().flatten();
    Ok(definitions.filter_map(|it| it["spec"]["group"].as_str().map(str::to_owned)).collect())
}

fn is_kind(schema: &Value, group: &str, version: &str, kind: &str) -> bool {
    let names = schema["x-kubernetes-group-version-kind"].as_array();
    names.is_some_and(|names| {
        names.iter().any(|name| name["group"] == group && name["version"] == version && name["kind"] == kind)
    })
}

/// Adds a type and everything that it is made of.
fn collect(name: &str, schemas: &Map<String, Value>, types: &mut BTreeMap<String, Value>) {
    if types.contains_key(name) {
        return;
    }
    let Some(schema) = schemas.get(name) else { return };
    types.insert(name.to_owned(), Value::Null);
    let mut named = Vec::new();
    let node = node(schema, &mut named);
    types.insert(name.to_owned(), node);
    for name in named {
        collect(&name, schemas, types);
    }
}

/// A type in short: a word for a scalar (`string`, `integer`, `number`, `boolean`, `bytes`, `quantity`, `either` an integer
/// or a string, `any`), `@name` for another type (`=name` where it
/// is there even when it is empty), `{fields, required, defaults}`, `{map}` or `{list, keys}`; `atomic` where
/// server-side apply takes the whole as one.
fn node(schema: &Value, named: &mut Vec<String>) -> Value {
    let atomic = schema["x-kubernetes-map-type"] == "atomic";
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    if let Some(name) = reference.and_then(|path| path.rsplit('/').next()) {
        match name {
            "io.k8s.apimachinery.pkg.api.resource.Quantity" => return json!("quantity"),
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => return json!("either"),
            "io.k8s.apimachinery.pkg.apis.meta.v1.Time" | "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime" => {
                return json!("string");
            }
            _ => {}
        }
        named.push(name.to_owned());
        // Go's types hold some structs by value, which are there even when they are empty: OpenAPI says `default: {}` of these.
        let name = format!("{}{name}", if schema["default"].is_object() { '=' } else { '@' });
        return if atomic { json!({"type": name, "atomic": true}) } else { json!(name) };
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return json!("any");
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (_, Some("int-or-string")) => json!("either"),
        (Some("string"), Some("byte")) => json!("bytes"),
        (Some(scalar @ ("string" | "integer" | "number" | "boolean")), _) => json!(scalar),
        (Some("array"), _) => {
            let mut list = json!({"list": node(&schema["items"], named)});
            match schema["x-kubernetes-list-type"].as_str() {
                Some("map") => list["keys"] = schema["x-kubernetes-list-map-keys"].clone(),
                Some("set") => list["keys"] = json!([]),
                _ => {}
            }
            list
        }
        (Some("object"), _) if schema["properties"].is_object() => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let fields: Map<String, Value> =
                properties.clone().map(|(name, schema)| (name.clone(), node(schema, named))).collect();
            // Empty texts, zeros and empty objects are how Go's types begin, not what the server fills in.
            let real =
                |value: &&Value| !matches!(value, Value::Null | Value::Object(_)) && **value != "" && **value != 0;
            let defaults: Map<String, Value> = properties
                .filter_map(|(name, schema)| Some((name.clone(), schema.get("default").filter(real)?.clone())))
                .collect();
            let mut object = json!({"fields": fields});
            if !defaults.is_empty() {
                object["defaults"] = defaults.into();
            }
            if atomic {
                object["atomic"] = true.into();
            }
            object
        }
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            let mut map = json!({"map": node(&schema["additionalProperties"], named)});
            if atomic {
                map["atomic"] = true.into();
            }
            map
        }
        _ => json!("any"),
    }
}
