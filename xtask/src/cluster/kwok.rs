//! Nodes and pods simulated by KWOK.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Bed;
use super::control_plane::has_condition;
use crate::process::wait_for;
use crate::progress::Step;
use crate::tools::{self, Tool};

/// Starts KWOK with its standard stages: a pod is ready as soon as it is scheduled, a finished Job's pod succeeds.
///
/// # Errors
/// When the program is missing or cannot be started.
pub fn start(bed: &mut Bed) -> Result<()> {
    let mut command = Command::new(tools::path(Tool::Kwok)?);
    command
        .arg("--kubeconfig")
        .arg(bed.kubeconfig())
        .arg("--config")
        .arg(tools::kwok_stages()?)
        .args(["--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"])
        .args(["--node-lease-duration-seconds=40", "--server-address=127.0.0.1:0"]);
    bed.start("kwok", &mut command)
}

/// Makes fake nodes `node-1` to `node-N` and waits until they are ready.
///
/// # Errors
/// When the API server refuses or the nodes do not become ready.
pub fn nodes(bed: &mut Bed, count: u32) -> Result<()> {
    let api = bed.api()?;
    let step = Step::begin(format_args!("making {count} fake nodes"));
    for number in 1..=count {
        let name = format!("node-{number}");
        let capacity = json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "250"});
        let path = format!("/api/v1/nodes/{name}");
        let node = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
                "labels": {
                    "kubernetes.io/arch": "amd64",
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "node.kubernetes.io/instance-type": "kwok",
                    "topology.kubernetes.io/zone": format!("zone-{}", (number - 1) % 3 + 1),
                },
            },
        });
        let status = json!({"capacity": capacity, "allocatable": capacity});
        // Made with its status, as a kubelet does: KWOK gives a node that says nothing of its size one of its own, and may
        // do so after ours was written.
        let mut whole = node.clone();
        whole["status"] = status.clone();
        let made = api.send("POST", "/api/v1/nodes", "application/json", whole.to_string().as_bytes())?;
        if made.status != 409 {
            made.json()?;
        }
        // One from an earlier life may differ.
        api.apply(&path, &node)?;
        api.apply(
            &format!("{path}/status"),
            &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}),
        )?;
    }
    bed.state.nodes = count;
    bed.save()?;
    wait_for("the fake nodes to be ready", Duration::from_secs(60), &bed.state.processes, &bed.logs(), || {
        (1..=count).all(|number| {
            api.get(&format!("/api/v1/nodes/node-{number}")).is_ok_and(|node| has_condition(&node, "Ready"))
        })
    })?;
    step.done();
    Ok(())
}
