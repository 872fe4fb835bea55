//! The shared layer: a small Debian made by mmdebstrap from the machine's own package sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cache::{Cache, Key};
use super::layer::Blob;
use super::run;
use crate::packages::{self, Package};
use crate::progress::{Step, say};

/// The Debian release. Its PostgreSQL is version 15, its Python 3.11.
const SUITE: &str = "bookworm";

/// Everything that decides what the layer holds, short of the state of the package archive.
pub struct Recipe {
    packages: Vec<String>,
    excludes: Vec<String>,
    hooks: PathBuf,
    sources: String,
    key: String,
}

impl Recipe {
    /// Reads `packages.txt`, `excludes.txt` and `hooks/` of a folder, and the machine's package sources.
    pub fn read(folder: &Path) -> Result<Self> {
        let packages = lines(&folder.join("packages.txt"))?;
        let excludes = lines(&folder.join("excludes.txt"))?;
        let sources = machine_sources()?;
        let mut key = Key::new("base");
        key.text(SUITE);
        key.text(include_str!("base.rs"));
        key.tree(folder)?;
        key.text(&sources);
        Ok(Self { packages, excludes, hooks: folder.join("hooks"), sources, key: key.finish() })
    }

    /// The cache key of the layer.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The layer, from the cache or made now (about 40 seconds).
    pub fn layer(&self, cache: &Cache) -> Result<Blob> {
        let path = cache.entry(&format!("base-{}", self.key), "layer.tar", |partial| {
            packages::ensure(&[Package { name: "mmdebstrap", program: "mmdebstrap" }])?;
            let step = Step::begin("making the images' shared layer: Debian with PostgreSQL, Redis and Python");
            let sources = partial.with_extension("list");
            fs::write(&sources, &self.sources)?;
            let mut command = Command::new("mmdebstrap");
            command.args(["--variant=minbase", "--format=tar"]);
            command.arg(format!("--include={}", self.packages.join(",")));
            command.arg("--aptopt=APT::Install-Recommends \"false\"");
            command.arg("--aptopt=Acquire::Retries \"3\"");
            command.args(self.excludes.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
            command.arg(format!("--hook-directory={}", self.hooks.display()));
            command.arg(SUITE).arg(partial).arg(&sources);
            command.env("SOURCE_DATE_EPOCH", "0").env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
            let result = run(&mut command);
            fs::remove_file(&sources).ok();
            result?;
            step.done();
            Ok(())
        })?;
        Blob::of(&path)
    }
}

/// Patroni's Python package, unpacked below `work`. Debian's own is too old: since version 4 the role label of a leader is
/// `primary`, which is what manifests select by.
pub fn patroni(requirements: &Path, work: &Path) -> Result<PathBuf> {
    let download = work.join("patroni-wheel");
    let unpacked = work.join("patroni");
    let pip = ["-m", "pip", "--quiet", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    run(Command::new("python3").args(pip).arg("--dest").arg(&download).arg("--requirement").arg(requirements))
        .context("Patroni could not be had from the Python package index; python3 with pip is needed for it")?;
    let wheel = fs::read_dir(&download)?.next().context("pip downloaded nothing")??.path();
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unpacked))?;
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    say(format_args!("Patroni from {name}"));
    Ok(unpacked)
}

/// Unpacks an `.xz` file.
pub fn decompress(from: &Path, to: &Path) -> Result<PathBuf> {
    let file = fs::File::create(to)?;
    let status = Command::new("xz").args(["-dc", "--"]).arg(from).stdout(file).status().context("cannot start xz")?;
    ensure!(status.success(), "xz cannot unpack {}", from.display());
    Ok(to.to_path_buf())
}

/// The lines of a list; `#` begins a remark.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// The machine's package sources for the release, in the one-line format; the Debian archive itself where it has none.
fn machine_sources() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut sources = String::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.push_str(&from_lines(&text)),
            Some("sources") => sources.push_str(&from_stanzas(&text)),
            _ => {}
        }
    }
    if sources.is_empty() {
        sources = format!("deb http://deb.debian.org/debian {SUITE} main\n");
    }
    Ok(sources)
}

/// A suite of the release itself: `bookworm`, `bookworm-updates`, …, not another archive's that has it in its name.
fn ours(suite: &str) -> bool {
    suite.strip_prefix(SUITE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '/']))
}

fn from_lines(text: &str) -> String {
    let mut found = String::new();
    for line in text.lines().map(str::trim).filter(|line| line.starts_with("deb ")) {
        let bare = match (line.find('['), line.find(']')) {
            (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to + 1..]),
            _ => line.to_owned(),
        };
        let words: Vec<&str> = bare.split_whitespace().collect();
        if words.len() >= 4 && ours(words[2]) && words[3..].contains(&"main") {
            found.push_str(&format!("deb {} {} main\n", words[1], words[2]));
        }
    }
    found
}

fn from_stanzas(text: &str) -> String {
    let text: String =
        text.lines().filter(|line| !line.starts_with('#')).fold(String::new(), |all, line| all + line + "\n");
    let mut found = String::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let line = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().split_whitespace().collect::<Vec<_>>()
        };
        if !field("Types").contains(&"deb") || !field("Components").contains(&"main") || field("Enabled") == ["no"] {
            continue;
        }
        for uri in field("URIs") {
            for suite in field("Suites").into_iter().filter(|suite| ours(suite)) {
                found.push_str(&format!("deb {uri} {suite} main\n"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_source_formats_are_read_and_other_archives_left_out() {
        let list = "# deb http://x bookworm main\ndeb [arch=amd64 signed-by=/k] http://d/debian bookworm main contrib\n\
                    deb-src http://d/debian bookworm main\ndeb https://cloud cloud-sdk-bookworm main\ndeb http://d trixie main\n";
        assert_eq!(from_lines(list), "deb http://d/debian bookworm main\n");
        let stanzas = "# made by the installer\nTypes: deb deb-src\nURIs: http://d/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
                       Types: deb\nURIs: https://node\nSuites: nodistro\nComponents: main\n\n\
                       Types: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\nComponents: main\n";
        let expected = "deb http://d/debian bookworm main\ndeb http://d/debian bookworm-updates main\n";
        assert_eq!(from_stanzas(stanzas), expected);
    }
}
