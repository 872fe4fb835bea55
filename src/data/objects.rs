//! Decisions as objects of the plan: the claims of StatefulSets are made by Rekindle, before the set can make empty ones, each
//! with the decision on it and, when a volume is adopted, with that volume named. Pure.

use serde_json::{Value, json};

use super::claims::{Expected, Maker, last_phase};
use super::decision::{Choice, Decision, Decisions};
use super::evidence::{Claim, Record};
use super::survey::Survey;
use super::{COPY, DATA_ANNOTATION, DataSet, Lineage, Source, memory};
use crate::health::gate::Wanted;
use crate::kit::Rendered;
use crate::manifest::Object;

/// Fields of a claim's spec that cannot be changed once it is there; as it is counts then, not what the kit says by now.
const FIXED: [&str; 4] = ["accessModes", "storageClassName", "volumeMode", "resources"];

/// Writes decisions into a rendered kit: into the claims that it holds, and as new claims before the StatefulSets.
pub fn add(rendered: &mut Rendered, decisions: &Decisions, survey: &Survey, environment: &str) {
    let claims = std::mem::take(&mut rendered.claims);
    for claim in &claims {
        let Some((set, decision)) = decisions.of_claim(&claim.namespace, &claim.name) else { continue };
        let live = survey.claim(&claim.namespace, &claim.name).filter(|live| !live.deleting);
        let lineage = lineage_of(set, &decision.choice, live);
        let Some(body) = body(claim, &decision.choice, &lineage, live, survey, environment) else { continue };
        let Some(phase) = rendered.phases.iter_mut().find(|phase| phase.name == claim.phase) else { continue };
        let place = |object: &Object, kind: &str, name: &str| {
            object.kind() == kind && object.name() == name && object.namespace() == Some(claim.namespace.as_str())
        };
        match &claim.maker {
            Maker::Kit => {
                let made = phase.objects.iter_mut().find(|it| place(it, "PersistentVolumeClaim", &claim.name));
                if let Some(object) = made {
                    *object.body_mut() = body;
                }
            }
            Maker::StatefulSet { name, .. } => {
                let at = phase.objects.iter().position(|it| place(it, "StatefulSet", name)).unwrap_or(0);
                if let Ok(object) = Object::new(body, claim.origin.clone()) {
                    phase.objects.insert(at, object);
                }
            }
        }
    }
    rendered.claims = claims;
}

/// Adds the gates that prove contents which were there before: what the data set says must hold, and that adopted data is the
/// same as at the end of the last healthy run.
pub fn add_gates(rendered: &mut Rendered, decisions: &Decisions, survey: &Survey) {
    let sets: Vec<DataSet> = rendered.data_sets().cloned().collect();
    for (set, decision) in sets.iter().filter_map(|set| Some((set, decisions.of_set(&set.name)?))) {
        let last = last_phase(&rendered.claims, &set.name);
        let Some(phase) = rendered.phases.iter_mut().find(|phase| Some(phase.name.as_str()) == last) else { continue };
        let adopted = decision.claims.iter().filter_map(|claim| match &claim.choice {
            Choice::Adopt { volume } => survey.volume(volume)?.marks.as_ref()?.identity.clone(),
            _ => None,
        });
        let remembered = memory::gates(set, decisions);
        if let (Some(gate), Some(known)) = (&set.identity, adopted.into_iter().next())
            && remembered.iter().all(|other| other.name != gate.name)
        {
            phase.gates.push(gate.wanting(Wanted::Expect(known)));
        }
        phase.gates.extend(remembered);
        if let Some(gate) = set.proof.as_ref().filter(|_| decision.source != Source::Empty) {
            phase.gates.push(gate.clone());
        }
    }
}

/// What is written on a claim: one that is there keeps what it was made with, unless it is promoted.
fn lineage_of(set: &Decision, choice: &Choice, live: Option<&Claim>) -> Lineage {
    let Some(live) = live.filter(|_| *choice == Choice::Keep) else { return set.lineage.clone() };
    let mut lineage = live.lineage.clone();
    if set.promoted && lineage.follows() {
        lineage.standby.clone_from(&set.lineage.standby);
    }
    lineage
}

/// The claim as it is sent; `None` when it is not ours to send: somebody else made it, and it is used as it is.
fn body(
    claim: &Expected,
    choice: &Choice,
    lineage: &Lineage,
    live: Option<&Claim>,
    survey: &Survey,
    environment: &str,
) -> Option<Value> {
    let ours = live.is_none_or(|live| live.environment.as_deref() == Some(environment));
    if !ours && claim.maker != Maker::Kit {
        return None;
    }
    let (word, volume) = match choice {
        Choice::Adopt { volume } => (Source::Adopt.word(), Some(volume.clone())),
        Choice::Restore { .. } => (Source::Restore.word(), None),
        Choice::Empty => (Source::Empty.word(), None),
        Choice::Copy => (COPY, None),
        Choice::Keep => {
            let record = live?.record?;
            let adopted = record == Record::From(Source::Adopt);
            (record.word(), live.and_then(|live| live.volume.clone()).filter(|_| adopted))
        }
    };
    let mut body = claim.body.clone();
    let metadata = body.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if !annotations.is_object() {
        *annotations = json!({});
    }
    let annotations = annotations.as_object_mut()?;
    annotations.insert(DATA_ANNOTATION.into(), word.into());
    lineage.write(annotations);
    let spec = body.get_mut("spec")?.as_object_mut()?;
    if let Some(name) = &volume {
        // A volume binds to a claim of its own class; for one without a class that must be said.
        let class = match live {
            Some(live) => live.spec.get("storageClassName").cloned().unwrap_or_else(|| "".into()),
            None => survey.volume(name).map(|volume| volume.class.clone()).unwrap_or_default().into(),
        };
        spec.insert("storageClassName".into(), class);
        spec.insert("volumeName".into(), name.clone().into());
    }
    if let (Some(live), Maker::StatefulSet { .. }) = (live, &claim.maker) {
        for field in FIXED {
            if let (Some(ours), Some(there)) = (spec.get_mut(field), live.spec.get(field)) {
                *ours = there.clone();
            }
        }
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::evidence::Volume;
    use crate::manifest::Origin;

    fn expected() -> Expected {
        Expected {
            namespace: "shop".into(),
            name: "data-db-0".into(),
            data_set: Some("db".into()),
            phase: "database".into(),
            maker: Maker::StatefulSet { name: "db".into(), template: "data".into() },
            body: json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data-db-0", "namespace": "shop"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }),
            origin: Origin::default(),
        }
    }

    fn survey() -> Survey {
        let volume = Volume { name: "pv-1".into(), class: "fast".into(), ..Volume::default() };
        Survey { volumes: vec![volume], ..Survey::default() }
    }

    /// The claim as the API server would have it after the body was sent and bound.
    fn bound(body: &Value, environment: &str) -> Claim {
        let mut live = body.clone();
        live["metadata"]["labels"] = json!({"rekindle.dev/environment": environment});
        live["spec"]["volumeName"] = "pv-1".into();
        live["spec"]["volumeMode"] = "Filesystem".into();
        live["status"] = json!({"phase": "Bound"});
        Claim::of(&live)
    }

    #[test]
    fn a_later_run_sends_the_same_bytes() {
        let restored = Lineage { backup: "base_1".into(), history: "history-1".into(), ..Lineage::default() };
        for (choice, lineage) in [
            (Choice::Adopt { volume: "pv-1".into() }, Lineage::default()),
            (Choice::Restore { backup: "base_1".into() }, restored),
            (Choice::Empty, Lineage::default()),
            (Choice::Copy, Lineage::default()),
        ] {
            let first = body(&expected(), &choice, &lineage, None, &survey(), "shop").unwrap_or_default();
            let live = bound(&first, "shop");
            let again =
                body(&expected(), &Choice::Keep, &live.lineage, Some(&live), &survey(), "shop").unwrap_or_default();
            assert_eq!(first.to_string(), again.to_string());
        }
    }

    #[test]
    fn an_adopted_volume_is_named_and_its_class_wins() {
        let adopt = Choice::Adopt { volume: "pv-1".into() };
        let body = body(&expected(), &adopt, &Lineage::default(), None, &survey(), "shop").unwrap_or_default();
        assert_eq!((&body["spec"]["volumeName"], &body["spec"]["storageClassName"]), (&json!("pv-1"), &json!("fast")));
        assert_eq!(body["metadata"]["annotations"], json!({"rekindle.dev/data": "adopt"}));
    }

    #[test]
    fn a_claim_that_somebody_else_made_is_not_sent() {
        let live = bound(&expected().body, "other");
        for choice in [Choice::Keep, Choice::Empty, Choice::Adopt { volume: "pv-1".into() }] {
            assert_eq!(body(&expected(), &choice, &Lineage::default(), Some(&live), &survey(), "shop"), None);
        }
    }

    #[test]
    fn a_claim_stays_as_it_is_when_the_kit_changes_its_mind() {
        let first = body(&expected(), &Choice::Empty, &Lineage::default(), None, &survey(), "shop").unwrap_or_default();
        let mut later = expected();
        later.body["spec"]["resources"]["requests"]["storage"] = "9Gi".into();
        let live = bound(&first, "shop");
        let again =
            body(&later, &Choice::Keep, &Lineage::default(), Some(&live), &survey(), "shop").unwrap_or_default();
        assert_eq!(again["spec"]["resources"]["requests"]["storage"], "1Gi");
    }
}
