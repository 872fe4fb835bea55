//! The one image that every node needs: a static busybox that sleeps unless told otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{cache, packages};

/// The name under which it serves as the pause container of pods.
pub const PAUSE: &str = "docker.io/library/pause:local";
/// The name under which it serves tests and the volumes' helper pods.
pub const BUSYBOX: &str = "docker.io/library/busybox:local";

/// The image as a docker-archive in the cache, made when it is not there.
///
/// # Errors
/// When busybox cannot be had or the archive not be written.
pub fn archive() -> Result<PathBuf> {
    let busybox = packages::busybox()?;
    let program = fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    let file = cache::root()?.join("images").join(format!("busybox-{}.tar", cache::key([program.as_slice()])));
    if !file.is_file() {
        let applets = Command::new(&busybox).arg("--list").output().context("cannot run busybox")?;
        let applets = String::from_utf8(applets.stdout)?;
        cache::private_dir(file.parent().context("no folder for images")?)?;
        cache::write_private(&file, &docker_archive(&layer(&program, applets.lines())?)?)?;
    }
    Ok(file)
}

/// The image's only layer.
fn layer<'a>(busybox: &[u8], applets: impl Iterator<Item = &'a str>) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (folder, mode) in [("bin/", 0o755), ("etc/", 0o755), ("tmp/", 0o1777), ("root/", 0o700)] {
        entry(&mut tar, folder, tar::EntryType::Directory, mode, b"")?;
    }
    entry(&mut tar, "bin/busybox", tar::EntryType::Regular, 0o755, busybox)?;
    entry(&mut tar, "etc/passwd", tar::EntryType::Regular, 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    entry(&mut tar, "etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\n")?;
    for applet in applets.filter(|applet| *applet != "busybox") {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, Path::new("bin").join(applet), "busybox")?;
    }
    Ok(tar.into_inner()?)
}

/// A docker-archive: layer, configuration and manifest, all with fixed times so that the same input gives the same bytes.
fn docker_archive(layer: &[u8]) -> Result<Vec<u8>> {
    let digest: String = Sha256::digest(layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Entrypoint": ["/bin/sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        "history": [],
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [PAUSE, BUSYBOX], "Layers": ["layer.tar"]}]);
    let mut tar = tar::Builder::new(Vec::new());
    entry(&mut tar, "manifest.json", tar::EntryType::Regular, 0o644, manifest.to_string().as_bytes())?;
    entry(&mut tar, "config.json", tar::EntryType::Regular, 0o644, config.to_string().as_bytes())?;
    entry(&mut tar, "layer.tar", tar::EntryType::Regular, 0o644, layer)?;
    Ok(tar.into_inner()?)
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn entry(tar: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = header(kind, mode, bytes.len());
    tar.append_data(&mut header, path, bytes).with_context(|| format!("cannot add {path} to an archive"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::io::Read;

    use super::*;

    #[test]
    fn the_archive_names_its_layer_by_digest_and_is_the_same_every_time() {
        let make = || docker_archive(&layer(b"program", ["busybox", "sh", "ls"].into_iter()).unwrap()).unwrap();
        let bytes = make();
        assert_eq!(bytes, make());
        let mut files = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        let config: serde_json::Value = serde_json::from_slice(&files["config.json"]).unwrap();
        let digest: String = Sha256::digest(&files["layer.tar"]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{digest}"));
        let links: Vec<_> = tar::Archive::new(files["layer.tar"].as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.header().entry_type() == tar::EntryType::Symlink)
            .map(|entry| entry.path().unwrap().display().to_string())
            .collect();
        assert_eq!(links, ["bin/sh", "bin/ls"]);
    }
}
