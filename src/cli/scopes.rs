//! Custom kinds of definitions that the kit does not hold: only the cluster knows which of them have no namespace.

use std::collections::BTreeSet;

use super::CliError;
use crate::cluster::kinds::Kinds;
use crate::kit::{Environment, Kit, Rendered};
use crate::plan::Plan;
use crate::secrets::SecretSource;

/// An environment, as it was rendered and planned before the cluster was reached.
pub struct Planned {
    /// The environment.
    pub environment: Environment,
    /// As rendered.
    pub rendered: Rendered,
    /// As planned.
    pub plan: Plan,
}

impl Planned {
    /// The same for a cluster that serves these kinds: rendered and planned again where one of them has no namespace there.
    ///
    /// # Errors
    /// Exit 3 when the kit gives one of them a namespace.
    pub fn in_cluster(self, kinds: &Kinds, kit: &Kit, secrets: &dyn SecretSource) -> Result<Self, CliError> {
        let Some(environment) = without_namespaces(&self.environment, &self.rendered, kinds) else { return Ok(self) };
        let rendered = kit.render(&environment, secrets)?;
        let plan = Plan::of(&rendered)?;
        Ok(Self { environment, rendered, plan })
    }
}

/// The environment with what a cluster that serves these kinds says of them; nothing where that makes no difference.
pub fn without_namespaces(environment: &Environment, rendered: &Rendered, kinds: &Kinds) -> Option<Environment> {
    let objects = rendered.phases.iter().flat_map(|phase| &phase.objects);
    let wrong =
        objects.filter(|object| object.namespace().is_some() && kinds.of(object).is_some_and(|kind| !kind.namespaced));
    let cluster_kinds: BTreeSet<_> =
        wrong.map(|object| (object.group().to_owned(), object.kind().to_owned())).collect();
    (!cluster_kinds.is_empty()).then(|| Environment { cluster_kinds, ..environment.clone() })
}
