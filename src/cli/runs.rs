//! `rekindle runs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::error::plain;
use super::journal::folder;
use super::process;
use super::report_file::ReportArgs;
use super::settings::Context;
use super::{CliError, Exit};
use crate::rebuild::journal::{self, Header, State, Summary};
use crate::report::document::About;
use crate::report::ending::{Setting, Silence, ending};
use crate::report::progress::Progress;
use crate::report::runs::table;
use crate::report::sanitize;

const LIST_HELP: &str = "\
Runs are read from the journals that `up` writes on this machine, in
$XDG_STATE_HOME/rekindle/runs or ~/.local/state/rekindle/runs; the newest 200
are kept. The newest comes first. With -o json: one object a line.

Example:
  rekindle runs list -o json | jq 'select(.outcome != \"done\")'";

const SHOW_HELP: &str = "\
Prints the last screen of a run again, from its journal; with -o json its
events, as `up -o json` prints them. The beginning of the id is enough.
With --report FILE they become a report, and nothing else is printed.

Examples:
  rekindle runs show 7f3a
  rekindle runs show 7f3a --report run.html
  rekindle runs show 7f3a -o json | jq 'select(.event == \"object-failed\")'";

/// The commands under `runs`.
#[derive(Subcommand, Debug)]
pub enum RunsCommand {
    /// List the runs of this machine, the newest first
    #[command(after_help = LIST_HELP)]
    List,
    /// Show the last screen of a run again
    #[command(after_help = SHOW_HELP)]
    Show(ShowArgs),
}

/// Arguments of `runs show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The run's id, or its beginning; `rekindle runs list` names them
    #[arg(value_name = "RUN")]
    pub run: String,
    #[command(flatten)]
    pub report: ReportArgs,
}

/// Runs the command.
pub fn run(context: &mut Context, command: &RunsCommand) -> Result<Exit, CliError> {
    match command {
        RunsCommand::List => list(context),
        RunsCommand::Show(args) => show(context, args),
    }
}

/// The files of the journals, newest first.
fn journals(context: &Context) -> Result<Vec<PathBuf>, CliError> {
    let folder = folder(context)?;
    journal::list(&folder).map_err(|error| {
        CliError::new(Exit::Usage, format!("the journals in {} cannot be read: {}", folder.display(), plain(&error)))
    })
}

fn list(context: &mut Context) -> Result<Exit, CliError> {
    let read = |path: &PathBuf| Summary::read(&std::fs::read(path).ok()?);
    let runs: Vec<(Summary, State)> = journals(context)?
        .iter()
        .filter_map(read)
        .map(|summary| {
            let state = summary.state(process::is_alive);
            (summary, state)
        })
        .collect();
    if context.json() {
        for (run, state) in &runs {
            context.ui.out_json(line(run, *state));
        }
    } else if runs.is_empty() {
        context.ui.say(&format!("no run has left a journal in {}", folder(context)?.display()));
    } else {
        context.ui.out_lines(&table(&runs));
    }
    Ok(Exit::Done)
}

/// A run as one object of `-o json`.
fn line(run: &Summary, state: State) -> serde_json::Value {
    let header = &run.header;
    json!({
        "version": crate::rebuild::event::VERSION,
        "run": header.run,
        "time": format!("{:.3}", header.time),
        "environment": header.environment,
        "stack": header.stack,
        "cluster": header.cluster,
        "context": header.context,
        "by": header.by,
        "command": header.command,
        "down": run.down,
        "outcome": state,
        "exit": run.end.as_ref().map(|end| end.exit),
        "phase": run.phase,
        "seconds": crate::rebuild::event::seconds(std::time::Duration::from_secs_f64(run.seconds())),
        "written": run.written,
    })
}

fn show(context: &mut Context, args: &ShowArgs) -> Result<Exit, CliError> {
    let wanted = args.run.as_str();
    let report = args.report.open()?;
    let bytes = find(context, wanted)?;
    if context.json() && report.is_none() {
        journal::events(&bytes).for_each(|event| context.ui.out_json(event));
        return Ok(Exit::Done);
    }
    let Some(summary) = Summary::read(&bytes) else {
        return Err(CliError::new(Exit::Usage, format!("the journal of run {wanted} cannot be read")));
    };
    let state = summary.state(process::is_alive);
    let mut progress = Progress { environment: summary.header.environment.clone(), ..Progress::default() };
    let mut refused = Vec::new();
    for event in journal::events(&bytes) {
        if event["event"] == "error" {
            let text = |value: &serde_json::Value| sanitize::clean(value.as_str().unwrap_or_default());
            refused.push(format!("✗ {}", text(&event["message"])));
            let facts = event["details"].as_array().into_iter().chain(event["hints"].as_array()).flatten();
            refused.extend(facts.map(|fact| format!("  {}", text(fact))));
        } else if let Some(mut event) = journal::event(event) {
            sanitize::map_text(&mut event, &sanitize::clean);
            progress.apply(&event);
        }
    }
    let header = summary.header;
    let silence = if state == State::Running { Silence::Running } else { Silence::Killed };
    if let Some(report) = report {
        if !refused.is_empty() {
            let message = format!("run {} was refused before it began: there is nothing to report", header.run);
            return Err(CliError::new(Exit::Usage, message).hint(context.command(&["runs", "show", &header.run])));
        }
        let Header { command, look, hosts, by, .. } = header;
        let setting = Setting { again: command.clone(), look, hosts, silence };
        let about = About { command, by, ending: setting, rehearsal: None };
        report.save(&mut context.ui, &progress, &about)?;
        return Ok(Exit::Done);
    }
    let began = header.time.strftime("%Y-%m-%d %H:%M:%S UTC");
    let place = format!(
        "run {} of {}, {began}, by {}, {} at {}",
        header.run, header.environment, header.by, header.context, header.server
    );
    context.ui.out(&sanitize::clean(&place));
    context.ui.out(&sanitize::clean(&format!("  {}", header.command)));
    context.ui.out("");
    if !refused.is_empty() {
        refused.iter().for_each(|line| context.ui.out(line));
        return Ok(Exit::Done);
    }
    let setting = Setting { again: header.command, look: header.look, hosts: header.hosts, silence };
    let lines = ending(&progress, &setting, context.ui.width());
    context.ui.out_lines(&lines);
    Ok(Exit::Done)
}

/// The journal of the run whose id begins so.
fn find(context: &Context, wanted: &str) -> Result<Vec<u8>, CliError> {
    let mut found = Vec::new();
    let mut newest = None;
    for path in journals(context)? {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let Some(header) = Header::read(&bytes) else { continue };
        if header.run == wanted {
            return Ok(bytes);
        }
        if !wanted.is_empty() && header.run.starts_with(wanted) {
            found.push((header, bytes));
        } else {
            newest.get_or_insert(header.run);
        }
    }
    let list = context.command(&["runs", "list"]);
    if found.len() > 1 {
        let error = CliError::new(Exit::Usage, format!("{} runs begin with {wanted}: say more of the id", found.len()));
        return Err(found.iter().take(10).fold(error, |error, (header, _)| {
            error.detail(format!(
                "{}   {}   {}",
                header.run,
                header.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
                header.environment
            ))
        }));
    }
    found.pop().map(|(_, bytes)| bytes).ok_or_else(|| {
        let error = CliError::new(Exit::Usage, format!("there is no run {wanted} in the journals of this machine"));
        let error = match newest {
            Some(run) => error.hint(format!("the newest other one:   {}", context.command(&["runs", "show", &run]))),
            None => error,
        };
        error.hint(format!("all of them:            {list}"))
    })
}
