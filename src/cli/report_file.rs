//! `--report FILE`: a place for the report, refused before anything is done where it cannot be written.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::NamedTempFile;

use super::error::plain;
use super::ui::Ui;
use super::{CliError, Exit};
use crate::report::document::{About, Form, Report};
use crate::report::progress::Progress;
use crate::report::sanitize::clean;

/// The flag, wherever there is something to report.
#[derive(Args, Clone, Debug, Default)]
pub struct ReportArgs {
    /// Write a report to this file; its ending says which form: .html, .md, .json or .xml (JUnit)
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl ReportArgs {
    /// The words that say the same again.
    pub fn words(&self) -> Vec<String> {
        let words = self.report.iter().flat_map(|file| ["--report".to_owned(), file.display().to_string()]);
        words.collect()
    }

    /// The file, ready to be written; `None` where no report is wanted.
    ///
    /// # Errors
    /// Exit 2 when the ending is not known or nothing can be written there.
    pub fn open(&self) -> Result<Option<ReportFile>, CliError> {
        self.report.as_deref().map(ReportFile::open).transpose()
    }
}

/// A report's file. Until it is saved there is only a temporary one beside it, which goes when this is dropped.
pub struct ReportFile {
    path: PathBuf,
    form: Form,
    temporary: NamedTempFile,
}

impl ReportFile {
    fn open(path: &Path) -> Result<Self, CliError> {
        let wrong = |why: String| CliError::new(Exit::Usage, format!("--report {}: {why}", path.display()));
        let form = Form::of(path).ok_or_else(|| {
            wrong("the ending does not say which form it takes".into())
                .hint(format!("known endings: {}", Form::ENDINGS))
        })?;
        match std::fs::symlink_metadata(path) {
            // Replaced, the link would be lost; followed, something else would be.
            Ok(there) if there.is_symlink() => {
                return Err(wrong("there is a symbolic link; name the file itself".into()));
            }
            Ok(there) if !there.is_file() => return Err(wrong("this is no file".into())),
            _ => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(wrong(format!("there is no folder {}", folder.display())));
        }
        let temporary = tempfile::Builder::new().prefix(".rekindle-report-").tempfile_in(folder);
        let temporary = temporary.map_err(|error| wrong(format!("cannot be written: {}", plain(&error))))?;
        Ok(Self { path: path.to_owned(), form, temporary })
    }

    /// Writes the report, whole or not at all, and says where it is. Like everything that leaves the process it is redacted:
    /// each text before it is escaped, and all of it once more.
    ///
    /// # Errors
    /// Exit 1 when it cannot be written any more, for instance to a full disk.
    pub fn save(mut self, ui: &mut Ui, progress: &Progress, about: &About) -> Result<(), CliError> {
        let report = Report::of(progress, about);
        let text = self.form.render(&report, &|text| clean(&ui.redact(text)));
        let text = ui.redact(&text);
        let shown = self.path.display().to_string();
        let write = || {
            self.temporary.write_all(text.as_bytes())?;
            self.temporary.as_file().sync_all()?;
            self.temporary.persist(&self.path).map_err(|error| error.error)
        };
        write().map_err(|error| {
            CliError::new(Exit::Bug, format!("the report {shown} cannot be written: {}", plain(&error)))
        })?;
        ui.say(&format!("report: {shown}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::ui::tests::{SECRET, ui};

    fn about() -> About {
        About { command: format!("rekindle up production --set a={SECRET}"), ..About::default() }
    }

    #[test]
    fn a_report_is_redacted_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        std::fs::write(&path, "an old one").unwrap();
        let file = ReportFile::open(&path).ok().unwrap();
        let (mut ui, _, err) = ui("");
        file.save(&mut ui, &Progress::default(), &about()).ok().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("rekindle up production") && !text.contains(SECRET), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(err.text().contains("report: "), "{}", err.text());
    }

    #[test]
    fn what_is_not_saved_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        std::fs::write(&path, "an old one").unwrap();
        drop(ReportFile::open(&path).ok().unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "an old one");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_to_elsewhere_is_refused_and_one_that_came_meanwhile_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("report.html"), folder.path().join("elsewhere"));
        let file = ReportFile::open(&path).ok().unwrap();
        std::fs::write(&elsewhere, "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let refused = ReportFile::open(&path).err().unwrap();
        assert!(refused.message.ends_with("there is a symbolic link; name the file itself"), "{}", refused.message);
        let (mut ui, ..) = ui("");
        file.save(&mut ui, &Progress::default(), &about()).ok().unwrap();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
        assert!(!std::fs::symlink_metadata(&path).unwrap().is_symlink());
    }
}
