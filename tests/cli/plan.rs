//! `plan --offline`, saved plans and `env rbac`, without a cluster.

use super::support::Place;

fn shop() -> Place {
    Place::with_kit(&[
        ("environments/test.yaml", "namespace: shop\ngates: {skip: {mail*: no mail here}}\n"),
        ("templates/stack.yaml", "name: shop\nphases: [{name: storage}, {name: services}]\n"),
        (
            "templates/storage/settings.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n",
        ),
        (
            "templates/services/web.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    \
             metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'nginx:1', envFrom: [{configMapRef: {name: settings}}]}]}\n",
        ),
        (
            "templates/services/gates.yaml",
            "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: web answers}\nspec: {hold: 5s, tcp: {service: web, port: 80}}\n---\n\
             apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: mail is sent}\nspec: {tcp: {service: mail, port: 25}}\n",
        ),
    ])
}

#[test]
fn without_a_cluster_it_shows_the_order_the_gates_and_the_time() {
    insta::assert_snapshot!(shop().run(&["plan", "test", "--offline"]), @"
    exit 0
    ── stdout
    test   without a cluster
    2 phases in order: storage and services

    storage   2 objects: 2 to apply
      + apply     Namespace/shop      environments/test.yaml:1
      + apply     ConfigMap/settings  templates/storage/settings.yaml:1
    services   1 object: 1 to apply
      + apply     Deployment/web      templates/services/web.yaml:1
      gate        web answers
      gate        mail is sent   switched off: no mail here
    ── stderr

    about 21 s, all of it assumed: no earlier run was measured
      bound by: Deployment/web 15 s → gate web answers 5.5 s
    test: 3 to apply; no cluster was looked at, nothing was written
      to do it:   rekindle up test --kit PLACE/kit
    ");
}

#[test]
fn what_cannot_be_saved_is_said_before_anything_is_done() {
    let place = shop();
    insta::assert_snapshot!(place.run(&["plan", "test", "--offline", "-o", "plan.json"]), @"
    exit 2
    ── stderr
    ✗ a plan without a cluster cannot be saved: leave out --offline
    ");
    insta::assert_snapshot!(place.run(&["status", "test", "-o", "status.txt"]), @"
    exit 2
    ── stderr
    error: invalid value 'status.txt' for '--output <OUTPUT>': only plan is saved in a file

    Usage: rekindle [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(place.run(&["plan", "test", "-o", "jsno"]), @"
    exit 2
    ── stderr
    error: invalid value 'jsno' for '--output <OUTPUT>': it is human or json; `plan` also takes a file such as plan.json

    For more information, try '--help'.
    ");
}

#[test]
fn a_saved_plan_that_is_none_is_refused_before_the_cluster_is_asked() {
    let place = shop();
    insta::assert_snapshot!(place.run(&["up", "test", "--plan", "nowhere.json"]), @"
    exit 2
    ── stderr
    warning[unknown-object]: gate web answers needs Service/web, which no template makes
      ╭▸ templates/services/gates.yaml:1:1
      │
    1 │ apiVersion: rekindle.dev/v1
      ╰╴━━━━━━━━━━━━━━━━━━━━━━━━━━━
    ✗ --plan nowhere.json: no such file or directory
    ");
    let place = place.file("plan.json", "{\"version\": 99}");
    let file = place.kit().join("plan.json");
    insta::assert_snapshot!(place.run(&["up", "test", "--plan", file.to_str().unwrap()]), @"
    exit 2
    ── stderr
    warning[unknown-object]: gate web answers needs Service/web, which no template makes
      ╭▸ templates/services/gates.yaml:1:1
      │
    1 │ apiVersion: rekindle.dev/v1
      ╰╴━━━━━━━━━━━━━━━━━━━━━━━━━━━
    ✗ --plan PLACE/kit/plan.json: it is of version 99, and this rekindle reads version 1
    ");
}

#[test]
fn roles_hold_for_kinds_of_which_only_a_cluster_knows_whether_they_have_namespaces() {
    let issuer = "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letters}\n";
    let place = Place::new()
        .file("templates/stack.yaml", "name: shop\nphases: [{name: storage}]\n")
        .file("environments/test.yaml", "namespace: shop\n")
        .file("templates/storage/issuer.yaml", issuer);
    let ran = place.run(&["env", "rbac", "test", "-o", "json"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let names = |document: &serde_json::Value| document["rules"].to_string().contains("clusterissuers");
    let documents = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let kinds: Vec<String> =
        documents.filter(names).map(|it| it["kind"].as_str().unwrap_or_default().to_owned()).collect();
    assert!(kinds.contains(&"Role".to_owned()) && kinds.contains(&"ClusterRole".to_owned()), "{ran}");
}

#[test]
fn roles_name_whom_they_are_for() {
    let place = shop();
    let ran = place.run(&["env", "rbac", "test", "--subject", "serviceaccount:ci/deployer"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("kind: RoleBinding") && ran.stdout.contains("namespace: ci"), "{ran}");
    insta::assert_snapshot!(place.run(&["env", "rbac", "test", "--subject", "deployer"]), @"
    exit 2
    ── stderr
    ✗ --subject deployer names nobody

      write user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME
    ");
    insta::assert_snapshot!(place.run(&["env", "rbac", "test", "--subject", "serviceaccount:deployer"]), @"
    exit 2
    ── stderr
    ✗ --subject serviceaccount:deployer: a service account is serviceaccount:NAMESPACE/NAME
    ");
}
