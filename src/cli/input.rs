//! Files that a command reads, of which `-` is standard input.

use std::io::{self, Read as _};
use std::path::Path;

/// Whether a file is standard input.
pub fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A file as messages name it.
pub fn name(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// All of it.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    if !is_stdin(file) {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}
