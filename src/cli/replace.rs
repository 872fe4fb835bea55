//! Writing a file whole or not at all, and not over what somebody else wrote meanwhile.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use super::{CliError, Exit, plain};

/// Mode of a new file that everybody may read, and of folders made for it.
pub const PUBLIC: (u32, u32) = (0o644, 0o755);
/// Mode of a new file that is the user's alone, and of folders made for it.
pub const PRIVATE: (u32, u32) = (0o600, 0o700);

/// Why a file was not replaced. Then it is as it was.
#[derive(Debug)]
pub enum Failure {
    /// It is not as it was read.
    Changed,
    /// The system says so.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// The failure for people: exit 4 when the file was changed meanwhile, exit 3 when it cannot be written.
    pub fn told(self, file: &str) -> CliError {
        match self {
            Self::Changed => CliError::new(
                Exit::Protected,
                format!("{file} was changed by somebody else meanwhile; nothing was written"),
            )
            .hint("do it again, on top of that"),
            Self::Io(error) => CliError::new(Exit::Kit, format!("{file} cannot be written: {}", plain(&error))),
        }
    }
}

/// Replaces a file that was `before`, or makes it. A link stays a link: what it points to is replaced. The mode of a file
/// that is there stays; that of a new one, and of folders, is given.
///
/// # Errors
/// See [`Failure`].
pub fn replace(path: &Path, before: Option<&[u8]>, bytes: &[u8], modes: (u32, u32)) -> Result<(), Failure> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let now = match fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::Io(error)),
    };
    if now.as_deref() != before {
        return Err(Failure::Changed);
    }
    let folder = path.parent().ok_or(Failure::Changed)?;
    fs::DirBuilder::new().recursive(true).mode(modes.1).create(folder)?;
    let mode = fs::metadata(path).map_or(modes.0, |metadata| metadata.permissions().mode() & 0o7777);
    let mut file = tempfile::Builder::new().prefix(".rekindle-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    match now {
        Some(_) => file.persist(path).map_err(|error| error.error)?,
        None => file.persist_noclobber(path).map_err(|error| error.error)?,
    };
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}
