//! Ctrl-C while databases start: nothing more is written, the last screen says where it stopped, the next run finishes.

use std::time::Duration;

use super::support::{Bed, Space, begin, finish, rekindle};
use super::{BED, shared};

/// A copy of the stack of its own, as far as the databases.
const FLAGS: [&str; 6] = ["up", "local", "--instance", "halted", "--until", "database"];

/// From the signal to the end of the process.
const AT_ONCE: Duration = Duration::from_secs(3);

const KINDS: &[(&str, &str)] =
    &[("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service"), ("apps/v1", "StatefulSet"), ("batch/v1", "Job")];

#[test]
#[ignore = "needs a node"]
fn ctrl_c_while_databases_start_loses_nothing() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let space = Space { bed: &bed, name: "acoustid-halted".into() };
    let running = begin(rekindle(None, &bed.kubeconfig, &FLAGS));
    bed.wait_until("a database starts", |bed| {
        let pods = bed.list("v1", "Pod", &space.name);
        pods.iter().any(|pod| pod["status"]["phase"] == "Running")
    });
    let signalled = std::time::Instant::now();
    running.signal("INT");
    let stopped = running.wait().exit(130);
    assert!(signalled.elapsed() < AT_ONCE, "took {:?}", signalled.elapsed());
    let left = bed.versions(&space.name, KINDS);
    for part in [
        "local/halted interrupted: nothing more is written",
        "what was sent goes on starting by itself",
        "StatefulSet/postgresql-app",
        "done and kept: storage, ",
        "nothing was undone",
        "exit code 130: interrupted",
    ] {
        assert!(stopped.stderr.contains(part), "{part:?} is missing in:\n{}", stopped.stderr);
    }
    assert!(!left.contains_key("Job/postgresql-app-setup"), "its database was not ready: {left:?}");

    let finished = finish(stopped.named_command("again, from where it stopped:")).exit(0).says("local/halted are up");
    assert!(finished.stderr.contains("already as the kit says"), "{}", finished.stderr);
    let end = bed.versions(&space.name, KINDS);
    let kept = |kind: &str| left.iter().filter(|(name, _)| name.starts_with(kind)).all(|(name, was)| end[name] == *was);
    assert!(["ConfigMap", "Secret", "Service"].iter().all(|kind| kept(kind)), "{left:#?}\n{end:#?}");
    assert!(end.contains_key("Job/postgresql-app-setup"));
}
