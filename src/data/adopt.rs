//! Binding volumes that survived. Each write leaves a state from which the next run goes on: first the policy is Retain, so that
//! nothing deletes the bytes; then the volume's reference is pointed at the claim that is to come, so that nothing else can
//! have it; then the claim is made, naming the volume (see [`objects`](super::objects)).

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use super::DATA_ANNOTATION;
use super::claims::Expected;
use super::decision::{Choice, ClaimDecision, Decisions, SeenClaim};
use super::evidence::Claim;
use super::lineage::Lineage;
use super::survey::{Survey, is_ending};
use crate::cluster::connect::{patiently, timed};
use crate::cluster::{Cluster, ClusterError, FIELD_MANAGER};

/// How long a claim that is being deleted may take to go: its pods end first.
const LONGEST_DELETION: Duration = Duration::from_secs(180);

/// How long the volume controller may take to see that a volume is reserved. Nothing is lost by going on without.
const SEEN: Duration = Duration::from_secs(10);

/// Between the end of a watch and the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// Tries of a write that met another one.
const TRIES: usize = 5;

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// Makes everything ready for the claims: volumes are kept and reserved, claims of others that wait are given their volume.
/// Repeats nothing that is done already. What is waited for is told.
///
/// # Errors
/// When the cluster refuses a write, or something is not any more as it was when the decision was taken.
pub async fn prepare(
    cluster: &Cluster,
    decisions: &Decisions,
    claims: &[Expected],
    environment: &str,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), ClusterError> {
    let kept = |claim: &ClaimDecision| claim.choice == Choice::Keep;
    if decisions.sets.iter().flat_map(|set| &set.claims).all(kept) {
        return Ok(());
    }
    as_decided_upon(decisions, &Survey::read(cluster, claims).await?)?;
    // What is about to be lost first, all of it, before anything is waited for.
    for (_, name) in decisions.adopted() {
        retain(cluster, name).await?;
    }
    for (claim, name) in decisions.adopted() {
        adopt(cluster, claim, name, tell).await?;
    }
    join_all(decisions.adopted().map(|(_, name)| wait_until_seen(cluster, name))).await;
    let survey = Survey::read(cluster, claims).await?;
    for (set, claim) in decisions.sets.iter().flat_map(|set| set.claims.iter().map(move |claim| (set, claim))) {
        let live = survey.claim(&claim.namespace, &claim.name);
        if let Some(live) = live.filter(|live| !live.deleting && live.environment.as_deref() != Some(environment)) {
            record(cluster, claim, &set.lineage, live).await?;
        }
    }
    Ok(())
}

/// Whether the claims are what was decided upon. Until a run has the lock, which may take hours, another one may have made them
/// and filled them: what is done now would be done to its data.
fn as_decided_upon(decisions: &Decisions, survey: &Survey) -> Result<(), ClusterError> {
    for claim in decisions.sets.iter().flat_map(|set| &set.claims).filter(|claim| claim.choice != Choice::Keep) {
        let Some(live) = survey.claim(&claim.namespace, &claim.name).filter(|live| !live.deleting) else { continue };
        // What another run decided alike, or has done already, is what is to be.
        let begins_alike = match &claim.choice {
            Choice::Empty | Choice::Copy => live.record.is_some_and(|record| record.word() == claim.choice.word()),
            Choice::Adopt { volume } => live.volume.as_ref() == Some(volume),
            Choice::Keep | Choice::Restore { .. } => false,
        };
        if begins_alike || decisions.seen.get(&claim.place()) == Some(&SeenClaim::of(live)) {
            continue;
        }
        let (place, choice) = (claim.place(), claim.choice.word());
        let what =
            live.volume.as_ref().map_or_else(|| "is there".to_owned(), |volume| format!("is bound to pv/{volume}"));
        return Err(ClusterError::Data(format!("{place} {what} since it was decided about ({choice})")));
    }
    Ok(())
}

async fn read(cluster: &Cluster, name: &str) -> Result<PersistentVolume, ClusterError> {
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    let volume = patiently(&cluster.server, || volumes.get_opt(name)).await?;
    volume.ok_or_else(|| ClusterError::Data(format!("pv/{name} is gone since it was looked at")))
}

/// Sets the policy that keeps the bytes, and looks whether it is set.
async fn retain(cluster: &Cluster, name: &str) -> Result<(), ClusterError> {
    let policy = |volume: &PersistentVolume| {
        volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.clone()).unwrap_or_default()
    };
    let volume = read(cluster, name).await?;
    if policy(&volume) == "Retain" {
        return Ok(());
    }
    let body = json!({
        "metadata": {"uid": volume.metadata.uid},
        "spec": {"persistentVolumeReclaimPolicy": "Retain"},
    });
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    let written = timed(&cluster.server, volumes.patch(name, &parameters(), &Patch::Merge(&body))).await?;
    if policy(&written) == "Retain" {
        Ok(())
    } else {
        Err(ClusterError::Data(format!("pv/{name} does not take the policy Retain")))
    }
}

/// Reserves a volume for a claim of this name.
async fn adopt(
    cluster: &Cluster,
    claim: &ClaimDecision,
    name: &str,
    tell: &mut (dyn FnMut(String) + Send),
) -> Result<(), ClusterError> {
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    for _ in 0..TRIES {
        let volume = read(cluster, name).await?;
        if volume.metadata.deletion_timestamp.is_some() {
            return Err(ClusterError::Data(format!("pv/{name} is being deleted since it was looked at")));
        }
        let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let is_ours = reference.is_some_and(|it| {
            it.namespace.as_deref() == Some(claim.namespace.as_str()) && it.name.as_deref() == Some(claim.name.as_str())
        });
        let uid = reference.and_then(|it| it.uid.as_deref()).unwrap_or_default();
        let bound = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        if is_ours && uid.is_empty() {
            return Ok(());
        }
        if !uid.is_empty() {
            let (namespace, of) = reference.map_or((None, None), |it| (it.namespace.as_deref(), it.name.as_deref()));
            match holder(cluster, namespace, of, uid).await? {
                Holder::Gone => {}
                Holder::Alive if is_ours => return Ok(()),
                Holder::Alive => {
                    let (namespace, of) = (namespace.unwrap_or_default(), of.unwrap_or_default());
                    return Err(ClusterError::Data(format!(
                        "pv/{name} is bound to {namespace}/{of} since it was looked at"
                    )));
                }
                Holder::Going => {
                    let (namespace, of) = (namespace.unwrap_or_default(), of.unwrap_or_default());
                    tell(format!("{namespace}/{of} is being deleted; once it is gone, pv/{name} is bound again"));
                    wait_until_gone(cluster, namespace, of, uid).await?;
                    continue;
                }
            }
        } else if bound && !is_ours {
            return Err(ClusterError::Data(format!("pv/{name} is bound to another claim since it was looked at")));
        }
        let body = json!({
            "metadata": {"uid": volume.metadata.uid, "resourceVersion": volume.metadata.resource_version},
            "spec": {"claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace, "name": claim.name, "uid": null, "resourceVersion": null,
            }},
        });
        match timed(&cluster.server, volumes.patch(name, &parameters(), &Patch::Merge(&body))).await {
            Ok(_) => return Ok(()),
            // The volume controller wrote at the same moment.
            Err(ClusterError::Status { code: 409, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ClusterError::Data(format!("pv/{name} changes all the time; is another tool at work on it?")))
}

/// What has become of the claim that a volume is bound to.
enum Holder {
    Gone,
    Going,
    Alive,
}

async fn holder(
    cluster: &Cluster,
    namespace: Option<&str>,
    name: Option<&str>,
    uid: &str,
) -> Result<Holder, ClusterError> {
    let (Some(namespace), Some(name)) = (namespace, name) else { return Ok(Holder::Gone) };
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), namespace);
    let live = patiently(&cluster.server, || claims.get_opt(name)).await?;
    Ok(match live.filter(|live| live.metadata.uid.as_deref() == Some(uid)) {
        None => Holder::Gone,
        Some(live) if live.metadata.deletion_timestamp.is_some() => Holder::Going,
        Some(_) if is_ending(cluster, namespace).await? => Holder::Going,
        Some(_) => Holder::Alive,
    })
}

/// Waits until the claim with this UID is gone.
async fn wait_until_gone(cluster: &Cluster, namespace: &str, name: &str, uid: &str) -> Result<(), ClusterError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), namespace);
    let gone = watch_until(claims, name, |claim| claim.and_then(|it| it.metadata.uid.as_deref()) != Some(uid));
    match tokio::time::timeout(LONGEST_DELETION, gone).await {
        Ok(()) => Ok(()),
        Err(_) => Err(ClusterError::Data(format!(
            "{namespace}/{name} is still being deleted after {} minutes: a pod may be using it",
            LONGEST_DELETION.as_secs() / 60
        ))),
    }
}

/// Waits until the volume controller calls a volume free, or bound. A claim that it meets before it has seen that the volume is
/// reserved for it is one that names a volume of another: Kubernetes looks at it again only 15 s later (`syncPeriod` of the
/// volume controller).
async fn wait_until_seen(cluster: &Cluster, name: &str) {
    let volumes: Api<PersistentVolume> = Api::all(cluster.client.clone());
    let phase = |volume: Option<&PersistentVolume>| volume?.status.as_ref()?.phase.clone();
    let seen = watch_until(volumes, name, |volume| matches!(phase(volume).as_deref(), Some("Available" | "Bound")));
    let _ = tokio::time::timeout(SEEN, seen).await;
}

/// Watches an object until it, or that it is gone, is as wanted. A watch that fails is taken up again.
async fn watch_until<K>(api: Api<K>, name: &str, is_so: impl Fn(Option<&K>) -> bool)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut sightings = std::pin::pin!(watcher::watch_object(api, name));
    while let Some(seen) = sightings.next().await {
        match seen {
            Ok(object) if is_so(object.as_ref()) => return,
            Ok(_) => {}
            // The client library's own pauses are by chance, and a rehearsal is the same each time.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Gives a claim that somebody else made, and that waits, its volume, and writes the decision on it.
async fn record(
    cluster: &Cluster,
    decision: &ClaimDecision,
    lineage: &Lineage,
    live: &Claim,
) -> Result<(), ClusterError> {
    let Some(body) = on_claim(decision, lineage, live)? else { return Ok(()) };
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client.clone(), &live.namespace);
    let written: Result<_, ClusterError> =
        timed(&cluster.server, claims.patch(&live.name, &parameters(), &Patch::Merge::<&Value>(&body))).await;
    written.map(drop)
}

/// What is written on a claim that is there; nothing where it is kept.
fn on_claim(decision: &ClaimDecision, lineage: &Lineage, live: &Claim) -> Result<Option<Value>, ClusterError> {
    let mut annotations = serde_json::Map::new();
    annotations.insert(DATA_ANNOTATION.into(), decision.choice.word().into());
    lineage.write(&mut annotations);
    let mut body = json!({"metadata": {"uid": live.uid, "annotations": annotations}});
    match &decision.choice {
        Choice::Keep => return Ok(None),
        Choice::Adopt { volume } if live.volume.is_none() => body["spec"] = json!({"volumeName": volume}),
        Choice::Adopt { volume } if live.volume.as_deref() != Some(volume) => {
            let (place, other) = (decision.place(), live.volume.as_deref().unwrap_or_default());
            let what = format!("{place} is bound to pv/{other} since it was decided about (adopt)");
            return Err(ClusterError::Data(what));
        }
        Choice::Adopt { .. } | Choice::Restore { .. } | Choice::Copy | Choice::Empty => {}
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use crate::data::Source;
    use crate::data::decision::Decision;
    use crate::data::evidence::Record;
    use crate::data::memory::Comeback;

    fn claim(uid: &str, volume: Option<&str>) -> Claim {
        Claim {
            namespace: "shop".into(),
            name: "data".into(),
            uid: uid.into(),
            created: None,
            phase: "Pending".into(),
            volume: volume.map(str::to_owned),
            deleting: false,
            record: None,
            lineage: Lineage::default(),
            environment: None,
            spec: json!({}),
        }
    }

    fn decision(choice: Choice) -> ClaimDecision {
        ClaimDecision { namespace: "shop".into(), name: "data".into(), choice, reason: String::new() }
    }

    fn adopt() -> Choice {
        Choice::Adopt { volume: "pv-x".into() }
    }

    #[test]
    fn a_claim_that_has_changed_since_it_was_looked_at_is_not_touched() {
        let unbound = || Some(claim("1", None));
        let restore = || Choice::Restore { backup: "base_1".into() };
        let table = [
            (restore(), None, None, None),
            (
                restore(),
                None,
                Some(claim("1", Some("pv-y"))),
                Some("shop/data is bound to pv/pv-y since it was decided about (restore)"),
            ),
            (Choice::Empty, None, unbound(), Some("shop/data is there since it was decided about (empty)")),
            (Choice::Empty, None, Some(Claim { record: Some(Record::From(Source::Empty)), ..claim("1", None) }), None),
            (
                Choice::Empty,
                None,
                Some(Claim { record: Some(Record::From(Source::Restore)), ..claim("1", None) }),
                Some("shop/data is there since it was decided about (empty)"),
            ),
            (Choice::Keep, None, unbound(), None),
            (adopt(), unbound(), unbound(), None),
            (adopt(), unbound(), Some(claim("2", None)), Some("shop/data is there since it was decided about (adopt)")),
            (
                adopt(),
                unbound(),
                Some(claim("1", Some("pv-y"))),
                Some("shop/data is bound to pv/pv-y since it was decided about (adopt)"),
            ),
            (adopt(), None, Some(claim("2", Some("pv-x"))), None),
            (adopt(), unbound(), None, None),
            (adopt(), None, Some(Claim { deleting: true, ..claim("1", None) }), None),
        ];
        for (choice, seen, now, error) in table {
            let case = format!("{choice:?}, {seen:?}, {now:?}");
            let set = Decision {
                data_set: "db".into(),
                source: Source::Adopt,
                claims: vec![decision(choice)],
                lineage: Lineage::default(),
                recovery_point: None,
                restored_bytes: None,
                confirm: false,
                promoted: false,
                comeback: Comeback::No,
            };
            let seen = seen.map(|live| ("shop/data".to_owned(), SeenClaim::of(&live)));
            let decisions = Decisions { sets: vec![set], seen: BTreeMap::from_iter(seen), ..Decisions::default() };
            let survey = Survey { claims: now.into_iter().collect(), ..Survey::default() };
            let found = as_decided_upon(&decisions, &survey).err().map(|error| error.to_string());
            assert_eq!(found.as_deref(), error, "{case}");
        }
    }

    #[test]
    fn a_claim_that_another_volume_came_to_first_is_not_recorded_as_adopted() {
        let written = |volume| on_claim(&decision(adopt()), &Lineage::default(), &claim("1", volume));
        assert_eq!(written(None).unwrap().unwrap()["spec"]["volumeName"], "pv-x");
        assert_eq!(written(Some("pv-x")).unwrap().unwrap()["metadata"]["annotations"][DATA_ANNOTATION], "adopt");
        let error = written(Some("pv-y")).unwrap_err().to_string();
        assert_eq!(error, "shop/data is bound to pv/pv-y since it was decided about (adopt)");
    }
}
