//! The one conversion from library errors to what a person sees: message, causes, hints, exit code.

use crate::manifest::mistake::{Mistake, Mistakes};

/// Exit codes, one per class of outcome. They are part of the public interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A bug in Rekindle.
    Bug = 1,
    /// Wrong usage.
    Usage = 2,
    /// The kit is wrong: render, schema, reference, secret.
    Kit = 3,
    /// Refused to protect something: guard, data, ownership.
    Protected = 4,
    /// The cluster is unreachable or does not allow it.
    Unreachable = 5,
    /// The cluster refused an object.
    Refused = 6,
    /// Not healthy in time, or failed for good.
    Unhealthy = 7,
    /// Somebody else holds the lock.
    Locked = 8,
    /// `--exit-code`: there are changes.
    Changes = 9,
    /// Ended by Ctrl-C or a termination signal.
    Interrupted = 130,
}

impl Exit {
    /// The class of a code; an unknown code is a bug.
    pub fn from_code(code: u8) -> Self {
        use Exit::*;
        let all = [Done, Usage, Kit, Protected, Unreachable, Refused, Unhealthy, Locked, Changes, Interrupted];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Bug)
    }
}

/// What a command failed with, ready to be shown.
#[derive(Debug)]
pub struct CliError {
    /// The process's exit code.
    pub exit: Exit,
    /// What is wrong: one line, lower case, no full stop.
    pub message: String,
    /// Facts, a line each, shown below the message.
    pub details: Vec<String>,
    /// Mistakes in the kit, shown with their source lines.
    pub mistakes: Vec<Mistake>,
    /// Next commands or advice, a line each, shown last.
    pub hints: Vec<String>,
}

impl CliError {
    /// An error of a class.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), mistakes: Vec::new(), hints: Vec::new() }
    }

    /// The error as an event of `-o json`: `{"version":1,"event":"error","exit":3,…}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": crate::rebuild::event::VERSION,
            "event": "error",
            "exit": self.exit as u8,
            "message": self.message,
            "mistakes": self.mistakes,
            "details": self.details,
            "hints": self.hints,
        })
    }

    /// Adds advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a fact.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Adds the first few facts of a list, and how many more there are.
    pub fn details_of<T: Into<String>>(self, facts: impl ExactSizeIterator<Item = T>, shown: usize) -> Self {
        let more = facts.len().saturating_sub(shown);
        let error = facts.take(shown).fold(self, Self::detail);
        if more > 0 { error.detail(format!("and {more} more")) } else { error }
    }
}

/// What the system says, as a fragment: without the number and the capital of `No such file or directory (os error 2)`.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

impl From<Mistakes> for CliError {
    fn from(mistakes: Mistakes) -> Self {
        // A single one that is in no file, such as a mistyped environment, needs no frame around it.
        if let [only] = mistakes.0.as_slice()
            && only.file.is_empty()
        {
            let on_the_command_line = ["unknown-environment", "unknown-value", "unknown-image", "set", "image", "name"];
            let exit = if on_the_command_line.contains(&only.code) { Exit::Usage } else { Exit::Kit };
            return Self { hints: only.hint.iter().cloned().collect(), ..Self::new(exit, &only.message) };
        }
        let mut error = Self::new(Exit::Kit, mistakes.to_string());
        error.mistakes = mistakes.0;
        error
    }
}
