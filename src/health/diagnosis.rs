//! What a person needs to know about an object that is not healthy: failing containers with their last words, events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use kube::api::{ListParams, LogParams};
use kube::core::Request;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::status::{pods_of, running_unready, troubles};
use crate::manifest::ObjectKey;

/// Everything together may take so long; what has not come by then is left out.
const TIME: Duration = Duration::from_secs(5);
/// Containers whose logs are asked for.
const MOST_CONTAINERS: usize = 4;
/// Lines of a log that are shown.
const LOG_LINES: usize = 10;
/// Bytes of a log that are read.
const LOG_BYTES: usize = 256 * 1024;
/// Events that are shown.
const MOST_EVENTS: usize = 8;
/// Pods, ReplicaSets and claims whose events are asked for, each.
const MOST_SUBJECTS: usize = 4;
/// Objects of a LIST.
const MOST_OBJECTS: u32 = 500;

/// What was found out about an unhealthy object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Containers that fail, with the end of their logs.
    pub containers: Vec<ContainerReport>,
    /// The newest events of the object and of its pods, oldest first, repeated ones once.
    pub events: Vec<EventReport>,
}

/// One failing container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// The pod it is in.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// Its state in one sentence, e.g. `exits with code 1, 3 restarts`.
    pub state: String,
    /// The last lines it wrote, oldest first.
    pub last_words: Vec<String>,
}

/// One event of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReport {
    /// When it was last seen, RFC 3339.
    pub time: String,
    /// `Warning` or `Normal`.
    pub severity: String,
    /// The machine-readable reason, e.g. `BackOff`.
    pub reason: String,
    /// What it was about, e.g. `Pod/api-6c9f7-x2kqd`.
    pub regarding: String,
    /// The message, with how often it came where that was more than once.
    pub message: String,
}

/// Asks the cluster about an unhealthy object. Never fails: what cannot be read within five seconds is left out.
///
/// `object` is the object as it is in the cluster, as far as it is known; without it, its pods are found by its name.
pub async fn diagnose(client: &Client, key: &ObjectKey, object: Option<&Value>) -> Diagnosis {
    let ask = Ask { client, namespace: key.namespace.as_deref(), deadline: Instant::now() + TIME };
    let stub = json!({
        "apiVersion": if key.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", key.group) },
        "kind": key.kind, "metadata": {"name": key.name, "namespace": key.namespace},
    });
    let object = object.unwrap_or(&stub);
    let family = ask.family(key, object).await;
    // Logs and events do not wait for each other; half of the time is kept for them by `family`.
    let (containers, events) = tokio::join!(ask.containers(&family.pods), ask.events(key, object, &family));
    Diagnosis { containers, events }
}

/// The objects around the diagnosed one.
#[derive(Default)]
struct Family {
    pods: Vec<Value>,
    replica_sets: Vec<String>,
    claims: Vec<String>,
}

struct Ask<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    deadline: Instant,
}

impl Ask<'_> {
    async fn list(&self, path: &str, parameters: ListParams, deadline: Instant) -> Vec<Value> {
        let Ok(request) = Request::new(path).list(&parameters.limit(MOST_OBJECTS)) else { return Vec::new() };
        match timeout_at(deadline, self.client.request::<Value>(request)).await {
            Ok(Ok(mut list)) => match list.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// The object's pods, with its current ReplicaSet and the claims of its pods.
    async fn family(&self, key: &ObjectKey, object: &Value) -> Family {
        let Some(namespace) = self.namespace else { return Family::default() };
        let half = self.deadline - TIME / 2;
        let pods_path = format!("/api/v1/namespaces/{namespace}/pods");
        if key.group.is_empty() && key.kind == "Pod" {
            let by_name = ListParams::default().fields(&format!("metadata.name={}", key.name));
            let mut pods = self.list(&pods_path, by_name, half).await;
            if pods.is_empty() && object.get("status").is_some() {
                pods.push(object.clone());
            }
            let claims = claims_of(&pods);
            return Family { pods, claims, ..Family::default() };
        }
        if is_podless(key) {
            return Family::default();
        }
        let of_deployment = key.group == "apps" && key.kind == "Deployment";
        let (pods, sets) = tokio::join!(self.list(&pods_path, selector(object), half), async {
            if of_deployment {
                let path = format!("/apis/apps/v1/namespaces/{namespace}/replicasets");
                self.list(&path, selector(object), half).await
            } else {
                Vec::new()
            }
        });
        let all: Vec<&Value> = pods.iter().collect();
        let all_sets: Vec<&Value> = sets.iter().collect();
        let own: Vec<Value> = pods_of(object, &all, &all_sets).into_iter().cloned().collect();
        let mut replica_sets: Vec<(i64, String)> = sets
            .iter()
            .filter(|set| super::status::is_owned_by(set, object))
            .map(|set| {
                let revision = text(set, "/metadata/annotations/deployment.kubernetes.io~1revision");
                (revision.parse().unwrap_or_default(), text(set, "/metadata/name").to_owned())
            })
            .collect();
        replica_sets.sort_unstable();
        let replica_sets = replica_sets.pop().map(|(_, name)| name).into_iter().collect();
        let claims = claims_of(&own);
        Family { pods: own, replica_sets, claims }
    }

    /// The failing containers of the pods, each name once, with their last words.
    async fn containers(&self, pods: &[Value]) -> Vec<ContainerReport> {
        let mut found: Vec<(&Value, ContainerReport)> = Vec::new();
        let mut seen = BTreeSet::new();
        let failing = pods
            .iter()
            .flat_map(|pod| troubles(pod).into_iter().map(move |trouble| (pod, trouble.container, trouble.what)));
        let waiting = pods.iter().flat_map(|pod| {
            running_unready(pod).into_iter().map(move |name| (pod, name, "is running but not ready".to_owned()))
        });
        for (pod, container, state) in failing.chain(waiting) {
            if found.len() < MOST_CONTAINERS && seen.insert(container.clone()) {
                let pod_name = text(pod, "/metadata/name").to_owned();
                found.push((pod, ContainerReport { pod: pod_name, container, state, last_words: Vec::new() }));
            }
        }
        join_all(found.into_iter().map(|(pod, report)| async {
            let last_words = self.last_words(pod, &report.container).await;
            ContainerReport { last_words, ..report }
        }))
        .await
    }

    /// The end of a container's log: of the run that failed, which is the previous one once it has been restarted.
    async fn last_words(&self, pod: &Value, container: &str) -> Vec<String> {
        let status = ["/status/containerStatuses", "/status/initContainerStatuses"]
            .iter()
            .filter_map(|list| pod.pointer(list).and_then(Value::as_array))
            .flatten()
            .find(|status| text(status, "/name") == container);
        let Some(status) = status else { return Vec::new() };
        let has = |state: &str| status.pointer(state).is_some_and(Value::is_object);
        let (ended, before) = (has("/state/terminated"), has("/lastState/terminated"));
        // A container that never ran has no log; asking for it only costs time.
        let runs: &[bool] = match (ended, before, has("/state/running")) {
            (true, true, _) => &[false, true],
            (true, false, _) | (false, false, true) => &[false],
            (false, true, _) => &[true, false],
            (false, false, false) => return Vec::new(),
        };
        for previous in runs {
            let lines = self.log(text(pod, "/metadata/name"), container, *previous).await;
            if !lines.is_empty() {
                return lines;
            }
        }
        Vec::new()
    }

    async fn log(&self, pod: &str, container: &str, previous: bool) -> Vec<String> {
        let parameters = LogParams {
            container: Some(container.to_owned()),
            previous,
            tail_lines: i64::try_from(LOG_LINES).ok(),
            limit_bytes: i64::try_from(LOG_BYTES).ok(),
            ..LogParams::default()
        };
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace.unwrap_or_default());
        let Ok(request) = Request::new(path).logs(pod, &parameters) else { return Vec::new() };
        match timeout_at(self.deadline, self.client.request_text(request)).await {
            Ok(Ok(log)) => log_lines(&log),
            _ => Vec::new(),
        }
    }

    /// Events of the object, its pods, its ReplicaSet and its claims; not those of an earlier one of the same name.
    async fn events(&self, key: &ObjectKey, object: &Value, family: &Family) -> Vec<EventReport> {
        let mut subjects = vec![(key.kind.as_str(), key.name.as_str())];
        // Pods that are not fine come first; a healthy one has nothing to add.
        let mut pods: Vec<&Value> = family.pods.iter().collect();
        pods.sort_by_key(|pod| troubles(pod).is_empty());
        subjects.extend(pods.iter().take(MOST_SUBJECTS).map(|pod| ("Pod", text(pod, "/metadata/name"))));
        subjects.extend(family.replica_sets.iter().take(MOST_SUBJECTS).map(|name| ("ReplicaSet", name.as_str())));
        subjects.extend(family.claims.iter().take(MOST_SUBJECTS).map(|name| ("PersistentVolumeClaim", name.as_str())));
        subjects.sort_unstable();
        subjects.dedup();
        // Events of cluster-scoped objects are kept in `default`.
        let path = format!("/api/v1/namespaces/{}/events", self.namespace.unwrap_or("default"));
        let lists = subjects.into_iter().map(|(kind, name)| {
            let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
            self.list(&path, ListParams::default().fields(&fields), self.deadline)
        });
        let mut events = join_all(lists).await.concat();
        let uid = text(object, "/metadata/uid");
        events.retain(|event| uid.is_empty() || !is_of_another(event, key, uid));
        merge_events(events)
    }
}

/// Whether an event is about an object of this kind and name that is not the one with this UID.
fn is_of_another(event: &Value, key: &ObjectKey, uid: &str) -> bool {
    let of = |field: &str| text(event, &format!("/involvedObject/{field}"));
    of("kind") == key.kind && of("name") == key.name && !of("uid").is_empty() && of("uid") != uid
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Kinds of which it is known that they have no pods, so that no LIST is wasted.
fn is_podless(key: &ObjectKey) -> bool {
    match key.group.as_str() {
        "" => key.kind != "ReplicationController",
        "apps" | "batch" => false,
        group => group.ends_with(".k8s.io") || matches!(group, "autoscaling" | "policy"),
    }
}

/// Narrows a LIST of pods by the workload's `matchLabels`; the owner decides in the end.
fn selector(object: &Value) -> ListParams {
    let labels = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| value.as_str().map(|value| format!("{name}={value}")))
        .collect();
    if labels.is_empty() { ListParams::default() } else { ListParams::default().labels(&labels.join(",")) }
}

/// The claims of pods that are not running.
fn claims_of(pods: &[Value]) -> Vec<String> {
    let waiting = pods.iter().filter(|pod| text(pod, "/status/phase") != "Running");
    let claims: BTreeSet<String> = waiting
        .filter_map(|pod| pod.pointer("/spec/volumes").and_then(Value::as_array))
        .flatten()
        .map(|volume| text(volume, "/persistentVolumeClaim/claimName").to_owned())
        .filter(|claim| !claim.is_empty())
        .collect();
    claims.into_iter().collect()
}

/// The last lines of a log, without escape sequences and control characters. A line is never cut: half a secret could
/// not be recognised as one any more.
fn log_lines(log: &str) -> Vec<String> {
    let whole = if log.len() >= LOG_BYTES { log.rsplit_once('\n').map_or("", |(whole, _)| whole) } else { log };
    let lines: Vec<String> = whole.lines().map(clean).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].to_vec()
}

fn clean(line: &str) -> String {
    // What a progress bar has overwritten is not worth a line.
    let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let line = anstream::adapter::strip_str(line).to_string();
    let shown = line.chars().map(|c| if c == '\t' { ' ' } else { c });
    let hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    shown.filter(|c| !hidden(*c)).collect::<String>().trim_end().to_owned()
}

/// Events as reports: repeated ones once, warnings before others where there are too many, oldest first.
fn merge_events(events: Vec<Value>) -> Vec<EventReport> {
    let mut merged: BTreeMap<(String, String, String), (EventReport, i64)> = BTreeMap::new();
    for event in &events {
        let time = [
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/eventTime",
            "/firstTimestamp",
            "/metadata/creationTimestamp",
        ]
        .iter()
        .map(|field| text(event, field))
        .find(|time| !time.is_empty())
        .unwrap_or_default();
        let number = |field: &str| event.pointer(field).and_then(Value::as_i64);
        let count = number("/series/count").or(number("/count")).unwrap_or(1).max(1);
        let (kind, name) = (text(event, "/involvedObject/kind"), text(event, "/involvedObject/name"));
        let report = EventReport {
            time: time.to_owned(),
            severity: if text(event, "/type") == "Warning" { "Warning" } else { "Normal" }.to_owned(),
            reason: clean(text(event, "/reason")),
            regarding: clean(&format!("{kind}/{name}")),
            message: text(event, "/message").lines().map(clean).collect::<Vec<_>>().join(" ").trim().to_owned(),
        };
        let identity = (report.regarding.clone(), report.reason.clone(), report.message.clone());
        match merged.get_mut(&identity) {
            Some((known, times)) => {
                *times += count;
                if known.time < report.time {
                    known.time = report.time;
                }
            }
            None => {
                merged.insert(identity, (report, count));
            }
        }
    }
    let mut reports: Vec<EventReport> = merged
        .into_values()
        .map(|(mut report, count)| {
            if count > 1 {
                report.message = format!("{}, {count} times", report.message.trim_end_matches('.'));
            }
            report
        })
        .collect();
    reports.sort_by(|a, b| (b.severity == "Warning", &b.time).cmp(&(a.severity == "Warning", &a.time)));
    reports.truncate(MOST_EVENTS);
    reports.sort_by(|a, b| (&a.time, &a.regarding).cmp(&(&b.time, &b.regarding)));
    reports
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    #[test]
    fn events_of_an_earlier_one_of_the_same_name_are_not_its_own() {
        let key = ObjectKey {
            group: "batch".into(),
            kind: "Job".into(),
            namespace: Some("shop".into()),
            name: "migrate".into(),
        };
        let event =
            |kind: &str, name: &str, uid: &str| json!({"involvedObject": {"kind": kind, "name": name, "uid": uid}});
        assert!(is_of_another(&event("Job", "migrate", "old"), &key, "new"));
        assert!(!is_of_another(&event("Job", "migrate", "new"), &key, "new"));
        assert!(!is_of_another(&event("Job", "migrate", ""), &key, "new"), "an event need not say the UID");
        assert!(!is_of_another(&event("Pod", "migrate", "old"), &key, "new"));
    }

    /// A cluster that answers paths (with their decoded query) that contain a text; everything else is not found.
    fn cluster(answers: Vec<(&'static str, String)>) -> (Client, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let uri = request.uri().to_string().replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
            log.lock().unwrap().push(uri.clone());
            let answer = answers.iter().find(|(path, _)| uri.contains(path)).map(|(_, body)| body.clone());
            async move {
                if answer.as_deref() == Some("hang") {
                    std::future::pending::<()>().await;
                }
                let (code, body) = answer.map_or_else(
                    || {
                        (
                            404,
                            json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})
                                .to_string(),
                        )
                    },
                    |body| (200, body),
                );
                Ok::<_, Infallible>(Response::builder().status(code).body(Body::from(body.into_bytes())).unwrap())
            }
        });
        (Client::new(service, "default"), asked)
    }

    fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
        ObjectKey { group: group.into(), kind: kind.into(), namespace: Some("a".into()), name: name.into() }
    }

    fn pod(name: &str, owner: &str, status: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a",
            "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "uid": format!("uid-{owner}"), "controller": true}]},
            "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}, "status": status})
    }

    fn list(items: &[Value]) -> String {
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).to_string()
    }

    fn event(kind: &str, name: &str, severity: &str, time: &str, reason: &str, message: &str) -> Value {
        json!({"type": severity, "lastTimestamp": time, "reason": reason, "message": message, "count": 2,
            "involvedObject": {"kind": kind, "name": name}})
    }

    fn deployment() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "a", "uid": "uid-api",
            "annotations": {"deployment.kubernetes.io/revision": "2"}},
            "spec": {"selector": {"matchLabels": {"app": "api"}}}})
    }

    fn sets() -> String {
        let set = |name: &str, revision: &str| {
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": "a",
                "uid": format!("uid-{name}"), "annotations": {"deployment.kubernetes.io/revision": revision},
                "ownerReferences": [{"kind": "Deployment", "name": "api", "uid": "uid-api", "controller": true}]}})
        };
        list(&[set("api-1", "1"), set("api-2", "2")])
    }

    fn crashing() -> Value {
        json!({"phase": "Running", "containerStatuses": [{"name": "api", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}]})
    }

    #[tokio::test]
    async fn the_last_words_of_the_failing_container_and_the_events_around_it() {
        let (client, asked) = cluster(vec![
            (
                "previous=true",
                (1..=30).fold(String::new(), |text, n| format!("{text}line {n}\n"))
                    + "\u{1b}[31mFATAL\u{1b}[0m: no\tdatabase\r\n\n",
            ),
            (
                "/namespaces/a/pods?&labelSelector=app=api",
                list(&[pod("api-1-old", "api-1", crashing()), pod("api-2-x", "api-2", crashing())]),
            ),
            ("/replicasets", sets()),
            (
                "involvedObject.name=api-2-x",
                list(&[event(
                    "Pod",
                    "api-2-x",
                    "Warning",
                    "2026-01-01T00:00:03Z",
                    "BackOff",
                    "Back-off restarting failed container.",
                )]),
            ),
            (
                "involvedObject.name=api-2&",
                list(&[event(
                    "ReplicaSet",
                    "api-2",
                    "Normal",
                    "2026-01-01T00:00:01Z",
                    "SuccessfulCreate",
                    "Created pod: api-2-x",
                )]),
            ),
            ("involvedObject.name=api&", list(&[])),
        ]);
        let found = diagnose(&client, &key("apps", "Deployment", "api"), Some(&deployment())).await;
        let asked = asked.lock().unwrap();
        assert_eq!(found.containers.len(), 1, "{asked:#?}");
        let container = &found.containers[0];
        assert_eq!((container.pod.as_str(), container.container.as_str()), ("api-2-x", "api"));
        assert_eq!(container.state, "exits with code 1, 3 restarts");
        assert_eq!(container.last_words.len(), LOG_LINES);
        assert_eq!(container.last_words.last().unwrap(), "FATAL: no database");
        let events: Vec<String> =
            found.events.iter().map(|it| format!("{} {} {}", it.regarding, it.reason, it.message)).collect();
        assert_eq!(
            events,
            [
                "ReplicaSet/api-2 SuccessfulCreate Created pod: api-2-x, 2 times",
                "Pod/api-2-x BackOff Back-off restarting failed container, 2 times",
            ]
        );
        assert!(!asked.iter().any(|uri| uri.contains("api-1-old")), "{asked:#?}");
    }

    #[tokio::test]
    async fn without_a_previous_run_the_current_log_is_shown() {
        let status = json!({"phase": "Running", "containerStatuses": [{"name": "api", "restartCount": 1,
            "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}]});
        let (client, _) = cluster(vec![
            ("previous=true", String::new()),
            ("/log?&container=api", "now\n".into()),
            ("fieldSelector=metadata.name=api-2-x", list(&[pod("api-2-x", "api-2", status)])),
        ]);
        let found = diagnose(&client, &key("", "Pod", "api-2-x"), None).await;
        assert_eq!(found.containers[0].last_words, ["now"]);
    }

    #[tokio::test]
    async fn a_container_that_never_ran_is_not_asked_for_a_log_but_the_claim_it_waits_for_is() {
        let status = json!({"phase": "Pending", "initContainerStatuses": [{"name": "wait", "image": "nope:1",
            "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]});
        let (client, asked) = cluster(vec![
            ("/namespaces/a/pods?", list(&[pod("api-2-x", "api-2", status)])),
            ("/replicasets", sets()),
            (
                "involvedObject.kind=PersistentVolumeClaim,involvedObject.name=data",
                list(&[event(
                    "PersistentVolumeClaim",
                    "data",
                    "Warning",
                    "2026-01-01T00:00:00Z",
                    "ProvisioningFailed",
                    "no space",
                )]),
            ),
        ]);
        let found = diagnose(&client, &key("apps", "Deployment", "api"), Some(&deployment())).await;
        assert_eq!(found.containers[0].state, "cannot pull image nope:1: not found");
        assert!(found.containers[0].last_words.is_empty());
        assert!(found.events[0].message.starts_with("no space"));
        assert!(!asked.lock().unwrap().iter().any(|uri| uri.contains("/log")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_does_not_answer_costs_five_seconds_and_no_more() {
        let (client, _) = cluster(vec![("/pods", "hang".into()), ("/events", "hang".into()), ("/replicasets", sets())]);
        let begun = Instant::now();
        let found = diagnose(&client, &key("apps", "Deployment", "api"), Some(&deployment())).await;
        assert_eq!(found, Diagnosis::default());
        assert!(begun.elapsed() <= TIME + Duration::from_millis(10), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_cluster_that_allows_nothing_is_no_error() {
        let (client, _) = cluster(Vec::new());
        assert_eq!(diagnose(&client, &key("apps", "StatefulSet", "db"), None).await, Diagnosis::default());
        let cluster_scoped = ObjectKey { namespace: None, ..key("", "Namespace", "a") };
        assert_eq!(diagnose(&client, &cluster_scoped, None).await, Diagnosis::default());
    }

    #[test]
    fn repeated_events_come_once_and_warnings_are_never_pushed_out() {
        let mut events: Vec<Value> = (0..20)
            .map(|n| event("Pod", "p", "Normal", &format!("2026-01-02T00:00:{n:02}Z"), "Pulled", &format!("image {n}")))
            .collect();
        events.push(event("Pod", "p", "Warning", "2026-01-01T00:00:00Z", "FailedMount", "secret \"x\" not found"));
        events.push(event("Pod", "p", "Warning", "2026-01-01T00:01:00Z", "FailedMount", "secret \"x\" not found"));
        let reports = merge_events(events);
        assert_eq!(reports.len(), MOST_EVENTS);
        assert_eq!(reports[0].message, "secret \"x\" not found, 4 times");
        assert_eq!(reports[0].time, "2026-01-01T00:01:00Z");
        assert_eq!(reports.last().unwrap().message, "image 19, 2 times");
        assert_eq!(merge_events(vec![json!(5), json!({"message": 7})]).len(), 1);
    }

    #[test]
    fn a_log_that_was_cut_off_loses_its_last_line() {
        let long = "x".repeat(LOG_BYTES);
        assert!(log_lines(&long).is_empty());
        assert_eq!(log_lines(&format!("whole\n{long}")), ["whole"]);
        assert_eq!(log_lines("10 %\r50 %\r100 %\n"), ["100 %"]);
        assert!(log_lines("").is_empty());
    }
}
