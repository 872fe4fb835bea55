//! `rekindle check`: every mistake in the kit, without a cluster and without a key.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;

use super::settings::Context;
use super::{CliError, Exit, mistakes};
use crate::kit::{Kit, Overrides, Rendered};
use crate::manifest::mistake::{Mistake, Mistakes};
use crate::plan::Plan;
use crate::rehearsal::validate;
use crate::report::text::{Line, Tone, count, list};
use crate::secrets::recipients::Recipients;
use crate::secrets::schema::Schema;
use crate::secrets::{StandIns, file_of};

/// Arguments of `check`.
#[derive(Args, Debug)]
#[command(after_help = "\
Renders every environment with stand-ins for its secrets, so no key is needed.
An environment that others extend and that is named base, or has no namespace,
is read but not rendered. One with a `rehearsal` is rendered once more, as it is
rehearsed for real. Exit code 3 when there is a mistake.

Examples:
  rekindle check
  rekindle check production --kit ./my-kit
  rekindle check -o json")]
pub struct CheckArgs {
    /// The environments to check [default: all]
    environments: Vec<String>,
}

/// A mistake or a warning, with the environments in which it shows; none for the kit as a whole.
struct Finding {
    mistake: Mistake,
    stops: bool,
    environments: Vec<String>,
}

/// What came of one environment.
struct Verdict {
    environment: String,
    rendered: Option<Rendered>,
    mistakes: usize,
    base: bool,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &CheckArgs) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    let overrides = context.overrides()?;
    let all: Vec<String> = kit.environment_names().into_iter().map(str::to_owned).collect();
    let asked: BTreeSet<&String> = args.environments.iter().collect();
    for unknown in asked.iter().filter(|name| !all.contains(name)) {
        kit.environment(unknown, &Overrides::default())?;
    }
    let names = || all.iter().filter(|name| asked.is_empty() || asked.contains(name));
    let mut findings = Vec::new();
    let schema = match Schema::of(&kit) {
        Ok(schema) => schema,
        Err(mistakes) => {
            add(&mut findings, mistakes.0, true, None);
            Schema::default()
        }
    };
    if let Err(mistakes) = Recipients::of(&kit) {
        add(&mut findings, mistakes.0, true, None);
    }
    let secrets = StandIns::new(schema);
    let mut verdicts = Vec::new();
    for name in names() {
        // Asked for by name, a base is rendered too.
        let base = args.environments.is_empty() && is_base(&kit, name, &all);
        let edit = context.command(&["secrets", "edit", name]);
        verdicts.push(check(&kit, (name, &edit), &overrides, base, &secrets, &mut findings));
    }
    if args.environments.is_empty() && verdicts.iter().all(|verdict| verdict.mistakes == 0) {
        unused_secrets(&secrets, &verdicts, &mut findings);
    }
    show(context, &verdicts, &findings);
    let stopping: Vec<&Finding> = findings.iter().filter(|finding| finding.stops).collect();
    if stopping.is_empty() {
        if !context.json() {
            context.ui.say("secrets were not looked at: each had a stand-in");
        }
        return Ok(Exit::Done);
    }
    let warnings = findings.len() - stopping.len();
    let also = if warnings > 0 { format!(" and {}", count(warnings, "warning")) } else { String::new() };
    Err(CliError::new(Exit::Kit, format!("{}{also} in the kit", count(stopping.len(), "mistake"))))
}

/// Whether an environment is there only to be extended.
fn is_base(kit: &Kit, name: &str, all: &[String]) -> bool {
    let extended = all.iter().any(|other| kit.extends(other).as_deref() == Some(name));
    extended && (name == "base" || !kit.states(name, "namespace"))
}

/// Checks one environment. `edit`: the command that edits its secrets.
fn check(
    kit: &Kit,
    (name, edit): (&str, &str),
    overrides: &Overrides,
    base: bool,
    secrets: &StandIns,
    findings: &mut Vec<Finding>,
) -> Verdict {
    let mut verdict = Verdict { environment: name.to_owned(), rendered: None, mistakes: 0, base };
    if base {
        // It is read with those that extend it; what is told here would otherwise be told by none of them.
        let found = kit.environment(name, &Overrides::default()).err().unwrap_or_default().0;
        let found: Vec<Mistake> = found.into_iter().filter(|mistake| mistake.code != "missing").collect();
        verdict.mistakes = found.len();
        add(findings, found, true, Some(name));
        return verdict;
    }
    let result = kit.environment(name, overrides).and_then(|environment| kit.render(&environment, secrets));
    let result = result.and_then(|rendered| Plan::of(&rendered).map(|_| rendered));
    match result {
        Ok(rendered) => {
            add(findings, rendered.warnings.clone(), false, Some(name));
            let found = refusals(kit, &rendered);
            verdict.mistakes = found.len();
            add(findings, found, true, Some(name));
            if !rendered.secret_values.is_empty() && !kit.files.contains_key(&file_of(name)) {
                let asked = count(rendered.secret_values.len(), "secret");
                let missing = Mistake {
                    code: "no-secrets",
                    message: format!("{name} asks for {asked}, and there is no {}", file_of(name)),
                    file: format!("environments/{name}.yaml"),
                    span: None,
                    hint: Some(format!("make it with: {edit}")),
                };
                add(findings, vec![missing], false, Some(name));
            }
            if kit.states(name, "rehearsal") && overrides.instance.is_none() {
                let found = rehearsed(kit, name, overrides, secrets).err().unwrap_or_default().0;
                verdict.mistakes += found.len();
                add(findings, found, true, Some(&format!("rehearsals of {name}")));
            }
            verdict.rendered = (verdict.mistakes == 0).then_some(rendered);
        }
        Err(mistakes) => {
            verdict.mistakes = mistakes.0.len();
            add(findings, mistakes.0, true, Some(name));
        }
    }
    verdict
}

/// What an API server would refuse: fields that it does not know or cannot read, and otherwise what its validation says.
fn refusals(kit: &Kit, rendered: &Rendered) -> Vec<Mistake> {
    let mut found = rendered.misfits.clone();
    if !found.is_empty() {
        // What is wrong in shape is often what validation misses.
        return found;
    }
    for object in rendered.phases.iter().flat_map(|phase| &phase.objects) {
        for error in validate::refusals(object) {
            let message = format!("{}: {}: {}", object.key(), error.field, error.message);
            found.push(kit.mistake_at("invalid", message, &object.origin));
        }
    }
    found
}

/// Renders an environment as `rehearse --context` would, whose values for that nothing else reads.
fn rehearsed(kit: &Kit, name: &str, overrides: &Overrides, secrets: &StandIns) -> Result<(), Mistakes> {
    let overrides = Overrides { instance: Some("rehearsal-000000".into()), rehearsal: true, ..overrides.clone() };
    let rendered = kit.render(&kit.environment(name, &overrides)?, secrets)?;
    Plan::of(&rendered).map(drop)
}

/// Adds findings; one that is already there in another environment only gets this environment's name.
fn add(findings: &mut Vec<Finding>, found: Vec<Mistake>, stops: bool, environment: Option<&str>) {
    for mistake in found {
        // The hint names a place that may differ between environments.
        let same = |finding: &Finding| {
            let Mistake { code, message, file, span, hint: _ } = &finding.mistake;
            (code, message, file, span) == (&mistake.code, &mistake.message, &mistake.file, &mistake.span)
        };
        match findings.iter_mut().find(|finding| same(finding) && finding.stops == stops) {
            Some(finding) => finding.environments.extend(environment.map(str::to_owned)),
            None => {
                let environments = environment.map(str::to_owned).into_iter().collect();
                findings.push(Finding { mistake, stops, environments });
            }
        }
    }
}

fn unused_secrets(secrets: &StandIns, verdicts: &[Verdict], findings: &mut Vec<Finding>) {
    use crate::secrets::SecretSource as _;
    let asked: BTreeSet<&str> = verdicts
        .iter()
        .filter_map(|verdict| verdict.rendered.as_ref())
        .flat_map(|rendered| rendered.secret_values.keys().map(String::as_str))
        .collect();
    for name in secrets.names().iter().filter(|name| !asked.contains(name.as_str())) {
        let unused = Mistake {
            code: "unused-secret",
            message: format!("no template asks for the secret {name}"),
            file: "secrets/schema.yaml".into(),
            span: None,
            hint: None,
        };
        add(findings, vec![unused], false, None);
    }
}

fn show(context: &mut Context, verdicts: &[Verdict], findings: &[Finding]) {
    if context.json() {
        for finding in findings {
            let mut line = json!(finding.mistake);
            line["kind"] = if finding.stops { "mistake" } else { "warning" }.into();
            line["environments"] = json!(finding.environments);
            context.ui.out_json(line);
        }
    } else {
        for finding in findings {
            let shown = std::slice::from_ref(&finding.mistake);
            let text = if finding.stops {
                mistakes::render(shown, context.ui.colour)
            } else {
                mistakes::render_warnings(shown, context.ui.colour)
            };
            let everywhere = verdicts.iter().all(|verdict| finding.environments.contains(&verdict.environment));
            let everywhere = everywhere || finding.environments.is_empty();
            let seen = if everywhere { String::new() } else { format!("   in {}\n", list(&finding.environments)) };
            context.ui.say(&format!("{text}{seen}"));
        }
    }
    let width = verdicts.iter().map(|verdict| verdict.environment.chars().count()).max().unwrap_or_default() + 2;
    for verdict in verdicts {
        let warnings = |finding: &&Finding| !finding.stops && finding.environments.contains(&verdict.environment);
        let warnings = findings.iter().filter(warnings).count();
        let phases = || verdict.rendered.iter().flat_map(|rendered| &rendered.phases);
        let objects: usize = phases().map(|phase| phase.objects.len()).sum();
        let gates: usize = phases().map(|phase| phase.gates.len()).sum();
        if context.json() {
            context.ui.out_json(json!({
                "kind": "environment", "environment": verdict.environment, "rendered": verdict.rendered.is_some(),
                "mistakes": verdict.mistakes, "warnings": warnings, "objects": objects, "gates": gates,
            }));
            continue;
        }
        let name = Line::new().with(Tone::Strong, &verdict.environment).to_column(width);
        let line = match (&verdict.rendered, verdict.base) {
            (_, true) if verdict.mistakes == 0 => name.and("only extended by others, not rendered"),
            (None, _) => name.with(Tone::Bad, count(verdict.mistakes, "mistake")),
            (Some(rendered), _) => {
                let phases = count(rendered.phases.len(), "phase");
                let good = format!("{} in {phases}, {}", count(objects, "object"), count(gates, "gate"));
                let line = name.with(Tone::Good, "ok").and(format!("  {good}"));
                if warnings > 0 { line.and(", ").with(Tone::Warn, count(warnings, "warning")) } else { line }
            }
        };
        context.ui.out_lines(&[line]);
    }
}
