//! Against a real node that runs containers: `cargo xtask test --only node`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod real;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use serde_json::json;

const BED: &str = "REKINDLE_TEST_NODE";

/// The static busybox that every node bed has.
const BUSYBOX: &str = "docker.io/library/busybox:local";

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// A pod serves a file from a dynamic volume behind a Service; another finds it by the Service's name.
#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_bed_has_volumes_services_and_dns() {
    let client = real::client(BED).await;
    let namespace = real::namespace(&client, "bed").await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), &namespace);

    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    claims.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    let service = json!({
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
    let server = json!({
        "metadata": {"name": "server", "labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "web",
                "image": BUSYBOX,
                "command": ["sh", "-c", "echo kept > /data/index.html; exec httpd -f -p 8080 -h /data"],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(server).unwrap()).await.unwrap();
    let ready = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    real::until(&pods, "server", ready).await;

    // Packet filter rules follow the readiness by a moment, so the client asks until it is answered.
    let client_pod = json!({
        "metadata": {"name": "client"},
        "spec": {
            "restartPolicy": "OnFailure",
            "containers": [{
                "name": "client",
                "image": BUSYBOX,
                "command": ["sh", "-c", format!("until wget -T 2 -qO- http://web.{namespace}.svc.cluster.local/; do :; done")],
            }],
        },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(client_pod).unwrap()).await.unwrap();
    real::until(&pods, "client", |pod| phase(pod) == "Succeeded").await;
    let heard = pods.logs("client", &LogParams::default()).await.unwrap();
    assert!(heard.ends_with("kept\n"), "{heard:?}");

    // Its class deletes what is no longer claimed.
    let volume = claims.get("data").await.unwrap().spec.and_then(|spec| spec.volume_name).unwrap();
    pods.delete("server", &DeleteParams::default()).await.unwrap();
    claims.delete("data", &DeleteParams::default()).await.unwrap();
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let gone = kube::runtime::wait::await_condition(volumes.clone(), &volume, |volume: Option<&PersistentVolume>| {
        volume.is_none()
    });
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("the volume is reclaimed").unwrap();
    assert!(
        volumes
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .iter()
            .all(|v| v.metadata.name.as_ref() != Some(&volume))
    );
    real::remove_namespace(&client, &namespace).await;
}
