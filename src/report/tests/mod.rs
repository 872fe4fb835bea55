//! Scripted runs, and what people and programs see of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod runs;
pub mod script;

use super::ending::{Setting, Silence, ending};
use super::lines::Lines;
use super::screen::{frame, header};
use super::text::Line;
use crate::health::diagnosis::Diagnosis;
use crate::rebuild::event::{Action, Ended, EventKind, Outcome, Resumes};
use script::{Script, cluster_event, container, time};

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.plain() + "\n").collect()
}

fn setting() -> Setting {
    Setting {
        again: "rekindle up production --kit ./kit".into(),
        look: "rekindle status production --kit ./kit".into(),
        hosts: vec!["https://acoustid.org".into(), "https://api.acoustid.org".into()],
        ..Setting::default()
    }
}

fn last_screen(script: &Script) -> String {
    text(&ending(&script.progress(), &setting(), 100))
}

/// The lines of a run, with the clock ticking each second between events.
fn spoken(script: &Script, all: bool) -> String {
    let mut lines = Lines::new(all);
    let mut said = Vec::new();
    let mut now = script.events[0].time;
    for event in &script.events {
        while now < event.time {
            said.extend(lines.tick(now));
            now += jiff::SignedDuration::from_secs(1);
        }
        said.extend(lines.event(event));
    }
    text(&said)
}

/// The whole story of a broken run: services begun, then something there fails after some seconds.
fn broken(seconds: f64, name: &str, reason: &str, diagnosis: Diagnosis) -> Script {
    let mut script = script::in_services();
    script.at(41.0).applied("services", name, Action::Created);
    script.at(seconds).failed("services", name, reason, diagnosis).end(Outcome::Unhealthy, 7, &[]);
    script
}

#[test]
fn the_header_names_environment_cluster_and_size() {
    insta::assert_snapshot!(text(&header(&script::success().progress())), @"
    production → acoustid-production   Kubernetes 1.34.4, 4 nodes
    21 objects in 4 phases, 5 gates and 1 switched off by the environment
    ");
}

#[test]
fn a_first_run_ends_with_its_timeline() {
    insta::assert_snapshot!(last_screen(&script::success()), @"
    ✓ production is up   4 m 12 s, of which 3 m 20 s waiting for StatefulSet/postgresql-fingerprint

      ✓ storage   ▏▇                                          0.8 s   4 objects
      ✓ database  ▏▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇        3 m 29 s   6 objects, 2 gates
      ✓ services  ▏                                ▇▇▇▇        26 s   8 objects, 2 gates, 1 switched off
      ✓ ingress   ▏                                    ▇▇      16 s   3 objects, 1 gate
                   0        1 m      2 m      3 m      4 m

      19 objects written, 2 already as the kit says, 5 gates passed
      1 gate switched off by the environment, so this was not asked:
        import is idle: nothing is imported in a rehearsal
      ! Deployment/api: spec.template.spec.containers[0].image has no digest
      https://acoustid.org  https://api.acoustid.org
    ");
}

#[test]
fn a_second_run_says_that_nothing_had_to_be_written() {
    insta::assert_snapshot!(last_screen(&script::unchanged()), @"
    ✓ production is up   0.4 s, nothing had to be written
      10 objects already as the kit says, 2 gates passed
      https://acoustid.org  https://api.acoustid.org
    ");
    insta::assert_snapshot!(spoken(&script::unchanged(), false), @"
    0.0 s  run 7f3a1c02 of production → acoustid-production, Kubernetes 1.34.4, 4 nodes: 10 objects in 2 phases, 2 gates
    0.1 s  storage   started: 4 objects
    0.1 s  storage   finished in 0 s: 4 objects ready, nothing written
    0.2 s  database  started: 6 objects, 2 gates
    0.4 s  database  gate redis answers passed after 10 ms: PONG
    0.4 s  database  gate app answers passed after 20 ms: t
    0.4 s  database  finished in 0.2 s: 6 objects ready, nothing written, 2 gates passed
    ");
}

#[test]
fn a_part_of_the_phases_is_named_as_such() {
    let mut script = Script::new(&[("storage", 1, 0, 0), ("database", 2, 0, 0), ("services", 8, 2, 0)]);
    script.at(0.1).begin("storage").trivial("storage", "ConfigMap", 1, Action::Created).finish("storage");
    script.at(0.2).begin("database").trivial("database", "ConfigMap", 2, Action::Created).at(1.4).finish("database");
    script.end(Outcome::Done, 0, &[]);
    insta::assert_snapshot!(last_screen(&script), @"
    ✓ storage and database of production are up   1.4 s

      ✓ storage   ▏   ▇                                              0 s   1 object
      ✓ database  ▏       ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇  1.2 s   2 objects
        services  ▏                                                        8 objects, 2 gates, not begun
                   0               0.5 s            1 s

      3 objects written
      not part of this run: services
    ");
}

#[test]
fn a_run_without_a_terminal_is_a_line_an_event() {
    insta::assert_snapshot!(spoken(&script::success(), false), @"
      0.0 s  run 7f3a1c02 of production → acoustid-production, Kubernetes 1.34.4, 4 nodes: 21 objects in 4 phases, 5 gates
      0.1 s  storage   started: 4 objects
      0.9 s  storage   finished in 0.8 s: 4 objects ready, all of them written
      0.9 s  database  started: 6 objects, 2 gates
      6.0 s  database  StatefulSet/redis waiting: 0 of 1 pods ready
      6.0 s  database  StatefulSet/postgresql-fingerprint waiting: 0 of 3 pods ready
     12.3 s  database  StatefulSet/redis ready after 11 s
     43.0 s  database  StatefulSet/postgresql-fingerprint still waiting after 42 s: 0 of 3 pods ready (5 of 6 objects ready)
     73.0 s  database  StatefulSet/postgresql-fingerprint still waiting after 1 m 12 s: 0 of 3 pods ready (5 of 6 objects ready)
     80.0 s  database  StatefulSet/postgresql-fingerprint waiting: 2 of 3 pods ready
    110.0 s  database  StatefulSet/postgresql-fingerprint still waiting after 1 m 49 s: 2 of 3 pods ready (5 of 6 objects ready)
    140.0 s  database  StatefulSet/postgresql-fingerprint still waiting after 2 m 19 s: 2 of 3 pods ready (5 of 6 objects ready)
    170.0 s  database  StatefulSet/postgresql-fingerprint still waiting after 2 m 49 s: 2 of 3 pods ready (5 of 6 objects ready)
    200.0 s  database  StatefulSet/postgresql-fingerprint still waiting after 3 m 19 s: 2 of 3 pods ready (5 of 6 objects ready)
    200.9 s  database  StatefulSet/postgresql-fingerprint ready after 3 m 20 s
    202.0 s  database  gate redis answers passed after 0.3 s: PONG
    206.0 s  database  gate fingerprint accepts writes waiting: in recovery
    210.0 s  database  gate fingerprint accepts writes passed after 9.1 s: t
    210.0 s  database  finished in 3 m 29 s: 6 objects ready, all of them written, 2 gates passed
    210.0 s  services  started: 8 objects, 2 gates
    210.0 s  services  gate import is idle switched off: nothing is imported in a rehearsal
    210.0 s  services  Job/migrations replaced
    222.0 s  services  Job/migrations ready after 12 s
    222.0 s  services  Deployment/api changed
    236.0 s  services  Deployment/api ready after 14 s
    236.0 s  services  gate api answers passed after 0.4 s: 200 in 12 ms
    236.0 s  services  gate web answers passed after 0.1 s: 200
    236.0 s  warning: Deployment/api: spec.template.spec.containers[0].image has no digest
    236.0 s  services  finished in 26 s: 8 objects ready, 6 of them written, 2 gates passed, 1 gate switched off
    236.0 s  ingress   started: 3 objects, 1 gate
    252.0 s  ingress   gate site answers passed after 2.0 s: 200
    252.0 s  ingress   finished in 16 s: 3 objects ready, all of them written, 1 gate passed
    ");
}

#[test]
fn with_v_every_event_is_a_line() {
    let said = spoken(&script::success(), true);
    let first: Vec<&str> = said.lines().take(24).collect();
    insta::assert_snapshot!(first.join("\n"), @"
    0.0 s  run 7f3a1c02 of production → acoustid-production, Kubernetes 1.34.4, 4 nodes: 21 objects in 4 phases, 5 gates
    0.1 s  storage   started: 4 objects
    0.1 s  storage   PersistentVolumeClaim/persistentvolumeclaim-0 created
    0.1 s  storage   PersistentVolumeClaim/persistentvolumeclaim-0 ready after 20 ms
    0.1 s  storage   PersistentVolumeClaim/persistentvolumeclaim-1 created
    0.1 s  storage   PersistentVolumeClaim/persistentvolumeclaim-1 ready after 20 ms
    0.1 s  storage   PersistentVolumeClaim/persistentvolumeclaim-2 created
    0.1 s  storage   PersistentVolumeClaim/persistentvolumeclaim-2 ready after 20 ms
    0.1 s  storage   Namespace/acoustid created
    0.1 s  storage   Namespace/acoustid ready after 0.1 s
    0.9 s  storage   finished in 0.8 s: 4 objects ready, all of them written
    0.9 s  database  started: 6 objects, 2 gates
    0.9 s  database  ConfigMap/configmap-0 created
    0.9 s  database  ConfigMap/configmap-0 ready after 20 ms
    0.9 s  database  ConfigMap/configmap-1 created
    0.9 s  database  ConfigMap/configmap-1 ready after 20 ms
    0.9 s  database  ConfigMap/configmap-2 created
    0.9 s  database  ConfigMap/configmap-2 ready after 20 ms
    0.9 s  database  ConfigMap/configmap-3 created
    0.9 s  database  ConfigMap/configmap-3 ready after 20 ms
    0.9 s  database  StatefulSet/redis created
    0.9 s  database  StatefulSet/postgresql-fingerprint created
    1.2 s  database  StatefulSet/redis waiting: 0 of 1 pods ready
    1.2 s  database  StatefulSet/postgresql-fingerprint waiting: 0 of 3 pods ready
    ");
}

#[test]
fn a_long_wait_is_spoken_of_ever_less_often() {
    let mut script = Script::new(&[("database", 1, 0, 0)]);
    script.begin("database").applied("database", "StatefulSet/pg", Action::Created);
    script.waiting("database", "StatefulSet/pg", "restoring").at(4.0 * 3600.0).ready(
        "database",
        "StatefulSet/pg",
        14_400.0,
    );
    let said = spoken(&script, false);
    let still = said.lines().filter(|line| line.contains("StatefulSet/pg still waiting after")).count();
    assert!((20..60).contains(&still), "{said}");
}

#[test]
fn changed_reasons_do_not_flood_the_lines() {
    let mut script = Script::new(&[("database", 1, 0, 0)]);
    script.begin("database").applied("database", "StatefulSet/pg", Action::Created);
    for step in 0..200 {
        let seconds = f64::from(step) / 10.0;
        script.at(seconds).waiting("database", "StatefulSet/pg", &format!("{step} of 200 MB"));
    }
    let said = spoken(&script, false);
    assert_eq!(said.matches("waiting: ").count(), 3, "{said}");
}

#[test]
fn a_crash_loop_is_told_with_its_last_words() {
    insta::assert_snapshot!(last_screen(&script::crash()), @r#"
    ✗ services stopped: Deployment/api will not become ready   after 1 m 50 s

      Deployment acoustid/api                               templates/services/api.yaml.tera:1
        0 of 4 pods ready for 1 m 10 s: container api of pod api-6c9f7-x2kqd exits with code 1, 3
        restarts
        the last words of api:
          | Traceback (most recent call last):
          | psycopg2.OperationalError: FATAL: password authentication failed for user "acoustid"
        events (UTC):
          15:05:01  BackOff  restarting failed container api  (Pod/api-6c9f7-x2kqd)

      ✓ storage   ▏▇                                0.8 s   4 objects
      ✓ database  ▏▇▇▇▇▇▇▇▇▇▇                        39 s   6 objects, 2 gates
      ✗ services  ▏          ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇  1 m 10 s   4 of 8 objects, 0 of 2 gates, 1 switched off
        ingress   ▏                                         3 objects, 1 gate, not begun
                   0       30 s   1 m     1 m 30 s

      done and kept: storage, database, 4 of 8 objects of services
      15 objects written, nothing was undone

      again, from where it stopped:   rekindle up production --kit ./kit
      only look:                      rekindle status production --kit ./kit
      exit code 7: not healthy in time, or failed for good
    "#);
}

#[test]
fn an_image_that_cannot_be_pulled_is_told() {
    let reason = "the image registry.example.org/acoustid/apii:v1 of container api of pod api-6c9f7-x2kqd cannot be pulled for 31 s: not found";
    let event = cluster_event(
        "Failed",
        "Failed to pull image \"registry.example.org/acoustid/apii:v1\": rpc error: code = NotFound desc = failed to pull and unpack image: not found",
    );
    let diagnosis = Diagnosis { containers: vec![container("waits for its image", &[])], events: vec![event] };
    insta::assert_snapshot!(last_screen(&broken(75.0, "Deployment/api", reason, diagnosis)), @r#"
    ✗ services stopped: Deployment/api will not become ready   after 1 m 15 s

      Deployment acoustid/api                               templates/services/api.yaml.tera:1
        the image registry.example.org/acoustid/apii:v1 of container api of pod api-6c9f7-x2kqd cannot
        be pulled for 31 s: not found
        events (UTC):
          15:05:01  Failed  Failed to pull image "registry.example.org/acoustid/apii:v1": rpc error:
                            code = NotFound desc = failed to pull and unpack image: not found
                            (Pod/api-6c9f7-x2kqd)

      ✓ storage   ▏▇                                0.8 s   4 objects
      ✓ database  ▏▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇                 39 s   6 objects, 2 gates
      ✗ services  ▏                 ▇▇▇▇▇▇▇▇▇▇▇▇▇▇   35 s   4 of 8 objects, 0 of 2 gates, 1 switched off
        ingress   ▏                                         3 objects, 1 gate, not begun
                   0       20 s     40 s    1 m

      done and kept: storage, database, 4 of 8 objects of services
      16 objects written, nothing was undone

      again, from where it stopped:   rekindle up production --kit ./kit
      only look:                      rekindle status production --kit ./kit
      exit code 7: not healthy in time, or failed for good
    "#);
}

#[test]
fn a_failed_job_is_told() {
    let diagnosis =
        Diagnosis { containers: vec![container("exited with code 3", &["no such table: track"])], events: vec![] };
    let script = broken(43.0, "Job/migrations", "BackoffLimitExceeded: its pods failed 1 time", diagnosis);
    insta::assert_snapshot!(last_screen(&script), @"
    ✗ services stopped: Job/migrations will not become ready   after 43 s

      Job acoustid/migrations                        templates/services/migrations.yaml.tera:1
        BackoffLimitExceeded: its pods failed 1 time
        container api of pod api-6c9f7-x2kqd exited with code 3
        its last words:
          | no such table: track

      ✓ storage   ▏▇                                0.8 s   4 objects
      ✓ database  ▏ ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇     39 s   6 objects, 2 gates
      ✗ services  ▏                             ▇▇  3.0 s   4 of 8 objects, 0 of 2 gates, 1 switched off
        ingress   ▏                                         3 objects, 1 gate, not begun
                   0             20 s           40 s

      done and kept: storage, database, 4 of 8 objects of services
      16 objects written, nothing was undone

      again, from where it stopped:   rekindle up production --kit ./kit
      only look:                      rekindle status production --kit ./kit
      exit code 7: not healthy in time, or failed for good
    ");
}

#[test]
fn several_failures_at_once_are_all_named() {
    let mut script = script::in_services();
    script.at(60.0);
    for index in 0..6 {
        script.failed("services", &format!("Deployment/web-{index}"), "its quota is used up", Diagnosis::default());
    }
    script.end(Outcome::Unhealthy, 7, &[]);
    let screen = last_screen(&script);
    for index in 0..6 {
        assert!(screen.contains(&format!("web-{index}")), "{screen}");
    }
    assert!(screen.contains("at the same moment failed: Deployment/web-4 and Deployment/web-5"), "{screen}");
}

#[test]
fn a_gate_that_did_not_pass_is_told_with_its_last_answer() {
    let mut script = Script::new(&[("storage", 1, 0, 0), ("database", 1, 2, 0), ("services", 8, 2, 0)]);
    script
        .at(0.1)
        .begin("storage")
        .trivial("storage", "ConfigMap", 1, Action::Created)
        .finish("storage")
        .begin("database");
    script.trivial("database", "StatefulSet", 1, Action::Unchanged).at(1.0).passed(
        "database",
        "redis answers",
        "PONG",
        0.1,
    );
    script.at(4.0).asked("database", "app accepts writes", "connection refused");
    script.at(301.0).not_passed(
        "database",
        "app accepts writes",
        "answered f, expected t: the database is still in recovery",
    );
    script.end(Outcome::Unhealthy, 7, &[]);
    insta::assert_snapshot!(last_screen(&script), @"
    ✗ database stopped: gate app accepts writes did not pass   after 5 m 1 s

      gate app accepts writes                            templates/database/gates.yaml.tera:14
        the last answer: answered f, expected t: the database is still in recovery

      ✓ storage   ▏▇                                                 0 s   1 object
      ✗ database  ▏▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇  5 m 1 s   1 of 1 object, 1 of 2 gates
        services  ▏                                                        8 objects, 2 gates, not begun
                   0        1 m      2 m     3 m      4 m      5 m

      done and kept: storage, 1 of 1 object of database
      1 object written, nothing was undone

      again, from where it stopped:   rekindle up production --kit ./kit
      only look:                      rekindle status production --kit ./kit
      exit code 7: not healthy in time, or failed for good
    ");
    insta::assert_snapshot!(spoken(&script, false).lines().last().unwrap(), @"  301.0 s  database  gate app accepts writes did not pass: answered f, expected t: the database is still in recovery");
}

#[test]
fn an_object_that_the_cluster_refuses_is_told() {
    let mut script = Script::new(&[("storage", 2, 0, 0), ("database", 6, 2, 0)]);
    let reason = "Deployment.apps \"api\" is invalid: spec.template.spec.containers[0].ports[0].name: must be no more than 15 characters";
    script.at(0.1).begin("storage").failed("storage", "Deployment/api", reason, Diagnosis::default());
    script.at(0.2).end(Outcome::Refused, 6, &[]);
    insta::assert_snapshot!(last_screen(&script), @r#"
    ✗ storage stopped: the cluster refused Deployment/api   after 0.2 s

      Deployment acoustid/api                                templates/storage/api.yaml.tera:1
        Deployment.apps "api" is invalid: spec.template.spec.containers[0].ports[0].name: must be no
        more than 15 characters

      ✗ storage   ▏                       ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇  0.1 s   0 of 2 objects
        database  ▏                                                        6 objects, 2 gates, not begun
                   0           50 ms      0.1 s       0.2 s

      nothing was written

      again, from where it stopped:   rekindle up production --kit ./kit
      only look:                      rekindle status production --kit ./kit
      exit code 6: the cluster refused an object
    "#);
}

#[test]
fn an_interruption_says_what_is_done_and_what_goes_on() {
    let mut script = script::in_services();
    script.at(42.0).waiting("services", "Deployment/api", "0 of 4 pods ready").at(50.0).end(
        Outcome::Interrupted,
        130,
        &[],
    );
    insta::assert_snapshot!(last_screen(&script), @"
    ✗ production interrupted: nothing more is written   after 50 s

      ✓ storage   ▏▇                                0.8 s   4 objects
      ✓ database  ▏ ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇         39 s   6 objects, 2 gates
      ● services  ▏                         ▇▇▇▇▇▇   10 s   4 of 8 objects, 0 of 2 gates, 1 switched off
        ingress   ▏                                         3 objects, 1 gate, not begun
                   0           20 s         40 s

      not ready yet; what was sent goes on starting by itself:
        Deployment/api: 0 of 4 pods ready
      done and kept: storage, database, 4 of 8 objects of services
      15 objects written, nothing was undone

      again, from where it stopped:   rekindle up production --kit ./kit
      only look:                      rekindle status production --kit ./kit
      exit code 130: interrupted
    ");
}

#[test]
fn an_interruption_before_anything_was_written_says_so() {
    let mut script = Script::new(&[("storage", 1, 0, 0)]);
    script.at(0.3).end(Outcome::Interrupted, 130, &[]);
    insta::assert_snapshot!(last_screen(&script), @"
    ✗ production interrupted: nothing more is written   after 0.3 s

      nothing was written

      again:                          rekindle up production --kit ./kit
      only look:                      rekindle status production --kit ./kit
      exit code 130: interrupted
    ");
}

#[test]
fn a_lost_cluster_and_a_missing_end_are_told() {
    let mut script = script::in_services();
    assert!(last_screen(&script).starts_with("✗ the run ended without saying how"));
    script.at(90.0).end(Outcome::Unreachable, 5, &[]);
    let screen = last_screen(&script);
    assert!(
        screen.starts_with("✗ production stopped: the cluster is not reached any more   after 1 m 30 s\n"),
        "{screen}"
    );
    assert!(screen.contains("exit code 5: cluster unreachable or not allowed"), "{screen}");
}

#[test]
fn the_block_shows_what_is_waited_for_and_why() {
    let mut script = script::in_services();
    script.at(42.0).waiting("services", "Deployment/api", "0 of 4 pods ready");
    script.applied("services", "Deployment/web", Action::Created).waiting(
        "services",
        "Deployment/web",
        "1 of 2 pods ready",
    );
    script.waiting("services", "Deployment/cron", "after Job/migrations");
    script.asked("services", "api answers", "connection refused");
    insta::assert_snapshot!(text(&frame(&script.progress(), 80, time(102.7))), @"
    storage   ✓ 4 objects                                                    0.8 s
    database  ✓ 6 objects, 2 gates                                            39 s
    services  ● 4 of 8 objects ready, 0 of 2 gates, 1 switched off         1 m 2 s
                Deployment/api    0 of 4 pods ready                        1 m 2 s
                Deployment/web    1 of 2 pods ready                            1 m
                gate api answers  connection refused                           1 m
                Deployment/cron   after Job/migrations                         1 m
    ingress     3 objects, 1 gate
    ");
}

#[test]
fn many_waiting_objects_do_not_fill_the_screen() {
    let mut script = script::in_services();
    for index in 0..40 {
        let name = format!("Deployment/worker-{index}");
        let seconds = 41.0 + f64::from(index);
        script.at(seconds).applied("services", &name, Action::Created).waiting("services", &name, "0 of 1 pods ready");
    }
    insta::assert_snapshot!(text(&frame(&script.progress(), 80, time(95.0))), @"
    storage   ✓ 4 objects                                                    0.8 s
    database  ✓ 6 objects, 2 gates                                            39 s
    services  ● 4 of 8 objects ready, 0 of 2 gates, 1 switched off            55 s
                Deployment/worker-0  0 of 1 pods ready                        54 s
                Deployment/worker-1  0 of 1 pods ready                        53 s
                Deployment/worker-2  0 of 1 pods ready                        52 s
                Deployment/worker-3  0 of 1 pods ready                        51 s
                Deployment/worker-4  0 of 1 pods ready                        50 s
                and 36 more
    ingress     3 objects, 1 gate
    ");
}

#[test]
fn a_narrow_terminal_keeps_names_and_times() {
    let mut script = script::in_services();
    script.at(42.0).waiting(
        "services",
        "Deployment/api",
        "0 of 4 pods ready, and a long reason that says why it is not more",
    );
    script.warning("a warning that is much longer than the terminal is wide");
    for width in [1, 8, 20, 44] {
        let block = frame(&script.progress(), width, time(102.7));
        assert!(block.iter().all(|line| line.width() <= width.max(9)), "{width}: {}", text(&block));
    }
    insta::assert_snapshot!(text(&frame(&script.progress(), 44, time(102.7))), @"
    storage   ✓ 4 objects                0.8 s
    database  ✓ 6 objects, 2 gates        39 s
    services  ● 4 of 8 objects ready,… 1 m 2 s
                Deployment/api  0 of … 1 m 2 s
    ingress     3 objects, 1 gate
    ! a warning that is much longer than the …
    ");
    insta::assert_snapshot!(text(&ending(&script::success().progress(), &setting(), 50)), @"
    ✓ production is up   4 m 12 s, of which 3 m 20 s waiting for StatefulSet/postgresql-fingerprint

      ✓ storage   ▏▇                0.8 s   4 objects
      ✓ database  ▏▇▇▇▇▇▇▇▇▇▇    3 m 29 s   6 objects…
      ✓ services  ▏          ▇       26 s   8 objects…
      ✓ ingress   ▏           ▇      16 s   3 objects…
                   0

      19 objects written, 2 already as the kit says, 5 gates passed
      1 gate switched off by the environment, so this was not asked:
        import is idle: nothing is imported in a
        rehearsal
      ! Deployment/api: spec.template.spec.containers[
        0].image has no digest
      https://acoustid.org  https://api.acoustid.org
    ");
}

#[test]
fn a_failed_phase_is_marked_while_the_run_ends() {
    let mut script = script::crash();
    script.events.pop();
    let block = text(&frame(&script.progress(), 80, time(111.0)));
    assert!(block.contains("  services  ✗ 4 of 8 objects ready"), "{block}");
}

#[test]
fn every_kind_of_event_has_its_documented_form() {
    let mut script = Script::new(&[("database", 2, 2, 1)]);
    script.at(0.1).begin("database").applied("database", "StatefulSet/redis", Action::Created);
    script.at(0.2005).waiting("database", "StatefulSet/redis", "0 of 1 pods ready").at(1.8404).ready(
        "database",
        "StatefulSet/redis",
        1.7404,
    );
    script.failed("database", "StatefulSet/pg", "its \"image\"", Diagnosis::default());
    script.asked("database", "redis answers", "").passed("database", "redis answers", "PONG", 1.0 / 3.0);
    script.skipped("database", "pg answers", "no containers here").not_passed("database", "app answers", "f");
    script.warning("something").finish("database").end(
        Outcome::Unhealthy,
        7,
        &[("database", "StatefulSet/redis", 1.7404)],
    );
    let lines: Vec<String> = script.events.iter().map(|event| super::json::value(event).to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"version":1,"time":"2026-03-02T15:02:11.400Z","run":"7f3a1c02","event":"run-started","environment":"production","stack":"acoustid","context":"acoustid-production","server":"https://10.0.0.1:6443","kubernetes":"1.34.4","cluster":"1f0c6e1a-0000-4000-8000-000000000000","nodes":4,"phases":[{"phase":"database","objects":2,"ready":0,"written":0,"gates":2,"passed":0,"skipped":1}]}
    {"version":1,"time":"2026-03-02T15:02:11.500Z","run":"7f3a1c02","event":"phase-started","phase":"database"}
    {"version":1,"time":"2026-03-02T15:02:11.500Z","run":"7f3a1c02","event":"object-applied","phase":"database","object":{"apiVersion":"apps/v1","kind":"StatefulSet","namespace":"acoustid","name":"redis"},"action":"created"}
    {"version":1,"time":"2026-03-02T15:02:11.600Z","run":"7f3a1c02","event":"object-waiting","phase":"database","object":{"apiVersion":"apps/v1","kind":"StatefulSet","namespace":"acoustid","name":"redis"},"reason":"0 of 1 pods ready"}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"object-ready","phase":"database","object":{"apiVersion":"apps/v1","kind":"StatefulSet","namespace":"acoustid","name":"redis"},"seconds":1.74}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"object-failed","phase":"database","object":{"apiVersion":"apps/v1","kind":"StatefulSet","namespace":"acoustid","name":"pg"},"origin":{"file":"templates/database/pg.yaml.tera","line":1},"reason":"its \"image\"","diagnosis":{"containers":[],"events":[]}}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"gate-waiting","phase":"database","gate":"redis answers","answer":""}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"gate-passed","phase":"database","gate":"redis answers","answer":"PONG","seconds":0.333}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"gate-skipped","phase":"database","gate":"pg answers","reason":"no containers here"}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"gate-failed","phase":"database","gate":"app answers","origin":{"file":"templates/database/gates.yaml.tera","line":14},"answer":"f"}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"warning","message":"something"}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"phase-finished","phase":"database","seconds":1.74,"started":0.1,"objects":2,"ready":1,"written":1,"gates":2,"passed":1,"skipped":1}
    {"version":1,"time":"2026-03-02T15:02:13.240Z","run":"7f3a1c02","event":"run-finished","outcome":"unhealthy","exit":7,"seconds":1.84,"phases":[{"phase":"database","seconds":1.74,"started":0.1,"objects":2,"ready":1,"written":1,"gates":2,"passed":1,"skipped":1}],"written":1,"critical_path":[{"phase":"database","step":"StatefulSet/redis","seconds":1.74}]}
    "#);
}

#[test]
fn what_is_not_ready_any_more_is_not_counted_as_ready() {
    let mut script = Script::new(&[("services", 2, 1, 0)]);
    script.begin("services").applied("services", "Deployment/api", Action::Created).ready(
        "services",
        "Deployment/api",
        3.0,
    );
    script.passed("services", "answers", "200", 1.0);
    let counted = |script: &Script| {
        let progress = script.progress();
        (progress.phases[0].ready, progress.phases[0].passed)
    };
    assert_eq!(counted(&script), (1, 1));
    script
        .waiting("services", "Deployment/api", "not ready any more: 0 of 1 pod ready")
        .asked("services", "answers", "503");
    assert_eq!(counted(&script), (0, 0));
    script.ready("services", "Deployment/api", 9.0).applied("services", "Deployment/api", Action::Created);
    assert_eq!(counted(&script), (0, 0), "it was gone and is made again");
    script.ready("services", "Deployment/api", 9.0).passed("services", "answers", "200", 1.0);
    assert_eq!(counted(&script), (1, 1));
}

#[test]
fn no_order_of_events_is_too_strange() {
    // Without a start, of unknown phases, twice, after the end.
    let mut script = script::crash();
    script.events.reverse();
    let again = script.events.clone();
    script.events.extend(again);
    let progress = script.progress();
    assert!(!ending(&progress, &setting(), 80).is_empty() && !frame(&progress, 80, time(0.0)).is_empty());
    spoken(&script, true);
}

/// The events of a run that goes on from one that was killed 200 s before it.
fn resuming(script: Script) -> Script {
    let mut script = script;
    if let EventKind::RunStarted { resumes, .. } = &mut script.events[0].kind {
        *resumes = Some(Resumes {
            run: "51cc00aa".into(),
            ended: Ended::Killed,
            phase: "services".into(),
            time: time(-200.0),
            written: 12,
        });
    }
    script
}

#[test]
fn a_run_says_from_which_one_it_goes_on_and_what_it_left_as_it_was() {
    let goes_on = "goes on from run 51cc00aa, which was killed 3 minutes ago in services";
    for script in [script::success(), script::crash(), script::unchanged()].map(resuming) {
        assert!(text(&header(&script.progress())).contains(goes_on));
        assert!(spoken(&script, false).contains(goes_on));
        assert!(last_screen(&script).contains(goes_on), "{}", last_screen(&script));
    }
    let unchanged = last_screen(&resuming(script::unchanged()));
    assert!(unchanged.contains(&format!("  {goes_on}: 10 objects were left as they are\n")), "{unchanged}");
}

#[test]
fn a_run_that_lost_its_lock_says_so_and_what_is_done() {
    let mut script = script::in_services();
    script.at(50.0).warning("the lock was taken by run 51cc00aa of me@laptop").end(Outcome::LockLost, 8, &[]);
    insta::assert_snapshot!(last_screen(&script));
}

#[test]
fn a_journal_that_breaks_off_is_shown_as_the_kill_that_it_was() {
    let screen = |silence| text(&ending(&script::in_services().progress(), &Setting { silence, ..setting() }, 100));
    insta::assert_snapshot!(screen(Silence::Killed));
    assert!(screen(Silence::Running).starts_with("✗ production is still running in services"));
}
