//! What the API server refuses of volumes: those of pods, PersistentVolumes, and claims.

use serde_json::{Value, json};

use super::{choices, list, names};
use crate::cluster::volumes::source;
use crate::rehearsal::status::FieldError;

/// The types of a pod's volume, in the order in which the API server looks at them: of two, the later one is told. Source:
/// `validateVolumeSource` of Kubernetes' pkg/apis/core/validation.
const TYPES: [&str; 29] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "configMap",
    "azureFile",
    "flexVolume",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

const TWO_TYPES: &str = "may not specify more than 1 volume type";

/// What is wrong with a volume of a pod at a path. Without a type it is an empty one.
pub fn of_pod(volume: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let types = TYPES.into_iter().filter(|name| volume.get(name).is_some());
    errors.extend(types.skip(1).map(|name| FieldError::forbidden(format!("{path}.{name}"), TWO_TYPES)));
    match volume["name"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(format!("{path}.name"), "")),
        name => errors.extend(names::errors(&format!("{path}.name"), name, names::label(name))),
    }
    // Of two types only the first is read.
    let Some(kind) = TYPES.into_iter().find(|name| volume.get(name).is_some()) else { return errors };
    let (of, path) = (&volume[kind], format!("{path}.{kind}"));
    let named = match kind {
        "secret" => "secretName",
        "configMap" => "name",
        "persistentVolumeClaim" => "claimName",
        "hostPath" => "path",
        _ => "",
    };
    if !named.is_empty() && of[named].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required(format!("{path}.{named}"), ""));
    }
    errors.extend(items(of, &path));
    if kind == "projected" {
        for (index, from) in list(of, "sources").enumerate() {
            errors.extend(projected(from, &format!("{path}.sources[{index}]")));
        }
    }
    errors
}

fn projected(from: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let types = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"];
    let types = types.into_iter().filter(|name| from.get(name).is_some());
    for (at, name) in types.enumerate() {
        if at > 0 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type per source"));
        } else if matches!(name, "secret" | "configMap") {
            if from[name]["name"].as_str().is_none_or(str::is_empty) {
                errors.push(FieldError::required(format!("{path}.{name}.name"), ""));
            }
            errors.extend(items(&from[name], &format!("{path}.{name}")));
        }
    }
    errors
}

/// The keys that become files; those of a downward volume are no keys.
fn items(of: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if path.ends_with("downwardAPI") {
        return errors;
    }
    for (index, item) in list(of, "items").enumerate() {
        let path = format!("{path}.items[{index}]");
        if item["key"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("{path}.key"), ""));
        }
        let field = format!("{path}.path");
        let place = item["path"].as_str().unwrap_or_default();
        if place.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if place.starts_with('/') {
            errors.push(FieldError::invalid(field, &json!(place), "must be a relative path"));
        } else if place.split('/').any(|step| step == "..") {
            errors.push(FieldError::invalid(field, &json!(place), "must not contain '..'"));
        }
    }
    errors
}

/// What is wrong with the spec of a claim at a path.
pub fn of_claim(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if list(spec, "accessModes").next().is_none() {
        errors.push(FieldError::required(format!("{path}.accessModes"), "at least 1 access mode is required"));
    }
    errors.extend(access(spec, path));
    if spec.pointer("/resources/requests/storage").is_none() {
        errors.push(FieldError::required(format!("{path}.resources[storage]"), ""));
    }
    errors
}

/// What is wrong with a PersistentVolume.
pub fn persistent(volume: &Value) -> Vec<FieldError> {
    let spec = &volume["spec"];
    let mut errors = Vec::new();
    if list(spec, "accessModes").next().is_none() {
        errors.push(FieldError::required("spec.accessModes", ""));
    }
    errors.extend(access(spec, "spec"));
    let place = |name: &str| TYPES.iter().position(|it| *it == name);
    let mut types: Vec<&str> = source(volume).map(|(name, _)| name).collect();
    types.sort_by_key(|name| place(name));
    if types.is_empty() {
        errors.push(FieldError::required("spec", "must specify a volume type"));
    }
    errors.extend(types.iter().skip(1).map(|name| FieldError::forbidden(format!("spec.{name}"), TWO_TYPES)));
    errors
}

fn access(spec: &Value, path: &str) -> Vec<FieldError> {
    let field = format!("{path}.accessModes");
    let mut errors = choices::of_access(&spec["accessModes"], &field);
    let alone = list(spec, "accessModes").any(|mode| mode == "ReadWriteOncePod");
    if alone && list(spec, "accessModes").nth(1).is_some() {
        errors.push(FieldError::forbidden(field, "may not use ReadWriteOncePod with other access modes"));
    }
    errors
}
