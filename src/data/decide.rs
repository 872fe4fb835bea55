//! What is done about each data set: a pure function of what is there, what the environment allows and what a person said.
//!
//! Nothing begins empty unless the environment, the data set or a person lets it; whatever is not certain stops with the facts.

use std::collections::BTreeMap;

use super::Source;
use super::answers::{Answer, Answers};
use super::claims::Expected;
use super::decision::{Choice, ClaimDecision, Decision, Decisions, Left, Policy, SeenClaim, Stop};
use super::evidence::{
    Candidate, Claim, Evidence, Marks, Record, Volume, candidates, contradiction, obstacle, remarks,
};
use super::lineage::{Lineage, PROMOTED};
use super::memory::{Comeback, minute};
use super::spec::DataSet;
use super::survey::Survey;

/// Decides about every data set that has claims.
///
/// # Errors
/// Every data set about which nothing can be decided; then nothing is done about any.
pub fn decide_all(
    sets: &[DataSet],
    claims: &[Expected],
    survey: &Survey,
    policy: &Policy,
    answers: &Answers,
) -> Result<Decisions, Vec<Stop>> {
    let mut decisions = Decisions::default();
    let mut stops = Vec::new();
    for set in sets {
        let own: Vec<&Expected> = claims.iter().filter(|claim| claim.is_of(&set.name)).collect();
        if own.is_empty() {
            continue;
        }
        match (Case { set, claims: &own, survey, policy, answers }).decide() {
            Ok(decision) => decisions.sets.push(decision),
            Err(stop) => stops.push(stop),
        }
    }
    stops.extend(shared(&decisions));
    stops.extend(same_disk(&decisions, survey));
    stops.extend(snatched(&decisions, claims, survey));
    if !stops.is_empty() {
        return Err(stops);
    }
    decisions.left = left(&decisions, claims, survey, policy);
    decisions.memories.clone_from(&survey.memories);
    let seen = survey.claims.iter().map(|live| (format!("{}/{}", live.namespace, live.name), SeenClaim::of(live)));
    decisions.seen = seen.collect();
    Ok(decisions)
}

/// Volumes that two claims would get.
fn shared(decisions: &Decisions) -> Vec<Stop> {
    let mut first: BTreeMap<&str, &ClaimDecision> = BTreeMap::new();
    let mut stops = Vec::new();
    for set in &decisions.sets {
        for claim in &set.claims {
            let Choice::Adopt { volume } = &claim.choice else { continue };
            if let Some(other) = first.insert(volume, claim) {
                stops.push(Stop {
                    data_set: set.data_set.clone(),
                    why: format!("two claims would get pv/{volume}"),
                    facts: [other, claim].map(|it| format!("{}/{}: {}", it.namespace, it.name, it.reason)).to_vec(),
                    ways: vec![format!("--data {}=adopt:CLAIM=VOLUME", set.data_set)],
                });
            }
        }
    }
    stops
}

/// Volumes to be adopted whose disk is in use, or about to go, under the name of another one.
fn same_disk(decisions: &Decisions, survey: &Survey) -> Vec<Stop> {
    let adopted: Vec<&str> = decisions.adopted().map(|(_, volume)| volume).collect();
    let threatens = |other: &Volume| {
        let ends = other.deleting || matches!(other.phase.as_str(), "Released" | "Failed");
        other.phase == "Bound" || (ends && other.policy == "Delete") || adopted.contains(&other.name.as_str())
    };
    let mut stops = Vec::new();
    for set in &decisions.sets {
        for claim in &set.claims {
            let Choice::Adopt { volume } = &claim.choice else { continue };
            let Some(volume) = survey.volume(volume).filter(|volume| volume.disk.is_some()) else { continue };
            let is_twin = |other: &&Volume| other.name != volume.name && other.disk == volume.disk && threatens(other);
            let Some(twin) = survey.volumes.iter().find(is_twin) else { continue };
            let way = match &twin.claim {
                Some(user) if twin.phase == "Bound" => {
                    format!(
                        "kubectl -n {} describe pvc {}   shows what uses it: only one can have it",
                        user.namespace, user.name
                    )
                }
                _ => format!(
                    "kubectl patch pv {0} --type merge -p '{{\"spec\":{{\"persistentVolumeReclaimPolicy\":\"Retain\"}}}}' && kubectl \
                     delete pv {0}   takes away the second name and leaves the disk, then decide anew",
                    twin.name
                ),
            };
            stops.push(Stop {
                data_set: set.data_set.clone(),
                why: format!("pv/{} and pv/{} are the same disk under two names", volume.name, twin.name),
                facts: [volume, twin].map(|it| format!("pv/{}: {}", it.name, it.facts(survey.now))).to_vec(),
                ways: vec![way],
            });
            break;
        }
    }
    stops
}

/// Volumes that held something else, and that Kubernetes would bind to a claim that begins without one.
fn snatched(decisions: &Decisions, claims: &[Expected], survey: &Survey) -> Vec<Stop> {
    let adopted: Vec<&str> = decisions.adopted().map(|(_, volume)| volume).collect();
    let mut stops = Vec::new();
    for set in &decisions.sets {
        let begins = |it: &&ClaimDecision| matches!(it.choice, Choice::Empty | Choice::Copy | Choice::Restore { .. });
        for begun in set.claims.iter().filter(begins) {
            let Some(claim) = claims.iter().find(|it| it.namespace == begun.namespace && it.name == begun.name) else {
                continue;
            };
            if survey.claim(&claim.namespace, &claim.name).is_some_and(|live| live.volume.is_some() && !live.deleting) {
                continue;
            }
            let marked = |volume: &&Volume| {
                volume.marks.is_some() && !adopted.contains(&volume.name.as_str()) && volume.is_free_for(claim)
            };
            let Some(volume) = survey.volumes.iter().find(marked) else { continue };
            let marks = volume.marks.clone().unwrap_or_default();
            let (namespace, name) = marks.claim.split_once('/').unwrap_or_default();
            let reserve = format!(
                "kubectl patch pv {} --type merge -p '{{\"spec\":{{\"claimRef\":{{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\
                 \"namespace\":\"{namespace}\",\"name\":\"{name}\"}}}}}}'   reserves it for what it held, then decide anew",
                volume.name
            );
            stops.push(Stop {
                data_set: set.data_set.clone(),
                why: format!(
                    "Kubernetes could bind {} to pv/{}, which is free and holds {} of {}",
                    claim.place(),
                    volume.name,
                    marks.claim,
                    marks.environment
                ),
                facts: vec![format!("pv/{}: {}", volume.name, volume.facts(survey.now))],
                ways: vec![reserve],
            });
            break;
        }
    }
    stops
}

/// What survived of the environment and is not used.
fn left(decisions: &Decisions, claims: &[Expected], survey: &Survey, policy: &Policy) -> Vec<Left> {
    let adopted: Vec<&str> = decisions.adopted().map(|(_, volume)| volume).collect();
    // Of a class that the claim does not want, and of another namespace: shown, since nothing else would.
    let held_its_like = |volume: &Volume, claim: &Expected| {
        volume.marks.is_none() && volume.claim.as_ref().is_some_and(|held| held.name == claim.name)
    };
    let of_environment = |volume: &Volume| {
        volume.marks.as_ref().is_some_and(|marks| marks.environment == policy.environment)
            || claims.iter().any(|claim| super::evidence::evidence(volume, &policy.environment, claim).is_some())
            || claims.iter().any(|claim| held_its_like(volume, claim))
    };
    let unused = survey
        .volumes
        .iter()
        .filter(|volume| volume.phase != "Bound" && !adopted.contains(&volume.name.as_str()) && of_environment(volume));
    unused.map(|volume| Left { volume: volume.name.clone(), facts: volume.facts(survey.now) }).collect()
}

/// Whether a data set is decided about as if nothing of it were there, though some of its claims are: none has a volume, and one
/// is missing, or all are to be filled by each other. That is left by a run that was killed while it made them, and by an
/// accident that took those with volumes. `claims`: as they live, all of the data set.
pub(super) fn begins_anew<'c>(claims: impl Iterator<Item = Option<&'c Claim>>) -> bool {
    let records: Vec<Option<Record>> = claims
        .map(|live| match live {
            Some(live) if live.volume.is_some() => Err(()),
            Some(live) if !live.deleting => Ok(live.record),
            _ => Ok(None),
        })
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    records.contains(&None) || !records.is_empty() && records.iter().all(|record| *record == Some(Record::Copy))
}

/// One data set with all that its decision depends on.
pub(super) struct Case<'a> {
    pub(super) set: &'a DataSet,
    pub(super) claims: &'a [&'a Expected],
    pub(super) survey: &'a Survey,
    pub(super) policy: &'a Policy,
    pub(super) answers: &'a Answers,
}

/// What is found out about one claim by itself.
enum Found<'a> {
    /// It is decided.
    Decided(Choice, String),
    /// It is there, made with this record.
    Kept(Option<Record>, String),
    /// The same, without a volume: nothing is in it yet.
    Waits(Option<Record>, String),
    /// Nothing of it is there; with the survivors that are not certain enough, when the data set can do without.
    Gone(Vec<Candidate<'a>>),
}

impl<'a> Case<'a> {
    fn decide(&self) -> Result<Decision, Stop> {
        self.check_answers()?;
        if self.restore_is_too_late() {
            let why = "it cannot be restored: what is there is never overwritten";
            let facts = self.claims.iter().filter_map(|claim| {
                let volume = self.survey.claim(&claim.namespace, &claim.name)?.volume.as_ref()?;
                Some(format!("{} is bound to pv/{volume}", claim.place()))
            });
            return Err(self.stop(why, facts.collect(), self.claims.iter().flat_map(|it| self.unbind(it)).collect()));
        }
        let found = self.claims.iter().map(|claim| self.claim(claim)).collect::<Result<Vec<_>, _>>()?;
        let found = if self.begins_anew() { self.anew(found)? } else { found };
        self.is_of_one_piece(&found)?;
        let survived = found.iter().any(|it| {
            matches!(it, Found::Decided(Choice::Adopt { .. }, _) | Found::Kept(Some(Record::From(Source::Adopt)), _))
        });
        let adopted = found.iter().any(|it| matches!(it, Found::Decided(Choice::Adopt { .. }, _)));
        let kept = found.iter().any(|it| matches!(it, Found::Kept(..) | Found::Waits(..)));
        let mut source = self.source(&found);
        let mut lineage = self.lineage(&found);
        let gone = found.iter().all(|it| matches!(it, Found::Gone(_)));
        let restored = if gone { self.restored()? } else { None };
        if gone && restored.is_none() {
            self.was_never_there()?;
        }
        let mut claims: Vec<ClaimDecision> = Vec::new();
        for (claim, found) in self.claims.iter().zip(found) {
            let (choice, reason) = match found {
                Found::Decided(choice, reason) => (choice, reason),
                Found::Kept(_, reason) | Found::Waits(_, reason) => (Choice::Keep, reason),
                // Of what is restored, the first claim is what the others copy from.
                Found::Gone(_)
                    if self.set.replicated && (kept || adopted || restored.is_some() && !claims.is_empty()) =>
                {
                    (Choice::Copy, "filled by the claims beside it".to_owned())
                }
                Found::Gone(candidates) => match &restored {
                    Some(from) => (Choice::Restore { backup: from.lineage.backup.clone() }, from.reason.clone()),
                    None => self.gone(claim, &candidates, adopted)?,
                },
            };
            claims.push(ClaimDecision { namespace: claim.namespace.clone(), name: claim.name.clone(), choice, reason });
        }
        self.compare_with_archive(&claims)?;
        let empty = claims.iter().any(|claim| claim.choice == Choice::Empty);
        let (mut recovery_point, mut restored_bytes) = (None, None);
        if let Some(restored) = restored {
            (source, lineage) = (Source::Restore, restored.lineage);
            (recovery_point, restored_bytes) = (restored.point, restored.size);
        } else if claims.iter().all(|claim| claim.choice == Choice::Empty) {
            lineage = self.emptied();
        }
        let comeback = self.comeback(source, survived, &lineage, recovery_point);
        let confirm = empty && self.policy.protected && self.set.derived.is_none();
        let unknown = adopted && self.set.follow().is_some() && lineage.standby.is_empty();
        if unknown && !self.answers.promote {
            return Err(self.whose_turn(&claims));
        }
        let promoted = self.answers.promote && (lineage.follows() || unknown);
        if promoted {
            PROMOTED.clone_into(&mut lineage.standby);
        }
        Ok(Decision {
            data_set: self.set.name.clone(),
            source,
            claims,
            lineage,
            recovery_point,
            restored_bytes,
            confirm,
            promoted,
            comeback,
        })
    }

    /// Whether claims that wait without a volume may count for nothing, unless a person has said that they are kept.
    fn begins_anew(&self) -> bool {
        let told = self.answers.of(&self.set.name).any(|answer| *answer == Answer::Keep);
        !told && begins_anew(self.claims.iter().map(|claim| self.survey.claim(&claim.namespace, &claim.name)))
    }

    /// A stand-by's volume without a mark: adopted as it is, it would take writes although nobody has promoted it.
    fn whose_turn(&self, claims: &[ClaimDecision]) -> Stop {
        let volumes = claims.iter().filter_map(|claim| match &claim.choice {
            Choice::Adopt { volume } => self.survey.volume(volume),
            _ => None,
        });
        let facts = volumes.map(|volume| format!("pv/{}: {}", volume.name, volume.facts(self.survey.now))).collect();
        let ways = vec!["--promote".to_owned(), format!("--data {}=restore", self.set.name)];
        self.stop("it survives, and nothing says whether it follows another archive or was promoted", facts, ways)
    }

    /// Whether its contents have come back since they were remembered. `survived`: on a volume; else `recovery_point` is up to when
    /// they were archived, where they are restored now.
    fn comeback(
        &self,
        source: Source,
        survived: bool,
        lineage: &Lineage,
        recovery_point: Option<jiff::Timestamp>,
    ) -> Comeback {
        let Some(memory) = self.survey.memories.get(&self.set.name) else { return Comeback::No };
        let mut live = self.claims.iter().filter_map(|claim| self.survey.claim(&claim.namespace, &claim.name));
        if source == Source::Empty || live.any(|live| !live.deleting && memory.claims.contains(&live.uid)) {
            return Comeback::No;
        }
        let told = self.answers.of(&self.set.name).next().is_some();
        // A run that was cut off has written it down.
        let point = recovery_point.or_else(|| lineage.archived_until.parse().ok());
        let whole = match source {
            Source::Restore => lineage.recover_to.is_empty() && point >= Some(memory.at),
            _ => survived,
        };
        if whole && !told { Comeback::Whole } else { Comeback::Partial }
    }

    /// Where what is there comes from: it goes on with what its claims or its volume say.
    fn lineage(&self, found: &[Found<'_>]) -> Lineage {
        let of_volume = |name: &str| {
            let marks = self.survey.volume(name).and_then(|volume| volume.marks.as_ref());
            marks.map(|marks| marks.lineage.clone()).unwrap_or_default()
        };
        let adopted = found.iter().find_map(|it| match it {
            Found::Decided(Choice::Adopt { volume }, _) => Some(of_volume(volume)),
            _ => None,
        });
        let mut kept = self.claims.iter().filter_map(|claim| self.survey.claim(&claim.namespace, &claim.name));
        let kept = kept.find(|live| live.lineage != Lineage::default()).map(|live| live.lineage.clone());
        kept.or(adopted).unwrap_or_default()
    }

    pub(super) fn stop(&self, why: impl Into<String>, facts: Vec<String>, ways: Vec<String>) -> Stop {
        Stop { data_set: self.set.name.clone(), why: why.into(), facts, ways }
    }

    /// A part that is restored and a part that survives from before are no whole: a run that was told to restore was killed between
    /// them. What belongs to the same restore says so by its claim or by its history.
    fn is_of_one_piece(&self, found: &[Found<'_>]) -> Result<(), Stop> {
        let live = |claim: &Expected| self.survey.claim(&claim.namespace, &claim.name);
        let restored = Some(Record::From(Source::Restore));
        let told = self.answers.of(&self.set.name).any(|answer| matches!(answer, Answer::Adopt { .. }));
        let each = || self.claims.iter().zip(found);
        let begun = each().filter_map(|(claim, it)| match it {
            Found::Kept(record, _) | Found::Waits(record, _) if *record == restored => live(claim),
            _ => None,
        });
        let Some(begun) = begun.min_by_key(|live| live.created).filter(|_| !told) else { return Ok(()) };
        let older = each().find_map(|(claim, it)| {
            let Found::Decided(Choice::Adopt { volume }, _) = it else { return None };
            let volume = self.survey.volume(volume)?;
            let history = volume.marks.as_ref().map(|marks| marks.lineage.history.as_str());
            // What was provisioned after the restore had begun is of it, though it may not be marked yet.
            let same = live(claim).is_some_and(|live| live.record == restored)
                || history == Some(begun.lineage.history.as_str())
                || volume.provisioned && begun.created.is_some() && volume.created >= begun.created;
            (!same).then_some((claim, volume))
        });
        let Some((claim, volume)) = older else { return Ok(()) };
        let facts = vec![
            format!("{}/{} is restored, or is to be", begun.namespace, begun.name),
            format!("pv/{}: {}", volume.name, volume.facts(self.survey.now)),
        ];
        let mut ways = vec![self.adopt_way(claim, &volume.name)];
        if self.set.replicated {
            ways.push(format!("--data {}=restore", self.set.name));
        } else {
            ways.extend(self.by_hand("").ways);
        }
        let why = format!("a part of it is restored, and what {} held survives from before", claim.place());
        Err(self.stop(why, facts, ways))
    }

    /// What templates see: adopted now counts most, then what the first claim was made with.
    fn source(&self, found: &[Found<'_>]) -> Source {
        let adopted = found.iter().any(|it| matches!(it, Found::Decided(Choice::Adopt { .. }, _)));
        let kept = found.iter().find_map(|it| match it {
            Found::Kept(Some(Record::Copy), _) | Found::Waits(Some(Record::Copy), _) => None,
            // Made by somebody else, and bound: its contents are there.
            Found::Kept(record, _) | Found::Waits(record, _) => Some(match record {
                Some(Record::From(source)) => *source,
                _ => Source::Adopt,
            }),
            _ => None,
        });
        let copies = found.iter().any(|it| matches!(it, Found::Kept(..) | Found::Waits(..)));
        match kept {
            _ if adopted => Source::Adopt,
            Some(source) => source,
            None if copies => Source::Adopt,
            None => Source::Empty,
        }
    }

    /// Answers that contradict each other or what is there.
    fn check_answers(&self) -> Result<(), Stop> {
        let name = &self.set.name;
        let given: Vec<&Answer> = self.answers.of(name).collect();
        let kinds: Vec<_> = given.iter().map(|answer| std::mem::discriminant(*answer)).collect();
        if kinds.iter().any(|kind| *kind != kinds[0]) {
            return Err(self.stop("two answers that contradict each other", Vec::new(), Vec::new()));
        }
        for answer in given {
            if let Answer::Adopt { claim: Some(claim), .. } = answer
                && self.claims.iter().all(|known| known.name != *claim)
            {
                let known: Vec<String> = self.claims.iter().map(|claim| claim.name.clone()).collect();
                let facts = vec![format!("its claims: {}", known.join(", "))];
                return Err(self.stop(format!("it has no claim {claim}"), facts, Vec::new()));
            }
            if let Answer::Adopt { volume, .. } = answer
                && self.survey.volume(volume).is_none()
            {
                return Err(self.stop(format!("there is no pv/{volume}"), Vec::new(), Vec::new()));
            }
        }
        Ok(())
    }

    /// Whether a restore is asked for of something that is there and was not restored.
    fn restore_is_too_late(&self) -> bool {
        let told = self.answers.of(&self.set.name).any(|answer| matches!(answer, Answer::Restore { .. }));
        told && self.claims.iter().filter_map(|it| self.survey.claim(&it.namespace, &it.name)).any(|live| {
            let restored = matches!(live.record, Some(Record::From(Source::Restore) | Record::Copy));
            live.volume.is_some() && !live.deleting && !restored
        })
    }

    pub(super) fn by_hand(&self, why: &str) -> Stop {
        let by_hand = self.set.restore.iter().filter_map(|restore| restore.by_hand.as_ref());
        let by_hand = by_hand.flat_map(|text| text.lines()).map(str::to_owned);
        let claims: Vec<String> = self.claims.iter().map(|claim| claim.place()).collect();
        let mut ways = vec![format!(
            "make {} {}, restore into it, and run this again: a claim that is bound is kept",
            what(claims.len()),
            claims.join(", ")
        )];
        ways.extend(self.set.sources.contains(&Source::Empty).then(|| self.empty_way()));
        self.stop(why, by_hand.collect(), ways)
    }

    /// How a person lets it begin empty.
    pub(super) fn empty_way(&self) -> String {
        let name = &self.set.name;
        if self.policy.protected {
            format!("--allow-empty {name} --confirm-data {name}")
        } else {
            format!("--allow-empty {name}")
        }
    }

    /// How a person says that it begins empty although something survives.
    pub(super) fn told_empty_way(&self) -> String {
        let name = &self.set.name;
        let confirm = if self.policy.protected && self.set.derived.is_none() {
            format!(" --confirm-data {name}")
        } else {
            String::new()
        };
        format!("--data {name}=empty{confirm}")
    }

    /// What was found out where claims that wait may count for nothing: each whose volume survives gets that one. Where nothing
    /// else holds anything, the others are as if they were not there.
    fn anew(&self, found: Vec<Found<'a>>) -> Result<Vec<Found<'a>>, Stop> {
        let look = |(claim, found): (&&Expected, Found<'a>)| match found {
            Found::Waits(record, reason) => Ok(match self.missing(claim)? {
                Found::Gone(_) => Found::Waits(record, reason),
                survives => survives,
            }),
            found => Ok(found),
        };
        let found: Vec<Found<'a>> = self.claims.iter().zip(found).map(look).collect::<Result<_, Stop>>()?;
        let holds = found.iter().any(|it| matches!(it, Found::Decided(..) | Found::Kept(..)));
        let forget = |it| if matches!(it, Found::Waits(..)) && !holds { Found::Gone(Vec::new()) } else { it };
        Ok(found.into_iter().map(forget).collect())
    }

    /// Looks at one claim by itself.
    fn claim(&self, claim: &Expected) -> Result<Found<'a>, Stop> {
        let place = claim.place();
        let live = self.survey.claim(&claim.namespace, &claim.name);
        let Some(live) = live else { return self.missing(claim) };
        let volume = live.volume.as_ref().map(|name| (name, self.survey.volume(name)));
        match volume {
            None => match live.record.filter(|_| !live.deleting) {
                // Adopted, and no volume is named: what was to be done is not done.
                None | Some(Record::From(Source::Adopt)) => self.missing(claim),
                record => Ok(Found::Waits(record, "its claim waits for its pod".into())),
            },
            Some((name, None)) => {
                let facts = vec![format!("{place} names pv/{name}, which is not there")];
                let ways = vec![format!(
                    "kubectl delete pvc {} --namespace {}, then decide anew",
                    claim.name, claim.namespace
                )];
                Err(self.stop("a claim has lost its volume", facts, ways))
            }
            Some((name, Some(volume))) if live.deleting || live.phase != "Bound" => {
                self.refuse_foreign(volume)?;
                if volume.claim.as_ref().is_some_and(|of| of.namespace != claim.namespace || of.name != claim.name) {
                    let facts = vec![format!("{place} names pv/{name}: {}", volume.facts(self.survey.now))];
                    return Err(self.stop("a claim names a volume that is another's", facts, Vec::new()));
                }
                let why = if live.deleting { "its claim is being deleted" } else { "not bound yet" };
                self.adopt(claim, volume, why)
            }
            Some((_, Some(volume))) => self.bound(claim, live, volume),
        }
    }

    /// A claim that is bound. A volume that held it before, beside one that nobody vouches for, is how an empty database hides a
    /// lost one.
    fn bound(&self, claim: &Expected, live: &Claim, volume: &Volume) -> Result<Found<'a>, Stop> {
        let kept = || Ok(Found::Kept(live.record, format!("bound to pv/{}", volume.name)));
        for answer in self.answers.of(&self.set.name) {
            match answer {
                Answer::Adopt { claim: of, volume: wanted }
                    if *wanted != volume.name && of.as_ref().is_none_or(|of| *of == claim.name) =>
                {
                    if of.is_none() && self.claims.len() > 1 {
                        continue;
                    }
                    let facts = vec![format!(
                        "{} is bound to pv/{}: {}",
                        claim.place(),
                        volume.name,
                        volume.facts(self.survey.now)
                    )];
                    return Err(self.stop(
                        format!("pv/{wanted} cannot be adopted: the claim has a volume"),
                        facts,
                        self.unbind(claim),
                    ));
                }
                Answer::Empty if !matches!(live.record, Some(Record::From(Source::Empty) | Record::Copy)) => {
                    let facts = vec![format!(
                        "{} is bound to pv/{}: {}",
                        claim.place(),
                        volume.name,
                        volume.facts(self.survey.now)
                    )];
                    return Err(self.stop(
                        "it cannot begin empty: what is there is never emptied",
                        facts,
                        self.unbind(claim),
                    ));
                }
                Answer::Keep => return kept(),
                _ => {}
            }
        }
        let vouched = live.record.is_some()
            || volume.marks.as_ref().is_some_and(|marks: &Marks| marks.environment == self.policy.environment);
        if vouched || self.set.derived.is_some() {
            return kept();
        }
        let survivors = self.candidates(claim, Some(&volume.name));
        let survivors: Vec<_> = survivors.iter().filter(|candidate| candidate.evidence.is_strong()).collect();
        if survivors.is_empty() {
            return kept();
        }
        let mut facts =
            vec![format!("{} is bound to pv/{}: {}", claim.place(), volume.name, volume.facts(self.survey.now))];
        facts.extend(
            survivors
                .iter()
                .map(|it| format!("before it had pv/{}: {}", it.volume.name, it.volume.facts(self.survey.now))),
        );
        let mut ways = vec![format!("--data {}=keep", self.set.name)];
        ways.extend(self.unbind(claim));
        Err(self.stop("its claim is bound to a volume that nobody vouches for, and an older one survives", facts, ways))
    }

    fn unbind(&self, claim: &Expected) -> Vec<String> {
        vec![format!(
            "to give the claim another volume, delete it yourself once nothing uses it: kubectl delete pvc {} --namespace {}",
            claim.name, claim.namespace
        )]
    }

    fn candidates(&self, claim: &Expected, own: Option<&str>) -> Vec<Candidate<'a>> {
        candidates(&self.survey.volumes, &self.policy.environment, claim, own)
    }

    /// A claim that is not there, or that waits without a volume.
    fn missing(&self, claim: &Expected) -> Result<Found<'a>, Stop> {
        let candidates = self.candidates(claim, None);
        let open = self
            .claims
            .iter()
            .filter(|it| self.survey.claim(&it.namespace, &it.name).is_none_or(|it| it.volume.is_none()));
        let single = open.count() == 1;
        for answer in self.answers.of(&self.set.name) {
            match answer {
                Answer::Empty | Answer::Restore { .. } => return Ok(Found::Gone(Vec::new())),
                Answer::Adopt { claim: of, volume } => {
                    let Some(volume) = self.survey.volume(volume) else { continue };
                    let fits = match of {
                        Some(of) => *of == claim.name,
                        None => single || candidates.iter().any(|it| it.volume.name == volume.name),
                    };
                    if fits {
                        return self.adopt_as_told(claim, volume, "as you said");
                    }
                }
                Answer::Keep => {}
            }
        }
        if let Some(name) = claim.body.pointer("/spec/volumeName").and_then(serde_json::Value::as_str) {
            return match self.survey.volume(name) {
                Some(volume) => self.adopt_as_told(claim, volume, "named by the kit"),
                None => Ok(Found::Kept(Some(Record::From(Source::Adopt)), format!("the kit binds it to pv/{name}"))),
            };
        }
        let strong: Vec<&Candidate<'_>> = candidates.iter().filter(|it| it.evidence.is_strong()).collect();
        if let [only] = strong[..]
            && only.obstacle.is_none()
        {
            return self.adopt_if_allowed(claim, only.volume);
        }
        if candidates.is_empty() || self.set.derived.is_some() {
            return Ok(Found::Gone(candidates));
        }
        Err(self.uncertain(claim, &candidates))
    }

    /// Survivors of which none can be taken without asking.
    fn uncertain(&self, claim: &Expected, candidates: &[Candidate<'_>]) -> Stop {
        let strong: Vec<_> = candidates.iter().filter(|it| it.evidence.is_strong()).collect();
        let why = match strong[..] {
            [] if candidates.iter().any(|it| it.evidence == Evidence::ByPlace) => {
                format!("what survives held {}, as its folder says, and names no claim any more", claim.place())
            }
            [] => format!("what survives held a claim {} of another namespace", claim.name),
            [only] => {
                let obstacle = only.obstacle.clone().unwrap_or_default();
                format!("pv/{} survives and cannot be used: {obstacle}", only.volume.name)
            }
            _ => format!("{} volumes survive that held {}", strong.len(), claim.place()),
        };
        let facts = candidates.iter().map(|it| {
            let against = it.obstacle.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
            format!("pv/{}: {}{against}", it.volume.name, it.volume.facts(self.survey.now))
        });
        let mut facts: Vec<String> = facts.collect();
        let usable = candidates.iter().filter(|it| !it.volume.deleting && it.volume.mode == claim.mode());
        let mut ways: Vec<String> = usable.map(|it| self.adopt_way(claim, &it.volume.name)).collect();
        if let Some((fact, way)) = self.restore_way() {
            facts.push(fact);
            ways.push(way);
        }
        ways.push(self.told_empty_way());
        self.stop(why, facts, ways)
    }

    fn adopt_way(&self, claim: &Expected, volume: &str) -> String {
        if self.claims.len() > 1 {
            format!("--data {}=adopt:{}={volume}", self.set.name, claim.name)
        } else {
            format!("--data {}=adopt:{volume}", self.set.name)
        }
    }

    fn refuse_foreign(&self, volume: &Volume) -> Result<(), Stop> {
        match contradiction(volume, &self.policy.environment) {
            Some(foreign) => {
                let facts = vec![format!("pv/{}: {}", volume.name, volume.facts(self.survey.now))];
                Err(self.stop(format!("{foreign} and is not touched"), facts, Vec::new()))
            }
            None => Ok(()),
        }
    }

    /// A person has named the volume: that is evidence enough, unless something says that it is somebody else's.
    fn adopt_as_told(&self, claim: &Expected, volume: &Volume, why: &str) -> Result<Found<'a>, Stop> {
        self.refuse_foreign(volume)?;
        let facts = || vec![format!("pv/{}: {}", volume.name, volume.facts(self.survey.now))];
        let held = volume.claim.as_ref().filter(|_| volume.phase == "Bound");
        if let Some(held) = held.filter(|it| it.namespace != claim.namespace || it.name != claim.name) {
            let why = format!("pv/{} is bound to {}/{} and is not taken away", volume.name, held.namespace, held.name);
            return Err(self.stop(why, facts(), Vec::new()));
        }
        if volume.deleting || volume.mode != claim.mode() {
            let obstacle = obstacle(volume, claim).unwrap_or_default();
            return Err(self.stop(format!("pv/{} cannot be adopted: {obstacle}", volume.name), facts(), Vec::new()));
        }
        self.adopt(claim, volume, why)
    }

    fn adopt_if_allowed(&self, claim: &Expected, volume: &Volume) -> Result<Found<'a>, Stop> {
        let facts = || vec![format!("pv/{}: {}", volume.name, volume.facts(self.survey.now))];
        let ways = || vec![self.adopt_way(claim, &volume.name), self.told_empty_way()];
        if !self.set.sources.contains(&Source::Adopt) {
            let why = format!("pv/{} survives, and the data set ({}) does not adopt", volume.name, self.set.origin);
            return Err(self.stop(why, facts(), ways()));
        }
        if !self.policy.permits(Source::Adopt) {
            let why = format!("pv/{} survives, and {} does not allow to adopt", volume.name, self.policy.place());
            return Err(self.stop(why, facts(), ways()));
        }
        self.adopt(claim, volume, "")
    }

    fn adopt(&self, claim: &Expected, volume: &Volume, why: &str) -> Result<Found<'a>, Stop> {
        if volume.deleting {
            let facts = vec![format!("pv/{}: {}", volume.name, volume.facts(self.survey.now))];
            let why = obstacle(volume, claim).unwrap_or_default();
            return Err(self.stop(format!("pv/{} cannot be kept: {why}", volume.name), facts, Vec::new()));
        }
        let mut reason = format!("pv/{}: {}", volume.name, volume.facts(self.survey.now));
        for remark in remarks(volume, claim.body.get("spec").unwrap_or(&serde_json::Value::Null)) {
            reason.push_str(&format!("; {remark}"));
        }
        if !why.is_empty() {
            reason.push_str(&format!("; {why}"));
        }
        Ok(Found::Decided(Choice::Adopt { volume: volume.name.clone() }, reason))
    }

    /// What has an archive and was seen by a healthy run begins empty only when somebody says so: an archive under another
    /// prefix looks empty, too.
    fn was_never_there(&self) -> Result<(), Stop> {
        let remembered = self.survey.memories.get(&self.set.name).filter(|memory| !memory.answers.is_empty());
        let Some(memory) = remembered else { return Ok(()) };
        if self.set.derived.is_some()
            || self.answers.lets_be_empty(&self.set.name)
            || !self.set.sources.contains(&Source::Empty)
            || !self.survey.archives.contains_key(&self.set.name)
        {
            return Ok(());
        }
        let why = format!("its archive holds no backup of it, and a run on {} found data in it", minute(memory.at));
        let facts = memory.answers.iter().map(|(name, answer)| format!("{name}: {answer}"));
        let mut stop = self.by_hand(&why);
        stop.facts.splice(0..0, facts);
        stop.ways.insert(0, "look whether the settings of its backups still name the same place".to_owned());
        Err(stop)
    }

    /// Nothing of a claim is there.
    fn gone(&self, claim: &Expected, left: &[Candidate<'_>], adopted: bool) -> Result<(Choice, String), Stop> {
        let (set, policy) = (self.set, self.policy);
        let told = self.answers.lets_be_empty(&set.name);
        if !set.sources.contains(&Source::Empty) {
            let why =
                format!("nothing of {} is there, and the data set ({}) never begins empty", claim.place(), set.origin);
            return Err(Stop { why, ..self.by_hand("") });
        }
        if let Some(derived) = &set.derived {
            let time =
                derived.estimate.map(|time| format!(", about {}", crate::report::duration::human(time.as_secs_f64())));
            let unused = if left.is_empty() { "" } else { "; what survives is left as it is" };
            return Ok((
                Choice::Empty,
                format!("made again from {}{}{unused}", derived.from, time.unwrap_or_default()),
            ));
        }
        if told {
            return Ok((Choice::Empty, "as you said".into()));
        }
        if adopted {
            let why = format!("only a part of it survives: nothing of {} is there", claim.place());
            return Err(Stop { why, ..self.by_hand("") });
        }
        let prefers_restore = set.sources.iter().find(|source| **source != Source::Adopt) == Some(&Source::Restore);
        // Where backups are looked up, there is none.
        let looked_up = self.survey.archives.contains_key(&set.name);
        if prefers_restore && !looked_up && policy.permits(Source::Restore) {
            return Err(self.by_hand(&format!("nothing of {} is there, and it is to be restored", claim.place())));
        }
        if policy.protected || !policy.permits(Source::Empty) {
            let no_backup = if looked_up { ", no backup of it was found" } else { "" };
            let why = format!(
                "nothing of {} is there{no_backup}, and {} does not let it begin empty",
                claim.place(),
                policy.place()
            );
            return Err(Stop { why, ..self.by_hand("") });
        }
        let by = policy.allowed_at.as_ref().map_or_else(|| policy.environment.clone(), Clone::clone);
        Ok((Choice::Empty, format!("nothing is there; allowed by {by}")))
    }
}

fn what(claims: usize) -> &'static str {
    if claims == 1 { "the claim" } else { "the claims" }
}
