//! The inventory: the record in the cluster of what belongs to an environment and what it looked like when we last
//! sent it. It lets a second run see with a few LISTs that nothing has to be written.
//!
//! An object is unchanged when three things hold: the kit still says the same (hash of what we would send), the object
//! is the same one (UID), and nobody has taken or given us fields since (hash of our own entry in `managedFields`, from
//! which the API server removes a field the moment another manager changes it).

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::connect::patiently;
use super::system::{MANAGED_BY_LABEL, record_name, with_namespace};
use super::{Cluster, ClusterError, FIELD_MANAGER, SYSTEM_NAMESPACE, applyset};
use crate::manifest::ObjectKey;

/// Version of the record's format. Readers ignore a newer one and send everything again, which changes nothing.
const VERSION: u32 = 1;

/// What the record's name begins with.
pub const SORT: &str = "inventory";

/// Largest record that is read, unpacked. A record of 5,000 objects is below 2 MiB.
const LARGEST: u64 = 64 << 20;

/// What was sent for one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `metadata.uid` of the object we wrote.
    pub uid: String,
    /// [`desired_hash`] of what we sent.
    pub desired: String,
    /// [`owned_fields_hash`] of the answer.
    pub fields: String,
    /// The phase that it belongs to.
    pub phase: String,
    /// Whether it carried `rekindle.dev/keep` when it was sent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep: bool,
    /// Whether the kit does not have it any more: it was kept when the rest that left the kit was deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub left: bool,
    /// UID of the namespace in which it ran to completion, of a Job that Kubernetes deletes after that: while it says this it
    /// is not missing, and need not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_in: Option<String>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Everything that belongs to an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Entries by object.
    pub entries: BTreeMap<ObjectKey, Entry>,
    /// Whether it was made anew after an earlier one was lost, and what left the kit before has not been looked for since.
    pub incomplete: bool,
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    objects: Vec<RecordedObject>,
    #[serde(default, skip_serializing_if = "is_false")]
    incomplete: bool,
}

#[derive(Serialize, Deserialize)]
struct RecordedObject {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    #[serde(flatten)]
    entry: Entry,
}

/// The first 16 bytes of the SHA-256, in hexadecimal digits.
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hash of an object as we would send it.
pub fn desired_hash(body: &Value) -> String {
    short_hash(body.to_string().as_bytes())
}

/// Hash of the fields that the API server says we own (our `Apply` entry in `metadata.managedFields`); `None` when we
/// own nothing.
pub fn owned_fields_hash(live: &Value) -> Option<String> {
    let entry = live.pointer("/metadata/managedFields")?.as_array()?.iter().find(|entry| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        text("manager") == FIELD_MANAGER && text("operation") == "Apply" && text("subresource").is_empty()
    })?;
    let fields = json!([entry.get("apiVersion"), entry.get("fieldsV1")]);
    Some(short_hash(fields.to_string().as_bytes()))
}

impl Inventory {
    /// Whether a live object (its metadata suffices) is exactly as recorded, and the record as we would send it now.
    pub fn is_unchanged(&self, key: &ObjectKey, desired: &str, live: &Value) -> bool {
        self.entries.get(key).is_some_and(|entry| {
            entry.desired == desired
                && live.pointer("/metadata/uid").and_then(Value::as_str) == Some(&entry.uid)
                && live.pointer("/metadata/deletionTimestamp").is_none()
                && owned_fields_hash(live).as_deref() == Some(&entry.fields)
        })
    }

    /// Whether an object that is not there is a Job that has run to completion as we would send it now, in the namespace of
    /// today.
    pub fn has_finished(&self, key: &ObjectKey, desired: &str, namespace: Option<&Value>) -> bool {
        let Some(namespace) = namespace.filter(|live| live.pointer("/metadata/deletionTimestamp").is_none()) else {
            return false;
        };
        let uid = namespace.pointer("/metadata/uid").and_then(Value::as_str);
        self.entries.get(key).is_some_and(|entry| {
            entry.desired == desired && entry.finished_in.is_some() && entry.finished_in.as_deref() == uid
        })
    }

    fn pack(&self) -> std::io::Result<Vec<u8>> {
        let objects = self
            .entries
            .iter()
            .map(|(key, entry)| RecordedObject {
                group: key.group.clone(),
                kind: key.kind.clone(),
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                entry: entry.clone(),
            })
            .collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(
            json!(Record { version: VERSION, objects, incomplete: self.incomplete }).to_string().as_bytes(),
        )?;
        encoder.finish()
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut text = String::new();
        GzDecoder::new(bytes).take(LARGEST).read_to_string(&mut text).ok()?;
        let record: Record = serde_json::from_str(&text).ok().filter(|record: &Record| record.version == VERSION)?;
        let entries = record
            .objects
            .into_iter()
            .map(|object| {
                (
                    ObjectKey {
                        group: object.group,
                        kind: object.kind,
                        namespace: object.namespace,
                        name: object.name,
                    },
                    object.entry,
                )
            })
            .collect();
        Some(Self { entries, incomplete: record.incomplete })
    }

    /// Reads the record of an environment. A record that is missing, unreadable or of a newer format counts as empty:
    /// then everything is sent again, which writes nothing where nothing differs.
    ///
    /// # Errors
    /// When the cluster does not answer or does not let us read it.
    pub async fn load(cluster: &Cluster, environment: &str) -> Result<Self, ClusterError> {
        Ok(Self::read(cluster, environment).await?.unwrap_or_default())
    }

    /// Reads the record of an environment; `None` when it is missing, unreadable or of a newer format.
    ///
    /// # Errors
    /// When the cluster does not answer or does not let us read it.
    pub async fn read(cluster: &Cluster, environment: &str) -> Result<Option<Self>, ClusterError> {
        let api: Api<Secret> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
        let name = record_name(SORT, environment);
        let secret = patiently(&cluster.server, || api.get_opt(&name)).await?;
        Ok(secret
            .and_then(|secret| secret.data)
            .and_then(|mut data| data.remove("objects"))
            .and_then(|packed| Self::unpack(&packed.0)))
    }

    /// Writes the record, and Rekindle's namespace where it is missing. It is a Secret because hashes of small Secrets
    /// could be guessed from.
    ///
    /// # Errors
    /// When the cluster does not answer or does not let us write it.
    pub async fn store(&self, cluster: &Cluster, environment: &str) -> Result<(), ClusterError> {
        let packed = self.pack().map_err(|error| ClusterError::Kubeconfig(error.to_string()))?;
        let name = record_name(SORT, environment);
        let mut annotations = applyset::annotations(self.entries.keys());
        annotations["rekindle.dev/environment"] = environment.into();
        let record = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "rekindle.dev/inventory",
            "metadata": {
                "name": name,
                "namespace": SYSTEM_NAMESPACE,
                "labels": {MANAGED_BY_LABEL: "rekindle", applyset::ID_LABEL: applyset::id(&name)},
                "annotations": annotations,
            },
            "data": {"objects": STANDARD.encode(packed)},
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let api: Api<Secret> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
        let body = Patch::Apply(&record);
        with_namespace(cluster, || api.patch(&name, &params, &body)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { group: "apps".into(), kind: "Deployment".into(), namespace: Some("a".into()), name: name.into() }
    }

    fn live(uid: &str, replicas_owned: bool) -> Value {
        let fields = if replicas_owned { json!({"f:spec": {"f:replicas": {}}}) } else { json!({"f:spec": {}}) };
        json!({"metadata": {"uid": uid, "managedFields": [
            {"manager": "other", "operation": "Update", "fieldsV1": {}},
            {"manager": "rekindle", "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields},
        ]}})
    }

    fn inventory() -> Inventory {
        let entry = Entry {
            uid: "u1".into(),
            desired: "d1".into(),
            fields: owned_fields_hash(&live("u1", true)).unwrap(),
            phase: "services".into(),
            keep: true,
            left: false,
            finished_in: None,
        };
        Inventory { entries: BTreeMap::from([(key("api"), entry)]), ..Inventory::default() }
    }

    #[test]
    fn a_record_made_anew_says_so_until_what_left_was_looked_for() {
        let anew = Inventory { incomplete: true, ..inventory() };
        assert_eq!(Inventory::unpack(&anew.pack().unwrap()), Some(anew));
        let whole = inventory();
        assert_eq!(Inventory::unpack(&whole.pack().unwrap()), Some(whole));
    }

    #[test]
    fn unchanged_needs_the_same_kit_object_and_fields() {
        let inventory = inventory();
        assert!(inventory.is_unchanged(&key("api"), "d1", &live("u1", true)));
        assert!(!inventory.is_unchanged(&key("api"), "d2", &live("u1", true)), "the kit changed");
        assert!(!inventory.is_unchanged(&key("api"), "d1", &live("u2", true)), "another object of the same name");
        assert!(!inventory.is_unchanged(&key("api"), "d1", &live("u1", false)), "somebody took a field");
        assert!(!inventory.is_unchanged(&key("web"), "d1", &live("u1", true)), "not recorded");
        let mut dying = live("u1", true);
        dying["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(!inventory.is_unchanged(&key("api"), "d1", &dying), "being deleted");
    }

    #[test]
    fn a_record_of_a_version_without_marks_is_read() {
        let text = r#"{"version":1,"objects":[{"group":"","kind":"Secret","namespace":"a","name":"b","uid":"u","desired":"d","fields":"f","phase":"p"}]}"#;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        let read = Inventory::unpack(&encoder.finish().unwrap()).unwrap();
        assert!(read.entries.values().all(|entry| entry.uid == "u" && !entry.keep && !entry.left));
        assert_eq!(read.entries.len(), 1);
    }

    #[test]
    fn a_record_survives_packing_and_a_damaged_one_counts_as_empty() {
        let packed = inventory().pack().unwrap();
        assert_eq!(Inventory::unpack(&packed).unwrap(), inventory());
        assert_eq!(Inventory::unpack(&packed[..packed.len() / 2]), None);
        assert_eq!(Inventory::unpack(b"not gzip"), None);
    }
}
