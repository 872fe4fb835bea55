//! The simulated API server through the ordinary client.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::filling::{Filling, Via};
use super::*;
use crate::data::backups::Archive;
use crate::data::{Survey, lookup};

fn simulation(alive: bool) -> Simulation {
    let started = "2026-01-01T00:00:00Z".parse().unwrap();
    let simulation = Simulation::new(World::new(started, 4, Model::default(), alive), Faults::none());
    let namespace = store::Key::new("", "namespaces", "", "space");
    simulation.world().make(&namespace, json!({}));
    simulation
}

fn api(simulation: &Simulation, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(simulation.client(), "space", &resource)
}

async fn apply(api: &Api<DynamicObject>, manager: &str, force: bool, body: Value) -> Result<Value, kube::Error> {
    let mut params = PatchParams::apply(manager).validation_strict();
    params.force = force;
    let name = body["metadata"]["name"].as_str().unwrap().to_owned();
    api.patch(&name, &params, &Patch::Apply(&body)).await.map(|object| serde_json::to_value(object).unwrap())
}

fn config(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn deployment(replicas: u64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "api"}}, "template": {
            "metadata": {"labels": {"app": "api"}},
            "spec": {"containers": [{"name": "api", "image": image, "ports": [{"containerPort": 80}]}]},
        }},
    })
}

#[tokio::test(start_paused = true)]
async fn an_apply_owns_its_fields_and_takes_them_back() {
    let simulation = simulation(false);
    let maps = api(&simulation, "v1", "ConfigMap");
    let first = apply(&maps, "one", false, config(json!({"a": "1", "b": "1"}))).await.unwrap();
    let again = apply(&maps, "one", false, config(json!({"a": "1", "b": "1"}))).await.unwrap();
    assert_eq!(first, again, "nothing is written");
    // The same value is no conflict, another one is.
    apply(&maps, "two", false, config(json!({"a": "1"}))).await.unwrap();
    let kube::Error::Api(status) = apply(&maps, "two", false, config(json!({"b": "2"}))).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(status.code, 409);
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .data.b");
    assert_eq!(status.details.unwrap().causes[0].field, ".data.b");
    // What both own stays when one gives it up.
    let left = apply(&maps, "one", false, config(json!({"b": "1"}))).await.unwrap();
    assert_eq!(left["data"], json!({"a": "1", "b": "1"}));
    let left = apply(&maps, "two", true, config(json!({"b": "2"}))).await.unwrap();
    assert_eq!(left["data"], json!({"b": "2"}));
    let owners: Vec<_> =
        left["metadata"]["managedFields"].as_array().unwrap().iter().map(|it| it["manager"].clone()).collect();
    assert_eq!(owners, ["two"]);
}

#[tokio::test(start_paused = true)]
async fn lists_are_merged_by_their_keys() {
    let simulation = simulation(false);
    let services = api(&simulation, "v1", "Service");
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": ports}});
    apply(&services, "one", false, service(json!([{"port": 80, "name": "http"}]))).await.unwrap();
    let both = apply(&services, "two", false, service(json!([{"port": 443, "name": "https"}]))).await.unwrap();
    let ports: Vec<_> = both["spec"]["ports"].as_array().unwrap().iter().map(|port| port["port"].clone()).collect();
    assert_eq!(ports, [json!(80), json!(443)]);
    let fields = &both["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:ports"];
    assert!(fields.get("k:{\"port\":80,\"protocol\":\"TCP\"}").is_some(), "{fields}");
    let one = apply(&services, "one", false, service(json!([]))).await.unwrap();
    assert_eq!(one["spec"]["ports"].as_array().unwrap().len(), 1);
    assert_eq!(one["spec"]["clusterIP"], both["spec"]["clusterIP"]);
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_refused_in_the_real_words() {
    let simulation = simulation(false);
    let code = |error: kube::Error| match error {
        kube::Error::Api(status) => (status.code, status.message),
        other => panic!("{other}"),
    };
    let deployments = api(&simulation, "apps/v1", "Deployment");
    let mut wrong = deployment(1, "a:1");
    wrong["spec"]["replica"] = json!(1);
    let (status, text) = code(apply(&deployments, "one", false, wrong).await.unwrap_err());
    assert_eq!(status, 500);
    assert!(text.contains("(/api; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema"), "{text}");
    apply(&deployments, "one", false, deployment(1, "a:1")).await.unwrap();
    let mut other = deployment(1, "a:1");
    other["spec"]["selector"]["matchLabels"]["app"] = json!("b");
    other["spec"]["template"]["metadata"]["labels"]["app"] = json!("b");
    let (status, text) = code(apply(&deployments, "one", false, other).await.unwrap_err());
    assert_eq!(status, 422);
    assert!(text.contains("field is immutable"), "{text}");
    let (status, text) = code(api(&simulation, "v1", "Secret").get("none").await.unwrap_err());
    assert_eq!((status, text.as_str()), (404, "secrets \"none\" not found"));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_ready_after_its_times_and_a_watcher_sees_it() {
    let simulation = simulation(true);
    let deployments = api(&simulation, "apps/v1", "Deployment");
    let begun = Instant::now();
    apply(&deployments, "one", false, deployment(3, "nginx:1")).await.unwrap();
    let mut watch = std::pin::pin!(watcher(deployments.clone(), watcher::Config::default()).default_backoff());
    let mut seen = 0;
    while let Some(event) = watch.next().await {
        seen += 1;
        let object = match event.unwrap() {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => object,
            _ => continue,
        };
        if object.data["status"]["availableReplicas"] == 3 {
            break;
        }
    }
    let took = begun.elapsed();
    assert!((Duration::from_secs(12)..Duration::from_secs(20)).contains(&took), "{took:?}");
    assert!(seen < 20, "{seen}");
    let pods = api(&simulation, "v1", "Pod").list(&ListParams::default().labels("app=api")).await.unwrap();
    assert_eq!(pods.items.len(), 3);
    // A new template rolls out, and what is deleted goes with everything it owns.
    apply(&deployments, "one", false, deployment(3, "nginx:2")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let pods = api(&simulation, "v1", "Pod").list(&ListParams::default()).await.unwrap();
    let images: Vec<_> = pods.items.iter().map(|pod| pod.data["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, vec![json!("nginx:2"); 3]);
    deployments.delete("api", &DeleteParams::foreground()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(deployments.get_opt("api").await.unwrap().is_none());
    assert!(api(&simulation, "v1", "Pod").list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_of_hours_costs_nothing_and_a_forgotten_one_lists_again() {
    let simulation = simulation(false);
    let maps = api(&simulation, "v1", "ConfigMap");
    let mut watch = std::pin::pin!(watcher(maps.clone(), watcher::Config::default()).default_backoff());
    for _ in 0..2 {
        watch.next().await.unwrap().unwrap();
    }
    let real = std::time::Instant::now();
    assert!(tokio::time::timeout(Duration::from_secs(4 * 3600), watch.next()).await.is_err());
    assert!(real.elapsed() < std::time::Duration::from_secs(2), "{:?}", real.elapsed());
    apply(&maps, "one", false, config(json!({"a": "1"}))).await.unwrap();
    simulation.world().store.compact();
    let mut listed = false;
    for _ in 0..6 {
        match tokio::time::timeout(Duration::from_secs(60), watch.next()).await {
            Ok(Some(Ok(watcher::Event::InitApply(_) | watcher::Event::Apply(_)))) => {
                listed = true;
                break;
            }
            Ok(Some(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(listed);
}

#[tokio::test(start_paused = true)]
async fn pages_show_every_object_once() {
    let simulation = simulation(false);
    let maps = api(&simulation, "v1", "ConfigMap");
    for index in 0..7 {
        let mut body = config(json!({}));
        body["metadata"]["name"] = json!(format!("m{index}"));
        maps.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    }
    let mut names = Vec::new();
    let mut params = ListParams::default().limit(3);
    loop {
        let page = maps.list(&params).await.unwrap();
        names.extend(page.items.into_iter().map(|item| item.metadata.name.unwrap()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_the_server_forgets_before_its_last_page_is_begun_anew() {
    let simulation = simulation(false);
    for index in 0..501 {
        let key = store::Key::new("", "configmaps", "space", &format!("m{index}"));
        simulation.world().make(&key, json!({}));
    }
    let cluster = simulation.connect().await.unwrap();
    let kind = cluster.kinds.get("v1", "ConfigMap").unwrap();
    let busy = simulation.clone();
    let writer = tokio::spawn(async move {
        for index in 0.. {
            busy.world().make(&store::Key::new("", "configmaps", "default", &format!("n{index}")), json!({}));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (mut complete, mut forgotten) = (0, 0);
    for seed in 0..40 {
        simulation.go_wrong(Faults::new(seed, 0.2));
        let params = ListParams::default().limit(500);
        let first = loop {
            if let Ok(page) = cluster.api(kind, Some("space")).list(&params).await {
                break page;
            }
        };
        let second = params.continue_token(first.metadata.continue_.as_deref().unwrap());
        let second = cluster.api(kind, Some("space")).list(&second).await;
        forgotten += usize::from(matches!(second, Err(kube::Error::Api(status)) if status.code == 410));
        if let Ok(found) = crate::cluster::observe::list(&cluster, kind, Some("space"), None, true).await {
            assert_eq!(found.len(), 501);
            complete += 1;
        }
    }
    writer.abort();
    assert!(forgotten > 5 && complete > 35, "{forgotten} {complete}");
}

#[tokio::test(start_paused = true)]
async fn backups_are_found_although_watches_break_off() {
    let set = "apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {name: ledger}\nspec: {claims: [ledger], sources: \
        [restore, empty], restore: {backups: {tool: wal-g, image: 'a:1'}}}\n---\napiVersion: v1\nkind: \
        PersistentVolumeClaim\nmetadata: {name: ledger}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: \
        {storage: 1Gi}}}\n";
    let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n");
    let rendered = crate::kit::sample::rendered(&[stack, ("templates/storage/a.yaml", set)]);
    let plan = crate::plan::Plan::of(&rendered).unwrap();
    let sets: Vec<_> = plan.data_sets.iter().collect();
    let mut found = 0;
    for seed in 0..30 {
        let simulation = simulation(true);
        let cluster = simulation.connect().await.unwrap();
        let mut survey = Survey::read(&cluster, &plan.claims).await.unwrap();
        simulation.go_wrong(Faults::new(seed, 0.05));
        lookup::look_up(&cluster, &sets, "one", &mut survey).await;
        found += usize::from(matches!(survey.archives["ledger"], Archive::Known(_)));
    }
    // What fails is a request that makes something, which is not repeated unseen.
    assert!(found >= 24, "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_with_everything_in_it() {
    let simulation = simulation(true);
    apply(&api(&simulation, "apps/v1", "Deployment"), "one", false, deployment(2, "nginx:1")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(simulation.client());
    namespaces.delete("space", &DeleteParams::default()).await.unwrap();
    let kube::Error::Api(status) =
        apply(&api(&simulation, "v1", "ConfigMap"), "one", false, config(json!({}))).await.unwrap_err()
    else {
        panic!()
    };
    assert_eq!(status.code, 403);
    assert!(status.message.contains("because it is being terminated"), "{}", status.message);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(namespaces.get_opt("space").await.unwrap().is_none());
    assert!(simulation.world().store.within("space").is_empty());
}

#[tokio::test(start_paused = true)]
async fn kinds_of_a_definition_are_served_after_a_moment() {
    let simulation = simulation(true);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}}}}}}]},
    });
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
    let definitions: Api<DynamicObject> = Api::all_with(simulation.client(), &resource);
    apply(&definitions, "one", false, definition).await.unwrap();
    let things = api(&simulation, "example.org/v1", "Thing");
    let thing = |size: Value| json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"size": size}});
    assert!(apply(&things, "one", false, thing(json!(1))).await.is_err(), "not yet");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let made = apply(&things, "one", false, thing(json!(1))).await.unwrap();
    assert_eq!(made["metadata"]["generation"], 1);
    let changed = apply(&things, "one", false, thing(json!(2))).await.unwrap();
    assert_eq!(changed["metadata"]["generation"], 2);
    assert!(apply(&things, "one", false, thing(json!("big"))).await.is_err());
    let refused = apply(&things, "one", false, thing(json!(0))).await.unwrap_err().to_string();
    let told = "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1";
    assert!(refused.contains(told), "{refused}");
    let cluster = simulation.connect().await.unwrap();
    assert!(cluster.kinds.get("example.org/v1", "Thing").is_some());
    assert_eq!(cluster.nodes, Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_asked_for_until_it_is_answered() {
    use crate::cluster::removal::remove;
    use crate::manifest::ObjectKey;

    let simulation = simulation(true);
    let cluster = simulation.connect().await.unwrap();
    let sets = api(&simulation, "apps/v1", "StatefulSet");
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {"serviceName": "db", "replicas": 0, "selector": {"matchLabels": {"app": "db"}}, "template": {
            "metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]},
        }},
    });
    let key = ObjectKey {
        group: "apps".into(),
        kind: "StatefulSet".into(),
        namespace: Some("space".into()),
        name: "db".into(),
    };
    for seed in 0..20 {
        simulation.go_wrong(Faults::none());
        let made = apply(&sets, "one", false, set.clone()).await.unwrap();
        simulation.go_wrong(Faults::new(seed, 0.4));
        let uid = made["metadata"]["uid"].as_str().unwrap();
        let limit = Duration::from_secs(600);
        remove(&cluster, &key, uid, limit, |_| {}).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// Three members with data to come: the first from a backup, the others from it. When they are ready, in seconds.
async fn filled(model: Model) -> Vec<u64> {
    let simulation =
        Simulation::new(World::new("2026-01-01T00:00:00Z".parse().unwrap(), 3, model, true), Faults::none());
    simulation.world().make(&store::Key::new("", "namespaces", "", "space"), json!({}));
    let class = json!({"provisioner": "a", "reclaimPolicy": "Retain"});
    simulation.world().make(&store::Key::new("storage.k8s.io", "storageclasses", "", "fast"), class);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "a"},
        "spec": {
            "replicas": 3, "serviceName": "a", "podManagementPolicy": "Parallel", "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/a"}]}]},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}}],
        },
    });
    apply(&api(&simulation, "apps/v1", "StatefulSet"), "one", false, set).await.unwrap();
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    let pods = api(&simulation, "v1", "Pod").list(&ListParams::default()).await.unwrap();
    let ready =
        |pod: &DynamicObject| pod.metadata.annotations.as_ref()?.get("rehearsal/ready-after")?.parse::<u64>().ok();
    pods.iter().map(|pod| ready(pod).unwrap() / 1000).collect()
}

#[tokio::test(start_paused = true)]
async fn members_without_data_copy_it_once_from_the_first_that_has_it() {
    let filling =
        |via, seconds| Filling { via, bytes: 0, rate: 1, time: Duration::from_secs(seconds), supposed: false };
    let mut model = Model::default();
    let [first, ..] = filled(model.clone()).await[..] else { panic!() };
    model.fillings.insert("space/data-a-0".into(), filling(Via::Backup, 10_000));
    model.fillings.insert("space/data-a-1".into(), filling(Via::Neighbour, 1_000));
    model.fillings.insert("space/data-a-2".into(), filling(Via::Neighbour, 5_000));
    let [a, b, c] = filled(model).await[..] else { panic!() };
    assert_eq!(a, first + 10_000);
    // They see it after a while, and what was ready second does not let the third begin anew.
    assert!((1_000..1_040).contains(&(b - a)), "{a} {b}");
    assert!((5_000..5_040).contains(&(c - a)), "{a} {c}");
}

/// The pods of a Job that has this in its spec, each with the second of virtual time in which it began.
async fn pods_of_job(more: Value) -> (Vec<u64>, Value) {
    let simulation = simulation(true);
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}}}});
    job["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    simulation.world().model.ready.insert("Job/a".into(), Duration::from_secs(60));
    apply(&api(&simulation, "batch/v1", "Job"), "one", false, job).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    let pods = api(&simulation, "v1", "Pod").list(&ListParams::default()).await.unwrap();
    let start = jiff::Timestamp::from_second(1_767_225_600).unwrap();
    let began = |pod: &DynamicObject| {
        let made = pod.metadata.creation_timestamp.as_ref().unwrap().0;
        made.duration_since(start).as_secs().try_into().unwrap()
    };
    let mut began: Vec<u64> = pods.iter().map(began).collect();
    began.sort_unstable();
    let job = api(&simulation, "batch/v1", "Job").get("a").await.unwrap();
    (began, job.data["status"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_as_many_pods_at_once_as_it_may() {
    let (began, status) = pods_of_job(json!({"completions": 5, "parallelism": 2})).await;
    assert_eq!(began.len(), 5, "{began:?}");
    assert_eq!(began[0], began[1], "two at once: {began:?}");
    assert!(began[2] >= began[1] + 60 && began[4] >= began[3] + 60, "and no more: {began:?}");
    assert_eq!((&status["succeeded"], &status["conditions"][1]["type"]), (&json!(5), &json!("Complete")));
    let (began, _) = pods_of_job(json!({"completions": 3})).await;
    assert!(began.is_sorted_by(|one, other| one + 60 <= *other), "one after the other: {began:?}");
    // Without a number of completions the first success is enough, and no other pod begins.
    let (began, status) = pods_of_job(json!({"parallelism": 3, "completions": null})).await;
    assert_eq!((began.len(), &status["conditions"][1]["type"]), (3, &json!("Complete")), "{status}");
}

/// What a served simulation answers to a request for this path.
async fn served(path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let simulation = simulation(false);
    let serving = tokio::spawn(async move { server::serve(simulation, listener, "guessed-by-nobody").await });
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    serving.abort();
    answer
}

#[tokio::test]
async fn who_does_not_know_the_token_is_told_nothing() {
    let wanted = "/api/v1/namespaces/space";
    for path in
        [wanted, &format!("/another{wanted}"), &format!("/guessed-by-nobody-else{wanted}"), "/guessed-by-nobody"]
    {
        let answer = served(path).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("\"space\""), "{path}: {answer}");
    }
    let answer = served(&format!("/guessed-by-nobody{wanted}?pretty=true")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"name\":\"space\""), "{answer}");
    let kubeconfig = server::kubeconfig("127.0.0.1:1".parse().unwrap(), "guessed-by-nobody");
    assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], "http://127.0.0.1:1/guessed-by-nobody");
}
