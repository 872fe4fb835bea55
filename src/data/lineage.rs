//! Which backup a data set was restored from and where it archives to since. Written on its claims, it holds for their life, so
//! that later runs render the same bytes; the history goes on with a volume that is adopted. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Annotation of a claim: the backup that it was restored from.
pub const BACKUP_ANNOTATION: &str = "rekindle.dev/backup";
/// Annotation of a claim: the history that the backup is in; absent for the first one.
pub const BACKUP_HISTORY_ANNOTATION: &str = "rekindle.dev/backup-history";
/// Annotation of a claim: the time up to which it was recovered; absent for all that is archived.
pub const RECOVER_TO_ANNOTATION: &str = "rekindle.dev/recover-to";
/// Annotation of a claim and of its volume: the history that it archives to; absent for the first one.
pub const HISTORY_ANNOTATION: &str = "rekindle.dev/history";

/// Where a data set comes from, as far as backups go. Everything is empty for one that was never restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The backup that it was restored from.
    pub backup: String,
    /// The history that the backup is in.
    pub backup_history: String,
    /// The time up to which it is recovered, as PostgreSQL reads it: `2026-11-25 17:43:12+00`.
    pub recover_to: String,
    /// The history that it archives to.
    pub history: String,
}

/// What templates may ask of a data set with `data(name=…, of=…)`.
pub const FIELDS: [&str; 4] = ["backup", "backup_history", "recover_to", "history"];

impl Lineage {
    fn fields(&self) -> [(&'static str, &'static str, &String); 4] {
        [
            (FIELDS[0], BACKUP_ANNOTATION, &self.backup),
            (FIELDS[1], BACKUP_HISTORY_ANNOTATION, &self.backup_history),
            (FIELDS[2], RECOVER_TO_ANNOTATION, &self.recover_to),
            (FIELDS[3], HISTORY_ANNOTATION, &self.history),
        ]
    }

    /// What a template is told.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().into_iter().find(|(field, ..)| *field == name).map(|(_, _, value)| value.as_str())
    }

    /// Reads it from the annotations of a claim.
    pub fn of(annotations: Option<&Map<String, Value>>) -> Self {
        let text = |name: &str| {
            let value = annotations.and_then(|annotations| annotations.get(name)).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        Self {
            backup: text(BACKUP_ANNOTATION),
            backup_history: text(BACKUP_HISTORY_ANNOTATION),
            recover_to: text(RECOVER_TO_ANNOTATION),
            history: text(HISTORY_ANNOTATION),
        }
    }

    /// Writes it into the annotations of a claim.
    pub fn write(&self, annotations: &mut Map<String, Value>) {
        for (_, annotation, value) in self.fields() {
            if !value.is_empty() {
                annotations.insert(annotation.to_owned(), value.clone().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let lineage = Lineage {
            backup: "base_1".into(),
            backup_history: String::new(),
            recover_to: "2026-11-25 17:43:12+00".into(),
            history: "history-1".into(),
        };
        let mut annotations = Map::new();
        lineage.write(&mut annotations);
        assert_eq!(annotations.len(), 3);
        assert_eq!(Lineage::of(Some(&annotations)), lineage);
        assert_eq!(lineage.field("history"), Some("history-1"));
        assert_eq!(lineage.field("backup_history"), Some(""));
        assert_eq!(lineage.field("name"), None);
        assert_eq!(Lineage::of(None), Lineage::default());
    }
}
