//! Gates asked through real port-forwards and commands in a real container.

use std::time::Duration;

use rekindle::health::gate::{self, Answer, Asker, Gate};
use rekindle::manifest::Origin;
use rekindle::secrets::redact::Redactor;
use serde_json::{Value, json};

use crate::support::{Bed, Space};
use crate::{BED, shared};

/// A web server, a line server and something that answers like Redis, in one container.
const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: it, namespace: SPACE, labels: {app: it}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: docker.io/library/busybox:local
    imagePullPolicy: IfNotPresent
    command:
    - sh
    - -c
    - |
      mkdir -p /tmp/www && echo ready > /tmp/www/health
      printf '#!/bin/sh\nread line; echo "OK $line"\n' > /tmp/talk
      printf '#!/bin/sh\nread a; read b; read c; printf "+PONG\\r\\n"; sleep 2\n' > /tmp/redis
      chmod +x /tmp/talk /tmp/redis
      nc -ll -p 7000 -e /tmp/talk &
      nc -ll -p 6379 -e /tmp/redis &
      exec httpd -f -p 8080 -h /tmp/www
    ports:
    - {name: web, containerPort: 8080}
    readinessProbe: {httpGet: {port: web, path: /health}, periodSeconds: 1}
"#;

const SERVICE: &str = r"
apiVersion: v1
kind: Service
metadata: {name: it, namespace: SPACE}
spec:
  selector: {app: it}
  ports:
  - {name: http, port: 80, targetPort: web}
  - {name: talk, port: 7000}
  - {name: redis, port: 6379}
  - {name: closed, port: 9, targetPort: 9999}
";

const NOBODY: &str = r"
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: SPACE}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
";

/// As Patroni has it: no selector, and Endpoints that somebody else writes.
const BY_ADDRESS: &str = r"
apiVersion: v1
kind: Service
metadata: {name: by-address, namespace: SPACE}
spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
";

const ENDPOINTS: &str = r"
apiVersion: v1
kind: Endpoints
metadata: {name: by-address, namespace: SPACE}
subsets: [{addresses: [{ip: ADDRESS}], ports: [{name: http, port: 8080}]}]
";

fn gate(space: &str, spec: &Value) -> Gate {
    let body = json!({"apiVersion": "rekindle.dev/v1", "kind": "Gate", "metadata": {"name": "it"}, "spec": spec});
    Gate::parse(&body, &Origin::default(), space).unwrap_or_else(|mistakes| panic!("{spec}: {mistakes:#?}"))
}

#[test]
#[ignore = "needs a real node"]
fn gates_truly_ask() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let space = Space::new(&bed, "gates");
    let apply = |document: &str| bed.apply_as("test", &document.replace("SPACE", &space.name));
    apply("{apiVersion: v1, kind: Namespace, metadata: {name: SPACE}}");
    for document in [POD, SERVICE, NOBODY, BY_ADDRESS] {
        apply(document);
    }
    let asker = Asker::new(bed.client.clone(), Redactor::default());
    let ready = json!({"timeout": "60s", "condition": {"kind": "Pod", "name": "it",
        "ready": "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"}});
    let ready = bed.block_on(gate::wait(&asker, &gate(&space.name, &ready), Duration::ZERO, |_| ()));
    assert_eq!(ready, Ok(Answer::passed("true for Pod/it")));
    let pod = bed.get("v1", "Pod", Some(&space.name), "it").expect("the pod");
    apply(&ENDPOINTS.replace("ADDRESS", pod["status"]["podIP"].as_str().expect("an address")));

    // What passes has to pass within the limit, and to stay.
    for (probe, text) in [
        (
            json!({"http": {"service": "it", "port": "http", "path": "/health", "body_matches": "^ready"}}),
            "answered 200",
        ),
        (json!({"http": {"service": "it", "port": 80, "path": "/nowhere", "status": 404}}), "answered 404"),
        (json!({"http": {"service": "by-address", "port": 80, "path": "/health"}}), "answered 200"),
        (json!({"tcp": {"service": "it", "port": 7000}}), "pod it accepts connections"),
        (
            json!({"tcp": {"service": "it", "port": "talk", "send": "hello\n", "expect": "^OK hello"}}),
            "answered OK hello",
        ),
        (json!({"redis": {"service": "it", "expect": "PONG"}}), "answered PONG"),
        (
            json!({"exec": {"selector": {"app": "it"}, "command": ["cat", "/tmp/www/health"], "expect": "^ready"}}),
            "printed ready",
        ),
        (
            json!({"exec": {"selector": {"app": "it"}, "container": "main", "command": ["true"]}}),
            "exit code 0 in pod it",
        ),
    ] {
        let mut spec = probe.clone();
        spec["timeout"] = "30s".into();
        let answer = bed.block_on(gate::wait(&asker, &gate(&space.name, &spec), Duration::from_secs(1), |_| ()));
        assert_eq!(answer, Ok(Answer::passed(text)), "{probe}");
    }

    // What does not pass says what was observed.
    for (probe, text) in [
        (json!({"http": {"service": "it", "port": "closed"}}), "connection refused by pod it, port 9999"),
        (json!({"tcp": {"service": "it", "port": "closed"}}), "connection refused by pod it, port 9999"),
        (json!({"redis": {"service": "it", "port": "closed"}}), "connection refused by pod it, port 9999"),
        (json!({"http": {"service": "it", "path": "/nowhere"}}), "answered 404, wanted 2xx"),
        (
            json!({"http": {"service": "it", "port": 8080}}),
            "Service it has no TCP port 8080, only 80 (http), 7000 (talk), 6379 (redis), 9 (closed)",
        ),
        (json!({"http": {"service": "nobody"}}), "no pod stands behind Service nobody"),
        (
            json!({"tcp": {"service": "it", "port": "talk", "send": "hello\n", "expect": "^NO"}}),
            "answered OK hello and closed the connection, wanted ^NO",
        ),
        (
            json!({"exec": {"selector": {"app": "it"}, "command": ["cat", "/nowhere"]}}),
            "exit code 1 in pod it: cat: can't open '/nowhere': No such file or directory",
        ),
        (json!({"exec": {"selector": {"app": "it"}, "command": ["sh", "-c", "exit 3"]}}), "exit code 3 in pod it"),
        (json!({"exec": {"selector": {"app": "nobody"}, "command": ["true"]}}), "no pod has the labels app=nobody"),
    ] {
        let answer = bed.block_on(asker.ask(&gate(&space.name, &probe)));
        assert_eq!(answer, Answer::waiting(text), "{probe}");
    }
    let missing = json!({"exec": {"selector": {"app": "it"}, "command": ["/no/such/program"]}});
    let answer = bed.block_on(asker.ask(&gate(&space.name, &missing)));
    assert!(!answer.passed && answer.text.contains("no such file or directory"), "{answer:?}");
    let missing = json!({"exec": {"selector": {"app": "it"}, "container": "nope", "command": ["true"]}});
    let answer = bed.block_on(asker.ask(&gate(&space.name, &missing)));
    assert!(!answer.passed && answer.text.contains("nope"), "{answer:?}");
}
