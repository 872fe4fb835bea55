//! What a tired operator does: two environments in one namespace, the last of the data, a lock broken under a live run.

use serde_json::{Value, json};

use super::support::{Bed, Kit, Space, run, start};
use super::{BED, STACK, config, deployment};

/// A claim of no volume and a data set that consists of it.
fn data(sets: &[(&str, &str)], claims: &[&str]) -> String {
    let claims = claims.iter().map(|name| {
        format!(
            "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}, annotations: {{rekindle.dev/ready: \"true\"}}}}\n\
             spec: {{accessModes: [ReadWriteOnce], storageClassName: \"\", volumeName: none, resources: {{requests: {{storage: 1Mi}}}}}}\n"
        )
    });
    let sets = sets.iter().map(|(name, claims)| {
        format!(
            "---\napiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: {name}}}\nspec: {{claims: [{claims}]}}\n"
        )
    });
    claims.chain(sets).collect()
}

fn claim(bed: &Bed, space: &Space, name: &str) -> Option<Value> {
    bed.get("v1", "PersistentVolumeClaim", Some(&space.name), name)
}

#[test]
#[ignore = "needs a real control plane"]
fn data_of_another_environment_in_the_same_namespace_is_not_deleted() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "sharedns");
    let (owner, thief) = (Kit::new(&space.name, STACK), Kit::new(&space.name, STACK));
    let text = data(&[("cache", "data")], &["data"]);
    owner.write("templates/storage/a.yaml", &(config("a", "one") + &text));
    thief.write("templates/storage/a.yaml", &text);
    let _ = run(&owner, &bed, &["up", "test"]).exit(0);
    let before = claim(&bed, &space, "data").unwrap();
    let delete = ["down", "test", "--yes", "--delete-data", "cache", "--confirm-data", "cache"];
    let _ = run(&thief, &bed, &delete).exit(4).says("the claim data may hold data of test").says("nothing was deleted");
    assert_eq!(claim(&bed, &space, "data").as_ref(), Some(&before));
    // Neither when its labels have been taken off: the owner works in the namespace.
    bed.apply_as("somebody", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", space.name));
    let api = bed.api("v1", "PersistentVolumeClaim", Some(&space.name));
    let bare = json!({"metadata": {"labels": {"rekindle.dev/environment": null}}});
    let params = kube::api::PatchParams::default();
    bed.block_on(api.patch("data", &params, &kube::api::Patch::Merge(&bare))).unwrap();
    let _ = run(&thief, &bed, &delete).exit(4).says("the claim data may hold data of test");
    assert!(claim(&bed, &space, "data").is_some_and(|live| live["metadata"]["deletionTimestamp"].is_null()));
    // Its owner's record names it.
    let _ = run(&owner, &bed, &delete).exit(0);
    assert_eq!(claim(&bed, &space, "data"), None);
}

#[test]
#[ignore = "needs a real control plane"]
fn what_goes_with_its_data_is_told_as_gone() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "lastdata");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &data(&[("one", "x"), ("two", "z")], &["x", "z"]));
    let _ = run(&kit, &bed, &["up", "test"]).exit(0);
    let one = ["down", "test", "--yes", "--delete-data", "one", "--confirm-data", "one"];
    let both = [&one[..], &["--delete-data", "two", "--confirm-data", "two"]].concat();
    let ran = run(&kit, &bed, &both).exit(0).says("only data was deleted").says("no claim of it is left");
    assert!(!ran.stderr.contains("kept: PersistentVolumeClaim"), "{}", ran.stderr);
    assert_eq!((claim(&bed, &space, "x"), claim(&bed, &space, "z")), (None, None));
}

#[test]
#[ignore = "needs a real control plane"]
fn what_a_run_made_until_it_noticed_that_its_lock_was_broken_goes_down_too() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "brokendown");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 1));
    let up = start(&kit, &bed, &["up", "test"]);
    bed.wait_until("the Deployment is there", |bed| {
        bed.get("apps/v1", "Deployment", Some(&space.name), "api").is_some()
    });
    let down = run(&kit, &bed, &["down", "test", "--break-lock", "--confirm", "test"])
        .exit(0)
        .says("has noticed that it has lost the lock")
        .says("is down");
    assert!(!down.stderr.contains("nothing had to be deleted"), "{}", down.stderr);
    let _ = up.wait().exit(8);
    assert_eq!(bed.get("apps/v1", "Deployment", Some(&space.name), "api"), None);
    assert_eq!(bed.get("v1", "ConfigMap", Some(&space.name), "a"), None);
}

/// A kit with a Database, a kind of its own.
fn with_database(space: &Space<'_>) -> (Kit, String) {
    let kit = Kit::new(&space.name, STACK);
    let group = format!("{}.example", space.name);
    kit.write(
        "templates/storage/crd.yaml",
        &format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: databases.{group}}}\n\
             spec: {{group: {group}, scope: Namespaced, names: {{kind: Database, plural: databases}}, versions: [{{name: v1, \
             served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]}}\n"
        ),
    );
    kit.write(
        "templates/services/db.yaml",
        &format!("apiVersion: {group}/v1\nkind: Database\nmetadata: {{name: db}}\n"),
    );
    (kit, group)
}

#[test]
#[ignore = "needs a real control plane"]
fn the_bytes_beside_a_custom_resource_that_left_the_kit_outlive_what_its_operator_does() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "beside");
    let (kit, group) = with_database(&space);
    let _ = run(&kit, &bed, &["up", "test"]).exit(0);
    let volume = format!("{}-data", space.name);
    bed.apply_as(
        "operator",
        &format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {volume}}}\nspec: {{capacity: {{storage: 1Mi}}, accessModes: \
             [ReadWriteOnce], hostPath: {{path: /nonexistent}}, persistentVolumeReclaimPolicy: Delete}}\n"
        ),
    );
    let claim = format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data-db, namespace: {}}}\nspec: {{accessModes: \
         [ReadWriteOnce], storageClassName: \"\", volumeName: {volume}, resources: {{requests: {{storage: 1Mi}}}}}}\n",
        space.name
    );
    bed.apply_as("operator", &claim);
    kit.remove("templates/services/db.yaml");
    let ran = run(&kit, &bed, &["up", "test"]).exit(0);
    let policy =
        bed.get("v1", "PersistentVolume", None, &volume).unwrap()["spec"]["persistentVolumeReclaimPolicy"].clone();
    let volumes = bed.api("v1", "PersistentVolume", None);
    bed.block_on(volumes.delete(&volume, &kube::api::DeleteParams::default())).unwrap();
    assert_eq!(policy, "Retain");
    assert_eq!(bed.get(&format!("{group}/v1"), "Database", Some(&space.name), "db"), None);
    let _ = ran.says(&format!("volume {volume} of data-db outlives its claim from now on: Retain, was Delete"));
}

#[test]
#[ignore = "needs a real control plane"]
fn what_an_operator_would_take_its_claims_with_is_neither_pruned_nor_taken_down() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "operator");
    let (kit, group) = with_database(&space);
    let _ = run(&kit, &bed, &["up", "test"]).exit(0);
    let api_version = format!("{group}/v1");
    let database = |bed: &Bed| bed.get(&api_version, "Database", Some(&space.name), "db");
    let uid = database(&bed).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let owned = format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data-db, namespace: {}, ownerReferences: [{{apiVersion: \
         {group}/v1, kind: Database, name: db, uid: {uid}}}]}}\nspec: {{accessModes: [ReadWriteOnce], storageClassName: \"\", \
         volumeName: none, resources: {{requests: {{storage: 1Mi}}}}}}\n",
        space.name
    );
    bed.apply_as("operator", &owned);
    kit.remove("templates/services/db.yaml");
    let _ = run(&kit, &bed, &["plan", "test"]).exit(0);
    let _ = run(&kit, &bed, &["up", "test"]).exit(0).says("the claim data-db would be deleted with it");
    let _ = run(&kit, &bed, &["down", "test", "--yes"]).exit(7).says("the claim data-db would be deleted with it");
    assert!(database(&bed).is_some_and(|live| live["metadata"]["deletionTimestamp"].is_null()));
    assert!(claim(&bed, &space, "data-db").is_some_and(|live| live["metadata"]["deletionTimestamp"].is_null()));
}
