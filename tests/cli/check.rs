//! `rekindle check`.

use crate::kits::small;
use crate::support::Place;

#[test]
fn a_good_kit_has_no_mistakes() {
    insta::assert_snapshot!(small().run(&["check"]), @r"
    exit 0
    ── stdout
    base        only extended by others, not rendered
    local       ok  4 objects in 2 phases, 1 gate
    production  ok  4 objects in 2 phases, 1 gate
    ── stderr
    secrets were not looked at: each had a stand-in
    ");
}

#[test]
fn every_kind_of_mistake_is_told_in_one_run() {
    let place = small()
        .file("templates/services/undefined.yaml.tera", "a: {{ values.api.replica }}\n")
        .file("templates/services/function.yaml.tera", "a: {{ imge(name=\"api\") }}\n")
        .file("templates/services/filter.yaml.tera", "a: {{ values.host | plian }}\n")
        .file("templates/services/component.yaml.tera", "a: {{<label app=\"x\" />}}\n")
        .file("templates/services/syntax.yaml.tera", "a: 1\nb: {{ values.host \n")
        .file("templates/services/image.yaml.tera", "a: {{ image(name=\"apo\") }}\n")
        .file("templates/services/argument.yaml.tera", "a: {{ image(nam=\"api\") }}\n")
        .file("templates/services/plain.yaml.tera", "{% set x = \"a: b\" %}\na: {{ x | plain }}\n")
        .file("templates/services/yaml.yaml.tera", "{% for n in [1, 2] %}\n- a: {{ n }}\n b: 2\n{% endfor %}\n")
        .file("templates/services/loop.yaml.tera", "{% for n in values.api.flags %}\n---\na: {{ n.name }}\n{% endfor %}\n")
        .file("templates/services/bad.yaml", "kind: ConfigMap\nkind: Secret\n")
        .file("templates/services/objects.yaml", "apiVersion: v1\nmetadata: {name: a}\n---\n- 1\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-}\n---\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: A_b}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  annotations: {rekindle.dev/aftr: x, rekindle.dev/ready: \"1 +\", n: 5}\n---\napiVersion: rekindle.dev/v1\nkind: Gat\nmetadata: {name: x}\n---\napiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: x}\nspec: {tcp: {service: a, prot: 1}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: other, namespace: x}\n")
        .file("templates/servces/x.yaml", "a: 1\n")
        .file("templates/services/old.yml", "a: 1\n");
    insta::assert_snapshot!(place.run(&["check", "local"]), @r#"
    exit 3
    ── stdout
    local  24 mistakes
    ── stderr
    error[template]: image has no argument nam, only name
      ╭▸ templates/services/argument.yaml.tera:1:7
      │
    1 │ a: {{ image(nam="api") }}
      ╰╴      ━━━━━━━━━━━━━━━━

    error[yaml]: the key kind appears twice
      ╭▸ templates/services/bad.yaml:2:1
      │
    2 │ kind: Secret
      ╰╴━━━━

    error[undefined]: there is no component label
      ╭▸ templates/services/component.yaml.tera:1:6
      │
    1 │ a: {{<label app="x" />}}
      ╰╴     ━━━━━ did you mean labels?

    error[undefined]: there is no filter plian
      ╭▸ templates/services/filter.yaml.tera:1:21
      │
    1 │ a: {{ values.host | plian }}
      ╰╴                    ━━━━━ did you mean plain?

    error[undefined]: there is no function imge
      ╭▸ templates/services/function.yaml.tera:1:7
      │
    1 │ a: {{ imge(name="api") }}
      ╰╴      ━━━━ did you mean image?

    error[unknown-image]: no environment file has images.apo
      ╭▸ templates/services/image.yaml.tera:1:7
      │
    1 │ a: {{ image(name="apo") }}
      ╰╴      ━━━━━━━━━━━━━━━━━ did you mean api?

    error[undefined]: n.name is not defined
      ╭▸ templates/services/loop.yaml.tera:3:7
      │
    3 │ a: {{ n.name }}
      ╰╴      ━━━━━━

    error[object]: a has no kind
      ╭▸ templates/services/objects.yaml:1:1
      │
    1 │ apiVersion: v1
      ╰╴━━━━━━━━━━━━━━

    error[object]: a document is a mapping, this is a list
      ╭▸ templates/services/objects.yaml:4:1
      │
    4 │ - 1
      ╰╴━━━

    error[object]: has a generateName: an object whose name nobody knows cannot be applied twice
      ╭▸ templates/services/objects.yaml:6:1
      │
    6 │ apiVersion: batch/v1
      ╰╴━━━━━━━━━━━━━━━━━━━━ give it a name; a Job whose template changes is replaced by itself

    error[removed-version]: PodDisruptionBudget/A_b: policy/v1beta1 is no longer served by Kubernetes
       ╭▸ templates/services/objects.yaml:10:13
       │
    10 │ apiVersion: policy/v1beta1
       ╰╴            ━━━━━━━━━━━━━━ write apiVersion: policy/v1

    error[name]: the name A_b may hold only small letters, digits, - and ., and begins and ends with a letter or digit
       ╭▸ templates/services/objects.yaml:12:18
       │
    12 │ metadata: {name: A_b}
       ╰╴                 ━━━

    error[annotation]: Rekindle has no annotation rekindle.dev/aftr
       ╭▸ templates/services/objects.yaml:18:17
       │
    18 │   annotations: {rekindle.dev/aftr: x, rekindle.dev/ready: "1 +", n: 5}
       ╰╴                ━━━━━━━━━━━━━━━━━ did you mean rekindle.dev/after?

    error[annotation]: rekindle.dev/ready: syntax error at column 4: mismatched input the end
       ╭▸ templates/services/objects.yaml:18:59
       │
    18 │   annotations: {rekindle.dev/aftr: x, rekindle.dev/ready: "1 +", n: 5}
       ╰╴                                                          ━━━━━

    error[type]: ConfigMap/c: metadata.annotations.false is not a text
       ╭▸ templates/services/objects.yaml:18:69
       │
    18 │   annotations: {rekindle.dev/aftr: x, rekindle.dev/ready: "1 +", n: 5}
       ╰╴                                                                    ━ write it in quotes: "5"

    error[kind]: Rekindle has no kind Gat
       ╭▸ templates/services/objects.yaml:20:1
       │
    20 │ apiVersion: rekindle.dev/v1
       ╰╴━━━━━━━━━━━━━━━━━━━━━━━━━━━ known are Gate and DataSet

    error[missing-key]: gate x: tcp has no port
       ╭▸ templates/services/objects.yaml:27:8
       │
    27 │ spec: {tcp: {service: a, prot: 1}}
       ╰╴       ━━━

    error[unknown-key]: gate x: prot is not known here
       ╭▸ templates/services/objects.yaml:27:26
       │
    27 │ spec: {tcp: {service: a, prot: 1}}
       ╰╴                         ━━━━ did you mean port?

    error[namespace]: Namespace/other has a namespace, and its kind has none
       ╭▸ templates/services/objects.yaml:29:1
       │
    29 │ apiVersion: v1
       ╰╴━━━━━━━━━━━━━━ remove metadata.namespace

    error[template]: a text with a colon before a space or at its end cannot stand in YAML without quotes
      ╭▸ templates/services/plain.yaml.tera:2:11
      │
    2 │ a: {{ x | plain }}
      ╰╴          ━━━━━

    error[template]: unexpected end of input
      ╭▸ templates/services/syntax.yaml.tera:2:14
      │
    2 │ b: {{ values.host 
      ╰╴             ━━━━

    error[undefined]: values.api.replica is not defined
      ╭▸ templates/services/undefined.yaml.tera:1:7
      │
    1 │ a: {{ values.api.replica }}
      ╰╴      ━━━━━━━━━━━━━━━━━━ did you mean values.api.replicas (environments/base.yaml:6)?

    error[yaml]: while parsing a block collection, did not find expected '-' indicator
      ╭▸ templates/services/yaml.yaml.tera:3:2
      │
    3 │  b: 2
      ╰╴ ━━━━ the line was rendered as: b: 2

    error[unknown-phase]: the folder templates/servces is no phase of the stack
      ╭▸ templates/stack.yaml:3:1
      │
    3 │ - name: storage
      ╰╴━━━━━━━━━━━━━━━ did you mean services?

    ✗ 24 mistakes in the kit
    "#);
}

#[test]
fn mistakes_that_need_all_objects() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: raw}\n";
    let early = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: early\n  annotations: {rekindle.dev/after: Deployment/apj}\nspec:\n  containers:\n  - name: x\n    image: x\n    envFrom: [{configMapRef: {name: later}}, {secretRef: {name: nobody, optional: true}}, {secretRef: {name: nowhere}}]\n";
    let place = small()
        .file("templates/services/config.yaml", config)
        .file("templates/storage/early.yaml", early)
        .file("templates/services/later.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: later}\n");
    insta::assert_snapshot!(place.run(&["check", "production"]), @r"
    exit 3
    ── stdout
    production  3 mistakes
    ── stderr
    error[duplicate]: ConfigMap/raw in namespace shop is already made by templates/storage/config.yaml:1
      ╭▸ templates/services/config.yaml:1:1
      │
    1 │ apiVersion: v1
      ╰╴━━━━━━━━━━━━━━

    error[order]: Pod/early of phase storage needs ConfigMap/later of the later phase services (spec.containers[0].envFrom[0].configMapRef.name): it would wait for ever
      ╭▸ templates/storage/early.yaml:1:1
      │
    1 │ apiVersion: v1
      ╰╴━━━━━━━━━━━━━━ move ConfigMap/later (templates/services/later.yaml:1) to phase storage or before

    error[unknown-object]: Pod/early waits for Deployment/apj (rekindle.dev/after), which no template makes
      ╭▸ templates/storage/early.yaml:1:1
      │
    1 │ apiVersion: v1
      ╰╴━━━━━━━━━━━━━━ did you mean Deployment/api?

    ✗ 3 mistakes in the kit
    ");
}

#[test]
fn environments_are_checked_together_and_told_apart() {
    let place = small()
        .file("environments/local.yaml", "extends: bse\nnamespac: x\n")
        .file("environments/a.yaml", "extends: b\n")
        .file("environments/b.yaml", "extends: a\n")
        .file("environments/c.yaml", "extends: base\nphases: {servces: {timeout: 1m}}\nvalues: {api: {port: null}}\n");
    insta::assert_snapshot!(place.run(&["check"]), @r"
    exit 3
    ── stdout
    a           1 mistake
    b           1 mistake
    base        only extended by others, not rendered
    c           1 mistake
    local       2 mistakes
    production  ok  4 objects in 2 phases, 1 gate
    ── stderr
    error[cycle]: extends goes in a circle: a → b → a
      ╭▸ environments/b.yaml:1:10
      │
    1 │ extends: a
      ╰╴         ━
       in a

    error[cycle]: extends goes in a circle: b → a → b
      ╭▸ environments/a.yaml:1:10
      │
    1 │ extends: b
      ╰╴         ━
       in b

    error[unknown-phase]: the stack has no phase servces
      ╭▸ environments/c.yaml:2:1
      │
    2 │ phases: {servces: {timeout: 1m}}
      ╰╴━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ did you mean services?
       in c

    error[unknown-key]: an environment file has no key namespac
      ╭▸ environments/local.yaml:2:1
      │
    2 │ namespac: x
      ╰╴━━━━━━━━ did you mean namespace?
       in local

    error[unknown-environment]: extends bse, and there is no environments/bse.yaml
      ╭▸ environments/local.yaml:1:10
      │
    1 │ extends: bse
      ╰╴         ━━━ did you mean base?
       in local

    ✗ 5 mistakes in the kit
    ");
}

#[test]
fn what_only_a_rehearsal_would_stumble_over_is_told() {
    let place = small().file("environments/local.yaml", "extends: base\nrehearsal: {values: {api: {port: null}}}\n");
    insta::assert_snapshot!(place.run(&["check", "local"]), @r"
    exit 3
    ── stdout
    local  1 mistake
    ── stderr
    error[undefined]: values.api.port is not defined
       ╭▸ templates/services/api.yaml.tera:26:21
       │
    26 │   ports: [{port: {{ values.api.port }}}]
       ╰╴                    ━━━━━━━━━━━━━━━ known here: replicas, flags
       in rehearsals of local

    ✗ 1 mistake in the kit
    ");
    let good = small().file("environments/local.yaml", "extends: base\nrehearsal: {values: {api: {replicas: 1}}}\n");
    assert!(good.run(&["check", "local"]).to_string().starts_with("exit 0"));
}

#[test]
fn warnings_stop_nothing() {
    let place = small()
        .file("environments/local.yaml", "extends: base\ngates: {skip: {api answer: because}}\n")
        .file(
            "templates/services/condition.yaml.tera",
            "{% if values.api.tsl %}\na: 1\n{% endif %}\n{% if values.api.maybe is defined or values.x | default(value=false) %}\nb: 1\n{% endif %}\n",
        );
    insta::assert_snapshot!(place.run(&["check", "local"]), @r"
    exit 0
    ── stdout
    local  ok  4 objects in 2 phases, 1 gate, 2 warnings
    ── stderr
    warning[unknown-gate]: gates.skip: no gate is named api answer
      ╭▸ environments/local.yaml:2:1
      │
    2 │ gates: {skip: {api answer: because}}
      ╰╴━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ did you mean api answers?

    warning[undefined-condition]: values.api.tsl is not defined, so this condition takes it for false
      ╭▸ templates/services/condition.yaml.tera:1:7
      │
    1 │ {% if values.api.tsl %}
      ╰╴      ━━━━━━━━━━━━━━ known here: replicas, port, flags

    secrets were not looked at: each had a stand-in
    ");
}

#[test]
fn programs_get_a_line_a_finding() {
    let place = small().file("templates/services/undefined.yaml.tera", "a: {{ values.api.replica }}\n");
    let outcome = place.run(&["check", "-o", "json"]);
    insta::assert_snapshot!(outcome, @r#"
    exit 3
    ── stdout
    {"code":"undefined","message":"values.api.replica is not defined","file":"templates/services/undefined.yaml.tera","span":{"line":1,"column":7,"length":18,"text":"a: {{ values.api.replica }}"},"hint":"did you mean values.api.replicas (environments/base.yaml:6)?","kind":"mistake","environments":["local","production"]}
    {"kind":"environment","environment":"base","rendered":false,"mistakes":0,"warnings":0,"objects":0,"gates":0}
    {"kind":"environment","environment":"local","rendered":false,"mistakes":1,"warnings":0,"objects":0,"gates":0}
    {"kind":"environment","environment":"production","rendered":false,"mistakes":1,"warnings":0,"objects":0,"gates":0}
    {"version":1,"event":"error","exit":3,"message":"1 mistake in the kit","mistakes":[],"details":[],"hints":[]}
    ── stderr
    ✗ 1 mistake in the kit
    "#);
    for line in outcome.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn a_text_with_yaml_in_it_stays_one_text() {
    let hostile = "extends: base\nvalues:\n  host: \"x\\\"\\n---\\nkind: Pod # {{ values }} \\u2028 \\t\"\n";
    let outcome =
        small().file("environments/local.yaml", hostile).run(&["render", "local", "--phase", "services", "-o", "json"]);
    let deployment: serde_json::Value = serde_json::from_str(outcome.stdout.lines().next().unwrap()).unwrap();
    let value = &deployment["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"];
    assert_eq!(value, "x\"\n---\nkind: Pod # {{ values }} \u{2028} \t");
    assert_eq!(outcome.stdout.lines().count(), 2);
}

#[test]
fn files_that_are_not_text_are_told() {
    let place: Place = small();
    std::fs::write(place.kit().join("templates/services/binary.yaml"), b"a: 1\nb: \xff\xfe\n").unwrap();
    std::fs::write(place.kit().join("templates/services/binary.yaml.tera"), b"\xff").unwrap();
    insta::assert_snapshot!(place.run(&["check", "local"]), @r"
    exit 3
    ── stdout
    local  2 mistakes
    ── stderr
    error[encoding]: is not UTF-8 text
      ╭▸ templates/services/binary.yaml:2:4
      │
    2 │ b: ��
      ╰╴   ━

    error[encoding]: is not UTF-8 text
      ╭▸ templates/services/binary.yaml.tera:1:1
      │
    1 │ �
      ╰╴━

    ✗ 2 mistakes in the kit
    ");
}

#[test]
fn a_value_inside_quotes_is_explained() {
    let place = small().file(
        "templates/services/glued.yaml.tera",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: glued}\ndata:\n  url: \"https://{{ values.host }}/\"\n",
    );
    insta::assert_snapshot!(place.run(&["check", "local"]), @r#"
    exit 3
    ── stdout
    local  1 mistake
    ── stderr
    error[yaml]: invalid trailing content after double-quoted scalar
      ╭▸ templates/services/glued.yaml.tera:5:3
      │
    5 │   url: "https://{{ values.host }}/"
      ╰╴  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ a text brings its own quotes: join texts inside, {{ "a/" ~ b }}, or use {{ b | plain }}; the line was rendered as: url: "https://"shop.example"/"

    ✗ 1 mistake in the kit
    "#);
}

#[test]
fn templates_that_never_end_are_stopped() {
    let place = small()
        .file(
            "templates/services/huge.yaml.tera",
            &format!("{{% for a in range(end=99999) %}}{}{{% endfor %}}\n", "x".repeat(1000)),
        )
        .file("templates/services/itself.yaml.tera", "{% include \"templates/services/itself.yaml.tera\" %}\n")
        .file(
            "templates/components/itself.tera",
            "{% component again(x: string) %}{{<again x={x} />}}{% endcomponent again %}\n",
        )
        .file("templates/components/twice.tera", "{% component labels() %}{% endcomponent labels %}\n")
        .file("templates/services/component.yaml.tera", "{{<again x=\"1\" />}}\n");
    insta::assert_snapshot!(place.run(&["check", "local"]), @r#"
    exit 3
    ── stdout
    local  5 mistakes
    ── stderr
    error[template]: component labels is defined in both templates/components/labels.tera and templates/components/twice.tera
     ─▸ templates/components/labels.tera

    error[template]: unknown argument(s) app in component call
      ╭▸ templates/services/api.yaml.tera:6:13
      │
    6 │   labels: {{<labels app="api" />}}
      ╰╴            ━━━━━━━━━━━━━━━━━━━━

    error[template]: maximum render recursion depth for components exceeded
     ─▸ templates/services/component.yaml.tera

    error[template]: renders to more than 16 MiB
     ─▸ templates/services/huge.yaml.tera

    error[template]: includes itself: templates/services/itself.yaml.tera → templates/services/itself.yaml.tera
     ─▸ templates/services/itself.yaml.tera

    ✗ 5 mistakes in the kit
    "#);
}

#[test]
fn a_field_that_is_given_up_must_be_one_of_the_object() {
    let config = |paths: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: given-up\n  annotations: {{rekindle.dev/ignore-fields: '{paths}'}}\ndata: {{size: a}}\n"
        )
    };
    let check = |paths: &str| small().file("templates/services/given-up.yaml", &config(paths)).run(&["check", "local"]);
    let good = check("data.size");
    assert_eq!(good.code, Some(0), "{good}");
    let wrong = check("data.sise, metadata.name, data[");
    assert_eq!(wrong.code, Some(3), "{wrong}");
    for told in [
        "rekindle.dev/ignore-fields: data.sise is no field of this object",
        "rekindle.dev/ignore-fields: metadata.name cannot be given up",
        "rekindle.dev/ignore-fields: data[ has a bracket that does not end",
        "templates/services/given-up.yaml:5",
    ] {
        assert!(wrong.stderr.contains(told), "{told}\n{wrong}");
    }
}

const CIRCLE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {rekindle.dev/after: ConfigMap/b}}\n---\n\
                      apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, annotations: {rekindle.dev/after: ConfigMap/a}}\n";

#[test]
fn what_up_would_refuse_offline_is_told() {
    let place = small().file("templates/services/circle.yaml", CIRCLE);
    let (checked, tried) = (place.run(&["check", "local"]), place.run(&["up", "local"]));
    assert_eq!((checked.code, tried.code), (Some(3), Some(3)));
    for told in [&checked.stderr, &tried.stderr] {
        assert!(told.contains("ConfigMap/a → ConfigMap/b → ConfigMap/a"), "{told}");
    }
}

#[test]
fn an_environment_whose_name_cannot_be_a_label_is_told() {
    for name in ["Prod", "a.b", "two words"] {
        let outcome = small().file(&format!("environments/{name}.yaml"), "extends: local\n").run(&["check"]);
        assert_eq!(outcome.code, Some(3), "{outcome}");
        assert!(outcome.stderr.contains(&format!("the environment {name} may hold only")), "{outcome}");
    }
}

#[test]
fn an_environment_that_is_not_there_is_wrong_usage() {
    let outcome = small().run(&["check", "locl"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
    assert!(outcome.stderr.contains("did you mean local?"), "{outcome}");
    assert_eq!(small().run(&["check", "local", "local"]).stdout.lines().count(), 1);
}

#[test]
fn a_dump_of_a_live_object_and_a_name_that_is_no_text_are_told_where_they_stand() {
    let place = small()
        .file("templates/services/dump.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  uid: 5\n")
        .file("templates/services/name.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\n")
        .file(
            "templates/services/namespace.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  namespace: 7\n",
        );
    let outcome = place.run(&["check", "local"]);
    for told in [
        "ConfigMap/a: metadata.uid is written by the cluster",
        "templates/services/dump.yaml:5:3",
        "has no text as its metadata.name",
        "templates/services/name.yaml:4:9",
        "ConfigMap/b: metadata.namespace is a number",
        "templates/services/namespace.yaml:5:14",
    ] {
        assert!(outcome.stderr.contains(told), "{told}\n{outcome}");
    }
}

#[test]
fn what_an_api_server_would_refuse_is_a_mistake_with_its_place() {
    let pods = "selector: {matchLabels: {app: worker}}\n  template:\n    metadata: {labels: {app: worker}}\n    spec:\n      containers:\n";
    let workload = |container: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: worker}}\nspec:\n  {pods}      - {container}\n"
        )
    };
    let written = workload("{name: worker, image: a:1, env: [{name: A, value: 1}], port: 80}");
    insta::assert_snapshot!(small().file("templates/services/worker.yaml", &written).run(&["check", "local"]), @"
    exit 3
    ── stdout
    local  2 mistakes
    ── stderr
    error[wrong-type]: Deployment/worker: spec.template.spec.containers[0].env[0].value is a number, it must be a text
       ╭▸ templates/services/worker.yaml:10:59
       │
    10 │       - {name: worker, image: a:1, env: [{name: A, value: 1}], port: 80}
       ╰╴                                                          ━ write it in quotes

    error[unknown-field]: Deployment/worker: Kubernetes v1.34.4 knows no spec.template.spec.containers[0].port
       ╭▸ templates/services/worker.yaml:10:64
       │
    10 │       - {name: worker, image: a:1, env: [{name: A, value: 1}], port: 80}
       ╰╴                                                               ━━━━ did you mean ports?

    ✗ 2 mistakes in the kit
    ");
    let written = workload("{name: worker, image: a:1, volumeMounts: [{name: data, mountPath: /data}]}");
    insta::assert_snapshot!(small().file("templates/services/worker.yaml", &written).run(&["check", "local"]), @r#"
    exit 3
    ── stdout
    local  1 mistake
    ── stderr
    error[invalid]: Deployment/worker: spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"
      ╭▸ templates/services/worker.yaml:1:1
      │
    1 │ apiVersion: apps/v1
      ╰╴━━━━━━━━━━━━━━━━━━━

    ✗ 1 mistake in the kit
    "#);
    // Another version may know the field, so a run only warns.
    let written = workload("{name: worker, image: a:1, newest: true}");
    let rendered = small().file("templates/services/worker.yaml", &written).run(&["render", "local"]);
    assert_eq!(rendered.code, Some(0), "{rendered}");
    assert!(rendered.stderr.contains("warning[unknown-field]: Deployment/worker: Kubernetes"), "{rendered}");
}

#[test]
fn a_gate_that_asks_what_no_template_makes_is_told() {
    let gate = "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: database}\nspec:\n  postgres: {service: apl, credentials: {secret: app}, query: select 1}\n";
    insta::assert_snapshot!(small().file("templates/services/more.yaml", gate).run(&["check", "local"]), @"
    exit 0
    ── stdout
    local  ok  4 objects in 2 phases, 2 gates, 2 warnings
    ── stderr
    warning[unknown-object]: gate database needs Service/apl, which no template makes
      ╭▸ templates/services/more.yaml:1:1
      │
    1 │ apiVersion: rekindle.dev/v1
      ╰╴━━━━━━━━━━━━━━━━━━━━━━━━━━━ did you mean api?

    warning[unknown-object]: gate database needs Secret/app, which no template makes
      ╭▸ templates/services/more.yaml:1:1
      │
    1 │ apiVersion: rekindle.dev/v1
      ╰╴━━━━━━━━━━━━━━━━━━━━━━━━━━━

    secrets were not looked at: each had a stand-in
    ");
}
