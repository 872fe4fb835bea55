//! `rekindle rehearse`: no cluster, no key, no network.

use crate::kits::{small, with_data};
use crate::support::{Outcome, Place, write};

fn last_event(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn the_embedded_production_is_rebuilt_with_a_picture() {
    let outcome = Place::new().run(&["rehearse", "production"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    for told in
        ["✓ production can be rebuilt from nothing in ", "database", "▇▇", "bound by:", "assumed:", "it would need:"]
    {
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
    assert_eq!(outcome.stdout, "");
}

#[test]
fn what_fails_is_shown_as_an_operator_would_see_it() {
    let outcome = Place::new().run(&["rehearse", "production", "--fail", "Deployment/api=crash"]);
    assert_eq!(outcome.code, Some(7), "{outcome}");
    for told in [
        "a rehearsal, nothing real was touched",
        "✗ services stopped: Deployment/api will not become ready",
        "exits with code 1",
        "done and kept: storage, database",
    ] {
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
}

#[test]
fn what_if_times_and_errors_show_in_the_events() {
    let place = Place::new();
    let outcome = place.run(&["rehearse", "production", "--slow", "StatefulSet/postgresql-app=20m", "-o", "json"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let last = last_event(&outcome);
    assert_eq!((last["event"].as_str(), last["outcome"].as_str()), (Some("rehearsed"), Some("done")));
    assert!(last["seconds"].as_f64().unwrap() > 1200.0, "{last}");
    assert_eq!((&last["needs"]["nodes"], &last["needs"]["nodes_to_spread"]), (&1.into(), &3.into()));
    assert_eq!(last["supposed"], serde_json::json!(["StatefulSet/postgresql-app takes 20m"]));
    let wishes = ["--api-errors", "5%", "--nodes", "4", "-o", "json"];
    let outcome = place.run(&[&["rehearse", "production"][..], &wishes].concat());
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let supposed = ["5% of the requests to the API server go wrong", "a cluster of 4 nodes"];
    assert_eq!(last_event(&outcome)["supposed"], serde_json::json!(supposed));
    let outcome = place.run(&["rehearse", "production", "--fail", "Deployment/api=pull", "-o", "json"]);
    assert_eq!(last_event(&outcome)["supposed"], serde_json::json!(["Deployment/api cannot pull its image"]));
    let outcome = place.run(&["rehearse", "production", "--slow", "Job/a=1s", "--slow", "Job/a=2s"]);
    assert!(outcome.code == Some(2), "{outcome}");
}

#[test]
fn only_what_a_real_run_took_is_measured() {
    let place = small();
    let simulated = place.run(&["rehearse", "local", "-o", "json"]);
    write(&place.folder().join("simulated.jsonl"), simulated.stdout.as_bytes());
    write(&place.folder().join("nothing.jsonl"), b"nothing\n");
    let real = simulated.stdout.replace("\"server\":\"simulated\"", "\"server\":\"https://10.0.0.1:6443\"");
    write(&place.folder().join("real.jsonl"), real.as_bytes());
    for (file, told) in [
        ("simulated.jsonl", "that run was simulated: its times are assumed ones"),
        ("nothing.jsonl", "there is no run in it in which anything became ready"),
        ("/dev/null", "there is no run in it"),
    ] {
        let outcome = place.run(&["rehearse", "local", "--measured", file]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
    let outcome = place.run(&["rehearse", "local", "--measured", "real.jsonl"]);
    assert!(outcome.code == Some(0) && !outcome.stderr.contains("are those of a run of"), "{outcome}");
    let outcome = place.run(&["rehearse", "production", "--measured", "real.jsonl"]);
    assert!(outcome.stderr.contains("times of real.jsonl are those of a run of local"), "{outcome}");
}

#[test]
fn wishes_that_mean_nothing_are_put_right() {
    let place = Place::new();
    for (wish, told) in [
        (["--fail", "Deployment/apy=crash"], "did you mean --fail Deployment/api=crash?"),
        (["--fail", "api=crash"], "did you mean --fail Deployment/api=crash?"),
        (["--slow", "redis=1h"], "did you mean --slow StatefulSet/redis=1h?"),
        (["--fail", "Deployment/api=explode"], "the ways are crash, pull and never"),
        (["--set", "api.replicas=100000"], "a simulated cluster takes 10000 at most"),
        (["--slow", "Deployment/api=soon"], "a time is written as 90s, 20m or 3h30m"),
        (["--api-errors", "5"], "a share is written as 5%"),
    ] {
        let outcome = place.run(&["rehearse", "production", wish[0], wish[1]]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
}

#[test]
fn wishes_without_effect_are_refused() {
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: routes.shop.example}\nspec:\n  \
        group: shop.example\n  scope: Namespaced\n  names: {kind: Route, plural: routes}\n  versions:\n  - name: v1\n    served: true\n    \
        storage: true\n    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n---\n\
        apiVersion: shop.example/v1\nkind: Route\nmetadata: {name: a}\n---\n\
        apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: web}\n---\n\
        apiVersion: db.example/v1\nkind: Cluster\nmetadata: {name: db}\n---\n\
        apiVersion: v1\nkind: Service\nmetadata: {name: front, annotations: {rekindle.dev/ready: \"has(object.spec)\"}}\nspec: {ports: [{port: 80}]}\n";
    let place = small().file("templates/storage/things.yaml", definition);
    for (wish, told) in [
        (["--fail", "Certificate/web=never"], "nothing waits for Certificate/web: --fail changes nothing"),
        (["--slow", "Cluster/db=20m"], "give it the annotation rekindle.dev/ready"),
        (["--slow", "Route/a=20m"], "nothing waits for Route/a: --slow changes nothing"),
        (
            ["--fail", "Service/front=never"],
            "a simulation gives Service/front no time of its own: --fail changes nothing",
        ),
        (["--slow", "ConfigMap/raw=1m"], "nothing waits for ConfigMap/raw: --slow changes nothing"),
    ] {
        let outcome = place.run(&["rehearse", "local", wish[0], wish[1]]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
    // What waits for something that an operator makes waits for the resource.
    let gate = "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: database}\nspec: {tcp: {service: db-rw, port: 5432}}\n";
    let outcome = place.file("templates/storage/gate.yaml", gate).run(&[
        "rehearse",
        "local",
        "--slow",
        "Cluster/db=2m",
        "-o",
        "json",
    ]);
    assert!(last_event(&outcome)["seconds"].as_f64().unwrap() > 120.0, "{outcome}");
}

#[test]
fn without_a_key_stand_ins_take_the_place_of_secrets() {
    let kit = small().file("secrets/schema.yaml", "password: {description: a, required: true}\n").file(
        "templates/storage/secret.yaml.tera",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: {{ secret(name=\"password\") }}}\n",
    );
    let outcome = kit.run(&["rehearse", "local"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(outcome.stderr.contains("stand-ins take the place of all secrets"), "{outcome}");
    assert!(!outcome.stderr.contains("stand-in-for-"), "{outcome}");
}

#[test]
fn the_simulated_cluster_is_served_to_this_machine_alone() {
    let outcome = Place::new().run(&["rehearse", "production", "--serve=0.0.0.0:0"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    for told in ["no address of this machine alone", "holds the environment's secrets", "--serve=127.0.0.1:PORT"] {
        assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
    }
}

#[test]
fn what_only_a_simulation_can_do_is_not_asked_of_a_real_cluster() {
    let outcome = Place::new().run(&["rehearse", "local", "--context", "kind", "--fail", "Deployment/api=crash"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("only a simulated cluster can be made to do that"), "{outcome}");
    let outcome = Place::new().run(&["rehearse", "local", "--context", "kind", "--instance", "pr-1"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("a rehearsal has an instance of its own"), "{outcome}");
    let outcome = Place::new().run(&["rehearse", "local", "--context", "kind"]);
    assert_eq!(outcome.code, Some(5), "{outcome}");
}

#[test]
fn a_report_is_one_file_that_loads_nothing() {
    let place = Place::new();
    let outcome = place.run(&["rehearse", "production", "--report", "report.html"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(outcome.stderr.ends_with("report: report.html\n"), "{outcome}");
    let html = place.read("report.html");
    for told in
        ["production can be rebuilt from nothing in ", "What bounds the time", "Timeline", "What a rebuild would need"]
    {
        assert!(html.contains(told), "{told:?} is missing");
    }
    for loaded in ["<script", "<link", "<img", "url(", "@import", " src=", " href="] {
        assert!(!html.contains(loaded), "{loaded:?} is in it");
    }
}

#[test]
fn a_failed_rehearsal_has_a_report_in_each_form() {
    let place = Place::new();
    for (file, told) in [
        ("r.html", "<h2>What stopped it</h2>"),
        ("r.md", "## What stopped it"),
        ("r.json", "\"good\": false"),
        ("r.xml", "<failure message=\""),
    ] {
        let outcome = place.run(&["rehearse", "production", "--fail", "Deployment/api=crash", "--report", file]);
        assert_eq!(outcome.code, Some(7), "{outcome}");
        assert!(place.read(file).contains(told), "{told:?} is missing in {file}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_anything_is_done() {
    let place = Place::new();
    for (file, told) in [
        (
            "report.pdf",
            "the ending does not say which form it takes\n\n  known endings: .html, .json, .md, .xml (JUnit)",
        ),
        ("report", "the ending does not say which form it takes"),
        ("missing/report.html", "there is no folder missing"),
        ("/proc/report.html", "cannot be written"),
    ] {
        for command in [["rehearse", "production"], ["up", "local"]] {
            let outcome = place.run(&[command[0], command[1], "--report", file]);
            assert_eq!(outcome.code, Some(2), "{outcome}");
            assert!(outcome.stderr.starts_with(&format!("✗ --report {file}: ")), "{outcome}");
            assert!(outcome.stderr.contains(told), "{told:?} is missing: {outcome}");
        }
    }
}

/// What the last screen says of the rehearsal before.
fn before(outcome: &Outcome) -> Option<String> {
    let line = outcome.stderr.lines().find(|line| line.starts_with("  before:"))?;
    let told = line.trim_start_matches("  before:").trim();
    // Whichever second it was.
    let (age, rest) = told.strip_prefix("rehearsed ")?.split_once(", ")?;
    assert!(age == "just now" || age.ends_with(" ago"), "{told}");
    Some(rest.to_owned())
}

#[test]
fn a_rehearsal_is_on_record_and_told_with_its_kit() {
    let kit = small();
    assert_eq!(before(&kit.run(&["rehearse", "local"])), None, "there was none before");
    let again = kit.run(&["rehearse", "local"]);
    assert!(before(&again).unwrap().ends_with("; the kit is the same"), "{again}");
    assert_eq!(before(&kit.run(&["rehearse", "production"])), None, "that is another environment");
    let changed = kit.file("templates/storage/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: raw}\n");
    let after = changed.run(&["rehearse", "local"]);
    assert!(before(&after).unwrap().ends_with("; the kit has changed since"), "{after}");
    let what_if = changed.run(&["rehearse", "local", "--fail", "Deployment/api=crash"]);
    assert_eq!(what_if.code, Some(7), "{what_if}");
    let last = changed.run(&["rehearse", "local"]);
    assert!(!before(&last).unwrap().contains("failed"), "a what-if says nothing of the environment: {last}");
}

#[test]
fn what_if_data_were_another_is_no_rehearsal_of_the_environment() {
    let place = with_data();
    write(&place.folder().join("survivors.yaml"), b"apiVersion: v1\nkind: List\nitems: []\n");
    for supposed in [
        &["--data", "db=restore"][..],
        &["--allow-empty", "cache", "--confirm-data", "cache"],
        &["--survivors", "survivors.yaml", "--allow-empty", "cache", "--confirm-data", "cache"],
    ] {
        let words = [&["rehearse", "production"], supposed].concat();
        let outcome = place.run(&words);
        assert!(outcome.code != Some(4), "it has not begun: {outcome}");
        let again = place.run(&words);
        assert_eq!(before(&again), None, "{supposed:?}: {again}");
    }
}

#[test]
fn records_are_private_and_hold_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    assert_eq!(place.run(&["rehearse", "local"]).code, Some(0));
    let folder = place.folder().join("home/.local/state/rekindle/rehearsals");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let keys: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["rehearsal", "time", "stack", "environment", "kit", "outcome", "seconds", "what_if"]);
}

#[test]
fn a_record_that_cannot_be_written_is_a_warning() {
    let kit = small();
    crate::support::write(&kit.folder().join("home/.local"), b"no folder");
    let outcome = kit.run(&["rehearse", "local"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(outcome.stderr.contains("warning: no record of this rehearsal is kept: "), "{outcome}");
}

#[test]
fn storage_classes_are_the_clusters_where_the_kit_makes_none() {
    let claim = |name: &str, class: &str| {
        format!(
            "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\n\
             spec: {{{class}accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
        )
    };
    let pod = "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  serviceName: db\n  selector: {matchLabels: {app: db}}\n  \
               template:\n    metadata: {labels: {app: db}}\n    spec:\n      containers: [{name: a, image: a:1, volumeMounts: [{name: one, mountPath: /1}, {name: two, mountPath: /2}]}]\n      \
               volumes:\n      - {name: one, persistentVolumeClaim: {claimName: one}}\n      - {name: two, persistentVolumeClaim: {claimName: two}}\n";
    let documents = claim("one", "") + &claim("two", "storageClassName: fast, ") + pod;
    let outcome = small().file("templates/services/claims.yaml", &documents).run(&["rehearse", "local"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let told = outcome.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("the StorageClass fast, a default StorageClass"), "{outcome}");
}

#[test]
fn while_members_are_copied_the_simulated_watches_hold() {
    let words = ["rehearse", "production", "--fail", "StatefulSet/redis=pull", "--allow-empty", "redis"];
    let outcome = Place::new().run(&[&words[..], &["--confirm-data", "redis", "-o", "json"]].concat());
    assert_eq!(outcome.code, Some(7), "{outcome}");
    assert!(!outcome.stdout.contains("a watch is not possible"), "{outcome}");
}

#[test]
fn kinds_whose_controllers_only_write_a_status_become_ready() {
    let place = small()
        .file(
            "templates/storage/kinds.yaml",
            "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: all}\nspec: {hard: {pods: \"9\"}}\n---\n\
             apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: shop-names}\n\
             spec:\n  matchConstraints: {resourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]}\n  \
             validations: [{expression: \"true\"}]\n---\n\
             apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: clusters.db.example}\nspec:\n  \
             group: db.example\n  scope: Namespaced\n  names: {kind: Cluster, plural: clusters}\n  versions:\n  - name: v1\n    served: true\n    \
             storage: true\n    subresources: {status: {}}\n    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n---\n\
             apiVersion: db.example/v1\nkind: Cluster\nmetadata: {name: main}\nspec: {instances: 3}\n",
        )
        .file(
            "templates/services/rc.yaml",
            "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: old}\nspec:\n  replicas: 2\n  selector: {app: old}\n  \
             template:\n    metadata: {labels: {app: old}}\n    spec: {containers: [{name: old, image: a:1}]}\n",
        );
    let rehearsed = place.run(&["rehearse", "local"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    let words = rehearsed.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("5.0 s until a custom resource is what its operator calls ready"), "{rehearsed}");
}

/// Custom resources of an operator that the kit does not bring, and a ConfigMap that something else fills.
const OPERATED: &str = "apiVersion: cert-manager.io/v1\nkind: Certificate\n\
    metadata: {name: web, annotations: {rekindle.dev/ready: \"object.status.conditions.exists(c, c.type == 'Issued' && c.status == 'True')\"}}\n---\n\
    apiVersion: db.example/v1\nkind: Database\n\
    metadata: {name: main, annotations: {rekindle.dev/ready: \"object.status.phase == 'Running' && object.status.ready >= object.spec.replicas\"}}\n\
    spec: {replicas: 3}\n---\n\
    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, annotations: {rekindle.dev/ready: \"has(object.data) && object.data['ca.crt'] != ''\"}}\n";

#[test]
fn what_operators_and_others_write_is_read_off_the_expression_that_waits_for_it() {
    let place = small().file("templates/storage/operated.yaml", OPERATED);
    let rehearsed = place.run(&["rehearse", "local", "--slow", "Database/main=2m"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    let words = rehearsed.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        "the kinds Certificate (cert-manager.io/v1) and Database (db.example/v1)",
        "until something has filled what is waited for",
        "Database/main 2 m",
    ] {
        assert!(words.contains(told), "{told}: {rehearsed}");
    }
    let failed = place.run(&["rehearse", "local", "--fail", "Certificate/web=never"]);
    assert_eq!(failed.code, Some(7), "{failed}");
    assert!(failed.stderr.contains("Certificate/web will not become ready"), "{failed}");
    let unknown = OPERATED.replace("object.status.phase == 'Running'", "object.status.url.matches('^https:')");
    let told = small().file("templates/storage/operated.yaml", &unknown).run(&["rehearse", "local"]);
    assert_eq!(told.code, Some(7), "{told}");
    let nobody = "nobody plays in a simulation what Database/main waits for: its rekindle.dev/ready does not say";
    assert!(told.stderr.contains(nobody) && !told.stderr.contains("what Certificate/web waits"), "{told}");
}

/// Webhooks that wait for cert-manager's injector.
const WEBHOOKS: &str = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\n\
    metadata: {name: shop-orders, annotations: {cert-manager.io/inject-ca-from-secret: shop/orders-ca}}\nwebhooks:\n\
    - name: orders.shop.example\n  admissionReviewVersions: [v1]\n  sideEffects: None\n  \
    clientConfig: {service: {name: api, namespace: shop, path: /check}}\n  \
    rules: [{apiGroups: [shop.example], apiVersions: [v1], operations: [CREATE], resources: [orders]}]\n";

#[test]
fn webhooks_get_the_bundle_that_they_wait_for() {
    let place = small().file("templates/services/webhooks.yaml", WEBHOOKS);
    let rehearsed = place.run(&["rehearse", "local"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    let words = rehearsed.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("5.0 s until webhooks have got their CA bundle"), "{rehearsed}");
    assert!(!words.contains("what its operator calls ready"), "{rehearsed}");
    let failed = place.run(&["rehearse", "local", "--fail", "ValidatingWebhookConfiguration/shop-orders=never"]);
    assert_eq!(failed.code, Some(7), "{failed}");
    assert!(failed.stderr.contains("orders.shop.example waits for its CA bundle"), "{failed}");
}

#[test]
fn gateways_and_routes_are_accepted_and_make_nothing() {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: web}\n\
        spec: {gatewayClassName: x, listeners: [{name: http, port: 80, protocol: HTTP}]}\n---\n\
        apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web}\n\
        spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: web, port: 80}]}]}\n";
    let place = small().file("templates/storage/gateway.yaml", gateway);
    let rehearsed = place.run(&["rehearse", "local"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    // What nobody makes is missing, though a route has its name.
    let gate = "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: front}\nspec: {timeout: 5s, tcp: {service: web-front, port: 80}}\n";
    let missing = place.file("templates/storage/gate.yaml", gate).run(&["rehearse", "local"]);
    assert_eq!(missing.code, Some(7), "{missing}");
    assert!(missing.stderr.contains("there is no Service web-front"), "{missing}");
}

#[test]
fn hosts_are_asked_where_a_controller_would_send_the_gates_path() {
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  rules:\n  - host: \"*.shop.example\"\n    \
        http:\n      paths:\n      - {path: /, pathType: Prefix, backend: {service: {name: nobody, port: {number: 80}}}}\n      \
        - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 8080}}}}\n      \
        - {path: /files, pathType: Prefix, backend: {resource: {apiGroup: shop.example, kind: Bucket, name: files}}}\n---\n\
        apiVersion: v1\nkind: Service\nmetadata: {name: nobody}\nspec: {selector: {app: nobody}, ports: [{port: 80}]}\n";
    let gate = |target: &str| {
        format!(
            "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {{name: front}}\nspec: {{timeout: 5s, http: {{{target}}}}}\n"
        )
    };
    let mut place = small().file("templates/services/ingress.yaml", ingress);
    for (target, told) in [
        ("ingress: A.Shop.example, path: /api/v1", None),
        ("ingress: a.shop.example, path: \"/api?x=/\"", None),
        ("ingress: a.shop.example, path: /files/x", None),
        ("ingress: elsewhere.example, address: gateway.example, path: /", None),
        ("ingress: a.shop.example, path: /apis", Some("no pod for Service nobody")),
        ("ingress: a.b.shop.example, path: /api", Some("no Ingress in namespace shop has a rule for a.b.shop.example")),
    ] {
        place = place.file("templates/services/gate.yaml", &gate(target));
        let rehearsed = place.run(&["rehearse", "local"]);
        match told {
            None => assert_eq!(rehearsed.code, Some(0), "{target}: {rehearsed}"),
            Some(told) => {
                assert!(rehearsed.code == Some(7) && rehearsed.stderr.contains(told), "{target}: {rehearsed}")
            }
        }
    }
}

#[test]
fn what_runs_in_pods_of_an_operator_is_asked_by_its_resource() {
    let gate = "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: db}\nspec: {instances: 3}\n---\n\
        apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: members}\n\
        spec: {timeout: 30s, exec: {selector: {cnpg.io/cluster: db}, command: [pg_isready]}}\n";
    let place = small().file("templates/storage/cr.yaml", gate);
    let rehearsed = place.run(&["rehearse", "local"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    let words = rehearsed.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("pods of Cluster/db answer when it is ready"), "{rehearsed}");
    let other = small().file("templates/storage/cr.yaml", &gate.replace("cluster: db", "cluster: other"));
    let missing = other.run(&["rehearse", "local"]);
    assert!(missing.code == Some(7) && missing.stderr.contains("there is no pod for the pod"), "{missing}");
}

#[test]
fn ports_of_a_host_are_taken_once() {
    let web = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: edge}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: edge}}\n  \
        template:\n    metadata: {labels: {app: edge}}\n    spec: {containers: [{name: a, image: a:1, ports: [{containerPort: 80, hostPort: 80}]}]}\n";
    let place = small().file("templates/storage/edge.yaml", web);
    let rehearsed = place.run(&["rehearse", "local"]);
    assert!(rehearsed.code == Some(0) && rehearsed.to_string().contains("a cluster of 2 nodes or more"), "{rehearsed}");
    let one = place.run(&["rehearse", "local", "--nodes", "1"]);
    assert!(one.code == Some(7) && one.stderr.contains("didn't have free ports"), "{one}");
}

#[test]
fn a_secret_that_a_job_is_told_to_make_is_there_when_it_is_done() {
    let text = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: create}\nspec:\n  ttlSecondsAfterFinished: 0\n  template:\n    spec: {restartPolicy: \
        OnFailure, containers: [{name: a, image: a:1, args: [create, --secret-name=hook-cert]}]}\n---\n\
        apiVersion: v1\nkind: Pod\nmetadata: {name: hook}\nspec:\n  containers: [{name: a, image: a:1}]\n  \
        volumes: [{name: cert, secret: {secretName: hook-cert}}]\n";
    let rehearsed = small().file("templates/storage/hook.yaml", text).run(&["rehearse", "local"]);
    assert!(rehearsed.code == Some(0) && rehearsed.to_string().contains("Secret/hook-cert"), "{rehearsed}");
    let other = text.replace("--secret-name=hook-cert", "--verbose");
    let missing = small().file("templates/storage/hook.yaml", &other).run(&["rehearse", "local"]);
    assert!(missing.code == Some(7) && missing.stderr.contains("FailedMount"), "{missing}");
}

#[test]
fn a_volume_without_a_class_is_bound_to_the_claim_that_names_it() {
    let nfs = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: files}\nspec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], \
        nfs: {server: nfs.example, path: /files}}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: files}\nspec: {accessModes: \
        [ReadWriteMany], volumeName: files, resources: {requests: {storage: 1Gi}}}\n";
    let rehearsed = small().file("templates/storage/nfs.yaml", nfs).run(&["rehearse", "local"]);
    assert!(rehearsed.code == Some(0) && !rehearsed.to_string().contains("default StorageClass"), "{rehearsed}");
}

#[test]
fn a_custom_resource_is_judged_by_the_version_that_it_is_written_in() {
    let version = |name: &str, storage: bool, field: &str| {
        format!(
            "  - {{name: {name}, served: true, storage: {storage}, subresources: {{status: {{}}}}, schema: {{openAPIV3Schema: {{type: object, \
             properties: {{status: {{type: object, x-kubernetes-preserve-unknown-fields: true}}, spec: {{type: object, required: [{field}], \
             properties: {{{field}: {{type: string}}}}}}}}}}}}}}\n"
        )
    };
    let text = format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.example.org}}\nspec:\n  group: example.org\n  \
         scope: Namespaced\n  names: {{kind: Widget, plural: widgets}}\n  versions:\n{}{}---\n\
         apiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: w}}\nspec: {{new: a}}\n",
        version("v1beta1", false, "old"),
        version("v1", true, "new")
    );
    let rehearsed = small().file("templates/storage/w.yaml", &text).run(&["rehearse", "local"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    let wrong = small().file("templates/storage/w.yaml", &text.replace("{new: a}", "{}")).run(&["rehearse", "local"]);
    assert!(wrong.code == Some(6) && wrong.stderr.contains("spec.new: Required value"), "{wrong}");
}

#[test]
fn what_a_gate_asks_of_all_that_have_a_label_is_written_on_each() {
    let gate = "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: db, labels: {tier: data}}\n---\n\
        apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: index, labels: {tier: data}}\n---\n\
        apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: clusters}\n\
        spec: {timeout: 60s, condition: {kind: Cluster, selector: {tier: data}, ready: 'objects.all(o, o.status.phase == \"Healthy\")'}}\n";
    let place = small().file("templates/storage/cr.yaml", gate);
    let rehearsed = place.run(&["rehearse", "local"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    let unreadable = gate.replace("o.status.phase == \"Healthy\"", "o.status.phase.matches(\"x{3}y?\")");
    let told = small().file("templates/storage/cr.yaml", &unreadable).run(&["rehearse", "local"]);
    assert_eq!(told.code, Some(7), "{told}");
    for name in ["Cluster/db", "Cluster/index"] {
        assert!(told.stderr.contains(&format!("nobody plays in a simulation what {name} waits for")), "{told}");
    }
}

#[test]
fn what_operators_make_for_their_resources_is_there_for_pods_and_gates() {
    let resources = "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: x}\nspec: {secretName: web-tls}\n---\n\
        apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: db}\nspec: {instances: 3}\n";
    let pods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  selector: {matchLabels: {app: shop}}\n  template:\n    \
        metadata: {labels: {app: shop}}\n    spec:\n      containers:\n      - {name: a, image: a:1, envFrom: [{secretRef: {name: db-app}}]}\n      \
        volumes: [{name: tls, secret: {secretName: web-tls}}]\n---\n\
        apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: database}\nspec: {tcp: {service: db-rw, port: 5432}}\n---\n\
        apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: members}\n\
        spec: {condition: {kind: Cluster, name: db, ready: object.status.readyInstances == object.spec.instances}}\n";
    let place = small().file("templates/storage/cr.yaml", resources).file("templates/services/shop.yaml", pods);
    let rehearsed = place.run(&["rehearse", "local"]);
    assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    let words = rehearsed.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("operators make Secret/db-app, Secret/web-tls and Service/db-rw"), "{rehearsed}");
    // Without the resource there is nobody who would.
    let alone = small().file("templates/services/shop.yaml", pods).run(&["rehearse", "local"]);
    assert_eq!(alone.code, Some(7), "{alone}");
    assert!(alone.stderr.contains("not found"), "{alone}");
}

#[test]
fn a_job_that_fails_or_takes_too_long_is_told_and_nothing_else() {
    let job = |more: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate}}\nspec:\n  {more}\n  template:\n    spec:\n      restartPolicy: Never\n      \
             containers: [{{name: migrate, image: a:1}}]\n"
        )
    };
    let failing = small().file("templates/services/job.yaml", &job("backoffLimit: 2"));
    let told = failing.run(&["rehearse", "local", "--fail", "Job/migrate=crash"]);
    assert_eq!(told.code, Some(7), "{told}");
    assert!(!told.stderr.contains("a watch is not possible"), "{told}");
    let late = small().file("templates/services/job.yaml", &job("activeDeadlineSeconds: 30"));
    let told = late.run(&["rehearse", "local", "--slow", "Job/migrate=80s"]);
    assert_eq!(told.code, Some(7), "{told}");
    assert!(told.stderr.contains("Job was active longer than specified deadline"), "{told}");
}

#[test]
fn a_report_says_how_old_the_last_rehearsal_is() {
    let place = small();
    assert_eq!(place.run(&["rehearse", "local"]).code, Some(0));
    assert_eq!(place.run(&["rehearse", "local", "--report", "again.md"]).code, Some(0));
    let report = place.read("again.md");
    assert!(report.contains("Before this") && report.contains("the kit is the same"), "{report}");
}

#[test]
fn real_runs_of_the_environment_give_their_times() {
    let place = small();
    let journal = |environment: &str, seconds: f64| {
        let process = serde_json::json!({"pid": 1, "started": 1, "uid": 0, "boot": "b", "pid_namespace": "n"});
        let header = serde_json::json!({"journal": 1, "rekindle": "0.1.0", "run": "a", "time": "2026-11-25T16:06:12Z",
            "command": "", "look": "", "environment": environment, "kit": null, "stack": "shop", "cluster": "u", "context": "c",
            "server": "s", "by": "me", "process": process, "hosts": []});
        let object = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"});
        let applied = serde_json::json!({"event": "object-applied", "object": object, "action": "created"});
        let ready = serde_json::json!({"event": "object-ready", "object": object, "seconds": seconds});
        format!("{header}\n{applied}\n{ready}\n")
    };
    let runs = place.folder().join("home/.local/state/rekindle/runs");
    write(&runs.join("20261125T160612.000Z-a.jsonl"), journal("production", 300.0).as_bytes());
    let told = place.run(&["rehearse", "local", "-o", "json"]);
    assert_eq!(last_event(&told)["measured"], serde_json::json!([]), "that was another environment");
    write(&runs.join("20261125T160613.000Z-b.jsonl"), journal("local", 90.0).as_bytes());
    let told = place.run(&["rehearse", "local", "-o", "json"]);
    assert_eq!(last_event(&told)["measured"], serde_json::json!(["Deployment/api"]), "{told}");
    let seconds = last_event(&told)["seconds"].as_f64().unwrap();
    assert!((90.0..95.0).contains(&seconds), "{seconds}");
}

/// A Deployment that wants each of its pods on a host of its own, and a disk.
const APART: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: apart}\nspec:\n  replicas: 3\n  \
    selector: {matchLabels: {app: apart}}\n  template:\n    metadata: {labels: {app: apart}}\n    spec:\n      \
    containers: [{name: a, image: a:1}]\n      nodeSelector: {disk: ssd}\n      affinity: {podAntiAffinity: \
    {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, \
    labelSelector: {matchLabels: {app: apart}}}]}}\n";

#[test]
fn nodes_that_are_given_bound_what_can_be_placed() {
    let place = small().file("templates/services/apart.yaml", APART);
    let words = |outcome: &Outcome| outcome.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let enough = place.run(&["rehearse", "local"]);
    assert_eq!(enough.code, Some(0), "{enough}");
    let told = "a cluster of 3 nodes or more, 3 nodes with the label disk=ssd";
    assert!(words(&enough).contains(told), "{enough}");
    let few = place.run(&["rehearse", "local", "--nodes", "2"]);
    assert_eq!(few.code, Some(7), "{few}");
    let told = "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules";
    assert!(words(&few).contains(told), "{few}");
    write(
        &place.folder().join("left.yaml"),
        b"apiVersion: v1\nkind: Node\nmetadata: {name: worker-1, labels: {disk: hdd}}\n",
    );
    let given = place.run(&["rehearse", "local", "--survivors", "left.yaml"]);
    assert_eq!(given.code, Some(7), "{given}");
    let told = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector";
    assert!(words(&given).contains(told), "{given}");
}

#[test]
fn volumes_of_the_kit_are_bound_to_its_claims() {
    let claim = |class: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec: {{storageClassName: {class}, \
             accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
        )
    };
    let volume = |class: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: disk}}\nspec: {{{class}capacity: {{storage: 2Gi}}, \
             accessModes: [ReadWriteOnce], hostPath: {{path: /disk}}}}\n---\n"
        )
    };
    for (of_volume, of_claim) in
        [("", "\"\""), ("storageClassName: manual, ", "manual"), ("claimRef: {namespace: shop, name: data}, ", "\"\"")]
    {
        let place = small().file("templates/storage/disk.yaml", &(volume(of_volume) + &claim(of_claim)));
        let outcome = place.run(&["rehearse", "local"]);
        assert_eq!(outcome.code, Some(0), "{of_volume} {outcome}");
        assert!(!outcome.to_string().contains("the StorageClass"), "{outcome}");
    }
}
