//! What the dispatcher does with gates.

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::{EventKind, seconds};
use super::phase::{Failure, Phase};
use super::tasks::{self, Note};
use crate::health::gate::Answer;

impl Dispatcher<'_> {
    pub(super) fn ask_gates(&mut self, phase: &mut Phase<'_>, notes: &mpsc::UnboundedSender<Note>) {
        phase.asking = true;
        phase.moved();
        for (index, gate) in phase.plan.gates.iter().enumerate() {
            let state = &mut phase.gates[index];
            if let Some(reason) = &gate.skipped {
                if std::mem::replace(&mut state.skipped, true) {
                    continue;
                }
                self.emitter.send(EventKind::GateSkipped {
                    phase: phase.plan.name.clone(),
                    gate: gate.name.clone(),
                    reason: reason.clone(),
                });
                continue;
            }
            state.began = Some(Instant::now());
            let hold = if self.wrote { gate.hold } else { std::time::Duration::ZERO };
            self.tasks.spawn(tasks::ask(self.asker.clone(), index, gate.clone(), hold, notes.clone()));
        }
    }

    pub(super) fn answered(&mut self, phase: &mut Phase<'_>, index: usize, answer: Result<Answer, Answer>) {
        phase.moved();
        let now = Instant::now();
        let state = &mut phase.gates[index];
        match answer {
            Ok(answer) => {
                state.passed = true;
                state.ended = Some(now);
                self.emitter.send(EventKind::GatePassed {
                    phase: phase.plan.name.clone(),
                    gate: phase.plan.gates[index].name.clone(),
                    answer: answer.text,
                    seconds: seconds(state.began.map_or(std::time::Duration::ZERO, |began| now - began)),
                });
            }
            Err(answer) => phase.failure = Some(Failure::unhealthy(Vec::new(), vec![(index, answer.text)])),
        }
    }
}
