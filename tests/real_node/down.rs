//! AcoustID's whole stack goes down and comes up again: its databases shut down cleanly, and what was written is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use serde_json::Value;

use super::hidden::Hidden;
use super::support::{Bed, Ran, Space, finish, rekindle};
use super::{BED, shared};

const NAMESPACE: &str = "acoustid-kept";
const INSTANCE: [&str; 2] = ["--instance", "kept"];
const CLUSTERS: [&str; 4] = ["app", "fingerprint", "ingest", "musicbrainz"];

/// Six volumes: four databases, Redis and the index.
const CLAIMS: [&str; 6] = [
    "data-index-0",
    "data-postgresql-app-0",
    "data-postgresql-fingerprint-0",
    "data-postgresql-ingest-0",
    "data-postgresql-musicbrainz-0",
    "data-redis-0",
];

fn kept(bed: &Bed, hidden: &Hidden, command: &str, flags: &[&str]) -> Ran {
    let ran = finish(rekindle(None, &bed.kubeconfig, &[&[command, "local"], &INSTANCE[..], flags].concat()));
    hidden.absent(&ran);
    ran
}

/// Asks a database from inside its pod.
fn query(bed: &Bed, cluster: &str, sql: &str) -> String {
    let database = if cluster == "musicbrainz" { "musicbrainz" } else { "acoustid" };
    let script = format!(
        "PGPASSWORD=$PATRONI_SUPERUSER_PASSWORD exec psql -XqAt -v ON_ERROR_STOP=1 -h postgresql-{cluster} -U postgres -d {database} -c \"$0\""
    );
    bed.exec(NAMESPACE, &format!("postgresql-{cluster}-0"), &["sh", "-c", &script, sql]).trim().to_owned()
}

/// The words of each database's pod from now to its end.
fn follow_logs(bed: &Bed) -> Vec<(String, Arc<Mutex<String>>, tokio::task::JoinHandle<()>)> {
    let follow = |cluster: &&str| {
        let (words, pod) = (Arc::new(Mutex::new(String::new())), format!("postgresql-{cluster}-0"));
        let (into, name) = (words.clone(), pod.clone());
        let pods: Api<Pod> = Api::namespaced(bed.client.clone(), NAMESPACE);
        let task = bed.spawn(async move {
            let params = LogParams { follow: true, tail_lines: Some(1), ..LogParams::default() };
            let mut lines = pods.log_stream(&name, &params).await.unwrap().lines();
            while let Some(Ok(line)) = lines.next().await {
                let mut words = into.lock().unwrap();
                words.push_str(&line);
                words.push('\n');
            }
        });
        (pod, words, task)
    };
    CLUSTERS.iter().map(follow).collect()
}

/// UID and volume of each claim.
fn claims(bed: &Bed) -> BTreeMap<String, (String, String)> {
    let claims = bed.list("v1", "PersistentVolumeClaim", NAMESPACE).into_iter().map(|claim| {
        let text = |pointer: &str| claim.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/metadata/name"), (text("/metadata/uid"), text("/spec/volumeName")))
    });
    claims.collect()
}

#[test]
#[ignore = "needs a node"]
fn the_whole_stack_goes_down_cleanly_and_comes_back_with_what_was_written() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let _space = Space { bed: &bed, name: NAMESPACE.into() };
    let hidden = Hidden::of(None, &bed.kubeconfig, &INSTANCE, "local");
    kept(&bed, &hidden, "up", &[]).exit(0).says("local/kept is up");
    for cluster in CLUSTERS {
        query(&bed, cluster, "create table written (it text); insert into written values ('kept')");
    }
    let before = claims(&bed);
    assert_eq!(before.keys().collect::<Vec<_>>(), CLAIMS.iter().collect::<Vec<_>>());
    // As a careless class would have made them.
    let volumes = bed.api("v1", "PersistentVolume", None);
    let careless = serde_json::json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
    for (_, volume) in before.values() {
        let patch = kube::api::Patch::Merge(&careless);
        bed.block_on(volumes.patch(volume, &kube::api::PatchParams::default(), &patch)).unwrap();
    }

    let logs = follow_logs(&bed);
    // An instance of an unprotected environment goes without questions.
    let ran = kept(&bed, &hidden, "down", &["-o", "json"]).exit(0);
    assert!(bed.list("v1", "Pod", NAMESPACE).is_empty(), "every pod is gone");
    for (pod, words, task) in logs {
        bed.block_on(task).unwrap();
        let words = words.lock().unwrap();
        assert!(words.contains("database system is shut down"), "{pod}:\n{words}");
    }
    let phases: Vec<_> = ran.events().into_iter().filter(|it| it["event"] == "phase-finished").collect();
    let phases: Vec<_> = phases.iter().map(|it| it["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["ingress", "services", "database", "storage"]);
    assert_eq!(claims(&bed), before);
    let mut proofs: Vec<_> = ran.events().into_iter().filter(|it| it["event"] == "volume-kept").collect();
    proofs.sort_by_key(|it| it["claim"].as_str().unwrap().to_owned());
    for (proof, (claim, (_, volume))) in proofs.iter().zip(&before) {
        let live = bed.get("v1", "PersistentVolume", None, volume).unwrap();
        assert_eq!((&proof["claim"], &proof["volume"]), (&Value::from(claim.as_str()), &Value::from(volume.as_str())));
        for (told, pointer) in [
            ("policy", "/spec/persistentVolumeReclaimPolicy"),
            ("phase", "/status/phase"),
            ("size", "/spec/capacity/storage"),
        ] {
            assert_eq!(Some(&proof[told]), live.pointer(pointer), "{claim}");
        }
        assert_eq!((proof["policy"].as_str(), proof["phase"].as_str()), (Some("Retain"), Some("Bound")));
        assert!(proof["place"].as_str().unwrap().starts_with('/'), "{proof}");
    }
    assert_eq!(proofs.len(), before.len());
    kept(&bed, &hidden, "down", &[]).exit(0).says("nothing had to be deleted");

    kept(&bed, &hidden, "up", &[]).exit(0).says("local/kept is up");
    assert_eq!(claims(&bed), before, "on the same volumes");
    for cluster in CLUSTERS {
        assert_eq!(query(&bed, cluster, "select it from written"), "kept", "{cluster}");
    }

    // All of its data, by name: then nothing is left of it.
    let sets =
        ["index", "postgresql-app", "postgresql-fingerprint", "postgresql-ingest", "postgresql-musicbrainz", "redis"];
    let typed: Vec<&str> = sets.iter().flat_map(|set| ["--delete-data", *set, "--confirm-data", *set]).collect();
    kept(&bed, &hidden, "down", &typed).exit(0).says("data set redis: data-redis-0 deleted");
    for (_, volume) in before.values() {
        assert!(bed.get("v1", "PersistentVolume", None, volume).is_none(), "its provisioner has deleted {volume}");
    }
    assert!(bed.get("v1", "Namespace", None, NAMESPACE).is_none(), "with the last of its data");
}
