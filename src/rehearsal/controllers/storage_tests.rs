#![allow(clippy::unwrap_used)]

use crate::rehearsal::sample::{events, key, make, pass, said, world};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

fn claim(world: &mut World, name: &str, spec: &str) -> Key {
    let key = key("persistentvolumeclaims", name);
    make(
        world,
        &key,
        &format!("spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 5Gi}}}}, {spec}}}"),
    );
    key
}

fn volume(world: &mut World, name: &str, size: &str, spec: &str) -> Key {
    let key = key("persistentvolumes", name);
    let labels = "labels: {disk: fast}";
    make(
        world,
        &key,
        &format!(
            "{{metadata: {{{labels}}}, spec: {{capacity: {{storage: {size}}}, accessModes: [ReadWriteOnce, ReadOnlyMany], \
             hostPath: {{path: /{name}}}, {spec}}}}}"
        ),
    );
    key
}

fn class(world: &mut World, name: &str, provisioner: &str, mode: &str) {
    let key = Key::new("storage.k8s.io", "storageclasses", "", name);
    make(world, &key, &format!("{{provisioner: {provisioner}, reclaimPolicy: Delete, volumeBindingMode: {mode}}}"));
}

fn pod(world: &mut World, name: &str, claim: &str) -> Key {
    let key = key("pods", name);
    make(
        world,
        &key,
        &format!(
            "spec: {{containers: [{{name: a, image: a}}], volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}]}}"
        ),
    );
    key
}

#[tokio::test(start_paused = true)]
async fn claims_are_bound_to_volumes_that_fit_as_the_volume_controller_does() {
    // The claim beside its size of 5Gi; volumes with their size; the volume that it gets.
    for (of_claim, volumes, expected) in [
        ("storageClassName: ''", vec![("a", "5Gi", "")], "a"),
        ("storageClassName: ''", vec![("a", "5Gi", "storageClassName: ''")], "a"),
        ("storageClassName: ''", vec![("a", "20Gi", ""), ("b", "10Gi", ""), ("c", "4Gi", "")], "b"),
        ("storageClassName: ''", vec![("a", "10Gi", "storageClassName: manual")], ""),
        ("storageClassName: manual", vec![("a", "10Gi", ""), ("b", "10Gi", "storageClassName: manual")], "b"),
        // What is reserved for it comes first, whatever its class; what is reserved for another one is not taken.
        ("storageClassName: ''", vec![("a", "5Gi", ""), ("b", "9Gi", "claimRef: {namespace: space, name: data}")], "b"),
        (
            "storageClassName: ''",
            vec![("a", "9Gi", "storageClassName: x, claimRef: {namespace: space, name: data}")],
            "a",
        ),
        ("storageClassName: ''", vec![("a", "5Gi", "claimRef: {namespace: space, name: other}")], ""),
        ("storageClassName: ''", vec![("a", "5Gi", "claimRef: {namespace: space, name: data, uid: gone}")], ""),
        ("storageClassName: ''", vec![("a", "1Gi", "claimRef: {namespace: space, name: data}")], ""),
        ("storageClassName: '', volumeMode: Block", vec![("a", "5Gi", ""), ("b", "9Gi", "volumeMode: Block")], "b"),
        ("storageClassName: '', selector: {matchLabels: {disk: slow}}", vec![("a", "5Gi", "")], ""),
        ("storageClassName: '', selector: {matchLabels: {disk: fast}}", vec![("a", "5Gi", "")], "a"),
        ("storageClassName: '', accessModes: [ReadWriteMany]", vec![("a", "5Gi", "")], ""),
    ] {
        let mut world = world(1);
        for (name, size, spec) in &volumes {
            volume(&mut world, name, size, spec);
        }
        pass(&mut world, 5).await;
        let own = key("persistentvolumeclaims", "data");
        let modes = if of_claim.contains("accessModes") { "" } else { ", accessModes: [ReadWriteOnce]" };
        make(&mut world, &own, &format!("spec: {{resources: {{requests: {{storage: 5Gi}}}}, {of_claim}{modes}}}"));
        pass(&mut world, 5).await;
        assert_eq!(said(&world, &own, "/spec/volumeName"), expected, "{of_claim} {volumes:?}");
        if !expected.is_empty() {
            assert_eq!(said(&world, &own, "/status/phase"), "Bound");
            let bound = key("persistentvolumes", expected);
            assert_eq!(said(&world, &bound, "/spec/claimRef/uid"), said(&world, &own, "/metadata/uid"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_comes_later_is_bound_too() {
    let mut world = world(1);
    let own = claim(&mut world, "data", "storageClassName: ''");
    pass(&mut world, 60).await;
    assert_eq!(said(&world, &own, "/status/phase"), "Pending");
    assert_eq!(events(&world, "data"), ["no persistent volumes available for this claim and no storage class is set"]);
    volume(&mut world, "late", "5Gi", "");
    pass(&mut world, 20).await;
    assert_eq!(said(&world, &own, "/spec/volumeName"), "late");
}

#[tokio::test(start_paused = true)]
async fn without_a_provisioner_nothing_is_made_up() {
    let mut world = world(1);
    class(&mut world, "local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
    class(&mut world, "static", "kubernetes.io/no-provisioner", "Immediate");
    class(&mut world, "cloud", "cloud.example", "WaitForFirstConsumer");
    for name in ["one", "two"] {
        volume(&mut world, name, "9Gi", "storageClassName: local");
    }
    let claims: Vec<Key> =
        (0..3).map(|it| claim(&mut world, &format!("data-{it}"), "storageClassName: local")).collect();
    let now = claim(&mut world, "now", "storageClassName: static");
    let cloud = claim(&mut world, "cloud", "storageClassName: cloud");
    pass(&mut world, 60).await;
    // They wait for their pods.
    assert!(claims.iter().chain([&cloud]).all(|it| said(&world, it, "/status/phase") == "Pending"));
    for it in 0..3 {
        pod(&mut world, &format!("pod-{it}"), &format!("data-{it}"));
    }
    pod(&mut world, "pod-9", "cloud");
    pass(&mut world, 120).await;
    let phases: Vec<String> = claims.iter().map(|it| said(&world, it, "/status/phase")).collect();
    assert_eq!(phases, ["Bound", "Bound", "Pending"]);
    assert!(said(&world, &cloud, "/spec/volumeName").starts_with("pvc-"));
    assert_eq!(said(&world, &now, "/spec/volumeName"), "");
    assert_eq!(events(&world, "now"), ["no volume plugin matched name: kubernetes.io/no-provisioner"]);
    let third = said(&world, &key("pods", "pod-2"), "/status/conditions/0/message");
    assert_eq!(third, "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.");
    // The next volume is for it.
    volume(&mut world, "three", "9Gi", "storageClassName: local");
    pass(&mut world, 120).await;
    assert_eq!(said(&world, &claims[2], "/spec/volumeName"), "three");
    assert_eq!(said(&world, &key("pods", "pod-2"), "/spec/nodeName"), "node-1");
}

#[tokio::test(start_paused = true)]
async fn a_pod_goes_where_the_volume_of_its_claim_can_be() {
    let mut world = world(3);
    class(&mut world, "local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer");
    let at = "storageClassName: local, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: \
              [{key: kubernetes.io/hostname, operator: In, values: [node-3]}]}]}}";
    volume(&mut world, "there", "9Gi", at);
    claim(&mut world, "data", "storageClassName: local");
    let own = pod(&mut world, "pod-0", "data");
    pass(&mut world, 60).await;
    assert_eq!(said(&world, &own, "/spec/nodeName"), "node-3");
    // Another pod with the same claim has to go there, too.
    let other = pod(&mut world, "pod-1", "data");
    pass(&mut world, 60).await;
    assert_eq!(said(&world, &other, "/spec/nodeName"), "node-3");
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_names_has_to_satisfy_it() {
    let mut world = world(1);
    volume(&mut world, "small", "1Gi", "");
    let own = claim(&mut world, "data", "storageClassName: '', volumeName: small");
    pass(&mut world, 60).await;
    assert_eq!(said(&world, &own, "/status/phase"), "Pending");
    assert_eq!(events(&world, "data"), ["Cannot bind to requested volume \"small\": requested PV is too small"]);
}
