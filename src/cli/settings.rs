//! Settings of a run, resolved once from flags and the process environment. Nothing else reads the environment.

use std::path::{Path, PathBuf};

use super::ui::{Ui, Wishes};
use super::{CliError, Common, Exit, Output, command_line};
use crate::kit::{self, Kit, Overrides};

/// What every command gets.
pub struct Context {
    /// Where to print.
    pub ui: Ui,
    /// The common flags.
    pub common: Common,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// Folder for the user's configuration: `$XDG_CONFIG_HOME/rekindle` or `~/.config/rekindle`.
    pub config_dir: Option<PathBuf>,
    /// Folder for what is to outlive a run: `$XDG_STATE_HOME/rekindle` or `~/.local/state/rekindle`.
    pub state_dir: Option<PathBuf>,
    /// Files of `$KUBECONFIG`, in order.
    pub kubeconfig_files: Vec<PathBuf>,
    /// Identities of `$REKINDLE_IDENTITY`: paths separated like PATH, or the text of an identity itself.
    pub identity_variable: Option<String>,
    /// `$VISUAL` or `$EDITOR`.
    pub editor: Option<String>,
    /// `$XDG_RUNTIME_DIR`: a private folder in memory.
    pub runtime_dir: Option<PathBuf>,
}

impl Context {
    /// Reads the process environment.
    pub fn from_process(common: Common) -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = var("HOME").map(PathBuf::from);
        let config_dir = var("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(".config")))
            .map(|dir| dir.join("rekindle"));
        let state_dir = var("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(".local/state")))
            .map(|dir| dir.join("rekindle"));
        let wishes = Wishes {
            colour: var("NO_COLOR").is_none(),
            dumb: var("TERM").is_some_and(|term| term == "dumb"),
            columns: var("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns >= 20),
        };
        Self {
            ui: Ui::new(wishes),
            common,
            home,
            config_dir,
            state_dir,
            kubeconfig_files: var("KUBECONFIG")
                .map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
                .unwrap_or_default(),
            identity_variable: var("REKINDLE_IDENTITY"),
            editor: var("VISUAL").or_else(|| var("EDITOR")),
            runtime_dir: var("XDG_RUNTIME_DIR").map(PathBuf::from),
        }
    }

    /// A command with the common flags of this one, for messages that name the next command.
    pub fn command<W: AsRef<str>>(&self, words: &[W]) -> String {
        command_line(&self.common, words)
    }

    /// Whether `-o json` was given.
    pub fn json(&self) -> bool {
        self.common.output == Output::Json
    }

    /// The kit of `--kit`, or the embedded one. Says so when somebody stands in the folder of another kit and may think
    /// that it is the one that is read.
    ///
    /// # Errors
    /// Exit 3 when the folder is not a kit.
    pub fn kit(&mut self) -> Result<Kit, CliError> {
        if let Some(folder) = &self.common.kit {
            return Ok(Kit::open(folder)?);
        }
        let kit = Kit::embedded();
        let here = Path::new(".");
        if kit::lies_in(here) && Kit::open(here).map_or(true, |other| !kit.same_files(&other)) {
            self.ui.say("note: this is the kit inside the binary; the one in this folder is another: --kit .");
        }
        Ok(kit)
    }

    /// `--instance`, `--set` and `--image`.
    ///
    /// # Errors
    /// Exit 2 when one of them is malformed.
    pub fn overrides(&self) -> Result<Overrides, CliError> {
        let pairs = |flag: &str, list: &[String]| {
            list.iter()
                .map(|entry| match entry.split_once('=') {
                    Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
                    Some(_) => Err(CliError::new(Exit::Usage, format!("--{flag} {entry} has nothing before its ="))),
                    None => Err(CliError::new(Exit::Usage, format!("--{flag} {entry} has no ="))),
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Overrides {
            instance: self.common.instance.clone(),
            set: pairs("set", &self.common.set)?,
            images: pairs("image", &self.common.image)?,
            rehearsal: false,
        })
    }
}
