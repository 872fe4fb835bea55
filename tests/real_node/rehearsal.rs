//! A rehearsal for real: the whole stack in an instance of its own, measured, and taken away again; the cluster is as it was.

use std::collections::BTreeMap;
use std::io::Write as _;

use kube::api::ListParams;

use super::archived::EMPTYING;
use super::support::{Bed, finish, rekindle};
use super::{BED, alone};

/// Kinds of which every object counts. Events and Leases come and go by themselves.
const KINDS: [(&str, &str); 26] = [
    ("v1", "Namespace"),
    ("v1", "Node"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "Endpoints"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ControllerRevision"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "IngressClass"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("storage.k8s.io/v1", "StorageClass"),
];

/// Everything that is in the cluster, by kind, namespace and name, with its UID. Volumes that hold no claim go when their
/// provisioner has time; of those only what a rehearsal has left counts.
pub fn everything(bed: &Bed) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (version, kind) in KINDS {
        let objects = bed.block_on(bed.api(version, kind, None).list(&ListParams::default())).unwrap();
        for object in objects {
            let text = |pointer: &str| object.data.pointer(pointer).and_then(|it| it.as_str()).unwrap_or_default();
            let left = kind == "PersistentVolume" && text("/status/phase") != "Bound";
            if left && !text("/spec/claimRef/namespace").contains("-rehearsal-") {
                continue;
            }
            let metadata = object.metadata;
            let place = metadata.namespace.map(|it| format!("{it}/")).unwrap_or_default();
            all.insert(
                format!("{kind} {place}{}", metadata.name.unwrap_or_default()),
                metadata.uid.unwrap_or_default(),
            );
        }
    }
    all
}

#[test]
#[ignore = "needs a node"]
fn a_rehearsal_leaves_the_cluster_as_it_was() {
    let bed = Bed::from_variable(BED);
    let _machine = alone();
    // What earlier tests have left goes in its own time.
    let going = |bed: &Bed| {
        let namespaces = bed.block_on(bed.api("v1", "Namespace", None).list(&ListParams::default())).unwrap();
        namespaces.iter().any(|namespace| namespace.metadata.deletion_timestamp.is_some())
    };
    bed.wait_within(EMPTYING, "nothing is on its way out", |bed| !going(bed));
    let before = everything(&bed);
    let state = tempfile::tempdir().unwrap();
    let rehearse = |arguments: &[&str]| {
        let mut command = rekindle(None, &bed.kubeconfig, &[&["rehearse", "local"], arguments].concat());
        finish({
            command.env("XDG_STATE_HOME", state.path());
            command
        })
    };
    let ran = rehearse(&["--context", &bed.context()]).exit(0);
    let figures = ran.stderr.lines().find(|line| line.contains("measured recovery time")).expect("it was measured");
    let _ = writeln!(std::io::stdout(), "rehearsal for real, {}", figures.trim());
    assert_eq!(everything(&bed), before);

    let told = format!("rehearsed for real in {} ", bed.context());
    rehearse(&[]).exit(0).says(&told).says("; the kit is the same");

    // One that fails is taken away as well.
    let ran = rehearse(&["--context", &bed.context(), "--image", "redis=docker.io/library/busybox:local"]);
    ran.exit(7).says("StatefulSet/redis").says("taken away again");
    assert_eq!(everything(&bed), before);
}
