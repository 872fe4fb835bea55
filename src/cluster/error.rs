//! What can go wrong between us and a cluster, in words for people.

use std::error::Error;

use kube::client::AuthError;
use kube::config::KubeconfigError;

use crate::plan::decide::Stranger;
use crate::plan::proposal::Outdated;

/// Why a request to the cluster did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig cannot be used.
    #[error("{0}")]
    Kubeconfig(String),
    /// No answer, or none that makes sense.
    #[error("the API server at {server} does not answer: {reason}")]
    Unreachable {
        /// Its address.
        server: String,
        /// The innermost cause.
        reason: String,
    },
    /// It answered that we may not.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// A run is to begin with a phase although objects of earlier ones are not there.
    #[error("refused: {}", .missing.join("; "))]
    Skipped {
        /// The phase that the run was to begin with.
        from: String,
        /// The first phase with something missing.
        phase: String,
        /// What is missing, as `Kind/name of PHASE`.
        missing: Vec<String>,
    },
    /// Objects of the kit are there and are not the environment's.
    #[error("refused: {} of the kit are there and are not this environment's", .0.len())]
    NotOurs(Vec<Stranger>),
    /// A change that the kit wants would lose data.
    #[error("refused: {}", .0.join("; "))]
    WouldLose(Vec<String>),
    /// The saved plan that is to be executed does not hold any more.
    #[error("refused: the saved plan is not executed: {0}")]
    Outdated(Outdated),
    /// Another cluster answers than at the start.
    #[error(
        "the cluster behind {server} is another one now: it was {expected}, and {found} answers; nothing more was written"
    )]
    WrongCluster {
        /// Its address.
        server: String,
        /// The identity at the start.
        expected: String,
        /// The identity of what answers now.
        found: String,
    },
    /// The cluster's record of the environment is not the one that was compared.
    #[error("the cluster's record of {0} was changed by somebody else meanwhile; nothing was written")]
    RecordChanged(String),
    /// A volume or a claim is not as it was when it was decided what to do about it.
    #[error("{0}")]
    Data(String),
    /// It answered with an error.
    #[error("{message}")]
    Status {
        /// HTTP status.
        code: u16,
        /// Machine-readable reason, e.g. `Invalid`.
        reason: String,
        /// What the server says.
        message: String,
    },
}

/// What happened, from a chain of errors: credentials that could not be had, or a server that was not reached. The layers of
/// "error sending request" around the innermost cause are left out, and so is whatever a credential program printed on its
/// standard output: that may be a token.
fn explain(server: &str, error: &kube::Error) -> ClusterError {
    if let kube::Error::InferKubeconfig(error) = error {
        return ClusterError::Kubeconfig(format!("the kubeconfig cannot be used: {}", kubeconfig(error)));
    }
    let mut innermost: &(dyn Error + 'static) = error;
    loop {
        if let Some(error) = innermost.downcast_ref::<AuthError>() {
            return ClusterError::Kubeconfig(format!("the kubeconfig gives no credentials: {}", credentials(error)));
        }
        match innermost.source() {
            Some(source) => innermost = source,
            None => break,
        }
    }
    let reason = match error {
        kube::Error::SerdeError(_) => "what answers there is no API server".to_owned(),
        _ => network(&innermost.to_string()),
    };
    ClusterError::Unreachable { server: server.to_owned(), reason }
}

/// Why a connection was not made, in words that say what to look at. The texts are those of rustls and tokio.
fn network(text: &str) -> String {
    const WORDS: [(&str, &str); 8] = [
        ("close_notify", "it closed the connection"),
        ("InvalidContentType", "it does not speak TLS: is it the right port?"),
        ("UnknownIssuer", "its certificate is not signed by the authority that the kubeconfig names"),
        ("BadSignature", "its certificate is not signed by the authority that the kubeconfig names"),
        ("NotValidForName", "its certificate is for another name than the kubeconfig's"),
        ("NotValidYet", "its certificate is not valid yet: is the clock right?"),
        ("Expired", "its certificate has expired"),
        ("deadline has elapsed", "no connection in time"),
    ];
    let known = WORDS.iter().find(|(sign, _)| text.contains(sign));
    known.map_or_else(|| plain(text), |(_, words)| (*words).to_owned())
}

/// Why no credentials were had.
fn credentials(error: &AuthError) -> String {
    let program = "its credential program";
    match error {
        AuthError::AuthExecStart(error) => format!("{program} cannot be started: {}", plain(&error.to_string())),
        AuthError::AuthExecRun { out, .. } => {
            // What it says on stderr is meant for people.
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {}", line.trim()));
            format!("{program} failed with {}{}", out.status, said.unwrap_or_default())
        }
        AuthError::AuthExecParse(_) => format!("{program} answers something that is no ExecCredential"),
        AuthError::ReadTokenFile(error, file) => {
            format!("the token file {} cannot be read: {}", file.display(), plain(&error.to_string()))
        }
        AuthError::InvalidBearerToken(_) => "its token holds characters that no header may hold".into(),
        AuthError::InvalidBasicAuth(_) => "its password holds characters that no header may hold".into(),
        other => plain(&other.to_string()),
    }
}

/// Why a kubeconfig cannot be used, without any of its text: a line may hold a token.
pub fn kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => match error.location() {
            Some(place) => format!("it is not the YAML of a kubeconfig, see line {}", place.line()),
            None => "it is not the YAML of a kubeconfig".into(),
        },
        KubeconfigError::ReadConfig(error, _) => plain(&error.to_string()),
        other => {
            let mut innermost: &dyn Error = other;
            while let Some(source) = innermost.source() {
                innermost = source;
            }
            let outer = other.to_string();
            let outer = outer.split(": ").next().unwrap_or_default().to_owned();
            let inner = plain(&innermost.to_string());
            if inner.starts_with(&outer) { inner } else { format!("{outer}: {inner}") }
        }
    }
}

/// The first line of a text as a fragment: without the number and the capital of `No such file or directory (os error 2)`.
fn plain(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default().split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

impl ClusterError {
    /// Converts an error of the client library.
    pub fn from_kube(server: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
                let message = if status.code == 401 { "the credentials are not accepted" } else { &status.message };
                Self::Forbidden(message.to_owned())
            }
            kube::Error::Api(status) => Self::Status {
                code: status.code,
                reason: status.reason.clone(),
                message: if status.message.is_empty() {
                    format!("the API server answered {}", status.code)
                } else {
                    status.message.clone()
                },
            },
            other => explain(server, other),
        }
    }

    /// Whether the same request may succeed a little later: no answer, too many requests, a server that is starting, a
    /// version of a list that the server has forgotten.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { code, .. } => matches!(code, 408 | 410 | 429 | 500 | 502 | 503 | 504),
            Self::Kubeconfig(_)
            | Self::Forbidden(_)
            | Self::NotOurs(_)
            | Self::WouldLose(_)
            | Self::Outdated(_)
            | Self::Skipped { .. }
            | Self::WrongCluster { .. }
            | Self::RecordChanged(_)
            | Self::Data(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_credential_program_is_quoted_only_where_it_speaks_to_people() {
        let out = std::process::Output {
            status: std::process::ExitStatus::from_raw(256),
            stdout: b"tok-en".to_vec(),
            stderr: b"noise\nplease log in\n\n".to_vec(),
        };
        let failed = AuthError::AuthExecRun { cmd: "TOKEN=\"tok-en\" plugin".into(), out: Box::new(out) };
        let told = ClusterError::from_kube("https://x", &kube::Error::Auth(failed));
        let words =
            "the kubeconfig gives no credentials: its credential program failed with exit status: 1: please log in";
        assert_eq!(told, ClusterError::Kubeconfig(words.into()));
        let layered = kube::Error::Service(Box::new(AuthError::ExecPluginFailed));
        assert!(matches!(ClusterError::from_kube("https://x", &layered), ClusterError::Kubeconfig(_)));
    }

    #[test]
    fn the_text_of_a_kubeconfig_is_not_repeated() {
        for text in ["users: [{name: a, user: {token: tok-en", "users:\n- tok-en\n", "clusters: tok-en"] {
            let error = kube::config::Kubeconfig::from_yaml(text).unwrap_err();
            let told = kubeconfig(&error);
            assert!(
                told.starts_with("it is not the YAML of a kubeconfig, see line ") && !told.contains("tok-en"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_kept_us_from_the_server_is_said_in_words() {
        let table = [
            ("received corrupt message of type InvalidContentType", "it does not speak TLS: is it the right port?"),
            (
                "invalid peer certificate: UnknownIssuer",
                "its certificate is not signed by the authority that the kubeconfig names",
            ),
            ("invalid peer certificate: Expired", "its certificate has expired"),
            ("Connection refused (os error 111)", "connection refused"),
        ];
        for (text, words) in table {
            assert_eq!(network(text), words);
        }
    }
}
