//! The lock in other hands: what happens to it while a run holds it, a record that a run of another machine has left, and
//! clocks that are wrong. Whatever it is, a run that has lost its lock ends, and nobody begins before it has.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::operator::{Ended, holder};
use super::{Play, RUNS};
use crate::cluster::system::record_name;
use crate::cluster::{SYSTEM_NAMESPACE, lock};
use crate::rehearsal::World;
use crate::rehearsal::faults::Chance;
use crate::rehearsal::store::Key;

/// How a run loses its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// A second operator breaks it and goes on with the work.
    Broken,
    /// Somebody writes another holder into its record.
    Overwritten,
    /// Somebody deletes its record.
    Removed,
    /// Its record cannot be reached for some time, during which a second operator waits for it.
    Cut,
}

/// What a seed decides about locks and clocks.
#[derive(Clone, Debug)]
pub struct Locks {
    /// How the first run loses its lock, and when.
    pub meddling: Option<(Duration, Meddling)>,
    /// A run of another machine has left its record; by how many seconds that one's clock is off.
    pub left: Option<i64>,
    /// By how many seconds the clock is off in each run.
    clocks: Vec<i64>,
}

/// Years, in either direction: a machine whose battery is empty, or one that was set by hand.
fn off(chance: &mut Chance) -> i64 {
    let seconds = i64::try_from(chance.below(20 * 365 * 24 * 3600)).unwrap_or_default();
    let off = seconds - 10 * 365 * 24 * 3600;
    // Mostly the clocks of two machines differ by a little.
    if chance.happens(0.5) { off } else { off % 120 }
}

impl Locks {
    pub fn of(chance: &mut Chance) -> Self {
        let how = [Meddling::Broken, Meddling::Overwritten, Meddling::Removed, Meddling::Cut][chance.below(4)];
        let after = Duration::from_millis(chance.below(90_000) as u64);
        let meddling = chance.happens(0.4).then_some((after, how));
        let left = chance.happens(0.3).then(|| off(chance));
        Self { meddling, left, clocks: RUNS.iter().map(|_| off(chance)).collect() }
    }

    /// The time that the machine of a run shows when it begins.
    pub fn clock(&self, run: &str) -> jiff::Timestamp {
        let number = RUNS.iter().position(|known| *known == run).unwrap_or_default();
        jiff::Timestamp::from_second(self.clocks[number]).unwrap_or_default()
    }

    /// Puts the record of the run that is no more into a new cluster. Returns until when nobody else may have the lock: it is
    /// not known to be dead before.
    pub fn leave(&self, world: &mut World) -> Option<Instant> {
        let seconds = self.left?;
        world.make(&Key::new("", "namespaces", "", SYSTEM_NAMESPACE), json!({}));
        let then = jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S.000000Z");
        let spec = json!({"holderIdentity": "they@there run zero", "leaseDurationSeconds": lock::DURATION.as_secs(),
            "acquireTime": then.to_string(), "renewTime": then.to_string(), "leaseTransitions": 0});
        world.make(&record(), json!({"spec": spec}));
        Some(Instant::now() + lock::DURATION)
    }
}

/// The record of the environment's lock.
fn record() -> Key {
    Key::new("coordination.k8s.io", "leases", SYSTEM_NAMESPACE, &record_name(lock::SORT, "test"))
}

/// So long after its lock was lost a run may still be there: it notices, lets requests end, and tries to give the lock back.
const LAST: Duration = Duration::from_secs(20);

impl Play<'_> {
    /// A run whose lock is taken from it.
    pub async fn meddled(&mut self, version: usize) {
        let Some((after, how)) = self.scene.locks.meddling else { return };
        let mut first = self.operator();
        let mut second = matches!(how, Meddling::Broken | Meddling::Cut).then(|| self.operator());
        let (name, simulation, watched) = (first.name, self.simulation.clone(), self.watched.clone());
        let meddle = async {
            tokio::time::sleep(after).await;
            let knows = watched.lock().unwrap().locked == Some(name);
            if !knows || holder(&simulation.world()).as_deref() != Some(name) {
                return None;
            }
            let lost = Instant::now();
            let taken = {
                let mut watched = watched.lock().unwrap();
                watched.meddled = Some(lost);
                watched.taken.get(name).copied()
            };
            match how {
                Meddling::Broken => {}
                Meddling::Overwritten => simulation.world().edit(&record(), |lease| {
                    lease["spec"]["holderIdentity"] = Value::from("they@there run other");
                }),
                Meddling::Removed => drop(simulation.world().remove(&record())),
                Meddling::Cut => simulation.silence("/leases/", lock::DURATION * 3),
            }
            if let Some(second) = &mut second {
                second.breaking = (how == Meddling::Broken).then_some(name);
                let ended = second.up(version).await;
                assert!(matches!(ended, Ended::Held | Ended::Run(_)), "the second operator ended with {ended:?}");
            }
            Some((lost, taken))
        };
        let work = async {
            let ended = first.up(version).await;
            (ended, Instant::now())
        };
        let ((ended, at), lost) = tokio::join!(work, meddle);
        self.heard(&first.events);
        if let Some(second) = &second {
            self.heard(&second.events);
        }
        let exit = match ended {
            Ended::Run(exit) => exit,
            // It could not begin, and before it tried again the other one was at work.
            Ended::Held if second.is_some() => 8,
            ended => panic!("a run alone ended with {ended:?}"),
        };
        // How long it takes a second operator to break the lock is not known here; the witness looks at what is written.
        // A run that could not begin has taken the lock anew since.
        let still = self.watched.lock().unwrap().taken.get(name).copied();
        if let Some((lost, _)) = lost.filter(|(_, taken)| how != Meddling::Broken && *taken == still) {
            let stopped = exit == 8 || at <= lost + LAST;
            assert!(stopped, "the lock was lost ({how:?}) and the run went on for {:?}", at - lost);
        }
        self.watched.lock().unwrap().meddled = None;
    }
}
