//! The simulation on a socket, for programs that are no part of this process: `rekindle rehearse --serve`.

use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::service::failure;
use super::{CONTEXT, Simulation};

/// Serves until it is dropped, each connection as a task of its own. Whoever knows the token, with which every path begins, may do
/// everything; nobody else gets an answer, neither another user of the machine nor a page in somebody's browser. (kubectl sends
/// no other credential where there is no TLS.)
pub async fn serve(simulation: Simulation, listener: TcpListener, token: &str) {
    let prefix: std::sync::Arc<str> = format!("/{token}").into();
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            // Too many open files, most likely: some will be closed.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let (simulation, prefix) = (simulation.clone(), prefix.clone());
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let simulation = simulation.clone();
            let (mut parts, body) = request.into_parts();
            let whole = parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str).unwrap_or_default();
            let path = whole.strip_prefix(&*prefix).filter(|path| path.starts_with('/'));
            let path = path.and_then(|path| path.parse::<http::Uri>().ok());
            async move {
                let Some(path) = path else { return Ok(failure(401, "Unauthorized")) };
                parts.uri = path;
                let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                simulation.serve(parts, body).await
            }
        });
        // A client that goes away in the middle is nothing to tell anybody.
        tokio::spawn(async move {
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

/// A kubeconfig that leads to a served simulation.
pub fn kubeconfig(address: std::net::SocketAddr, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": {"server": format!("http://{address}/{token}")}}],
        "users": [{"name": CONTEXT, "user": {}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
    })
}
