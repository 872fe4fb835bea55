//! Image layers: tar files whose bytes depend on nothing but what goes in (sorted, owned by numbers, no times).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// A finished layer.
#[derive(Clone)]
pub struct Blob {
    /// The tar file.
    pub path: PathBuf,
    /// SHA-256 of it, in hexadecimal.
    pub digest: String,
}

impl Blob {
    /// A layer file that exists.
    pub fn of(path: &Path) -> Result<Self> {
        // By the system's own program: large files, and the debug build of a hash function is slow.
        let output = super::run(Command::new("sha256sum").arg("-b").arg(path))?;
        let digest = String::from_utf8_lossy(&output).trim_start_matches('\\').chars().take(64).collect::<String>();
        ensure!(digest.len() == 64, "sha256sum gave no digest for {}", path.display());
        Ok(Self { path: path.to_path_buf(), digest })
    }

    /// Its name inside the archive.
    pub fn name(&self) -> String {
        format!("{}.tar", self.digest)
    }
}

/// SHA-256 of some bytes, in hexadecimal.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Writes one layer.
pub struct LayerBuilder {
    path: PathBuf,
    tar: tar::Builder<File>,
    folders: BTreeSet<String>,
}

impl LayerBuilder {
    /// Begins a layer in a new file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_path_buf(), tar: tar::Builder::new(file), folders: BTreeSet::new() })
    }

    /// A folder with an owner; the folders above it are root's.
    pub fn folder(&mut self, path: &str, owner: u64, mode: u32) -> Result<()> {
        self.parents(path)?;
        if self.folders.insert(path.to_owned()) {
            let mut header = header(tar::EntryType::Directory, 0, mode);
            header.set_uid(owner);
            header.set_gid(owner);
            self.tar.append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Ok(())
    }

    /// All files below `from` whose name `take` accepts, at `to` (empty: the root). Files that begin with `#!` or are
    /// executable here are executable there; everything is root's.
    pub fn tree(&mut self, from: &Path, to: &str, take: fn(&str) -> bool) -> Result<()> {
        let mut entries = fs::read_dir(from)
            .with_context(|| format!("cannot read {}", from.display()))?
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let target = if to.is_empty() { name.clone() } else { format!("{to}/{name}") };
            if name == "__pycache__" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                self.tree(&entry.path(), &target, take)?;
            } else if take(&name) {
                let content = fs::read(entry.path())?;
                let mode = if content.starts_with(b"#!") || executable(&entry.path())? { 0o755 } else { 0o644 };
                self.parents(&target)?;
                append_bytes(&mut self.tar, &target, &content, mode)?;
            }
        }
        Ok(())
    }

    /// One executable file.
    pub fn program(&mut self, from: &Path, to: &str) -> Result<()> {
        self.parents(to)?;
        append_file(&mut self.tar, to, from, 0o755)
    }

    /// Closes the layer.
    pub fn finish(self) -> Result<Blob> {
        self.tar.into_inner()?.flush()?;
        Blob::of(&self.path)
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        for (position, _) in path.match_indices('/') {
            let parent = &path[..position];
            if self.folders.insert(parent.to_owned()) {
                let mut header = header(tar::EntryType::Directory, 0, 0o755);
                self.tar.append_data(&mut header, format!("{parent}/"), std::io::empty())?;
            }
        }
        Ok(())
    }
}

/// Appends a file given as bytes, owned by root.
pub fn append_bytes<W: Write>(tar: &mut tar::Builder<W>, name: &str, content: &[u8], mode: u32) -> Result<()> {
    append(tar, name, content, content.len() as u64, mode)
}

/// Appends a file from disk, owned by root.
pub fn append_file<W: Write>(tar: &mut tar::Builder<W>, name: &str, from: &Path, mode: u32) -> Result<()> {
    let file = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    let size = file.metadata()?.len();
    append(tar, name, file, size, mode)
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, content: impl Read, size: u64, mode: u32) -> Result<()> {
    tar.append_data(&mut header(tar::EntryType::Regular, size, mode), name, content)?;
    Ok(())
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn executable(path: &Path) -> Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_layer_is_sorted_owned_and_timeless() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("from/b")).unwrap();
        fs::write(folder.path().join("from/b/run"), "#!/bin/sh\n").unwrap();
        fs::write(folder.path().join("from/a.txt"), "text").unwrap();
        let build = |name: &str| {
            let mut layer = LayerBuilder::create(&folder.path().join(name)).unwrap();
            layer.folder("data/own", 999, 0o700).unwrap();
            layer.tree(&folder.path().join("from"), "usr/x", |_| true).unwrap();
            layer.finish().unwrap()
        };
        let (first, second) = (build("1.tar"), build("2.tar"));
        assert_eq!(first.digest, second.digest);
        let mut archive = tar::Archive::new(File::open(&first.path).unwrap());
        let entries: Vec<(String, u64, u32)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                (path, entry.header().uid().unwrap(), entry.header().mode().unwrap())
            })
            .collect();
        let expected = [
            ("data/", 0, 0o755),
            ("data/own/", 999, 0o700),
            ("usr/", 0, 0o755),
            ("usr/x/", 0, 0o755),
            ("usr/x/a.txt", 0, 0o644),
            ("usr/x/b/", 0, 0o755),
            ("usr/x/b/run", 0, 0o755),
        ];
        assert_eq!(entries, expected.map(|(path, uid, mode)| (path.to_owned(), uid, mode)));
    }
}
