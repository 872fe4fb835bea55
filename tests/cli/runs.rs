//! `rekindle runs` where there is nothing to show.

use super::support::Place;

#[test]
fn a_machine_without_runs_says_where_it_looked() {
    insta::assert_snapshot!(Place::new().run(&["runs", "list"]), @"
    exit 0
    ── stderr
    no run has left a journal in PLACE/home/.local/state/rekindle/runs
    ");
    let json = Place::new().run(&["runs", "list", "-o", "json"]);
    assert_eq!((json.code, json.stdout.as_str()), (Some(0), ""));
}

#[test]
fn a_run_that_is_not_known_is_wrong_usage() {
    let outcome = Place::new().run(&["runs", "show", "7f3a"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.stderr.starts_with("✗ there is no run 7f3a in the journals of this machine\n"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.trim_end().ends_with(" runs list"), "{}", outcome.stderr);
}
