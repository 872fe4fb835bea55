#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::cluster::mock::server;

const DB: &str = "/api/v1/namespaces/acoustid/services/db";
const SLICES: &str =
    "/apis/discovery.k8s.io/v1/namespaces/acoustid/endpointslices?&labelSelector=kubernetes.io%2Fservice-name%3Ddb";
const BY_IP: &str = "/api/v1/namespaces/acoustid/pods?&fieldSelector=status.podIP%3D10.0.0.7";

fn db() -> Value {
    json!({"metadata": {"name": "db"}, "spec": {"ports": [{"name": "postgresql", "port": 5432}]}})
}

fn slices(endpoints: Value) -> Value {
    json!({"metadata": {}, "items": [{"metadata": {"name": "db-1"}, "addressType": "IPv4",
        "ports": [{"name": "postgresql", "port": 5432}], "endpoints": endpoints}]})
}

async fn reach(client: Client) -> Result<Reached, ReachError> {
    PortForward::new(client).reach("acoustid", "db", &Port::Number(5432)).await
}

fn error(result: Result<Reached, ReachError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn slices_are_looked_up_by_their_service_and_addresses_by_their_pod() {
    let endpoints = json!([{"addresses": ["10.0.0.7"]}]);
    let sharing = json!({"metadata": {}, "items": [
        {"metadata": {"name": "other"}, "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}},
        {"metadata": {"name": "db-0"}, "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 5432}]}]}},
    ]});
    let refused = json!({"kind": "Status", "code": 500, "reason": "InternalError",
        "message": "error dialing backend: dial tcp 10.9.9.9:10250: connect: connection refused"});
    let (client, asked) = server(vec![
        (DB, StatusCode::OK, db()),
        (SLICES, StatusCode::OK, slices(endpoints)),
        (BY_IP, StatusCode::OK, sharing),
        ("/api/v1/namespaces/acoustid/pods/db-0/portforward", StatusCode::INTERNAL_SERVER_ERROR, refused),
    ]);
    let text = error(reach(client).await);
    assert_eq!(
        text,
        "pod db-0 cannot be reached: error dialing backend: dial tcp 10.9.9.9:10250: connect: connection refused"
    );
    let asked = asked.lock().unwrap().clone();
    let forward = "/api/v1/namespaces/acoustid/pods/db-0/portforward?&ports=5432";
    assert_eq!(asked, [DB, SLICES, BY_IP, forward]);
}

#[tokio::test]
async fn other_pods_are_tried_and_each_question_starts_with_another() {
    let pod = |name: &str| json!({"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": name}});
    let endpoints = json!([pod("db-0"), pod("db-1"), pod("db-2"), pod("db-3")]);
    let (client, asked) = server(vec![(DB, StatusCode::OK, db()), (SLICES, StatusCode::OK, slices(endpoints))]);
    let forward = PortForward::new(client);
    for expected in [["db-0", "db-1", "db-2"], ["db-1", "db-2", "db-3"], ["db-2", "db-3", "db-0"]] {
        let text = error(forward.reach("acoustid", "db", &Port::Name("postgresql".into())).await);
        assert!(text.starts_with(&format!("pod {} cannot be reached: no answer for", expected[2])), "{text}");
        let mut asked = asked.lock().unwrap();
        let tried: Vec<String> = asked
            .drain(..)
            .filter_map(|path| path.strip_prefix("/api/v1/namespaces/acoustid/pods/").map(str::to_owned))
            .map(|rest| rest.split('/').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(tried, expected);
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (client, _) = server(vec![]);
    assert_eq!(error(reach(client).await), "there is no Service db in namespace acoustid");

    let (client, _) =
        server(vec![(DB, StatusCode::OK, db()), (SLICES, StatusCode::OK, json!({"metadata": {}, "items": []}))]);
    assert_eq!(error(reach(client).await), "no pod stands behind Service db");

    let endpoints = json!([{"addresses": ["10.0.0.7"]}]);
    let (client, _) = server(vec![
        (DB, StatusCode::OK, db()),
        (SLICES, StatusCode::OK, slices(endpoints)),
        (BY_IP, StatusCode::OK, json!({"metadata": {}, "items": []})),
    ]);
    assert_eq!(error(reach(client).await), "the address 10.0.0.7 behind Service db belongs to no pod");

    let denied =
        json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "services \"db\" is forbidden"});
    let (client, _) = server(vec![(DB, StatusCode::FORBIDDEN, denied)]);
    assert_eq!(error(reach(client).await), "services \"db\" is forbidden");
}

#[tokio::test]
async fn pods_that_do_not_really_run_are_told_apart() {
    let endpoints = json!([{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "db-0"}}]);
    let refused = json!({"kind": "Status", "status": "Failure", "code": 500,
        "message": "no preferred addresses found; known addresses: []"});
    let (client, _) = server(vec![
        (DB, StatusCode::OK, db()),
        (SLICES, StatusCode::OK, slices(endpoints)),
        ("/api/v1/namespaces/acoustid/pods/db-0/portforward", StatusCode::INTERNAL_SERVER_ERROR, refused),
    ]);
    let text = error(reach(client).await);
    assert_eq!(text, "pod db-0 cannot be reached: its node has no address, so nothing really runs there");
}

#[test]
fn reports_of_the_node_become_sentences() {
    let report = "error forwarding port 80 to pod 1f, uid : failed to execute portforward in network namespace \"x\": failed \
                  to connect to localhost:80 inside namespace \"x\", IPv4: dial tcp4 127.0.0.1:80: connect: connection refused";
    let error = refusal(&Peer::new("pod api-0"), 80, report);
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (io::ErrorKind::ConnectionRefused, "connection refused by pod api-0, port 80")
    );
    let error = refusal(&Peer::new("pod api-0"), 80, &format!("pod is\nnot running {}", "x".repeat(500)));
    assert!(error.to_string().starts_with("pod api-0, port 80: pod is not running xxx"));
    assert!(error.to_string().chars().count() < 300);
}
