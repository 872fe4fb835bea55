#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::claims::Maker;
use crate::data::{Answers, Source};
use crate::manifest::Origin;
use crate::manifest::yaml::parse_node;

const NOW: &str = "2026-11-25T16:00:00Z";
const LOOKUP: &str = "{tool: wal-g, image: i}";

fn set(name: &str, spec: &str) -> DataSet {
    let text = format!(
        "apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: {name}}}\nspec: {{claims: [data-{name}], {spec}}}\n"
    );
    DataSet::parse(&parse_node(&text).unwrap().unwrap().to_value(), &Origin::default(), "shop").unwrap()
}

fn claim(set: &str, storage: &str) -> Expected {
    Expected {
        namespace: "shop".into(),
        name: format!("data-{set}"),
        data_set: Some(set.into()),
        phase: "database".into(),
        maker: Maker::Kit,
        body: json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}}),
        origin: Origin::default(),
    }
}

fn volume(name: &str, claim: &str, phase: &str, policy: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"}, "persistentVolumeReclaimPolicy": policy, "nodeAffinity": {"required": {}},
            "claimRef": {"namespace": "shop", "name": claim, "uid": "1"},
        },
        "status": {"phase": phase},
    })
}

/// Looks at the accident of two data sets: `db` with a lookup, `cache` without.
fn with<T>(protected: bool, allow: &[Source], answers: &[&str], look: impl FnOnce(&Before<'_>) -> T) -> T {
    let sets = [
        set("db", &format!("sources: [adopt, restore, empty], restore: {{backups: {LOOKUP}}}")),
        set("cache", "sources: [adopt, empty]"),
        set("files", "sources: [adopt]"),
    ];
    let claims = [claim("db", "10Gi"), claim("cache", "1Gi"), claim("files", "2Gi")];
    let policy = Policy { environment: "shop".into(), protected, allow: Some(allow.to_vec()), allowed_at: None };
    let answers =
        Answers { given: answers.iter().map(|text| Answers::read(text).unwrap()).collect(), ..Answers::default() };
    look(&Before { sets: &sets, claims: &claims, policy: &policy, answers: &answers, now: NOW.parse().unwrap() })
}

fn names(accident: &Accident) -> Vec<&str> {
    accident.volumes.iter().map(|it| it["metadata"]["name"].as_str().unwrap()).collect()
}

fn backup(archive: &Archive) -> (Option<u64>, String, String) {
    let (history, backup) = archive.backup(None).unwrap();
    (backup.size, backup.finished.to_string(), history.newest_wal.unwrap().to_string())
}

#[test]
fn without_a_file_only_backups_are_left_and_what_nothing_else_can_bring_back() {
    let accident = with(true, &[Source::Adopt, Source::Restore], &[], |before| before.nothing_left());
    assert_eq!(names(&accident), ["supposed-shop-data-files"]);
    assert_eq!(accident.let_be_empty, ["cache".to_owned()].into());
    assert_eq!(accident.assumed, ["db".to_owned()].into());
    let assumed = backup(&accident.archives.own["db"]);
    assert_eq!(assumed, (Some(10 << 30), "2026-11-25T04:00:00Z".into(), "2026-11-25T15:59:00Z".into()));
    assert_eq!(accident.notes.len(), 1, "{:?}", accident.notes);
}

#[test]
fn where_nobody_has_to_be_asked_nothing_is_supposed_to_be_answered() {
    let unprotected = with(false, &Source::ALL, &[], |before| before.nothing_left());
    assert_eq!(unprotected.let_be_empty, BTreeSet::new());
    let answered = with(true, &[Source::Adopt], &["cache=empty", "files=adopt:pv-1"], |before| before.nothing_left());
    assert_eq!((answered.let_be_empty, answered.volumes), (["db".to_owned()].into(), Vec::new()));
}

#[test]
fn volumes_that_were_bound_are_kept_or_lost_by_their_policy() {
    let volumes = vec![
        volume("pv-db", "data-db", "Bound", "Retain"),
        volume("pv-cache", "data-cache", "Bound", "Delete"),
        json!({"metadata": {"name": "other"}, "spec": {"claimRef": {"namespace": "other", "name": "x", "uid": "2"}},
            "status": {"phase": "Bound"}}),
    ];
    let survivors = Survivors { volumes, ..Survivors::default() };
    let accident = with(true, &Source::ALL, &[], |before| before.survived(survivors, &[])).unwrap();
    assert_eq!(names(&accident), ["pv-db", "other"]);
    assert_eq!(accident.volumes[0]["status"]["phase"], "Released");
    assert_eq!(accident.volumes[0]["spec"].get("nodeAffinity"), None, "its node is taken to be there");
    assert_eq!(accident.volumes[1]["status"]["phase"], "Bound");
    assert_eq!(accident.let_be_empty, BTreeSet::new(), "a file says what there is");
    insta::assert_snapshot!(accident.notes.join("\n"), @r"
    supposed: a volume that is bound in the file has lost its claim, and is kept by Retain
    supposed: lost with its claim, since the reclaim policy is not Retain: pv/pv-cache
    ");
}

#[test]
fn an_assumed_archive_ends_before_the_volume_beside_it_was_released() {
    let mut released = volume("pv-db", "data-db", "Released", "Retain");
    released["status"]["lastPhaseTransitionTime"] = "2026-11-25T12:00:00Z".into();
    let survivors = Survivors { volumes: vec![released], ..Survivors::default() };
    let accident = with(true, &Source::ALL, &[], |before| before.survived(survivors, &[])).unwrap();
    assert_eq!(backup(&accident.archives.own["db"]).2, "2026-11-25T11:59:00Z");
}

#[test]
fn what_a_file_says_of_an_archive_is_not_assumed() {
    let mut survivors = Survivors::default();
    survivors.archives.own.insert("db".into(), Archive::Known(Vec::new()));
    let accident = with(true, &Source::ALL, &[], |before| before.survived(survivors, &[])).unwrap();
    assert_eq!((accident.assumed.len(), &accident.archives.own["db"]), (0, &Archive::Known(Vec::new())));
}

#[test]
fn more_is_lost_by_the_name_of_a_volume_a_claim_or_a_data_set() {
    let survivors = || Survivors {
        volumes: vec![
            volume("pv-db", "data-db", "Released", "Retain"),
            volume("pv-cache", "data-cache", "Released", "Retain"),
        ],
        ..Survivors::default()
    };
    let lose = |name: &str| {
        let lost = [name.to_owned()];
        with(true, &Source::ALL, &[], |before| before.survived(survivors(), &lost))
    };
    for name in ["pv-db", "pv/pv-db", "data-db", "db"] {
        let accident = lose(name).unwrap();
        assert_eq!(names(&accident), ["pv-cache"], "{name}");
        assert_eq!(accident.notes, ["supposed: lost as well: pv/pv-db"], "{name}");
    }
    assert_eq!(
        lose("files").unwrap().notes,
        ["supposed: the volumes of files are lost as well; the file has none of them"]
    );
    let unknown = lose("pv-cach").unwrap_err();
    assert_eq!((unknown.typed.as_str(), unknown.near.as_deref()), ("pv-cach", Some("pv-cache")));
}

#[test]
fn what_follows_another_archive_has_nothing_in_its_own() {
    let sets = [set("db", &format!("sources: [adopt, restore], restore: {{backups: {LOOKUP}, follow: {LOOKUP}}}"))];
    let claims = [claim("db", "10Gi")];
    let (policy, answers) = (Policy::default(), Answers::default());
    let before = Before { sets: &sets, claims: &claims, policy: &policy, answers: &answers, now: NOW.parse().unwrap() };
    let archives = before.nothing_left().archives;
    assert!(archives.own.is_empty() && archives.followed["db"].holds_something());
}
