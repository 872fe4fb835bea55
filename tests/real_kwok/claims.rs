//! Volumes: made for claims and bound by the real controllers, in the order that keeps a pod from waiting for a claim that
//! is not there.

use super::BED;
use super::cloud::Cloud;
use super::order::{Timeline, references};
use super::support::{Bed, Kit, Space, run};

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn claims_come_before_their_pods_whenever_their_volumes_are_made() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "claims");
    let cloud = Cloud::of(&space);
    let kit = Kit::new(&space.name, "- {name: storage, timeout: 30s}\n- {name: services, timeout: 30s}");
    // What is needed comes last in the order of files and documents.
    for (mode, suffix) in [("Immediate", "now"), ("WaitForFirstConsumer", "later")] {
        kit.write(
            &format!("templates/storage/{suffix}.yaml"),
            &format!(
                "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: early-{suffix}}}
spec: {{storageClassName: {space}-{suffix}, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {space}-{suffix}}}
provisioner: {provisioner}
reclaimPolicy: Retain
volumeBindingMode: {mode}
",
                space = space.name,
                provisioner = cloud.provisioner(),
            ),
        );
        kit.write(
            &format!("templates/services/{suffix}.yaml"),
            &format!(
                "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {suffix}}}
spec:
  selector: {{matchLabels: {{app: {suffix}}}}}
  template:
    metadata: {{labels: {{app: {suffix}}}}}
    spec:
      containers: [{{name: main, image: registry.invalid/main}}]
      volumes:
      - {{name: early, persistentVolumeClaim: {{claimName: early-{suffix}}}}}
      - {{name: own, persistentVolumeClaim: {{claimName: own-{suffix}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: own-{suffix}}}
spec: {{storageClassName: {space}-{suffix}, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
",
                space = space.name,
            ),
        );
    }
    let ran = run(&kit, &bed, &["up", "test", "-o", "json"]);
    for suffix in ["now", "later"] {
        let classes = bed.api("storage.k8s.io/v1", "StorageClass", None);
        let _ = bed.block_on(classes.delete(&format!("{}-{suffix}", space.name), &kube::api::DeleteParams::default()));
    }
    let ran = ran.exit(0);
    let timeline = Timeline::of(&ran.events());
    let remark = |claim: &str| {
        let ready = ran.events().into_iter().find(|it| it["event"] == "object-ready" && it["object"]["name"] == claim);
        ready.unwrap()["reason"].as_str().unwrap_or_default().to_owned()
    };
    // In a phase before its pod's, a claim that waits for the pod must not hold up everything.
    assert_eq!(remark("early-later"), "waits for its first consumer");
    assert_eq!(remark("early-now"), "");
    for suffix in ["now", "later"] {
        let deployment = format!("Deployment/{suffix}");
        let claim = format!("PersistentVolumeClaim/own-{suffix}");
        let class = format!("StorageClass/{}-{suffix}", space.name);
        assert!(timeline.at("object-applied", &claim) < timeline.at("object-applied", &deployment));
        assert!(
            timeline.at("object-applied", &class)
                < timeline.at("object-applied", &format!("PersistentVolumeClaim/early-{suffix}"))
        );
        let live = bed.get("apps/v1", "Deployment", Some(&space.name), suffix).unwrap();
        assert!(references(&live).contains(&claim), "the order is that of a reference");
        for claim in ["early", "own"] {
            let name = format!("{claim}-{suffix}");
            let claim = bed.get("v1", "PersistentVolumeClaim", Some(&space.name), &name).unwrap();
            assert_eq!(claim["status"]["phase"], "Bound", "{name}");
        }
    }
    assert_eq!(cloud.volumes(), 4);
}

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn a_volume_that_nobody_makes_is_named_with_who_was_asked() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "nobody");
    let kit = Kit::new(&space.name, "- {name: database, timeout: 5s}");
    kit.write(
        "templates/database/db.yaml",
        &format!(
            "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {space}}}
provisioner: nobody.example.com
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec: {{containers: [{{name: main, image: registry.invalid/db}}]}}
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{storageClassName: {space}, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: db}}
spec: {{clusterIP: None}}
",
            space = space.name,
        ),
    );
    let ran = run(&kit, &bed, &["up", "test"]);
    let classes = bed.api("storage.k8s.io/v1", "StorageClass", None);
    let _ = bed.block_on(classes.delete(&space.name, &kube::api::DeleteParams::default()));
    let ran = ran.exit(7).says("StatefulSet").says("templates/database/db.yaml:7").says("0 of 1 pod ready");
    let _ = ran.says("PersistentVolumeClaim/data-db-0").says("nobody.example.com");
}
