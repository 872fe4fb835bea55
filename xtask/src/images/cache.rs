//! Files kept in the user's cache folder under a key of everything they were made from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

/// A key in the making: order matters.
pub struct Key(Vec<Vec<u8>>);

impl Key {
    /// A key for things of one kind.
    pub fn new(kind: &str) -> Self {
        Self(vec![kind.into()])
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.0.push(text.into());
    }

    /// Adds a file's content.
    pub fn file(&mut self, path: &Path) -> Result<()> {
        self.0.push(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
        Ok(())
    }

    /// Adds all files below a folder with their names, in order. Notes (`*.md`) and compiled Python do not count.
    pub fn tree(&mut self, folder: &Path) -> Result<()> {
        let mut entries = fs::read_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
            .collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
            if name == "__pycache__" || name.ends_with(".md") {
                continue;
            }
            self.text(&name);
            if path.is_dir() { self.tree(&path)? } else { self.file(&path)? }
        }
        self.text("/");
        Ok(())
    }

    /// The key: 16 hexadecimal digits.
    pub fn finish(self) -> String {
        crate::cache::key(self.0.iter().map(Vec::as_slice))
    }
}

/// The folder `rekindle/images` in the user's cache.
pub struct Cache(PathBuf);

impl Cache {
    /// Opens it, making it first where needed.
    pub fn open() -> Result<Self> {
        Self::at(crate::cache::root()?.join("images"))
    }

    fn at(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// The file `KEY/NAME`, made by `make` if it is not there yet. `make` writes to a path of its own and the finished file
    /// is moved into place, so a file that is there is whole. Only one process makes an entry; the others wait for it.
    pub fn entry(&self, key: &str, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.0.join(key);
        let path = folder.join(name);
        fs::create_dir_all(&folder)?;
        let _lock = crate::cache::Lock::take(&folder.join(".lock"), "making the images")?;
        if !path.exists() {
            let partial = folder.join(format!("{name}.partial"));
            make(&partial)?;
            fs::rename(&partial, &path)?;
        }
        // A sign of use, for `drop_unused`.
        File::open(&path)?.set_modified(SystemTime::now())?;
        Ok(path)
    }

    /// Removes entries that nobody has used for that long. Failing to is no reason to stop.
    pub fn drop_unused(&self, age: Duration) {
        for folder in fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let newest = fs::read_dir(&folder).into_iter().flatten().flatten();
            let newest = newest.filter_map(|file| file.metadata().ok()?.modified().ok()).max();
            let unused = newest.and_then(|time| time.elapsed().ok()).is_some_and(|since| since > age);
            if unused {
                fs::remove_dir_all(&folder).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_sees_every_file_but_notes() {
        let folder = tempfile::tempdir().unwrap();
        let key = || {
            let mut key = Key::new("t");
            key.tree(folder.path()).unwrap();
            key.finish()
        };
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/f"), "1").unwrap();
        let first = key();
        fs::write(folder.path().join("README.md"), "words").unwrap();
        assert_eq!(key(), first);
        fs::write(folder.path().join("a/f"), "2").unwrap();
        let second = key();
        assert_ne!(second, first);
        fs::rename(folder.path().join("a/f"), folder.path().join("a/g")).unwrap();
        assert_ne!(key(), second);
    }

    #[test]
    fn an_entry_is_made_once_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("c")).unwrap();
        let failed = cache.entry("k", "f", |path| {
            fs::write(path, "half")?;
            anyhow::bail!("no")
        });
        assert!(failed.is_err());
        let path = cache.entry("k", "f", |path| Ok(fs::write(path, "whole")?)).unwrap();
        let again = cache.entry("k", "f", |_| anyhow::bail!("made twice")).unwrap();
        assert_eq!((path.clone(), fs::read_to_string(path).unwrap().as_str()), (again, "whole"));
    }

    #[test]
    fn only_what_is_unused_goes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_path_buf()).unwrap();
        let [old, new] = ["old", "new"].map(|key| cache.entry(key, "f", |path| Ok(fs::write(path, "")?)).unwrap());
        let long_ago = SystemTime::now() - Duration::from_secs(1000);
        for file in ["f", ".lock"] {
            File::open(old.with_file_name(file)).unwrap().set_modified(long_ago).unwrap();
        }
        cache.drop_unused(Duration::from_secs(500));
        assert_eq!((old.exists(), new.exists()), (false, true));
    }
}
