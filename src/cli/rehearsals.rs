//! The records of rehearsals, beside the journals of runs where the user's state lives. One that cannot be written is a warning.

use std::path::PathBuf;

use super::error::plain;
use super::running::run_id;
use super::settings::Context;
use crate::kit::{Environment, Kit};
use crate::plan::full_name;
use crate::rebuild::journal::{self, Writer};
use crate::rehearsal::record::{Record, newest};

/// The folder of records: `rehearsals` in the user's state.
fn folder(context: &Context) -> Option<PathBuf> {
    context.state_dir.as_ref().map(|state| state.join("rehearsals"))
}

/// The last rehearsal of an environment as it is and the last one for real, a sentence each; nothing where none is on record.
pub fn last(context: &Context, kit: &Kit, environment: &Environment) -> Option<String> {
    let files = journal::list(&folder(context)?).ok()?;
    let texts = files.into_iter().filter_map(|file| std::fs::read(file).ok());
    let name = full_name(&environment.name, environment.instance.as_deref());
    let (now, kit) = (jiff::Timestamp::now(), kit.fingerprint(environment));
    let told: Vec<String> =
        newest(texts, &environment.stack, &name).iter().map(|record| record.told(now, &kit)).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Keeps a record.
pub fn keep(context: &mut Context, record: &Record) {
    let written = match folder(context) {
        None => Err("neither XDG_STATE_HOME nor HOME is set".to_owned()),
        Some(folder) => Writer::begin(&folder, &run_id(), record.time, &serde_json::json!(record))
            .map(drop)
            .map_err(|error| format!("{}: {}", folder.display(), plain(&error))),
    };
    if let Err(why) = written {
        context.ui.say(&format!("warning: no record of this rehearsal is kept: {why}"));
    }
}
