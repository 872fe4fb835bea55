//! `rekindle plan`.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::connection::block_on;
use super::data::{self, DataArgs, Draft, Reach, decided};
use super::error::plain;
use super::journal;
use super::ownership::{WishArgs, check_names};
use super::render::render_and_keep;
use super::scopes::Planned;
use super::settings::Context;
use super::{CliError, Exit, Output};
use crate::cluster::observe::standing;
use crate::cluster::preview::preview;
use crate::cluster::volumes::claims;
use crate::kit::{Environment, Kit};
use crate::manifest::ObjectKey;
use crate::plan::decide::decide;
use crate::plan::estimate::estimate;
use crate::plan::proposal::{Intent, Proposal, SavedPlan, digest};
use crate::plan::propose::{Surroundings, propose, states};
use crate::plan::{Item, Plan};
use crate::rebuild::event::VERSION;
use crate::rebuild::prune::planned;
use crate::report::plan::{header, rows, summary};
use crate::report::sanitize::clean;
use crate::secrets::StandIns;

const AFTER_HELP: &str = "\
Reads the cluster and writes nothing. Objects that exist or could be made at
once are sent as a dry run, so the diff shows what the API server would store;
the others are taken as the kit says. Values of Secrets are never shown, only
that they differ. What `up` would refuse is shown as refused.

A saved plan is executed with  up ENV --plan FILE : exactly what it says, or
nothing where the kit, the cluster or one of the objects has changed since.

Examples:
  rekindle plan production
  rekindle plan production -o plan.json     save it
  rekindle plan staging --exit-code         9 when something would be written
  rekindle plan local --offline             the order, without a cluster

Exit codes:
  0  shown                             5  cluster unreachable or not allowed
  2  wrong usage                       9  there are changes (--exit-code)
  3  the kit is wrong
  4  refused to protect something";

/// Arguments of `plan`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct PlanArgs {
    /// The environment; `rekindle env list` names them
    #[arg(value_name = "ENV")]
    environment: String,
    /// Show the order, the gates and the time without a cluster
    #[arg(long)]
    offline: bool,
    /// End with exit code 9 when something would be written
    #[arg(long, conflicts_with = "offline")]
    exit_code: bool,
    #[command(flatten)]
    wishes: WishArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &PlanArgs) -> Result<Exit, CliError> {
    let file = match &context.common.output {
        Output::File(_) if args.offline => {
            return Err(CliError::new(Exit::Usage, "a plan without a cluster cannot be saved: leave out --offline"));
        }
        Output::File(file) => Some(file.clone()),
        Output::Human | Output::Json => None,
    };
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    if args.offline {
        return offline(context, args, &kit, &environment);
    }
    let (rendered, vault) = render_and_keep(context, &kit, &environment)?;
    let plan = Plan::of(&rendered)?;
    // Of the kit alone: what is decided about data is compared by itself.
    let of_kit = digest(&plan);
    check_names(&plan, &args.wishes.adopt)?;
    let answers = args.data.answers(&plan)?;
    let wishes = args.wishes.wishes();
    let (plan, proposal, saved, reached) = block_on(async {
        let (cluster, refusal) = context.connect_to_plan(&environment).await?;
        // What up would refuse may be looked at all the same.
        if let Some(refusal) = &refusal {
            context.ui.say(&format!("up would stop here: {}", refusal.message));
        }
        let bound = refusal.is_none();
        let known = Planned { environment, rendered, plan }.in_cluster(&cluster.kinds, &kit, &vault)?;
        let Planned { environment, rendered, plan } = known;
        let words = vec!["plan".to_owned(), args.environment.clone()];
        let draft = Draft { kit: &kit, environment: &environment, secrets: &vault, rendered, words };
        let reach = Reach { cluster: &cluster, from: None, until: None, bound, simulated: false };
        let plan = decided(context, &answers, draft, plan, &reach).await?;
        let standing = standing(&cluster, &plan).await?;
        let intents: HashMap<ObjectKey, Intent> =
            plan.items().map(|item| (item.key.clone(), decide(item, &standing, &wishes).intent)).collect();
        let intent = |item: &Item| intents.get(&item.key).copied();
        let tried = |item: &Item| !matches!(intent(item), Some(Intent::Unchanged | Intent::Refuse));
        let namespaces: BTreeSet<String> =
            plan.items().filter_map(|item| item.object.namespace().map(str::to_owned)).collect();
        let (previews, prune, claims) = tokio::join!(
            preview(&cluster, &plan, tried, |_| wishes.take_ownership),
            planned(&cluster, &plan, &standing),
            claims(&cluster, &namespaces)
        );
        let (prune, claims) = (prune?, claims?);
        let measured = journal::measured(context, &plan.environment, &|_| false);
        let around =
            Surroundings { standing: &standing, previews, prune: &prune, claims: &claims, measured: &measured };
        let proposal = propose(&plan, &wishes, around);
        let saved = SavedPlan {
            version: crate::plan::proposal::VERSION,
            time: jiff::Timestamp::now(),
            environment: plan.environment.clone(),
            cluster: cluster.uid.clone(),
            digest: of_kit.clone(),
            adopt: args.wishes.adopt.clone(),
            take_ownership: wishes.take_ownership,
            data: args.data.to_save(&plan.data),
            states: states(&plan, &standing, &prune),
            plan: json!(proposal),
        };
        Ok((plan, proposal, saved, (cluster.context, cluster.version)))
    })?;
    let refused = proposal.objects().filter(|object| object.intent == Intent::Refuse).count();
    // What is refused can be executed by nobody.
    if let Some(file) = file.as_ref().filter(|_| refused > 0) {
        context.ui.say(&format!("{} was not written: up would stop at what is refused", file.display()));
    }
    let file = file.filter(|_| refused == 0);
    if let Some(file) = &file {
        save(context, file, &saved)?;
    }
    data::show(context, &plan.data);
    show(context, &plan, &proposal, Some((&reached.0, &reached.1)));
    let mut words = vec!["up".to_owned(), args.environment.clone()];
    match &file {
        Some(file) => words.extend(["--plan".to_owned(), file.display().to_string()]),
        None => words.extend(args.wishes.words().into_iter().chain(args.data.words())),
    }
    let go = context.command(&words);
    context.ui.say_lines(&summary(&plan.environment, &proposal, &go, false));
    if refused > 0 {
        return Ok(Exit::Protected);
    }
    Ok(if args.exit_code && proposal.has_changes() { Exit::Changes } else { Exit::Done })
}

/// The plan without a cluster; without a key, too, since the order does not depend on what a secret says.
fn offline(context: &mut Context, args: &PlanArgs, kit: &Kit, environment: &Environment) -> Result<Exit, CliError> {
    let rendered = kit.render(environment, &StandIns::of(kit)?)?;
    let plan = Plan::of(&rendered)?;
    let measured = journal::measured(context, &plan.environment, &|_| false);
    let proposal = Proposal::offline(&plan, estimate(&plan, |_| true, &measured));
    show(context, &plan, &proposal, None);
    let go = context.command(&["up", &args.environment]);
    context.ui.say_lines(&summary(&plan.environment, &proposal, &go, true));
    Ok(Exit::Done)
}

/// Prints the plan to stdout: lines for people, or an object a line.
fn show(context: &mut Context, plan: &Plan, proposal: &Proposal, cluster: Option<(&str, &str)>) {
    if context.json() {
        for line in events(plan, proposal) {
            context.ui.out_json(line);
        }
        return;
    }
    let ui = context.ui.clone();
    context.ui.out_lines(&header(&plan.environment, cluster, &proposal.phases));
    context.ui.out_lines(&rows(proposal, &|text| clean(&ui.redact(text))));
}

/// The plan as JSON, one object a line: `planned-object`, `planned-gate`, `planned-data`, at the end `plan`.
fn events(plan: &Plan, proposal: &Proposal) -> Vec<Value> {
    let line = |event: &str, phase: Option<&str>, value: Value| {
        let mut line = json!({"version": VERSION, "event": event});
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), value) {
            line.extend(phase.map(|phase| ("phase".to_owned(), Value::from(phase))));
            line.extend(fields);
        }
        line
    };
    let mut lines = Vec::new();
    for phase in &proposal.phases {
        let name = Some(phase.phase.as_str());
        lines.extend(phase.objects.iter().map(|object| line("planned-object", name, json!(object))));
        lines.extend(phase.gates.iter().map(|gate| line("planned-gate", name, json!(gate))));
    }
    lines.extend(proposal.left.iter().map(|object| line("planned-object", None, json!(object))));
    lines.extend(proposal.data.iter().map(|data| line("planned-data", None, json!(data))));
    let counts: serde_json::Map<String, Value> =
        proposal.counts().into_iter().map(|(intent, number)| (intent.word().to_owned(), number.into())).collect();
    let end = json!({
        "environment": plan.environment, "counts": counts, "changes": proposal.has_changes(), "estimate": proposal.estimate, "untried": proposal.untried,
    });
    lines.push(line("plan", None, end));
    lines
}

fn save(context: &mut Context, file: &Path, saved: &SavedPlan) -> Result<(), CliError> {
    let mut value = json!(saved);
    context.ui.redactor_mut().redact_json(&mut value);
    // Plain data with text keys has nothing to fail on.
    let text = serde_json::to_string_pretty(&value).unwrap_or_default() + "\n";
    write_private(file, &text).map_err(|error| {
        CliError::new(Exit::Usage, format!("the plan cannot be saved in {}: {}", file.display(), plain(&error)))
    })?;
    context.ui.say(&format!("saved in {}", file.display()));
    Ok(())
}

/// Writes a file that only its owner may read, whole or not at all. A link stays a link, and what is no file, such as a
/// device or a pipe, is written to and not replaced.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    if std::fs::metadata(file).is_ok_and(|there| !there.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes());
    }
    let file = &file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    use super::*;

    #[test]
    fn what_is_no_file_is_written_to_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, file, link) = (folder.path().join("pipe"), folder.path().join("file"), folder.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read_to_string(pipe).unwrap()
        });
        write_private(&pipe, "a plan").unwrap();
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), "a plan");
        write_private(&file, "one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_private(&link, "two").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(write_private(folder.path(), "x").is_err());
    }
}
