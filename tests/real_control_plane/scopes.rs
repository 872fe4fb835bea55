//! Custom kinds of definitions that the cluster brings: only the cluster knows which of them have no namespace, and operators
//! may bring them late.

use kube::api::DeleteParams;

use super::support::{Bed, Kit, Space, start};
use super::{BED, STACK, config, run};

/// A definition that somebody else has made in the cluster, taken away again at the end.
struct Definition<'b> {
    bed: &'b Bed,
    name: String,
}

impl<'b> Definition<'b> {
    fn new(bed: &'b Bed, group: &str, scope: &str) -> Self {
        let name = format!("issuers.{group}");
        bed.apply_as(
            "somebody",
            &format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {name}}}\nspec:\n  group: {group}\n  \
                 scope: {scope}\n  names: {{kind: Issuer, plural: issuers}}\n  versions: [{{name: v1, served: true, storage: true, \
                 schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]\n"
            ),
        );
        bed.wait_until("the definition is established", |bed| {
            let live = bed.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, &name);
            let conditions = live.as_ref().and_then(|live| live.pointer("/status/conditions")?.as_array());
            let established = |it: &serde_json::Value| it["type"] == "Established" && it["status"] == "True";
            conditions.is_some_and(|conditions| conditions.iter().any(established))
        });
        Self { bed, name }
    }
}

impl Drop for Definition<'_> {
    fn drop(&mut self) {
        let definitions = self.bed.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", None);
        let _ = self.bed.block_on(definitions.delete(&self.name, &DeleteParams::default()));
    }
}

#[test]
#[ignore = "needs a real control plane"]
fn what_the_cluster_serves_without_namespaces_is_known_again_by_every_command() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "scopes");
    let group = format!("{}.example.com", space.name);
    let _definition = Definition::new(&bed, &group, "Cluster");
    let kit = Kit::new(&space.name, STACK);
    let issuer = format!("apiVersion: {group}/v1\nkind: Issuer\nmetadata: {{name: letters}}\nspec: {{of: kit}}\n");
    kit.write("templates/storage/issuer.yaml", &issuer).write("templates/services/a.yaml", &config("a", "kit"));
    let issuers = || bed.get(&format!("{group}/v1"), "Issuer", None, "letters");
    run(&kit, &bed, &["up", "test"]).exit(0);
    let made = issuers().unwrap();
    run(&kit, &bed, &["status", "test"]).exit(0);
    let plan = run(&kit, &bed, &["plan", "test", "--exit-code"]);
    assert_eq!(plan.code, Some(0), "{plan:?}");
    let again = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(again.last()["written"], 0);
    assert_eq!(issuers().map(|live| live["metadata"].clone()), Some(made["metadata"].clone()));
    // A namespace that its kind has not is a mistake, and told with its place.
    kit.write("templates/storage/issuer.yaml", &issuer.replace("{name: letters}", "{name: letters, namespace: x}"));
    run(&kit, &bed, &["up", "test"]).exit(3).says("has a namespace, and its kind has none").says("issuer.yaml:1");
    kit.write("templates/storage/issuer.yaml", &issuer);
    run(&kit, &bed, &["down", "test", "--yes"]).exit(0);
    assert!(issuers().is_none());
}

#[test]
#[ignore = "needs a real control plane"]
fn a_kind_that_an_operator_brings_late_is_waited_for() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "late-kind");
    let group = format!("{}.example.com", space.name);
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    let issuer = format!("apiVersion: {group}/v1\nkind: Issuer\nmetadata: {{name: letters}}\n");
    kit.write("templates/services/issuer.yaml", &issuer);
    let running = start(&kit, &bed, &["up", "test"]);
    // Its first phase is over.
    bed.wait_until("the ConfigMap is there", |bed| bed.get("v1", "ConfigMap", Some(&space.name), "a").is_some());
    let _definition = Definition::new(&bed, &group, "Namespaced");
    running.wait().exit(0);
    assert!(bed.get(&format!("{group}/v1"), "Issuer", Some(&space.name), "letters").is_some());
}
