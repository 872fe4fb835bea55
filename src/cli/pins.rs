//! The user's own pins: `pins.yaml` in the user's configuration.

use std::path::{Path, PathBuf};

use super::replace::{self, replace};
use super::settings::Context;
use super::{CliError, Exit, plain};
use crate::kit::Environment;
use crate::kit::pins::{Pins, UserPin};

/// The user's pins as they are in their file.
pub struct PinsFile {
    path: PathBuf,
    before: Option<Vec<u8>>,
    /// The pins.
    pub pins: Pins,
}

impl PinsFile {
    /// Reads the file; one that is not there holds none.
    ///
    /// # Errors
    /// Exit 3 when it cannot be read: a pin must not get lost.
    pub fn read(folder: &Path) -> Result<Self, CliError> {
        let path = folder.join("pins.yaml");
        let wrong = |message: String| {
            CliError::new(Exit::Kit, format!("{message}; nothing was written"))
                .detail("it holds your pins: which cluster an environment belongs to")
                .hint("mend it, or move it away and pin again:  rekindle env pin ENV")
        };
        let before = match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(wrong(format!("{} cannot be read: {}", path.display(), plain(&error)))),
        };
        let text = String::from_utf8_lossy(before.as_deref().unwrap_or_default());
        let pins =
            Pins::parse(&text).map_err(|(line, message)| wrong(format!("{}:{line}: {message}", path.display())))?;
        Ok(Self { path, before, pins })
    }

    /// Where it is, to be shown.
    pub fn place(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes it back, readable for the user alone.
    ///
    /// # Errors
    /// Exit 4 when it was changed meanwhile, exit 3 when it cannot be written.
    pub fn write(&self) -> Result<(), CliError> {
        let text = self.pins.to_text();
        replace(&self.path, self.before.as_deref(), text.as_bytes(), replace::PRIVATE)
            .map_err(|failure| failure.told(&self.place()))
    }
}

impl Context {
    /// The user's pins, where the user has a configuration.
    ///
    /// # Errors
    /// Exit 3 when they cannot be read.
    pub fn pins(&self) -> Result<Option<PinsFile>, CliError> {
        self.config_dir.as_deref().map(PinsFile::read).transpose()
    }

    /// An environment with the user's own pin laid over what its files say.
    ///
    /// # Errors
    /// Exit 3 when the user's pins cannot be read.
    pub fn pinned(&self, mut environment: Environment) -> Result<Environment, CliError> {
        if let Some(file) = self.pins()?
            && let Some(pin) = file.pins.get(&environment.stack, &environment.name)
        {
            environment.pin(pin, &file.place());
        }
        Ok(environment)
    }

    /// The user's own pin of an environment.
    ///
    /// # Errors
    /// Exit 3 when the user's pins cannot be read.
    pub fn own_pin(&self, environment: &Environment) -> Result<Option<UserPin>, CliError> {
        Ok(self.pins()?.and_then(|file| file.pins.get(&environment.stack, &environment.name).cloned()))
    }
}
