//! A proxy in front of the API server that counts the requests which write, and at one of them calls for the end of the
//! process that sends them: before the API server hears of it, or after it has answered and before the answer goes back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::support::Bed;

/// Where the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// At the n-th write, which never reaches the API server.
    Before(usize),
    /// At the n-th write, whose answer never comes back.
    After(usize),
}

/// A proxy; it ends with its bed.
pub struct Proxy {
    /// A kubeconfig that leads to it, in clear text and without credentials: those are the proxy's.
    pub kubeconfig: PathBuf,
    /// Calls for the process's end; to be answered when the process is dead.
    pub calls: mpsc::Receiver<oneshot::Sender<()>>,
    /// `METHOD path` of every write so far.
    pub writes: Arc<Mutex<Vec<String>>>,
}

struct Shared {
    client: Client,
    cut: Cut,
    call: mpsc::Sender<oneshot::Sender<()>>,
    writes: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts one that writes its kubeconfig into a folder.
    pub fn start(bed: &Bed, folder: &Path, cut: Cut) -> Self {
        let listener = bed.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (call, calls) = mpsc::channel();
        let writes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(Shared { client: bed.client.clone(), cut, call, writes: writes.clone() });
        bed.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    // A peer that has been killed leaves its connections broken.
                    let _ = serve(stream, &shared).await;
                });
            }
        });
        let kubeconfig = folder.join("through-proxy.kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
             contexts: [{{name: proxied, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n\
             current-context: proxied\n"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        Self { kubeconfig, calls, writes }
    }
}

/// One request a connection: simple, and a client makes new ones.
async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read(&mut stream).await?;
    let name = format!("{} {}", request.method(), request.uri().path());
    let number = (request.method() != "GET").then(|| {
        let mut writes = shared.writes.lock().unwrap();
        writes.push(name);
        writes.len()
    });
    if number.map(Cut::Before) == Some(shared.cut) {
        end(shared).await;
        return Ok(());
    }
    let response = shared.client.send(request).await.map_err(std::io::Error::other)?;
    if number.map(Cut::After) == Some(shared.cut) {
        let _ = response.into_body().collect().await;
        end(shared).await;
        return Ok(());
    }
    write(&mut stream, response).await
}

/// Calls for the end of the process, and waits for it.
async fn end(shared: &Shared) {
    let (dead, is_dead) = oneshot::channel();
    shared.call.send(dead).unwrap();
    let _ = is_dead.await;
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Request<Body>> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::builder().method(method).uri(target);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "accept" | "content-type" => request = request.header(name, value),
            "transfer-encoding" => panic!("a body of unknown length"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    request.body(Body::from(body)).map_err(std::io::Error::other)
}

async fn write(stream: &mut BufReader<TcpStream>, response: Response<Body>) -> std::io::Result<()> {
    let (parts, mut body) = response.into_parts();
    let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", parts.status.as_u16());
    for name in ["content-type", "retry-after"] {
        if let Some(value) = parts.headers.get(name).and_then(|value| value.to_str().ok()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    // A watch is passed on as it comes.
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(std::io::Error::other)?.into_data() {
            stream.write_all(&data).await?;
            stream.flush().await?;
        }
    }
    stream.shutdown().await
}
