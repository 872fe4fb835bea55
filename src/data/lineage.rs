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
/// Annotation of a claim and of its volume: whether it follows the archive of another environment ([`FOLLOWING`]) or was promoted
/// since ([`PROMOTED`]); absent for one that was never a stand-by.
pub const STANDBY_ANNOTATION: &str = "rekindle.dev/standby";
/// Annotation of a claim: bytes of the backup that it was restored from.
pub const SIZE_ANNOTATION: &str = "rekindle.dev/backup-size";
/// Annotation of a claim: up to when what it was restored from was archived.
pub const UNTIL_ANNOTATION: &str = "rekindle.dev/archived-until";

/// It replays what another environment archives, and takes no writes.
pub const FOLLOWING: &str = "following";
/// It followed another environment's archive until it was promoted.
pub const PROMOTED: &str = "promoted";

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
    /// [`FOLLOWING`], [`PROMOTED`] or nothing.
    pub standby: String,
    /// Bytes of the backup, as a number.
    pub size: String,
    /// Up to when what it was restored from was archived, as in RFC 3339.
    pub archived_until: String,
}

/// What templates may ask of a data set with `data(name=…, of=…)`.
pub const FIELDS: [&str; 7] =
    ["backup", "backup_history", "recover_to", "history", "standby", "size", "archived_until"];

impl Lineage {
    /// Whether it follows the archive of another environment now.
    pub fn follows(&self) -> bool {
        self.standby == FOLLOWING
    }

    /// Bytes of the backup, where they are known.
    pub fn bytes(&self) -> Option<u64> {
        self.size.parse().ok()
    }

    /// What of it lasts as long as the bytes do, whatever claim holds them: where they archive to, and for a stand-by what it
    /// follows.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let history = self.history.clone();
        match self.standby.as_str() {
            "" => Self { history, ..Self::default() },
            _ => {
                let (recover_to, size, archived_until) = Default::default();
                Self { recover_to, size, archived_until, ..self.clone() }
            }
        }
    }

    fn fields(&self) -> [(&'static str, &'static str, &String); 7] {
        [
            (FIELDS[0], BACKUP_ANNOTATION, &self.backup),
            (FIELDS[1], BACKUP_HISTORY_ANNOTATION, &self.backup_history),
            (FIELDS[2], RECOVER_TO_ANNOTATION, &self.recover_to),
            (FIELDS[3], HISTORY_ANNOTATION, &self.history),
            (FIELDS[4], STANDBY_ANNOTATION, &self.standby),
            (FIELDS[5], SIZE_ANNOTATION, &self.size),
            (FIELDS[6], UNTIL_ANNOTATION, &self.archived_until),
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
            standby: text(STANDBY_ANNOTATION),
            size: text(SIZE_ANNOTATION),
            archived_until: text(UNTIL_ANNOTATION),
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
            standby: FOLLOWING.into(),
            size: "12".into(),
            archived_until: "2026-11-25T17:45:00Z".into(),
        };
        let mut annotations = Map::new();
        lineage.write(&mut annotations);
        assert_eq!(annotations.len(), 6);
        assert_eq!(lineage.bytes(), Some(12));
        assert_eq!(Lineage::of(Some(&annotations)), lineage);
        assert_eq!(lineage.field("history"), Some("history-1"));
        assert_eq!(lineage.field("backup_history"), Some(""));
        assert_eq!(lineage.field("name"), None);
        assert_eq!(Lineage::of(None), Lineage::default());
    }

    #[test]
    fn a_volume_keeps_what_its_bytes_are_bound_to() {
        let restored = Lineage {
            backup: "base_1".into(),
            recover_to: "2026-11-25 17:43:12+00".into(),
            history: "history-1".into(),
            size: "12".into(),
            ..Lineage::default()
        };
        assert_eq!(restored.lasting(), Lineage { history: "history-1".into(), ..Lineage::default() });
        let follower = Lineage { standby: FOLLOWING.into(), ..restored };
        let lasting = follower.lasting();
        assert_eq!((lasting.backup.as_str(), lasting.standby.as_str()), ("base_1", FOLLOWING));
        assert_eq!((lasting.size.as_str(), lasting.recover_to.as_str()), ("", ""));
    }
}
