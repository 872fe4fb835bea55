//! What tests against real clusters share: a kit in a temporary folder, the binary in a cleared environment, and a look
//! at the cluster that does not go through Rekindle.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};

/// The longest any single wait of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The folder of a kit that holds the journals of its runs.
const STATE: &str = "state";

/// The identity of the bed that was connected to: of the first one, where there are two.
static BED: Mutex<Option<String>> = Mutex::new(None);

/// A cluster that `cargo xtask test` has started, from the environment variable that names its kubeconfig.
pub struct Bed {
    pub kubeconfig: PathBuf,
    /// The cluster's identity.
    pub uid: String,
    pub client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Bed {
    /// The name of its context.
    pub fn context(&self) -> String {
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("current-context:"));
        line.expect("the kubeconfig has a current context").trim().trim_matches('"').to_owned()
    }

    /// Connects, or panics with what to run: a real-cluster test that cannot run must not look as if it had passed.
    pub fn from_variable(variable: &str) -> Self {
        let Some(kubeconfig) = std::env::var_os(variable).map(PathBuf::from) else {
            panic!("{variable} is not set: run these tests with cargo xtask test");
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, uid) = runtime.block_on(async {
            let config = Kubeconfig::read_from(&kubeconfig).unwrap();
            let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
            let client = Client::try_from(config).unwrap();
            let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
            let system = namespaces.get("kube-system").await.expect("the bed answers");
            (client, system.metadata.uid.unwrap())
        });
        if !variable.ends_with("_B") {
            *BED.lock().unwrap() = Some(uid.clone());
        }
        Self { kubeconfig, uid, client, runtime }
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("no answer in time") })
    }

    /// Runs something beside the test, until the returned handle is aborted or the bed goes out of scope.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(future)
    }

    pub fn api(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Applies a document as another tool would, under a field manager of its own.
    pub fn apply_as(&self, manager: &str, yaml: &str) {
        let body: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
        let text = |pointer: &str| body.pointer(pointer).and_then(serde_json::Value::as_str);
        let api = self.api(text("/apiVersion").unwrap(), text("/kind").unwrap(), text("/metadata/namespace"));
        let params = kube::api::PatchParams::apply(manager).force();
        self.block_on(api.patch(text("/metadata/name").unwrap(), &params, &kube::api::Patch::Apply(&body))).unwrap();
    }

    pub fn get(&self, api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Option<serde_json::Value> {
        let found = self.block_on(self.api(api_version, kind, namespace).get_opt(name)).unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    /// Everything of a kind in a namespace.
    pub fn list(&self, api_version: &str, kind: &str, namespace: &str) -> Vec<serde_json::Value> {
        let list = self.block_on(self.api(api_version, kind, Some(namespace)).list(&ListParams::default())).unwrap();
        list.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    /// What a command in a pod prints; panics when it fails.
    #[track_caller]
    pub fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> String {
        self.exec_in(namespace, pod, None, command)
    }

    /// The same in a container that is named, as it must be where a pod has several.
    #[track_caller]
    pub fn exec_in(&self, namespace: &str, pod: &str, container: Option<&str>, command: &[&str]) -> String {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = AttachParams { container: container.map(str::to_owned), ..AttachParams::default() };
        let (out, err, status) = self.block_on(async {
            let mut process = pods.exec(pod, command.iter().copied(), &params).await.unwrap();
            let (mut out, mut err) = (String::new(), String::new());
            let (mut stdout, mut stderr) = (process.stdout().unwrap(), process.stderr().unwrap());
            let status = process.take_status().unwrap();
            let (read, complained, status) = tokio::join!(
                tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut out),
                tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut err),
                status
            );
            read.unwrap();
            complained.unwrap();
            (out, err, status.and_then(|status| status.status))
        });
        assert_eq!(status.as_deref(), Some("Success"), "{command:?} in {pod}:\n{out}\n{err}");
        out
    }

    /// `Kind/name` → resourceVersion of everything of these kinds in a namespace: what a run that writes nothing leaves as
    /// it was.
    pub fn versions(&self, namespace: &str, kinds: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        for (api_version, kind) in kinds {
            let list =
                self.block_on(self.api(api_version, kind, Some(namespace)).list(&ListParams::default())).unwrap();
            for object in list {
                let name = object.metadata.name.unwrap_or_default();
                versions.insert(format!("{kind}/{name}"), object.metadata.resource_version.unwrap_or_default());
            }
        }
        versions
    }

    /// Waits until a condition of the cluster holds; polls, because it looks from outside.
    pub fn wait_until(&self, what: &str, holds: impl FnMut(&Self) -> bool) {
        self.wait_within(PATIENCE, what, holds);
    }

    pub fn wait_within(&self, patience: Duration, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + patience;
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited too long until {what}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

/// A namespace of a test's own, deleted when the test ends, however it ends.
pub struct Space<'a> {
    pub bed: &'a Bed,
    pub name: String,
}

impl<'a> Space<'a> {
    pub fn new(bed: &'a Bed, test: &str) -> Self {
        Self { bed, name: format!("{test}-{}", unique()) }
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        let api = self.bed.api("v1", "Namespace", None);
        let _ = self.bed.runtime.block_on(api.delete(&self.name, &kube::api::DeleteParams::default()));
    }
}

/// A kit in a temporary folder, with one environment. Tests call it `test`; in truth it has a name of its own, since tests that
/// share a cluster must neither wait for each other's lock nor own each other's objects.
pub struct Kit {
    folder: tempfile::TempDir,
    /// Its true name.
    pub environment: String,
}

/// A short name that nothing else has.
fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let unique = format!("{:x}", u128::from(std::process::id()) ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    format!("{}{count:x}", &unique[unique.len() - 8..])
}

impl Kit {
    /// A kit whose environment uses a namespace.
    pub fn new(namespace: &str, phases: &str) -> Self {
        let kit = Self { folder: tempfile::tempdir().unwrap(), environment: format!("test-{}", unique()) };
        kit.write("environments/test.yaml", &format!("namespace: {namespace}\n"));
        kit.write("templates/stack.yaml", &format!("name: test\nphases:\n{phases}\n"));
        kit
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the kit; that of the environment is called by its short name.
    fn file(&self, path: &str) -> PathBuf {
        self.folder
            .path()
            .join(path.replace("environments/test.yaml", &format!("environments/{}.yaml", self.environment)))
    }

    pub fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.file(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// The journals of its runs, oldest first.
    pub fn journals(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path().join(STATE).join("rekindle/runs")).into_iter().flatten();
        let mut journals: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        journals.sort();
        journals
    }

    pub fn remove(&self, path: &str) -> &Self {
        std::fs::remove_file(self.file(path)).unwrap();
        self
    }
}

/// A user's configuration in which every environment of a kit is pinned to a bed: tests share beds, and an environment that
/// is not pinned is refused where others live. One whose file states a pin keeps that.
fn configuration(kit: Option<&Kit>, uid: &str) -> PathBuf {
    let (root, folder) = match kit {
        Some(kit) => (kit.path(), kit.path().join(".config")),
        // Of the embedded kit it is the same for every test of a bed.
        None => (
            Path::new(env!("CARGO_MANIFEST_DIR")),
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("configuration").join(uid),
        ),
    };
    let stack = std::fs::read_to_string(root.join("templates/stack.yaml")).unwrap_or_default();
    let stack = stack.lines().find_map(|line| line.strip_prefix("name:")).unwrap_or("none").trim().to_owned();
    let mut pins = String::new();
    for file in std::fs::read_dir(root.join("environments")).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        if let Some(name) = name.strip_suffix(".yaml").filter(|_| !text.contains("uid:")) {
            if pins.is_empty() {
                pins = format!("{stack}:\n");
            }
            pins += &format!("  {name}: {{uid: {uid}}}\n");
        }
    }
    std::fs::create_dir_all(folder.join("rekindle")).unwrap();
    let file = tempfile::NamedTempFile::new_in(&folder).unwrap();
    std::fs::write(file.path(), pins).unwrap();
    file.persist(folder.join("rekindle/pins.yaml")).unwrap();
    folder
}

/// The home folder of what tests run: nothing is left outside the target folder.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")
}

/// The binary in a cleared environment; `test` among the arguments is the kit's environment, which belongs to the
/// bed.
pub fn rekindle(kit: Option<&Kit>, kubeconfig: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    let truly = |argument: &&str| match kit {
        Some(kit) if *argument == "test" => kit.environment.clone(),
        _ => (*argument).to_owned(),
    };
    command.env_clear().env("HOME", home()).stdin(Stdio::null()).args(arguments.iter().map(truly));
    command.arg("--kubeconfig").arg(kubeconfig);
    command.env("XDG_STATE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join(STATE));
    let uid = BED.lock().unwrap().clone();
    if let Some(uid) = uid {
        command.env("XDG_CONFIG_HOME", configuration(kit, &uid));
    }
    if let Some(kit) = kit {
        command.arg("--kit").arg(kit.path()).env("XDG_STATE_HOME", kit.path().join(STATE));
    }
    command
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    /// Standard output and error with the environment's true name.
    raw: (String, String),
}

/// A text with the true name of a test's environment replaced by `test`.
fn with_short_name(text: &str) -> String {
    let true_name = regex::Regex::new("test-[0-9a-f]{9,12}\\b").unwrap();
    true_name.replace_all(text, "test").into_owned()
}

impl Ran {
    fn of(output: Output, took: Duration) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        let raw = (text(output.stdout), text(output.stderr));
        let (stdout, stderr) = (with_short_name(&raw.0), with_short_name(&raw.1));
        Self { code: output.status.code(), stdout, stderr, took, raw }
    }

    /// Standard output with the environment's true name.
    pub fn raw_stdout(&self) -> &str {
        &self.raw.0
    }

    /// Asserts an exit code and shows everything when it is another one.
    #[track_caller]
    pub fn exit(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that stderr says something.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is missing in:\n{}", self.stderr);
        self
    }

    /// The command that the last screen names behind `label`, as a person would paste it into a shell.
    #[track_caller]
    pub fn named_command(&self, label: &str) -> Command {
        let line = self.raw.1.lines().find_map(|line| line.trim_start().strip_prefix(label));
        let line = line.unwrap_or_else(|| panic!("no {label:?} in:\n{}", self.stderr)).trim();
        let mut command = Command::new("sh");
        command.env_clear().env("HOME", home()).stdin(Stdio::null()).args(["-c", line]);
        command.env("XDG_STATE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join(STATE));
        if let Some((_, kit)) = line.split_once("--kit ") {
            let kit = kit.split_whitespace().next().unwrap_or_default();
            command.env("XDG_STATE_HOME", Path::new(kit).join(STATE));
        }
        command
    }

    /// The events of a run with `-o json`.
    pub fn events(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    /// The last event, which counts what was done.
    pub fn last(&self) -> serde_json::Value {
        self.events().pop().expect("at least one event")
    }
}

/// Runs to the end.
#[must_use = "look at the exit code"]
pub fn run(kit: &Kit, bed: &Bed, arguments: &[&str]) -> Ran {
    finish(rekindle(Some(kit), &bed.kubeconfig, arguments))
}

/// Runs a command to the end.
#[must_use = "look at the exit code"]
pub fn finish(mut command: Command) -> Ran {
    let began = Instant::now();
    let output = command.output().expect("the binary runs");
    Ran::of(output, began.elapsed())
}

/// Tries that a run gets to be fast: a machine that does something else for a moment says nothing about the run.
const TRIES: usize = 5;

/// Processes that want a core, for each core, from which on a machine counts as busy.
const BUSY: f64 = 2.0;

/// Asserts that a run, or one of some more of the same, takes less than a limit. On a machine that is busy with other things it
/// says so instead: time there says nothing.
#[track_caller]
pub fn fast(first: &Ran, limit: Duration, mut again: impl FnMut() -> Ran) {
    let mut took = vec![first.took];
    while took.iter().min().is_some_and(|fastest| *fastest >= limit) {
        if took.len() == TRIES {
            let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
            let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
            let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
            assert!(load > BUSY * cores, "each took {limit:?} or more: {took:?}");
            let _ = writeln!(std::io::stdout(), "not measured: {took:?} at a load of {load} on {cores} cores");
            return;
        }
        took.push(again().took);
    }
}

/// Starts a run in the background.
pub fn start(kit: &Kit, bed: &Bed, arguments: &[&str]) -> Running {
    begin(rekindle(Some(kit), &bed.kubeconfig, arguments))
}

/// Starts a command in the background.
pub fn begin(mut command: Command) -> Running {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running { child: Some(command.spawn().expect("the binary runs")), began: Instant::now() }
}

/// A run in the background; killed when the test gives it up.
pub struct Running {
    child: Option<Child>,
    began: Instant,
}

impl Running {
    /// Sends a signal by name, e.g. `INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().expect("not ended").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for its end.
    #[must_use = "look at the exit code"]
    pub fn wait(mut self) -> Ran {
        let child = self.child.take().expect("not ended");
        Ran::of(child.wait_with_output().unwrap(), self.began.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
