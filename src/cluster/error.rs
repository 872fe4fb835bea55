//! What can go wrong between us and a cluster, in words for people.

use std::error::Error as _;

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
    /// Objects of the kit are there and belong to another environment.
    #[error("refused: {}", .0.join("; "))]
    Taken(Vec<String>),
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

/// The innermost cause of an error chain: the part that says what happened (`connection refused`), without the layers
/// of "error sending request" around it.
fn innermost(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
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
            other => Self::Unreachable { server: server.to_owned(), reason: innermost(other) },
        }
    }

    /// Whether the same request may succeed a little later: no answer, too many requests, a server that is starting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { code, .. } => matches!(code, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Kubeconfig(_) | Self::Forbidden(_) | Self::Taken(_) => false,
        }
    }
}
