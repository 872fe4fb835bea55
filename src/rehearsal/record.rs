//! What is kept of a rehearsal: when it was, of which kit, how it ended. Nothing in it is secret. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rebuild::event::Outcome;
use crate::report::duration::{ago, human};

/// The format's version.
pub const VERSION: u32 = 1;

/// What is kept of a rehearsal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub rehearsal: u32,
    /// When it was.
    pub time: Timestamp,
    /// Name of the stack.
    pub stack: String,
    /// The environment, with the instance.
    pub environment: String,
    /// [`Kit::fingerprint`](crate::kit::Kit::fingerprint).
    pub kit: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Seconds of the rebuild: simulated, or measured where it was for real.
    pub seconds: f64,
    /// The context of the real cluster; nothing where it was a simulated one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Whether something was made to go wrong or to take long, so that it says nothing of the environment as it is.
    #[serde(default)]
    pub what_if: bool,
}

impl Record {
    /// How old it is, how long the rebuild took, and whether the kit is still the one that was rehearsed.
    pub fn told(&self, now: Timestamp, kit: &str) -> String {
        let took = human(self.seconds);
        let ended = match self.outcome {
            Outcome::Done => took,
            _ => format!("it failed after {took}"),
        };
        let kit = if self.kit == kit { "the kit is the same" } else { "the kit has changed since" };
        let real = self.context.as_ref().map(|context| format!("for real in {context} ")).unwrap_or_default();
        format!("rehearsed {real}{}, {ended}; {kit}", ago(now.duration_since(self.time).as_secs_f64()))
    }
}

/// The newest record of an environment as it is, without what-ifs, and the newest of one for real; one where they are the same.
/// `texts`: newest first.
pub fn newest(texts: impl IntoIterator<Item = Vec<u8>>, stack: &str, environment: &str) -> Vec<Record> {
    let records = texts.into_iter().filter_map(|text| serde_json::from_slice::<Record>(text.trim_ascii()).ok());
    let is_own = |it: &Record| it.rehearsal == VERSION && it.stack == stack && it.environment == environment;
    let mut own = records.filter(is_own).filter(|it| !it.what_if);
    let Some(first) = own.next() else { return Vec::new() };
    let real = if first.context.is_some() { None } else { own.find(|it| it.context.is_some()) };
    [first].into_iter().chain(real).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(environment: &str, kit: &str, what_if: bool) -> Record {
        Record {
            rehearsal: VERSION,
            time: "2026-11-22T16:00:00Z".parse().unwrap(),
            stack: "shop".into(),
            environment: environment.into(),
            kit: kit.into(),
            outcome: Outcome::Done,
            seconds: 194.0,
            context: None,
            what_if,
        }
    }

    #[test]
    fn the_newest_counts_that_says_something_of_the_environment() {
        let text = |record: &Record| format!("{}\n", serde_json::to_string(record).unwrap()).into_bytes();
        let (wanted, older) = (record("production", "a", false), record("production", "b", false));
        let all = [record("production", "c", true), record("staging", "d", false), wanted.clone(), older];
        let texts = || all.iter().map(text).chain([b"{torn".to_vec()]);
        assert_eq!(newest(texts(), "shop", "production"), [wanted]);
        assert_eq!(newest(texts(), "other", "production"), []);
    }

    #[test]
    fn the_newest_for_real_is_told_beside_it() {
        let text = |record: &Record| serde_json::to_vec(record).unwrap();
        let simulated = record("p", "a", false);
        let real = |kit: &str| Record { context: Some("kind-spare".into()), ..record("p", kit, false) };
        let all = [simulated.clone(), record("p", "b", false), real("c"), real("d")];
        assert_eq!(newest(all.iter().map(text), "shop", "p"), [simulated, real("c")]);
        assert_eq!(newest(all[2..].iter().map(text), "shop", "p"), [real("c")]);
    }

    #[test]
    fn its_age_and_its_kit_are_told() {
        let now = "2026-11-25T16:00:00Z".parse().unwrap();
        let told = |record: &Record| record.told(now, "a");
        assert_eq!(told(&record("p", "a", false)), "rehearsed 3 days ago, 3 m 14 s; the kit is the same");
        assert_eq!(told(&record("p", "b", false)), "rehearsed 3 days ago, 3 m 14 s; the kit has changed since");
        let real = Record { context: Some("kind-spare".into()), ..record("p", "a", false) };
        assert_eq!(told(&real), "rehearsed for real in kind-spare 3 days ago, 3 m 14 s; the kit is the same");
        let failed = Record { outcome: Outcome::Unhealthy, ..record("p", "a", false) };
        assert_eq!(told(&failed), "rehearsed 3 days ago, it failed after 3 m 14 s; the kit is the same");
    }
}
