//! `plan`: what it shows is what `up` does; a saved plan is executed exactly, or not at all.

use serde_json::Value;

use super::support::{Bed, Kit, Ran, Space, run};
use super::{BED, KINDS, STACK, config, deployment};

fn kit(space: &Space<'_>) -> Kit {
    let kit = Kit::new(&space.name, STACK);
    kit.write("templates/storage/settings.yaml", &config("settings", "a"));
    kit.write("templates/storage/same.yaml", &config("same", "same"));
    kit.write("templates/services/api.yaml", &deployment("api", 0));
    kit
}

/// The data of a plan without its padding, a line each.
fn lines(ran: &Ran) -> Vec<String> {
    ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[track_caller]
fn shows(ran: &Ran, line: &str) {
    assert!(lines(ran).iter().any(|shown| shown.starts_with(line)), "{line:?} is missing in:\n{}", ran.stdout);
}

/// Names of the objects with their intents, from the JSON form.
fn intents(ran: &Ran) -> Vec<String> {
    let of = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["object"];
        format!("{} {}/{}", text(&event["intent"]), text(&object["kind"]), text(&object["name"]))
    };
    ran.events().iter().filter(|event| event["event"] == "planned-object").map(of).collect()
}

#[test]
#[ignore = "needs a real control plane"]
fn it_shows_what_up_does_and_writes_nothing() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "plan");
    let kit = kit(&space);
    let first =
        run(&kit, &bed, &["plan", "test", "--exit-code"]).exit(9).says("4 to create").says("nothing was written");
    shows(&first, "+ create Deployment/api templates/services/api.yaml:1");
    assert!(bed.get("v1", "Namespace", None, &space.name).is_none());
    run(&kit, &bed, &["up", "test"]).exit(0);
    run(&kit, &bed, &["plan", "test", "--exit-code"]).exit(0).says("is as the kit says: 4 unchanged");

    kit.write("templates/storage/settings.yaml", &config("settings", "b"));
    kit.write("templates/services/api.yaml", &deployment("api", 0).replace("example/image:1", "example/image:2"));
    let before = bed.versions(&space.name, KINDS);
    let changed = run(&kit, &bed, &["plan", "test"]).exit(0).says("2 to change, 2 unchanged");
    shows(&changed, "~ change ConfigMap/settings templates/storage/settings.yaml:1");
    shows(&changed, "- data.key: a");
    shows(&changed, "+ data.key: b");
    shows(&changed, "+ spec.template.spec.containers[name=main].image: example/image:2");
    assert_eq!(bed.versions(&space.name, KINDS), before, "a plan writes nothing");
    let planned = intents(&run(&kit, &bed, &["plan", "test", "-o", "json"]).exit(0));
    assert!(planned.contains(&"change Deployment/api".to_owned()), "{planned:?}");
    let did = run(&kit, &bed, &["up", "test", "-o", "json"]).exit(0);
    let did: Vec<String> = did
        .events()
        .iter()
        .filter(|event| event["action"] == "changed")
        .map(|event| {
            format!(
                "change {}/{}",
                event["object"]["kind"].as_str().unwrap(),
                event["object"]["name"].as_str().unwrap()
            )
        })
        .collect();
    let mut wanted: Vec<_> = planned.into_iter().filter(|line| line.starts_with("change")).collect();
    wanted.sort();
    let mut did = did;
    did.sort();
    assert_eq!(did, wanted);
}

#[test]
#[ignore = "needs a real control plane"]
fn drift_is_shown_although_the_kit_has_not_changed() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "plandrift");
    let kit = kit(&space);
    run(&kit, &bed, &["up", "test"]).exit(0);
    let theirs = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: {}}}\ndata: {{key: theirs}}",
        space.name
    );
    bed.apply_as("somebody", &theirs);
    let refused = run(&kit, &bed, &["plan", "test", "--exit-code"]).exit(4).says("1 refused");
    shows(&refused, "✗ refuse ConfigMap/settings");
    assert!(refused.stdout.contains("somebody") && refused.stdout.contains("data.key"), "{}", refused.stdout);
    let taken = run(&kit, &bed, &["plan", "test", "--take-ownership"]).exit(0).says("1 to change");
    shows(&taken, "- data.key: theirs");
    shows(&taken, "+ data.key: a");
}

#[test]
#[ignore = "needs a real control plane"]
fn what_cannot_be_changed_in_place_and_what_is_not_ours_is_told_before() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "planned");
    let kit = kit(&space);
    let job = |image: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\nspec:\n  suspend: true\n  template:\n    spec:\n      \
             restartPolicy: Never\n      containers: [{{name: main, image: '{image}'}}]\n"
        )
    };
    let until = ["up", "test", "--until", "storage"];
    kit.write("templates/services/once.yaml", &job("example/image:1"));
    run(&kit, &bed, &until).exit(0);
    let made = job("example/image:1").replace("{name: once}", &format!("{{name: once, namespace: {}}}", space.name));
    bed.apply_as("somebody", &made);
    let foreign = run(&kit, &bed, &["plan", "test"]).exit(4).says("1 refused");
    shows(&foreign, "✗ refuse Job/once");
    let adopted = run(&kit, &bed, &["plan", "test", "--adopt=Job/once", "--take-ownership"]).exit(0);
    shows(&adopted, "+ adopt Job/once");

    kit.write("templates/services/api.yaml", &deployment("api", 0));
    kit.remove("templates/services/once.yaml");
    run(&kit, &bed, &["up", "test"]).exit(0);
    kit.write("templates/services/api.yaml", &deployment("api", 0).replace("{app: api}", "{app: other}"));
    let immutable = run(&kit, &bed, &["plan", "test"]).exit(4).says("1 refused");
    shows(&immutable, "✗ refuse Deployment/api");
    assert!(immutable.stdout.contains("rekindle.dev/replace"), "{}", immutable.stdout);
    let allowed = deployment("api", 0).replace("{app: api}", "{app: other}");
    let allowed = allowed.replace("{name: api}", "{name: api, annotations: {rekindle.dev/replace: allowed}}");
    kit.write("templates/services/api.yaml", &allowed);
    shows(&run(&kit, &bed, &["plan", "test"]).exit(0), "± replace Deployment/api");
}

#[test]
#[ignore = "needs a real control plane"]
fn a_saved_plan_is_executed_exactly_or_not_at_all() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "saved");
    let kit = kit(&space);
    run(&kit, &bed, &["up", "test"]).exit(0);
    kit.write("templates/storage/settings.yaml", &config("settings", "b"));
    let file = kit.path().join("plan.json");
    let file = file.to_str().unwrap();
    run(&kit, &bed, &["plan", "test", "-o", file]).exit(0).says("--plan");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let up = ["up", "test", "--plan", file];

    // The kit gives something else than was planned.
    kit.write("templates/storage/settings.yaml", &config("settings", "c"));
    run(&kit, &bed, &up).exit(4).says("the kit").says("nothing was written");
    kit.write("templates/storage/settings.yaml", &config("settings", "b"));
    // The cluster is another one.
    let text = std::fs::read_to_string(file).unwrap();
    let saved: Value = serde_json::from_str(&text).unwrap();
    let uid = saved["cluster"].as_str().unwrap();
    std::fs::write(file, text.replace(uid, "00000000-1111-2222-3333-444444444444")).unwrap();
    run(&kit, &bed, &up).exit(4).says("another cluster").says(uid);
    // Cut off, and none at all.
    std::fs::write(file, &text[..text.len() / 2]).unwrap();
    run(&kit, &bed, &up).exit(2).says("no saved plan");
    std::fs::write(file, &text).unwrap();
    // Somebody was there in between.
    let same = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: same, namespace: {}, annotations: {{seen: '{value}'}}}}",
            space.name
        )
    };
    bed.apply_as("somebody", &same("yes"));
    let before = bed.versions(&space.name, KINDS);
    run(&kit, &bed, &up).exit(4).says("ConfigMap").says("same").says("nothing was written");
    assert_eq!(bed.versions(&space.name, KINDS), before);

    run(&kit, &bed, &["plan", "test", "-o", file]).exit(0);
    let done = run(&kit, &bed, &["up", "test", "--plan", file, "-o", "json"]).exit(0);
    assert_eq!(done.last()["written"], 1);
    run(&kit, &bed, &up).exit(4).says("settings");
}

#[test]
#[ignore = "needs a real control plane"]
fn values_of_secrets_are_never_in_a_plan() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "plansecret");
    let kit = kit(&space);
    let secret = |value: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{password: {value}}}\n")
    };
    kit.write("templates/storage/s.yaml", &secret("first-value-of-it"));
    run(&kit, &bed, &["up", "test"]).exit(0);
    kit.write("templates/storage/s.yaml", &secret("second-value-of-it"));
    let file = kit.path().join("plan.json");
    let ran = run(&kit, &bed, &["plan", "test", "-vv", "-o", file.to_str().unwrap()]).exit(0);
    shows(&ran, "~ change Secret/s");
    shows(&ran, "- data.password: •••");
    for value in ["first-value-of-it", "second-value-of-it", "Zmlyc3QtdmFsdWUtb2YtaX", "c2Vjb25kLXZhbHVlLW9mLWl0"] {
        for text in [&ran.stdout, &ran.stderr, &std::fs::read_to_string(&file).unwrap()] {
            assert!(!text.contains(value), "{value} in {text}");
        }
    }
}
