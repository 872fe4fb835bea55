//! Against a real control plane without nodes: `cargo xtask test --only control-plane`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod real;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::Api;

const BED: &str = "REKINDLE_TEST_CONTROL_PLANE";

#[tokio::test]
#[ignore = "needs a cluster"]
async fn the_bed_runs_controllers() {
    let client = real::client(BED).await;
    let namespace = real::namespace(&client, "bed").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    real::until(&accounts, "default", |_| true).await;
    real::remove_namespace(&client, &namespace).await;
}
