//! Writing an environment's age file back: sealed to the list of recipients, whole or not at all.

use std::path::PathBuf;

use super::super::replace::{self, replace};
use super::super::settings::Context;
use super::super::{CliError, Exit};
use crate::kit::{Kit, KitSource};
use crate::secrets::recipients::Recipient;
use crate::secrets::sealed::{Sealed, seal};
use crate::secrets::{Contents, DEMONSTRATION_RECIPIENT, Vault};

/// Where an environment's age file is written, and to whom it is sealed.
pub struct Target {
    path: PathBuf,
    /// As it was when the kit was read.
    before: Option<Vec<u8>>,
    names: Vec<String>,
    keys: Vec<Recipient>,
}

impl Target {
    /// Checks everything that can be checked before there is something to write.
    ///
    /// # Errors
    /// Exit 2 for the kit inside the binary, exit 3 when nobody could open the file.
    pub fn of(kit: &Kit, vault: &Vault, environment: &str) -> Result<Self, CliError> {
        let KitSource::Folder(folder) = &kit.source else {
            return Err(CliError::new(Exit::Usage, "the kit inside the binary cannot be changed")
                .hint("change a folder, from which a binary can be built:  --kit DIR"));
        };
        let recipients = vault.recipients().of_environment(environment);
        if recipients.is_empty() {
            return Err(CliError::new(Exit::Kit, format!("secrets/recipients.yaml names nobody for {environment}"))
                .hint("make an identity:        rekindle secrets keygen")
                .hint(format!("and name its recipient:  {environment}: {{your-name: age1…}}")));
        }
        Ok(Self {
            path: folder.join(vault.file()),
            before: kit.files.get(vault.file()).cloned(),
            names: recipients.iter().map(|named| named.name.clone()).collect(),
            keys: recipients.iter().map(|named| named.key.clone()).collect(),
        })
    }

    /// Seals and writes, and says so.
    ///
    /// # Errors
    /// Exit 4 when the file was changed meanwhile; exit 3 when it cannot be sealed or written. Then it is as it was.
    pub fn write(&self, context: &mut Context, vault: &Vault, contents: &Contents, what: &str) -> Result<(), CliError> {
        let sealed = seal(contents.text().as_bytes(), &self.keys)
            .map_err(|error| CliError::new(Exit::Kit, format!("{} {error}", vault.file())))?;
        // What is sealed may be read by all, as the rest of the kit.
        replace(&self.path, self.before.as_deref(), &sealed, replace::PUBLIC)
            .map_err(|failure| failure.told(vault.file()))?;
        let ui = &mut context.ui;
        ui.say(&format!("{}: {what}, sealed to {}", vault.file(), self.names.join(", ")));
        if self.keys.iter().any(|key| key.to_string() == DEMONSTRATION_RECIPIENT) {
            ui.say("warning: everybody can open it: it is sealed to the demonstration identity, which is public");
        }
        let mine = Sealed::read(&sealed).is_ok_and(|sealed| vault.identities().opens_without_asking(&sealed));
        if !mine {
            ui.say("warning: none of your identities that need no passphrase opens it");
        }
        Ok(())
    }
}
