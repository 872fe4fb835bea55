//! The programs of clusters and their images: taken from `$KUBEBUILDER_ASSETS` or built from pinned Go modules into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cache::{self, Lock};
use crate::progress::{Step, interrupted};

/// Version of Kubernetes; the same as in `go/kube/go.mod`. The last minor whose kubelet takes containerd 1.6 and cgroup v1.
const KUBERNETES: &str = "v1.34.4";
/// Version of the S3 gateway: also the tag of its image.
pub const VERSITYGW: &str = "v1.8.0";
/// Size without symbols matters more than stack traces with line numbers.
const BUILD_FLAGS: [&str; 2] = ["-mod=readonly", "-trimpath"];

/// One program of a cluster, or of an image made for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The command line.
    Kubectl,
    /// Runs pods on a node.
    Kubelet,
    /// Makes Services reachable on a node.
    KubeProxy,
    /// Simulates nodes and pods.
    Kwok,
    /// Cluster DNS.
    CoreDns,
    /// Makes volumes out of folders.
    LocalPath,
    /// Serves a folder by the S3 protocol.
    VersityGw,
}

impl Tool {
    /// What a control plane needs.
    pub const CONTROL_PLANE: [Self; 5] =
        [Self::Etcd, Self::Kubectl, Self::ApiServer, Self::ControllerManager, Self::Scheduler];
    /// What a node needs beside a control plane.
    pub const NODE: [Self; 4] = [Self::Kubelet, Self::KubeProxy, Self::CoreDns, Self::LocalPath];

    /// The program's file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Kwok => "kwok",
            Self::CoreDns => "coredns",
            Self::LocalPath => "local-path-provisioner",
            Self::VersityGw => "versitygw",
        }
    }

    fn source(self) -> Source {
        match self {
            Self::Etcd => Source::Pinned {
                group: "etcd-v3.6.8",
                folder: "etcd",
                package: "go.etcd.io/etcd/server/v3".to_owned(),
                ld_flags: "-s -w".to_owned(),
            },
            Self::Kwok => {
                Source::Module { group: "kwok", module: "sigs.k8s.io/kwok", package: "/cmd/kwok", version: "v0.8.0" }
            }
            Self::CoreDns => Source::Module {
                group: "coredns",
                module: "github.com/coredns/coredns",
                package: "",
                version: "v1.12.4",
            },
            Self::LocalPath => Source::Module {
                group: "local-path-provisioner",
                module: "github.com/rancher/local-path-provisioner",
                package: "",
                version: "v0.0.30",
            },
            Self::VersityGw => Source::Module {
                group: "versitygw",
                module: "github.com/versity/versitygw",
                package: "/cmd/versitygw",
                version: VERSITYGW,
            },
            kubernetes => {
                let set = "-X k8s.io/component-base/version";
                Source::Pinned {
                    group: "kubernetes-v1.34.4",
                    folder: "kube",
                    package: format!("k8s.io/kubernetes/cmd/{}", kubernetes.name()),
                    ld_flags: format!(
                        "-s -w {set}.gitVersion={KUBERNETES} {set}.gitMajor=1 {set}.gitMinor=34 {set}.gitTreeState=clean"
                    ),
                }
            }
        }
    }

    /// The folder in the cache where this program is: its version, and a key of everything that makes it what it is.
    fn folder(self) -> Result<PathBuf> {
        let bin = cache::root()?.join("bin");
        let platform =
            format!("{}-{} CGO_ENABLED=0 {}", std::env::consts::OS, std::env::consts::ARCH, BUILD_FLAGS.join(" "));
        Ok(match self.source() {
            Source::Pinned { group, folder, ld_flags, .. } => {
                let folder = go_folder(folder);
                let read = |name: &str| {
                    let path = folder.join(name);
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
                };
                let (module, sums) = (read("go.mod")?, read("go.sum")?);
                bin.join(format!("{group}-{}", cache::key([platform.as_bytes(), ld_flags.as_bytes(), &module, &sums])))
            }
            Source::Module { group, module, version, .. } => bin.join(format!(
                "{group}-{version}-{}",
                cache::key([platform.as_bytes(), module.as_bytes(), version.as_bytes()])
            )),
        })
    }
}

/// Where a program's source comes from.
enum Source {
    /// A package of modules pinned by `xtask/go/<folder>`: needed where a module has `replace` directives.
    Pinned { group: &'static str, folder: &'static str, package: String, ld_flags: String },
    /// A package that `go install` can build by itself.
    Module { group: &'static str, module: &'static str, package: &'static str, version: &'static str },
}

fn go_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("go").join(name)
}

/// Finds or builds programs; the way to the rest is [`path`].
///
/// # Errors
/// When Go is missing or a build fails, or on Ctrl-C.
pub fn ensure(tools: &[Tool]) -> Result<()> {
    tools.iter().try_for_each(|tool| path(*tool).map(drop))
}

/// The path of a program, built first when it is not there yet.
///
/// # Errors
/// As [`ensure`].
pub fn path(tool: Tool) -> Result<PathBuf> {
    if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS")
        && matches!(tool, Tool::Etcd | Tool::ApiServer | Tool::Kubectl)
        && Path::new(&assets).join(tool.name()).is_file()
    {
        return Ok(Path::new(&assets).join(tool.name()));
    }
    let folder = tool.folder()?;
    let program = folder.join(tool.name());
    if program.is_file() {
        return Ok(program);
    }
    let _lock = Lock::take(&folder.with_extension("lock"), &format!("building {}", tool.name()))?;
    if !program.is_file() {
        build(tool, &folder)?;
    }
    Ok(program)
}

/// Builds beside the final place and moves the result there, so that a half-built program is never taken for a whole one.
fn build(tool: Tool, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let scratch = folder.join(format!(".{}-{}", tool.name(), std::process::id()));
    let mut command = Command::new("go");
    command.env("CGO_ENABLED", "0").env("GOWORK", "off").env_remove("GOOS").env_remove("GOARCH");
    let version = match tool.source() {
        Source::Pinned { group, folder, package, ld_flags } => {
            command
                .args(["build"])
                .args(BUILD_FLAGS)
                .args(["-ldflags", &ld_flags, "-o"])
                .arg(scratch.join(tool.name()));
            command.arg(package).current_dir(go_folder(folder));
            group.to_owned()
        }
        Source::Module { group, module, package, version } => {
            command.args(["install", "-trimpath", "-ldflags", "-s -w", &format!("{module}{package}@{version}")]);
            command.env("GOBIN", &scratch);
            format!("{group}-{version}")
        }
    };
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    let step = Step::begin(format_args!("building {} ({version}; minutes the first time, then cached)", tool.name()));
    let built = run_quietly(command, &step).with_context(|| format!("cannot build {}", tool.name()));
    let moved = built.and_then(|()| {
        fs::rename(scratch.join(tool.name()), folder.join(tool.name()))
            .with_context(|| format!("{} was built, but is not where it should be", tool.name()))
    });
    let _ = fs::remove_dir_all(&scratch);
    moved?;
    step.done();
    Ok(())
}

/// Runs a command that may take minutes: shows that it goes on, and its output only when it fails.
///
/// # Errors
/// When it cannot be started or fails (with the end of its output), or on Ctrl-C.
pub fn run_quietly(mut command: Command, step: &Step) -> Result<()> {
    let log = cache::root()?.join(format!("output-{}-{:?}.log", std::process::id(), std::thread::current().id()));
    let output = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot run {name}: is it installed and on the PATH?"))?;
    let mut said = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupted() {
            // Killed or already gone, it must be reaped either way.
            let _ = child.kill();
            break child.wait()?;
        }
        if said.elapsed() > Duration::from_secs(20) {
            step.still();
            said = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let end = crate::process::tail(&log);
    let _ = fs::remove_file(&log);
    if interrupted() {
        bail!("interrupted");
    }
    if !status.success() {
        bail!("{name} failed ({status}); {end}");
    }
    Ok(())
}

/// KWOK's standard stages as one file, kept next to the program: nodes with heartbeats, pods ready at once.
///
/// # Errors
/// When the module's folder or a stage in it is missing.
pub fn kwok_stages() -> Result<PathBuf> {
    let file = Tool::Kwok.folder()?.join("stages.yaml");
    if file.is_file() {
        return Ok(file);
    }
    let Source::Module { module, version, .. } = Tool::Kwok.source() else { bail!("kwok is not a module") };
    let output = Command::new("go")
        .args(["mod", "download", "-json", &format!("{module}@{version}")])
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .output()
        .context("cannot run go: is it installed and on the PATH?")?;
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("go mod download said nothing usable")?;
    let folder =
        answer["Dir"].as_str().with_context(|| format!("cannot find the folder of {module}: {}", answer["Error"]))?;
    let mut stages = Vec::new();
    for group in ["node/fast", "node/heartbeat-with-lease", "pod/fast"] {
        let group = Path::new(folder).join("kustomize/stage").join(group);
        let mut files: Vec<_> = fs::read_dir(&group)
            .with_context(|| format!("cannot read {}", group.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "yaml") && !path.ends_with("kustomization.yaml"))
            .collect();
        files.sort();
        for path in files {
            stages.push(fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    cache::write_private(&file, stages.join("\n---\n").as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn programs_of_one_source_share_a_folder_and_others_do_not() {
        let folder = |tool: Tool| tool.folder().unwrap();
        assert_eq!(folder(Tool::Kubelet), folder(Tool::ApiServer));
        assert_ne!(folder(Tool::Kubelet), folder(Tool::Etcd));
        assert_ne!(folder(Tool::Kwok), folder(Tool::CoreDns));
    }

    #[test]
    fn the_versions_said_are_the_versions_pinned() {
        for tool in [Tool::Etcd, Tool::Kubectl] {
            let Source::Pinned { group, folder, .. } = tool.source() else { panic!("not pinned") };
            let version = group.rsplit('-').next().unwrap();
            let module = fs::read_to_string(go_folder(folder).join("go.mod")).unwrap();
            assert!(module.lines().any(|line| line.starts_with("require ") && line.ends_with(version)), "{group}");
        }
    }
}
