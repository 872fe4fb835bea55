//! What a program says of the backups that it has made, and how it is asked. Pure.
//!
//! A data set that was restored archives to a *history* of its own: a folder `history-…` below its place in the store, so that
//! the archive that it came from stays as it is. All of them are looked at.

use jiff::Timestamp;
use serde_json::Value;

use super::quantity::size;
use super::spec::Tool;
use crate::report::duration::ago;

/// What the name of a history begins with; what lies directly at the data set's place is the history without a name.
pub const HISTORY: &str = "history-";

/// A backup that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its name, as the program wants it.
    pub name: String,
    /// When it was finished.
    pub finished: Timestamp,
    /// Bytes of the database in it.
    pub size: Option<u64>,
    /// PostgreSQL's system identifier of what is in it.
    pub system_identifier: Option<String>,
    /// WAL segments missing in the archive after its beginning: recovery ends before the first of them.
    pub gaps: Vec<String>,
}

/// The backups and the archived WAL of one life of a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Its folder; empty for the first.
    pub name: String,
    /// Its complete backups, the oldest first.
    pub backups: Vec<Backup>,
    /// When the newest WAL segment was archived, where that is known.
    pub newest_wal: Option<Timestamp>,
}

impl History {
    /// When something was last written to it.
    pub fn newest(&self) -> Option<Timestamp> {
        self.backups.last().map(|backup| backup.finished).max(self.newest_wal)
    }
}

/// What was found out about the backups of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archive {
    /// Nothing could be found out: why, in one line.
    Unknown(String),
    /// What there is, histories in the order of their names.
    Known(Vec<History>),
}

impl Archive {
    /// Every complete backup with its history.
    fn all(&self) -> impl Iterator<Item = (&History, &Backup)> {
        let histories: &[History] = match self {
            Self::Unknown(_) => &[],
            Self::Known(histories) => histories,
        };
        histories.iter().flat_map(|history| history.backups.iter().map(move |backup| (history, backup)))
    }

    /// The newest complete backup and its history; with a name, that one.
    pub fn backup(&self, name: Option<&str>) -> Option<(&History, &Backup)> {
        self.all()
            .filter(|(_, backup)| name.is_none_or(|name| backup.name == name))
            .max_by_key(|(_, backup)| backup.finished)
    }

    /// The newest complete backup that was finished before a time.
    pub fn backup_before(&self, time: Timestamp) -> Option<(&History, &Backup)> {
        self.all().filter(|(_, backup)| backup.finished <= time).max_by_key(|(_, backup)| backup.finished)
    }

    /// When something was last written to any history.
    pub fn newest(&self) -> Option<Timestamp> {
        let Self::Known(histories) = self else { return None };
        histories.iter().filter_map(History::newest).max()
    }

    /// Whether there is anything, complete or not.
    pub fn holds_something(&self) -> bool {
        matches!(self, Self::Known(histories) if histories.iter().any(|it| it.newest().is_some()))
    }
}

/// The facts that a person decides by, in one line after the backup's name.
pub fn facts(history: &History, backup: &Backup, now: Timestamp) -> String {
    let mut facts = vec![format!("finished {}", ago(now.duration_since(backup.finished).as_secs_f64()))];
    facts.extend(backup.size.map(size));
    if let Some(newest) = history.newest_wal {
        facts.push(format!("WAL until {newest:.0} ({})", ago(now.duration_since(newest).as_secs_f64())));
    }
    match &backup.gaps[..] {
        [] => {}
        [only] => facts.push(format!("WAL segment {only} is missing")),
        [first, .., last] => {
            facts.push(format!("{} WAL segments are missing, {first} to {last}", backup.gaps.len()));
        }
    }
    if !history.name.is_empty() {
        facts.push(format!("in {}", history.name));
    }
    facts.join(", ")
}

/// A name for a history that begins at this time.
pub fn new_history(now: Timestamp) -> String {
    format!("{HISTORY}{}", now.strftime("%Y%m%dt%H%M%Sz"))
}

/// Marks before each part of what a lookup prints.
const PART: &str = "#rekindle ";

/// Prints, for each history, the list of backups and what the archive of WAL holds. Ends with the program's own exit code
/// when the store cannot be read.
const WAL_G: &str = r##"
set -u
base=${WALG_S3_PREFIX:-${WALG_GS_PREFIX:-${WALG_AZ_PREFIX:-${WALG_FILE_PREFIX:-}}}}
at() {
    for name in WALG_S3_PREFIX WALG_GS_PREFIX WALG_AZ_PREFIX WALG_FILE_PREFIX; do
        eval "value=\${$name:-}"
        if [ -n "$value" ]; then export "$name=$base$1"; return; fi
    done
    echo "none of WALG_S3_PREFIX, WALG_GS_PREFIX, WALG_AZ_PREFIX and WALG_FILE_PREFIX is set" >&2
    exit 64
}
at ""
# Somebody waits for the answer: WAL-G would try for minutes.
export S3_MAX_RETRIES=${S3_MAX_RETRIES:-3}
# What a program says of its work would stand between its answers: it is shown when it fails.
ask() { wal-g "$@" 2>/tmp/said || { code=$?; cat /tmp/said >&2; return $code; }; }
top=$(ask st ls) || exit $?
for history in "" $(printf '%s\n' "$top" | awk '$1 == "dir" && $NF ~ /^\/?history-/ { gsub("/", "", $NF); print $NF }'); do
    at "${history:+/$history}"
    echo "#rekindle history $history"
    echo "#rekindle backups"
    ask backup-list --detail --json || exit $?
    echo
    folder=$(ask st ls) || exit $?
    printf '%s\n' "$folder" | awk '$1 == "dir" && $NF ~ /^\/?wal_005\/?$/ { found = 1 } END { exit !found }' || continue
    echo "#rekindle timelines"
    ask wal-show --detailed-json || exit $?
    echo
    echo "#rekindle wal"
    segments=$(ask st ls wal_005) || exit $?
    printf '%s\n' "$segments" | awk '$1 == "obj" { print $3 "T" $4 "Z", $NF }' | sort | tail -n 1
done
"##;

/// Prints what pgBackRest knows of the stanza and of its histories.
const PG_BACK_REST: &str = r##"
set -u
echo "#rekindle info ${PGBACKREST_STANZA:?PGBACKREST_STANZA is not set}"
unset PGBACKREST_STANZA
pgbackrest info --output=json --log-level-console=off --log-level-stderr=error || exit $?
echo
"##;

/// What `sh` runs to look up the backups.
pub fn script(tool: Tool) -> &'static str {
    match tool {
        Tool::WalG => WAL_G.trim_start(),
        Tool::PgBackRest => PG_BACK_REST.trim_start(),
    }
}

/// Reads what the lookup has printed.
///
/// # Errors
/// What is not understood of it, in one line.
pub fn read(tool: Tool, printed: &str) -> Result<Vec<History>, String> {
    let mut histories = match tool {
        Tool::WalG => wal_g(printed)?,
        Tool::PgBackRest => pg_back_rest(printed)?,
    };
    let names = histories.iter().flat_map(|it| it.backups.iter().map(|backup| &backup.name).chain([&it.name]));
    if let Some(strange) = names.into_iter().find(|name| !is_a_name(name)) {
        let shown: String = strange.chars().filter(|letter| !letter.is_control()).take(80).collect();
        return Err(format!("the archive holds what cannot be the name of a backup or of a history: {shown}"));
    }
    for history in &mut histories {
        history.backups.sort_by_key(|backup| backup.finished);
    }
    histories.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(histories)
}

/// Whether an archive's word can be the name of a backup or of a history. Templates put it into scripts that run with the keys
/// to the database, and whoever can write to the object store could write anything there.
fn is_a_name(text: &str) -> bool {
    text.len() <= 253
        && !text.starts_with(['-', '.'])
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
}

fn wal_g(printed: &str) -> Result<Vec<History>, String> {
    let mut histories: Vec<History> = Vec::new();
    for (title, body) in parts(printed) {
        let (word, rest) = title.split_once(' ').unwrap_or((title, ""));
        if word == "history" {
            histories.push(History { name: rest.trim().to_owned(), ..History::default() });
            continue;
        }
        let history = histories.last_mut().ok_or("the lookup printed something before its first history")?;
        match word {
            "backups" => {
                // Where there is none, WAL-G prints nothing at all.
                let list = if body.trim().is_empty() { Value::Array(Vec::new()) } else { json(body)? };
                for backup in list.as_array().ok_or("WAL-G did not print a list of backups")? {
                    history.backups.push(wal_g_backup(backup)?);
                }
            }
            "timelines" => {
                let timelines = json(body)?;
                for backup in &mut history.backups {
                    backup.gaps = gaps(&timelines, &backup.name);
                }
            }
            "wal" => history.newest_wal = body.split_whitespace().next().and_then(|time| time.parse().ok()),
            _ => {}
        }
    }
    if histories.is_empty() {
        return Err("the lookup printed nothing".into());
    }
    Ok(histories)
}

/// An entry of `wal-g backup-list --detail --json`: only complete backups are in it.
fn wal_g_backup(entry: &Value) -> Result<Backup, String> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let name = text("backup_name").ok_or("WAL-G lists a backup without a name")?.to_owned();
    let time = text("finish_time").or_else(|| text("time")).and_then(|time| time.parse().ok());
    Ok(Backup {
        finished: time.ok_or_else(|| format!("WAL-G does not say when {name} was finished"))?,
        size: entry.get("uncompressed_size").and_then(Value::as_u64),
        system_identifier: entry.get("system_identifier").and_then(Value::as_u64).map(|it| it.to_string()),
        gaps: Vec::new(),
        name,
    })
}

/// Segments that `wal-g wal-show` misses in the timeline of a backup after its beginning. The names of segments of one
/// timeline are in the order of their contents.
fn gaps(timelines: &Value, backup: &str) -> Vec<String> {
    let of = |timeline: &&Value| {
        let backups = timeline.get("backups").and_then(Value::as_array);
        backups.into_iter().flatten().any(|it| it.get("backup_name").and_then(Value::as_str) == Some(backup))
    };
    let timeline = timelines.as_array().into_iter().flatten().find(of);
    let missing = timeline.and_then(|it| it.get("missing_segments")).and_then(Value::as_array);
    // `base_<segment>`, and for a delta `base_<segment>_D_<segment>`.
    let first = backup.strip_prefix("base_").and_then(|rest| rest.split('_').next()).unwrap_or_default();
    let names = missing.into_iter().flatten().filter_map(Value::as_str);
    names.filter(|name| *name >= first).map(str::to_owned).collect()
}

/// The stanza that `pgbackrest info` makes up for a repository that it cannot read.
const INVALID: &str = "[invalid]";

/// Whether a stanza could be read: it is all right (0), or it is certain that there is none (1) or that it has no backup (2).
/// Where repositories differ (4), each of them counts. The codes are those of pgBackRest's `src/command/info/info.c`.
fn is_readable(stanza: &Value) -> bool {
    let code = |of: &Value| of.pointer("/status/code").and_then(Value::as_u64);
    let certain = |code: Option<u64>| matches!(code, None | Some(0..=2));
    let repositories = stanza.get("repo").and_then(Value::as_array);
    (certain(code(stanza)) || code(stanza) == Some(4))
        && repositories.into_iter().flatten().all(|repository| certain(code(repository)))
}

/// What pgBackRest says of a stanza that it could not read.
fn trouble(stanza: &Value) -> String {
    let repositories = stanza.get("repo").and_then(Value::as_array).into_iter().flatten();
    let told = repositories.chain([stanza]).filter(|of| !is_readable(of));
    let told = told.filter_map(|of| of.pointer("/status/message")?.as_str()).next().unwrap_or("it does not say why");
    format!("pgBackRest cannot read its repository: {}", told.lines().next().unwrap_or_default())
}

/// `pgbackrest info --output=json`: a list of stanzas. A history is a stanza `NAME-history-…`.
fn pg_back_rest(printed: &str) -> Result<Vec<History>, String> {
    let (title, body) = parts(printed).into_iter().next().ok_or("the lookup printed nothing")?;
    let stanza = title.strip_prefix("info ").map(str::trim).ok_or("the lookup does not name its stanza")?;
    let info = json(body)?;
    let mut histories = vec![History::default()];
    for entry in info.as_array().ok_or("pgBackRest did not print a list")? {
        let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
        if name == INVALID {
            return Err(trouble(entry));
        }
        let history = if name == stanza {
            ""
        } else if let Some(rest) = name.strip_prefix(stanza).and_then(|rest| rest.strip_prefix('-'))
            && rest.starts_with(HISTORY)
        {
            rest
        } else {
            continue;
        };
        if !is_readable(entry) {
            return Err(trouble(entry));
        }
        let backups = entry.get("backup").and_then(Value::as_array);
        let databases = entry.get("db").and_then(Value::as_array);
        // One with `error` has pages that do not match their checksums.
        let sound = |backup: &&Value| backup.get("error").and_then(Value::as_bool) != Some(true);
        let read = |backup: &Value| {
            let number = |pointer: &str| backup.pointer(pointer).and_then(Value::as_i64);
            let label = backup.get("label").and_then(Value::as_str)?.to_owned();
            let database = databases.into_iter().flatten().find(|it| {
                it.get("id").and_then(Value::as_i64) == number("/database/id")
                    && it.get("repo-key").and_then(Value::as_i64) == number("/database/repo-key")
            });
            Some(Backup {
                name: label,
                finished: Timestamp::from_second(number("/timestamp/stop")?).ok()?,
                size: backup.pointer("/info/size").and_then(Value::as_u64),
                system_identifier: database
                    .and_then(|it| it.get("system-id"))
                    .and_then(Value::as_u64)
                    .map(|it| it.to_string()),
                gaps: Vec::new(),
            })
        };
        let backups: Option<Vec<Backup>> = backups.into_iter().flatten().filter(sound).map(read).collect();
        let backups = backups.ok_or_else(|| format!("pgBackRest lists a backup of {name} that is not understood"))?;
        if history.is_empty() {
            histories[0].backups = backups;
        } else {
            histories.push(History { name: history.to_owned(), backups, newest_wal: None });
        }
    }
    Ok(histories)
}

/// The parts of what was printed: the title of each, and its text.
fn parts(printed: &str) -> Vec<(&str, &str)> {
    let mut parts = Vec::new();
    let begins = |at: usize| at == 0 || printed.as_bytes().get(at - 1) == Some(&b'\n');
    let starts: Vec<usize> = printed.match_indices(PART).map(|(at, _)| at).filter(|at| begins(*at)).collect();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(printed.len());
        let part = &printed[start + PART.len()..end];
        parts.push(part.split_once('\n').unwrap_or((part, "")));
    }
    parts
}

/// The JSON of a part. Programs write log lines beside it where the two streams meet.
fn json(body: &str) -> Result<Value, String> {
    let line = body.lines().map(str::trim).find(|line| line.starts_with('[') || line.starts_with('{'));
    let line = line.ok_or("the lookup printed no list of backups")?;
    serde_json::from_str(line).map_err(|error| format!("the list of backups is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BACKUP: &str = r#"{"backup_name":"base_000000010000000000000002","time":"2026-11-25T17:43:12.657803306Z","wal_file_name":"000000010000000000000002","start_time":"2026-11-25T17:43:12.2437Z","finish_time":"2026-11-25T17:43:12.661302Z","pg_version":150018,"system_identifier":7712166068475329832,"uncompressed_size":23223634}"#;

    fn printed(missing: &str) -> String {
        format!(
            "#rekindle history \n#rekindle backups\nINFO: 2026/11/25 17:43:15 List backups from storages: [default]\n[{BACKUP}]\n\
             #rekindle timelines\n[{{\"id\":1,\"missing_segments\":[{missing}],\"backups\":[{BACKUP}]}}]\n\
             #rekindle wal\n2026-11-25T17:43:12.84180331Z 000000010000000000000003.lz4\n\
             #rekindle history history-20261125t180000z\n#rekindle backups\n\n#rekindle timelines\n[]\n#rekindle wal\n"
        )
    }

    #[test]
    fn what_wal_g_prints_is_read() {
        let histories = read(Tool::WalG, &printed("")).unwrap();
        assert_eq!(histories.len(), 2);
        let backup = &histories[0].backups[0];
        assert_eq!(backup.name, "base_000000010000000000000002");
        assert_eq!(backup.system_identifier.as_deref(), Some("7712166068475329832"));
        assert_eq!(backup.size, Some(23_223_634));
        assert_eq!(histories[0].newest_wal.unwrap().to_string(), "2026-11-25T17:43:12.84180331Z");
        assert_eq!(histories[1], History { name: "history-20261125t180000z".into(), ..History::default() });
        assert_eq!(histories[1].newest(), None);
    }

    #[test]
    fn a_gap_counts_from_where_the_backup_begins() {
        let gaps = |missing: &str| read(Tool::WalG, &printed(missing)).unwrap()[0].backups[0].gaps.clone();
        assert_eq!(gaps(r#""000000010000000000000001""#), Vec::<String>::new());
        assert_eq!(gaps(r#""000000010000000000000001","000000010000000000000004""#), ["000000010000000000000004"]);
    }

    #[test]
    fn what_pgbackrest_prints_is_read() {
        let backup = r#"{"backup":[{"archive":{"start":"1","stop":"2"},"database":{"id":1,"repo-key":1},"error":false,"info":{"size":100},"label":"20261125-174312F","timestamp":{"start":1764092590,"stop":1764092592},"type":"full"},{"database":{"id":1,"repo-key":1},"error":true,"label":"bad","timestamp":{"start":1,"stop":1764092599}}],"db":[{"id":1,"repo-key":1,"system-id":7712166068475329832,"version":"15"}],"name":"NAME"}"#;
        let of = |name: &str| backup.replace("NAME", name);
        let text = format!("#rekindle info app\n[{},{},{}]\n", of("app"), of("app-history-1"), of("application"));
        let histories = read(Tool::PgBackRest, &text).unwrap();
        assert_eq!(histories.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["", "history-1"]);
        assert_eq!(histories[0].backups.len(), 1, "one with damaged pages is no backup");
        assert_eq!(histories[0].backups[0].system_identifier.as_deref(), Some("7712166068475329832"));
        let nothing = read(Tool::PgBackRest, "#rekindle info app\n[]\n").unwrap();
        assert!(!Archive::Known(nothing).holds_something());
    }

    #[test]
    fn what_is_not_understood_is_no_empty_list() {
        for text in [
            "",
            "hello",
            "#rekindle history \n#rekindle backups\n[{\n",
            "#rekindle history \n#rekindle backups\n[{}]\n",
        ] {
            assert!(read(Tool::WalG, text).is_err(), "{text:?}");
        }
        assert!(read(Tool::WalG, "#rekindle history \n#rekindle backups\n{}\n").is_err());
        let shown = printed("").replace("#rekindle timelines\n[", "#rekindle timelines\nno answer [");
        assert!(read(Tool::WalG, &shown).is_err(), "a list of WAL that cannot be read says nothing about gaps");
        for text in ["", "#rekindle info app\n", "#rekindle info app\n{}"] {
            assert!(read(Tool::PgBackRest, text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_repository_that_pgbackrest_cannot_read_is_no_empty_one() {
        let told = |stanza: &str| read(Tool::PgBackRest, &format!("#rekindle info app\n[{stanza}]\n"));
        let status = |code: u8| format!(r#""status":{{"code":{code},"message":"other\nmore"}}"#);
        let of = |name: &str, code, repositories: &str| {
            format!(r#"{{"backup":[],"db":[],"name":"{name}",{},"repo":[{repositories}]}}"#, status(code))
        };
        let repository = |code| format!(r#"{{"key":1,{}}}"#, status(code));
        assert_eq!(
            told(&of("[invalid]", 99, &repository(99))).unwrap_err(),
            "pgBackRest cannot read its repository: other"
        );
        for code in [3, 5, 99] {
            assert!(told(&of("app", code, &repository(code))).is_err(), "{code}");
            assert!(told(&of("app-history-1", code, &repository(code))).is_err(), "{code}");
            assert!(told(&of("app", 4, &format!("{},{}", repository(0), repository(code)))).is_err(), "{code}");
            assert!(told(&of("other", code, &repository(code))).is_ok(), "it is somebody else's");
        }
        for code in [0, 1, 2] {
            assert!(told(&of("app", code, &repository(code))).is_ok(), "{code}");
        }
        assert!(told(&of("app", 4, &format!("{},{}", repository(0), repository(2)))).is_ok());
        assert!(told(r#"{"name":"app","backup":[{"label":"20261125-174312F"}]}"#).is_err(), "when was it finished?");
    }

    #[test]
    fn what_could_be_a_command_is_no_name() {
        for name in ["base_1; id", "$(id)", "base_1\nid", "../other", "-rf", "base 1", "base\u{202e}"] {
            let quoted = serde_json::to_string(name).unwrap();
            let text = printed("").replace("\"base_000000010000000000000002\"", &quoted);
            let told = read(Tool::WalG, &text).unwrap_err();
            assert!(told.starts_with("the archive holds what cannot be the name"), "{told}");
        }
        for history in ["history-1;id", "history-$(id)", "history- x"] {
            let text = format!("#rekindle info app\n[{{\"name\":\"app\"}},{{\"name\":\"app-{history}\"}}]\n");
            assert!(read(Tool::PgBackRest, &text).is_err(), "{history}");
        }
        let delta = printed("")
            .replace("base_000000010000000000000002", "base_000000010000000000000004_D_000000010000000000000002");
        assert!(read(Tool::WalG, &delta).is_ok());
    }

    #[test]
    fn the_newest_backup_counts_in_whatever_history() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let backup = |name: &str, second| Backup {
            name: name.into(),
            finished: at(second),
            size: Some(2 << 30),
            system_identifier: None,
            gaps: vec!["3".into()],
        };
        let history = |name: &str, backups| History { name: name.into(), backups, newest_wal: Some(at(400)) };
        let archive = Archive::Known(vec![
            history("", vec![backup("a", 100), backup("b", 200)]),
            history("history-1", vec![backup("c", 150)]),
        ]);
        let (of, found) = archive.backup(None).unwrap();
        assert_eq!((of.name.as_str(), found.name.as_str()), ("", "b"));
        assert_eq!(archive.backup(Some("c")).unwrap().0.name, "history-1");
        assert_eq!(archive.backup_before(at(160)).unwrap().1.name, "c");
        assert_eq!(archive.backup_before(at(99)), None);
        assert_eq!(archive.newest(), Some(at(400)));
        insta::assert_snapshot!(
            facts(of, found, at(4000)),
            @"finished an hour ago, 2 GiB, WAL until 1970-01-01T00:06:40Z (an hour ago), WAL segment 3 is missing"
        );
    }

    #[test]
    fn a_new_history_sorts_after_older_ones_and_can_be_a_folder() {
        assert_eq!(new_history(Timestamp::from_second(1_764_092_592).unwrap()), "history-20251125t174312z");
    }
}
