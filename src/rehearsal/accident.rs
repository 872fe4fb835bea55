//! What an accident leaves in the simulated cluster before a rehearsed rebuild begins: volumes and the archives of backups, told
//! by a file of [`survivors`](super::survivors), or supposed. Pure.
//!
//! Without a file everything is gone but the backups: the worst case that `up` is made for. What an archive holds is assumed
//! then, and so it is for data sets that a file says nothing of.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::archives::Archives;
use super::survivors::Survivors;
use crate::data::backups::{Archive, Backup, History};
use crate::data::claims::Expected;
use crate::data::decision::Policy;
use crate::data::evidence::{Volume, evidence};
use crate::data::quantity::bytes;
use crate::data::{Answers, DataSet, Source};
use crate::manifest::mistake::nearest;

/// How old an assumed backup is: one a day is usual, and the accident comes in between.
const AGE: SignedDuration = SignedDuration::from_hours(12);
/// How long before the accident the assumed archive was last written to.
const BEHIND: SignedDuration = SignedDuration::from_mins(1);

/// What the accident has left, and what is supposed of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accident {
    /// Volumes.
    pub volumes: Vec<Value>,
    /// Nodes; none when as many are made as the kit needs.
    pub nodes: Vec<Value>,
    /// What archives hold.
    pub archives: Archives,
    /// Data sets whose archive is assumed.
    pub assumed: BTreeSet<String>,
    /// Data sets that begin empty only because somebody is supposed to allow it.
    pub let_be_empty: BTreeSet<String>,
    /// What became of volumes, and what is supposed, a sentence each.
    pub notes: Vec<String>,
}

/// Everything that decides what is left.
pub struct Before<'a> {
    /// The kit's data sets.
    pub sets: &'a [DataSet],
    /// The claims that the kit makes.
    pub claims: &'a [Expected],
    /// What the environment allows.
    pub policy: &'a Policy,
    /// What was answered on the command line.
    pub answers: &'a Answers,
    /// When it happened.
    pub now: Timestamp,
}

/// A name of `--lose-volume` that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVolume {
    /// What was typed.
    pub typed: String,
    /// What was probably meant.
    pub near: Option<String>,
    /// All that could be meant.
    pub known: Vec<String>,
}

impl Before<'_> {
    fn of_set<'s>(&'s self, set: &'s str) -> impl Iterator<Item = &'s Expected> {
        self.claims.iter().filter(move |claim| claim.is_of(set))
    }

    /// The claims that a volume can be said to have held.
    fn held<'s>(&'s self, volume: &'s Volume) -> impl Iterator<Item = &'s Expected> {
        self.claims.iter().filter(|claim| {
            evidence(volume, &self.policy.environment, claim).is_some_and(|evidence| evidence.is_strong())
        })
    }

    /// The accident that a file of survivors tells of, less the volumes that are lost as well.
    ///
    /// # Errors
    /// When one of `lost` is neither a volume of the file nor a claim or data set of the kit.
    pub fn survived(&self, survivors: Survivors, lost: &[String]) -> Result<Accident, UnknownVolume> {
        let mut accident = Accident { nodes: survivors.nodes, archives: survivors.archives, ..Accident::default() };
        let namespaces: BTreeSet<&str> = self.claims.iter().map(|claim| claim.namespace.as_str()).collect();
        let (mut kept, mut gone): (usize, Vec<String>) = (0, Vec::new());
        for mut volume in survivors.volumes {
            if accident.nodes.is_empty()
                && let Some(spec) = volume.get_mut("spec").and_then(Value::as_object_mut)
            {
                // Without nodes in the file the node of a local volume is taken to be there.
                spec.shift_remove("nodeAffinity");
            }
            let text = |pointer: &str| volume.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let of_environment = namespaces.contains(text("/spec/claimRef/namespace").as_str());
            if text("/status/phase") != "Bound" || !of_environment {
                accident.volumes.push(volume);
                continue;
            }
            // Written down while all was well: its claim goes in the accident, and its policy decides.
            if text("/spec/persistentVolumeReclaimPolicy") == "Retain" {
                let at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                volume["status"] = json!({"phase": "Released", "lastPhaseTransitionTime": at});
                accident.volumes.push(volume);
                kept += 1;
            } else {
                gone.push(format!("pv/{}", text("/metadata/name")));
            }
        }
        if kept > 0 {
            accident.notes.push(match kept {
                1 => {
                    "supposed: a volume that is bound in the file has lost its claim, and is kept by Retain".to_owned()
                }
                _ => format!(
                    "supposed: {kept} volumes that are bound in the file have lost their claims, and are kept by Retain"
                ),
            });
        }
        if !gone.is_empty() {
            accident.notes.push(format!(
                "supposed: lost with {}, since the reclaim policy is not Retain: {}",
                if gone.len() == 1 { "its claim" } else { "their claims" },
                gone.join(", ")
            ));
        }
        for name in lost {
            self.lose(&mut accident, name)?;
        }
        self.assume(&mut accident);
        Ok(accident)
    }

    /// The worst that `up` is made for: everything is gone but the backups.
    pub fn nothing_left(&self) -> Accident {
        let mut accident = Accident::default();
        for set in self.sets.iter().filter(|set| self.of_set(&set.name).next().is_some()) {
            if self.is_restored(set) || self.answers.of(&set.name).next().is_some() {
                continue;
            }
            if set.sources.contains(&Source::Empty) {
                if self.asks_before_empty(set) && !self.answers.lets_be_empty(&set.name) {
                    accident.let_be_empty.insert(set.name.clone());
                }
                continue;
            }
            // It can only be there already: everything else takes a person, or is impossible.
            let volumes = self.of_set(&set.name).map(|claim| self.volume_of(claim));
            accident.volumes.extend(volumes);
            accident.notes.push(format!(
                "supposed: the volumes of {} survived, because it can neither be restored by rekindle nor begin empty",
                set.name
            ));
        }
        self.assume(&mut accident);
        accident
    }

    /// Whether a data set of which nothing is left is restored by the kit.
    fn is_restored(&self, set: &DataSet) -> bool {
        set.lookup().is_some() && set.sources.contains(&Source::Restore) && self.policy.permits(Source::Restore)
    }

    /// Whether `up` would want somebody to say that a data set of which nothing is left begins empty.
    fn asks_before_empty(&self, set: &DataSet) -> bool {
        let next = set.sources.iter().find(|source| **source != Source::Adopt);
        let by_hand = next == Some(&Source::Restore) && self.policy.permits(Source::Restore);
        set.derived.is_none() && (by_hand || self.policy.protected || !self.policy.permits(Source::Empty))
    }

    /// A volume that held a claim and survived.
    fn volume_of(&self, claim: &Expected) -> Value {
        let at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": format!("supposed-{}-{}", claim.namespace, claim.name)},
            "spec": {
                "capacity": {"storage": claim.body.pointer("/spec/resources/requests/storage")},
                "accessModes": claim.body.pointer("/spec/accessModes"), "volumeMode": claim.mode(),
                "storageClassName": claim.class(), "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace,
                    "name": claim.name, "uid": "00000000-51e0-4000-8000-000000000000"},
                "csi": {"driver": "supposed", "volumeHandle": claim.place()},
            },
            "status": {"phase": "Released", "lastPhaseTransitionTime": at},
        })
    }

    /// Takes volumes away: one by its name, those of a claim, or those of a data set.
    fn lose(&self, accident: &mut Accident, name: &str) -> Result<(), UnknownVolume> {
        let bare = name.strip_prefix("pv/").unwrap_or(name);
        let volumes: Vec<Volume> = accident.volumes.iter().map(|volume| Volume::of(volume, None)).collect();
        let named = volumes.iter().any(|volume| volume.name == bare);
        let is_lost = |volume: &Volume| match named {
            true => volume.name == bare,
            false => self.held(volume).any(|claim| claim.name == name || claim.is_of(name)),
        };
        let lost: BTreeSet<&str> = volumes.iter().filter(|it| is_lost(it)).map(|it| it.name.as_str()).collect();
        let of_kit = self.claims.iter().any(|claim| claim.name == name || claim.is_of(name));
        if !named && !of_kit {
            let mut known: Vec<String> = volumes.iter().map(|volume| volume.name.clone()).collect();
            known.extend(self.sets.iter().map(|set| set.name.clone()));
            known.extend(self.claims.iter().map(|claim| claim.name.clone()));
            let near = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            return Err(UnknownVolume { typed: name.to_owned(), near, known });
        }
        let note = if lost.is_empty() {
            format!("supposed: the volumes of {name} are lost as well; the file has none of them")
        } else {
            let lost: Vec<String> = lost.iter().map(|name| format!("pv/{name}")).collect();
            format!("supposed: lost as well: {}", lost.join(", "))
        };
        accident.notes.push(note);
        let left: Vec<Value> = accident
            .volumes
            .iter()
            .zip(&volumes)
            .filter(|(_, volume)| !lost.contains(volume.name.as_str()))
            .map(|(body, _)| body.clone())
            .collect();
        accident.volumes = left;
        Ok(())
    }

    /// Gives the data sets whose backups could be looked up and of which nothing is said an archive with one backup, as large as
    /// the largest claim. It was last written to before the first of the set's volumes was released. What follows another
    /// environment's archive has nothing in its own.
    fn assume(&self, accident: &mut Accident) {
        let volumes: Vec<Volume> = accident.volumes.iter().map(|volume| Volume::of(volume, None)).collect();
        for set in self.sets {
            let followed = set.follow().is_some();
            let archives = if followed { &mut accident.archives.followed } else { &mut accident.archives.own };
            let looked_up = followed || set.lookup().is_some();
            if !looked_up || archives.contains_key(&set.name) || self.of_set(&set.name).next().is_none() {
                continue;
            }
            let released = volumes
                .iter()
                .filter(|volume| volume.phase == "Released")
                .filter(|volume| self.held(volume).any(|claim| claim.is_of(&set.name)));
            let moment = released.filter_map(|volume| volume.since).min().unwrap_or(self.now);
            let before = |time: SignedDuration| moment.checked_sub(time).unwrap_or(moment);
            let backup = Backup {
                name: format!("assumed-{}", set.name),
                finished: before(AGE),
                size: self.of_set(&set.name).map(requested).max(),
                system_identifier: None,
                gaps: Vec::new(),
            };
            let history = History { name: String::new(), backups: vec![backup], newest_wal: Some(before(BEHIND)) };
            archives.insert(set.name.clone(), Archive::Known(vec![history]));
            accident.assumed.insert(set.name.clone());
        }
    }
}

/// Bytes that a claim asks for.
pub fn requested(claim: &Expected) -> u64 {
    let storage = claim.body.pointer("/spec/resources/requests/storage").and_then(Value::as_str);
    storage.and_then(bytes).unwrap_or_default()
}

#[cfg(test)]
#[path = "accident_tests.rs"]
mod tests;
