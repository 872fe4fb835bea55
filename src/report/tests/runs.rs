//! The list of runs.

use jiff::SignedDuration;

use super::script::time;
use super::text;
use crate::cluster::lock::Process;
use crate::rebuild::journal::{Header, State, Summary, VERSION};
use crate::report::runs::table;

fn run(run: &str, environment: &str, phase: &str, seconds: i64, written: usize, down: bool) -> Summary {
    let header = Header {
        journal: VERSION,
        rekindle: "0.1.0".into(),
        run: run.into(),
        time: time(0.0),
        command: String::new(),
        look: String::new(),
        environment: environment.into(),
        kit: None,
        stack: "acoustid".into(),
        cluster: "uid".into(),
        context: "acoustid-production".into(),
        server: String::new(),
        by: "me@laptop".into(),
        process: Process::default(),
        hosts: Vec::new(),
    };
    let last = time(0.0) + SignedDuration::from_secs(seconds);
    Summary { header, end: None, last, phase: phase.into(), written, down }
}

#[test]
fn a_list_names_each_run_with_its_outcome() {
    let runs = [
        (run("0a1b2c3d", "staging/pr-123", "services", 3, 4, false), State::Running),
        (run("7f3a1c02", "production", "ingress", 252, 87, false), State::Done),
        (run("51cc00aa", "production", "services", 40, 31, false), State::Killed),
        (run("5e0f1111", "production", "", 0, 0, false), State::Refused),
        (run("44440000", "staging", "storage", 12, 1, true), State::Interrupted),
    ];
    insta::assert_snapshot!(text(&table(&runs)), @"
    run       started (UTC)        environment     context              outcome                       took      written
    0a1b2c3d  2026-03-02 15:02:11  staging/pr-123  acoustid-production  running in services           3.0 s     4 objects
    7f3a1c02  2026-03-02 15:02:11  production      acoustid-production  done                          4 m 12 s  87 objects
    51cc00aa  2026-03-02 15:02:11  production      acoustid-production  killed in services            40 s      31 objects
    5e0f1111  2026-03-02 15:02:11  production      acoustid-production  refused                       0 s       0 objects
    44440000  2026-03-02 15:02:11  staging         acoustid-production  down: interrupted in storage  12 s      1 object
    ");
}
