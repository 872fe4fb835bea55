//! A stack that is broken in its third phase: the run stops there in time, says what a stranger needs, and goes on once
//! it is mended.

use std::collections::BTreeMap;
use std::time::Duration;

use super::support::{Bed, Kit, Ran, Space, finish, home, run};
use super::{BED, shared};

/// What the stack file gives a failing pull and a crashing container.
const GRACE: Duration = Duration::from_secs(6);

/// What else a run may take: two phases that have nothing to write, the first failure, the diagnosis.
const SLACK: Duration = Duration::from_secs(15);

const PHASES: &str = "- name: storage\n- name: database\n- {name: services, pull_grace: 6s, crash_grace: 6s}";

/// Something that answers, with a Service and a gate.
const DATABASE: &str = r#"apiVersion: v1
kind: Service
metadata: {name: database}
spec: {selector: {app: database}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: database}
spec:
  selector: {matchLabels: {app: database}}
  template:
    metadata: {labels: {app: database}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: docker.io/library/busybox:local
        command: [sh, -c, "mkdir /tmp/www; echo rows > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: rekindle.dev/v1
kind: Gate
metadata: {name: database has rows}
spec: {timeout: 30s, http: {service: database, port: 80, path: /, body_matches: rows}}
"#;

/// What is broken in turn; the comment makes the object begin in line 3.
fn api(image: &str, command: &str) -> String {
    format!(
        r#"# Answers lookups.
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api}}
spec:
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: "{image}"
        command: [sh, -c, "{command}"]
        readinessProbe: {{exec: {{command: ["true"]}}, initialDelaySeconds: 2, periodSeconds: 1}}
"#
    )
}

fn job(command: &str) -> String {
    format!(
        r#"apiVersion: batch/v1
kind: Job
metadata: {{name: migrations}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - {{name: alembic, image: "docker.io/library/busybox:local", command: [sh, -c, "{command}"]}}
"#
    )
}

const BUSYBOX: &str = "docker.io/library/busybox:local";
const RUNS: &str = "exec sleep 3600";

const KINDS: &[(&str, &str)] = &[
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("v1", "Pod"),
];

/// Everything of the first two phases, as the cluster has it.
fn healthy_part(bed: &Bed, space: &str) -> BTreeMap<String, String> {
    let mut versions = bed.versions(space, KINDS);
    versions.retain(|name, _| ["settings", "database"].iter().any(|part| name.contains(part)));
    assert!(versions.len() >= 5, "{versions:?}");
    versions
}

/// Asserts what every report of a failure in the third phase has to say.
#[track_caller]
fn tells_a_stranger(ran: &Ran, object: &str, place: &str) {
    for part in [
        &format!("✗ services stopped: {object} will not become ready"),
        place,
        "done and kept: storage, database",
        "nothing was undone",
        "again, from where it stopped:",
        "only look:",
        "exit code 7",
    ] {
        assert!(ran.stderr.contains(part), "{part:?} is missing in:\n{}", ran.stderr);
    }
    assert_eq!(ran.stdout, "");
}

/// Asserts that the report has all of these.
#[track_caller]
fn says_all(ran: &Ran, parts: &[&str]) {
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is missing in:\n{}", ran.stderr);
    }
}

#[test]
#[ignore = "needs a node"]
fn a_broken_third_phase_is_explained_in_time_and_a_mended_one_goes_on() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let space = Space::new(&bed, "broken");
    let kit = Kit::new(&space.name, PHASES);
    kit.write("templates/storage/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n");
    kit.write("templates/database/database.yaml", DATABASE);
    run(&kit, &bed, &["up", "test", "--until", "database"]).exit(0);
    let healthy = healthy_part(&bed, &space.name);
    let named = |kind: &str, name: &str| format!("{kind} {}/{name}", space.name);

    // An image that does not exist.
    kit.write("templates/services/api.yaml", &api("registry.invalid/acoustid/api:v0", RUNS));
    let pull = run(&kit, &bed, &["up", "test"]).exit(7);
    tells_a_stranger(&pull, "Deployment/api", "templates/services/api.yaml:3");
    says_all(
        &pull,
        &[
            &named("Deployment", "api"),
            "0 of 1 pod ready",
            "container main of pod api-",
            "registry.invalid/acoustid/api:v0",
        ],
    );
    assert!(pull.took < GRACE + SLACK, "an image that cannot be pulled took {:?}", pull.took);

    // It can be pulled, and its program ends.
    let crashing =
        "echo connecting to database:5432; echo FATAL: password authentication failed for user acoustid >&2; exit 3";
    kit.write("templates/services/api.yaml", &api(BUSYBOX, crashing));
    let crash = run(&kit, &bed, &["up", "test"]).exit(7);
    tells_a_stranger(&crash, "Deployment/api", "templates/services/api.yaml:3");
    says_all(
        &crash,
        &[
            &named("Deployment", "api"),
            "container main of pod api-",
            "exits with code 3",
            "last words",
            "| FATAL: password authentication failed for user acoustid",
            "events",
            "BackOff",
        ],
    );
    assert!(!crash.stderr.contains("registry.invalid"), "of the pods of before nothing is said:\n{}", crash.stderr);
    assert!(crash.took < GRACE + SLACK, "a crash loop took {:?}", crash.took);

    // It runs, and a Job beside it fails.
    kit.write("templates/services/api.yaml", &api(BUSYBOX, RUNS));
    kit.write(
        "templates/services/migrations.yaml",
        &job("echo upgrading to 7f3a; echo relation account does not exist >&2; exit 1"),
    );
    let failed = run(&kit, &bed, &["up", "test"]).exit(7);
    tells_a_stranger(&failed, "Job/migrations", "templates/services/migrations.yaml:1");
    says_all(
        &failed,
        &[
            &named("Job", "migrations"),
            "container alembic of pod migrations-",
            "exits with code 1",
            "| upgrading to 7f3a",
            "| relation account does not exist",
            "BackoffLimitExceeded",
        ],
    );
    assert!(failed.took < SLACK, "a Job that failed for good took {:?}", failed.took);

    assert_eq!(healthy_part(&bed, &space.name), healthy, "what is healthy was left alone");
    let status = run(&kit, &bed, &["status", "test"]).exit(7);
    assert!(status.stdout.contains("Job/migrations"), "{}", status.stdout);

    // Mended; the command is the one that the report names.
    kit.write("templates/services/migrations.yaml", &job("echo upgraded"));
    let mut again = failed.named_command("again, from where it stopped:");
    let line = format!("{} -o json", again.get_args().last().unwrap().to_str().unwrap());
    again = std::process::Command::new("sh");
    again.env_clear().env("HOME", home()).args(["-c", &line]);
    let mended = finish(again).exit(0);
    let end = mended.last();
    let written: Vec<_> = end["phases"].as_array().unwrap().iter().map(|phase| phase["written"].clone()).collect();
    assert_eq!(written[..2], [0, 0], "{end}");
    assert_eq!(end["outcome"], "done");
    let applied = |it: &serde_json::Value| it["event"] == "object-applied" && it["object"]["name"] == "migrations";
    let replaced = mended.events().into_iter().find(applied).unwrap();
    assert_eq!(replaced["action"], "replaced", "{replaced}");
    assert_eq!(healthy_part(&bed, &space.name), healthy);
    run(&kit, &bed, &["status", "test"]).exit(0);
}
