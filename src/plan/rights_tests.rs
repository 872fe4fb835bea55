#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use super::*;
use crate::kit::{Kit, KitSource, Overrides};
use crate::secrets::StandIns;

const STACK: &str = "name: shop\nphases: [{name: storage}, {name: services}]\n";

fn plan(templates: &[(&str, &str)]) -> Plan {
    let mut files = BTreeMap::from([("templates/stack.yaml", STACK), ("environments/test.yaml", "namespace: shop\n")]);
    files.extend(templates.iter().copied());
    let files = files.into_iter().map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect();
    let kit = Kit { source: KitSource::Embedded, files };
    let environment = kit.environment("test", &Overrides::default()).unwrap();
    let stand_ins = StandIns::of(&kit).unwrap();
    Plan::of(&kit.render(&environment, &stand_ins).unwrap()).unwrap()
}

fn told(plan: &Plan) -> Vec<String> {
    rights(plan).iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_kit_needs_its_namespace_and_rekindles_records() {
    insta::assert_snapshot!(told(&plan(&[])).join("\n"), @r"
    create namespaces
    get namespaces
    list namespaces
    watch namespaces
    patch namespaces/rekindle-system
    patch namespaces/shop
    create configmaps in namespace rekindle-system
    get configmaps in namespace rekindle-system
    list configmaps in namespace rekindle-system
    patch configmaps in namespace rekindle-system
    create secrets in namespace rekindle-system
    get secrets in namespace rekindle-system
    list secrets in namespace rekindle-system
    patch secrets in namespace rekindle-system
    create leases.coordination.k8s.io in namespace rekindle-system
    get leases.coordination.k8s.io in namespace rekindle-system
    list leases.coordination.k8s.io in namespace rekindle-system
    patch leases.coordination.k8s.io in namespace rekindle-system
    update leases.coordination.k8s.io in namespace rekindle-system
    watch leases.coordination.k8s.io in namespace rekindle-system
    ");
}

#[test]
fn what_holds_data_is_never_deleted_and_what_hands_out_rights_may() {
    let all = told(&plan(&[(
        "templates/storage/all.yaml",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: api}\nrules: []\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: api}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: api}\nsubjects: []\n",
    )]));
    let has = |right: &str| all.iter().any(|one| one == right);
    assert!(has("patch persistentvolumeclaims in namespace shop") && has("list storageclasses.storage.k8s.io"));
    assert!(!has("delete persistentvolumeclaims in namespace shop") && !has("delete namespaces"));
    assert!(has("escalate roles.rbac.authorization.k8s.io in namespace shop"));
    assert!(has("bind roles.rbac.authorization.k8s.io/api in namespace shop"));
}

#[test]
fn gates_need_what_they_ask_with() {
    let gate = |name: &str, probe: &str| {
        format!("apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {{name: {name}}}\nspec: {{{probe}}}\n")
    };
    let exec = "exec: {selector: {app: a}, command: [date]}";
    let table: [(&str, &[&str]); 5] = [
        (
            "tcp: {service: a, port: 1}",
            &["get services in namespace shop", "create pods/portforward in namespace shop"],
        ),
        (
            "postgres: {service: a, credentials: {secret: login}, query: select 1}",
            &["get secrets/login in namespace shop", "list endpointslices.discovery.k8s.io in namespace shop"],
        ),
        (exec, &["create pods/exec in namespace shop"]),
        ("condition: {kind: Deployment, name: a, ready: \"true\"}", &["get deployments.apps in namespace shop"]),
        ("http: {ingress: a.example}", &["list ingresses.networking.k8s.io in namespace shop"]),
    ];
    for (probe, wanted) in table {
        let all = told(&plan(&[("templates/services/gate.yaml", &gate("a", probe))]));
        for right in wanted {
            assert!(all.iter().any(|one| one == right), "{probe} needs {right}: {all:#?}");
        }
    }
}

#[test]
fn roles_give_exactly_the_rights() {
    let plan = plan(&[(
        "templates/services/a.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n",
    )]);
    let rights = rights(&plan);
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "deployer"});
    let documents = roles(&plan, &rights, Some(&subject));
    let mut given = BTreeSet::new();
    for role in documents.iter().filter(|document| matches!(document["kind"].as_str(), Some("Role" | "ClusterRole"))) {
        for rule in role["rules"].as_array().unwrap() {
            let texts = |name: &str| -> Vec<String> {
                rule[name].as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
            };
            let names: Vec<_> = match texts("resourceNames") {
                names if names.is_empty() => vec![None],
                names => names.into_iter().map(Some).collect(),
            };
            for (resource, verb, name) in texts("resources").into_iter().flat_map(|resource| {
                let names = names.clone();
                texts("verbs").into_iter().flat_map(move |verb| {
                    let resource = resource.clone();
                    names.clone().into_iter().map(move |name| (resource.clone(), verb.clone(), name))
                })
            }) {
                let namespace = role["metadata"]["namespace"].as_str().map(str::to_owned);
                let group = texts("apiGroups").remove(0);
                given.insert(Right { namespace, group, resource, name, verb });
            }
        }
    }
    assert_eq!(given, rights);
    let kinds: Vec<_> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["Namespace", "Namespace", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Role", "RoleBinding"]
    );
    assert_eq!(documents[1]["metadata"]["labels"]["rekindle.dev/environment"], "test");
}
