//! The bed itself: what every other test here relies on.

use super::BED;
use super::support::{Bed, Space};

#[test]
#[ignore = "needs a control plane with simulated nodes"]
fn pods_of_any_image_become_ready() {
    let bed = Bed::from_variable(BED);
    for number in 1..=4 {
        let node = bed.get("v1", "Node", None, &format!("node-{number}")).expect("the bed has four nodes");
        assert_eq!(node["status"]["capacity"]["cpu"], "64");
    }
    let space = Space::new(&bed, "bed");
    bed.apply_as("test", &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", space.name));
    bed.apply_as(
        "test",
        &format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {}}}
spec:
  replicas: 8
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: registry.invalid/web}}]}}
",
            space.name
        ),
    );
    bed.wait_until("eight pods are available", |bed| {
        let web = bed.get("apps/v1", "Deployment", Some(&space.name), "web").unwrap();
        web["status"]["availableReplicas"] == 8
    });
}
