//! A stack of somebody else's, without Patroni and WAL-G: one PostgreSQL, backed up by pgBackRest, whose only volume is lost.

use base64::Engine as _;
use kube::api::{DeleteParams, Patch, PatchParams};

use super::archive::image;
use super::archived::EMPTYING;
use super::object_store::{Keys, ObjectStore};
use super::support::{Bed, Kit, Space, run};
use super::{BED, shared};

/// The server and what it takes to be backed up. What there is in the data folder counts first, then the decision.
const SERVER: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: server}
data:
  run.sh: |
    set -e
    export PGDATA=/data/db
    if [ ! -e $PGDATA/PG_VERSION ]; then
      case {{ data(name="db") | plain }} in
        empty) initdb -U postgres -A trust >/dev/null ;;
        restore) pgbackrest --stanza={{ stanza | plain }}{% if from %}-{{ from | plain }}{% endif %} --pg1-path=$PGDATA --set={{ data(name="db", of="backup") | plain }} --target-timeline=latest restore
          # So that somebody sees how far it is.
          until [ -e /data/asked ]; do sleep 0.1; done ;;
        *) echo "the database is to be on its volume, and is not" >&2; exit 1 ;;
      esac
    fi
    export PGBACKREST_STANZA={{ stanza | plain }}{% if to %}-{{ to | plain }}{% endif %} PGBACKREST_PG1_PATH=$PGDATA PGBACKREST_PG1_SOCKET_PATH=/tmp PGBACKREST_PG1_USER=postgres
    (until pg_isready -qh /tmp && pgbackrest stanza-create; do sleep 0.2; done) &
    exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c archive_mode=on -c archive_command='pgbackrest archive-push %p'
"#;

const PODS: &str = r#"apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: {{ namespace }}}
provisioner: rancher.io/local-path
reclaimPolicy: Retain
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 10
      securityContext: {runAsUser: 999, runAsGroup: 999, fsGroup: 999}
      containers:
      - name: main
        image: {{ values.image }}
        args: [sh, /server/run.sh]
        env: {{ values.environment }}
        readinessProbe: {exec: {command: [psql, -h, /tmp, -U, postgres, -c, select 1]}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}, {name: server, mountPath: /server}]
      volumes: [{name: server, configMap: {name: server}}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: {{ namespace }}, resources: {requests: {storage: 256Mi}}}
---
apiVersion: rekindle.dev/v1
kind: DataSet
metadata: {name: db}
spec:
  claims: [{statefulset: db}]
  restore:
    backups: {tool: pgbackrest, image: {{ values.image }}, user: 999, env: {{ values.lookup }}}
    progress: {exec: {selector: {app: db}, command: [sh, -c, "touch /data/asked; du -sb /data/db | cut -f1"]}}
  remember:
  - {name: rows, compare: at_least, timeout: 10s, postgres: {service: db, credentials: {secret: db}, query: select count(*) from marker}}
---
apiVersion: v1
kind: Secret
metadata: {name: db}
stringData: {username: postgres, password: trusted-whatever-it-is}
"#;

#[test]
#[ignore = "needs a node"]
fn another_stack_comes_back_from_what_pgbackrest_kept() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let keys = Keys::of_the_kit(&bed);
    let store = ObjectStore::start(&bed, "pgbackrest", &keys);
    let space = Space::new(&bed, "elsewhere");
    let variables = [
        ("PGBACKREST_LOG_LEVEL_FILE", "off"),
        ("PGBACKREST_REPO1_TYPE", "s3"),
        ("PGBACKREST_REPO1_PATH", "/"),
        ("PGBACKREST_REPO1_S3_BUCKET", ObjectStore::BUCKET),
        ("PGBACKREST_REPO1_S3_ENDPOINT", &store.tls_endpoint()),
        ("PGBACKREST_REPO1_S3_KEY", &keys.id),
        ("PGBACKREST_REPO1_S3_KEY_SECRET", &keys.secret),
        ("PGBACKREST_REPO1_S3_REGION", "us-east-1"),
        ("PGBACKREST_REPO1_S3_URI_STYLE", "path"),
        // Its certificate is signed by itself.
        ("PGBACKREST_REPO1_STORAGE_VERIFY_TLS", "n"),
    ];
    let mut lookup: serde_json::Map<String, serde_json::Value> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let environment: Vec<_> =
        lookup.iter().map(|(name, value)| serde_json::json!({"name": name, "value": value})).collect();
    lookup.insert("PGBACKREST_STANZA".into(), "db".into());
    let values = serde_json::json!({"image": image(&bed, &store), "environment": environment, "lookup": lookup});
    let kit = Kit::new(&space.name, "- name: database");
    kit.write("environments/test.yaml", &format!("namespace: {}\nvalues: {values}\n", space.name));
    let server = format!(
        "{{%- set stanza = \"db\" -%}}\n{{%- set from = data(name=\"db\", of=\"backup_history\") -%}}\n\
         {{%- set to = data(name=\"db\", of=\"history\") -%}}\n{SERVER}"
    );
    kit.write("templates/database/server.yaml.tera", &server).write("templates/database/db.yaml.tera", PODS);
    run(&kit, &bed, &["up", "test", "--yes"]).exit(0);

    let inside = |script: &str| bed.exec(&space.name, "db-0", &["sh", "-c", script]).trim().to_owned();
    let sql = |sql: &str| inside(&format!("psql -h /tmp -U postgres -XqAtc \"{sql}\""));
    let backup = "PGBACKREST_PG1_PATH=/data/db PGBACKREST_PG1_SOCKET_PATH=/tmp PGBACKREST_PG1_USER=postgres pgbackrest --stanza=db";
    bed.wait_until("its WAL is archived", |_| {
        sql("select pg_switch_wal()");
        sql("select archived_count > 0 from pg_stat_archiver") == "t"
    });
    sql("create table marker (it text); insert into marker values ('before the backup')");
    inside(&format!("{backup} --type=full backup"));
    let remembered = || {
        let secret = format!("memory-{}", kit.environment);
        let secret = bed.get("v1", "Secret", Some("rekindle-system"), &secret)?;
        let text = base64::engine::general_purpose::STANDARD.decode(secret["data"]["db"].as_str()?).unwrap();
        Some(serde_json::from_slice::<serde_json::Value>(&text).unwrap())
    };
    assert_eq!(remembered(), None, "there was no table to ask about");
    assert_eq!(run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0).last()["written"], 0);
    assert_eq!(remembered().unwrap()["answers"]["rows"], "1");
    sql("insert into marker values ('only in WAL')");
    let segment = sql("select pg_walfile_name(pg_switch_wal())");
    bed.wait_until("the last segment is archived", |_| {
        sql(&format!("select coalesce(last_archived_wal >= '{segment}', false) from pg_stat_archiver")) == "t"
    });
    let identifier = sql("select system_identifier from pg_control_system()");

    let gone = |kind: &str, name: &str| {
        bed.block_on(bed.api("v1", kind, None).delete(name, &DeleteParams::default())).unwrap();
        bed.wait_within(EMPTYING, "it is gone", |bed| bed.get("v1", kind, None, name).is_none());
    };
    let lose = || {
        let claim = bed.get("v1", "PersistentVolumeClaim", Some(&space.name), "data-db-0").unwrap();
        gone("Namespace", &space.name);
        gone("PersistentVolume", claim["spec"]["volumeName"].as_str().unwrap());
    };
    lose();
    // Nothing begins empty without the keys to the repository, or beside another folder that holds nothing.
    let files = store.files();
    for (setting, why) in [
        ("lookup.PGBACKREST_REPO1_S3_KEY_SECRET=wrong", "its backups could not be looked up"),
        ("lookup.PGBACKREST_REPO1_PATH=/elsewhere", "its archive holds no backup of it"),
    ] {
        run(&kit, &bed, &["up", "test", "--set", setting]).exit(4).says(why);
        assert!(bed.get("v1", "Namespace", None, &space.name).is_none(), "{setting}: nothing was written");
    }
    assert_eq!(store.files(), files, "the repository stays as it is");
    run(&kit, &bed, &["up", "test", "-v"])
        .exit(0)
        .says("StatefulSet/db waiting: restor")
        .says("db back from its backup");
    assert_eq!(sql("select string_agg(it, ',' order by it) from marker"), "before the backup,only in WAL");
    assert_eq!(sql("select system_identifier from pg_control_system()"), identifier);
    bed.wait_until("it archives to a history of its own", |_| {
        sql("select pg_switch_wal()");
        store.files().keys().any(|path| path.starts_with("archive/db-history-"))
    });
    let again = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    assert_eq!(again.last()["written"], 0, "{}", again.stdout);

    // What is missing on a volume that survived keeps the doors closed until a person has seen it.
    let mut memory = remembered().unwrap();
    assert_eq!(memory["answers"]["rows"], "2");
    memory["answers"]["rows"] = "1000".into();
    let secret = serde_json::json!({"stringData": {"db": memory.to_string()}});
    let secrets = bed.api("v1", "Secret", Some("rekindle-system"));
    let name = format!("memory-{}", kit.environment);
    bed.block_on(secrets.patch(&name, &PatchParams::default(), &Patch::Merge(secret))).unwrap();
    gone("Namespace", &space.name);
    run(&kit, &bed, &["up", "test"]).exit(7).says("adopt").says("answered 2, wanted at least 1000");
    run(&kit, &bed, &["up", "test"]).exit(7).says("answered 2, wanted at least 1000");
    run(&kit, &bed, &["up", "test", "--data", "db=keep"]).exit(0).says("db: rows: 2 now, 1000 on ");
    assert_eq!(remembered().unwrap()["answers"]["rows"], "2");
    run(&kit, &bed, &["up", "test"]).exit(0);
}
