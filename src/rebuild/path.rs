//! The critical path: the chain of waits that bound a run's time.

use std::time::Duration;

use super::event::CriticalStep;

/// Steps shorter than this are left out: they bound nothing that a person would change.
const SHORTEST: Duration = Duration::from_millis(50);

/// One thing that took time in a phase. Times since the run's start.
#[derive(Clone, Debug)]
pub struct Step {
    /// `Kind/name` or `gate NAME`.
    pub name: String,
    /// When it began.
    pub began: Duration,
    /// When it ended.
    pub ended: Duration,
    /// The step whose progress let this one begin.
    pub after: Option<usize>,
}

/// Follows the chain back from the step that ended last. Of a step that was only waited for until it was there, what came after
/// that counts for the next one.
pub fn critical(phase: &str, steps: &[Step]) -> Vec<CriticalStep> {
    let mut chain = Vec::new();
    let mut next = (0..steps.len()).max_by_key(|index| steps[*index].ended);
    let mut until = Duration::MAX;
    while let Some(step) = next.and_then(|index| steps.get(index)) {
        let took = step.ended.min(until).saturating_sub(step.began);
        until = until.min(step.began);
        if took >= SHORTEST {
            chain.push(CriticalStep {
                phase: phase.to_owned(),
                step: step.name.clone(),
                seconds: super::event::seconds(took),
            });
        }
        // A chain longer than the phase has steps would be a circle.
        next = step.after.filter(|_| chain.len() <= steps.len());
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, began: u64, ended: u64, after: Option<usize>) -> Step {
        let (began, ended) = (Duration::from_secs(began), Duration::from_secs(ended));
        Step { name: name.into(), began, ended, after }
    }

    #[test]
    fn the_chain_ends_with_what_ended_last() {
        let steps = [
            step("Job/a", 0, 5, None),
            step("Deployment/b", 5, 9, Some(0)),
            step("Deployment/c", 0, 7, None),
            step("gate d", 9, 10, Some(1)),
        ];
        let names: Vec<_> = critical("services", &steps).into_iter().map(|step| step.step).collect();
        assert_eq!(names, ["Job/a", "Deployment/b", "gate d"]);
    }

    #[test]
    fn no_time_counts_twice() {
        // A claim goes on becoming ready beside the set that only needs it to exist.
        let steps = [step("Job/a", 0, 4, None), step("Claim/b", 4, 9, Some(0)), step("StatefulSet/c", 4, 30, Some(1))];
        let told: Vec<_> = critical("database", &steps).into_iter().map(|step| (step.step, step.seconds)).collect();
        assert_eq!(told, [("Job/a".to_owned(), 4.0), ("StatefulSet/c".to_owned(), 26.0)]);
    }

    #[test]
    fn an_empty_phase_binds_nothing() {
        assert!(critical("storage", &[]).is_empty());
    }
}
