//! Connecting: from kubeconfig files to a client whose cluster is known by identity, not by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::DynamicResourceScope;
use kube::{Client, Config};
use tokio::time::Instant;

use super::ClusterError;
use super::error::kubeconfig as explain;
use super::identity::{self, Verified};
use super::kinds::{Kinds, ServedKind};

/// Longest wait for the answer to a request that is no watch.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Which cluster a person means.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Kubeconfig files, merged in order as kubectl merges the list in `$KUBECONFIG`.
    pub files: Vec<PathBuf>,
    /// The context that was asked for by name.
    pub context: Option<String>,
    /// A context to prefer over the current one if it exists: the environment's hint.
    pub hint: Option<String>,
}

/// A connection to a cluster whose identity has been read.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// Name of the kubeconfig context.
    pub context: String,
    /// Address of the API server.
    pub server: String,
    /// Its version, e.g. `1.34.4`.
    pub version: String,
    /// UID of the namespace `kube-system`: the cluster's identity.
    pub uid: String,
    /// Number of nodes, where they may be listed.
    pub nodes: Option<usize>,
    /// What kinds it serves.
    pub kinds: Kinds,
    /// When the identity was last read over this client.
    pub(super) verified: Arc<Verified>,
}

fn read_kubeconfig(files: &[PathBuf]) -> Result<Kubeconfig, ClusterError> {
    let mut merged: Option<Kubeconfig> = None;
    let read = |file: &Path| {
        Kubeconfig::read_from(file).map_err(|error| {
            ClusterError::Kubeconfig(format!("cannot read the kubeconfig {}: {}", file.display(), explain(&error)))
        })
    };
    for file in files {
        let next = read(file)?;
        merged = Some(match merged {
            None => next,
            Some(first) => first.merge(next).map_err(|error| {
                ClusterError::Kubeconfig(format!("cannot merge {}: {}", file.display(), explain(&error)))
            })?,
        });
    }
    merged.ok_or_else(|| ClusterError::Kubeconfig("there is no kubeconfig to read".into()))
}

fn choose_context(config: &Kubeconfig, target: &Target) -> Result<String, ClusterError> {
    let known = |name: &str| config.contexts.iter().any(|context| context.name == name);
    let list = || config.contexts.iter().map(|context| context.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = &target.context {
        return if known(name) {
            Ok(name.clone())
        } else {
            Err(ClusterError::Kubeconfig(format!("the kubeconfig has no context {name}; it has: {}", list())))
        };
    }
    if let Some(name) = target.hint.as_ref().filter(|name| known(name)) {
        return Ok(name.clone());
    }
    match config.current_context.as_ref().filter(|name| !name.is_empty()) {
        Some(name) => Ok(name.clone()),
        None if config.contexts.is_empty() => {
            Err(ClusterError::Kubeconfig("the kubeconfig has no context at all".into()))
        }
        None => Err(ClusterError::Kubeconfig(format!(
            "the kubeconfig has no current context; choose one with --context: {}",
            list()
        ))),
    }
}

impl Cluster {
    /// Connects and reads the cluster's identity, version, kinds and number of nodes. Nothing is written.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used, the server does not answer, or it does not let us read the identity.
    pub async fn connect(target: &Target) -> Result<Self, ClusterError> {
        let kubeconfig = read_kubeconfig(&target.files)?;
        let context = choose_context(&kubeconfig, target)?;
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| {
            ClusterError::Kubeconfig(format!("the context {context} cannot be used: {}", explain(&error)))
        })?;
        // Without both of these the client library panics.
        if config.cluster_url.scheme().is_none() || config.cluster_url.authority().is_none() {
            return Err(ClusterError::Kubeconfig(format!(
                "the context {context} cannot be used: its server {} is not an address such as https://example.org:6443",
                config.cluster_url
            )));
        }
        config.connect_timeout = Some(Duration::from_secs(10));
        // Retries are ours, so that a person sees why we wait.
        config.default_retry = false;
        config.headers.push((
            http::header::USER_AGENT,
            http::HeaderValue::from_static(concat!("rekindle/", env!("CARGO_PKG_VERSION"))),
        ));
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| ClusterError::from_kube(&server, &error))?;
        Self::with_client(client, context, server).await
    }

    /// The same, with a client that is already there.
    ///
    /// # Errors
    /// When the server does not answer, or does not let us read the identity.
    pub async fn with_client(client: Client, context: String, server: String) -> Result<Self, ClusterError> {
        let nodes: Api<Node> = Api::all(client.clone());
        let all_nodes = ListParams::default();
        let (version, uid, nodes, kinds) = tokio::join!(
            patiently(&server, || client.apiserver_version()),
            identity::read(&client, &server),
            patiently(&server, || nodes.list_metadata(&all_nodes)),
            Kinds::discover(&client, &server),
        );
        let version = version?;
        Ok(Self {
            context,
            version: version.git_version.trim_start_matches('v').to_owned(),
            uid: uid?,
            nodes: nodes.ok().map(|list| list.items.len()),
            kinds: kinds?,
            verified: Arc::default(),
            client,
            server,
        })
    }
}

impl Cluster {
    /// The objects of a kind, in a namespace or, for cluster-scoped kinds and without a namespace, in all.
    pub fn api(&self, kind: &ServedKind, namespace: Option<&str>) -> Api<DynamicObject> {
        self.api_as(kind, namespace)
    }

    /// The same in a form of its own, such as only the metadata.
    pub fn api_as<K>(&self, kind: &ServedKind, namespace: Option<&str>) -> Api<K>
    where
        K: kube::Resource<Scope = DynamicResourceScope, DynamicType = ApiResource>,
    {
        match namespace.filter(|_| kind.namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            None => Api::all_with(self.client.clone(), &kind.resource),
        }
    }
}

/// Awaits an answer no longer than [`REQUEST_TIMEOUT`] and converts its error.
///
/// # Errors
/// Those of the request; no answer in time is [`ClusterError::Unreachable`].
pub async fn timed<T>(server: &str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ClusterError::from_kube(server, &error)),
        Err(_) => Err(ClusterError::Unreachable {
            server: server.to_owned(),
            reason: format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
        }),
    }
}

/// How long an API server that answers "later" is asked again. In the first second of a definition its kind is answered with 429
/// `storage is (re)initializing`, and a run that follows a killed one may be as early as that.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one that fails otherwise: among the hundred questions before the first write one may meet a server that changes its
/// leader, but who has no network must not wait to be told so.
const BRIEFLY: Duration = Duration::from_secs(1);

/// The same for a question that may be asked again while there is hope: reading, never writing.
///
/// # Errors
/// As [`timed`].
pub async fn patiently<T, F>(server: &str, ask: impl Fn() -> F) -> Result<T, ClusterError>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let began = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let error = match timed(server, ask()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let patience = match &error {
            ClusterError::Status { code: 429 | 503, .. } => PATIENCE,
            // The next page of a list that the server has forgotten does not come back.
            ClusterError::Status { code: 410, .. } => return Err(error),
            other if other.is_transient() => BRIEFLY,
            _ => return Err(error),
        };
        if began.elapsed() + pause >= patience {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BRIEFLY);
    }
}
