//! `cargo xtask cluster …`.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Bed, Kind, Wish, state};
use crate::progress::say;

/// Make, list and end clusters on this machine.
#[derive(Subcommand)]
pub enum ClusterCommand {
    /// Make a cluster, or find or restart the one of this name; the last line on stdout is its kubeconfig's path
    Up(UpArgs),
    /// End a cluster and remove its state
    Down(DownArgs),
    /// Show the clusters
    List(ListArgs),
    /// Print the path of a cluster's kubeconfig
    Kubeconfig {
        /// The cluster's name
        name: String,
    },
}

/// Arguments of `cluster up`.
#[derive(Args)]
pub struct UpArgs {
    /// The cluster's name, also that of the context [default: control-plane, kwok or node]
    #[arg(long)]
    name: Option<String>,
    /// Simulate nodes and pods
    #[arg(long, conflicts_with = "node")]
    kwok: bool,
    /// Make this machine a node that runs real containers (root)
    #[arg(long)]
    node: bool,
    /// How many fake nodes, with --kwok
    #[arg(long, default_value_t = 4, requires = "kwok")]
    nodes: u32,
    /// With --node: leave out the project's images
    #[arg(long, requires = "node")]
    no_images: bool,
}

/// Arguments of `cluster down`.
#[derive(Args)]
pub struct DownArgs {
    /// The cluster's name
    #[arg(required_unless_present = "all")]
    name: Option<String>,
    /// End all of them
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Only stop it: the next `up` goes on with its state
    #[arg(long)]
    keep: bool,
}

/// Arguments of `cluster list`.
#[derive(Args)]
pub struct ListArgs {
    /// Print for people or for programs
    #[arg(short, long, value_parser = ["human", "json"], default_value = "human")]
    output: String,
}

/// Runs the command.
///
/// # Errors
/// When it cannot be done.
pub fn run(command: ClusterCommand) -> Result<()> {
    match command {
        ClusterCommand::Up(args) => up(args),
        ClusterCommand::Down(args) => down(&args),
        ClusterCommand::List(args) => list(args.output == "json"),
        ClusterCommand::Kubeconfig { name } => {
            println!("{}", Bed::find(&name)?.kubeconfig().display());
            Ok(())
        }
    }
}

fn up(args: UpArgs) -> Result<()> {
    let kind = match (args.kwok, args.node) {
        (true, _) => Kind::Kwok,
        (_, true) => Kind::Node,
        _ => Kind::ControlPlane,
    };
    let name = args.name.unwrap_or_else(|| kind.name().to_owned());
    let bed = Bed::up(&Wish { name, kind, nodes: args.nodes, images: !args.no_images, owned: false })?;
    say(format_args!("{} is up; end it with: cargo xtask cluster down {}", bed.name(), bed.name()));
    println!("{}", bed.kubeconfig().display());
    Ok(())
}

fn down(args: &DownArgs) -> Result<()> {
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => state::all()?.into_iter().map(|(_, state)| state.name).collect(),
    };
    let mut failed = false;
    for name in names {
        if let Err(error) = Bed::down(&name, args.keep) {
            say(format_args!("{name}: {error:#}"));
            failed = true;
        }
    }
    if failed {
        bail!("not everything could be taken down");
    }
    Ok(())
}

fn list(as_json: bool) -> Result<()> {
    let all = state::all()?;
    if as_json {
        let rows: Vec<_> = all
            .iter()
            .map(|(folder, state)| {
                json!({
                    "name": state.name,
                    "kind": state.kind,
                    "live": state.live(),
                    "port": state.ports.api,
                    "kubeconfig": folder.join("kubeconfig"),
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    if all.is_empty() {
        say("there are no clusters");
    }
    for (folder, state) in all {
        let life = if state.live() { "running" } else { "stopped" };
        println!("{:24} {:14} {life:8} {}", state.name, state.kind.name(), folder.join("kubeconfig").display());
    }
    Ok(())
}
