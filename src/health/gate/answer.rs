//! What a question was answered with, in one sentence, and how errors and data of the other side become one.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;

use crate::cluster::forward::{Peer, PodReport};
use crate::secrets::redact::Redactor;

tokio::task_local! {
    /// What quotes are redacted with, while a question is asked.
    static REDACTOR: Redactor;
}

/// Asks a question whose quotes are redacted before they are cut and put on one line: of a secret that was cut or
/// reshaped, the rest could not be recognised any more.
pub(super) async fn redacting<F: Future>(redactor: &Redactor, question: F) -> F::Output {
    REDACTOR.scope(redactor.clone(), question).await
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the gate's condition is true.
    pub passed: bool,
    /// What was observed, one sentence without a full stop, e.g. `answered f, wanted t`. Known secrets are redacted.
    pub text: String,
    /// It can never pass: asking again is useless.
    pub fatal: bool,
}

impl Answer {
    /// It is true.
    pub fn passed(text: impl Into<String>) -> Self {
        Self { passed: true, text: text.into(), fatal: false }
    }

    /// It is not true yet.
    pub fn waiting(text: impl Into<String>) -> Self {
        Self { passed: false, text: text.into(), fatal: false }
    }

    /// It will never be true.
    pub fn fatal(text: impl Into<String>) -> Self {
        Self { passed: false, text: text.into(), fatal: true }
    }

    /// True or not, with the same words.
    pub fn of(passed: bool, text: impl Into<String>) -> Self {
        Self { passed, text: text.into(), fatal: false }
    }
}

/// Longest piece of the other side's text that is quoted, in characters.
const LONGEST: usize = 160;

/// The other side's text in one line of readable length, without control characters and, inside [`redacting`], without
/// secrets.
pub(super) fn quote(text: &str) -> String {
    let text = REDACTOR.try_with(|redactor| redactor.redact(text)).unwrap_or_else(|_| text.to_owned());
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A connection that ended without an answer: what was reported about the peer, or else that it is closed.
pub(super) fn closed(peer: &Peer) -> String {
    peer.report().map_or_else(|| format!("connection closed by {peer}"), quote)
}

/// An error of a connection as a sentence about the peer: what was reported about it, or else from the most telling of the
/// error's causes.
pub(super) fn explain(error: &(dyn Error + 'static), peer: &Peer) -> String {
    if let Some(report) = peer.report() {
        return quote(report);
    }
    let mut current = Some(error);
    let mut deepest = error;
    while let Some(cause) = current {
        // The Redis client hands its causes out behind a shared pointer, which hides their type.
        let cause = match cause.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            Some(shared) => &**shared as &(dyn Error + 'static),
            None => cause,
        };
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && let Some(text) = explain_io(io, peer)
        {
            return text;
        }
        deepest = cause;
        current = cause.source();
    }
    format!("{peer}: {}", quote(&deepest.to_string()))
}

/// An I/O error in words; `None` when one of its causes says more.
fn explain_io(error: &io::Error, peer: &Peer) -> Option<String> {
    if error.get_ref().is_some_and(|inner| inner.is::<PodReport>()) {
        return Some(quote(&error.to_string()));
    }
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("connection refused by {peer}"),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected => closed(peer),
        io::ErrorKind::TimedOut => format!("no answer from {peer}"),
        _ => return None,
    })
}

/// Runs a conversation beside the task that drives its connection; ends with the conversation.
pub(super) async fn beside<T>(work: impl Future<Output = T>, driver: impl Future) -> T {
    let driver = async {
        driver.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        biased;
        done = work => done,
        never = driver => match never {},
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn quotes_are_short_lines() {
        assert_eq!(quote("  no\r\n\tdatabase \u{1b}[31m "), "no database [31m");
        assert_eq!(quote(&"ä".repeat(500)).chars().count(), LONGEST + 1);
    }

    #[tokio::test]
    async fn quotes_are_redacted_before_they_are_cut() {
        let redactor = Redactor::default();
        redactor.add("correct horse  battery staple");
        let long = format!("{} correct horse  battery staple", ".".repeat(LONGEST - 10));
        let quoted = redacting(&redactor, async { quote(&long) }).await;
        assert!(quoted.ends_with(" •••"), "{quoted}");
    }

    #[test]
    fn errors_name_the_peer() {
        let table = [
            (io::Error::from(io::ErrorKind::ConnectionRefused), "connection refused by pod a"),
            (io::Error::from(io::ErrorKind::BrokenPipe), "connection closed by pod a"),
            (io::Error::from(io::ErrorKind::PermissionDenied), "pod a: permission denied"),
            (io::Error::other(PodReport("pod a, port 80: not running".into())), "pod a, port 80: not running"),
            (io::Error::other("something else"), "pod a: something else"),
            (io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"), "connection closed by pod a"),
        ];
        for (error, text) in table {
            assert_eq!(explain(&error, &Peer::new("pod a")), text);
        }
        let peer = Peer::new("pod a");
        peer.reported("pod a, port 80: not running");
        let error = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(explain(&error, &peer), "pod a, port 80: not running");
    }
}
