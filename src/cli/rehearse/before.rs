//! What is left when a rehearsed rebuild begins: what a file of survivors says less what is lost as well, or what is supposed
//! without one.

use std::path::Path;

use jiff::Timestamp;

use super::RehearseArgs;
use crate::cli::data::policy;
use crate::cli::settings::Context;
use crate::cli::{CliError, Exit, input, plain};
use crate::data::{Answers, Choice, Decisions};
use crate::kit::Environment;
use crate::plan::Plan;
use crate::rehearsal::accident::{Accident, Before, UnknownVolume};
use crate::rehearsal::survivors::{self, Survivors};
use crate::report::text::count;

/// The accident that a rehearsal begins after.
///
/// # Errors
/// Exit 2 when the file or a flag is wrong.
pub fn accident(
    args: &RehearseArgs,
    environment: &Environment,
    plan: &Plan,
    answers: &Answers,
    now: Timestamp,
) -> Result<Accident, CliError> {
    let policy = policy(environment);
    let before = Before { sets: &plan.data_sets, claims: &plan.claims, policy: &policy, answers, now };
    let Some(file) = &args.survivors else {
        return match args.lose_volume.first() {
            None => Ok(before.nothing_left()),
            Some(name) => {
                let message = format!("--lose-volume {name}: without --survivors every volume is lost already");
                Err(CliError::new(Exit::Usage, message)
                    .hint("say what survived:   kubectl get pv -o yaml > survivors.yaml"))
            }
        };
    };
    let survivors = read(file, plan, now)?;
    if args.nodes.is_some() && !survivors.nodes.is_empty() {
        let message = format!("--nodes: {} says which nodes there are", file.display());
        return Err(CliError::new(Exit::Usage, message).hint("leave out one of them"));
    }
    before.survived(survivors, &args.lose_volume).map_err(|unknown| unknown_volume(file, unknown))
}

/// Reads the file of survivors; `-` is standard input.
fn read(file: &Path, plan: &Plan, now: Timestamp) -> Result<Survivors, CliError> {
    let name = input::name(file);
    let bytes = input::read(file).map_err(|error| {
        CliError::new(Exit::Usage, format!("--survivors {name}: cannot be read: {}", plain(&error)))
            .hint("volumes are written down with:   kubectl get pv -o yaml > survivors.yaml")
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| CliError::new(Exit::Usage, format!("--survivors {name}: this is not text in UTF-8")))?;
    survivors::read(&text, &name, now, &plan.data_sets).map_err(|mistakes| {
        let message = format!("{} in {name}", count(mistakes.0.len(), "mistake"));
        CliError { mistakes: mistakes.0, ..CliError::new(Exit::Usage, message) }
    })
}

fn unknown_volume(file: &Path, unknown: UnknownVolume) -> CliError {
    let UnknownVolume { typed, near, known } = unknown;
    let message =
        format!("--lose-volume {typed}: neither a volume of {} nor a claim or data set of the kit", file.display());
    let error = CliError::new(Exit::Usage, message);
    match near {
        Some(near) => error.hint(format!("did you mean --lose-volume {near}?")),
        None => error.detail(format!("known: {}", known.join(", "))),
    }
}

/// Says what the rehearsal begins with, before anything is decided.
pub fn say(context: &mut Context, args: &RehearseArgs, accident: &Accident) {
    if context.json() {
        return;
    }
    if args.survivors.is_none() && !accident.assumed.is_empty() {
        context.ui.say("supposed: volumes are gone and backups are there; to say what is left: --survivors FILE");
    }
    accident.notes.iter().for_each(|note| context.ui.say(note));
}

/// Nobody has said what is only supposed to be said.
pub fn tell_what_is_supposed(decisions: &mut Decisions, accident: &Accident, protected: bool) {
    for set in decisions.sets.iter_mut().filter(|set| accident.let_be_empty.contains(&set.data_set)) {
        let name = &set.data_set;
        let confirm = if protected { format!(" --confirm-data {name}") } else { String::new() };
        for claim in set.claims.iter_mut().filter(|claim| claim.choice == Choice::Empty) {
            claim.reason = format!("supposed; up wants to hear it: --allow-empty {name}{confirm}");
        }
    }
}
