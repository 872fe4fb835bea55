//! AcoustID's production at full size, from nothing: the order and the readiness of every object, a second run that writes
//! nothing, and an instance beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::api::ListParams;
use serde_json::{Value, json};

use super::BED;
use super::order::{Timeline, declared, name, references};
use super::support::{Bed, fast};
use super::whole_kit::{NO_GATES, Production};

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn production_is_rebuilt_in_order_and_a_second_time_nothing_is_written() {
    let bed = Bed::from_variable(BED);
    let production = Production::new(&bed);
    let objects = production.render(&["kwok"]);
    assert_eq!(replicas(&objects), replicas(&production.render(&["production"])), "the full size");

    let first = production.run(&["up", "kwok", "-o", "json"]).exit(0);
    let timeline = Timeline::of(&first.events());
    every_object_was_sent_and_became_ready(&timeline, &objects, &first.events());
    phases_came_one_after_another(&timeline, ["storage", "database", "services", "ingress"]);
    needs_were_met_first(&timeline, &objects);
    assert_eq!(timeline.last_applied("services"), "Deployment/import", "the first that really writes is the last");
    every_gate_was_left_out(&first.events(), &production.gates());
    every_replica_runs(&bed, &production.space.name, &objects);
    claims_are_bound(&bed, &production);

    let before = versions(&bed, &objects);
    let second = production.run(&["up", "kwok", "-o", "json"]).exit(0);
    assert_eq!(second.last()["written"], 0);
    let actions = second.events().iter().filter_map(|event| event.get("action").cloned()).collect::<Vec<_>>();
    assert_eq!(actions, vec![json!("unchanged"); objects.len() + production.cloud.volumes()], "claims of sets, too");
    assert_eq!(versions(&bed, &objects), before);
    fast(&second, Duration::from_secs(2), || production.run(&["up", "kwok", "-o", "json"]).exit(0));

    let third = production.run(&["up", "kwok"]).exit(0).says("nothing had to be written");
    says_that_gates_were_left_out(&third.stderr, &production.gates());
    production.run(&["status", "kwok"]).exit(0);
    assert_eq!(versions(&bed, &objects), before);

    an_instance_lives_beside_it(&bed, &production, &objects, &before);
}

fn an_instance_lives_beside_it(
    bed: &Bed,
    production: &Production<'_>,
    objects: &[Value],
    before: &BTreeMap<String, String>,
) {
    let copies = production.render(&["kwok", "--instance", "pr-1"]);
    let namespace = format!("{}-pr-1", production.space.name);
    let place = |object: &Value| (name(object), object["metadata"]["namespace"].as_str().map(str::to_owned));
    let originals: BTreeSet<_> = objects.iter().map(place).collect();
    for copy in &copies {
        assert!(!originals.contains(&place(copy)), "{} belongs to both", name(copy));
        let inside = copy["metadata"]["namespace"].as_str().or(copy["metadata"]["name"].as_str()).unwrap();
        assert!(inside.starts_with(&namespace), "{} is outside the instance's namespace", name(copy));
    }
    let (hosts, own) = (hosts(objects), hosts(&copies));
    assert!(own.is_disjoint(&hosts) && own.iter().all(|host| host.starts_with("pr-1.")), "{own:?}");

    let ran = production.run(&["up", "kwok", "--instance", "pr-1", "-o", "json"]).exit(0);
    let timeline = Timeline::of(&ran.events());
    every_object_was_sent_and_became_ready(&timeline, &copies, &ran.events());
    needs_were_met_first(&timeline, &copies);
    every_replica_runs(bed, &namespace, &copies);
    production.run(&["status", "kwok", "--instance", "pr-1"]).exit(0);

    assert_eq!(versions(bed, objects), *before, "the first is as it was");
    let again = production.run(&["up", "kwok", "-o", "json"]).exit(0);
    assert_eq!(again.last()["written"], 0);
}

fn every_object_was_sent_and_became_ready(timeline: &Timeline, objects: &[Value], events: &[Value]) {
    let mut rendered: BTreeSet<_> = objects.iter().map(name).collect();
    assert_eq!(rendered.len(), objects.len(), "names are unique");
    // What must survive is made before the sets that would make it.
    for set in objects.iter().filter(|object| object["kind"] == "StatefulSet") {
        for ordinal in 0..set["spec"]["replicas"].as_u64().unwrap() {
            let claim = format!("PersistentVolumeClaim/data-{}-{ordinal}", set["metadata"]["name"].as_str().unwrap());
            assert!(timeline.at("object-applied", &claim) < timeline.at("object-applied", &name(set)), "{claim}");
            rendered.insert(claim);
        }
    }
    assert_eq!(timeline.all("object-applied"), rendered);
    assert_eq!(timeline.all("object-ready"), rendered);
    for object in &rendered {
        assert!(timeline.at("object-applied", object) < timeline.at("object-ready", object), "{object}");
    }
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["outcome"]), (&json!("run-finished"), &json!("done")));
    assert_eq!(last["written"], rendered.len());
}

fn phases_came_one_after_another<const N: usize>(timeline: &Timeline, phases: [&str; N]) {
    assert_eq!(timeline.all("phase-started"), phases.map(str::to_owned).into());
    for pair in phases.windows(2) {
        assert!(timeline.at("phase-finished", pair[0]) < timeline.at("phase-started", pair[1]), "{pair:?}");
    }
    for object in timeline.all("object-applied") {
        let phase = timeline.phase(&object);
        assert!(timeline.at("phase-started", phase) < timeline.at("object-applied", &object), "{object}");
        assert!(timeline.at("object-ready", &object) < timeline.at("phase-finished", phase), "{object}");
    }
}

fn needs_were_met_first(timeline: &Timeline, objects: &[Value]) {
    let mut kinds = BTreeSet::new();
    for object in objects {
        let dependent = name(object);
        let sent = timeline.at("object-applied", &dependent);
        for need in references(object) {
            assert!(timeline.at("object-applied", &need) < sent, "{dependent} was sent before {need}");
            kinds.insert(need.split('/').next().unwrap().to_owned());
        }
        for need in declared(object) {
            assert!(timeline.at("object-ready", &need) < sent, "{dependent} was sent before {need} was ready");
            kinds.insert("declared".to_owned());
        }
    }
    let looked_at = ["declared", "ConfigMap", "IngressClass", "Secret", "Service", "ServiceAccount", "StorageClass"];
    assert!(looked_at.iter().all(|kind| kinds.contains(*kind)), "only {kinds:?} were looked at");
}

fn every_gate_was_left_out(events: &[Value], gates: &BTreeSet<String>) {
    let about_gates: Vec<_> = events.iter().filter(|event| event.get("gate").is_some()).collect();
    let names: BTreeSet<_> = about_gates.iter().map(|event| event["gate"].as_str().unwrap().to_owned()).collect();
    assert_eq!(&names, gates);
    assert!(names.contains("fingerprint database accepts writes"), "{names:?}");
    assert_eq!(about_gates.len(), gates.len(), "each is told once");
    for event in about_gates {
        assert_eq!((&event["event"], &event["reason"]), (&json!("gate-skipped"), &json!(NO_GATES)));
    }
    let phases = events.last().unwrap()["phases"].as_array().unwrap();
    let sum = |field: &str| phases.iter().map(|phase| phase[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("gates"), sum("passed"), sum("skipped")), (0, 0, gates.len() as u64));
}

fn says_that_gates_were_left_out(said: &str, gates: &BTreeSet<String>) {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(&format!("{} gates switched off", gates.len())), "{said}");
    assert!(said.contains(NO_GATES), "{said}");
    for gate in gates {
        assert!(said.contains(gate.as_str()), "{gate} is not named in {said}");
    }
}

/// `Kind/name` → replicas of everything that has them.
fn replicas(objects: &[Value]) -> BTreeMap<String, u64> {
    let found: BTreeMap<_, _> =
        objects.iter().filter_map(|object| Some((name(object), object["spec"]["replicas"].as_u64()?))).collect();
    assert!(found.values().filter(|replicas| **replicas > 1).count() > 5, "{found:?}");
    found
}

fn every_replica_runs(bed: &Bed, namespace: &str, objects: &[Value]) {
    let pods = bed.block_on(bed.api("v1", "Pod", Some(namespace)).list(&ListParams::default())).unwrap();
    let pods: Vec<Value> = pods.into_iter().map(|pod| serde_json::to_value(pod).unwrap()).collect();
    let ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
    };
    for object in objects.iter().filter(|object| object["spec"].get("replicas").is_some()) {
        let labels = object["spec"]["selector"]["matchLabels"].as_object().unwrap();
        let own = pods.iter().filter(|pod| labels.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value));
        let own: Vec<&Value> = own.filter(|pod| ready(pod)).collect();
        let (object_name, wanted) = (name(object), object["spec"]["replicas"].as_u64().unwrap());
        assert_eq!(own.len() as u64, wanted, "{object_name}");
        let spread = &object["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["whenUnsatisfiable"];
        if spread == "DoNotSchedule" {
            let nodes: BTreeSet<_> = own.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap()).collect();
            assert_eq!(nodes.len() as u64, wanted, "{object_name}: {nodes:?}");
        }
    }
}

fn claims_are_bound(bed: &Bed, production: &Production<'_>) {
    let claims = bed.api("v1", "PersistentVolumeClaim", Some(&production.space.name));
    let claims = bed.block_on(claims.list(&ListParams::default())).unwrap();
    assert!(claims.items.iter().all(|claim| claim.data["status"]["phase"] == "Bound"));
    assert_eq!(claims.items.len(), production.cloud.volumes(), "one volume each");
}

fn hosts(objects: &[Value]) -> BTreeSet<String> {
    let ingresses = objects.iter().filter(|object| object["kind"] == "Ingress");
    let rules = ingresses.flat_map(|ingress| ingress["spec"]["rules"].as_array().unwrap());
    let hosts: BTreeSet<_> = rules.map(|rule| rule["host"].as_str().unwrap().to_owned()).collect();
    assert!(!hosts.is_empty());
    hosts
}

/// `Kind/name` → resourceVersion of all of these objects, once their controllers have come to rest.
fn versions(bed: &Bed, objects: &[Value]) -> BTreeMap<String, String> {
    let live = |object: &Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (version, kind) = (text("/apiVersion").unwrap(), text("/kind").unwrap());
        let found = bed.get(version, kind, text("/metadata/namespace"), text("/metadata/name").unwrap());
        found.unwrap_or_else(|| panic!("{} is not there", name(object)))
    };
    // Nobody waits for a budget to count the pods that have become ready last.
    bed.wait_until("the disruption budgets have counted their pods", |_| {
        let budgets = objects.iter().filter(|object| object["kind"] == "PodDisruptionBudget").map(live);
        budgets.into_iter().all(|budget| {
            let count = |field: &str| budget["status"][field].as_i64();
            count("currentHealthy").is_some_and(|healthy| healthy > 0)
                && count("currentHealthy") == count("expectedPods")
        })
    });
    let live = objects.iter().map(live);
    // One whose hour has just come is no longer as it was, whoever looks at it.
    live.filter(|object| object["status"].get("lastScheduleTime").is_none())
        .map(|object| (name(&object), object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()))
        .collect()
}
