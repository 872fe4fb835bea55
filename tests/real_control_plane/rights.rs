//! Least privilege: what `env rbac` prints is enough, and less is noticed before the first write.

use serde_json::Value;

use super::support::{Bed, Kit, Space, finish, rekindle, run};
use super::{BED, STACK, config, deployment};

/// A kit with kinds that need rights of several sorts.
fn kit(space: &Space<'_>) -> Kit {
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/settings.yaml", &config("settings", "a"));
    kit.write(
        "templates/storage/account.yaml",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: api}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: api}\n\
         rules: [{apiGroups: [apps], resources: [deployments], verbs: [get, update]}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: api}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: api}\n\
         subjects: [{kind: ServiceAccount, name: api}]\n",
    );
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    kit.write(
        "templates/services/gate.yaml",
        "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: api is there}\n\
         spec: {timeout: 10s, condition: {kind: Deployment, name: api, ready: \"object.spec.replicas == 0\"}}\n",
    );
    kit
}

/// The bed's kubeconfig with somebody else's name on every request.
fn as_somebody(bed: &Bed, kit: &Kit, name: &str) -> std::path::PathBuf {
    let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(&bed.kubeconfig).unwrap()).unwrap();
    for user in config["users"].as_array_mut().unwrap() {
        user["user"]["as"] = name.into();
    }
    let path = kit.path().join(format!("{name}.kubeconfig"));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[test]
#[ignore = "needs a real control plane"]
fn what_rbac_prints_is_enough_and_less_is_named_before_the_first_write() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "rights");
    let kit = kit(&space);
    let user = format!("deployer-{}", space.name);
    let printed = run(&kit, &bed, &["env", "rbac", "test", "--subject", &format!("user:{user}"), "-o", "json"]).exit(0);
    let kubeconfig = as_somebody(&bed, &kit, &user);
    let up = |kubeconfig: &std::path::Path| finish(rekindle(Some(&kit), kubeconfig, &["up", "test"]));

    // Nobody has granted anything yet.
    let _ = up(&kubeconfig).exit(5);
    // Raw: the names of the environment's labels are the true ones.
    let documents: Vec<Value> = printed.raw_stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for document in &documents {
        bed.apply_as("administrator", &document.to_string());
    }
    // One right less than needed.
    let role = |document: &&Value| document["kind"] == "Role" && document["metadata"]["namespace"] == *space.name;
    let mut less = documents.iter().find(role).unwrap().clone();
    for rule in less["rules"].as_array_mut().unwrap() {
        if rule["resources"].as_array().unwrap().contains(&"configmaps".into()) {
            rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "patch");
        }
    }
    bed.apply_as("administrator", &less.to_string());
    let refused = up(&kubeconfig).exit(5);
    let refused = refused.says(&format!("patch configmaps in namespace {}", space.name)).says("nothing was written");
    assert!(refused.stderr.contains("env rbac"), "{}", refused.stderr);
    assert!(bed.get("v1", "ServiceAccount", Some(&space.name), "api").is_none());

    bed.apply_as("administrator", &documents.iter().find(role).unwrap().to_string());
    let _ = up(&kubeconfig).exit(0);
    let _ = up(&kubeconfig).exit(0).says("nothing had to be written");
    for document in documents.iter().filter(|document| document["kind"].as_str().unwrap().starts_with("ClusterRole")) {
        let (kind, name) = (document["kind"].as_str().unwrap(), document["metadata"]["name"].as_str().unwrap());
        let api = bed.api("rbac.authorization.k8s.io/v1", kind, None);
        bed.block_on(api.delete(name, &kube::api::DeleteParams::default())).unwrap();
    }
}
