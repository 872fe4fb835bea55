//! Which pods stand behind a Service, as a pure function of the Service and its EndpointSlices.

use std::fmt;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use serde::Serialize;

use super::forward::ReachError;

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Port {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Something ready behind a Service, with the port on which its container listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Backend {
    /// Which.
    pub place: Place,
    /// The port inside the pod.
    pub port: u16,
}

/// How an endpoint names what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A pod in the Service's namespace.
    Pod(String),
    /// An address without a reference, as an operator writes it; the pod is found by its IP.
    Address(String),
}

/// The ready backends of a Service's port, sorted, each once.
///
/// A port's number is that of the Service and is mapped to the container's port through the port's name, which is how
/// EndpointSlices name it (`ports[].name`). A headless Service may have no ports at all: then the number is the container's.
/// An endpoint without a `ready` condition counts as ready, as the API says (`conditions.ready`: nil means true).
///
/// # Errors
/// When the Service leads out of the cluster, has no such port, or nothing ready stands behind it.
pub fn backends(service: &Service, slices: &[EndpointSlice], port: &Port) -> Result<Vec<Backend>, ReachError> {
    let name = service.metadata.name.clone().unwrap_or_default();
    let spec = service.spec.as_ref();
    if let Some(host) = spec.and_then(|spec| spec.external_name.as_ref()) {
        return Err(ReachError::External { service: name, host: host.clone() });
    }
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let wanted = ports
        .iter()
        .filter(|candidate| candidate.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
        .find(|candidate| match port {
            Port::Number(number) => candidate.port == i32::from(*number),
            Port::Name(wanted) => candidate.name.as_ref() == Some(wanted),
        })
        .map(|found| found.name.as_deref().unwrap_or_default());
    if wanted.is_none() && !ports.is_empty() {
        let known = ports.iter().map(|port| match &port.name {
            Some(name) => format!("{} ({name})", port.port),
            None => port.port.to_string(),
        });
        let known = known.collect::<Vec<_>>().join(", ");
        return Err(ReachError::NoPort { service: name, port: port.clone(), known });
    }
    let mut found = Vec::new();
    let mut waiting = 0;
    for slice in slices.iter().filter(|slice| slice.address_type != "FQDN") {
        let Some(port) = container_port(slice.ports.as_deref().unwrap_or_default(), wanted, port) else { continue };
        for endpoint in &slice.endpoints {
            if endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(false) {
                waiting += 1;
                continue;
            }
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let place = match (pod.and_then(|target| target.name.clone()), endpoint.addresses.first()) {
                (Some(pod), _) => Place::Pod(pod),
                (None, Some(address)) => Place::Address(address.clone()),
                (None, None) => continue,
            };
            found.push(Backend { place, port });
        }
    }
    found.sort();
    found.dedup();
    if found.is_empty() { Err(ReachError::NotReady { service: name, waiting }) } else { Ok(found) }
}

/// The container's port in a slice: that of the Service port's name, or, for a Service without ports, the number itself.
fn container_port(ports: &[EndpointPort], wanted: Option<&str>, port: &Port) -> Option<u16> {
    match (wanted, port) {
        (Some(wanted), _) => ports
            .iter()
            .find(|candidate| candidate.name.as_deref().unwrap_or_default() == wanted)
            .and_then(|found| u16::try_from(found.port?).ok()),
        (None, Port::Number(number)) => Some(*number),
        (None, Port::Name(wanted)) => ports
            .iter()
            .find(|candidate| candidate.name.as_ref() == Some(wanted))
            .and_then(|found| u16::try_from(found.port?).ok()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "db", "namespace": "acoustid"}, "spec": spec})).unwrap()
    }

    fn slice(ports: Value, endpoints: Value) -> EndpointSlice {
        serde_json::from_value(
            json!({"metadata": {"name": "db-x"}, "addressType": "IPv4", "ports": ports, "endpoints": endpoints}),
        )
        .unwrap()
    }

    fn pod(name: &str, conditions: Value) -> Value {
        json!({"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": {"kind": "Pod", "name": name}})
    }

    fn named(name: &str, port: u16) -> Backend {
        Backend { place: Place::Pod(name.into()), port }
    }

    #[test]
    fn ports_are_mapped_through_their_names() {
        let two = service(json!({"ports": [
            {"name": "http", "port": 80, "targetPort": "web"}, {"name": "metrics", "port": 9090},
            {"name": "dns", "port": 53, "protocol": "UDP"},
        ]}));
        let slices = [
            slice(
                json!([{"name": "http", "port": 3031}, {"name": "metrics", "port": 9091}]),
                json!([pod("b", json!({"ready": true}))]),
            ),
            slice(json!([{"name": "http", "port": 3032}]), json!([pod("a", json!({}))])),
        ];
        let both = vec![named("a", 3032), named("b", 3031)];
        assert_eq!(backends(&two, &slices, &Port::Number(80)), Ok(both.clone()));
        assert_eq!(backends(&two, &slices, &Port::Name("http".into())), Ok(both));
        assert_eq!(backends(&two, &slices, &Port::Number(9090)), Ok(vec![named("b", 9091)]));
        for port in [Port::Number(3031), Port::Name("web".into()), Port::Number(53)] {
            let error = backends(&two, &slices, &port).expect_err("no such port").to_string();
            let wanted = format!("Service db has no TCP port {port}, only 80 (http), 9090 (metrics), 53 (dns)");
            assert_eq!(error, wanted);
        }
    }

    #[test]
    fn one_port_without_a_name() {
        let one = service(json!({"ports": [{"port": 5432}]}));
        for ports in [json!([{"name": "", "port": 6543}]), json!([{"port": 6543}])] {
            let slices = [slice(ports, json!([pod("a", json!({}))]))];
            assert_eq!(backends(&one, &slices, &Port::Number(5432)), Ok(vec![named("a", 6543)]));
        }
    }

    #[test]
    fn headless_without_ports_takes_the_number_as_it_is() {
        let headless = service(json!({"clusterIP": "None"}));
        let slices = [slice(json!(null), json!([pod("a", json!({"ready": true}))]))];
        assert_eq!(backends(&headless, &slices, &Port::Number(8008)), Ok(vec![named("a", 8008)]));
    }

    #[test]
    fn only_the_ready_ones_and_each_once() {
        let one = service(json!({"ports": [{"port": 1}]}));
        let endpoints = json!([
            pod("a", json!({"ready": false, "serving": true, "terminating": true})),
            pod("b", json!({"ready": true})),
            {"addresses": ["10.0.0.9"]},
            {"addresses": ["10.0.0.9"], "targetRef": {"kind": "Node", "name": "n"}},
        ]);
        let slices = [slice(json!([{"port": 1}]), endpoints.clone()), slice(json!([{"port": 1}]), endpoints)];
        let address = Backend { place: Place::Address("10.0.0.9".into()), port: 1 };
        assert_eq!(backends(&one, &slices, &Port::Number(1)), Ok(vec![named("b", 1), address]));

        let slices = [slice(json!([{"port": 1}]), json!([pod("a", json!({"ready": false}))]))];
        let error = backends(&one, &slices, &Port::Number(1)).expect_err("not ready");
        assert_eq!(error.to_string(), "no pod behind Service db is ready, 1 is not yet");
        let error = backends(&one, &[], &Port::Number(1)).expect_err("nothing");
        assert_eq!(error.to_string(), "no pod stands behind Service db");
    }

    #[test]
    fn an_external_name_is_refused() {
        let external = service(json!({"type": "ExternalName", "externalName": "db.example.org"}));
        let error = backends(&external, &[], &Port::Number(5432)).expect_err("external").to_string();
        assert_eq!(error, "Service db leads out of the cluster, to db.example.org");
    }
}
