//! How long things take and what goes wrong, as the flags of `rehearse` ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::RehearseArgs;
use super::names::Names;
use crate::cli::{CliError, Exit, plain};
use crate::data::claims::Maker;
use crate::data::{Choice, Decisions};
use crate::manifest::references::is_builtin_group;
use crate::plan::Plan;
use crate::plan::estimate::Measured;
use crate::rehearsal::controllers::operators;
use crate::rehearsal::filling::{FilledSet, Rates, Via, fillings};
use crate::rehearsal::{Fate, Model, SERVER, World};
use crate::report::duration::human;
use crate::report::text::list;

/// Everything about times that the flags say.
pub struct Wishes {
    /// The model, as far as it does not depend on what is done about data.
    pub model: Model,
    /// Times that the restore of a data set is given.
    pub restores: BTreeMap<String, Duration>,
    /// Data sets that a measured run restored.
    measured_restores: BTreeSet<String>,
    /// What is worth saying about files of measured runs, a sentence each.
    pub notes: Vec<String>,
}

impl Wishes {
    /// Reads the flags. `journals`: what steps took in real runs of the environment.
    ///
    /// # Errors
    /// Exit 2 with what is wrong.
    pub fn read(args: &RehearseArgs, plan: &Plan, journals: &Measured) -> Result<Self, CliError> {
        let names = Names::of(plan);
        let mut model = Model::default();
        let mut restores = BTreeMap::new();
        for wish in &args.fail {
            let (name, how) = split("fail", wish)?;
            names.check("fail", &name, &how, &[])?;
            let fate = match how.as_str() {
                "crash" => Fate::Crash,
                "pull" => Fate::Pull,
                "never" => Fate::Never,
                _ => {
                    return Err(CliError::new(Exit::Usage, format!("--fail {wish}: {how} is no way to fail"))
                        .hint("the ways are crash, pull and never"));
                }
            };
            if model.fates.insert(name.clone(), fate).is_some() {
                return Err(twice("fail", &name));
            }
        }
        for wish in &args.slow {
            let (name, time) = split("slow", wish)?;
            names.check("slow", &name, &time, &names.restored)?;
            let time = time.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
            let time = time.ok_or_else(|| {
                CliError::new(Exit::Usage, format!("--slow {wish}: this is no time"))
                    .hint("a time is written as 90s, 20m or 3h30m")
            })?;
            let times = if names.restored.contains(&name) { &mut restores } else { &mut model.ready };
            if times.insert(name.clone(), time).is_some() {
                return Err(twice("slow", &name));
            }
        }
        if let Some(text) = &args.api_errors {
            let share = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
            let share = share.filter(|share| (0.0..=90.0).contains(share)).ok_or_else(|| {
                CliError::new(Exit::Usage, format!("--api-errors {text}: this is no share of requests"))
                    .hint("a share is written as 5%, at most 90%")
            })?;
            model.errors = share / 100.0;
        }
        for (step, seconds) in journals {
            model.measured.extend(Duration::try_from_secs_f64(*seconds).ok().map(|time| (step.clone(), time)));
        }
        let (mut measured_restores, mut notes) = (BTreeSet::new(), Vec::new());
        for file in &args.measured {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let why = plain(&error);
                CliError::new(Exit::Usage, format!("--measured {}: cannot be read: {why}", file.display()))
            })?;
            let refused = |why: String| CliError::new(Exit::Usage, format!("--measured {}: {why}", file.display()));
            let began = events(&text).find(|event| event["event"] == "run-started");
            let found = measured(&text);
            match began {
                Some(began) if began["server"] == SERVER => {
                    return Err(refused("that run was simulated: its times are assumed ones".into())
                        .hint("what measures is a real run:   rekindle up ENV -o json > run.jsonl"));
                }
                Some(began) if !found.is_empty() => {
                    let of = began["environment"].as_str().unwrap_or_default();
                    if of != plan.environment {
                        notes.push(format!("times of {} are those of a run of {of}", file.display()));
                    }
                }
                _ => {
                    return Err(refused("there is no run in it in which anything became ready".into())
                        .hint("it is what a run prints:   rekindle up ENV -o json > run.jsonl"));
                }
            }
            model.measured.extend(found);
            measured_restores.extend(restored_in(&text));
        }
        model.measured.retain(|name, _| names.workloads.contains(name) && !model.ready.contains_key(name));
        Ok(Self { model, restores, measured_restores, notes })
    }

    /// The model with what is done about data. A measured time counts only where as much was restored as is now.
    ///
    /// # Errors
    /// Exit 2 where the restore of a data set was given a time and there is none.
    pub fn model(self, plan: &Plan, decisions: &Decisions) -> Result<Model, CliError> {
        for name in self.restores.keys() {
            let Some(decision) = decisions.of_set(name) else { continue };
            let is_restored = |choice: &Choice| matches!(choice, Choice::Restore { .. });
            if decision.claims.iter().any(|claim| is_restored(&claim.choice)) {
                continue;
            }
            let fate = match decision.claims.first().map(|claim| &claim.choice) {
                Some(Choice::Adopt { .. }) => "is adopted",
                Some(Choice::Keep) => "is there",
                _ => "begins empty",
            };
            let message = format!("data set {name} {fate}, not restored: --slow changes nothing");
            let hint = format!("leave it out, or let it be restored:   --data {name}=restore");
            return Err(CliError::new(Exit::Usage, message).hint(hint));
        }
        let mut model = self.model;
        model.fillings = fillings(decisions, &plan.claims, Rates::default(), &self.restores);
        for claim in &plan.claims {
            let (Some(set), Maker::StatefulSet { name, .. }) = (&claim.data_set, &claim.maker) else { continue };
            if !self.measured_restores.contains(set) {
                continue;
            }
            let workload = format!("StatefulSet/{name}");
            if model.fillings.get(&claim.place()).is_some_and(|filling| filling.via == Via::Backup) {
                model.measured_with_data.insert(workload);
            } else if !model.measured_with_data.contains(&workload) {
                model.measured.remove(&workload);
            }
        }
        Ok(model)
    }
}

/// Whether a step, as `Kind/name`, makes claims that hold data.
pub fn holds_data(plan: &Plan, step: &str) -> bool {
    let mut claims = plan.claims.iter().filter(|claim| claim.data_set.is_some());
    claims.any(|claim| matches!(&claim.maker, Maker::StatefulSet { name, .. } if step == format!("StatefulSet/{name}")))
}

fn twice(flag: &str, name: &str) -> CliError {
    CliError::new(Exit::Usage, format!("--{flag} {name}=… is given twice"))
}

fn split(flag: &str, wish: &str) -> Result<(String, String), CliError> {
    let pair = wish.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.ok_or_else(|| CliError::new(Exit::Usage, format!("--{flag} {wish} has no =")))
}

fn events(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok())
}

/// Times from being sent to being ready that the events of a run tell, by `Kind/name`.
fn measured(text: &str) -> BTreeMap<String, Duration> {
    let ready = events(text).filter(|event| event["event"] == "object-ready");
    ready
        .filter_map(|event| {
            let word = |name: &str| event.pointer(&format!("/object/{name}"))?.as_str().map(str::to_owned);
            let seconds = event["seconds"].as_f64().filter(|seconds| *seconds > 0.0)?;
            Some((format!("{}/{}", word("kind")?, word("name")?), Duration::try_from_secs_f64(seconds).ok()?))
        })
        .collect()
}

/// The data sets that a run restored.
fn restored_in(text: &str) -> Vec<String> {
    let restored = events(text).filter(|event| event["event"] == "decision" && event["decision"] == "restore");
    restored.filter_map(|event| event["data_set"].as_str().map(str::to_owned)).collect()
}

/// What the model assumes, as phrases; of the filling of volumes and of operators only where there were any.
pub fn assumptions(world: &World, filled: &[FilledSet]) -> Vec<String> {
    let model = &world.model;
    let time = |time: Duration| human(time.as_secs_f64());
    let mut phrases = vec![
        format!("{} for an image that is new to a node", time(model.pull)),
        format!("{} for a volume", time(model.volume)),
        format!("{} for the address of a load balancer", time(model.address)),
        "2 to 20 s from a container's start to being ready, by its image".to_owned(),
        "gates pass when the pods they ask are ready".to_owned(),
    ];
    if world.operated().iter().any(|key| !is_builtin_group(&key.group)) {
        phrases.push(format!("{} until a custom resource is what its operator calls ready", time(model.operator)));
    }
    let made = operators::made(world);
    if !made.is_empty() {
        let made: Vec<&str> = made.iter().map(String::as_str).collect();
        phrases.push(format!("operators make {}", list(&made)));
    }
    if !world.answered_by.is_empty() {
        let resources: Vec<&str> = world.answered_by.iter().map(String::as_str).collect();
        let is = if resources.len() == 1 { "it is" } else { "these are" };
        phrases.push(format!("pods of {} answer when {is} ready", list(&resources)));
    }
    if operators::injects(world) {
        phrases.push(format!("{} until webhooks have got their CA bundle", time(model.operator)));
    }
    if world.has_filled {
        phrases.push(format!("{} until something has filled what is waited for", time(model.operator)));
    }
    let rates = Rates::default();
    let per_second = |bytes: u64| format!("{} MB/s", bytes / 1_000_000);
    if filled.iter().any(|it| it.via == Via::Backup && !it.supposed) {
        phrases.push(format!("{} from a backup, with its WAL", per_second(rates.restore)));
    }
    if filled.iter().any(|it| it.via == Via::Neighbour) {
        phrases.push(format!("{} from one replica to another", per_second(rates.copy)));
    }
    phrases
}
