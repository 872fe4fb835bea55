//! A node whose kubelet is played by a test, because the simulated nodes let every pod become ready at once. What happens to
//! a pod follows from its image: `example.com/crashes:1` crashes, `example.com/ready:1` becomes ready.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::support::{Bed, Space};

/// A node of a test's own, which takes no pods of others, until it goes out of scope.
pub struct Kubelet<'a> {
    bed: &'a Bed,
    node: String,
    tasks: Vec<JoinHandle<()>>,
}

impl<'a> Kubelet<'a> {
    /// Of a test's space, under the space's name.
    pub fn of(space: &Space<'a>) -> Self {
        let (bed, node) = (space.bed, space.name.clone());
        bed.apply_as(
            "test",
            &format!(
                "apiVersion: v1
kind: Node
metadata: {{name: {node}, labels: {{kubernetes.io/hostname: {node}}}}}
spec: {{taints: [{{key: example.com/only, value: {node}, effect: NoSchedule}}]}}
"
            ),
        );
        let tasks = vec![
            bed.spawn(heartbeat(bed.api("v1", "Node", None), node.clone())),
            bed.spawn(look_after(bed.client.clone(), space.name.clone())),
        ];
        Self { bed, node, tasks }
    }

    /// What a pod's spec needs to come here and nowhere else, to be put into a YAML flow mapping.
    pub fn place(&self) -> String {
        format!("nodeSelector: {{kubernetes.io/hostname: {}}}, tolerations: [{{operator: Exists}}]", self.node)
    }
}

impl Drop for Kubelet<'_> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // Its pods are swept away after it.
        let _ = self.bed.block_on(self.bed.api("v1", "Node", None).delete(&self.node, &DeleteParams::default()));
    }
}

/// Says again and again that the node is fit.
async fn heartbeat(nodes: Api<DynamicObject>, node: String) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        let capacity = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now});
        let status = json!({"status": {"capacity": capacity, "allocatable": capacity, "conditions": [ready]}});
        if let Err(error) = nodes.patch_status(&node, &PatchParams::default(), &Patch::Merge(&status)).await {
            eprintln!("the node of a test cannot report: {error}");
        }
    }
}

/// Writes what happens to the pods of a namespace that have a node, and lets go of those that are deleted.
async fn look_after(client: Client, namespace: String) {
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let params = PatchParams::default();
    let mut seen =
        std::pin::pin!(watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects());
    // By UID: what was said of a pod is not said again.
    let mut said: BTreeMap<String, Value> = BTreeMap::new();
    while let Some(pod) = seen.next().await {
        let Ok(pod) = pod.map(|pod| serde_json::to_value(pod).unwrap()) else { continue };
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
        if text("/spec/nodeName").is_empty() {
            continue;
        }
        if !text("/metadata/deletionTimestamp").is_empty() {
            // Never the one that was made in its place.
            let only_this = Preconditions { uid: Some(uid), resource_version: None };
            let _ = pods.delete(&name, &DeleteParams::default().grace_period(0).preconditions(only_this)).await;
            continue;
        }
        let status = fate(&text("/spec/containers/0/image"), &text("/spec/containers/0/name"));
        let status = json!({"metadata": {"uid": uid}, "status": status});
        if said.insert(uid, status.clone()).is_some_and(|before| before == status) {
            continue;
        }
        match pods.patch_status(&name, &params, &Patch::Strategic(&status)).await {
            Ok(_) => {}
            // It is gone, or another one has its name.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => eprintln!("the kubelet of a test cannot say how {name} is: {error}"),
        }
    }
}

/// The status of a pod, as a kubelet writes it, of which the image's name tells what happens to it.
fn fate(image: &str, container: &str) -> Value {
    let what = image.trim_start_matches("example.com/").split(':').next().unwrap_or_default();
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    let ended =
        |code: i64| json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }}});
    let (phase, state, before, restarts) = match what {
        "cannot-be-pulled" => {
            let message = format!("Back-off pulling image \"{image}\": ErrImagePull: {image}: not found");
            ("Pending", waiting("ImagePullBackOff", &message), json!({}), 0)
        }
        "crashes" => {
            let message = format!("back-off 10s restarting failed container={container}");
            ("Running", waiting("CrashLoopBackOff", &message), ended(3), 1)
        }
        "fails" => ("Failed", ended(3), json!({}), 0),
        "succeeds" => ("Succeeded", ended(0), json!({}), 0),
        "never-ready" | "ready" => ("Running", json!({"running": {}}), json!({}), 0),
        other => panic!("nobody knows what happens to an image {other}"),
    };
    let (ready, running) = (what == "ready", state.get("running").is_some());
    let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
    json!({
        "phase": phase,
        "conditions": [condition("Initialized", true), condition("ContainersReady", ready), condition("Ready", ready)],
        "containerStatuses": [{
            "name": container,
            "image": image,
            "imageID": "",
            "ready": ready,
            "started": running,
            "restartCount": restarts,
            "state": state,
            "lastState": before,
        }],
    })
}
