//! `rekindle render`.

use crate::kits::small;

#[test]
fn objects_come_as_yaml_with_their_source() {
    let outcome = small().run(&["render", "production"]);
    insta::assert_snapshot!(outcome, @r#"
    exit 0
    ── stdout
    ---
    # Source: environments/base.yaml:1
    apiVersion: v1
    kind: Namespace
    metadata:
      name: shop
    ---
    # Source: templates/storage/config.yaml:1
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: raw
      namespace: shop
    data:
      template: "{{ .Values }}"
    ---
    # Source: templates/services/api.yaml.tera:2
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: api
      labels:
        app: api
      namespace: shop
    spec:
      replicas: 3
      selector:
        matchLabels:
          app: api
      template:
        metadata:
          labels:
            app: api
        spec:
          containers:
          - name: api
            image: registry.example/api:1
            args:
            - a
            - "no"
            env:
            - name: HOST
              value: shop.example
    ---
    # Source: templates/services/api.yaml.tera:21
    apiVersion: v1
    kind: Service
    metadata:
      name: api
      namespace: shop
    spec:
      selector:
        app: api
      ports:
      - port: 8080
    "#);
}

#[test]
fn json_is_an_object_a_line() {
    let outcome = small().run(&["render", "local", "--phase", "storage", "-o", "json"]);
    insta::assert_snapshot!(outcome, @r#"
    exit 0
    ── stdout
    {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}
    {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"raw","namespace":"shop"},"data":{"template":"{{ .Values }}"}}
    "#);
}

#[test]
fn an_instance_has_its_own_namespace_and_overrides() {
    let place = small();
    let arguments =
        ["render", "local", "--instance", "pr-7", "--set", "api.replicas=5", "--image", "api=other:2", "-o", "json"];
    let outcome = place.run(&arguments);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let deployment: serde_json::Value = serde_json::from_str(outcome.stdout.lines().nth(2).unwrap()).unwrap();
    assert_eq!(deployment["metadata"]["namespace"], "shop-pr-7");
    assert_eq!(deployment["spec"]["replicas"], 5);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "other:2");
}

#[test]
fn the_same_kit_gives_the_same_bytes() {
    let place = small();
    let first = place.run(&["render", "production"]);
    assert!(first.stdout.len() > 500);
    for _ in 0..3 {
        assert_eq!(place.run(&["render", "production"]).stdout, first.stdout);
    }
}

#[test]
fn what_was_mistyped_on_the_command_line_is_put_right() {
    let place = small();
    let runs: [&[&str]; 8] = [
        &["render", "prodction"],
        &["render", "local", "--phase", "service"],
        &["render", "local", "--set", "api.replica=2"],
        &["render", "local", "--set", "api.replicas.max=2"],
        &["render", "local", "--set", "api.replicas=[1"],
        &["render", "local", "--set", "api.replicas"],
        &["render", "local", "--image", "apo=x:1"],
        &["render", "local", "--instance", "PR_7"],
    ];
    let outcomes: Vec<String> = runs.iter().map(|arguments| place.run(arguments).to_string()).collect();
    insta::assert_snapshot!(outcomes.join("\n"), @r"
    exit 2
    ── stderr
    ✗ no environment is named prodction

      did you mean production?

    exit 2
    ── stderr
    ✗ the stack has no phase service

      did you mean --phase services?

    exit 2
    ── stderr
    ✗ --set api.replica: no environment file has values.api.replica

      did you mean api.replicas (environments/base.yaml:6)?

    exit 2
    ── stderr
    ✗ --set api.replicas.max: api.replicas is not a mapping

      it is written at environments/base.yaml:6

    exit 2
    ── stderr
    ✗ --set api.replicas: [1 is not YAML: unclosed bracket '['

    exit 2
    ── stderr
    ✗ --set api.replicas has no =

    exit 2
    ── stderr
    ✗ --image apo: no environment file has images.apo

      did you mean api?

    exit 2
    ── stderr
    ✗ --instance PR_7 may hold only small letters, digits and -, and begins and ends with a letter or digit
    ");
}

#[test]
fn a_folder_that_is_no_kit_says_what_a_kit_is() {
    let place = crate::support::Place::with_kit(&[("README.md", "hello")]);
    insta::assert_snapshot!(place.run(&["render", "local"]), @r"
    exit 3
    ── stderr
    ✗ PLACE/kit is not a kit

      a kit is a folder with environments/NAME.yaml and templates/stack.yaml, and secrets/ if it needs any
    ");
}
