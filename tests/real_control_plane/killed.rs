//! `kill -9` at every write of a rebuild, before and after the API server has heard of it: the next run finishes the work, nothing
//! is there twice or forgotten, and the lock is in nobody's way.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use kube::api::{DeleteParams, ListParams};

use super::BED;
use super::proxy::{Cut, Proxy};
use super::support::{Bed, Kit, Space, rekindle, run};

/// What the kit below makes.
const OBJECTS: &[(&str, &str, &str)] = &[
    ("v1", "Namespace", ""),
    ("v1", "ConfigMap", "settings"),
    ("v1", "Secret", "password"),
    ("v1", "ServiceAccount", "api"),
    ("v1", "Service", "api"),
    ("rbac.authorization.k8s.io/v1", "Role", "api"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "api"),
    ("batch/v1", "Job", "migrate"),
    ("apps/v1", "Deployment", "api"),
    ("apps/v1", "StatefulSet", "database"),
];

/// The longest that a lock of which nothing is known stands in the way.
const LOCK: Duration = Duration::from_secs(15);

fn kit(space: &Space<'_>) -> Kit {
    let group = group(space);
    let kit = Kit::new(&space.name, "- name: storage\n- name: services");
    kit.write(
        "templates/storage/settings.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n",
    );
    kit.write(
        "templates/storage/password.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: password}\nstringData: {a: b}\n",
    );
    kit.write(
        "templates/storage/definition.yaml",
        &format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: Widget, plural: widgets}}
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]
---
apiVersion: {group}/v1
kind: Widget
metadata: {{name: one}}
spec: {{size: 3}}
"
        ),
    );
    let pods = |name: &str| {
        format!(
            "  replicas: 0\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec: {{serviceAccountName: api, containers: [{{name: main, image: example/image:1}}]}}\n"
        )
    };
    kit.write(
        "templates/services/api.yaml",
        &format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n{}---\napiVersion: apps/v1\nkind: StatefulSet\n\
             metadata: {{name: database}}\nspec:\n  serviceName: api\n{}---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: api}}\nspec: {{selector: {{app: api}}, ports: [{{port: 80}}]}}\n",
            pods("api"),
            pods("database")
        ),
    );
    kit.write(
        "templates/services/rights.yaml",
        "apiVersion: v1
kind: ServiceAccount
metadata: {name: api}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: api}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: api}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: api}
subjects: [{kind: ServiceAccount, name: api}]
",
    );
    kit.write(
        "templates/services/migrate.yaml",
        "apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: example/image:1}]
",
    );
    kit
}

fn group(space: &Space<'_>) -> String {
    format!("{}.example.com", space.name)
}

/// `Kind/name` of all that the kit makes.
fn expected(space: &Space<'_>) -> BTreeSet<String> {
    let named = |(_, kind, name): &(&str, &str, &str)| match *kind {
        "Namespace" => format!("Namespace/{}", space.name),
        kind => format!("{kind}/{name}"),
    };
    let own = ["Widget/one".to_owned(), format!("CustomResourceDefinition/widgets.{}", group(space))];
    OBJECTS.iter().map(named).chain(own).collect()
}

/// `Kind/name` of all that is labelled for the environment, wherever it is.
fn labelled(bed: &Bed, space: &Space<'_>, kit: &Kit) -> Vec<String> {
    let params = ListParams::default().labels(&format!("rekindle.dev/environment={}", kit.environment));
    let own_version = format!("{}/v1", group(space));
    let kinds = OBJECTS.iter().map(|(version, kind, _)| (*version, *kind));
    let more = [("apiextensions.k8s.io/v1", "CustomResourceDefinition"), (own_version.as_str(), "Widget")];
    let mut found = Vec::new();
    for (version, kind) in kinds.chain(more) {
        let list = bed.block_on(bed.api(version, kind, None).list(&params)).unwrap();
        found.extend(list.into_iter().map(|object| format!("{kind}/{}", object.metadata.name.unwrap_or_default())));
    }
    found
}

/// `Kind/name` of all that the inventory names.
fn recorded(bed: &Bed, kit: &Kit) -> Vec<String> {
    let name = format!("inventory-{}", kit.environment);
    let Some(secret) = bed.get("v1", "Secret", Some("rekindle-system"), &name) else { return Vec::new() };
    let packed = base64::engine::general_purpose::STANDARD.decode(secret["data"]["objects"].as_str().unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let named = |object: &serde_json::Value| {
        format!("{}/{}", object["kind"].as_str().unwrap(), object["name"].as_str().unwrap())
    };
    record["objects"].as_array().unwrap().iter().map(named).collect()
}

/// Runs `up` through a proxy that has it killed. `None` when it ended by itself before that, else its last write.
pub fn killed(bed: &Bed, kit: &Kit, cut: Cut) -> Option<String> {
    let proxy = Proxy::start(bed, kit.path(), cut);
    let mut command = rekindle(Some(kit), &proxy.kubeconfig, &["up", "test"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    loop {
        match proxy.calls.recv_timeout(Duration::from_millis(20)) {
            Ok(dead) => {
                child.kill().unwrap();
                child.wait().unwrap();
                let last = proxy.writes.lock().unwrap().last().cloned();
                dead.send(()).unwrap();
                return last;
            }
            Err(_) if child.try_wait().unwrap().is_some() => {
                let output = child.wait_with_output().unwrap();
                assert_eq!(output.status.code(), Some(0), "{cut:?}:\n{}", String::from_utf8_lossy(&output.stderr));
                return None;
            }
            Err(_) => {}
        }
    }
}

/// One kill and what comes after it; false when the run ended before its n-th write.
fn scenario(bed: &Bed, cut: Cut) -> bool {
    let space = Space::new(bed, "kill");
    let kit = kit(&space);
    let last = killed(bed, &kit, cut);
    let what = format!("{cut:?}, killed at {last:?}");
    let next = run(&kit, bed, &["up", "test", "-o", "json"]);
    let found = (labelled(bed, &space, &kit), recorded(bed, &kit));
    let third = run(&kit, bed, &["up", "test", "-o", "json"]);
    let lease =
        bed.get("coordination.k8s.io/v1", "Lease", Some("rekindle-system"), &format!("lock-{}", kit.environment));
    let definitions = bed.api("apiextensions.k8s.io/v1", "CustomResourceDefinition", None);
    let _ = bed.block_on(definitions.delete(&format!("widgets.{}", group(&space)), &DeleteParams::default()));

    assert_eq!(next.code, Some(0), "{what}:\n{}\n{}", next.stdout, next.stderr);
    assert!(next.took < LOCK, "{what}: the next run took {:?}", next.took);
    for (whose, mut names) in [("labels", found.0), ("the inventory", found.1)] {
        names.sort();
        assert_eq!(names, expected(&space).into_iter().collect::<Vec<_>>(), "{what}: by {whose}");
    }
    assert_eq!((third.code, third.last()["written"].as_u64()), (Some(0), Some(0)), "{what}:\n{}", third.stdout);
    assert!(lease.unwrap()["spec"]["holderIdentity"].is_null(), "{what}: the lock is given back");
    if last.is_some() {
        // What was killed before its first phase has nothing to go on from.
        let journal = std::fs::read_to_string(&kit.journals()[0]).unwrap();
        let begun = journal.contains("\"phase-started\"") && !journal.contains("\"run-finished\"");
        let resumes = &next.events()[0]["resumes"];
        assert_eq!(resumes["ended"] == "killed", begun, "{what}: {resumes}\n{journal}");
    }
    last.is_some()
}

#[test]
#[ignore = "needs a real control plane"]
fn a_kill_at_any_write_is_mended_by_the_next_run() {
    let bed = Bed::from_variable(BED);
    let (number, ended) = (AtomicUsize::new(1), AtomicBool::new(false));
    let writes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    for cut in [Cut::Before(number), Cut::After(number)] {
                        if scenario(&bed, cut) {
                            writes.fetch_max(number, Ordering::Relaxed);
                        } else {
                            ended.store(true, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let writes = writes.into_inner();
    // Every object, the lock taken and given back, the inventory after each phase.
    assert!(writes >= OBJECTS.len() + 2 + 4, "killed at {writes} writes only");
}
