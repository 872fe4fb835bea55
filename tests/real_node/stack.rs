//! The product's promise: the whole stack of the embedded kit, rebuilt on an empty node by one command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Bed, PATIENCE, Ran, fast, finish, rekindle};
use super::{BED, alone, hidden::Hidden, shared};

const NAMESPACE: &str = "acoustid";
const CLUSTERS: [&str; 4] = ["app", "fingerprint", "ingest", "musicbrainz"];

/// With replication, so that really all of it stands.
const WHOLE: [&str; 2] = ["--set", "mbslave.enabled=true"];

/// How long a run over a healthy stack may take, questions of 29 gates included.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs `rekindle COMMAND local` on the embedded kit; whatever it prints must hold no secret.
fn local(bed: &Bed, hidden: &Hidden, command: &str, flags: &[&str]) -> Ran {
    let ran = finish(rekindle(None, &bed.kubeconfig, &[&[command, "local"], &WHOLE[..], flags].concat()));
    hidden.absent(&ran);
    ran
}

#[test]
#[ignore = "needs a node"]
fn the_whole_stack_is_rebuilt_by_one_command() {
    let bed = Bed::from_variable(BED);
    let hidden = Hidden::of(None, &bed.kubeconfig, &[], "local");
    {
        let _machine = shared();
        assert!(bed.get("v1", "Namespace", None, NAMESPACE).is_none(), "the node is empty");
        let first = local(&bed, &hidden, "up", &[]).exit(0).says("local is up");
        assert_eq!(first.stdout, "", "people read stderr");
        shows_the_way_of_each_phase(&first);
        rows_are_written_and_read(&bed);
        a_submission_is_found(&bed);
    }

    let _machine = alone();
    let objects = objects(&bed);
    let (before, pods) = (versions(&bed, &objects), pods(&bed));
    let records = || bed.versions("rekindle-system", &[("v1", "Secret"), ("v1", "ConfigMap")]);
    let recorded = records();
    let second = local(&bed, &hidden, "up", &["-o", "json"]).exit(0);
    assert_eq!(versions(&bed, &objects), before, "nothing was written");
    assert_eq!(records(), recorded, "the inventory neither");
    assert_eq!(self::pods(&bed), pods, "no pod was disturbed");
    every_gate_was_asked(&second);
    assert_eq!(second.last()["written"], 0);
    fast(&second, AGAIN, || local(&bed, &hidden, "up", &["-o", "json"]).exit(0));
    for verbosity in ["-v", "-vv"] {
        local(&bed, &hidden, "up", &[verbosity]).exit(0).says("nothing had to be written");
        local(&bed, &hidden, "status", &[verbosity]).exit(0);
    }
    local(&bed, &hidden, "status", &["-o", "json"]).exit(0);
    assert_eq!(versions(&bed, &objects), before, "looking writes nothing either");

    let changed = local(&bed, &hidden, "up", &["--set", "api.replicas=2", "-o", "json"]).exit(0);
    let written: Vec<_> = changed.events().into_iter().filter(is_write).collect();
    assert_eq!(written.len(), 1, "{written:#?}");
    assert_eq!(
        (written[0]["object"]["kind"].as_str(), written[0]["object"]["name"].as_str()),
        (Some("Deployment"), Some("api"))
    );
    let after = versions(&bed, &objects);
    // The controllers write the status of what the Deployment's pods concern.
    let touched: Vec<_> = before.keys().filter(|key| before[*key] != after[*key]).map(|key| key.1.as_str()).collect();
    assert!(touched.contains(&"Deployment/api"), "{touched:?}");
    assert!(touched.iter().all(|it| it.ends_with("/api")), "{touched:?}");
    let api = bed.get("apps/v1", "Deployment", Some(NAMESPACE), "api").unwrap();
    assert_eq!(api["status"]["readyReplicas"], 2, "the run waited for the second pod");
}

fn is_write(event: &Value) -> bool {
    event["event"] == "object-applied" && event["action"] != "unchanged"
}

/// The last screen has a bar and a time for each phase, and counts what was done.
fn shows_the_way_of_each_phase(ran: &Ran) {
    for phase in ["storage", "database", "services", "ingress"] {
        let bar = |line: &&str| line.trim_start().starts_with(&format!("✓ {phase}")) && line.contains('▇');
        assert!(ran.stderr.lines().any(|line| bar(&line)), "no bar for {phase}:\n{}", ran.stderr);
    }
    assert!(ran.stderr.contains("objects written"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("switched off"), "{}", ran.stderr);
}

/// Every gate that a phase has passed, each told by an event of its own with what was answered.
fn every_gate_was_asked(ran: &Ran) {
    let events = ran.events();
    let passed = |phase: &Value| {
        let of_phase = events.iter().filter(|it| it["event"] == "gate-passed" && it["phase"] == *phase);
        of_phase.map(|it| (it["gate"].as_str().unwrap(), it["answer"].as_str().unwrap())).collect::<BTreeMap<_, _>>()
    };
    let end = ran.last();
    let mut all = 0;
    for phase in end["phases"].as_array().unwrap() {
        let gates = passed(&phase["phase"]);
        assert_eq!(phase["skipped"], 0, "{phase}");
        assert_eq!(phase["gates"], gates.len(), "{phase} {gates:#?}");
        assert_eq!(phase["ready"], phase["objects"], "{phase}");
        assert!(gates.values().all(|answer| !answer.is_empty()), "{gates:#?}");
        all += gates.len();
    }
    // As many as the kit's templates hold for this environment: eight questions to databases and one to Redis among them.
    assert!(all >= 25, "only {all} gates");
    for cluster in CLUSTERS {
        let gates = passed(&Value::from("database"));
        let of_cluster = gates.keys().filter(|gate| gate.starts_with(cluster)).count();
        assert!(of_cluster >= 2, "{cluster}: {gates:#?}");
    }
    assert!(events.iter().all(|it| it["event"] != "gate-skipped"));
}

/// What the kit makes: (apiVersion, `Kind/name`, namespace) of each object.
fn objects(bed: &Bed) -> Vec<(String, String, Option<String>)> {
    let rendered = finish(rekindle(None, &bed.kubeconfig, &[&["render", "local", "-o", "json"], &WHOLE[..]].concat()));
    let objects = rendered.exit(0).events().into_iter().map(|object| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = format!("{}/{}", text("/kind").unwrap(), text("/metadata/name").unwrap());
        (text("/apiVersion").unwrap(), name, text("/metadata/namespace"))
    });
    let objects: Vec<_> = objects.collect();
    assert!(objects.len() > 100, "{objects:?}");
    objects
}

/// The resourceVersion of each of them.
fn versions(bed: &Bed, objects: &[(String, String, Option<String>)]) -> BTreeMap<(String, String), String> {
    let mut versions = BTreeMap::new();
    for (api_version, object, namespace) in objects {
        let (kind, name) = object.split_once('/').unwrap();
        let live = bed.get(api_version, kind, namespace.as_deref(), name);
        let live = live.unwrap_or_else(|| panic!("{object} is not there"));
        let version = live["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        versions.insert((api_version.clone(), object.clone()), version);
    }
    versions
}

/// Pods by name, with their identity and how often their containers began.
fn pods(bed: &Bed) -> BTreeMap<String, String> {
    let pods = bed.list("v1", "Pod", NAMESPACE).into_iter().map(|pod| {
        let restarts: Vec<_> = pod["status"]["containerStatuses"].as_array().into_iter().flatten().collect();
        let restarts: Vec<_> = restarts.iter().map(|it| it["restartCount"].to_string()).collect();
        (pod["metadata"]["name"].as_str().unwrap().to_owned(), format!("{} {restarts:?}", pod["metadata"]["uid"]))
    });
    pods.collect()
}

/// The database that a cluster is there for.
fn database(cluster: &str) -> &str {
    if cluster == "musicbrainz" { "musicbrainz" } else { "acoustid" }
}

/// Asks a cluster's primary through its Service, from inside its pod.
fn query(bed: &Bed, cluster: &str, sql: &str) -> String {
    let script = format!(
        "PGPASSWORD=$PATRONI_SUPERUSER_PASSWORD exec psql -XqAt -v ON_ERROR_STOP=1 -h postgresql-{cluster} -U postgres -d {} -c \"$0\"",
        database(cluster)
    );
    bed.exec(NAMESPACE, &format!("postgresql-{cluster}-0"), &["sh", "-c", &script, sql]).trim().to_owned()
}

fn rows_are_written_and_read(bed: &Bed) {
    for cluster in CLUSTERS {
        query(bed, cluster, "create table written (it text); insert into written values ('kept')");
        assert_eq!(query(bed, cluster, "select it from written"), "kept", "{cluster}");
        query(bed, cluster, "drop table written");
    }
}

/// From the node's port through Traefik, api, ingest database, importer, fingerprint database, updater and index, and back.
fn a_submission_is_found(bed: &Bed) {
    query(
        bed,
        "app",
        "insert into account (name, apikey) values ('tester', 'user-key');
         insert into application (name, apikey, account_id) select 'test', 'client-key', id from account where apikey = 'user-key'",
    );
    let api =
        bed.list("v1", "Pod", NAMESPACE).into_iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned());
    let api = api.into_iter().find(|name| name.starts_with("api-")).unwrap();
    let make =
        "from chromaprint import encode; print(encode([(n * 2654435761) % 2**32 - 2**31 for n in range(1, 200)]))";
    let fingerprint = bed.exec(NAMESPACE, &api, &["python3", "-c", make]).trim().to_owned();
    let wrong = ask(bed, "/v2/lookup", &format!("client=nobody&duration=641&fingerprint={fingerprint}"));
    assert_eq!((wrong.0, &wrong.1["error"]["code"]), (400, &Value::from(4)), "{wrong:?}");
    let submission = format!(
        "client=client-key&user=user-key&duration.0=641&mbid.0=b81f83ee-4da4-11e0-9ed8-0025225356f3&fingerprint.0={fingerprint}"
    );
    let submitted = ask(bed, "/v2/submit", &submission);
    assert_eq!(submitted.0, 200, "{submitted:?}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = ask(bed, "/v2/lookup", &format!("client=client-key&duration=641&fingerprint={fingerprint}"));
        if found.1["results"].as_array().is_some_and(|results| !results.is_empty()) {
            assert!(found.1["results"][0]["score"].as_f64() > Some(0.9), "{found:?}");
            break;
        }
        assert!(Instant::now() < deadline, "what was submitted is not found: {found:?}");
        std::thread::park_timeout(Duration::from_millis(500));
    }
}

/// A form sent to the api's host at the node's port of Traefik: the status and the answer.
fn ask(bed: &Bed, path: &str, form: &str) -> (u16, Value) {
    let traefik = bed.get("v1", "Service", Some(NAMESPACE), "traefik").unwrap();
    let port = traefik["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    let node = bed.block_on(bed.api("v1", "Node", None).list(&Default::default())).unwrap().items.remove(0);
    let address = node.data["status"]["addresses"].as_array().unwrap().iter().find(|it| it["type"] == "InternalIP");
    let address = address.unwrap()["address"].as_str().unwrap().to_owned();
    let request = reqwest::Client::new()
        .post(format!("http://{address}:{port}{path}"))
        .header("Host", "api.acoustid.localhost")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form.to_owned());
    bed.block_on(async {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    })
}
