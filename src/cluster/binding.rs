//! The cluster's own memory of the environments that live in it: one ConfigMap an environment, in Rekindle's namespace.
//! Instances share their environment's.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::connect::{patiently, timed};
use super::system::{MANAGED_BY_LABEL, record_name, with_namespace};
use super::{Cluster, ClusterError, FIELD_MANAGER, SYSTEM_NAMESPACE};

/// What the record's name begins with.
const SORT: &str = "environment";

/// How often a record that somebody else changes at the same moment is read and written again.
const TRIES: usize = 8;

/// What a cluster remembers of an environment. What cannot be read in it is empty, and so agrees with nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The environment, without an instance.
    pub environment: String,
    /// The cluster that the record was made for: UID of `kube-system`. A copy of the record keeps it.
    pub cluster: String,
    /// [`authority`] of that cluster, where it could be read.
    pub authority: Option<String>,
    /// Name of the stack that the environment belongs to: two kits may each have a `staging`.
    pub stack: String,
    /// Namespaces of the environment and its instances.
    pub namespaces: BTreeSet<String>,
    /// Whether the environment was protected.
    pub protected: bool,
    /// Since when it is bound.
    pub bound: Option<jiff::Timestamp>,
    /// The last run that wrote something.
    pub last: Option<LastRun>,
}

/// A run, as the record tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Its id.
    pub run: String,
    /// Who: `user@host`.
    pub by: String,
    /// When.
    pub time: jiff::Timestamp,
    /// How it ended; `running` until it has.
    pub outcome: String,
}

impl Record {
    fn to_data(&self) -> BTreeMap<&'static str, String> {
        let mut data = BTreeMap::from([
            ("environment", self.environment.clone()),
            ("cluster", self.cluster.clone()),
            ("stack", self.stack.clone()),
            ("namespaces", self.namespaces.iter().map(String::as_str).collect::<Vec<_>>().join(" ")),
            ("protected", self.protected.to_string()),
        ]);
        data.extend(self.authority.clone().map(|authority| ("authority", authority)));
        data.extend(self.bound.map(|time| ("bound-since", time.to_string())));
        if let Some(last) = &self.last {
            data.extend([
                ("last-run", last.run.clone()),
                ("last-run-by", last.by.clone()),
                ("last-run-at", last.time.to_string()),
                ("last-run-outcome", last.outcome.clone()),
            ]);
        }
        data
    }

    /// The record in a ConfigMap of this name; `None` when it is none of ours. The name counts, not what is written inside:
    /// it is what another run would look for.
    fn of(map: &ConfigMap) -> Option<Self> {
        let environment = map.metadata.name.as_deref()?.strip_prefix(SORT)?.strip_prefix('-')?;
        let text =
            |key: &str| map.data.as_ref().and_then(|data| data.get(key)).cloned().filter(|text| !text.is_empty());
        let time = |key: &str| text(key).and_then(|text| text.parse().ok());
        Some(Self {
            environment: environment.to_owned(),
            cluster: text("cluster").unwrap_or_default(),
            authority: text("authority"),
            stack: text("stack").unwrap_or_default(),
            namespaces: text("namespaces").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            // What cannot be read is protected rather than not.
            protected: text("protected").is_none_or(|text| text != "false"),
            bound: time("bound-since"),
            last: time("last-run-at").map(|time| LastRun {
                run: text("last-run").unwrap_or_default(),
                by: text("last-run-by").unwrap_or_default(),
                time,
                outcome: text("last-run-outcome").unwrap_or_default(),
            }),
        })
    }
}

/// An environment's binding to a cluster, as a run that was let through holds it.
#[derive(Clone, Debug)]
pub struct Binding {
    /// What the cluster is to remember.
    pub record: Record,
    /// Who runs, as `user@host`.
    pub by: String,
    /// Whether the cluster remembers the environment already.
    pub known: bool,
}

impl Binding {
    /// Has the cluster remember the binding; writes nothing where it does already. The first write of a run.
    ///
    /// # Errors
    /// [`ClusterError::RecordChanged`] when the record that is there is not the one that was compared; else those of the
    /// requests.
    pub async fn renew(self, cluster: &Cluster) -> Result<Self, ClusterError> {
        self.write(cluster, None).await?;
        Ok(self)
    }

    /// Has the cluster remember a run that has ended.
    ///
    /// # Errors
    /// As [`Binding::renew`].
    pub async fn close(&self, cluster: &Cluster, last: LastRun) -> Result<(), ClusterError> {
        self.write(cluster, Some(last)).await
    }

    async fn write(&self, cluster: &Cluster, last: Option<LastRun>) -> Result<(), ClusterError> {
        let name = &self.record.environment;
        write(cluster, name, |there| {
            let Some(there) = there else { return Ok(Some(Record { last: last.clone(), ..self.record.clone() })) };
            if (&there.cluster, &there.stack) != (&self.record.cluster, &self.record.stack) {
                return Err(ClusterError::RecordChanged(name.clone()));
            }
            let mut record = self.record.clone();
            record.namespaces.extend(there.namespaces.iter().cloned());
            record.bound = there.bound.or(record.bound);
            record.authority = record.authority.or(there.authority.clone());
            record.last = last.clone().or(there.last.clone());
            Ok((record != *there).then_some(record))
        })
        .await
        .map(drop)
    }
}

fn api(cluster: &Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE)
}

/// The records of all environments, by name.
///
/// # Errors
/// When the cluster does not answer or does not let us read them.
pub async fn records(cluster: &Cluster) -> Result<Vec<Record>, ClusterError> {
    let (api, all) = (api(cluster), ListParams::default());
    let maps = patiently(&cluster.server, || api.list(&all)).await?;
    let mut records: Vec<_> = maps.iter().filter_map(Record::of).collect();
    records.sort_by(|a, b| a.environment.cmp(&b.environment));
    Ok(records)
}

/// Writes an environment's record over what is there: `change` is given that, and answers with what is to be there instead,
/// or `None` when it is right already. Returns whether something was written. The identity is read again first.
///
/// # Errors
/// Those of `change`; when the cluster does not answer, is another one, or does not let us.
pub async fn write(
    cluster: &Cluster,
    environment: &str,
    change: impl Fn(Option<&Record>) -> Result<Option<Record>, ClusterError>,
) -> Result<bool, ClusterError> {
    let (api, name) = (api(cluster), record_name(SORT, environment));
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let mut tries = 0;
    loop {
        cluster.verify_identity().await?;
        let there = patiently(&cluster.server, || api.get_opt(&name)).await?;
        let Some(record) = change(there.as_ref().and_then(Record::of).as_ref())? else { return Ok(false) };
        let mut body = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": name, "namespace": SYSTEM_NAMESPACE,
                "labels": {MANAGED_BY_LABEL: "rekindle"},
                "annotations": {"rekindle.dev/environment": environment},
            },
            "data": record.to_data(),
        });
        // Instances of an environment may write at the same moment; neither may lose the other's namespace.
        if let Some(version) = there.and_then(|there| there.metadata.resource_version) {
            body["metadata"]["resourceVersion"] = version.into();
        }
        let patch = Patch::Apply(&body);
        match with_namespace(cluster, || api.patch(&name, &params, &patch)).await {
            Err(ClusterError::Status { code: 409, .. }) if tries < TRIES => tries += 1,
            answer => return answer.map(|_| true),
        }
    }
}

/// Fingerprint of the certificate authority that the cluster gives to its pods: SHA-256 of its certificates, as
/// `openssl x509 -fingerprint -sha256` tells it of one, in small hexadecimal digits. `None` where it may not be read or is
/// none.
pub async fn authority(cluster: &Cluster) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "kube-system");
    let map = timed(&cluster.server, maps.get_opt("kube-root-ca.crt")).await.ok()??;
    fingerprint(map.data?.get("ca.crt")?)
}

fn fingerprint(pem: &str) -> Option<String> {
    let mut hash = Sha256::new();
    let mut any = false;
    for block in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let (body, _) = block.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.chars().filter(|letter| !letter.is_whitespace()).collect();
        hash.update(STANDARD.decode(body).ok()?);
        any = true;
    }
    any.then(|| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A fingerprint in the form of [`authority`], from the forms that other programs print: with colons, capitals, or
/// `sha256:` before it.
pub fn normal_fingerprint(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.strip_prefix("sha256:").or(text.strip_prefix("sha256=")).unwrap_or(&text);
    digits.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn map(name: &str, data: BTreeMap<&'static str, String>) -> ConfigMap {
        let data: BTreeMap<_, _> = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        serde_json::from_value(json!({"metadata": {"name": name}, "data": data})).unwrap()
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record {
            environment: "staging".into(),
            cluster: "1f0c".into(),
            authority: Some("aa".into()),
            stack: "acoustid".into(),
            namespaces: ["a".to_owned(), "a-pr-1".to_owned()].into(),
            protected: false,
            bound: Some("2026-01-09T08:00:00Z".parse().unwrap()),
            last: Some(LastRun {
                run: "7f3a".into(),
                by: "me@laptop".into(),
                time: "2026-03-02T15:02:11Z".parse().unwrap(),
                outcome: "done".into(),
            }),
        };
        assert_eq!(Record::of(&map("environment-staging", record.to_data())).unwrap(), record);
    }

    #[test]
    fn a_damaged_record_is_there_and_agrees_with_nothing() {
        let record = Record::of(&map("environment-staging", BTreeMap::new())).unwrap();
        assert_eq!((record.environment.as_str(), record.cluster.as_str(), record.stack.as_str()), ("staging", "", ""));
        assert!(record.protected);
        assert_eq!(Record::of(&map("kube-root-ca.crt", BTreeMap::new())), None);
        assert_eq!(Record::of(&map("environments", BTreeMap::new())), None);
    }

    #[test]
    fn a_fingerprint_is_that_of_the_certificate_not_of_its_text() {
        let pem = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let one = fingerprint(&pem("AAECAwQF")).unwrap();
        assert_eq!(one.len(), 64);
        assert_eq!(fingerprint(&pem("AAEC\r\nAwQF")).unwrap(), one);
        assert_ne!(fingerprint(&(pem("AAECAwQF") + &pem("AAAA"))).unwrap(), one);
        for none in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAA"] {
            assert_eq!(fingerprint(none), None, "{none}");
        }
        assert_eq!(normal_fingerprint("SHA256:AB:cd:01"), "abcd01");
        assert_eq!(normal_fingerprint("abcd01"), "abcd01");
    }
}
