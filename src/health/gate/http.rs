//! HTTP gates: through a forwarded stream, to an ingress's address, or to a public URL.

use std::sync::Arc;

use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;

use super::answer::{beside, closed, explain, quote};
use super::spec::{Address, Http, HttpTarget};
use super::{Answer, Asker};
use crate::cluster::forward::{ByteStream, Peer, api_text};

/// As much of a body as is read, in bytes.
const BODY: usize = 64 * 1024;

const USER_AGENT: &str = concat!("rekindle/", env!("CARGO_PKG_VERSION"));

/// An answer as far as gates look at it.
struct Received {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

/// The client for public URLs: verifies certificates, follows no redirects, knows no proxy but those a caller sets up.
pub(super) fn web_client() -> Result<reqwest::Client, String> {
    // Without a provider reqwest would panic; the first one that a process installs stays.
    let _ = ring::default_provider().install_default();
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    // Every question opens a connection of its own: an old one would hide that new ones are refused.
    let builder = builder.user_agent(USER_AGENT).pool_max_idle_per_host(0);
    builder.build().map_err(|error| explain(&error, &Peer::new("TLS")))
}

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Http) -> Result<Answer, String> {
    let received = match &spec.target {
        HttpTarget::Url { url } => fetch(asker, spec, url).await?,
        HttpTarget::Service { service, port, tls } => {
            let reached = asker.reach(namespace, service, port).await?;
            let host = format!("{service}.{namespace}.svc");
            converse(reached.stream, spec, &host, *tls, &reached.peer).await?
        }
        HttpTarget::Ingress { host, address, port, tls } => {
            let address = match address {
                Some(address) => address.clone(),
                None => address_of(asker, namespace, host).await?,
            };
            let place = Address { port: Some(address.port.unwrap_or(*port)), ..address };
            let peer = Peer::new(place.to_string());
            let stream = TcpStream::connect(place.to_string()).await.map_err(|error| explain(&error, &peer))?;
            converse(Box::new(stream), spec, host, *tls, &peer).await?
        }
    };
    Ok(judge(spec, &received))
}

/// Whether an answer passes, and what it was.
fn judge(spec: &Http, received: &Received) -> Answer {
    let status = received.status;
    if !spec.status.accept(status) {
        let text = match &received.location {
            Some(location) => format!("answered {status} to {}", quote(location)),
            None => match excerpt(&received.body) {
                excerpt if excerpt.is_empty() => format!("answered {status}, wanted {}", spec.status),
                excerpt => format!("answered {status}: {excerpt}"),
            },
        };
        return Answer::waiting(text);
    }
    match &spec.body_matches {
        Some(pattern) if !pattern.matches(&received.body) => {
            let found = match excerpt(&received.body) {
                excerpt if excerpt.is_empty() => "nothing readable".to_owned(),
                excerpt => excerpt,
            };
            Answer::waiting(format!(
                "answered {status} with {found}, wanted a body that matches {}",
                quote(&pattern.to_string())
            ))
        }
        _ => Answer::passed(format!("answered {status}")),
    }
}

/// The readable beginning of a body; nothing of HTML, whose beginning tells nothing.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') { String::new() } else { quote(&text) }
}

async fn fetch(asker: &Asker, spec: &Http, url: &str) -> Result<Received, String> {
    let client = asker.web.as_ref().map_err(Clone::clone)?;
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("{}: {error}", quote(url)))?;
    let peer = Peer::new(match (parsed.host_str(), parsed.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        _ => quote(url),
    });
    let method = spec.method.parse::<reqwest::Method>().map_err(|_| format!("method {} is none", spec.method))?;
    let mut request = client.request(method, parsed).headers(headers(spec));
    if let Some(body) = &spec.body {
        request = request.body(body.clone());
    }
    let mut response = request.send().await.map_err(|error| explain(&error, &peer))?;
    let mut body = Vec::new();
    while body.len() < BODY
        && let Some(chunk) = response.chunk().await.map_err(|error| explain(&error, &peer))?
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(BODY);
    Ok(Received { status: response.status().as_u16(), location: location(response.headers()), body })
}

/// One request over a fresh connection.
async fn converse(
    stream: Box<dyn ByteStream>,
    spec: &Http,
    host: &str,
    tls: bool,
    peer: &Peer,
) -> Result<Received, String> {
    let stream: Box<dyn ByteStream> = if tls {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no TLS server name"))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(any_certificate()?));
        Box::new(connector.connect(name, stream).await.map_err(|error| explain(&error, peer))?)
    } else {
        stream
    };
    let mut request = Request::builder()
        .method(spec.method.as_str())
        .uri(spec.path.as_str())
        .body(Full::new(Bytes::from(spec.body.clone().unwrap_or_default())))
        .map_err(|error| error.to_string())?;
    *request.headers_mut() = headers(spec);
    let defaults = [(header::HOST, host), (header::USER_AGENT, USER_AGENT), (header::CONNECTION, "close")];
    for (name, value) in defaults {
        if let Ok(value) = value.parse() {
            request.headers_mut().entry(name).or_insert(value);
        }
    }
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| explain(&error, peer))?;
    let talk = async {
        let mut response = sender.send_request(request).await.map_err(|error| failure(&error, peer))?;
        let mut body = Vec::new();
        while body.len() < BODY
            && let Some(frame) = response.body_mut().frame().await
        {
            if let Ok(data) = frame.map_err(|error| failure(&error, peer))?.into_data() {
                body.extend_from_slice(&data);
            }
        }
        body.truncate(BODY);
        Ok(Received { status: response.status().as_u16(), location: location(response.headers()), body })
    };
    beside(talk, connection).await
}

fn failure(error: &hyper::Error, peer: &Peer) -> String {
    if peer.report().is_some() {
        closed(peer)
    } else if error.is_incomplete_message() {
        format!("connection closed by {peer} before an answer")
    } else if error.is_parse() {
        format!("{peer} does not speak HTTP")
    } else {
        explain(error, peer)
    }
}

fn headers(spec: &Http) -> HeaderMap {
    let parsed = spec.headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
    parsed.collect::<Vec<(header::HeaderName, header::HeaderValue)>>().into_iter().collect()
}

fn location(headers: &HeaderMap) -> Option<String> {
    headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Where the Ingress with a rule for this host is served: the first entry of its `status.loadBalancer.ingress`.
async fn address_of(asker: &Asker, namespace: &str, host: &str) -> Result<Address, String> {
    let ingresses: Api<Ingress> = Api::namespaced(asker.client.clone(), namespace);
    let found = ingresses.list(&ListParams::default()).await.map_err(|error| api_text(&error))?;
    let ours: Vec<&Ingress> = found.items.iter().filter(|ingress| serves(ingress, host)).collect();
    let Some(first) = ours.first() else {
        return Err(no_rule(namespace, host));
    };
    let addresses = ours.iter().flat_map(|ingress| {
        let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten()
    });
    addresses
        .filter_map(|entry| entry.ip.as_ref().or(entry.hostname.as_ref()))
        .find_map(|text| Address::parse(text))
        .ok_or_else(|| format!("Ingress {} has no address yet", first.name_any()))
}

/// Whether an Ingress has a rule for a host.
fn serves(ingress: &Ingress, host: &str) -> bool {
    let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
    rules.filter_map(|rule| rule.host.as_deref()).any(|rule| is_for_host(rule, host))
}

/// Whether a rule's host means a host: by name or as `*.` and exactly one more label.
pub fn is_for_host(rule: &str, host: &str) -> bool {
    match rule.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
        None => rule.eq_ignore_ascii_case(host),
    }
}

/// What is said where no Ingress has a rule for a host.
pub fn no_rule(namespace: &str, host: &str) -> String {
    format!("no Ingress in namespace {namespace} has a rule for {host}")
}

/// TLS that takes any certificate, but still makes the other side prove that it holds the certificate's key.
fn any_certificate() -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(provider.clone()));
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
