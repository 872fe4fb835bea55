//! Runs of the engine against a scripted API server in virtual time: overload, late webhooks, dropped and expired
//! watches, lost answers, a server that goes away.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::event::{Event, EventKind, Outcome};
use super::{Options, run};
use crate::cluster::lock::Lost;
use crate::cluster::{Cluster, ClusterError};
use crate::kit::sample::rendered;
use crate::plan::Plan;
use crate::plan::decide::Adoption;

/// What a request gets instead of the usual answer.
#[derive(Clone)]
enum Fault {
    /// This status, with `Retry-After` seconds if any.
    Answer(u16, &'static str, Option<u64>),
    /// The request takes effect, its answer is lost.
    LostAnswer,
    /// No answer ever.
    Hang,
    /// The usual answer.
    Pass,
}

#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Value>,
    revision: u64,
    /// For each beginning of `METHOD path`, faults for the next requests.
    faults: Vec<(&'static str, VecDeque<Fault>)>,
    /// How often each `METHOD path` was asked.
    asked: BTreeMap<String, usize>,
    /// A watch sends these lines, then ends; the next one of the kind gets the next set. A set is of the kind that its first
    /// object has, of Deployments where that says nothing. Without a set left a watch stays silent for 60 s.
    watches: VecDeque<Vec<Value>>,
    /// How long a set of lines takes.
    slow_watches: Duration,
    /// After so many writes the address leads to another cluster.
    rerouted_after: Option<u64>,
}

const KINDS: &[(&str, &str, &str, bool)] = &[
    ("", "v1", "ConfigMap", true),
    ("", "v1", "Secret", true),
    ("", "v1", "Namespace", false),
    ("", "v1", "Pod", true),
    ("apps", "v1", "Deployment", true),
    ("apps", "v1", "ReplicaSet", true),
];

fn plural(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

fn discovery(core: bool) -> Value {
    let resources = |group: &str| {
        let kinds = KINDS.iter().filter(|(of, ..)| *of == group);
        kinds
            .map(|(group, version, kind, namespaced)| {
                json!({
                    "resource": plural(kind), "singularResource": "", "verbs": ["get", "list", "watch", "patch", "delete"],
                    "scope": if *namespaced { "Namespaced" } else { "Cluster" },
                    "responseKind": {"group": group, "version": version, "kind": kind},
                })
            })
            .collect::<Vec<_>>()
    };
    let group = |name: &str| json!({"metadata": {"name": name}, "versions": [{"version": "v1", "freshness": "Current", "resources": resources(name)}]});
    let items = if core { vec![group("")] } else { vec![group("apps")] };
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn failure(code: u16, message: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message, "metadata": {}})
}

impl Server {
    fn fault(&mut self, request: &str) -> Option<Fault> {
        let (_, faults) = self.faults.iter_mut().find(|(beginning, _)| request.starts_with(beginning))?;
        faults.pop_front()
    }

    fn apply(&mut self, path: &str, mut body: Value) -> (StatusCode, Value) {
        self.revision += 1;
        let known = self.objects.get(path);
        let uid = known.map_or(json!(format!("uid-{}", self.revision)), |known| known["metadata"]["uid"].clone());
        let created = known.is_none();
        if let Some(status) = known.and_then(|known| known.get("status")) {
            body["status"] = status.clone();
        }
        let fields =
            json!([{"manager": "rekindle", "operation": "Apply", "apiVersion": body["apiVersion"], "fieldsV1": {}}]);
        body["metadata"]["uid"] = uid;
        body["metadata"]["generation"] = json!(1);
        body["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        body["metadata"]["managedFields"] = fields;
        if body["kind"] == "Namespace" {
            body["status"] = json!({"phase": "Active"});
        }
        self.objects.insert(path.to_owned(), body.clone());
        (if created { StatusCode::CREATED } else { StatusCode::OK }, body)
    }

    fn lines(&mut self, path: &str) -> Option<Vec<Value>> {
        self.watches.pop_front_if(|set| {
            let kind = set.first().and_then(|line| line["object"]["kind"].as_str()).filter(|kind| *kind != "Status");
            path.ends_with(&format!("/{}", plural(kind.unwrap_or("Deployment"))))
        })
    }

    fn is_rerouted(&self) -> bool {
        self.rerouted_after.is_some_and(|writes| self.revision >= writes)
    }

    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        match (method.as_str(), path) {
            (_, "/version") => (
                StatusCode::OK,
                json!({"major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "",
                "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            ),
            (_, "/api") => (StatusCode::OK, discovery(true)),
            (_, "/apis") => (StatusCode::OK, discovery(false)),
            (_, "/api/v1") => {
                let core = KINDS.iter().filter(|(group, ..)| group.is_empty());
                let resources: Vec<_> = core
                    .map(|(_, _, kind, namespaced)| {
                        json!({"name": plural(kind), "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get"]})
                    })
                    .collect();
                (StatusCode::OK, json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}))
            }
            (_, "/api/v1/namespaces/kube-system") => {
                let uid = if self.is_rerouted() { "other-uid" } else { "cluster-uid" };
                (StatusCode::OK, json!({"metadata": {"name": "kube-system", "uid": uid}}))
            }
            ("PATCH", path) => self.apply(path, serde_json::from_slice(body).unwrap()),
            ("GET", path) if KINDS.iter().any(|(_, _, kind, _)| path.ends_with(&format!("/{}", plural(kind)))) => {
                let within = |(name, _): &(&String, &Value)| name.starts_with(&format!("{path}/"));
                let objects = self.objects.iter().filter(|_| !self.is_rerouted());
                let items: Vec<_> = objects.filter(within).map(|(_, object)| object.clone()).collect();
                (StatusCode::OK, json!({"metadata": {"resourceVersion": self.revision.to_string()}, "items": items}))
            }
            ("GET", path) => match self.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => (StatusCode::NOT_FOUND, failure(404, "not found")),
            },
            _ => (StatusCode::METHOD_NOT_ALLOWED, failure(405, "not here")),
        }
    }
}

fn client(server: &Arc<Mutex<Server>>) -> Client {
    let server = server.clone();
    Client::new(
        tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let path = parts.uri.path().to_owned();
                let query = parts.uri.query().unwrap_or_default().to_owned();
                let body = body.collect().await.unwrap().to_bytes();
                let name = format!("{} {path}", parts.method);
                let (fault, lines) = {
                    let mut server = server.lock().unwrap();
                    *server.asked.entry(name.clone()).or_default() += 1;
                    let watch = query.contains("watch=true").then(|| (server.lines(&path), server.slow_watches));
                    (server.fault(&name), watch)
                };
                // Latency, so that virtual time passes.
                tokio::time::sleep(Duration::from_millis(5)).await;
                if let Some((lines, slow)) = lines {
                    tokio::time::sleep(slow).await;
                    if matches!(server.lock().unwrap().fault(&format!("WATCH {path}")), Some(Fault::LostAnswer)) {
                        return Err(std::io::Error::other("connection reset by peer"));
                    }
                    let Some(lines) = lines else {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        return Ok(Response::new(Body::from(Vec::new())));
                    };
                    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                    return Ok(Response::new(Body::from(text.into_bytes())));
                }
                let mut wait = None;
                let (status, value) = match fault {
                    None | Some(Fault::Pass) => server.lock().unwrap().answer(&parts.method, &path, &body),
                    Some(Fault::Answer(code, message, seconds)) => {
                        wait = seconds;
                        (StatusCode::from_u16(code).unwrap(), failure(code, message))
                    }
                    Some(Fault::LostAnswer) => {
                        server.lock().unwrap().answer(&parts.method, &path, &body);
                        return Err(std::io::Error::other("connection reset by peer"));
                    }
                    Some(Fault::Hang) => std::future::pending().await,
                };
                let mut response = Response::new(Body::from(value.to_string().into_bytes()));
                *response.status_mut() = status;
                if let Some(seconds) = wait {
                    response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
                }
                Ok::<_, std::io::Error>(response)
            }
        }),
        "default",
    )
}

fn plan(files: &[(&str, &str)]) -> Plan {
    let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}, {name: services, timeout: 20m}]\n");
    Plan::of(&rendered(&[&[stack], files].concat())).unwrap()
}

const CONFIG: (&str, &str) = ("templates/storage/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
const CONFIG_PATH: &str = "PATCH /api/v1/namespaces/space/configmaps/a";
const DEPLOYMENT: (&str, &str) = (
    "templates/services/api.yaml",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, \
     template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}\n",
);

fn options() -> Options {
    options_taking(&[])
}

fn options_taking(adopt: &[&str]) -> Options {
    let adopt = Adoption::of(adopt.iter().copied());
    Options { run: "run".into(), started: jiff::Timestamp::UNIX_EPOCH, adopt, ..Options::default() }
}

/// Runs a plan against a server and returns the exit code, the events, and how long it took in virtual time.
async fn rebuild(server: Server, plan: &Plan) -> (Arc<Mutex<Server>>, u8, Vec<Event>, Duration) {
    rebuild_with(server, plan, options()).await
}

async fn rebuild_with(server: Server, plan: &Plan, options: Options) -> (Arc<Mutex<Server>>, u8, Vec<Event>, Duration) {
    let server = Arc::new(Mutex::new(server));
    let began = tokio::time::Instant::now();
    let cluster = Cluster::with_client(client(&server), "test".into(), "https://test".into()).await.unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    let exit = run(cluster, plan, options, sender, stopped).await.unwrap();
    (server, exit, drained(&mut receiver).await, began.elapsed())
}

/// Everything that was told in a run that has ended.
async fn drained(receiver: &mut mpsc::UnboundedReceiver<Event>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    events
}

/// Requests that were not a GET.
fn writes(server: &Arc<Mutex<Server>>) -> usize {
    server.lock().unwrap().asked.iter().filter(|(name, _)| !name.starts_with("GET")).map(|(_, count)| count).sum()
}

/// Runs a plan of two phases that loses its lock after some time, and must end within a minute then: the server, the events, and
/// the writes until then.
async fn losing_its_lock(server: Server, after: Duration, why: &str) -> (Arc<Mutex<Server>>, Vec<Event>, usize) {
    let server = Arc::new(Mutex::new(server));
    let cluster = Cluster::with_client(client(&server), "test".into(), "https://test".into()).await.unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    let (losing, lost) = watch::channel(None);
    let options = Options { lock: Some(lost), ..options() };
    let plan = plan(&[CONFIG, DEPLOYMENT]);
    let mut run = std::pin::pin!(run(cluster, &plan, options, sender, stopped));
    assert!(tokio::time::timeout(after, &mut run).await.is_err());
    let before = writes(&server);
    losing.send_replace(Some(Lost::NotRenewed(why.into())));
    let ended = tokio::time::timeout(Duration::from_secs(60), run).await;
    assert_eq!(ended.expect("it does not wait for the phase's limit").unwrap(), 8);
    let events = drained(&mut receiver).await;
    assert_eq!(outcome(&events), Outcome::LockLost);
    (server, events, before)
}

/// Runs a plan that is refused before the first write.
async fn refused(server: Server, plan: &Plan) -> (Arc<Mutex<Server>>, ClusterError) {
    let server = Arc::new(Mutex::new(server));
    let cluster = Cluster::with_client(client(&server), "test".into(), "https://test".into()).await.unwrap();
    let (sender, _receiver) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    let error = run(cluster, plan, options(), sender, stopped).await.unwrap_err();
    (server, error)
}

fn outcome(events: &[Event]) -> Outcome {
    match &events.last().unwrap().kind {
        EventKind::RunFinished { outcome, .. } => *outcome,
        other => panic!("ended with {other:?}"),
    }
}

fn with_faults(request: &'static str, faults: impl IntoIterator<Item = Fault>) -> Server {
    Server { faults: vec![(request, faults.into_iter().collect())], ..Server::default() }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_given_the_time_it_asks_for() {
    let faults = [
        Fault::Answer(429, "too many requests", Some(7)),
        Fault::Answer(503, "starting", None),
        Fault::Answer(500, "Internal error occurred: failed calling webhook \"x\": connection refused", None),
        Fault::Answer(409, "the object has been modified", None),
    ];
    let (server, exit, events, took) = rebuild(with_faults(CONFIG_PATH, faults), &plan(&[CONFIG])).await;
    assert_eq!((exit, outcome(&events)), (0, Outcome::Done));
    assert_eq!(server.lock().unwrap().asked[CONFIG_PATH], 5);
    assert!(took >= Duration::from_secs(7) && took < Duration::from_secs(10), "{took:?}");
    let reasons = events.iter().filter(|event| matches!(&event.kind, EventKind::ObjectWaiting { .. })).count();
    assert_eq!(reasons, 4, "each new reason is told once");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_does_not_wait_for_another_try() {
    let server = with_faults(CONFIG_PATH, std::iter::repeat_n(Fault::Answer(503, "starting", Some(30)), 10));
    let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage, timeout: 3s}, {name: services}]\n");
    let (_, exit, events, took) = rebuild(server, &plan(&[CONFIG, stack])).await;
    assert_eq!((exit, outcome(&events)), (7, Outcome::Unhealthy));
    assert!(took < Duration::from_millis(3500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_again_and_the_object_exists_once() {
    let (server, exit, ..) = rebuild(with_faults(CONFIG_PATH, [Fault::LostAnswer]), &plan(&[CONFIG])).await;
    assert_eq!(exit, 0);
    let server = server.lock().unwrap();
    assert_eq!(server.asked[CONFIG_PATH], 2);
    assert_eq!(server.objects["/api/v1/namespaces/space/configmaps/a"]["metadata"]["uid"], "uid-2");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_costs_one_request_limit() {
    let (_, exit, _, took) = rebuild(with_faults(CONFIG_PATH, [Fault::Hang]), &plan(&[CONFIG])).await;
    assert_eq!(exit, 0);
    assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(32), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_internal_error_for_a_minute_is_a_refusal() {
    let faults = vec![Fault::Answer(500, "Internal error occurred: nothing helps", None); 100];
    let (_, exit, events, took) = rebuild(with_faults(CONFIG_PATH, faults), &plan(&[CONFIG])).await;
    assert_eq!((exit, outcome(&events)), (6, Outcome::Refused));
    assert!(took >= Duration::from_secs(60) && took < Duration::from_secs(70), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_ends_the_run_at_once() {
    let faults = [Fault::Answer(403, "configmaps is forbidden: User \"me\" cannot patch", None)];
    let (_, exit, events, took) = rebuild(with_faults(CONFIG_PATH, faults), &plan(&[CONFIG])).await;
    assert_eq!((exit, outcome(&events)), (5, Outcome::NotAllowed));
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn deployment(revision: u64, ready: bool) -> Value {
    let status = if ready {
        json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
            "conditions": [{"type": "Available", "status": "True"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]})
    } else {
        json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1})
    };
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "space", "uid": "uid-2", "generation": 1, "resourceVersion": revision.to_string()},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}}, "status": status})
}

/// A server whose Deployment becomes ready only through what watches say.
fn watched(lines: Vec<Vec<Value>>) -> Server {
    Server { watches: lines.into(), ..Server::default() }
}

#[tokio::test(start_paused = true)]
async fn dropped_and_expired_watches_are_taken_up_again() {
    let gone = json!({"type": "ERROR", "object": failure(410, "too old resource version")});
    let server = watched(vec![
        vec![json!({"type": "MODIFIED", "object": deployment(100, false)})],
        Vec::new(),
        vec![gone],
        vec![json!({"type": "MODIFIED", "object": deployment(101, true)})],
    ]);
    let (_, exit, events, took) = rebuild(server, &plan(&[DEPLOYMENT])).await;
    assert_eq!((exit, outcome(&events)), (0, Outcome::Done));
    assert!(events.iter().all(|event| !matches!(event.kind, EventKind::Warning { .. })), "{events:?}");
    assert!(took < Duration::from_secs(300), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_told_and_blamed() {
    // The first two lists are the survey's, the third is the watcher's.
    let lost = || std::iter::repeat_n(Fault::LostAnswer, 1000);
    let workloads = [Fault::Pass, Fault::Pass].into_iter().chain(lost()).collect();
    let faults =
        vec![("GET /apis/apps/v1/namespaces/space/", workloads), ("GET /api/v1/namespaces/space/", lost().collect())];
    let server = Server { faults, ..Server::default() };
    let (server, exit, events, took) = rebuild(server, &plan(&[DEPLOYMENT])).await;
    assert_eq!((exit, outcome(&events)), (5, Outcome::Unreachable));
    let asked = server.lock().unwrap().asked["GET /apis/apps/v1/namespaces/space/deployments"];
    assert!((120..200).contains(&asked), "{asked}");
    assert!(took >= Duration::from_secs(600), "{took:?}");
    let warnings: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Warning { message } => Some(message.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(warnings, ["the API server at https://test does not answer: connection reset by peer; still trying"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_back_and_has_no_news_is_not_blamed() {
    let faults = [Fault::Pass, Fault::Pass, Fault::Pass].into_iter().chain(std::iter::repeat_n(Fault::LostAnswer, 5));
    let server = Server {
        // The watch that begins again after these has nothing to tell.
        faults: vec![("WATCH /apis/apps/v1/namespaces/space/deployments", faults.collect())],
        ..watched(vec![vec![json!({"type": "MODIFIED", "object": deployment(100, false)})]])
    };
    let (_, exit, events, _) = rebuild(server, &plan(&[DEPLOYMENT])).await;
    assert!(
        events
            .iter()
            .any(|event| matches!(&event.kind, EventKind::Warning { message } if message.contains("still trying")))
    );
    assert_eq!((exit, outcome(&events)), (7, Outcome::Unhealthy));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_is_noticed_within_seconds() {
    let lost = std::iter::repeat_n(Fault::LostAnswer, 30);
    let faults = [Fault::Pass, Fault::Pass].into_iter().chain(lost).collect();
    let server = Server {
        faults: vec![("GET /apis/apps/v1/namespaces/space/deployments", faults)],
        ..watched(vec![vec![json!({"type": "MODIFIED", "object": deployment(100, true)})]])
    };
    let (_, exit, events, took) = rebuild(server, &plan(&[DEPLOYMENT])).await;
    assert_eq!((exit, outcome(&events)), (0, Outcome::Done));
    assert!(took < Duration::from_secs(30 * 5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_never_counts_for_the_new_object() {
    // The watch shows a ready Deployment of a time before ours was sent.
    let server = watched(vec![vec![json!({"type": "MODIFIED", "object": deployment(1, true)})]]);
    let (_, exit, events, took) = rebuild(server, &plan(&[DEPLOYMENT])).await;
    assert_eq!((exit, outcome(&events)), (7, Outcome::Unhealthy));
    assert!(took >= Duration::from_secs(600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_run_tells_the_same_events() {
    let lines = || {
        let server = watched(vec![vec![json!({"type": "MODIFIED", "object": deployment(100, true)})]]);
        async {
            let (_, _, events, _) = rebuild(server, &plan(&[CONFIG, DEPLOYMENT])).await;
            events.iter().map(|event| serde_json::to_string(event).unwrap()).collect::<Vec<_>>()
        }
    };
    assert_eq!(lines().await, lines().await);
}

const REPLACEABLE: (&str, &str) = (
    "templates/storage/a.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {rekindle.dev/replace: allowed}}\n",
);

/// A server that holds ConfigMap/a with these labels.
fn holding(labels: Value) -> Server {
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "space", "uid": "theirs",
        "resourceVersion": "1", "labels": labels}});
    Server { objects: BTreeMap::from([(CONFIG_LIVE.to_owned(), held)]), ..Server::default() }
}

const CONFIG_LIVE: &str = "/api/v1/namespaces/space/configmaps/a";

#[tokio::test(start_paused = true)]
async fn what_others_made_is_never_deleted_to_be_made_again() {
    let refusal =
        Fault::Answer(422, "ConfigMap \"a\" is invalid: data: field is immutable when `immutable` is set", None);
    let server = Server { faults: vec![(CONFIG_PATH, [refusal].into())], ..holding(json!({})) };
    let (server, exit, events, _) = rebuild_with(server, &plan(&[REPLACEABLE]), options_taking(&["*"])).await;
    assert_eq!((exit, outcome(&events)), (4, Outcome::Protected));
    let server = server.lock().unwrap();
    assert!(server.asked.keys().all(|request| !request.starts_with("DELETE")), "{:?}", server.asked);
    let told = events.iter().any(|event| {
        matches!(&event.kind, EventKind::ObjectFailed { reason, .. } if reason.contains("was not made by this environment"))
    });
    assert!(told, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_refused_before_the_first_write() {
    for labels in [
        json!({}),
        json!({"rekindle.dev/environment": "production"}),
        json!({"rekindle.dev/environment": "test", "rekindle.dev/instance": "pr-1"}),
    ] {
        let (server, error) = refused(holding(labels), &plan(&[CONFIG])).await;
        assert_eq!(server.lock().unwrap().asked.keys().filter(|request| request.starts_with("PATCH")).count(), 0);
        let ClusterError::NotOurs(strangers) = &error else { panic!("{error}") };
        assert_eq!(strangers.len(), 1, "{error}");
        let taken = strangers[0].holder.starts_with("belongs to ");
        assert!(strangers[0].taken == taken && strangers[0].key.to_string() == "ConfigMap/a", "{strangers:?}");
    }
    let (_, exit, ..) = rebuild(holding(json!({"rekindle.dev/environment": "test"})), &plan(&[CONFIG])).await;
    assert_eq!(exit, 0);
}

#[tokio::test(start_paused = true)]
async fn a_quota_and_an_admission_rule_refuse_the_object_and_not_the_person() {
    for message in [
        "configmaps \"a\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2",
        "admission webhook \"policy.example\" denied the request: no labels",
    ] {
        let faults = [Fault::Answer(403, message, None)];
        let (_, exit, events, _) = rebuild(with_faults(CONFIG_PATH, faults), &plan(&[CONFIG])).await;
        assert_eq!((exit, outcome(&events)), (6, Outcome::Refused), "{message}");
    }
}

const GATE: (&str, &str) = (
    "templates/storage/gate.yaml",
    "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: a is there}\n\
     spec: {hold: 2s, condition: {api_version: v1, kind: ConfigMap, name: a, ready: 'object.metadata.name == \"a\"'}}\n",
);

#[tokio::test(start_paused = true)]
async fn a_gate_that_holds_is_never_told_as_waiting_once_it_has_passed() {
    let (_, exit, events, took) = rebuild(Server::default(), &plan(&[CONFIG, GATE])).await;
    assert_eq!(exit, 0);
    assert!(took >= Duration::from_secs(2), "{took:?}");
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::GateWaiting { answer, .. } => Some(format!("waiting: {answer}")),
            EventKind::GatePassed { .. } => Some("passed".to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("must hold for 2.0 s"), "{told:?}");
    assert_eq!(told[1], "passed");
}

#[tokio::test(start_paused = true)]
async fn without_a_write_one_answer_is_enough() {
    let plan = plan(&[CONFIG, GATE]);
    let (server, ..) = rebuild(Server::default(), &plan).await;
    let before = std::mem::take(&mut *server.lock().unwrap());
    let again = Server { objects: before.objects, revision: before.revision, ..Server::default() };
    let (_, exit, events, took) = rebuild(again, &plan).await;
    assert_eq!(exit, 0);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(matches!(&events.last().unwrap().kind, EventKind::RunFinished { written: 0, .. }));
}

/// A Deployment that missed its progress deadline at some time.
fn late(revision: u64, when: &str) -> Value {
    let mut late = deployment(revision, false);
    late["metadata"]["labels"] = json!({"rekindle.dev/environment": "test"});
    late["status"]["conditions"] = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "timed out", "lastUpdateTime": when}]);
    late
}

/// What is told of one object.
fn told_of(events: &[Event], name: &str) -> Vec<String> {
    let of = |object: &super::event::ObjectName| object.name == name;
    let told = events.iter().filter_map(|event| match &event.kind {
        EventKind::ObjectApplied { object, action, .. } if of(object) => Some(format!("{action:?}")),
        EventKind::ObjectWaiting { object, .. } if of(object) => Some("waiting".into()),
        EventKind::ObjectReady { object, .. } if of(object) => Some("ready".into()),
        _ => None,
    });
    told.collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_long_before_its_phase_is_looked_at_again() {
    let ready = |revision| json!({"type": "MODIFIED", "object": deployment(revision, true)});
    let other = ("templates/services/b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n");
    let changed = (CONFIG.0, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {new: a}\n");
    let (server, exit, ..) = rebuild(watched(vec![vec![ready(100)]]), &plan(&[CONFIG, DEPLOYMENT, other])).await;
    assert_eq!(exit, 0);
    let path = "/apis/apps/v1/namespaces/space/deployments/api";
    let stand = |server: &mut Server, revision, ready| {
        let live = server.objects.get_mut(path).unwrap();
        live["status"] = deployment(revision, ready)["status"].clone();
        live["metadata"]["resourceVersion"] = json!(revision.to_string());
    };
    {
        let mut server = server.lock().unwrap();
        server.revision = 100;
        stand(&mut server, 100, true);
        // The first phase takes long.
        server.faults = vec![(CONFIG_PATH, [Fault::Answer(503, "starting", Some(30))].into())];
        server.watches = [vec![ready(200)]].into();
    }
    let plan = plan(&[changed, DEPLOYMENT, other]);
    let cluster = Cluster::with_client(client(&server), "test".into(), "https://test".into()).await.unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    let mut run = std::pin::pin!(run(cluster, &plan, options(), sender, stopped));
    assert!(tokio::time::timeout(Duration::from_secs(10), &mut run).await.is_err());
    {
        let mut server = server.lock().unwrap();
        stand(&mut server, 110, false);
        server.objects.remove("/api/v1/namespaces/space/configmaps/b").unwrap();
    }
    assert_eq!(run.await.unwrap(), 0);
    let events = drained(&mut receiver).await;
    assert_eq!(told_of(&events, "api"), ["Unchanged", "waiting", "ready"]);
    assert_eq!(told_of(&events, "b"), ["Created", "ready"]);
    assert!(server.lock().unwrap().objects.contains_key("/api/v1/namespaces/space/configmaps/b"));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_was_missed_before_the_run_does_not_end_it() {
    let path = "/apis/apps/v1/namespaces/space/deployments/api".to_owned();
    let server = |lines: Vec<Value>| Server {
        objects: BTreeMap::from([(path.clone(), late(0, "2026-01-01T00:00:00Z"))]),
        ..watched(vec![lines.into_iter().map(|object| json!({"type": "MODIFIED", "object": object})).collect()])
    };
    let mended = server(vec![late(100, "2026-01-01T00:00:00Z"), deployment(101, true)]);
    let (_, exit, events, _) = rebuild(mended, &plan(&[DEPLOYMENT])).await;
    assert_eq!((exit, outcome(&events)), (0, Outcome::Done));
    // One that is missed again in this run does.
    let missed = server(vec![deployment(100, false), late(101, "2026-01-01T01:00:00Z")]);
    let (_, exit, events, took) = rebuild(missed, &plan(&[DEPLOYMENT])).await;
    assert_eq!((exit, outcome(&events)), (7, Outcome::Unhealthy));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_cannot_be_listed_yet_is_asked_for_again() {
    let list = "GET /api/v1/namespaces/space/configmaps";
    let busy = || Fault::Answer(429, "storage is (re)initializing", Some(1));
    let (server, exit, ..) = rebuild(with_faults(list, [busy(), busy()]), &plan(&[CONFIG])).await;
    assert_eq!(exit, 0);
    assert!(server.lock().unwrap().asked[list] >= 3);
    let began = tokio::time::Instant::now();
    let (_, error) = refused(with_faults(list, std::iter::repeat_with(busy).take(100)), &plan(&[CONFIG])).await;
    assert!(matches!(error, ClusterError::Status { code: 429, .. }), "{error:?}");
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_for_a_moment_is_asked_again_and_an_absence_is_told_soon() {
    let list = "GET /api/v1/namespaces/space/configmaps";
    let changes = || Fault::Answer(500, "etcdserver: leader changed", None);
    let (_, exit, ..) = rebuild(with_faults(list, [changes(), Fault::LostAnswer]), &plan(&[CONFIG])).await;
    assert_eq!(exit, 0);
    for fault in [changes(), Fault::LostAnswer] {
        let began = tokio::time::Instant::now();
        let (_, error) = refused(with_faults(list, vec![fault; 100]), &plan(&[CONFIG])).await;
        assert!(error.is_transient(), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    // What is not allowed is not asked for twice.
    let forbidden = Fault::Answer(403, "configmaps is forbidden", None);
    let (server, error) = refused(with_faults(list, [forbidden]), &plan(&[CONFIG])).await;
    assert!(matches!(error, ClusterError::Forbidden(_)), "{error:?}");
    assert_eq!(server.lock().unwrap().asked[list], 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_loses_its_lock_writes_nothing_more() {
    // The Deployment is waited for, since nothing gives it a status.
    let (server, events, before) =
        losing_its_lock(Server::default(), Duration::from_secs(5), "connection refused").await;
    assert_eq!(writes(&server), before, "not even the inventory");
    let told =
        |event: &Event| matches!(&event.kind, EventKind::Warning { message } if message.contains("connection refused"));
    assert!(events.iter().any(told));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_between_phases_ends_the_run() {
    let silent = std::iter::repeat_with(|| Fault::Answer(503, "no leader", None)).take(10_000);
    let faults = std::iter::repeat_n(Fault::Pass, 2).chain(silent);
    let server = with_faults("GET /api/v1/namespaces/kube-system", faults);
    let (server, events, _) = losing_its_lock(server, Duration::from_secs(60), "no leader").await;
    let finished = |event: &&Event| matches!(event.kind, EventKind::PhaseFinished { .. });
    assert_eq!(events.iter().filter(finished).count(), 1, "the first phase was done: {events:?}");
    let deployment = |request: &String| !request.starts_with("GET") && request.contains("deployments");
    assert!(!server.lock().unwrap().asked.keys().any(deployment), "the second did not begin");
}

#[tokio::test(start_paused = true)]
async fn another_cluster_that_answers_ends_a_run_as_a_refusal() {
    let (losing, lost) = watch::channel(None);
    losing.send_replace(Some(Lost::OtherCluster { expected: "a".into(), found: "b".into() }));
    let server = Arc::new(Mutex::new(Server::default()));
    let cluster = Cluster::with_client(client(&server), "test".into(), "https://test".into()).await.unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    let options = Options { lock: Some(lost), ..options() };
    assert_eq!(run(cluster, &plan(&[CONFIG]), options, sender, stopped).await.unwrap(), 4);
    assert!(server.lock().unwrap().asked.keys().all(|name| name.starts_with("GET")));
    let mut last = None;
    while let Some(event) = receiver.recv().await {
        last = Some(event);
    }
    assert_eq!(outcome(&[last.unwrap()]), Outcome::WrongCluster);
}

#[tokio::test(start_paused = true)]
async fn a_phase_does_not_begin_in_another_cluster() {
    let plan = plan(&[CONFIG, DEPLOYMENT]);
    // The namespace and the ConfigMap go to the first one.
    let (server, exit, events, _) = rebuild(Server { rerouted_after: Some(2), ..Server::default() }, &plan).await;
    let EventKind::RunFinished { outcome, written, .. } = &events.last().unwrap().kind else { panic!("{events:?}") };
    assert_eq!((exit, *outcome, *written), (4, Outcome::WrongCluster, 2));
    assert_eq!(server.lock().unwrap().revision, 2, "not even the inventory");
    let told = |event: &Event| matches!(&event.kind, EventKind::Warning { message } if message.contains("other-uid"));
    assert!(events.iter().any(told), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_behind_a_new_address_is_not_made_there() {
    let plan = plan(&[DEPLOYMENT]);
    // After the namespace and the inventory the Deployment is written and waited for; then its watch breaks off, and the one that follows finds nothing.
    let watches = VecDeque::from([vec![json!({"type": "ERROR", "object": failure(410, "expired")})]]);
    let (server, exit, events, _) =
        rebuild(Server { rerouted_after: Some(3), watches, ..Server::default() }, &plan).await;
    let EventKind::RunFinished { outcome, .. } = &events.last().unwrap().kind else { panic!("{events:?}") };
    assert_eq!((exit, *outcome), (4, Outcome::WrongCluster), "{events:?}");
    assert_eq!(server.lock().unwrap().revision, 3);
}

/// A ConfigMap that something else fills.
const FILLED: (&str, &str) = (
    "templates/storage/ca.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, annotations: {rekindle.dev/ready: 'has(object.data.ca)'}}\n",
);

#[tokio::test(start_paused = true)]
async fn what_something_else_fills_is_seen_by_survey_and_watch() {
    let path = "/api/v1/namespaces/space/configmaps/ca";
    let server = Arc::new(Mutex::new(Server::default()));
    let plan = plan(&[FILLED]);
    let again = async |fill: bool| {
        let cluster = Cluster::with_client(client(&server), "test".into(), "https://test".into()).await.unwrap();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (_stop, stopped) = watch::channel(false);
        let mut run = std::pin::pin!(run(cluster, &plan, options(), sender, stopped));
        if fill {
            assert!(tokio::time::timeout(Duration::from_secs(10), &mut run).await.is_err());
            let mut server = server.lock().unwrap();
            server.revision += 1;
            let revision = server.revision.to_string();
            let live = server.objects.get_mut(path).unwrap();
            live["data"] = json!({"ca": "x"});
            live["metadata"]["resourceVersion"] = json!(revision);
            live["metadata"]["labels"] = json!({"rekindle.dev/environment": "test"});
            server.watches = [vec![json!({"type": "MODIFIED", "object": server.objects[path].clone()})]].into();
        }
        let exit = run.await.unwrap();
        (exit, told_of(&drained(&mut receiver).await, "ca"))
    };
    assert_eq!(again(true).await, (0, vec!["Created".into(), "waiting".into(), "ready".into()]));
    assert_eq!(again(false).await, (0, vec!["Unchanged".into(), "ready".into()]));
}

/// A Deployment and a ConfigMap in one phase. The former is told of every 9 s, as ready or not; the latter takes half a minute. The
/// exit code, what was told of the Deployment, all events, and how long it took.
async fn breaking(states: &[bool], gate: Option<(&str, &str)>) -> (u8, Vec<String>, Vec<Event>, Duration) {
    let late = ("templates/services/a.yaml", CONFIG.1);
    let files: Vec<_> = [DEPLOYMENT, late].into_iter().chain(gate).collect();
    let lines = states.iter().zip(100..);
    let server = Server {
        faults: vec![(CONFIG_PATH, [Fault::Answer(503, "starting", Some(30))].into())],
        watches: lines.map(|(ready, at)| vec![json!({"type": "MODIFIED", "object": deployment(at, *ready)})]).collect(),
        slow_watches: Duration::from_secs(9),
        ..Server::default()
    };
    let (_, exit, events, took) = rebuild(server, &plan(&files)).await;
    (exit, told_of(&events, "api"), events, took)
}

#[tokio::test(start_paused = true)]
async fn a_phase_ends_when_everything_is_ready_at_the_same_moment() {
    let (exit, told, events, took) = breaking(&[true, false, false, false, true], None).await;
    assert_eq!((exit, told.join(" ").as_str()), (0, "Created waiting ready waiting ready"));
    assert!(took > Duration::from_secs(45) && took < Duration::from_secs(46), "{took:?}");
    let again = |event: &Event| matches!(&event.kind, EventKind::ObjectWaiting { reason, .. } if reason.starts_with("not ready any more: "));
    assert_eq!(events.iter().filter(|event| again(event)).count(), 1, "{events:?}");
    // What heals meanwhile is nobody's business.
    let (exit, told, _, took) = breaking(&[true, false, true], None).await;
    assert_eq!((exit, told.join(" ").as_str()), (0, "Created waiting ready"));
    assert!(took < Duration::from_secs(31), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_breaks_and_stays_so_ends_the_phase() {
    let (exit, told, events, took) = breaking(&[true, false], None).await;
    assert_eq!((exit, told.join(" ").as_str()), (7, "Created waiting ready waiting"));
    let failed = events.iter().find_map(|event| match &event.kind {
        EventKind::ObjectFailed { object, reason, .. } => Some(format!("{}: {reason}", object.name)),
        _ => None,
    });
    assert!(failed.as_ref().is_some_and(|told| told.starts_with("api: ")), "{failed:?}");
    assert!(took > Duration::from_secs(600) && took < Duration::from_secs(700), "the stall limit of 10 m: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn gates_are_asked_again_when_what_they_rest_on_broke_meanwhile() {
    let gate = GATE.1.replace("hold: 2s", "hold: 15s");
    let gate = Some(("templates/services/gate.yaml", gate.as_str()));
    let (exit, told, events, took) = breaking(&[true, true, true, false, false, true], gate).await;
    assert_eq!((exit, told.join(" ").as_str()), (0, "Created waiting ready waiting ready"));
    let passed = events.iter().filter(|event| matches!(event.kind, EventKind::GatePassed { .. }));
    assert_eq!(passed.count(), 2);
    assert!(took > Duration::from_secs(65), "it holds for its whole time: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_fails_names_what_broke_behind_it() {
    let gate = GATE.1.replace("== \"a\"'", "== \"b\"'").replace("hold: 2s", "timeout: 15s");
    let gate = Some(("templates/services/gate.yaml", gate.as_str()));
    let (exit, _, events, _) = breaking(&[true, true, true, false], gate).await;
    assert_eq!(exit, 7);
    let broke = |event: &Event| matches!(&event.kind, EventKind::ObjectFailed { object, reason, .. } if object.name == "api" && reason.starts_with("not ready any more: "));
    assert!(events.iter().any(broke), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn what_goes_while_its_phase_waits_is_made_again() {
    let gone = json!({"type": "DELETED", "object": deployment(101, true)});
    let lines = [json!({"type": "MODIFIED", "object": deployment(100, true)}), gone];
    let server = Server {
        faults: vec![(CONFIG_PATH, [Fault::Answer(503, "starting", Some(30))].into())],
        watches: lines.into_iter().map(|line| vec![line]).collect(),
        slow_watches: Duration::from_secs(10),
        ..Server::default()
    };
    let server = Arc::new(Mutex::new(server));
    let cluster = Cluster::with_client(client(&server), "test".into(), "https://test".into()).await.unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (_stop, stopped) = watch::channel(false);
    let plan = plan(&[DEPLOYMENT, ("templates/services/a.yaml", CONFIG.1)]);
    let mut run = std::pin::pin!(run(cluster, &plan, options(), sender, stopped));
    assert!(tokio::time::timeout(Duration::from_secs(25), &mut run).await.is_err());
    {
        let mut server = server.lock().unwrap();
        server.objects.remove("/apis/apps/v1/namespaces/space/deployments/api").unwrap();
        server.revision = 200;
        server.watches = [vec![json!({"type": "ADDED", "object": deployment(300, true)})]].into();
    }
    assert_eq!(run.await.unwrap(), 0);
    let told = told_of(&drained(&mut receiver).await, "api");
    assert_eq!(told.join(" "), "Created waiting ready waiting Created waiting ready");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_nobody_brings_ends_the_run_after_a_while() {
    // Of Kubernetes' own groups nothing comes late.
    let never = ("templates/services/w.yaml", "apiVersion: v1\nkind: Widget\nmetadata: {name: w}\n");
    let (_, exit, events, took) = rebuild(Server::default(), &plan(&[CONFIG, never])).await;
    assert_eq!((exit, outcome(&events)), (6, Outcome::Refused));
    assert!(took < Duration::from_secs(1), "{took:?}");
    // The phase's own limit is no other end than that.
    let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}, {name: services, timeout: 5s}]\n");
    let late = ("templates/services/w.yaml", "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\n");
    let (_, exit, events, took) = rebuild(Server::default(), &plan(&[CONFIG, late, stack])).await;
    assert_eq!((exit, outcome(&events)), (6, Outcome::Refused));
    assert!(took < Duration::from_secs(6), "{took:?}");
    let widgets: String = (0..3)
        .map(|at| format!("---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: w{at}}}\n"))
        .collect();
    let plan = plan(&[CONFIG, ("templates/services/w.yaml", &widgets)]);
    let (server, exit, events, took) = rebuild(Server::default(), &plan).await;
    assert_eq!((exit, outcome(&events)), (6, Outcome::Refused));
    assert!(took > Duration::from_secs(20) && took < Duration::from_secs(22), "{took:?}");
    assert!(server.lock().unwrap().asked["GET /apis"] < 30, "asked for all of them together");
    let failed = events.iter().find_map(|event| match &event.kind {
        EventKind::ObjectFailed { object, reason, .. } => Some(format!("{}: {reason}", object.name)),
        _ => None,
    });
    assert!(
        failed.as_ref().is_some_and(|told| told.contains("the cluster has no kind Widget in example.org/v1")),
        "{failed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_looked_at_again_ends_the_phase_at_once() {
    let secret = ("templates/services/s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n");
    let late = ("templates/services/a.yaml", CONFIG.1);
    let gone = Fault::Answer(404, "the server could not find the requested resource", None);
    // The first two lists are the survey's, the third is the watcher's.
    let lists = [Fault::Pass, Fault::Pass].into_iter().chain(std::iter::repeat_n(gone, 100));
    let server = Server {
        faults: vec![
            (CONFIG_PATH, [Fault::Answer(503, "starting", Some(30))].into()),
            ("GET /api/v1/namespaces/space/secrets", lists.collect()),
        ],
        ..Server::default()
    };
    let (_, exit, events, took) = rebuild(server, &plan(&[secret, late])).await;
    assert_eq!((exit, outcome(&events)), (7, Outcome::Unhealthy));
    let failed = events.iter().find_map(|event| match &event.kind {
        EventKind::ObjectFailed { object, reason, .. } => Some(format!("{}: {reason}", object.name)),
        _ => None,
    });
    assert!(failed.as_ref().is_some_and(|told| told.starts_with("s: it cannot be looked at again: ")), "{failed:?}");
    assert!(took < Duration::from_secs(40), "{took:?}");
}
