//! Reaching a Service from outside the cluster: a stream to a ready pod behind it, forwarded by the API server.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, Portforwarder};
use kube::{Client, ResourceExt};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::endpoints::{Backend, Place, backends};

pub use super::endpoints::Port;

/// How many pods behind a Service are tried for one stream.
const TRIES: usize = 3;

/// A forwarded connection counts as accepted when it was not refused for this long: the API server says that the stream is
/// open before the node has connected to the pod's port, and a refusal comes after.
const SETTLE: Duration = Duration::from_secs(1);

/// Bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// A connection to something behind a Service.
pub struct Reached {
    /// The connection. Dropping it ends it. Shutting its writing half down ends both halves.
    pub stream: Box<dyn ByteStream>,
    /// Who is at the other end.
    pub peer: Peer,
    /// How long a refusal may still take to arrive.
    pub settle: Duration,
}

/// Who is at the other end of a connection, and what was reported about it. The report is kept here as well because clients
/// that read before they have asked anything swallow it: their question then meets a connection that is merely closed.
#[derive(Clone, Debug)]
pub struct Peer {
    name: String,
    report: Arc<OnceLock<String>>,
}

impl Peer {
    /// With a name for sentences, e.g. `pod postgresql-app-0`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), report: Arc::default() }
    }

    /// Keeps what was reported about it, a whole sentence. The first report stays.
    pub fn reported(&self, sentence: &str) {
        self.report.get_or_init(|| sentence.to_owned());
    }

    /// What was reported about it.
    pub fn report(&self) -> Option<&str> {
        self.report.get().map(String::as_str)
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// A way to reach Services.
pub trait Reach: Send + Sync {
    /// Opens a connection to a port of a Service.
    fn reach<'a>(
        &'a self,
        namespace: &'a str,
        service: &'a str,
        port: &'a Port,
    ) -> BoxFuture<'a, Result<Reached, ReachError>>;
}

/// Why a Service cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// It does not exist.
    #[error("there is no Service {service} in namespace {namespace}")]
    NoService {
        /// Its name.
        service: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// It is of type ExternalName.
    #[error("Service {service} leads out of the cluster, to {host}")]
    External {
        /// Its name.
        service: String,
        /// Where it leads.
        host: String,
    },
    /// It has no such port.
    #[error("Service {service} has no TCP port {port}, only {known}")]
    NoPort {
        /// Its name.
        service: String,
        /// The port asked for.
        port: Port,
        /// Its ports.
        known: String,
    },
    /// Nothing ready stands behind it.
    #[error("{}", not_ready(.service, *.waiting))]
    NotReady {
        /// Its name.
        service: String,
        /// Endpoints that are not ready.
        waiting: usize,
    },
    /// An endpoint's address is not one of a pod in the namespace.
    #[error("the address {address} behind Service {service} belongs to no pod")]
    NoPod {
        /// The Service's name.
        service: String,
        /// The endpoint's address.
        address: String,
    },
    /// The API server could not open the stream.
    #[error("pod {pod} cannot be reached: {reason}")]
    Pod {
        /// Its name.
        pod: String,
        /// What the API server or the node says.
        reason: String,
    },
    /// The API server did not answer a question, or not usefully.
    #[error("{0}")]
    Api(String),
}

fn not_ready(service: &str, waiting: usize) -> String {
    match waiting {
        0 => format!("no pod stands behind Service {service}"),
        1 => format!("no pod behind Service {service} is ready, 1 is not yet"),
        _ => format!("no pod behind Service {service} is ready, {waiting} are not yet"),
    }
}

/// An error of the API server or of the way to it, in words a person can use: never the Debug form that `kube::Error`
/// prints for statuses.
pub fn api_text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("the API server answered {} {}", status.code, status.reason),
        kube::Error::UpgradeConnection(_) => "the API server did not open a stream".to_owned(),
        other => {
            let mut deepest: &dyn std::error::Error = other;
            while let Some(source) = deepest.source() {
                deepest = source;
            }
            format!("the API server did not answer: {deepest}")
        }
    }
}

/// Why the API server cannot stream to a pod, which it does through the pod's node. Nodes that only exist as objects, as in
/// simulated clusters, have no address: their pods count as running but nothing is behind them.
pub(super) fn node_text(error: &kube::Error) -> String {
    let text = api_text(error);
    if text.contains("no preferred addresses found") {
        "its node has no address, so nothing really runs there".to_owned()
    } else {
        short(&text)
    }
}

/// Reaches Services by port-forwards through the API server.
pub struct PortForward {
    client: Client,
    /// Counts streams, so that each question starts with another pod.
    turn: AtomicUsize,
}

impl PortForward {
    /// With a client whose user may `get` Services and pods, `list` EndpointSlices and pods, and `create` `pods/portforward`.
    pub fn new(client: Client) -> Self {
        Self { client, turn: AtomicUsize::new(0) }
    }

    /// The ready backends of a Service's port.
    ///
    /// # Errors
    /// See [`backends`]; also when the Service does not exist or the API server does not answer.
    pub async fn resolve(&self, namespace: &str, service: &str, port: &Port) -> Result<Vec<Backend>, ReachError> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let Some(found) = services.get_opt(service).await.map_err(|error| ReachError::Api(api_text(&error)))? else {
            return Err(ReachError::NoService { service: service.to_owned(), namespace: namespace.to_owned() });
        };
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let slices = slices.list(&of_service).await.map_err(|error| ReachError::Api(api_text(&error)))?;
        backends(&found, &slices.items, port)
    }

    /// The name of the pod with an address. Pods on their node's network share its address: then one that declares the port.
    async fn pod_at(&self, namespace: &str, service: &str, address: &str, port: u16) -> Result<String, ReachError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let at = ListParams::default().fields(&format!("status.podIP={address}"));
        let found = pods.list(&at).await.map_err(|error| ReachError::Api(api_text(&error)))?;
        let declares = |pod: &&Pod| {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            containers.flat_map(|it| it.ports.iter().flatten()).any(|it| it.container_port == i32::from(port))
        };
        let pod = found.items.iter().find(declares).or_else(|| found.items.first());
        pod.map(ResourceExt::name_any)
            .ok_or_else(|| ReachError::NoPod { service: service.to_owned(), address: address.to_owned() })
    }

    async fn open(&self, namespace: &str, service: &str, backend: &Backend) -> Result<Reached, ReachError> {
        let pod = match &backend.place {
            Place::Pod(pod) => pod.clone(),
            Place::Address(address) => self.pod_at(namespace, service, address, backend.port).await?,
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let mut forwarder = pods
            .portforward(&pod, &[backend.port])
            .await
            .map_err(|error| ReachError::Pod { pod: pod.clone(), reason: node_text(&error) })?;
        let Some(stream) = forwarder.take_stream(backend.port) else {
            return Err(ReachError::Pod { pod, reason: "the forwarded port has no stream".to_owned() });
        };
        let refusal = forwarder.take_error(backend.port).map(|refusal| Box::pin(refusal) as Refusal);
        let peer = Peer::new(format!("pod {pod}"));
        let (port, known) = (backend.port, peer.clone());
        let stream = Forwarded { stream, refusal, patience: None, answered: false, forwarder, peer: known, port };
        Ok(Reached { stream: Box::new(stream), peer, settle: SETTLE })
    }
}

impl Reach for PortForward {
    fn reach<'a>(
        &'a self,
        namespace: &'a str,
        service: &'a str,
        port: &'a Port,
    ) -> BoxFuture<'a, Result<Reached, ReachError>> {
        Box::pin(async move {
            let mut candidates = self.resolve(namespace, service, port).await?;
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % candidates.len();
            candidates.rotate_left(turn);
            let mut failure = ReachError::NotReady { service: service.to_owned(), waiting: 0 };
            for backend in candidates.iter().take(TRIES) {
                match self.open(namespace, service, backend).await {
                    Ok(reached) => return Ok(reached),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        })
    }
}

/// How long a stream that has ended waits for the node's report on why.
const REPORT_GRACE: std::time::Duration = std::time::Duration::from_millis(500);

type Refusal = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// A forwarded stream that owns its background task: dropping it ends the task. What the node reports about the pod's port
/// comes as an error of the stream.
struct Forwarded {
    stream: DuplexStream,
    refusal: Option<Refusal>,
    /// Runs out when the report on a stream that has ended did not come.
    patience: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Whether the pod has sent anything: then it did not refuse.
    answered: bool,
    forwarder: Portforwarder,
    peer: Peer,
    port: u16,
}

impl Forwarded {
    /// The node's report, if it has arrived.
    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        match self.refusal.as_mut()?.as_mut().poll(context) {
            Poll::Pending => None,
            Poll::Ready(report) => {
                self.refusal = None;
                let error = refusal(&self.peer, self.port, &report?);
                self.peer.reported(&error.to_string());
                Some(error)
            }
        }
    }
}

impl Forwarded {
    /// The node's report on a stream that has ended. It comes over a channel of its own, and so it may come a moment later.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Error>> {
        if let Some(error) = self.poll_refusal(context) {
            return Poll::Ready(Some(error));
        }
        if self.refusal.is_none() || self.answered {
            return Poll::Ready(None);
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(REPORT_GRACE)));
        patience.as_mut().poll(context).map(|()| None)
    }
}

impl AsyncRead for Forwarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before {
            self.answered = true;
            return read;
        }
        match read {
            Poll::Pending => self.poll_refusal(context).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            Poll::Ready(ended) => match self.poll_end(context) {
                Poll::Ready(Some(error)) => Poll::Ready(Err(error)),
                Poll::Ready(None) => Poll::Ready(ended),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(Err(error)) => self.poll_end(context).map(|report| Err(report.unwrap_or(error))),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

/// What the node reports about a pod's port: a whole sentence, as the inner error of an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PodReport(pub String);

/// The node's report on a port as an error of the stream.
fn refusal(peer: &Peer, port: u16, report: &str) -> io::Error {
    if report.contains("connection refused") {
        let text = format!("connection refused by {peer}, port {port}");
        io::Error::new(io::ErrorKind::ConnectionRefused, PodReport(text))
    } else {
        io::Error::other(PodReport(format!("{peer}, port {port}: {}", short(report))))
    }
}

/// A report in one line of readable length.
fn short(report: &str) -> String {
    const LONGEST: usize = 240;
    let line = report.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
