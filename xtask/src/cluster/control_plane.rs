//! Starts etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes of this machine.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{Bed, node, pki};
use crate::process::wait_for;
use crate::progress::Step;
use crate::tools::{self, Tool};

/// Addresses of Services; the first one is that of the API server itself.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
const API_SERVICE: &str = "10.96.0.1";

/// Starts the control plane and returns when it is ready to work.
///
/// # Errors
/// When a program is missing, ends, or is not ready in time.
pub fn start(bed: &mut Bed) -> Result<()> {
    tools::ensure(&Tool::CONTROL_PLANE)?;
    let address = bed.address()?;
    let keys = bed.folder.join("pki");
    // A node bed may find its place taken when it comes back, and gets another.
    let mut addresses = vec!["127.0.0.1".to_owned(), API_SERVICE.to_owned()];
    addresses.extend(node::Network::all().map(node::Network::address));
    pki::ensure(&keys, &addresses)?;
    let server = format!("https://{address}:{}", bed.state.ports.api);
    for (file, user) in [
        ("kubeconfig", "admin"),
        ("controller-manager.kubeconfig", "system:kube-controller-manager"),
        ("scheduler.kubeconfig", "system:kube-scheduler"),
        ("kubelet.kubeconfig", "system:node:node-1"),
        ("kube-proxy.kubeconfig", "system:kube-proxy"),
    ] {
        let text = pki::kubeconfig(&keys, &bed.state.name, &server, user)?;
        crate::cache::write_private(&bed.folder.join(file), text.as_bytes())?;
    }

    let step = Step::begin(format_args!(
        "starting etcd and kube-apiserver of {} on port {}",
        bed.state.name, bed.state.ports.api
    ));
    start_etcd(bed)?;
    start_api_server(bed, &address)?;
    let api = bed.api()?;
    wait_for("kube-apiserver to be ready", Duration::from_secs(90), &bed.state.processes, &bed.logs(), || {
        api.send("GET", "/readyz", "text/plain", b"").is_ok_and(|answer| answer.status == 200)
    })?;
    step.done();

    let step = Step::begin("starting kube-controller-manager and kube-scheduler");
    start_controllers(bed)?;
    // The first thing that a new cluster lacks: without it no pod can be created.
    wait_for("the first service account", Duration::from_secs(60), &bed.state.processes, &bed.logs(), || {
        api.get("/api/v1/namespaces/default/serviceaccounts/default").is_ok()
    })?;
    step.done();
    Ok(())
}

fn start_etcd(bed: &mut Bed) -> Result<()> {
    let client = format!("http://127.0.0.1:{}", bed.state.ports.etcd);
    let peer = format!("http://127.0.0.1:{}", bed.state.ports.etcd_peer);
    let mut command = Command::new(tools::path(Tool::Etcd)?);
    command.arg("--data-dir").arg(bed.folder.join("etcd")).args([
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // A testbed's state need not survive the machine's crash.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    bed.start("etcd", &mut command)
}

fn start_api_server(bed: &mut Bed, address: &str) -> Result<()> {
    let keys = bed.folder.join("pki");
    let key = |flag: &str, file: &str| format!("--{flag}={}", keys.join(file).display());
    let mut command = Command::new(tools::path(Tool::ApiServer)?);
    command.args([
        format!("--etcd-servers=http://127.0.0.1:{}", bed.state.ports.etcd),
        format!("--secure-port={}", bed.state.ports.api),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        key("tls-cert-file", "apiserver.crt"),
        key("tls-private-key-file", "apiserver.key"),
        key("client-ca-file", "ca.crt"),
        key("token-auth-file", "tokens.csv"),
        key("kubelet-client-certificate", "kubelet-client.crt"),
        key("kubelet-client-key", "kubelet-client.key"),
        key("service-account-key-file", "service-accounts.pub"),
        key("service-account-signing-key-file", "service-accounts.key"),
    ]);
    bed.start("kube-apiserver", &mut command)
}

fn start_controllers(bed: &mut Bed) -> Result<()> {
    let keys = bed.folder.join("pki");
    let key = |flag: &str, file: &str| format!("--{flag}={}", keys.join(file).display());
    let config = |file: &str| format!("--kubeconfig={}", bed.folder.join(file).display());
    let mut controllers = Command::new(tools::path(Tool::ControllerManager)?);
    controllers.args([
        config("controller-manager.kubeconfig"),
        format!("--secure-port={}", bed.state.ports.controller_manager),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials".to_owned(),
        format!("--cluster-cidr={}", node::POD_RANGE),
        key("service-account-private-key-file", "service-accounts.key"),
        key("root-ca-file", "ca.crt"),
        key("cluster-signing-cert-file", "ca.crt"),
        key("cluster-signing-key-file", "ca.key"),
    ]);
    let mut scheduler = Command::new(tools::path(Tool::Scheduler)?);
    scheduler.args([
        config("scheduler.kubeconfig"),
        format!("--secure-port={}", bed.state.ports.scheduler),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
    ]);
    bed.start("kube-controller-manager", &mut controllers)?;
    bed.start("kube-scheduler", &mut scheduler)
}

/// Whether an object has a condition of this type with status `True`.
pub fn has_condition(object: &Value, name: &str) -> bool {
    object["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["type"] == name && c["status"] == "True"))
}
