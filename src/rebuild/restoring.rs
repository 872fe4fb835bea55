//! How far a restore has come: while a database is fetched, its pods say how much is there, as its data set's
//! `restore.progress` asks them. That it goes on counts as progress of the phase, however long it takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::phase::Phase;
use super::tasks::Note;
use crate::data::claims::Maker;
use crate::data::quantity::size;
use crate::data::{Decision, Source};
use crate::health::gate::{Asker, Gate};
use crate::manifest::ObjectKey;
use crate::report::duration::about;

/// Wait between two questions: a restore of hours is not asked about every second.
const PAUSE: Duration = Duration::from_secs(2);

/// How long before the rate of a restore says something about its end.
const SETTLED: Duration = Duration::from_secs(10);

/// Asks about everything that is restored in a phase, until what is returned is dropped.
pub fn watch(dispatcher: &Dispatcher<'_>, phase: &Phase<'_>, notes: &UnboundedSender<Note>) -> JoinSet<()> {
    let plan = dispatcher.plan;
    let mut questions = JoinSet::new();
    if !dispatcher.asker.asks_programs() {
        return questions;
    }
    for set in &plan.data_sets {
        let progress = set.restore.as_ref().and_then(|restore| restore.progress.as_ref());
        let Some((gate, decision)) = progress.zip(plan.data.of_set(&set.name)) else { continue };
        let Some(total) = under_way(decision, &plan.data.settled) else { continue };
        let workload = plan.claims.iter().filter(|claim| claim.is_of(&set.name)).find_map(|claim| {
            let Maker::StatefulSet { name, .. } = &claim.maker else { return None };
            let (group, kind) = ("apps".to_owned(), "StatefulSet".to_owned());
            let key = ObjectKey { group, kind, namespace: Some(claim.namespace.clone()), name: name.clone() };
            phase.by_key.get(&key)
        });
        let Some(index) = workload.copied() else { continue };
        questions.spawn(ask(dispatcher.asker.clone(), gate.clone(), total, index, notes.clone()));
    }
    questions
}

/// Bytes of the backup that is restored now, or that an earlier run began to restore; zero where nobody knows.
fn under_way(decision: &Decision, settled: &BTreeSet<String>) -> Option<u64> {
    let open = decision.claims.iter().any(|claim| !settled.contains(&claim.place()));
    let bytes = decision.restored_bytes.or_else(|| decision.lineage.bytes());
    (decision.source == Source::Restore && open).then_some(bytes.unwrap_or_default())
}

async fn ask(asker: Arc<Asker>, gate: Gate, total: u64, index: usize, notes: UnboundedSender<Note>) {
    let mut restore = Restore { total, ..Restore::default() };
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(printed) = asker.printed(&gate).await else { continue };
        if let Some(reason) = restore.seen(&printed, Instant::now())
            && notes.send(Note::Restoring(index, reason)).is_err()
        {
            return;
        }
    }
}

/// One restore as its pods tell it.
#[derive(Default)]
struct Restore {
    total: u64,
    first: Option<(Instant, u64)>,
    told: String,
}

impl Restore {
    /// What is new in an answer: its first line is how many bytes are there, its second, once WAL is replayed, up to where.
    fn seen(&mut self, printed: &str, now: Instant) -> Option<String> {
        let mut lines = printed.lines().map(str::trim);
        let bytes: u64 = lines.next()?.parse().ok()?;
        let reason = match lines.next().filter(|line| !line.is_empty()) {
            Some(position) => format!("restored {}, replaying WAL: at {position}", size(bytes)),
            None => self.fetching(bytes, now),
        };
        (reason != self.told).then(|| {
            self.told.clone_from(&reason);
            reason
        })
    }

    fn fetching(&mut self, bytes: u64, now: Instant) -> String {
        let (since, begun) = *self.first.get_or_insert((now, bytes));
        let elapsed = now.duration_since(since);
        let (there, total) = (size(bytes), size(self.total));
        if self.total == 0 || bytes > self.total {
            return format!("restoring, {there} so far");
        }
        #[expect(clippy::cast_precision_loss, reason = "a guess")]
        let left = (self.total - bytes) as f64 * elapsed.as_secs_f64() / bytes.saturating_sub(begun).max(1) as f64;
        if elapsed < SETTLED || bytes == begun {
            return format!("restoring {there} of {total}");
        }
        format!("restoring {there} of {total}, {} left", about(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_far_it_is_and_how_long_it_takes() {
        let began = Instant::now();
        let mut restore = Restore { total: 100 << 30, ..Restore::default() };
        let mut at = |second: u64, printed: &str| {
            restore.seen(printed, began + Duration::from_secs(second)).unwrap_or_else(|| "nothing new".into())
        };
        let gib = |count: u64| (count << 30).to_string();
        assert_eq!(at(0, ""), "nothing new");
        assert_eq!(at(0, "du: no such folder"), "nothing new");
        assert_eq!(at(2, &gib(10)), "restoring 10 GiB of 100 GiB");
        assert_eq!(at(4, &gib(10)), "nothing new");
        assert_eq!(at(62, &gib(40)), "restoring 40 GiB of 100 GiB, about 2 minutes left");
        assert_eq!(at(122, &gib(99)), "restoring 99 GiB of 100 GiB, about a second left");
        assert_eq!(at(130, &gib(101)), "restoring, 101 GiB so far", "a folder holds more than the backup tells");
        let replaying = format!("{}\n00000001000002A4000000C1\n", gib(101));
        assert_eq!(at(140, &replaying), "restored 101 GiB, replaying WAL: at 00000001000002A4000000C1");
        assert_eq!(at(150, &replaying), "nothing new");
    }
}
