//! From flags and kubeconfig to a cluster, and from its errors to advice.

use std::collections::BTreeSet;

use super::settings::Context;
use super::{CliError, Exit};
use crate::cluster::rights::missing_rights;
use crate::cluster::{Cluster, ClusterError, Target};
use crate::kit::Environment;
use crate::plan::Plan;
use crate::plan::rights::{Right, removal_rights, rights};
use crate::report::text::count;

impl Context {
    /// The cluster a person means: `--kubeconfig`, `$KUBECONFIG` or `~/.kube/config`; `--context`, the environment's hint if
    /// that file knows it, or the current context.
    pub fn target(&self, environment: &Environment) -> Target {
        let files = match &self.common.kubeconfig {
            Some(file) => vec![file.clone()],
            None if !self.kubeconfig_files.is_empty() => self.kubeconfig_files.clone(),
            None => self.home.iter().map(|home| home.join(".kube/config")).collect(),
        };
        Target { files, context: self.common.context.clone(), hint: environment.cluster.context.clone() }
    }

    /// Connects, to whatever cluster that is. Writes nothing.
    ///
    /// # Errors
    /// Exit 5 when the cluster is not reached.
    pub async fn reach(&self, environment: &Environment) -> Result<Cluster, CliError> {
        let target = self.target(environment);
        Cluster::connect(&target).await.map_err(|error| {
            let files: Vec<_> = target.files.iter().map(|file| file.display().to_string()).collect();
            CliError::from(error).detail(format!("kubeconfig: {}", files.join(", ")))
        })
    }

    /// Finds out before the first write whether everything that a plan does there is allowed.
    ///
    /// # Errors
    /// Exit 5 with the rights that are missing.
    pub async fn check_rights(&self, cluster: &Cluster, plan: &Plan) -> Result<(), CliError> {
        let Some(error) = missing(cluster, plan, &rights(plan)).await? else { return Ok(()) };
        let environment = plan.environment.split('/').next().unwrap_or_default();
        Err(error
            .hint(format!("what an administrator has to grant:   {}", self.command(&["env", "rbac", environment]))))
    }

    /// The same for a plan that is taken away again.
    ///
    /// # Errors
    /// Exit 5 with the rights that are missing.
    pub async fn check_rights_to_rehearse(&self, cluster: &Cluster, plan: &Plan) -> Result<(), CliError> {
        let both = &rights(plan) | &removal_rights(plan);
        let Some(error) = missing(cluster, plan, &both).await? else { return Ok(()) };
        Err(error.hint("a rehearsal for real wants somebody who may delete all of it: an administrator of the cluster"))
    }
}

/// What is missing of the rights that a plan needs, told before anything is written.
async fn missing(cluster: &Cluster, plan: &Plan, rights: &BTreeSet<Right>) -> Result<Option<CliError>, CliError> {
    let missing = missing_rights(cluster, rights).await?;
    if missing.is_empty() {
        return Ok(None);
    }
    let count = count(missing.len(), "right");
    let is = if missing.len() == 1 { "is" } else { "are" };
    let message = format!("not allowed: {count} that {} needs {is} missing; nothing was written", plan.environment);
    let rights = missing.iter().map(ToString::to_string);
    let error = CliError::new(Exit::Unreachable, message).details_of(rights, SHOWN_RIGHTS);
    Ok(Some(error.detail(format!("context {} at {}", cluster.context, cluster.server))))
}

/// Missing rights that are named one by one.
const SHOWN_RIGHTS: usize = 12;

/// Missing objects that are named one by one.
const SHOWN_OBJECTS: usize = 5;

impl From<ClusterError> for CliError {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error {
            ClusterError::Kubeconfig(_) => Self::new(Exit::Unreachable, message)
                .hint("choose a cluster with --kubeconfig FILE and --context NAME, or name the file in KUBECONFIG"),
            ClusterError::Unreachable { .. } => Self::new(Exit::Unreachable, message)
                .hint("is the cluster running, and does the kubeconfig point at it?  kubectl version"),
            ClusterError::Forbidden(_) => {
                Self::new(Exit::Unreachable, message).hint("what may you do there?  kubectl auth can-i --list")
            }
            ClusterError::Skipped { from, phase, missing } => {
                let count = crate::report::text::count(missing.len(), "object");
                let verb = if missing.len() == 1 { "is" } else { "are" };
                let message =
                    format!("refused: --from {from} leaves out {count} that {verb} not there; nothing was written");
                Self::new(Exit::Unhealthy, message)
                    .details_of(missing.iter().map(|object| format!("missing: {object}")), SHOWN_OBJECTS)
                    .hint(format!("leave out --from, or begin earlier:   --from {phase}"))
            }
            ClusterError::NotOurs(_) | ClusterError::WouldLose(_) | ClusterError::Outdated(_) => {
                Self::new(Exit::Protected, format!("{message}; nothing was written"))
            }
            ClusterError::WrongCluster { .. } => Self::new(Exit::Protected, message).hint(
                "look where the kubeconfig leads now:   kubectl get namespace kube-system -o jsonpath={.metadata.uid}",
            ),
            ClusterError::RecordChanged(_) => {
                Self::new(Exit::Protected, message).hint("run it again, to see what it is now")
            }
            ClusterError::Data(_) => {
                Self::new(Exit::Protected, message).hint("what was done is kept; run it again to decide anew")
            }
            // Objects that are refused are told as events; this is an answer to a question.
            ClusterError::Status { .. } => {
                Self::new(Exit::Unreachable, format!("the API server answered: {}", message.trim_end_matches('.')))
            }
        }
    }
}

/// Runs a future to its end on the runtime that a command needs.
///
/// # Errors
/// Exit 1 when the operating system gives no threads.
pub fn block_on<T>(future: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    // An error here means that the process has a provider already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Bug, format!("no threads to run on: {error}")))?;
    let result = runtime.block_on(future);
    // A request that hangs must not keep the process.
    runtime.shutdown_background();
    result
}
