//! What is known of Kubernetes' own kinds without a cluster: which have no namespace, and which versions are gone.

/// Built-in kinds without a namespace, by API group.
const CLUSTER_SCOPED: [(&str, &[&str]); 12] = [
    ("", &["ComponentStatus", "Namespace", "Node", "PersistentVolume"]),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["IPAddress", "IngressClass", "ServiceCIDR"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "DeviceTaintRule", "ResourceSlice"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"]),
];

/// Whether a built-in kind has no namespace. Custom kinds are not known here: their definition says.
pub fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    CLUSTER_SCOPED.iter().any(|(known, kinds)| *known == group && kinds.contains(&kind))
}

/// The resource name of a kind, by the rule that Kubernetes' own kinds follow. A definition of a custom kind names its own.
pub fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.as_str() {
        "endpoints" => lower,
        _ if lower.ends_with("ss") || lower.ends_with('x') || lower.ends_with("ch") => format!("{lower}es"),
        _ if lower.ends_with('y') => format!("{}ies", &lower[..lower.len() - 1]),
        _ if lower.ends_with('s') => lower,
        _ => format!("{lower}s"),
    }
}

/// Kinds whose deletion takes data with it: claims, volumes, and what everything of a namespace or of a custom kind goes with.
const HOLDING_DATA: [(&str, &str); 4] = [
    ("", "PersistentVolumeClaim"),
    ("", "PersistentVolume"),
    ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

/// Whether deleting an object of a kind can delete data. Such an object is never deleted on the way to something else.
pub fn holds_data(group: &str, kind: &str) -> bool {
    HOLDING_DATA.contains(&(group, kind))
}

/// Versions that no supported API server (1.31 and newer) serves any more: kinds, version, what to write instead. `*`
/// stands for every kind of the version. Source: the deprecated API migration guide of Kubernetes.
const REMOVED: [(&str, &[&str], &str); 20] = [
    ("extensions/v1beta1", &["Ingress", "NetworkPolicy"], "networking.k8s.io/v1"),
    ("extensions/v1beta1", &["PodSecurityPolicy"], ""),
    ("extensions/v1beta1", &["*"], "apps/v1"),
    ("apps/v1beta1", &["*"], "apps/v1"),
    ("apps/v1beta2", &["*"], "apps/v1"),
    ("networking.k8s.io/v1beta1", &["Ingress", "IngressClass"], "networking.k8s.io/v1"),
    ("batch/v1beta1", &["CronJob"], "batch/v1"),
    ("policy/v1beta1", &["PodDisruptionBudget"], "policy/v1"),
    ("policy/v1beta1", &["PodSecurityPolicy"], ""),
    ("autoscaling/v2beta1", &["*"], "autoscaling/v2"),
    ("autoscaling/v2beta2", &["*"], "autoscaling/v2"),
    ("discovery.k8s.io/v1beta1", &["*"], "discovery.k8s.io/v1"),
    ("events.k8s.io/v1beta1", &["*"], "events.k8s.io/v1"),
    ("rbac.authorization.k8s.io/v1beta1", &["*"], "rbac.authorization.k8s.io/v1"),
    (
        "admissionregistration.k8s.io/v1beta1",
        &["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"],
        "admissionregistration.k8s.io/v1",
    ),
    ("apiextensions.k8s.io/v1beta1", &["*"], "apiextensions.k8s.io/v1"),
    ("apiregistration.k8s.io/v1beta1", &["*"], "apiregistration.k8s.io/v1"),
    ("scheduling.k8s.io/v1beta1", &["*"], "scheduling.k8s.io/v1"),
    ("node.k8s.io/v1beta1", &["*"], "node.k8s.io/v1"),
    (
        "storage.k8s.io/v1beta1",
        &["StorageClass", "CSIDriver", "CSINode", "VolumeAttachment", "CSIStorageCapacity"],
        "storage.k8s.io/v1",
    ),
];

/// What to write instead of a version that is gone for this kind: another version, or an empty text when the kind itself is
/// gone. `None` when the version is served.
pub fn removed_version(api_version: &str, kind: &str) -> Option<&'static str> {
    let versions = [
        "flowcontrol.apiserver.k8s.io/v1beta1",
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "flowcontrol.apiserver.k8s.io/v1beta3",
    ];
    if versions.contains(&api_version) {
        return Some("flowcontrol.apiserver.k8s.io/v1");
    }
    let found = REMOVED
        .iter()
        .find(|(version, kinds, _)| *version == api_version && (kinds.contains(&kind) || kinds.contains(&"*")));
    found.map(|(_, _, instead)| *instead)
}

/// Which rule `metadata.name` of a kind follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 label: at most 63 characters, no dots.
    Label,
    /// RFC 1035 label: a label that begins with a letter.
    ServiceLabel,
    /// RFC 1123 subdomain: at most 253 characters, dots allowed.
    Subdomain,
    /// Anything that can stand in a URL path.
    PathSegment,
}

impl NameRule {
    /// The rule of a kind.
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Label,
            ("", "Service") => Self::ServiceLabel,
            ("rbac.authorization.k8s.io", _) => Self::PathSegment,
            _ => Self::Subdomain,
        }
    }

    /// Whether a name follows it.
    ///
    /// # Errors
    /// What is wrong, as a fragment that follows the name.
    pub fn check(self, name: &str) -> Result<(), String> {
        let limit = match self {
            Self::Label | Self::ServiceLabel => 63,
            Self::Subdomain | Self::PathSegment => 253,
        };
        if name.len() > limit {
            return Err(format!("is {} characters long, {limit} are allowed", name.len()));
        }
        if self == Self::PathSegment {
            let wrong = matches!(name, "." | "..") || name.contains(['/', '%']);
            return if wrong { Err("may hold neither / nor %".into()) } else { Ok(()) };
        }
        let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let label = |part: &str| {
            let bytes = part.as_bytes();
            bytes.first().is_some_and(letter)
                && bytes.last().is_some_and(letter)
                && bytes.iter().all(|byte| letter(byte) || *byte == b'-')
        };
        let ok = match self {
            Self::Subdomain => name.split('.').all(label),
            _ => label(name),
        };
        match self {
            _ if !ok && self == Self::Subdomain => {
                Err("may hold only small letters, digits, - and ., and begins and ends with a letter or digit".into())
            }
            _ if !ok => {
                Err("may hold only small letters, digits and -, and begins and ends with a letter or digit".into())
            }
            Self::ServiceLabel if name.starts_with(|letter: char| letter.is_ascii_digit()) => {
                Err("begins with a digit, a Service may not".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        assert!(is_cluster_scoped("", "Namespace") && is_cluster_scoped("storage.k8s.io", "StorageClass"));
        assert!(!is_cluster_scoped("", "Pod") && !is_cluster_scoped("example.org", "Namespace"));
    }

    #[test]
    fn gone_versions_name_their_successor() {
        for (version, kind, instead) in [
            ("extensions/v1beta1", "Ingress", Some("networking.k8s.io/v1")),
            ("extensions/v1beta1", "Deployment", Some("apps/v1")),
            ("policy/v1beta1", "PodDisruptionBudget", Some("policy/v1")),
            ("policy/v1beta1", "PodSecurityPolicy", Some("")),
            ("autoscaling/v2beta2", "HorizontalPodAutoscaler", Some("autoscaling/v2")),
            ("flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema", Some("flowcontrol.apiserver.k8s.io/v1")),
            ("networking.k8s.io/v1beta1", "ServiceCIDR", None),
            ("apps/v1", "Deployment", None),
            ("storage.k8s.io/v1beta1", "VolumeAttributesClass", None),
        ] {
            assert_eq!(removed_version(version, kind), instead, "{version} {kind}");
        }
    }

    #[test]
    fn names() {
        let long = "a".repeat(64);
        for (group, kind, name, ok) in [
            ("", "ConfigMap", "a.b-c", true),
            ("", "ConfigMap", "A", false),
            ("", "ConfigMap", "a..b", false),
            ("", "ConfigMap", "-a", false),
            ("", "ConfigMap", "app database", false),
            ("", "Service", "a.b", false),
            ("", "Service", "1a", false),
            ("", "Service", &long, false),
            ("", "ConfigMap", &long, true),
            ("", "Namespace", "a.b", false),
            ("rbac.authorization.k8s.io", "ClusterRole", "system:node", true),
            ("rbac.authorization.k8s.io", "ClusterRole", "a/b", false),
        ] {
            assert_eq!(NameRule::of(group, kind).check(name).is_ok(), ok, "{kind} {name}");
        }
    }

    #[test]
    fn plurals() {
        for (kind, resource) in [
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("ConfigMap", "configmaps"),
            ("Endpoints", "endpoints"),
            ("StorageClass", "storageclasses"),
        ] {
            assert_eq!(plural(kind), resource);
        }
    }
}
