//! Claims, volumes and their attachment.

use serde_json::Value;

use super::Status;
use super::fields::{condition, conditions_at, is_true, name, one_line, text, written_status};

/// A PersistentVolumeClaim. Read: `status.phase`, resize conditions, capacity; the class's `volumeBindingMode`.
///
/// A claim of a `WaitForFirstConsumer` class is ready while it waits: its pod may come in a later phase. A resize does
/// not make a bound claim unready, because it may in turn wait for a pod.
pub fn claim(object: &Value, classes: &[&Value]) -> Status {
    match text(object, "/status/phase") {
        "Bound" => return Status::ready(resize(object).unwrap_or_default()),
        "Lost" => {
            let volume = text(object, "/spec/volumeName");
            return Status::failed(format!(
                "its volume pv/{volume} is gone, and the data with it as far as Kubernetes knows"
            ));
        }
        "" if written_status(object).is_none() => {
            return Status::progressing("created, nobody has looked at it yet");
        }
        _ => {}
    }
    let volume = text(object, "/spec/volumeName");
    if !volume.is_empty() {
        return Status::progressing(format!("waits to be bound to pv/{volume}"));
    }
    if let Some(node) =
        object.pointer("/metadata/annotations/volume.kubernetes.io~1selected-node").and_then(Value::as_str)
    {
        return Status::progressing(format!("its volume is being made for node {}", one_line(node)));
    }
    let wanted = object.pointer("/spec/storageClassName").and_then(Value::as_str).or_else(|| {
        object.pointer("/metadata/annotations/volume.beta.kubernetes.io~1storage-class").and_then(Value::as_str)
    });
    match wanted {
        Some("") => return Status::progressing("waits for a volume without a class that fits it"),
        _ if classes.is_empty() => return Status::progressing("waits for a volume"),
        _ => {}
    }
    let class = match wanted {
        Some(wanted) => classes.iter().find(|class| name(class) == wanted),
        None => classes.iter().find(|class| is_default(class)),
    };
    match (class, wanted) {
        (Some(class), _) if text(class, "/volumeBindingMode") == "WaitForFirstConsumer" => {
            Status::ready("waits for its first consumer")
        }
        (Some(class), _) => Status::progressing(format!("waits for a volume of storage class {}", name(class))),
        (None, Some(wanted)) => Status::progressing(format!("storage class {} does not exist", one_line(wanted))),
        (None, None) => Status::progressing("names no storage class, and there is no default one"),
    }
}

fn is_default(class: &Value) -> bool {
    ["storageclass.kubernetes.io~1is-default-class", "storageclass.beta.kubernetes.io~1is-default-class"]
        .iter()
        .any(|annotation| text(class, &format!("/metadata/annotations/{annotation}")) == "true")
}

/// What there is to say about a bound claim whose size or class is being changed.
fn resize(object: &Value) -> Option<String> {
    let wanted = text(object, "/spec/resources/requests/storage");
    let problem = ["ControllerResizeError", "NodeResizeError", "ModifyVolumeError"]
        .iter()
        .find_map(|kind| condition(object, kind).filter(|it| it.is_true()));
    if let Some(problem) = problem {
        return Some(format!("the change of its volume fails: {}", problem.says()));
    }
    let going_on = conditions_at(object, "/status/conditions")
        .find(|it| it.is_true() && matches!(it.kind, "Resizing" | "FileSystemResizePending" | "ModifyingVolume"))?;
    Some(match going_on.kind {
        "Resizing" => format!("is being resized to {wanted}"),
        "FileSystemResizePending" => format!("grows to {wanted} when a pod next starts with it"),
        _ => "its volume is being changed".to_owned(),
    })
}

/// A PersistentVolume. Read: `status.phase`, `status.reason`, `status.message`.
///
/// `Released` means that the claim it served is deleted and that Kubernetes will never give it to another: with the
/// policy Retain only a change of `spec.claimRef` helps.
pub fn volume(object: &Value) -> Status {
    let message = one_line(text(object, "/status/message"));
    let claim = match (text(object, "/spec/claimRef/namespace"), text(object, "/spec/claimRef/name")) {
        (_, "") => "a deleted claim".to_owned(),
        ("", name) => format!("the deleted claim {name}"),
        (namespace, name) => format!("the deleted claim {namespace}/{name}"),
    };
    match text(object, "/status/phase") {
        "Available" | "Bound" => Status::ready(""),
        "Released" if text(object, "/spec/persistentVolumeReclaimPolicy") == "Delete" => {
            Status::progressing(format!("released by {claim}, is being deleted"))
        }
        // The volume controller has not seen yet that it was reserved for a claim that is to come.
        "Released"
            if !text(object, "/spec/claimRef/name").is_empty() && text(object, "/spec/claimRef/uid").is_empty() =>
        {
            Status::progressing("reserved again, its controller has not looked at it yet")
        }
        "Released" if object.pointer("/spec/claimRef").is_none_or(Value::is_null) => {
            Status::progressing("free again, its controller has not looked at it yet")
        }
        "Released" => Status::failed(format!("still held by {claim}: no other claim can have it")),
        "Failed" if message.is_empty() => Status::failed(format!("could not be reclaimed from {claim}")),
        "Failed" => Status::failed(format!("could not be reclaimed from {claim}: {message}")),
        "" => Status::progressing("created, its controller has not looked at it yet"),
        phase => Status::progressing(format!("its phase is {}", one_line(phase))),
    }
}

/// A VolumeAttachment. Read: `status.attached`, `status.attachError`.
pub fn attachment(object: &Value) -> Status {
    if is_true(object, "/status/attached") {
        return Status::ready("");
    }
    match one_line(text(object, "/status/attachError/message")) {
        error if error.is_empty() => Status::progressing("is being attached"),
        error => Status::progressing(format!("cannot be attached: {error}")),
    }
}
