//! The kit: where it comes from, its environments, its stack file, its templates, and rendering.
//!
//! Rendering is a pure function of the kit's bytes, the environment's name and the overrides: no clock, no randomness,
//! no process environment.

mod context;
pub mod edit;
mod environment;
mod fingerprint;
mod layer;
mod merge;
mod metadata;
mod objects;
mod overrides;
pub mod pins;
mod render;
#[cfg(test)]
pub(crate) mod sample;
mod source;
mod stack;
mod template;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::data::claims::Expected;
use crate::data::{DataSet, Lineage, Source};
use crate::health::gate::Gate;
use crate::manifest::mistake::{Mistake, Mistakes, Span};
use crate::manifest::{Object, Origin};

pub use source::lies_in;
pub use stack::{Stack, StackPhase};

/// All files of a kit, in memory. Paths are relative to its root, with `/`.
#[derive(Clone, Debug)]
pub struct Kit {
    /// Where it comes from.
    pub source: KitSource,
    /// Contents by path: `environments/…`, `templates/…`, `secrets/…`.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Where a kit comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KitSource {
    /// The one inside the binary.
    Embedded,
    /// A folder given by `--kit`.
    Folder(std::path::PathBuf),
}

/// What the command line changes about an environment.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--instance NAME`.
    pub instance: Option<String>,
    /// `--set PATH=VALUE`, in order; a path without a leading `values.` is below `values`; the value is YAML.
    pub set: Vec<(String, String)>,
    /// `--image NAME=REF`, in order.
    pub images: Vec<(String, String)>,
    /// Whether it is rehearsed for real: `rehearsal.values` are merged over its values.
    pub rehearsal: bool,
}

/// A resolved environment: `extends` followed, values merged, overrides applied.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its name: the file's stem.
    pub name: String,
    /// Name of the stack it belongs to; empty where the stack file cannot be read.
    pub stack: String,
    /// The files it is made of, nearest first, e.g. `environments/production.yaml`, `environments/base.yaml`.
    pub files: Vec<String>,
    /// `protected: true`: typed confirmation, no empty databases, no demonstration keys.
    pub protected: bool,
    /// `--instance`, if any.
    pub instance: Option<String>,
    /// Namespace for objects without one; `<namespace>-<instance>` for an instance.
    pub namespace: String,
    /// `cluster:`.
    pub cluster: ClusterHint,
    /// `data.allow`: which sources data sets may use here; `None` when not stated.
    pub data_allow: Option<Vec<String>>,
    /// What was decided about data sets, by name: what `data(name=…)` gives templates. Empty until the cluster was looked at;
    /// until then templates see what the environment would do where nothing is there.
    pub data: BTreeMap<String, Source>,
    /// What is known of the backups of data sets, by name: what `data(name=…, of=…)` gives templates.
    pub lineages: BTreeMap<String, Lineage>,
    /// Custom kinds, by group and name, that the cluster serves without namespaces: empty until it was looked at. A definition
    /// in the kit says it itself.
    pub cluster_kinds: BTreeSet<(String, String)>,
    /// Image references by name.
    pub images: BTreeMap<String, String>,
    /// The merged `values:`.
    pub values: Value,
    /// `phases:`, settings that override those of the stack file, by phase name.
    pub phases: BTreeMap<String, PhaseSettings>,
    /// `gates.skip`: gates switched off here; a name or a glob with `*`, and the reason, in the order of the file.
    pub skipped_gates: Vec<SkippedGate>,
    /// Which file and line won, by dotted path (`values.api.replicas`, `images.api`, `namespace`); `--set` and `--image`
    /// appear with those words as the file and line 0.
    pub provenance: BTreeMap<String, Origin>,
    /// Everything that its files and the overrides say, merged, in the form of a file; `namespace` with the instance.
    pub settings: Value,
    /// What was overridden on the way, by dotted path, nearest first.
    pub overridden: BTreeMap<String, Vec<Overridden>>,
    /// What a `null` removed, by dotted path, with the place of the `null`.
    pub removed: BTreeMap<String, Origin>,
    /// `cluster.uid` and `cluster.ca` in files that this environment extends, the nearest: a pin of another environment, which
    /// does not bind this one.
    pub others_pin: BTreeMap<String, (String, Origin)>,
}

/// A setting that a nearer file, `--set` or `--image` replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Overridden {
    /// What it was.
    pub value: Value,
    /// Where it is written.
    pub origin: Origin,
}

/// Which cluster an environment belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterHint {
    /// A kubeconfig context; a hint for people, never the guard.
    pub context: Option<String>,
    /// UID of the `kube-system` namespace: the guard.
    pub uid: Option<String>,
    /// SHA-256 of the cluster's certificate authority, which a copy of the cluster does not share; compared where stated.
    pub ca: Option<String>,
}

/// A gate that an environment switches off, with the reason its file gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedGate {
    /// A gate's name, or a pattern in which `*` stands for anything.
    pub pattern: String,
    /// Why, as written.
    pub reason: String,
    /// Where it is written.
    pub origin: Origin,
}

/// Time limits of a phase. In files: Kubernetes-style durations such as `90s`, `10m`, `4h`, `1h30m`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseSettings {
    /// Limit for the whole phase (default 30 m).
    pub timeout: Option<Duration>,
    /// Limit for one object from being sent to being ready (default: the phase's limit). An object's own annotation
    /// `rekindle.dev/timeout` wins.
    pub object_timeout: Option<Duration>,
    /// Limit for a phase in which nothing changes at all (default 10 m).
    pub stall_timeout: Option<Duration>,
    /// How long a failing image pull is given before it counts as failed (default 30 s).
    pub pull_grace: Option<Duration>,
    /// How long a crashing container is given before it counts as failed (default 60 s).
    pub crash_grace: Option<Duration>,
}

impl Environment {
    /// What templates see of a data set.
    pub fn data_source(&self, name: &str) -> Source {
        let lets_be_empty = match &self.data_allow {
            Some(allow) => allow.iter().any(|word| word == Source::Empty.word()),
            None => true,
        };
        let unknown = if lets_be_empty && !self.protected { Source::Empty } else { Source::Adopt };
        self.data.get(name).copied().unwrap_or(unknown)
    }

    /// Whether templates see these decisions already.
    pub fn sees(&self, data: &BTreeMap<String, Source>, lineages: &BTreeMap<String, Lineage>) -> bool {
        let known = |name: &str| self.lineages.get(name).cloned().unwrap_or_default();
        data.iter().all(|(name, source)| self.data_source(name) == *source)
            && lineages.iter().all(|(name, lineage)| known(name) == *lineage)
    }
}

/// A rendered environment: what `render` prints and `up` applies.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The environment it was rendered for.
    pub environment: Environment,
    /// `name:` of the stack file.
    pub stack: String,
    /// Phases in order.
    pub phases: Vec<RenderedPhase>,
    /// Every secret value that `secret()` gave to a template, for redaction, name → value.
    pub secret_values: BTreeMap<String, secrecy::SecretString>,
    /// The claims that the objects make, each with its data set.
    pub claims: Vec<Expected>,
    /// Remarks that are no mistakes, e.g. a reference to an object that no template makes.
    pub warnings: Vec<crate::manifest::mistake::Mistake>,
    /// Fields that an API server of the recorded version would refuse; the cluster's own may know them.
    pub misfits: Vec<crate::manifest::mistake::Mistake>,
}

/// One phase of a rendered environment.
#[derive(Clone, Debug)]
pub struct RenderedPhase {
    /// Its name: the folder below `templates/`.
    pub name: String,
    /// Limits, after the environment's overrides.
    pub settings: PhaseSettings,
    /// Objects, in file and document order. Every namespaced one has its namespace set.
    pub objects: Vec<Object>,
    /// Gates that close the phase, in file and document order.
    pub gates: Vec<Gate>,
    /// `DataSet` documents, which never reach the cluster.
    pub data_sets: Vec<DataSet>,
}

impl Rendered {
    /// All data sets, in file and document order.
    pub fn data_sets(&self) -> impl Iterator<Item = &DataSet> {
        self.phases.iter().flat_map(|phase| &phase.data_sets)
    }
}

impl Kit {
    /// The text of a file, or a mistake when it is not UTF-8. `None` when there is no such file.
    pub fn text(&self, file: &str) -> Option<Result<&str, Mistakes>> {
        self.files.get(file).map(|bytes| {
            std::str::from_utf8(bytes).map_err(|error| {
                let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let line = before.lines().count().max(1);
                let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
                let shown = String::from_utf8_lossy(bytes);
                let span = Some(Span::on_line(&shown, line, column, 1));
                mistake("encoding", "is not UTF-8 text", file, span).into()
            })
        })
    }

    /// The line on which something was written, to be shown with a mistake.
    fn span_at(&self, origin: &Origin) -> Option<Span> {
        let text = std::str::from_utf8(self.files.get(&origin.file)?).ok()?;
        let line = text.lines().nth(origin.line.checked_sub(1)?)?;
        let indent = line.chars().take_while(|letter| letter.is_whitespace()).count();
        Some(Span::on_line(text, origin.line, indent + 1, line.trim().chars().count()))
    }

    /// A mistake at the line on which something was written.
    pub(crate) fn mistake_at(&self, code: &'static str, message: impl Into<String>, origin: &Origin) -> Mistake {
        mistake(code, message, &origin.file, self.span_at(origin))
    }
}

fn mistake(code: &'static str, message: impl Into<String>, file: &str, span: Option<Span>) -> Mistake {
    Mistake { code, message: message.into(), file: file.to_owned(), span, hint: None }
}

/// A hint that names the nearest known name, or else the first few known ones.
fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = crate::manifest::mistake::nearest(typed, known.iter().copied()) {
        return Some(format!("did you mean {name}?"));
    }
    const SHOWN: usize = 8;
    let mut list = known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if known.len() > SHOWN {
        list.push_str(&format!(" and {} more", known.len() - SHOWN));
    }
    (!list.is_empty()).then(|| format!("known here: {list}"))
}
