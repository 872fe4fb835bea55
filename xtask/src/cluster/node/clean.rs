//! What containers leave behind: processes, mounts, control groups, files outside the cluster's folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::process::{self, Process};

/// Ends all containers of the containerd at `socket`, whether it still runs or not: they are the children of its shims,
/// which carry the socket in their command line.
///
/// # Errors
/// When a process cannot be killed.
pub fn end_containers(socket: &Path, gently: bool) -> Result<()> {
    let socket = socket.display().to_string();
    let is_shim = |command: &[&str]| {
        command.first().is_some_and(|program| program.contains("containerd-shim"))
            && command.windows(2).any(|pair| pair == ["-address", socket.as_str()])
    };
    let (shims, contained): (Vec<Process>, Vec<Process>) =
        process::find_trees(is_shim).into_iter().partition(|process| process.name.contains("containerd-shim"));
    process::stop(&contained, if gently { Duration::from_secs(5) } else { Duration::ZERO })?;
    process::stop(&shims, Duration::from_secs(1))
}

/// Unmounts everything below these folders, the last mounted first.
pub fn unmount_below(folders: &[&Path]) {
    let mounts = fs::read("/proc/self/mounts").unwrap_or_default();
    let mut found: Vec<PathBuf> = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(1))
        .map(unescape)
        .filter(|path| folders.iter().any(|folder| path.starts_with(folder)))
        .collect();
    found.reverse();
    for path in found {
        // Detached: it goes now from the tree, and for good with its last user. What stays shows when the folder is removed.
        let _ = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH);
    }
}

/// A path of /proc/mounts, where blanks and backslashes are octal escapes.
fn unescape(path: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Where kubelets link the logs of all pods.
const LINKS: &str = "/var/log/containers";

/// Removes the links to logs of pods below `pod_logs`, which a kubelet makes in a fixed place.
pub fn remove_logs(pod_logs: &Path) {
    for entry in fs::read_dir(LINKS).into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(pod_logs)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes what kubelets, CNI and containerd of all beds share because its place is fixed: sockets of device plugins, and
/// folders that nobody else uses.
pub fn remove_shared() {
    let plugins = Path::new("/var/lib/kubelet/device-plugins");
    for file in ["kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"] {
        let _ = fs::remove_file(plugins.join(file));
    }
    let parents = ["/var/lib/kubelet", "/var/lib/cni/results", "/var/lib/cni", "/run/containerd/s", "/run/containerd"];
    for folder in [Path::new(LINKS), plugins].into_iter().chain(parents.iter().map(Path::new)) {
        // Only when empty.
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_blanks_are_read_back() {
        assert_eq!(unescape(br"/a\040b\134c"), Path::new(r"/a b\c"));
        assert_eq!(unescape(br"/plain\04"), Path::new(r"/plain\04"));
    }
}
