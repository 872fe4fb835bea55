//! Journals: what is told of earlier runs, `runs list`, `runs show`, and parts of a rebuild.

use super::support::{Bed, Kit, Space, finish, rekindle, run, start};
use super::{BED, STACK, config, deployment};

fn runs(kit: &Kit, bed: &Bed, arguments: &[&str]) -> super::support::Ran {
    finish(rekindle(Some(kit), &bed.kubeconfig, &[&["runs"], arguments].concat()))
}

#[test]
#[ignore = "needs a real control plane"]
fn a_run_that_was_killed_is_told_of_by_the_next_and_can_be_shown() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "journal");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/services/api.yaml", &deployment("api", 1));
    let _ = runs(&kit, &bed, &["list"]).exit(0).says("no run has left a journal in ");
    let running = start(&kit, &bed, &["up", "test"]);
    bed.wait_until("the Deployment is there", |bed| {
        bed.get("apps/v1", "Deployment", Some(&space.name), "api").is_some()
    });
    let living = runs(&kit, &bed, &["list"]).exit(0);
    assert!(living.stdout.contains("running in services"), "{}", living.stdout);
    running.signal("KILL");
    let _ = running.wait();
    // The last line of a journal may be torn.
    let journal = kit.journals().pop().unwrap();
    let mut text = std::fs::read_to_string(&journal).unwrap();
    text.push_str("{\"version\":1,\"time\":\"20");
    std::fs::write(&journal, text).unwrap();

    let listed = runs(&kit, &bed, &["list", "-o", "json"]).exit(0).last();
    assert_eq!((&listed["outcome"], &listed["phase"]), (&"killed".into(), &"services".into()), "{listed}");
    let killed = listed["run"].as_str().unwrap().to_owned();
    let shown = runs(&kit, &bed, &["show", &killed[..6]]).exit(0);
    assert!(shown.stdout.contains("✗ test was killed in services; it was last heard of at "), "{}", shown.stdout);
    assert!(shown.stdout.contains("done and kept: storage"), "{}", shown.stdout);

    kit.write("templates/services/api.yaml", &deployment("api", 0));
    let next = run(&kit, &bed, &["up", "test"])
        .exit(0)
        .says(&format!("goes on from run {killed}, which was killed "))
        .says(" in services: 2 objects were left as they are");
    assert!(next.stderr.contains(&format!("the lock was taken over from run {killed}")), "{}", next.stderr);
    let again = run(&kit, &bed, &["up", "test"]).exit(0);
    assert!(!again.stderr.contains("goes on from"), "what was finished is not resumed: {}", again.stderr);

    // Shown again, a run's last screen is what it was; its events are what they were.
    let events = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    let id = events.events()[0]["run"].as_str().unwrap().to_owned();
    let replayed = runs(&kit, &bed, &["show", &id, "-o", "json"]).exit(0);
    assert_eq!(replayed.stdout, events.stdout);
    let id = runs(&kit, &bed, &["list", "-o", "json"]).exit(0).events()[1]["run"].as_str().unwrap().to_owned();
    let replayed = runs(&kit, &bed, &["show", &id]).exit(0);
    let screen = again.stderr.split_once('✓').unwrap().1;
    assert!(replayed.stdout.ends_with(screen), "{}\nis not the end of\n{}", screen, replayed.stdout);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_run_that_is_not_known_is_helped_with() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "unknown-run");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    let none = runs(&kit, &bed, &["show", "nothing"]).exit(2).says("there is no run nothing in the journals");
    assert!(none.stderr.contains("runs list") && none.stderr.contains("runs show "), "{}", none.stderr);
    // Two whose ids begin alike.
    let journal = kit.journals().pop().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    let id = serde_json::from_str::<serde_json::Value>(text.lines().next().unwrap()).unwrap()["run"].clone();
    let id = id.as_str().unwrap();
    let twin = format!("{}x", &id[..7]);
    std::fs::write(journal.with_file_name(format!("2-{twin}.jsonl")), text.replace(id, &twin)).unwrap();
    let _ = runs(&kit, &bed, &["show", &id[..7]]).exit(2).says("2 runs begin with ").says(id).says(&twin);
    let _ = runs(&kit, &bed, &["show", id]).exit(0);
}

#[test]
#[ignore = "needs a real control plane"]
fn a_journal_that_cannot_be_written_is_a_warning() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "no-journal");
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit")).write("file", "");
    let mut command = rekindle(Some(&kit), &bed.kubeconfig, &["up", "test"]);
    command.env("XDG_STATE_HOME", kit.path().join("file"));
    finish(command).exit(0).says("the journal of this run is not written");
    let mut command = rekindle(Some(&kit), &bed.kubeconfig, &["up", "test", "-o", "json"]);
    command.env_remove("XDG_STATE_HOME").env_remove("HOME");
    let ran = finish(command).exit(0);
    assert!(ran.events().iter().any(|event| event["event"] == "warning"), "{}", ran.stdout);
    assert_eq!(ran.last()["event"], "run-finished");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_part_of_a_rebuild_looks_at_what_it_leaves_out() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "part");
    let kit = Kit::new(&space.name, "- name: storage\n- name: database\n- name: services");
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    kit.write("templates/database/b.yaml", &deployment("b", 1));
    kit.write("templates/services/c.yaml", &config("c", "kit"));
    let refused = run(&kit, &bed, &["up", "test", "--from", "services"])
        .exit(7)
        .says("refused: --from services leaves out 3 objects that are not there; nothing was written")
        .says("missing: ConfigMap/a of storage")
        .says("missing: Deployment/b of database")
        .says("--from storage");
    assert!(bed.get("v1", "Namespace", None, &space.name).is_none(), "{}", refused.stderr);
    run(&kit, &bed, &["up", "test", "--until", "storage"]).exit(0).says("not part of this run: database and services");
    let _ = run(&kit, &bed, &["up", "test", "--from", "services"])
        .exit(7)
        .says("1 object that is not there")
        .says("--from database");
    // What is there and not ready does not stop a run that leaves it out, but it is named.
    let running = start(&kit, &bed, &["up", "test", "--from", "database"]);
    bed.wait_until("the Deployment is there", |bed| {
        bed.get("apps/v1", "Deployment", Some(&space.name), "b")
            .is_some_and(|live| !live["status"]["observedGeneration"].is_null())
    });
    running.signal("INT");
    let _ = running.wait().exit(130).says("not part of this run: storage");
    run(&kit, &bed, &["up", "test", "--from", "services"])
        .exit(0)
        .says("left out, though not ready: Deployment/b of database: ")
        .says("not part of this run: storage and database");
}
