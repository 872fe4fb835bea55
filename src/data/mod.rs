//! Data sets: state that must survive. Which claims hold it ([`spec`], [`claims`]), what of it is there ([`survey`],
//! [`evidence`], [`lookup`], [`backups`]), what is done about it ([`decide`], [`restore`], in the words of [`decision`]), and
//! doing it ([`objects`], [`adopt`], [`marks`], [`lineage`], [`memory`]).
//!
//! Everything but [`survey`], [`lookup`], [`adopt`], [`marks`] and [`memory`] is pure.

pub mod adopt;
pub mod answers;
pub mod backups;
pub mod claims;
pub mod decide;
pub mod decision;
pub mod evidence;
pub mod lineage;
pub mod lookup;
pub mod marks;
pub mod memory;
pub mod objects;
pub mod quantity;
pub mod restore;
pub mod spec;
pub mod survey;

#[cfg(test)]
mod decide_properties;
#[cfg(test)]
mod decide_tests;

use serde::{Deserialize, Serialize};

pub use answers::Answers;
pub use decision::{Choice, ClaimDecision, Decision, Decisions, Stop};
pub use lineage::Lineage;
pub use spec::DataSet;
pub use survey::Survey;

/// Annotation of a claim: where its contents came from ([`Source`], or `copy`). Written when the claim is made, it holds for
/// the claim's life.
pub const DATA_ANNOTATION: &str = "rekindle.dev/data";

/// Annotation of a volume: the claim that it held, `namespace/name`. With the labels of the environment it is evidence that
/// outlives the claim.
pub const CLAIM_ANNOTATION: &str = "rekindle.dev/claim";

/// Annotation of a volume: the data set that it held a part of.
pub const DATA_SET_ANNOTATION: &str = "rekindle.dev/data-set";

/// Annotation of a volume: the answer to its data set's `identity`, as it was at the end of the last healthy run.
pub const IDENTITY_ANNOTATION: &str = "rekindle.dev/identity";

/// What a claim that its neighbours fill is annotated with.
pub const COPY: &str = "copy";

/// Where the contents of a data set come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// From a volume that survived.
    Adopt,
    /// From a backup.
    Restore,
    /// From nowhere: it begins empty.
    Empty,
}

impl Source {
    /// All of them, in the order that is usual.
    pub const ALL: [Self; 3] = [Self::Adopt, Self::Restore, Self::Empty];

    /// The word for it in files, flags, templates and annotations.
    pub fn word(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Restore => "restore",
            Self::Empty => "empty",
        }
    }

    /// The source that a word means.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.word() == word)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
