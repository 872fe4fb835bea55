//! A small client of the Kubernetes API: HTTP/1.1 over rustls, one kept-alive connection, no retries.
//!
//! It does as little as possible on purpose: the bench measures the API server's own bound with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// Where an API server is and how to talk to it. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    host: String,
    port: u16,
    token: String,
    tls: Arc<ClientConfig>,
}

/// What came back.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When the status is not 2xx (with the server's message) or the body is not JSON.
    pub fn json(&self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("the API server answered {}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        serde_json::from_slice(&self.body).context("the API server's answer is not JSON")
    }
}

impl Api {
    /// A client for `https://host:port`, trusting `ca` (PEM) only.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn new(host: &str, port: u16, ca: &[u8], token: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca).context("the certificate authority is not PEM")?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { host: host.to_owned(), port, token: token.to_owned(), tls: Arc::new(tls) })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let session = ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from(self.host.clone())?)?;
        Ok(Connection {
            stream: BufReader::with_capacity(32 * 1024, StreamOwned::new(session, stream)),
            head: format!("Host: {}:{}\r\nAuthorization: Bearer {}\r\n", self.host, self.port, self.token),
        })
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// When the server cannot be reached or answers nonsense.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        self.connect()?.send(method, path, content_type, body)
    }

    /// `GET`, as JSON.
    ///
    /// # Errors
    /// As [`Api::send`], and for any status but 2xx.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, "application/json", b"")?.json()
    }

    /// Server-side apply of one object at its own path.
    ///
    /// # Errors
    /// As [`Api::send`], and for any status but 2xx.
    pub fn apply(&self, path: &str, object: &Value) -> Result<Value> {
        let path = format!("{path}?fieldManager=xtask&force=true&fieldValidation=Strict");
        self.send("PATCH", &path, "application/apply-patch+yaml", &serde_json::to_vec(object)?)?.json()
    }
}

/// A kept-alive connection.
pub struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    head: String,
}

impl Connection {
    /// One request and its whole answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP/1.1.
    pub fn send(&mut self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\n{}Content-Type: {content_type}\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n",
            self.head,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let stream = self.stream.get_mut();
        stream.write_all(&request)?;
        stream.flush()?;
        read_answer(&mut self.stream)
    }
}

/// Reads one HTTP/1.1 answer, with a length or in chunks.
fn read_answer(stream: &mut impl BufRead) -> Result<Answer> {
    let status_line = line(stream)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("not an HTTP answer: {status_line}"))?;
    let (mut length, mut chunked) = (0_u64, false);
    loop {
        let header = line(stream)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').context("malformed header")?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("malformed Content-Length")?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = u64::from_str_radix(line(stream)?.trim(), 16).context("malformed chunk")?;
            read_exactly(stream, size, &mut body)?;
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else {
        read_exactly(stream, length, &mut body)?;
    }
    Ok(Answer { status, body })
}

fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut text = String::new();
    if stream.read_line(&mut text)? == 0 {
        bail!("the API server closed the connection");
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_exactly(stream: &mut impl BufRead, size: u64, body: &mut Vec<u8>) -> Result<()> {
    if stream.take(size).read_to_end(body)? as u64 != size {
        bail!("the API server closed the connection in the middle of an answer");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn reads_answers_with_a_length_and_in_chunks_one_after_the_other() {
        let mut wire: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
        let first = read_answer(&mut wire).unwrap();
        assert_eq!((first.status, first.body.as_slice()), (201, b"{}".as_slice()));
        assert_eq!(read_answer(&mut wire).unwrap().json().unwrap(), serde_json::json!([1, 2]));
        assert!(read_answer(&mut wire).is_err());
    }

    #[test]
    fn a_short_answer_or_nonsense_is_an_error() {
        for wire in ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n"] {
            assert!(read_answer(&mut wire.as_bytes()).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_refusal_carries_the_servers_words() {
        let answer = Answer { status: 409, body: b"conflict with kubectl".to_vec() };
        assert!(answer.json().unwrap_err().to_string().contains("conflict with kubectl"));
    }
}
