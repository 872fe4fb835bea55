//! The order inside each phase: which object needs which, without circles.

use std::collections::{BTreeSet, HashMap};

use super::Need;
use crate::kit::Rendered;
use crate::manifest::Object;
use crate::manifest::catalogue::Catalogue;
use crate::manifest::mistake::{Mistake, Mistakes};
use crate::manifest::references::{Need as Degree, Target};

/// Needs of one phase's items: for each item, what comes first.
type Needs = Vec<BTreeSet<Need>>;

/// For each phase and each of its objects, the objects of the same phase that come first. Objects of earlier phases
/// are there already when a phase begins.
///
/// # Errors
/// When objects need each other in a circle.
pub fn needs(rendered: &Rendered) -> Result<Vec<Vec<Vec<Need>>>, Mistakes> {
    // Objects of all phases in one row, so that a reference finds its target wherever it is.
    let places: Vec<(usize, usize)> = rendered
        .phases
        .iter()
        .enumerate()
        .flat_map(|(phase, rendered)| (0..rendered.objects.len()).map(move |item| (phase, item)))
        .collect();
    let catalogue = Catalogue::new(rendered.phases.iter().flat_map(|phase| &phase.objects));
    let mut phases: Vec<Needs> =
        rendered.phases.iter().map(|phase| vec![BTreeSet::new(); phase.objects.len()]).collect();
    for (index, (phase, item)) in places.iter().enumerate() {
        for reference in catalogue.references(index) {
            let Some((target_phase, target)) = catalogue.find(&reference.target).and_then(|found| places.get(found))
            else {
                continue;
            };
            if target_phase == phase && target != item {
                let declared = matches!(reference.target, Target::Named { .. });
                let bound = names_its_volume(&rendered.phases[*phase].objects[*target]);
                let ready = declared || bound || reference.need == Degree::Ready;
                phases[*phase][*item].insert(Need { item: *target, ready });
            }
        }
    }
    let mut mistakes = Vec::new();
    for (phase, needs) in phases.iter_mut().enumerate() {
        strictest(needs);
        if let Err(circle) = untangle(needs) {
            let object = |index: &usize| &rendered.phases[phase].objects[*index];
            let names: Vec<_> = circle.iter().map(|index| object(index).key().to_string()).collect();
            let first = circle.first().map(object);
            mistakes.push(Mistake {
                code: "circle",
                message: format!("objects wait for each other in a circle: {}", names.join(" → ")),
                file: first.map(|object| object.origin.file.clone()).unwrap_or_default(),
                span: None,
                hint: Some(
                    "take one of them out of an annotation rekindle.dev/after, or move it to another phase".into(),
                ),
            });
        }
    }
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    Ok(phases.into_iter().map(|needs| needs.into_iter().map(|set| set.into_iter().collect()).collect()).collect())
}

/// Whether an object is a claim that names its volume: it is bound without a pod, and a pod that the scheduler sees before that
/// may be left alone for minutes.
fn names_its_volume(object: &Object) -> bool {
    object.kind() == "PersistentVolumeClaim" && object.body().pointer("/spec/volumeName").is_some()
}

/// Of two needs for the same object, the one that wants it ready wins.
fn strictest(needs: &mut Needs) {
    for set in needs {
        let ready: BTreeSet<usize> = set.iter().filter(|need| need.ready).map(|need| need.item).collect();
        set.retain(|need| need.ready || !ready.contains(&need.item));
    }
}

/// Removes needs that only ask for existence from circles, because what a person declared goes before what was
/// inferred; a circle of needs for being ready cannot be resolved and is returned.
fn untangle(needs: &mut Needs) -> Result<(), Vec<usize>> {
    loop {
        let Some(circle) = circle(needs) else { return Ok(()) };
        let steps = circle.iter().zip(circle.iter().skip(1));
        let weak = steps.map(|(from, to)| (*from, Need { item: *to, ready: false }));
        let weak: Vec<_> = weak.filter(|(from, need)| needs[*from].contains(need)).collect();
        if weak.is_empty() {
            return Err(circle);
        }
        for (from, need) in weak {
            needs[from].remove(&need);
        }
    }
}

/// A circle among the needs, with its first member repeated at the end.
fn circle(needs: &Needs) -> Option<Vec<usize>> {
    let mut open: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut dependents: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, set) in needs.iter().enumerate() {
        for need in set {
            dependents.entry(need.item).or_default().push(index);
        }
    }
    let mut free: Vec<usize> = (0..needs.len()).filter(|index| open[*index] == 0).collect();
    while let Some(index) = free.pop() {
        for dependent in dependents.get(&index).into_iter().flatten() {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                free.push(*dependent);
            }
        }
    }
    // Whatever is still open lies on a circle or behind one; walking along open needs must come around.
    let mut at = (0..needs.len()).find(|index| open[*index] > 0)?;
    let mut walked = Vec::new();
    loop {
        if let Some(start) = walked.iter().position(|index| *index == at) {
            let mut circle = walked.split_off(start);
            circle.push(at);
            return Some(circle);
        }
        walked.push(at);
        at = needs[at].iter().map(|need| need.item).find(|item| open[*item] > 0)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn set(needs: &[(usize, bool)]) -> BTreeSet<Need> {
        needs.iter().map(|(item, ready)| Need { item: *item, ready: *ready }).collect()
    }

    #[test]
    fn a_declared_circle_is_named() {
        let mut needs = vec![set(&[(1, true)]), set(&[(2, true)]), set(&[(0, true)])];
        assert_eq!(untangle(&mut needs), Err(vec![0, 1, 2, 0]));
    }

    #[test]
    fn an_inferred_need_yields_to_a_declared_one() {
        let mut needs = vec![set(&[(1, false)]), set(&[(0, true)])];
        assert_eq!(untangle(&mut needs), Ok(()));
        assert_eq!(needs, vec![set(&[]), set(&[(0, true)])]);
    }

    #[test]
    fn the_strictest_need_wins() {
        let mut needs = vec![set(&[(1, false), (1, true)]), set(&[])];
        strictest(&mut needs);
        assert_eq!(needs[0], set(&[(1, true)]));
    }

    #[test]
    fn a_pod_waits_until_a_claim_has_the_volume_that_it_names() {
        use crate::kit::{Kit, KitSource, Overrides};
        let claim = |name: &str, more: &str| {
            format!(
                "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{accessModes: [ReadWriteOnce], \
                 resources: {{requests: {{storage: 1Gi}}}}{more}}}\n---\n"
            )
        };
        let pods = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  serviceName: db\n  replicas: 2\n  \
                    selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n    \
                    spec: {containers: [{name: c, image: i}]}\n  volumeClaimTemplates:\n  - metadata: {name: data}\n    \
                    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
        let objects = claim("data-db-0", ", volumeName: pv-1") + &claim("data-db-1", "") + pods;
        let files = [
            ("templates/stack.yaml", "name: shop\nphases: [{name: storage}]\n"),
            ("environments/test.yaml", "namespace: shop\n"),
            ("templates/storage/all.yaml", objects.as_str()),
        ];
        let files = files.into_iter().map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect();
        let kit = Kit { source: KitSource::Embedded, files };
        let environment = kit.environment("test", &Overrides::default()).unwrap();
        let rendered = kit.render(&environment, &crate::secrets::StandIns::of(&kit).unwrap()).unwrap();
        let position = |name: &str| rendered.phases[0].objects.iter().position(|object| object.name() == name).unwrap();
        let needs = needs(&rendered).unwrap();
        let of =
            |claim: &str| needs[0][position("db")].iter().find(|need| need.item == position(claim)).map(|it| it.ready);
        assert_eq!((of("data-db-0"), of("data-db-1")), (Some(true), Some(false)));
    }

    proptest! {
        #[test]
        fn what_is_left_has_no_circle_and_keeps_every_declared_need(
            edges in prop::collection::vec((0usize..12, 0usize..12, any::<bool>()), 0..40)
        ) {
            let mut needs: Needs = vec![BTreeSet::new(); 12];
            for (from, to, ready) in edges.into_iter().filter(|(from, to, _)| from != to) {
                needs[from].insert(Need { item: to, ready });
            }
            strictest(&mut needs);
            let declared: Vec<Vec<Need>> =
                needs.iter().map(|set| set.iter().filter(|need| need.ready).copied().collect()).collect();
            match untangle(&mut needs) {
                Ok(()) => {
                    prop_assert!(circle(&needs).is_none());
                    for (set, declared) in needs.iter().zip(declared) {
                        prop_assert!(declared.iter().all(|need| set.contains(need)));
                    }
                }
                Err(circle) => {
                    prop_assert_eq!(circle.first(), circle.last());
                    for (from, to) in circle.iter().zip(circle.iter().skip(1)) {
                        let declared = Need { item: *to, ready: true };
                        prop_assert!(needs[*from].contains(&declared));
                    }
                }
            }
        }
    }
}
