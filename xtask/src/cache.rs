//! The user's cache folder: where programs, images and clusters live, and locks on parts of it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::progress::{Step, check_interrupt};

/// `$XDG_CACHE_HOME/rekindle`, or `~/.cache/rekindle`.
///
/// # Errors
/// When neither variable is set.
pub fn root() -> Result<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = var("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| var("HOME").map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder")?;
    Ok(base.join("rekindle"))
}

/// Makes a folder, and those above it, readable by the user alone.
///
/// # Errors
/// When it cannot be made.
pub fn private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Writes a file that only the user may read, whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A lock on a file, held until dropped; it also ends with the process.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock; says so when somebody else holds it.
    ///
    /// # Errors
    /// When the file cannot be made, or on Ctrl-C.
    pub fn take(path: &Path, what: &str) -> Result<Self> {
        let mut waiting: Option<Step> = None;
        loop {
            if let Some(lock) = Self::try_take(path)? {
                if let Some(step) = waiting {
                    step.done();
                }
                return Ok(lock);
            }
            waiting.get_or_insert_with(|| Step::begin(format_args!("waiting for another run to finish {what}")));
            check_interrupt()?;
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// The lock, unless somebody else holds it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

/// Eight bytes of a SHA-256 as hexadecimal text, over parts kept apart by their lengths.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_where_parts_end() {
        let one = key([b"ab".as_slice(), b"c"]);
        assert_eq!(one.len(), 16);
        assert_eq!(one, key([b"ab".as_slice(), b"c"]));
        assert_ne!(one, key([b"a".as_slice(), b"bc"]));
        assert_ne!(one, key([b"abc".as_slice()]));
    }
}
