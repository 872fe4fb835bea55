//! `rekindle runs` where there is nothing to show.

use super::support::Place;

#[test]
fn a_machine_without_runs_says_where_it_looked() {
    let outcome = Place::new().run(&["runs", "list"]);
    insta::assert_snapshot!(outcome, @"");
}

#[test]
fn a_run_that_is_not_known_is_wrong_usage() {
    let outcome = Place::new().run(&["runs", "show", "7f3a"]);
    insta::assert_snapshot!(outcome, @"");
}
