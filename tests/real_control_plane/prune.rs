//! What left the kit: deleted when all is healthy, and what is never deleted.

use serde_json::{Value, json};

use super::support::{Bed, Kit, Ran, Space, run, start};
use super::{BED, STACK, config, deployment};

/// `Kind/name` of the objects of the events of a kind, in order.
fn named(ran: &Ran, event: &str) -> Vec<String> {
    let events = ran.events().into_iter().filter(|it| it["event"] == event);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    events.map(|it| format!("{}/{}", text(&it["object"]["kind"]), text(&it["object"]["name"]))).collect()
}

fn pruned(ran: &Ran) -> Vec<String> {
    named(ran, "object-pruned")
}

fn patch(bed: &Bed, space: &str, kind: &str, name: &str, body: Value) {
    let api = bed.api("v1", kind, Some(space));
    bed.block_on(api.patch(name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&body))).unwrap();
}

fn there(bed: &Bed, space: &Space<'_>, name: &str) -> bool {
    bed.get("v1", "ConfigMap", Some(&space.name), name).is_some()
}

/// No claim of theirs is ever bound here.
const IMPATIENT: &str = "- {name: storage, timeout: 4s}\n- name: services";

const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {storageClassName: none-such, accessModes: [ReadWriteOnce], \
                     resources: {requests: {storage: 1Gi}}}\n";

#[test]
#[ignore = "needs a real control plane"]
fn what_left_the_kit_goes_backwards_after_all_phases_and_nothing_else_does() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit")).write("templates/storage/b.yaml", &config("b", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    kit.write("templates/services/old.yaml", &deployment("old", 0));
    kit.write("templates/services/c.yaml", &config("c", "kit"));
    let first = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(pruned(&first), Vec::<String>::new());
    let foreign = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: theirs, namespace: {}}}\n", space.name);
    bed.apply_as("somebody", &foreign);
    let before = bed.versions(&space.name, &[("v1", "ConfigMap")]);
    for file in ["templates/storage/b.yaml", "templates/services/old.yaml", "templates/services/c.yaml"] {
        kit.remove(file);
    }
    let half = run(&kit, &bed, &["up", "test", "--until", "storage", "-o", "json"]).exit(0);
    assert!(pruned(&half).is_empty(), "half a run prunes nothing");
    assert!(there(&bed, &space, "b"));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(pruned(&ran), ["Deployment/old", "ConfigMap/c", "ConfigMap/b"]);
    let events = ran.events();
    let last_phase = events.iter().rposition(|it| it["event"] == "phase-finished").unwrap();
    let first_pruned = events.iter().position(|it| it["event"] == "object-pruned").unwrap();
    assert!(last_phase < first_pruned, "healthy first");
    let mut expected = before;
    expected.retain(|name, _| !["ConfigMap/b", "ConfigMap/c"].contains(&name.as_str()));
    assert_eq!(bed.versions(&space.name, &[("v1", "ConfigMap")]), expected);
    assert!(bed.get("apps/v1", "Deployment", Some(&space.name), "old").is_none());
    let again = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert!(pruned(&again).is_empty());
    assert_eq!(again.last()["written"], 0);
}

#[test]
#[ignore = "needs a real control plane"]
fn the_last_screen_counts_what_was_pruned_and_names_what_stays() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune-screen");
    let kit = Kit::new(&space.name, IMPATIENT);
    kit.write("templates/storage/a.yaml", &config("a", "kit")).write("templates/storage/b.yaml", &config("b", "kit"));
    kit.write("templates/storage/claim.yaml", CLAIM);
    kit.write("templates/services/c.yaml", &config("c", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(7).says("PersistentVolumeClaim/data");
    kit.remove("templates/storage/b.yaml").remove("templates/storage/claim.yaml");
    run(&kit, &bed, &["up", "test"])
        .exit(0)
        .says("1 object left the kit and is deleted: ConfigMap/b")
        .says("left the kit, and stays: PersistentVolumeClaim/data: deleting it could delete data");
}

#[test]
#[ignore = "needs a real control plane"]
fn data_and_what_is_to_be_kept_stay_and_are_told_each_time() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune-keep");
    let group = format!("{}.example.com", space.name);
    let kit = Kit::new(&space.name, IMPATIENT);
    kit.write("templates/storage/claim.yaml", CLAIM);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write(
        "templates/storage/b.yaml",
        &config("b", "kit").replace("{name: b}", "{name: b, annotations: {rekindle.dev/keep: \"\"}}"),
    );
    kit.write(
        "templates/storage/c.yaml",
        &config("c", "kit").replace("{name: c}", "{name: c, annotations: {rekindle.dev/keep: \"true\"}}"),
    );
    kit.write("templates/storage/d.yaml", &config("d", "kit"));
    kit.write(
        "templates/storage/definition.yaml",
        &format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.{group}}}\nspec:\n  group: {group}\n  \
             scope: Namespaced\n  names: {{kind: Widget, plural: widgets}}\n  versions: [{{name: v1, served: true, storage: true, \
             schema: {{openAPIV3Schema: {{type: object}}}}}}]\n"
        ),
    );
    run(&kit, &bed, &["up", "test"]).exit(7).says("PersistentVolumeClaim/data");
    // The annotation was taken off the live object; the record remembers it. Another was put on by hand.
    patch(&bed, &space.name, "ConfigMap", "c", json!({"metadata": {"annotations": {"rekindle.dev/keep": null}}}));
    patch(&bed, &space.name, "ConfigMap", "d", json!({"metadata": {"annotations": {"rekindle.dev/keep": "true"}}}));
    for name in ["claim", "b", "c", "d", "definition"] {
        kit.remove(&format!("templates/storage/{name}.yaml"));
    }
    kit.write("templates/services/e.yaml", &config("e", "kit"));
    for _ in 0..2 {
        let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
        assert!(pruned(&ran).is_empty());
        let mut kept = named(&ran, "object-kept");
        kept.sort();
        let definition = format!("CustomResourceDefinition/widgets.{group}");
        assert_eq!(kept, ["ConfigMap/b", "ConfigMap/c", "ConfigMap/d", &definition, "PersistentVolumeClaim/data"],);
    }
    // Once nothing asks to keep it, it goes.
    patch(&bed, &space.name, "ConfigMap", "d", json!({"metadata": {"annotations": {"rekindle.dev/keep": null}}}));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    let definitions = bed.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", None);
    bed.block_on(definitions.delete(&format!("widgets.{group}"), &kube::api::DeleteParams::default())).unwrap();
    assert_eq!(pruned(&ran), ["ConfigMap/d"]);
    // The kit's own namespace stays, too, when the environment moves to another.
    let moved = Space { bed: &bed, name: format!("{}-moved", space.name) };
    kit.write("environments/test.yaml", &format!("namespace: {}\n", moved.name));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert!(named(&ran, "object-kept").contains(&format!("Namespace/{}", space.name)), "{}", ran.stdout);
    assert_eq!(pruned(&ran), ["ConfigMap/e", "ConfigMap/a"]);
    assert!(bed.get("v1", "PersistentVolumeClaim", Some(&space.name), "data").is_some());
}

#[test]
#[ignore = "needs a real control plane"]
fn what_is_not_ours_any_more_stays() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune-foreign");
    let kit = Kit::new(&space.name, STACK);
    for name in ["remade", "owned", "relabelled", "stays"] {
        kit.write(&format!("templates/storage/{name}.yaml"), &config(name, "kit"));
    }
    kit.write("templates/services/a.yaml", &config("a", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let maps = bed.api("v1", "ConfigMap", Some(&space.name));
    bed.block_on(maps.delete("remade", &kube::api::DeleteParams::default())).unwrap();
    let theirs = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: remade, namespace: {}}}\n", space.name);
    bed.apply_as("somebody", &theirs);
    let uid = bed.get("v1", "ConfigMap", Some(&space.name), "stays").unwrap()["metadata"]["uid"].clone();
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "stays", "uid": uid, "controller": true});
    patch(&bed, &space.name, "ConfigMap", "owned", json!({"metadata": {"ownerReferences": [owner]}}));
    patch(
        &bed,
        &space.name,
        "ConfigMap",
        "relabelled",
        json!({"metadata": {"labels": {"rekindle.dev/environment": "production"}}}),
    );
    for name in ["remade", "owned", "relabelled"] {
        kit.remove(&format!("templates/storage/{name}.yaml"));
    }
    let before = bed.versions(&space.name, &[("v1", "ConfigMap")]);
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert!(pruned(&ran).is_empty());
    assert_eq!(bed.versions(&space.name, &[("v1", "ConfigMap")]), before);
    let reason = |name: &str| {
        let kept = ran.events().into_iter().find(|it| it["event"] == "object-kept" && it["object"]["name"] == name);
        kept.unwrap_or_else(|| panic!("{name} is not told: {}", ran.stdout))["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason("remade"), "it was made anew by somebody else");
    assert_eq!(reason("owned"), "ConfigMap/stays looks after it");
    assert_eq!(reason("relabelled"), "it belongs to production");
    // What was found not to be ours is nobody's news the next time.
    let again = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(named(&again, "object-kept"), ["ConfigMap/owned"]);
}

#[test]
#[ignore = "needs a real control plane"]
fn what_controllers_make_of_ours_is_not_pruned_without_a_record() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune-made");
    let kit = Kit::new(&space.name, STACK);
    kit.write(
        "templates/services/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {selector: {app: api}, ports: [{port: 80}]}\n",
    );
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let slices = |bed: &Bed| bed.list("discovery.k8s.io/v1", "EndpointSlice", &space.name);
    bed.wait_until("the Service has its slice, with our labels on it", |bed| {
        slices(bed)
            .iter()
            .any(|slice| slice["metadata"]["labels"]["rekindle.dev/environment"] == kit.environment.as_str())
    });
    lose_record(&bed, &kit);
    let before: Vec<_> = slices(&bed).iter().map(|slice| slice["metadata"]["uid"].clone()).collect();
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert!(pruned(&ran).is_empty(), "{}", ran.stdout);
    assert!(named(&ran, "object-kept").is_empty(), "{}", ran.stdout);
    let after: Vec<_> = slices(&bed).iter().map(|slice| slice["metadata"]["uid"].clone()).collect();
    assert_eq!(after, before);
}

fn lose_record(bed: &Bed, kit: &Kit) {
    let secrets = bed.api("v1", "Secret", Some("rekindle-system"));
    let name = format!("inventory-{}", kit.environment);
    bed.block_on(secrets.delete(&name, &kube::api::DeleteParams::default())).unwrap();
}

#[test]
#[ignore = "needs a real control plane"]
fn a_lost_or_damaged_record_is_made_again_from_labels() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune-lost");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    // Of this kind the kit then has nothing left, so no LIST of its own finds it.
    kit.write("templates/storage/account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: worker}\n");
    kit.write("templates/services/b.yaml", &config("b", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let copied = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: copied, namespace: {}, labels: {{rekindle.dev/environment: {}}}}}\n",
        space.name, kit.environment
    );
    bed.apply_as("somebody", &copied);
    lose_record(&bed, &kit);
    kit.remove("templates/storage/account.yaml");
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(pruned(&ran), ["ServiceAccount/worker"]);
    assert!(there(&bed, &space, "copied"), "labels that somebody copied make nothing ours");
    let secrets = format!("inventory-{}", kit.environment);
    patch(&bed, "rekindle-system", "Secret", &secrets, json!({"data": {"objects": "bm90aGluZw=="}}));
    kit.write("templates/storage/account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: second}\n");
    run(&kit, &bed, &["up", "test"]).exit(0);
    patch(&bed, "rekindle-system", "Secret", &secrets, json!({"data": {"objects": "bm90aGluZw=="}}));
    kit.remove("templates/storage/account.yaml");
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(pruned(&ran), ["ServiceAccount/second"]);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_renamed_object_goes_when_its_successor_is_ready() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune-renamed");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    run(&kit, &bed, &["up", "test"]).exit(0);
    // Its successor never becomes ready: the old one stays.
    kit.write("templates/stack.yaml", "name: test\nphases:\n- name: storage\n- {name: services, timeout: 3s}\n");
    kit.write("templates/services/api.yaml", &deployment("api-v2", 1));
    run(&kit, &bed, &["up", "test"]).exit(7);
    assert!(bed.get("apps/v1", "Deployment", Some(&space.name), "api").is_some());
    kit.write("templates/services/api.yaml", &deployment("api-v2", 0));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    let at = |event: &str, name: &str| {
        ran.events().iter().position(|it| it["event"] == event && it["object"]["name"] == name).unwrap()
    };
    assert!(at("object-ready", "api-v2") < at("object-pruned", "api"));
    assert!(bed.get("apps/v1", "Deployment", Some(&space.name), "api").is_none());
}

#[test]
#[ignore = "needs a real control plane"]
fn a_prune_that_was_stopped_is_finished_and_one_that_is_stuck_says_by_what() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "prune-stopped");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit")).write("templates/storage/b.yaml", &config("b", "kit"));
    kit.write("templates/services/held.yaml", &config("held", "kit"));
    kit.write("templates/services/c.yaml", &config("c", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    patch(&bed, &space.name, "ConfigMap", "held", json!({"metadata": {"finalizers": ["example.com/hold"]}}));
    kit.remove("templates/services/held.yaml").remove("templates/storage/b.yaml");
    let running = start(&kit, &bed, &["up", "test"]);
    bed.wait_until("it is being deleted", |bed| {
        let held = bed.get("v1", "ConfigMap", Some(&space.name), "held").unwrap();
        held["metadata"]["deletionTimestamp"].is_string()
    });
    running.signal("INT");
    let _ = running.wait().exit(130);
    assert!(there(&bed, &space, "b"), "its phase comes later");
    kit.write("templates/stack.yaml", "name: test\nphases:\n- name: storage\n- {name: services, timeout: 3s}\n");
    run(&kit, &bed, &["up", "test"])
        .exit(7)
        .says("services stopped: ConfigMap/held does not go away")
        .says("example.com/hold");
    patch(&bed, &space.name, "ConfigMap", "held", json!({"metadata": {"finalizers": null}}));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(pruned(&ran), ["ConfigMap/b"]);
    assert!(!there(&bed, &space, "held"));
}

/// kubectl finds the members of the set by label, and refuses to keep a set that another tool keeps.
#[test]
#[ignore = "needs a real control plane"]
fn kubectl_sees_an_apply_set_and_does_not_prune_by_it() {
    let kubectl = std::env::var_os("REKINDLE_TEST_KUBECTL").expect("REKINDLE_TEST_KUBECTL: run with cargo xtask test");
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "applyset");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let parent = bed.get("v1", "Secret", Some("rekindle-system"), &format!("inventory-{}", kit.environment)).unwrap();
    let metadata = &parent["metadata"];
    let id = metadata["labels"]["applyset.kubernetes.io/id"].as_str().unwrap();
    let annotation = |name: &str| metadata["annotations"][&format!("applyset.kubernetes.io/{name}")].clone();
    assert_eq!(annotation("contains-group-kinds"), "ConfigMap,Deployment.apps,Namespace");
    assert_eq!(annotation("additional-namespaces"), space.name.as_str());
    assert!(annotation("tooling").as_str().unwrap().starts_with("rekindle/v"));
    let home = tempfile::tempdir().unwrap();
    let kubectl = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&kubectl);
        command.env_clear().env("HOME", home.path()).env("KUBECTL_APPLYSET", "true");
        command.arg("--kubeconfig").arg(&bed.kubeconfig).args(arguments).output().unwrap()
    };
    let selector = format!("applyset.kubernetes.io/part-of={id}");
    let members = kubectl(&["get", "configmaps,deployments,namespaces", "-A", "-l", &selector, "-o", "name"]);
    let mut members: Vec<_> = String::from_utf8(members.stdout).unwrap().lines().map(str::to_owned).collect();
    members.sort();
    assert_eq!(members, ["configmap/a", "deployment.apps/api", &format!("namespace/{}", space.name)]);
    let other = kit.path().join("other.yaml");
    std::fs::write(&other, config("other", "x")).unwrap();
    let set = format!("secret/inventory-{}", kit.environment);
    let other = other.to_str().unwrap();
    let refused =
        kubectl(&["apply", "--prune", "--applyset", &set, "-n", "rekindle-system", "--dry-run=server", "-f", other]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("rekindle"), "{said}");
}
