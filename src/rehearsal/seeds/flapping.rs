//! Controllers that cannot be relied on: late ones, whose status is still that of an earlier generation, and pods that are
//! ready, then not, then ready again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::operator::Watched;
use super::scene::SPACE;
use crate::rehearsal::Simulation;
use crate::rehearsal::World;
use crate::rehearsal::controllers::is_ready;
use crate::rehearsal::faults::Chance;
use crate::rehearsal::store::Key;

/// What a seed decides about them.
#[derive(Clone, Debug)]
pub struct Flapping {
    /// From a change to the look of a controller at it.
    pub late: Duration,
    /// When all ready pods of the environment stop being so, and for how long.
    flaps: Vec<(Duration, Duration)>,
}

impl Flapping {
    pub fn of(chance: &mut Chance) -> Self {
        let late = [10, 10, 10, 800, 3000][chance.below(5)];
        let mut flap = || {
            let after = Duration::from_millis(chance.below(240_000) as u64);
            (after, Duration::from_secs(5 + chance.below(55) as u64))
        };
        let many = [flap(), flap(), flap()];
        let flaps = many[..chance.below(4)].to_vec();
        Self { late: Duration::from_millis(late), flaps }
    }

    /// Controllers that can be relied on.
    pub fn calm(&mut self) {
        *self = Self { late: Duration::from_millis(10), flaps: Vec::new() };
    }

    /// Lets pods flap from now on.
    pub fn begin(&self, simulation: &Simulation, watched: &Arc<Mutex<Watched>>) {
        for (after, long) in self.flaps.clone() {
            let (simulation, watched) = (simulation.clone(), watched.clone());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                let pods = ready_pods(&simulation.world());
                turn(&simulation, &watched, &pods, "False");
                tokio::time::sleep(long).await;
                turn(&simulation, &watched, &pods, "True");
            });
        }
    }

    /// Nobody outside the cluster can know yet that pods have turned: controllers must look, and watches must tell.
    pub fn is_news(&self, turned: Option<Instant>) -> bool {
        turned.is_some_and(|at| at.elapsed() <= self.late * 3 + Duration::from_secs(1))
    }
}

/// The ready pods of the environment, each with its UID.
fn ready_pods(world: &World) -> Vec<(Key, Value)> {
    let pods = world.store.list(&(String::new(), "pods".to_owned()), Some(SPACE));
    let ready = pods.filter(|(_, pod)| is_ready(pod));
    ready.map(|((space, name), pod)| (Key::new("", "pods", space, name), pod["metadata"]["uid"].clone())).collect()
}

/// Turns the condition `Ready` of pods that are still the same and still run.
fn turn(simulation: &Simulation, watched: &Arc<Mutex<Watched>>, pods: &[(Key, Value)], ready: &str) {
    watched.lock().unwrap().turned = Some(Instant::now());
    let mut world = simulation.world();
    for (key, uid) in pods {
        world.edit(key, |pod| {
            if pod["metadata"]["uid"] != *uid || pod["status"]["phase"] != "Running" {
                return;
            }
            let conditions = pod["status"]["conditions"].as_array_mut().into_iter().flatten();
            for condition in conditions.filter(|condition| condition["type"] == "Ready") {
                condition["status"] = ready.into();
            }
        });
    }
}
