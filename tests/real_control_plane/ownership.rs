//! Nothing of somebody else's is written over, taken or deleted; what is ours changes in the way that loses nothing.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::support::{Bed, Kit, Ran, Space, run};
use super::{BED, KINDS, STACK, config, deployment};

/// Runs the real kubectl with a document on its standard input.
fn kubectl(bed: &Bed, arguments: &[&str], document: &str) -> String {
    let Some(program) = std::env::var_os("REKINDLE_TEST_KUBECTL").map(PathBuf::from) else {
        panic!("REKINDLE_TEST_KUBECTL is not set: run these tests with cargo xtask test");
    };
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home.path()).arg("--kubeconfig").arg(&bed.kubeconfig).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kubectl runs");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), document.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the test's namespace as somebody else, with an object in it.
fn somebody_made(bed: &Bed, space: &Space<'_>, documents: &[String]) {
    bed.apply_as("somebody", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", space.name));
    the_namespace_is_filled(bed, space);
    for document in documents {
        bed.apply_as("somebody", &placed(document, space));
    }
}

/// Waits for what controllers put into every namespace.
fn the_namespace_is_filled(bed: &Bed, space: &Space<'_>) {
    bed.wait_until("the namespace is filled", |bed| {
        bed.get("v1", "ServiceAccount", Some(&space.name), "default").is_some()
            && bed.get("v1", "ConfigMap", Some(&space.name), "kube-root-ca.crt").is_some()
    });
}

/// A document with the test's namespace.
fn placed(document: &str, space: &Space<'_>) -> String {
    document.replacen("metadata: {", &format!("metadata: {{namespace: {}, ", space.name), 1)
}

fn action(ran: &Ran, kind: &str) -> Value {
    let events = ran.events();
    let of_kind = |event: &&Value| event["event"] == "object-applied" && event["object"]["kind"] == kind;
    events.iter().find(of_kind).map(|event| event["action"].clone()).unwrap_or_default()
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[test]
#[ignore = "needs a real control plane"]
fn what_exists_and_is_not_ours_is_listed_and_untouched() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "foreign");
    let kit = Kit::new(&space.name, STACK);
    let names: Vec<String> = (0..12).map(|at| format!("c{at:02}")).collect();
    for name in &names {
        kit.write(&format!("templates/storage/{name}.yaml"), &config(name, "kit"));
    }
    kit.write("templates/storage/new.yaml", &config("new", "kit"));
    somebody_made(&bed, &space, &names.iter().map(|name| config(name, "theirs")).collect::<Vec<_>>());
    let before = bed.versions(&space.name, KINDS);
    let ran = run(&kit, &bed, &["up", "test"])
        .exit(4)
        .says("nothing was written")
        .says("written by somebody")
        .says("and 3 more")
        .says("--adopt=");
    assert!(!ran.stderr.contains("ConfigMap/new"), "{}", ran.stderr);
    // Fields are not objects: the flag for the former takes none of the latter.
    let _ = run(&kit, &bed, &["up", "test", "--take-ownership"]).exit(4);
    assert_eq!(bed.versions(&space.name, KINDS), before);
    let _ = run(&kit, &bed, &["up", "test", "--adopt=ConfigMap/c0"]).exit(2).says("did you mean ConfigMap/c");
}

#[test]
#[ignore = "needs a real control plane"]
fn one_object_is_adopted_by_its_name() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "adopt");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit")).write("templates/storage/b.yaml", &config("b", "kit"));
    somebody_made(&bed, &space, &[config("a", "kit"), config("b", "kit")]);
    let ran = run(&kit, &bed, &["up", "test", "--adopt=ConfigMap/a"]).exit(4).says("ConfigMap/b").says("Namespace/");
    assert!(!ran.stderr.contains("ConfigMap/a in"), "{}", ran.stderr);
    let before = uid(&bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap());
    let namespace = format!("--adopt=Namespace/{}", space.name);
    let ran = run(&kit, &bed, &["up", "test", "-o", "json", "--adopt=configmap/a", "--adopt=ConfigMap/b", &namespace])
        .exit(0);
    assert_eq!(ran.events().iter().filter(|event| event["action"] == "adopted").count(), 3, "{}", ran.stdout);
    let live = bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap();
    assert_eq!(uid(&live), before);
    assert!(live["metadata"]["labels"]["rekindle.dev/environment"].is_string());
    assert_eq!(run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0).last()["written"], 0);
}

#[test]
#[ignore = "needs a real control plane"]
fn all_are_adopted_at_once_and_what_differs_needs_a_word_more() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "adoptall");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    let helm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {app.kubernetes.io/managed-by: Helm}, annotations: \
                {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: shop}}\ndata: {key: theirs}\n";
    somebody_made(&bed, &space, &[helm.to_owned()]);
    let _ = run(&kit, &bed, &["up", "test"]).exit(4).says("managed by Helm, release web in namespace shop");
    let before = bed.versions(&space.name, KINDS);
    let _ = run(&kit, &bed, &["up", "test", "--adopt"])
        .exit(4)
        .says("data.key is held by somebody as theirs, the kit says kit");
    assert_eq!(bed.versions(&space.name, KINDS), before);
    let ran = run(&kit, &bed, &["up", "test", "--adopt", "--take-ownership", "-o", "json"]).exit(0);
    assert_eq!(action(&ran, "ConfigMap"), "adopted");
    assert_eq!(bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap()["data"]["key"], "kit");
}

#[test]
#[ignore = "needs a real control plane"]
fn what_another_environment_has_is_taken_only_by_its_name() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "taken");
    let (one, two) = (Kit::new(&space.name, STACK), Kit::new(&space.name, STACK));
    one.write("templates/storage/a.yaml", &config("a", "one"));
    two.write("templates/storage/a.yaml", &config("a", "two"));
    let _ = run(&one, &bed, &["up", "test"]).exit(0);
    the_namespace_is_filled(&bed, &space);
    let before = bed.versions(&space.name, KINDS);
    for flags in [&[][..], &["--adopt"], &["--take-ownership"]] {
        let _ = run(&two, &bed, &[&["up", "test"], flags].concat()).exit(4).says("belongs to test");
    }
    assert_eq!(bed.versions(&space.name, KINDS), before);
    let namespace = format!("--adopt=Namespace/{}", space.name);
    // A name that may mean another object in another namespace is not enough.
    let ran = run(&two, &bed, &["up", "test", "--adopt=ConfigMap/a", &namespace]).exit(4).says("belongs to test");
    let full = format!("--adopt=ConfigMap/{}/a", space.name);
    assert!(ran.stderr.contains(&full), "{}", ran.stderr);
    assert_eq!(bed.versions(&space.name, KINDS), before);
    let ran = run(&two, &bed, &["up", "test", &full, &namespace, "-o", "json"]).exit(0);
    assert_eq!(action(&ran, "ConfigMap"), "adopted");
    // Now the first one has to ask.
    let _ = run(&one, &bed, &["up", "test"]).exit(4).says("ConfigMap/a").says("belongs to test");
}

#[test]
#[ignore = "needs a real control plane"]
fn what_kubectl_apply_left_is_migrated() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "leftovers");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    somebody_made(&bed, &space, &[]);
    let theirs = |more: &str| placed(&config("a", "old"), &space) + more;
    kubectl(&bed, &["apply", "-f", "-"], &theirs("  more: field\n").replace("{key: \"old\"}", "\n  key: old"));
    let live = || bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap();
    assert_eq!(live()["data"], json!({"key": "old", "more": "field"}));
    let plan = run(&kit, &bed, &["plan", "test", "--adopt"]).exit(0);
    assert!(plan.stdout.contains("adopt") && !plan.stdout.contains("is held by"), "{}", plan.stdout);
    // No conflict, and what the kit does not have goes with the last-applied annotation.
    let ran = run(&kit, &bed, &["up", "test", "--adopt", "-o", "json"]).exit(0);
    assert_eq!(action(&ran, "ConfigMap"), "adopted");
    let clean = |live: &Value| {
        assert_eq!(live["data"], json!({"key": "kit"}));
        assert_eq!(live["metadata"]["annotations"], Value::Null);
        let managers = live["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(managers.iter().map(|entry| &entry["manager"]).collect::<Vec<_>>(), ["rekindle"]);
    };
    clean(&live());
    assert_eq!(run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0).last()["written"], 0);
    // The same when somebody uses kubectl on an object of ours later.
    kubectl(
        &bed,
        &["apply", "-f", "-"],
        &placed(
            &config("a", "kit").replace("}\n", ", other: x}\n").replace("{name: a, other: x}", "{name: a}"),
            &space,
        ),
    );
    assert_eq!(live()["data"]["other"], "x");
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(action(&ran, "ConfigMap"), "changed");
    clean(&live());
}

#[test]
#[ignore = "needs a real control plane"]
fn a_conflict_shows_both_values_but_never_those_of_a_secret() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "conflict");
    let kit = Kit::new(&space.name, STACK);
    let secret =
        |value: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{password: {value}}}\n");
    kit.write("templates/storage/s.yaml", &secret("b3Vycw=="));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    let _ = run(&kit, &bed, &["up", "test"]).exit(0);
    bed.apply_as("somebody", &placed(&secret("dGhlaXJz"), &space));
    let ran = run(&kit, &bed, &["up", "test"])
        .exit(4)
        .says("data.password is held by somebody, and differs")
        .says("--take-ownership");
    for value in ["b3Vycw", "dGhlaXJz", "theirs", "ours"] {
        assert!(!ran.stderr.contains(value), "{}", ran.stderr);
    }
    let _ = run(&kit, &bed, &["up", "test", "--take-ownership"]).exit(0);
    assert_eq!(bed.get("v1", "Secret", Some(&space.name), "s").unwrap()["data"]["password"], "b3Vycw==");
    let image = r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"example/other:2"}]"#;
    kubectl(&bed, &["patch", "deployment", "api", "-n", &space.name, "--type=json", "-p", image], "");
    let _ = run(&kit, &bed, &["up", "test"])
        .exit(4)
        .says("image is held by kubectl-patch")
        .says("example/other:2")
        .says("example/image:1");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_field_that_is_given_up_is_left_to_the_autoscaler() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "autoscaler");
    let kit = Kit::new(&space.name, STACK);
    let api = |image: &str, replicas: u32| {
        deployment("api", replicas)
            .replace("{name: api}", "{name: api, annotations: {rekindle.dev/ignore-fields: spec.replicas}}")
            .replace("example/image:1", image)
    };
    // Without replicas it is ready where nothing runs pods.
    kit.write("templates/services/api.yaml", &api("example/image:1", 0));
    let _ = run(&kit, &bed, &["up", "test"]).exit(0);
    let live = || bed.get("apps/v1", "Deployment", Some(&space.name), "api").unwrap();
    // Ours as long as nobody has scaled: the kit's new number changes nothing, and no default comes in its place.
    kit.write("templates/services/api.yaml", &api("example/image:2", 5));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(action(&ran, "Deployment"), "changed");
    assert_eq!(live()["spec"]["replicas"], 0);
    // A real autoscaler: its lower bound is 3. It scales only what is not at 0, so a person begins.
    bed.apply_as(
        "somebody",
        &format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: api, namespace: {}}}\nspec:\n  \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: api}}\n  minReplicas: 3\n  maxReplicas: 6\n  \
             metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]\n",
            space.name
        ),
    );
    kubectl(&bed, &["scale", "deployment", "api", "-n", &space.name, "--replicas=1"], "");
    bed.wait_until("the autoscaler has scaled", |_| live()["spec"]["replicas"] == 3);
    let scaler = |entry: &Value| entry["manager"] == "kube-controller-manager" && entry["subresource"] == "scale";
    assert!(live()["metadata"]["managedFields"].as_array().unwrap().iter().any(scaler));
    // Pods never run here, so the phase ends by its limit.
    let before = |live: Value| (live["metadata"]["generation"].clone(), live["spec"].clone());
    let untouched = before(live());
    let kit_with_limit = "- name: storage\n- {name: services, timeout: 1s}";
    kit.write("templates/stack.yaml", &format!("name: test\nphases:\n{kit_with_limit}\n"));
    for _ in 0..2 {
        let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(7);
        assert_eq!(action(&ran, "Deployment"), "unchanged", "{}", ran.stdout);
        assert_eq!(ran.last()["written"], 0);
        assert_eq!(before(live()), untouched);
    }
    // The kit changes something else: the number still stays.
    kit.write("templates/services/api.yaml", &api("example/image:3", 5));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(7);
    assert_eq!(action(&ran, "Deployment"), "changed");
    assert_eq!(live()["spec"]["replicas"], 3);
    assert_eq!(live()["spec"]["template"]["spec"]["containers"][0]["image"], "example/image:3");
}

/// Sends one document twice, changed in between, and returns what the second run said with the object before and after.
fn change(
    bed: &Bed,
    space: &Space<'_>,
    kit: &Kit,
    kind: (&str, &str, &str),
    documents: [&str; 2],
) -> (Ran, Value, Value) {
    let (api_version, kind, name) = kind;
    let namespace = (!matches!(kind, "StorageClass" | "PersistentVolume")).then_some(space.name.as_str());
    let live = || bed.get(api_version, kind, namespace, name).unwrap();
    kit.write("templates/storage/changing.yaml", documents[0]);
    let _ = run(kit, bed, &["up", "test"]).exit(0);
    let before = live();
    kit.write("templates/storage/changing.yaml", documents[1]);
    let ran = run(kit, bed, &["up", "test", "-o", "json"]);
    let after = live();
    (ran, before, after)
}

#[track_caller]
fn is_made_again(bed: &Bed, space: &Space<'_>, kit: &Kit, kind: (&str, &str, &str), documents: [&str; 2]) {
    let (ran, before, after) = change(bed, space, kit, kind, documents);
    let ran = ran.exit(0);
    assert_eq!(action(&ran, kind.1), "replaced", "{}", ran.stdout);
    assert_ne!(uid(&before), uid(&after));
    assert_eq!(run(kit, bed, &["up", "test", "-o", "json"]).exit(0).last()["written"], 0);
}

#[track_caller]
fn is_refused(bed: &Bed, space: &Space<'_>, kit: &Kit, kind: (&str, &str, &str), documents: [&str; 2], words: &str) {
    let (ran, before, after) = change(bed, space, kit, kind, documents);
    let ran = ran.exit(6);
    assert!(ran.stdout.contains(words), "{words:?} is missing in:\n{}", ran.stdout);
    assert_eq!((uid(&before), &before["spec"]), (uid(&after), &after["spec"]));
}

#[test]
#[ignore = "needs a real control plane"]
fn an_immutable_config_map_is_made_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "frozen");
    let kit = Kit::new(&space.name, STACK);
    let frozen = |value: &str| config("a", value) + "immutable: true\n";
    is_made_again(&bed, &space, &kit, ("v1", "ConfigMap", "a"), [&frozen("one"), &frozen("two")]);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_secret_of_another_type_is_made_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "secrettype");
    let kit = Kit::new(&space.name, STACK);
    let secret = |kind: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\ntype: {kind}\nstringData: {{username: x, password: secret}}\n"
        )
    };
    let documents = [secret("Opaque"), secret("kubernetes.io/basic-auth")];
    is_made_again(&bed, &space, &kit, ("v1", "Secret", "a"), [&documents[0], &documents[1]]);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_binding_with_another_role_is_made_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "binding");
    let kit = Kit::new(&space.name, STACK);
    let binding = |role: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: a}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
             subjects: [{{kind: User, name: nobody, apiGroup: rbac.authorization.k8s.io}}]\n"
        )
    };
    let documents = [binding("view"), binding("edit")];
    is_made_again(
        &bed,
        &space,
        &kit,
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "a"),
        [&documents[0], &documents[1]],
    );
}

#[test]
#[ignore = "needs a real control plane"]
fn a_storage_class_is_made_again_and_a_volume_is_not() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "class");
    let kit = Kit::new(&space.name, STACK);
    let name = &space.name;
    let class = |kind: &str| {
        format!(
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: example.com/none\nparameters: {{type: {kind}}}\n"
        )
    };
    let volume = |path: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}, annotations: {{rekindle.dev/keep: \"true\"}}}}\nspec: {{capacity: {{storage: 1Gi}}, accessModes: [ReadWriteOnce], hostPath: {{path: {path}}}, \
             storageClassName: {name}, persistentVolumeReclaimPolicy: Retain}}\n"
        )
    };
    let documents = [class("slow"), class("fast")];
    is_made_again(&bed, &space, &kit, ("storage.k8s.io/v1", "StorageClass", name), [&documents[0], &documents[1]]);
    kit.write("templates/storage/class.yaml", &class("fast"));
    let documents = [volume("/a"), volume("/b")];
    is_refused(
        &bed,
        &space,
        &kit,
        ("v1", "PersistentVolume", name),
        [&documents[0], &documents[1]],
        "a volume stays what it is",
    );
    for (api_version, kind) in [("v1", "PersistentVolume"), ("storage.k8s.io/v1", "StorageClass")] {
        bed.block_on(bed.api(api_version, kind, None).delete(name, &DeleteParams::default())).unwrap();
    }
}

#[test]
#[ignore = "needs a real control plane"]
fn a_service_keeps_its_address() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "address");
    let kit = Kit::new(&space.name, STACK);
    let service = |more: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{{more}ports: [{{port: 80}}]}}\n")
    };
    let documents = [service(""), service("clusterIP: None, ")];
    is_refused(
        &bed,
        &space,
        &kit,
        ("v1", "Service", "a"),
        [&documents[0], &documents[1]],
        "rekindle.dev/replace: allowed",
    );
    let allowed = documents[1].replace("{name: a}", "{name: a, annotations: {rekindle.dev/replace: allowed}}");
    kit.write("templates/storage/changing.yaml", &allowed);
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(action(&ran, "Service"), "replaced");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_claim_never_shrinks_and_grows_only_where_its_class_lets_it() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "claim");
    let kit = Kit::new(&space.name, STACK);
    let name = &space.name;
    for growing in [false, true] {
        bed.apply_as(
            "somebody",
            &format!(
                "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}-{growing}}}\nprovisioner: example.com/none\n\
                 allowVolumeExpansion: {growing}\n"
            ),
        );
        bed.apply_as(
            "somebody",
            &format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}-{growing}}}\nspec: {{capacity: {{storage: 2Gi}}, accessModes: \
                 [ReadWriteOnce], hostPath: {{path: /nonexistent}}, storageClassName: {name}-{growing}, claimRef: {{namespace: {name}, name: {growing}-c}}}}\n"
            ),
        );
    }
    let claim = |growing: bool, size: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {growing}-c}}\nspec: {{accessModes: [ReadWriteOnce], \
             storageClassName: {name}-{growing}, resources: {{requests: {{storage: {size}}}}}}}\n"
        )
    };
    let fixed = ("v1", "PersistentVolumeClaim", "false-c");
    is_refused(&bed, &space, &kit, fixed, [&claim(false, "2Gi"), &claim(false, "3Gi")], "does not let claims grow");
    is_refused(
        &bed,
        &space,
        &kit,
        fixed,
        [&claim(false, "2Gi"), &claim(false, "1Gi")],
        "a claim never shrinks: write 2Gi or more",
    );
    let (ran, before, after) = change(
        &bed,
        &space,
        &kit,
        ("v1", "PersistentVolumeClaim", "true-c"),
        [&claim(true, "2Gi"), &claim(true, "3Gi")],
    );
    assert_eq!(action(&ran, "PersistentVolumeClaim"), "changed", "{}", ran.stdout);
    assert_eq!(uid(&before), uid(&after));
    assert_eq!(after["spec"]["resources"]["requests"]["storage"], "3Gi");
    for growing in [false, true] {
        for (api_version, kind) in [("v1", "PersistentVolume"), ("storage.k8s.io/v1", "StorageClass")] {
            let api = bed.api(api_version, kind, None);
            bed.block_on(api.delete(&format!("{name}-{growing}"), &DeleteParams::default())).unwrap();
        }
    }
}

fn stateful_set(service: &str, image: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  replicas: {replicas}
  serviceName: {service}
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec: {{containers: [{{name: main, image: {image}}}]}}
"
    )
}

/// The pods of the StatefulSet: name → (UID, resourceVersion without what an owner's change writes).
fn pods(bed: &Bed, space: &Space<'_>) -> Vec<(String, String, Value)> {
    let mut pods: Vec<_> = bed
        .list("v1", "Pod", &space.name)
        .into_iter()
        .map(|pod| (pod["metadata"]["name"].as_str().unwrap().to_owned(), uid(&pod), pod["spec"].clone()))
        .collect();
    pods.sort_by(|one, other| one.0.cmp(&other.0));
    pods
}

#[test]
#[ignore = "needs a real control plane"]
fn the_pods_of_a_stateful_set_survive_its_replacement() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "survive");
    // Nothing runs pods here, so the phase ends by its limit.
    let kit = Kit::new(&space.name, "- name: storage\n- {name: services, timeout: 2s}");
    kit.write("templates/services/db.yaml", &stateful_set("one", "example/image:1", 2));
    let _ = run(&kit, &bed, &["up", "test"]).exit(7);
    bed.wait_until("its pods are there", |bed| pods(bed, &space).len() == 2);
    let set = || bed.get("apps/v1", "StatefulSet", Some(&space.name), "db").unwrap();
    let (before, made) = (pods(&bed, &space), uid(&set()));
    kit.write("templates/services/db.yaml", &stateful_set("two", "example/image:1", 2));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(7);
    assert_eq!(action(&ran, "StatefulSet"), "recreated", "{}", ran.stdout);
    assert_ne!(uid(&set()), made);
    assert_eq!(set()["spec"]["serviceName"], "two");
    // The new one has taken them in.
    let owner = |pod: &Value| pod["metadata"]["ownerReferences"][0]["uid"] == uid(&set());
    bed.wait_until("its pods are its own", |bed| bed.list("v1", "Pod", &space.name).iter().all(owner));
    bed.wait_until("it has counted them", |_| set()["status"]["replicas"] == 2);
    assert_eq!(pods(&bed, &space), before);
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(7);
    assert_eq!(action(&ran, "StatefulSet"), "unchanged");
    assert_eq!(pods(&bed, &space), before);
}

#[test]
#[ignore = "needs a real control plane"]
fn the_claims_of_a_stateful_set_survive_its_replacement_even_where_they_would_go_with_it() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "setclaims");
    let kit = Kit::new(&space.name, "- name: storage\n- {name: services, timeout: 2s}");
    let set = |size: &str| {
        stateful_set("one", "example/image:1", 1)
            + "  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}\n  volumeClaimTemplates:\n  - metadata: {name: data}\n    \
               spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: "
            + size
            + "}}}\n"
    };
    kit.write("templates/services/db.yaml", &set("1Gi"));
    let _ = run(&kit, &bed, &["up", "test"]).exit(7);
    let claim = || bed.get("v1", "PersistentVolumeClaim", Some(&space.name), "data-db-0").unwrap_or_default();
    let live = || bed.get("apps/v1", "StatefulSet", Some(&space.name), "db").unwrap();
    bed.wait_until("the claim would go with the set", |_| {
        claim()["metadata"]["ownerReferences"][0]["uid"] == live()["metadata"]["uid"]
    });
    let (before, made) = (uid(&claim()), uid(&live()));
    kit.write("templates/services/db.yaml", &set("2Gi"));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(7);
    assert_eq!(action(&ran, "StatefulSet"), "recreated", "{}", ran.stdout);
    assert_ne!(uid(&live()), made);
    bed.wait_until("the new set has its claim", |_| {
        claim()["metadata"]["ownerReferences"][0]["uid"] == live()["metadata"]["uid"]
    });
    assert_eq!((uid(&claim()), &claim()["metadata"]["deletionTimestamp"]), (before, &Value::Null));
}

#[test]
#[ignore = "needs a real control plane"]
fn a_stateful_set_that_would_not_find_its_pods_again_is_refused() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "selector");
    let kit = Kit::new(&space.name, STACK);
    let other = stateful_set("one", "example/image:1", 0).replace("{app: db}", "{app: other}");
    is_refused(
        &bed,
        &space,
        &kit,
        ("apps/v1", "StatefulSet", "db"),
        [&stateful_set("one", "example/image:1", 0), &other],
        "would not find its pods again",
    );
}

#[test]
#[ignore = "needs a real control plane"]
fn a_replacement_that_was_cut_in_the_middle_is_finished() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "cut");
    let kit = Kit::new(&space.name, "- name: storage\n- {name: services, timeout: 2s}");
    kit.write("templates/services/db.yaml", &stateful_set("one", "example/image:1", 1));
    let _ = run(&kit, &bed, &["up", "test"]).exit(7);
    bed.wait_until("its pod is there", |bed| pods(bed, &space).len() == 1);
    let before = pods(&bed, &space);
    // As a run leaves it that is killed after the deletion.
    let api = bed.api("apps/v1", "StatefulSet", Some(&space.name));
    bed.block_on(api.delete("db", &DeleteParams::orphan())).unwrap();
    bed.wait_until("it is gone", |bed| bed.get("apps/v1", "StatefulSet", Some(&space.name), "db").is_none());
    kit.write("templates/services/db.yaml", &stateful_set("two", "example/image:1", 1));
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(7);
    assert_eq!(action(&ran, "StatefulSet"), "created");
    assert_eq!(pods(&bed, &space), before);
    // As one leaves it that is killed while the deletion waits: something holds the object.
    let hold = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
    let patch = |body: &Value| bed.block_on(api.patch("db", &PatchParams::default(), &Patch::Merge(body)));
    patch(&hold(json!(["example.com/hold"]))).unwrap();
    bed.block_on(api.delete("db", &DeleteParams::orphan())).unwrap();
    kit.write("templates/services/db.yaml", &stateful_set("three", "example/image:1", 1));
    let finalizers = |bed: &Bed| {
        bed.get("apps/v1", "StatefulSet", Some(&space.name), "db").unwrap()["metadata"]["finalizers"].clone()
    };
    bed.wait_until("its pod is let go", |bed| finalizers(bed) == json!(["example.com/hold"]));
    let running = super::start(&kit, &bed, &["up", "test", "-o", "json"]);
    patch(&hold(Value::Null)).unwrap();
    let ran = running.wait().exit(7);
    assert!(matches!(action(&ran, "StatefulSet").as_str(), Some("recreated" | "created")), "{}", ran.stdout);
    let live = bed.get("apps/v1", "StatefulSet", Some(&space.name), "db").unwrap();
    assert_eq!((&live["spec"]["serviceName"], &live["metadata"]["deletionTimestamp"]), (&json!("three"), &Value::Null));
    assert_eq!(pods(&bed, &space), before);
}

#[test]
#[ignore = "needs a real control plane"]
fn what_was_adopted_a_moment_ago_is_still_not_deleted_to_be_made_again() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "notours");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &(config("a", "kit") + "immutable: true\n"));
    somebody_made(&bed, &space, &[config("a", "theirs") + "immutable: true\n"]);
    let before = bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap();
    let _ = run(&kit, &bed, &["up", "test", "--adopt", "--take-ownership"])
        .exit(4)
        .says("was not made by this environment");
    let after = bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap();
    assert_eq!((uid(&before), &before["data"]), (uid(&after), &after["data"]));
}

#[test]
#[ignore = "needs a real control plane"]
fn nothing_is_deleted_for_something_that_would_be_refused() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "invalid");
    let kit = Kit::new(&space.name, STACK);
    let frozen = |more: &str| config("a", "one") + "immutable: true\n" + more;
    let wrong = frozen("binaryData: {key: YQ==}\n").replace("one", "two");
    let (ran, before, after) = change(&bed, &space, &kit, ("v1", "ConfigMap", "a"), [&frozen(""), &wrong]);
    let _ = ran.exit(6);
    assert_eq!((uid(&before), &before["data"]), (uid(&after), &after["data"]));
    // The API server tells of a StatefulSet's fields only that they cannot change, not that their values are wrong.
    let set = |service: &str| stateful_set(service, "example/image:1", 0);
    let (ran, before, after) = change(
        &bed,
        &space,
        &kit,
        ("apps/v1", "StatefulSet", "db"),
        [&set("one"), &set("one").replace("Parallel", "Serial")],
    );
    let _ = ran.exit(6);
    assert_eq!(uid(&before), uid(&after));
}

#[test]
#[ignore = "needs a real control plane"]
fn an_adoption_that_was_cut_in_the_middle_still_needs_its_word() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "halfway");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    bed.apply_as("somebody", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", space.name));
    bed.apply_as("rekindle", &placed(&config("a", "old"), &space));
    let _ = run(&kit, &bed, &["up", "test"]).exit(4).says("ConfigMap/a in namespace").says("without the labels");
    let _ = run(&kit, &bed, &["up", "test", "--adopt"]).exit(0);
    assert_eq!(bed.get("v1", "ConfigMap", Some(&space.name), "a").unwrap()["data"]["key"], "kit");
}

#[test]
#[ignore = "needs a real control plane"]
fn rules_of_an_aggregated_role_are_its_controllers() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "aggregated");
    let kit = Kit::new(&space.name, STACK);
    let name = &space.name;
    let roles = |verb: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {name}-all}}
aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{collected-by: {name}}}}}]}}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {name}-part, labels: {{collected-by: {name}}}}}
rules: [{{apiGroups: [''], resources: [pods], verbs: [{verb}]}}]
"
        )
    };
    let collected = |verb: &str| {
        bed.wait_until("the controller has collected the rules", |bed| {
            let role = bed.get("rbac.authorization.k8s.io/v1", "ClusterRole", None, &format!("{name}-all")).unwrap();
            role["rules"][0]["verbs"][0] == verb
        });
    };
    kit.write("templates/storage/roles.yaml", &roles("get"));
    let up = || run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0).last()["written"].clone();
    assert_eq!(up(), 3, "the namespace and both roles");
    collected("get");
    assert_eq!(up(), 0);
    kit.write("templates/storage/roles.yaml", &roles("list"));
    assert_eq!(up(), 1);
    collected("list");
    assert_eq!(up(), 0);
    let _ = run(&kit, &bed, &["down", "test", "--yes"]).exit(0);
}
