//! `rekindle env pin` and the user's own pins, as far as they go without a cluster.

use crate::kits::small;
use crate::support::Place;

#[test]
fn the_help_says_what_answers_the_question() {
    let outcome = Place::new().run(&["env", "pin", "--help"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    for part in ["--uid <UID>", "no other flag answers", "pins.yaml", "kubectl get namespace kube-system"] {
        assert!(outcome.stdout.contains(part), "{part}: {outcome}");
    }
}

#[test]
fn no_flag_of_other_commands_goes_around_the_question() {
    for flag in ["--yes", "--confirm=production", "--take-ownership"] {
        let outcome = small().run(&["env", "pin", "production", flag]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
    }
}

#[test]
fn an_environment_that_is_not_there_is_told_before_anything_is_reached() {
    let outcome = small().run(&["env", "pin", "prodution"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("did you mean production?"), "{outcome}");
}

/// The small kit, and a pin of the user's.
fn with_own_pin(text: &str) -> Place {
    let place = small();
    let folder = place.kit().parent().unwrap().join("home/.config/rekindle");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("pins.yaml"), text).unwrap();
    place
}

#[test]
fn the_users_own_pin_is_shown_wherever_the_environment_is() {
    let place = with_own_pin("shop:\n  production: {uid: 1f0c, context: c, time: t}\n")
        .file("environments/local.yaml", "extends: base\ncluster: {uid: aa}\n");
    insta::assert_snapshot!("own-pin-list", place.run(&["env", "list"]));
    insta::assert_snapshot!("own-pin-show", place.run(&["env", "show", "production"]));
    insta::assert_snapshot!("own-pin-explain", place.run(&["env", "explain", "production", "cluster"]));
}

#[test]
fn the_users_own_pin_wins_over_the_file() {
    let place = with_own_pin("shop:\n  production: {uid: 1f0c}\n")
        .file("environments/production.yaml", "extends: base\nprotected: true\ncluster: {uid: aa, ca: bb}\n");
    insta::assert_snapshot!("own-pin-wins", place.run(&["env", "explain", "production", "cluster"]));
}

#[test]
fn pins_that_cannot_be_read_are_not_passed_over() {
    let place = with_own_pin("shop:\n  production: {uuid: 1f0c}\n");
    for arguments in [&["env", "list"][..], &["env", "show", "production"], &["up", "local"], &["status", "local"]] {
        let outcome = place.run(arguments);
        assert_eq!(outcome.code, Some(3), "{arguments:?}: {outcome}");
        assert!(outcome.stderr.contains("pins.yaml:2: a pin has no key uuid"), "{outcome}");
    }
}
