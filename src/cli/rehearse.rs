//! `rekindle rehearse`: the rebuild in a simulated cluster, in virtual time.

mod before;
mod model;
mod names;
mod real;
mod serve;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use self::model::{Wishes, assumptions};
use super::data::{self, DataArgs, Draft, Reach};
use super::identities::{explain, open_secrets, say_opened};
use super::render::say_warnings;
use super::report_file::ReportArgs;
use super::settings::Context;
use super::{CliError, Exit};
use super::{journal, rehearsals};
use crate::cluster::{Cluster, ClusterError};
use crate::data::{Answers, Choice};
use crate::kit::{Environment, Kit, Rendered};
use crate::plan::Plan;
use crate::rebuild::Options;
use crate::rebuild::event::{Event, Outcome, VERSION};
use crate::rehearsal::accident::Accident;
use crate::rehearsal::filling::{FilledSet, by_set};
use crate::rehearsal::needs::{needs, simulated_pods};
use crate::rehearsal::record::{self, Record};
use crate::rehearsal::{Faults, Simulation, World};
use crate::report::document::About;
use crate::report::duration::human;
use crate::report::lines::Lines;
use crate::report::progress::Progress;
use crate::report::text::count;
use crate::report::{ending, json as json_form, rehearsal, sanitize};
use crate::secrets::{SecretSource, SecretsError, StandIns, Vault};

const AFTER_HELP: &str = "\
The engine that rebuilds is the real one; the cluster is simulated inside this
process, and its time passes at once. Without --context no cluster is reached,
and nothing is written.
Without a key for the secrets, stand-ins take their place.

Data is decided about as `up` decides, and stops for the same reasons, with exit
code 4. Without --survivors the worst is supposed: all volumes are gone, backups
are there, as large as their claims ask. What survived is said by a file:
  kubectl get pv -o yaml > survivors.yaml
  rekindle rehearse production --survivors survivors.yaml
  rekindle rehearse production --survivors survivors.yaml --lose-volume pg-app-0
Volumes that are bound in it are supposed to lose their claims: those of the
policy Retain survive. --lose-volume takes the name of a volume, of a claim or
of a data set. What archives hold can be said in the same file, else it is
assumed:
  apiVersion: rekindle.dev/v1
  kind: Backups
  metadata: {name: postgresql-app}     # the data set
  spec:
    backups: [{name: base_000000010000000000000002, finished: 6h ago, size: 40Gi}]
    wal_until: 1m ago                  # or a time: 2026-11-25T04:10:00Z
Also known there: history, followed (the archive that a stand-by follows),
unreadable (why), and of a backup system_identifier and missing_wal.

What-ifs show what an operator would see, and end with that run's exit code:
  --fail Deployment/api=crash              its container exits with code 1
  --fail StatefulSet/redis=pull            its image cannot be pulled
  --fail Deployment/web=never              it runs and never becomes ready
  --slow StatefulSet/postgresql-app=2h     from its start to being ready
  --slow postgresql-app=2h                 the restore of a data set
  --slow Cluster/main=20m                  a custom resource that is waited for,
                                           until its operator calls it ready;
                                           --fail …=never, too
  --api-errors 5%                          requests that go wrong, by --seed

No operator runs in a simulation. A custom resource becomes ready after some
seconds, with what `rekindle.dev/ready` or a condition gate asks of it. What no
template makes and is named after it (db-app, db-rw) is taken to be made by its
operator, and the Secret that a Certificate or an ExternalSecret names.

Times are assumed, unless a real run of the environment has measured them: its
journals on this machine are read, and what another one has told with -o json:
  rekindle up staging -o json > run.jsonl
  rekindle rehearse staging --measured run.jsonl

A time beyond the phase's own limits (phases.NAME.timeout and stall_timeout in
the environment's file) ends as it would for real.

With --context NAME it is done for real, in that cluster: as an instance of its
own (namespace, hosts, archive prefix; with what `rehearsal.values` in the
environment's file says), measured, and taken away again. Only what is not there
is made, and only that is removed. It wants the key for the secrets.

The newest rehearsals are on record in $XDG_STATE_HOME/rekindle/rehearsals or
~/.local/state/rekindle/rehearsals; `rekindle status ENV` says how old the last
one without a what-if and the last one for real are, and whether the kit has
changed since.

With --serve the simulated cluster stays afterwards, for kubectl, until Ctrl-C:
get, describe, apply, diff, patch, scale, rollout, wait and delete. No container
runs, so that logs are empty and exec is refused; of events only warnings are
there; what kubectl sends as protobuf (create deployment, autoscale) is not
read. Its clock is ahead by what the rebuild took.

Examples:
  rekindle rehearse production
  rekindle rehearse production --report rebuild.html
  rekindle rehearse production --serve
  rekindle rehearse production --slow postgresql-fingerprint=3h30m
  rekindle rehearse staging --context kind-rekindle";

/// Arguments of `rehearse`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct RehearseArgs {
    /// The environment to rehearse; `rekindle env list` names them
    #[arg(value_name = "ENV")]
    environment: String,
    /// What is left before: volumes as `kubectl get pv -o yaml` prints them, and what archives hold; - is standard input
    #[arg(long, value_name = "FILE")]
    survivors: Option<std::path::PathBuf>,
    /// Suppose that a volume of that file is lost as well, or those of a claim or data set (repeatable)
    #[arg(long, value_name = "NAME")]
    lose_volume: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Let pods of a workload fail: crash, pull or never (repeatable)
    #[arg(long, value_name = "KIND/NAME=HOW")]
    fail: Vec<String>,
    /// Let a workload take so long from its start to being ready, or a data set to be restored (repeatable)
    #[arg(long, value_name = "NAME=TIME")]
    slow: Vec<String>,
    /// Let a share of all requests to the API server go wrong
    #[arg(long, value_name = "PERCENT")]
    api_errors: Option<String>,
    /// Which requests go wrong: the same number, the same requests
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Nodes of the simulated cluster, 5000 at most [default: as many as pods need that are to be apart or spread]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(..=5000))]
    nodes: Option<u16>,
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
    /// The words after `rekindle` that say the same again, for messages that name the command to go on with.
    fn words(&self) -> Vec<String> {
        let mut words = vec!["rehearse".to_owned(), self.environment.clone()];
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        self.survivors.iter().for_each(|file| add("--survivors", file.to_string_lossy().into_owned()));
        for (flag, values) in [("--lose-volume", &self.lose_volume), ("--fail", &self.fail), ("--slow", &self.slow)] {
            values.iter().for_each(|value| add(flag, value.clone()));
        }
        self.api_errors.iter().for_each(|share| add("--api-errors", share.clone()));
        if self.seed != 1 {
            add("--seed", self.seed.to_string());
        }
        self.nodes.iter().for_each(|nodes| add("--nodes", nodes.to_string()));
        self.measured.iter().for_each(|file| add("--measured", file.to_string_lossy().into_owned()));
        words.extend(self.data.words());
        words
    }

    /// What is made to go wrong or to take long, a phrase each.
    fn supposed(&self) -> Vec<String> {
        let slow = self.slow.iter().filter_map(|wish| wish.split_once('='));
        let slow = slow.map(|(name, time)| format!("{name} takes {time}"));
        let fail = self.fail.iter().filter_map(|wish| wish.split_once('='));
        let fail = fail.map(|(name, how)| match how {
            "crash" => format!("{name} crashes"),
            "pull" => format!("{name} cannot pull its image"),
            _ => format!("{name} never becomes ready"),
        });
        let errors = self.api_errors.iter().map(|share| format!("{share} of the requests to the API server go wrong"));
        let nodes = self.nodes.iter().map(|nodes| format!("a cluster of {}", count(usize::from(*nodes), "node")));
        slow.chain(fail).chain(errors).chain(nodes).collect()
    }

    /// Whether the cluster is another than the environment wants, or data is decided about as nobody would without being asked, or
    /// something is made to go wrong or to take long.
    fn is_what_if(&self) -> bool {
        let made = self.api_errors.is_some() || self.nodes.is_some() || self.survivors.is_some();
        made || self.data != DataArgs::default()
            || [&self.fail, &self.slow, &self.lose_volume].iter().any(|it| !it.is_empty())
    }
}

/// Runs the command.
pub fn run(context: &mut Context, args: &RehearseArgs) -> Result<Exit, CliError> {
    if context.common.context.is_some() {
        return real::run(context, args);
    }
    let (began, started) = (std::time::Instant::now(), Timestamp::now());
    let report = args.report.open()?;
    let kit = context.kit()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    let (rendered, secrets) = render(context, &kit, &environment)?;
    let plan = Plan::of(&rendered)?;
    let journals = journal::measured(context, &plan.environment, &|step| model::holds_data(&plan, step));
    let wishes = Wishes::read(args, &plan, &journals)?;
    let nodes = args.nodes.map_or_else(|| needs(&plan).simulated_nodes(), usize::from);
    refuse_too_many(simulated_pods(&plan, nodes))?;
    wishes.notes.iter().for_each(|note| context.ui.say(note));
    let mut answers = args.data.answers(&plan)?;
    let accident = before::accident(args, &environment, &plan, &answers, started)?;
    before::say(context, args, &accident);
    answers.allow_empty.extend(accident.let_be_empty.iter().cloned());
    let socket = args.serve.map(serve::open).transpose()?;
    let draft =
        Draft { kit: &kit, environment: &environment, secrets: secrets.source(), rendered, words: args.words() };
    let stage = Stage { started, wishes, answers, accident: &accident, nodes };
    let rehearsed = rehearse(context, args, draft, plan, stage)?;
    let took = began.elapsed().as_secs_f64();
    let before = rehearsals::last(context, &kit, &environment);
    let setting = rehearsal::Setting { before, took, ..setting(args, &rehearsed, &accident, secrets.are_needed()) };
    show(context, args, &rehearsed.progress, &setting);
    for name in rehearsed.simulation.world().unplayed() {
        context.ui.say(&format!(
            "nobody plays in a simulation what {name} waits for: its rekindle.dev/ready does not say what would be written, or its definition does not take it"
        ));
    }
    if let Some(end) = &rehearsed.progress.end {
        let record = Record {
            rehearsal: record::VERSION,
            time: started,
            stack: environment.stack.clone(),
            environment: rehearsed.progress.environment.clone(),
            kit: kit.fingerprint(&environment),
            outcome: end.outcome,
            seconds: end.seconds,
            context: None,
            what_if: args.is_what_if(),
        };
        rehearsals::keep(context, &record);
    }
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

/// Where the values of secrets come from.
enum Secrets {
    /// The environment's age file; whether any template asked for one.
    Vault(Box<Vault>),
    /// Nobody's: no identity opens the file.
    StandIns(StandIns),
}

impl Secrets {
    fn source(&self) -> &dyn SecretSource {
        match self {
            Self::Vault(vault) => vault.as_ref(),
            Self::StandIns(stand_ins) => stand_ins,
        }
    }

    /// Whether a rebuild takes an identity that opens them.
    fn are_needed(&self) -> bool {
        match self {
            Self::Vault(vault) => vault.outcome().is_some(),
            Self::StandIns(_) => true,
        }
    }
}

/// Renders with the environment's secrets or, where no identity opens them, with stand-ins; says which.
fn render(context: &mut Context, kit: &Kit, environment: &Environment) -> Result<(Rendered, Secrets), CliError> {
    let vault = open_secrets(context, kit, environment)?;
    match kit.render(environment, &vault) {
        Ok(rendered) => {
            say_opened(context, &vault);
            say_warnings(context, &rendered);
            Ok((rendered, Secrets::Vault(Box::new(vault))))
        }
        Err(mistakes) => {
            let why = match vault.outcome().and_then(Result::err) {
                Some(error @ (SecretsError::NoMatchingIdentity { .. } | SecretsError::NoFile { .. })) => {
                    error.to_string()
                }
                Some(error) => return Err(explain(&context.common, error.clone())),
                None => return Err(mistakes.into()),
            };
            let stand_ins = StandIns::of(kit)?;
            let rendered = kit.render(environment, &stand_ins)?;
            context.ui.say(&format!("stand-ins take the place of all secrets: {why}"));
            say_warnings(context, &rendered);
            Ok((rendered, Secrets::StandIns(stand_ins)))
        }
    }
}

/// Where a rehearsal takes place.
struct Stage<'a> {
    started: Timestamp,
    wishes: Wishes,
    answers: Answers,
    accident: &'a Accident,
    nodes: usize,
}

/// A rehearsal that has ended, with its cluster.
struct Rehearsed {
    plan: Plan,
    progress: Progress,
    exit: Exit,
    /// The volumes that were filled.
    filled: Vec<FilledSet>,
    runtime: tokio::runtime::Runtime,
    simulation: Simulation,
}

/// Decides about data and runs the engine against the simulation until its last event.
fn rehearse(
    context: &mut Context,
    args: &RehearseArgs,
    draft: Draft<'_>,
    plan: Plan,
    stage: Stage<'_>,
) -> Result<Rehearsed, CliError> {
    let runtime = paused()?;
    let faults = Faults::new(args.seed, stage.wishes.model.errors);
    let (plan, progress, exit, simulation) = runtime.block_on(async {
        let mut world = World::new(stage.started, stage.nodes, stage.wishes.model.clone(), true);
        world.bring(&plan);
        world.leave(stage.accident);
        let simulation = Simulation::new(world, Faults::none());
        let cluster = simulation.connect().await?;
        let reach = Reach { cluster: &cluster, from: None, until: None, bound: true, simulated: true };
        let protected = draft.environment.protected;
        let mut plan = data::decided(context, &stage.answers, draft, plan, &reach).await?;
        before::tell_what_is_supposed(&mut plan.data, stage.accident, protected);
        data::show(context, &plan.data);
        simulation.world().model = stage.wishes.model(&plan, &plan.data)?;
        simulation.go_wrong(faults);
        let redactor = context.ui.redactor_mut().clone();
        let mut view = View::new(context);
        let mut tries = 0;
        loop {
            // Looking for backups has taken its time.
            let since = stage.started.saturating_add(simulation.world().elapsed()).unwrap_or(stage.started);
            let options = Options {
                run: format!("{:08x}", args.seed),
                started: since,
                redactor: redactor.clone(),
                stand_in: Some(simulation.answers()),
                ..Options::default()
            };
            tries += 1;
            match follow(&cluster, &plan, options, |event| view.event(event)).await {
                // Before the first write a run does not try again by itself.
                Err(error) if error.is_transient() && tries < TRIES => {
                    view.progress = Progress::default();
                    view.ui.say(&format!("it could not begin, as an operator would see: {error}; begun again"));
                }
                ended => {
                    let exit = Exit::from_code(ended?);
                    simulation.go_wrong(Faults::none());
                    return Ok::<_, CliError>((plan, view.progress, exit, simulation));
                }
            }
        }
    })?;
    let filled = by_set(&simulation.world().filled, &plan.claims);
    Ok(Rehearsed { plan, progress, exit, filled, runtime, simulation })
}

/// Pods of a simulated cluster at most: each has its own life, and the time for it grows faster than their number.
const MOST_PODS: usize = 10_000;

fn refuse_too_many(pods: usize) -> Result<(), CliError> {
    if pods <= MOST_PODS {
        return Ok(());
    }
    let message = format!("the kit makes {pods} pods: a simulated cluster takes {MOST_PODS} at most");
    Err(CliError::new(Exit::Usage, message).hint("rehearse it smaller:   --set …replicas=NUMBER"))
}

/// How often a run that could not begin is begun again.
const TRIES: usize = 20;

/// A runtime in which time passes at once where nothing is left to do.
fn paused() -> Result<tokio::runtime::Runtime, CliError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build();
    runtime.map_err(|error| CliError::new(Exit::Bug, format!("no runtime: {error}")))
}

/// One run, from its first event to its last.
async fn follow(
    cluster: &Cluster,
    plan: &Plan,
    options: Options,
    mut told: impl FnMut(&Event),
) -> Result<u8, ClusterError> {
    let (events, mut happened) = mpsc::unbounded_channel();
    // Nobody stops it; the sender must live for as long as the run does.
    let (_stop, stopped) = watch::channel(false);
    let mut run = std::pin::pin!(crate::rebuild::run(cluster.clone(), plan, options, events, stopped));
    let mut ended = None;
    loop {
        tokio::select! {
            biased;
            event = happened.recv() => match event {
                Some(event) => told(&event),
                None => return Ok(ended.unwrap_or(Exit::Bug as u8)),
            },
            code = &mut run, if ended.is_none() => ended = Some(code?),
        }
    }
}

/// What the last screen says beside the picture.
fn setting(args: &RehearseArgs, rehearsed: &Rehearsed, accident: &Accident, secrets: bool) -> rehearsal::Setting {
    let world = rehearsed.simulation.world();
    rehearsal::Setting {
        supposed: args.supposed(),
        measured: world.model.measured.keys().cloned().collect(),
        assumed: assumptions(&world, &rehearsed.filled),
        after: made_again(&rehearsed.plan).collect(),
        filled: rehearsed.filled.clone(),
        assumed_backups: accident.assumed.clone(),
        secrets,
        needs: needs(&rehearsed.plan),
        ..rehearsal::Setting::default()
    }
}

/// What goes on after the rebuild: data that begins empty and is made again from other data.
fn made_again(plan: &Plan) -> impl Iterator<Item = String> {
    plan.data_sets.iter().filter_map(|set| {
        let derived = set.derived.as_ref()?;
        let estimate = human(derived.estimate?.as_secs_f64());
        let empty = plan.data.of_set(&set.name)?.claims.iter().any(|claim| claim.choice == Choice::Empty);
        empty
            .then(|| format!("{} is made again from {}, about {estimate} that are not counted", set.name, derived.from))
    })
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
            "filled": setting.filled, "assumed_backups": setting.assumed_backups, "before": setting.before,
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
