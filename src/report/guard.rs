//! The guard's words: what was refused to protect what, the facts, and what to do next.

use super::duration::human;
use super::text::{count, list};
use crate::cluster::binding::Record;
use crate::cluster::residents::{Resident, Residents};
use crate::plan::guard::{Note, Reached, Refusal, Subject};

/// Digits of a fingerprint that are shown.
const SHOWN: usize = 16;

/// Environments that are named one by one: a cluster of many instances would fill the screen.
const MOST: usize = 6;

/// How another cluster is chosen.
const CHOOSE: &str = "choose it with --kubeconfig FILE and --context NAME";

/// Everything that the words are made of.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The environment.
    pub subject: &'a Subject,
    /// The cluster.
    pub reached: &'a Reached,
    /// Its records.
    pub records: &'a [Record],
    /// What lives there.
    pub residents: &'a Residents,
    /// The kubeconfig's files, as they are shown.
    pub kubeconfig: &'a str,
    /// Now.
    pub now: jiff::Timestamp,
}

/// A refusal in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// One line.
    pub message: String,
    /// Facts, a line each.
    pub details: Vec<String>,
    /// Next commands, a line each.
    pub hints: Vec<String>,
}

/// Commands with the flags of the one that was refused.
pub trait Commands {
    /// The refused command for another environment; `None` where nobody should be led to that.
    fn same_for(&self, environment: &str) -> Option<String>;
    /// `rekindle env pin ENV --context CONTEXT`.
    fn pin(&self) -> String;
}

/// A label and what stands behind it.
type Row = (String, String);

impl Scene<'_> {
    /// A refusal in words.
    pub fn tell(&self, refusal: &Refusal, commands: &dyn Commands) -> Told {
        let name = &self.subject.name;
        let mut hints: Vec<Row> = Vec::new();
        let mut rows = self.bound();
        if matches!(refusal, Refusal::HostsOthers(_) | Refusal::ExtendsOther) {
            hints.push(("you meant another cluster".into(), CHOOSE.into()));
        }
        if let Some(same) = self.meant(refusal).and_then(|neighbour| commands.same_for(&neighbour)) {
            hints.push(("you meant what lives there".into(), same));
        }
        let (message, pin) = match refusal {
            Refusal::OtherCluster => {
                if let Some(hint) = self.subject.hint.as_ref().filter(|hint| **hint != self.reached.context) {
                    hints.push((format!("you meant {name}'s cluster"), format!("choose it with --context {hint}")));
                } else {
                    hints.push((format!("you meant {name}'s cluster"), CHOOSE.into()));
                }
                (format!("this is not {name}'s cluster"), format!("{name}'s cluster was rebuilt"))
            }
            Refusal::OtherAuthority { expected, place, found } => {
                let place = place.clone().unwrap_or_else(|| "the cluster's own record".into());
                rows.push(("its authority was".into(), format!("{}   {place}", short(expected))));
                rows.push(("here it is".into(), short(found)));
                (
                    format!(
                        "this may be a copy of {name}'s cluster: its UID is right, its certificate authority is not"
                    ),
                    "only its authority was renewed".into(),
                )
            }
            Refusal::Unpinned { by_record: false } => {
                (format!("{name} is protected and not pinned to any cluster"), format!("this is {name}'s cluster"))
            }
            Refusal::Unpinned { by_record: true } => (
                format!("this cluster knows {name} as protected, and your kit neither protects nor pins it"),
                format!("this is {name}'s cluster"),
            ),
            Refusal::HostsOthers(others) => (
                format!("this is the cluster of {}, and nothing says that {name} lives here too", list_all(others)),
                format!("{name} is to live here as well"),
            ),
            Refusal::ExtendsOther => (
                format!("{name} extends an environment of another cluster, and nothing says that it lives in this one"),
                format!("this is {name}'s cluster"),
            ),
            Refusal::RecordGone { objects } => (
                format!(
                    "{} of {name} {} here, but the cluster's record of {name} is gone",
                    count(*objects, "object"),
                    if *objects == 1 { "is" } else { "are" }
                ),
                format!("this is {name}'s cluster"),
            ),
            Refusal::ForeignRecord { made_for } if made_for.is_empty() => {
                (format!("this cluster's record of {name} cannot be read"), format!("this is {name}'s cluster"))
            }
            Refusal::ForeignRecord { made_for } => {
                rows.push(("the record was made for".into(), made_for.clone()));
                (
                    format!(
                        "this cluster's record of {name} was made for another cluster and copied here, as from a backup"
                    ),
                    format!("this is {name}'s cluster now"),
                )
            }
            Refusal::OtherStack { stack } => {
                rows.push(("stack of the kit".into(), self.subject.stack.clone()));
                rows.push((
                    format!("stack of {name} here"),
                    if stack.is_empty() { "unknown".into() } else { stack.clone() },
                ));
                hints.push((
                    "they are two environments".into(),
                    format!("give yours another name: rename environments/{name}.yaml"),
                ));
                (format!("the {name} that lives here is another kit's"), "the stack was renamed".into())
            }
        };
        hints.push((pin, commands.pin()));
        rows.extend(self.reached_rows());
        rows.extend(self.lives_rows());
        Told {
            message: format!("refused: {message}; nothing was written"),
            details: aligned(&rows, "   "),
            hints: aligned(
                &hints.into_iter().map(|(label, text)| (format!("{label}:"), text)).collect::<Vec<_>>(),
                "   ",
            ),
        }
    }

    /// The one neighbour of the same stack that may have been meant.
    fn meant(&self, refusal: &Refusal) -> Option<String> {
        if !matches!(refusal, Refusal::OtherCluster | Refusal::HostsOthers(_)) {
            return None;
        }
        let others = self.records.iter().filter(|record| record.environment != self.subject.name);
        let mut kin = others.filter(|record| record.stack == self.subject.stack && record.cluster == self.reached.uid);
        match (kin.next(), kin.next()) {
            (Some(only), None) => Some(only.environment.clone()),
            _ => None,
        }
    }

    fn bound(&self) -> Vec<Row> {
        let label = format!("{} is bound to", self.subject.name);
        let Some(pin) = &self.subject.pin else {
            let mut rows = vec![(label, "no cluster".into())];
            let others = self.subject.others_pin.as_ref();
            rows.extend(others.map(|(uid, place)| ("what it extends".into(), format!("{uid}   {place}"))));
            return rows;
        };
        let mut rows = vec![(label, format!("{}   {}", pin.uid, pin.place).trim_end().to_owned())];
        rows.extend(pin.instead_of.as_ref().map(|(uid, place)| ("instead of".into(), format!("{uid}   {place}"))));
        rows
    }

    /// What was reached, as rows of a label and a fact.
    pub fn reached_rows(&self) -> Vec<Row> {
        let Reached { uid, context, server, .. } = self.reached;
        let source = if self.kubeconfig.is_empty() { String::new() } else { format!(" in {}", self.kubeconfig) };
        let mut rows = vec![
            ("you have reached".into(), format!("{uid}   context {context}{source}")),
            (String::new(), format!("at {server}")),
        ];
        let other = self.subject.pin.as_ref().is_some_and(|pin| pin.uid != *uid);
        if other && self.subject.hint.as_ref() == Some(context) {
            rows.push((String::new(), "the context's name is the right one, the cluster behind it is not".into()));
        }
        rows
    }

    /// What lives there, as rows of a label and a fact.
    pub fn lives_rows(&self) -> Vec<Row> {
        let mut names: Vec<&String> =
            self.records.iter().map(|record| &record.environment).chain(self.residents.keys()).collect();
        names.sort();
        names.dedup();
        let nothing = Resident::default();
        // What there is most to lose of comes first: the end may be cut off.
        names.sort_by_key(|name| {
            let protected = self.records.iter().any(|record| record.environment == **name && record.protected);
            let resident = self.residents.get(*name).unwrap_or(&nothing);
            std::cmp::Reverse((protected, resident.bytes, resident.claims, resident.objects))
        });
        let mut lines: Vec<String> = names
            .into_iter()
            .map(|name| {
                let record = self.records.iter().find(|record| record.environment == *name);
                self.line(name, self.residents.get(name).unwrap_or(&nothing), record)
            })
            .collect();
        let more = lines.len().saturating_sub(MOST);
        if more > 1 {
            lines.truncate(MOST);
            lines.push(format!("and {more} more"));
        }
        if lines.is_empty() {
            lines.push("nothing that rekindle knows of".into());
        }
        let labels = std::iter::once("what lives there".to_owned()).chain(std::iter::repeat(String::new()));
        labels.zip(lines).collect()
    }

    /// `standby: 61 objects, 2 claims with 412 GiB, last change 2 hours ago by me@laptop`.
    fn line(&self, name: &str, resident: &Resident, record: Option<&Record>) -> String {
        let mut facts = vec![count(resident.objects, "object")];
        if resident.claims > 0 {
            facts.push(format!("{} with {}", count(resident.claims, "claim"), size(resident.bytes)));
        }
        match record {
            Some(record) => {
                facts.extend(record.protected.then(|| "protected".to_owned()));
                if let Some(last) = &record.last {
                    let by = if last.by.is_empty() { String::new() } else { format!(" by {}", last.by) };
                    facts.push(format!("last change {}{by}", self.ago(last.time)));
                } else if let Some(bound) = record.bound {
                    facts.push(format!("bound {}", self.ago(bound)));
                }
            }
            None => facts.push("not in the cluster's records".into()),
        }
        format!("{name}: {}", facts.join(", "))
    }

    fn ago(&self, time: jiff::Timestamp) -> String {
        let seconds = self.now.duration_since(time).as_secs_f64();
        // The clock that wrote it may be another one.
        if seconds < 1.0 { "just now".into() } else { format!("{} ago", human(seconds)) }
    }

    /// A note in words.
    pub fn note(&self, note: &Note) -> String {
        let Subject { name, .. } = self.subject;
        match note {
            Note::OtherContext { hint } => format!(
                "note: the context {} leads to {name}'s cluster, as its identity shows; its file names {hint}",
                self.reached.context
            ),
            Note::AuthorityUnknown => format!(
                "warning: the cluster's certificate authority may not be read, so a copy of {name}'s cluster would not be told from it"
            ),
            Note::RecordGone { objects } => format!(
                "warning: the cluster's record of {name} is gone although {} {} there; up writes it again",
                count(*objects, "object"),
                if *objects == 1 { "is" } else { "are" }
            ),
        }
    }
}

fn list_all(names: &[String]) -> String {
    let mut named: Vec<String> = names.iter().take(MOST).cloned().collect();
    let more = names.len().saturating_sub(MOST);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    list(&named)
}

/// The beginning of a fingerprint: enough to tell two apart.
fn short(fingerprint: &str) -> String {
    match fingerprint.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &fingerprint[..end]),
        None => fingerprint.to_owned(),
    }
}

/// An amount of data.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if amount >= 10.0 || amount.fract() < 0.05 {
        format!("{amount:.0} {}", UNITS[unit])
    } else {
        format!("{amount:.1} {}", UNITS[unit])
    }
}

/// Rows with what stands behind the labels in one column.
pub fn aligned(rows: &[Row], gap: &str) -> Vec<String> {
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(label, text)| format!("{label:width$}{gap}{text}").trim_end().to_owned()).collect()
}
