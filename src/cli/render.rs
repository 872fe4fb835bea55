//! `rekindle render`: the objects of an environment, as `up` would apply them.

use clap::Args;

use super::settings::Context;
use super::{CliError, Exit, mistakes};
use crate::kit::{Rendered, RenderedPhase};
use crate::manifest::yaml::to_yaml;
use crate::secrets::StandIns;

/// Arguments of `render`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rekindle render local
  rekindle render staging --instance pr-123 --set api.replicas=1
  rekindle render production --phase ingress -o json")]
pub struct RenderArgs {
    /// The environment, e.g. local
    environment: String,
    /// Only this phase
    #[arg(long, value_name = "NAME")]
    phase: Option<String>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &RenderArgs) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    let secrets = StandIns::of(&kit)?;
    let rendered = kit.render(&environment, &secrets)?;
    for phase in chosen(&rendered, args.phase.as_deref())? {
        for object in &phase.objects {
            if context.json() {
                context.ui.out(&object.body().to_string());
            } else {
                context.ui.out(&format!("---\n# Source: {}\n{}", object.origin, to_yaml(object.body()).trim_end()));
            }
        }
    }
    if !rendered.warnings.is_empty() {
        let text = mistakes::render_warnings(&rendered.warnings, context.ui.colour);
        context.ui.say(text.trim_end());
    }
    Ok(Exit::Done)
}

fn chosen<'r>(rendered: &'r Rendered, phase: Option<&str>) -> Result<Vec<&'r RenderedPhase>, CliError> {
    let chosen: Vec<_> = rendered.phases.iter().filter(|found| phase.is_none_or(|phase| found.name == phase)).collect();
    if chosen.is_empty()
        && let Some(phase) = phase
    {
        let known: Vec<&str> = rendered.phases.iter().map(|phase| phase.name.as_str()).collect();
        return Err(CliError::new(Exit::Usage, format!("the stack has no phase {phase}"))
            .detail(format!("its phases are {}", known.join(", "))));
    }
    Ok(chosen)
}
