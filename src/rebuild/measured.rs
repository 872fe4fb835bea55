//! What earlier runs took, step by step, from their journals: the basis of estimates. Pure.

use std::collections::HashSet;

use serde_json::Value;

use super::journal::{Header, events};
use crate::plan::estimate::Measured;

/// Journals that are read at most: older ones say little about today.
const MOST: usize = 20;

/// Seconds from being sent to being ready of what was written, and of gates that passed in runs that wrote something. Takes
/// the texts of journals, newest first; of several times of a step the newest counts. Runs on other clusters count too:
/// after an outage there are no others. Steps that hold data (`holds_data`, by `Kind/name`) count only of runs that restored
/// and copied nothing: how long that takes depends on how much there is.
pub fn measured(
    journals: impl IntoIterator<Item = Vec<u8>>,
    environment: &str,
    holds_data: &dyn Fn(&str) -> bool,
) -> Measured {
    let of_the_same = |bytes: &Vec<u8>| Header::read(bytes).is_some_and(|header| header.environment == environment);
    let mut measured = Measured::new();
    for journal in journals.into_iter().filter(of_the_same).take(MOST) {
        let filled = fills(&journal);
        for (step, seconds) in steps(&journal).into_iter().filter(|(step, _)| !filled || !holds_data(step)) {
            measured.entry(step).or_insert(seconds);
        }
    }
    measured
}

/// Whether a run restored or copied data.
fn fills(journal: &[u8]) -> bool {
    events(journal)
        .any(|event| event["event"] == "decision" && matches!(event["decision"].as_str(), Some("restore" | "copy")))
}

/// The steps of one run with their seconds.
fn steps(journal: &[u8]) -> Vec<(String, f64)> {
    let mut written = HashSet::new();
    let mut steps = Vec::new();
    for event in events(journal) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let object = || {
            let text =
                |name: &str| event.pointer(&format!("/object/{name}")).and_then(Value::as_str).unwrap_or_default();
            format!("{}/{}", text("kind"), text("name"))
        };
        let seconds = event.get("seconds").and_then(Value::as_f64);
        match (text("event"), seconds) {
            ("object-applied", _) if text("action") != "unchanged" => drop(written.insert(object())),
            ("object-ready", Some(seconds)) if written.contains(&object()) => steps.push((object(), seconds)),
            ("gate-passed", Some(seconds)) if !written.is_empty() => {
                steps.push((format!("gate {}", text("gate")), seconds))
            }
            _ => {}
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::lock::Process;
    use crate::rebuild::journal::VERSION;

    fn journal(environment: &str, events: &[Value]) -> Vec<u8> {
        let header = Header {
            journal: VERSION,
            rekindle: "0.1.0".into(),
            run: "a".into(),
            time: jiff::Timestamp::UNIX_EPOCH,
            command: String::new(),
            look: String::new(),
            environment: environment.into(),
            kit: None,
            stack: "shop".into(),
            cluster: "uid".into(),
            context: String::new(),
            server: String::new(),
            by: String::new(),
            process: Process::default(),
            hosts: Vec::new(),
        };
        let lines = [json!(header)].into_iter().chain(events.iter().cloned());
        lines.flat_map(|line| format!("{line}\n").into_bytes()).collect()
    }

    fn run(name: &str, action: &str, seconds: f64) -> [Value; 3] {
        let object = json!({"kind": "Job", "name": name});
        [
            json!({"event": "object-applied", "object": object, "action": action}),
            json!({"event": "object-ready", "object": object, "seconds": seconds}),
            json!({"event": "gate-passed", "gate": "answers", "seconds": seconds / 2.0}),
        ]
    }

    #[test]
    fn the_newest_time_of_what_was_written_counts() {
        let journals = || {
            vec![
                journal("shop", &run("a", "unchanged", 0.1)),
                journal("other", &run("a", "created", 1.0)),
                journal("shop", &run("a", "changed", 8.0)),
                journal("shop", &run("a", "created", 30.0)),
                b"torn".to_vec(),
                journal("shop", &run("b", "created", 5.0)),
            ]
        };
        let found = measured(journals(), "shop", &|_| false);
        let expected = [("Job/a", 8.0), ("gate answers", 4.0), ("Job/b", 5.0)];
        assert_eq!(found, expected.map(|(step, seconds)| (step.to_owned(), seconds)).into());
    }

    #[test]
    fn what_holds_data_counts_of_runs_that_filled_none() {
        let decided = |decision: &str, seconds| {
            let decision = json!({"event": "decision", "data_set": "db", "decision": decision});
            let events: Vec<Value> = [decision].into_iter().chain(run("db", "created", seconds)).collect();
            journal("shop", &events)
        };
        let found =
            |journals: Vec<Vec<u8>>| measured(journals, "shop", &|step| step == "Job/db").get("Job/db").copied();
        assert_eq!(found(vec![decided("restore", 900.0), decided("empty", 30.0)]), Some(30.0));
        assert_eq!(found(vec![decided("adopt", 20.0), decided("empty", 30.0)]), Some(20.0));
        assert_eq!(found(vec![decided("copy", 900.0)]), None);
    }
}
