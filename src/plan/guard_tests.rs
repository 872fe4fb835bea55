#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::cluster::binding::LastRun;
use crate::cluster::residents::Resident;
use crate::report::guard::{Commands, Scene};

const HERE: &str = "77b1d0c2-0000-4000-8000-000000000002";
const THERE: &str = "1f0c6e1a-0000-4000-8000-000000000001";
const OURS: &str = "aa11aa11aa11aa11aa11aa11";
const OTHER: &str = "bb22bb22bb22bb22bb22bb22";

fn subject(name: &str, pin: Option<&str>) -> Subject {
    let pin = pin.map(|uid| Pin { uid: uid.into(), place: format!("environments/{name}.yaml:9"), ..Pin::default() });
    Subject { name: name.into(), stack: "acoustid".into(), protected: name == "production", pin, ..Subject::default() }
}

fn reached() -> Reached {
    Reached {
        uid: HERE.into(),
        authority: Some(OURS.into()),
        context: "kind".into(),
        server: "https://10.0.0.1:6443".into(),
    }
}

fn record(name: &str) -> Record {
    Record {
        environment: name.into(),
        cluster: HERE.into(),
        authority: Some(OURS.into()),
        stack: "acoustid".into(),
        namespaces: [name.to_owned()].into(),
        protected: name == "production",
        bound: Some("2026-01-09T08:00:00Z".parse().unwrap()),
        last: Some(LastRun {
            run: "7f3a".into(),
            by: "me@laptop".into(),
            time: "2026-03-02T13:00:00Z".parse().unwrap(),
            outcome: "done".into(),
        }),
    }
}

fn residents(all: &[(&str, usize, usize, u64)]) -> Residents {
    let resident = |objects, claims, bytes| Resident { objects, claims, bytes, ..Resident::default() };
    all.iter()
        .map(|(name, objects, claims, gib)| ((*name).to_owned(), resident(*objects, *claims, gib << 30)))
        .collect()
}

struct Shown;

impl Commands for Shown {
    fn same_for(&self, environment: &str) -> Option<String> {
        Some(format!("rekindle up {environment}"))
    }
    fn pin(&self) -> String {
        "rekindle env pin ENV --context kind".into()
    }
}

/// The refusal as it is shown.
#[track_caller]
fn refused(subject: &Subject, reached: &Reached, records: &[Record], residents: &Residents) -> String {
    let refusal = may_write(subject, reached, records, residents).unwrap_err();
    let now = "2026-03-02T15:00:00Z".parse().unwrap();
    let scene = Scene { subject, reached, records, residents, kubeconfig: "/home/me/.kube/config", now };
    let told = scene.tell(&refusal, &Shown);
    format!("{}\n\n{}\n\n{}", told.message, told.details.join("\n"), told.hints.join("\n"))
}

fn pass(recorded: bool) -> Result<Pass, Refusal> {
    Ok(Pass { recorded, notes: Vec::new() })
}

#[test]
fn both_sides_agree() {
    let (staging, none) = (subject("staging", None), Residents::new());
    assert_eq!(may_write(&staging, &reached(), &[], &none), pass(false), "first use");
    assert_eq!(may_write(&staging, &reached(), &[record("staging")], &none), pass(true), "the cluster knows it");
    let both = [record("production"), record("staging")];
    assert_eq!(may_write(&staging, &reached(), &both, &none), pass(true), "beside another one, by record");
    let pinned = subject("staging", Some(HERE));
    assert_eq!(
        may_write(&pinned, &reached(), &[record("production")], &none),
        pass(false),
        "beside another one, by pin"
    );
    assert_eq!(may_write(&pinned, &reached(), &both, &none), pass(true));
    let production = subject("production", Some(HERE));
    assert_eq!(may_write(&production, &reached(), &[], &none), pass(false), "first use, protected and pinned");
    assert_eq!(may_write(&production, &reached(), &both, &none), pass(true));
}

#[test]
fn notes_are_taken() {
    let mut production = subject("production", Some(HERE));
    production.hint = Some("acoustid-production".into());
    let hint = Note::OtherContext { hint: "acoustid-production".into() };
    assert_eq!(may_read(&production, &reached()), Ok(vec![hint.clone()]), "two contexts that are one cluster");
    let unreadable = Reached { authority: None, ..reached() };
    production.pin.as_mut().unwrap().ca = Some("SHA256:AA:11".into());
    let pass = may_write(&production, &unreadable, &[record("production")], &Residents::new()).unwrap();
    assert_eq!(pass.notes, [Note::AuthorityUnknown, hint], "told once");
    let gone = may_write(&subject("production", Some(HERE)), &reached(), &[], &residents(&[("production", 87, 3, 1)]));
    assert_eq!(gone.unwrap(), Pass { recorded: false, notes: vec![Note::RecordGone { objects: 87 }] });
    let same = Reached { authority: Some("aa11".into()), ..reached() };
    production.hint = None;
    assert_eq!(may_read(&production, &same), Ok(Vec::new()), "however a fingerprint is written");
    let (records, residents) = (&[][..], &Residents::new());
    let (subject, reached, now) =
        (&subject("production", Some(HERE)), &reached(), "2026-03-02T15:00:00Z".parse().unwrap());
    let scene = Scene { subject, reached, records, residents, kubeconfig: "", now };
    let notes = [
        Note::OtherContext { hint: "acoustid-production".into() },
        Note::AuthorityUnknown,
        Note::RecordGone { objects: 87 },
    ];
    insta::assert_snapshot!("notes", notes.map(|note| scene.note(&note)).join("\n"));
}

#[test]
fn pinned_to_another_cluster() {
    let mut production = subject("production", Some(THERE));
    production.hint = Some("acoustid-production".into());
    let here = residents(&[("standby", 61, 2, 412)]);
    insta::assert_snapshot!("other-cluster", refused(&production, &reached(), &[record("standby")], &here));
    assert_eq!(may_read(&production, &reached()), Err(Refusal::OtherCluster), "not even looked at");
    let right_name = Reached { context: "acoustid-production".into(), ..reached() };
    insta::assert_snapshot!("other-cluster-right-name", refused(&production, &right_name, &[], &Residents::new()));
    let pin = production.pin.as_mut().unwrap();
    pin.place = "/home/me/.config/rekindle/pins.yaml:3".into();
    pin.instead_of = Some((HERE.into(), "environments/production.yaml:9".into()));
    insta::assert_snapshot!("other-cluster-own-pin", refused(&production, &reached(), &[], &Residents::new()));
}

#[test]
fn the_accident() {
    let standby = subject("standby", None);
    let here = residents(&[("production", 87, 4, 1434)]);
    insta::assert_snapshot!("hosts-others", refused(&standby, &reached(), &[record("production")], &here));
    assert!(may_write(&standby, &reached(), &[], &here).is_err(), "labels are enough");
    assert!(may_write(&standby, &reached(), &[record("production")], &Residents::new()).is_err(), "a record is enough");
}

#[test]
fn protected_without_a_pin() {
    let production = subject("production", None);
    insta::assert_snapshot!("unpinned", refused(&production, &reached(), &[], &Residents::new()));
    assert!(
        may_write(&production, &reached(), &[record("production")], &Residents::new()).is_err(),
        "a record is not enough"
    );
    let mut unprotected = production;
    unprotected.protected = false;
    let here = residents(&[("production", 87, 1, 1)]);
    insta::assert_snapshot!("unpinned-by-record", refused(&unprotected, &reached(), &[record("production")], &here));
}

#[test]
fn the_pin_of_what_it_extends_binds_it_to_nothing() {
    let extends = |uid: &str, name: &str| Subject {
        others_pin: Some((uid.into(), "environments/production.yaml:9".into())),
        ..subject(name, None)
    };
    let nothing = Residents::new();
    insta::assert_snapshot!("extends-other", refused(&extends(THERE, "standby"), &reached(), &[], &nothing));
    assert!(may_write(&extends(HERE, "standby"), &reached(), &[], &nothing).is_ok(), "it is as if there were no pin");
    assert!(may_write(&extends(HERE, "production"), &reached(), &[], &nothing).is_err(), "protected, and not pinned");
    let neighbours = residents(&[("base", 1, 0, 0)]);
    assert!(may_write(&extends(HERE, "standby"), &reached(), &[], &neighbours).is_err(), "others live here");
    let recorded = may_write(&extends(THERE, "staging"), &reached(), &[record("staging")], &nothing);
    assert!(recorded.unwrap().recorded, "the cluster knows it");
    let pinned = Subject { pin: subject("standby", Some(HERE)).pin, ..extends(THERE, "standby") };
    assert!(may_write(&pinned, &reached(), &[], &nothing).is_ok(), "its own pin counts");
}

#[test]
fn the_record_is_gone() {
    let here = residents(&[("staging", 12, 0, 0)]);
    insta::assert_snapshot!("record-gone", refused(&subject("staging", None), &reached(), &[], &here));
}

#[test]
fn the_record_was_copied() {
    let mut copied = record("staging");
    copied.cluster = THERE.into();
    for pin in [None, Some(HERE)] {
        let refusal = may_write(&subject("staging", pin), &reached(), &[copied.clone()], &Residents::new());
        assert_eq!(refusal, Err(Refusal::ForeignRecord { made_for: THERE.into() }));
    }
    let here = residents(&[("staging", 12, 1, 10)]);
    insta::assert_snapshot!(
        "record-copied",
        refused(&subject("staging", Some(HERE)), &reached(), &[copied.clone()], &here)
    );
    copied.cluster = String::new();
    insta::assert_snapshot!("record-damaged", refused(&subject("staging", Some(HERE)), &reached(), &[copied], &here));
}

#[test]
fn a_copy_of_the_cluster() {
    let copy = Reached { authority: Some(OTHER.into()), ..reached() };
    let here = residents(&[("production", 87, 4, 1434)]);
    let mut production = subject("production", Some(HERE));
    insta::assert_snapshot!("copy-by-record", refused(&production, &copy, &[record("production")], &here));
    production.pin.as_mut().unwrap().ca = Some(OURS.into());
    insta::assert_snapshot!("copy-by-pin", refused(&production, &copy, &[], &Residents::new()));
    assert!(may_read(&production, &copy).is_err());
}

#[test]
fn another_kits_environment() {
    let mut theirs = record("staging");
    theirs.stack = "musicbrainz".into();
    insta::assert_snapshot!(
        "other-stack",
        refused(&subject("staging", Some(HERE)), &reached(), &[theirs], &residents(&[("staging", 40, 1, 3)]))
    );
}

fn any_record() -> impl Strategy<Value = Record> {
    let one_of = |all: &'static [&'static str]| prop::sample::select(all);
    (
        one_of(&["production", "staging", "standby"]),
        one_of(&[HERE, THERE, ""]),
        one_of(&[OURS, OTHER]),
        one_of(&["acoustid", "other"]),
    )
        .prop_map(|(name, cluster, authority, stack)| Record {
            cluster: cluster.into(),
            authority: Some(authority.into()),
            stack: stack.into(),
            ..record(name)
        })
}

proptest! {
    #[test]
    fn nothing_goes_around_a_mismatch(
        name in prop::sample::select(&["production", "staging"][..]),
        pin in prop::sample::select(&[None, Some(HERE), Some(THERE)][..]),
        records in prop::collection::vec(any_record(), 0..3),
        labelled in prop::collection::btree_set(prop::sample::select(&["production", "staging", "standby"][..]), 0..3),
    ) {
        let subject = subject(name, pin);
        let here: Vec<_> = labelled.iter().map(|name| (*name, 3, 0, 0)).collect();
        let decision = may_write(&subject, &reached(), &records, &residents(&here));
        let own = records.iter().find(|record| record.environment == name);
        if let Ok(pass) = &decision {
            prop_assert!(pin != Some(THERE));
            prop_assert!(pin.is_some() || !subject.protected);
            prop_assert_eq!(pass.recorded, own.is_some());
            prop_assert!(own.is_none_or(|own| own.cluster == HERE && own.stack == "acoustid"
                && own.authority.as_deref() == Some(OURS)));
            if pin.is_none() && own.is_none() {
                prop_assert!(records.is_empty() && labelled.is_empty(), "an empty cluster, or an agreement");
            }
        }
        // Who did not look would decide the same wherever looking is said not to be needed.
        let blind = may_write(&subject, &reached(), &records, &Residents::new());
        if !needs_residents(&blind) {
            prop_assert_eq!(blind, decision);
        }
    }
}
