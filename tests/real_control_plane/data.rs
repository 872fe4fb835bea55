//! Data before pods: volumes that survived are bound again, and nothing begins empty where something may be.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::BED;
use super::killed::killed;
use super::proxy::Cut;
use super::support::{Bed, Kit, Ran, Space, finish, rekindle, run, start};

const CLAIM: (&str, &str) = ("v1", "PersistentVolumeClaim");

/// Static volumes of one test, of a class of their own; deleted with it.
struct Volumes<'a> {
    bed: &'a Bed,
    class: String,
    names: RefCell<Vec<String>>,
}

impl<'a> Volumes<'a> {
    fn new(bed: &'a Bed, class: &str) -> Self {
        Self { bed, class: class.to_owned(), names: RefCell::default() }
    }

    /// Makes a volume; `more` are further lines of its spec, `metadata` further entries of its metadata.
    fn make(&self, name: &str, policy: &str, more: &str, metadata: &str) -> String {
        let name = format!("{}-{name}", self.class);
        let metadata = if metadata.is_empty() { String::new() } else { format!(", {metadata}") };
        self.bed.apply_as(
            "somebody",
            &format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}{metadata}}}\nspec:\n  capacity: {{storage: 1Gi}}\n  \
                 accessModes: [ReadWriteOnce]\n  storageClassName: {}\n  persistentVolumeReclaimPolicy: {policy}\n  \
                 hostPath: {{path: /nowhere/{name}}}\n{more}",
                self.class
            ),
        );
        self.names.borrow_mut().push(name.clone());
        name
    }

    /// One that held a claim which is gone, and whose deletion has failed.
    fn failed(&self, name: &str, namespace: &str, claim: &str) -> String {
        let dead = "00000000-0000-0000-0000-000000000001";
        let reference = format!("  claimRef: {{namespace: {namespace}, name: {claim}, uid: {dead}}}\n");
        let name = self.make(name, "Delete", &reference, "");
        self.wait_for(&name, "Failed");
        name
    }

    /// One that held a claim which is gone.
    fn released(&self, name: &str, namespace: &str, claim: &str) -> String {
        let dead = "00000000-0000-0000-0000-000000000001";
        let reference = format!("  claimRef: {{namespace: {namespace}, name: {claim}, uid: {dead}}}\n");
        let name = self.make(name, "Retain", &reference, "");
        self.wait_for(&name, "Released");
        name
    }

    fn wait_for(&self, name: &str, phase: &str) {
        self.bed.wait_until(&format!("{name} is {phase}"), |_| self.get(name)["status"]["phase"] == phase);
    }

    fn get(&self, name: &str) -> Value {
        self.bed.get("v1", "PersistentVolume", None, name).unwrap()
    }

    /// The resourceVersion of each.
    fn versions(&self) -> Vec<Value> {
        self.names.borrow().iter().map(|name| self.get(name)["metadata"]["resourceVersion"].clone()).collect()
    }
}

impl Drop for Volumes<'_> {
    fn drop(&mut self) {
        let api = self.bed.api("v1", "PersistentVolume", None);
        for name in self.names.borrow().iter() {
            let free = json!({"metadata": {"finalizers": null}});
            let _ = self.bed.block_on(async {
                let _ = api.delete(name, &DeleteParams::default()).await;
                api.patch(name, &Default::default(), &kube::api::Patch::Merge(&free)).await
            });
        }
    }
}

fn claim(name: &str, class: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{storageClassName: {class}, \
         accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
    )
}

fn data_set(name: &str, more: &str) -> String {
    format!("---\napiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: {name}}}\nspec: {{{more}}}\n")
}

/// A kit with one claim `data` in the data set `ledger`.
fn kit(space: &Space<'_>, environment: &str, set: &str) -> Kit {
    let kit = Kit::new(&space.name, "- name: storage");
    kit.write("environments/test.yaml", &format!("namespace: {}\n{environment}", space.name));
    let set = if set.is_empty() { "claims: [data]" } else { set };
    kit.write("templates/storage/data.yaml", &(claim("data", &space.name) + &data_set("ledger", set)));
    kit
}

/// The templates of that claim and its data set.
fn kit_claim(space: &Space<'_>) -> String {
    claim("data", &space.name) + &data_set("ledger", "claims: [data]")
}

fn live(bed: &Bed, space: &Space<'_>, name: &str) -> Value {
    bed.get(CLAIM.0, CLAIM.1, Some(&space.name), name).unwrap_or_default()
}

fn delete_namespace(bed: &Bed, name: &str) {
    let api = bed.api("v1", "Namespace", None);
    bed.block_on(api.delete(name, &DeleteParams::default())).unwrap();
    bed.wait_until("the namespace is gone", |bed| bed.get("v1", "Namespace", None, name).is_none());
}

fn decisions(ran: &Ran) -> Vec<Value> {
    ran.events().into_iter().filter(|it| it["event"] == "decision").collect()
}

#[test]
#[ignore = "needs a real control plane"]
fn the_namespace_is_deleted_and_every_claim_gets_its_volume_back() {
    let bed = Bed::from_variable(BED);
    let (space, renamed) = (Space::new(&bed, "accident"), Space::new(&bed, "accident-new"));
    let volumes = Volumes::new(&bed, &space.name);
    let kit = kit(&space, "", "");
    kit.write("templates/storage/more.yaml", &(claim("more", &space.name) + &data_set("more", "claims: [more]")));
    for name in ["a", "b", "c"] {
        volumes.make(name, "Retain", "", "");
    }

    let first = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(decisions(&first).iter().map(|it| it["decision"].clone()).collect::<Vec<_>>(), ["empty", "empty"]);
    let held = |space: &Space<'_>| ["data", "more"].map(|name| live(&bed, space, name)["spec"]["volumeName"].clone());
    let before = held(&space);
    assert_ne!(before[0], before[1]);
    for (volume, name) in before.iter().zip(["data", "more"]) {
        let volume = volumes.get(volume.as_str().unwrap());
        assert_eq!(volume["metadata"]["labels"]["rekindle.dev/environment"], kit.environment.as_str());
        assert_eq!(volume["metadata"]["annotations"]["rekindle.dev/claim"], format!("{}/{name}", space.name));
    }

    delete_namespace(&bed, &space.name);
    for volume in &before {
        volumes.wait_for(volume.as_str().unwrap(), "Released");
    }
    let plan = run(&kit, &bed, &["plan", "test"]).exit(0);
    assert!(plan.stdout.contains(&format!("bound to pv/{}", before[0].as_str().unwrap())), "{}", plan.stdout);
    let again = run(&kit, &bed, &["up", "test"]).exit(0).says("decision").says("adopt");
    assert!(again.stderr.contains(&format!("pv/{}: released", before[0].as_str().unwrap())), "{}", again.stderr);
    assert_eq!(held(&space), before);
    assert_eq!(live(&bed, &space, "data")["metadata"]["annotations"]["rekindle.dev/data"], "adopt");

    let claims = bed.versions(&space.name, &[CLAIM]);
    let versions = volumes.versions();
    let third = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(third.last()["written"], 0, "{}", third.stdout);
    assert_eq!((bed.versions(&space.name, &[CLAIM]), volumes.versions()), (claims, versions));
    run(&kit, &bed, &["up", "test"]).exit(0).says("nothing had to be written");

    // Lost once more, and the namespace has another name now.
    delete_namespace(&bed, &space.name);
    for volume in &before {
        volumes.wait_for(volume.as_str().unwrap(), "Released");
    }
    kit.write("environments/test.yaml", &format!("namespace: {}\nprotected: true\n", renamed.name));
    run(&kit, &bed, &["up", "test", "--confirm", "test"]).exit(0);
    assert_eq!(held(&renamed), before);
}

/// A StatefulSet of two replicas, whose pods nothing here runs.
const SET: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: main, image: example/image:1, volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: CLASS, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

#[test]
#[ignore = "needs a real control plane"]
fn claims_of_a_stateful_set_are_bound_before_its_pods_are_made() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "sets");
    let volumes = Volumes::new(&bed, &space.name);
    let held = [volumes.released("a", &space.name, "data-db-1"), volumes.released("b", &space.name, "data-db-0")];
    let kit = Kit::new(&space.name, "- name: storage\n  timeout: 40s");
    let protected = format!("namespace: {}\nprotected: true\n", space.name);
    kit.write("environments/test.yaml", &protected);
    let set = data_set("db", "claims: [{statefulset: db}], replicated: true");
    kit.write("templates/storage/set.yaml", &(SET.replace("CLASS", &space.name) + &set));

    let up = ["up", "test", "--confirm", "test", "-o", "json"];
    let ran = run(&kit, &bed, &up).exit(7);
    let bound = ["data-db-1", "data-db-0"].map(|name| {
        bed.wait_until("the claim is bound", |bed| live(bed, &space, name)["status"]["phase"] == "Bound");
        live(&bed, &space, name)
    });
    for (claim, volume) in bound.iter().zip(&held) {
        assert_eq!((&claim["spec"]["volumeName"], &claim["status"]["phase"]), (&json!(volume), &json!("Bound")));
        assert_eq!(claim["metadata"]["labels"]["app"], "db", "as the set itself would label it");
        assert_eq!(claim["metadata"]["labels"]["rekindle.dev/environment"], kit.environment.as_str());
    }
    let events = bed.block_on(bed.api("v1", "Event", Some(&space.name)).list(&ListParams::default())).unwrap();
    let too_early = events.items.iter().find(|event| event.data["reason"] == "FailedBinding");
    assert!(too_early.is_none(), "a claim was there before its volume was known to be reserved: {too_early:?}");
    let applied = |kind: &str| {
        let events = ran.events();
        let at = |it: &&(usize, Value)| it.1["event"] == "object-applied" && it.1["object"]["kind"] == kind;
        let found: Vec<_> = events.into_iter().enumerate().collect();
        found.iter().filter(at).map(|it| it.0).collect::<Vec<_>>()
    };
    assert!(applied(CLAIM.1).iter().max() < applied("StatefulSet").iter().min(), "{}", ran.stdout);
    // All there is to wait for from here on is pods that nothing runs.
    kit.write("templates/stack.yaml", "name: test\nphases:\n- name: storage\n  timeout: 10s\n");
    let second = run(&kit, &bed, &up).exit(7);
    assert_eq!(second.last()["written"], 0, "{}", second.stdout);

    // One copy is lost: its neighbour fills it. A kit of today has one claim more than the survivors.
    delete_namespace(&bed, &space.name);
    volumes.wait_for(&held[1], "Released");
    kit.write(
        "templates/storage/set.yaml",
        &(SET.replace("CLASS", &space.name).replace("replicas: 2", "replicas: 3") + &set),
    );
    let ran = run(&kit, &bed, &up).exit(7);
    let choices: Vec<Value> =
        decisions(&ran)[0]["claims"].as_array().unwrap().iter().map(|claim| claim["choice"].clone()).collect();
    assert_eq!(choices, ["adopt", "adopt", "copy"]);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_claim_that_is_being_deleted_is_rescued_first() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "rescue");
    let volumes = Volumes::new(&bed, &space.name);
    let volume = volumes.make("a", "Delete", "", "");
    let kit = kit(&space, "", "");
    run(&kit, &bed, &["up", "test"]).exit(0);
    let api = bed.api(CLAIM.0, CLAIM.1, Some(&space.name));
    let hold = |finalizers: Value| {
        let body = json!({"metadata": {"finalizers": finalizers}});
        bed.block_on(api.patch("data", &Default::default(), &kube::api::Patch::Merge(&body))).unwrap();
    };
    hold(json!(["example.com/in-use"]));
    bed.block_on(api.delete("data", &DeleteParams::default())).unwrap();
    let uid = live(&bed, &space, "data")["metadata"]["uid"].clone();

    let running = start(&kit, &bed, &["up", "test"]);
    bed.wait_until("the volume is kept", |_| volumes.get(&volume)["spec"]["persistentVolumeReclaimPolicy"] == "Retain");
    assert_eq!(live(&bed, &space, "data")["metadata"]["uid"], uid, "the old claim is still there");
    hold(json!([]));
    running.wait().exit(0).says("its claim is being deleted");
    let claim = live(&bed, &space, "data");
    assert_ne!(claim["metadata"]["uid"], uid);
    assert_eq!((&claim["spec"]["volumeName"], &claim["status"]["phase"]), (&json!(volume), &json!("Bound")));
}

/// `kubectl delete namespace`, and `up` while its pods still end: Kubernetes has deleted no claim yet.
#[test]
#[ignore = "needs a real control plane"]
fn claims_of_a_namespace_that_is_being_deleted_are_rescued_too() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "ending");
    let volumes = Volumes::new(&bed, &space.name);
    let volume = volumes.make("a", "Delete", "", "");
    let kit = kit(&space, "", "");
    run(&kit, &bed, &["up", "test"]).exit(0);
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: slow, namespace: {}, finalizers: [example.com/slow]}}\n\
         spec: {{automountServiceAccountToken: false, containers: [{{name: a, image: a}}]}}\n",
        space.name
    );
    bed.wait_until("pods can be made", |bed| bed.get("v1", "ServiceAccount", Some(&space.name), "default").is_some());
    bed.apply_as("somebody", &pod);
    // What an empty claim would be bound to.
    volumes.make("b", "Delete", "", "");
    let namespaces = bed.api("v1", "Namespace", None);
    bed.block_on(namespaces.delete(&space.name, &DeleteParams::default())).unwrap();
    assert_eq!(live(&bed, &space, "data")["metadata"].get("deletionTimestamp"), None, "pods go before claims");
    let plan = run(&kit, &bed, &["plan", "test"]).exit(0);
    for told in ["is being deleted, and is made again", "is made again with it", "is made again, bound to pv/"] {
        assert!(plan.stdout.contains(told), "{told}: {}", plan.stdout);
    }
    assert!(plan.stderr.contains("its claim is being deleted"), "{}", plan.stderr);

    let running = start(&kit, &bed, &["up", "test"]);
    bed.wait_until("the volume is kept", |_| volumes.get(&volume)["spec"]["persistentVolumeReclaimPolicy"] == "Retain");
    let free = json!({"metadata": {"finalizers": null}});
    let pods = bed.api("v1", "Pod", Some(&space.name));
    bed.block_on(pods.patch("slow", &Default::default(), &kube::api::Patch::Merge(&free))).unwrap();
    running.wait().exit(0).says("its claim is being deleted");
    let claim = live(&bed, &space, "data");
    assert_eq!((&claim["spec"]["volumeName"], &claim["status"]["phase"]), (&json!(volume), &json!("Bound")));
}

#[test]
#[ignore = "needs a real control plane"]
fn a_claim_that_is_kept_and_goes_meanwhile_is_not_made_anew() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "vanishing");
    let volumes = Volumes::new(&bed, &space.name);
    let volume = volumes.make("a", "Retain", "", "");
    let kit = kit(&space, "", "");
    run(&kit, &bed, &["up", "test"]).exit(0);
    volumes.make("b", "Delete", "", "");

    // A phase before it waits for a sign.
    kit.write("templates/stack.yaml", "name: test\nphases: [{name: before}, {name: storage}]\n");
    kit.write(
        "templates/before/sign.yaml",
        "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: a sign}\nspec: {timeout: 60s, condition: {api_version: v1, \
         kind: ConfigMap, name: sign, ready: 'object.data.given == \"yes\"'}}\n",
    );
    let claims = kit_claim(&space);
    kit.write("templates/storage/data.yaml", &claims.replace("name: data}", "name: data, labels: {changed: \"yes\"}}"));
    let running = start(&kit, &bed, &["up", "test"]);
    let lock = format!("lock-{}", kit.environment);
    let lease = ("coordination.k8s.io/v1", "Lease");
    bed.wait_until("it runs", |bed| {
        bed.get(lease.0, lease.1, Some("rekindle-system"), &lock)
            .is_some_and(|lease| lease["spec"]["holderIdentity"].as_str().is_some_and(|it| !it.is_empty()))
    });
    let api = bed.api(CLAIM.0, CLAIM.1, Some(&space.name));
    bed.block_on(api.delete("data", &DeleteParams::default())).unwrap();
    volumes.wait_for(&volume, "Released");
    bed.apply_as(
        "somebody",
        &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: sign, namespace: {}}}\ndata: {{given: \"yes\"}}\n",
            space.name
        ),
    );
    running.wait().exit(6).says("the claim is gone since its data was looked at");
    assert_eq!(live(&bed, &space, "data"), Value::Null, "nothing begins empty");
    run(&kit, &bed, &["up", "test"]).exit(0).says("adopt");
    assert_eq!(live(&bed, &space, "data")["spec"]["volumeName"], json!(volume));
}

#[test]
#[ignore = "needs a real control plane"]
fn what_was_interrupted_goes_on() {
    let bed = Bed::from_variable(BED);
    // After the policy, after the reservation, after the claim.
    for stage in ["retained", "reserved", "made"] {
        let space = Space::new(&bed, stage);
        let volumes = Volumes::new(&bed, &space.name);
        let volume = volumes.released("a", &space.name, "data");
        let kit = kit(&space, "protected: true\n", "");
        let reserve = json!({"spec": {"claimRef": {"uid": null, "resourceVersion": null}}});
        if stage != "retained" {
            let api = bed.api("v1", "PersistentVolume", None);
            bed.block_on(api.patch(&volume, &Default::default(), &kube::api::Patch::Merge(&reserve))).unwrap();
            volumes.wait_for(&volume, "Available");
        }
        if stage == "made" {
            bed.apply_as("somebody", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", space.name));
            let named = claim("data", &space.name)
                .replace("name: data", &format!("name: data, namespace: {}", space.name))
                .replace("spec: {", &format!("spec: {{volumeName: {volume}, "));
            bed.apply_as("somebody", &named);
        }
        let ran = run(&kit, &bed, &["up", "test", "--confirm", "test", "--adopt"]).exit(0);
        assert_eq!(live(&bed, &space, "data")["spec"]["volumeName"], volume.as_str(), "{stage}: {}", ran.stderr);
    }
}

#[test]
#[ignore = "needs a real control plane"]
fn a_kill_at_any_write_of_an_adoption_is_mended_by_the_next_run() {
    let bed = Bed::from_variable(BED);
    let (number, ended, writes) = (AtomicUsize::new(1), AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    for cut in [Cut::Before(number), Cut::After(number)] {
                        match adoption_killed(&bed, cut) {
                            Some(last) => writes.lock().unwrap().push(last),
                            None => ended.store(true, Ordering::Relaxed),
                        }
                    }
                }
            });
        }
    });
    let writes = writes.into_inner().unwrap();
    let of_volumes = writes.iter().filter(|write| write.contains("/persistentvolumes/")).count();
    // Which write is the n-th differs between runs: the lock is renewed beside them.
    assert!(of_volumes >= 2 * 3, "a policy and two reservations, each before and after: {writes:#?}");
}

/// One kill, and the run that mends it. `None` when the run ended by itself before.
fn adoption_killed(bed: &Bed, cut: Cut) -> Option<String> {
    let space = Space::new(bed, "kill-data");
    let volumes = Volumes::new(bed, &space.name);
    let held =
        [("data", volumes.failed("a", &space.name, "data")), ("more", volumes.released("b", &space.name, "more"))];
    // Whatever is killed when: nothing may begin empty.
    let kit = kit(&space, "data: {allow: [adopt]}\n", "");
    kit.write("templates/storage/more.yaml", &(claim("more", &space.name) + &data_set("more", "claims: [more]")));
    let last = killed(bed, &kit, cut);
    let next = run(&kit, bed, &["up", "test"]);
    assert_eq!(next.code, Some(0), "{cut:?} at {last:?}: {}", next.stderr);
    for (name, volume) in &held {
        let claim = live(bed, &space, name);
        assert_eq!(claim["spec"]["volumeName"], volume.as_str(), "{cut:?} at {last:?}: {}", next.stderr);
        assert_eq!(claim["status"]["phase"], "Bound", "{cut:?} at {last:?}");
        assert_eq!(volumes.get(volume)["spec"]["persistentVolumeReclaimPolicy"], "Retain", "{cut:?} at {last:?}");
    }
    last
}

/// One way in which an empty database comes to be where data was: what stands there, and what the refusal says.
struct Trap {
    what: &'static str,
    environment: &'static str,
    set: &'static str,
    flags: &'static [&'static str],
    lay: fn(&Bed, &Space<'_>, &Volumes<'_>),
    says: &'static str,
}

fn nothing(_: &Bed, _: &Space<'_>, _: &Volumes<'_>) {}

fn held(_: &Bed, space: &Space<'_>, volumes: &Volumes<'_>) {
    volumes.released("held", &space.name, "data");
}

fn marks(environment: &str, claim: &str) -> String {
    format!("labels: {{rekindle.dev/environment: {environment}}}, annotations: {{rekindle.dev/claim: {claim}}}")
}

/// Waits for the controller's last word on a claim.
fn is_bound(bed: &Bed, space: &Space<'_>, claim: &str) {
    bed.wait_until("the claim is bound", |bed| live(bed, space, claim)["status"]["phase"] == "Bound");
}

fn in_namespace(bed: &Bed, space: &Space<'_>, yaml: &str) {
    bed.apply_as("somebody", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", space.name));
    bed.apply_as("somebody", &yaml.replacen("name: ", &format!("namespace: {}, name: ", space.name), 1));
}

/// A claim bound to a fresh volume, beside the one that held the data.
fn fresh(bed: &Bed, space: &Space<'_>, volumes: &Volumes<'_>) {
    let new = volumes.make("fresh", "Retain", "", "");
    in_namespace(bed, space, &claim("data", &space.name));
    volumes.wait_for(&new, "Bound");
    is_bound(bed, space, "data");
    volumes.released("old", &space.name, "data");
}

/// A volume that another claim uses.
fn used(bed: &Bed, space: &Space<'_>, volumes: &Volumes<'_>) {
    let volume = volumes.make("used", "Retain", "", "");
    in_namespace(bed, space, &claim("theirs", &space.name));
    volumes.wait_for(&volume, "Bound");
    is_bound(bed, space, "theirs");
}

const PROTECTED: &str = "protected: true\n";
const SPACE: &str = "SPACE";

const TRAPS: &[Trap] = &[
    Trap {
        what: "nothing survives",
        environment: PROTECTED,
        set: "",
        flags: &[],
        lay: nothing,
        says: "does not let it begin empty",
    },
    Trap {
        what: "the environment does not allow it",
        environment: "data: {allow: [adopt]}\n",
        set: "",
        flags: &[],
        lay: nothing,
        says: "does not let it begin empty",
    },
    Trap {
        what: "the kit does not allow it",
        environment: "",
        set: "claims: [data], sources: [adopt]",
        flags: &["--allow-empty", "ledger"],
        lay: nothing,
        says: "never begins empty",
    },
    Trap {
        what: "allowed, and its name not typed",
        environment: PROTECTED,
        set: "",
        flags: &["--allow-empty", "ledger"],
        lay: nothing,
        says: "--confirm-data ledger",
    },
    Trap {
        what: "decided, and its name not typed",
        environment: PROTECTED,
        set: "",
        flags: &["--data", "ledger=empty"],
        lay: held,
        says: "--confirm-data ledger",
    },
    Trap {
        what: "the reference is lost",
        environment: PROTECTED,
        set: "",
        flags: &[],
        lay: |_, _, volumes| drop(volumes.make("lost", "Retain", "", "")),
        says: "does not let it begin empty",
    },
    Trap {
        what: "the namespace was renamed",
        environment: "",
        set: "",
        flags: &[],
        lay: |_, _, volumes| drop(volumes.released("old", "of-old", "data")),
        says: "of another namespace",
    },
    Trap {
        what: "the namespace was renamed, empty is allowed",
        environment: "",
        set: "",
        flags: &["--allow-empty", "ledger"],
        lay: |_, _, volumes| drop(volumes.released("old", "of-old", "data")),
        says: "of another namespace",
    },
    Trap {
        what: "two survive",
        environment: "",
        set: "",
        flags: &[],
        lay: |bed, space, volumes| {
            held(bed, space, volumes);
            volumes.released("twin", &space.name, "data");
        },
        says: "2 volumes survive",
    },
    Trap {
        what: "it is being deleted",
        environment: "",
        set: "",
        flags: &[],
        lay: |bed, space, volumes| {
            let dead = "00000000-0000-0000-0000-000000000001";
            let reference = format!("  claimRef: {{namespace: {}, name: data, uid: {dead}}}\n", space.name);
            let name = volumes.make("going", "Retain", &reference, "finalizers: [example.com/hold]");
            volumes.wait_for(&name, "Released");
            bed.block_on(bed.api("v1", "PersistentVolume", None).delete(&name, &DeleteParams::default())).unwrap();
        },
        says: "is being deleted",
    },
    Trap {
        what: "its node is gone",
        environment: "",
        set: "",
        flags: &[],
        lay: |_, space, volumes| {
            let dead = "00000000-0000-0000-0000-000000000001";
            let lines = format!(
                "  claimRef: {{namespace: {}, name: data, uid: {dead}}}\n  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [gone]}}]}}]}}}}\n",
                space.name
            );
            let name = volumes.make("far", "Retain", &lines, "");
            volumes.wait_for(&name, "Released");
        },
        says: "no node of the cluster can mount it",
    },
    Trap {
        what: "it is a block device",
        environment: "",
        set: "",
        flags: &[],
        lay: |_, space, volumes| {
            let dead = "00000000-0000-0000-0000-000000000001";
            let lines =
                format!("  volumeMode: Block\n  claimRef: {{namespace: {}, name: data, uid: {dead}}}\n", space.name);
            let name = volumes.make("raw", "Retain", &lines, "");
            volumes.wait_for(&name, "Released");
        },
        says: "it is of mode Block",
    },
    Trap {
        what: "another environment's survives",
        environment: PROTECTED,
        set: "",
        flags: &[],
        lay: |_, space, volumes| {
            let dead = "00000000-0000-0000-0000-000000000001";
            let reference = format!("  claimRef: {{namespace: {}, name: data, uid: {dead}}}\n", space.name);
            let name = volumes.make("theirs", "Retain", &reference, &marks("other", "other/data"));
            volumes.wait_for(&name, "Released");
        },
        says: "does not let it begin empty",
    },
    Trap {
        what: "another environment's is named",
        environment: PROTECTED,
        set: "",
        flags: &["--data", "ledger=adopt:SPACE-theirs"],
        lay: |_, _, volumes| drop(volumes.make("theirs", "Retain", "", &marks("other", "other/data"))),
        says: "belongs to other and is not touched",
    },
    Trap {
        what: "one that is in use is named",
        environment: PROTECTED,
        set: "",
        flags: &["--data", "ledger=adopt:SPACE-used"],
        lay: used,
        says: "is not taken away",
    },
    Trap {
        what: "adopting is not allowed",
        environment: "data: {allow: [empty]}\n",
        set: "",
        flags: &[],
        lay: held,
        says: "does not allow to adopt",
    },
    Trap {
        what: "somebody made an empty one since",
        environment: PROTECTED,
        set: "",
        flags: &["--adopt"],
        lay: fresh,
        says: "nobody vouches for",
    },
    Trap {
        what: "somebody made an empty one since, and it is to stay empty",
        environment: "",
        set: "",
        flags: &["--adopt", "--data", "ledger=empty"],
        lay: fresh,
        says: "what is there is never emptied",
    },
    Trap {
        what: "a claim waits that somebody made",
        environment: PROTECTED,
        set: "",
        flags: &["--adopt"],
        lay: |bed, space, _| in_namespace(bed, space, &claim("data", &space.name)),
        says: "does not let it begin empty",
    },
    Trap {
        what: "a claim has lost its volume",
        environment: "",
        set: "",
        flags: &["--adopt"],
        lay: |bed, space, _| {
            in_namespace(bed, space, &claim("data", &space.name).replace("spec: {", "spec: {volumeName: not-there, "));
        },
        says: "lost its volume",
    },
    Trap {
        what: "it is to be restored",
        environment: "",
        set: "claims: [data], sources: [adopt, restore, empty], restore: {by_hand: fetch the newest one}",
        flags: &[],
        lay: nothing,
        says: "fetch the newest one",
    },
    Trap {
        what: "two answers",
        environment: "",
        set: "",
        flags: &["--data", "ledger=empty", "--data", "ledger=keep"],
        lay: held,
        says: "contradict each other",
    },
];

#[test]
#[ignore = "needs a real control plane"]
fn never_empty() {
    let bed = Bed::from_variable(BED);
    assert!(TRAPS.len() >= 20);
    for trap in TRAPS {
        let space = Space::new(&bed, "trap");
        let volumes = Volumes::new(&bed, &space.name);
        let kit = kit(&space, trap.environment, trap.set);
        (trap.lay)(&bed, &space, &volumes);
        // By identity and by who has written: controllers go on writing beside us.
        let identity = |it: &Value| (it["metadata"]["name"].clone(), it["metadata"]["uid"].clone(), it["spec"].clone());
        let state = || {
            let claims = bed.list(CLAIM.0, CLAIM.1, &space.name);
            let all: Vec<Value> = volumes.names.borrow().iter().map(|name| volumes.get(name)).chain(claims).collect();
            let fields = all.iter().flat_map(|it| it["metadata"]["managedFields"].as_array().unwrap());
            assert!(fields.clone().all(|it| it["manager"] != "rekindle"), "{}: {all:#?}", trap.what);
            all.iter().map(identity).collect::<Vec<_>>()
        };
        let before = state();
        let flags: Vec<String> = trap.flags.iter().map(|flag| flag.replace(SPACE, &space.name)).collect();
        let confirm = if trap.environment == PROTECTED { &["--confirm", "test"][..] } else { &[] };
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let ran = run(&kit, &bed, &[&["up", "test"], confirm, &flags].concat());
        assert_eq!(ran.code, Some(4), "{}: {}", trap.what, ran.stderr);
        assert!(ran.stderr.contains(trap.says), "{}: {}", trap.what, ran.stderr);
        assert!(ran.stderr.contains("nothing was written"), "{}: {}", trap.what, ran.stderr);
        assert_eq!(state(), before, "{}", trap.what);
    }
}

#[test]
#[ignore = "needs a real control plane"]
fn a_saved_plan_does_not_hold_when_something_else_would_be_done_about_data() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "saved-data");
    let volumes = Volumes::new(&bed, &space.name);
    let kit = kit(&space, "", "");
    let file = kit.path().join("plan.json");
    let file = file.to_str().unwrap();
    run(&kit, &bed, &["plan", "test", "-o", file]).exit(0);
    let volume = volumes.released("late", &space.name, "data");
    run(&kit, &bed, &["up", "test", "--plan", file])
        .exit(4)
        .says("PersistentVolumeClaim/")
        .says(&format!("adopt pv/{volume}"));
    run(&kit, &bed, &["plan", "test", "-o", file]).exit(0);
    run(&kit, &bed, &["up", "test", "--plan", file]).exit(0);
    assert_eq!(live(&bed, &space, "data")["spec"]["volumeName"], volume.as_str());
}

#[test]
#[ignore = "needs a real control plane"]
fn the_keys_to_backups_are_given_to_no_cluster_that_up_would_refuse() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "keys");
    let lookup = "{tool: wal-g, image: example/wal-g, env: {AWS_SECRET_ACCESS_KEY: hidden}}";
    let set = format!("claims: [data], sources: [adopt, restore, empty], restore: {{backups: {lookup}}}");
    let kit = kit(&space, "protected: true\n", &set);
    let nowhere = tempfile::tempdir().unwrap();
    let mut plan = rekindle(Some(&kit), &bed.kubeconfig, &["plan", "test"]);
    plan.env("XDG_CONFIG_HOME", nowhere.path());
    finish(plan).exit(4).says("up would stop here").says("the keys to the backups are not given to it");
    let ours =
        |object: &Value| object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("backups-ledger"));
    for (version, kind) in [("batch/v1", "Job"), ("v1", "Secret")] {
        assert!(!bed.list(version, kind, "rekindle-system").iter().any(ours), "{kind}");
    }
}

#[test]
#[ignore = "needs a real control plane"]
fn what_followed_goes_on_following_until_it_is_promoted() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "standby");
    let volumes = Volumes::new(&bed, &space.name);
    let kit = Kit::new(&space.name, "- name: storage\n- {name: services, standby: wait}");
    kit.write("templates/storage/data.yaml", &(claim("data", &space.name) + &data_set("ledger", "claims: [data]")));
    let service = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: service}\n";
    kit.write("templates/services/service.yaml", service);
    let marks = format!(
        "labels: {{rekindle.dev/environment: {}}}, annotations: {{rekindle.dev/claim: {}/data, rekindle.dev/data-set: ledger, \
         rekindle.dev/standby: following, rekindle.dev/backup: base_1}}",
        kit.environment, space.name
    );
    let volume = volumes.make("a", "Retain", "", &marks);
    let service = || bed.get("v1", "ConfigMap", Some(&space.name), "service");
    let state = || volumes.get(&volume)["metadata"]["annotations"]["rekindle.dev/standby"].clone();

    let follows = run(&kit, &bed, &["up", "test"]).exit(0).says("left out while ledger follows").says(": services");
    follows.says("ledger follows another environment's archive and takes no writes");
    assert_eq!((service(), state()), (None, json!("following")));
    let seen = run(&kit, &bed, &["status", "test"]).exit(0);
    assert!(!seen.stdout.contains("service"), "what waits is not missing:\n{}", seen.stdout);
    assert_eq!(run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0).last()["written"], 0);
    run(&kit, &bed, &["up", "test", "--from", "services"]).exit(2).says("services");

    run(&kit, &bed, &["plan", "test", "--promote"]).exit(0).says("promote");
    assert_eq!(state(), "following", "a plan promotes nothing");
    run(&kit, &bed, &["up", "test", "--promote"]).exit(0).says("ledger promoted");
    assert!(service().is_some());
    assert_eq!(state(), "promoted");
    assert!(run(&kit, &bed, &["status", "test"]).exit(0).stdout.contains("service"));
    assert_eq!(run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0).last()["written"], 0);

    // Its volume is a primary's after the next accident, too.
    delete_namespace(&bed, &space.name);
    run(&kit, &bed, &["up", "test"]).exit(0).says("adopt");
    assert!(service().is_some());
}

#[test]
#[ignore = "needs a real control plane"]
fn a_rehearsal_takes_no_volume_that_was_there() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "rehearsed");
    let volumes = Volumes::new(&bed, &space.name);
    let kit = kit(&space, "", "");
    let volume = volumes.released("a", &space.name, "data");
    let versions = volumes.versions();
    let adopt = format!("ledger=adopt:{volume}");
    run(&kit, &bed, &["rehearse", "test", "--context", &bed.context(), "--data", &adopt])
        .exit(4)
        .says("a rehearsal adopts no volume");
    assert_eq!(volumes.versions(), versions, "the volume is as it was");
    let free = volumes.make("b", "Delete", "", "");
    volumes.wait_for(&free, "Available");
    let versions = volumes.versions();
    run(&kit, &bed, &["rehearse", "test", "--context", &bed.context(), "--data", "ledger=empty"])
        .exit(4)
        .says(&format!("to pv/{free}, which was there before; nothing was written"));
    assert_eq!(volumes.versions(), versions, "both volumes are as they were");
    assert!(bed.list("v1", "Secret", "rekindle-system").iter().all(|it| !it.to_string().contains(&kit.environment)));
}
