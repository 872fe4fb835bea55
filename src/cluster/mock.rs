//! An API server of fixed answers, for tests.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// The paths (with query) that were asked, in order.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// A client whose API server knows these beginnings of paths (with query), the first one that fits; anything else is 404.
pub(crate) fn server(answers: Vec<(&'static str, StatusCode, Value)>) -> (Client, Asked) {
    let asked = Asked::default();
    let record = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().to_string();
        record.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
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
