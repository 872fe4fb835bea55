//! The image set of the node bed: one docker-archive with every image that the kit's local environment names, and one more,
//! an object store for tests.
//!
//! No registry is needed. A Debian root file system with PostgreSQL, Redis and Python is the layer that all images share;
//! on it each image has a small layer of its own from `xtask/images/`. PostgreSQL, Patroni and Redis are the real programs,
//! the rest are stand-ins; `xtask/images/README.md` says what each of them really does.
//!
//! Everything is built once and kept in the user's cache folder under a key made of all that goes in, so a fresh clone on
//! the same machine builds nothing, and a changed stand-in costs a second, not a new root file system.

mod base;
mod cache;
mod layer;
mod references;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use self::cache::Cache;
use self::layer::{Blob, LayerBuilder};
use self::references::References;
use crate::progress::say;
use crate::tools::{self, Tool, VERSITYGW};

/// One image: how its own layer is made and how its program is started.
struct Image {
    /// The key under `images:` in the kit's environments, and the folder below `xtask/images/`.
    key: &'static str,
    /// The layers below its own.
    on: Below,
    entrypoint: &'static [&'static str],
    command: &'static [&'static str],
    /// The user the real image starts as; empty means root.
    user: &'static str,
    folder: &'static str,
    environment: &'static [&'static str],
    /// Folders with an owner: path, user and group number, mode.
    folders: &'static [(&'static str, u64, u32)],
}

/// What an image's own layer lies on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    /// Nothing: one static program.
    Nothing,
    /// The shared layer.
    Debian,
    /// The shared layer and the stand-in programs.
    StandIns,
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin";

/// The environment of the kit whose image names are used.
const ENVIRONMENT: &str = "local";

/// The image that no environment of the kit names: tests need something to archive to.
const OBJECT_STORE: &str = "versitygw";

const IMAGES: &[Image] = &[
    Image {
        key: "postgresql",
        on: Below::Debian,
        entrypoint: &["/usr/bin/dumb-init", "--", "/usr/local/bin/docker-entrypoint.sh"],
        command: &["patroni"],
        user: "",
        folder: "/",
        environment: &["LANG=en_US.utf8", "PGDATA=/postgresql/data/pgroot/data"],
        folders: &[("postgresql", 999, 0o755), ("postgresql/data", 999, 0o700)],
    },
    Image {
        key: "redis",
        on: Below::Debian,
        entrypoint: &["/usr/local/bin/docker-entrypoint.sh"],
        command: &["redis-server"],
        user: "",
        folder: "/data",
        environment: &[],
        folders: &[("data", 999, 0o755)],
    },
    Image {
        key: "server",
        on: Below::StandIns,
        entrypoint: &["/usr/bin/dumb-init", "--"],
        command: &[],
        user: "1000",
        folder: "/opt/acoustid/server",
        environment: &[],
        folders: &[],
    },
    Image {
        key: "index",
        on: Below::StandIns,
        entrypoint: &["/usr/local/bin/docker-entrypoint.sh"],
        command: &["fpi-server", "--directory", "/var/lib/acoustid-index", "--address", "0.0.0.0", "--port", "6080"],
        user: "1000",
        folder: "/",
        environment: &[],
        folders: &[("var/lib/acoustid-index", 1000, 0o755)],
    },
    Image {
        key: "aserver",
        on: Below::StandIns,
        entrypoint: &[],
        command: &["/aserver"],
        user: "",
        folder: "/",
        environment: &[],
        folders: &[],
    },
    Image {
        key: "mbslave",
        on: Below::StandIns,
        entrypoint: &["/usr/bin/dumb-init", "--", "docker-entrypoint.sh"],
        command: &[],
        user: "",
        folder: "/",
        environment: &[],
        folders: &[],
    },
    Image {
        key: "traefik",
        on: Below::StandIns,
        entrypoint: &["/entrypoint.sh"],
        command: &["traefik"],
        user: "",
        folder: "/",
        environment: &[],
        folders: &[],
    },
    Image {
        key: OBJECT_STORE,
        on: Below::Nothing,
        entrypoint: &["/usr/local/bin/versitygw"],
        command: &[],
        user: "1000",
        folder: "/",
        environment: &[],
        folders: &[],
    },
];

/// The path of a docker-archive with all images, built if it is not in the cache. For `ctr images import`.
///
/// # Errors
/// When `mmdebstrap` is missing and cannot be installed, a package source cannot be reached, or the kit's local
/// environment names an image that cannot be provided (one with a digest).
pub fn archive() -> Result<PathBuf> {
    let root = repository();
    let folder = root.join("xtask/images");
    let mut references = References::read(&root.join("environments"), ENVIRONMENT)?;
    references.add(OBJECT_STORE, format!("docker.io/versity/versitygw:{VERSITYGW}"))?;
    for key in references.keys().filter(|key| IMAGES.iter().all(|image| image.key != *key)) {
        say(format_args!(
            "there is nothing that could stand in for the image `{key}`: pods that use it will not start"
        ));
    }
    let tools = Tools::find(&root)?;
    let cache = Cache::open()?;
    let recipe = base::Recipe::read(&folder.join("base"))?;

    let mut key = cache::Key::new("images");
    key.text(recipe.key());
    for source in [include_str!("images.rs"), include_str!("images/layer.rs"), include_str!("images/base.rs")] {
        key.text(source);
    }
    key.tree(&folder)?;
    // The folder's name is a key of what the program was built from, and sooner read than the program.
    key.text(&tools.versitygw.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy());
    if let Some(wal_g) = &tools.wal_g {
        key.file(wal_g)?;
    }
    for (name, reference) in references.iter() {
        key.text(name);
        key.text(reference);
    }

    let path = cache.entry(&key.finish(), "images.tar", |partial| {
        let base = recipe.layer(&cache)?;
        build(&folder, &references, &tools, &base, partial)
    })?;
    cache.drop_unused(std::time::Duration::from_secs(14 * 24 * 3600));
    Ok(path)
}

/// Programs from outside the repository.
struct Tools {
    versitygw: PathBuf,
    /// May be absent.
    wal_g: Option<PathBuf>,
}

impl Tools {
    /// WAL-G is in no package registry; a folder `shared/tools` beside the repository may hold it.
    fn find(root: &Path) -> Result<Self> {
        let folder = root.join("../shared/tools");
        let mut found: Vec<PathBuf> = std::fs::read_dir(&folder)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        found.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("wal-g-") && name.ends_with(".xz")
        });
        found.sort();
        Ok(Self { versitygw: tools::path(Tool::VersityGw)?, wal_g: found.pop() })
    }
}

/// Builds the archive in a work folder beside it.
fn build(folder: &Path, references: &References, tools: &Tools, base: &Blob, into: &Path) -> Result<()> {
    let work = into.with_extension("work");
    std::fs::create_dir_all(&work)?;
    let result = build_in(&work, folder, references, tools, base, into);
    let removed = std::fs::remove_dir_all(&work);
    result.and(removed.context("cannot remove the work folder"))
}

fn build_in(
    work: &Path,
    folder: &Path,
    references: &References,
    tools: &Tools,
    base: &Blob,
    into: &Path,
) -> Result<()> {
    let mut standins = LayerBuilder::create(&work.join("standins.tar"))?;
    standins.tree(&folder.join("standins"), "opt/standins", |name| name.ends_with(".py"))?;
    let standins = standins.finish()?;

    let mut manifest = Vec::new();
    let mut configs = Vec::new();
    let mut blobs = vec![base.clone(), standins.clone()];
    for (image, name) in IMAGES.iter().filter_map(|image| Some((image, references.get(image.key)?))) {
        say(format_args!("image {name}"));
        let mut layers = match image.on {
            Below::Nothing => Vec::new(),
            Below::Debian => vec![base.clone()],
            Below::StandIns => vec![base.clone(), standins.clone()],
        };
        if let Some(own) = own_layer(work, folder, tools, image)? {
            blobs.push(own.clone());
            layers.push(own);
        }
        let config = serde_json::to_vec(&config(image, &layers))?;
        let config_name = format!("{}.json", layer::digest_of(&config));
        manifest.push(json!({
            "Config": config_name,
            "RepoTags": [name],
            "Layers": layers.iter().map(Blob::name).collect::<Vec<_>>(),
        }));
        configs.push((config_name, config));
    }

    let mut archive = tar::Builder::new(File::create(into)?);
    layer::append_bytes(&mut archive, "manifest.json", &serde_json::to_vec(&manifest)?, 0o644)?;
    for (name, config) in &configs {
        layer::append_bytes(&mut archive, name, config, 0o644)?;
    }
    for blob in &blobs {
        layer::append_file(&mut archive, &blob.name(), &blob.path, 0o644)?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(())
}

/// The image's own layer: its `rootfs` folder, the folders it must own, and for some programs that are built or fetched.
fn own_layer(work: &Path, folder: &Path, tools: &Tools, image: &Image) -> Result<Option<Blob>> {
    let rootfs = folder.join(image.key).join("rootfs");
    if !rootfs.is_dir() && image.folders.is_empty() && image.key != OBJECT_STORE {
        return Ok(None);
    }
    let mut layer = LayerBuilder::create(&work.join(format!("{}.tar", image.key)))?;
    for (path, owner, mode) in image.folders {
        layer.folder(path, *owner, *mode)?;
    }
    if rootfs.is_dir() {
        layer.tree(&rootfs, "", |_| true)?;
    }
    if image.key == OBJECT_STORE {
        layer.program(&tools.versitygw, "usr/local/bin/versitygw")?;
    }
    if image.key == "postgresql" {
        let patroni = base::patroni(&folder.join("postgresql/requirements.txt"), work)?;
        layer.tree(&patroni, "usr/local/lib/python3.11/dist-packages", |_| true)?;
        match &tools.wal_g {
            Some(compressed) => {
                let program = base::decompress(compressed, &work.join("wal-g"))?;
                layer.program(&program, "opt/wal-g/bin/wal-g")?;
                say(format_args!("WAL-G from {}", compressed.display()));
            }
            None => say("WAL-G was not found: clusters run, archiving and restoring fail"),
        }
    }
    layer.finish().map(Some)
}

/// The image configuration: what a registry would serve beside the layers.
fn config(image: &Image, layers: &[Blob]) -> serde_json::Value {
    let mut environment = vec![PATH.to_owned()];
    if image.on == Below::StandIns {
        environment.push("PYTHONPATH=/opt/standins".to_owned());
        environment.push("PYTHONDONTWRITEBYTECODE=1".to_owned());
    }
    environment.extend(image.environment.iter().map(|&line| line.to_owned()));
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": image.user,
            "Env": environment,
            "Entrypoint": image.entrypoint,
            "Cmd": image.command,
            "WorkingDir": image.folder,
            "Labels": {"dev.rekindle.testbed": "made for the node bed; not the published image of this name"},
        },
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect::<Vec<_>>()},
        "history": [],
    })
}

/// The repository's folder: the one that holds `xtask/`.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Runs a command whose output matters only when it fails; then the lines that speak of an error, and the last ones, do.
fn run(command: &mut std::process::Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        let (before, last) = lines.split_at(lines.len().saturating_sub(10));
        let errors = before.iter().filter(|line| line.to_lowercase().contains("error"));
        let shown: Vec<&str> = errors.chain(last).copied().collect();
        bail!("{program} failed ({}):\n{}", output.status, shown.join("\n"));
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_unique_key_and_a_folder() {
        let folder = repository().join("xtask/images");
        for (position, image) in IMAGES.iter().enumerate() {
            let own = folder.join(image.key).join("rootfs").is_dir();
            assert_eq!(own, image.on != Below::Nothing, "{}", image.key);
            assert!(IMAGES[..position].iter().all(|other| other.key != image.key), "{} twice", image.key);
        }
    }

    #[test]
    fn the_configuration_names_its_layers_in_order() {
        let blob = |digest: &str| Blob { path: PathBuf::new(), digest: digest.to_owned() };
        let config = config(&IMAGES[0], &[blob("aa"), blob("bb")]);
        assert_eq!(config["rootfs"]["diff_ids"], json!(["sha256:aa", "sha256:bb"]));
        assert_eq!(config["config"]["Cmd"], json!(["patroni"]));
    }
}
