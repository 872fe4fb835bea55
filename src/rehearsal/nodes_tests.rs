#![allow(clippy::unwrap_used)]

use super::*;
use crate::rehearsal::needs::{Needs, needs, simulated_pods};

fn planned(documents: &str) -> Plan {
    let stack = ("templates/stack.yaml", "name: test\nphases: [{name: one}]\n");
    let rendered = crate::kit::sample::rendered(&[stack, ("templates/one/a.yaml", documents)]);
    Plan::of(&rendered).unwrap()
}

fn needed(documents: &str) -> Needs {
    needs(&planned(documents))
}

fn deployment(name: &str, replicas: u32, spec: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec: {{{spec}, containers: [{{name: a, image: a}}]}}\n"
    )
}

fn apart(key: &str, app: &str) -> String {
    format!(
        "affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: \
         [{{topologyKey: {key}, labelSelector: {{matchLabels: {{app: {app}}}}}}}]}}}}"
    )
}

fn spread(key: &str, more: &str) -> String {
    format!(
        "topologySpreadConstraints: [{{topologyKey: {key}, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, \
         labelSelector: {{matchLabels: {{app: a}}}}{more}}}]"
    )
}

#[test]
fn nodes_are_counted_and_labelled_as_the_kit_asks() {
    let zone = "topology.kubernetes.io/zone";
    let a = |replicas: u32, spec: &str| deployment("a", replicas, spec);
    let volume = "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {name: v}\nspec: {capacity: {storage: 1Gi}, \
        accessModes: [ReadWriteOnce], hostPath: {path: /v}, nodeAffinity: {required: {nodeSelectorTerms: \
        [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [worker-7]}]}]}}}\n";
    for (documents, nodes, told) in [
        (a(3, &apart(HOST, "a")), 3, vec![]),
        (a(3, &apart(HOST, "other")), 1, vec![]),
        (a(10, &spread(HOST, "")), 1, vec![]),
        (a(10, &spread(HOST, ", minDomains: 4")), 4, vec![]),
        (a(2, &apart(HOST, "b")) + &deployment("b", 1, "restartPolicy: Always"), 2, vec![]),
        (
            a(1, "nodeSelector: {disk: ssd, kubernetes.io/os: linux}"),
            1,
            vec!["a node with the labels disk=ssd and kubernetes.io/os=linux"],
        ),
        (a(1, "nodeSelector: {kubernetes.io/os: linux}"), 1, vec![]),
        (
            a(3, &format!("nodeSelector: {{disk: ssd}}, {}", apart(HOST, "a"))),
            3,
            vec!["3 nodes with the label disk=ssd"],
        ),
        (
            a(1, "nodeSelector: {disk: ssd}") + &deployment("b", 1, "nodeSelector: {disk: hdd}"),
            2,
            vec!["a node with the label disk=hdd", "a node with the label disk=ssd"],
        ),
        (a(3, &apart(zone, "a")), 3, vec!["nodes with 3 values of the label topology.kubernetes.io/zone"]),
        (a(3, &spread(zone, "")), 1, vec!["nodes with the label topology.kubernetes.io/zone"]),
        (volume.into(), 1, vec!["a node with the label kubernetes.io/hostname=worker-7"]),
    ] {
        let needs = needed(&documents);
        let found: Vec<&str> = needs.labels.iter().map(String::as_str).collect();
        assert_eq!((needs.nodes, found), (nodes, told), "{documents}");
        let of = planned(&documents);
        let supposed = Supposed::of(&of, &workloads(&of), 1, Some(needs.nodes));
        assert_eq!(supposed.nodes.len(), needs.nodes);
        let names: BTreeSet<_> = supposed.nodes.iter().map(|labels| &labels[HOST]).collect();
        assert_eq!(names.len(), needs.nodes, "each has a name of its own");
    }
}

#[test]
fn classes_that_the_kit_names_and_does_not_make_are_needed() {
    let ingress = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec: {ingressClassName: public, \
        rules: [{host: a.example}]}\n";
    let of_kit = "---\napiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: own}\nvalue: 5\n";
    let pods = deployment("a", 1, "priorityClassName: high, runtimeClassName: gvisor")
        + &deployment("b", 1, "priorityClassName: system-node-critical")
        + &deployment("c", 1, "priorityClassName: own");
    let needs = needed(&format!("{ingress}{of_kit}{pods}"));
    let told: Vec<String> = needs.other_classes.iter().map(|it| format!("{} {}", it.kind, it.name)).collect();
    assert_eq!(told, ["IngressClass public", "PriorityClass high", "RuntimeClass gvisor"]);
}

#[test]
fn a_class_that_only_names_volumes_of_the_kit_is_not_needed() {
    let claim = |class: &str| {
        format!(
            "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {class}}}\n\
             spec: {{storageClassName: {class}, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
        )
    };
    let volume = "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {name: v}\nspec: {capacity: {storage: 1Gi}, \
        accessModes: [ReadWriteOnce], hostPath: {path: /v}, storageClassName: manual}\n";
    let needs = needed(&format!("{}{}{volume}", claim("manual"), claim("fast")));
    assert_eq!(needs.classes, BTreeSet::from(["fast".to_owned()]));
}

#[test]
fn every_pod_that_a_simulation_would_make_is_counted() {
    let job = "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {completions: 500, parallelism: 20, \
        template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}\n";
    let old = "---\napiVersion: v1\nkind: ReplicationController\nmetadata: {name: r}\nspec: {replicas: 7, selector: {app: r}, \
        template: {metadata: {labels: {app: r}}, spec: {containers: [{name: a, image: a}]}}}\n";
    let each = "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d}\nspec: {selector: {matchLabels: {app: d}}, \
        template: {metadata: {labels: {app: d}}, spec: {containers: [{name: a, image: a}]}}}\n";
    let plan = planned(&format!("{job}{old}{each}"));
    assert_eq!((needs(&plan).pods, simulated_pods(&plan, 40)), (27, 547));
}
