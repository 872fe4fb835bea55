//! The accident of 2 March 2021, survived by adoption: the whole stack is up, its namespace is deleted, one command brings every
//! row back.

use std::collections::BTreeMap;
use std::io::Write as _;

use kube::api::DeleteParams;

use super::archived::{CLUSTERS, EMPTYING};
use super::support::{Bed, Ran, Space, finish, rekindle};
use super::{BED, hidden::Hidden, shared};

/// A copy of the stack of its own.
const FLAGS: [&str; 2] = ["--instance", "lost"];

fn local(bed: &Bed, hidden: &Hidden, command: &str, flags: &[&str]) -> Ran {
    let ran = finish(rekindle(None, &bed.kubeconfig, &[&[command, "local"], &FLAGS[..], flags].concat()));
    hidden.absent(&ran);
    ran
}

/// Asks a cluster's primary through its Service, from inside its pod.
fn query(bed: &Bed, space: &str, (cluster, database): (&str, &str), sql: &str) -> String {
    let script = format!(
        "PGPASSWORD=$PATRONI_SUPERUSER_PASSWORD exec psql -XqAt -v ON_ERROR_STOP=1 -h postgresql-{cluster} -U postgres -d {database} -c \"$0\""
    );
    bed.exec(space, &format!("postgresql-{cluster}-0"), &["sh", "-c", &script, sql]).trim().to_owned()
}

/// What must be the same before and after: the system identifier and a row of each cluster, and which volume each claim has.
fn memory(bed: &Bed, space: &str) -> BTreeMap<String, String> {
    let mut memory = BTreeMap::new();
    for cluster in CLUSTERS {
        let identifier = query(bed, space, cluster, "select system_identifier from pg_control_system()");
        memory.insert(format!("{} identifier", cluster.0), identifier);
        memory.insert(format!("{} row", cluster.0), query(bed, space, cluster, "select it from marker"));
    }
    for claim in bed.list("v1", "PersistentVolumeClaim", space) {
        let text = |pointer: &str| claim.pointer(pointer).and_then(|it| it.as_str()).unwrap_or_default().to_owned();
        memory.insert(text("/metadata/name"), text("/spec/volumeName"));
    }
    memory
}

#[test]
#[ignore = "needs a node"]
fn the_namespace_is_deleted_and_every_row_is_back() {
    let bed = Bed::from_variable(BED);
    let hidden = Hidden::of(None, &bed.kubeconfig, &FLAGS, "local");
    let _machine = shared();
    let space = Space { bed: &bed, name: "acoustid-lost".into() };
    local(&bed, &hidden, "up", &[]).exit(0).says("local/lost is up");
    for cluster in CLUSTERS {
        query(
            &bed,
            &space.name,
            cluster,
            "drop table if exists marker; create table marker (it text); insert into marker values ('kept'); checkpoint",
        );
    }
    let before = memory(&bed, &space.name);
    assert_eq!(before.values().filter(|value| *value == "kept").count(), CLUSTERS.len(), "{before:#?}");
    assert_eq!(before.len(), 2 * CLUSTERS.len() + 6, "{before:#?}");

    let namespaces = bed.api("v1", "Namespace", None);
    bed.block_on(namespaces.delete(&space.name, &DeleteParams::default())).unwrap();
    bed.wait_within(EMPTYING, "the namespace is gone", |bed| bed.get("v1", "Namespace", None, &space.name).is_none());

    let back = local(&bed, &hidden, "up", &["-o", "json"]).exit(0);
    // The figures that the drill is for.
    let _ = writeln!(std::io::stdout(), "outage to healthy by adoption: {}", times(&back));
    assert_eq!(memory(&bed, &space.name), before);
    for cluster in CLUSTERS {
        let log = bed.exec(
            &space.name,
            &format!("postgresql-{}-0", cluster.0),
            &["sh", "-c", "ls -d /postgresql/data/pgroot/*"],
        );
        assert_eq!(log.trim(), "/postgresql/data/pgroot/data", "no data folder was set aside");
    }
    // What was decided holds: the next run has nothing to do.
    let next = local(&bed, &hidden, "up", &["-o", "json"]).exit(0);
    assert_eq!(next.last()["written"], 0, "{}", next.stdout);

    // A failed first start has set a data folder aside: what looks like an empty volume is not taken for one.
    bed.block_on(namespaces.delete(&space.name, &DeleteParams::default())).unwrap();
    bed.wait_within(EMPTYING, "the namespace is gone", |bed| bed.get("v1", "Namespace", None, &space.name).is_none());
    let folder = folder_of(&bed, &before["data-postgresql-app-0"]).join("pgroot");
    std::fs::rename(folder.join("data"), folder.join("data.failed")).unwrap();
    let stopped = local(&bed, &hidden, "up", &["--until", "database"]).exit(7);
    let stopped = stopped.says("StatefulSet/postgresql-app will not become ready").says("Failed to bootstrap cluster");
    assert!(!stopped.stderr.contains("back on the volumes that survived"), "{}", stopped.stderr);
    let there: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let made: Vec<_> = there.iter().filter(|path| !path.ends_with("data.failed")).collect();
    assert!(made.iter().all(|path| !path.join("PG_VERSION").exists()), "no database was made: {made:?}");
    for path in made {
        std::fs::remove_dir_all(path).unwrap();
    }
    std::fs::rename(folder.join("data.failed"), folder.join("data")).unwrap();
    local(&bed, &hidden, "up", &[]).exit(0);
    assert_eq!(memory(&bed, &space.name), before);
}

/// Where the bytes of a volume are: the bed's volumes are folders of this machine.
pub fn folder_of(bed: &Bed, volume: &str) -> std::path::PathBuf {
    let volume = bed.get("v1", "PersistentVolume", None, volume).unwrap();
    let folder = ["/spec/hostPath/path", "/spec/local/path"].into_iter().find_map(|at| volume.pointer(at)?.as_str());
    folder.expect("it is a folder").into()
}

/// How long a run took, and the share of it that was not waiting for anything.
pub fn times(ran: &Ran) -> String {
    let last = ran.last();
    let steps = last["critical_path"].as_array().into_iter().flatten();
    let waited: f64 = steps.filter_map(|step| step["seconds"].as_f64()).sum();
    let (took, run) = (ran.took.as_secs_f64(), last["seconds"].as_f64().unwrap());
    format!("{took:.1} s, {:.1} s of it Rekindle's own", took - run + (run - waited))
}
