//! The WAL and the base backups of every database in an object store, by the real WAL-G.

use std::io::Write as _;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::json;

use super::object_store::{Keys, ObjectStore};
use super::support::{Bed, Ran, Space, finish, rekindle};
use super::{BED, hidden::Hidden, shared};

/// A copy of the stack of its own.
const INSTANCE: [&str; 2] = ["--instance", "archived"];
const NAMESPACE: &str = "acoustid-archived";
const CLUSTERS: [&str; 4] = ["app", "fingerprint", "ingest", "musicbrainz"];

/// The side container looks once a minute, and not before its database is the primary.
const BACKUP: Duration = Duration::from_secs(240);

fn local(bed: &Bed, command: &str, flags: &[String], more: &[&str]) -> Ran {
    let flags: Vec<&str> = INSTANCE.into_iter().chain(flags.iter().map(String::as_str)).collect();
    finish(rekindle(None, &bed.kubeconfig, &[&[command, "local"], &flags[..], more].concat()))
}

/// The kit's PostgreSQL image.
pub fn image(bed: &Bed, store: &ObjectStore) -> String {
    let rendered = local(bed, "render", &store.flags(), &["-o", "json"]).exit(0).events();
    let image = rendered
        .iter()
        .find(|object| object["kind"] == "StatefulSet" && object["metadata"]["name"] == "postgresql-app")
        .and_then(|object| object.pointer("/spec/template/spec/containers/0/image"))
        .and_then(serde_json::Value::as_str);
    image.expect("the kit has an app cluster").to_owned()
}

/// Runs a script in the kit's PostgreSQL image beside the store: its exit code and what it printed.
fn once(bed: &Bed, store: &ObjectStore, name: &str, script: &str, environment: &[(&str, &str)]) -> (i64, String) {
    let image = image(bed, store);
    let environment: Vec<_> = environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let main = json!({"name": "main", "image": image, "args": ["sh", "-c", script], "env": environment});
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": store.namespace()},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [main]},
    });
    bed.apply_as("test", &pod.to_string());
    let mut code = None;
    bed.wait_until("the script has ended", |bed| {
        let pod = bed.get("v1", "Pod", Some(store.namespace()), name).unwrap();
        code = pod.pointer("/status/containerStatuses/0/state/terminated/exitCode").and_then(|code| code.as_i64());
        code.is_some()
    });
    (code.unwrap(), log(bed, store.namespace(), name, "main"))
}

/// Whether the bed's image has WAL-G, which no package registry has; says so where it is left out.
pub fn has_wal_g(bed: &Bed, store: &ObjectStore) -> bool {
    let (code, said) = once(bed, store, "wal-g", "wal-g --version", &[]);
    assert!(matches!(code, 0 | 127), "exit code {code}: {said}");
    if code == 127 {
        let _ = writeln!(std::io::stdout(), "skipped: the PostgreSQL image of this bed was made without WAL-G");
    }
    code == 0
}

/// Where a cluster's backups are in the bucket.
fn prefix(cluster: &str) -> String {
    format!("local/instances/archived/postgresql-{cluster}")
}

/// The files of a cluster below a folder of WAL-G's.
fn below(store: &ObjectStore, cluster: &str, folder: &str) -> Vec<String> {
    let begin = format!("{}/{folder}/", prefix(cluster));
    store.files().into_keys().filter(|path| path.starts_with(&begin)).collect()
}

/// WAL-G's mark of a complete base backup.
fn sentinels(store: &ObjectStore, cluster: &str) -> Vec<String> {
    let files = below(store, cluster, "basebackups_005");
    files.into_iter().filter(|path| path.ends_with("_backup_stop_sentinel.json")).collect()
}

/// What a command in a database's side container prints.
fn backup(bed: &Bed, cluster: &str, command: &[&str]) -> String {
    bed.exec_in(NAMESPACE, &format!("postgresql-{cluster}-0"), Some("backup"), command)
}

fn log(bed: &Bed, namespace: &str, pod: &str, container: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), namespace);
    let params = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
    bed.block_on(pods.logs(pod, &params)).unwrap()
}

#[test]
#[ignore = "needs a node"]
fn every_database_archives_its_wal_and_is_backed_up() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let store = ObjectStore::start(&bed, "archive", &Keys::of_the_kit(&bed));
    if !has_wal_g(&bed, &store) {
        return;
    }
    let _space = Space { bed: &bed, name: NAMESPACE.into() };
    let hidden = Hidden::of(None, &bed.kubeconfig, &INSTANCE, "local");
    let up = local(&bed, "up", &store.flags(), &["--until", "database", "-o", "json"]).exit(0);
    hidden.absent(&up);
    let events = up.events();
    for cluster in CLUSTERS {
        let gate = format!("{cluster} database archives its WAL");
        let passed = events.iter().any(|event| event["event"] == "gate-passed" && event["gate"] == gate.as_str());
        assert!(passed, "{gate}:\n{}", up.stdout);
        // A database that was adopted remembers what it archived in an earlier life, and passes the gate by that.
        bed.wait_until("its WAL is in the store", |_| !below(&store, cluster, "wal_005").is_empty());
    }

    // Every file there is below the prefix of one of the clusters.
    let ours = |path: &String| CLUSTERS.iter().any(|cluster| path.starts_with(&format!("{}/", prefix(cluster))));
    assert!(store.files().keys().all(ours), "{:#?}", store.files());

    for cluster in CLUSTERS {
        bed.wait_within(BACKUP, "a base backup is complete", |bed| {
            log(bed, NAMESPACE, &format!("postgresql-{cluster}-0"), "backup").contains("base backup done")
        });
        let sentinels = sentinels(&store, cluster);
        assert_eq!(sentinels.len(), 1, "{sentinels:#?}");
        let list: serde_json::Value =
            serde_json::from_str(&backup(&bed, cluster, &["wal-g", "backup-list", "--json"])).unwrap();
        let name = list[0]["backup_name"].as_str().unwrap();
        assert!(sentinels[0].contains(name), "{name} {sentinels:?}");

        // What is written afterwards follows.
        let sql = "select pg_walfile_name(pg_switch_wal())";
        let sql = ["psql", "-XqAt", "-d", "postgres", "-c", "create table if not exists marker (it text)", "-c", sql];
        let segment = backup(&bed, cluster, &sql).trim().to_owned();
        bed.wait_until("the last segment is in the archive", |_| {
            below(&store, cluster, "wal_005").iter().any(|path| path.contains(&segment))
        });
    }

    // A hole in an archive is a hole for WAL-G as well.
    let (before, lost) = (store.files(), sentinels(&store, "app").remove(0));
    store.remove(&lost);
    let after = store.files();
    assert!(!after.contains_key(&lost));
    assert!(after.iter().all(|(path, sum)| before.get(path).is_none_or(|was| was == sum)), "no other file was changed");
    assert!(!backup(&bed, "app", &["wal-g", "backup-list", "--json"]).contains("base_"));
}

#[test]
#[ignore = "needs a node"]
fn pgbackrest_finds_the_store_by_tls() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let keys = Keys::of_the_kit(&bed);
    let store = ObjectStore::start(&bed, "tls", &keys);
    let (endpoint, bucket) = (store.tls_endpoint(), ObjectStore::BUCKET);
    let environment = [
        ("CERTIFICATE", store.certificate()),
        ("PGBACKREST_LOG_LEVEL_FILE", "off"),
        ("PGBACKREST_REPO1_TYPE", "s3"),
        ("PGBACKREST_REPO1_PATH", "/"),
        ("PGBACKREST_REPO1_S3_BUCKET", bucket),
        ("PGBACKREST_REPO1_S3_ENDPOINT", endpoint.as_str()),
        ("PGBACKREST_REPO1_S3_KEY", keys.id.as_str()),
        ("PGBACKREST_REPO1_S3_KEY_SECRET", keys.secret.as_str()),
        ("PGBACKREST_REPO1_S3_REGION", "us-east-1"),
        ("PGBACKREST_REPO1_S3_URI_STYLE", "path"),
        ("PGBACKREST_REPO1_STORAGE_CA_FILE", "/tmp/ca.pem"),
    ];
    let script = r#"echo "$CERTIFICATE" > /tmp/ca.pem
        echo kept | pgbackrest repo-put note && pgbackrest repo-ls && pgbackrest repo-get note"#;
    let (code, said) = once(&bed, &store, "pgbackrest", script, &environment);
    assert_eq!((code, said.as_str()), (0, "note\nkept\n"));
    assert_eq!(store.files().into_keys().collect::<Vec<_>>(), ["note"]);
}
