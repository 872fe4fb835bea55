//! The simulation as a service: what an ordinary client library is given in place of a connection.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use super::api::{self, Answer, Ask, Watch};
use super::controllers;
use super::faults::{Fault, Faults};
use super::request::Query;
use super::world::World;

/// A body of an answer.
pub type Answered = UnsyncBoxBody<Bytes, Infallible>;

/// A cluster that only exists in this process.
#[derive(Clone)]
pub struct Simulation {
    world: Arc<Mutex<World>>,
    faults: Arc<Mutex<Faults>>,
    /// Told of each request that arrives, before it takes effect.
    witness: Option<Arc<Witness>>,
}

/// Sees the cluster as it is and a request that is about to take effect in it.
pub type Witness = dyn Fn(&World, &Ask<'_>) + Send + Sync;

impl Simulation {
    /// A simulation of a world in which nothing goes wrong but what its model says. Must be made inside a runtime: its
    /// controllers work as a task of it.
    pub fn new(world: World, faults: Faults) -> Self {
        let alive = world.alive;
        let world = Arc::new(Mutex::new(world));
        let simulation = Self { world, faults: Arc::new(Mutex::new(faults)), witness: None };
        if alive {
            let world = simulation.world.clone();
            tokio::spawn(work(world));
        }
        simulation
    }

    /// The cluster, to look into it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on requests go wrong by these faults.
    pub fn go_wrong(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Requests with this in their path do not arrive for some time.
    pub fn silence(&self, part: &'static str, time: Duration) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).silence(part, time);
    }

    /// The same cluster for another client, whose requests are told to a witness.
    #[must_use]
    pub fn witnessed(&self, witness: impl Fn(&World, &Ask<'_>) + Send + Sync + 'static) -> Self {
        Self { witness: Some(Arc::new(witness)), ..self.clone() }
    }

    /// A client that speaks to it.
    pub fn client(&self) -> Client {
        let simulation = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let simulation = simulation.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
                simulation.serve(parts, body).await
            }
        });
        Client::new(service, "default")
    }

    /// Answers a request after the time that it takes.
    ///
    /// # Errors
    /// When the connection is made to break.
    pub async fn serve(&self, parts: http::request::Parts, body: Bytes) -> std::io::Result<Response<Answered>> {
        let (read, write) = {
            let world = self.world();
            (world.model.read, world.model.write)
        };
        tokio::time::sleep(if parts.method == Method::GET { read } else { write }).await;
        let watches = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
        if parts.method != Method::GET {
            let at = self.world().elapsed();
            let name = format!("{} {}", parts.method, parts.uri.path());
            self.world().writes.push((at, name));
        }
        let continues = watches || parts.uri.query().is_some_and(|query| query.contains("continue="));
        let (fault, forgets) = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            (faults.next(parts.uri.path(), watches), continues && faults.forgets())
        };
        if forgets {
            self.world().store.compact();
        }
        match fault {
            Some(Fault::Status(code, message)) => return Ok(failure(code, message)),
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::NoConnection) => return Err(std::io::Error::other("connection refused (simulated)")),
            Some(Fault::LostAnswer) => {
                let _ = self.answer(&parts, &body);
                return Err(std::io::Error::other("connection reset by peer (simulated)"));
            }
            None => {}
        }
        Ok(match self.answer(&parts, &body) {
            Answer::Watch(watch) => self.stream(watch),
            Answer::Json(code, value) => json(code, "application/json", &value),
            Answer::Discovery(value) => json(200, super::discovery::AGGREGATED, &value),
            Answer::Text(code, text) => response(code, "text/plain", text.into_bytes()),
        })
    }

    fn answer(&self, parts: &http::request::Parts, body: &[u8]) -> Answer {
        let text = |name: header::HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let ask = Ask {
            method: &parts.method,
            path: parts.uri.path(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            accept: text(header::ACCEPT),
            content_type: text(header::CONTENT_TYPE),
            agent: text(header::USER_AGENT),
            body,
        };
        let mut world = self.world();
        if let Some(witness) = &self.witness {
            witness(&world, &ask);
        }
        api::answer(&mut world, &ask)
    }

    /// The events of a watch, as they come, until its time is up.
    fn stream(&self, watch: Watch) -> Response<Answered> {
        let changed = self.world().changed.clone();
        let dropped = self.faults.lock().unwrap_or_else(PoisonError::into_inner).life_of_watch();
        let end = Instant::now() + watch.limit.min(dropped.unwrap_or(Duration::MAX / 4));
        let state = Some((self.world.clone(), watch, changed, end));
        let frames = futures::stream::unfold(state, |state| async move {
            let (world, mut watch, changed, end) = state?;
            loop {
                let woken = changed.notified();
                let mut woken = std::pin::pin!(woken);
                // From here on nothing is missed.
                woken.as_mut().enable();
                let told = api::events(&world.lock().unwrap_or_else(PoisonError::into_inner), &mut watch);
                match told {
                    Err(expired) => return Some((line(&[expired]), None)),
                    Ok(events) if !events.is_empty() => {
                        return Some((line(&events), Some((world, watch, changed.clone(), end))));
                    }
                    Ok(_) => {}
                }
                tokio::select! {
                    biased;
                    () = &mut woken => {}
                    () = tokio::time::sleep_until(end) => {
                        return watch.bookmarks.then(|| (line(&[api::bookmark(&watch)]), None));
                    }
                }
            }
        });
        let body = StreamBody::new(frames).boxed_unsync();
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        response
    }
}

fn line(events: &[Value]) -> Result<Frame<Bytes>, Infallible> {
    let mut text = Vec::new();
    for event in events {
        text.extend_from_slice(event.to_string().as_bytes());
        text.push(b'\n');
    }
    Ok(Frame::data(text.into()))
}

fn response(code: u16, content_type: &'static str, body: Vec<u8>) -> Response<Answered> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

fn json(code: u16, content_type: &'static str, value: &Value) -> Response<Answered> {
    response(code, content_type, serde_json::to_vec(value).unwrap_or_default())
}

/// An answer of the server that is none of the API.
pub(super) fn failure(code: u16, message: &str) -> Response<Answered> {
    let reason = match code {
        401 => "Unauthorized",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let refusal = super::status::refusal(code, reason, message, Value::Null);
    let mut response = json(code, "application/json", &refusal.body);
    if code == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

/// The controllers: sleep until something is due, do it, sleep again. Ends with the last client of the world.
async fn work(world: Arc<Mutex<World>>) {
    let world = Arc::downgrade(&world);
    loop {
        let Some(strong) = world.upgrade() else { return };
        let (next, hurry) = {
            let mut world = strong.lock().unwrap_or_else(PoisonError::into_inner);
            controllers::run_due(&mut world);
            (world.next(), world.hurry.clone())
        };
        drop(strong);
        match next {
            Some(next) => {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(next) => {}
                    () = hurry.notified() => {}
                }
            }
            None => hurry.notified().await,
        }
    }
}
