//! Data decisions on the command line: the flags that answer questions, the refusal when an answer is missing, and the plan with
//! the decisions in it.

use clap::Args;

use super::running::run_id;
use super::settings::Context;
use super::{CliError, Exit};
use crate::cluster::{Cluster, SYSTEM_NAMESPACE};
use crate::data::backups::Archive;
use crate::data::claims::Expected;
use crate::data::decide::decide_all;
use crate::data::decision::Policy;
use crate::data::{Answers, DataSet, Decisions, Source, Stop, Survey, lookup, marks, memory, objects, restore};
use crate::kit::{Environment, Kit, Rendered};
use crate::manifest::mistake::nearest;
use crate::plan::proposal::{Outdated, SavedData};
use crate::plan::{Plan, full_name};
use crate::rebuild::Part;
use crate::report::data::table;
use crate::report::sanitize::clean;
use crate::report::text::{count, list};
use crate::secrets::SecretSource;

/// What a person has decided about data; `up` and `plan` have these flags.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct DataArgs {
    /// Decide where a data set comes from: adopt:VOLUME, adopt:CLAIM=VOLUME, restore, restore:BACKUP, empty or keep (repeatable)
    #[arg(long = "data", value_name = "DATASET=ANSWER")]
    pub data: Vec<String>,
    /// Let a data set begin empty when nothing of it is there (repeatable)
    #[arg(long, value_name = "DATASET")]
    pub allow_empty: Vec<String>,
    /// Recover what is restored up to this time, as in 2026-11-25T17:40:00Z; without it, to the end of the archive
    #[arg(long, value_name = "TIME")]
    pub recover_to: Option<jiff::Timestamp>,
    /// Let a stand-by take over: what follows another environment's archive stops following it and takes writes
    #[arg(long)]
    pub promote: bool,
    /// Give the name that a protected environment wants typed for a data set that begins empty (repeatable)
    #[arg(long, value_name = "DATASET")]
    pub confirm_data: Vec<String>,
}

impl DataArgs {
    /// The flags again, as words.
    pub fn words(&self) -> Vec<String> {
        let flags =
            [("--data", &self.data), ("--allow-empty", &self.allow_empty), ("--confirm-data", &self.confirm_data)];
        let all =
            flags.iter().flat_map(|(flag, values)| values.iter().map(move |value| [(*flag).to_owned(), value.clone()]));
        let recover_to = self.recover_to.map(|time| ["--recover-to".to_owned(), time.to_string()]);
        let promote = self.promote.then(|| "--promote".to_owned());
        all.flatten().chain(recover_to.into_iter().flatten()).chain(promote).collect()
    }

    /// What a saved plan was told. Names that have to be typed are typed when it is executed.
    pub fn saved(saved: &SavedData) -> Self {
        let (data, allow_empty) = (saved.given.clone(), saved.allow_empty.clone());
        Self { data, allow_empty, recover_to: saved.recover_to, promote: saved.promote, confirm_data: Vec::new() }
    }

    /// What a saved plan keeps of them, with what came of them.
    pub fn to_save(&self, decisions: &Decisions) -> SavedData {
        let choices = SavedData::choices_of(decisions);
        let (given, allow_empty) = (self.data.clone(), self.allow_empty.clone());
        SavedData { given, allow_empty, recover_to: self.recover_to, promote: self.promote, choices }
    }

    /// The answers. Every name must be one of the kit's.
    ///
    /// # Errors
    /// Exit 2 with what is wrong.
    pub fn answers(&self, plan: &Plan) -> Result<Answers, CliError> {
        if let Some(time) = self.recover_to.filter(|time| *time > jiff::Timestamp::now()) {
            return Err(CliError::new(Exit::Usage, format!("--recover-to {time}: that time has not come yet")));
        }
        let mut answers = Answers {
            given: Vec::new(),
            allow_empty: self.allow_empty.iter().cloned().collect(),
            recover_to: self.recover_to,
            promote: self.promote,
        };
        for text in &self.data {
            let read = Answers::read(text);
            answers.given.push(read.map_err(|wrong| CliError::new(Exit::Usage, format!("--data {text}: {wrong}")))?);
        }
        let known: Vec<&str> = plan.data_sets.iter().map(|set| set.name.as_str()).collect();
        let confirmed = self.confirm_data.iter().map(String::as_str);
        let unknown = answers.names().into_iter().chain(confirmed).find(|name| !known.contains(name));
        let Some(name) = unknown else { return Ok(answers) };
        let error = CliError::new(Exit::Usage, format!("the kit has no data set {name}"));
        Err(match nearest(name, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.detail(format!("its data sets: {}", known.join(", "))),
        })
    }
}

/// A saved plan does what it says, or nothing.
///
/// # Errors
/// When something else would be done about data by now.
pub fn still_holds(saved: &SavedData, decisions: &Decisions) -> Result<(), Outdated> {
    let now = SavedData::choices_of(decisions);
    let changed: Vec<String> = now
        .iter()
        .filter(|choice| !saved.choices.contains(choice))
        .map(|choice| format!("PersistentVolumeClaim/{}: {}", choice.claim, choice.choice))
        .collect();
    if changed.is_empty() { Ok(()) } else { Err(Outdated::Objects(changed)) }
}

/// An environment as it was rendered before the cluster was looked at, with what it takes to render it again.
pub struct Draft<'a> {
    /// The kit.
    pub kit: &'a Kit,
    /// The environment.
    pub environment: &'a Environment,
    /// Its secrets.
    pub secrets: &'a dyn SecretSource,
    /// As rendered.
    pub rendered: Rendered,
    /// The words after `rekindle` that ask for it, for messages.
    pub words: Vec<String>,
}

impl Draft<'_> {
    /// Renders again where templates see other decisions than before.
    fn see(&mut self, decisions: &Decisions) -> Result<(), CliError> {
        let (words, lineages) = (decisions.words(), decisions.lineages());
        if !self.rendered.environment.sees(&words, &lineages) {
            let environment = Environment { data: words, lineages, ..self.environment.clone() };
            self.rendered = self.kit.render(&environment, self.secrets)?;
        }
        Ok(())
    }
}

/// Looks up the backups of what is not there, by Jobs in the cluster. The keys to them go into no cluster that is not the
/// environment's own.
async fn look_up(
    context: &mut Context,
    plan: &Plan,
    reach: &Reach<'_>,
    survey: &mut Survey,
    (policy, answers): (&Policy, &Answers),
) -> Result<(), CliError> {
    let cluster = reach.cluster;
    let claims = reach.claims(plan);
    let sets = restore::to_look_up(&plan.data_sets, &claims, survey, policy, answers);
    if sets.is_empty() {
        return Ok(());
    }
    if !reach.bound {
        let why = "up would refuse this cluster, and so the keys to the backups are not given to it";
        let unknown = |set: &&DataSet| (set.name.clone(), Archive::Unknown(why.into()));
        survey.archives = sets.iter().map(unknown).collect();
        survey.followed = sets.iter().filter(|set| set.follow().is_some()).map(unknown).collect();
        return Ok(());
    }
    cluster.verify_identity().await?;
    let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    if !context.json() && !reach.simulated {
        context.ui.say(&format!(
            "looking for backups of {} (a short Job for each, in the namespace {SYSTEM_NAMESPACE})",
            names.join(", ")
        ));
    }
    lookup::look_up(cluster, &sets, &run_id(), survey).await;
    Ok(())
}

/// The cluster that is reached, and how far that goes.
pub struct Reach<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The first phase that is meant, where it is not the first of all.
    pub from: Option<&'a str>,
    /// The last one that is meant, where it is not the last of all.
    pub until: Option<&'a str>,
    /// Whether the environment and the cluster agree on each other, so that something may be written.
    pub bound: bool,
    /// Whether it is only simulated, so that nobody need be told of what comes and goes there.
    pub simulated: bool,
}

impl Reach<'_> {
    /// The claims that are meant.
    fn claims(&self, plan: &Plan) -> Vec<Expected> {
        claims_of(plan, self.from, self.until)
    }
}

/// The claims of the phases that are meant, and with one of them all of its data set: half of what is there would say
/// something else about it.
fn claims_of(plan: &Plan, from: Option<&str>, until: Option<&str>) -> Vec<Expected> {
    let part = Part::of(plan, from, until);
    let position = |phase: &str| plan.phases.iter().position(|known| known.name == phase);
    let of_part = |claim: &&Expected| position(&claim.phase).is_none_or(|index| part.holds(index));
    let of_part: Vec<&Expected> = plan.claims.iter().filter(of_part).collect();
    let meant = |claim: &&Expected| {
        let whole = claim.data_set.is_some() && of_part.iter().any(|other| other.data_set == claim.data_set);
        whole || of_part.contains(claim)
    };
    plan.claims.iter().filter(meant).cloned().collect()
}

/// Looks at volumes and claims, decides about each data set, and plans with the decisions. Writes nothing but the Jobs that look
/// up backups, which it takes away again.
///
/// # Errors
/// Exit 4 with the facts when something is not certain, exit 3 when the kit is wrong for a decision, those of reading.
pub async fn decided(
    context: &mut Context,
    answers: &Answers,
    draft: Draft<'_>,
    plan: Plan,
    reach: &Reach<'_>,
) -> Result<Plan, CliError> {
    let again = context.command(&draft.words);
    if plan.claims.iter().all(|claim| claim.data_set.is_none()) {
        return Ok(plan);
    }
    let mut survey = Survey::read(reach.cluster, &plan.claims).await?;
    if plan.data_sets.iter().any(|set| !set.remember.is_empty() || set.identity.is_some()) {
        survey.memories = memory::read(reach.cluster, &plan.environment).await?;
    }
    let policy = policy(draft.environment);
    look_up(context, &plan, reach, &mut survey, (&policy, answers)).await?;
    let name = plan.environment.clone();
    let refused = |stops: Vec<Stop>| refusal(&name, &stops, &again);
    let stand_bys = stand_bys(&plan, &survey);
    let (mut draft, mut plan) = (draft, plan);
    if answers.promote && stand_bys.is_empty() {
        return Err(CliError::new(Exit::Usage, format!("--promote: nothing of {name} follows another archive")));
    }
    // What waits while something is a stand-by is not there to be decided about.
    if !stand_bys.is_empty() {
        let first = decide_all(&stand_bys, &reach.claims(&plan), &survey, &policy, answers).map_err(refused)?;
        draft.see(&first)?;
        plan = Plan::of(&draft.rendered)?;
        tell_what_waits(context, &first, &draft)?;
    }
    let mut decisions = decide(&plan, reach, &survey, &policy, answers).map_err(refused)?;
    let promoted: Vec<&str> =
        decisions.sets.iter().filter(|set| set.promoted).map(|set| set.data_set.as_str()).collect();
    decisions.settled = marks::settled(&survey, &plan.environment, &plan.claims, &plan.data_sets, &promoted);
    draft.see(&decisions)?;
    let mut rendered = draft.rendered;
    objects::add_gates(&mut rendered, &decisions, &survey);
    objects::add(&mut rendered, &decisions, &survey, &plan.environment);
    let mut plan = Plan::of(&rendered)?;
    for phase in &mut plan.phases {
        phase.restored_bytes = decisions.restored_bytes(plan.claims.iter().filter(|claim| claim.phase == phase.name));
    }
    plan.data = decisions;
    Ok(plan)
}

/// The data sets that follow another environment's archive, or would when they are made.
fn stand_bys(plan: &Plan, survey: &Survey) -> Vec<DataSet> {
    let follows = |set: &&DataSet| {
        let mut own = plan.claims.iter().filter(|claim| claim.is_of(&set.name));
        let is_standby = |claim: &Expected| {
            survey.claim(&claim.namespace, &claim.name).is_some_and(|live| !live.lineage.standby.is_empty())
        };
        let survives = survey.volumes.iter().filter_map(|volume| volume.marks.as_ref()).any(|marks| {
            marks.environment == plan.environment && marks.data_set == set.name && !marks.lineage.standby.is_empty()
        });
        set.follow().is_some() || own.any(is_standby) || survives
    };
    plan.data_sets.iter().filter(follows).cloned().collect()
}

/// Says which phases are left out, and why.
fn tell_what_waits(context: &mut Context, decisions: &Decisions, draft: &Draft<'_>) -> Result<(), CliError> {
    let following: Vec<&str> = decisions.following().map(|set| set.data_set.as_str()).collect();
    let waiting = draft.kit.waiting_phases()?;
    if following.is_empty() || waiting.is_empty() || context.json() {
        return Ok(());
    }
    context.ui.say(&format!(
        "left out while {} follow{} another environment's archive: {}",
        list(&following),
        if following.len() == 1 { "s" } else { "" },
        waiting.join(", ")
    ));
    Ok(())
}

/// What an environment allows about data.
pub fn policy(environment: &Environment) -> Policy {
    let allow = environment.data_allow.as_ref();
    Policy {
        environment: full_name(&environment.name, environment.instance.as_deref()),
        protected: environment.protected,
        allow: allow.map(|allow| allow.iter().filter_map(|word| Source::of(word)).collect()),
        allowed_at: environment.provenance.get("data.allow").map(ToString::to_string),
    }
}

/// Decides about everything; what is uncertain in phases that are not part of the run stops nothing.
fn decide(
    plan: &Plan,
    reach: &Reach<'_>,
    survey: &Survey,
    policy: &Policy,
    answers: &Answers,
) -> Result<Decisions, Vec<Stop>> {
    let sets = &plan.data_sets;
    let stops = match decide_all(sets, &plan.claims, survey, policy, answers) {
        Ok(decisions) => return Ok(decisions),
        Err(stops) => stops,
    };
    let claims = reach.claims(plan);
    if claims.len() == plan.claims.len() {
        return Err(stops);
    }
    decide_all(sets, &claims, survey, policy, answers)
}

/// What a person has to know and to say before anything is done.
fn refusal(environment: &str, stops: &[Stop], again: &str) -> CliError {
    let message = match stops {
        [only] => format!("refused: data set {}: {}; nothing was written", only.data_set, only.why),
        _ => {
            format!("refused: {} of {environment} need a decision; nothing was written", count(stops.len(), "data set"))
        }
    };
    let mut error = CliError::new(Exit::Protected, message);
    for stop in stops {
        if stops.len() > 1 {
            error = error.detail(format!("{}: {}", stop.data_set, stop.why));
        }
        error = stop.facts.iter().fold(error, |error, fact| error.detail(format!("  {fact}")));
    }
    let (flags, advice): (Vec<&String>, Vec<&String>) =
        stops.iter().flat_map(|stop| &stop.ways).partition(|way| way.starts_with("--"));
    let mut said = Vec::new();
    for way in advice {
        if !said.contains(&way) {
            error = error.hint(way.clone());
            said.push(way);
        }
    }
    if let [only] = flags[..] {
        return error.hint(format!("if you mean it:   {again} {only}"));
    }
    if !flags.is_empty() {
        error = error.hint(format!("decide, by adding to   {again}"));
        error = flags.into_iter().fold(error, |error, flag| error.hint(format!("   {flag}")));
    }
    error
}

/// Shows what is done about data, before anybody is asked.
pub fn show(context: &mut Context, decisions: &Decisions) {
    let ui = context.ui.clone();
    let lines = table(decisions, &|text| clean(&ui.redact(text)));
    if !context.json() {
        context.ui.say_lines(&lines);
    }
}

/// In a protected environment a data set that begins empty is named by a person, one by one.
///
/// # Errors
/// Exit 4 when a name was not given.
pub fn confirm(context: &mut Context, args: &DataArgs, decisions: &Decisions) -> Result<(), CliError> {
    let wanted = decisions.sets.iter().filter(|set| set.confirm).map(|set| set.data_set.as_str());
    for name in wanted.filter(|name| args.confirm_data.iter().all(|given| given != name)) {
        if !context.ui.can_ask() {
            let message = format!("refused: {name} would begin empty and nobody is there to ask; nothing was written");
            return Err(CliError::new(Exit::Protected, message)
                .hint(format!("say that you mean it with --confirm-data {name}")));
        }
        let request = "Type the name of the data set that begins empty";
        if !context.ui.confirm_typed(request, name) {
            let message = format!("refused: {name} was not typed; nothing was written");
            return Err(CliError::new(Exit::Protected, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kit::sample::rendered;

    #[test]
    fn a_part_of_the_phases_means_whole_data_sets() {
        let claim = |name: &str| {
            format!(
                "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, spec: {{accessModes: \
                 [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}}}\n---\n"
            )
        };
        let set = "{apiVersion: rekindle.dev/v1, kind: DataSet, metadata: {name: db}, spec: {claims: [wal, data]}}\n";
        let rendered = rendered(&[
            ("templates/stack.yaml", "name: test\nphases: [{name: one}, {name: two}, {name: three}]\n"),
            ("templates/one/a.yaml", &(claim("wal") + set)),
            ("templates/two/b.yaml", &(claim("data") + &claim("cache"))),
            ("templates/three/c.yaml", &claim("exports")),
        ]);
        let plan = Plan::of(&rendered).unwrap();
        let claims = |from, until| {
            let mut names: Vec<_> = claims_of(&plan, from, until).into_iter().map(|claim| claim.name).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(claims(None, None), "cache data exports wal");
        assert_eq!(claims(Some("two"), None), "cache data exports wal", "with data the whole of db");
        assert_eq!(claims(None, Some("one")), "data wal");
        assert_eq!(claims(Some("three"), None), "exports");
    }
}
