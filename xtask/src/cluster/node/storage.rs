//! Dynamic volumes as on kind: local-path-provisioner as a process of this machine, StorageClass `standard`.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use super::pause::BUSYBOX;
use crate::cache::{private_dir, write_private};
use crate::cluster::Bed;
use crate::tools::{self, Tool};

const NAMESPACE: &str = "local-path-storage";
const CONFIG_MAP: &str = "local-path-config";
const SERVICE_ACCOUNT: &str = "local-path-provisioner-service-account";

/// Starts the provisioner and makes the StorageClass and what its helper pods need.
///
/// # Errors
/// When the API server refuses an object or the program cannot be started.
pub fn start(bed: &mut Bed) -> Result<()> {
    let api = bed.api()?;
    let volumes = bed.folder.join("volumes");
    private_dir(&volumes)?;
    let config = json!({
        "nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [volumes]}],
    });
    write_private(&bed.folder.join("local-path.json"), config.to_string().as_bytes())?;
    let helper_pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "helper-pod", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent"}],
        },
    });
    api.apply(
        &format!("/api/v1/namespaces/{NAMESPACE}"),
        &json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
        }),
    )?;
    api.apply(
        &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{SERVICE_ACCOUNT}"),
        &json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SERVICE_ACCOUNT, "namespace": NAMESPACE},
        }),
    )?;
    api.apply(
        &format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}"),
        &json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG_MAP, "namespace": NAMESPACE},
            "data": {
                "config.json": config.to_string(),
                "helperPod.yaml": helper_pod.to_string(),
                "setup": "#!/bin/sh\nset -eu\nmkdir -m 0777 -p \"$VOL_DIR\"\n",
                "teardown": "#!/bin/sh\nset -eu\nrm -rf \"$VOL_DIR\"\n",
            },
        }),
    )?;
    api.apply(
        "/apis/storage.k8s.io/v1/storageclasses/standard",
        &json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "standard",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "rancher.io/local-path",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
        }),
    )?;
    let mut command = Command::new(tools::path(Tool::LocalPath)?);
    command
        .arg("start")
        .arg("--kubeconfig")
        .arg(bed.kubeconfig())
        .arg("--config")
        .arg(bed.folder.join("local-path.json"))
        .args(["--namespace", NAMESPACE, "--configmap-name", CONFIG_MAP])
        .args(["--service-account-name", SERVICE_ACCOUNT, "--helper-image", BUSYBOX]);
    bed.start("local-path-provisioner", &mut command)
}
