//! Storage, network, API, policy, cluster, custom resources.

use serde_json::Value;

use super::super::{Related, status};
use super::{Row, check, check_row, object};

const CLAIM: &str = "v1 PersistentVolumeClaim";
const VOLUME: &str = "v1 PersistentVolume";
const SERVICE: &str = "v1 Service";
const CUSTOM: &str = "example.com/v1 Widget";

#[test]
fn storage() {
    check(&[
        (CLAIM, "only written down", "{spec: {storageClassName: fast}}", "progressing", "nobody has looked at it yet"),
        (CLAIM, "bound", "{status: {phase: Bound}}", "ready", ""),
        (CLAIM, "lost is failed (kstatus)", "{spec: {volumeName: pv-1}, status: {phase: Lost}}", "failed", "its volume pv/pv-1 is gone"),
        (CLAIM, "pending, class unknown", "{spec: {storageClassName: fast}, status: {phase: Pending}}", "progressing", "waits for a volume"),
        (CLAIM, "static", "{spec: {storageClassName: ''}, status: {phase: Pending}}", "progressing", "without a class"),
        (CLAIM, "named volume", "{spec: {volumeName: pv-1}, status: {phase: Pending}}", "progressing", "waits to be bound to pv/pv-1"),
        (CLAIM, "being resized", "{spec: {resources: {requests: {storage: 2Gi}}}, status: {phase: Bound, conditions: [{type: Resizing, status: 'True'}]}}", "ready", "is being resized to 2Gi"),
        (CLAIM, "resize waits for a pod", "{spec: {resources: {requests: {storage: 2Gi}}}, status: {phase: Bound, conditions: [{type: FileSystemResizePending, status: 'True'}]}}", "ready", "grows to 2Gi when a pod next starts"),
        (CLAIM, "resize fails", "{status: {phase: Bound, conditions: [{type: ControllerResizeError, status: 'True', message: out of space}]}}", "ready", "the change of its volume fails: out of space"),
        (CLAIM, "deleted but in use", "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [kubernetes.io/pvc-protection]}, status: {phase: Bound}}", "terminating", "held by finalizer kubernetes.io/pvc-protection"),
        (VOLUME, "only written down", "{}", "progressing", "not looked at it yet"),
        (VOLUME, "available", "{status: {phase: Available}}", "ready", ""),
        (VOLUME, "bound", "{status: {phase: Bound}}", "ready", ""),
        (VOLUME, "released", "{spec: {persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: a, name: data-0, uid: u}}, status: {phase: Released}}", "failed", "still held by the deleted claim a/data-0"),
        (VOLUME, "released and reserved again", "{spec: {persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: a, name: data-0}}, status: {phase: Released}}", "progressing", "reserved again"),
        (VOLUME, "released and free again", "{spec: {persistentVolumeReclaimPolicy: Retain}, status: {phase: Released}}", "progressing", "free again"),
        (VOLUME, "released and going", "{spec: {persistentVolumeReclaimPolicy: Delete, claimRef: {name: data-0}}, status: {phase: Released}}", "progressing", "is being deleted"),
        (VOLUME, "failed", "{status: {phase: Failed, message: 'disk busy.'}}", "failed", "disk busy"),
        (VOLUME, "pending", "{status: {phase: Pending}}", "progressing", "its phase is Pending"),
        ("storage.k8s.io/v1 VolumeAttachment", "attached", "{status: {attached: true}}", "ready", ""),
        ("storage.k8s.io/v1 VolumeAttachment", "error", "{status: {attached: false, attachError: {message: busy}}}", "progressing", "cannot be attached: busy"),
        ("storage.k8s.io/v1 StorageClass", "exists", "{provisioner: x}", "ready", ""),
        ("storage.k8s.io/v1 CSIDriver", "exists", "{}", "ready", ""),
    ]);
}

#[test]
fn claims_know_their_class() {
    let late = object(
        "storage.k8s.io/v1 StorageClass",
        "{metadata: {name: late, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}, volumeBindingMode: WaitForFirstConsumer}",
    );
    let eager = object("storage.k8s.io/v1 StorageClass", "{metadata: {name: eager}, volumeBindingMode: Immediate}");
    let rows: &[Row] = &[
        (CLAIM, "waits for its first consumer", "{spec: {storageClassName: late}, status: {phase: Pending}}", "ready", "waits for its first consumer"),
        (CLAIM, "default class", "{spec: {}, status: {phase: Pending}}", "ready", "waits for its first consumer"),
        (CLAIM, "consumer has come", "{metadata: {annotations: {volume.kubernetes.io/selected-node: n1}}, spec: {storageClassName: late}, status: {phase: Pending}}", "progressing", "being made for node n1"),
        (CLAIM, "named volume binds at once", "{spec: {storageClassName: late, volumeName: pv-1}, status: {phase: Pending}}", "progressing", "waits to be bound to pv/pv-1"),
        (CLAIM, "eager class", "{spec: {storageClassName: eager}, status: {phase: Pending}}", "progressing", "waits for a volume of storage class eager"),
        (CLAIM, "class that is not there", "{spec: {storageClassName: gold}, status: {phase: Pending}}", "progressing", "storage class gold does not exist"),
        (CLAIM, "static is never late", "{spec: {storageClassName: ''}, status: {phase: Pending}}", "progressing", "without a class"),
    ];
    for row in rows {
        let classes = [&late, &eager];
        check_row(row, &status(&object(row.0, row.2), Related { storage_classes: &classes, ..Related::default() }));
    }
    let row: Row = (CLAIM, "no default", "{status: {phase: Pending}}", "progressing", "there is no default one");
    check_row(&row, &status(&object(row.0, row.2), Related { storage_classes: &[&eager], ..Related::default() }));
}

#[test]
fn network() {
    const INGRESS: &str = "networking.k8s.io/v1 Ingress";
    const GATEWAY: &str = "gateway.networking.k8s.io/v1 Gateway";
    const ROUTE: &str = "gateway.networking.k8s.io/v1 HTTPRoute";
    check(&[
        (SERVICE, "no address", "{spec: {type: ClusterIP}}", "progressing", "has no cluster address"),
        (SERVICE, "address", "{spec: {clusterIP: 10.0.0.1}}", "ready", ""),
        (SERVICE, "headless", "{spec: {clusterIP: None}}", "ready", ""),
        (SERVICE, "node port", "{spec: {type: NodePort, clusterIP: 10.0.0.1}}", "ready", ""),
        (SERVICE, "external name", "{spec: {type: ExternalName, externalName: db.example.com}}", "ready", "stands for db.example.com"),
        (SERVICE, "external name without a name", "{spec: {type: ExternalName}}", "failed", "names no host"),
        (SERVICE, "load balancer without address (kstatus)", "{spec: {type: LoadBalancer, clusterIP: 10.0.0.1}, status: {loadBalancer: {}}}", "progressing", "waits for the address of a load balancer"),
        (SERVICE, "load balancer with an empty entry", "{spec: {type: LoadBalancer, clusterIP: 10.0.0.1}, status: {loadBalancer: {ingress: [{}]}}}", "progressing", "waits for the address"),
        (SERVICE, "load balancer with address", "{spec: {type: LoadBalancer, clusterIP: 10.0.0.1}, status: {loadBalancer: {ingress: [{ip: 1.2.3.4}, {hostname: lb.example.com}]}}}", "ready", "answers at 1.2.3.4, lb.example.com"),
        (SERVICE, "load balancer in trouble", "{spec: {type: LoadBalancer, clusterIP: 10.0.0.1}, status: {conditions: [{type: LoadBalancerPortsError, status: 'True', message: port taken}]}}", "progressing", "load balancer: port taken"),
        (INGRESS, "no address", "{status: {loadBalancer: {}}}", "ready", "no controller has published an address"),
        (INGRESS, "address", "{status: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}}", "ready", "answers at 1.2.3.4"),
        (INGRESS, "address asked for", "{metadata: {annotations: {rekindle.dev/ready: 'object.status.loadBalancer.ingress.size() > 0'}}, status: {loadBalancer: {}}}", "progressing", "rekindle.dev/ready is not true yet: there is no field `ingress`"),
        (INGRESS, "address asked for and there", "{metadata: {annotations: {rekindle.dev/ready: 'object.status.loadBalancer.ingress.size() > 0'}}, status: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}}", "ready", "answers at 1.2.3.4"),
        ("discovery.k8s.io/v1 EndpointSlice", "exists", "{endpoints: []}", "ready", ""),
        ("v1 Endpoints", "exists", "{}", "ready", ""),
        ("networking.k8s.io/v1 NetworkPolicy", "exists", "{}", "ready", ""),
        ("networking.k8s.io/v1 IngressClass", "exists", "{}", "ready", ""),
        ("networking.k8s.io/v1 ServiceCIDR", "not ready", "{status: {conditions: [{type: Ready, status: 'False', message: overlap}]}}", "progressing", "overlap"),
        ("gateway.networking.k8s.io/v1 GatewayClass", "unseen", "{status: {conditions: [{type: Accepted, status: Unknown, reason: Pending, message: Waiting for controller}]}}", "progressing", "Waiting for controller"),
        ("gateway.networking.k8s.io/v1 GatewayClass", "accepted", "{status: {conditions: [{type: Accepted, status: 'True'}]}}", "ready", ""),
        ("gateway.networking.k8s.io/v1 GatewayClass", "wrong parameters", "{status: {conditions: [{type: Accepted, status: 'False', reason: InvalidParameters, message: no such config}]}}", "failed", "no such config"),
        (GATEWAY, "unseen", "{}", "progressing", "has not said whether it is Accepted"),
        (GATEWAY, "no address", "{status: {conditions: [{type: Accepted, status: 'True'}, {type: Programmed, status: 'False', reason: AddressNotAssigned, message: no address}]}}", "progressing", "not Programmed: no address"),
        (GATEWAY, "programmed", "{status: {addresses: [{value: 1.2.3.4}], conditions: [{type: Accepted, status: 'True'}, {type: Programmed, status: 'True'}]}}", "ready", "answers at 1.2.3.4"),
        (GATEWAY, "stale condition", "{metadata: {generation: 2}, status: {conditions: [{type: Accepted, status: 'True', observedGeneration: 1}, {type: Programmed, status: 'True', observedGeneration: 1}]}}", "progressing", "has not looked at the change"),
        (GATEWAY, "listener without its Secret", "{status: {listeners: [{name: https, conditions: [{type: ResolvedRefs, status: 'False', reason: InvalidCertificateRef, message: secret tls not found}]}], conditions: [{type: Accepted, status: 'True'}, {type: Programmed, status: 'True'}]}}", "progressing", "listener https, ResolvedRefs: secret tls not found"),
        (ROUTE, "unseen", "{spec: {parentRefs: [{name: gw}]}}", "progressing", "no Gateway has looked at it"),
        (ROUTE, "accepted", "{spec: {parentRefs: [{name: gw}]}, status: {parents: [{parentRef: {name: gw}, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}]}]}}", "ready", ""),
        (ROUTE, "backend missing", "{spec: {parentRefs: [{name: gw}]}, status: {parents: [{parentRef: {name: gw}, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'False', reason: BackendNotFound, message: no Service api}]}]}}", "progressing", "Gateway gw: not ResolvedRefs: no Service api"),
        (ROUTE, "one of two", "{spec: {parentRefs: [{name: gw}, {name: other}]}, status: {parents: [{parentRef: {name: gw}, conditions: [{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}]}]}}", "progressing", "Gateway other has not looked"),
        (ROUTE, "unsupported", "{spec: {parentRefs: [{name: gw}]}, status: {parents: [{parentRef: {name: gw}, conditions: [{type: Accepted, status: 'False', reason: UnsupportedValue, message: bad regex}]}]}}", "failed", "not Accepted: bad regex"),
    ]);
}

#[test]
fn api_and_policy() {
    const CRD: &str = "apiextensions.k8s.io/v1 CustomResourceDefinition";
    const API: &str = "apiregistration.k8s.io/v1 APIService";
    const HPA: &str = "autoscaling/v2 HorizontalPodAutoscaler";
    const PDB: &str = "policy/v1 PodDisruptionBudget";
    const CSR: &str = "certificates.k8s.io/v1 CertificateSigningRequest";
    const POLICY: &str = "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy";
    const HOOKS: &str = "admissionregistration.k8s.io/v1 MutatingWebhookConfiguration";
    check(&[
        (CRD, "unseen", "{}", "progressing", "not looked at it yet"),
        (CRD, "names taken (kluctl, helm)", "{status: {conditions: [{type: NamesAccepted, status: 'False', reason: PluralConflict, message: 'widgets is already in use'}, {type: Established, status: 'True'}]}}", "failed", "names are not accepted: widgets is already in use"),
        (CRD, "installing", "{status: {conditions: [{type: NamesAccepted, status: 'True'}, {type: Established, status: 'False', reason: Installing}]}}", "progressing", "being established"),
        (CRD, "cannot be established", "{status: {conditions: [{type: Established, status: 'False', reason: NotAccepted, message: not all names are accepted}]}}", "failed", "not all names are accepted"),
        (CRD, "established", "{status: {conditions: [{type: NamesAccepted, status: 'True'}, {type: Established, status: 'True'}]}}", "ready", ""),
        (CRD, "not structural", "{status: {conditions: [{type: Established, status: 'True'}, {type: NonStructuralSchema, status: 'True', message: spec.versions is not structural}]}}", "ready", "is not structural"),
        (API, "unavailable (kstatus)", "{status: {conditions: [{type: Available, status: 'False', reason: MissingEndpoints, message: no endpoints}]}}", "progressing", "not available: no endpoints"),
        (API, "available", "{status: {conditions: [{type: Available, status: 'True'}]}}", "ready", ""),
        (API, "unseen", "{}", "progressing", "nobody has asked"),
        (HOOKS, "plain", "{webhooks: [{name: a, clientConfig: {service: {name: s}, caBundle: eA==}}]}", "ready", ""),
        (HOOKS, "public certificate", "{webhooks: [{name: a, clientConfig: {service: {name: s}}}]}", "ready", ""),
        (HOOKS, "bundle to be injected", "{metadata: {annotations: {cert-manager.io/inject-ca-from: a/b}}, webhooks: [{name: a.example.com, clientConfig: {service: {name: s}}}]}", "progressing", "webhook a.example.com waits for its CA bundle"),
        (POLICY, "unseen", "{metadata: {generation: 1}}", "progressing", "not looked at it yet"),
        (POLICY, "checked", "{metadata: {generation: 1}, status: {observedGeneration: 1, typeChecking: {}}}", "ready", ""),
        (POLICY, "warning", "{metadata: {generation: 1}, status: {observedGeneration: 1, typeChecking: {expressionWarnings: [{fieldRef: 'spec.validations[0].expression', warning: undefined field x}]}}}", "ready", "spec.validations[0].expression: undefined field x"),
        (CSR, "waits", "{}", "progressing", "waits for approval"),
        (CSR, "approved", "{spec: {signerName: example.com/s}, status: {conditions: [{type: Approved, status: 'True'}]}}", "progressing", "approved, waits for signer example.com/s"),
        (CSR, "denied", "{status: {conditions: [{type: Denied, status: 'True', message: not me}]}}", "failed", "denied: not me"),
        (CSR, "signed", "{status: {certificate: eA==, conditions: [{type: Approved, status: 'True'}]}}", "ready", ""),
        (HPA, "unseen", "{}", "progressing", "not looked at it yet"),
        (HPA, "no target", "{spec: {scaleTargetRef: {kind: Deployment, name: api}}, status: {desiredReplicas: 0, conditions: [{type: AbleToScale, status: 'False', reason: FailedGetScale, message: not found}]}}", "progressing", "cannot scale Deployment/api: not found"),
        (HPA, "no metrics server", "{status: {desiredReplicas: 0, conditions: [{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, message: no metrics}]}}", "ready", "does not scale yet: no metrics"),
        (HPA, "impossible metric", "{status: {desiredReplicas: 0, conditions: [{type: ScalingActive, status: 'False', reason: InvalidMetricSourceType, message: unknown}]}}", "failed", "cannot scale: unknown"),
        (HPA, "target at zero", "{status: {desiredReplicas: 0, conditions: [{type: ScalingActive, status: 'False', reason: ScalingDisabled}]}}", "ready", "target has 0 replicas"),
        (HPA, "active", "{status: {desiredReplicas: 2, conditions: [{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'True'}]}}", "ready", ""),
        (PDB, "unseen", "{metadata: {generation: 1}}", "progressing", "not looked at it yet"),
        (PDB, "stale", "{metadata: {generation: 2}, status: {observedGeneration: 1, disruptionsAllowed: 1}}", "progressing", "generation 1 of 2"),
        (PDB, "nothing allowed right now", "{metadata: {generation: 1}, status: {observedGeneration: 1, disruptionsAllowed: 0, conditions: [{type: DisruptionAllowed, status: 'False', reason: InsufficientPods}]}}", "ready", ""),
        (PDB, "cannot count", "{metadata: {generation: 1}, status: {observedGeneration: 1, conditions: [{type: DisruptionAllowed, status: 'False', reason: SyncFailed, message: no controller}]}}", "ready", "cannot count its pods: no controller"),
        ("v1 ResourceQuota", "unseen", "{spec: {hard: {pods: '10'}}}", "progressing", "not looked at it yet"),
        ("v1 ResourceQuota", "new limit", "{spec: {hard: {pods: '10', cpu: '1'}}, status: {hard: {pods: '10'}}}", "progressing", "cpu is not counted yet"),
        ("v1 ResourceQuota", "in force", "{spec: {hard: {pods: '10'}}, status: {hard: {pods: '10'}, used: {pods: '3'}}}", "ready", ""),
        ("flowcontrol.apiserver.k8s.io/v1 FlowSchema", "dangling", "{status: {conditions: [{type: Dangling, status: 'True', message: no such level}]}}", "ready", "no such level"),
        ("v1 Namespace", "active", "{status: {phase: Active}}", "ready", ""),
        ("v1 Namespace", "only written down", "{}", "progressing", "nobody has looked at it yet"),
        ("v1 Namespace", "going", "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {phase: Terminating, conditions: [{type: NamespaceContentRemaining, status: 'True', message: 'Some resources are remaining: widgets. has 1 resource instances'}]}}", "terminating", "being deleted: Some resources are remaining"),
        ("v1 Node", "ready", "{status: {conditions: [{type: Ready, status: 'True'}]}}", "ready", ""),
        ("v1 Node", "cordoned", "{spec: {unschedulable: true}, status: {conditions: [{type: Ready, status: 'True'}]}}", "ready", "cordoned"),
        ("v1 Node", "not ready", "{status: {conditions: [{type: Ready, status: 'False', message: cni plugin not initialized}]}}", "progressing", "cni plugin not initialized"),
        ("v1 Node", "lost", "{status: {conditions: [{type: Ready, status: Unknown, message: Kubelet stopped posting node status.}]}}", "progressing", "does not answer: Kubelet stopped posting node status"),
        ("v1 Node", "new", "{}", "progressing", "has not reported"),
    ]);
}

#[test]
fn kinds_without_a_status_are_ready_when_they_exist() {
    for kind in [
        "v1 Secret",
        "v1 ConfigMap",
        "v1 ServiceAccount",
        "v1 LimitRange",
        "v1 PodTemplate",
        "v1 Event",
        "rbac.authorization.k8s.io/v1 ClusterRole",
        "rbac.authorization.k8s.io/v1 RoleBinding",
        "scheduling.k8s.io/v1 PriorityClass",
        "node.k8s.io/v1 RuntimeClass",
        "coordination.k8s.io/v1 Lease",
        "apps/v1 ControllerRevision",
        "admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding",
        "gateway.networking.k8s.io/v1beta1 ReferenceGrant",
    ] {
        check(&[(kind, "exists", "{}", "ready", "")]);
    }
}

#[test]
fn custom_resources() {
    check(&[
        (CUSTOM, "nothing known", "{}", "ready", "has no status"),
        (CUSTOM, "stale", "{metadata: {generation: 2}, status: {observedGeneration: 1, conditions: [{type: Ready, status: 'True'}]}}", "progressing", "generation 1 of 2"),
        (CUSTOM, "observed -1 by default", "{metadata: {generation: 1}, status: {observedGeneration: -1}}", "progressing", "not looked at it yet"),
        (CUSTOM, "observed generation is a text (helm)", "{metadata: {generation: 2}, status: {observedGeneration: '2', conditions: [{type: Ready, status: 'True'}]}}", "ready", ""),
        (CUSTOM, "observed generation is a hash", "{metadata: {generation: 2}, status: {observedGeneration: 5d4cf7, conditions: [{type: Ready, status: 'True'}]}}", "ready", ""),
        (CUSTOM, "condition of an earlier generation", "{metadata: {generation: 2}, status: {conditions: [{type: Ready, status: 'True', observedGeneration: 1}]}}", "progressing", "has not looked at the change"),
        (CUSTOM, "ready", "{status: {conditions: [{type: Synced, status: 'True'}, {type: Ready, status: 'True'}]}}", "ready", ""),
        (CUSTOM, "not ready", "{status: {conditions: [{type: Ready, status: 'False', reason: Installing, message: making it}]}}", "progressing", "Installing: making it"),
        (CUSTOM, "unknown", "{status: {conditions: [{type: Ready, status: Unknown}]}}", "progressing", "Ready is Unknown"),
        (CUSTOM, "will never work", "{status: {conditions: [{type: Ready, status: 'False', reason: InvalidSpec, message: no such size}]}}", "failed", "InvalidSpec: no such size"),
        (CUSTOM, "denied", "{status: {conditions: [{type: Ready, status: 'False', reason: Denied}]}}", "failed", "Denied"),
        (CUSTOM, "a failure that is tried again", "{status: {conditions: [{type: Ready, status: 'False', reason: InstallFailed, message: timeout}]}}", "progressing", "InstallFailed: timeout"),
        (CUSTOM, "reconciling", "{status: {conditions: [{type: Reconciling, status: 'True', message: step 2}, {type: Ready, status: 'True'}]}}", "progressing", "step 2"),
        (CUSTOM, "stalled", "{status: {conditions: [{type: Reconciling, status: 'True'}, {type: Stalled, status: 'True', reason: Broken, message: no way}]}}", "failed", "stalled: no way"),
        (CUSTOM, "not stalled", "{status: {conditions: [{type: Stalled, status: 'False'}, {type: Ready, status: 'True'}]}}", "ready", ""),
        (CUSTOM, "available", "{status: {conditions: [{type: Available, status: 'True'}]}}", "ready", ""),
        (CUSTOM, "healthy", "{status: {conditions: [{type: Healthy, status: 'False', message: one is missing}]}}", "progressing", "one is missing"),
        (CUSTOM, "succeeded", "{status: {conditions: [{type: Succeeded, status: 'True'}]}}", "ready", ""),
        (CUSTOM, "running", "{status: {conditions: [{type: Succeeded, status: Unknown, reason: Running}]}}", "progressing", "Running"),
        (CUSTOM, "has not succeeded", "{status: {conditions: [{type: Succeeded, status: 'False', reason: TaskRunTimeout}]}}", "failed", "TaskRunTimeout"),
        (CUSTOM, "failed beside not ready", "{status: {conditions: [{type: Ready, status: 'False'}, {type: Failed, status: 'True', message: disk full}]}}", "failed", "disk full"),
        (CUSTOM, "only failed", "{status: {conditions: [{type: Failed, status: 'True', reason: Broken}]}}", "failed", "Broken"),
        (CUSTOM, "complete", "{status: {conditions: [{type: Complete, status: 'True'}]}}", "ready", "completed"),
        (CUSTOM, "phase word", "{status: {phase: Creating}}", "progressing", "its phase is Creating"),
        (CUSTOM, "failed phase", "{status: {phase: Failed, message: no disk}}", "failed", "its phase is Failed: no disk"),
        (CUSTOM, "good phase", "{status: {phase: Running}}", "ready", "its phase is Running"),
        (CUSTOM, "health", "{status: {health: {status: Degraded}}}", "progressing", "its health is Degraded"),
        (CUSTOM, "status that says nothing", "{status: {url: 'http://x'}}", "ready", "nothing in its status says"),
        (CUSTOM, "conditions of a wrong type", "{status: {conditions: {Ready: 'True'}}}", "ready", "nothing in its status says"),
        (CUSTOM, "not an object of Kubernetes", "{status: 5}", "ready", "has no status"),
        (CUSTOM, "CEL", "{metadata: {annotations: {rekindle.dev/ready: \"object.status.conditions.exists(c, c.type == 'Live' && c.status == 'True')\"}}, status: {conditions: [{type: Live, status: 'True'}]}}", "ready", "*"),
        (CUSTOM, "CEL, no status yet", "{metadata: {annotations: {rekindle.dev/ready: object.status.live}}}", "progressing", "there is no field `status`"),
        (CUSTOM, "CEL over a stale generation", "{metadata: {generation: 2, annotations: {rekindle.dev/ready: object.status.live}}, status: {observedGeneration: 1, live: true}}", "progressing", "generation 1 of 2"),
        (CUSTOM, "CEL that answers for the generation", "{metadata: {generation: 2, annotations: {rekindle.dev/ready: 'object.status.live && object.metadata.generation > 0'}}, status: {observedGeneration: 1, live: true}}", "ready", "*"),
        (CUSTOM, "CEL of a wrong name, stale", "{metadata: {generation: 2, annotations: {rekindle.dev/ready: objekt.status.live}}, status: {observedGeneration: 1}}", "failed", "`objekt` is not known here, only `object`"),
        (CUSTOM, "CEL over what is null", "{metadata: {annotations: {rekindle.dev/ready: object.status.live}}, status: {live: null}}", "progressing", "rekindle.dev/ready is not true yet: its value is null"),
        (CUSTOM, "CEL over a list that is null", "{metadata: {annotations: {rekindle.dev/ready: 'object.status.all.exists(it, it.live)'}}, status: {all: null}}", "progressing", "rekindle.dev/ready cannot be evaluated yet: "),
        (CUSTOM, "CEL that gives a number", "{metadata: {annotations: {rekindle.dev/ready: '1 + 1'}}, status: {x: 1}}", "failed", "of type int"),
    ]);
}

#[test]
fn a_definition_says_whether_a_status_is_to_be_expected() {
    let crd = |version: &str| -> Value {
        object("apiextensions.k8s.io/v1 CustomResourceDefinition", &format!("{{spec: {{versions: [{version}]}}}}"))
    };
    for (definition, expected, reason) in [
        ("{name: v1, subresources: {status: {}}}", "progressing", "nobody has looked at it yet"),
        ("{name: v1, schema: {openAPIV3Schema: {properties: {status: {type: object}}}}}", "progressing", "nobody has looked"),
        ("{name: v1, schema: {openAPIV3Schema: {properties: {spec: {type: object}}}}}", "ready", ""),
        ("{name: v2, subresources: {status: {}}}, {name: v1}", "ready", ""),
    ] {
        let row: Row = (CUSTOM, "no status", "{}", expected, reason);
        let crd = crd(definition);
        check_row(&row, &status(&object(CUSTOM, "{}"), Related { crd: Some(&crd), ..Related::default() }));
    }
}

#[test]
fn a_given_expression_wins_over_the_annotation() {
    let it = object(CUSTOM, "{metadata: {annotations: {rekindle.dev/ready: 'false'}}}");
    let found = status(&it, Related { ready_expression: Some("true"), ..Related::default() });
    assert!(found.is_ready(), "{found:?}");
}
