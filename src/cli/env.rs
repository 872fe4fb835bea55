//! `rekindle env`: list, show, explain; `pin` and `rbac` have files of their own.

mod pin;

use clap::Subcommand;
use serde_json::{Value, json};

use super::settings::Context;
use super::{CliError, Exit};
use crate::kit::{Environment, Kit, Overrides};
use crate::manifest::Origin;
use crate::manifest::mistake::nearest;
use crate::manifest::yaml::to_yaml;
use crate::report::text::{Line, Tone, count};

/// Subcommands of `env`.
#[derive(Subcommand, Debug)]
pub enum EnvCommand {
    /// List the environments of the kit
    #[command(after_help = "Examples:\n  rekindle env list\n  rekindle env list --kit ./my-kit -o json")]
    List,
    /// Show an environment with everything it extends merged in
    #[command(after_help = "\
Examples:
  rekindle env show production
  rekindle env show staging --instance pr-123 --set api.replicas=1")]
    Show {
        /// The environment, e.g. production
        environment: String,
    },
    /// Print the roles that `up` needs for an environment, for an administrator to grant
    Rbac(super::rbac::RbacArgs),
    /// Say which file and line a setting of an environment comes from
    #[command(after_help = "\
Examples:
  rekindle env explain production values.api.replicas
  rekindle env explain production images
  rekindle env explain staging")]
    Explain {
        /// The environment, e.g. production
        environment: String,
        /// A setting, or a group of them, e.g. values.api.replicas; `values.` may be left out [default: all]
        path: Option<String>,
    },
    /// Bind an environment to the cluster that is reached
    Pin(pin::PinArgs),
}

/// Runs the command.
pub fn run(context: &mut Context, command: &EnvCommand) -> Result<Exit, CliError> {
    let kit = context.kit()?;
    match command {
        EnvCommand::Rbac(args) => super::rbac::run(context, &kit, args),
        EnvCommand::List => list(context, &kit),
        EnvCommand::Show { environment } => show(context, &kit, environment),
        EnvCommand::Explain { environment, path } => explain(context, &kit, environment, path.as_deref()),
        EnvCommand::Pin(args) => pin::run(context, &kit, args),
    }
}

fn list(context: &mut Context, kit: &Kit) -> Result<Exit, CliError> {
    let mut rows = vec![["NAME", "NAMESPACE", "EXTENDS", "PROTECTED", "CLUSTER"].map(str::to_owned)];
    let mut broken = Vec::new();
    for name in kit.environment_names() {
        let resolved = match kit.environment(name, &Overrides::default()) {
            Ok(environment) => Ok(context.pinned(environment)?),
            Err(mistakes) => Err(mistakes),
        };
        let extends = kit.extends(name);
        if context.json() {
            let found = resolved.as_ref().ok();
            context.ui.out_json(json!({
                "name": name, "extends": extends, "namespace": found.map(|found| &found.namespace),
                "protected": found.map(|found| found.protected),
                "cluster": found.map(|found| json!({
                    "context": found.cluster.context, "uid": found.cluster.uid,
                    "pinned": found.provenance.get("cluster.uid").map(ToString::to_string),
                })),
                "mistakes": resolved.as_ref().err().map_or(0, |mistakes| mistakes.0.len()),
            }));
        }
        let dash = || "-".to_owned();
        let (namespace, protected, cluster) = match &resolved {
            Ok(found) => {
                let cluster = match (&found.cluster.context, &found.cluster.uid) {
                    (Some(context), Some(uid)) => format!("{context} ({uid})"),
                    (Some(one), None) | (None, Some(one)) => one.clone(),
                    (None, None) => dash(),
                };
                let own = found
                    .provenance
                    .get("cluster.uid")
                    .filter(|_| context.own_pin(found).is_ok_and(|own| own.is_some()));
                let cluster = own.map_or(cluster.clone(), |place| format!("{cluster}, pinned by {place}"));
                (found.namespace.clone(), if found.protected { "yes" } else { "no" }.to_owned(), cluster)
            }
            Err(mistakes) => {
                // An environment without a namespace may be meant for others to extend: `check` knows.
                if mistakes.0.iter().any(|mistake| mistake.code != "missing") {
                    broken.push(name);
                }
                (dash(), dash(), dash())
            }
        };
        rows.push([name.to_owned(), namespace, extends.unwrap_or_else(dash), protected, cluster]);
    }
    if !context.json() {
        table(context, &rows);
        for name in broken {
            let check = context.command(&["check", name]);
            context.ui.say(&format!("{name} has mistakes: {check}"));
        }
    }
    Ok(Exit::Done)
}

/// Prints rows in columns, the first row as their heads.
fn table<const COLUMNS: usize>(context: &mut Context, rows: &[[String; COLUMNS]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default() + 2;
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    for (number, row) in rows.iter().enumerate() {
        let tone = if number == 0 { Tone::Dim } else { Tone::Plain };
        let line = row.iter().zip(&widths).fold((Line::new(), 0), |(line, column), (cell, width)| {
            (line.to_column(column).with(tone, cell), column + width)
        });
        context.ui.out_lines(&[line.0]);
    }
}

fn show(context: &mut Context, kit: &Kit, name: &str) -> Result<Exit, CliError> {
    let environment = context.pinned(kit.environment(name, &context.overrides()?)?)?;
    if context.json() {
        context.ui.out_json(environment.settings);
    } else {
        let text = to_yaml(&environment.settings);
        let own = context.own_pin(&environment)?;
        if let (Some(_), Some(place)) = (own, environment.provenance.get("cluster.uid")) {
            context.ui.out(&format!("# pinned by {place}"));
        }
        context.ui.out(&format!("# {name}: {}\n{}", environment.files.join(" < "), text.trim_end()));
    }
    Ok(Exit::Done)
}

fn explain(context: &mut Context, kit: &Kit, name: &str, path: Option<&str>) -> Result<Exit, CliError> {
    let environment = context.pinned(kit.environment(name, &context.overrides()?)?)?;
    let path = match path {
        Some(path) => Some(find(context, &environment, path)?),
        None => None,
    };
    for (found, origin) in settings(&environment, path.as_deref()) {
        let value = value_at(&environment, found);
        let overridden = environment.overridden.get(found).map_or(&[][..], Vec::as_slice);
        if context.json() {
            let before: Vec<Value> =
                overridden.iter().map(|over| json!({"value": over.value, "origin": over.origin})).collect();
            context.ui.out_json(json!({"path": found, "value": value, "origin": origin, "overridden": before}));
            continue;
        }
        let line = Line::new().with(Tone::Strong, found).and(format!(" = {value}")).to_column(44);
        let mut lines = vec![line.with(Tone::Dim, place(origin))];
        for over in overridden {
            let before = Line::new().and(format!("  instead of {}", over.value)).to_column(44);
            lines.push(before.with(Tone::Dim, place(&over.origin)));
        }
        context.ui.out_lines(&lines);
    }
    Ok(Exit::Done)
}

fn place(origin: &Origin) -> String {
    format!("  {origin}")
}

/// The settings at and below a path that are no mappings, or empty ones.
fn settings<'e>(environment: &'e Environment, path: Option<&str>) -> Vec<(&'e str, &'e Origin)> {
    let wanted = |found: &str| {
        path.is_none_or(|path| found == path || found.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    };
    let leaf = |found: &str| value_at(environment, found).as_object().is_none_or(serde_json::Map::is_empty);
    let all = environment.provenance.iter().map(|(found, origin)| (found.as_str(), origin));
    all.filter(|(found, _)| wanted(found) && leaf(found)).collect()
}

/// The value at a dotted path. A key may hold dots itself, so every way of cutting the path is tried.
fn value_at(environment: &Environment, path: &str) -> Value {
    fn get<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
        let Value::Object(map) = value else { return None };
        map.get(path)
            .or_else(|| path.match_indices('.').find_map(|(dot, _)| get(map.get(&path[..dot])?, &path[dot + 1..])))
    }
    get(&environment.settings, path).cloned().unwrap_or(Value::Null)
}

/// The full path of what a person typed.
fn find(context: &Context, environment: &Environment, typed: &str) -> Result<String, CliError> {
    let known = &environment.provenance;
    let below = format!("values.{typed}");
    if let Some(path) = [typed, below.as_str()].into_iter().find(|path| known.contains_key(*path)) {
        return Ok(path.to_owned());
    }
    let error = CliError::new(Exit::Usage, format!("{} has no setting {typed}", environment.name));
    let removed = environment.removed.get(typed).or(environment.removed.get(&below));
    if let Some(origin) = removed {
        return Err(error.detail(format!("{origin} removes it")));
    }
    if let Some((_, origin)) = environment.others_pin.get(typed) {
        let error = error.detail(format!("{origin} states it for its own environment: a pin is not passed on"));
        let pin = context.command(&["env", "pin", &environment.name]);
        return Err(error.hint(format!("bind this one:   {pin}")));
    }
    let near = nearest(typed, known.keys().map(String::as_str));
    Err(match near.or(nearest(&below, known.keys().map(String::as_str))) {
        Some(near) => error.hint(format!("did you mean {near} ({})?", known[near])),
        None => {
            let all = context.command(&["env", "explain", &environment.name]);
            error.detail(format!("it has {}: {all}", count(known.len(), "setting")))
        }
    })
}
