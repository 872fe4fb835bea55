//! What holds for any JSON at all.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Related, Status, pods_of, status};

const KINDS: [(&str, &str); 27] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("v1", "ReplicationController"),
    ("v1", "Pod"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "PersistentVolume"),
    ("storage.k8s.io/v1", "VolumeAttachment"),
    ("v1", "Service"),
    ("networking.k8s.io/v1", "Ingress"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("apiregistration.k8s.io/v1", "APIService"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
    ("certificates.k8s.io/v1", "CertificateSigningRequest"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "ResourceQuota"),
    ("v1", "Namespace"),
    ("v1", "Node"),
    ("v1", "ConfigMap"),
    ("example.com/v1", "Widget"),
];

/// Words that rules look for, so that arbitrary values reach deep into them.
fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "generation",
        "observedGeneration",
        "replicas",
        "readyReplicas",
        "updatedReplicas",
        "availableReplicas",
        "conditions",
        "type",
        "reason",
        "message",
        "phase",
        "labels",
        "annotations",
        "ownerReferences",
        "uid",
        "controller",
        "containerStatuses",
        "initContainerStatuses",
        "state",
        "lastState",
        "waiting",
        "terminated",
        "running",
        "exitCode",
        "restartCount",
        "ready",
        "updateStrategy",
        "rollingUpdate",
        "partition",
        "desiredNumberScheduled",
        "numberReady",
        "paused",
        "suspend",
        "finalizers",
        "loadBalancer",
        "ingress",
        "parents",
        "listeners",
        "clusterIP",
        "hard",
        "webhooks",
        "startTime",
    ])
    .prop_map(str::to_owned)
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..5).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "True",
            "False",
            "Unknown",
            "Ready",
            "Available",
            "Progressing",
            "Failed",
            "Running",
            "Pending",
            "Bound",
            "Always",
            "OnDelete",
            "CrashLoopBackOff",
            "ImagePullBackOff",
            "LoadBalancer",
            "2",
            "",
            "ä\u{0}\n\u{202e}x.",
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    (prop::sample::select(KINDS.to_vec()), anything(), anything(), anything()).prop_map(
        |((version, kind), metadata, spec, status)| {
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn nothing_makes_it_panic(it in object(), other in object(), junk in anything()) {
        let pods = [&other, &junk, &it];
        let related = Related {
            pods: &pods, storage_classes: &pods, crd: Some(&other), ready_expression: None,
        };
        let _ = status(&junk, related);
        let found = status(&it, related);
        prop_assert!(!found.reason().contains('\n'));
        let _ = pods_of(&it, &pods, &pods);
        let _ = pods_of(&junk, &pods, &pods);
    }

    #[test]
    fn a_stale_generation_is_never_ready(it in object(), generation in 1i64..99, behind in 1i64..99, text in any::<bool>()) {
        let mut it = it;
        it["metadata"] = json!({"name": "x", "generation": generation});
        if !it["status"].is_object() {
            it["status"] = json!({});
        }
        let seen = generation - behind;
        it["status"]["observedGeneration"] = if text { seen.to_string().into() } else { seen.into() };
        prop_assert!(!status(&it, Related::default()).is_ready());
        let willing = Related { ready_expression: Some("true"), ..Related::default() };
        prop_assert!(!status(&it, willing).is_ready());
    }

    #[test]
    fn what_is_being_deleted_is_terminating(it in object(), metadata in anything()) {
        let mut it = it;
        it["metadata"] = if metadata.is_object() { metadata } else { json!({}) };
        it["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let willing = Related { ready_expression: Some("true"), ..Related::default() };
        prop_assert!(matches!(status(&it, willing), Status::Terminating { .. }), "expected terminating");
    }

    #[test]
    fn only_a_written_status_makes_a_workload_ready(replicas in 0i64..5) {
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"] {
            let it = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "x", "generation": 1},
                "spec": {"replicas": replicas}, "status": {}});
            prop_assert!(!status(&it, Related::default()).is_ready(), "{kind}");
        }
    }
}
