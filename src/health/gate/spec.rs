//! What a gate asks: typed, checked, and still printable as written.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

pub use crate::cluster::forward::Port;
use crate::health::cel::{self, CelError};

/// The question of a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// An HTTP request and what its answer must look like.
    Http(Http),
    /// A TCP connection, optionally with a conversation.
    Tcp(Tcp),
    /// A query, asked with a real client.
    Postgres(Postgres),
    /// A command, asked with a real client.
    Redis(Redis),
    /// A command run in a pod.
    Exec(Exec),
    /// A CEL expression over objects of the cluster.
    Condition(Condition),
}

impl Probe {
    /// The Service that is asked, through a port-forward.
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Http(Http { target: HttpTarget::Service { service, .. }, .. }) => Some(service),
            Self::Tcp(tcp) => Some(&tcp.service),
            Self::Postgres(postgres) => Some(&postgres.service),
            Self::Redis(redis) => Some(&redis.service),
            Self::Http(_) | Self::Exec(_) | Self::Condition(_) => None,
        }
    }

    /// The Secret that credentials are read from.
    pub fn credentials(&self) -> Option<&str> {
        match self {
            Self::Postgres(postgres) => Some(&postgres.credentials),
            Self::Redis(redis) => redis.credentials.as_deref(),
            Self::Http(_) | Self::Tcp(_) | Self::Exec(_) | Self::Condition(_) => None,
        }
    }
}

/// An HTTP request. Redirects are not followed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Http {
    /// Who is asked.
    #[serde(flatten)]
    pub target: HttpTarget,
    /// Path with query, starting with `/`; for a `url` the path is part of it.
    pub path: String,
    /// Method, e.g. `GET`.
    pub method: String,
    /// Headers, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Body to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Statuses that pass (default: any 2xx).
    pub status: Statuses,
    /// Must match the first 64 KiB of the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_matches: Option<Pattern>,
}

/// Who is asked by HTTP.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum HttpTarget {
    /// A Service of the cluster, through a port-forward.
    Service {
        /// Its name.
        service: String,
        /// Its port.
        port: Port,
        /// Speak TLS; the certificate is not verified, because it is rarely made for a forwarded port.
        tls: bool,
    },
    /// Any address, as seen from here; certificates are verified.
    Url {
        /// The whole URL.
        url: String,
    },
    /// A host of an Ingress, asked where the ingress controller listens, whatever DNS says.
    Ingress {
        /// The host name, sent as `Host` and as TLS server name.
        #[serde(rename = "ingress")]
        host: String,
        /// Where to connect; `None`: to what the Ingress object's `status.loadBalancer` says.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<Address>,
        /// Used unless the address has a port of its own.
        port: u16,
        /// Speak TLS; the certificate is not verified, because a new environment may still wait for its own.
        tls: bool,
    },
}

/// A TCP conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tcp {
    /// The Service that is asked.
    pub service: String,
    /// Its port.
    pub port: Port,
    /// Sent after connecting, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// Must match what is received. Without it, an accepted connection passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
}

/// A PostgreSQL query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Postgres {
    /// The Service that is asked.
    pub service: String,
    /// Its port (default 5432).
    pub port: Port,
    /// The database; PostgreSQL's own default, the user's name, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The Secret with the keys `username` and `password`.
    pub credentials: String,
    /// The query; the first column of its first row is the answer.
    pub query: String,
    /// What the answer must be. Without it, any row passes.
    #[serde(flatten)]
    pub wanted: Option<Wanted>,
}

/// What an answer must be to pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Exactly this.
    Expect(String),
    /// This or more: compared as numbers where both are, else as texts, as times in one form are.
    AtLeast(String),
    /// Everything in this list, in any order: entries are separated by commas or white space.
    Includes(String),
}

impl Wanted {
    /// Whether an answer passes.
    pub fn holds(&self, answer: &str) -> bool {
        match self {
            Self::Expect(wanted) => answer == wanted,
            Self::AtLeast(wanted) => match (answer.trim().parse::<f64>(), wanted.trim().parse::<f64>()) {
                // Whole numbers beyond 2^53 are not told apart as floating point.
                (Ok(number), Ok(least)) => match (answer.trim().parse::<i128>(), wanted.trim().parse::<i128>()) {
                    (Ok(number), Ok(least)) => number >= least,
                    _ => number >= least,
                },
                _ => answer >= wanted.as_str(),
            },
            Self::Includes(wanted) => {
                let there: Vec<&str> = entries(answer).collect();
                entries(wanted).all(|entry| there.contains(&entry))
            }
        }
    }

    /// The wish in words, with the text in it given by `quote`: `at least 812`.
    pub fn told(&self, quote: impl Fn(&str) -> String) -> String {
        match self {
            Self::Expect(wanted) => quote(wanted),
            Self::AtLeast(wanted) => format!("at least {}", quote(wanted)),
            Self::Includes(wanted) => format!("all of {}", quote(wanted)),
        }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(|letter: char| letter == ',' || letter.is_whitespace()).filter(|entry| !entry.is_empty())
}

/// A Redis command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Redis {
    /// The Service that is asked.
    pub service: String,
    /// Its port (default 6379).
    pub port: Port,
    /// The Secret with the key `password` and, for ACL users, `username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// The command with its arguments (default `PING`).
    pub command: Vec<String>,
    /// The answer that passes, exactly; entries of a list are joined by a space. Without it, any answer but an error passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

/// A command in a pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exec {
    /// Labels of the pod; the newest ready one is asked.
    pub selector: BTreeMap<String, String>,
    /// The container; the pod's first when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The command with its arguments; no shell is involved.
    pub command: Vec<String>,
    /// Must match what the command prints. The exit code must be 0 in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Pattern>,
}

/// A CEL condition over objects of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// Kind, e.g. `Certificate`.
    pub kind: String,
    /// E.g. `cert-manager.io/v1`; found by discovery when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Which objects.
    #[serde(flatten)]
    pub selected: Selected,
    /// Their namespace, ignored for kinds that have none; the gate's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// True when the gate passes.
    pub ready: Expression,
    /// True when it can never pass: the gate fails at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Expression>,
    /// A text shown while it is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Expression>,
}

/// Which objects a condition is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Selected {
    /// One object, in CEL `object`.
    Name(String),
    /// Those with these labels, in CEL `objects`; none at all never passes.
    Selector(BTreeMap<String, String>),
}

/// A place to connect to: a host name or IP address, with a port or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address, IPv6 without brackets.
    pub host: String,
    /// Port, if given.
    pub port: Option<u16>,
}

impl Address {
    /// Reads `HOST`, `IP`, `HOST:PORT`, `IP:PORT` or `[IPv6]:PORT`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Some(Self { host: text.to_owned(), port: None });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
            None => None,
        };
        (text.starts_with('[') || is_host(host)).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a text can be a host name or an IPv4 address.
pub(super) fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

/// HTTP statuses that pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statuses(pub(super) Vec<StatusForm>);

/// One accepted status or class of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusForm {
    /// E.g. 204.
    Exact(u16),
    /// E.g. 2 for `2xx`.
    Class(u16),
}

impl StatusForm {
    /// Reads `200` or `2xx`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("xx") {
            Some(class) => class.parse().ok().filter(|class| (1..=5).contains(class)).map(Self::Class),
            None => text.parse().ok().filter(|status| (100..=599).contains(status)).map(Self::Exact),
        }
    }
}

impl fmt::Display for StatusForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl Serialize for StatusForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Statuses {
    /// Whether a status is among them.
    pub fn accept(&self, status: u16) -> bool {
        self.0.iter().any(|form| match form {
            StatusForm::Exact(exact) => *exact == status,
            StatusForm::Class(class) => status / 100 == *class,
        })
    }
}

impl Default for Statuses {
    /// Any 2xx.
    fn default() -> Self {
        Self(vec![StatusForm::Class(2)])
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&forms.join(" or "))
    }
}

/// A regular expression, compiled. It searches bytes, so answers need not be UTF-8.
#[derive(Clone)]
pub struct Pattern(regex::bytes::Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// Returns what is wrong in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        regex::bytes::Regex::new(text).map(Self).map_err(|error| {
            let text = error.to_string();
            let line = text.lines().last().unwrap_or_default();
            line.strip_prefix("error: ").unwrap_or(line).to_owned()
        })
    }

    /// Whether it matches anywhere in the bytes.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }

    /// The lines that its first match is in; none without a match or where these lines are empty.
    pub fn line<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let found = self.0.find(bytes)?;
        let start = bytes[..found.start()].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end =
            bytes[found.end()..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| found.end() + at);
        Some(&bytes[start..end]).filter(|line| !line.is_empty())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.0.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A CEL expression that has been checked: it can be read, and uses only functions and variables that exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expression(String);

impl Expression {
    /// Checks it.
    ///
    /// # Errors
    /// Those of [`cel::check_with`].
    pub fn new(text: &str, variables: &[&str]) -> Result<Self, CelError> {
        cel::check_with(text, variables).map(|()| Self(text.to_owned()))
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.0
    }
}
