//! Copies of the stack that archive to an object store: what is asked of them and what happens to them.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams};

use super::hidden::Hidden;
use super::object_store::ObjectStore;
use super::support::{Bed, Ran, Running, Space, begin, finish, rekindle};

/// While pods are left, the namespace controller looks again only after half of the longest grace among them (130 s here).
pub const EMPTYING: Duration = Duration::from_secs(400);

/// Each cluster with its database.
pub const CLUSTERS: [(&str, &str); 4] =
    [("app", "acoustid"), ("fingerprint", "acoustid"), ("ingest", "acoustid"), ("musicbrainz", "musicbrainz")];

/// An environment of the kit.
pub struct Stack<'a> {
    bed: &'a Bed,
    hidden: Hidden,
    environment: &'static str,
    flags: Vec<String>,
    pub space: Space<'a>,
}

/// Forgets an environment's data: what an earlier run of a test left there says that it was seen.
pub fn forget(bed: &Bed, environment: &str) {
    let memories = bed.api("v1", "Secret", Some("rekindle-system"));
    let _ = bed.block_on(memories.delete(&format!("memory-{environment}"), &DeleteParams::default()));
}

impl<'a> Stack<'a> {
    /// An instance of `local` that archives to a store.
    pub fn new(bed: &'a Bed, store: &ObjectStore<'_>, instance: &str) -> Self {
        let mut flags = store.flags();
        flags.extend(["--instance".to_owned(), instance.to_owned()]);
        forget(bed, &format!("local.{instance}"));
        Self::of(bed, "local", format!("acoustid-{instance}"), flags)
    }

    /// An environment in a namespace.
    pub fn of(bed: &'a Bed, environment: &'static str, namespace: String, mut flags: Vec<String>) -> Self {
        for (cluster, _) in CLUSTERS {
            flags.extend(["--set".to_owned(), format!("postgresql.clusters.{cluster}.key_tables=[marker]")]);
        }
        let words: Vec<&str> = flags.iter().map(String::as_str).collect();
        let hidden = Hidden::of(None, &bed.kubeconfig, &words, environment);
        Self { bed, hidden, environment, flags, space: Space { bed, name: namespace } }
    }

    fn words<'w>(&'w self, more: &[&'w str]) -> Vec<&'w str> {
        let flags = self.flags.iter().map(String::as_str);
        ["up", self.environment].into_iter().chain(flags).chain(more.iter().copied()).collect()
    }

    pub fn up(&self, more: &[&str]) -> Ran {
        let ran = finish(rekindle(None, &self.bed.kubeconfig, &self.words(more)));
        self.hidden.absent(&ran);
        ran
    }

    pub fn begin(&self) -> Running {
        begin(rekindle(None, &self.bed.kubeconfig, &self.words(&[])))
    }

    /// Asks a cluster's primary through its Service, from inside its pod.
    pub fn query(&self, (cluster, database): (&str, &str), sql: &str) -> String {
        let script = format!(
            "PGPASSWORD=$PATRONI_SUPERUSER_PASSWORD exec psql -XqAt -v ON_ERROR_STOP=1 -h postgresql-{cluster} -U postgres -d {database} -c \"$0\""
        );
        let pod = format!("postgresql-{cluster}-0");
        self.bed.exec_in(&self.space.name, &pod, Some("postgresql"), &["sh", "-c", &script, sql]).trim().to_owned()
    }

    /// Writes a row and waits until it is in the archive.
    pub fn write(&self, cluster: (&str, &str), row: &str) {
        let sql = format!(
            "create table if not exists marker (id serial primary key, it text); insert into marker (it) values ('{row}')"
        );
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

    /// A row in each database that is in its base backup, and one that is in the archive only.
    pub fn write_before_and_after_a_backup(&self) {
        for cluster in CLUSTERS {
            self.write(cluster, "before the backup");
        }
        for (cluster, _) in CLUSTERS {
            self.wait_for_backup(cluster);
        }
        for cluster in CLUSTERS {
            self.write(cluster, "only in WAL");
        }
    }

    pub fn rows(&self) -> BTreeMap<String, String> {
        let rows = |cluster| self.query(cluster, "select string_agg(it, ',' order by it) from marker");
        let identifier = |cluster| self.query(cluster, "select system_identifier from pg_control_system()");
        CLUSTERS.into_iter().map(|it| (it.0.to_owned(), format!("{} {}", identifier(it), rows(it)))).collect()
    }

    /// A second volume that says it held the claim of a cluster: the names of the real one and of this.
    pub fn twin(&self, cluster: &str) -> (String, String) {
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
    pub fn lose(&self, clusters: &[&str]) {
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

impl Drop for Stack<'_> {
    /// Its volumes outlive it by design; a later test is not to find them.
    fn drop(&mut self) {
        let volumes = self.bed.api("v1", "PersistentVolume", None);
        for volume in self.bed.block_on(volumes.list(&ListParams::default())).into_iter().flatten() {
            if volume.data.pointer("/spec/claimRef/namespace").is_some_and(|it| *it == *self.space.name) {
                let name = volume.metadata.name.unwrap_or_default();
                let _ = self.bed.block_on(volumes.delete(&name, &DeleteParams::default()));
            }
        }
    }
}

/// What lies in the archive of the first life of a cluster.
pub fn first_archive(store: &ObjectStore<'_>, cluster: &str) -> BTreeMap<String, String> {
    let mut files = store.files();
    files.retain(|path, _| path.contains(&format!("/postgresql-{cluster}/")) && !path.contains("/history-"));
    assert!(!files.is_empty(), "{cluster} has archived something");
    files
}
