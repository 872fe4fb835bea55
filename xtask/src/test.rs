//! `cargo xtask test`: everything that must hold, layer by layer, the cheap ones first, real clusters last.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};

use crate::cargo::{cargo, run, workspace};
use crate::cluster::{Bed, Borrowed, Kind, node_unavailable};
use crate::progress::{Step, duration, interrupted, say};
use crate::tools::{self, Tool, run_quietly};
use crate::{cache, images, packages, simulate};

/// cargo-deny's version; built into the cache when it is not there.
const CARGO_DENY: &str = "0.20.2";

/// Seeds that are simulated; `cargo xtask simulate` runs more.
const SEEDS: u64 = 300;

/// Arguments of `test`.
#[derive(Args)]
pub struct TestArgs {
    /// Run these layers and no others
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYER")]
    only: Vec<Layer>,
    /// Leave these layers out
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LAYER")]
    skip: Vec<Layer>,
}

/// One kind of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Layer {
    /// The code is formatted
    Fmt,
    /// The linter has nothing to say
    Clippy,
    /// The documentation builds without warnings
    Doc,
    /// Tests inside the code and in its documentation
    Unit,
    /// Runs of the engine by chance against the simulated cluster: 300 seeds
    Simulation,
    /// Tests that run the binary, without a cluster
    BlackBox,
    /// Licences, sources and duplicates of dependencies
    Deny,
    /// Tests against a real PostgreSQL on loopback
    Postgresql,
    /// Tests against a real control plane
    ControlPlane,
    /// Tests against a control plane with simulated nodes
    Kwok,
    /// Tests against a real node with containers
    Node,
}

impl Layer {
    /// The name as it is given on the command line.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The bed that it needs, the variable in which its tests find the bed's kubeconfig, and their target.
    fn bed(self) -> Option<(Kind, &'static str, &'static str)> {
        match self {
            Self::ControlPlane => Some((Kind::ControlPlane, "REKINDLE_TEST_CONTROL_PLANE", "real_control_plane")),
            Self::Kwok => Some((Kind::Kwok, "REKINDLE_TEST_KWOK", "real_kwok")),
            Self::Node => Some((Kind::Node, "REKINDLE_TEST_NODE", "real_node")),
            _ => None,
        }
    }
}

/// How a layer ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    /// This machine cannot run it.
    Impossible(String),
    /// It was left out by a flag.
    NotAsked,
}

/// Runs the tests.
///
/// # Errors
/// When a layer failed, after all of them.
pub fn test(args: &TestArgs) -> Result<()> {
    Bed::down_abandoned()?;
    let asked = |layer: Layer| (args.only.is_empty() || args.only.contains(&layer)) && !args.skip.contains(&layer);
    let layers = Layer::value_variants();
    let mut background = Background::begin(layers.iter().copied().filter(|layer| asked(*layer)));
    let mut rows = Vec::new();
    for layer in layers.iter().copied() {
        let begun = Instant::now();
        let outcome = if !asked(layer) {
            Outcome::NotAsked
        } else if interrupted() {
            Outcome::Failed("interrupted".to_owned())
        } else if let Some(reason) = impossible(layer) {
            Outcome::Impossible(reason)
        } else {
            say(format_args!("── {} ──", layer.name()));
            match run_layer(layer, &mut background) {
                Ok(()) => Outcome::Passed,
                Err(error) => {
                    say(format_args!("{} failed: {error:#}", layer.name()));
                    Outcome::Failed(format!("{error:#}").lines().next().unwrap_or_default().to_owned())
                }
            }
        };
        rows.push((layer.name(), outcome, begun.elapsed()));
    }
    println!("{}", table(&rows));
    match rows.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_))).count() {
        0 => Ok(()),
        1 => bail!("one layer failed"),
        several => bail!("{several} layers failed"),
    }
}

fn run_layer(layer: Layer, background: &mut Background) -> Result<()> {
    match layer {
        Layer::Fmt => run(cargo(&["fmt", "--all", "--check"])),
        Layer::Clippy => run(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        Layer::Doc => {
            let mut command = cargo(&["doc", "--no-deps", "--workspace"]);
            command.env("RUSTDOCFLAGS", "-D warnings");
            run(command)
        }
        Layer::Unit => {
            run(cargo(&["test", "--workspace", "--lib", "--bins"]))?;
            run(cargo(&["test", "--workspace", "--doc"]))
        }
        Layer::Simulation => run(simulate::seeds(SEEDS, false)),
        Layer::BlackBox => {
            background.join(layer)?;
            let names = black_box_targets()?;
            let mut command = cargo(&["test"]);
            // Sealed files are proven against the plain age tool, which must not be missed silently.
            command.env("REKINDLE_TEST_AGE", "required");
            for name in &names {
                command.args(["--test", name]);
            }
            run(command)
        }
        Layer::Deny => {
            background.join(Layer::Deny)?;
            let mut command = Command::new(cargo_deny()?);
            command.current_dir(workspace()).args(["check", "bans", "licenses", "sources"]);
            run(command)
        }
        Layer::Postgresql => {
            background.join(layer)?;
            run(cargo(&["test", "--test", "real_postgresql", "--", "--ignored"]))
        }
        Layer::ControlPlane | Layer::Kwok | Layer::Node => {
            background.join(layer)?;
            real_cluster(layer)
        }
    }
}

/// Why this machine cannot run a layer; none when it can.
fn impossible(layer: Layer) -> Option<String> {
    match layer {
        Layer::Node => node_unavailable(),
        Layer::Postgresql if postgresql().is_none() && !(packages::root() && packages::find("apt-get").is_some()) => {
            Some(
                "PostgreSQL's programs are not installed, and installing them needs root's rights on a Debian"
                    .to_owned(),
            )
        }
        _ => None,
    }
}

/// A version of PostgreSQL as Debian installs it.
fn postgresql() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/initdb")).find(|program| program.is_file())
}

/// The tests in `tests/` that need no cluster.
fn black_box_targets() -> Result<Vec<String>> {
    let folder = workspace().join("tests");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| !name.starts_with("real_"))
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("there are no black-box tests in {}", folder.display());
    }
    Ok(names)
}

/// Makes a cluster, runs the tests that are meant for it, and takes it down however they end.
fn real_cluster(layer: Layer) -> Result<()> {
    let Some((kind, variable, target)) = layer.bed() else { bail!("{} needs no cluster", layer.name()) };
    let name = format!("test-{}-{}", std::process::id(), kind.name());
    let borrowed = Borrowed::up(&name, kind)?;
    let mut command = cargo(&["test", "--test", target, "--", "--ignored"]);
    // A second one beside it: to be mistaken for the first, or to stand by for it.
    let other = match layer {
        Layer::ControlPlane | Layer::Node => Some(Borrowed::up(&format!("{name}-b"), kind)?),
        _ => None,
    };
    if let Some(other) = &other {
        command.env(format!("{variable}_B"), other.kubeconfig());
    }
    command.env(variable, borrowed.kubeconfig()).env("REKINDLE_TEST_KUBECTL", tools::path(Tool::Kubectl)?);
    command.env_remove("KUBECONFIG");
    run(command)
}

/// What takes long and can be done while the compiler is busy with something else.
struct Background {
    threads: BTreeMap<Layer, JoinHandle<Result<()>>>,
}

impl Background {
    fn begin(layers: impl Iterator<Item = Layer>) -> Self {
        let mut threads = BTreeMap::new();
        for layer in layers {
            let work: fn() -> Result<()> = match layer {
                Layer::Deny => || cargo_deny().map(drop),
                Layer::BlackBox => || packages::ensure(&[packages::Package { name: "age", program: "age" }]),
                Layer::Postgresql if postgresql().is_none() && impossible(layer).is_none() => {
                    || packages::install(&["postgresql"])
                }
                Layer::ControlPlane => || tools::ensure(&Tool::CONTROL_PLANE),
                Layer::Kwok => || tools::path(Tool::Kwok).and_then(|_| tools::kwok_stages()).map(drop),
                Layer::Node if node_unavailable().is_none() => || {
                    tools::ensure(&Tool::NODE)?;
                    images::archive().map(drop)
                },
                _ => continue,
            };
            threads.insert(layer, std::thread::spawn(work));
        }
        Self { threads }
    }

    fn join(&mut self, layer: Layer) -> Result<()> {
        match self.threads.remove(&layer).map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(anyhow!("preparing {} went wrong inside xtask itself", layer.name())),
        }
    }
}

fn cargo_deny() -> Result<PathBuf> {
    let folder = cache::root()?.join("tools").join(format!("cargo-deny-{CARGO_DENY}"));
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        let _lock = cache::Lock::take(&cache::root()?.join("locks/cargo-deny"), "building cargo-deny")?;
        if !program.is_file() {
            let step =
                Step::begin(format_args!("building cargo-deny {CARGO_DENY} (minutes the first time, then cached)"));
            let mut command = cargo(&["install", "--locked", "cargo-deny", "--version", CARGO_DENY, "--root"]);
            run_quietly(
                {
                    command.arg(&folder);
                    command
                },
                &step,
            )?;
            step.done();
        }
    }
    Ok(program)
}

impl Drop for Background {
    /// Waits for what nobody asked for in the end, so that no build is left half-way behind.
    fn drop(&mut self) {
        for (_, thread) in std::mem::take(&mut self.threads) {
            // Whoever needed it would have been told; a panic has been printed already.
            let _ = thread.join();
        }
    }
}

/// The outcomes, one layer a line.
fn table(rows: &[(String, Outcome, Duration)]) -> String {
    let mut text = String::from("\nlayer          outcome   time        why");
    for (name, outcome, time) in rows {
        let time = duration(*time);
        text.push_str(&match outcome {
            Outcome::Passed => format!("\n{name:14} passed    {time}"),
            Outcome::Failed(why) => format!("\n{name:14} FAILED    {time:11} {why}"),
            Outcome::Impossible(why) => format!("\n{name:14} skipped   {:11} this machine cannot run it: {why}", ""),
            Outcome::NotAsked => format!("\n{name:14} skipped   {:11} left out by --only or --skip", ""),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_table_says_plainly_what_was_not_run_and_why() {
        let rows = [
            ("fmt".to_owned(), Outcome::Passed, Duration::from_millis(1200)),
            (
                "clippy".to_owned(),
                Outcome::Failed("cargo clippy: exit status: 101".to_owned()),
                Duration::from_secs(75),
            ),
            ("kwok".to_owned(), Outcome::NotAsked, Duration::ZERO),
            ("node".to_owned(), Outcome::Impossible("a node needs root's rights".to_owned()), Duration::ZERO),
        ];
        assert_eq!(
            table(&rows).lines().collect::<Vec<_>>(),
            [
                "",
                "layer          outcome   time        why",
                "fmt            passed    1.2 s",
                "clippy         FAILED    1 m 15 s    cargo clippy: exit status: 101",
                "kwok           skipped               left out by --only or --skip",
                "node           skipped               this machine cannot run it: a node needs root's rights",
            ]
        );
    }

    #[test]
    fn every_real_layer_has_a_test_target() {
        for layer in Layer::value_variants() {
            if let Some((_, _, target)) = layer.bed() {
                assert!(workspace().join("tests").join(target).join("main.rs").is_file(), "{target}");
            }
        }
    }
}
