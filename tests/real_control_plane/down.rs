//! Taking an environment down: its data stays and is proven, its neighbours are not touched, data goes only by name.

use serde_json::{Value, json};

use super::support::{Bed, Kit, Ran, Space, run, start};
use super::{BED, STACK, config, deployment};

/// `Kind/name` of the objects of the events of a kind, in order.
fn named(ran: &Ran, event: &str) -> Vec<String> {
    let events = ran.events().into_iter().filter(|it| it["event"] == event);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    events.map(|it| format!("{}/{}", text(&it["object"]["kind"]), text(&it["object"]["name"]))).collect()
}

fn there(bed: &Bed, space: &str, name: &str) -> bool {
    bed.get("v1", "ConfigMap", Some(space), name).is_some()
}

/// A volume bound to a claim in a namespace, as a static one is: no provisioner is here.
struct Volume<'a>(&'a Bed, String);

impl<'a> Volume<'a> {
    fn of(bed: &'a Bed, namespace: &str, claim: &str, policy: &str) -> Self {
        let name = format!("{namespace}-{claim}");
        bed.apply_as(
            "somebody",
            &format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec:\n  capacity: {{storage: 1Gi}}\n  \
                 accessModes: [ReadWriteOnce]\n  storageClassName: none-such\n  persistentVolumeReclaimPolicy: {policy}\n  \
                 hostPath: {{path: /nowhere/{name}}}\n  claimRef: {{namespace: {namespace}, name: {claim}}}\n"
            ),
        );
        Self(bed, name)
    }

    fn policy(&self) -> String {
        let volume = self.0.get("v1", "PersistentVolume", None, &self.1).expect("the volume is there");
        volume["spec"]["persistentVolumeReclaimPolicy"].as_str().unwrap().to_owned()
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        let volumes = self.0.api("v1", "PersistentVolume", None);
        let _ = self.0.block_on(volumes.delete(&self.1, &kube::api::DeleteParams::default()));
    }
}

fn claim(name: &str, volume: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{storageClassName: none-such, volumeName: {volume}, \
         accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
    )
}

/// A StatefulSet that takes its claims with it, if it may.
fn set(name: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: {name}}}
spec:
  replicas: 0
  serviceName: {name}
  persistentVolumeClaimRetentionPolicy: {{whenDeleted: Delete}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: example/image:1}}]}}
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{storageClassName: none-such, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"
    )
}

fn phase_of(bed: &Bed, space: &str, claim: &str) -> Value {
    bed.get("v1", "PersistentVolumeClaim", Some(space), claim)
        .map(|it| it["status"]["phase"].clone())
        .unwrap_or_default()
}

#[test]
#[ignore = "needs a real control plane"]
fn what_holds_data_stays_and_up_finds_it_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down");
    let volume = Volume::of(&bed, &space.name, "data", "Delete");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/claim.yaml", &claim("data", &volume.1));
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write(
        "templates/storage/keep.yaml",
        &config("keep", "kit").replace("{name: keep}", "{name: keep, annotations: {rekindle.dev/keep: \"\"}}"),
    );
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    kit.write("templates/services/b.yaml", &config("b", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let uid = bed.get("v1", "PersistentVolumeClaim", Some(&space.name), "data").unwrap()["metadata"]["uid"].clone();
    let foreign = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: theirs, namespace: {}}}\n", space.name);
    bed.apply_as("somebody", &foreign);

    run(&kit, &bed, &["down", "test"]).exit(4).says("--yes");
    assert_eq!(volume.policy(), "Delete", "nothing is written before the yes");
    let ran = run(&kit, &bed, &["down", "test", "--yes", "-o", "json"]).exit(0);
    assert_eq!(named(&ran, "object-deleted"), ["Deployment/api", "ConfigMap/b", "ConfigMap/a"]);
    let phases: Vec<_> = ran.events().into_iter().filter(|it| it["event"] == "phase-started").collect();
    assert_eq!((phases[0]["phase"].as_str(), phases[1]["phase"].as_str()), (Some("services"), Some("storage")));
    let events = ran.events();
    let at = |event: &str| events.iter().position(|it| it["event"] == event).unwrap();
    assert!(at("volume-retained") < at("phase-started"), "before anything is deleted");
    let proof = &events[at("volume-kept")];
    assert_eq!(
        (&proof["claim"], &proof["policy"], &proof["phase"], &proof["place"], &proof["size"]),
        (&json!("data"), &json!("Retain"), &json!("Bound"), &json!(format!("/nowhere/{}", volume.1)), &json!("1Gi"))
    );
    assert_eq!(ran.last()["written"], 3);
    assert_eq!(volume.policy(), "Retain");
    assert!(there(&bed, &space.name, "keep") && there(&bed, &space.name, "theirs"));
    assert!(!there(&bed, &space.name, "a") && !there(&bed, &space.name, "b"));
    assert!(bed.get("v1", "Namespace", None, &space.name).is_some());

    let second = run(&kit, &bed, &["down", "test"]).exit(0).says("nothing had to be deleted");
    assert!(second.stdout.contains("Retain") && second.stdout.contains("data"), "{}", second.stdout);
    run(&kit, &bed, &["up", "test"]).exit(0);
    let live = bed.get("v1", "PersistentVolumeClaim", Some(&space.name), "data").unwrap();
    assert_eq!((&live["metadata"]["uid"], &live["status"]["phase"]), (&uid, &json!("Bound")));
    assert!(there(&bed, &space.name, "a"));
    let shown = run(&kit, &bed, &["down", "test", "--yes"]).exit(0).says("test is down").says("3 objects deleted");
    assert!(shown.stdout.lines().any(|line| line.contains("Bound") && line.contains("Retain")), "{}", shown.stdout);
}

#[test]
#[ignore = "needs a real control plane"]
fn the_claims_of_a_stateful_set_that_would_take_them_stay() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down-set");
    let volume = Volume::of(&bed, &space.name, "data-db-0", "Delete");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/services/db.yaml", &set("db"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let made = claim("data-db-0", &volume.1)
        .replace("{name: data-db-0}", &format!("{{name: data-db-0, namespace: {}, labels: {{app: db}}}}", space.name));
    bed.apply_as("somebody", &made);
    bed.wait_until("the claim is bound and belongs to the StatefulSet", |bed| {
        let claim = bed.get("v1", "PersistentVolumeClaim", Some(&space.name), "data-db-0").unwrap();
        claim["status"]["phase"] == "Bound"
    });
    let owner = bed.get("apps/v1", "StatefulSet", Some(&space.name), "db").unwrap()["metadata"]["uid"].clone();
    let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": owner});
    let api = bed.api("v1", "PersistentVolumeClaim", Some(&space.name));
    let body = json!({"metadata": {"ownerReferences": [owner]}});
    bed.block_on(api.patch("data-db-0", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&body))).unwrap();
    // With no replica its controller looks at no claim, so the test lets go of it when the StatefulSet is told to.
    let running = start(&kit, &bed, &["down", "test", "--yes", "-o", "json"]);
    bed.wait_until("the StatefulSet is told to leave its claims", |bed| {
        let set = bed.get("apps/v1", "StatefulSet", Some(&space.name), "db").unwrap();
        set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    });
    let free = json!({"metadata": {"ownerReferences": null}});
    bed.block_on(api.patch("data-db-0", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&free))).unwrap();
    let ran = running.wait().exit(0);
    assert_eq!(named(&ran, "object-deleted"), ["StatefulSet/db"]);
    assert_eq!(phase_of(&bed, &space.name, "data-db-0"), "Bound");
    assert_eq!(volume.policy(), "Retain");
}

#[test]
#[ignore = "needs a real control plane"]
fn an_instance_goes_without_questions_and_its_neighbours_are_not_touched() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down-instance");
    let (one, two) = (format!("{}-one", space.name), format!("{}-two", space.name));
    let _cleanup = (Space { bed: &bed, name: one.clone() }, Space { bed: &bed, name: two.clone() });
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    run(&kit, &bed, &["up", "test"]).exit(0);
    for instance in ["one", "two"] {
        run(&kit, &bed, &["up", "test", "--instance", instance]).exit(0);
    }
    let kinds = [("v1", "ConfigMap"), ("apps/v1", "Deployment")];
    let look = || (bed.versions(&space.name, &kinds), bed.versions(&two, &kinds));
    let before = look();
    run(&kit, &bed, &["down", "test", "--instance", "one"]).exit(0).says("test/one is down");
    assert_eq!(look(), before);
    assert!(!there(&bed, &one, "a"));
    assert!(bed.get("v1", "Namespace", None, &one).is_some());
    // The environment itself, and then not its other instance.
    run(&kit, &bed, &["down", "test", "--yes"]).exit(0);
    assert_eq!(look().1, before.1);
}

#[test]
#[ignore = "needs a real control plane"]
fn what_is_not_there_is_said_and_is_no_failure() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down-nothing");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    run(&kit, &bed, &["down", "test"]).exit(0).says("test is not there");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_protected_environment_wants_its_name_and_keeps_its_data() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down-protected");
    let kit = Kit::new(&space.name, STACK);
    kit.write("environments/test.yaml", &format!("namespace: {}\nprotected: true\n", space.name));
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    let document = "---\napiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {name: ledger}\nspec: {claims: [{statefulset: db}]}\n";
    kit.write("templates/storage/set.yaml", &(set("db") + document));
    kit.write("templates/services/b.yaml", &config("b", "kit"));
    run(&kit, &bed, &["up", "test", "--confirm", "test"]).exit(0);
    let before = bed.versions(&space.name, &[("v1", "ConfigMap")]);
    run(&kit, &bed, &["down", "test", "--yes"]).exit(4).says("--confirm test").says("nothing was deleted");
    run(&kit, &bed, &["down", "test", "--confirm", "tset"]).exit(4).says("tset is not test");
    let data = ["down", "test", "--confirm", "test", "--delete-data", "ledger", "--confirm-data", "ledger"];
    run(&kit, &bed, &data).exit(4).says("the newest backup cannot be proven fresh");
    assert_eq!(bed.versions(&space.name, &[("v1", "ConfigMap")]), before);
    run(&kit, &bed, &["down", "test", "--confirm", "test"]).exit(0);
    assert!(!there(&bed, &space.name, "a"));
}

#[test]
#[ignore = "needs a real control plane"]
fn data_goes_by_its_typed_name_and_the_namespace_with_the_last_of_it() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down-data");
    let volumes = ["ledger", "cache"].map(|claim| Volume::of(&bed, &space.name, claim, "Retain"));
    let kit = Kit::new(&space.name, STACK);
    for (name, volume) in [("ledger", &volumes[0]), ("cache", &volumes[1])] {
        let set = format!(
            "---\napiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: {name}}}\nspec: {{claims: [{name}]}}\n"
        );
        kit.write(&format!("templates/storage/{name}.yaml"), &(claim(name, &volume.1) + &set));
    }
    kit.write("templates/services/b.yaml", &config("b", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    // As a provisioner would have made it, which the test then plays.
    let api = bed.api("v1", "PersistentVolume", None);
    let body = json!({"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "example.com/disks"}}});
    bed.block_on(api.patch(&volumes[1].1, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&body)))
        .unwrap();

    run(&kit, &bed, &["down", "test", "--yes", "--delete-data", "cahce"]).exit(2).says("did you mean cache?");
    run(&kit, &bed, &["down", "test", "--yes", "--delete-data", "cache"]).exit(4).says("--confirm-data cache");
    run(&kit, &bed, &["down", "test", "--yes", "--delete-data", "cache", "--confirm-data", "ledger"]).exit(4);
    assert!(there(&bed, &space.name, "b"), "nothing was deleted");

    let running = start(
        &kit,
        &bed,
        &["down", "test", "--yes", "--delete-data", "cache", "--confirm-data", "cache", "-o", "json"],
    );
    bed.wait_until("the volume is given back to its provisioner", |bed| {
        let volume = bed.get("v1", "PersistentVolume", None, &volumes[1].1).unwrap();
        volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete" && volume["status"]["phase"] == "Released"
    });
    bed.block_on(api.delete(&volumes[1].1, &kube::api::DeleteParams::default())).unwrap();
    let ran = running.wait().exit(0);
    let deleted: Vec<_> = ran.events().into_iter().filter(|it| it["event"] == "data-deleted").collect();
    assert_eq!(
        (&deleted[0]["claim"], &deleted[0]["volume_deleted"]),
        (&json!("cache"), &json!(true)),
        "{}",
        ran.stdout
    );
    assert_eq!(phase_of(&bed, &space.name, "ledger"), "Bound");
    assert_eq!(volumes[0].policy(), "Retain");
    assert!(bed.get("v1", "Namespace", None, &space.name).is_some(), "there is data in it");

    // A volume that nobody provisioned is let go, and not deleted. Something foreign keeps the namespace.
    let foreign = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: theirs, namespace: {}}}\n", space.name);
    kit.remove("templates/storage/cache.yaml");
    run(&kit, &bed, &["up", "test"]).exit(0);
    bed.apply_as("somebody", &foreign);
    let data = ["down", "test", "--yes", "--delete-data", "ledger", "--confirm-data", "ledger"];
    run(&kit, &bed, &data).exit(0).says("was made by hand").says("it still holds ConfigMap/theirs");
    assert_eq!(phase_of(&bed, &space.name, "ledger"), Value::Null);
    assert_eq!(volumes[0].policy(), "Retain");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_namespace_of_ours_goes_with_the_last_of_its_data() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down-space");
    let volume = Volume::of(&bed, &space.name, "ledger", "Retain");
    let kit = Kit::new(&space.name, STACK);
    kit.write(
        "templates/storage/set.yaml",
        "apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {name: ledger}\nspec: {claims: [ledger]}\n",
    );
    kit.write("templates/storage/claim.yaml", &claim("ledger", &volume.1));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    run(&kit, &bed, &["up", "test"]).exit(0);
    run(&kit, &bed, &["down", "test", "--yes", "--delete-data", "ledger", "--confirm-data", "ledger"]).exit(0);
    assert!(bed.get("v1", "Namespace", None, &space.name).is_none());
    run(&kit, &bed, &["down", "test"]).exit(0).says("test is not there");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_down_that_was_stopped_or_lost_its_record_is_finished() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "down-stopped");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/held.yaml", &config("held", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let maps = bed.api("v1", "ConfigMap", Some(&space.name));
    let finalizers = |value: Value| {
        let body = json!({"metadata": {"finalizers": value}});
        bed.block_on(maps.patch("held", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&body))).unwrap();
    };
    finalizers(json!(["example.com/hold"]));
    let running = start(&kit, &bed, &["down", "test", "--yes"]);
    bed.wait_until("it is being deleted", |bed| {
        bed.get("v1", "ConfigMap", Some(&space.name), "held").unwrap()["metadata"]["deletionTimestamp"].is_string()
    });
    running.signal("INT");
    let stopped = running.wait().exit(130).says("interrupted: nothing more is deleted");
    assert!(there(&bed, &space.name, "a"), "{}", stopped.stderr);
    finalizers(Value::Null);
    // Of a record that is lost the labels tell.
    let secrets = bed.api("v1", "Secret", Some("rekindle-system"));
    let record = format!("inventory-{}", kit.environment);
    bed.block_on(secrets.delete(&record, &kube::api::DeleteParams::default())).unwrap();
    run(&kit, &bed, &["down", "test", "--yes"]).exit(0);
    assert!(!there(&bed, &space.name, "a"));
}
