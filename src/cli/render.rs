//! `rekindle render`: the objects of an environment, as `up` would apply them.

use clap::Args;

use super::identities::{failure, open_secrets, say_opened};
use super::settings::Context;
use super::{CliError, Exit, mistakes};
use crate::kit::{Environment, Kit, Rendered, RenderedPhase};
use crate::manifest::mistake::nearest;
use crate::manifest::yaml::to_yaml;
use crate::secrets::Vault;

/// Arguments of `render`.
#[derive(Args, Debug)]
#[command(after_help = "\
Each document names the file and line it is written at. Secrets are replaced.

Examples:
  rekindle render local
  rekindle render staging --instance pr-123 --set api.replicas=1
  rekindle render production --phase ingress -o json")]
pub struct RenderArgs {
    /// The environment, e.g. local
    environment: String,
    /// Only the objects of this phase
    #[arg(long, value_name = "NAME")]
    phase: Option<String>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &RenderArgs) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    let rendered = render(context, &kit, &environment)?;
    for phase in chosen(&rendered, args.phase.as_deref())? {
        for object in &phase.objects {
            let mut body = object.body().clone();
            if context.json() {
                context.ui.out_json(body);
            } else {
                // Before it is written as YAML, where a value of several lines would be indented.
                context.ui.redactor_mut().redact_json(&mut body);
                context.ui.out(&format!("---\n# Source: {}\n{}", object.origin, to_yaml(&body).trim_end()));
            }
        }
    }
    Ok(Exit::Done)
}

/// Renders an environment with its secrets, and says which identity opened them and what is worth a warning.
///
/// # Errors
/// Every mistake in the kit; one error, not many, when the secrets cannot be opened.
pub fn render(context: &mut Context, kit: &Kit, environment: &Environment) -> Result<Rendered, CliError> {
    render_and_keep(context, kit, environment).map(|(rendered, _)| rendered)
}

/// The same, for those who look at the opened secrets afterwards.
///
/// # Errors
/// See [`render`].
pub fn render_and_keep(
    context: &mut Context,
    kit: &Kit,
    environment: &Environment,
) -> Result<(Rendered, Vault), CliError> {
    let vault = open_secrets(context, kit, environment)?;
    let rendered = render_with(context, kit, environment, &vault)?;
    Ok((rendered, vault))
}

/// The same with secrets that may be another environment's.
///
/// # Errors
/// See [`render`].
pub fn render_with(
    context: &mut Context,
    kit: &Kit,
    environment: &Environment,
    vault: &Vault,
) -> Result<Rendered, CliError> {
    let rendered = match kit.render(environment, vault) {
        Ok(rendered) => rendered,
        Err(mistakes) => return Err(failure(context, vault).unwrap_or_else(|| mistakes.into())),
    };
    say_opened(context, vault);
    say_warnings(context, &rendered);
    Ok(rendered)
}

/// Shows what stops nothing but is worth knowing.
pub fn say_warnings(context: &mut Context, rendered: &Rendered) {
    let warnings: Vec<_> = rendered.warnings.iter().chain(&rendered.misfits).cloned().collect();
    if !warnings.is_empty() {
        let text = mistakes::render_warnings(&warnings, context.ui.colour);
        context.ui.say(text.trim_end());
    }
}

fn chosen<'r>(rendered: &'r Rendered, wanted: Option<&str>) -> Result<Vec<&'r RenderedPhase>, CliError> {
    let Some(wanted) = wanted else { return Ok(rendered.phases.iter().collect()) };
    if let Some(phase) = rendered.phases.iter().find(|phase| phase.name == wanted) {
        return Ok(vec![phase]);
    }
    let names: Vec<&str> = rendered.phases.iter().map(|phase| phase.name.as_str()).collect();
    let error = CliError::new(Exit::Usage, format!("the stack has no phase {wanted}"));
    Err(match nearest(wanted, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean --phase {near}?")),
        None => error.detail(format!("its phases are {}", names.join(", "))),
    })
}
