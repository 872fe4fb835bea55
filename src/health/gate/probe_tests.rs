//! Gates asked for real, over loopback connections; the API server is one of fixed answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::{Answer, Asker, Gate};
use crate::cluster::forward::{Peer, PodReport, Port, Reach, ReachError, Reached};
use crate::cluster::mock::server;
use crate::manifest::Origin;
use crate::secrets::redact::Redactor;

const PASSWORD: &str = "hunter2-correct-horse";

/// Reaches one loopback address, whatever Service is asked for.
struct Loopback(SocketAddr);

impl Reach for Loopback {
    fn reach<'a>(&'a self, _: &'a str, service: &'a str, _: &'a Port) -> BoxFuture<'a, Result<Reached, ReachError>> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.0).await;
            let stream = stream.map_err(|_| ReachError::NotReady { service: service.to_owned(), waiting: 2 })?;
            Ok(Reached { stream: Box::new(stream), peer: Peer::new("pod it-0"), settle: Duration::ZERO })
        })
    }
}

/// A port that nobody listens on, behind a forwarded stream: the node's report is there before anything was asked, once, and
/// then the stream has ended.
struct Reported;

struct ReportedStream(Peer);

const REPORT: &str = "connection refused by pod it-0, port 9999";

impl AsyncRead for ReportedStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.report().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.0.reported(REPORT);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionRefused, PodReport(REPORT.to_owned()))))
    }
}

impl AsyncWrite for ReportedStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(if self.0.report().is_some() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Reach for Reported {
    fn reach<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Port) -> BoxFuture<'a, Result<Reached, ReachError>> {
        Box::pin(async {
            let peer = Peer::new("pod it-0");
            Ok(Reached { stream: Box::new(ReportedStream(peer.clone())), peer, settle: Duration::ZERO })
        })
    }
}

fn gate(spec: Value) -> Gate {
    let body = json!({"apiVersion": "rekindle.dev/v1", "kind": "Gate", "metadata": {"name": "it"}, "spec": spec});
    Gate::parse(&body, &Origin::default(), "acoustid").unwrap_or_else(|mistakes| panic!("{spec}: {mistakes:#?}"))
}

fn asker(address: SocketAddr, answers: Vec<(&'static str, StatusCode, Value)>) -> Asker {
    let (client, _) = server(answers);
    Asker::with_reach(client, Redactor::default(), Arc::new(Loopback(address)))
}

/// The API server's answer that holds the credentials of `credentials: {secret: db}`.
fn credentials() -> Vec<(&'static str, StatusCode, Value)> {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let secret =
        json!({"metadata": {"name": "db"}, "data": {"username": encode("acoustid"), "password": encode(PASSWORD)}});
    vec![("/api/v1/namespaces/acoustid/secrets/db", StatusCode::OK, secret)]
}

/// A server on loopback that gives every connection to `serve`.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Reads one HTTP request up to its empty line, with the body if it has a length, and answers with fixed bytes.
async fn http_once(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Vec<u8>) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let length = stream.read(&mut buffer).await.unwrap_or(0);
        request.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let wanted = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let complete = text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= wanted.unwrap_or(0));
        if length == 0 || complete {
            // The other side may have gone already.
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            return text;
        }
    }
}

async fn http_server(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    listen(move |stream| {
        let answer = answer.clone();
        async move {
            http_once(stream, answer).await;
        }
    })
    .await
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn http_answers() {
    let big = "x".repeat(200_000);
    for (answer, spec, passed, text) in [
        (response("200 OK", "", "ok"), json!({}), true, "answered 200"),
        (response("503 No", "", "no database\n at all"), json!({}), false, "answered 503: no database at all"),
        (response("503 No", "", "<html>…"), json!({}), false, "answered 503, wanted 2xx"),
        (response("404 No", "", ""), json!({"status": [200, "3xx"]}), false, "answered 404, wanted 200 or 3xx"),
        (response("302 F", "location: https://x/y\r\n", ""), json!({}), false, "answered 302 to https://x/y"),
        (response("302 F", "location: /\r\n", ""), json!({"status": 302}), true, "answered 302"),
        (
            response("200 OK", "", "ready: no"),
            json!({"body_matches": "^ready: yes"}),
            false,
            "answered 200 with ready: no, wanted a body that matches ^ready: yes",
        ),
        (response("200 OK", "", "ready: yes"), json!({"body_matches": "^ready: yes$"}), true, "answered 200"),
        (response("200 OK", "", &big), json!({"body_matches": "^x+$"}), true, "answered 200"),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), json!({}), false, "pod it-0 does not speak HTTP"),
        (String::new(), json!({}), false, "connection closed by pod it-0 before an answer"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned(),
            json!({}),
            false,
            "connection closed by pod it-0",
        ),
    ] {
        let address = http_server(answer.clone()).await;
        let mut http = spec.clone();
        http["service"] = "api".into();
        let found = asker(address, vec![]).ask(&gate(json!({"http": http}))).await;
        assert_eq!(found.passed, passed, "{spec}: {found:?}");
        assert!(found.text.starts_with(text), "{spec}: {found:?}");
        assert!(found.text.chars().count() < 300);
    }
}

#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    let address = listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nready").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let asker = asker(address, vec![]);
    for mut http in [json!({"service": "api"}), json!({"url": format!("http://{address}/")})] {
        http["body_matches"] = "^readyx+$".into();
        assert_eq!(asker.ask(&gate(json!({"http": http}))).await, Answer::passed("answered 200"));
    }
}

#[tokio::test]
async fn http_sends_what_the_gate_says() {
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let address = listen(move |stream| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(http_once(stream, response("204 No Content", "", "").into_bytes()).await);
        }
    })
    .await;
    let asker = asker(address, vec![]);
    let service = json!({"http": {"service": "api", "path": "/a?b=c", "method": "PUT", "body": "hello", "headers": {"X-A": "1"}}});
    let ingress = json!({"http": {"ingress": "api.example.org", "address": address.to_string(), "path": "/z"}});
    let url = json!({"http": {"url": format!("http://{address}/health"), "headers": {"Host": "other"}}});
    for (spec, first, parts) in [
        (service, "PUT /a?b=c HTTP/1.1\r\n", &["host: api.acoustid.svc\r\n", "x-a: 1\r\n", "\r\n\r\nhello"][..]),
        (ingress, "GET /z HTTP/1.1\r\n", &["host: api.example.org\r\n", "user-agent: rekindle/"]),
        (url, "GET /health HTTP/1.1\r\n", &["host: other\r\n", "user-agent: rekindle/"]),
    ] {
        assert_eq!(asker.ask(&gate(spec.clone())).await, Answer::passed("answered 204"), "{spec}");
        let request = requests.recv().await.unwrap();
        assert!(request.starts_with(first), "{request}");
        for part in parts {
            assert!(request.to_ascii_lowercase().contains(&part.to_ascii_lowercase()), "{part} in {request}");
        }
    }
}

#[tokio::test]
async fn http_over_tls_takes_any_certificate_of_a_service() {
    let certificate = include_bytes!("testdata/certificate.der").to_vec();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(include_bytes!("testdata/key.der").to_vec());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key.into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let address = listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                http_once(stream, response("200 OK", "", "").into_bytes()).await;
            }
        }
    })
    .await;
    let asker = asker(address, vec![]);
    let service = asker.ask(&gate(json!({"http": {"service": "api", "tls": true}}))).await;
    assert_eq!(service, Answer::passed("answered 200"));
    let ingress = json!({"http": {"ingress": "site.example.org", "tls": true, "address": address.to_string()}});
    assert_eq!(asker.ask(&gate(ingress)).await, Answer::passed("answered 200"));
    let url = asker.ask(&gate(json!({"http": {"url": format!("https://{address}/")}}))).await;
    assert!(!url.passed && url.text.contains("certificate"), "{url:?}");

    let plain = listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(response("400 Bad Request", "", "").as_bytes()).await;
    })
    .await;
    let wrong = Asker::with_reach(server(vec![]).0, Redactor::default(), Arc::new(Loopback(plain)));
    let wrong = wrong.ask(&gate(json!({"http": {"service": "api", "tls": true}}))).await;
    assert!(!wrong.passed && wrong.text.starts_with("pod it-0: "), "{wrong:?}");
}

#[tokio::test]
async fn an_ingress_tells_its_address() {
    let address = http_server(response("200 OK", "", "")).await;
    let ingress = |rule: &str, balancer: Value| {
        let item = json!({"metadata": {"name": "site"}, "spec": {"rules": [{"host": rule}]}, "status": {"loadBalancer": balancer}});
        vec![(
            "/apis/networking.k8s.io/v1/namespaces/acoustid/ingresses",
            StatusCode::OK,
            json!({"metadata": {}, "items": [item]}),
        )]
    };
    let here = json!({"ingress": [{"ip": "127.0.0.1"}]});
    for (answers, passed, text) in [
        (ingress("a.example.org", here.clone()), true, "answered 200"),
        (ingress("A.EXAMPLE.org", json!({"ingress": [{"hostname": "localhost"}]})), true, "answered 200"),
        (ingress("*.example.org", here.clone()), true, "answered 200"),
        (ingress("*.org", here.clone()), false, "no Ingress in namespace acoustid has a rule for a.example.org"),
        (ingress("a.example.org", json!({})), false, "Ingress site has no address yet"),
    ] {
        let asker = asker(nobody().await, answers);
        let answer = asker.ask(&gate(json!({"http": {"ingress": "a.example.org", "port": address.port()}}))).await;
        assert_eq!(answer, Answer::of(passed, text));
    }
}

#[tokio::test]
async fn nobody_there() {
    let address = nobody().await;
    let asker = asker(address, credentials());
    for spec in [
        json!({"http": {"service": "api"}}),
        json!({"tcp": {"service": "api", "port": 1}}),
        json!({"postgres": {"service": "api", "credentials": {"secret": "db"}, "query": "select 1"}}),
        json!({"redis": {"service": "api"}}),
    ] {
        let answer = asker.ask(&gate(spec.clone())).await;
        assert_eq!(answer, Answer::waiting("no pod behind Service api is ready, 2 are not yet"), "{spec}");
    }
    for spec in [
        json!({"http": {"ingress": "x.example.org", "address": address.to_string()}}),
        json!({"http": {"url": format!("http://{address}/")}}),
    ] {
        let answer = asker.ask(&gate(spec.clone())).await;
        assert_eq!(answer, Answer::waiting(format!("connection refused by {address}")), "{spec}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let address = listen(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let asker = asker(address, credentials());
    for probe in [
        json!({"http": {"service": "api"}}),
        json!({"postgres": {"service": "api", "credentials": {"secret": "db"}, "query": "select 1"}}),
        json!({"redis": {"service": "api"}}),
        json!({"tcp": {"service": "api", "port": 1, "expect": "x"}}),
    ] {
        let mut spec = probe.clone();
        spec["timeout"] = "200ms".into();
        assert_eq!(asker.ask(&gate(spec)).await, Answer::waiting("no answer within 0.2 s"), "{probe}");
    }
}

#[tokio::test]
async fn tcp_conversations() {
    let address = listen(|mut stream| async move {
        let mut line = [0; 5];
        if stream.read_exact(&mut line).await.is_ok() {
            // In two pieces, to see that it is collected.
            let _ = stream.write_all(b"OK 1").await;
            let _ = stream.write_all(b"7\r\n").await;
        }
    })
    .await;
    let asker = asker(address, vec![]);
    for (spec, answer) in [
        (json!({}), Answer::passed("pod it-0 accepts connections")),
        (json!({"send": "get\r\n", "expect": r"^OK \d\d\r\n$"}), Answer::passed("answered OK 17")),
        (
            json!({"send": "get\r\n", "expect": "^NO"}),
            Answer::waiting("answered OK 17 and closed the connection, wanted ^NO"),
        ),
    ] {
        let mut tcp = spec;
        tcp["service"] = "index".into();
        tcp["port"] = 6080.into();
        assert_eq!(asker.ask(&gate(json!({"tcp": tcp}))).await, answer);
    }
}

/// A PostgreSQL message: a tag, the length, the content.
fn message(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), content].concat()
}

/// Enough of a PostgreSQL server: a password in clear text, then one query. `rows` is one column; `None` refuses the
/// password with an error that repeats it.
async fn postgres_server(rows: Option<Vec<Option<&'static str>>>) -> SocketAddr {
    listen(move |mut stream| {
        let rows = rows.clone();
        async move {
            let _ = speak_postgres(&mut stream, rows).await;
        }
    })
    .await
}

async fn speak_postgres(stream: &mut TcpStream, rows: Option<Vec<Option<&'static str>>>) -> std::io::Result<()> {
    let length = stream.read_u32().await?;
    let mut startup = vec![0; length as usize - 4];
    stream.read_exact(&mut startup).await?;
    stream.write_all(&message(b'R', &3u32.to_be_bytes())).await?;
    let read = async |stream: &mut TcpStream| -> std::io::Result<Vec<u8>> {
        stream.read_u8().await?;
        let mut content = vec![0; stream.read_u32().await? as usize - 4];
        stream.read_exact(&mut content).await?;
        Ok(content)
    };
    let password = read(stream).await?;
    let Some(rows) = rows else {
        let said = String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned();
        let text = format!("SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed with {said}\0\0");
        return stream.write_all(&message(b'E', text.as_bytes())).await;
    };
    stream.write_all(&message(b'R', &0u32.to_be_bytes())).await?;
    stream.write_all(&message(b'Z', b"I")).await?;
    read(stream).await?;
    let column = [&1u16.to_be_bytes()[..], b"c\0", &[0; 18]].concat();
    let mut answer = message(b'T', &column);
    for row in rows {
        let value = match row {
            Some(text) => [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat(),
            None => (-1i32).to_be_bytes().to_vec(),
        };
        answer.extend(message(b'D', &[&1u16.to_be_bytes()[..], &value].concat()));
    }
    answer.extend(message(b'C', b"SELECT 1\0"));
    answer.extend(message(b'Z', b"I"));
    stream.write_all(&answer).await
}

#[tokio::test]
async fn postgres_answers() {
    let ask = async |rows: Option<Vec<Option<&'static str>>>, expect: Option<&str>| {
        let asker = asker(postgres_server(rows).await, credentials());
        let postgres = json!({"service": "db", "credentials": {"secret": "db"}, "query": "select 1", "expect": expect});
        asker.ask(&gate(json!({"postgres": postgres}))).await
    };
    assert_eq!(ask(Some(vec![Some("t"), Some("f")]), Some("t")).await, Answer::passed("answered t"));
    assert_eq!(ask(Some(vec![Some("f")]), Some("t")).await, Answer::waiting("answered f, wanted t"));
    assert_eq!(ask(Some(vec![None]), Some("t")).await, Answer::waiting("answered NULL, wanted t"));
    assert_eq!(ask(Some(vec![]), None).await, Answer::waiting("answered no row"));
    assert_eq!(ask(Some(vec![Some("t"); 50_000]), Some("t")).await, Answer::passed("answered t"));
    // A server that repeats the password does not make it known.
    let refused = ask(None, Some("t")).await;
    assert_eq!(refused, Answer::waiting("password authentication failed with ••• (SQLSTATE 28P01)"));
}

#[tokio::test]
async fn a_server_that_closes_is_said_to() {
    let address = listen(|stream| async move { drop(stream) }).await;
    let asker = asker(address, credentials());
    let postgres = json!({"service": "db", "credentials": {"secret": "db"}, "query": "select 1"});
    for spec in [
        json!({"postgres": postgres}),
        json!({"redis": {"service": "r"}}),
        json!({"http": {"service": "h", "tls": true}}),
    ] {
        assert_eq!(asker.ask(&gate(spec.clone())).await, Answer::waiting("connection closed by pod it-0"), "{spec}");
    }
}

#[tokio::test]
async fn a_report_that_comes_before_the_question_is_told() {
    let asker = Asker::with_reach(server(credentials()).0, Redactor::default(), Arc::new(Reported));
    let postgres = json!({"service": "db", "credentials": {"secret": "db"}, "query": "select 1"});
    for spec in [
        json!({"postgres": postgres}),
        json!({"redis": {"service": "r"}}),
        json!({"http": {"service": "h"}}),
        json!({"http": {"service": "h", "tls": true}}),
        json!({"tcp": {"service": "t", "port": 9999, "send": "hello", "expect": "^OK"}}),
        json!({"tcp": {"service": "t", "port": 9999}}),
    ] {
        assert_eq!(asker.ask(&gate(spec.clone())).await, Answer::waiting(REPORT), "{spec}");
    }
}

#[tokio::test]
async fn credentials_that_are_missing_are_named() {
    let empty = json!({"metadata": {"name": "db"}, "data": {"username": "YQ==", "password": "//8="}});
    for (answers, text) in [
        (vec![], "there is no Secret db in namespace acoustid"),
        (
            vec![("/api/v1/namespaces/acoustid/secrets/db", StatusCode::OK, json!({"metadata": {}}))],
            "Secret db has no key username",
        ),
        (
            vec![("/api/v1/namespaces/acoustid/secrets/db", StatusCode::OK, empty)],
            "Secret db has a password that is not UTF-8",
        ),
    ] {
        let asker = asker(nobody().await, answers);
        let postgres = json!({"service": "db", "credentials": {"secret": "db"}, "query": "select 1"});
        assert_eq!(asker.ask(&gate(json!({"postgres": postgres}))).await, Answer::waiting(text));
    }
}

/// Enough of a Redis server: answers commands by their first word; AUTH takes the password of [`credentials`].
async fn redis_server() -> SocketAddr {
    listen(|mut stream| async move {
        let mut received = String::new();
        let mut buffer = [0; 4096];
        loop {
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            if length == 0 {
                return;
            }
            received.push_str(&String::from_utf8_lossy(&buffer[..length]));
            // A command is `*N`, then for each word `$LENGTH` and the word.
            while let Some(words) = take_command(&mut received) {
                let reply = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["AUTH", "acoustid", PASSWORD] => "+OK\r\n".to_owned(),
                    ["AUTH", ..] => format!("-WRONGPASS invalid password {}\r\n", words.last().unwrap()),
                    ["PING"] => "+PONG\r\n".to_owned(),
                    ["GET", "nothing"] => "$-1\r\n".to_owned(),
                    ["KEYS", _] => "*2\r\n$1\r\na\r\n:7\r\n".to_owned(),
                    ["ROLE"] => "-LOADING Redis is loading the dataset in memory\r\n".to_owned(),
                    _ => "-ERR unknown command\r\n".to_owned(),
                };
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        }
    })
    .await
}

fn take_command(received: &mut String) -> Option<Vec<String>> {
    let mut lines = received.split_inclusive("\r\n");
    let first = lines.next().filter(|line| line.ends_with("\r\n"))?;
    let count: usize = first.trim_end().strip_prefix('*')?.parse().ok()?;
    let lines: Vec<&str> = lines.take(2 * count).filter(|line| line.ends_with("\r\n")).collect();
    if lines.len() < 2 * count {
        return None;
    }
    let length = first.len() + lines.iter().map(|line| line.len()).sum::<usize>();
    let words = lines.iter().skip(1).step_by(2).map(|line| line.trim_end().to_owned()).collect();
    received.drain(..length);
    Some(words)
}

#[tokio::test]
async fn redis_answers() {
    let asker = asker(redis_server().await, credentials());
    for (spec, answer) in [
        (json!({"expect": "PONG"}), Answer::passed("answered PONG")),
        (json!({"credentials": {"secret": "db"}, "expect": "PONG"}), Answer::passed("answered PONG")),
        (json!({"expect": "PING"}), Answer::waiting("answered PONG, wanted PING")),
        (json!({"command": ["GET", "nothing"], "expect": "1"}), Answer::waiting("answered (nil), wanted 1")),
        (json!({"command": ["KEYS", "*"], "expect": "a 7"}), Answer::passed("answered a 7")),
        (json!({"command": ["ROLE"]}), Answer::waiting("answered LOADING Redis is loading the dataset in memory")),
        (json!({"command": ["FLY"]}), Answer::waiting("answered ERR unknown command")),
    ] {
        let mut redis = spec.clone();
        redis["service"] = "redis".into();
        assert_eq!(asker.ask(&gate(json!({"redis": redis}))).await, answer, "{spec}");
    }
}

#[tokio::test]
async fn redis_refuses_without_telling_the_password() {
    let mut answers = credentials();
    answers[0].2["data"]["username"] = Value::Null;
    answers[0].2["data"].as_object_mut().unwrap().remove("username");
    let asker = asker(redis_server().await, answers);
    let answer = asker.ask(&gate(json!({"redis": {"service": "r", "credentials": {"secret": "db"}}}))).await;
    assert_eq!(answer, Answer::waiting("pod it-0 refused the password"));
}

/// Discovery of a cluster with Jobs, Certificates and two kinds of Database.
fn kinds() -> Vec<(&'static str, StatusCode, Value)> {
    let group = |name: &str, kinds: &[(&str, &str, &str)]| {
        let resources: Vec<Value> = kinds
            .iter()
            .map(|(kind, plural, scope)| {
                json!({"resource": plural, "responseKind": {"group": name, "version": "v1", "kind": kind}, "scope": scope,
                    "singularResource": "", "verbs": ["get", "list", "watch"]})
            })
            .collect();
        json!({"metadata": {"name": name}, "versions": [{"version": "v1", "resources": resources, "freshness": "Current"}]})
    };
    let list = |items: Value| json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items});
    let job = |name: &str, succeeded: u8| json!({"metadata": {"name": name}, "status": {"succeeded": succeeded}});
    let pinned = json!({"kind": "APIResourceList", "groupVersion": "batch/v1", "resources": [
        {"name": "jobs", "singularName": "job", "namespaced": true, "kind": "Job", "verbs": ["get", "list"]}]});
    let ok = StatusCode::OK;
    vec![
        (
            "/apis/batch/v1/namespaces/acoustid/jobs/migrate",
            ok,
            json!({"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "migrate"}, "status": {"succeeded": 1, "failed": 3}}),
        ),
        (
            "/apis/batch/v1/namespaces/acoustid/jobs/fresh",
            ok,
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "fresh"}}),
        ),
        (
            "/apis/batch/v1/namespaces/acoustid/jobs?&labelSelector=app%3Dx",
            ok,
            json!({"metadata": {}, "items": [job("a", 1), job("b", 0)]}),
        ),
        ("/apis/batch/v1/namespaces/acoustid/jobs?&labelSelector=app%3Dnone", ok, json!({"metadata": {}, "items": []})),
        ("/apis/cert-manager.io/v1/clusterissuers/it", ok, json!({"metadata": {"name": "it"}, "status": {"ok": true}})),
        ("/apis/batch/v1/", StatusCode::NOT_FOUND, json!({"kind": "Status", "code": 404, "reason": "NotFound"})),
        ("/apis/batch/v1", ok, pinned),
        (
            "/apis/",
            StatusCode::NOT_FOUND,
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "the server could not find it"}),
        ),
        (
            "/apis",
            ok,
            list(json!([
                group("batch", &[("Job", "jobs", "Namespaced")]),
                group("cert-manager.io", &[("ClusterIssuer", "clusterissuers", "Cluster")]),
                group("a.example.org", &[("Database", "databases", "Namespaced")]),
                group("b.example.org", &[("Database", "databases", "Namespaced")]),
            ])),
        ),
        ("/api", ok, list(json!([]))),
    ]
}

#[tokio::test]
async fn conditions() {
    let asker = asker(nobody().await, kinds());
    let many = "objects.all(o, o.status.succeeded > 0)";
    for (spec, answer) in [
        (
            json!({"kind": "Job", "name": "migrate", "ready": "object.status.succeeded == 1"}),
            Answer::passed("true for Job/migrate"),
        ),
        (
            json!({"kind": "Job", "name": "migrate", "ready": "object.kind == 'Job' && object.status.succeeded == 2"}),
            Answer::waiting("false for Job/migrate"),
        ),
        (
            json!({"kind": "Job", "name": "migrate", "ready": "false", "progress": "'failed ' + string(object.status.failed) + ' times'"}),
            Answer::waiting("failed 3 times"),
        ),
        (
            json!({"kind": "Job", "name": "migrate", "ready": "true", "failed": "object.status.failed > 2", "progress": "'too often'"}),
            Answer::fatal("Job/migrate failed: too often"),
        ),
        (
            json!({"kind": "Job", "name": "migrate", "ready": "false", "failed": "object.status.failed > 2"}),
            Answer::fatal("Job/migrate failed: object.status.failed > 2"),
        ),
        // A field that is not there yet is neither ready nor failed.
        (
            json!({"kind": "Job", "name": "fresh", "ready": "object.status.succeeded == 1", "failed": "object.status.failed > 2",
            "progress": "object.status.nothing"}),
            Answer::waiting("false for Job/fresh"),
        ),
        (
            json!({"kind": "Job", "name": "fresh", "ready": "object.metadata.name > 1"}),
            Answer::waiting("ready cannot be evaluated: `>` does not work on (string, int)"),
        ),
        (
            json!({"kind": "Job", "name": "fresh", "ready": "object.metadata.name"}),
            Answer::fatal("ready: its value is of type string, not true or false"),
        ),
        (json!({"kind": "Job", "name": "gone", "ready": "true"}), Answer::waiting("Job/gone does not exist")),
        (
            json!({"kind": "Job", "api_version": "batch/v1", "selector": {"app": "x"}, "ready": many}),
            Answer::waiting("false for 2 objects"),
        ),
        (
            json!({"kind": "Job", "selector": {"app": "x"}, "ready": "objects.exists(o, o.kind == 'Job' && o.status.succeeded > 0)"}),
            Answer::passed("true for 2 objects"),
        ),
        (
            json!({"kind": "Job", "selector": {"app": "none"}, "ready": many}),
            Answer::waiting("no Job has the labels app=none"),
        ),
        (
            json!({"kind": "ClusterIssuer", "name": "it", "ready": "object.status.ok"}),
            Answer::passed("true for ClusterIssuer/it"),
        ),
        (json!({"kind": "Nothing", "name": "x", "ready": "true"}), Answer::waiting("the cluster has no kind Nothing")),
        (
            json!({"kind": "Nothing", "api_version": "batch/v1", "name": "x", "ready": "true"}),
            Answer::waiting("the cluster has no Nothing in batch/v1"),
        ),
        (
            json!({"kind": "Nothing", "api_version": "x.example.org/v1", "name": "x", "ready": "true"}),
            Answer::waiting("the cluster has no Nothing in x.example.org/v1"),
        ),
        (
            json!({"kind": "Database", "name": "x", "ready": "true"}),
            Answer::fatal(
                "Database is a kind of a.example.org/v1, b.example.org/v1: the gate must name one as api_version",
            ),
        ),
    ] {
        assert_eq!(asker.ask(&gate(json!({"condition": spec}))).await, answer, "{spec}");
    }
}

/// A task may carry a question to another thread.
#[test]
fn questions_can_be_spawned() {
    fn sendable<T: Send>(_: &T) {}
    let (client, gate) = {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        (server(vec![]).0, gate(json!({"redis": {"service": "r"}})))
    };
    let asker = Asker::new(client, Redactor::default());
    sendable(&asker.ask(&gate));
    sendable(&super::wait(&asker, &gate, gate.hold, |_| ()));
}
