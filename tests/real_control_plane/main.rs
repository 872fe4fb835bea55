//! Promises proven against a real kube-apiserver with its controllers. Started by `cargo xtask test`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../real/hidden.rs"]
mod hidden;
#[path = "../real/support.rs"]
mod support;

mod clumsy;
mod data;
mod down;
mod guard;
mod health;
mod killed;
mod kubectl;
mod lock;
mod ownership;
mod plan;
mod proxy;
mod prune;
mod refusals;
mod rights;
mod runs;
mod scopes;
mod scripts;
mod secrets;
mod simulated;

use serde_json::json;
use support::{Bed, Kit, Space, fast, finish, rekindle, run, start};

const BED: &str = "REKINDLE_TEST_CONTROL_PLANE";

const KINDS: &[(&str, &str)] =
    &[("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service"), ("v1", "ServiceAccount"), ("apps/v1", "Deployment")];

const STACK: &str = "- name: storage\n- name: services";

fn deployment(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: example/image:1}}]}}
"
    )
}

fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: \"{value}\"}}\n")
}

#[test]
#[ignore = "needs a real control plane"]
fn a_second_run_writes_nothing() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "second");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/config.yaml", &config("settings", "a"));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    kit.write(
        "templates/services/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {selector: {app: api}, ports: [{port: 80}]}\n",
    );
    let first = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(first.last()["written"], 4, "namespace, ConfigMap, Deployment and Service");
    let before = bed.versions(&space.name, KINDS);
    let second = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(second.last()["written"], 0);
    assert_eq!(bed.versions(&space.name, KINDS), before);
    let actions: Vec<_> = second.events().iter().filter_map(|event| event.get("action").cloned()).collect();
    assert_eq!(actions, vec![json!("unchanged"); 4]);
    fast(&second, std::time::Duration::from_secs(2), || run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0));
}

#[test]
#[ignore = "needs a real control plane"]
fn drift_is_mended_and_nothing_else_is_written() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "drift");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit")).write("templates/storage/b.yaml", &config("b", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    bed.apply_as(
        "somebody",
        &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {}}}\ndata: {{key: theirs}}",
            space.name
        ),
    );
    let refused = run(&kit, &bed, &["up", "test"]).exit(4).says("data.key").says("somebody");
    assert!(refused.stderr.contains("--take-ownership"), "{}", refused.stderr);
    let taken = run(&kit, &bed, &["up", "test", "--take-ownership", "-o", "json"]).exit(0);
    assert_eq!(taken.last()["written"], 1);
    let live = bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap();
    assert_eq!(live["data"]["key"], "kit");
}

#[test]
#[ignore = "needs a real control plane"]
fn an_object_that_was_deleted_or_made_anew_is_sent_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "again");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let api = bed.api("v1", "ConfigMap", Some(&space.name));
    bed.block_on(api.delete("a", &kube::api::DeleteParams::default())).unwrap();
    let again = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(again.last()["written"], 1);
}

const SIGN: &str = "apiVersion: rekindle.dev/v1
kind: Gate
metadata: {name: sign}
spec: {hold: 2s, condition: {api_version: v1, kind: ConfigMap, name: sign, ready: 'object.metadata.name == \"sign\"'}}
";

#[test]
#[ignore = "needs a real control plane"]
fn what_goes_while_an_earlier_phase_takes_its_time_is_made_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "meanwhile");
    let kit = Kit::new(&space.name, STACK);
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {key: hidden-7261}\n";
    kit.write("templates/storage/gate.yaml", SIGN).write("templates/services/key.yaml", secret);
    kit.write("templates/services/b.yaml", &config("b", "kit")).write("templates/services/c.yaml", &config("c", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    let delete = |kind: &str, name: &str| {
        let params = kube::api::DeleteParams::default();
        bed.block_on(bed.api("v1", kind, Some(&space.name)).delete(name, &params)).unwrap();
    };
    let go = |value: &str, meanwhile: &dyn Fn()| {
        kit.write("templates/storage/a.yaml", &config("a", value));
        let running = start(&kit, &bed, &["up", "test", "-o", "json"]);
        bed.wait_until("the first phase has written", |bed| {
            bed.get("v1", "ConfigMap", Some(&space.name), "a").is_some_and(|live| live["data"]["key"] == value)
        });
        meanwhile();
        bed.apply_as(
            "somebody",
            &config("sign", "").replace("{name: sign}", &format!("{{name: sign, namespace: {}}}", space.name)),
        );
        running.wait().exit(0)
    };
    go("first", &|| {});
    delete("ConfigMap", "sign");
    let second = go("second", &|| {
        delete("ConfigMap", "b");
        delete("Secret", "key");
    });
    let done = |name: &str| {
        let of = |event: &&serde_json::Value| event["event"] == "object-applied" && event["object"]["name"] == name;
        second.events().iter().find(of).map(|event| event["action"].clone())
    };
    assert_eq!(done("b"), Some(json!("created")));
    assert_eq!(done("key"), Some(json!("created")));
    assert_eq!((done("c"), done("api")), (Some(json!("unchanged")), Some(json!("unchanged"))));
    assert!(bed.get("v1", "Secret", Some(&space.name), "key").is_some());
}

#[test]
#[ignore = "needs a real control plane"]
fn definitions_come_before_their_resources() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "definitions");
    let group = format!("{}.example.com", space.name);
    let kit = Kit::new(&space.name, STACK);
    // In the order of files and documents the resource comes first.
    kit.write(
        "templates/storage/a.yaml",
        &format!("apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: one}}\nspec: {{size: 3}}\n"),
    );
    kit.write(
        "templates/storage/b.yaml",
        &format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: Widget, plural: widgets}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}
"
        ),
    );
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]);
    let definitions = bed.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", None);
    let live = bed.get(&format!("{group}/v1"), "Widget", Some(&space.name), "one");
    bed.block_on(definitions.delete(&format!("widgets.{group}"), &kube::api::DeleteParams::default())).unwrap();
    let _ = ran.exit(0);
    assert_eq!(live.unwrap()["spec"]["size"], 3);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_field_that_the_schema_does_not_know_is_refused_with_its_place() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "strict");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/services/api.yaml", &deployment("api", 0).replace("replicas: 0", "replicsa: 0"));
    let ran = run(&kit, &bed, &["up", "test"]).exit(6).says("Deployment").says("templates/services/api.yaml:1");
    assert!(ran.stderr.contains("replicsa"), "{}", ran.stderr);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_kind_that_nobody_makes_is_refused() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "unknown");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", "apiVersion: nobody.example.com/v1\nkind: Thing\nmetadata: {name: a}\n");
    run(&kit, &bed, &["up", "test"]).exit(6).says("Thing").says("nobody.example.com/v1");
}

#[test]
#[ignore = "needs a real control plane"]
fn another_cluster_than_the_pinned_one_is_refused_and_untouched() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "pinned");
    let kit = Kit::new(&space.name, STACK);
    let uid = "00000000-1111-2222-3333-444444444444";
    kit.write("environments/test.yaml", &format!("namespace: {}\ncluster: {{uid: {uid}}}\n", space.name));
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    run(&kit, &bed, &["up", "test", "--yes"]).exit(4).says(uid).says("environments/test.yaml:2");
    assert!(bed.get("v1", "Namespace", None, &space.name).is_none());
}

#[test]
#[ignore = "needs a real control plane"]
fn a_protected_environment_wants_its_name() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "protected");
    let kit = Kit::new(&space.name, STACK);
    kit.write("environments/test.yaml", &format!("namespace: {}\nprotected: true\n", space.name));
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    run(&kit, &bed, &["up", "test", "--yes"]).exit(4).says("--confirm test");
    run(&kit, &bed, &["up", "test", "--confirm", "tset"]).exit(4);
    assert!(bed.get("v1", "Namespace", None, &space.name).is_none());
    run(&kit, &bed, &["up", "test", "--confirm", "test"]).exit(0);
}

#[test]
#[ignore = "needs a real control plane"]
fn an_interruption_stops_writing_and_says_what_is_done() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "interrupted");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    // No node runs its pod: the phase services waits.
    kit.write("templates/services/api.yaml", &deployment("api", 1));
    kit.write(
        "templates/services/b.yaml",
        &(config("b", "kit").replace("{name: b}", "{name: b, annotations: {rekindle.dev/after: Deployment/api}}")),
    );
    let running = start(&kit, &bed, &["up", "test"]);
    bed.wait_until("the Deployment is there", |bed| {
        bed.get("apps/v1", "Deployment", Some(&space.name), "api").is_some()
    });
    running.signal("INT");
    let ran = running.wait().exit(130).says("storage");
    assert!(
        ran.stderr.contains("rekindle up test")
            || ran.stderr.contains("rekindle\" up")
            || ran.stderr.contains(" up test"),
        "{}",
        ran.stderr
    );
    assert!(bed.get("v1", "ConfigMap", Some(&space.name), "b").is_none());
}

#[test]
#[ignore = "needs a real control plane"]
fn a_killed_run_is_finished_by_the_next() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "killed");
    let kit = Kit::new(&space.name, STACK);
    for index in 0..40 {
        kit.write(&format!("templates/storage/{index}.yaml"), &config(&format!("c{index}"), "kit"));
    }
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    let running = start(&kit, &bed, &["up", "test"]);
    bed.wait_until("something is written", |bed| bed.get("v1", "ConfigMap", Some(&space.name), "c0").is_some());
    running.signal("KILL");
    let _ = running.wait();
    run(&kit, &bed, &["up", "test"]).exit(0);
    let last = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0).last();
    assert_eq!(last["written"], 0);
    assert_eq!(bed.versions(&space.name, &[("v1", "ConfigMap")]).len(), 41, "40 of ours and kube-root-ca.crt");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_job_whose_template_changed_is_made_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "job");
    let kit = Kit::new(&space.name, STACK);
    let job = |image: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate}}\nspec:\n  suspend: true\n  template:\n    spec:\n      \
             restartPolicy: Never\n      containers: [{{name: main, image: {image}}}]\n"
        )
    };
    kit.write("templates/services/job.yaml", &job("example/image:1"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let uid = |bed: &Bed| bed.get("batch/v1", "Job", Some(&space.name), "migrate").unwrap()["metadata"]["uid"].clone();
    let before = uid(&bed);
    kit.write("templates/services/job.yaml", &job("example/image:2"));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert!(ran.events().iter().any(|event| event["action"] == "replaced"), "{}", ran.stdout);
    assert_ne!(uid(&bed), before);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_change_that_is_not_possible_in_place_is_refused_and_says_so() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "immutable");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let changed = deployment("api", 0).replace("app: api", "app: other");
    kit.write("templates/services/api.yaml", &changed);
    run(&kit, &bed, &["up", "test"]).exit(6).says("immutable").says("rekindle.dev/replace");
    kit.write(
        "templates/services/api.yaml",
        &changed.replace("{name: api}", "{name: api, annotations: {rekindle.dev/replace: allowed}}"),
    );
    run(&kit, &bed, &["up", "test"]).exit(0);
}

#[test]
#[ignore = "needs a real control plane"]
fn objects_wait_for_what_they_declare() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "after");
    let kit = Kit::new(&space.name, STACK);
    kit.write(
        "templates/services/a.yaml",
        &config("first", "kit")
            .replace("{name: first}", "{name: first, annotations: {rekindle.dev/after: Deployment/api}}"),
    );
    kit.write("templates/services/b.yaml", &deployment("api", 0));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    let position = |event: &str, kind: &str| {
        ran.events().iter().position(|it| it["event"] == event && it["object"]["kind"] == kind).unwrap()
    };
    assert!(position("object-ready", "Deployment") < position("object-applied", "ConfigMap"));
}

#[test]
#[ignore = "needs a real control plane"]
fn a_phase_that_does_not_become_ready_in_time_fails_with_what_it_waited_for() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "late");
    let kit = Kit::new(&space.name, "- name: storage\n- {name: services, timeout: 3s}");
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 1));
    let ran = run(&kit, &bed, &["up", "test"]).exit(7).says("Deployment").says("templates/services/api.yaml:1");
    assert!(ran.stderr.contains("storage"), "what is done is named: {}", ran.stderr);
    let status = run(&kit, &bed, &["status", "test"]).exit(7);
    assert!(status.stdout.contains("Deployment/api"), "{}", status.stdout);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_namespace_that_is_still_being_deleted_is_waited_for() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "terminating");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    // A finalizer holds the namespace in deletion until the test lets it go.
    bed.apply_as(
        "somebody",
        &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: held, namespace: {}, finalizers: [example.com/hold]}}",
            space.name
        ),
    );
    bed.block_on(bed.api("v1", "Namespace", None).delete(&space.name, &kube::api::DeleteParams::default())).unwrap();
    let running = start(&kit, &bed, &["up", "test", "-v"]);
    bed.wait_until("its content is gone", |bed| bed.get("v1", "ConfigMap", Some(&space.name), "a").is_none());
    bed.block_on(bed.api("v1", "ConfigMap", Some(&space.name)).patch(
        "held",
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(json!({"metadata": {"finalizers": null}})),
    ))
    .unwrap();
    running.wait().exit(0);
    assert!(bed.get("v1", "ConfigMap", Some(&space.name), "a").is_some());
}

#[test]
#[ignore = "needs a real control plane"]
fn two_instances_live_side_by_side() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "instances");
    let (one, two) = (format!("{}-one", space.name), format!("{}-two", space.name));
    let _cleanup = (Space { bed: &bed, name: one.clone() }, Space { bed: &bed, name: two.clone() });
    let kit = Kit::new(&space.name, STACK);
    kit.write(
        "templates/storage/a.yaml.tera",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {instance: {{ instance }}}\n",
    );
    for instance in ["one", "two"] {
        run(&kit, &bed, &["up", "test", "--instance", instance]).exit(0);
    }
    for (namespace, instance) in [(one, "one"), (two, "two")] {
        let live = bed.get("v1", "ConfigMap", Some(&namespace), "a").unwrap();
        assert_eq!(live["data"]["instance"], instance);
        assert_eq!(live["metadata"]["labels"]["rekindle.dev/instance"], instance);
    }
}

#[test]
#[ignore = "needs a real control plane"]
fn a_server_that_does_not_answer_is_named() {
    let bed = Bed::from_variable(BED);
    let kit = Kit::new("nowhere", STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    kit.write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}'}}}}]\n\
             contexts: [{{name: gone, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n\
             current-context: gone\n"
        ),
    );
    let kubeconfig = kit.path().join("kubeconfig");
    finish(rekindle(Some(&kit), &kubeconfig, &["up", "test"]))
        .exit(5)
        .says(&format!("127.0.0.1:{port}"))
        .says("refused");
    drop(bed);
}
