//! What extends or guards the API server: CustomResourceDefinition, APIService, webhooks, admission policies,
//! certificate requests, flow schemas.

use serde_json::Value;

use super::Status;
use super::fields::{condition, conditions_at, items, one_line, text, unseen};

/// A CustomResourceDefinition. Read: conditions `NamesAccepted`, `Established`, `NonStructuralSchema`. That discovery
/// lists its kind is a separate question, to the API server.
pub fn definition(object: &Value) -> Status {
    if let Some(names) = condition(object, "NamesAccepted").filter(|it| it.is_false()) {
        return Status::failed(format!("its names are not accepted: {}", names.says()));
    }
    match condition(object, "Established") {
        Some(it) if it.is_true() => {
            let remark = ["NonStructuralSchema", "KubernetesAPIApprovalPolicyConformant"].iter().find_map(|kind| {
                let it = condition(object, kind)?;
                let bad = if *kind == "NonStructuralSchema" { it.is_true() } else { it.is_false() };
                bad.then(|| it.says())
            });
            Status::ready(remark.unwrap_or_default())
        }
        Some(it) if it.is_false() && !matches!(it.reason, "" | "Installing") => {
            Status::failed(format!("cannot be established: {}", it.says()))
        }
        Some(_) => Status::progressing("is being established"),
        None => Status::progressing("created, its controller has not looked at it yet"),
    }
}

/// An APIService. Read: condition `Available`. While one is unavailable, discovery of its group fails.
pub fn service(object: &Value) -> Status {
    match condition(object, "Available") {
        Some(it) if it.is_true() => Status::ready(""),
        Some(it) => Status::progressing(format!("not available: {}", it.says())),
        None => Status::progressing("created, nobody has asked whether it is available yet"),
    }
}

/// A webhook configuration has no status. One that waits for its certificate bundle would make the API server refuse whatever it
/// matches.
pub fn webhooks(object: &Value) -> Status {
    match items(object, "/webhooks").iter().find(|webhook| lacks_bundle(webhook)) {
        Some(webhook) if is_injected(object) => {
            Status::progressing(format!("webhook {} waits for its CA bundle", one_line(text(webhook, "/name"))))
        }
        _ => Status::ready(""),
    }
}

/// Whether somebody else writes an object's CA bundles: cert-manager, by its annotations `cert-manager.io/inject-…`. Source:
/// <https://cert-manager.io/docs/concepts/ca-injector/>
pub fn is_injected(object: &Value) -> bool {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.is_some_and(|annotations| annotations.keys().any(|key| key.starts_with("cert-manager.io/inject-")))
}

/// Whether a webhook of the cluster has nothing yet that its certificate is checked with.
pub fn lacks_bundle(webhook: &Value) -> bool {
    webhook.pointer("/clientConfig/service").is_some() && text(webhook, "/clientConfig/caBundle").is_empty()
}

/// A ValidatingAdmissionPolicy. Read: observedGeneration, `status.typeChecking`.
pub fn admission_policy(object: &Value) -> Status {
    if let Some(unseen) = unseen(object) {
        return unseen;
    }
    match items(object, "/status/typeChecking/expressionWarnings") {
        [] => Status::ready(""),
        [first, rest @ ..] => {
            let place = one_line(text(first, "/fieldRef"));
            let warning = one_line(text(first, "/warning"));
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            Status::ready(format!("{place}: {warning}{more}"))
        }
    }
}

/// A CertificateSigningRequest. Read: conditions `Approved`, `Denied`, `Failed`; `status.certificate`.
pub fn signing_request(object: &Value) -> Status {
    if let Some(end) =
        conditions_at(object, "/status/conditions").find(|it| matches!(it.kind, "Denied" | "Failed") && !it.is_false())
    {
        let word = if end.kind == "Denied" { "denied" } else { "failed" };
        return Status::failed(format!("{word}: {}", end.says()));
    }
    if !text(object, "/status/certificate").is_empty() {
        return Status::ready("");
    }
    match conditions_at(object, "/status/conditions").any(|it| it.kind == "Approved" && !it.is_false()) {
        true => {
            Status::progressing(format!("approved, waits for signer {}", one_line(text(object, "/spec/signerName"))))
        }
        false => Status::progressing("waits for approval"),
    }
}

/// A FlowSchema. Read: condition `Dangling`: it works as written or falls back, so this is a remark.
pub fn flow_schema(object: &Value) -> Status {
    Status::ready(condition(object, "Dangling").filter(|it| it.is_true()).map_or_else(String::new, |it| it.says()))
}
