//! Never the wrong cluster: an exam of situations in which somebody reaches the wrong one of two real control planes. After
//! each, everything in that cluster is as it was, byte for byte, and the message names what was protected.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use kube::api::{DeleteParams, ListParams};
use kube::discovery::{Discovery, verbs};
use serde_json::{Value, json};

use super::support::{Bed, Kit, Ran, Space, begin, finish};
use super::{BED, config, deployment};

/// The cluster that is reached by mistake. No other test uses it.
const BED_B: &str = "REKINDLE_TEST_CONTROL_PLANE_B";

/// What the control plane renews by itself.
const RENEWED: [&str; 4] = ["Lease", "Event", "Endpoints", "EndpointSlice"];

/// `apiVersion Kind namespace/name` → UID and resourceVersion, of everything there is.
type Everything = BTreeMap<String, (String, String)>;

fn everything(bed: &Bed) -> Everything {
    bed.block_on(async {
        let discovery = Discovery::new(bed.client.clone()).run_aggregated().await.unwrap();
        let kinds = discovery.groups().flat_map(|group| group.resources_by_stability());
        let kinds = kinds.filter(|(resource, capabilities)| {
            capabilities.supports_operation(verbs::LIST) && !RENEWED.contains(&resource.kind.as_str())
        });
        let lists = kinds.map(|(resource, _)| async move {
            let api: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(bed.client.clone(), &resource);
            let objects = api.list_metadata(&ListParams::default()).await.unwrap();
            let entry = |meta: kube::core::ObjectMeta| {
                let (namespace, name) = (meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
                let key = format!("{} {} {namespace}/{name}", resource.api_version, resource.kind);
                (key, (meta.uid.unwrap_or_default(), meta.resource_version.unwrap_or_default()))
            };
            objects.into_iter().map(|object| entry(object.metadata)).collect::<Vec<_>>()
        });
        let all: Everything = futures::future::join_all(lists).await.into_iter().flatten().collect();
        assert!(all.keys().any(|key| key.contains(" ServiceAccount ")), "the look sees something");
        all
    })
}

/// Two clusters, and somebody's home.
struct Exam {
    a: Bed,
    b: Bed,
    folder: tempfile::TempDir,
    situations: usize,
}

/// Files of a kit beside those that every kit here has.
type Files<'a> = &'a [(&'a str, &'a str)];

impl Exam {
    fn new() -> Self {
        let (a, b) = (Bed::from_variable(BED), Bed::from_variable(BED_B));
        assert_ne!(a.uid, b.uid, "two clusters");
        let exam = Self { a, b, folder: tempfile::tempdir().unwrap(), situations: 0 };
        exam.clean();
        exam
    }

    /// Takes everything of Rekindle's out of B.
    fn clean(&self) {
        let namespaces = self.b.api("v1", "Namespace", None);
        let ours = |name: &str, labelled: bool| labelled || name == "rekindle-system";
        let list = || {
            let list = self.b.block_on(namespaces.list(&ListParams::default())).unwrap();
            let found = list.into_iter().filter_map(|object| {
                let labelled = object.metadata.labels.unwrap_or_default().contains_key("rekindle.dev/environment");
                object.metadata.name.filter(|name| ours(name, labelled))
            });
            found.collect::<Vec<_>>()
        };
        for name in list() {
            self.b.block_on(namespaces.delete(&name, &DeleteParams::default())).unwrap();
        }
        self.b.wait_until("B is empty", |_| list().is_empty());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A kubeconfig with these contexts, the first one current.
    fn kubeconfig(&self, name: &str, contexts: &[(&str, &Bed)]) -> PathBuf {
        let (mut clusters, mut users, mut named) = (Vec::new(), Vec::new(), Vec::new());
        for (context, bed) in contexts {
            let text = std::fs::read_to_string(&bed.kubeconfig).unwrap();
            let config: Value = serde_saphyr::from_str(&text).unwrap();
            clusters.push(json!({"name": context, "cluster": config["clusters"][0]["cluster"]}));
            users.push(json!({"name": context, "user": config["users"][0]["user"]}));
            named.push(json!({"name": context, "context": {"cluster": context, "user": context}}));
        }
        let config = json!({"apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users,
            "contexts": named, "current-context": contexts[0].0});
        let path = self.path(name);
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// A kit of the stack `shop`.
    fn kit(&self, name: &str, files: Files<'_>) -> PathBuf {
        let root = self.path(name);
        let write = |file: &str, text: &str| {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("templates/stack.yaml", "name: shop\nphases:\n- name: storage\n- name: services\n");
        write("templates/storage/settings.yaml", &config("settings", "kit"));
        write("templates/services/api.yaml", &deployment("api", 0));
        for (file, text) in files {
            write(file, text);
        }
        root
    }

    /// The binary as somebody calls it whose `$KUBECONFIG` is this.
    fn command(&self, kit: &Path, kubeconfig: &[&Path], arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.env_clear().env("HOME", self.path("home")).env("USER", "me").stdin(Stdio::null());
        command.env("KUBECONFIG", std::env::join_paths(kubeconfig).unwrap());
        command.args(arguments).arg("--kit").arg(kit);
        command
    }

    #[must_use = "look at the exit code"]
    fn run(&self, kit: &Path, kubeconfig: &[&Path], arguments: &[&str]) -> Ran {
        finish(self.command(kit, kubeconfig, arguments))
    }

    /// One situation: refused with exit 4, these words are said, and B is as it was.
    #[track_caller]
    fn refuses(&mut self, what: &str, files: Files<'_>, kubeconfig: &[&Path], arguments: &[&str], says: &[&str]) {
        self.situations += 1;
        let kit = self.kit(&format!("kit-{}", self.situations), files);
        let before = everything(&self.b);
        let ran = self.run(&kit, kubeconfig, arguments);
        let shown = format!("{what}: {arguments:?}\nstdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(4), "{shown}");
        assert!(ran.stderr.contains("nothing was written"), "{shown}");
        for text in says {
            assert!(ran.stderr.contains(text), "{text:?} is missing: {shown}");
        }
        assert_eq!(everything(&self.b), before, "B was touched: {shown}");
    }

    fn delete_record(&self, environment: &str) {
        let api = self.b.api("v1", "ConfigMap", Some("rekindle-system"));
        self.b.block_on(api.delete(&format!("environment-{environment}"), &DeleteParams::default())).unwrap();
    }

    fn record(&self, environment: &str) -> Option<Value> {
        self.b.get("v1", "ConfigMap", Some("rekindle-system"), &format!("environment-{environment}"))
    }

    /// Puts a record into B that another cluster, or nobody, has written.
    fn plant(&self, environment: &str, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        self.b.apply_as(
            "somebody",
            &json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("environment-{environment}"), "namespace": "rekindle-system"}, "data": data})
            .to_string(),
        );
    }
}

const STANDBY: &str = "environments/standby.yaml";
const PRODUCTION: &str = "environments/production.yaml";
const LIVE: &str = "environments/live.yaml";
const UNPINNED: (&str, &str) = (STANDBY, "namespace: shop-standby\n");

#[test]
#[ignore = "needs two real control planes"]
fn the_exam() {
    let mut exam = Exam::new();
    let (uid_a, uid_b) = (exam.a.uid.clone(), exam.b.uid.clone());
    let of =
        |uid: &str, more: &str| format!("namespace: shop-production\n{more}cluster: {{context: right, uid: {uid}}}\n");
    let pinned_a = of(&uid_a, "protected: true\n");
    let open_a = of(&uid_a, "");
    let protected = "namespace: shop-production\nprotected: true\n";
    let to_b = exam.kubeconfig("to-b", &[("b", &exam.b), ("right", &exam.a)]);
    let only_b = exam.kubeconfig("only-b", &[("b", &exam.b)]);
    let to_b = to_b.as_path();
    let only_b = only_b.as_path();

    an_empty_cluster(&mut exam, only_b, &pinned_a);
    first_use(&mut exam, only_b);
    live_is_bound_to_b(&exam, only_b);
    let live = "live: 3 objects, 1 claim with 10 GiB, protected, last change";

    // Production has no pin: whatever is said on the command line.
    for flags in [&[][..], &["--context", "b"], &["--yes"], &["--confirm", "production"], &["--take-ownership"]] {
        let arguments = [&["up", "production"], flags].concat();
        let says = [live, "not pinned to any cluster", "env pin production --kit ", " --context b"];
        exam.refuses("protected without a pin", &[(PRODUCTION, protected)], &[only_b], &arguments, &says);
    }
    let nulled = [("environments/base.yaml", pinned_a.as_str()), (PRODUCTION, "extends: base\ncluster: null\n")];
    exam.refuses("a pin that was taken away", &nulled, &[only_b], &["up", "production"], &[live, "not pinned"]);

    // Production is pinned to A, and B is reached.
    let kit = [(PRODUCTION, pinned_a.as_str())];
    let open = [(PRODUCTION, open_a.as_str())];
    let not = ["this is not production's cluster", live, uid_a.as_str(), uid_b.as_str()];
    for flags in [&[][..], &["--confirm", "production"], &["--yes"], &["--take-ownership"], &["--instance", "pr-1"]] {
        let arguments = [&["up", "production"], flags].concat();
        exam.refuses("the current context is B's", &kit, &[only_b], &arguments, &not);
        exam.refuses("the same, unprotected", &open, &[only_b], &arguments, &not);
    }
    exam.refuses("B by --context", &kit, &[to_b], &["up", "production", "--context", "b"], &not);
    let swapped = exam.kubeconfig("swapped", &[("right", &exam.b), ("b", &exam.a)]);
    let says = [live, "the context's name is the right one, the cluster behind it is not"];
    exam.refuses("swapped contexts", &kit, &[&swapped], &["up", "production"], &says);
    exam.refuses("swapped contexts, by name", &kit, &[&swapped], &["up", "production", "--context", "right"], &says);
    let renamed = exam.kubeconfig("renamed", &[("right", &exam.b), ("old-right", &exam.a)]);
    exam.refuses("a renamed context", &kit, &[&renamed], &["up", "production"], &says);
    let main_a = exam.kubeconfig("main-a", &[("main", &exam.a)]);
    let main_b = exam.kubeconfig("main-b", &[("main", &exam.b)]);
    exam.refuses("merged in the wrong order", &kit, &[&main_b, &main_a], &["up", "production"], &not);
    let missing = [("environments/production.yaml", pinned_a.replace("context: right, ", ""))];
    let missing = [(missing[0].0, missing[0].1.as_str())];
    exam.refuses("the first file's current context", &missing, &[only_b, &main_a], &["up", "production"], &not);
    let flag = ["up", "production", "--kubeconfig", only_b.to_str().unwrap()];
    exam.refuses("--kubeconfig over $KUBECONFIG", &kit, &[&main_a], &flag, &not);
    let extended = [("environments/base.yaml", open_a.as_str()), (STANDBY, "extends: base\nnamespace: x\n")];
    let says = ["nothing says that standby lives here too", live, "what it extends", "environments/base.yaml:2"];
    exam.refuses("a pin of what it extends", &extended, &[only_b], &["up", "standby"], &says);
    let stale = of("00000000-1111-2222-3333-444444444444", "");
    exam.refuses("a stale pin", &[(PRODUCTION, &stale)], &[only_b], &["up", "production"], &["was rebuilt", live]);
    let shouted = of(&uid_b.to_uppercase(), "");
    exam.refuses("not quite the UID", &[(PRODUCTION, &shouted)], &[only_b], &["up", "production"], &not[..2]);
    let set = ["up", "production", "--set", &format!("cluster.uid={uid_b}")];
    let misleading = format!("{open_a}values: {{cluster: {{uid: x}}}}\n");
    exam.refuses("a pin by --set", &[(PRODUCTION, &misleading)], &[only_b], &set, &not);
    for arguments in [&["status", "production"][..], &["status", "production", "--instance", "pr-1"]] {
        exam.refuses("only a look", &kit, &[only_b], arguments, &not);
    }

    // The accident: B is where something lives, standby was being tested elsewhere.
    for flags in [
        &[][..],
        &["--yes"],
        &["--confirm", "standby"],
        &["--take-ownership"],
        &["--instance", "pr-1"],
        &["--context", "b"],
        &["--from", "services"],
    ] {
        let arguments = [&["up", "standby"], flags].concat();
        let says = ["this is the cluster of live, and nothing says that standby lives here too", live];
        exam.refuses("the accident", &[UNPINNED], &[only_b], &arguments, &says);
    }

    for flags in [&[][..], &["--yes"], &["--confirm", "standby"], &["--instance", "pr-1"]] {
        let arguments = [&["down", "standby"], flags].concat();
        let says = ["this is the cluster of live, and nothing says that standby lives here too", live];
        exam.refuses("the accident, going down", &[UNPINNED], &[only_b], &arguments, &says);
    }
    let down = ["down", "production", "--confirm", "production"];
    exam.refuses("down in the wrong cluster", &kit, &[only_b], &down, &not);
    exam.refuses("a plan for the wrong cluster", &kit, &[only_b], &["plan", "production"], &not);

    // The user's own pin wins over the file's; one of another stack is no pin.
    let own = |text: &str| {
        std::fs::create_dir_all(exam.path("home/.config/rekindle")).unwrap();
        std::fs::write(exam.path("home/.config/rekindle/pins.yaml"), text).unwrap();
    };
    own(&format!("other:\n  standby: {{uid: {uid_b}}}\n"));
    exam.refuses("a pin of another stack", &[UNPINNED], &[only_b], &["up", "standby"], &[live]);
    let own = |exam: &Exam, text: &str| std::fs::write(exam.path("home/.config/rekindle/pins.yaml"), text).unwrap();
    own(&exam, &format!("shop:\n  production: {{uid: {uid_a}}}\n"));
    let says = ["pins.yaml:2", "instead of", live];
    let file_says_b = of(&uid_b, "");
    exam.refuses("the user's own pin", &[(PRODUCTION, &file_says_b)], &[only_b], &["up", "production"], &says);
    std::fs::remove_file(exam.path("home/.config/rekindle/pins.yaml")).unwrap();

    // Another kit, another stack, another opinion about what lives here.
    let their_stack = ("templates/stack.yaml", "name: theirs\nphases:\n- name: storage\n- name: services\n");
    let live_b = format!("namespace: theirs\ncluster: {{uid: {uid_b}}}\n");
    let says = ["the live that lives here is another kit's", "theirs", live];
    exam.refuses("another kit's live", &[their_stack, (LIVE, &live_b)], &[only_b], &["up", "live"], &says);
    let says = ["knows live as protected", live];
    exam.refuses("live, not protected", &[(LIVE, "namespace: shop-live\n")], &[only_b], &["up", "live"], &says);

    // Copies: of a record, of a cluster.
    let standby_b = format!("namespace: shop-standby\ncluster: {{uid: {uid_b}}}\n");
    exam.plant("standby", &[("cluster", &uid_a), ("stack", "shop"), ("protected", "false")]);
    let says = ["record of standby was made for another cluster", uid_a.as_str(), live];
    for files in [&[UNPINNED][..], &[(STANDBY, &standby_b)]] {
        exam.refuses("a copied record", files, &[only_b], &["up", "standby"], &says);
    }
    exam.plant("standby", &[("stack", "shop"), ("protected", "false")]);
    let says = ["record of standby cannot be read", live];
    exam.refuses("a damaged record", &[(STANDBY, &standby_b)], &[only_b], &["up", "standby"], &says);
    exam.plant("standby", &[("cluster", &uid_b), ("stack", "shop"), ("authority", "0011")]);
    let says = ["may be a copy of standby's cluster", live];
    exam.refuses("a copied cluster, by its record", &[(STANDBY, &standby_b)], &[only_b], &["up", "standby"], &says);
    let with_ca = format!("namespace: shop-production\ncluster: {{uid: {uid_b}, ca: 'AA:BB'}}\n");
    for verb in ["up", "status"] {
        let says = ["may be a copy of production's cluster", "aabb", live];
        exam.refuses(
            "a copied cluster, by the pin",
            &[(PRODUCTION, &with_ca)],
            &[only_b],
            &[verb, "production"],
            &says[..1],
        );
    }

    // Binding it anew by mistake.
    let says = ["nobody is there to ask", live];
    exam.refuses("nobody to ask", &kit, &[only_b], &["env", "pin", "production"], &says);
    let wrong = ["env", "pin", "production", "--uid", &uid_a];
    exam.refuses("another UID", &kit, &[only_b], &wrong, &["is not the cluster that was reached", live]);
    let wrong = ["env", "pin", "standby", "--uid", "b", "--instance", "pr-1"];
    exam.refuses("a UID that is none", &[UNPINNED], &[only_b], &wrong, &["is not the cluster", live]);
    for flag in ["--yes", "--confirm=production"] {
        let kit = exam.kit("usage", &kit);
        let _ = exam.run(&kit, &[only_b], &["env", "pin", "production", flag]).exit(2);
    }

    rerouted(&mut exam);
    assert!(exam.situations >= 30, "{} situations", exam.situations);

    // Binding it on purpose puts both sides right.
    let kit = exam.kit("mended", &[(STANDBY, "# of the shop\nnamespace: shop-standby\n")]);
    let _ = exam.run(&kit, &[only_b], &["env", "pin", "standby", "--uid", &uid_b]).exit(0).says("remembers standby");
    let file = std::fs::read_to_string(kit.join(STANDBY)).unwrap();
    assert_eq!(file, format!("# of the shop\nnamespace: shop-standby\ncluster:\n  uid: {uid_b}\n"));
    assert_eq!(exam.record("standby").unwrap()["data"]["cluster"], uid_b.as_str());
    let _ = exam.run(&kit, &[only_b], &["up", "standby"]).exit(0);
    let before = everything(&exam.b);
    let again = exam.run(&kit, &[only_b], &["env", "pin", "standby", "--uid", &uid_b]).exit(0);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
    assert_eq!(everything(&exam.b), before);
    a_kit_that_cannot_be_written_to(&exam, only_b);
    exam.clean();
}

/// The kit inside the binary: its pins are the user's.
fn a_kit_that_cannot_be_written_to(exam: &Exam, only_b: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let embedded = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.env_clear().env("HOME", exam.path("home")).env("KUBECONFIG", only_b).stdin(Stdio::null());
        command.args(arguments);
        finish(command)
    };
    let pinned = embedded(&["env", "pin", "local", "--uid", &exam.b.uid]).exit(0);
    let file = exam.path("home/.config/rekindle/pins.yaml");
    assert!(pinned.stderr.contains(file.to_str().unwrap()), "{}", pinned.stderr);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = embedded(&["env", "explain", "local", "cluster.uid"]).exit(0);
    assert!(shown.stdout.contains(&exam.b.uid) && shown.stdout.contains("pins.yaml:3"), "{}", shown.stdout);
    let again = embedded(&["env", "pin", "local", "--uid", &exam.b.uid]).exit(0);
    assert!(again.stderr.contains("already"), "{}", again.stderr);
}

fn an_empty_cluster(exam: &mut Exam, only_b: &Path, pinned_a: &str) {
    let nothing = "nothing that rekindle knows of";
    let protected = "namespace: shop-production\nprotected: true\n";
    let up = ["up", "production", "--confirm", "production"];
    let says = [nothing, "production is protected and not pinned"];
    exam.refuses("empty, and no pin", &[(PRODUCTION, protected)], &[only_b], &up, &says);
    let pinned_b = format!("namespace: shop-production\nprotected: true\ncluster: {{uid: {}}}\n", exam.b.uid);
    let child = "extends: production\nnamespace: shop-standby\n";
    let kit: Files = &[(PRODUCTION, &pinned_b), (STANDBY, child)];
    let says = [nothing, "standby is protected and not pinned"];
    exam.refuses(
        "empty, and pinned for whom it extends",
        kit,
        &[only_b],
        &["up", "standby", "--confirm", "standby"],
        &says,
    );
    let kit: Files = &[(PRODUCTION, pinned_a), (STANDBY, "extends: production\nnamespace: x\nprotected: false\n")];
    let says = [nothing, "standby extends an environment of another cluster"];
    exam.refuses("empty, and what it extends is elsewhere", kit, &[only_b], &["up", "standby"], &says);
    let says = [nothing, "this is not production's cluster"];
    exam.refuses("empty, and another pin", &[(PRODUCTION, pinned_a)], &[only_b], &up, &says);
    exam.refuses(
        "empty, and nobody to ask",
        &[(PRODUCTION, protected)],
        &[only_b],
        &["env", "pin", "production"],
        &[nothing],
    );
}

/// An environment that is not protected may be the first in a cluster. From then on the cluster knows it.
fn first_use(exam: &mut Exam, only_b: &Path) {
    let kit = exam.kit("first", &[UNPINNED]);
    let _ = exam.run(&kit, &[only_b], &["up", "standby"]).exit(0);
    let record = exam.record("standby").unwrap();
    let data = |key: &str| record["data"][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (data("cluster"), data("stack"), data("protected")),
        (exam.b.uid.clone(), "shop".into(), "false".into())
    );
    assert_eq!((data("namespaces"), data("last-run-outcome")), ("shop-standby".into(), "done".into()));
    assert!(data("last-run-by").starts_with("me@") && data("authority").len() == 64, "{record}");
    let before = everything(&exam.b);
    let _ = exam.run(&kit, &[only_b], &["up", "standby"]).exit(0);
    assert_eq!(everything(&exam.b), before, "a second run writes nothing, no record either");

    let _ = exam.run(&kit, &[only_b], &["up", "standby", "--instance", "pr-1"]).exit(0);
    assert_eq!(exam.record("standby").unwrap()["data"]["namespaces"], "shop-standby shop-standby-pr-1");

    exam.delete_record("standby");
    let says = ["objects of standby are here, but the cluster's record of standby is gone"];
    exam.refuses("the record is gone", &[UNPINNED], &[only_b], &["up", "standby", "--yes"], &says);
    let pinned = format!("namespace: shop-standby\ncluster: {{uid: {}}}\n", exam.b.uid);
    let kit = exam.kit("again", &[(STANDBY, &pinned)]);
    let _ = exam.run(&kit, &[only_b], &["up", "standby"]).exit(0).says("record of standby is gone although");
    assert!(exam.record("standby").is_some(), "written again");
    exam.clean();
}

/// What is to be protected: an environment with data, bound to B by both sides.
fn live_is_bound_to_b(exam: &Exam, only_b: &Path) {
    let kit = exam.kit("live", &[(LIVE, "namespace: shop-live\nprotected: true\n")]);
    let _ = exam.run(&kit, &[only_b], &["env", "pin", "live", "--uid", &exam.b.uid]).exit(0).says("live is pinned to");
    assert!(exam.record("live").is_none(), "there was nothing to remember otherwise");
    let _ = exam.run(&kit, &[only_b], &["up", "live", "--confirm", "live"]).exit(0);
    exam.b.apply_as(
        "somebody",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: shop-live}\n\
         spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 10Gi}}}\n",
    );
    let other = exam.kubeconfig("two-names", &[("alias", &exam.b)]);
    let hinted =
        format!("namespace: shop-live\nprotected: true\ncluster: {{context: official, uid: {}}}\n", exam.b.uid);
    let kit = exam.kit("hinted", &[(LIVE, &hinted)]);
    let before = everything(&exam.b);
    let again = exam.run(&kit, &[&other], &["up", "live", "--confirm", "live"]).exit(0);
    assert!(again.stderr.contains("the context alias leads to live's cluster"), "{}", again.stderr);
    assert_eq!(everything(&exam.b), before);
}

/// The address of A leads to B from one moment to the next, while a run waits.
fn rerouted(exam: &mut Exam) {
    let space = Space::new(&exam.a, "rerouted");
    let kit = Kit::new(&space.name, "- name: storage\n- {name: services, timeout: 60s}");
    let pinned = format!("namespace: {}\ncluster: {{uid: {}}}\n", space.name, exam.a.uid);
    kit.write("environments/test.yaml", &pinned);
    kit.write("templates/storage/settings.yaml", &config("settings", "kit"));
    // No node runs its pod: the phase waits.
    kit.write("templates/services/api.yaml", &deployment("api", 1));
    let (to_a, to_b) = (KubectlProxy::start(&exam.a), KubectlProxy::start(&exam.b));
    let route = Route::to(to_a.address);
    let file = exam.path("routed");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "routed", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", route.address)}}],
        "contexts": [{"name": "routed", "context": {"cluster": "c", "user": "u"}}]});
    std::fs::write(&file, text.to_string()).unwrap();
    exam.situations += 1;
    let before = everything(&exam.b);
    let running = begin(exam.command(kit.path(), &[&file], &["up", &kit.environment]));
    exam.a.wait_until("the run waits for its Deployment", |bed| {
        let live = bed.get("apps/v1", "Deployment", Some(&space.name), "api");
        live.is_some_and(|live| live["status"]["observedGeneration"] == 1)
    });
    route.lead_to(to_b.address);
    let began = std::time::Instant::now();
    let ran = running.wait();
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "noticed after {:?}", began.elapsed());
    let shown = format!("stdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, Some(4), "{shown}");
    for text in ["is another one now; nothing more was written", exam.b.uid.as_str(), "done and kept: storage"] {
        assert!(ran.stderr.contains(text), "{text:?} is missing: {shown}");
    }
    assert_eq!(everything(&exam.b), before, "B was touched: {shown}");
}

/// `kubectl proxy`: a cluster behind plain HTTP on loopback, whatever its certificates.
struct KubectlProxy {
    child: Child,
    address: SocketAddr,
}

impl KubectlProxy {
    fn start(bed: &Bed) -> Self {
        let kubectl =
            std::env::var_os("REKINDLE_TEST_KUBECTL").expect("REKINDLE_TEST_KUBECTL is set by cargo xtask test");
        let mut command = Command::new(kubectl);
        command.args(["proxy", "--port=0", "--kubeconfig"]).arg(&bed.kubeconfig);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().parse().expect("it says where it serves");
        Self { child, address }
    }
}

impl Drop for KubectlProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that leads to another one, which can be changed.
struct Route {
    address: SocketAddr,
    state: Arc<Mutex<(SocketAddr, Vec<TcpStream>)>>,
}

impl Route {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((target, Vec::new())));
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut state = shared.lock().unwrap();
                let Ok(server) = TcpStream::connect(state.0) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    state.1.push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { address, state }
    }

    /// New connections go to another target, and those that are there break.
    fn lead_to(&self, target: SocketAddr) {
        let mut state = self.state.lock().unwrap();
        state.0 = target;
        for stream in state.1.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
