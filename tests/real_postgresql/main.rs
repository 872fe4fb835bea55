//! PostgreSQL gates against a real server on loopback. Needs PostgreSQL's own programs on the machine.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rekindle::cluster::forward::{Peer, Port, Reach, ReachError, Reached};
use rekindle::health::gate::{self, Answer, Asker, Gate};
use rekindle::manifest::Origin;
use rekindle::secrets::redact::Redactor;
use serde_json::{Value, json};

const PASSWORD: &str = "correct-horse-battery";

/// `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// A server of its own in a temporary folder, ended with the test.
struct Server {
    folder: tempfile::TempDir,
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        for path in [folder.path(), &password] {
            if is_root() {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let made = program("initdb", folder.path())
            .args(["--auth=scram-sha-256", "--username=acoustid", "--locale=C", "--encoding=UTF8", "--no-sync"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display()))
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = program("postgres", folder.path())
            .args(["-F", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .arg(format!("-cport={port}"))
            .arg("-D")
            .arg(&data)
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        Self { folder, process, port }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// One of PostgreSQL's programs, from where Debian puts them or from `PATH`.
fn program(name: &str, folder: &Path) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).find(|path| path.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| PathBuf::from(name)));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC").current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

struct Loopback(u16);

impl Reach for Loopback {
    fn reach<'a>(&'a self, _: &'a str, service: &'a str, _: &'a Port) -> BoxFuture<'a, Result<Reached, ReachError>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.0)).await;
            let stream = stream.map_err(|_| ReachError::NotReady { service: service.to_owned(), waiting: 1 })?;
            Ok(Reached { stream: Box::new(stream), peer: Peer::new("pod db-0"), settle: Duration::ZERO })
        })
    }
}

/// An API server that holds a Secret with this password.
fn cluster(password: &str) -> kube::Client {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let secret =
        json!({"metadata": {"name": "db"}, "data": {"username": encode("acoustid"), "password": encode(password)}});
    let service = tower::service_fn(move |_: http::Request<kube::client::Body>| {
        let body = kube::client::Body::from(secret.to_string().into_bytes());
        async move { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
    });
    kube::Client::new(service, "default")
}

fn gate(mut postgres: Value, timeout: &str) -> Gate {
    postgres["service"] = "db".into();
    postgres["credentials"] = json!({"secret": "db"});
    let spec = json!({"timeout": timeout, "postgres": postgres});
    let body = json!({"apiVersion": "rekindle.dev/v1", "kind": "Gate", "metadata": {"name": "it"}, "spec": spec});
    Gate::parse(&body, &Origin::default(), "acoustid").unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

#[tokio::test]
#[ignore = "needs PostgreSQL's programs"]
async fn a_real_server_answers() {
    let server = Server::start();
    let asker = Asker::with_reach(cluster(PASSWORD), Redactor::default(), Arc::new(Loopback(server.port)));
    let ready = gate(json!({"database": "postgres", "query": "select not pg_is_in_recovery()", "expect": "t"}), "30s");
    assert_eq!(gate::wait(&asker, &ready, Duration::from_secs(1), |_| ()).await, Ok(Answer::passed("answered t")));

    let ask = async |postgres: Value, timeout: &str| asker.ask(&gate(postgres, timeout)).await;
    for (postgres, answer) in [
        (
            json!({"database": "postgres", "query": "select pg_is_in_recovery()", "expect": "t"}),
            Answer::waiting("answered f, wanted t"),
        ),
        (
            json!({"database": "postgres", "query": "select count(*) from pg_class where false", "expect": 0}),
            Answer::passed("answered 0"),
        ),
        (json!({"database": "postgres", "query": "select 1 where false"}), Answer::waiting("answered no row")),
        (json!({"database": "postgres", "query": "select"}), Answer::passed("answered NULL")),
        (
            json!({"database": "postgres", "query": "select 'a', 'b'; select 'c'", "expect": "a"}),
            Answer::passed("answered a"),
        ),
        (
            json!({"database": "postgres", "query": "select nothing"}),
            Answer::waiting("column \"nothing\" does not exist (SQLSTATE 42703)"),
        ),
        // Without a database, PostgreSQL takes the one that is named like the user.
        (json!({"query": "select 1"}), Answer::waiting("database \"acoustid\" does not exist (SQLSTATE 3D000)")),
        (
            json!({"database": "postgres", "query": format!("select '{PASSWORD}'"), "expect": "x"}),
            Answer::waiting("answered •••, wanted x"),
        ),
    ] {
        assert_eq!(ask(postgres.clone(), "10s").await, answer, "{postgres}");
    }
    assert!(!server.log().contains("unexpected EOF"), "{}", server.log());

    let slow = ask(json!({"database": "postgres", "query": "select pg_sleep(60)"}), "500ms").await;
    assert_eq!(slow, Answer::waiting("no answer within 0.5 s"));
    let many =
        ask(json!({"database": "postgres", "query": "select generate_series(1, 100000000)", "expect": 1}), "10s").await;
    assert_eq!(many, Answer::passed("answered 1"));
}

#[tokio::test]
#[ignore = "needs PostgreSQL's programs"]
async fn a_wrong_password_is_not_told() {
    let server = Server::start();
    let wrong = Asker::with_reach(cluster("another-password"), Redactor::default(), Arc::new(Loopback(server.port)));
    let refused = "password authentication failed for user \"acoustid\" (SQLSTATE 28P01)";
    let question = gate(json!({"database": "postgres", "query": "select 1"}), "10s");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = wrong.ask(&question).await;
        assert!(!answer.passed && !answer.text.contains("another-password"), "{answer:?}");
        if answer.text == refused {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
