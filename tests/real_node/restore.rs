//! The accident of 2 March 2021 where volumes are lost as well: what is gone comes back from object storage alone, up to the last
//! segment that was archived, and the archive that it came from stays as it is.

use std::collections::BTreeMap;
use std::io::Write as _;

use kube::api::DeleteParams;

use super::accident::{folder_of, times};
use super::archive::has_wal_g;
use super::archived::{CLUSTERS, Stack, first_archive};
use super::object_store::{Keys, ObjectStore};
use super::support::Bed;
use super::{BED, shared};

#[test]
#[ignore = "needs a node"]
fn what_is_lost_with_its_volumes_comes_back_from_object_storage() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let store = ObjectStore::start(&bed, "burnt-store", &Keys::of_the_kit(&bed));
    if !has_wal_g(&bed, &store) {
        return;
    }
    let stack = Stack::new(&bed, &store, "burnt");
    stack.up(&[]).exit(0).says("local/burnt is up");
    stack.write_before_and_after_a_backup();
    let rows = stack.rows();
    assert!(rows.values().all(|row| row.ends_with(" before the backup,only in WAL")), "{rows:#?}");

    // Half and half: two survive, one is lost, and of one it is not certain.
    stack.lose(&["ingest"]);
    // What a server archives while it shuts down is there by now.
    let archive = first_archive(&store, "ingest");
    let (real, twin) = stack.twin("musicbrainz");
    let asked = stack.up(&["--until", "database"]).exit(4);
    asked
        .says("2 volumes survive")
        .says(&real)
        .says(&twin)
        .says(&format!("--data postgresql-musicbrainz=adopt:{real}"));
    let told = format!("postgresql-musicbrainz=adopt:{real}");
    let mut back = stack.up(&["--until", "database", "--data", &told]).exit(0).says("restore");
    for kept in ["app", "fingerprint", "ingest"] {
        back = back.says(&format!("gate postgresql-{kept} has its newest marker of "));
    }
    assert_eq!(stack.rows(), rows, "{}", back.stderr);
    bed.block_on(bed.api("v1", "PersistentVolume", None).delete(&twin, &DeleteParams::default())).unwrap();
    assert_eq!(first_archive(&store, "ingest"), archive, "the archive that it came from stays as it is");
    stack.up(&[]).exit(0).says("ingest database has a backup of its own again");
    // What it writes now is in its own history.
    for cluster in CLUSTERS {
        stack.write(cluster, "and again");
    }
    let rows = stack.rows();

    // All volumes are gone, and the rebuild is cut off in the middle of it.
    stack.lose(&["app", "fingerprint", "ingest", "musicbrainz"]);
    let archives: BTreeMap<_, _> = CLUSTERS.iter().map(|(name, _)| (*name, first_archive(&store, name))).collect();
    let running = stack.begin();
    bed.wait_until("a database is being restored", |bed| {
        let claim = bed.get("v1", "PersistentVolumeClaim", Some(&stack.space.name), "data-postgresql-app-0");
        let volume = claim.and_then(|claim| claim.pointer("/spec/volumeName")?.as_str().map(str::to_owned));
        volume.is_some_and(|volume| folder_of(bed, &volume).join("pgroot/.restoring").exists())
    });
    running.signal("KILL");
    drop(running.wait());
    let back = stack.up(&["-o", "json"]).exit(0);
    assert!(back.stdout.contains("postgresql-app has its newest marker of "), "{}", back.stdout);
    let _ = writeln!(std::io::stdout(), "outage to healthy by restore: {}", times(&back));
    assert_eq!(stack.rows(), rows);
    for (cluster, before) in &archives {
        assert_eq!(first_archive(&store, cluster), *before, "the archive that {cluster} came from stays as it is");
    }
    let next = stack.up(&["-o", "json"]).exit(0);
    assert_eq!(next.last()["written"], 0, "{}", next.stdout);

    // Nothing begins empty, though the environment would allow it, where a store cannot be read, where it is another one than was
    // written to, and where a backup is not complete.
    stack.lose(&["app"]);
    let refused = |flags: &[&str], why: &str, way: &str| {
        let files = store.files();
        let ran = stack.up(flags).exit(4).says("postgresql-app").says(why).says(way);
        assert!(bed.get("v1", "Namespace", None, &stack.space.name).is_none(), "nothing was written:\n{}", ran.stderr);
        assert_eq!(store.files(), files, "the archives stay as they are");
    };
    let way = "--data postgresql-app=empty";
    refused(&["--set", "backups.endpoint=http://127.0.0.1:9"], "its backups could not be looked up", way);
    refused(&["--set", "backups.bucket=nowhere"], "its backups could not be looked up", way);
    store.make_bucket("elsewhere");
    refused(
        &["--set", "backups.bucket=elsewhere"],
        "its archive holds no backup of it",
        "--allow-empty postgresql-app",
    );
    let complete = |path: &String| path.contains("/postgresql-app/") && path.ends_with("_backup_stop_sentinel.json");
    store.files().keys().filter(|path| complete(path)).for_each(|path| store.remove(path));
    refused(&[], "its archive holds WAL but no complete backup", way);
}
