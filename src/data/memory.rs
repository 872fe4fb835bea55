//! What a healthy run remembers of data, so that what comes back after an accident can be compared with what was there.
//!
//! It is kept in Rekindle's own namespace, which outlives the environment's, and read again when something is adopted or
//! restored. What was there must be there again when nothing can have been lost: the volume survived, or what was archived
//! reaches beyond the moment that is remembered. Otherwise the difference is told.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::decision::Decisions;
use super::spec::{Compare, DataSet, Fact};
use crate::cluster::connect::patiently;
use crate::cluster::system::{MANAGED_BY_LABEL, record_name, with_namespace};
use crate::cluster::{Cluster, ClusterError, FIELD_MANAGER, SYSTEM_NAMESPACE};
use crate::health::gate::{Gate, Wanted};

/// What the record's name begins with.
pub const SORT: &str = "memory";

/// What is remembered of one data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// When the questions were asked.
    pub at: jiff::Timestamp,
    /// The answer to its `identity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The answers to what it says is to be remembered, by name.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// UIDs of the claims that held it: as long as one of them is there, it was there all the time.
    #[serde(default)]
    pub claims: BTreeSet<String>,
}

/// Whether contents have come back since they were remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// They were there all the time, begin anew, or nothing is remembered of them.
    No,
    /// They have, and everything must be there: the volume survived, or what was archived reaches beyond the moment that is
    /// remembered, and nobody asked for something else.
    Whole,
    /// They have, and something may be lost.
    Partial,
}

/// What is remembered of an environment, by data set.
pub type Memories = BTreeMap<String, Memory>;

impl Compare {
    /// What an answer must be beside one that is remembered.
    pub fn wanted(self, remembered: &str) -> Wanted {
        let remembered = remembered.to_owned();
        match self {
            Self::Same => Wanted::Expect(remembered),
            Self::AtLeast => Wanted::AtLeast(remembered),
            Self::Includes => Wanted::Includes(remembered),
        }
    }
}

impl Fact {
    /// The question as a gate that passes when the answer is as it was.
    fn gate(&self, set: &str, remembered: &str, at: jiff::Timestamp) -> Gate {
        let name = format!("{set} has its {} of {}", self.name, minute(at));
        Gate { name, ..self.question.wanting(self.compare.wanted(remembered)) }
    }
}

/// The gates that hold what has come back against what is remembered.
pub fn gates(set: &DataSet, decisions: &Decisions) -> Vec<Gate> {
    let Some(memory) = decisions.remembered(&set.name, Comeback::Whole) else { return Vec::new() };
    let identity = set
        .identity
        .iter()
        .zip(&memory.identity)
        .map(|(gate, identity)| gate.wanting(Wanted::Expect(identity.clone())));
    let facts = set.remember.iter().filter_map(|fact| {
        let remembered = memory.answers.get(&fact.name)?;
        Some(fact.gate(&set.name, remembered, memory.at))
    });
    identity.chain(facts).collect()
}

/// What is not as it is remembered, a line each, where something may have been lost: `answers` are today's.
pub fn differences(set: &DataSet, decisions: &Decisions, answers: &BTreeMap<String, String>) -> Vec<String> {
    let Some(memory) = decisions.remembered(&set.name, Comeback::Partial) else { return Vec::new() };
    let changed = set.remember.iter().filter_map(|fact| {
        let (before, now) = (memory.answers.get(&fact.name)?, answers.get(&fact.name)?);
        let line = || format!("{}: {}: {now} now, {before} on {}", set.name, fact.name, minute(memory.at));
        (!fact.compare.wanted(before).holds(now)).then(line)
    });
    changed.collect()
}

/// A moment as it is told of what is remembered.
pub(super) fn minute(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn api(cluster: &Cluster) -> Api<Secret> {
    Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE)
}

/// What is remembered of an environment. What cannot be understood is not remembered.
///
/// # Errors
/// When the cluster does not answer or does not let us read it.
pub async fn read(cluster: &Cluster, environment: &str) -> Result<Memories, ClusterError> {
    let (api, name) = (api(cluster), record_name(SORT, environment));
    let secret = patiently(&cluster.server, || api.get_opt(&name)).await?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let read = |(name, text): (String, k8s_openapi::ByteString)| Some((name, serde_json::from_slice(&text.0).ok()?));
    Ok(data.into_iter().filter_map(read).collect())
}

/// Remembers these data sets of an environment, and of others what is remembered already.
///
/// # Errors
/// When the cluster does not answer or does not let us.
pub async fn write(cluster: &Cluster, environment: &str, memories: &Memories) -> Result<(), ClusterError> {
    let mut all = read(cluster, environment).await?;
    all.extend(memories.clone());
    store(cluster, environment, &all).await
}

/// Forgets a data set that was deleted on purpose.
///
/// # Errors
/// When the cluster does not answer or does not let us.
pub async fn forget(cluster: &Cluster, environment: &str, data_set: &str) -> Result<(), ClusterError> {
    let mut all = read(cluster, environment).await?;
    match all.remove(data_set) {
        Some(_) => store(cluster, environment, &all).await,
        None => Ok(()),
    }
}

async fn store(cluster: &Cluster, environment: &str, all: &Memories) -> Result<(), ClusterError> {
    let text = |memory: &Memory| serde_json::to_string(memory).map(|text| STANDARD.encode(text)).unwrap_or_default();
    let data: BTreeMap<&String, String> = all.iter().map(|(name, memory)| (name, text(memory))).collect();
    let name = record_name(SORT, environment);
    let body = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": name, "namespace": SYSTEM_NAMESPACE,
            "labels": {MANAGED_BY_LABEL: "rekindle"},
            "annotations": {"rekindle.dev/environment": environment},
        },
        "data": data,
    });
    let (api, params) = (api(cluster), PatchParams::apply(FIELD_MANAGER).force());
    cluster.verify_identity().await?;
    let patch = Patch::Apply(&body);
    with_namespace(cluster, || api.patch(&name, &params, &patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::{Decision, Source};
    use crate::health::gate::Probe;
    use crate::manifest::Origin;
    use crate::manifest::yaml::parse_node;

    fn set() -> DataSet {
        let ask = "postgres: {service: db, credentials: {secret: s}, query: q}";
        let text = format!(
            "apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: db}}\nspec:\n  claims: [data]\n  identity: {{{ask}}}\n  \
             remember:\n  - {{name: newest order, compare: at_least, {ask}}}\n  - {{name: extensions, compare: includes, {ask}}}\n"
        );
        let body = parse_node(&text).unwrap().unwrap().to_value();
        DataSet::parse(&body, &Origin::default(), "shop").unwrap()
    }

    fn answers(newest: &str, extensions: &str) -> BTreeMap<String, String> {
        [("newest order", newest), ("extensions", extensions)].map(|(name, text)| (name.into(), text.into())).into()
    }

    fn decisions(comeback: Comeback) -> Decisions {
        let memory = Memory {
            at: "2026-11-25T12:03:00Z".parse().unwrap(),
            identity: Some("7".into()),
            answers: answers("812", "plpgsql,intarray"),
            claims: ["a".to_owned()].into(),
        };
        Decisions {
            sets: vec![Decision {
                data_set: "db".into(),
                source: Source::Adopt,
                claims: Vec::new(),
                lineage: crate::data::Lineage::default(),
                recovery_point: None,
                restored_bytes: None,
                confirm: false,
                promoted: false,
                comeback,
            }],
            memories: [("db".into(), memory)].into(),
            ..Decisions::default()
        }
    }

    fn told(decisions: &Decisions) -> Vec<String> {
        let wanted = |gate: Gate| match gate.probe {
            Probe::Postgres(postgres) => format!("{}: {}", gate.name, postgres.wanted.unwrap().told(str::to_owned)),
            _ => unreachable!("only queries are remembered"),
        };
        gates(&set(), decisions).into_iter().map(wanted).collect()
    }

    #[test]
    fn what_survived_must_be_as_it_is_remembered() {
        let whole = decisions(Comeback::Whole);
        assert_eq!(
            told(&whole),
            [
                "db is the same as before: 7",
                "db has its newest order of 2026-11-25 12:03 UTC: at least 812",
                "db has its extensions of 2026-11-25 12:03 UTC: all of plpgsql,intarray",
            ]
        );
        assert_eq!(differences(&set(), &whole, &answers("799", "plpgsql")), Vec::<String>::new(), "the gates say so");
    }

    #[test]
    fn where_something_may_be_lost_the_difference_is_told() {
        let partial = decisions(Comeback::Partial);
        assert_eq!(told(&partial), Vec::<String>::new());
        assert_eq!(
            differences(&set(), &partial, &answers("799", "intarray,plpgsql,pg_trgm")),
            ["db: newest order: 799 now, 812 on 2026-11-25 12:03 UTC"]
        );
        assert_eq!(differences(&set(), &partial, &answers("812", "intarray plpgsql")), Vec::<String>::new());
        assert_eq!(differences(&set(), &partial, &BTreeMap::new()), Vec::<String>::new(), "not answered");
    }

    #[test]
    fn what_was_there_all_the_time_is_not_compared() {
        let kept = decisions(Comeback::No);
        assert_eq!(told(&kept), Vec::<String>::new());
        assert_eq!(differences(&set(), &kept, &answers("1", "")), Vec::<String>::new());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let memory = &decisions(Comeback::No).memories["db"];
        let text = serde_json::to_string(memory).unwrap();
        assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), *memory);
    }
}
