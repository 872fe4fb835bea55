//! The journal of a run, where the user's state lives. One that cannot be written is a warning: a full disk is no reason to
//! leave an environment half rebuilt.

use std::io;
use std::path::PathBuf;

use super::error::plain;
use super::process;
use super::settings::Context;
use super::{CliError, Exit};
use crate::plan::estimate::Measured;
use crate::rebuild::event::{Event, EventKind, Resumes, VERSION};
use crate::rebuild::journal::{self, Header, Writer};
use crate::rebuild::measured;
use crate::report::json;
use crate::secrets::redact::Redactor;

/// The folder of journals: `runs` in the user's state.
///
/// # Errors
/// Exit 2 when nothing says where that is.
pub fn folder(context: &Context) -> Result<PathBuf, CliError> {
    let state = context.state_dir.as_ref();
    state.map(|state| state.join("runs")).ok_or_else(|| {
        CliError::new(Exit::Usage, "there is no place for journals: neither XDG_STATE_HOME nor HOME is set")
    })
}

/// The earlier run that a new one goes on from.
pub fn resumes(context: &Context, environment: &str, cluster: &str) -> Option<Resumes> {
    let journals = journal::list(&folder(context).ok()?).ok()?;
    let texts = journals.into_iter().filter_map(|path| std::fs::read(path).ok());
    journal::resumes(texts, environment, cluster, process::is_alive)
}

/// What steps of an environment took in earlier runs; see [`measured::measured`].
pub fn measured(context: &Context, environment: &str, holds_data: &dyn Fn(&str) -> bool) -> Measured {
    let journals = folder(context).ok().and_then(|folder| journal::list(&folder).ok()).unwrap_or_default();
    measured::measured(journals.into_iter().filter_map(|path| std::fs::read(path).ok()), environment, holds_data)
}

/// The journal of a run that goes on.
pub struct Journal {
    writer: Option<Writer>,
    redactor: Redactor,
    run: String,
    place: String,
    /// Why it is not written, told once.
    trouble: Option<String>,
}

impl Journal {
    /// Begins the journal of a run.
    pub fn begin(context: &mut Context, header: &Header) -> Self {
        let redactor = context.ui.redactor_mut().clone();
        let mut first = serde_json::json!(header);
        redactor.redact_json(&mut first);
        let (run, mut place) = (header.run.clone(), String::new());
        let (writer, trouble) = match folder(context) {
            Err(error) => (None, Some(error.message)),
            Ok(folder) => {
                place = folder.display().to_string();
                match Writer::begin(&folder, &run, header.time, &first) {
                    Ok(writer) => (Some(writer), None),
                    Err(error) => (None, Some(format!("{place}: {}", plain(&error)))),
                }
            }
        };
        Self { writer, redactor, run, place, trouble }
    }

    /// Writes an event.
    pub fn event(&mut self, event: &Event) {
        self.write(json::value(event));
    }

    /// Writes how a run ended that could not begin.
    pub fn error(&mut self, error: &CliError) {
        let mut value = error.to_json();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("time".into(), format!("{:.3}", jiff::Timestamp::now()).into());
            fields.insert("run".into(), self.run.clone().into());
        }
        self.write(value);
    }

    fn write(&mut self, mut value: serde_json::Value) {
        let Some(writer) = &mut self.writer else { return };
        self.redactor.redact_json(&mut value);
        if let Err(error) = writer.event(&value) {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        self.writer = None;
        self.trouble = Some(format!("{}: {}", self.place, plain(error)));
    }

    /// A warning for the run's events, once, when the journal cannot be written.
    pub fn warning(&mut self) -> Option<Event> {
        let trouble = self.trouble.take()?;
        let message =
            format!("the journal of this run is not written, so that nothing can be told of it later: {trouble}");
        let kind = EventKind::Warning { message };
        Some(Event { version: VERSION, time: jiff::Timestamp::now(), run: self.run.clone(), kind })
    }
}
