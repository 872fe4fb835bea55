//! What tests against real clusters share. `cargo xtask test` makes the clusters and says where they are.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The kubeconfig named by one of the variables `REKINDLE_TEST_CONTROL_PLANE`, `REKINDLE_TEST_KWOK`, `REKINDLE_TEST_NODE`.
pub fn kubeconfig(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} does not name a kubeconfig; run these tests with: cargo xtask test"));
    PathBuf::from(path)
}

/// A client with all rights.
pub async fn client(variable: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig(variable)).expect("the bed's kubeconfig is readable");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("the bed's kubeconfig is complete");
    Client::try_from(config).expect("the bed's kubeconfig makes a client")
}

/// Makes a namespace that no other test has.
pub async fn namespace(client: &Client, prefix: &str) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted = serde_json::from_value(serde_json::json!({"metadata": {"generateName": format!("{prefix}-")}}))
        .expect("a namespace");
    let made = namespaces.create(&PostParams::default(), &wanted).await.expect("the namespace is made");
    made.metadata.name.expect("the server gives it a name")
}

/// Removes a namespace without waiting for it.
pub async fn remove_namespace(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete(name, &DeleteParams::background()).await.expect("the namespace is removed");
}

/// Watches one object until it satisfies `wanted`; panics with its last form when that takes longer than a minute.
pub async fn until<K>(api: &Api<K>, name: &str, wanted: impl Fn(&K) -> bool) -> K
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = Box::pin(watcher(api.clone(), config).default_backoff().applied_objects());
    let mut last = None;
    let search = async {
        while let Some(object) = events.try_next().await.expect("the watch goes on") {
            if wanted(&object) {
                return object;
            }
            last = Some(object);
        }
        panic!("the watch of {name} ended");
    };
    match tokio::time::timeout(Duration::from_secs(60), search).await {
        Ok(object) => object,
        Err(_) => {
            let last = last.map(|object| serde_json::to_string_pretty(&object).expect("an object is JSON"));
            panic!("{name} is not as wanted after a minute; last seen: {}", last.as_deref().unwrap_or("never"));
        }
    }
}
