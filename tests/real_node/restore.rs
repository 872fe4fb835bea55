//! The accident of 2 March 2021 where volumes are lost as well: what is gone comes back from object storage alone, up to the last
//! segment that was archived, and the archive that it came from stays as it is.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams};

use super::archive::has_wal_g;
use super::object_store::{Keys, ObjectStore};
use super::support::{Bed, Ran, Running, Space, begin, finish, rekindle};
use super::{BED, hidden::Hidden, shared};

/// While pods are left, the namespace controller looks again only after half of the longest grace among them (130 s here).
const EMPTYING: Duration = Duration::from_secs(400);

/// Each cluster with its database.
const CLUSTERS: [(&str, &str); 4] =
    [("app", "acoustid"), ("fingerprint", "acoustid"), ("ingest", "acoustid"), ("musicbrainz", "musicbrainz")];

/// A copy of the stack of its own that archives to an object store.
struct Stack<'a> {
    bed: &'a Bed,
    hidden: Hidden,
    flags: Vec<String>,
    space: Space<'a>,
}

impl<'a> Stack<'a> {
    fn new(bed: &'a Bed, store: &ObjectStore<'_>) -> Self {
        let mut flags: Vec<String> = vec!["--instance".into(), "burnt".into()];
        flags.extend(store.flags());
        let words: Vec<&str> = flags.iter().map(String::as_str).collect();
        let hidden = Hidden::of(None, &bed.kubeconfig, &words, "local");
        Self { bed, hidden, flags, space: Space { bed, name: "acoustid-burnt".into() } }
    }

    fn words<'w>(&'w self, more: &[&'w str]) -> Vec<&'w str> {
        ["up", "local"].into_iter().chain(self.flags.iter().map(String::as_str)).chain(more.iter().copied()).collect()
    }

    fn up(&self, more: &[&str]) -> Ran {
        let ran = finish(rekindle(None, &self.bed.kubeconfig, &self.words(more)));
        self.hidden.absent(&ran);
        ran
    }

    fn begin(&self) -> Running {
        begin(rekindle(None, &self.bed.kubeconfig, &self.words(&[])))
    }

    /// Asks a cluster's primary through its Service, from inside its pod.
    fn query(&self, (cluster, database): (&str, &str), sql: &str) -> String {
        let script = format!(
            "PGPASSWORD=$PATRONI_SUPERUSER_PASSWORD exec psql -XqAt -v ON_ERROR_STOP=1 -h postgresql-{cluster} -U postgres -d {database} -c \"$0\""
        );
        let pod = format!("postgresql-{cluster}-0");
        self.bed.exec_in(&self.space.name, &pod, Some("postgresql"), &["sh", "-c", &script, sql]).trim().to_owned()
    }

    /// Writes a row and waits until it is in the archive.
    fn write(&self, cluster: (&str, &str), row: &str) {
        let sql = format!("create table if not exists marker (it text); insert into marker values ('{row}')");
        self.query(cluster, &sql);
        let segment = self.query(cluster, "select pg_walfile_name(pg_switch_wal())");
        let archived = format!("select coalesce(last_archived_wal >= '{segment}', false) from pg_stat_archiver");
        self.bed
            .wait_until(&format!("{segment} of {} is archived", cluster.0), |_| self.query(cluster, &archived) == "t");
    }

    fn wait_for_backup(&self, cluster: &str) {
        let pod = format!("postgresql-{cluster}-0");
        let list = ["sh", "-c", "wal-g backup-list 2>&1"];
        self.bed.wait_within(EMPTYING, &format!("{cluster} has a base backup"), |bed| {
            bed.exec_in(&self.space.name, &pod, Some("backup"), &list).contains("base_")
        });
    }

    fn rows(&self) -> BTreeMap<String, String> {
        let rows = |cluster| self.query(cluster, "select string_agg(it, ',' order by it) from marker");
        let identifier = |cluster| self.query(cluster, "select system_identifier from pg_control_system()");
        CLUSTERS.into_iter().map(|it| (it.0.to_owned(), format!("{} {}", identifier(it), rows(it)))).collect()
    }

    /// A second volume that says it held the claim of a cluster: the names of the real one and of this.
    fn twin(&self, cluster: &str) -> (String, String) {
        let claim = format!("data-postgresql-{cluster}-0");
        let volumes = self.bed.api("v1", "PersistentVolume", None);
        let volumes = self.bed.block_on(volumes.list(&ListParams::default())).unwrap();
        let mut volumes = volumes.into_iter().map(|volume| serde_json::to_value(volume).unwrap());
        let is_real = |volume: &serde_json::Value| {
            volume["spec"]["claimRef"]["namespace"] == *self.space.name && volume["spec"]["claimRef"]["name"] == *claim
        };
        let real = volumes.find(is_real).expect("its volume survives");
        let twin = format!("twin-of-{cluster}");
        let mut body = serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": twin}, "spec": real["spec"],
        });
        body["spec"]["claimRef"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
        self.bed.apply_as("test", &body.to_string());
        (real["metadata"]["name"].as_str().unwrap().to_owned(), twin)
    }

    /// The accident: the namespace is deleted, and the volumes of these clusters are gone with it.
    fn lose(&self, clusters: &[&str]) {
        let volumes: Vec<String> = clusters
            .iter()
            .map(|cluster| {
                let claim = format!("data-postgresql-{cluster}-0");
                let claim = self.bed.get("v1", "PersistentVolumeClaim", Some(&self.space.name), &claim).unwrap();
                claim["spec"]["volumeName"].as_str().unwrap().to_owned()
            })
            .collect();
        let delete = |kind: &str, name: &str| {
            self.bed.block_on(self.bed.api("v1", kind, None).delete(name, &DeleteParams::default())).unwrap();
        };
        delete("Namespace", &self.space.name);
        self.bed.wait_within(EMPTYING, "the namespace is gone", |bed| {
            bed.get("v1", "Namespace", None, &self.space.name).is_none()
        });
        for volume in &volumes {
            delete("PersistentVolume", volume);
            self.bed.wait_until("the volume is gone", |bed| bed.get("v1", "PersistentVolume", None, volume).is_none());
        }
    }
}

/// What lies in the archive of the first life of a cluster.
fn first_archive(store: &ObjectStore<'_>, cluster: &str) -> BTreeMap<String, String> {
    let mut files = store.files();
    files.retain(|path, _| path.contains(&format!("/postgresql-{cluster}/")) && !path.contains("/history-"));
    assert!(!files.is_empty(), "{cluster} has archived something");
    files
}

#[test]
#[ignore = "needs a node"]
fn what_is_lost_with_its_volumes_comes_back_from_object_storage() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let store = ObjectStore::start(&bed, "burnt-store", &Keys::of_the_kit(&bed));
    if !has_wal_g(&bed, &store) {
        return;
    }
    let stack = Stack::new(&bed, &store);
    stack.up(&[]).exit(0).says("local/burnt is up");
    for cluster in CLUSTERS {
        stack.write(cluster, "before the backup");
    }
    for (cluster, _) in CLUSTERS {
        stack.wait_for_backup(cluster);
    }
    for cluster in CLUSTERS {
        stack.write(cluster, "only in WAL");
    }
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
    let back = stack.up(&["--until", "database", "--data", &told]).exit(0).says("restore");
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
    bed.wait_until("the first databases are being restored", |bed| {
        bed.get("v1", "Pod", Some(&stack.space.name), "postgresql-app-0").is_some()
    });
    running.signal("KILL");
    drop(running.wait());
    let back = stack.up(&[]).exit(0).says("local/burnt is up");
    let _ = writeln!(std::io::stdout(), "outage to healthy by restore: {:.1} s", back.took.as_secs_f64());
    assert_eq!(stack.rows(), rows);
    for (cluster, before) in &archives {
        assert_eq!(first_archive(&store, cluster), *before, "the archive that {cluster} came from stays as it is");
    }
    let next = stack.up(&["-o", "json"]).exit(0);
    assert_eq!(next.last()["written"], 0, "{}", next.stdout);

    // Nothing begins empty, though the environment would allow it, where a store cannot be read, where it is another one than was
    // written to, and where a backup is not complete.
    stack.lose(&["app"]);
    let refused = |flags: &[&str], why: &str| {
        let ran = stack.up(flags).exit(4).says("postgresql-app").says(why).says("--data postgresql-app=empty");
        assert!(bed.get("v1", "Namespace", None, &stack.space.name).is_none(), "nothing was written:\n{}", ran.stderr);
    };
    refused(&["--set", "backups.endpoint=http://127.0.0.1:9"], "its backups could not be looked up");
    refused(&["--set", "backups.bucket=nowhere"], "its backups could not be looked up");
    let complete = |path: &String| path.contains("/postgresql-app/") && path.ends_with("_backup_stop_sentinel.json");
    store.files().keys().filter(|path| complete(path)).for_each(|path| store.remove(path));
    refused(&[], "its archive holds WAL but no complete backup");
}
