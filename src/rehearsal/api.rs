//! The simulated API server: one request in, one answer out. Nothing here waits.

mod persist;
mod read;
mod remove;
mod scale;
mod write;

use http::Method;
use serde_json::{Value, json};

use super::discovery;
use super::request::{Query, Target, target};
use super::status::{self, Refusal, refusal};
use super::store::Key;
use super::world::World;
use crate::manifest::schema::Kind;

pub use read::{Watch, bookmark, events};

/// What is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path.
    pub path: &'a str,
    /// The query.
    pub query: Query,
    /// The header `Accept`.
    pub accept: &'a str,
    /// The header `Content-Type`.
    pub content_type: &'a str,
    /// The header `User-Agent`.
    pub agent: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What is answered.
#[derive(Debug)]
pub enum Answer {
    /// A body of JSON.
    Json(u16, Value),
    /// The same, as an aggregated discovery document.
    Discovery(Value),
    /// Plain text.
    Text(u16, String),
    /// Events from a revision on.
    Watch(Watch),
}

type Answered = Result<Answer, Refusal>;

/// Answers a request.
pub fn answer(world: &mut World, ask: &Ask<'_>) -> Answer {
    route(world, ask).unwrap_or_else(|refusal| Answer::Json(refusal.code, refusal.body))
}

fn route(world: &mut World, ask: &Ask<'_>) -> Answered {
    let words: Vec<&str> = ask.path.trim_matches('/').split('/').collect();
    let aggregated = ask.accept.contains("as=APIGroupDiscoveryList");
    match words.as_slice() {
        ["version"] => {
            let version = crate::manifest::schema::record().kubernetes.as_str();
            let mut parts = version.trim_start_matches('v').split('.');
            return Ok(Answer::Json(
                200,
                json!({
                    "major": parts.next(), "minor": parts.next(), "gitVersion": version, "gitCommit": "", "gitTreeState": "",
                    "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "simulated",
                }),
            ));
        }
        ["healthz" | "livez" | "readyz"] => return Ok(Answer::Text(200, "ok".into())),
        ["api"] if aggregated => return Ok(Answer::Discovery(discovery::aggregated(&world.kinds, true))),
        ["apis"] if aggregated => return Ok(Answer::Discovery(discovery::aggregated(&world.kinds, false))),
        ["api"] => return Ok(Answer::Json(200, json!({"kind": "APIVersions", "versions": ["v1"]}))),
        ["apis"] => return Ok(Answer::Json(200, discovery::groups(&world.kinds))),
        ["openapi", "v3", rest @ ..] => {
            return discovery::openapi(&world.kinds, &rest.join("/"))
                .map(|document| Answer::Json(200, document))
                .ok_or_else(status::no_such_path);
        }
        ["api", version] => return listed(discovery::resources(&world.kinds, "", version)),
        ["apis", group, version] => return listed(discovery::resources(&world.kinds, group, version)),
        _ => {}
    }
    let target = target(ask.path).ok_or_else(status::no_such_path)?;
    let Some(kind) = world.kind(&target.group, &target.version, &target.resource) else {
        // Of a group that nobody serves, there is not even a server to say so.
        let served = world.kinds.iter().any(|kind| kind.group == target.group && kind.version == target.version);
        return if served { Err(status::no_such_path()) } else { Ok(Answer::Text(404, "404 page not found\n".into())) };
    };
    if ask.content_type.contains("protobuf") && *ask.method != Method::DELETE {
        let message = format!("the simulated API server reads JSON, no {}", ask.content_type);
        return Err(refusal(415, "UnsupportedMediaType", message, json!({})));
    }
    if kind.namespaced && target.namespace.is_none() && target.name.is_some() {
        return Err(status::no_such_path());
    }
    if let (Some(name), Some(scale::PART)) = (&target.name, target.part.as_deref())
        && kind.parts.iter().any(|part| part == scale::PART)
    {
        return scale::answer(world, ask, &target, &kind, name);
    }
    match (ask.method, &target.name) {
        (&Method::GET, None) if ask.query.is_true("watch") => read::watch(world, ask, &target, kind),
        (&Method::GET, None) => read::list(world, ask, &target, &kind),
        (&Method::GET, Some(name)) => read::get(world, ask, &target, &kind, name),
        (&Method::POST, None) => write::create(world, ask, &target, &kind),
        (&Method::PUT, Some(name)) => write::replace(world, ask, &target, &kind, name),
        (&Method::PATCH, Some(name)) => write::patch(world, ask, &target, &kind, name),
        (&Method::DELETE, Some(name)) => remove::remove(world, ask, &target, &kind, name),
        (&Method::DELETE, None) => remove::remove_all(world, ask, &target, &kind),
        _ => Err(status::no_such_method()),
    }
}

fn listed(found: Option<Value>) -> Answered {
    found.map(|found| Answer::Json(200, found)).ok_or_else(status::no_such_path)
}

fn key_of(kind: &Kind, target: &Target, name: &str) -> Key {
    let namespace = target.namespace.as_deref().filter(|_| kind.namespaced).unwrap_or_default();
    Key::new(&kind.group, &kind.resource, namespace, name)
}

fn dry_run(ask: &Ask<'_>) -> bool {
    ask.query.get("dryRun") == Some("All")
}
