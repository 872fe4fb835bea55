//! Against a control plane with simulated nodes: `cargo xtask test --only kwok`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod real;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

const BED: &str = "REKINDLE_TEST_KWOK";

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_bed_makes_pods_ready() {
    let client = real::client(BED).await;
    let nodes: Api<Node> = Api::all(client.clone());
    assert_eq!(nodes.list(&ListParams::default()).await.unwrap().items.len(), 4);

    let namespace = real::namespace(&client, "bed").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let labels = json!({"app": "web"});
    let web = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 8,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": "registry.invalid/web"}]},
            },
        },
    }))
    .unwrap();
    deployments.create(&PostParams::default(), &web).await.unwrap();
    real::until(&deployments, "web", |web| web.status.as_ref().and_then(|status| status.available_replicas) == Some(8))
        .await;
    real::remove_namespace(&client, &namespace).await;
}
