#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server that knows one Lease, and nothing else than what a connection asks for.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    /// Leases cannot be made before it is there.
    namespace: bool,
    /// UID of `kube-system`.
    uid: &'static str,
    /// Requests are not answered.
    hangs: bool,
    /// The next write takes effect and its answer is lost.
    loses_answer: bool,
    /// Every second request to read the Lease fails.
    stutters: bool,
    /// Requests to read the Lease.
    reads: usize,
    /// Writes of the Lease.
    writes: usize,
}

type Shared = Arc<Mutex<Server>>;

impl Server {
    fn put(&mut self, mut lease: Value) -> (StatusCode, Value) {
        self.writes += 1;
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        (StatusCode::OK, lease)
    }

    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let failure = |code: u16| {
            (
                StatusCode::from_u16(code).unwrap(),
                json!({"kind": "Status", "code": code, "reason": if code == 404 { "NotFound" } else { "Conflict" },
                    "message": "no", "metadata": {}}),
            )
        };
        let body = || serde_json::from_slice::<Value>(body).unwrap();
        self.reads += usize::from(method == "GET" && path.ends_with("/leases/lock-test"));
        match (method, path) {
            (_, "/version") => (
                StatusCode::OK,
                json!({"major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "", "gitTreeState": "",
                    "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            ),
            (_, "/api" | "/apis") => {
                let core = json!({"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": []}]});
                let items = if path == "/api" { json!([core]) } else { json!([]) };
                let kind = "APIGroupDiscoveryList";
                (StatusCode::OK, json!({"kind": kind, "apiVersion": "apidiscovery.k8s.io/v2", "items": items}))
            }
            ("GET", "/api/v1/namespaces/kube-system") => {
                (StatusCode::OK, json!({"metadata": {"name": "kube-system", "uid": self.uid}}))
            }
            ("PATCH", "/api/v1/namespaces/rekindle-system") => {
                self.namespace = true;
                (StatusCode::OK, body())
            }
            ("POST", _) if !self.namespace => failure(404),
            ("POST", _) if self.lease.is_some() => failure(409),
            ("POST", _) => self.put(body()),
            ("PUT", _) => match &self.lease {
                None => failure(404),
                Some(lease) if lease["metadata"]["resourceVersion"] != body()["metadata"]["resourceVersion"] => {
                    failure(409)
                }
                Some(_) => self.put(body()),
            },
            ("GET", path) if path.ends_with("/leases/lock-test") => match &self.lease {
                _ if self.stutters && self.reads.is_multiple_of(2) => failure(500),
                Some(lease) => (StatusCode::OK, lease.clone()),
                None => failure(404),
            },
            _ => failure(404),
        }
    }
}

async fn cluster(server: &Shared) -> Cluster {
    let server = server.clone();
    let client = Client::new(
        tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                tokio::time::sleep(Duration::from_millis(5)).await;
                if server.lock().unwrap().hangs {
                    std::future::pending::<()>().await;
                }
                let (lost, (status, value)) = {
                    let mut server = server.lock().unwrap();
                    let writes = parts.method == "PUT" || parts.method == "POST";
                    let lost = writes && std::mem::take(&mut server.loses_answer);
                    (lost, server.answer(parts.method.as_str(), parts.uri.path(), &body))
                };
                if lost {
                    return Err(std::io::Error::other("connection reset by peer"));
                }
                let mut response = Response::new(Body::from(value.to_string().into_bytes()));
                *response.status_mut() = status;
                Ok(response)
            }
        }),
        "default",
    );
    Cluster::with_client(client, "test".into(), "https://test".into()).await.unwrap()
}

fn server() -> Shared {
    Arc::new(Mutex::new(Server { uid: "cluster-uid", ..Server::default() }))
}

fn claim(run: &str, host: &str) -> Claim {
    let process = Process { pid: 7, started: 99, uid: 0, boot: host.into(), pid_namespace: "n".into() };
    let holder = Holder::new("me".into(), host.into(), run.into(), process);
    Claim { holder, now: "2026-03-02T15:00:00Z".parse().unwrap(), probe: |_| Some(99), breaking: None }
}

async fn take(server: &Shared, claim: Claim) -> Result<Lock, LockError> {
    Lock::take(&cluster(server).await, "test", claim, |_, _| {}).await
}

fn field(server: &Shared, pointer: &str) -> Value {
    server.lock().unwrap().lease.as_ref().and_then(|lease| lease.pointer(pointer)).cloned().unwrap_or_default()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_made_renewed_tells_its_phase_and_is_given_back() {
    let server = server();
    let lock = take(&server, claim("one", "a")).await.unwrap();
    assert_eq!(field(&server, "/spec/holderIdentity"), "me@a run one");
    assert_eq!(field(&server, "/spec/leaseDurationSeconds"), 15);
    let first = field(&server, "/spec/renewTime");
    seconds(5).await;
    assert_ne!(field(&server, "/spec/renewTime"), first);
    assert_eq!(field(&server, "/spec/acquireTime"), first);
    lock.phase("services");
    seconds(2).await;
    assert_eq!(field(&server, "/metadata/annotations/rekindle.dev~1phase"), "services");
    seconds(60).await;
    assert_eq!(*lock.lost().borrow(), None);
    lock.release().await;
    assert_eq!(field(&server, "/spec/holderIdentity"), Value::Null);
    let next = take(&server, claim("two", "b")).await.unwrap();
    assert_eq!((next.overruled.as_deref(), field(&server, "/spec/leaseTransitions")), (None, json!(1)));
}

#[tokio::test(start_paused = true)]
async fn phases_that_are_over_at_once_cost_no_write() {
    let server = server();
    let lock = take(&server, claim("one", "a")).await.unwrap();
    for phase in ["storage", "database", "services"] {
        lock.phase(phase);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lock.release().await;
    assert_eq!(server.lock().unwrap().writes, 2, "taken and given back");
}

#[tokio::test(start_paused = true)]
async fn a_live_holder_is_left_alone_and_known_within_its_next_renewal() {
    let server = server();
    let lock = take(&server, claim("one", "a")).await.unwrap();
    let began = Instant::now();
    let Err(LockError::Held(holder)) = take(&server, claim("two", "b")).await else { panic!("it was taken") };
    assert_eq!(holder.to_string(), "run one of me@a");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    seconds(30).await;
    assert_eq!(*lock.lost().borrow(), None);
    // On the same machine the process is seen.
    let began = Instant::now();
    assert!(matches!(take(&server, claim("two", "a")).await, Err(LockError::Held(_))));
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_taken_over_after_its_time_and_not_before() {
    let server = server();
    drop(take(&server, claim("one", "a")).await.unwrap());
    let began = Instant::now();
    let lock = take(&server, claim("two", "b")).await.unwrap();
    assert!(lock.overruled.as_ref().unwrap().contains("run one of me@a"), "{:?}", lock.overruled);
    let took = began.elapsed();
    assert!(took >= DURATION && took < DURATION + Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_fails_does_not_end_the_waiting_for_a_dead_holder() {
    let server = server();
    drop(take(&server, claim("one", "a")).await.unwrap());
    server.lock().unwrap().stutters = true;
    let lock = take(&server, claim("two", "b")).await.unwrap();
    assert!(lock.overruled.as_ref().unwrap().contains("run one of me@a"), "{:?}", lock.overruled);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_begin_at_the_same_moment_one_wins() {
    let server = server();
    let (one, two) = tokio::join!(take(&server, claim("one", "a")), take(&server, claim("two", "b")));
    let refused = [&one, &two].iter().filter(|taken| matches!(taken, Err(LockError::Held(_)))).count();
    assert_eq!(refused, 1, "{one:?} {two:?}");
    let winner = one.or(two).unwrap();
    seconds(30).await;
    assert_eq!(*winner.lost().borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_over_at_the_same_moment_one_wins() {
    let server = server();
    drop(take(&server, claim("one", "a")).await.unwrap());
    let (two, three) = tokio::join!(take(&server, claim("two", "b")), take(&server, claim("three", "c")));
    assert_eq!([two.is_ok(), three.is_ok()].iter().filter(|won| **won).count(), 1);
    seconds(60).await;
    let winner = two.or(three).unwrap();
    assert_eq!(*winner.lost().borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_renew_gives_up_before_another_may_take_over() {
    let server = server();
    let lock = take(&server, claim("one", "a")).await.unwrap();
    seconds(6).await;
    server.lock().unwrap().hangs = true;
    let mut lost = lock.lost();
    // The last renewal was 2 s ago; a watcher that saw it then would wait 15 s from there.
    let began = Instant::now();
    lost.changed().await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(matches!(*lost.borrow(), Some(Lost::NotRenewed(_))), "{:?}", *lost.borrow());
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_in_time_does_no_harm() {
    let server = server();
    let lock = take(&server, claim("one", "a")).await.unwrap();
    for _ in 0..5 {
        server.lock().unwrap().hangs = true;
        seconds(4).await;
        server.lock().unwrap().hangs = false;
        seconds(5).await;
        server.lock().unwrap().loses_answer = true;
        seconds(5).await;
    }
    assert_eq!(*lock.lost().borrow(), None);
}

#[tokio::test(start_paused = true)]
async fn a_broken_lock_is_lost_to_the_one_that_was_named_and_no_other() {
    let server = server();
    let lock = take(&server, claim("one", "a")).await.unwrap();
    let other = Claim { breaking: Some("me@z run other".into()), ..claim("two", "b") };
    assert!(matches!(take(&server, other).await, Err(LockError::Held(_))));
    let breaking = Claim { breaking: Some("me@a run one".into()), ..claim("two", "b") };
    let lost = lock.lost();
    let winner = take(&server, breaking).await.unwrap();
    assert!(lost.borrow().is_some(), "the broken one knows before the other begins");
    assert_eq!(winner.overruled.as_deref(), Some("the lock was broken; it was held by run one of me@a"));
    assert_eq!(lost.borrow().as_ref().unwrap().to_string(), "the lock was taken by run two of me@b");
    lock.release().await;
    assert_eq!(field(&server, "/spec/holderIdentity"), "me@b run two", "what was lost is not given back");
}

#[tokio::test(start_paused = true)]
async fn who_breaks_a_lock_waits_no_longer_than_the_other_may_write() {
    let server = server();
    let _one = take(&server, claim("one", "a")).await.unwrap();
    let breaking = |run: &str, host: &str, of: &str| Claim { breaking: Some(of.into()), ..claim(run, host) };
    let began = Instant::now();
    let two = take(&server, breaking("two", "b", "me@a run one")).await.unwrap();
    let took = began.elapsed();
    assert!(took >= NOTICE && took < NOTICE + Duration::from_secs(1), "{took:?}");
    seconds(5).await;
    // It lives when it is looked for, and is gone right after.
    static LOOKS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let began = Instant::now();
    let probe = |_| (LOOKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0).then_some(99);
    let _three = take(&server, Claim { probe, ..breaking("three", "b", "me@b run two") }).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_from_one_that_has_just_broken_a_lock_waits_too() {
    let server = server();
    let _one = take(&server, claim("one", "a")).await.unwrap();
    let breaking = Claim { breaking: Some("me@a run one".into()), ..claim("two", "b") };
    // Its answer is lost, so that it never waits.
    server.lock().unwrap().loses_answer = true;
    assert!(take(&server, breaking).await.is_err());
    assert_eq!(field(&server, "/spec/holderIdentity"), "me@b run two");
    let began = Instant::now();
    let two = take(&server, claim("two", "b")).await.unwrap();
    assert!(began.elapsed() >= NOTICE, "{:?}", began.elapsed());
    two.release().await;
    let began = Instant::now();
    take(&server, claim("three", "c")).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "what was given back is settled");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_removed_is_lost_and_so_is_one_in_another_cluster() {
    let server = server();
    let lock = take(&server, claim("one", "a")).await.unwrap();
    server.lock().unwrap().lease = None;
    let mut lost = lock.lost();
    lost.changed().await.unwrap();
    assert_eq!(*lost.borrow(), Some(Lost::Removed));

    let lock = take(&server, claim("two", "a")).await.unwrap();
    let writes = server.lock().unwrap().writes;
    server.lock().unwrap().uid = "another";
    let mut lost = lock.lost();
    lost.changed().await.unwrap();
    assert!(matches!(*lost.borrow(), Some(Lost::OtherCluster { .. })));
    assert_eq!(server.lock().unwrap().writes, writes, "nothing was written to it");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_first_write_is_found_to_be_ours() {
    let server = server();
    server.lock().unwrap().loses_answer = true;
    let first = take(&server, claim("one", "a")).await;
    assert!(first.is_err(), "the namespace was missing, so nothing was written");
    server.lock().unwrap().namespace = true;
    server.lock().unwrap().loses_answer = true;
    assert!(take(&server, claim("one", "a")).await.is_err());
    assert_eq!(field(&server, "/spec/holderIdentity"), "me@a run one");
    take(&server, claim("one", "a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_taken_unheard_is_given_back() {
    let server = server();
    drop(take(&server, claim("one", "a")).await.unwrap());
    let cluster = cluster(&server).await;
    Lock::give_back(&cluster, "test", &claim("two", "a").holder).await;
    assert_eq!(field(&server, "/spec/holderIdentity"), "me@a run one");
    Lock::give_back(&cluster, "test", &claim("one", "a").holder).await;
    assert_eq!(field(&server, "/spec/holderIdentity"), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_broken_lock_that_is_given_back_at_once_is_still_waited_for() {
    let server = server();
    let _one = take(&server, claim("one", "a")).await.unwrap();
    let breaking = Claim { breaking: Some("me@a run one".into()), ..claim("two", "b") };
    // Ctrl-C while it waits for the other to notice.
    let taking = tokio::time::timeout(Duration::from_secs(2), take(&server, breaking)).await;
    assert!(taking.is_err());
    Lock::give_back(&cluster(&server).await, "test", &claim("two", "b").holder).await;
    assert_eq!(field(&server, "/spec/holderIdentity"), Value::Null);
    let began = Instant::now();
    take(&server, claim("three", "c")).await.unwrap().release().await;
    assert!(began.elapsed() >= NOTICE, "{:?}", began.elapsed());
    let began = Instant::now();
    take(&server, claim("four", "c")).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "it was waited for");
}
