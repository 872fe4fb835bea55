//! `cargo xtask mutants`: breaks Rekindle on purpose, one promise at a time, and counts in how many seeds that is found. A break
//! that no seed finds shows what the seeds do not try.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::{cargo, workspace};
use crate::progress::say;

/// Arguments of `mutants`.
#[derive(Args)]
pub struct MutantsArgs {
    /// How many seeds each is given
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Only those with this in their name
    name: Option<String>,
}

/// A text of the source that is replaced, once.
struct Mutant {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn mutant(name: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, file, from, to }
}

const MUTANTS: &[Mutant] = &[
    mutant(
        "a pin to another cluster is ignored",
        "src/plan/guard.rs",
        "if pin.uid != reached.uid {",
        "if pin.uid.is_empty() {",
    ),
    mutant(
        "a record of another cluster is ignored",
        "src/plan/guard.rs",
        "if record.cluster != reached.uid {",
        "if record.cluster.is_empty() {",
    ),
    mutant(
        "other environments in the cluster are ignored",
        "src/plan/guard.rs",
        "    if !others.is_empty() {\n        return Err",
        "    if others.len() > 99 {\n        return Err",
    ),
    mutant(
        "objects of others are overwritten",
        "src/rebuild/dispatcher.rs",
        "    if !strangers.is_empty() {",
        "    if strangers.len() > 99 {",
    ),
    mutant(
        "objects that somebody else made are pruned",
        "src/plan/removal.rs",
        "recorded || labelled && owned_fields_hash(live).is_some()",
        "recorded || labelled",
    ),
    mutant("a live lock is taken over", "src/cluster/lock/vigil.rs", "now >= until {", "now >= *since {"),
    mutant(
        "a run goes on without its lock",
        "src/rebuild/dispatcher.rs",
        "and_then(|lock| lock.borrow().clone())",
        "and_then(|lock| lock.borrow().clone().filter(|_| false))",
    ),
    mutant(
        "a survivor is bound before it is retained",
        "src/data/adopt.rs",
        "    if policy(&volume) == \"Retain\" {",
        "    if !policy(&volume).is_empty() {",
    ),
    mutant("down does not retain", "src/rebuild/down.rs", "if before == \"Retain\" {", "if !before.is_empty() {"),
    mutant(
        "a data set begins empty without leave",
        "src/data/decide.rs",
        "if policy.protected || !policy.permits(Source::Empty) {",
        "if policy.protected {",
    ),
    mutant(
        "backups are not looked up",
        "src/data/restore.rs",
        "    sets.iter().filter(open).collect()",
        "    sets.iter().filter(open).filter(|_| false).collect()",
    ),
    mutant(
        "archives that nobody can read count as empty",
        "src/data/restore.rs",
        "        let histories = self.histories(archive, \"its backups could not be looked up\")?;",
        "        let histories = self.histories(archive, \"its backups could not be looked up\").unwrap_or_default();",
    ),
    mutant(
        "volumes of another environment are adopted",
        "src/data/evidence.rs",
        "filter(|marks| marks.environment != environment)?",
        "filter(|marks| marks.environment.len() + environment.len() > 999)?",
    ),
    mutant(
        "what a survivor held does not matter",
        "src/data/evidence.rs",
        "reference.filter(|claim| claim.name == name)?",
        "reference?",
    ),
    mutant(
        "observedGeneration is ignored",
        "src/health/status/fields.rs",
        "(seen < generation).then(",
        "(seen < generation.min(0)).then(",
    ),
    mutant(
        "what is created counts as ready",
        "src/rebuild/node.rs",
        "        match status {\n            Status::Ready { reason } => {",
        "        match status {\n            Status::Progressing { reason } | Status::Ready { reason } => {",
    ),
    mutant(
        "what was seen at the start is believed for ever",
        "src/rebuild/store.rs",
        "const FRESH: Duration = Duration::from_secs(1);",
        "const FRESH: Duration = Duration::from_secs(1 << 30);",
    ),
    mutant(
        "what was ready once counts as ready",
        "src/rebuild/objects.rs",
        "Some(status) if !status.is_ready() => self.wait_again(phase, index),",
        "Some(_) => {}\n                Some(status) if !status.is_ready() => self.wait_again(phase, index),",
    ),
    mutant(
        "declared edges are forgotten",
        "src/plan/graph.rs",
        "if target_phase == phase && target != item {",
        "if target_phase == phase && target != item && !matches!(reference.target, Target::Named { .. }) {",
    ),
    mutant(
        "inferred edges are forgotten",
        "src/plan/graph.rs",
        "if target_phase == phase && target != item {",
        "if target_phase == phase && target != item && matches!(reference.target, Target::Named { .. }) {",
    ),
    mutant("gates are not waited for", "src/rebuild/dispatcher.rs", "if phase.all_passed() {", "if phase.asking {"),
    mutant(
        "the next phase does not wait",
        "src/rebuild/phase.rs",
        "self.nodes.iter().all(|node| node.state == State::Ready)",
        "self.nodes.iter().all(|node| node.sent.is_some())",
    ),
    mutant(
        "what is as it should be is sent again",
        "src/rebuild/objects.rs",
        "        if intent == Intent::Unchanged {",
        "        if intent == Intent::Unchanged && phase.plan.items.is_empty() {",
    ),
    mutant(
        "secrets are told",
        "src/secrets/redact.rs",
        "    fn finder(&self) -> Option<Arc<Finder>> {\n",
        "    fn finder(&self) -> Option<Arc<Finder>> {\n        if self.known.read().is_ok() {\n            return None;\n        }\n",
    ),
];

/// Breaks a copy of the sources in each of the ways, and runs the seeds.
///
/// # Errors
/// When a break cannot be made any more, does not compile, or is found by no seed.
pub fn mutants(args: &MutantsArgs) -> Result<()> {
    let tree = copy()?;
    let mut unfound = Vec::new();
    let chosen = |mutant: &&Mutant| args.name.as_ref().is_none_or(|part| mutant.name.contains(part.as_str()));
    for mutant in MUTANTS.iter().filter(chosen) {
        let began = Instant::now();
        let (found, seeds) = try_one(mutant, &tree, args.seeds)?;
        let seconds = began.elapsed().as_secs();
        say(format_args!("found in {found:>4} of {seeds} seeds: {} ({seconds} s)", mutant.name));
        if found == 0 {
            unfound.push(mutant.name);
        }
    }
    if unfound.is_empty() { Ok(()) } else { bail!("found by no seed: {}", unfound.join("; ")) }
}

/// A copy of the sources that git knows, as they are now.
fn copy() -> Result<PathBuf> {
    let tree = workspace().join("target/mutants/tree");
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(workspace()).output()?;
    if !listed.status.success() {
        bail!("git does not list the sources: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    if tree.exists() {
        std::fs::remove_dir_all(&tree)?;
    }
    for file in String::from_utf8(listed.stdout)?.split('\0').filter(|file| !file.is_empty()) {
        let (from, to) = (workspace().join(file), tree.join(file));
        std::fs::create_dir_all(to.parent().context("a file of the sources is in a folder")?)?;
        if from.is_file() {
            std::fs::copy(&from, &to).with_context(|| format!("{file} cannot be copied"))?;
        }
    }
    Ok(tree)
}

/// The source with the break in it.
fn broken(mutant: &Mutant, source: &str) -> Result<String> {
    match source.matches(mutant.from).count() {
        1 => Ok(source.replacen(mutant.from, mutant.to, 1)),
        count => bail!("\"{}\" cannot be made: its text stands {count} times in {}", mutant.name, mutant.file),
    }
}

/// In how many of how many seeds it is found.
fn try_one(mutant: &Mutant, tree: &Path, seeds: u64) -> Result<(u64, u64)> {
    let file = tree.join(mutant.file);
    let source = std::fs::read_to_string(&file)?;
    std::fs::write(&file, broken(mutant, &source)?)?;
    let mut command = cargo(&["test", "--lib", "whatever_the_seed", "--", "--nocapture"]);
    command.current_dir(tree).env("CARGO_TARGET_DIR", workspace().join("target/mutants/target"));
    // Findings count, not how small they can be made.
    command.env("REKINDLE_SEEDS", seeds.to_string()).env("REKINDLE_SHRINK", "no").env("RUST_BACKTRACE", "0");
    let output = command.output()?;
    std::fs::write(&file, source)?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // As the test tells: `100 seeds, 3 failed, …`.
    let told = text.lines().find_map(|line| {
        let (seeds, rest) = line.split_once(" seeds, ")?;
        Some((rest.split_once(" failed")?.0.parse().ok()?, seeds.parse().ok()?))
    });
    told.with_context(|| format!("\"{}\" does not run:\n{text}", mutant.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_can_be_made() {
        for mutant in MUTANTS {
            let source = std::fs::read_to_string(workspace().join(mutant.file));
            let source = source.unwrap_or_else(|error| panic!("{}: {error}", mutant.file));
            if let Err(error) = broken(mutant, &source) {
                panic!("{error}");
            }
        }
    }
}
