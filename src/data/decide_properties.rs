//! What holds of every decision, whatever is there: nothing begins empty without permission, no volume goes to two claims, and
//! no volume is written to that is not ours by evidence or by a person's word.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::Source;
use super::answers::{Answer, Answers};
use super::backups::{Archive, Backup, History};
use super::claims::{Expected, Maker};
use super::decide::decide_all;
use super::decision::{Choice, Policy};
use super::evidence::{Claim, ClaimRef, Marks, Record, Volume, contradiction, evidence};
use super::lineage::{FOLLOWING, Lineage, PROMOTED};
use super::spec::{DataSet, Derived, Holder, Lookup, Restore, Tool};
use super::survey::Survey;
use crate::manifest::Origin;

const NAMESPACES: [&str; 3] = ["shop", "old", "other"];
const CLAIMS: [&str; 4] = ["data-0", "data-1", "files", "else"];

fn volume() -> impl Strategy<Value = Volume> {
    let reference = proptest::option::of((0..3_usize, 0..4_usize, proptest::option::of(0..2_u8)));
    let marks = proptest::option::of((0..2_usize, 0..3_usize, 0..4_usize));
    let phase = prop::sample::select(vec!["Available", "Released", "Failed", "Bound"]);
    let odd = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (0..6_u8, reference, marks, phase, odd).prop_map(|(name, reference, marks, phase, odd)| Volume {
        name: format!("pv{name}"),
        uid: format!("u{name}"),
        phase: phase.into(),
        policy: if odd.0 { "Retain" } else { "Delete" }.into(),
        mode: if odd.1 || odd.3 { "Filesystem" } else { "Block" }.into(),
        deleting: odd.2 && odd.3,
        reachable: odd.3.then_some(odd.1),
        claim: reference.map(|(namespace, claim, uid)| ClaimRef {
            namespace: NAMESPACES[namespace].into(),
            name: CLAIMS[claim].into(),
            uid: uid.map(|uid| format!("c{uid}")),
        }),
        marks: marks.map(|(environment, namespace, claim)| Marks {
            environment: ["shop", "other"][environment].into(),
            claim: format!("{}/{}", NAMESPACES[namespace], CLAIMS[claim]),
            ..Marks::default()
        }),
        ..Volume::default()
    })
}

fn claim() -> impl Strategy<Value = Claim> {
    let phase = prop::sample::select(vec!["Pending", "Bound", "Lost"]);
    let record = prop::sample::select(vec![
        None,
        Some(Record::Copy),
        Some(Record::From(Source::Adopt)),
        Some(Record::From(Source::Empty)),
    ]);
    let standby = prop::sample::select(vec!["", FOLLOWING, PROMOTED]);
    (0..3_usize, phase, proptest::option::of(0..7_u8), any::<bool>(), record, standby).prop_map(
        |(name, phase, volume, deleting, record, standby)| Claim {
            namespace: "shop".into(),
            name: CLAIMS[name].into(),
            uid: "c0".into(),
            phase: phase.into(),
            volume: volume.map(|volume| format!("pv{volume}")),
            deleting,
            record,
            lineage: Lineage { standby: standby.into(), ..Lineage::default() },
            ..Claim::default()
        },
    )
}

fn sources() -> impl Strategy<Value = Vec<Source>> {
    prop::sample::subsequence(Source::ALL.to_vec(), 0..=3).prop_shuffle()
}

fn answer() -> impl Strategy<Value = (String, Answer)> {
    let answer = prop_oneof![
        (proptest::option::of(0..4_usize), 0..7_u8).prop_map(|(claim, volume)| Answer::Adopt {
            claim: claim.map(|claim| CLAIMS[claim].to_owned()),
            volume: format!("pv{volume}"),
        }),
        Just(Answer::Empty),
        Just(Answer::Keep),
        Just(Answer::Restore { backup: None }),
    ];
    (prop::sample::select(vec!["db", "files"]), answer).prop_map(|(name, answer)| (name.to_owned(), answer))
}

fn archive() -> impl Strategy<Value = Archive> {
    let backup = (any::<bool>(), any::<bool>()).prop_map(|(same, whole)| Backup {
        name: "base".into(),
        finished: jiff::Timestamp::UNIX_EPOCH,
        size: None,
        system_identifier: Some(if same { "7" } else { "8" }.into()),
        gaps: if whole { Vec::new() } else { vec!["9".into()] },
    });
    let history = (prop::collection::vec(backup, 0..2), any::<bool>()).prop_map(|(backups, wal)| History {
        name: String::new(),
        backups,
        newest_wal: wal.then_some(jiff::Timestamp::UNIX_EPOCH),
    });
    prop_oneof![
        Just(Archive::Unknown("unreachable".into())),
        prop::collection::vec(history, 0..2).prop_map(Archive::Known),
    ]
}

#[derive(Debug, Clone)]
struct World {
    sets: Vec<DataSet>,
    survey: Survey,
    policy: Policy,
    answers: Answers,
}

fn lookup() -> Lookup {
    Lookup { tool: Tool::WalG, image: "pg".into(), user: None, env: BTreeMap::new() }
}

fn world() -> impl Strategy<Value = World> {
    let set = |name: &'static str, claims: &'static [&'static str]| {
        (sources(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            move |(sources, replicated, derived, backups, follows)| DataSet {
                name: name.into(),
                namespace: "shop".into(),
                origin: Origin::default(),
                claims: claims.iter().map(|claim| Holder::Claim((*claim).into())).collect(),
                sources,
                replicated,
                derived: derived.then(|| Derived { from: "others".into(), estimate: None }),
                restore: backups.then(|| Restore {
                    backups: Some(lookup()),
                    follow: follows.then(lookup),
                    ..Restore::default()
                }),
                proof: None,
                identity: None,
                remember: Vec::new(),
            },
        )
    };
    let sets = (set("db", &CLAIMS[..2]), set("files", &CLAIMS[2..3]));
    let volumes = prop::collection::vec(volume(), 0..6);
    let claims = prop::collection::vec(claim(), 0..3);
    let policy = (any::<bool>(), proptest::option::of(sources()));
    let answers = (
        prop::collection::vec(answer(), 0..3),
        prop::collection::btree_set(prop::sample::select(vec!["db".to_owned(), "files".to_owned()]), 0..2),
        any::<bool>(),
    );
    let archives = || {
        prop::collection::btree_map(prop::sample::select(vec!["db".to_owned(), "files".to_owned()]), archive(), 0..3)
    };
    (sets, volumes, claims, policy, answers, archives(), archives()).prop_map(
        |(sets, mut volumes, mut claims, policy, answers, archives, followed)| {
            let mut names = BTreeSet::new();
            volumes.retain(|volume| names.insert(volume.name.clone()));
            let mut names = BTreeSet::new();
            claims.retain(|claim| names.insert(claim.name.clone()));
            World {
                sets: vec![sets.0, sets.1],
                survey: Survey { volumes, claims, archives, followed, ..Survey::default() },
                policy: Policy { environment: "shop".into(), protected: policy.0, allow: policy.1, allowed_at: None },
                answers: Answers { given: answers.0, allow_empty: answers.1, recover_to: None, promote: answers.2 },
            }
        },
    )
}

fn expected() -> Vec<Expected> {
    let of = |name: &&str| Expected {
        namespace: "shop".into(),
        name: (*name).into(),
        data_set: Some(if name.starts_with("data") { "db" } else { "files" }.into()),
        phase: "database".into(),
        maker: Maker::Kit,
        body: json!({"spec": {}}),
        origin: Origin::default(),
    };
    CLAIMS[..3].iter().map(of).collect()
}

fn wanted(name: &str) -> Expected {
    expected().into_iter().find(|claim| claim.name == name).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_begins_empty_without_permission(world in world()) {
        let World { sets, survey, policy, answers } = world;
        let Ok(decisions) = decide_all(&sets, &expected(), &survey, &policy, &answers) else { return Ok(()) };
        for decision in &decisions.sets {
            let set = sets.iter().find(|set| set.name == decision.data_set).unwrap();
            let empty = decision.claims.iter().any(|claim| claim.choice == Choice::Empty);
            let allowed = !policy.protected && policy.allow.as_ref().is_none_or(|allow| allow.contains(&Source::Empty));
            let told = answers.lets_be_empty(&set.name);
            prop_assert!(!empty || set.derived.is_some() || told || allowed);
            prop_assert!(!empty || set.sources.contains(&Source::Empty));
            // Where it is protected, a person types the name.
            prop_assert_eq!(decision.confirm, empty && policy.protected && set.derived.is_none());
            // A copy has something to be copied from.
            let copy = decision.claims.iter().any(|claim| claim.choice == Choice::Copy);
            let origin = decision.claims.iter().any(|claim| matches!(
                claim.choice, Choice::Keep | Choice::Adopt { .. } | Choice::Restore { .. }
            ));
            prop_assert!(!copy || (set.replicated && origin));
        }
    }

    #[test]
    fn nothing_begins_empty_beside_a_survivor_unless_a_person_says_so(world in world()) {
        let World { sets, survey, policy, answers } = world;
        let Ok(decisions) = decide_all(&sets, &expected(), &survey, &policy, &answers) else { return Ok(()) };
        for (set, claim) in decisions.sets.iter().flat_map(|set| set.claims.iter().map(move |claim| (set, claim))) {
            let derived = sets.iter().any(|it| it.name == set.data_set && it.derived.is_some());
            let told = answers.of(&set.data_set).next().is_some();
            if matches!(claim.choice, Choice::Empty | Choice::Copy) && !derived && !told {
                let survivor = survey.volumes.iter().find(|volume| {
                    evidence(volume, "shop", &wanted(&claim.name)).is_some()
                });
                prop_assert!(survivor.is_none(), "{:?} beside {survivor:?}", claim);
            }
        }
    }

    #[test]
    fn nothing_begins_empty_beside_an_archive_unless_a_person_the_kit_or_the_environment_says_so(world in world()) {
        let World { sets, survey, policy, answers } = world;
        let Ok(decisions) = decide_all(&sets, &expected(), &survey, &policy, &answers) else { return Ok(()) };
        for decision in &decisions.sets {
            let set = sets.iter().find(|set| set.name == decision.data_set).unwrap();
            let Some(archive) = survey.archives.get(&set.name) else { continue };
            let whole = decision.claims.iter().all(|claim| claim.choice == Choice::Empty);
            if !whole {
                continue;
            }
            let position = |source| set.sources.iter().position(|it| *it == source);
            let kit = position(Source::Restore).is_none_or(|restore| position(Source::Empty).is_some_and(|it| it < restore));
            let told = answers.of(&set.name).any(|answer| *answer == Answer::Empty);
            let narrowed = !policy.permits(Source::Restore);
            let nothing = matches!(archive, Archive::Known(_)) && !archive.holds_something();
            prop_assert!(nothing || told || kit || narrowed, "{decision:?} {archive:?}");
            // And never archives over what is there.
            prop_assert!(nothing || set.restore.is_none() || !decision.lineage.history.is_empty(), "{decision:?}");
        }
    }

    #[test]
    fn a_stand_by_takes_over_when_a_person_says_so_and_never_archives_where_something_is(world in world()) {
        let World { sets, survey, policy, answers } = world;
        let Ok(decisions) = decide_all(&sets, &expected(), &survey, &policy, &answers) else { return Ok(()) };
        for decision in &decisions.sets {
            let set = sets.iter().find(|set| set.name == decision.data_set).unwrap();
            let lineage = &decision.lineage;
            let restored = decision.claims.iter().any(|claim| matches!(claim.choice, Choice::Restore { .. }));
            let live = |state: &str| decision.claims.iter().any(|claim| {
                survey.claim(&claim.namespace, &claim.name).is_some_and(|it| it.lineage.standby == state)
            });
            if answers.promote {
                prop_assert!(!lineage.follows(), "{decision:?}");
            } else if lineage.standby == PROMOTED {
                prop_assert!(live(PROMOTED), "{decision:?}");
            }
            // Only what follows the archive of another is made as a follower.
            prop_assert!(!(restored && lineage.follows()) || set.follow().is_some(), "{decision:?}");
            let own = survey.archives.get(&set.name);
            let fresh = own.is_some_and(|own| matches!(own, Archive::Known(_)) && !own.holds_something());
            prop_assert!(!restored || fresh || !lineage.history.is_empty(), "{decision:?}");
        }
    }

    #[test]
    fn no_volume_goes_to_two_claims_nor_is_taken_from_others(world in world()) {
        let World { sets, survey, policy, answers } = world;
        let Ok(decisions) = decide_all(&sets, &expected(), &survey, &policy, &answers) else { return Ok(()) };
        let mut taken = BTreeSet::new();
        for (claim, name) in decisions.adopted() {
            prop_assert!(taken.insert(name.to_owned()), "pv/{name} twice");
            let volume = survey.volume(name).unwrap();
            prop_assert!(contradiction(volume, "shop").is_none(), "{volume:?}");
            prop_assert!(!volume.deleting);
            let told = answers.given.iter().any(|(_, it)| matches!(it, Answer::Adopt { volume, .. } if volume == name));
            let live = survey.claim(&claim.namespace, &claim.name);
            let named = live.and_then(|live| live.volume.as_deref()) == Some(name);
            let strong = evidence(volume, "shop", &wanted(&claim.name)).is_some_and(|it| it.is_strong());
            prop_assert!(strong || told || named, "{claim:?} {volume:?}");
            // What is bound elsewhere is never taken away.
            let elsewhere = volume.claim.as_ref().is_some_and(|it| it.namespace != claim.namespace || it.name != claim.name);
            prop_assert!(!(volume.phase == "Bound" && elsewhere), "{volume:?}");
        }
    }

    #[test]
    fn a_decision_that_was_done_is_kept(world in world()) {
        let World { sets, survey, policy, answers } = world;
        let Ok(decisions) = decide_all(&sets, &expected(), &survey, &policy, &answers) else { return Ok(()) };
        // The cluster as it is after the run: every claim bound, with its decision on it.
        let mut after = survey.clone();
        for claim in decisions.sets.iter().flat_map(|set| &set.claims) {
            if claim.choice == Choice::Keep {
                continue;
            }
            after.claims.retain(|it| it.name != claim.name);
            let (name, record) = match &claim.choice {
                Choice::Adopt { volume } => (volume.clone(), Record::From(Source::Adopt)),
                Choice::Copy => (format!("new-{}", claim.name), Record::Copy),
                Choice::Restore { .. } => (format!("new-{}", claim.name), Record::From(Source::Restore)),
                _ => (format!("new-{}", claim.name), Record::From(Source::Empty)),
            };
            let reference = ClaimRef { namespace: "shop".into(), name: claim.name.clone(), uid: Some("new".into()) };
            after.volumes.retain(|it| it.name != name);
            after.volumes.push(Volume {
                name: name.clone(), phase: "Bound".into(), mode: "Filesystem".into(), claim: Some(reference), ..Volume::default()
            });
            after.claims.push(Claim {
                namespace: "shop".into(), name: claim.name.clone(), uid: "new".into(), phase: "Bound".into(),
                volume: Some(name), record: Some(record), ..Claim::default()
            });
        }
        let again = decide_all(&sets, &expected(), &after, &policy, &Answers::default());
        if let Ok(again) = again {
            for claim in again.sets.iter().flat_map(|set| &set.claims) {
                let first = decisions.of_claim(&claim.namespace, &claim.name).unwrap().1;
                prop_assert!(first.choice == Choice::Keep || claim.choice == Choice::Keep, "{first:?} {claim:?}");
            }
        }
    }
}
