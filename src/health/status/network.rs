//! Service, Ingress and the Gateway API.

use serde_json::Value;

use super::Status;
use super::fields::{Condition, conditions_at, items, one_line, text};

/// Addresses below a load balancer's or Gateway's status.
fn addresses(object: &Value, pointer: &str, fields: [&str; 2]) -> Vec<String> {
    items(object, pointer)
        .iter()
        .filter_map(|entry| fields.iter().map(|field| text(entry, field)).find(|address| !address.is_empty()))
        .map(one_line)
        .collect()
}

/// A Service. Read: `spec.type`, `spec.clusterIP`, `status.loadBalancer`. Endpoints are not asked for: Services are
/// made before the pods behind them, and gates ask whether anybody answers.
pub fn service(object: &Value) -> Status {
    let kind = text(object, "/spec/type");
    if kind == "ExternalName" {
        return match text(object, "/spec/externalName") {
            "" => Status::failed("is of type ExternalName and names no host"),
            host => Status::ready(format!("stands for {}", one_line(host))),
        };
    }
    if text(object, "/spec/clusterIP").is_empty() && items(object, "/spec/clusterIPs").is_empty() {
        return Status::progressing("has no cluster address yet");
    }
    if kind != "LoadBalancer" {
        return Status::ready("");
    }
    match addresses(object, "/status/loadBalancer/ingress", ["/ip", "/hostname"]) {
        found if found.is_empty() => {
            let problem =
                conditions_at(object, "/status/conditions").find(|it| it.is_true() && it.kind.ends_with("Error"));
            let problem = problem.map_or_else(String::new, |it| format!(": {}", it.says()));
            Status::progressing(format!("waits for the address of a load balancer{problem}"))
        }
        found => Status::ready(format!("answers at {}", found.join(", "))),
    }
}

/// An Ingress is ready when it exists. Only some controllers publish an address in `status.loadBalancer`, and on a
/// cluster without load balancers none ever does, so waiting for it would hang every local rebuild. Who relies on
/// the address asks for it: `rekindle.dev/ready: has(object.status.loadBalancer.ingress)`, or an `http` gate.
pub fn ingress(object: &Value) -> Status {
    match addresses(object, "/status/loadBalancer/ingress", ["/ip", "/hostname"]) {
        found if found.is_empty() => Status::ready("no controller has published an address"),
        found => Status::ready(format!("answers at {}", found.join(", "))),
    }
}

/// Reasons of the Gateway API that only a changed spec can mend.
fn is_lasting(condition: &Condition<'_>) -> bool {
    matches!(
        condition.reason,
        "Invalid"
            | "InvalidParameters"
            | "UnsupportedVersion"
            | "UnsupportedAddress"
            | "UnsupportedProtocol"
            | "UnsupportedValue"
            | "InvalidRouteKinds"
            | "InvalidKind"
            | "InvalidFilter"
            | "IncompatibleFilters"
            | "ListenersNotValid"
    )
}

fn unfinished(condition: &Condition<'_>, subject: &str) -> Status {
    let sentence = format!("{subject}{}: {}", condition.kind, condition.says());
    if condition.is_false() && is_lasting(condition) { Status::failed(sentence) } else { Status::progressing(sentence) }
}

/// The first of some conditions that is not `True` for the current generation, as a verdict.
fn require(object: &Value, pointer: &str, kinds: &[&str], subject: &str) -> Option<Status> {
    for kind in kinds {
        match conditions_at(object, pointer).find(|it| it.kind == *kind) {
            None => {
                return Some(Status::progressing(format!("{subject}its controller has not said whether it is {kind}")));
            }
            Some(it) if it.is_true() => {}
            Some(it) => return Some(unfinished(&it, &format!("{subject}not "))),
        }
    }
    None
}

/// Whether a controller speaks of an earlier generation in any of the conditions.
fn stale(object: &Value, pointer: &str) -> Option<Status> {
    let stale = conditions_at(object, pointer).any(|it| {
        let generation = super::number(object, "/metadata/generation");
        matches!((it.observed, generation), (Some(seen), Some(now)) if seen < now)
    });
    stale.then(|| Status::progressing("changed, its controller has not looked at the change yet"))
}

/// A GatewayClass. Read: condition `Accepted`.
pub fn gateway_class(object: &Value) -> Status {
    stale(object, "/status/conditions")
        .or_else(|| require(object, "/status/conditions", &["Accepted"], ""))
        .unwrap_or_else(|| Status::ready(""))
}

/// A Gateway. Read: conditions `Accepted` and `Programmed`, those of its listeners, addresses.
pub fn gateway(object: &Value) -> Status {
    if let Some(status) = stale(object, "/status/conditions")
        .or_else(|| require(object, "/status/conditions", &["Accepted", "Programmed"], ""))
    {
        return status;
    }
    for listener in items(object, "/status/listeners") {
        let name = one_line(text(listener, "/name"));
        let bad = conditions_at(listener, "/conditions").find(|it| match it.kind {
            "Accepted" | "Programmed" | "ResolvedRefs" => it.is_false(),
            "Conflicted" => it.is_true(),
            _ => false,
        });
        if let Some(bad) = bad {
            return unfinished(&bad, &format!("listener {name}, "));
        }
    }
    match addresses(object, "/status/addresses", ["/value", "/hostname"]) {
        found if found.is_empty() => Status::ready(""),
        found => Status::ready(format!("answers at {}", found.join(", "))),
    }
}

/// A route of the Gateway API. Read: per parent, conditions `Accepted` and `ResolvedRefs`.
pub fn route(object: &Value) -> Status {
    let wanted = items(object, "/spec/parentRefs").len();
    let parents = items(object, "/status/parents");
    if parents.is_empty() && wanted > 0 {
        return Status::progressing("no Gateway has looked at it yet");
    }
    for parent in parents {
        let name = match text(parent, "/parentRef/name") {
            "" => String::new(),
            name => format!("Gateway {}: ", one_line(name)),
        };
        let generation = super::number(object, "/metadata/generation");
        let stale = conditions_at(parent, "/conditions")
            .any(|it| matches!((it.observed, generation), (Some(seen), Some(now)) if seen < now));
        if stale {
            return Status::progressing(format!("{name}has not looked at its change yet"));
        }
        if let Some(status) = require(parent, "/conditions", &["Accepted", "ResolvedRefs"], &name) {
            return status;
        }
    }
    let names = |list: &'_ [Value], field: &str| {
        list.iter().map(|it| text(it, field).to_owned()).filter(|it| !it.is_empty()).collect::<Vec<_>>()
    };
    let seen = names(parents, "/parentRef/name");
    match names(items(object, "/spec/parentRefs"), "/name").into_iter().find(|name| !seen.contains(name)) {
        Some(missing) => Status::progressing(format!("Gateway {} has not looked at it yet", one_line(&missing))),
        None => Status::ready(""),
    }
}
