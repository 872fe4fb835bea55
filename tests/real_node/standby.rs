//! A stand-by: in a cluster of its own with its own node, restored from the archive of another environment that runs on
//! untouched, following what is archived since, and promoted by one command.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::archive::has_wal_g;
use super::archived::{CLUSTERS, Stack, forget};
use super::object_store::{Keys, ObjectStore};
use super::rehearsal::everything;
use super::support::{Bed, finish, rekindle};
use super::{BED, BED_B, shared};

/// A kit with everything of AcoustID's and two environments that fit a small machine: an origin and its stand-by.
fn kit(bed: &Bed, other: &Bed) -> tempfile::TempDir {
    let kit = tempfile::tempdir().unwrap();
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["templates", "environments", "secrets"] {
        let copied = std::process::Command::new("cp").arg("-r").arg(own.join(folder)).arg(kit.path()).status();
        assert!(copied.unwrap().success(), "{folder} is copied");
    }
    // Others live in the beds as well, so it is said that these do; the kit's own environments are pinned to the first.
    let environment = |name: &str, cluster: &Bed, more: &str| {
        let text = format!(
            "extends: local\nnamespace: acoustid-{name}\ncluster: {{uid: {}}}\n{more}values:\n  storage: {{class: acoustid-{name}-retain}}\n",
            cluster.uid
        );
        std::fs::write(kit.path().join(format!("environments/{name}.yaml")), text).unwrap();
        // A stand-by holds the passwords of the primary, so both have the same secrets.
        let secrets = kit.path().join(format!("secrets/{name}.yaml.age"));
        std::fs::copy(own.join("secrets/local.yaml.age"), secrets).unwrap();
    };
    environment("origin", bed, "rehearsal: {values: {standby: {of: origin}}}\n");
    environment("follower", other, "");
    let recipients = kit.path().join("secrets/recipients.yaml");
    let text = std::fs::read_to_string(&recipients).unwrap();
    let local = text.split_once("\nlocal:\n").expect("it says who opens the secrets of local").1;
    let local = local.lines().next().unwrap_or_default().to_owned();
    std::fs::write(&recipients, format!("{text}origin:\n{local}\n")).unwrap();
    kit
}

#[test]
#[ignore = "needs a node"]
fn a_stand_by_follows_the_archive_and_takes_over_when_it_is_told() {
    let (bed, other) = (Bed::from_variable(BED), Bed::from_variable(BED_B));
    assert_ne!(bed.uid, other.uid, "two clusters");
    let _machine = shared();
    let store = ObjectStore::start(&bed, "standby-store", &Keys::of_the_kit(&bed));
    if !has_wal_g(&bed, &store) {
        return;
    }
    let door = store.open_to(&other);
    forget(&bed, "origin");
    forget(&other, "follower");
    let kit = kit(&bed, &other);
    let with_kit = |mut flags: Vec<String>| {
        flags.extend(["--kit".to_owned(), kit.path().to_str().unwrap().to_owned()]);
        flags
    };
    let primary = Stack::of(&bed, "origin", "acoustid-origin".into(), with_kit(store.flags()));
    primary.up(&[]).exit(0).says("origin is up");
    primary.write_before_and_after_a_backup();

    let mut follows = with_kit(door.flags.clone());
    follows.extend(["--set".to_owned(), "standby.of=origin".to_owned()]);
    let standby = Stack::of(&other, "follower", "acoustid-follower".into(), follows);
    let own = |path: &String| path.starts_with("follower/");
    standby
        .up(&[])
        .exit(0)
        .says("left out while postgresql-app, postgresql-fingerprint, postgresql-ingest and postgresql-musicbrainz follow")
        .says("takes no writes");
    let state = |stack: &Stack<'_>| -> BTreeMap<&str, String> {
        let asked = "select pg_is_in_recovery() || ' ' || system_identifier from pg_control_system()";
        CLUSTERS.into_iter().map(|it| (it.0, stack.query(it, asked))).collect()
    };
    let following: BTreeMap<_, _> =
        state(&primary).into_iter().map(|(name, state)| (name, state.replace("false", "true"))).collect();
    assert_eq!(state(&standby), following, "the same databases, in recovery");
    assert!(other.get("apps/v1", "Deployment", Some(&standby.space.name), "api").is_none(), "services wait");

    // It follows what is archived from now on, and the primary knows nothing of it.
    for cluster in CLUSTERS {
        primary.write(cluster, "while it follows");
    }
    let rows = primary.rows();
    other.wait_until("the stand-by has replayed what was archived", |_| standby.rows() == rows);
    assert!(!store.files().keys().any(own), "a stand-by archives nothing");
    assert_eq!(standby.up(&["-o", "json"]).exit(0).last()["written"], 0, "a second run writes nothing");
    assert_eq!(primary.up(&["-o", "json"]).exit(0).last()["written"], 0, "the primary is as it was");

    // A rehearsal restores the same databases in a third place, from the same archive, and leaves nothing of it in the cluster.
    let place = |name: &str| name.contains("rehearsal");
    let mut words = vec!["rehearse".to_owned(), "origin".to_owned(), "--context".to_owned(), bed.context()];
    words.extend(with_kit(store.flags()));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rehearsed = finish(rekindle(None, &bed.kubeconfig, &words)).exit(0).says("promoted at once");
    let figures = rehearsed.stderr.lines().find(|line| line.contains("measured recovery time"));
    let _ = writeln!(std::io::stdout(), "rehearsal with restore, {}", figures.expect("it was measured").trim());
    assert!(!everything(&bed).keys().any(|name| place(name)), "{:#?}", everything(&bed));
    assert_eq!(primary.up(&["-o", "json"]).exit(0).last()["written"], 0, "the primary is as it was");

    // Promotion. The primary lives on, as after a network that parted: neither writes to the other's archive.
    standby.up(&["--promote"]).exit(0).says("promoted").says("app database has a backup of its own again");
    assert_eq!(standby.rows(), rows);
    let claim = other.get("v1", "PersistentVolumeClaim", Some(&standby.space.name), "data-postgresql-app-0").unwrap();
    let volume = other.get("v1", "PersistentVolume", None, claim["spec"]["volumeName"].as_str().unwrap()).unwrap();
    let marks = &volume["metadata"]["annotations"];
    assert_eq!(marks["rekindle.dev/standby"], "promoted", "what survives of it is a primary's");
    for cluster in CLUSTERS {
        standby.write(cluster, "after the promotion");
        primary.write(cluster, "of the old primary");
    }
    assert!(standby.rows().values().all(|row| row.contains("after the promotion") && !row.contains("of the old")));
    assert!(primary.rows().values().all(|row| row.contains("of the old") && !row.contains("after the promotion")));
    assert!(other.get("apps/v1", "Deployment", Some(&standby.space.name), "api").is_some(), "services came up");
    assert_eq!(standby.up(&["-o", "json"]).exit(0).last()["written"], 0, "a promoted one stays as it is");
    standby.up(&["--promote"]).exit(0);
}
