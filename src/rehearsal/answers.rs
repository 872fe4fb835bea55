//! Answers to gates that ask a program in a pod: there is none, so a pod that is ready counts as the answer that is wanted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::controllers::is_ready;
use super::controllers::operators::made_for;
use super::request::selects;
use super::service::Simulation;
use super::world::World;
use crate::cluster::forward::Port;
use crate::health::gate::{Answer, Gate, HttpTarget, Probe, StandIn};

/// Answers by the state of the simulated pods.
pub struct Answers(pub Simulation);

impl StandIn for Answers {
    fn answer(&self, gate: &Gate) -> Option<Answer> {
        let world = self.0.world();
        let namespace = gate.namespace.as_str();
        let by_service = |service: &str, port: Option<&Port>| behind_service(&world, namespace, service, port);
        Some(match &gate.probe {
            // These are asked as they are: the simulated API server answers.
            Probe::Condition(_) => return None,
            Probe::Http(spec) => match &spec.target {
                HttpTarget::Service { service, port, .. } => by_service(service, Some(port)),
                HttpTarget::Ingress { host, .. } => behind_host(&world, namespace, host),
                HttpTarget::Url { url } => Answer::passed(format!("{url} was not asked: taken to answer")),
            },
            Probe::Tcp(spec) => by_service(&spec.service, Some(&spec.port)),
            Probe::Postgres(spec) => by_service(&spec.service, Some(&spec.port)),
            Probe::Redis(spec) => by_service(&spec.service, Some(&spec.port)),
            Probe::Exec(spec) => {
                let selector = json!({"matchLabels": spec.selector});
                behind(&world, namespace, &selector, "the pod that is asked")
            }
        })
    }
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
    let key = super::store::Key::new("", "services", namespace, service);
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

fn behind_host(world: &World, namespace: &str, host: &str) -> Answer {
    let place = ("networking.k8s.io".to_owned(), "ingresses".to_owned());
    let rules = world.store.list(&place, Some(namespace)).flat_map(|(_, ingress)| {
        let rules = ingress.pointer("/spec/rules").and_then(Value::as_array).cloned().unwrap_or_default();
        rules.into_iter().filter(|rule| rule["host"] == host)
    });
    let services: Vec<String> = rules
        .flat_map(|rule| rule.pointer("/http/paths").and_then(Value::as_array).cloned().unwrap_or_default())
        .filter_map(|path| path.pointer("/backend/service/name").and_then(Value::as_str).map(str::to_owned))
        .collect();
    match services.first() {
        None => Answer::waiting(format!("no Ingress names the host {host}")),
        Some(service) => {
            let key = super::store::Key::new("", "services", namespace, service);
            let outside =
                world.store.get(&key).is_some_and(|it| it.pointer("/spec/type") == Some(&json!("ExternalName")));
            if outside {
                return Answer::passed(format!("host {host} leads outside: taken to answer as wanted"));
            }
            behind_service(world, namespace, service, None)
        }
    }
}
