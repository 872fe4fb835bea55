//! Black box: `rekindle health`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the binary with nothing of the caller's environment; `input` goes to its standard input.
fn health(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rekindle"))
        .arg("health")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends before it has read its input is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const SET: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: a}
stringData: {password: hunter2}
data: {token: aHVudGVyMg==}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: a, generation: 2}
spec: {replicas: 2}
status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, readyReplicas: 1, availableReplicas: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: api-5d-x, namespace: a, labels: {pod-template-hash: 5d}, ownerReferences: [{kind: ReplicaSet, name: api-5d, controller: true}]}
status: {phase: Running, containerStatuses: [{name: api, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: a}, spec: {storageClassName: late}, status: {phase: Pending}}
- {apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: late}, volumeBindingMode: WaitForFirstConsumer}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: a}, spec: {type: LoadBalancer, clusterIP: 10.0.0.1}}
";

#[test]
fn a_verdict_a_line_each_in_the_context_of_the_others() {
    let output = health(&["-"], SET);
    assert_eq!(
        text(&output.stdout),
        "\
ready        Secret/login
failed       Deployment/api              1 of 2 pods ready: container api of pod api-5d-x exits with code 1, 3 restarts
failed       Pod/api-5d-x                container api of pod api-5d-x exits with code 1, 3 restarts
ready        PersistentVolumeClaim/data  waits for its first consumer
ready        StorageClass/late
progressing  Service/web                 waits for the address of a load balancer
"
    );
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn json_is_one_object_a_line_with_fixed_fields() {
    let output = health(&["-", "-o", "json"], SET);
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    for line in &lines {
        let fields: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["kind", "apiVersion", "namespace", "name", "status", "reason"]);
        assert!(["ready", "progressing", "failed"].contains(&line["status"].as_str().unwrap()));
    }
    assert_eq!(lines[1]["apiVersion"], "apps/v1");
    assert_eq!(lines[1]["namespace"], "a");
    assert_eq!(lines[4]["namespace"], Value::Null);
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_secret_in_the_input_never_comes_out() {
    for arguments in [&["-"][..], &["-", "-o", "json"], &["-", "-vv"]] {
        let output = health(arguments, &format!("{SET}---\nkind: Secret\nstringData: {{password: hunter2}}\n"));
        for stream in [&output.stdout, &output.stderr] {
            assert!(!text(stream).contains("hunter2") && !text(stream).contains("aHVudGVyMg"), "{}", text(stream));
        }
        assert_eq!(output.status.code(), Some(3));
    }
}

#[test]
fn everything_ready_is_exit_0() {
    let output = health(&["-"], r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}"#);
    assert_eq!((text(&output.stdout), output.status.code()), ("ready        ConfigMap/c\n", Some(0)));
    let output = health(&["-"], "apiVersion: v1\nkind: List\nitems: []\n");
    assert_eq!((text(&output.stdout), output.status.code()), ("", Some(0)));
}

#[test]
fn several_namespaces_are_told_apart() {
    let of = |namespace: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: {namespace}}}}}\n")
    };
    let output = health(&["-"], &format!("{}---\n{}", of("a"), of("b")));
    assert_eq!(text(&output.stdout), "ready        ConfigMap/c -n a\nready        ConfigMap/c -n b\n");
}

#[test]
fn several_files_are_one_set_and_mistakes_lose_nothing() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("health");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let claim = write("claim.json", br#"{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"storageClassName": "late"}, "status": {"phase": "Pending"}}"#);
    let class = write("class.yaml", b"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: late}\nvolumeBindingMode: WaitForFirstConsumer\n");
    let output = health(&[&claim, &class], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("waits for its first consumer"));

    let broken = write("broken.yaml", b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n");
    let odd = write("odd.yaml", b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\nname: nothing\n");
    let binary = write("binary.yaml", b"\xff\xfe\x00k");
    let output = health(&[&claim, &broken, &odd, &binary], "");
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stdout).contains("PersistentVolumeClaim/data") && text(&output.stdout).contains("ConfigMap/c")
    );
    let told = text(&output.stderr);
    assert!(told.starts_with("✗ 3 mistakes in the input"), "{told}");
    for part in ["broken.yaml:3:", "odd.yaml:5:1", "has no kind: it is not a Kubernetes object", "binary.yaml"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn wrong_usage() {
    for (arguments, part) in [
        (&["/no/such/file.yaml"][..], "/no/such/file.yaml: No such file"),
        (&["/"], "/: "),
        (&["-", "-"], "standard input (-) can be read only once"),
        (&[], "kubectl get all -o yaml | rekindle health -"),
    ] {
        let output = health(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn an_input_without_an_object_is_a_mistake() {
    for input in ["", "---\n", "# nothing\n", "{", "[1]", "\"text\"", "null"] {
        let output = health(&["-"], input);
        assert_eq!(output.status.code(), Some(3), "{input:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains("standard input"), "{input:?}: {}", text(&output.stderr));
    }
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let output = health(
        &["-"],
        "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\\u001b[31m\\nready\"}}",
    );
    assert_eq!(text(&output.stdout), "ready        ConfigMap/a ready\n");
}

#[test]
fn ten_thousand_objects_are_judged_quickly() {
    let mut input = String::from("{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [");
    for n in 0..5_000 {
        let comma = if n == 0 { "" } else { "," };
        input += &format!(
            r#"{comma}{{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{{"name":"s{n}"}},"spec":{{"replicas":1}},"status":{{"replicas":1}}}},
{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"s{n}-0","ownerReferences":[{{"kind":"StatefulSet","name":"s{n}","controller":true}}]}},"status":{{"phase":"Pending"}}}}"#
        );
    }
    input += "]}";
    let begun = std::time::Instant::now();
    let output = health(&["-"], &input);
    assert_eq!(text(&output.stdout).lines().count(), 10_000);
    assert!(text(&output.stdout).contains("StatefulSet/s4999  0 of 1 pod ready: pod s4999-0 has no node yet"));
    // Generous for an unoptimised build on a busy machine; judging each against all others would take minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
}
