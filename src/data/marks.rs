//! Marks on volumes: whose they are and which claim they hold, written while they are bound, so that the evidence outlives the
//! claim and its namespace.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::claims::Expected;
use super::spec::DataSet;
use super::survey::Survey;
use super::{CLAIM_ANNOTATION, DATA_SET_ANNOTATION, IDENTITY_ANNOTATION};
use crate::cluster::connect::timed;
use crate::cluster::observe::{ENVIRONMENT_LABEL, INSTANCE_LABEL};
use crate::cluster::{Cluster, ClusterError, FIELD_MANAGER};

/// The claims, as `namespace/name`, whose volumes carry every mark that they can get. Those of data sets that are promoted get
/// another one.
pub fn settled(
    survey: &Survey,
    environment: &str,
    claims: &[Expected],
    sets: &[DataSet],
    promoted: &[&str],
) -> BTreeSet<String> {
    let asked = |name: &str| {
        let set = sets.iter().find(|set| set.name == name);
        set.and_then(|set| set.identity.as_ref()).is_some_and(|gate| gate.skipped.is_none())
    };
    let is_settled = |claim: &&Expected| {
        let one = std::slice::from_ref(*claim);
        let bound = survey.claim(&claim.namespace, &claim.name).is_some_and(|live| live.phase == "Bound");
        let open = unidentified(survey, one).into_iter().any(asked);
        let changes = claim.data_set.as_deref().is_some_and(|set| promoted.contains(&set));
        bound && !open && !changes && missing(survey, environment, one, &BTreeMap::new()).is_empty()
    };
    claims.iter().filter(is_settled).map(Expected::place).collect()
}

/// The data sets of which a bound volume has no identity on it.
pub fn unidentified<'c>(survey: &Survey, claims: &'c [Expected]) -> BTreeSet<&'c str> {
    let covered = claims.iter().filter_map(|claim| Some((claim, claim.data_set.as_deref()?)));
    covered
        .filter(|(claim, _)| {
            let live = survey.claim(&claim.namespace, &claim.name).filter(|live| live.phase == "Bound");
            let volume = live.and_then(|live| survey.volume(live.volume.as_deref()?));
            volume.is_some_and(|volume| volume.marks.as_ref().is_none_or(|marks| marks.identity.is_none()))
        })
        .map(|(_, set)| set)
        .collect()
}

/// Marks the volumes of claims that are bound, as far as they are not marked so already. `identities`: the answer of each data
/// set that gave one.
///
/// # Errors
/// When one cannot be written.
pub async fn mark(
    cluster: &Cluster,
    environment: &str,
    claims: &[Expected],
    survey: &Survey,
    identities: &BTreeMap<String, String>,
) -> Result<(), ClusterError> {
    let Some(kind) = cluster.kinds.get("v1", "PersistentVolume") else { return Ok(()) };
    let volumes: Api<DynamicObject> = cluster.api(kind, None);
    for (name, uid, marks) in missing(survey, environment, claims, identities) {
        let mut body = marks;
        body["metadata"]["uid"] = uid.into();
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        cluster.verify_before_write().await?;
        timed(&cluster.server, volumes.patch(&name, &params, &Patch::Merge(&body))).await?;
    }
    Ok(())
}

/// The volumes whose marks are not as they should be, with their UID and what to write.
fn missing(
    survey: &Survey,
    environment: &str,
    claims: &[Expected],
    identities: &BTreeMap<String, String>,
) -> Vec<(String, String, Value)> {
    let covered = claims.iter().filter_map(|claim| Some((claim, claim.data_set.as_ref()?)));
    covered
        .filter_map(|(claim, data_set)| {
            let live = survey.claim(&claim.namespace, &claim.name).filter(|live| live.phase == "Bound")?;
            let volume = survey.volume(live.volume.as_deref()?)?;
            let bound = volume.claim.as_ref().and_then(|claim| claim.uid.as_deref()) == Some(live.uid.as_str());
            let identity = identities.get(data_set);
            let marked = volume.marks.as_ref().is_some_and(|marks| {
                marks.environment == environment
                    && marks.claim == claim.place()
                    && marks.data_set == *data_set
                    && identity.is_none_or(|identity| marks.identity.as_ref() == Some(identity))
                    && marks.lineage == live.lineage.lasting()
            });
            // A volume of another environment keeps its marks: they say whose it was.
            let foreign = volume.marks.as_ref().is_some_and(|marks| marks.environment != environment);
            if !bound || marked || foreign {
                return None;
            }
            let (name, instance) = environment.split_once('/').map_or((environment, None), |(a, b)| (a, Some(b)));
            let mut annotations = json!({CLAIM_ANNOTATION: claim.place(), DATA_SET_ANNOTATION: data_set});
            if let Some(identity) = identity {
                annotations[IDENTITY_ANNOTATION] = identity.clone().into();
            }
            if let Some(annotations) = annotations.as_object_mut() {
                live.lineage.lasting().write(annotations);
            }
            let mut labels = json!({ENVIRONMENT_LABEL: name});
            if let Some(instance) = instance {
                labels[INSTANCE_LABEL] = instance.into();
            }
            let marks = json!({"metadata": {"labels": labels, "annotations": annotations}});
            Some((volume.name.clone(), volume.uid.clone(), marks))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::claims::Maker;
    use crate::data::evidence::{Claim, ClaimRef, Marks, Volume};
    use crate::manifest::Origin;

    fn survey(marks: Option<Marks>, uid: &str) -> Survey {
        let reference = ClaimRef { namespace: "shop".into(), name: "data".into(), uid: Some(uid.into()) };
        let volume =
            Volume { name: "pv".into(), phase: "Bound".into(), claim: Some(reference), marks, ..Volume::default() };
        let claim = Claim {
            namespace: "shop".into(),
            name: "data".into(),
            uid: "1".into(),
            phase: "Bound".into(),
            volume: Some("pv".into()),
            ..Claim::default()
        };
        Survey { volumes: vec![volume], claims: vec![claim], ..Survey::default() }
    }

    fn marks(environment: &str, claim: &str) -> Option<Marks> {
        let (environment, claim) = (environment.into(), claim.into());
        Some(Marks { environment, claim, data_set: "db".into(), ..Marks::default() })
    }

    fn written(survey: &Survey, environment: &str, identities: &[(&str, &str)]) -> Vec<Value> {
        let claim = Expected {
            namespace: "shop".into(),
            name: "data".into(),
            data_set: Some("db".into()),
            phase: String::new(),
            maker: Maker::Kit,
            body: Value::Null,
            origin: Origin::default(),
        };
        let identities = identities.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        missing(survey, environment, &[claim], &identities).into_iter().map(|it| it.2).collect()
    }

    #[test]
    fn what_is_bound_is_marked_once() {
        let first = written(&survey(None, "1"), "shop/pr-1", &[]);
        assert_eq!(
            first,
            [json!({"metadata": {
                "labels": {"rekindle.dev/environment": "shop", "rekindle.dev/instance": "pr-1"},
                "annotations": {"rekindle.dev/claim": "shop/data", "rekindle.dev/data-set": "db"},
            }})]
        );
        assert_eq!(written(&survey(marks("shop", "shop/data"), "1"), "shop", &[]), Vec::<Value>::new());
        assert_eq!(written(&survey(marks("shop", "old/data"), "1"), "shop", &[]).len(), 1, "it has moved");
        assert_eq!(written(&survey(marks("shop", "shop/data"), "1"), "shop", &[("db", "7")]).len(), 1);
    }

    #[test]
    fn what_is_marked_is_not_looked_at_again() {
        let claim = Expected {
            namespace: "shop".into(),
            name: "data".into(),
            data_set: Some("db".into()),
            phase: String::new(),
            maker: Maker::Kit,
            body: Value::Null,
            origin: Origin::default(),
        };
        let count = |marks, uid, sets: &[DataSet]| {
            settled(&survey(marks, uid), "shop", std::slice::from_ref(&claim), sets, &[]).len()
        };
        let identified = json!({
            "apiVersion": "rekindle.dev/v1", "kind": "DataSet", "metadata": {"name": "db"},
            "spec": {"claims": ["data"], "identity": {"postgres": {"service": "s", "credentials": {"secret": "s"}, "query": "q"}}},
        });
        let sets =
            [DataSet::parse(&identified, &Origin::default(), "shop").unwrap_or_else(|wrong| panic!("{wrong:?}"))];
        assert_eq!(count(None, "1", &[]), 0);
        assert_eq!(count(marks("shop", "shop/data"), "1", &[]), 1);
        assert_eq!(count(marks("shop", "shop/data"), "1", &sets), 0, "its identity is not known");
        let known = marks("shop", "shop/data").map(|marks| Marks { identity: Some("7".into()), ..marks });
        assert_eq!(count(known.clone(), "1", &sets), 1);
        let promoted = settled(&survey(known, "1"), "shop", std::slice::from_ref(&claim), &sets, &["db"]);
        assert!(promoted.is_empty(), "what it was promoted to is not on it yet");
    }

    #[test]
    fn what_is_not_bound_or_is_anothers_is_not_touched() {
        assert_eq!(written(&survey(None, "2"), "shop", &[]), Vec::<Value>::new());
        assert_eq!(written(&survey(marks("other", "other/data"), "1"), "shop", &[]), Vec::<Value>::new());
    }
}
