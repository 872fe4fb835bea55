//! An object store in the bed: versitygw over a folder that a test can look into.

use std::collections::BTreeMap;

use serde_json::json;

use super::support::{Bed, Space, finish, rekindle};

/// The image that the bed has for this beside those of the kit.
const IMAGE: &str = "docker.io/versity/versitygw:v1.8.0";

/// The bed's shell: the store's image has none.
const SHELL: &str = "docker.io/library/busybox:local";

const NAME: &str = "store";
const PORT: u16 = 7070;
const TLS_PORT: u16 = 7443;

/// What opens a store.
pub struct Keys {
    pub id: String,
    pub secret: String,
}

impl Keys {
    /// Those that the embedded kit's local environment has for its backups.
    pub fn of_the_kit(bed: &Bed) -> Self {
        let show = |name: &str| {
            finish(rekindle(None, &bed.kubeconfig, &["secrets", "show", "local", name]))
                .exit(0)
                .stdout
                .trim()
                .to_owned()
        };
        Self { id: show("backups-s3-access-key-id"), secret: show("backups-s3-secret-access-key") }
    }
}

/// A store with one bucket, in a namespace of its own that goes when the test ends.
pub struct ObjectStore<'a> {
    space: Space<'a>,
    certificate: String,
}

/// A store as another cluster reaches it, until this goes out of scope.
pub struct Door<'a> {
    /// As [`ObjectStore::flags`], for that cluster.
    pub flags: Vec<String>,
    _space: Space<'a>,
}

impl<'a> ObjectStore<'a> {
    /// The one bucket.
    pub const BUCKET: &'static str = "backups";

    /// Starts a store and waits until it answers other pods. `name` begins the name of its namespace.
    #[track_caller]
    pub fn start(bed: &'a Bed, name: &str, keys: &Keys) -> Self {
        let space = Space::new(bed, name);
        let host = format!("{NAME}.{}.svc", space.name);
        let names = vec![host.clone(), format!("{host}.cluster.local")];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let store = Self { space, certificate: made.cert.pem() };
        let namespace = &store.space.name;
        bed.apply_as("test", &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"));
        bed.wait_until("the namespace has its service account", |bed| {
            bed.get("v1", "ServiceAccount", Some(namespace), "default").is_some()
        });
        for object in [
            json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": NAME, "namespace": namespace},
                "stringData": {
                    "ROOT_ACCESS_KEY": keys.id,
                    "ROOT_SECRET_KEY": keys.secret,
                    "tls.crt": store.certificate,
                    "tls.key": made.signing_key.serialize_pem(),
                },
            }),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": NAME, "namespace": namespace},
                "spec": {
                    // So that other clusters reach it by its node.
                    "type": "NodePort",
                    "selector": {"app": NAME},
                    "ports": [{"name": "http", "port": PORT}, {"name": "https", "port": TLS_PORT}],
                },
            }),
            pod(namespace),
        ] {
            bed.apply_as("test", &object.to_string());
        }
        bed.wait_until("the object store is ready", |bed| {
            let pod = bed.get("v1", "Pod", Some(namespace), NAME).unwrap();
            let conditions = pod["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
        });
        // Packet filter rules follow the readiness of a pod by a moment.
        store.shell(&format!("until wget -qO- http://{host}.cluster.local:{PORT}/health; do usleep 100000; done"));
        store
    }

    /// Where pods reach it.
    pub fn endpoint(&self) -> String {
        format!("http://{NAME}.{}.svc:{PORT}", self.space.name)
    }

    /// The same store with TLS, for clients that insist on it; they have to trust [`ObjectStore::certificate`].
    pub fn tls_endpoint(&self) -> String {
        format!("https://{NAME}.{}.svc:{TLS_PORT}", self.space.name)
    }

    /// Its certificate in PEM, signed by itself.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The namespace, for pods of a test's own that look at the store.
    pub fn namespace(&self) -> &str {
        &self.space.name
    }

    /// Flags with which the kit keeps its backups here, and its network policies let them through.
    pub fn flags(&self) -> Vec<String> {
        let pod = self.space.bed.get("v1", "Pod", Some(&self.space.name), NAME).unwrap();
        // Policies look at a packet after its Service's address was replaced by the pod's.
        self.flags_for(pod["status"]["podIP"].as_str().unwrap(), [PORT, TLS_PORT].map(Into::into))
    }

    fn flags_for(&self, address: &str, ports: [u64; 2]) -> Vec<String> {
        let values = [
            "backups.enabled=true".to_owned(),
            format!("backups.bucket={}", Self::BUCKET),
            format!("backups.endpoint={}", self.endpoint()),
            format!("network.object_store=[{{cidr: {address}/32}}]"),
            format!("network.object_store_ports=[{}, {}]", ports[0], ports[1]),
        ];
        values.into_iter().flat_map(|value| ["--set".to_owned(), value]).collect()
    }

    /// Makes the store known in another cluster, under the same name.
    pub fn open_to<'b>(&self, other: &'b Bed) -> Door<'b> {
        let namespace = &self.space.name;
        let door = Space { bed: other, name: namespace.clone() };
        let service = self.space.bed.get("v1", "Service", Some(namespace), NAME).unwrap();
        let ports = [0, 1].map(|index: usize| service["spec"]["ports"][index]["nodePort"].as_u64().unwrap());
        let pod = self.space.bed.get("v1", "Pod", Some(namespace), NAME).unwrap();
        let node = pod["status"]["hostIP"].as_str().unwrap();
        let port = |name: &str, port: u64| json!({"name": name, "port": port});
        for object in [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": NAME, "namespace": namespace},
                "spec": {"ports": [port("http", PORT.into()), port("https", TLS_PORT.into())]},
            }),
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": NAME, "namespace": namespace, "labels": {"kubernetes.io/service-name": NAME},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [node], "conditions": {"ready": true}}],
                "ports": [port("http", ports[0]), port("https", ports[1])],
            }),
        ] {
            other.apply_as("test", &object.to_string());
        }
        Door { flags: self.flags_for(node, ports), _space: door }
    }

    /// Every file of the bucket with its checksum.
    pub fn files(&self) -> BTreeMap<String, String> {
        // Uploads that are not finished are in a folder of the server's own.
        let listing = self.shell("find . -name .sgwtmp -prune -o -type f -exec sha256sum {} +");
        let parts = listing.lines().map(|line| line.split_once("  ./").expect("a checksum and a path"));
        parts.map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect()
    }

    /// Removes a file of the bucket behind the store's back.
    #[track_caller]
    pub fn remove(&self, path: &str) {
        self.exec(&["rm", &format!("./{path}")]);
    }

    #[track_caller]
    fn shell(&self, script: &str) -> String {
        self.exec(&["sh", "-c", script])
    }

    /// Makes another bucket: a folder beside this one.
    #[track_caller]
    pub fn make_bucket(&self, name: &str) {
        self.exec(&["mkdir", &format!("../{name}")]);
    }

    /// Runs a command in the bucket's folder.
    #[track_caller]
    fn exec(&self, command: &[&str]) -> String {
        self.space.bed.exec_in(&self.space.name, NAME, Some("look"), command)
    }
}

/// Two servers over one folder, one of them with TLS, and a shell in the bucket.
fn pod(namespace: &str) -> serde_json::Value {
    let bucket = format!("/objects/{}", ObjectStore::BUCKET);
    let objects = json!({"name": "objects", "mountPath": "/objects"});
    let key = |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": NAME, "key": name}}});
    let server = |name: &str, port: u16, scheme: &str, flags: &[&str]| {
        let listen = format!(":{port}");
        let arguments =
            [&["--port", &listen, "--health", "/health", "--quiet"], flags, &["posix", "/objects"]].concat();
        json!({
            "name": name,
            "image": IMAGE,
            "args": arguments,
            "env": [key("ROOT_ACCESS_KEY"), key("ROOT_SECRET_KEY")],
            "readinessProbe": {
                "httpGet": {"path": "/health", "port": port, "scheme": scheme},
                "periodSeconds": 1,
            },
            "volumeMounts": [objects, {"name": "tls", "mountPath": "/tls", "readOnly": true}],
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"app": NAME}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
            "initContainers": [{
                "name": "bucket",
                "image": SHELL,
                "command": ["mkdir", "-p", bucket],
                "volumeMounts": [objects],
            }],
            "containers": [
                server("http", PORT, "HTTP", &[]),
                server("https", TLS_PORT, "HTTPS", &["--cert", "/tls/tls.crt", "--key", "/tls/tls.key"]),
                {
                    "name": "look",
                    "image": SHELL,
                    "workingDir": bucket,
                    "command": ["sleep", "1000000"],
                    "volumeMounts": [objects],
                },
            ],
            "volumes": [{"name": "objects", "emptyDir": {}}, {"name": "tls", "secret": {"secretName": NAME}}],
        },
    })
}
