//! Keys, certificates and tokens of a cluster. Made once, at its first start.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::cache::{private_dir, write_private};

/// Who gets a token: the file's user, and their groups.
const USERS: [(&str, &str); 5] = [
    ("admin", "system:masters"),
    ("system:kube-controller-manager", ""),
    ("system:kube-scheduler", ""),
    ("system:node:node-1", "system:nodes"),
    ("system:kube-proxy", ""),
];

/// Makes the folder `pki` with everything in it, unless it is complete already.
///
/// # Errors
/// When a file cannot be written or randomness is missing.
pub fn ensure(folder: &Path, addresses: &[String]) -> Result<()> {
    // Written last, so its presence says that all else is there.
    let tokens = folder.join("tokens.csv");
    if tokens.exists() {
        return Ok(());
    }
    private_dir(folder)?;
    let write = |name: &str, text: String| write_private(&folder.join(name), text.as_bytes());

    let ca_key = KeyPair::generate()?;
    let mut ca = named("rekindle testbed")?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    write("ca.crt", ca.self_signed(&ca_key)?.pem())?;
    write("ca.key", ca_key.serialize_pem())?;
    let issuer = Issuer::new(ca, ca_key);

    let issue = |name: &str, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose| -> Result<()> {
        let key = KeyPair::generate()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        write(&format!("{name}.crt"), params.signed_by(&key, &issuer)?.pem())?;
        write(&format!("{name}.key"), key.serialize_pem())
    };
    let mut api = CertificateParams::new(
        [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain(addresses.iter().cloned())
        .collect::<Vec<_>>(),
    )?;
    api.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    issue("apiserver", api, ExtendedKeyUsagePurpose::ServerAuth)?;
    // With this the API server shows the kubelet who it is.
    issue("kubelet-client", named("kube-apiserver-kubelet-client")?, ExtendedKeyUsagePurpose::ClientAuth)?;

    let service_accounts = KeyPair::generate()?;
    write("service-accounts.pub", service_accounts.public_key_pem())?;
    write("service-accounts.key", service_accounts.serialize_pem())?;

    let mut lines = String::new();
    for (index, (user, group)) in USERS.iter().enumerate() {
        lines.push_str(&format!("{},{user},{index}", random_token()?));
        if !group.is_empty() {
            lines.push_str(&format!(",{group}"));
        }
        lines.push('\n');
    }
    write("tokens.csv", lines)
}

fn named(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The token of a user, from `tokens.csv`.
///
/// # Errors
/// When the file or the user is missing.
pub fn token(folder: &Path, user: &str) -> Result<String> {
    let path = folder.join("tokens.csv");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .filter_map(|line| line.split_once(','))
        .find(|(_, rest)| rest.split(',').next() == Some(user))
        .map(|(token, _)| token.to_owned())
        .with_context(|| format!("{} has no token for {user}", path.display()))
}

/// A kubeconfig that carries everything in itself.
///
/// # Errors
/// When the certificate authority or the token cannot be read.
pub fn kubeconfig(folder: &Path, cluster: &str, server: &str, user: &str) -> Result<String> {
    use base64::Engine;
    let ca = fs::read(folder.join("ca.crt")).context("cannot read the cluster's certificate authority")?;
    Ok(format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {cluster}\n  cluster:\n    server: {server}\n    \
         certificate-authority-data: {ca}\nusers:\n- name: {cluster}\n  user:\n    token: {token}\ncontexts:\n\
         - name: {cluster}\n  context:\n    cluster: {cluster}\n    user: {cluster}\ncurrent-context: {cluster}\n",
        ca = base64::engine::general_purpose::STANDARD.encode(ca),
        token = token(folder, user)?,
    ))
}
