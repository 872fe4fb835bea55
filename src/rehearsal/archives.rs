//! Archives of backups in the simulation: what the program of a lookup prints of them, so that the lookup itself is the real one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::data::backups::{Archive, Backup, History, script};
use crate::data::lookup::{ARCHIVE_LABEL, DATA_SET_LABEL, FOLLOWED};
use crate::data::spec::Tool;

/// The archives of all data sets, by the data set's name. One that is in neither is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Archives {
    /// Their own.
    pub own: BTreeMap<String, Archive>,
    /// Those of other environments that they follow.
    pub followed: BTreeMap<String, Archive>,
}

impl Archives {
    /// What a pod that looks up backups finds, and with what it looks; `None` for any other pod.
    pub fn found_by(&self, pod: &Value) -> Option<(Archive, Tool)> {
        let (data_set, followed, tool) = looked_up(pod)?;
        let archives = if followed { &self.followed } else { &self.own };
        let nothing = || Archive::Known(vec![History::default()]);
        Some((archives.get(data_set).cloned().unwrap_or_else(nothing), tool))
    }
}

/// The data set that a pod looks up the backups of, whether in the archive that it follows, and with what.
fn looked_up(pod: &Value) -> Option<(&str, bool, Tool)> {
    let label = |name: &str| pod.get("metadata")?.get("labels")?.get(name)?.as_str();
    let asked = pod.pointer("/spec/containers/0/command/2").and_then(Value::as_str)?;
    let tool = [Tool::WalG, Tool::PgBackRest].into_iter().find(|tool| script(*tool) == asked)?;
    Some((label(DATA_SET_LABEL)?, label(ARCHIVE_LABEL) == Some(FOLLOWED), tool))
}

/// What a lookup prints. Of an archive that cannot be read the reason; then its program fails.
pub fn printed(tool: Tool, archive: &Archive) -> String {
    match (archive, tool) {
        (Archive::Unknown(why), _) => format!("ERROR: {why}\n"),
        (Archive::Known(histories), Tool::WalG) => histories.iter().map(wal_g).collect(),
        (Archive::Known(histories), Tool::PgBackRest) => {
            let stanzas: Vec<Value> = histories.iter().map(stanza).collect();
            format!("#rekindle info {STANZA}\n{}\n", Value::from(stanzas))
        }
    }
}

/// The name of every simulated stanza: the lookup takes whichever is named.
const STANZA: &str = "simulated";

fn wal_g(history: &History) -> String {
    let listed = |backup: &Backup| {
        let mut entry = json!({"backup_name": backup.name, "finish_time": backup.finished.to_string()});
        if let Some(size) = backup.size {
            entry["uncompressed_size"] = size.into();
        }
        if let Some(identifier) = number(backup) {
            entry["system_identifier"] = identifier.into();
        }
        entry
    };
    let backups: Vec<Value> = history.backups.iter().map(listed).collect();
    // A timeline for each, since what is missing is told of a timeline.
    let timeline =
        |backup: &Backup| json!({"missing_segments": backup.gaps, "backups": [{"backup_name": backup.name}]});
    let timelines: Vec<Value> = history.backups.iter().map(timeline).collect();
    let newest = history.newest_wal.map(|time| format!("{time} simulated.lz4\n")).unwrap_or_default();
    format!(
        "#rekindle history {}\n#rekindle backups\n{}\n#rekindle timelines\n{}\n#rekindle wal\n{newest}",
        history.name,
        Value::from(backups),
        Value::from(timelines),
    )
}

fn stanza(history: &History) -> Value {
    let name = if history.name.is_empty() { STANZA.to_owned() } else { format!("{STANZA}-{}", history.name) };
    let (mut backups, mut databases) = (Vec::new(), Vec::new());
    for (id, backup) in history.backups.iter().enumerate() {
        backups.push(json!({
            "label": backup.name, "error": false, "database": {"id": id, "repo-key": 1},
            "timestamp": {"stop": backup.finished.as_second()}, "info": {"size": backup.size},
        }));
        databases.push(json!({"id": id, "repo-key": 1, "system-id": number(backup)}));
    }
    json!({"name": name, "backup": backups, "db": databases})
}

/// PostgreSQL's system identifier, which is a number.
fn number(backup: &Backup) -> Option<u64> {
    backup.system_identifier.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::Timestamp;

    use super::*;
    use crate::data::backups::read;

    fn archive() -> Vec<History> {
        let at = |second| Timestamp::from_second(second).unwrap();
        let backup = |name: &str, second| Backup {
            name: name.into(),
            finished: at(second),
            size: Some(7 << 30),
            system_identifier: Some("7712166068475329832".into()),
            gaps: Vec::new(),
        };
        let first = History {
            name: String::new(),
            backups: vec![
                backup("base_000000010000000000000002", 1_764_000_000),
                Backup {
                    gaps: vec!["000000010000000000000009".into()],
                    ..backup("base_000000010000000000000008", 1_764_100_000)
                },
            ],
            newest_wal: Some(at(1_764_150_000)),
        };
        let second = History { name: "history-20261125t174312z".into(), ..History::default() };
        vec![first, second]
    }

    #[test]
    fn what_is_printed_is_read_again_as_it_was() {
        assert_eq!(read(Tool::WalG, &printed(Tool::WalG, &Archive::Known(archive()))).unwrap(), archive());
        let of_pg_back_rest = |mut histories: Vec<History>| {
            // It says nothing of single WAL segments.
            for history in &mut histories {
                history.newest_wal = None;
                history.backups.iter_mut().for_each(|backup| backup.gaps.clear());
            }
            histories
        };
        let read = read(Tool::PgBackRest, &printed(Tool::PgBackRest, &Archive::Known(archive()))).unwrap();
        assert_eq!(read, of_pg_back_rest(archive()));
    }

    #[test]
    fn an_archive_that_cannot_be_read_says_why() {
        let archive = Archive::Unknown("no such bucket".into());
        assert_eq!(printed(Tool::WalG, &archive), "ERROR: no such bucket\n");
    }
}
