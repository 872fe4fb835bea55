//! Answers to gates that ask a program in a pod: there is none, so a pod that is ready counts as the answer that is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::controllers::is_ready;
use super::controllers::operators::{is_done, made_for};
use super::request::selects;
use super::service::Simulation;
use super::store::Key;
use super::world::World;
use crate::cluster::forward::Port;
use crate::health::gate::{Address, Answer, Gate, Http, HttpTarget, Probe, StandIn, is_for_host, no_rule};
use crate::manifest::references::is_builtin_group;

/// Answers by the state of the simulated pods.
pub struct Answers(pub Simulation);

impl StandIn for Answers {
    fn answer(&self, gate: &Gate) -> Option<Answer> {
        let mut world = self.0.world();
        let namespace = gate.namespace.as_str();
        Some(match &gate.probe {
            // These are asked as they are: the simulated API server answers.
            Probe::Condition(_) => return None,
            Probe::Http(spec) => match &spec.target {
                HttpTarget::Service { service, port, .. } => behind_service(&world, namespace, service, Some(port)),
                HttpTarget::Ingress { host, address, .. } => {
                    behind_host(&world, namespace, host, address.as_ref(), spec)
                }
                HttpTarget::Url { url } => Answer::passed(format!("{url} was not asked: taken to answer")),
            },
            Probe::Tcp(spec) => behind_service(&world, namespace, &spec.service, Some(&spec.port)),
            Probe::Postgres(spec) => behind_service(&world, namespace, &spec.service, Some(&spec.port)),
            Probe::Redis(spec) => behind_service(&world, namespace, &spec.service, Some(&spec.port)),
            Probe::Exec(spec) => {
                let selector = json!({"matchLabels": spec.selector});
                match resource_of(&world, namespace, &spec.selector) {
                    Some((name, true)) if pods(&world, namespace, &selector).is_empty() => {
                        let answer = Answer::passed(format!("{name} is ready: its pods are taken to answer as wanted"));
                        world.answered_by.insert(name);
                        answer
                    }
                    Some((name, false)) if pods(&world, namespace, &selector).is_empty() => {
                        Answer::waiting(format!("{name}, whose pods are asked, is not ready yet"))
                    }
                    _ => behind(&world, namespace, &selector, "the pod that is asked"),
                }
            }
        })
    }
}

/// The custom resource, as `Kind/name`, that labels of pods name, and whether its operator calls it ready: operators label the pods
/// that they make with the name of what they are for, such as `cnpg.io/cluster: db`.
fn resource_of(world: &World, namespace: &str, labels: &BTreeMap<String, String>) -> Option<(String, bool)> {
    let named =
        |key: &Key| labels.values().any(|value| *value == key.name) && [namespace, ""].contains(&&*key.namespace);
    let key = world.operated().into_iter().find(|key| !is_builtin_group(&key.group) && named(key))?;
    let kind = world.kind_of(&key)?;
    Some((format!("{}/{}", kind.kind, key.name), is_done(world, &key)))
}

fn pods(world: &World, namespace: &str, selector: &Value) -> Vec<Arc<Value>> {
    let place = (String::new(), "pods".to_owned());
    let found = world.store.list(&place, Some(namespace)).filter(|(_, pod)| selects(selector, pod));
    found.map(|(_, pod)| pod.clone()).collect()
}

fn behind(world: &World, namespace: &str, selector: &Value, what: &str) -> Answer {
    let found = pods(world, namespace, selector);
    match found.iter().find(|pod| is_ready(pod)) {
        Some(pod) => {
            let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            Answer::passed(format!("pod {name} is ready: taken to answer as wanted"))
        }
        None if found.is_empty() => Answer::waiting(format!("there is no pod for {what}")),
        None => Answer::waiting(format!("no pod for {what} is ready, {} not yet", found.len())),
    }
}

fn behind_service(world: &World, namespace: &str, service: &str, port: Option<&Port>) -> Answer {
    let key = Key::new("", "services", namespace, service);
    let Some(object) = world.store.get(&key) else {
        return Answer::waiting(format!("there is no Service {service} in namespace {namespace}"));
    };
    if let Some(resource) = made_for(object) {
        return Answer::passed(format!("Service {service} is made for {resource}: taken to answer as wanted"));
    }
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    let known = |port: &Port| {
        ports.into_iter().flatten().any(|known| match port {
            Port::Number(number) => known["port"] == *number,
            Port::Name(name) => known["name"] == name.as_str(),
        })
    };
    if let Some(port) = port.filter(|port| ports.is_some() && !known(port)) {
        return Answer::waiting(format!("Service {service} has no TCP port {port}"));
    }
    let what = format!("Service {service}");
    match object.pointer("/spec/selector") {
        Some(selector) => behind(world, namespace, selector, &what),
        None => {
            // Without a selector somebody writes its endpoints, such as Patroni for the primary: the pods of the workload of
            // its name, which go by its component.
            let selectors = ["app.kubernetes.io/component", "app.kubernetes.io/name", "app"];
            let named = selectors.iter().map(|label| json!({*label: service}));
            let found = named.into_iter().find(|selector| !pods(world, namespace, selector).is_empty());
            behind(world, namespace, &found.unwrap_or(json!({"app": service})), &what)
        }
    }
}

/// Where an Ingress sends a request.
#[derive(Debug, PartialEq)]
enum Sent<'v> {
    /// To a backend.
    To(&'v Value),
    /// Nowhere: no path is for it.
    Nowhere,
    /// No rule is for the host.
    Unknown,
}

/// Where a request is sent. Source: "Ingress" of Kubernetes' documentation: the host itself before a wildcard, then the longest path
/// that matches, an exact one first; what no path is for goes to the default backend.
fn sent<'v>(ingresses: &[&'v Value], host: &str, path: &str) -> Sent<'v> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let (mut best, mut is_known, mut default) = (None, false, None);
    for ingress in ingresses {
        for rule in list(ingress, "/spec/rules") {
            let Some(of) = rule["host"].as_str().filter(|of| is_for_host(of, host)) else { continue };
            is_known = true;
            default = default.or_else(|| ingress.pointer("/spec/defaultBackend"));
            for wish in list(rule, "/http/paths") {
                let (start, exact) = (wish["path"].as_str().unwrap_or("/"), wish["pathType"] == "Exact");
                let rank = (!of.starts_with("*."), start.trim_end_matches('/').len(), exact);
                let matches = if exact { path == start } else { is_below(path, start) };
                if matches && best.as_ref().is_none_or(|(known, _)| rank > *known) {
                    best = Some((rank, &wish["backend"]));
                }
            }
        }
    }
    match best.map(|(_, backend)| backend).or(default) {
        Some(backend) => Sent::To(backend),
        None if is_known => Sent::Nowhere,
        None => Sent::Unknown,
    }
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Whether a path begins with another one, part by part.
fn is_below(path: &str, start: &str) -> bool {
    let start = start.trim_end_matches('/');
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn behind_host(world: &World, namespace: &str, host: &str, address: Option<&Address>, spec: &Http) -> Answer {
    let place = ("networking.k8s.io".to_owned(), "ingresses".to_owned());
    let ingresses: Vec<&Value> = world.store.list(&place, Some(namespace)).map(|(_, it)| &**it).collect();
    let backend = match (sent(&ingresses, host, &spec.path), address) {
        (Sent::To(backend), _) => backend,
        // A controller's own answer.
        (Sent::Nowhere, _) if spec.status.accept(404) => return Answer::passed(format!("host {host} answers 404")),
        (Sent::Nowhere, _) => return Answer::waiting(format!("no path that {host} has is for {}", spec.path)),
        // What listens there may be a gateway, which needs no Ingress.
        (Sent::Unknown, Some(address)) => {
            return Answer::passed(format!("{host} was not asked at {address}: taken to answer"));
        }
        (Sent::Unknown, None) => return Answer::waiting(no_rule(namespace, host)),
    };
    let Some(service) = backend.pointer("/service/name").and_then(Value::as_str) else {
        return Answer::passed(format!("host {host} leads to no Service: taken to answer as wanted"));
    };
    let key = Key::new("", "services", namespace, service);
    let outside = world.store.get(&key).is_some_and(|it| it.pointer("/spec/type") == Some(&json!("ExternalName")));
    if outside {
        return Answer::passed(format!("host {host} leads outside: taken to answer as wanted"));
    }
    behind_service(world, namespace, service, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_by_host_then_by_the_longest_path() {
        let rule = |host: &str, paths: &[(&str, &str, &str)]| {
            let paths: Vec<Value> = paths
                .iter()
                .map(|(path, kind, to)| json!({"path": path, "pathType": kind, "backend": {"service": {"name": to}}}))
                .collect();
            json!({"host": host, "http": {"paths": paths}})
        };
        let one = json!({"spec": {"rules": [
            rule("*.shop.example", &[("/", "Prefix", "any"), ("/api/v2", "Prefix", "wild")]),
            rule("web.shop.example", &[("/", "Prefix", "web"), ("/api/", "Prefix", "api"), ("/api", "Exact", "exact")]),
            rule("api.shop.example", &[("/api", "ImplementationSpecific", "api")]),
        ]}});
        let two =
            json!({"spec": {"defaultBackend": {"service": {"name": "rest"}}, "rules": [{"host": "bare.example"}]}});
        for (host, path, wanted) in [
            ("a.shop.example", "/x", "any"),
            ("A.SHOP.example", "/api/v2/users?x=1", "wild"),
            ("web.shop.example", "/api/v2", "api"),
            ("web.shop.example", "/api", "exact"),
            ("web.shop.example", "/apis", "web"),
            ("bare.example", "/x", "rest"),
        ] {
            let Sent::To(backend) = sent(&[&one, &two], host, path) else { panic!("{host}{path}") };
            assert_eq!(backend["service"]["name"], wanted, "{host}{path}");
        }
        let only = json!({"spec": {"rules": [rule("api.shop.example", &[("/api", "Prefix", "api")])]}});
        assert_eq!(sent(&[&only], "api.shop.example", "/"), Sent::Nowhere);
        assert_eq!(sent(&[&one], "a.b.shop.example", "/"), Sent::Unknown);
    }
}
