//! Rendering small kits in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};

use super::super::{KitSource, Overrides};
use super::*;
use crate::manifest::yaml::to_yaml;
use crate::secrets::SecretError;

/// Secrets `one` and `two`; all others are unknown.
struct Fixed;

impl SecretSource for Fixed {
    fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
        match name {
            "one" => Ok("s3cret-value-one".to_owned().into()),
            "two" => Ok("line\nwith \"quotes\" and: colon".to_owned().into()),
            "absent" => Err(SecretError::Missing("absent".into(), "secrets/a.yaml.age".into())),
            other => Err(SecretError::Unknown(other.into())),
        }
    }

    fn names(&self) -> Vec<String> {
        vec!["one".into(), "two".into(), "absent".into()]
    }
}

fn kit(files: &[(&str, &str)]) -> Kit {
    let mut all = BTreeMap::from([
        ("templates/stack.yaml".to_owned(), b"name: s\nphases: [{name: one}, {name: two}]\n".to_vec()),
        (
            "environments/a.yaml".to_owned(),
            b"namespace: n\nvalues: {x: 1, list: [1, {a: null}], text: 'no'}\n".to_vec(),
        ),
    ]);
    all.extend(files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())));
    Kit { source: KitSource::Embedded, files: all }
}

fn render(files: &[(&str, &str)]) -> Result<Rendered, Vec<String>> {
    let kit = kit(files);
    let environment = kit.environment("a", &Overrides::default()).map_err(shown)?;
    kit.render(&environment, &Fixed).map_err(shown)
}

fn shown(mistakes: Mistakes) -> Vec<String> {
    let hint = |mistake: &Mistake| mistake.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    mistakes.0.iter().map(|mistake| format!("{}: {mistake}{}", mistake.code, hint(mistake))).collect()
}

/// The data of a ConfigMap whose template ends in these lines.
fn data(lines: &str) -> Value {
    let template = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n{lines}");
    let rendered = render(&[("templates/one/c.yaml.tera", &template)]).unwrap();
    rendered.phases[0].objects[1].body()["data"].clone()
}

#[test]
fn every_value_is_one_yaml_value() {
    assert_eq!(
        data(
            "  a: {{ values.text }}\n  b: {{ values.list }}\n  c: {{ values.x }}\n  d: {{ values.x ~ \"[1]\" }}\n  \
             e: {{ values.list | json }}\n  f: '{{ values.list | json }}'\n  g: {{ values.text | b64 }}\n  \
             h: x-{{ values.text | plain }}-{{ values.x }}\n  i: {{ \"[1, 2]\" }}\n  j: {{ values.list[1].a }}\n  \
             k: {% raw %}\"{{ x }}\"{% endraw %}\n  l: {{ instance }}\n  m: {{ environment | plain }}/{{ namespace | plain }}\n"
        ),
        json!({
            "a": "no", "b": [1, {"a": null}], "c": 1, "d": "1[1]", "e": [1, {"a": null}], "f": "[1,{\"a\":null}]",
            "g": "bm8=", "h": "x-no-1", "i": "[1, 2]", "j": null, "k": "{{ x }}", "l": "", "m": "a/n",
        })
    );
}

#[test]
fn captured_blocks_keep_their_quotes_once() {
    let lines = "{% set host %}{{ values.text ~ \".example\" }}{% endset %}  a: {{ host }}\n  b: [{{ host }}]\n";
    assert_eq!(data(lines), json!({"a": "no.example", "b": ["no.example"]}));
}

#[test]
fn secrets_are_given_when_asked_for_and_remembered() {
    let template = "apiVersion: v1\nkind: Secret\nmetadata: {name: c}\nstringData:\n  a: {{ secret(name=\"one\") }}\n  \
                    b: {{ secret(name=\"two\") }}\n  c: {{ \"x:\" ~ secret(name=\"one\") }}\n";
    let rendered = render(&[("templates/one/c.yaml.tera", template)]).unwrap();
    let body = rendered.phases[0].objects[1].body();
    let two = "line\nwith \"quotes\" and: colon";
    assert_eq!(body["stringData"], json!({"a": "s3cret-value-one", "b": two, "c": "x:s3cret-value-one"}));
    let given: Vec<_> =
        rendered.secret_values.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    assert_eq!(given, [("one", "s3cret-value-one"), ("two", two)]);
}

#[test]
fn a_secret_that_is_not_to_be_had_is_a_mistake() {
    let template = |name: &str| format!("a: 1\nb: {{{{ secret(name=\"{name}\") }}}}\n");
    let (unknown, absent) = (template("on"), template("absent"));
    let files = [("templates/one/a.yaml.tera", unknown.as_str()), ("templates/one/b.yaml.tera", absent.as_str())];
    assert_eq!(
        render(&files).unwrap_err(),
        [
            "unknown-secret: templates/one/a.yaml.tera:2:7: no secret is named on in secrets/schema.yaml (did you mean one?)",
            "missing-secret: templates/one/b.yaml.tera:2:7: the secret absent is required, and secrets/a.yaml.age does not hold it",
        ]
    );
}

#[test]
fn mistakes_never_show_a_secret() {
    let broken = "apiVersion: v1\nkind: Secret\nmetadata: {name: c}\nstringData:\n  a: {{ secret(name=\"one\") | safe }} : b: c\n";
    let name = "apiVersion: v1\nkind: Secret\nmetadata: {name: {{ secret(name=\"one\") ~ \"_\" }}}\n";
    let files = [("templates/one/c.yaml.tera", broken), ("templates/one/d.yaml.tera", name)];
    let mistakes = render(&files).unwrap_err();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(!mistakes.join("").contains("s3cret"), "{mistakes:?}");
}

#[test]
fn documents_know_their_line_through_loops_and_components() {
    let rendered = render(&[
        ("templates/components/c.tera", "{% component meta(name: string) %}\nmetadata:\n  name: {{ name }}\n{% endcomponent meta %}"),
        (
            "templates/one/a.yaml.tera",
            "# first\n{% for name in [\"a\", \"b\"] %}\n---\napiVersion: v1\nkind: ConfigMap\n{{<meta name={name} />}}\n{% endfor %}\n---\n\
             {%- if values.x == 1 %}\napiVersion: v1\nkind: Secret\nmetadata: {name: c}\n{%- endif %}\n",
        ),
    ])
    .unwrap();
    let origins: Vec<_> =
        rendered.phases[0].objects.iter().skip(1).map(|object| (object.name(), object.origin.line)).collect();
    assert_eq!(origins, [("a", 4), ("b", 4), ("c", 10)]);
}

#[test]
fn lists_are_opened_and_empty_documents_skipped() {
    let text = "# nothing\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n\
                - {apiVersion: v1, kind: Node, metadata: {name: b}}\n";
    let rendered = render(&[("templates/one/a.yaml", text)]).unwrap();
    let keys: Vec<_> = rendered.phases[0]
        .objects
        .iter()
        .map(|object| format!("{} {:?} {}", object.key(), object.namespace(), object.origin))
        .collect();
    assert_eq!(
        keys,
        [
            "Namespace/n None environments/a.yaml:1",
            "ConfigMap/a Some(\"n\") templates/one/a.yaml:7",
            "Node/b None templates/one/a.yaml:8"
        ]
    );
}

#[test]
fn a_definition_in_the_kit_says_the_scope_of_its_kind() {
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: as.example.org}\n\
                      spec: {group: example.org, scope: Cluster, names: {kind: A}}\n";
    let things = "apiVersion: example.org/v1\nkind: A\nmetadata: {name: a}\n---\napiVersion: example.org/v1\nkind: B\nmetadata: {name: b}\n";
    let rendered = render(&[("templates/one/a.yaml", definition), ("templates/two/b.yaml", things)]).unwrap();
    let namespaces: Vec<_> = rendered.phases[1].objects.iter().map(Object::namespace).collect();
    assert_eq!(namespaces, [None, Some("n")]);
}

#[test]
fn gates_and_data_sets_are_kept_apart() {
    let text = "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: up}\nspec: {tcp: {service: a, port: 1}}\n---\n\
                apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {name: d}\nspec: {claims: [a]}\n---\n\
                apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\n";
    let environment = "namespace: n\ngates: {skip: {'u*': because}}\nphases: {two: {timeout: 9m}}\n";
    let rendered = render(&[("templates/two/g.yaml", text), ("environments/a.yaml", environment)]).unwrap();
    let phase = &rendered.phases[1];
    assert_eq!(phase.settings.timeout, Some(std::time::Duration::from_secs(540)));
    assert_eq!(phase.gates.len(), 1);
    assert_eq!((phase.gates[0].name.as_str(), phase.gates[0].skipped.as_deref()), ("up", Some("because")));
    assert_eq!((phase.objects.len(), phase.data_sets.len(), phase.data_sets[0].name.as_str()), (1, 1, "d"));
}

#[test]
fn references_that_nothing_answers_are_warnings_where_a_kit_should_answer() {
    let text = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  volumeClaimTemplates: [{metadata: {name: data}}]\n  \
                template:\n    spec:\n      volumes:\n      - persistentVolumeClaim: {claimName: data-db-0}\n      \
                - persistentVolumeClaim: {claimName: data-db-x}\n      - configMap: {name: kube-root-ca.crt}\n      \
                - secret: {secretName: s, optional: true}\n      - secret: {secretName: t}\n";
    let data = "apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {name: db}\nspec: {claims: [data-db-0]}\n";
    let files =
        [("templates/one/a.yaml", text), ("templates/one/d.yaml", data), ("templates/two/b.yaml", "# nothing\n")];
    let rendered = render(&files).unwrap();
    let warnings: Vec<_> = rendered.warnings.iter().map(|warning| warning.message.clone()).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r"
    StatefulSet/db needs PersistentVolumeClaim/data-db-x (spec.template.spec.volumes[1].persistentVolumeClaim.claimName), which no template makes
    StatefulSet/db needs Secret/t (spec.template.spec.volumes[4].secret.secretName), which no template makes
    the phase two is empty
    ");
}

#[test]
fn templates_see_what_was_decided_about_a_data_set() {
    let set = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\n---\n\
               apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {name: d}\nspec: {claims: [a]}\n";
    let asks = |name: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{from: {{{{ data(name=\"{name}\") }}}}}}\n"
        )
    };
    let (good, bad) = (asks("d"), asks("dd"));
    let files = |asks| [("templates/one/d.yaml", set), ("templates/two/c.yaml.tera", asks)];
    let seen = |environment: &Environment| {
        let rendered = kit(&files(&good)).render(environment, &Fixed).unwrap();
        rendered.phases[1].objects[0].body()["data"]["from"].clone()
    };
    // Before the cluster was looked at: what would be done where nothing is there.
    let mut environment = kit(&[]).environment("a", &Overrides::default()).unwrap();
    assert_eq!(seen(&environment), "empty");
    environment.data_allow = Some(vec!["adopt".into()]);
    assert_eq!(seen(&environment), "adopt");
    environment.data_allow = None;
    environment.protected = true;
    assert_eq!(seen(&environment), "adopt");
    environment.data.insert("d".into(), crate::data::Source::Restore);
    assert_eq!(seen(&environment), "restore");
    assert_eq!(
        render(&files(&bad)).unwrap_err(),
        ["unknown-data-set: templates/two/c.yaml.tera: data(name=\"dd\"): no data set is named so (did you mean d?)"]
    );
}

#[test]
fn globs() {
    for (pattern, name, matches) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("app *", "app database", true),
        ("*database*", "app database accepts", true),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "acb", false),
        ("*b", "ab c", false),
        ("a*a", "a", false),
    ] {
        assert_eq!(glob(pattern, name), matches, "{pattern} {name}");
    }
}

/// The rendered objects as text.
fn text_of(rendered: &Rendered) -> String {
    rendered.phases.iter().flat_map(|phase| &phase.objects).map(|object| to_yaml(object.body())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_text_in_a_value_comes_out_as_it_went_in(text in any::<String>()) {
        let environment = format!("namespace: n\nvalues: {{x: {}}}\n", crate::manifest::yaml::quoted(&text));
        let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: {{ values.x }}\n  b: [{{ values.x }}, {{ values }}]\n";
        let rendered = render(&[("environments/a.yaml", &environment), ("templates/one/c.yaml.tera", template)]).unwrap();
        let data = &rendered.phases[0].objects[1].body()["data"];
        prop_assert_eq!(data, &json!({"a": text, "b": [text, {"x": text}]}));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), file in prop::sample::select(vec![
        "templates/one/a.yaml", "templates/one/a.yaml.tera", "templates/stack.yaml", "environments/a.yaml", "templates/components/a.tera",
    ])) {
        let mut kit = kit(&[]);
        kit.files.insert(file.to_owned(), bytes);
        if let Ok(environment) = kit.environment("a", &Overrides::default()) {
            let _ = kit.render(&environment, &Fixed);
        }
    }

    #[test]
    fn no_template_panics(noise in "(\\{\\{|\\}\\}|\\{%|%\\}|-|if|for|in|set|endif| |\n|values|\\.|x|\\||plain|\"|\\[|1|: ){0,24}") {
        let _ = render(&[("templates/one/a.yaml.tera", &noise)]);
        let _ = render(&[("templates/components/a.tera", &noise)]);
    }

    #[test]
    fn the_same_kit_gives_the_same_objects(count in 1usize..6) {
        let template = "{% for key, value in values.map %}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ key }}}\ndata: {{ value }}\n{% endfor %}\n";
        let map: Vec<String> = (0..count).map(|n| format!("k{n}: {{z: {n}, y: {n}, a: [{n}]}}")).collect();
        let environment = format!("namespace: n\nvalues: {{map: {{{}}}}}\n", map.join(", "));
        let files = [("environments/a.yaml", environment.as_str()), ("templates/one/c.yaml.tera", template)];
        prop_assert_eq!(text_of(&render(&files).unwrap()), text_of(&render(&files).unwrap()));
    }
}

#[test]
fn what_holds_data_cannot_allow_its_deletion() {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, annotations: {rekindle.dev/replace: allowed}}\n";
    assert_eq!(
        render(&[("templates/one/c.yaml", claim)]).unwrap_err(),
        [
            "annotation: templates/one/c.yaml:3:38: PersistentVolumeClaim/data holds data and is never deleted to be made again \
          (take rekindle.dev/replace out; to begin anew, give it another name)"
        ]
    );
}

/// Knows every secret.
struct Anything;

impl SecretSource for Anything {
    fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
        Ok(format!("value of {name}").into())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn a_restored_cluster_reads_from_one_archive_and_writes_to_another() {
    let embedded = Kit::embedded();
    let mut environment = embedded.environment("production", &Overrides::default()).unwrap();
    let name = "postgresql-app".to_owned();
    environment.data.insert(name.clone(), crate::data::Source::Restore);
    let lineage = crate::data::Lineage {
        backup: "base_1".into(),
        backup_history: "history-1".into(),
        recover_to: "2026-11-25 17:43:12.000000+00".into(),
        history: "history-2".into(),
        ..crate::data::Lineage::default()
    };
    environment.lineages.insert(name.clone(), lineage);
    let rendered = embedded.render(&environment, &Anything).unwrap();
    let database = rendered.phases.iter().find(|phase| phase.name == "database").unwrap();
    let body = |kind: &str| {
        let found = database.objects.iter().find(|object| object.kind() == kind && object.name() == name);
        found.unwrap().body().clone()
    };
    let config = body("ConfigMap");
    let prefix = "s3://acoustid-backups/production/postgresql-app";
    let script = config["data"]["restore.sh"].as_str().unwrap();
    assert!(script.contains(&format!("WALG_S3_PREFIX=\"{prefix}/history-1\"\n")), "{script}");
    assert!(script.ends_with("wal-g backup-fetch /postgresql/data/pgroot/data base_1\n"), "{script}");
    let patroni = crate::manifest::yaml::parse_node(config["data"]["patroni.yml"].as_str().unwrap());
    let bootstrap = patroni.unwrap().unwrap().to_value()["bootstrap"].clone();
    assert_eq!(bootstrap["method"], "restored");
    let recovery = &bootstrap["restored"]["recovery_conf"];
    assert_eq!(recovery["recovery_target_time"], "2026-11-25 17:43:12.000000+00");
    let script = config["data"]["fetch.sh"].as_str().unwrap();
    assert!(script.contains(&format!("WALG_S3_PREFIX=\"{prefix}/history-1\"\n")), "{script}");
    let pods = body("StatefulSet");
    let containers = pods["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    for container in containers {
        let variables = container["env"].as_array().unwrap();
        let variable = variables.iter().find(|it| it["name"] == "WALG_S3_PREFIX").unwrap();
        assert_eq!(variable["value"], format!("{prefix}/history-2"));
    }
    // The others are as they were, and the restored one proves itself and is backed up again.
    let sets: Vec<_> = rendered.data_sets().filter(|set| set.proof.is_some()).map(|set| set.name.clone()).collect();
    assert_eq!(sets, [name]);
    let gates = rendered.phases.iter().flat_map(|phase| &phase.gates).filter(|gate| gate.name.contains("of its own"));
    assert_eq!(
        gates.map(|gate| gate.name.as_str()).collect::<Vec<_>>(),
        ["app database has a backup of its own again"]
    );
}

#[test]
fn a_pin_binds_the_environment_it_is_written_for_and_none_that_extends_it() {
    let parent = "namespace: n\nprotected: true\ncluster:\n  context: c\n  uid: parents-uid\n  ca: parents-ca\n";
    let child = "extends: p\nnamespace: m\n";
    let own = "extends: p\ncluster: {uid: own-uid}\n";
    let kit = kit(&[("environments/p.yaml", parent), ("environments/c.yaml", child), ("environments/o.yaml", own)]);
    let bound = |name: &str| {
        let environment = kit.environment(name, &Overrides::default()).unwrap();
        let told = environment.settings["cluster"]["uid"].as_str().map(str::to_owned);
        assert_eq!(told, environment.cluster.uid, "{name}: what is shown is what the guard goes by");
        assert_eq!(environment.provenance.contains_key("cluster.uid"), told.is_some(), "{name}");
        (environment.cluster.context, environment.cluster.uid, environment.cluster.ca)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(bound("p"), (some("c"), some("parents-uid"), some("parents-ca")));
    assert_eq!(bound("c"), (some("c"), None, None), "the hint is passed on, the pin is not");
    assert_eq!(bound("o"), (some("c"), some("own-uid"), None), "nor is the authority of another cluster");
}

#[test]
fn a_rehearsal_has_values_of_its_own_and_the_command_line_goes_before_them() {
    let kit = kit(&[
        ("environments/base.yaml", "values: {of: nobody, size: 3}\nrehearsal: {values: {size: 1}}\n"),
        ("environments/a.yaml", "extends: base\nnamespace: n\nvalues: {size: 9}\nrehearsal: {values: {of: a}}\n"),
    ]);
    let values = |overrides: Overrides| kit.environment("a", &overrides).unwrap().values;
    assert_eq!(values(Overrides::default()), serde_json::json!({"of": "nobody", "size": 9}));
    let rehearsal = Overrides { rehearsal: true, ..Overrides::default() };
    assert_eq!(values(rehearsal.clone()), serde_json::json!({"of": "a", "size": 1}));
    let told = Overrides { set: vec![("size".into(), "4".into())], ..rehearsal };
    assert_eq!(values(told)["size"], 4);
}

#[test]
fn no_rehearsal_of_the_embedded_kit_imports_replicates_or_counts() {
    let kit = Kit::embedded();
    let stand_ins = crate::secrets::StandIns::of(&kit).unwrap();
    let writers = |name: &str, rehearsal: bool| {
        let instance = rehearsal.then(|| "rehearsal-000000".to_owned());
        let overrides = Overrides { instance, rehearsal, ..Overrides::default() };
        let rendered = kit.render(&kit.environment(name, &overrides).unwrap(), &stand_ins).unwrap();
        let objects = rendered.phases.iter().flat_map(|phase| &phase.objects);
        let writes = |object: &&Object| {
            let name = object.name();
            object.kind() != "Secret" && ["import", "worker", "cron", "mbslave"].iter().any(|word| name.contains(word))
        };
        objects.filter(writes).map(|object| object.key().to_string()).collect::<Vec<_>>()
    };
    for environment in ["local", "staging", "production", "standby"] {
        assert_eq!(writers(environment, true), [""; 0], "{environment}");
    }
    assert!(!writers("staging", false).is_empty(), "the test would see them");
}
