//! The bed itself: containers, Services, DNS and dynamic volumes, on which every other test here relies.

use super::support::{Bed, Space};
use super::{BED, shared};

/// A file in a dynamic volume, served behind a Service. Every node bed has this busybox.
const SERVER: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: server, namespace: SPACE, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: docker.io/library/busybox:local
    command: [sh, -c, "echo kept > /data/index.html; exec httpd -f -p 8080 -h /data"]
    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"#;

const CLAIM: &str = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: SPACE}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web, namespace: SPACE}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

/// Asks until it is answered, because packet filter rules follow the readiness of a pod by a moment. Without a time limit:
/// with one, Debian's static busybox crashes.
const CLIENT: &str = r#"apiVersion: v1
kind: Pod
metadata: {name: client, namespace: SPACE}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: client
    image: docker.io/library/busybox:local
    command:
    - sh
    - -c
    - until answer=$(wget -qO- http://web.SPACE.svc.cluster.local/); do usleep 100000; done; test "$answer" = kept
"#;

#[test]
#[ignore = "needs a node"]
fn a_pod_finds_another_by_name_and_reads_what_its_volume_holds() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let space = Space::new(&bed, "bed");
    let apply = |yaml: &str| bed.apply_as("test", &yaml.replace("SPACE", &space.name));
    let phase = |bed: &Bed, pod: &str| bed.get("v1", "Pod", Some(&space.name), pod).unwrap()["status"]["phase"].clone();

    apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: SPACE}\n");
    bed.wait_until("the namespace has its service account", |bed| {
        bed.get("v1", "ServiceAccount", Some(&space.name), "default").is_some()
    });
    for object in [CLAIM, SERVICE, SERVER, CLIENT] {
        apply(object);
    }
    bed.wait_until("the client was answered", |bed| {
        let phase = phase(bed, "client");
        assert_ne!(phase, "Failed", "the client was told something else");
        phase == "Succeeded"
    });

    // Its class deletes what is no longer claimed.
    let claim = bed.get("v1", "PersistentVolumeClaim", Some(&space.name), "data").unwrap();
    let volume = claim["spec"]["volumeName"].as_str().unwrap();
    for (kind, name) in [("Pod", "server"), ("PersistentVolumeClaim", "data")] {
        bed.block_on(bed.api("v1", kind, Some(&space.name)).delete(name, &kube::api::DeleteParams::default())).unwrap();
    }
    bed.wait_until("the volume is reclaimed", |bed| bed.get("v1", "PersistentVolume", None, volume).is_none());
}
