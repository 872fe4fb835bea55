//! A saved plan on its way into `up`: read, compared, refused.

use std::path::Path;

use super::error::plain;
use super::settings::Context;
use super::up::UpArgs;
use super::{CliError, Exit};
use crate::plan::Plan;
use crate::plan::decide::{Adoption, Wishes};
use crate::plan::proposal::{Outdated, SavedPlan};
use crate::report::text::count;

/// Objects that are named one by one.
const SHOWN: usize = 10;

/// Reads a saved plan and compares it with what the kit gives now.
///
/// # Errors
/// Exit 2 when the file is no saved plan, exit 4 when it is about something else.
pub fn read(context: &Context, file: &Path, plan: &Plan) -> Result<SavedPlan, CliError> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::new(Exit::Usage, format!("--plan {shown}: {}", plain(&error))))?;
    let found = SavedPlan::read(&text).and_then(|saved| saved.is_about(plan).map(|()| saved));
    found.map_err(|error| {
        let environment = plan.environment.split('/').next().unwrap_or_default();
        explain(context, environment, file, &error)
    })
}

/// What a saved plan allows beyond the ordinary.
pub fn wishes(saved: &SavedPlan) -> Wishes {
    let adopt = Adoption::of(saved.adopt.iter().map(String::as_str));
    Wishes { adopt, take_ownership: saved.take_ownership }
}

/// Why the plan of `--plan` is not executed.
pub fn refuse(context: &Context, args: &UpArgs, error: &Outdated) -> CliError {
    explain(context, &args.environment, args.plan.as_deref().unwrap_or(Path::new("")), error)
}

fn explain(context: &Context, environment: &str, file: &Path, error: &Outdated) -> CliError {
    let file = file.display().to_string();
    let exit = match error {
        Outdated::Unreadable(_) | Outdated::Version(_) => Exit::Usage,
        _ => Exit::Protected,
    };
    if exit == Exit::Usage {
        return CliError::new(exit, format!("--plan {file}: {error}"));
    }
    let message = format!("refused: the saved plan {file} is not executed: {error}; nothing was written");
    let mut refused = CliError::new(exit, message);
    if let Outdated::Objects(names) = error {
        refused = names.iter().take(SHOWN).fold(refused, CliError::detail);
        let more = names.len().saturating_sub(SHOWN);
        if more > 0 {
            refused = refused.detail(format!("and {} more", count(more, "object")));
        }
    }
    let again = context.command(&["plan", environment]);
    refused.hint(format!("plan again, and look at it:   {again} -o {file}"))
}
