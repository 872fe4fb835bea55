//! What goes wrong with pods: seen within the grace of its cause, said in words that help, and gone on from once it is
//! mended.

use std::time::Duration;

use super::BED;
use super::kubelet::Kubelet;
use super::support::{Bed, Kit, Ran, Space, run};

const STACK: &str = "- name: storage\n- {name: services, timeout: 60s, pull_grace: 2s, crash_grace: 2s}";

/// A kit whose first phase is a ConfigMap.
fn kit(space: &Space<'_>) -> Kit {
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {key: value}\n");
    kit
}

/// A workload of `apps/v1` whose pods have one container.
fn workload(kind: &str, replicas: u32, image: &str, pod: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: api}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: api}}}}
{more}  template:
    metadata: {{labels: {{app: api}}}}
    spec: {{containers: [{{name: main, image: '{image}'}}], {pod}}}
"
    )
}

/// A Job whose pod has one container; `more` is a field of its spec.
fn job(image: &str, pod: &str, more: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata: {{name: api}}
spec:
  {more}
  template:
    spec: {{restartPolicy: Never, containers: [{{name: main, image: '{image}'}}], {pod}}}
"
    )
}

/// The failure is at the object in the kit, says what is done, and says how to go on.
#[track_caller]
fn points_at(ran: Ran, object: &str) -> Ran {
    let ran = ran.exit(7).says(object).says("templates/services/api.yaml:1").says("storage");
    assert!(ran.stderr.contains("rekindle up test"), "{}", ran.stderr);
    // Far from any limit of the phase.
    assert!(ran.took < Duration::from_secs(30), "took {:?}\n{}", ran.took, ran.stderr);
    ran
}

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn an_image_that_cannot_be_pulled_stops_the_run_until_it_is_mended() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "pull");
    let (kubelet, kit) = (Kubelet::of(&space), kit(&space));
    let api = |image: &str| workload("Deployment", 2, image, &kubelet.place(), "");
    kit.write("templates/services/api.yaml", &api("example.com/cannot-be-pulled:1"));
    let failed = points_at(run(&kit, &bed, &["up", "test"]), "Deployment");
    let _ = failed.says("0 of 2 pods ready").says("cannot pull image example.com/cannot-be-pulled:1").says("not found");

    kit.write("templates/services/api.yaml", &api("example.com/ready:1"));
    let mended = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(mended.last()["written"], 1, "only what was mended");
}

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn a_pod_that_no_node_takes_is_given_the_objects_time_and_told_in_the_schedulers_words() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "unschedulable");
    let kit = kit(&space);
    let api = |cpu: u32| {
        let api = workload("Deployment", 1, "registry.invalid/api", "", "");
        let api = api.replace("{name: api}", "{name: api, annotations: {rekindle.dev/timeout: 4s}}");
        api.replace("registry.invalid/api'", &format!("registry.invalid/api', resources: {{requests: {{cpu: {cpu}}}}}"))
    };
    kit.write("templates/services/api.yaml", &api(1000));
    let failed = points_at(run(&kit, &bed, &["up", "test"]), "Deployment");
    assert!(failed.took >= Duration::from_secs(4), "a node may still be on its way: {:?}", failed.took);
    let failed = failed.says("not ready after 4").says("no node takes pod api-").says("4 Insufficient cpu");
    let reason = failed.stderr.split("events (UTC)").next().unwrap();
    assert!(!reason.contains("preemption"), "nobody is helped by why others are not evicted: {reason}");

    kit.write("templates/services/api.yaml", &api(1));
    let _ = run(&kit, &bed, &["up", "test"]).exit(0);
}

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn a_stateful_set_that_cannot_replace_its_broken_pod_says_so() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "stuck");
    let (kubelet, kit) = (Kubelet::of(&space), kit(&space));
    let api = |image: &str| workload("StatefulSet", 3, image, &kubelet.place(), "  serviceName: api\n");
    kit.write(
        "templates/services/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {clusterIP: None}\n",
    );
    kit.write("templates/services/api.yaml", &api("example.com/crashes:1"));
    let failed = points_at(run(&kit, &bed, &["up", "test"]), "StatefulSet");
    let _ = failed.says("0 of 3 pods ready").says("container main of pod api-0").says("exits with code 3");

    // Kubernetes replaces the pods of a StatefulSet one by one, each once it is ready.
    kit.write("templates/services/api.yaml", &api("example.com/ready:1"));
    let failed = points_at(run(&kit, &bed, &["up", "test"]), "StatefulSet");
    let _ = failed.says("the old pod api-0 is replaced only once it is ready or deleted");

    bed.block_on(bed.api("v1", "Pod", Some(&space.name)).delete("api-0", &kube::api::DeleteParams::default())).unwrap();
    let _ = run(&kit, &bed, &["up", "test"]).exit(0);
    let live = bed.get("apps/v1", "StatefulSet", Some(&space.name), "api").unwrap();
    assert_eq!(live["status"]["readyReplicas"], 3);
}

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn a_pod_that_never_gets_ready_is_waited_for_until_the_phases_limit() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "unready");
    let kubelet = Kubelet::of(&space);
    let kit = kit(&space);
    kit.write("environments/test.yaml", &format!("namespace: {}\nphases: {{services: {{timeout: 4s}}}}\n", space.name));
    kit.write(
        "templates/services/api.yaml",
        &workload("Deployment", 2, "example.com/never-ready:1", &kubelet.place(), ""),
    );
    let failed = points_at(run(&kit, &bed, &["up", "test"]), "Deployment");
    let _ = failed.says("4 s").says("0 of 2 pods ready").says("is running but not ready");
}

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn a_job_that_failed_is_run_again_once_what_it_needs_is_there() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "job");
    let (kubelet, kit) = (Kubelet::of(&space), kit(&space));
    let job = |image: &str| job(image, &kubelet.place(), "backoffLimit: 0");
    kit.write("templates/services/api.yaml", &job("example.com/fails:1"));
    let failed = points_at(run(&kit, &bed, &["up", "test"]), "Job");
    let _ = failed.says("container main of pod api-").says("exits with code 3");

    // It never runs again by itself: the next run makes it anew, and it fails again.
    let again = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(7);
    assert!(again.events().iter().any(|event| event["action"] == "replaced"), "{}", again.stdout);

    kit.write("templates/services/api.yaml", &job("example.com/succeeds:1"));
    let mended = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert!(mended.events().iter().any(|event| event["action"] == "replaced"), "{}", mended.stdout);
}

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn a_job_that_is_deleted_after_its_work_does_not_run_again_until_it_has_to() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "ttl");
    let (kubelet, kit) = (Kubelet::of(&space), kit(&space));
    let job =
        |seconds: u32| job("example.com/succeeds:1", &kubelet.place(), &format!("ttlSecondsAfterFinished: {seconds}"));
    kit.write("templates/services/api.yaml", &job(1));
    let up = || run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    let gone = |bed: &Bed| bed.get("batch/v1", "Job", Some(&space.name), "api").is_none();
    assert_eq!(up().last()["written"], 3, "the namespace, a ConfigMap and the Job");
    bed.wait_until("the Job is gone", gone);
    let plan = run(&kit, &bed, &["plan", "test"]).exit(0);
    assert!(plan.stdout.contains("1 object: 1 unchanged"), "{}", plan.stdout);
    let _ = run(&kit, &bed, &["status", "test"]).exit(0);
    let second = up();
    assert_eq!(second.last()["written"], 0, "{}", second.stdout);
    assert!(gone(&bed), "it was not made again");
    let told = "it ran to completion in an earlier run, and may be gone (ttlSecondsAfterFinished)";
    assert!(second.events().iter().any(|event| event["reason"] == told), "{}", second.stdout);

    kit.write("templates/services/api.yaml", &job(2));
    assert_eq!(up().last()["written"], 1, "what has changed runs again");
    bed.wait_until("the Job is gone", gone);

    let namespaces = bed.api("v1", "Namespace", None);
    bed.block_on(namespaces.delete(&space.name, &kube::api::DeleteParams::default())).unwrap();
    bed.wait_until("the namespace is gone", |bed| bed.get("v1", "Namespace", None, &space.name).is_none());
    assert_eq!(up().last()["written"], 3, "a namespace made anew has seen nothing run");
}
