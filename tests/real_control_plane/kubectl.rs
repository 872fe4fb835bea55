//! `rehearse --serve` and the real control plane, driven by the same script of ordinary kubectl commands: what a person sees
//! is the same.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use regex::Regex;

use super::support::{Bed, Kit, Space, rekindle};
use super::{BED, STACK, config};

/// A served simulation; killed when the test gives it up.
struct Served {
    process: Child,
    /// Where the simulation writes its kubeconfig: it has no time to remove that.
    _place: tempfile::TempDir,
    kubeconfig: String,
}

impl Served {
    fn start(kit: &Kit) -> Self {
        let mut command =
            rekindle(Some(kit), Path::new("/nonexistent"), &["rehearse", "test", "--serve", "--nodes", "0"]);
        let place = tempfile::tempdir().unwrap();
        command.env("TMPDIR", place.path());
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line =
            lines.into_iter().find(|line| line.contains("kubectl --kubeconfig")).expect("it says where it listens");
        let kubeconfig = line.split_whitespace().nth(2).unwrap().to_owned();
        Self { process, _place: place, kubeconfig }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has seen.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Everything that a person sees of a command, without what differs from run to run.
fn kubectl(kubeconfig: &Path, namespace: &str, words: &[&str], input: &str) -> String {
    let program = std::env::var_os("REKINDLE_TEST_KUBECTL").expect("REKINDLE_TEST_KUBECTL: run with cargo xtask test");
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.arg("--kubeconfig").arg(kubeconfig).args(["--namespace", namespace]).args(words);
    command.env("HOME", home.path()).env_remove("KUBECONFIG");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("exit {:?}\n{}", output.status.code(), normal(&text))
}

/// Without ages, times, addresses, UIDs, versions and temporary paths; columns are as wide as they are.
fn normal(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, by) in [
        (r"(?m)[ \t]+$", ""),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*( [+-]\d{4}|Z)", "TIME"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
        (r"\b10\.\d+\.\d+\.\d+\b", "ADDRESS"),
        (r#"resourceVersion: "\d+""#, "resourceVersion: VERSION"),
        (r"/tmp/(LIVE|MERGED)-\d+", "/tmp/$1"),
        (r"(?m)\b\d+(s|m|ms)$", "AGE"),
        (r" {2,}", "  "),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
    }
    text
}

const APP: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue, size: small}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {value: swordfish}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: example/web:1}]}
";

fn script() -> Vec<(&'static str, String)> {
    let green = APP.replace("color: blue", "color: green").replace("web:1", "web:2");
    let wrong = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: 7}\n".to_owned();
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ncolour: {}\n".to_owned();
    // Made of a file: what kubectl makes of flags it sends as protobuf, which the simulation does not read.
    let other = config("other", "b");
    let none = String::new;
    vec![
        ("get namespace {ns}", none()),
        ("get deployments", none()),
        ("apply --server-side -f -", APP.to_owned()),
        ("apply --server-side -f -", APP.to_owned()),
        ("get configmap settings", none()),
        ("get secret password", none()),
        ("get service web", none()),
        ("get deployment web", none()),
        ("get deployment,service -o name", none()),
        ("get configmap settings -o jsonpath={.data}", none()),
        ("get configmap settings --show-managed-fields -o yaml", none()),
        ("diff --server-side -f -", green.clone()),
        ("apply --server-side --dry-run=server -f -", green.clone()),
        ("apply --server-side --field-manager=other -f -", green.clone()),
        ("apply --server-side --field-manager=other --force-conflicts -f -", green),
        ("wait --for=jsonpath={.status.observedGeneration}=2 deployment/web --timeout=20s", none()),
        ("rollout status deployment/web --timeout=20s", none()),
        ("get deployment web", none()),
        ("apply --server-side -f -", wrong),
        ("apply --server-side -f -", unknown),
        ("label configmap settings x=y", none()),
        ("annotate configmap settings note=read", none()),
        ("get configmaps -l x=y", none()),
        ("get configmaps -l x=y -o custom-columns=NAME:.metadata.name,COLOR:.data.color", none()),
        ("patch configmap settings --type merge -p {\"data\":{\"size\":\"large\"}}", none()),
        ("get configmap settings -o jsonpath={.data.size}", none()),
        ("describe configmap settings", none()),
        ("scale deployment/web --replicas=0", none()),
        ("scale deployment/web --replicas=0 --current-replicas=3", none()),
        ("get deployment web", none()),
        ("get events", none()),
        ("create -f -", other.clone()),
        ("create -f -", other),
        ("delete configmap other", none()),
        ("get configmap other", none()),
        ("delete configmap other --ignore-not-found", none()),
        ("wait --for=delete configmap/other --timeout=5s", none()),
        ("get pods", none()),
        ("delete deployment web --cascade=foreground", none()),
        ("get deployment web", none()),
        ("get nothings", none()),
        ("delete namespace {ns} --timeout=60s", none()),
        ("get namespace {ns}", none()),
    ]
}

#[test]
#[ignore = "needs a real control plane"]
fn kubectl_sees_the_same_in_the_served_simulation() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "kubectl");
    let kit = Kit::new("elsewhere", STACK);
    kit.write("templates/storage/a.yaml", &config("a", "kit"));
    let served = Served::start(&kit);
    let mut different = Vec::new();
    for kubeconfig in [bed.kubeconfig.as_path(), Path::new(&served.kubeconfig)] {
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", space.name);
        let made = kubectl(kubeconfig, "default", &["apply", "--server-side", "-f", "-"], &namespace);
        assert!(made.contains("serverside-applied"), "{made}");
    }
    for (line, input) in script() {
        let line = line.replace("{ns}", &space.name);
        let words: Vec<&str> = line.split(' ').collect();
        let real = kubectl(&bed.kubeconfig, &space.name, &words, &input);
        let simulated = kubectl(Path::new(&served.kubeconfig), &space.name, &words, &input);
        if real != simulated {
            different.push(format!("kubectl {line}\n--- really\n{real}\n--- simulated\n{simulated}"));
        }
    }
    assert!(different.is_empty(), "{} commands differ:\n{}", different.len(), different.join("\n\n"));
}
