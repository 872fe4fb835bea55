//! `rekindle up`, as far as it goes without a cluster.

use crate::kits::small;
use crate::support::{Place, copy_repositorys_kit};

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

/// A copy of the repository's kit, as somebody makes it who starts one of their own.
fn own_kit() -> Place {
    let place = Place::new();
    copy_repositorys_kit(&place.kit());
    place
}

#[test]
fn a_protected_environment_is_not_built_on_the_published_key() {
    let outcome = Place::new().run(&["up", "production", "--confirm", "production"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert!(outcome.stderr.contains("sealed to the published demonstration key"), "{outcome}");
}

#[test]
fn a_protected_environment_is_not_built_on_published_values_under_another_key() {
    let place = own_kit();
    let keygen = place.run(&["secrets", "keygen"]);
    let text = format!("{}{}", keygen.stdout, keygen.stderr);
    let recipient = text.split_whitespace().find(|word| word.starts_with("age1")).unwrap().to_owned();
    let place = place.file("secrets/recipients.yaml", &format!("production: {{me: {recipient}}}\n"));
    let place = place.file("dsn", "https://key@sentry.example.com/1");
    let file = place.kit().join("dsn");
    let set = place.run(&["secrets", "set", "production", "sentry-dsn", "--from-file", file.to_str().unwrap()]);
    assert_eq!(set.code, Some(0), "{set}");
    let outcome = place.run(&["up", "production", "--confirm", "production"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert!(outcome.stderr.contains("production still uses published demonstration values"), "{outcome}");
    let listed = outcome.stderr.lines().find(|line| line.contains("published: ")).unwrap();
    assert!(listed.contains("seed") && !listed.contains("sentry-dsn"), "{outcome}");
}

#[test]
fn answers_about_data_that_mean_nothing_are_wrong_usage_before_anything_is_reached() {
    for command in ["up", "plan"] {
        for (flags, told) in [
            (["--data", "postgresql-ap=restore"], "did you mean postgresql-app?"),
            (["--data", "postgresql-app=reuse"], "postgresql-app=reuse"),
            (["--allow-empty", "postgresql"], "postgresql"),
        ] {
            let outcome = Place::new().run(&[&[command, "local"], &flags[..]].concat());
            assert_eq!(outcome.code, Some(2), "{outcome}");
            assert!(outcome.stderr.contains(told), "{outcome}");
        }
    }
}
