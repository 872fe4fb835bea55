//! The guard: whether an environment may be written into the cluster that was reached. Identities decide, never names; and
//! both sides have a say, the environment by its pin and the cluster by its records.

use crate::cluster::binding::{Record, normal_fingerprint};
use crate::cluster::residents::Residents;

/// Which cluster an environment is pinned to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// UID of `kube-system`.
    pub uid: String,
    /// SHA-256 of the cluster's certificate authority, where the pin states it.
    pub ca: Option<String>,
    /// Where the pin is written, e.g. `environments/production.yaml:9`.
    pub place: String,
    /// What it wins over: the UID that the environment's file states, and where.
    pub instead_of: Option<(String, String)>,
}

/// The environment that somebody wants to work on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its name, without an instance.
    pub name: String,
    /// Name of its stack.
    pub stack: String,
    /// Whether it is protected.
    pub protected: bool,
    /// Its pin.
    pub pin: Option<Pin>,
    /// The pin of an environment that it extends: a UID and where that is written. It does not bind this one, but speaks against
    /// other clusters as long as nothing else is said.
    pub others_pin: Option<(String, String)>,
    /// The context that its file hints at.
    pub hint: Option<String>,
}

/// The cluster that was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// UID of `kube-system`.
    pub uid: String,
    /// SHA-256 of its certificate authority, where it may be read.
    pub authority: Option<String>,
    /// The context.
    pub context: String,
    /// The API server's address.
    pub server: String,
}

/// Why an environment is not written into a cluster, or not looked for in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The environment is pinned to another cluster.
    OtherCluster,
    /// The UID is the pinned or recorded one, the certificate authority is not: a copy of the cluster, or a new authority.
    OtherAuthority {
        /// What was expected.
        expected: String,
        /// Where that is written; `None` for the cluster's own record.
        place: Option<String>,
        /// What is there.
        found: String,
    },
    /// The environment is protected, and pinned to no cluster.
    Unpinned {
        /// Only the cluster's record says that it is protected.
        by_record: bool,
    },
    /// The environment is pinned to no cluster, and this one hosts others.
    HostsOthers(Vec<String>),
    /// The environment is pinned to no cluster, and one that it extends to another than this.
    ExtendsOther,
    /// The environment is pinned to no cluster; its objects are here, and the cluster's record of it is not.
    RecordGone {
        /// How many.
        objects: usize,
    },
    /// The cluster's record of the environment was made for another cluster, or cannot be read.
    ForeignRecord {
        /// For which.
        made_for: String,
    },
    /// The cluster's record is of an environment of the same name in another stack.
    OtherStack {
        /// Which.
        stack: String,
    },
}

/// Something worth saying that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The cluster is the right one; the environment's file names another context for it.
    OtherContext {
        /// That one.
        hint: String,
    },
    /// The pin or the record states an authority, and this one could not be read.
    AuthorityUnknown,
    /// The cluster's record was gone although objects are there.
    RecordGone {
        /// How many.
        objects: usize,
    },
}

/// What the guard lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// The cluster has a record of the environment that agrees.
    pub recorded: bool,
    /// What to say first.
    pub notes: Vec<Note>,
}

/// Whether an environment may be looked at in a cluster: nothing is written, so only a pin that names another one speaks
/// against it.
///
/// # Errors
/// The refusal.
pub fn may_read(subject: &Subject, reached: &Reached) -> Result<Vec<Note>, Refusal> {
    let Some(pin) = &subject.pin else { return Ok(Vec::new()) };
    if pin.uid != reached.uid {
        return Err(Refusal::OtherCluster);
    }
    let mut notes = Vec::new();
    compare(pin.ca.as_ref(), Some(&pin.place), reached, &mut notes)?;
    if let Some(hint) = subject.hint.as_ref().filter(|hint| **hint != reached.context) {
        notes.push(Note::OtherContext { hint: hint.clone() });
    }
    Ok(notes)
}

/// Whether an environment may be written into a cluster. `residents` may be empty as long as nobody has looked: it is only
/// asked where [`needs_residents`] says so.
///
/// # Errors
/// The refusal.
pub fn may_write(
    subject: &Subject,
    reached: &Reached,
    records: &[Record],
    residents: &Residents,
) -> Result<Pass, Refusal> {
    let mut notes = may_read(subject, reached)?;
    let own = records.iter().find(|record| record.environment == subject.name);
    let by_record = own.is_some_and(|record| record.protected) && !subject.protected;
    if subject.pin.is_none() && (subject.protected || by_record) {
        return Err(Refusal::Unpinned { by_record });
    }
    if let Some(record) = own {
        if record.cluster != reached.uid {
            return Err(Refusal::ForeignRecord { made_for: record.cluster.clone() });
        }
        if record.stack != subject.stack {
            return Err(Refusal::OtherStack { stack: record.stack.clone() });
        }
        compare(record.authority.as_ref(), None, reached, &mut notes)?;
        return Ok(Pass { recorded: true, notes });
    }
    let objects = residents.get(&subject.name).map_or(0, |resident| resident.objects);
    if subject.pin.is_some() {
        if objects > 0 {
            notes.push(Note::RecordGone { objects });
        }
        return Ok(Pass { recorded: false, notes });
    }
    let others = others(&subject.name, records, residents);
    if !others.is_empty() {
        return Err(Refusal::HostsOthers(others));
    }
    if objects > 0 {
        return Err(Refusal::RecordGone { objects });
    }
    if subject.others_pin.as_ref().is_some_and(|(uid, _)| *uid != reached.uid) {
        return Err(Refusal::ExtendsOther);
    }
    Ok(Pass { recorded: false, notes })
}

/// Whether it matters what lives in the cluster: not where both sides agree, which is every run but the first.
pub fn needs_residents(decision: &Result<Pass, Refusal>) -> bool {
    !matches!(decision, Ok(Pass { recorded: true, .. }))
}

/// The other environments of a cluster, by record or by labelled objects.
fn others(name: &str, records: &[Record], residents: &Residents) -> Vec<String> {
    let recorded = records.iter().map(|record| record.environment.as_str());
    let mut all: Vec<_> = recorded.chain(residents.keys().map(String::as_str)).filter(|other| *other != name).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(str::to_owned).collect()
}

fn compare(
    expected: Option<&String>,
    place: Option<&String>,
    reached: &Reached,
    notes: &mut Vec<Note>,
) -> Result<(), Refusal> {
    let Some(expected) = expected else { return Ok(()) };
    match &reached.authority {
        Some(found) if normal_fingerprint(expected) == normal_fingerprint(found) => Ok(()),
        Some(found) => {
            Err(Refusal::OtherAuthority { expected: expected.clone(), place: place.cloned(), found: found.clone() })
        }
        None => {
            if !notes.contains(&Note::AuthorityUnknown) {
                notes.push(Note::AuthorityUnknown);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
