//! A node on this machine: containerd, CNI, kubelet, kube-proxy, cluster DNS and dynamic volumes, in a network namespace and
//! with control groups of its own, so that several fit beside each other.

mod clean;
mod groups;
mod network;
mod pause;
mod place;
mod storage;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

pub use network::{Network, POD_RANGE};

use super::Bed;
use super::control_plane::has_condition;
use crate::api::Api;
use crate::cache::{private_dir, write_private};
use crate::packages::{self, Package};
use crate::process::{self, wait_for};
use crate::progress::Step;
use crate::tools::{self, Tool, run_quietly};

/// The kubelet's port, which tells whether this machine is a node of another cluster.
const KUBELET_PORT: u16 = 10250;
/// The node's name.
pub const NODE: &str = "node-1";
/// Where Debian keeps the plugins of CNI.
const CNI_PLUGINS: &str = "/usr/lib/cni";

const PACKAGES: [Package; 8] = [
    Package { name: "containerd", program: "containerd" },
    Package { name: "runc", program: "runc" },
    Package { name: "containernetworking-plugins", program: "/usr/lib/cni/bridge" },
    Package { name: "iptables", program: "iptables" },
    Package { name: "iproute2", program: "ip" },
    Package { name: "socat", program: "socat" },
    Package { name: "conntrack", program: "conntrack" },
    Package { name: "util-linux", program: "nsenter" },
];

/// Why this machine cannot be a node; none when it can.
pub fn unavailable() -> Option<String> {
    let missing = packages::missing(&PACKAGES).join(" ");
    if !packages::root() {
        Some("a node needs root's rights".to_owned())
    } else if !missing.is_empty() && packages::find("apt-get").is_none() {
        Some(format!("a node needs Debian's packages {missing}, and there is no apt-get"))
    } else {
        None
    }
}

/// Where containerd keeps sockets and mounts: short, because a socket's path has at most 107 bytes.
fn runtime(bed: &Bed) -> PathBuf {
    Path::new(place::RUN).join(bed.name())
}

fn socket(bed: &Bed) -> PathBuf {
    runtime(bed).join("containerd.sock")
}

/// Installs and builds what is missing, and makes the node's network.
///
/// # Errors
/// When something cannot be had or made.
pub fn prepare(bed: &mut Bed) -> Result<()> {
    // The longest socket path of the kubelet, whose folder cannot be moved to a short place: volumes are in it.
    let longest = bed.folder.join("kubelet/plugins_registry/kubelet.sock.longest");
    if longest.as_os_str().len() > 107 {
        bail!("the path {} is too long for sockets in it; set XDG_CACHE_HOME to a shorter one", bed.folder.display());
    }
    packages::ensure(&PACKAGES)?;
    pause::archive()?;
    tools::ensure(&Tool::NODE)?;
    // Two kubelets of one network share folders, and one of them is somebody's real one.
    if TcpListener::bind(("0.0.0.0", KUBELET_PORT)).is_err() {
        bail!("something listens on port {KUBELET_PORT}: this machine is a Kubernetes node already");
    }
    let network = place::take(bed)?;
    fs::create_dir_all(runtime(bed)).with_context(|| format!("cannot make a folder below {}", place::RUN))?;
    groups::make(&groups::of(network))
}

/// Starts everything that makes the node and waits until it is ready.
///
/// # Errors
/// When something ends or is not ready in time.
pub fn start(bed: &mut Bed) -> Result<()> {
    let step = Step::begin("starting containerd");
    start_containerd(bed)?;
    wait_for("containerd to answer", Duration::from_secs(30), &bed.state.processes, &bed.logs(), || {
        ctr(bed).arg("version").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
    })?;
    step.done();
    import(bed, &pause::archive()?)?;

    let step = Step::begin("starting kubelet, kube-proxy, coredns and local-path-provisioner");
    let before = running_containers(&bed.api()?)?;
    start_kubelet(bed)?;
    start_proxy(bed)?;
    start_dns(bed)?;
    storage::start(bed)?;
    let api = bed.api()?;
    wait_for("the node to be ready", Duration::from_secs(60), &bed.state.processes, &bed.logs(), || {
        api.get(&format!("/api/v1/nodes/{NODE}")).is_ok_and(|node| has_condition(&node, "Ready"))
    })?;
    // After a restart the API server still tells of the containers of the node's earlier life, as running and ready.
    wait_for("the pods to be seen anew", Duration::from_secs(90), &bed.state.processes, &bed.logs(), || {
        before.is_empty() || running_containers(&api).is_ok_and(|now| now.is_disjoint(&before))
    })?;
    step.done();
    Ok(())
}

/// The containers that the API server takes for running.
fn running_containers(api: &Api) -> Result<BTreeSet<String>> {
    let pods = api.get(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}"))?;
    let statuses = pods["items"].as_array().into_iter().flatten().flat_map(|pod| {
        ["initContainerStatuses", "containerStatuses"]
            .into_iter()
            .filter_map(|list| pod["status"][list].as_array())
            .flatten()
    });
    Ok(statuses
        .filter(|status| !status["state"]["running"].is_null())
        .filter_map(|status| status["containerID"].as_str().map(str::to_owned))
        .collect())
}

fn start_containerd(bed: &mut Bed) -> Result<()> {
    let cni = bed.folder.join("cni");
    private_dir(&cni)?;
    let list = json!({
        "cniVersion": "1.0.0",
        "name": "rekindle",
        "plugins": [
            {
                "type": "bridge",
                "bridge": network::POD_BRIDGE,
                "isGateway": true,
                "ipMasq": true,
                // So that a pod reaches itself through its Service.
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": runtime(bed).join("addresses"),
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    write_private(&cni.join("10-bridge.conflist"), list.to_string().as_bytes())?;
    let runtime = runtime(bed);
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE runc dies of being told to lower the score.
    let config = format!(
        r#"version = 2
root = {root:?}
state = {state:?}
[grpc]
  address = {socket:?}
[plugins."io.containerd.internal.v1.opt"]
  path = {opt:?}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = {cni:?}
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = {runc:?}
"#,
        root = bed.folder.join("containerd"),
        state = runtime.join("containerd"),
        socket = socket(bed),
        opt = bed.folder.join("containerd-opt"),
        pause = pause::PAUSE,
        runc = runtime.join("runc"),
    );
    let file = bed.folder.join("containerd.toml");
    write_private(&file, config.as_bytes())?;
    bed.start("containerd", Command::new("containerd").arg("--config").arg(file))
}

fn ctr(bed: &Bed) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket(bed)).args(["--namespace", "k8s.io"]);
    command
}

/// Imports a docker-archive, unless this node has it already.
///
/// # Errors
/// When containerd refuses it.
pub fn import(bed: &mut Bed, archive: &Path) -> Result<()> {
    let data = fs::metadata(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let identity = format!("{} {} {:?}", archive.display(), data.len(), data.modified()?);
    if bed.state.imported.contains(&identity) {
        return Ok(());
    }
    let name = archive.file_name().unwrap_or_default().display();
    let step = Step::begin(format_args!("importing images of {name} ({} MB)", data.len() / 1_000_000));
    let mut command = ctr(bed);
    command.args(["images", "import", "--no-unpack=false"]).arg(archive);
    run_quietly(command, &step)?;
    step.done();
    bed.state.imported.push(identity);
    bed.save()
}

fn start_kubelet(bed: &mut Bed) -> Result<()> {
    let network = bed.network()?;
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.address(),
        "port": KUBELET_PORT,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": bed.folder.join("pki/ca.crt")},
        },
        // Whoever shows a certificate of this cluster is its API server.
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        // A kubelet ends what it finds in its groups and does not know.
        "cgroupRoot": format!("/{}", groups::of(network)),
        "clusterDNS": [network.address()],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{}", socket(bed).display()),
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi"},
        "failCgroupV1": false,
        "failSwapOn": false,
        // Images cannot be pulled again: none is ever collected.
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "24h",
        "podLogsDir": bed.folder.join("pod-logs"),
        "serializeImagePulls": false,
        "volumePluginDir": bed.folder.join("volume-plugins"),
    });
    let file = bed.folder.join("kubelet.json");
    write_private(&file, config.to_string().as_bytes())?;
    let flag = |name: &str, path: &str| format!("--{name}={}", bed.folder.join(path).display());
    let mut command = Command::new(tools::path(Tool::Kubelet)?);
    command.args([
        flag("config", "kubelet.json"),
        flag("kubeconfig", "kubelet.kubeconfig"),
        flag("root-dir", "kubelet"),
        flag("cert-dir", "kubelet-pki"),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={}", network.address()),
    ]);
    bed.start("kubelet", &mut command)
}

fn start_proxy(bed: &mut Bed) -> Result<()> {
    let address = bed.network()?.address();
    let mut command = Command::new(tools::path(Tool::KubeProxy)?);
    command.args([
        format!("--kubeconfig={}", bed.folder.join("kube-proxy.kubeconfig").display()),
        format!("--hostname-override={NODE}"),
        format!("--cluster-cidr={POD_RANGE}"),
        format!("--healthz-bind-address={address}:10256"),
        format!("--metrics-bind-address={address}:10249"),
        "--proxy-mode=iptables".to_owned(),
        // Not ours to change on somebody's machine, and often not allowed.
        "--conntrack-max-per-core=0".to_owned(),
        "--conntrack-tcp-timeout-established=0".to_owned(),
        "--conntrack-tcp-timeout-close-wait=0".to_owned(),
        "--iptables-localhost-nodeports=false".to_owned(),
    ]);
    bed.start("kube-proxy", &mut command)
}

fn start_dns(bed: &mut Bed) -> Result<()> {
    // Nothing is asked about other names: a bed reaches nobody who could answer.
    let text = format!(
        ".:53 {{\n  bind {}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {} {}\n    pods insecure\n    ttl 5\n  }}\n  cache 5\n}}\n",
        bed.network()?.address(),
        bed.kubeconfig().display(),
        bed.name(),
    );
    let file = bed.folder.join("Corefile");
    write_private(&file, text.as_bytes())?;
    bed.start("coredns", Command::new(tools::path(Tool::CoreDns)?).arg("-conf").arg(file))
}

/// Ends the kubelet and the containers; `gently` lets them finish first.
///
/// # Errors
/// When a process cannot be ended.
pub fn stop(bed: &Bed, gently: bool) -> Result<()> {
    let kubelet: Vec<_> = bed.state.processes.iter().filter(|process| process.name == "kubelet").cloned().collect();
    process::stop(&kubelet, Duration::from_secs(5))?;
    clean::end_containers(&socket(bed), gently)
}

/// Removes what is left outside the cluster's folder, and mounts inside it.
///
/// # Errors
/// When something cannot be removed.
pub fn clean(bed: &Bed) -> Result<()> {
    let runtime = runtime(bed);
    clean::unmount_below(&[&bed.folder, &runtime]);
    if runtime.exists() {
        fs::remove_dir_all(&runtime).with_context(|| format!("cannot remove {}", runtime.display()))?;
    }
    clean::remove_logs(&bed.folder.join("pod-logs"));
    place::give_back(bed)
}
