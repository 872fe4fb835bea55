//! `rekindle up`, as far as it goes without a cluster.

use crate::kits::small;

#[test]
fn phases_in_the_wrong_order_are_wrong_usage() {
    let outcome = small().run(&["up", "local", "--from", "services", "--until", "storage"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("services comes after storage"), "{outcome}");
}

#[test]
fn a_name_that_was_typed_for_another_environment_is_refused() {
    let outcome = small().run(&["up", "local", "--confirm", "production"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert!(outcome.stderr.contains("--confirm production is not local"), "{outcome}");
}
