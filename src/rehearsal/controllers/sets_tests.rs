#![allow(clippy::unwrap_used)]

use crate::rehearsal::deletion::is_dying;
use crate::rehearsal::sample::{make, pass, said, world};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

fn pods(world: &World) -> Vec<String> {
    let all = world.store.list(&(String::new(), "pods".into()), None).filter(|(_, pod)| !is_dying(pod));
    all.map(|((_, name), _)| name.clone()).collect()
}

fn claims(world: &World) -> Vec<String> {
    let all = world.store.list(&(String::new(), "persistentvolumeclaims".into()), None);
    all.map(|((_, name), _)| name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn numbers_begin_where_the_set_says() {
    for (start, replicas, expected) in [
        ("", 2, vec!["db-0", "db-1"]),
        ("ordinals: {start: 1}", 1, vec!["db-1"]),
        ("ordinals: {start: 3}", 2, vec!["db-3", "db-4"]),
    ] {
        let mut world = world(1);
        let class = Key::new("storage.k8s.io", "storageclasses", "", "fast");
        make(&mut world, &class, "{provisioner: a, reclaimPolicy: Retain, volumeBindingMode: Immediate}");
        let set = Key::new("apps", "statefulsets", "space", "db");
        let start = if start.is_empty() { String::new() } else { format!("{start}, ") };
        make(
            &mut world,
            &set,
            &format!(
                "spec: {{{start}replicas: {replicas}, selector: {{matchLabels: {{app: db}}}}, \
                 template: {{metadata: {{labels: {{app: db}}}}, spec: {{containers: [{{name: db, image: a}}]}}}}, \
                 volumeClaimTemplates: [{{metadata: {{name: data}}, spec: {{storageClassName: fast, accessModes: [ReadWriteOnce], \
                 resources: {{requests: {{storage: 1Gi}}}}}}}}]}}"
            ),
        );
        pass(&mut world, 300).await;
        assert_eq!(pods(&world), expected);
        let of_pods: Vec<_> = expected.iter().map(|pod| format!("data-{pod}")).collect();
        assert_eq!(claims(&world), of_pods);
        assert_eq!(world.store.get(&set).unwrap()["status"]["readyReplicas"], replicas);
        assert_ne!(said(&world, &set, "/status/currentRevision"), "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_whose_first_number_rises_gives_up_the_pods_before_it() {
    let mut world = world(1);
    let set = Key::new("apps", "statefulsets", "space", "db");
    make(
        &mut world,
        &set,
        "spec: {replicas: 2, selector: {matchLabels: {app: db}}, \
         template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: a}]}}}",
    );
    pass(&mut world, 300).await;
    world.edit(&set, |set| set["spec"]["ordinals"] = serde_json::json!({"start": 1}));
    pass(&mut world, 300).await;
    assert_eq!(pods(&world), ["db-1", "db-2"]);
}
