//! The terminal: the one place where text leaves the process, and so the one place that redacts.

use std::io::{self, IsTerminal, Write};

use super::error::CliError;
use crate::secrets::redact::Redactor;

/// Owns standard output and standard error. Data goes to stdout, all else to stderr; every byte passes the redactor.
pub struct Ui {
    redactor: Redactor,
    /// Whether stderr is a terminal that understands cursor movement.
    pub interactive: bool,
    /// Whether colour may be used on stderr.
    pub colour: bool,
}

impl Ui {
    /// A user interface on the process's streams.
    pub fn new(colour: bool) -> Self {
        let interactive = io::stderr().is_terminal();
        Self { redactor: Redactor::default(), interactive, colour: colour && interactive }
    }

    /// The redactor, to teach it secret values.
    pub fn redactor_mut(&mut self) -> &mut Redactor {
        &mut self.redactor
    }

    /// Writes a line of data to stdout.
    pub fn out(&mut self, line: &str) {
        let _ = writeln!(io::stdout().lock(), "{}", self.redactor.redact(line));
    }

    /// Writes a line for people to stderr.
    pub fn say(&mut self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", self.redactor.redact(line));
    }

    /// Shows an error with its details, mistakes and hints.
    pub fn error(&mut self, error: &CliError) {
        self.say(&format!("✗ {}", error.message));
        for mistake in &error.mistakes {
            self.say(&format!("  {mistake}"));
        }
        for detail in &error.details {
            self.say(&format!("  {detail}"));
        }
        for hint in &error.hints {
            self.say(&format!("  {hint}"));
        }
    }
}
