//! `rekindle rehearse`: the rebuild in a simulated cluster, in virtual time.

mod real;
mod serve;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::identities::{explain, open_secrets, say_opened};
use super::render::say_warnings;
use super::report_file::ReportArgs;
use super::settings::Context;
use super::{CliError, Exit};
use crate::cluster::{Cluster, ClusterError};
use crate::kit::{Environment, Kit, Rendered};
use crate::manifest::mistake::nearest;
use crate::plan::Plan;
use crate::rebuild::Options;
use crate::rebuild::event::{Event, Outcome, VERSION};
use crate::rehearsal::needs::{Needs, needs};
use crate::rehearsal::{Fate, Faults, Model, Simulation, World};
use crate::report::document::About;
use crate::report::duration::human;
use crate::report::lines::Lines;
use crate::report::progress::Progress;
use crate::report::{ending, json as json_form, rehearsal, sanitize};
use crate::secrets::{SecretsError, StandIns};

const AFTER_HELP: &str = "\
The engine that rebuilds is the real one; the cluster is simulated inside this
process, and its time passes at once. No cluster is reached, nothing is written.
Without a key for the secrets, stand-ins take their place.

What-ifs show what an operator would see, and end with that run's exit code:
  --fail Deployment/api=crash              its container exits with code 1
  --fail StatefulSet/redis=pull            its image cannot be pulled
  --fail Deployment/web=never              it runs and never becomes ready
  --slow StatefulSet/postgresql-app=2h     from its start to being ready
  --api-errors 5%                          requests that go wrong, by --seed

Times are assumed, unless a real run has measured them:
  rekindle up staging -o json > run.jsonl
  rekindle rehearse staging --measured run.jsonl

A time beyond the phase's own limits (phases.NAME.timeout and stall_timeout in
the environment's file) ends as it would for real.

With --context NAME it is done for real, in that cluster: as an instance of its
own (namespace, hosts, archive prefix; with what `rehearsal.values` in the
environment's file says), measured, and taken away again. Only what is not there
is made, and only that is removed. It wants the key for the secrets.

With --serve the simulated cluster stays afterwards, for kubectl, until Ctrl-C.

Examples:
  rekindle rehearse production
  rekindle rehearse production --report rebuild.html
  rekindle rehearse production --serve
  rekindle rehearse production --slow StatefulSet/postgresql-fingerprint=3h30m
  rekindle rehearse staging --context kind-rekindle";

/// Arguments of `rehearse`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct RehearseArgs {
    /// The environment to rehearse; `rekindle env list` names them
    #[arg(value_name = "ENV")]
    environment: String,
    /// Let pods of a workload fail: crash, pull or never (repeatable)
    #[arg(long, value_name = "KIND/NAME=HOW")]
    fail: Vec<String>,
    /// Let a workload take so long from its start to being ready (repeatable)
    #[arg(long, value_name = "KIND/NAME=TIME")]
    slow: Vec<String>,
    /// Let a share of all requests to the API server go wrong
    #[arg(long, value_name = "PERCENT")]
    api_errors: Option<String>,
    /// Which requests go wrong: the same number, the same requests
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Nodes of the simulated cluster [default: as many as pods that must be apart need]
    #[arg(long, value_name = "NUMBER")]
    nodes: Option<usize>,
    /// Take times from the events of a real run: the output of `rekindle up -o json` (repeatable)
    #[arg(long, value_name = "FILE")]
    measured: Vec<std::path::PathBuf>,
    /// Keep the simulated cluster for kubectl, on a loopback address [default: a free port]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:0")]
    serve: Option<std::net::SocketAddr>,
    #[command(flatten)]
    report: ReportArgs,
}

impl RehearseArgs {
    /// The words after `rekindle` that say the same again.
    fn words(&self) -> Vec<String> {
        let mut words = vec!["rehearse".to_owned(), self.environment.clone()];
        let mut say = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        self.fail.iter().for_each(|wish| say("--fail", wish.clone()));
        self.slow.iter().for_each(|wish| say("--slow", wish.clone()));
        if let Some(share) = &self.api_errors {
            say("--api-errors", share.clone());
            say("--seed", self.seed.to_string());
        }
        self.nodes.iter().for_each(|nodes| say("--nodes", nodes.to_string()));
        self.measured.iter().for_each(|file| say("--measured", file.display().to_string()));
        words
    }
}

/// Runs the command.
pub fn run(context: &mut Context, args: &RehearseArgs) -> Result<Exit, CliError> {
    if context.common.context.is_some() {
        return real::run(context, args);
    }
    let began = std::time::Instant::now();
    let report = args.report.open()?;
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    let (rendered, opened) = render(context, &kit, &environment)?;
    let plan = Plan::of(&rendered)?;
    let needs = needs(&plan);
    let model = model(args, &plan)?;
    let supposed: Vec<String> = args
        .slow
        .iter()
        .filter_map(|wish| wish.split_once('='))
        .map(|(name, time)| format!("{name} takes {time}"))
        .collect();
    let measured: Vec<String> = model.measured.keys().cloned().collect();
    let nodes = args.nodes.unwrap_or(needs.nodes.max(1));
    let setting = rehearsal::Setting {
        supposed,
        measured,
        assumed: assumptions(&model),
        secrets: opened,
        left_out: left_out(&rendered, &needs),
        needs,
        took: 0.0,
    };
    drop(rendered);
    let socket = args.serve.map(serve::open).transpose()?;
    let rehearsed = rehearse(context, args, &plan, model, nodes)?;
    let took = began.elapsed().as_secs_f64();
    let setting = rehearsal::Setting { took, ..setting };
    show(context, args, &rehearsed.progress, &setting);
    if let Some(report) = report {
        let about = About {
            command: context.command(&args.words()),
            ending: as_operator(context, args),
            rehearsal: Some(setting),
            ..About::default()
        };
        report.save(&mut context.ui, &rehearsed.progress, &about)?;
    }
    if let Some(socket) = socket {
        serve::until_stopped(context, &rehearsed.runtime, rehearsed.simulation, socket)?;
    }
    Ok(rehearsed.exit)
}

/// Renders with the environment's secrets or, where no identity opens them, with stand-ins; says which, and whether it takes
/// an identity.
fn render(context: &mut Context, kit: &Kit, environment: &Environment) -> Result<(Rendered, bool), CliError> {
    let vault = open_secrets(context, kit, environment)?;
    match kit.render(environment, &vault) {
        Ok(rendered) => {
            say_opened(context, &vault);
            say_warnings(context, &rendered.warnings);
            let asked = vault.outcome().is_some();
            Ok((rendered, asked))
        }
        Err(mistakes) => {
            let why = match vault.outcome().and_then(Result::err) {
                Some(error @ (SecretsError::NoMatchingIdentity { .. } | SecretsError::NoFile { .. })) => {
                    error.to_string()
                }
                Some(error) => return Err(explain(&context.common, error.clone())),
                None => return Err(mistakes.into()),
            };
            let rendered = kit.render(environment, &StandIns::of(kit)?)?;
            context.ui.say(&format!("stand-ins take the place of all secrets: {why}"));
            say_warnings(context, &rendered.warnings);
            Ok((rendered, true))
        }
    }
}

/// The model that the flags ask for.
fn model(args: &RehearseArgs, plan: &Plan) -> Result<Model, CliError> {
    let mut model = Model::default();
    let workloads: Vec<String> = plan
        .phases
        .iter()
        .flat_map(|phase| &phase.items)
        .filter(|item| {
            matches!(item.object.kind(), "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "Pod" | "ReplicaSet")
        })
        .map(|item| format!("{}/{}", item.object.kind(), item.object.name()))
        .collect();
    let split = |flag: &str, wish: &str| -> Result<(String, String), CliError> {
        let (name, value) =
            wish.split_once('=').ok_or_else(|| CliError::new(Exit::Usage, format!("--{flag} {wish} has no =")))?;
        if workloads.iter().any(|known| known == name) {
            return Ok((name.to_owned(), value.to_owned()));
        }
        let error = CliError::new(Exit::Usage, format!("--{flag} {wish}: the kit makes no pods by the name {name}"));
        Err(match nearest(name, workloads.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean --{flag} {near}={value}?")),
            None => error.hint(format!("what makes pods: {}", workloads.join(", "))),
        })
    };
    for wish in &args.fail {
        let (name, how) = split("fail", wish)?;
        let fate = match how.as_str() {
            "crash" => Fate::Crash,
            "pull" => Fate::Pull,
            "never" => Fate::Never,
            _ => {
                return Err(CliError::new(Exit::Usage, format!("--fail {wish}: {how} is no way to fail"))
                    .hint("the ways are crash, pull and never"));
            }
        };
        model.fates.insert(name, fate);
    }
    for wish in &args.slow {
        let (name, time) = split("slow", wish)?;
        let time = time.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        let time = time.ok_or_else(|| {
            CliError::new(Exit::Usage, format!("--slow {wish}: this is no time"))
                .hint("a time is written as 90s, 20m or 3h30m")
        })?;
        model.ready.insert(name, time);
    }
    if let Some(text) = &args.api_errors {
        let share = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        let share = share.filter(|share| (0.0..=90.0).contains(share)).ok_or_else(|| {
            CliError::new(Exit::Usage, format!("--api-errors {text}: this is no share of requests"))
                .hint("a share is written as 5%, at most 90%")
        })?;
        model.errors = share / 100.0;
    }
    for file in &args.measured {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let why = super::plain(&error);
            CliError::new(Exit::Usage, format!("--measured {}: cannot be read: {why}", file.display()))
        })?;
        model.measured.extend(measured(&text));
    }
    model.measured.retain(|name, _| workloads.contains(name) && !model.ready.contains_key(name));
    Ok(model)
}

/// Times from being sent to being ready that the events of a run tell, by `Kind/name`.
fn measured(text: &str) -> BTreeMap<String, Duration> {
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ready = events.filter(|event| event["event"] == "object-ready");
    ready
        .filter_map(|event| {
            let word = |name: &str| event.pointer(&format!("/object/{name}"))?.as_str().map(str::to_owned);
            let seconds = event["seconds"].as_f64().filter(|seconds| *seconds > 0.0)?;
            Some((format!("{}/{}", word("kind")?, word("name")?), Duration::try_from_secs_f64(seconds).ok()?))
        })
        .collect()
}

/// What the model assumes, as phrases.
fn assumptions(model: &Model) -> Vec<String> {
    let time = |time: Duration| human(time.as_secs_f64());
    vec![
        format!("{} for an image that is new to a node", time(model.pull)),
        format!("{} for a volume", time(model.volume)),
        format!("{} for the address of a load balancer", time(model.address)),
        "2 to 20 s from a container's start to being ready, by its image".to_owned(),
        "gates pass when the pods they ask are ready".to_owned(),
    ]
}

/// What a reader must know that the picture does not show.
fn left_out(rendered: &Rendered, needs: &Needs) -> Vec<String> {
    let mut sentences = Vec::new();
    let databases = rendered.phases.iter().flat_map(|phase| &phase.objects);
    let databases =
        databases.filter(|object| object.kind() == "StatefulSet" && object.name().contains("postgresql")).count();
    if databases > 0 && needs.bytes > 0 {
        sentences.push(
            "data is not in it: databases come up empty here; with their restore it takes longer, for example with \
             --slow StatefulSet/NAME=2h"
                .to_owned(),
        );
    }
    sentences
}

/// A rehearsal that has ended, with its cluster.
struct Rehearsed {
    progress: Progress,
    exit: Exit,
    runtime: tokio::runtime::Runtime,
    simulation: Simulation,
}

/// Runs the engine against the simulation until its last event.
fn rehearse(
    context: &mut Context,
    args: &RehearseArgs,
    plan: &Plan,
    model: Model,
    nodes: usize,
) -> Result<Rehearsed, CliError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| CliError::new(Exit::Bug, format!("no runtime: {error}")))?;
    let faults = Faults::new(args.seed, model.errors);
    let started = jiff::Timestamp::now();
    let redactor = context.ui.redactor_mut().clone();
    let mut view = View::new(context);
    let (exit, simulation) = runtime.block_on(async {
        let simulation = Simulation::new(World::new(started, nodes, model, true), Faults::none());
        let cluster = simulation.connect().await?;
        simulation.go_wrong(faults);
        let mut tries = 0;
        loop {
            let options = Options {
                run: format!("{:08x}", args.seed),
                started,
                redactor: redactor.clone(),
                stand_in: Some(simulation.answers()),
                ..Options::default()
            };
            tries += 1;
            match follow(&cluster, plan, options, &mut view).await {
                // Before the first write a run does not try again by itself.
                Err(error) if error.is_transient() && tries < TRIES => {
                    view.progress = Progress::default();
                    view.ui.say(&format!("it could not begin, as an operator would see: {error}; begun again"));
                }
                ended => {
                    let exit = Exit::from_code(ended?);
                    simulation.go_wrong(Faults::none());
                    return Ok::<_, CliError>((exit, simulation));
                }
            }
        }
    })?;
    Ok(Rehearsed { progress: view.progress, exit, runtime, simulation })
}

/// How often a run that could not begin is begun again.
const TRIES: usize = 20;

/// One run, from its first event to its last.
async fn follow(cluster: &Cluster, plan: &Plan, options: Options, view: &mut View) -> Result<u8, ClusterError> {
    let (events, mut happened) = mpsc::unbounded_channel();
    // Nobody stops it; the sender must live for as long as the run does.
    let (_stop, stopped) = watch::channel(false);
    let mut run = std::pin::pin!(crate::rebuild::run(cluster.clone(), plan, options, events, stopped));
    let mut ended = None;
    loop {
        tokio::select! {
            biased;
            event = happened.recv() => match event {
                Some(event) => view.event(&event),
                None => return Ok(ended.unwrap_or(Exit::Bug as u8)),
            },
            code = &mut run, if ended.is_none() => ended = Some(code?),
        }
    }
}

/// Takes in events: as JSON for programs, as lines where more is wanted, else only for the last screen.
struct View {
    ui: super::ui::Ui,
    json: bool,
    lines: Option<Lines>,
    progress: Progress,
}

impl View {
    fn new(context: &Context) -> Self {
        let lines = (context.common.verbose > 0 && !context.json()).then(|| Lines::new(true));
        Self { ui: context.ui.clone(), json: context.json(), lines, progress: Progress::default() }
    }

    fn event(&mut self, event: &Event) {
        let mut event = event.clone();
        sanitize::map_text(&mut event, &|text| self.ui.redact(text));
        if self.json {
            self.ui.out_json(json_form::value(&event));
        }
        sanitize::map_text(&mut event, &sanitize::clean);
        self.progress.apply(&event);
        if let Some(lines) = &mut self.lines {
            let lines = lines.event(&event);
            self.ui.say_lines(&lines);
        }
    }
}

/// What an operator whose run stopped would be told to do next.
fn as_operator(context: &Context, args: &RehearseArgs) -> ending::Setting {
    ending::Setting {
        again: context.command(&["up", &args.environment]),
        look: context.command(&["status", &args.environment]),
        ..ending::Setting::default()
    }
}

/// The last screen: the picture of a rebuild that succeeds, or what an operator would see of one that does not.
fn show(context: &mut Context, args: &RehearseArgs, progress: &Progress, setting: &rehearsal::Setting) {
    let width = context.ui.width();
    let end = progress.end.as_ref();
    if context.json() {
        context.ui.out_json(json!({
            "version": VERSION, "event": "rehearsed", "environment": progress.environment,
            "outcome": end.map(|end| end.outcome), "exit": end.map(|end| end.exit), "seconds": end.map(|end| end.seconds),
            "measured": setting.measured, "supposed": setting.supposed, "assumed": setting.assumed, "needs": setting.needs,
        }));
    }
    match end.filter(|end| end.outcome == Outcome::Done) {
        Some(_) if context.json() => {}
        Some(end) => context.ui.say_lines(&rehearsal::ending(progress, end, setting, width)),
        None => {
            context.ui.say("a rehearsal, nothing real was touched; this is what an operator would see:");
            context.ui.say("");
            context.ui.say_lines(&ending::ending(progress, &as_operator(context, args), width));
        }
    }
}
