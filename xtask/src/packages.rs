//! Programs that come from Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{self, Lock};
use crate::progress::Step;
use crate::tools::run_quietly;

/// A package and the program for which it is wanted.
pub struct Package {
    /// The package's name.
    pub name: &'static str,
    /// A program of it, looked for on the PATH and in the system's folders; or an absolute path.
    pub program: &'static str,
}

/// Where a program is, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Path::new(program).is_file().then(|| program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether this process has root's rights.
pub fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The names of the packages whose program is not there.
pub fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| find(package.program).is_none()).map(|package| package.name).collect()
}

/// Installs those packages whose program is missing.
///
/// # Errors
/// When something is missing and this is not root on a Debian, or when the installation fails.
pub fn ensure(packages: &[Package]) -> Result<()> {
    if missing(packages).is_empty() {
        return Ok(());
    }
    let _lock = Lock::take(&cache::root()?.join("locks/apt"), "installing packages")?;
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if find("apt-get").is_none() {
        bail!(
            "these Debian packages, or what is in them, are missing: {names}; and there is no apt-get to install them"
        );
    }
    if !root() {
        bail!("these Debian packages are missing: {names}; run as root, or: sudo apt-get install {names}");
    }
    install_locked(&missing)
}

/// Installs packages.
///
/// # Errors
/// When this is not root on a Debian, or the installation fails.
pub fn install(packages: &[&str]) -> Result<()> {
    let _lock = Lock::take(&cache::root()?.join("locks/apt"), "installing packages")?;
    install_locked(packages)
}

fn install_locked(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    apt(&format!("refreshing the list of packages, to install {names}"), &["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&format!("installing the Debian packages {names}"), &arguments)
}

fn apt(what: &str, arguments: &[&str]) -> Result<()> {
    let step = Step::begin(what);
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    run_quietly(command, &step)?;
    step.done();
    Ok(())
}

/// A busybox that needs no libraries, unpacked from its package: installing that would push out a machine's own busybox.
///
/// # Errors
/// When it cannot be downloaded.
pub fn busybox() -> Result<PathBuf> {
    let folder = cache::root()?.join("bin/busybox-static");
    let program = folder.join("bin/busybox");
    if program.is_file() {
        return Ok(program);
    }
    let _lock = Lock::take(&cache::root()?.join("locks/apt"), "downloading busybox")?;
    let scratch = folder.with_extension(format!("tmp{}", std::process::id()));
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    let step = Step::begin("downloading busybox-static");
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "download", "busybox-static"]).current_dir(&scratch);
        run_quietly(command, &step)
    };
    if download().is_err() {
        // Lists that were never fetched, or are older than what the mirror still has.
        if root() {
            apt("refreshing the list of packages", &["update"])?;
        }
        download()?;
    }
    let package = fs::read_dir(&scratch)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download left no package")?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&package).arg(scratch.join("root"));
    run_quietly(unpack, &step)?;
    let _ = fs::remove_dir_all(&folder);
    fs::rename(scratch.join("root"), &folder).context("cannot move busybox into the cache")?;
    fs::remove_dir_all(&scratch)?;
    step.done();
    Ok(program)
}
