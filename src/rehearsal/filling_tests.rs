#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;
use crate::data::claims::Maker;
use crate::data::memory::Comeback;
use crate::data::{ClaimDecision, Decision, Lineage, Source};
use crate::manifest::Origin;

fn claim(name: &str, set: &str, storage: &str) -> Expected {
    Expected {
        namespace: "shop".into(),
        name: name.into(),
        data_set: Some(set.into()),
        phase: "database".into(),
        maker: Maker::StatefulSet { name: set.into(), template: "data".into() },
        body: json!({"spec": {"resources": {"requests": {"storage": storage}}}}),
        origin: Origin::default(),
    }
}

fn decisions(set: &str, bytes: Option<u64>, choices: &[(&str, Choice)]) -> Decisions {
    let claim = |(name, choice): &(&str, Choice)| ClaimDecision {
        namespace: "shop".into(),
        name: (*name).into(),
        choice: choice.clone(),
        reason: String::new(),
    };
    let set = Decision {
        data_set: set.into(),
        source: Source::Restore,
        claims: choices.iter().map(claim).collect(),
        lineage: Lineage::default(),
        recovery_point: None,
        restored_bytes: bytes,
        confirm: false,
        promoted: false,
        comeback: Comeback::No,
    };
    Decisions { sets: vec![set], ..Decisions::default() }
}

fn restore() -> Choice {
    Choice::Restore { backup: "b".into() }
}

#[test]
fn a_restore_takes_as_long_as_its_bytes_and_so_do_its_copies() {
    let decisions = decisions("db", Some(3_000_000_000), &[("db-0", restore()), ("db-1", Choice::Copy)]);
    let claims = [claim("db-0", "db", "10Gi"), claim("db-1", "db", "10Gi")];
    let found = fillings(&decisions, &claims, Rates::default(), &BTreeMap::new());
    assert_eq!(found["shop/db-0"].time, Duration::from_secs(100));
    assert_eq!((found["shop/db-1"].via, found["shop/db-1"].time), (Via::Neighbour, Duration::from_secs(30)));
    let given = BTreeMap::from([("db".to_owned(), Duration::from_secs(7))]);
    let found = fillings(&decisions, &claims, Rates::default(), &given);
    assert_eq!((found["shop/db-0"].time, found["shop/db-0"].supposed), (Duration::from_secs(7), true));
    assert_eq!(found["shop/db-1"].time, Duration::from_secs(30), "only the restore was given a time");
}

#[test]
fn where_the_size_of_a_backup_is_not_known_its_volume_is_full() {
    let claims = [claim("db-0", "db", "3G")];
    let found = fillings(&decisions("db", None, &[("db-0", restore())]), &claims, Rates::default(), &BTreeMap::new());
    assert_eq!(found["shop/db-0"].bytes, 3_000_000_000);
}

#[test]
fn what_is_there_or_begins_empty_is_not_filled() {
    let adopt = Choice::Adopt { volume: "v".into() };
    let choices = [("a", Choice::Keep), ("b", adopt), ("c", Choice::Empty)];
    let claims = choices.each_ref().map(|(name, _)| claim(name, "db", "1Gi"));
    let found = fillings(&decisions("db", Some(1), &choices), &claims, Rates::default(), &BTreeMap::new());
    assert_eq!(found, BTreeMap::new());
}

#[test]
fn volumes_of_one_data_set_are_told_together() {
    let filled = |claim: &str, via: Via, bytes: u64| Filled {
        claim: format!("shop/{claim}"),
        workload: "StatefulSet/db".into(),
        filling: Filling { via, bytes, rate: 1, time: Duration::from_secs(bytes), supposed: false },
    };
    let all = [filled("db-0", Via::Backup, 9), filled("db-1", Via::Neighbour, 4), filled("db-2", Via::Neighbour, 5)];
    let claims = ["db-0", "db-1", "db-2"].map(|name| claim(name, "db", "1Gi"));
    let told = |all: &[Filled]| -> Vec<_> {
        by_set(all, &claims).into_iter().map(|it| (it.via, it.volumes, it.bytes, it.seconds)).collect()
    };
    let expected = [(Via::Backup, 1, 9, 9.0), (Via::Neighbour, 2, 5, 5.0)];
    assert_eq!(told(&all), expected);
    // One that copies may have begun to wait before the one that it copies from was started.
    let [first, second, third] = all;
    assert_eq!(told(&[second, first, third]), expected);
}
