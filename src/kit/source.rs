//! Where a kit comes from: the binary or a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::{Kit, KitSource, mistake};
use crate::manifest::mistake::{Mistake, Mistakes};

static ENVIRONMENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/environments");
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
static SECRETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/secrets");

/// The folders of a kit; nothing else in it is read.
const FOLDERS: [&str; 3] = ["environments", "templates", "secrets"];
/// Limit for one file. A manifest that a cluster accepts is at most 3 MiB.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Limit for all files together.
const MAX_KIT: u64 = 64 * 1024 * 1024;
/// Limit for folders in folders.
const MAX_DEPTH: usize = 16;
const SHAPE: &str =
    "a kit is a folder with environments/NAME.yaml and templates/stack.yaml, and secrets/ if it needs any";

impl Kit {
    /// The kit inside the binary.
    pub fn embedded() -> Self {
        let mut files = BTreeMap::new();
        for (folder, dir) in FOLDERS.iter().zip([&ENVIRONMENTS, &TEMPLATES, &SECRETS]) {
            embed(folder, dir, &mut files);
        }
        Self { source: KitSource::Embedded, files }
    }

    /// Whether both are made of the same files.
    pub fn same_files(&self, other: &Self) -> bool {
        self.files == other.files
    }

    /// Reads a kit's folder into memory. Hidden files, editors' backup files and symbolic links that lead out of the kit
    /// are not part of it.
    ///
    /// # Errors
    /// When the folder cannot be read, is not a kit, or is too large to be one.
    pub fn open(folder: &Path) -> Result<Self, Mistakes> {
        let shown = folder.display();
        let root = folder
            .canonicalize()
            .map_err(|error| Mistakes::from(not_a_kit(&format!("cannot read {shown}: {}", reason(&error)))))?;
        if !root.is_dir() {
            return Err(not_a_kit(&format!("{shown} is not a folder")).into());
        }
        let mut reader = Reader { root, files: BTreeMap::new(), bytes: 0, mistakes: Vec::new() };
        for name in FOLDERS {
            let path = reader.root.join(name);
            if path.is_dir() {
                reader.folder(&path, name, 0);
            }
        }
        if !reader.mistakes.is_empty() {
            return Err(Mistakes(reader.mistakes));
        }
        let has_environment =
            reader.files.keys().any(|path| path.starts_with("environments/") && path.ends_with(".yaml"));
        match (has_environment, reader.files.contains_key("templates/stack.yaml")) {
            (true, true) => Ok(Self { source: KitSource::Folder(folder.to_owned()), files: reader.files }),
            (false, true) => Err(not_a_kit(&format!("{shown} is not a kit: it has no environments/NAME.yaml")).into()),
            (true, false) => Err(not_a_kit(&format!("{shown} is not a kit: it has no templates/stack.yaml")).into()),
            (false, false) => Err(not_a_kit(&format!("{shown} is not a kit")).into()),
        }
    }
}

/// Whether somebody who looks into a folder would take it for a kit: it has a stack file and environments.
pub fn lies_in(folder: &Path) -> bool {
    folder.join("templates/stack.yaml").is_file() && folder.join("environments").is_dir()
}

fn not_a_kit(message: &str) -> Mistake {
    Mistake { hint: Some(SHAPE.into()), ..mistake("no-kit", message, "", None) }
}

/// The operating system's reason without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn embed(prefix: &str, dir: &Dir<'_>, files: &mut BTreeMap<String, Vec<u8>>) {
    for file in dir.files() {
        let path = format!("{prefix}/{}", file.path().to_string_lossy().replace('\\', "/"));
        if file.path().file_name().is_some_and(|name| !ignored(&name.to_string_lossy())) {
            files.insert(path, file.contents().to_vec());
        }
    }
    for dir in dir.dirs() {
        embed(prefix, dir, files);
    }
}

/// Hidden files and the leftovers of editors.
fn ignored(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || [".bak", ".orig", ".rej", ".swp", ".tmp"].iter().any(|ending| lower.ends_with(ending))
}

struct Reader {
    root: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn wrong(&mut self, file: &str, message: impl Into<String>) {
        self.mistakes.push(mistake("unreadable", message, file, None));
    }

    fn folder(&mut self, folder: &Path, name: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return self.wrong(name, format!("is more than {MAX_DEPTH} folders deep"));
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.wrong(name, format!("cannot be read: {}", reason(&error))),
        };
        for entry in entries.flatten() {
            let Ok(file_name) = entry.file_name().into_string() else {
                self.wrong(name, "holds a file whose name is not UTF-8");
                continue;
            };
            if ignored(&file_name) {
                continue;
            }
            self.entry(&entry.path(), &format!("{name}/{file_name}"), depth);
        }
    }

    fn entry(&mut self, path: &Path, name: &str, depth: usize) {
        // A link may stay inside the kit; one that leads out would make a kit that works on one machine only.
        let resolved = match path.canonicalize() {
            Ok(resolved) if resolved.starts_with(&self.root) => resolved,
            Ok(_) => return self.wrong(name, "is a symbolic link that leads out of the kit"),
            Err(error) => return self.wrong(name, format!("cannot be read: {}", reason(&error))),
        };
        match resolved.metadata() {
            Ok(metadata) if metadata.is_dir() => self.folder(path, name, depth + 1),
            Ok(metadata) if metadata.is_file() => self.file(&resolved, name, metadata.len()),
            Ok(_) => self.wrong(name, "is neither a file nor a folder"),
            Err(error) => self.wrong(name, format!("cannot be read: {}", reason(&error))),
        }
    }

    fn file(&mut self, path: &Path, name: &str, length: u64) {
        self.bytes += length;
        if length > MAX_FILE {
            return self.wrong(name, format!("is larger than {} MiB", MAX_FILE / 1024 / 1024));
        }
        if self.bytes > MAX_KIT {
            if self.mistakes.iter().all(|mistake| mistake.code != "too-large") {
                let message = format!("the kit is larger than {} MiB", MAX_KIT / 1024 / 1024);
                self.mistakes.push(mistake("too-large", message, "", None));
            }
            return;
        }
        match fs::read(path) {
            Ok(bytes) => drop(self.files.insert(name.to_owned(), bytes)),
            Err(error) => self.wrong(name, format!("cannot be read: {}", reason(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn kit(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_embedded_kit_is_what_the_repository_holds() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut reader =
            Reader { root: root.canonicalize().unwrap(), files: BTreeMap::new(), bytes: 0, mistakes: Vec::new() };
        for name in FOLDERS {
            reader.folder(&root.join(name), name, 0);
        }
        assert_eq!(Kit::embedded().files, reader.files);
    }

    #[test]
    fn leftovers_are_not_read() {
        let folder = kit(&[
            ("environments/a.yaml", "namespace: a"),
            ("environments/a.yaml~", "x"),
            ("environments/.a.yaml.swp", "x"),
            ("templates/stack.yaml", "name: x"),
            ("templates/one/.git/config", "x"),
            ("templates/one/#a.yaml#", "x"),
            ("README.md", "x"),
        ]);
        let kit = Kit::open(folder.path()).unwrap();
        assert_eq!(kit.files.keys().collect::<Vec<_>>(), ["environments/a.yaml", "templates/stack.yaml"]);
    }

    #[test]
    fn other_folders_are_not_kits() {
        let no_stack = kit(&[("environments/a.yaml", "")]);
        let no_environment = kit(&[("templates/stack.yaml", "")]);
        let nothing = kit(&[("README.md", "")]);
        for (path, message) in [
            (no_stack.path(), "has no templates/stack.yaml"),
            (no_environment.path(), "has no environments/NAME.yaml"),
            (nothing.path(), "is not a kit"),
            (Path::new("/does/not/exist"), "cannot read /does/not/exist: no such file or directory"),
            (&nothing.path().join("README.md"), "is not a folder"),
        ] {
            let mistakes = Kit::open(path).unwrap_err().0;
            assert!(mistakes[0].message.contains(message), "{mistakes:?}");
            assert_eq!(mistakes[0].hint.as_deref(), Some(SHAPE));
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_inside_and_never_loop() {
        use std::os::unix::fs::symlink;
        let folder = kit(&[("environments/a.yaml", ""), ("templates/stack.yaml", "")]);
        symlink("a.yaml", folder.path().join("environments/b.yaml")).unwrap();
        assert!(Kit::open(folder.path()).unwrap().files.contains_key("environments/b.yaml"));
        symlink("/etc/hostname", folder.path().join("environments/c.yaml")).unwrap();
        symlink("../templates", folder.path().join("templates/loop")).unwrap();
        symlink("nowhere", folder.path().join("templates/d.yaml")).unwrap();
        let messages: Vec<_> =
            Kit::open(folder.path()).unwrap_err().0.into_iter().map(|mistake| mistake.to_string()).collect();
        let has = |text: &str| messages.iter().any(|message| message.contains(text));
        assert!(has("environments/c.yaml: is a symbolic link that leads out of the kit"), "{messages:?}");
        assert!(has("folders deep") && has("templates/d.yaml: cannot be read"), "{messages:?}");
    }

    #[test]
    fn a_huge_file_is_refused() {
        let folder = kit(&[("environments/a.yaml", ""), ("templates/stack.yaml", "")]);
        let file = fs::File::create(folder.path().join("templates/big.yaml")).unwrap();
        file.set_len(MAX_FILE + 1).unwrap();
        assert_eq!(Kit::open(folder.path()).unwrap_err().0[0].message, "is larger than 4 MiB");
    }
}
