//! One run at a time: who holds the lock, how it is taken over, broken and lost; clocks do not matter.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::support::{Bed, Kit, Running, Space, run, start};
use super::{BED, config, deployment};

const STACK: &str = "- name: storage\n- name: services";

/// A kit whose second phase waits, since no node runs its pod.
fn waiting_kit(space: &Space<'_>) -> Kit {
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 1));
    kit
}

/// Starts a run and waits until it is in its second phase.
fn started<'a>(bed: &Bed, space: &Space<'_>, kit: &'a Kit) -> (Running, &'a Kit) {
    let running = start(kit, bed, &["up", "test"]);
    bed.wait_until("the Deployment is there", |bed| {
        bed.get("apps/v1", "Deployment", Some(&space.name), "api").is_some()
    });
    (running, kit)
}

fn lease(bed: &Bed, kit: &Kit) -> Value {
    let name = format!("lock-{}", kit.environment);
    bed.get("coordination.k8s.io/v1", "Lease", Some("rekindle-system"), &name).expect("there is a Lease")
}

#[test]
#[ignore = "needs a real control plane"]
fn of_two_runs_one_works_and_the_other_ends_unharmed() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "two");
    let kit = waiting_kit(&space);
    let (first, _) = started(&bed, &space, &kit);
    let kinds = [("v1", "ConfigMap"), ("apps/v1", "Deployment")];
    bed.wait_until("the phase is told", |bed| {
        lease(bed, &kit)["metadata"]["annotations"]["rekindle.dev/phase"] == "services"
    });
    let run_id = lease(&bed, &kit)["metadata"]["annotations"]["rekindle.dev/run"].as_str().unwrap().to_owned();
    let before = bed.versions(&space.name, &kinds);
    let second = run(&kit, &bed, &["up", "test"])
        .exit(8)
        .says("test is locked: another run is at work; nothing was written")
        .says(&format!("held by   run {run_id} of "))
        .says("at work   in services, since ")
        .says("--break-lock");
    assert!(second.took < Duration::from_secs(3), "its process is seen: {:?}", second.took);
    let json = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(8);
    assert_eq!((&json.last()["event"], &json.last()["exit"]), (&json!("error"), &json!(8)));
    assert_eq!(bed.versions(&space.name, &kinds), before);
    // What the refusal leads to tells of that run, too.
    let _ = run(&kit, &bed, &["status", "test"])
        .exit(7)
        .says(&format!("locked:   held by   run {run_id} of "))
        .says("at work   in services, since ");
    first.signal("INT");
    let _ = first.wait().exit(130).says("interrupted");
    // An interruption gives the lock back.
    assert!(lease(&bed, &kit)["spec"]["holderIdentity"].is_null());
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    let third = run(&kit, &bed, &["up", "test"]).exit(0).says("was interrupted").says("in services");
    assert!(third.took < Duration::from_secs(10), "{:?}", third.took);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_live_lock_is_broken_only_by_its_typed_name_and_the_run_that_held_it_stops() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "broken");
    let kit = waiting_kit(&space);
    let (first, _) = started(&bed, &space, &kit);
    run(&kit, &bed, &["up", "test", "--yes", "--break-lock"])
        .exit(4)
        .says("nothing was written")
        .says("--confirm test");
    run(&kit, &bed, &["up", "test", "--break-lock", "--confirm", "tset"]).exit(4);
    let other = start(&kit, &bed, &["up", "test", "--break-lock", "--confirm", "test"]);
    let lost = first.wait().exit(8).says("it lost its lock").says("the lock was taken by run ");
    assert!(lost.stderr.contains("up test"), "{}", lost.stderr);
    bed.wait_until("the other has begun", |_| kit.journals().len() == 2);
    other.signal("INT");
    let _ = other.wait().exit(130).says("the lock was broken; it was held by run ");
    assert!(lease(&bed, &kit)["spec"]["holderIdentity"].is_null());
}

/// Writes a Lease as a holder on another machine would, whose clock is off by so many hours.
fn hold(bed: &Bed, kit: &Kit, hours: i64) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rekindle-system"}});
    let namespace = serde_json::from_value(namespace).unwrap();
    // Another test may have made it.
    let _ = bed.block_on(bed.api("v1", "Namespace", None).create(&PostParams::default(), &namespace));
    let time = format!("{:.6}", jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours));
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": format!("lock-{}", kit.environment), "namespace": "rekindle-system", "annotations": {
            "rekindle.dev/user": "somebody", "rekindle.dev/host": "elsewhere", "rekindle.dev/run": "0ddba11",
            "rekindle.dev/phase": "database",
        }},
        "spec": {"holderIdentity": "somebody@elsewhere run 0ddba11", "leaseDurationSeconds": 15,
            "acquireTime": time, "renewTime": time},
    });
    let api = bed.api("coordination.k8s.io/v1", "Lease", Some("rekindle-system"));
    let lease = serde_json::from_value(lease).unwrap();
    bed.block_on(api.create(&PostParams::default(), &lease)).unwrap();
}

#[test]
#[ignore = "needs a real control plane"]
fn a_clock_that_is_an_hour_off_changes_nothing() {
    let bed = Bed::from_variable(BED);
    std::thread::scope(|scope| {
        for hours in [-1, 0, 1] {
            scope.spawn({
                let bed = &bed;
                move || dead_holder(bed, hours)
            });
            scope.spawn({
                let bed = &bed;
                move || live_holder(bed, hours)
            });
        }
    });
}

/// A holder of whom nothing is heard is taken over when its time is over, not before.
fn dead_holder(bed: &Bed, hours: i64) {
    let space = Space::new(bed, "dead");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    hold(bed, &kit, hours);
    let ran = run(&kit, bed, &["up", "test"])
        .exit(0)
        .says("is held by run 0ddba11 of somebody@elsewhere; waiting up to 15 s for a sign of life")
        .says("the lock was taken over from run 0ddba11 of somebody@elsewhere: it gave no sign of life");
    assert!((15..25).contains(&ran.took.as_secs()), "{hours} h: {:?}", ran.took);
}

/// A holder that renews is left alone.
fn live_holder(bed: &Bed, hours: i64) {
    let space = Space::new(bed, "live");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    hold(bed, &kit, hours);
    let api = bed.api("coordination.k8s.io/v1", "Lease", Some("rekindle-system"));
    let name = format!("lock-{}", kit.environment);
    let renewing = bed.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let time = format!("{:.6}", jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours));
            let renewed = Patch::Merge(json!({"spec": {"renewTime": time}}));
            let _ = api.patch(&name, &PatchParams::default(), &renewed).await;
        }
    });
    let ran = run(&kit, bed, &["up", "test"]).exit(8).says("run 0ddba11 of somebody@elsewhere").says("in database");
    renewing.abort();
    assert!(ran.took < Duration::from_secs(8), "{hours} h: {:?}", ran.took);
    assert!(bed.get("v1", "Namespace", None, &space.name).is_none(), "nothing was written");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_run_that_was_asleep_while_another_took_over_stops() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "frozen");
    let kit = waiting_kit(&space);
    let (first, _) = started(&bed, &space, &kit);
    // A machine that sleeps: the run wakes up when somebody else has long taken over.
    first.signal("STOP");
    let stopped = Instant::now();
    bed.block_on(async {
        let api = bed.api("coordination.k8s.io/v1", "Lease", Some("rekindle-system"));
        let taken = json!({"spec": {"holderIdentity": "somebody@elsewhere run 0ddba11"}});
        api.patch(&format!("lock-{}", kit.environment), &PatchParams::default(), &Patch::Merge(taken)).await.unwrap();
    });
    first.signal("CONT");
    let _ = first.wait().exit(8).says("the lock was taken by somebody@elsewhere run 0ddba11");
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    assert_eq!(lease(&bed, &kit)["spec"]["holderIdentity"], "somebody@elsewhere run 0ddba11");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_run_that_fails_or_is_refused_gives_the_lock_back() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "failing");
    let kit = Kit::new(&space.name, "- name: storage\n- {name: services, timeout: 2s}");
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 1));
    let _ = run(&kit, &bed, &["up", "test", "--from", "services"]).exit(7).says("nothing was written");
    assert!(lease(&bed, &kit)["spec"]["holderIdentity"].is_null());
    let first = run(&kit, &bed, &["up", "test"]).exit(7);
    assert!(!first.stderr.contains("goes on from"), "a refused run is nothing to go on from: {}", first.stderr);
    assert!(lease(&bed, &kit)["spec"]["holderIdentity"].is_null());
    let _ = run(&kit, &bed, &["up", "test"])
        .exit(7)
        .says("which failed ")
        .says(" in services: 3 objects were left as they are");
}
