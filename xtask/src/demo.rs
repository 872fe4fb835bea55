//! `cargo xtask demo`: the main job, shown on this machine: a node from nothing, the whole stack rebuilt on it.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::cargo::{rekindle, run};
use crate::cluster::{Bed, Kind, Wish, node_unavailable};
use crate::tools::{self, Tool};

/// The demonstration's cluster and the environment that is rebuilt on it.
const CLUSTER: &str = "demo";
const ENVIRONMENT: &str = "local";
/// What a laptop leaves out, so that the whole stack stands.
const WHOLE: &str = "mbslave.enabled=true";

/// Arguments of `demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// End it and remove everything
    #[arg(long)]
    down: bool,
}

/// Runs or ends the demonstration.
///
/// # Errors
/// When this machine cannot be a node, or something does not come up.
pub fn demo(args: &DemoArgs) -> Result<()> {
    if args.down {
        return Bed::down(CLUSTER, false);
    }
    if let Some(reason) = node_unavailable() {
        bail!("{reason}; `cargo xtask cluster up --kwok` makes a cluster that needs nothing, without containers");
    }
    let program = rekindle(false)?;
    let bed = Bed::up(&Wish { name: CLUSTER.to_owned(), kind: Kind::Node, nodes: 0, images: true, owned: false })?;
    let kubeconfig = bed.kubeconfig();
    let mut command = Command::new(&program);
    command.args(["up", ENVIRONMENT, "--set", WHOLE, "--yes", "--context", CLUSTER, "--kubeconfig"]).arg(&kubeconfig);
    run(command)?;
    println!(
        "\nThe stack is up. To look at it:\n\n  export KUBECONFIG={kubeconfig}\n  {program} status {ENVIRONMENT} --set {WHOLE}\n  \
         {program} up {ENVIRONMENT} --set {WHOLE} --yes        # again: there is nothing to write\n  {kubectl} get pods --all-namespaces\n\n\
         To end it:\n\n  cargo xtask demo --down",
        kubeconfig = kubeconfig.display(),
        program = program.display(),
        kubectl = tools::path(Tool::Kubectl)?.display(),
    );
    Ok(())
}
