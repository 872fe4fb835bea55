//! An API server of fixed answers, for tests.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::Cluster;
use super::kinds::{Kinds, ServedKind};

/// The paths (with query) that were asked, in order; those of writes after their method.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// A client whose API server knows these beginnings of paths (with query), the first one that fits; anything else is 404.
pub(crate) fn server(answers: Vec<(&'static str, StatusCode, Value)>) -> (Client, Asked) {
    let asked = Asked::default();
    let record = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().to_string();
        let method = request.method();
        let asked = if method == Method::GET { path.clone() } else { format!("{method} {path}") };
        record.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let found = answers.iter().find(|(beginning, ..)| path.starts_with(beginning));
        let (status, body) = found.map_or_else(
            || {
                let message = format!("no answer for {path}");
                let status = json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": message});
                (StatusCode::NOT_FOUND, status)
            },
            |(_, status, body)| (*status, body.clone()),
        );
        let mut response = Response::new(Body::from(body.to_string().into_bytes()));
        *response.status_mut() = status;
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    (Client::new(service, "default"), asked)
}

/// A cluster with such an API server, which serves these kinds: `apiVersion`, kind, plural, and whether in namespaces.
/// It is the one that is expected, where the answers say nothing of its identity.
pub(crate) fn cluster(
    kinds: &[(&str, &str, &str, bool)],
    mut answers: Vec<(&'static str, StatusCode, Value)>,
) -> (Cluster, Asked) {
    answers.push(("/api/v1/namespaces/kube-system", StatusCode::OK, json!({"metadata": {"uid": "one"}})));
    let (client, asked) = server(answers);
    let served = kinds.iter().map(|(api_version, kind, plural, namespaced)| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        ServedKind { resource, namespaced: *namespaced }
    });
    let cluster = Cluster {
        client,
        context: "test".into(),
        server: "https://test".into(),
        version: "1.34.4".into(),
        uid: "one".into(),
        nodes: None,
        kinds: Kinds::serving(served),
        verified: Arc::default(),
    };
    (cluster, asked)
}

/// The body of a refusal.
pub(crate) fn failure(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "status": "Failure", "code": code, "message": message})
}
