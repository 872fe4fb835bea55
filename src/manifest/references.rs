//! What an object needs to find in the cluster before it can be applied or can become ready, read from its own fields.
//!
//! References that follow from *other* objects of a kit (grants to a service account, webhooks) are added by
//! [`Catalogue`](super::catalogue::Catalogue), which sees all objects together.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, ObjectKey};

/// Something an object needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// What it needs.
    pub target: Target,
    /// How far along the target must be.
    pub need: Need,
    /// Whether the object also works without it, e.g. `optional: true` of a Secret volume. It still orders.
    pub optional: bool,
    /// Where the object names it, dotted: `spec.template.spec.volumes[0].secret.secretName`. For references that follow
    /// from other objects: a phrase such as `granted to its service account`.
    pub path: String,
}

/// The thing an object needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One object.
    Object(ObjectKey),
    /// The CustomResourceDefinition that makes a kind; its name is not known from the object that uses the kind.
    Definition {
        /// API group.
        group: String,
        /// Kind.
        kind: String,
    },
    /// An object named without its group, as in the annotation `rekindle.dev/after`.
    Named {
        /// Kind.
        kind: String,
        /// Namespace of the object that names it; a cluster-scoped object may be meant as well.
        namespace: Option<String>,
        /// `metadata.name`.
        name: String,
    },
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object(key) => key.fmt(f),
            Self::Definition { group, kind } => write!(f, "the CustomResourceDefinition of {kind} ({group})"),
            Self::Named { kind, name, .. } => write!(f, "{kind}/{name}"),
        }
    }
}

/// How far along a needed object must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The API server has it.
    Exists,
    /// Its status says ready.
    Ready,
}

/// API groups that an API server serves without any CustomResourceDefinition.
pub fn is_builtin_group(group: &str) -> bool {
    !group.contains('.')
        || matches!(
            group,
            "admissionregistration.k8s.io"
                | "apiextensions.k8s.io"
                | "apiregistration.k8s.io"
                | "authentication.k8s.io"
                | "authorization.k8s.io"
                | "certificates.k8s.io"
                | "coordination.k8s.io"
                | "discovery.k8s.io"
                | "events.k8s.io"
                | "flowcontrol.apiserver.k8s.io"
                | "internal.apiserver.k8s.io"
                | "networking.k8s.io"
                | "node.k8s.io"
                | "rbac.authorization.k8s.io"
                | "resource.k8s.io"
                | "scheduling.k8s.io"
                | "storage.k8s.io"
                | "storagemigration.k8s.io"
        )
}

/// What an object names in its own fields and annotations. Sorted, without duplicates; the strictest of two that differ
/// only in `need` or `optional` may appear beside the weaker one.
pub fn references(object: &Object) -> Vec<Reference> {
    let mut found = Collector { object, references: BTreeSet::new() };
    found.own();
    found.references.into_iter().collect()
}

/// So many replicas of a StatefulSet are looked at; a number beyond this is a slip of the hand.
const MOST_REPLICAS: u64 = 1000;

struct Collector<'a> {
    object: &'a Object,
    references: BTreeSet<Reference>,
}

impl Collector<'_> {
    fn add(&mut self, target: Target, need: Need, optional: bool, path: impl Into<String>) {
        self.references.insert(Reference { target, need, optional, path: path.into() });
    }

    /// Needs an object that must exist, in the object's own namespace when `namespaced`.
    fn needs(&mut self, group: &str, kind: &str, namespaced: bool, name: Option<&str>, optional: bool, path: String) {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return };
        let namespace = if namespaced { self.object.namespace().map(str::to_owned) } else { None };
        let key = ObjectKey { group: group.into(), kind: kind.into(), namespace, name: name.into() };
        self.add(Target::Object(key), Need::Exists, optional, path);
    }

    fn own(&mut self) {
        let object = self.object;
        let body = object.body();
        self.needs("", "Namespace", false, object.namespace(), false, "metadata.namespace".into());
        if !is_builtin_group(object.group()) {
            let target = Target::Definition { group: object.group().into(), kind: object.kind().into() };
            self.add(target, Need::Ready, false, "kind");
        }
        for (kind, name) in after(object).into_iter().flatten() {
            let namespace = object.namespace().map(str::to_owned);
            let target = Target::Named { kind, namespace, name };
            self.add(target, Need::Ready, false, "metadata.annotations.rekindle.dev/after");
        }
        if let Some((pod, path)) = pod_spec(object) {
            self.pod(pod, &path);
        }
        match (object.group(), object.kind()) {
            ("apps", "StatefulSet") => {
                self.needs("", "Service", true, text(body, "/spec/serviceName"), false, "spec.serviceName".into());
                for (index, claim) in list(body, "/spec/volumeClaimTemplates").iter().enumerate() {
                    let path = format!("spec.volumeClaimTemplates[{index}]");
                    self.claim(claim, &format!("{path}.spec"));
                    self.claims_of_set(claim, &path);
                }
            }
            ("", "PersistentVolumeClaim") => self.claim(body, "spec"),
            ("", "PersistentVolume") => {
                let class = text(body, "/spec/storageClassName");
                self.needs("storage.k8s.io", "StorageClass", false, class, true, "spec.storageClassName".into());
            }
            ("", "ServiceAccount") => {
                for (index, entry) in list(body, "/imagePullSecrets").iter().enumerate() {
                    self.needs(
                        "",
                        "Secret",
                        true,
                        text(entry, "/name"),
                        true,
                        format!("imagePullSecrets[{index}].name"),
                    );
                }
            }
            ("networking.k8s.io", "Ingress") => self.ingress(),
            ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => self.binding(),
            ("autoscaling", "HorizontalPodAutoscaler") => {
                let target = body.pointer("/spec/scaleTargetRef").unwrap_or(&Value::Null);
                let group = text(target, "/apiVersion").and_then(|v| v.split_once('/')).map_or("", |(group, _)| group);
                if let Some(kind) = text(target, "/kind") {
                    self.needs(group, kind, true, text(target, "/name"), false, "spec.scaleTargetRef".into());
                }
            }
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
                for (index, hook) in list(body, "/webhooks").iter().enumerate() {
                    let path = format!("webhooks[{index}].clientConfig.service");
                    self.served_by(hook.pointer("/clientConfig/service"), path);
                }
            }
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                let service = body.pointer("/spec/conversion/webhook/clientConfig/service");
                self.exists_service(service, "spec.conversion.webhook.clientConfig.service");
            }
            ("apiregistration.k8s.io", "APIService") => {
                self.exists_service(body.pointer("/spec/service"), "spec.service");
            }
            _ => {}
        }
    }

    fn service_key(service: Option<&Value>) -> Option<ObjectKey> {
        let (namespace, name) = (text(service?, "/namespace")?, text(service?, "/name")?);
        let namespace = Some(namespace.to_owned());
        Some(ObjectKey { group: String::new(), kind: "Service".into(), namespace, name: name.into() })
    }

    fn served_by(&mut self, service: Option<&Value>, path: String) {
        if let Some(key) = Self::service_key(service) {
            self.add(Target::Object(key), Need::Ready, false, path);
        }
    }

    fn exists_service(&mut self, service: Option<&Value>, path: &str) {
        if let Some(key) = Self::service_key(service) {
            self.add(Target::Object(key), Need::Exists, false, path);
        }
    }

    /// The claims that a StatefulSet's template stands for. They need not be in the kit: what is not there the set makes itself.
    fn claims_of_set(&mut self, template: &Value, path: &str) {
        let Some(name) = text(template, "/metadata/name") else { return };
        let number = |pointer: &str| self.object.body().pointer(pointer).and_then(Value::as_u64);
        let first = number("/spec/ordinals/start").unwrap_or(0);
        let replicas = number("/spec/replicas").unwrap_or(1);
        for ordinal in first..first.saturating_add(replicas).min(first + MOST_REPLICAS) {
            let claim = format!("{name}-{}-{ordinal}", self.object.name());
            self.needs("", "PersistentVolumeClaim", true, Some(&claim), true, path.to_owned());
        }
    }

    fn claim(&mut self, claim: &Value, path: &str) {
        let class = text(claim, "/spec/storageClassName");
        self.needs("storage.k8s.io", "StorageClass", false, class, false, format!("{path}.storageClassName"));
        // A claim that names its volume binds to that one only. The volume may be older than the kit.
        self.needs("", "PersistentVolume", false, text(claim, "/spec/volumeName"), true, format!("{path}.volumeName"));
    }

    fn ingress(&mut self) {
        let spec = self.object.body().get("spec").unwrap_or(&Value::Null);
        let class = text(spec, "/ingressClassName");
        self.needs("networking.k8s.io", "IngressClass", false, class, false, "spec.ingressClassName".into());
        let default = text(spec, "/defaultBackend/service/name");
        self.needs("", "Service", true, default, false, "spec.defaultBackend.service.name".into());
        for (index, tls) in list(spec, "/tls").iter().enumerate() {
            // An ingress controller, or cert-manager, may make the Secret later: it never has to exist before.
            self.needs("", "Secret", true, text(tls, "/secretName"), true, format!("spec.tls[{index}].secretName"));
        }
        for (index, rule) in list(spec, "/rules").iter().enumerate() {
            for (number, path) in list(rule, "/http/paths").iter().enumerate() {
                let name = text(path, "/backend/service/name");
                let path = format!("spec.rules[{index}].http.paths[{number}].backend.service.name");
                self.needs("", "Service", true, name, false, path);
            }
        }
    }

    fn binding(&mut self) {
        let body = self.object.body();
        if let Some(kind) = text(body, "/roleRef/kind") {
            let namespaced = kind == "Role";
            // Cluster roles such as `view` exist in every cluster, so one that the kit does not make is no mistake.
            let name = text(body, "/roleRef/name");
            self.needs("rbac.authorization.k8s.io", kind, namespaced, name, !namespaced, "roleRef".into());
        }
        for (index, subject) in list(body, "/subjects").iter().enumerate() {
            if text(subject, "/kind") == Some("ServiceAccount")
                && let Some(name) = text(subject, "/name")
                && name != "default"
            {
                let namespace = text(subject, "/namespace").or(self.object.namespace()).map(str::to_owned);
                let key =
                    ObjectKey { group: String::new(), kind: "ServiceAccount".into(), namespace, name: name.into() };
                // The API server accepts a grant to an account that comes later.
                self.add(Target::Object(key), Need::Exists, true, format!("subjects[{index}]"));
            }
        }
    }

    fn pod(&mut self, spec: &Value, path: &str) {
        let account = text(spec, "/serviceAccountName").or(text(spec, "/serviceAccount"));
        let account = account.filter(|name| *name != "default");
        self.needs("", "ServiceAccount", true, account, false, format!("{path}.serviceAccountName"));
        let class = text(spec, "/priorityClassName").filter(|name| !name.starts_with("system-"));
        self.needs("scheduling.k8s.io", "PriorityClass", false, class, false, format!("{path}.priorityClassName"));
        let runtime = text(spec, "/runtimeClassName");
        self.needs("node.k8s.io", "RuntimeClass", false, runtime, false, format!("{path}.runtimeClassName"));
        for (index, entry) in list(spec, "/imagePullSecrets").iter().enumerate() {
            // A missing pull secret is skipped by the kubelet.
            self.needs(
                "",
                "Secret",
                true,
                text(entry, "/name"),
                true,
                format!("{path}.imagePullSecrets[{index}].name"),
            );
        }
        for kind in ["initContainers", "containers"] {
            for (index, container) in list(spec, &format!("/{kind}")).iter().enumerate() {
                self.container(container, &format!("{path}.{kind}[{index}]"));
            }
        }
        for (index, volume) in list(spec, "/volumes").iter().enumerate() {
            self.volume(volume, &format!("{path}.volumes[{index}]"));
        }
    }

    fn container(&mut self, container: &Value, path: &str) {
        for (index, from) in list(container, "/envFrom").iter().enumerate() {
            for (field, kind) in [("secretRef", "Secret"), ("configMapRef", "ConfigMap")] {
                let Some(reference) = from.get(field) else { continue };
                let path = format!("{path}.envFrom[{index}].{field}.name");
                self.needs("", kind, true, text(reference, "/name"), flag(reference, "/optional"), path);
            }
        }
        for (index, variable) in list(container, "/env").iter().enumerate() {
            for (field, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
                let Some(reference) = variable.get("valueFrom").and_then(|from| from.get(field)) else { continue };
                let path = format!("{path}.env[{index}].valueFrom.{field}.name");
                self.needs("", kind, true, text(reference, "/name"), flag(reference, "/optional"), path);
            }
        }
    }

    fn volume(&mut self, volume: &Value, path: &str) {
        let secret = text(volume, "/secret/secretName");
        let optional = flag(volume, "/secret/optional");
        self.needs("", "Secret", true, secret, optional, format!("{path}.secret.secretName"));
        let map = text(volume, "/configMap/name");
        self.needs("", "ConfigMap", true, map, flag(volume, "/configMap/optional"), format!("{path}.configMap.name"));
        let claim = text(volume, "/persistentVolumeClaim/claimName");
        let claim_path = format!("{path}.persistentVolumeClaim.claimName");
        self.needs("", "PersistentVolumeClaim", true, claim, false, claim_path);
        if let Some(template) = volume.pointer("/ephemeral/volumeClaimTemplate") {
            self.claim(template, &format!("{path}.ephemeral.volumeClaimTemplate.spec"));
        }
        let csi = text(volume, "/csi/nodePublishSecretRef/name");
        self.needs("", "Secret", true, csi, false, format!("{path}.csi.nodePublishSecretRef.name"));
        for (index, source) in list(volume, "/projected/sources").iter().enumerate() {
            for (field, kind) in [("secret", "Secret"), ("configMap", "ConfigMap")] {
                let Some(reference) = source.get(field) else { continue };
                let path = format!("{path}.projected.sources[{index}].{field}.name");
                self.needs("", kind, true, text(reference, "/name"), flag(reference, "/optional"), path);
            }
        }
    }
}

/// The pod template of a built-in workload, or the Pod itself, with its dotted path.
pub fn pod_spec(object: &Object) -> Option<(&Value, String)> {
    let path = match (object.group(), object.kind()) {
        ("", "Pod") => "spec",
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => "spec.template.spec",
        ("batch", "CronJob") => "spec.jobTemplate.spec.template.spec",
        _ => return None,
    };
    let spec = object.body().pointer(&format!("/{}", path.replace('.', "/")))?;
    Some((spec, path.to_owned()))
}

/// What the annotation `rekindle.dev/after` lists: `Kind/name` pairs, or the entry that is not one.
pub fn after(object: &Object) -> Vec<Result<(String, String), String>> {
    let entries = object.annotation("rekindle.dev/after").unwrap_or_default().split(',').map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| match entry.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok((kind.to_owned(), name.to_owned()))
            }
            _ => Err(entry.to_owned()),
        })
        .collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::manifest::{Origin, yaml::parse_documents};

    fn found(text: &str) -> Vec<String> {
        let body = parse_documents(text).unwrap().remove(0).0;
        let object = Object::new(body, Origin::default()).unwrap();
        let shown = |reference: &Reference| {
            let namespace = match &reference.target {
                Target::Object(key) => key.namespace.clone().map(|namespace| namespace + "/").unwrap_or_default(),
                _ => String::new(),
            };
            let optional = if reference.optional { " optional" } else { "" };
            let ready = if reference.need == Need::Ready { " ready" } else { "" };
            format!("{namespace}{}{ready}{optional} @ {}", reference.target, reference.path)
        };
        references(&object).iter().map(shown).collect()
    }

    #[test]
    fn a_workload_names_its_needs() {
        let text = "
apiVersion: batch/v1
kind: CronJob
metadata: {name: a, namespace: ns, annotations: {rekindle.dev/after: 'Job/b'}}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          serviceAccountName: s
          priorityClassName: high
          imagePullSecrets: [{name: pull}]
          initContainers: [{envFrom: [{secretRef: {name: e, optional: true}}]}]
          containers:
          - env:
            - {name: x, valueFrom: {secretKeyRef: {name: k, key: x}}}
            - {name: z, valueFrom: {configMapKeyRef: {name: m, key: z}}}
          volumes:
          - secret: {secretName: v}
          - configMap: {name: c, optional: true}
          - persistentVolumeClaim: {claimName: p}
          - projected: {sources: [{secret: {name: q}}, {configMap: {name: r}}, {serviceAccountToken: {path: t}}]}
          - emptyDir: {}
";
        insta::assert_snapshot!(found(text).join("\n"), @r"
        ns/ConfigMap/c optional @ spec.jobTemplate.spec.template.spec.volumes[1].configMap.name
        ns/ConfigMap/m @ spec.jobTemplate.spec.template.spec.containers[0].env[1].valueFrom.configMapKeyRef.name
        ns/ConfigMap/r @ spec.jobTemplate.spec.template.spec.volumes[3].projected.sources[1].configMap.name
        Namespace/ns @ metadata.namespace
        ns/PersistentVolumeClaim/p @ spec.jobTemplate.spec.template.spec.volumes[2].persistentVolumeClaim.claimName
        ns/Secret/e optional @ spec.jobTemplate.spec.template.spec.initContainers[0].envFrom[0].secretRef.name
        ns/Secret/k @ spec.jobTemplate.spec.template.spec.containers[0].env[0].valueFrom.secretKeyRef.name
        ns/Secret/pull optional @ spec.jobTemplate.spec.template.spec.imagePullSecrets[0].name
        ns/Secret/q @ spec.jobTemplate.spec.template.spec.volumes[3].projected.sources[0].secret.name
        ns/Secret/v @ spec.jobTemplate.spec.template.spec.volumes[0].secret.secretName
        ns/ServiceAccount/s @ spec.jobTemplate.spec.template.spec.serviceAccountName
        PriorityClass/high @ spec.jobTemplate.spec.template.spec.priorityClassName
        Job/b ready @ metadata.annotations.rekindle.dev/after
        ");
    }

    #[test]
    fn other_kinds_name_their_needs() {
        let texts = [
            "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a, namespace: ns}, spec: {serviceName: s, template: {spec: {serviceAccountName: default}}, volumeClaimTemplates: [{spec: {storageClassName: fast}}]}}",
            "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a, namespace: ns}, spec: {storageClassName: fast, volumeName: pv}}",
            "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a, namespace: ns}, spec: {ingressClassName: c, tls: [{secretName: t}], rules: [{http: {paths: [{backend: {service: {name: b}}}]}}]}}",
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: a}, roleRef: {kind: ClusterRole, name: r}, subjects: [{kind: ServiceAccount, name: s, namespace: m}, {kind: User, name: u}]}",
            "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: a, namespace: ns}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}}",
            "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: a, namespace: ns}, spec: {selector: {}}}",
            "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [{clientConfig: {service: {name: s, namespace: m}}}, {clientConfig: {url: 'https://x'}}]}",
            "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}, spec: {service: {name: s, namespace: m}}}",
            "{apiVersion: example.org/v1, kind: Thing, metadata: {name: a, namespace: ns}}",
        ];
        let shown: Vec<String> = texts.iter().map(|text| found(text).join("\n")).collect();
        insta::assert_snapshot!(shown.join("\n\n"), @r"
        Namespace/ns @ metadata.namespace
        ns/Service/s @ spec.serviceName
        StorageClass/fast @ spec.volumeClaimTemplates[0].spec.storageClassName

        Namespace/ns @ metadata.namespace
        PersistentVolume/pv optional @ spec.volumeName
        StorageClass/fast @ spec.storageClassName

        Namespace/ns @ metadata.namespace
        ns/Secret/t optional @ spec.tls[0].secretName
        ns/Service/b @ spec.rules[0].http.paths[0].backend.service.name
        IngressClass/c @ spec.ingressClassName

        m/ServiceAccount/s optional @ subjects[0]
        ClusterRole/r optional @ roleRef

        Namespace/ns @ metadata.namespace
        ns/Deployment/d @ spec.scaleTargetRef

        Namespace/ns @ metadata.namespace

        m/Service/s ready @ webhooks[0].clientConfig.service

        m/Service/s @ spec.service

        Namespace/ns @ metadata.namespace
        the CustomResourceDefinition of Thing (example.org) ready @ kind
        ");
    }

    #[test]
    fn odd_shapes_are_no_references() {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: {a: 1}, volumes: [1, {secret: x}, {configMap: {name: 5}}], serviceAccountName: [s]}}";
        assert_eq!(found(text), Vec::<String>::new());
    }
}
