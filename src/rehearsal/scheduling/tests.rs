#![allow(clippy::unwrap_used)]

use super::*;
use crate::rehearsal::sample::{key, make, pass, said, world};

/// Where pods end up that are made one after the other, or why they have no node.
async fn placed(nodes: &[&str], pods: &[&str]) -> Vec<String> {
    let mut world = world(0);
    for (number, body) in nodes.iter().enumerate() {
        make(&mut world, &key("nodes", &format!("n{}", number + 1)), body);
    }
    let names: Vec<Key> = (0..pods.len()).map(|number| key("pods", &format!("p-{number}"))).collect();
    for (key, spec) in names.iter().zip(pods) {
        let containers = if spec.contains("containers:") { "" } else { "containers: [{name: a, image: a}], " };
        make(&mut world, key, &format!("{{metadata: {{labels: {{app: a}}}}, spec: {{{containers}{spec}}}}}"));
        pass(&mut world, 60).await;
    }
    let told = |key: &Key| match said(&world, key, "/spec/nodeName") {
        node if node.is_empty() => said(&world, key, "/status/conditions/0/message"),
        node => node,
    };
    names.iter().map(told).collect()
}

const PLAIN: &str = "{}";
const SSD: &str = "{metadata: {labels: {disk: ssd, cores: '8', zone: a}}}";
const TAINTED: &str = "{spec: {taints: [{key: role, value: db, effect: NoSchedule}]}}";

fn apart(key: &str, selector: &str) -> String {
    format!(
        "affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: \
         [{{topologyKey: {key}, labelSelector: {{matchLabels: {{{selector}}}}}}}]}}}}"
    )
}

fn wish(expression: &str) -> String {
    format!(
        "affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: \
         {{nodeSelectorTerms: [{{{expression}}}]}}}}}}"
    )
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_a_pod_only_where_it_may_be() {
    let unmatched = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    for (nodes, pod, expected) in [
        (vec![PLAIN, SSD], "nodeSelector: {disk: ssd}".to_owned(), "n2"),
        (vec![PLAIN], "nodeSelector: {disk: ssd}".into(), unmatched),
        (vec![PLAIN, SSD], wish("matchExpressions: [{key: disk, operator: In, values: [ssd, x]}]"), "n2"),
        (vec![SSD], wish("matchExpressions: [{key: disk, operator: NotIn, values: [ssd]}]"), unmatched),
        (vec![PLAIN, SSD], wish("matchExpressions: [{key: disk, operator: Exists}]"), "n2"),
        (vec![SSD, PLAIN], wish("matchExpressions: [{key: disk, operator: DoesNotExist}]"), "n2"),
        (vec![PLAIN, SSD], wish("matchExpressions: [{key: cores, operator: Gt, values: ['4']}]"), "n2"),
        (vec![SSD], wish("matchExpressions: [{key: cores, operator: Lt, values: ['4']}]"), unmatched),
        (vec![PLAIN, PLAIN], wish("matchFields: [{key: metadata.name, operator: In, values: [n2]}]"), "n2"),
        (vec![SSD], wish(""), unmatched),
        (vec![TAINTED], String::new(), "0/1 nodes are available: 1 node(s) had untolerated taint {role: db}."),
        (vec![TAINTED], "tolerations: [{key: role, operator: Exists}]".into(), "n1"),
        (vec![TAINTED], "tolerations: [{key: role, value: db, effect: NoSchedule}]".into(), "n1"),
        (vec!["{spec: {unschedulable: true}}", PLAIN], String::new(), "n2"),
        (
            vec!["{spec: {unschedulable: true}}", TAINTED],
            String::new(),
            "0/2 nodes are available: 1 node(s) had untolerated taint {role: db}, 1 node(s) were unschedulable.",
        ),
        (
            vec!["{status: {allocatable: {cpu: '2', memory: 4Gi, pods: '110'}}}"],
            "containers: [{name: a, image: a, resources: {requests: {cpu: 2500m}}}]".into(),
            "0/1 nodes are available: 1 Insufficient cpu.",
        ),
        (
            vec!["{status: {capacity: {cpu: '2'}}}"],
            "containers: [{name: a, image: a, resources: {requests: {cpu: 2500m}}}]".into(),
            "n1",
        ),
    ] {
        assert_eq!(placed(&nodes, &[&pod]).await, [expected], "{nodes:?} {pod}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_are_apart_and_together_as_they_say() {
    let own = apart("kubernetes.io/hostname", "app: a");
    let refused = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.";
    assert_eq!(placed(&[PLAIN], &[&own, &own]).await, ["n1", refused]);
    assert_eq!(placed(&[PLAIN, PLAIN], &[&own, &own]).await, ["n1", "n2"]);
    let others = apart("kubernetes.io/hostname", "app: b");
    assert_eq!(placed(&[PLAIN], &[&others, &others]).await, ["n1", "n1"], "it selects others");
    // Who came later has to respect what the first one wants.
    let existing = "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.";
    assert_eq!(placed(&[PLAIN], &[&own, ""]).await, ["n1", existing]);
    // In a zone of two nodes there is room for one; where no node has the label, for all.
    let by_zone = apart("zone", "app: a");
    assert!(placed(&[SSD, SSD], &[&by_zone, &by_zone]).await[1].contains("2 node(s) didn't match pod anti-affinity"));
    assert_eq!(placed(&[PLAIN], &[&by_zone, &by_zone]).await, ["n1", "n1"]);
    let together = own.replace("podAntiAffinity", "podAffinity");
    assert_eq!(placed(&[PLAIN, PLAIN], &[&together, &together]).await, ["n1", "n1"]);
    let with_others = others.replace("podAntiAffinity", "podAffinity");
    let alone = "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.";
    assert_eq!(placed(&[PLAIN], &[&with_others]).await, [alone]);
    let spread = |more: &str| {
        format!(
            "topologySpreadConstraints: [{{topologyKey: kubernetes.io/hostname, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, \
             labelSelector: {{matchLabels: {{app: a}}}}{more}}}]"
        )
    };
    assert_eq!(placed(&[PLAIN], &[&spread(""), &spread("")]).await, ["n1", "n1"]);
    let few = placed(&[PLAIN], &[&spread(", minDomains: 2"), &spread(", minDomains: 2")]).await;
    assert_eq!(few, ["n1", "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints."]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_placed_when_what_stood_in_the_way_has_gone() {
    let mut world = world(1);
    let pod = key("pods", "p-0");
    make(&mut world, &pod, "spec: {nodeSelector: {disk: ssd}, containers: [{name: a, image: a}]}");
    pass(&mut world, 300).await;
    assert_eq!(said(&world, &pod, "/spec/nodeName"), "");
    world.edit(&key("nodes", "node-1"), |node| node["metadata"]["labels"]["disk"] = "ssd".into());
    pass(&mut world, 90).await;
    assert_eq!(said(&world, &pod, "/spec/nodeName"), "node-1");
    assert_eq!(said(&world, &pod, "/status/phase"), "Running");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_runs_where_it_may() {
    let mut world = world(0);
    for (name, body) in [
        ("n1", PLAIN),
        ("n2", SSD),
        ("n3", TAINTED),
        ("n4", "{spec: {taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}}"),
    ] {
        make(&mut world, &key("nodes", name), body);
    }
    for (name, more, count) in
        [("all", "", 3), ("ssd", "nodeSelector: {disk: ssd}, ", 1), ("every", "tolerations: [{operator: Exists}], ", 4)]
    {
        let set = Key::new("apps", "daemonsets", "space", name);
        make(
            &mut world,
            &set,
            &format!(
                "spec: {{selector: {{matchLabels: {{app: d}}}}, template: {{metadata: {{labels: {{app: d}}}}, \
                 spec: {{{more}containers: [{{name: a, image: a}}]}}}}}}"
            ),
        );
        pass(&mut world, 90).await;
        let status = &world.store.get(&set).unwrap()["status"];
        assert_eq!(
            (&status["desiredNumberScheduled"], &status["numberReady"]),
            (&count.into(), &count.into()),
            "{name}"
        );
    }
}
