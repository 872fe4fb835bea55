//! The decision, as far as backups go: whether a data set of which nothing is there is restored and from which backup, and
//! whether what survives is older than its own archive. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::answers::Answer;
use super::backups::{Archive, Backup, History, facts, new_history};
use super::claims::Expected;
use super::decide::{Case, begins_anew};
use super::decision::{Choice, ClaimDecision, Policy, Stop};
use super::lineage::{FOLLOWING, Lineage, PROMOTED};
use super::quantity::{bytes, size};
use super::spec::DataSet;
use super::{Answers, Source, Survey};

/// How much later than the release of a volume its archive may have been written to: clocks differ, and the last segments are
/// archived while a server shuts down.
const SLACK: SignedDuration = SignedDuration::from_mins(5);

/// Bytes a second that a restore is given at least, when its time limits are counted: a slow network and a day of WAL to replay.
const SLOWEST: u64 = 10 << 20;

/// How much longer than usual a restore of this many bytes may take.
pub fn allowance(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}

/// The data sets whose backups have to be looked up before anything can be decided: those of which nothing is kept, that may be
/// restored here, and about which nothing else was said.
pub fn to_look_up<'s>(
    sets: &'s [DataSet],
    claims: &[Expected],
    survey: &Survey,
    policy: &Policy,
    answers: &Answers,
) -> Vec<&'s DataSet> {
    let open = |set: &&DataSet| {
        let own = claims.iter().filter(|claim| claim.is_of(&set.name));
        let kept = !begins_anew(own.clone().map(|it| survey.claim(&it.namespace, &it.name)));
        let is_restore = |answer: &Answer| matches!(answer, Answer::Restore { .. });
        // Nothing is there to be kept: that answer says nothing about backups.
        let mut said = answers.of(&set.name).filter(|answer| **answer != Answer::Keep).peekable();
        let wanted = match said.peek() {
            Some(_) => said.all(is_restore),
            None => set.sources.contains(&Source::Restore) && policy.permits(Source::Restore),
        };
        set.lookup().is_some() && wanted && !kept && own.count() > 0
    };
    sets.iter().filter(open).collect()
}

/// What a data set is restored from.
pub(super) struct Restored {
    /// Why and from what, in one line.
    pub reason: String,
    /// What is written on its claims.
    pub lineage: Lineage,
    /// Up to when it was archived.
    pub point: Option<Timestamp>,
    /// Bytes of the backup.
    pub size: Option<u64>,
}

impl Case<'_> {
    fn archive(&self) -> Option<&Archive> {
        self.survey.archives.get(&self.set.name)
    }

    /// A backup with its facts, in one line.
    fn told(&self, (history, backup): (&History, &Backup)) -> String {
        format!("backup {}: {}", backup.name, facts(history, backup, self.survey.now))
    }

    /// What has to be known of a backup that may not fit. Where the parts of a data set lie on several claims, nothing tells how
    /// much of it goes where.
    fn too_large(&self, backup: &Backup) -> String {
        let storage = self.claims.first().and_then(|claim| claim.body.pointer("/spec/resources/requests/storage"));
        let asked = storage.and_then(Value::as_str).and_then(bytes);
        match (backup.size, asked) {
            (Some(stored), Some(asked)) if stored > asked && (self.set.replicated || self.claims.len() == 1) => {
                format!("; larger than its claim asks for ({})", size(asked))
            }
            _ => String::new(),
        }
    }

    /// The restore that a person has asked for: of a certain backup or of the newest.
    fn restore_told(&self) -> Option<Option<&str>> {
        self.answers.of(&self.set.name).find_map(|answer| match answer {
            Answer::Restore { backup } => Some(backup.as_deref()),
            _ => None,
        })
    }

    /// Whether a data set of which nothing is there is restored, and from what.
    pub(super) fn restored(&self) -> Result<Option<Restored>, Stop> {
        let told = self.restore_told();
        let said_otherwise = self.answers.of(&self.set.name).any(|answer| *answer == Answer::Empty);
        let may_be = self.set.sources.contains(&Source::Restore) && self.policy.permits(Source::Restore);
        if told.is_none() && (said_otherwise || !may_be) {
            return Ok(None);
        }
        let Some(archive) = self.archive() else {
            return if told.is_some() { Err(self.by_hand("it can only be restored by hand")) } else { Ok(None) };
        };
        let (archive, followed) = match self.set.follow() {
            Some(_) => self.followed_or_own(archive, told.flatten())?,
            None => (archive, false),
        };
        let histories = self.histories(archive, "its backups could not be looked up")?;
        let Some((history, backup)) = self.chosen(archive, told.flatten())? else {
            if told.is_some() || followed {
                let whose = if followed { "in the archive that it follows" } else { "of it" };
                let why = format!("there is no complete backup {whose}");
                return Err(self.stop(why, self.listed(histories), vec![self.empty_way()]));
            }
            // What is archived belongs to a database that was there.
            return if archive.holds_something() {
                let why = "nothing of it is there, and its archive holds WAL but no complete backup";
                Err(self.stop(why, self.listed(histories), vec![self.told_empty_way()]))
            } else {
                Ok(None)
            };
        };
        if !self.may_restore(told.is_some(), followed, history, backup)? {
            return Ok(None);
        }
        let recover_to = self.answers.recover_to;
        if let (Some(time), Some(end)) = (recover_to, history.newest_wal)
            && time > end
        {
            let why = format!("its archive ends before {time:.0}, so nothing can be recovered to that time");
            return Err(self.stop(why, vec![self.told((history, backup))], Vec::new()));
        }
        if followed && !self.answers.promote && recover_to.is_some() {
            let why = "a stand-by follows its archive to the end, and cannot stop at a time";
            return Err(self.stop(why, Vec::new(), vec!["leave out --recover-to, or add --promote".to_owned()]));
        }
        let until = recover_to.map(|time| format!(", recovered to {time:.0}")).unwrap_or_default();
        let then = match followed {
            true if self.answers.promote => ", promoted at once",
            true => ", and follows its archive from there",
            false => "",
        };
        let as_postgresql_reads_it = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
        let standby = match followed {
            true if self.answers.promote => PROMOTED,
            true => FOLLOWING,
            false => "",
        };
        Ok(Some(Restored {
            reason: format!("{}{until}{then}{}", self.told((history, backup)), self.too_large(backup)),
            lineage: Lineage {
                backup: backup.name.clone(),
                backup_history: history.name.clone(),
                recover_to: recover_to.map(as_postgresql_reads_it).unwrap_or_default(),
                // A stand-by has an archive of its own, in which nothing may be yet.
                history: if followed { self.emptied().history } else { new_history(self.survey.now) },
                standby: standby.to_owned(),
                size: backup.size.map(|size| size.to_string()).unwrap_or_default(),
                archived_until: history.newest().map(|time| time.to_string()).unwrap_or_default(),
            },
            point: recover_to.or_else(|| history.newest()),
            size: backup.size,
        }))
    }

    fn histories<'a>(&self, archive: &'a Archive, wrong: &str) -> Result<&'a [History], Stop> {
        match archive {
            Archive::Known(histories) => Ok(histories),
            Archive::Unknown(why) => {
                let ways = vec![
                    "make the backups readable for the cluster, then run this again".to_owned(),
                    self.told_empty_way(),
                ];
                Err(self.stop(format!("nothing of it is there, and {wrong}"), vec![why.clone()], ways))
            }
        }
    }

    /// Which archive a stand-by is restored from, and whether that is the one that it follows. One that was promoted before has
    /// backups of its own, and a person says which of the two databases is meant.
    fn followed_or_own<'a>(&'a self, own: &'a Archive, name: Option<&str>) -> Result<(&'a Archive, bool), Stop> {
        let nothing = Archive::Unknown("it was not looked up".into());
        let followed = self.survey.followed.get(&self.set.name);
        let mine = self.histories(own, "its own backups could not be looked up")?;
        let theirs = self.histories(
            followed.unwrap_or(&nothing),
            "the backups of the archive that it follows could not be looked up",
        )?;
        let Some(followed) = followed else { return Ok((own, false)) };
        if !own.holds_something() {
            return Ok((followed, true));
        }
        let has = |archive: &Archive| archive.backup(name).is_some();
        match name {
            Some(_) if has(own) => Ok((own, false)),
            Some(_) if has(followed) => Ok((followed, true)),
            _ => {
                let why = "nothing of it is there, and it has an archive of its own: it was promoted before";
                let mut lines: Vec<String> = self.listed(mine).iter().map(|line| format!("its own: {line}")).collect();
                lines.extend(self.listed(theirs).iter().map(|line| format!("followed: {line}")));
                let newest = [own, followed].into_iter().filter_map(|archive| archive.backup(None));
                let ways = newest.map(|(_, backup)| format!("--data {}=restore:{}", self.set.name, backup.name));
                Err(self.stop(why, lines, ways.collect()))
            }
        }
    }

    /// The backup to restore: that of a name, the newest, or the newest before the time that was asked for.
    fn chosen<'a>(&self, archive: &'a Archive, name: Option<&str>) -> Result<Option<(&'a History, &'a Backup)>, Stop> {
        let Archive::Known(histories) = archive else { return Ok(None) };
        let found = match (name, self.answers.recover_to) {
            (None, Some(time)) => archive.backup_before(time),
            (name, _) => archive.backup(name),
        };
        match (name, self.answers.recover_to, found) {
            (Some(name), _, None) => {
                Err(self.stop(format!("there is no complete backup {name} of it"), self.listed(histories), Vec::new()))
            }
            (None, Some(time), None) if archive.backup(None).is_some() => {
                let why = format!("no backup of it was finished before {time:.0}");
                Err(self.stop(why, self.listed(histories), Vec::new()))
            }
            (Some(name), Some(time), Some((_, backup))) if backup.finished > time => {
                let why =
                    format!("backup {name} was finished after {time:.0}, so nothing can be recovered to that time");
                Err(self.stop(why, self.listed(histories), Vec::new()))
            }
            (_, _, found) => Ok(found),
        }
    }

    /// Whether a backup is restored, or the data set rather begins empty.
    fn may_restore(&self, told: bool, followed: bool, history: &History, backup: &Backup) -> Result<bool, Stop> {
        if told {
            return Ok(true);
        }
        let position = |source| self.set.sources.iter().position(|it| *it == source);
        let empty_first =
            position(Source::Empty).is_some_and(|empty| position(Source::Restore).is_some_and(|it| empty < it));
        if empty_first && !followed && !self.policy.protected && self.policy.permits(Source::Empty) {
            return Ok(false);
        }
        if !backup.gaps.is_empty() {
            let why = "the WAL after its newest backup is not whole: recovery would end before the gap";
            let ways = vec![format!("--data {}=restore:{}", self.set.name, backup.name), self.told_empty_way()];
            return Err(self.stop(why, vec![self.told((history, backup))], ways));
        }
        Ok(true)
    }

    /// All backups, a line each, and histories without one.
    fn listed(&self, histories: &[History]) -> Vec<String> {
        let mut lines = Vec::new();
        for history in histories {
            lines.extend(history.backups.iter().map(|backup| self.told((history, backup))));
            if let (true, Some(newest)) = (history.backups.is_empty(), history.newest_wal) {
                let place = if history.name.is_empty() { "its archive" } else { &history.name };
                lines.push(format!("{place}: WAL until {newest:.0}, no complete backup"));
            }
        }
        if lines.is_empty() {
            lines.push("its archive is empty".to_owned());
        }
        lines
    }

    /// What survives must not be older than its own archive, and not another database: whatever was written since is lost when
    /// it is adopted. What a person has decided is not asked again.
    pub(super) fn compare_with_archive(&self, claims: &[ClaimDecision]) -> Result<(), Stop> {
        let (Some(archive), None) = (self.archive(), self.answers.of(&self.set.name).next()) else { return Ok(()) };
        // WAL without a complete backup cannot be restored, but tells just as well that somebody went on writing.
        let newest = archive.backup(None);
        let system = newest.and_then(|(_, backup)| backup.system_identifier.as_ref());
        let adopted = claims.iter().filter_map(|claim| match &claim.choice {
            Choice::Adopt { volume } => self.survey.volume(volume),
            _ => None,
        });
        for volume in adopted {
            let identity = volume.marks.as_ref().and_then(|marks| marks.identity.as_ref());
            let released = volume.since.filter(|_| volume.phase == "Released");
            let why = match (identity, system, released, archive.newest()) {
                (Some(here), Some(there), ..) if is_system_identifier(here) && here != there => {
                    format!("pv/{} and its newest backup hold different databases ({here} and {there})", volume.name)
                }
                (_, _, Some(released), Some(written)) if written > after(released) => {
                    format!("pv/{} survives, and its archive was written to after the volume was released", volume.name)
                }
                _ => continue,
            };
            let mut lines = vec![format!("pv/{}: {}", volume.name, volume.facts(self.survey.now))];
            lines.extend(newest.map(|newest| self.told(newest)));
            let mut ways = vec![format!("--data {}=adopt:{}", self.set.name, volume.name)];
            ways.extend(newest.map(|_| format!("--data {}=restore", self.set.name)));
            return Err(self.stop(why, lines, ways));
        }
        Ok(())
    }

    /// What survives and cannot be used without asking has a backup beside it.
    pub(super) fn restore_way(&self) -> Option<(String, String)> {
        let newest = self.archive()?.backup(None)?;
        Some((self.told(newest), format!("--data {}=restore", self.set.name)))
    }

    /// The lineage of one that begins empty: where there is an archive, or may be one, it stays as it is.
    pub(super) fn emptied(&self) -> Lineage {
        let untouched = matches!(self.archive(), Some(archive @ Archive::Known(_)) if !archive.holds_something());
        let history =
            if self.set.lookup().is_some() && !untouched { new_history(self.survey.now) } else { String::new() };
        Lineage { history, ..Lineage::default() }
    }
}

/// Whether an identity is a system identifier: PostgreSQL makes it from the time of `initdb`, so it is no small number. Any other
/// identity says nothing about a backup.
fn is_system_identifier(identity: &str) -> bool {
    identity.len() >= 18 && identity.parse::<u64>().is_ok()
}

fn after(released: Timestamp) -> Timestamp {
    released.checked_add(SLACK).unwrap_or(released)
}
