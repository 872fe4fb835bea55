//! `rekindle rehearse` after an accident: what survived, what is lost, what is restored.

use crate::kits::with_data;
use crate::support::{Outcome, Place, write};

/// Volumes that held the database and the cache, as `kubectl get pv -o yaml` prints them while all is well.
const ALL_IS_WELL: &str = "\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: PersistentVolume
  metadata: {name: pv-db-0}
  spec:
    capacity: {storage: 30G}
    accessModes: [ReadWriteOnce]
    storageClassName: fast
    persistentVolumeReclaimPolicy: Retain
    claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: shop, name: data-db-0, uid: 0d1f}
    csi: {driver: fast.example, volumeHandle: disk-0}
  status: {phase: Bound}
- apiVersion: v1
  kind: PersistentVolume
  metadata: {name: pv-cache-0}
  spec:
    capacity: {storage: 1Gi}
    accessModes: [ReadWriteOnce]
    storageClassName: fast
    persistentVolumeReclaimPolicy: Retain
    claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: shop, name: data-cache-0, uid: 0d2f}
    csi: {driver: fast.example, volumeHandle: disk-1}
  status: {phase: Bound}
";

/// An archive with one backup.
const BACKUPS: &str = "\
---
apiVersion: rekindle.dev/v1
kind: Backups
metadata: {name: db}
spec:
  backups: [{name: base_000000010000000000000002, finished: 6h ago, size: 6G}]
  wal_until: 30m ago
";

/// The kit with a file of survivors beside it. Templates are told this of the database.
fn place(survivors: &str, source: &str, backup: &str) -> Place {
    let told =
        format!("extends: production\nprotected: true\nvalues: {{told: {{source: {source}, backup: \"{backup}\"}}}}\n");
    let place = with_data().file("environments/shop.yaml", &told);
    write(&place.folder().join("survivors.yaml"), survivors.as_bytes());
    place
}

fn rehearse(place: &Place, more: &[&str]) -> Outcome {
    let arguments: Vec<&str> =
        ["rehearse", "shop", "--survivors", "survivors.yaml"].iter().chain(more).copied().collect();
    place.run(&arguments)
}

/// What is said, without the time of day and the time that it took.
fn said(outcome: &Outcome) -> String {
    let real = regex::Regex::new(r"simulated in [0-9.]+ m?s").unwrap();
    let time = regex::Regex::new(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap();
    let text = real.replace(&outcome.stderr, "simulated in a moment");
    let text = time.replace_all(&text, "TIME");
    // A slow machine takes its time between making the files and reading them.
    let soon = regex::Regex::new(r"released (just now|a second ago|\d+ seconds ago)").unwrap();
    soon.replace_all(&text, "released just now").into_owned()
}

fn events<'o>(outcome: &'o Outcome, name: &'o str) -> impl Iterator<Item = serde_json::Value> + 'o {
    let all = outcome.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    all.filter(move |event| event["event"] == name)
}

#[test]
fn without_survivors_the_worst_is_supposed() {
    let outcome = with_data().run(&["rehearse", "production"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    insta::assert_snapshot!("the-worst-is-supposed", said(&outcome));
}

#[test]
fn what_survived_is_adopted() {
    let outcome = rehearse(&place(ALL_IS_WELL, "adopt", ""), &[]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    insta::assert_snapshot!("what-survived-is-adopted", said(&outcome));
}

#[test]
fn what_is_lost_as_well_is_restored_from_its_backup() {
    let file = format!("{ALL_IS_WELL}{BACKUPS}");
    let outcome =
        rehearse(&place(&file, "restore", "base_000000010000000000000002"), &["--lose-volume", "db", "-o", "json"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let decided: Vec<_> = events(&outcome, "decision").collect();
    let db = decided.iter().find(|event| event["data_set"] == "db").unwrap();
    assert_eq!((&db["decision"], &db["claims"][1]["choice"]), (&"restore".into(), &"copy".into()), "{db}");
    let cache = decided.iter().find(|event| event["data_set"] == "cache").unwrap();
    assert_eq!(cache["decision"], "adopt", "{cache}");
    // 6 GB at 30 MB/s, then to the replica at 100 MB/s.
    let seconds = events(&outcome, "object-ready")
        .find(|event| event["object"]["kind"] == "StatefulSet" && event["object"]["name"] == "db")
        .unwrap();
    let seconds = seconds["seconds"].as_f64().unwrap();
    assert!((260.0..320.0).contains(&seconds), "{seconds}");
    let last = events(&outcome, "rehearsed").next().unwrap();
    assert_eq!(last["assumed_backups"], serde_json::json!([]), "the file says it");
    assert_eq!(last["filled"][0]["seconds"], 200.0);
}

#[test]
fn what_is_lost_and_may_not_begin_empty_is_refused() {
    let outcome = rehearse(&place(ALL_IS_WELL, "adopt", ""), &["--lose-volume", "pv-cache-0"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    insta::assert_snapshot!("may-not-begin-empty", said(&outcome));
    // The command that it names goes on.
    let flags = ["--lose-volume", "pv-cache-0", "--allow-empty", "cache", "--confirm-data", "cache"];
    let outcome = rehearse(&place(ALL_IS_WELL, "adopt", ""), &flags);
    assert_eq!(outcome.code, Some(0), "{outcome}");
}

#[test]
fn two_volumes_of_one_claim_stop_as_they_stop_up() {
    let second = ALL_IS_WELL.replace("pv-db-0", "pv-db-1").replace("disk-0", "disk-9");
    let volumes = second.split("- apiVersion").nth(1).unwrap();
    let file = format!("{ALL_IS_WELL}- apiVersion{volumes}");
    let outcome = rehearse(&place(&file, "adopt", ""), &[]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    insta::assert_snapshot!("two-volumes-of-one-claim", said(&outcome));
    let outcome = rehearse(&place(&file, "adopt", ""), &["--data", "db=adopt:data-db-0=pv-db-1"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(outcome.stderr.contains("pv/pv-db-1"), "{outcome}");
}

#[test]
fn an_archive_that_cannot_be_read_is_no_empty_one() {
    let file = "apiVersion: rekindle.dev/v1\nkind: Backups\nmetadata: {name: db}\nspec: {unreadable: the bucket answers 403}\n";
    let outcome = rehearse(&place(file, "restore", ""), &["--allow-empty", "cache"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    for told in ["its backups could not be looked up", "the bucket answers 403"] {
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
}

#[test]
fn a_time_before_the_backup_cannot_be_recovered_to() {
    let place = place(BACKUPS, "restore", "base_000000010000000000000002");
    let outcome = rehearse(&place, &["--allow-empty", "cache", "--recover-to", "2020-01-01T00:00:00Z"]);
    assert_eq!(outcome.code, Some(4), "{outcome}");
    assert!(outcome.stderr.contains("no backup of it was finished before 2020-01-01T00:00:00Z"), "{outcome}");
}

#[test]
fn a_restore_can_be_given_a_time() {
    let outcome = with_data().run(&["rehearse", "production", "--slow", "db=40m"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    for told in ["supposed:        db takes 40m", "27.9 GiB (its claim's size), supposed", "45 m"] {
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
}

#[test]
fn a_file_with_mistakes_shows_their_lines() {
    let text = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n---\n\
                apiVersion: rekindle.dev/v1\nkind: Backups\nmetadata: {name: db}\nspec:\n  backups: [{name: a, finishd: 6h ago}]\n";
    let outcome = rehearse(&place(text, "adopt", ""), &[]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    insta::assert_snapshot!("a-file-with-mistakes", said(&outcome));
}

#[test]
fn wishes_about_survivors_that_mean_nothing_are_put_right() {
    let place = place(ALL_IS_WELL, "adopt", "");
    for (arguments, told) in [
        (&["--survivors", "survivors.yaml", "--lose-volume", "pv-db-O"][..], "did you mean --lose-volume pv-db-0?"),
        (
            &["--survivors", "survivors.yaml", "--lose-volume", "nothing-like-it"],
            "known: pv-db-0, pv-cache-0, db, cache, data-db-0",
        ),
        (
            &["--survivors", "survivors.yaml", "--slow", "db=2h"],
            "data set db is adopted, not restored: --slow changes nothing",
        ),
        (&["--lose-volume", "db"], "without --survivors every volume is lost already"),
        (&["--survivors", "nowhere.yaml"], "kubectl get pv -o yaml > survivors.yaml"),
        (&["--survivors", "survivors.yaml", "--data", "bd=restore"], "the kit has no data set bd"),
    ] {
        let arguments: Vec<&str> = ["rehearse", "shop"].iter().chain(arguments).copied().collect();
        let outcome = place.run(&arguments);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
}
