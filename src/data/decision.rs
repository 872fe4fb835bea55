//! What can be decided about data: the policy it rests on, the choice for each claim, and why nothing can be decided.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::claims::Expected;
use super::evidence::Claim;
use super::lineage::Lineage;
use super::memory::{Comeback, Memories, Memory};
use super::{COPY, Source};

/// What an environment allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The environment, with the instance.
    pub environment: String,
    /// Whether it is protected: nothing begins empty there unless a person names it.
    pub protected: bool,
    /// `data.allow`, where it is stated.
    pub allow: Option<Vec<Source>>,
    /// Where that is written.
    pub allowed_at: Option<String>,
}

impl Policy {
    /// Whether data may come from there.
    pub fn permits(&self, source: Source) -> bool {
        match &self.allow {
            Some(allow) => allow.contains(&source),
            None => !self.protected || source != Source::Empty,
        }
    }

    pub(super) fn place(&self) -> String {
        match &self.allowed_at {
            Some(place) => format!("{} ({place})", self.environment),
            None => self.environment.clone(),
        }
    }
}

/// What is done about one claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "choice", rename_all = "kebab-case")]
pub enum Choice {
    /// It is there; nothing is done.
    Keep,
    /// It is bound to a volume that survived.
    Adopt {
        /// The volume's name.
        volume: String,
    },
    /// It is restored from a backup.
    Restore {
        /// The backup's name.
        backup: String,
    },
    /// It begins empty, and its neighbours fill it.
    Copy,
    /// It begins empty.
    Empty,
}

impl Choice {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Adopt { .. } => "adopt",
            Self::Restore { .. } => "restore",
            Self::Copy => COPY,
            Self::Empty => "empty",
        }
    }
}

/// What is done about one claim, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimDecision {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What.
    #[serde(flatten)]
    pub choice: Choice,
    /// Why: one line.
    pub reason: String,
}

impl ClaimDecision {
    /// `namespace/name`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What is done about one data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Its name.
    pub data_set: String,
    /// What templates see: where the contents came from, now or when its claims were made.
    pub source: Source,
    /// Its claims.
    pub claims: Vec<ClaimDecision>,
    /// The backup that it comes from, and where it archives to.
    pub lineage: Lineage,
    /// Up to when what is restored now was archived: what was written later is lost.
    pub recovery_point: Option<jiff::Timestamp>,
    /// Bytes of the backup that is restored now, where they are known.
    pub restored_bytes: Option<u64>,
    /// Whether a person has to type its name: it begins empty in a protected environment.
    pub confirm: bool,
    /// Whether it stops following another environment's archive now.
    pub promoted: bool,
    /// Whether its contents have come back since they were remembered.
    pub comeback: Comeback,
}

impl Decision {
    /// The word for the whole: `keep` when nothing is done.
    pub fn word(&self) -> &'static str {
        let has = |choice: &str| self.claims.iter().any(|claim| claim.choice.word() == choice);
        match () {
            () if self.promoted => "promote",
            () if has("adopt") => "adopt",
            () if has("restore") => "restore",
            () if has("empty") => "empty",
            () if has(COPY) => COPY,
            () => "keep",
        }
    }
}

/// A volume that survived and is not used: listed, and never touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name.
    pub volume: String,
    /// What is known of it.
    pub facts: String,
}

/// Everything that was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// A decision for each data set that has claims.
    pub sets: Vec<Decision>,
    /// Volumes that survived and are not used.
    pub left: Vec<Left>,
    /// Claims, as `namespace/name`, whose volumes carry every mark already: they need not be looked at again.
    pub settled: BTreeSet<String>,
    /// What is remembered of the data sets.
    pub memories: Memories,
    /// The claims that were there, as `namespace/name`: before anything is done about one it must still be the same.
    pub seen: BTreeMap<String, SeenClaim>,
}

/// What makes a claim the one that was decided upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenClaim {
    uid: String,
    volume: Option<String>,
}

impl SeenClaim {
    /// The claim as it lives.
    pub fn of(live: &Claim) -> Self {
        Self { uid: live.uid.clone(), volume: live.volume.clone() }
    }
}

impl Decisions {
    /// The decision about a claim.
    pub fn of_claim(&self, namespace: &str, name: &str) -> Option<(&Decision, &ClaimDecision)> {
        let is = |claim: &&ClaimDecision| claim.namespace == namespace && claim.name == name;
        self.sets.iter().find_map(|set| set.claims.iter().find(is).map(|claim| (set, claim)))
    }

    /// The decision about a data set.
    pub fn of_set(&self, name: &str) -> Option<&Decision> {
        self.sets.iter().find(|set| set.data_set == name)
    }

    /// What is remembered of a data set whose contents have come back in this way.
    pub fn remembered(&self, name: &str, comeback: Comeback) -> Option<&Memory> {
        self.of_set(name).filter(|set| set.comeback == comeback).and_then(|_| self.memories.get(name))
    }

    /// Volumes to bind, each with its claim.
    pub fn adopted(&self) -> impl Iterator<Item = (&ClaimDecision, &str)> {
        self.sets.iter().flat_map(|set| &set.claims).filter_map(|claim| match &claim.choice {
            Choice::Adopt { volume } => Some((claim, volume.as_str())),
            _ => None,
        })
    }

    /// Bytes of the largest backup that is restored into one of these claims, or was before it was cut off.
    pub fn restored_bytes<'c>(&self, claims: impl Iterator<Item = &'c Expected>) -> u64 {
        let bytes = |claim: &Expected| {
            let (set, decision) = self.of_claim(&claim.namespace, &claim.name)?;
            // One that an earlier run began to restore and that was never seen healthy.
            let begun = decision.choice == Choice::Keep && !self.settled.contains(&claim.place());
            set.restored_bytes.or_else(|| set.lineage.bytes().filter(|_| begun))
        };
        claims.filter_map(bytes).max().unwrap_or_default()
    }

    /// What templates see of each data set.
    pub fn words(&self) -> BTreeMap<String, Source> {
        self.sets.iter().map(|set| (set.data_set.clone(), set.source)).collect()
    }

    /// What follows another environment's archive when all of this is done.
    pub fn following(&self) -> impl Iterator<Item = &Decision> {
        self.sets.iter().filter(|set| set.lineage.follows())
    }

    /// What templates see of each data set's backups.
    pub fn lineages(&self) -> BTreeMap<String, Lineage> {
        self.sets.iter().map(|set| (set.data_set.clone(), set.lineage.clone())).collect()
    }
}

/// Why nothing can be decided about a data set, with the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The data set.
    pub data_set: String,
    /// Why, in one line after the data set's name.
    pub why: String,
    /// What is known, a line each.
    pub facts: Vec<String>,
    /// What a person can answer or do, a line each: `--data …` or advice.
    pub ways: Vec<String>,
}
