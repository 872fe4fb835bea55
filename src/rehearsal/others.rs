//! What a kit counts on that neither it nor Kubernetes makes: what gates ask of objects, and Secrets, ConfigMaps, Services and
//! accounts that are named and that no template makes. Operators make these, for their custom resources. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::health::gate::{Probe, Selected};
use crate::health::status::ready_expression;
use crate::manifest::ObjectKey;
use crate::manifest::mistake::nearest;
use crate::manifest::references::{Target, is_builtin_group, references};
use crate::plan::Plan;

/// Kinds that operators make for their custom resources and that others name.
const MADE: [&str; 4] = ["Secret", "ConfigMap", "Service", "ServiceAccount"];

/// Groups whose resources use what others make, and often have its name: monitors, routes, scalers, policies.
const CONSUMERS: [&str; 8] = [
    "monitoring.coreos.com",
    "gateway.networking.k8s.io",
    "networking.istio.io",
    "security.istio.io",
    "traefik.io",
    "keda.sh",
    "autoscaling.k8s.io",
    "cilium.io",
];

/// What kinds are called that are there to make a Secret: Certificate, ExternalSecret, SealedSecret and the like.
const SECRET_MAKERS: [&str; 3] = ["Certificate", "Secret", "Password"];

/// What a plan counts on that others make.
#[derive(Clone, Debug, Default)]
pub struct Others {
    conditions: Vec<Condition>,
    missing: BTreeSet<ObjectKey>,
    /// Values of the labels of pods in which gates run a program.
    labels: BTreeSet<String>,
}

/// What a gate asks of an object, or of all with some labels.
#[derive(Clone, Debug)]
struct Condition {
    kind: String,
    /// Empty where the gate leaves it to the cluster.
    api_version: String,
    namespace: String,
    selected: Selected,
    expression: String,
}

impl Others {
    /// Reads it off a plan.
    pub fn of(plan: &Plan) -> Self {
        let made: BTreeSet<&ObjectKey> = plan.items().map(|item| &item.key).collect();
        let core = |kind: &str, namespace: &str, name: &str| ObjectKey {
            group: String::new(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        };
        let mut others = Self::default();
        let named = plan.items().flat_map(|item| references(&item.object)).filter(|reference| !reference.optional);
        others.missing.extend(named.filter_map(|reference| match reference.target {
            Target::Object(key) => Some(key),
            Target::Definition { .. } | Target::Named { .. } => None,
        }));
        let gates = plan.phases.iter().flat_map(|phase| &phase.gates).filter(|gate| gate.skipped.is_none());
        for gate in gates {
            let asked = [("Service", gate.probe.service()), ("Secret", gate.probe.credentials())];
            let asked = asked.into_iter().filter_map(|(kind, name)| Some(core(kind, &gate.namespace, name?)));
            others.missing.extend(asked);
            if let Probe::Exec(spec) = &gate.probe {
                others.labels.extend(spec.selector.values().cloned());
            }
            let Probe::Condition(spec) = &gate.probe else { continue };
            let namespace = spec.namespace.as_ref().unwrap_or(&gate.namespace);
            if let Selected::Name(name) = &spec.selected {
                others.missing.insert(core(&spec.kind, namespace, name));
            }
            others.conditions.push(Condition {
                kind: spec.kind.clone(),
                api_version: spec.api_version.clone().unwrap_or_default(),
                namespace: namespace.clone(),
                selected: spec.selected.clone(),
                expression: spec.ready.text().to_owned(),
            });
        }
        let resources: Vec<&Value> = plan.items().map(|item| item.object.body()).collect();
        // What is nearly called like something that is there is a slip of the pen, unless an operator would make it.
        let is_slip = |key: &ObjectKey| {
            let alike =
                made.iter().filter(|it| it.kind == key.kind && it.namespace == key.namespace && it.group.is_empty());
            nearest(&key.name, alike.map(|it| it.name.as_str())).is_some()
                && !resources.iter().any(|resource| makes(resource, key))
        };
        others.missing.retain(|key| {
            key.group.is_empty() && MADE.contains(&key.kind.as_str()) && !made.contains(key) && !is_slip(key)
        });
        others
    }

    /// The expressions that an object is to make true: its own and those of gates.
    pub fn awaited<'o>(&'o self, object: &'o Value) -> impl Iterator<Item = &'o str> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let label = move |name: &str| object.pointer("/metadata/labels")?.get(name)?.as_str();
        let is_meant = move |condition: &&Condition| {
            let selected = match &condition.selected {
                Selected::Name(name) => name == text("/metadata/name"),
                Selected::Selector(labels) => labels.iter().all(|(name, value)| label(name) == Some(value)),
            };
            selected
                && condition.kind == text("/kind")
                && (condition.api_version.is_empty() || condition.api_version == text("/apiVersion"))
                && ["", &condition.namespace].contains(&text("/metadata/namespace"))
        };
        ready_expression(object)
            .into_iter()
            .chain(self.conditions.iter().filter(is_meant).map(|it| it.expression.as_str()))
    }

    /// Whether anything waits for the operator of a custom resource: an expression, a gate that asks what it makes or runs, or
    /// somebody who names what it makes.
    pub fn wait_for(&self, resource: &Value) -> bool {
        let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        self.awaited(resource).next().is_some()
            || self.made_for(resource).next().is_some()
            || self.labels.contains(text("/metadata/name"))
    }

    /// What is missing and the operator of a custom resource is taken to make.
    pub fn made_for<'o>(&'o self, resource: &'o Value) -> impl Iterator<Item = &'o ObjectKey> {
        self.missing.iter().filter(|key| makes(resource, key))
    }
}

/// Whether the operator of a custom resource is taken to make an object: what is named after the resource, a Secret or ConfigMap
/// of its very name (KafkaUser, ObjectBucketClaim, Bundle), and Secrets that it names where it is there to make one.
fn makes(resource: &Value, key: &ObjectKey) -> bool {
    let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    let here = namespace.is_empty() || key.namespace.as_deref() == Some(namespace);
    if CONSUMERS.contains(&group) || !here {
        return false;
    }
    if is_builtin_group(group) {
        return key.kind == "Secret" && makes_beside(resource, &key.name);
    }
    let named_after = match key.name.strip_prefix(name) {
        Some("") => matches!(key.kind.as_str(), "Secret" | "ConfigMap"),
        Some(rest) => rest.starts_with(['-', '.']),
        None => false,
    };
    let makes_secrets = || SECRET_MAKERS.iter().any(|word| text("/kind").contains(word));
    let named = || resource.get("spec").is_some_and(|spec| names(spec, &key.name));
    // As Crossplane's resources say where what is needed to connect to them goes.
    let connection = || text("/spec/writeConnectionSecretToRef/name") == key.name;
    // As Zalando's operator calls them: user, resource, `credentials`, kind and group.
    let of_user = || key.name.ends_with(&format!(".{group}")) && key.name.contains(&format!(".{name}."));
    named_after || key.kind == "Secret" && (connection() || of_user() || makes_secrets() && named())
}

/// Whether a Secret is made beside an object of Kubernetes' own: for the hosts of an Ingress with an issuer of cert-manager, by an
/// annotation that names it (`service.beta.openshift.io/serving-cert-secret-name`), or by a Job that is told its name.
fn makes_beside(object: &Value, secret: &str) -> bool {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    let has = |fits: &dyn Fn(&str, &Value) -> bool| annotations.clone().any(|(name, value)| fits(name, value));
    let list = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    match object.get("kind").and_then(Value::as_str) {
        Some("Ingress") => {
            has(&|name, _| name.starts_with("cert-manager.io/") && name.ends_with("issuer"))
                && list("/spec/tls").any(|tls| tls["secretName"] == secret)
        }
        Some("Service") => has(&|name, value| name.ends_with("secret-name") && value == secret),
        Some("Job") => {
            let words = list("/spec/template/spec/containers").flat_map(|it| [it.get("command"), it.get("args")]);
            let words = words.flatten().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
            let is_in_name = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
            words.flat_map(|text| text.split(move |letter| !is_in_name(letter))).any(|word| word == secret)
        }
        _ => false,
    }
}

/// Whether a resource may add to a Secret that is there: it is there to make one, and names it.
pub fn adds_to(resource: &Value, secret: &str) -> bool {
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    // The core group has no such makers, only Secrets themselves.
    text("apiVersion").contains('/')
        && SECRET_MAKERS.iter().any(|word| text("kind").contains(word))
        && resource.get("spec").is_some_and(|spec| names(spec, secret))
}

/// Whether a text stands anywhere in a value.
fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => text == name,
        Value::Array(items) => items.iter().any(|item| names(item, name)),
        Value::Object(fields) => fields.values().any(|field| names(field, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::kit::sample::rendered;

    #[test]
    fn what_no_template_makes_belongs_to_the_resource_that_names_it_or_gave_its_name() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: a\n    image: a:1\n    \
                   envFrom: [{secretRef: {name: db-app}}, {secretRef: {name: own}}, {configMapRef: {name: maybe, optional: true}}]\n  \
                   volumes: [{name: tls, secret: {secretName: web-tls}}]\n---\n\
                   apiVersion: v1\nkind: Secret\nmetadata: {name: own}\n";
        let gates = "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: one}\nspec: {tcp: {service: db-rw, port: 5432}}\n---\n\
                     apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: two}\n\
                     spec: {condition: {kind: Cluster, name: db, ready: object.status.ok}}\n";
        let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n");
        let files = [stack, ("templates/storage/pod.yaml", pod), ("templates/storage/gates.yaml", gates)];
        let others = Others::of(&Plan::of(&rendered(&files)).unwrap());
        let made = |resource: &Value| others.made_for(resource).map(ToString::to_string).collect::<Vec<_>>();
        let resource = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "example.org/v1", "kind": kind, "metadata": {"name": name, "namespace": "space"}, "spec": spec});
        let cluster = resource("Cluster", "db", json!({}));
        assert_eq!(made(&cluster), ["Secret/db-app", "Service/db-rw"]);
        assert_eq!(others.awaited(&cluster).collect::<Vec<_>>(), ["object.status.ok"]);
        assert_eq!(made(&resource("Certificate", "x", json!({"secretName": "web-tls"}))), ["Secret/web-tls"]);
        assert!(made(&resource("Cluster", "d", json!({"names": ["own", "maybe"]}))).is_empty());
        assert!(made(&resource("Cluster", "x", json!({"bootstrap": {"secret": "db-app"}}))).is_empty(), "it reads it");
        let mut monitor = resource("ServiceMonitor", "db", json!({}));
        monitor["apiVersion"] = "monitoring.coreos.com/v1".into();
        assert!(made(&monitor).is_empty());
        assert_eq!(others.awaited(&resource("Cluster", "other", json!({}))).count(), 0);
    }

    #[test]
    fn what_a_resource_of_the_kit_would_make_is_no_slip_of_the_pen() {
        let pod = |from: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - name: a\n    image: a:1\n    \
                 envFrom: [{{secretRef: {{name: {from}}}}}]\n"
            )
        };
        let own = |kind: &str, name: &str| format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\n");
        let resource = |kind: &str, name: &str| {
            format!("---\napiVersion: example.org/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{}}\n")
        };
        let missing = |files: &[String]| {
            let text = files.concat();
            let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n");
            let plan = Plan::of(&rendered(&[stack, ("templates/storage/all.yaml", &text)])).unwrap();
            Others::of(&plan).missing.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for (wanted, there, by) in [
            ("db-app", "db-backup", resource("Cluster", "db")),
            ("web-tls", "web", resource("Certificate", "web")),
            ("queue-user", "queue-users", resource("KafkaUser", "queue-user")),
        ] {
            assert_eq!(missing(&[pod(wanted), own("Secret", there), by.clone()]), [format!("Secret/{wanted}")]);
            assert!(missing(&[pod(wanted), own("Secret", there)]).is_empty(), "nobody would make {wanted}");
        }
    }

    #[test]
    fn secrets_are_made_beside_objects_that_name_them() {
        let object = |text: &str| crate::manifest::yaml::parse_node(text).unwrap().unwrap().to_value();
        let key = |name: &str| ObjectKey {
            group: String::new(),
            kind: "Secret".into(),
            namespace: Some("space".into()),
            name: name.into(),
        };
        let meta = "name: acid-main, namespace: space";
        let issuer = "annotations: {cert-manager.io/cluster-issuer: le}";
        let tls = "spec: {tls: [{secretName: web-tls}]}";
        for (text, name, makes_it) in [
            (
                format!("{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{{meta}, {issuer}}}, {tls}}}"),
                "web-tls",
                true,
            ),
            (
                format!("{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{{meta}}}, {tls}}}"),
                "web-tls",
                false,
            ),
            (
                format!(
                    "{{apiVersion: v1, kind: Service, metadata: {{{meta}, annotations: {{service.beta.openshift.io/serving-cert-secret-name: cert}}}}}}"
                ),
                "cert",
                true,
            ),
            (format!("{{apiVersion: v1, kind: Service, metadata: {{{meta}}}}}"), "acid-main-x", false),
            (
                format!(
                    "{{apiVersion: batch/v1, kind: Job, metadata: {{{meta}}}, spec: {{template: {{spec: {{containers: [{{args: [create, --secret-name=hook-cert]}}]}}}}}}}}"
                ),
                "hook-cert",
                true,
            ),
            (
                format!(
                    "{{apiVersion: batch/v1, kind: Job, metadata: {{{meta}}}, spec: {{template: {{spec: {{containers: [{{args: [--secret-name=hook-certs]}}]}}}}}}}}"
                ),
                "hook-cert",
                false,
            ),
            (
                format!(
                    "{{apiVersion: sql.crossplane.io/v1, kind: Database, metadata: {{{meta}}}, spec: {{writeConnectionSecretToRef: {{name: conn}}}}}}"
                ),
                "conn",
                true,
            ),
            (
                format!("{{apiVersion: acid.zalan.do/v1, kind: postgresql, metadata: {{{meta}}}}}"),
                "app.acid-main.credentials.postgresql.acid.zalan.do",
                true,
            ),
            (format!("{{apiVersion: apps/v1, kind: Deployment, metadata: {{{meta}}}}}"), "acid-main-x", false),
        ] {
            assert_eq!(makes(&object(&text), &key(name)), makes_it, "{text} {name}");
        }
    }

    #[test]
    fn a_secret_or_config_map_of_exactly_a_resources_name_is_its_own() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: a\n    image: a:1\n    \
                   envFrom: [{secretRef: {name: bucket}}, {configMapRef: {name: bucket}}]\n  serviceAccountName: bucket\n";
        let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n");
        let others = Others::of(&Plan::of(&rendered(&[stack, ("templates/storage/pod.yaml", pod)])).unwrap());
        let made = |api_version: &str, namespace: Option<&str>| {
            let resource = json!({"apiVersion": api_version, "kind": "Claim", "metadata": {"name": "bucket", "namespace": namespace}});
            others.made_for(&resource).map(ToString::to_string).collect::<Vec<_>>()
        };
        let both = ["ConfigMap/bucket", "Secret/bucket"];
        assert_eq!(made("objectbucket.io/v1alpha1", Some("space")), both);
        assert_eq!(made("trust.cert-manager.io/v1alpha1", None), both, "one for all namespaces");
        assert!(made("objectbucket.io/v1alpha1", Some("elsewhere")).is_empty());
        assert!(made("keda.sh/v1alpha1", Some("space")).is_empty(), "it acts on what has its name");
    }
}
