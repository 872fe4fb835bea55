//! A folder for a kit and a home, and the binary run in it.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A place of its own for one test: `home/` and `kit/` in a temporary folder.
pub struct Place {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a run of the binary left behind.
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Place {
    /// An empty place.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder, variables: Vec::new() }
    }

    /// A place with a kit of these files.
    pub fn with_kit(files: &[(&str, &str)]) -> Self {
        files.iter().fold(Self::new(), |place, (name, text)| place.file(name, text))
    }

    /// Writes a file of the kit.
    pub fn file(self, name: &str, text: &str) -> Self {
        write(&self.kit().join(name), text.as_bytes());
        self
    }

    /// Sets a variable of the process environment.
    #[expect(dead_code, reason = "for commands that read more than HOME")]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The kit's folder.
    pub fn kit(&self) -> PathBuf {
        self.folder.path().join("kit")
    }

    /// The folder in which the binary is run.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Reads a file that a command has left in the folder it ran in.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Runs the binary with these arguments on the kit, in a home of its own.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(arguments).env_clear().env("HOME", self.folder.path().join("home")).env("COLUMNS", "100");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.kit().exists() {
            command.arg("--kit").arg(self.kit());
        }
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let place = self.folder.path().to_string_lossy().into_owned();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(&place, "PLACE")
                .replace(env!("CARGO_BIN_EXE_rekindle"), "rekindle")
        };
        Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl fmt::Display for Outcome {
    /// Everything, for snapshots: the exit code, then both streams where they are not empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit {}", self.code.map_or("by a signal".into(), |code| code.to_string()))?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "── {name}\n{text}")?;
            }
        }
        Ok(())
    }
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Copies the repository's kit to a folder, as somebody does who starts one of their own.
pub fn copy_repositorys_kit(to: &Path) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    for part in ["environments", "templates", "secrets"] {
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(part), &to.join(part));
    }
}
