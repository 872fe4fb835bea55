//! What the flags of `rehearse` can name: what takes its time in a simulation.

use crate::cli::{CliError, Exit};
use crate::health::status::promises_status;
use crate::manifest::Object;
use crate::manifest::mistake::nearest;
use crate::manifest::references::is_builtin_group;
use crate::plan::Plan;
use crate::rehearsal::controllers::operators;
use crate::rehearsal::others::Others;

/// What can be named in wishes.
pub struct Names {
    /// What takes its time to be ready, as `Kind/name`: what makes pods, and what waits for an operator or for something else that
    /// writes to it.
    pub workloads: Vec<String>,
    /// Data sets whose backups are looked up.
    pub restored: Vec<String>,
    /// Objects that nothing waits for, as `Kind/name`, with whether something could.
    idle: Vec<(String, bool)>,
}

impl Names {
    /// Reads them off a plan.
    pub fn of(plan: &Plan) -> Self {
        const PODS: [&str; 6] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "ReplicaSet"];
        let others = Others::of(plan);
        let is_data = |object: &Object| object.group().is_empty() && ["ConfigMap", "Secret"].contains(&object.kind());
        let takes_time = |object: &Object| {
            if is_builtin_group(object.group()) {
                PODS.contains(&object.kind())
                    || is_data(object) && others.awaited(object.body()).next().is_some()
                    || operators::gets_bundles(object.group(), object.body())
            } else {
                others.wait_for(object.body())
                    || plan.definition_of(object).is_some_and(|definition| promises_status(object.body(), definition))
            }
        };
        let name = |object: &Object| format!("{}/{}", object.kind(), object.name());
        let (made, idle): (Vec<&Object>, Vec<&Object>) =
            plan.items().map(|item| &item.object).partition(|it| takes_time(it));
        let restored = plan.data_sets.iter().filter(|set| set.lookup().is_some() || set.follow().is_some());
        Self {
            workloads: made.into_iter().map(name).collect(),
            restored: restored.map(|set| set.name.clone()).collect(),
            idle: idle.into_iter().map(|it| (name(it), is_data(it) || !is_builtin_group(it.group()))).collect(),
        }
    }

    /// Refuses a name that nothing has which takes its time.
    ///
    /// # Errors
    /// Exit 2, with what may have been meant.
    pub fn check(&self, flag: &str, name: &str, value: &str, more: &[String]) -> Result<(), CliError> {
        let known = || self.workloads.iter().chain(more).map(String::as_str);
        if known().any(|known| known == name) {
            return Ok(());
        }
        if let Some((_, can_wait)) = self.idle.iter().find(|(idle, _)| idle == name) {
            let (why, hint) = if *can_wait {
                let hint =
                    "give it the annotation rekindle.dev/ready, or a condition gate, that says what is waited for";
                (format!("nothing waits for {name}"), hint.to_owned())
            } else {
                let why = format!("a simulation gives {name} no time of its own");
                (why, format!("what takes its time: {}", self.workloads.join(", ")))
            };
            return Err(CliError::new(Exit::Usage, format!("{why}: --{flag} changes nothing")).hint(hint));
        }
        let message = format!("--{flag} {name}={value}: the kit has nothing that takes its time by the name {name}");
        let error = CliError::new(Exit::Usage, message);
        // A name without its kind, or another name of the same kind.
        let bare = known().find(|known| known.split_once('/').is_some_and(|(_, bare)| bare == name));
        let near = match name.split_once('/') {
            Some((kind, bare)) if known().any(|known| known.starts_with(&format!("{kind}/"))) => {
                let of_kind = || known().filter_map(|known| known.split_once('/').filter(|(of, _)| *of == kind));
                let near = nearest(bare, of_kind().map(|(_, bare)| bare));
                near.and_then(|near| known().find(|known| *known == format!("{kind}/{near}")))
            }
            _ => nearest(name, known()),
        };
        Err(match bare.or(near) {
            Some(near) => error.hint(format!("did you mean --{flag} {near}={value}?")),
            None => error.hint(format!("what takes its time: {}", self.workloads.join(", "))),
        })
    }
}
