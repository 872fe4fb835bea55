//! `rekindle down`, as far as it goes without a cluster.

use crate::kits::small;
use crate::support::Place;

const PROTECTED: &[(&str, &str)] = &[
    ("environments/production.yaml", "namespace: a\nprotected: true\n"),
    ("environments/local.yaml", "namespace: a\n"),
    ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n"),
    (
        "templates/storage/set.yaml",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce]}\n---\n\
         apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {name: ledger}\nspec: {claims: [data]}\n",
    ),
];

#[test]
fn a_name_that_was_typed_for_another_environment_is_refused() {
    let outcome = small().run(&["down", "local", "--confirm", "production"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert!(outcome.stderr.contains("--confirm production is not local; nothing was deleted"), "{outcome}");
}

#[test]
fn data_of_a_protected_environment_is_not_deleted_whatever_is_typed() {
    let arguments = ["--confirm", "production", "--delete-data", "ledger", "--confirm-data", "ledger", "--yes"];
    let outcome = Place::with_kit(PROTECTED).run(&[&["down", "production"], &arguments[..]].concat());
    assert_eq!(outcome.code, Some(4), "{outcome}");
    for part in [
        "✗ refused: production is protected, and its data is not deleted; nothing was deleted",
        "  the newest backup cannot be proven fresh",
        "  without its data, which stays:   ",
    ] {
        assert!(outcome.stderr.contains(part), "{part:?} is missing in:\n{outcome}");
    }
}

#[test]
fn a_data_set_that_the_kit_does_not_name_is_wrong_usage_and_is_put_right() {
    let outcome = Place::with_kit(PROTECTED).run(&["down", "local", "--delete-data", "legder"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("did you mean ledger?"), "{outcome}");
    let none = small().run(&["down", "local", "--delete-data", "ledger"]);
    assert!(none.code == Some(2) && none.stderr.contains("it names none at all"), "{none}");
}

#[test]
fn a_data_set_that_was_typed_and_is_not_meant_to_go_is_refused() {
    let outcome = Place::with_kit(PROTECTED).run(&["down", "local", "--confirm-data", "ledger"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert!(outcome.stderr.contains("--confirm-data ledger is not among what --delete-data names"), "{outcome}");
}
