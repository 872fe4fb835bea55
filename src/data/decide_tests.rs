//! The decision as a table: what is there, what is allowed, what was said, and what comes of it.

#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::answers::Answers;
use super::backups::{Archive, Backup, History};
use super::claims::{Expected, Maker};
use super::decide::decide_all;
use super::decision::{Decisions, Policy, Stop};
use super::evidence::{Claim, ClaimRef, Marks, Record, Volume};
use super::spec::{DataSet, Derived, Holder, Lookup, Restore, Tool};
use super::survey::Survey;
use super::{COPY, Source};
use crate::manifest::Origin;

/// What system identifiers begin with here.
const DATABASE: &str = "740000000000000000";

/// A data set `db` in namespace `shop` with this many claims `data-0` …
fn set() -> DataSet {
    DataSet {
        name: "db".into(),
        namespace: "shop".into(),
        origin: Origin { file: "db.yaml".into(), line: 1 },
        claims: vec![Holder::StatefulSet { name: "db".into(), template: None }],
        sources: vec![Source::Adopt, Source::Empty],
        replicated: false,
        derived: None,
        restore: None,
        proof: None,
        identity: None,
        remember: Vec::new(),
    }
}

fn expected(count: usize) -> Vec<Expected> {
    let claim = |index| Expected {
        namespace: "shop".into(),
        name: format!("data-{index}"),
        data_set: Some("db".into()),
        phase: "database".into(),
        maker: Maker::StatefulSet { name: "db".into(), template: "data".into() },
        body: json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}}),
        origin: Origin::default(),
    };
    (0..count).map(claim).collect()
}

/// Words for a volume: its name, then facts about it.
///
/// `released`, `available`, `failed`, `bound`: the phase. `of:NS/NAME`: the reference with a dead UID; `for:NS/NAME`: without
/// one; `holds:NS/NAME`: with the UID of the living claim. `marked:ENV:NS/NAME`: our marks. `deleting`, `unreachable`,
/// `block`, `readonly`, `provisioned`, `delete`, `small`, `class:X`, `disk:X`.
fn volume(words: &str) -> Volume {
    let mut words = words.split_whitespace();
    let mut volume = Volume {
        name: words.next().unwrap().to_owned(),
        uid: "v".into(),
        phase: "Available".into(),
        policy: "Retain".into(),
        capacity: Some(10 << 30),
        mode: "Filesystem".into(),
        ..Volume::default()
    };
    for word in words {
        let (key, value) = word.split_once(':').unwrap_or((word, ""));
        let reference = |uid: Option<&str>| {
            let (namespace, name) = value.split_once('/').unwrap();
            Some(ClaimRef { namespace: namespace.into(), name: name.into(), uid: uid.map(str::to_owned) })
        };
        match key {
            "released" => volume.phase = "Released".into(),
            "available" => volume.phase = "Available".into(),
            "failed" => volume.phase = "Failed".into(),
            "bound" => volume.phase = "Bound".into(),
            "of" => volume.claim = reference(Some("dead")),
            "for" => volume.claim = reference(None),
            "holds" => volume.claim = reference(Some("alive")),
            "marked" => {
                let (environment, claim) = value.split_once(':').unwrap();
                let (environment, claim, data_set) = (environment.into(), claim.into(), "db".into());
                volume.marks = Some(Marks { environment, claim, data_set, ..Marks::default() });
            }
            "identity" => volume.marks.as_mut().unwrap().identity = Some(format!("{DATABASE}{value}")),
            "history" => volume.marks.as_mut().unwrap().lineage.history = value.into(),
            "standby" => volume.marks.as_mut().unwrap().lineage.standby = value.into(),
            "created" => volume.created = jiff::Timestamp::from_second(value.parse().unwrap()).ok(),
            "since" => volume.since = jiff::Timestamp::from_second(value.parse().unwrap()).ok(),
            "deleting" => volume.deleting = true,
            "unreachable" => volume.reachable = Some(false),
            "block" => volume.mode = "Block".into(),
            "provisioned" => volume.provisioned = true,
            "readonly" => volume.read_only = true,
            "disk" => volume.disk = Some(value.into()),
            "delete" => volume.policy = "Delete".into(),
            "small" => volume.capacity = Some(1 << 30),
            "class" => volume.class = value.into(),
            other => panic!("{other}"),
        }
    }
    volume
}

/// Words for a claim in `shop`: its name, then facts. `bound:PV`, `pending`, `pending:PV`, `lost:PV`, `deleting`,
/// `record:WORD`, `ours`, `standby:WORD`, `history:NAME`, `uid:UID`, `created:SECOND`,
/// `until:SECOND`: up to when what it was restored from was archived.
fn claim(words: &str) -> Claim {
    let mut words = words.split_whitespace();
    let mut claim = Claim {
        namespace: "shop".into(),
        name: words.next().unwrap().to_owned(),
        uid: "alive".into(),
        phase: "Pending".into(),
        ..Claim::default()
    };
    for word in words {
        let (key, value) = word.split_once(':').unwrap_or((word, ""));
        match key {
            "bound" | "pending" | "lost" => {
                claim.phase = format!("{}{}", key[..1].to_uppercase(), &key[1..]);
                claim.volume = (!value.is_empty()).then(|| value.to_owned());
            }
            "deleting" => claim.deleting = true,
            "record" if value == COPY => claim.record = Some(Record::Copy),
            "record" => claim.record = Some(Record::From(Source::of(value).unwrap())),
            "standby" => claim.lineage.standby = value.into(),
            "history" => claim.lineage.history = value.into(),
            "uid" => claim.uid = value.into(),
            "created" => claim.created = jiff::Timestamp::from_second(value.parse().unwrap()).ok(),
            "until" => {
                let until = jiff::Timestamp::from_second(value.parse().unwrap()).unwrap();
                claim.lineage.archived_until = until.to_string();
            }
            "ours" => claim.environment = Some("shop".into()),
            other => panic!("{other}"),
        }
    }
    claim
}

fn policy(words: &str) -> Policy {
    let mut policy = Policy { environment: "shop".into(), ..Policy::default() };
    for word in words.split_whitespace() {
        match word.split_once(':') {
            None if word == "protected" => policy.protected = true,
            Some(("allow", list)) => policy.allow = Some(list.split(',').map(|it| Source::of(it).unwrap()).collect()),
            _ => panic!("{word}"),
        }
    }
    policy
}

fn answers(words: &str) -> Answers {
    let mut answers = Answers::default();
    for word in words.split_whitespace() {
        if word == "promote" {
            answers.promote = true;
            continue;
        }
        if let Some(second) = word.strip_prefix("to:") {
            answers.recover_to = jiff::Timestamp::from_second(second.parse().unwrap()).ok();
            continue;
        }
        match word.strip_prefix("allow-empty:") {
            Some(name) => drop(answers.allow_empty.insert(name.to_owned())),
            None => answers.given.push(Answers::read(word).unwrap()),
        }
    }
    answers
}

fn data_set(words: &str) -> (DataSet, usize) {
    let (mut set, mut count) = (set(), 1);
    for word in words.split_whitespace() {
        match word.split_once(':') {
            None if word == "replicated" => set.replicated = true,
            None if word == "derived" => set.derived = Some(Derived { from: "others".into(), estimate: None }),
            None if word == "backups" || word == "follows" => {
                let (image, env) = ("pg".into(), std::collections::BTreeMap::new());
                let backups = Some(Lookup { tool: Tool::WalG, image, user: None, env });
                let follow = backups.clone().filter(|_| word == "follows");
                set.restore = Some(Restore { backups, follow, ..Restore::default() });
                set.sources = Source::ALL.to_vec();
            }
            None if word == "restorable" => {
                set.restore = Some(Restore { by_hand: Some("fetch it".into()), ..Restore::default() });
                set.sources = Source::ALL.to_vec();
            }
            Some(("claims", number)) => count = number.parse().unwrap(),
            Some(("sources", list)) => set.sources = list.split(',').map(|it| Source::of(it).unwrap()).collect(),
            _ => panic!("{word}"),
        }
    }
    (set, count)
}

/// Words for an archive: `unknown`, `nothing`, or histories separated by `|`: the folder's name or `-`, then `NAME@SECOND` for
/// each backup, with `!` after it for one with a gap behind it, `wal@SECOND` for the newest segment. Now is second 10,000; the
/// system identifier of all backups is 7.
fn archive(words: &str) -> Archive {
    if words == "unknown" {
        return Archive::Unknown("no such bucket".into());
    }
    let at = |second: &str| jiff::Timestamp::from_second(second.parse().unwrap()).unwrap();
    let history = |words: &str| {
        let mut words = words.split_whitespace();
        let name = words.next().filter(|name| *name != "-").unwrap_or_default();
        let mut history = History { name: name.into(), ..History::default() };
        for word in words {
            let (name, second) = word.split_once('@').unwrap();
            if name == "wal" {
                history.newest_wal = Some(at(second));
                continue;
            }
            history.backups.push(Backup {
                name: name.into(),
                finished: at(second.trim_end_matches('!')),
                size: None,
                system_identifier: Some(format!("{DATABASE}7")),
                gaps: if second.ends_with('!') { vec!["000000010000000000000009".into()] } else { Vec::new() },
            });
        }
        history
    };
    Archive::Known(words.split('|').filter(|words| *words != "nothing").map(history).collect())
}

struct Row {
    what: &'static str,
    set: &'static str,
    there: &'static [&'static str],
    policy: &'static str,
    said: &'static str,
    comes: &'static str,
}

/// What is there at second 10,000.
fn survey(there: &[&str]) -> Survey {
    let now = jiff::Timestamp::from_second(10_000).unwrap();
    let mut survey = Survey { now, ..Survey::default() };
    for words in there {
        match words.split_once(' ').unwrap() {
            ("archive", rest) => drop(survey.archives.insert("db".into(), archive(rest))),
            ("followed", rest) => drop(survey.followed.insert("db".into(), archive(rest))),
            ("pv", rest) => survey.volumes.push(volume(rest)),
            ("pvc", rest) => survey.claims.push(claim(rest)),
            _ => panic!("{words}"),
        }
    }
    survey
}

fn run(row: &Row) -> Result<Decisions, Vec<Stop>> {
    let (set, count) = data_set(row.set);
    let survey = survey(row.there);
    decide_all(&[set], &expected(count), &survey, &policy(row.policy), &answers(row.said))
}

/// The outcome in words: the choice about each claim, `: SOURCE`, `confirm`; or `stop` with the reason.
fn outcome(row: &Row) -> String {
    match run(row) {
        Ok(decisions) => {
            let set = &decisions.sets[0];
            let choices: Vec<_> = set
                .claims
                .iter()
                .map(|claim| match &claim.choice {
                    super::Choice::Adopt { volume } => format!("adopt {volume}"),
                    super::Choice::Restore { backup } => format!("restore {backup}"),
                    other => other.word().to_owned(),
                })
                .collect();
            let confirm = if set.confirm { ", confirm" } else { "" };
            let lineage = &set.lineage;
            let from = format!(" from {}", lineage.backup_history);
            let told = [
                if lineage.backup_history.is_empty() { "" } else { &from },
                if lineage.recover_to.is_empty() { "" } else { " to a time" },
                match lineage.history.as_str() {
                    "" => "",
                    "history-19700101t024640z" => ", new history",
                    _ => ", its history",
                },
                match lineage.standby.as_str() {
                    "" => "",
                    "following" => ", follows",
                    _ if set.promoted => ", promoted now",
                    _ => ", promoted",
                },
            ];
            format!("{}: {}{}{confirm}", choices.join(", "), set.source, told.concat())
        }
        Err(stops) => format!("stop: {}", stops[0].why),
    }
}

macro_rules! table {
    ($($what:literal, $set:literal, [$($there:literal),*], $policy:literal, $said:literal => $comes:literal;)*) => {
        &[$(Row { what: $what, set: $set, there: &[$($there),*], policy: $policy, said: $said, comes: $comes }),*]
    };
}

const GONE: &str = "pv p1 released of:shop/data-0";

const TABLE: &[Row] = table![
    // Nothing is there.
    "nothing, anything allowed", "", [], "", "" => "empty: empty";
    "nothing, empty allowed", "", [], "allow:adopt,empty", "" => "empty: empty";
    "nothing, empty not allowed", "", [], "allow:adopt", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "nothing, protected", "", [], "protected", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "nothing, protected, empty in the file is not enough", "", [], "protected allow:adopt,empty", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "nothing, protected, said", "", [], "protected", "allow-empty:db" => "empty: empty, confirm";
    "nothing, protected, decided", "", [], "protected", "db=empty" => "empty: empty, confirm";
    "nothing, not allowed, said", "", [], "allow:adopt", "allow-empty:db" => "empty: empty";
    "nothing, another one was said", "", [], "allow:adopt", "allow-empty:other" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "nothing, the data set never begins empty", "sources:adopt", [], "", "" => "stop: nothing of shop/data-0 is there, and the data set (db.yaml:1) never begins empty";
    "nothing, the data set never begins empty, said", "sources:adopt", [], "", "allow-empty:db" => "stop: nothing of shop/data-0 is there, and the data set (db.yaml:1) never begins empty";
    "nothing, a backup comes first", "restorable", [], "", "" => "stop: nothing of shop/data-0 is there, and it is to be restored";
    "nothing, a backup comes first, but not here", "restorable", [], "allow:adopt,empty", "" => "empty: empty";
    "nothing, a backup comes first, said empty", "restorable", [], "", "allow-empty:db" => "empty: empty";
    "nothing, empty before restore", "restorable sources:adopt,empty,restore", [], "", "" => "empty: empty";
    "nothing, restore said", "restorable", [], "", "db=restore" => "stop: it can only be restored by hand";
    "nothing, can be made again, protected", "derived", [], "protected", "" => "empty: empty";
    "nothing, can be made again, not allowed", "derived", [], "allow:adopt", "" => "empty: empty";
    "nothing of two", "claims:2", [], "", "" => "empty, empty: empty";
    "nothing of two copies", "claims:2 replicated", [], "", "" => "empty, empty: empty";
    "keep was said, nothing is there", "", [], "allow:adopt", "db=keep" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    // Claims that wait without a volume hold nothing.
    "the one to copy from is gone", "replicated claims:2 backups", ["pvc data-1 pending record:copy ours", "archive - base_1@50"], "", "" => "restore base_1, copy: restore, new history";
    "the one to copy from is gone, there is no backup", "replicated claims:2 backups", ["pvc data-1 pending record:copy ours", "archive nothing"], "allow:restore", "" => "stop: nothing of shop/data-0 is there, no backup of it was found, and shop does not let it begin empty";
    "the one to copy from is gone, nobody knows of backups", "replicated claims:2 backups", ["pvc data-1 pending record:copy ours", "archive unknown"], "", "" => "stop: nothing of it is there, and its backups could not be looked up";
    "only copies of each other", "replicated claims:2 backups", ["pvc data-0 pending record:copy ours", "pvc data-1 pending record:copy ours", "archive - base_1@50"], "", "" => "restore base_1, copy: restore, new history";
    "cut off between the claims of two halves", "claims:2 backups", ["pvc data-0 pending record:restore ours", "archive - base_1@50"], "", "" => "restore base_1, restore base_1: restore, new history";
    "only a copy of itself, and its volume survives", "", ["pvc data-0 pending record:copy ours", "pv p1 available for:shop/data-0"], "", "" => "adopt p1: adopt";
    "only a copy of itself, and its volume cannot be used", "", ["pvc data-0 pending record:copy ours", "pv p1 available block for:shop/data-0"], "", "" => "stop: pv/p1 survives and cannot be used: it is of mode Block, and the claim wants Filesystem";
    "only copies of each other, and one's volume survives", "replicated claims:2 backups", ["pvc data-0 pending record:copy ours", "pvc data-1 pending record:copy ours", "pv p1 released of:shop/data-1", "archive - base_1@50"], "", "" => "keep, adopt p1: adopt";
    "cut off between the claims of two halves, and both survive", "claims:2 backups", ["pvc data-0 pending record:restore ours", "pv p0 released of:shop/data-0", "pv p1 released of:shop/data-1", "archive - base_1@50"], "", "" => "adopt p0, adopt p1: adopt";
    "one half survives, the other was never begun", "claims:2", ["pvc data-1 pending record:empty ours", "pv p0 released of:shop/data-0"], "protected", "" => "adopt p0, keep: adopt";
    "cut off after all claims", "replicated claims:2 backups", ["pvc data-0 pending record:restore ours", "pvc data-1 pending record:copy ours"], "", "" => "keep, keep: restore";
    "the one to copy from is there", "replicated claims:2 backups", ["pvc data-0 bound:p1 record:restore ours", "pv p1 bound holds:shop/data-0"], "", "" => "keep, copy: restore";
    "the one to copy from survives", "replicated claims:2 backups", ["pvc data-1 pending record:copy ours", "pv p1 released of:shop/data-0", "archive - base_1@50"], "", "" => "adopt p1, keep: adopt";
    "cut off in a restore beside what survives", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 ours", "pv p0 bound holds:shop/data-0", "pv p1 released of:shop/data-1"], "", "" => "stop: a part of it is restored, and what shop/data-1 held survives from before";
    "cut off in a restore beside copies that survive", "replicated claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 ours", "pv p0 bound holds:shop/data-0", "pv p1 released of:shop/data-1"], "", "" => "stop: a part of it is restored, and what shop/data-1 held survives from before";
    "the same, restore is said again", "replicated claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 ours", "pv p0 bound holds:shop/data-0", "pv p1 released of:shop/data-1"], "", "db=restore" => "keep, copy: restore, its history";
    "the same, adopt is said", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 ours", "pv p0 bound holds:shop/data-0", "pv p1 released of:shop/data-1"], "", "db=adopt:data-1=p1" => "keep, adopt p1: adopt, its history";
    "what survives is of another restore", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 ours", "pv p0 bound holds:shop/data-0", "pv p1 released of:shop/data-1 marked:shop:shop/data-1 history:h1"], "", "" => "stop: a part of it is restored, and what shop/data-1 held survives from before";
    "what survives is of the same restore", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 ours", "pv p0 bound holds:shop/data-0", "pv p1 released of:shop/data-1 marked:shop:shop/data-1 history:h2"], "", "" => "keep, adopt p1: adopt, its history";
    "what was restored and not marked yet has lost its claim", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 created:100 ours", "pv p0 bound holds:shop/data-0", "pv p1 released provisioned created:101 of:shop/data-1"], "", "" => "keep, adopt p1: adopt, its history";
    "the same, reserved already", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 created:100 ours", "pv p0 bound holds:shop/data-0", "pv p1 available provisioned created:101 for:shop/data-1"], "", "" => "keep, adopt p1: adopt, its history";
    "what was provisioned before the restore had begun", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 created:100 ours", "pv p0 bound holds:shop/data-0", "pv p1 released provisioned created:99 of:shop/data-1"], "", "" => "stop: a part of it is restored, and what shop/data-1 held survives from before";
    "what was made by hand since", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 created:100 ours", "pv p0 bound holds:shop/data-0", "pv p1 available created:200 for:shop/data-1"], "", "" => "stop: a part of it is restored, and what shop/data-1 held survives from before";
    "what was restored and not marked yet is being deleted", "claims:2 backups", ["pvc data-0 bound:p0 record:restore history:h2 ours", "pv p0 bound holds:shop/data-0", "pvc data-1 bound:p1 deleting record:restore history:h2 ours", "pv p1 bound holds:shop/data-1"], "", "" => "keep, adopt p1: adopt, its history";
    "what waits is kept, said", "claims:2 backups", ["pvc data-0 pending record:restore ours"], "", "db=keep" => "stop: nothing of shop/data-1 is there, and it is to be restored";
    // One survivor.
    "a released volume", "", ["pv p1 released of:shop/data-0"], "", "" => "adopt p1: adopt";
    "a released volume, protected", "", ["pv p1 released of:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "a released volume, empty may be, too", "", ["pv p1 released of:shop/data-0"], "", "allow-empty:db" => "adopt p1: adopt";
    "a released volume, said empty", "", ["pv p1 released of:shop/data-0"], "", "db=empty" => "empty: empty";
    "a released volume, protected, said empty", "", ["pv p1 released of:shop/data-0"], "protected", "db=empty" => "empty: empty, confirm";
    "a released volume, adopting not allowed", "", ["pv p1 released of:shop/data-0"], "allow:empty", "" => "stop: pv/p1 survives, and shop does not allow to adopt";
    "a released volume, the data set does not adopt", "sources:empty", ["pv p1 released of:shop/data-0"], "", "" => "stop: pv/p1 survives, and the data set (db.yaml:1) does not adopt";
    "a failed volume", "", ["pv p1 failed of:shop/data-0"], "", "" => "adopt p1: adopt";
    "its policy deletes", "", ["pv p1 released delete of:shop/data-0"], "", "" => "adopt p1: adopt";
    "it is too small", "", ["pv p1 released small of:shop/data-0"], "", "" => "adopt p1: adopt";
    "it is of another class", "", ["pv p1 released class:old of:shop/data-0"], "", "" => "adopt p1: adopt";
    "still called bound, its claim gone", "", ["pv p1 bound of:shop/data-0"], "", "" => "adopt p1: adopt";
    "reserved by hand", "", ["pv p1 available for:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "marked as ours", "", ["pv p1 available marked:shop:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "marked as ours, of a namespace that was renamed", "", ["pv p1 released marked:shop:old/data-0 of:old/data-0"], "protected", "" => "adopt p1: adopt";
    "survivors can be made again: adopted all the same", "derived", ["pv p1 released of:shop/data-0"], "", "" => "adopt p1: adopt";
    // Not certain.
    "same name, another namespace", "", ["pv p1 released of:old/data-0"], "", "" => "stop: what survives held a claim data-0 of another namespace";
    "same name, another namespace, empty may be", "", ["pv p1 released of:old/data-0"], "", "allow-empty:db" => "stop: what survives held a claim data-0 of another namespace";
    "same name, another namespace, said", "", ["pv p1 released of:old/data-0"], "protected", "db=adopt:p1" => "adopt p1: adopt";
    "same name, another namespace, can be made again", "derived", ["pv p1 released of:old/data-0"], "protected", "" => "empty: empty";
    "two survivors", "", ["pv p1 released of:shop/data-0", "pv p2 released of:shop/data-0"], "", "" => "stop: 2 volumes survive that held shop/data-0";
    "two survivors, empty may be", "", ["pv p1 released of:shop/data-0", "pv p2 released of:shop/data-0"], "", "allow-empty:db" => "stop: 2 volumes survive that held shop/data-0";
    "two survivors, one is said", "", ["pv p1 released of:shop/data-0", "pv p2 released of:shop/data-0"], "", "db=adopt:p2" => "adopt p2: adopt";
    "two survivors, one is said with pv/", "", ["pv p1 released of:shop/data-0", "pv p2 released of:shop/data-0"], "", "db=adopt:pv/p2" => "adopt p2: adopt";
    "two survivors, neither is wanted", "", ["pv p1 released of:shop/data-0", "pv p2 released of:shop/data-0"], "", "db=empty" => "empty: empty";
    "one marked, one claimed", "", ["pv p1 available marked:shop:shop/data-0", "pv p2 released of:shop/data-0"], "", "" => "stop: 2 volumes survive that held shop/data-0";
    "one of here, one of another namespace", "", ["pv p1 released of:shop/data-0", "pv p2 released of:old/data-0"], "", "" => "adopt p1: adopt";
    "it is being deleted", "", ["pv p1 released deleting of:shop/data-0"], "", "" => "stop: pv/p1 survives and cannot be used: it is being deleted, and Kubernetes cannot take that back: its bytes may be there still";
    "it is being deleted, empty may be", "", ["pv p1 released deleting of:shop/data-0"], "", "allow-empty:db" => "stop: pv/p1 survives and cannot be used: it is being deleted, and Kubernetes cannot take that back: its bytes may be there still";
    "it is being deleted, said", "", ["pv p1 released deleting of:shop/data-0"], "", "db=adopt:p1" => "stop: pv/p1 cannot be adopted: it is being deleted, and Kubernetes cannot take that back: its bytes may be there still";
    "its node is gone", "", ["pv p1 released unreachable of:shop/data-0"], "", "" => "stop: pv/p1 survives and cannot be used: no node of the cluster can mount it: the node or zone that it is bound to is not there";
    "its node is gone, said", "", ["pv p1 released unreachable of:shop/data-0"], "", "db=adopt:p1" => "adopt p1: adopt";
    "its node is gone, can be made again", "derived", ["pv p1 released unreachable of:shop/data-0"], "protected", "" => "empty: empty";
    "it is a block device", "", ["pv p1 released block of:shop/data-0"], "", "" => "stop: pv/p1 survives and cannot be used: it is of mode Block, and the claim wants Filesystem";
    "it is a block device, said", "", ["pv p1 released block of:shop/data-0"], "", "db=adopt:p1" => "stop: pv/p1 cannot be adopted: it is of mode Block, and the claim wants Filesystem";
    // Not ours.
    "a volume of another claim", "", ["pv p1 released of:shop/other"], "allow:adopt", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "a free volume of another environment", "", ["pv p1 available marked:other:rest/data-9"], "", "" => "stop: Kubernetes could bind shop/data-0 to pv/p1, which is free and holds rest/data-9 of other";
    "a free volume of another of our claims", "", ["pv p1 available marked:shop:shop/data-9"], "", "" => "stop: Kubernetes could bind shop/data-0 to pv/p1, which is free and holds shop/data-9 of shop";
    "a free volume of another environment, too small", "", ["pv p1 available small marked:other:rest/data-9"], "", "" => "empty: empty";
    "it can only be read", "", ["pv p1 released readonly of:shop/data-0"], "", "" => "stop: pv/p1 survives and cannot be used: it can only be read (ReadOnlyMany), and the claim wants to write";
    "it can only be read, said", "", ["pv p1 released readonly of:shop/data-0"], "", "db=adopt:p1" => "adopt p1: adopt";
    "its disk is in use under another name", "", ["pv p1 released disk:x of:shop/data-0", "pv p2 bound disk:x holds:other/data"], "", "" => "stop: pv/p1 and pv/p2 are the same disk under two names";
    "its disk is in use under another name, said", "", ["pv p1 released disk:x of:shop/data-0", "pv p2 bound disk:x holds:other/data"], "", "db=adopt:p1" => "stop: pv/p1 and pv/p2 are the same disk under two names";
    "one disk for two claims", "claims:2", ["pv p1 released disk:x of:shop/data-0", "pv p2 released disk:x of:shop/data-1"], "", "" => "stop: pv/p1 and pv/p2 are the same disk under two names";
    "its disk is about to be deleted under another name", "", ["pv p1 released disk:x of:shop/data-0", "pv p2 released delete disk:x of:other/data"], "", "" => "stop: pv/p1 and pv/p2 are the same disk under two names";
    "its disk has another name that nobody uses", "", ["pv p1 released disk:x of:shop/data-0", "pv p2 released disk:x of:other/data"], "", "" => "adopt p1: adopt";
    "another disk is in use", "", ["pv p1 released disk:x of:shop/data-0", "pv p2 bound disk:y holds:other/data"], "", "" => "adopt p1: adopt";
    "a free volume of another environment, of another mode", "", ["pv p1 available block marked:other:rest/data-9"], "", "" => "empty: empty";
    "a reserved volume of another environment", "", ["pv p1 available for:rest/data-9 marked:other:rest/data-9"], "", "" => "empty: empty";
    "a free volume of another environment beside our own", "", ["pv p1 available marked:other:rest/data-9", "pv p2 released of:shop/data-0"], "", "" => "adopt p2: adopt";
    "a volume that names nothing", "", ["pv p1 available"], "allow:adopt", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "a volume that names nothing, said", "", ["pv p1 available"], "protected", "db=adopt:p1" => "adopt p1: adopt";
    "a volume of another environment", "", ["pv p1 released marked:other:shop/data-0 of:shop/data-0"], "allow:adopt", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "a volume of another environment, said", "", ["pv p1 released marked:other:shop/data-0 of:shop/data-0"], "", "db=adopt:p1" => "stop: pv/p1 belongs to other and is not touched";
    "a volume of an instance", "", ["pv p1 released marked:shop/pr-1:shop-pr-1/data-0 of:shop-pr-1/data-0"], "", "" => "empty: empty";
    "a volume that is in use", "", ["pv p1 bound of:other/data-0"], "", "" => "empty: empty";
    "a volume that is in use, said", "", ["pv p1 bound of:other/data-0"], "", "db=adopt:p1" => "stop: pv/p1 is bound to other/data-0 and is not taken away";
    "a volume that is not there, said", "", [], "", "db=adopt:p9" => "stop: there is no pv/p9";
    "a claim that is not there, said", "", ["pv p1 available"], "", "db=adopt:data-7=p1" => "stop: it has no claim data-7";
    "answers that contradict each other", "", ["pv p1 available"], "", "db=adopt:p1 db=empty" => "stop: two answers that contradict each other";
    // Claims that are there.
    "bound, recorded", "", ["pvc data-0 bound:p1 record:empty ours", "pv p1 bound holds:shop/data-0"], "protected", "" => "keep: empty";
    "bound, recorded as adopted", "", ["pvc data-0 bound:p1 record:adopt ours", "pv p1 bound holds:shop/data-0"], "protected", "" => "keep: adopt";
    "bound, made by somebody", "", ["pvc data-0 bound:p1", "pv p1 bound holds:shop/data-0"], "protected", "" => "keep: adopt";
    "bound, recorded, an old one survives", "", ["pvc data-0 bound:p1 record:empty ours", "pv p1 bound holds:shop/data-0", "pv p2 released of:shop/data-0"], "", "" => "keep: empty";
    "bound, marked, an old one survives", "", ["pvc data-0 bound:p1", "pv p1 bound holds:shop/data-0 marked:shop:shop/data-0", "pv p2 released of:shop/data-0"], "", "" => "keep: adopt";
    "bound by nobody knows whom, an old one survives", "", ["pvc data-0 bound:p1", "pv p1 bound holds:shop/data-0", "pv p2 released of:shop/data-0"], "", "" => "stop: its claim is bound to a volume that nobody vouches for, and an older one survives";
    "the same, keep is said", "", ["pvc data-0 bound:p1", "pv p1 bound holds:shop/data-0", "pv p2 released of:shop/data-0"], "", "db=keep" => "keep: adopt";
    "the same, the old one is said", "", ["pvc data-0 bound:p1", "pv p1 bound holds:shop/data-0", "pv p2 released of:shop/data-0"], "", "db=adopt:p2" => "stop: pv/p2 cannot be adopted: the claim has a volume";
    "bound, what it is bound to is said", "", ["pvc data-0 bound:p1 record:adopt ours", "pv p1 bound holds:shop/data-0"], "", "db=adopt:p1" => "keep: adopt";
    "bound, empty is said again", "", ["pvc data-0 bound:p1 record:empty ours", "pv p1 bound holds:shop/data-0"], "", "db=empty" => "keep: empty";
    "bound with contents, empty is said", "", ["pvc data-0 bound:p1 record:adopt ours", "pv p1 bound holds:shop/data-0"], "", "db=empty" => "stop: it cannot begin empty: what is there is never emptied";
    "bound by somebody, empty is said", "", ["pvc data-0 bound:p1", "pv p1 bound holds:shop/data-0"], "", "db=empty" => "stop: it cannot begin empty: what is there is never emptied";
    "lost", "", ["pvc data-0 lost:p1"], "", "" => "stop: a claim has lost its volume";
    "lost, empty may be", "", ["pvc data-0 lost:p1 record:empty ours"], "", "allow-empty:db" => "stop: a claim has lost its volume";
    "waits, decided before", "", ["pvc data-0 pending record:empty ours"], "protected", "" => "keep: empty";
    "waits, made by somebody", "", ["pvc data-0 pending"], "protected", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "waits, made by somebody, empty allowed", "", ["pvc data-0 pending"], "", "" => "empty: empty";
    "waits, made by somebody, a volume survives", "", ["pvc data-0 pending", "pv p1 released of:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "interrupted after the claim was made", "", ["pvc data-0 pending:p1 record:adopt ours", "pv p1 available for:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "interrupted after the volume was reserved", "", ["pv p1 available for:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "names a volume that is another's", "", ["pvc data-0 pending:p1", "pv p1 bound of:other/data"], "", "" => "stop: a claim names a volume that is another's";
    "being deleted", "", ["pvc data-0 bound:p1 deleting record:empty ours", "pv p1 bound holds:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "being deleted with a policy that deletes", "", ["pvc data-0 bound:p1 deleting", "pv p1 bound delete holds:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "being deleted, its volume, too", "", ["pvc data-0 bound:p1 deleting", "pv p1 bound deleting holds:shop/data-0"], "", "" => "stop: pv/p1 cannot be kept: it is being deleted, and Kubernetes cannot take that back: its bytes may be there still";
    "being deleted, never bound", "", ["pvc data-0 pending deleting"], "allow:adopt", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    // Backups.
    "a backup, nothing survives", "backups", ["archive - b1@100"], "", "" => "restore b1: restore, new history";
    "a backup, protected", "backups", ["archive - b1@100 wal@900"], "protected", "" => "restore b1: restore, new history";
    "the newest of several", "backups", ["archive - b1@100 b3@300 | history-1 b2@200"], "protected", "" => "restore b3: restore, new history";
    "the newest is in a later history", "backups", ["archive - b1@100 | history-1 b2@200"], "protected", "" => "restore b2: restore from history-1, new history";
    "one is said", "backups", ["archive - b1@100 | history-1 b2@200"], "protected", "db=restore:b1" => "restore b1: restore, new history";
    "one is said that is not there", "backups", ["archive - b1@100"], "protected", "db=restore:b9" => "stop: there is no complete backup b9 of it";
    "up to a time", "backups", ["archive - b1@100 b2@200"], "protected", "to:150" => "restore b1: restore to a time, new history";
    "up to a time before all of them", "backups", ["archive - b1@100"], "protected", "to:50" => "stop: no backup of it was finished before 1970-01-01T00:00:50Z";
    "up to a time before the one that is said", "backups", ["archive - b1@100 b2@200"], "protected", "db=restore:b2 to:150" => "stop: backup b2 was finished after 1970-01-01T00:02:30Z, so nothing can be recovered to that time";
    "up to a time after the end of the archive", "backups", ["archive - b1@100 wal@300"], "protected", "to:400" => "stop: its archive ends before 1970-01-01T00:06:40Z, so nothing can be recovered to that time";
    "up to a time within the archive", "backups", ["archive - b1@100 wal@300"], "protected", "to:250" => "restore b1: restore to a time, new history";
    "keep is said, and nothing is there", "backups", ["archive - b1@100"], "protected", "db=keep" => "restore b1: restore, new history";
    "keep is said, and empty may be", "backups", ["archive - b1@100"], "protected", "db=keep allow-empty:db" => "restore b1: restore, new history";
    "several copies", "backups claims:3 replicated", ["archive - b1@100"], "protected", "" => "restore b1, copy, copy: restore, new history";
    "several parts", "backups claims:2", ["archive - b1@100"], "protected", "" => "restore b1, restore b1: restore, new history";
    "the environment does not restore: the archive stays as it is", "backups", [], "allow:adopt,empty", "" => "empty: empty, new history";
    "the environment does not restore, protected", "backups", [], "protected allow:adopt", "" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "the environment does not allow to restore, said", "backups", ["archive - b1@100"], "allow:adopt", "db=restore" => "restore b1: restore, new history";
    "a backup, empty may be", "backups", ["archive - b1@100"], "", "allow-empty:db" => "restore b1: restore, new history";
    "a backup, protected, empty may be", "backups", ["archive - b1@100"], "protected", "allow-empty:db" => "restore b1: restore, new history";
    "a backup, said empty: the archive stays as it is", "backups", ["archive - b1@100"], "", "db=empty" => "empty: empty, new history";
    "not looked up, said empty: the archive stays as it is", "backups", [], "protected", "db=empty" => "empty: empty, new history, confirm";
    "empty comes first in the kit", "backups sources:adopt,empty,restore", ["archive - b1@100"], "", "" => "empty: empty, new history";
    "empty comes first in the kit, protected", "backups sources:adopt,empty,restore", ["archive - b1@100"], "protected", "" => "restore b1: restore, new history";
    "the data set does not restore", "backups sources:adopt,empty", ["archive - b1@100"], "", "" => "empty: empty, new history";
    "never backed up, empty allowed", "backups", ["archive nothing"], "", "" => "empty: empty";
    "never backed up, protected", "backups", ["archive nothing"], "protected", "" => "stop: nothing of shop/data-0 is there, no backup of it was found, and shop does not let it begin empty";
    "never backed up, protected, said", "backups", ["archive nothing"], "protected", "allow-empty:db" => "empty: empty, confirm";
    "never backed up, restore is said", "backups", ["archive nothing"], "", "db=restore" => "stop: there is no complete backup of it";
    "the bucket cannot be read", "backups", ["archive unknown"], "", "" => "stop: nothing of it is there, and its backups could not be looked up";
    "the bucket cannot be read, empty may be", "backups", ["archive unknown"], "", "allow-empty:db" => "stop: nothing of it is there, and its backups could not be looked up";
    "the bucket cannot be read, restore is said", "backups", ["archive unknown"], "", "db=restore" => "stop: nothing of it is there, and its backups could not be looked up";
    "the bucket cannot be read, a volume survives", "backups", ["archive unknown", "pv p1 released of:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "WAL without a complete backup", "backups", ["archive - wal@100"], "", "" => "stop: nothing of it is there, and its archive holds WAL but no complete backup";
    "WAL without a complete backup, empty may be", "backups", ["archive - wal@100"], "", "allow-empty:db" => "stop: nothing of it is there, and its archive holds WAL but no complete backup";
    "a gap after the newest backup", "backups", ["archive - b1@100!"], "protected", "" => "stop: the WAL after its newest backup is not whole: recovery would end before the gap";
    "a gap after the newest backup, said", "backups", ["archive - b1@100!"], "protected", "db=restore" => "restore b1: restore, new history";
    "a survivor, and a backup from before", "backups", ["archive - b1@100 wal@900", "pv p1 released since:1000 of:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "a survivor, archived while it went", "backups", ["archive - b1@100 wal@1200", "pv p1 released since:1000 of:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "a survivor, archived later", "backups", ["archive - b1@100 wal@2000", "pv p1 released since:1000 of:shop/data-0"], "protected", "" => "stop: pv/p1 survives, and its archive was written to after the volume was released";
    "a survivor, archived later, said", "backups", ["archive - b1@100 wal@2000", "pv p1 released since:1000 of:shop/data-0"], "protected", "db=adopt:p1" => "adopt p1: adopt";
    "a survivor, archived later, restore is said", "backups", ["archive - b1@100 wal@2000", "pv p1 released since:1000 of:shop/data-0"], "protected", "db=restore" => "restore b1: restore, new history";
    "a survivor, reserved since", "backups", ["archive - b1@100 wal@2000", "pv p1 available since:1000 for:shop/data-0"], "protected", "" => "adopt p1: adopt";
    "a survivor of the same database", "backups", ["archive - b1@100", "pv p1 released marked:shop:shop/data-0 identity:7"], "protected", "" => "adopt p1: adopt";
    "a survivor of another database", "backups", ["archive - b1@100", "pv p1 released marked:shop:shop/data-0 identity:8"], "protected", "" => "stop: pv/p1 and its newest backup hold different databases (7400000000000000008 and 7400000000000000007)";
    "a survivor goes on with its history", "backups", ["pv p1 released marked:shop:shop/data-0 history:history-5"], "protected", "" => "adopt p1: adopt, its history";
    "two survivors and a backup, restore is said", "backups", ["archive - b1@100", "pv p1 released of:shop/data-0", "pv p2 released of:shop/data-0"], "protected", "db=restore" => "restore b1: restore, new history";
    "its node is gone, restore is said", "backups", ["archive - b1@100", "pv p1 released unreachable of:shop/data-0"], "protected", "db=restore" => "restore b1: restore, new history";
    "restored before, waits", "backups", ["pvc data-0 pending record:restore ours"], "protected", "" => "keep: restore";
    "restored before, bound", "backups", ["pvc data-0 bound:p1 record:restore ours", "pv p1 bound holds:shop/data-0"], "protected", "" => "keep: restore";
    "restored before, restore is said again", "backups", ["pvc data-0 bound:p1 record:restore ours", "pv p1 bound holds:shop/data-0"], "protected", "db=restore" => "keep: restore";
    "bound with contents, restore is said", "backups", ["pvc data-0 bound:p1 record:empty ours", "pv p1 bound holds:shop/data-0"], "protected", "db=restore" => "stop: it cannot be restored: what is there is never overwritten";
    "restored before, its volume survives", "backups", ["archive - b1@100", "pv p1 released marked:shop:shop/data-0 history:history-5 identity:7"], "protected", "" => "adopt p1: adopt, its history";
    // A stand-by: it follows the archive of another environment.
    "a stand-by, nothing of its own", "follows", ["archive nothing", "followed - b1@100 wal@900"], "", "" => "restore b1: restore, follows";
    "a stand-by, protected", "follows", ["archive nothing", "followed - b1@100"], "protected", "" => "restore b1: restore, follows";
    "a stand-by of a later history", "follows", ["archive nothing", "followed - b1@100 | history-1 b2@200"], "protected", "" => "restore b2: restore from history-1, follows";
    "a stand-by that may begin empty follows all the same", "follows sources:adopt,empty,restore", ["archive nothing", "followed - b1@100"], "", "" => "restore b1: restore, follows";
    "a stand-by, promoted at once", "follows", ["archive nothing", "followed - b1@100"], "", "promote" => "restore b1: restore, promoted";
    "a stand-by up to a time", "follows", ["archive nothing", "followed - b1@100"], "", "to:150" => "stop: a stand-by follows its archive to the end, and cannot stop at a time";
    "a stand-by up to a time, promoted at once", "follows", ["archive nothing", "followed - b1@100"], "", "to:150 promote" => "restore b1: restore to a time, promoted";
    "a stand-by of nothing", "follows", ["archive nothing", "followed nothing"], "", "" => "stop: there is no complete backup in the archive that it follows";
    "a stand-by of nothing, said empty", "follows", ["archive nothing", "followed nothing"], "", "db=empty" => "empty: empty";
    "a stand-by of WAL without a backup", "follows", ["archive nothing", "followed - wal@100"], "", "" => "stop: there is no complete backup in the archive that it follows";
    "a stand-by of what cannot be read", "follows", ["archive nothing", "followed unknown"], "", "" => "stop: nothing of it is there, and the backups of the archive that it follows could not be looked up";
    "a stand-by whose own archive cannot be read", "follows", ["archive unknown", "followed - b1@100"], "", "" => "stop: nothing of it is there, and its own backups could not be looked up";
    "a stand-by with a gap", "follows", ["archive nothing", "followed - b1@100!"], "", "" => "stop: the WAL after its newest backup is not whole: recovery would end before the gap";
    "a stand-by that was promoted before", "follows", ["archive - b5@500", "followed - b1@100"], "", "" => "stop: nothing of it is there, and it has an archive of its own: it was promoted before";
    "a stand-by that was promoted before, its own is said", "follows", ["archive - b5@500", "followed - b1@100"], "", "db=restore:b5" => "restore b5: restore, new history";
    "a stand-by that was promoted before, the other is said", "follows", ["archive - b5@500", "followed - b1@100"], "", "db=restore:b1" => "restore b1: restore, new history, follows";
    "it follows", "follows", ["pvc data-0 bound:p1 record:restore standby:following ours", "pv p1 bound holds:shop/data-0"], "protected", "" => "keep: restore, follows";
    "it follows, and is promoted", "follows", ["pvc data-0 bound:p1 record:restore standby:following ours", "pv p1 bound holds:shop/data-0"], "protected", "promote" => "keep: restore, promoted now";
    "promoted, and told once more", "follows", ["pvc data-0 bound:p1 record:restore standby:promoted ours", "pv p1 bound holds:shop/data-0"], "protected", "promote" => "keep: restore, promoted";
    "it followed, its volume survives", "follows", ["archive nothing", "followed - b1@100 wal@2000", "pv p1 released since:1000 marked:shop:shop/data-0 standby:following"], "protected", "" => "adopt p1: adopt, follows";
    "it followed, its volume survives and is promoted", "follows", ["archive nothing", "followed - b1@100", "pv p1 released marked:shop:shop/data-0 standby:following"], "protected", "promote" => "adopt p1: adopt, promoted now";
    "it was promoted, its volume survives", "follows", ["archive - b5@500", "followed - b1@100", "pv p1 released since:1000 marked:shop:shop/data-0 standby:promoted"], "protected", "" => "adopt p1: adopt, promoted";
    "a stand-by's volume without a mark", "follows", ["archive nothing", "followed - b1@100", "pv p1 released of:shop/data-0"], "protected", "" => "stop: it survives, and nothing says whether it follows another archive or was promoted";
    "a stand-by's volume without a mark, promoted", "follows", ["archive nothing", "followed - b1@100", "pv p1 released of:shop/data-0"], "protected", "promote" => "adopt p1: adopt, promoted now";
    "a stand-by's volume without a mark, restore is said", "follows", ["archive nothing", "followed - b1@100", "pv p1 released of:shop/data-0"], "protected", "db=restore" => "restore b1: restore, follows";
    "the kit follows no more", "backups", ["pvc data-0 bound:p1 record:restore standby:following ours", "pv p1 bound holds:shop/data-0"], "protected", "" => "keep: restore, follows";
    // Several claims.
    "both survive", "claims:2", ["pv p0 released of:shop/data-0", "pv p1 released of:shop/data-1"], "protected", "" => "adopt p0, adopt p1: adopt";
    "half survives", "claims:2", ["pv p0 released of:shop/data-0"], "", "" => "stop: only a part of it survives: nothing of shop/data-1 is there";
    "half survives, said", "claims:2", ["pv p0 released of:shop/data-0"], "", "allow-empty:db" => "adopt p0, empty: adopt";
    "half survives, protected, said", "claims:2", ["pv p0 released of:shop/data-0"], "protected", "allow-empty:db" => "adopt p0, empty: adopt, confirm";
    "one copy survives", "claims:3 replicated", ["pv p1 released of:shop/data-1"], "protected", "" => "copy, adopt p1, copy: adopt";
    "one copy is bound, one is new", "claims:2 replicated", ["pvc data-0 bound:p0 record:empty ours", "pv p0 bound holds:shop/data-0"], "protected", "" => "keep, copy: empty";
    "one is bound, one is new, not copies", "claims:2", ["pvc data-0 bound:p0 record:empty ours", "pv p0 bound holds:shop/data-0"], "", "" => "keep, empty: empty";
    "one is bound, one is new, protected", "claims:2", ["pvc data-0 bound:p0 record:empty ours", "pv p0 bound holds:shop/data-0"], "protected", "" => "stop: nothing of shop/data-1 is there, and shop does not let it begin empty";
    "one is bound, one is adopted", "claims:2", ["pvc data-0 bound:p0 record:empty ours", "pv p0 bound holds:shop/data-0", "pv p1 released of:shop/data-1"], "", "" => "keep, adopt p1: adopt";
    "a copy was bound before", "claims:2 replicated", ["pvc data-0 bound:p0 record:adopt ours", "pv p0 bound holds:shop/data-0", "pvc data-1 bound:p1 record:copy ours", "pv p1 bound holds:shop/data-1"], "protected", "" => "keep, keep: adopt";
    "each claim is told its volume", "claims:2", ["pv a available", "pv b available"], "protected", "db=adopt:data-0=b db=adopt:data-1=a" => "adopt b, adopt a: adopt";
    "two claims are told one volume", "claims:2", ["pv a available"], "", "db=adopt:data-0=a db=adopt:data-1=a" => "stop: two claims would get pv/a";
    "a volume without a claim is said, and there are two", "claims:2", ["pv a available"], "allow:adopt", "db=adopt:a" => "stop: nothing of shop/data-0 is there, and shop does not let it begin empty";
    "one of two is ambiguous", "claims:2", ["pv p0 released of:shop/data-0", "pv p1 released of:shop/data-1", "pv p2 released of:shop/data-1"], "", "" => "stop: 2 volumes survive that held shop/data-1";
    "one of two copies is ambiguous", "claims:2 replicated", ["pv p0 released of:shop/data-0", "pv p1 released of:shop/data-1", "pv p2 released of:shop/data-1"], "", "" => "stop: 2 volumes survive that held shop/data-1";
    "one of two is said", "claims:2", ["pv p0 released of:shop/data-0", "pv p1 released of:shop/data-1", "pv p2 released of:shop/data-1"], "", "db=adopt:p2" => "adopt p0, adopt p2: adopt";
];

#[test]
fn the_table_holds() {
    assert!(TABLE.len() >= 80, "{}", TABLE.len());
    let wrong: Vec<String> = TABLE
        .iter()
        .map(|row| (row, outcome(row)))
        .filter(|(row, outcome)| outcome != row.comes)
        .map(|(row, outcome)| format!("{}\n    wanted {}\n    got    {outcome}", row.what, row.comes))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_backup_that_may_not_fit_is_told_as_one() {
    let reason = |size: u64, set: &str| {
        let (set, count) = data_set(set);
        let mut archive = archive("- b1@100");
        if let Archive::Known(histories) = &mut archive {
            histories[0].backups[0].size = Some(size);
        }
        let survey = Survey { archives: [("db".to_owned(), archive)].into(), ..Survey::default() };
        let decisions = decide_all(&[set], &expected(count), &survey, &policy(""), &Answers::default()).unwrap();
        decisions.sets[0].claims[0].reason.clone()
    };
    let larger = "; larger than its claim asks for (10 GiB)";
    assert!(reason(11 << 30, "backups").ends_with(larger), "{}", reason(11 << 30, "backups"));
    assert!(reason(11 << 30, "backups replicated claims:2").ends_with(larger));
    assert!(!reason(10 << 30, "backups").contains(larger));
    assert!(!reason(11 << 30, "backups claims:2").contains(larger), "how much goes where is not known");
}

#[test]
fn a_volume_that_the_kit_names_is_the_one() {
    let mut claims = expected(1);
    claims[0].body["spec"]["volumeName"] = "p1".into();
    let decide = |there: &[&str]| {
        let survey = Survey { volumes: there.iter().map(|words| volume(words)).collect(), ..Survey::default() };
        let decisions = decide_all(&[set()], &claims, &survey, &policy("protected"), &Answers::default());
        decisions.map(|it| it.sets[0].claims[0].choice.word()).map_err(|stops| stops[0].why.clone())
    };
    assert_eq!(decide(&["p1 available"]), Ok("adopt"));
    assert_eq!(decide(&[]), Ok("keep"), "the kit makes it");
    assert_eq!(decide(&["p1 bound of:other/x"]), Err("pv/p1 is bound to other/x and is not taken away".into()));
}

#[test]
fn what_is_not_used_is_listed() {
    let row = |said| Row {
        what: "",
        set: "",
        there: &[GONE, "pv p2 released of:shop/data-0", "pv p3 available"],
        policy: "",
        said,
        comes: "",
    };
    let left = |said| run(&row(said)).unwrap().left.into_iter().map(|left| left.volume).collect::<Vec<_>>();
    assert_eq!(left("db=adopt:p2"), ["p1"]);
    assert_eq!(left("db=empty"), ["p1", "p2"]);
}

#[test]
fn a_stop_names_the_facts_and_the_ways() {
    let row = Row {
        what: "",
        set: "",
        there: &["pv p1 released of:shop/data-0", "pv p2 released small class:fast of:shop/data-0"],
        policy: "protected",
        said: "",
        comes: "",
    };
    let stops = run(&row).unwrap_err();
    assert_eq!(
        stops[0].facts,
        ["pv/p1: released, 10 GiB, held shop/data-0", "pv/p2: released, 1 GiB, class fast, held shop/data-0"]
    );
    assert_eq!(stops[0].ways, ["--data db=adopt:p1", "--data db=adopt:p2", "--data db=empty --confirm-data db"]);
}

#[test]
fn a_restore_says_what_a_person_does() {
    let row = Row { what: "", set: "restorable", there: &[], policy: "protected", said: "", comes: "" };
    let stops = run(&row).unwrap_err();
    assert_eq!(stops[0].facts, ["fetch it"]);
    assert_eq!(
        stops[0].ways,
        [
            "make the claim shop/data-0, restore into it, and run this again: a claim that is bound is kept",
            "--allow-empty db --confirm-data db"
        ]
    );
}

#[test]
fn everything_must_be_there_again_unless_something_may_be_lost() {
    use super::memory::Comeback::{No, Partial, Whole};
    // Remembered at second 800.
    let memory = super::memory::Memory {
        at: jiff::Timestamp::from_second(800).unwrap(),
        identity: None,
        answers: std::collections::BTreeMap::new(),
        claims: ["remembered".to_owned()].into(),
    };
    let comes = |there: &[&str], said: &str| {
        let (set, count) = data_set("backups");
        let mut survey = survey(there);
        survey.memories.insert("db".into(), memory.clone());
        decide_all(&[set], &expected(count), &survey, &policy(""), &answers(said)).unwrap().sets[0].comeback
    };
    let survivor = "pv p1 released of:shop/data-0";
    let bound = "pv p1 bound holds:shop/data-0";
    for (what, there, said, comeback) in [
        ("survived", &[survivor][..], "", Whole),
        ("a person has said which", &[survivor], "db=adopt:p1", Partial),
        ("archived until later", &["archive - b1@100 wal@900"], "", Whole),
        ("archived until before", &["archive - b1@100 wal@700"], "", Partial),
        ("not recovered to the end", &["archive - b1@100 wal@900"], "to:500", Partial),
        ("a person has said which backup", &["archive - b1@100 wal@900"], "db=restore:b1", Partial),
        ("adopted by a run that was cut off", &["pvc data-0 bound:p1 record:adopt ours", bound], "", Whole),
        ("restored by a run that was cut off", &["pvc data-0 bound:p1 record:restore ours", bound], "", Partial),
        ("the same, archived until later", &["pvc data-0 bound:p1 record:restore ours until:900", bound], "", Whole),
        ("the same, archived until before", &["pvc data-0 bound:p1 record:restore ours until:700", bound], "", Partial),
        ("brought by hand", &["pvc data-0 bound:p1", bound], "", Partial),
        ("empty", &["archive nothing"], "", No),
        ("there all the time", &["pvc data-0 bound:p1 record:adopt ours uid:remembered", bound], "", No),
        ("being deleted", &["pvc data-0 bound:p1 record:adopt deleting uid:remembered", bound], "", Whole),
    ] {
        assert_eq!(comes(there, said), comeback, "{what}");
    }
}

#[test]
fn an_archive_that_looks_empty_is_not_believed_where_a_healthy_run_found_data() {
    let memory = super::memory::Memory {
        at: jiff::Timestamp::from_second(800).unwrap(),
        identity: None,
        answers: [("newest order".to_owned(), "812".to_owned())].into(),
        claims: std::collections::BTreeSet::new(),
    };
    let comes = |remembered: bool, said: &str| {
        let (set, count) = data_set("backups");
        let mut survey = survey(&["archive nothing"]);
        if remembered {
            survey.memories.insert("db".into(), memory.clone());
        }
        decide_all(&[set], &expected(count), &survey, &policy(""), &answers(said))
    };
    assert_eq!(comes(false, "").unwrap().sets[0].source, Source::Empty);
    let stops = comes(true, "").unwrap_err();
    assert_eq!(stops[0].why, "its archive holds no backup of it, and a run on 1970-01-01 00:13 UTC found data in it");
    assert_eq!(stops[0].facts[0], "newest order: 812");
    assert_eq!(stops[0].ways[0], "look whether the settings of its backups still name the same place");
    assert_eq!(comes(true, "allow-empty:db").unwrap().sets[0].source, Source::Empty);
    assert_eq!(comes(true, "db=empty").unwrap().sets[0].source, Source::Empty);
}

#[test]
fn a_folder_that_names_the_claim_is_asked_about() {
    let (set, count) = data_set("");
    let mut survey = survey(&["pv p1 available"]);
    survey.volumes[0].place = "node a, /var/pvc-1_shop_data-0".into();
    let stops = decide_all(&[set], &expected(count), &survey, &policy(""), &answers("")).unwrap_err();
    assert_eq!(stops[0].why, "what survives held shop/data-0, as its folder says, and names no claim any more");
    assert_eq!(stops[0].ways[0], "--data db=adopt:p1");
}

#[test]
fn backups_are_looked_up_unless_a_person_wants_something_else() {
    let (set, count) = data_set("backups");
    let sets = [set];
    let looked_up = |said: &str| {
        let (survey, claims) = (Survey::default(), expected(count));
        !super::restore::to_look_up(&sets, &claims, &survey, &policy("protected"), &answers(said)).is_empty()
    };
    for (said, wanted) in [
        ("", true),
        ("allow-empty:db", true),
        ("db=keep", true),
        ("db=keep allow-empty:db", true),
        ("db=restore", true),
        ("db=empty", false),
        ("db=adopt:p1", false),
    ] {
        assert_eq!(looked_up(said), wanted, "{said}");
    }
}
