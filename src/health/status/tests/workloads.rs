//! Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet, Job, CronJob.

use serde_json::Value;

use super::super::{Related, pods_of, status};
use super::{Row, check, check_row, object};

const DEPLOYMENT: &str = "apps/v1 Deployment";
const STATEFUL_SET: &str = "apps/v1 StatefulSet";
const DAEMON_SET: &str = "apps/v1 DaemonSet";
const JOB: &str = "batch/v1 Job";

#[test]
fn deployments() {
    check(&[
        (DEPLOYMENT, "only written down", "{spec: {replicas: 1}}", "progressing", "not looked at it yet"),
        (DEPLOYMENT, "empty status", "{metadata: {generation: 1}, status: {}}", "progressing", "not looked at it yet"),
        (DEPLOYMENT, "no observed generation", "{metadata: {generation: 1}, spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1}}", "progressing", "not looked at it yet"),
        (DEPLOYMENT, "all there", "{metadata: {generation: 1}, spec: {replicas: 3}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3}}", "ready", ""),
        (DEPLOYMENT, "conditions not needed", "{metadata: {generation: 1}, spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}", "ready", ""),
        (DEPLOYMENT, "stale", "{metadata: {generation: 2}, spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1}}", "progressing", "only seen generation 1 of 2"),
        (DEPLOYMENT, "stale, generation as text", "{metadata: {generation: 2}, spec: {replicas: 1}, status: {observedGeneration: '1', replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1}}", "progressing", "generation 1 of 2"),
        (DEPLOYMENT, "replicas left out are one", "{status: {replicas: 1, updatedReplicas: 1, readyReplicas: 0}}", "progressing", "0 of 1 pod ready"),
        (DEPLOYMENT, "no pod yet", "{spec: {replicas: 2}, status: {observedGeneration: 1}}", "progressing", "0 of 2 pods created"),
        (DEPLOYMENT, "ready counts spec, not status (kluctl)", "{spec: {replicas: 3}, status: {replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1}}", "progressing", "1 of 3 pods created"),
        (DEPLOYMENT, "only old pods serve", "{spec: {replicas: 2}, status: {replicas: 3, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2}}", "progressing", "1 of 2 pods updated"),
        (DEPLOYMENT, "old pods left", "{spec: {replicas: 2}, status: {replicas: 3, updatedReplicas: 2, readyReplicas: 3, availableReplicas: 3}}", "progressing", "1 old pod still to be removed"),
        (DEPLOYMENT, "scaling down", "{spec: {replicas: 1}, status: {replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3}}", "progressing", "2 pods still to be removed"),
        (DEPLOYMENT, "ready but not for long enough", "{spec: {replicas: 2, minReadySeconds: 30}, status: {replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 1}}", "progressing", "1 of 2 pods available, each must stay ready for 30 s"),
        (DEPLOYMENT, "no replicas wanted", "{metadata: {generation: 1}, spec: {replicas: 0}, status: {observedGeneration: 1}}", "ready", "0 replicas wanted"),
        (DEPLOYMENT, "no replicas wanted, unseen", "{metadata: {generation: 1}, spec: {replicas: 0}}", "progressing", "not looked at it yet"),
        (DEPLOYMENT, "scaling to zero", "{spec: {replicas: 0}, status: {observedGeneration: 3, replicas: 1, updatedReplicas: 1}}", "progressing", "1 pod still to be removed"),
        (DEPLOYMENT, "progress deadline", "{spec: {replicas: 2, progressDeadlineSeconds: 600}, status: {replicas: 2, updatedReplicas: 2, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, message: 'ReplicaSet \"it-1\" has timed out progressing.'}]}}", "failed", "0 of 2 pods ready, no progress for 600 s: ReplicaSet \"it-1\" has timed out progressing"),
        (DEPLOYMENT, "progress deadline by quota", "{spec: {replicas: 2}, status: {replicas: 1, updatedReplicas: 1, conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: 'exceeded quota: compute'}, {type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]}}", "failed", "no progress: pods cannot be created: exceeded quota: compute"),
        (DEPLOYMENT, "quota", "{spec: {replicas: 3}, status: {replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: 'pods \"x\" is forbidden: exceeded quota: compute, requested: cpu=1.'}]}}", "refused", "1 of 3 pods created: pods cannot be created: pods \"x\" is forbidden: exceeded quota"),
        (DEPLOYMENT, "past quota trouble", "{spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, conditions: [{type: ReplicaFailure, status: 'False'}]}}", "ready", ""),
        (DEPLOYMENT, "paused and served", "{spec: {replicas: 1, paused: true}, status: {replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1}}", "ready", "paused"),
        (DEPLOYMENT, "paused with old pods", "{spec: {replicas: 2, paused: true}, status: {replicas: 2, readyReplicas: 2, availableReplicas: 2}}", "ready", "paused: 0 of 2 pods updated"),
        (DEPLOYMENT, "paused from birth", "{spec: {replicas: 2, paused: true}, status: {observedGeneration: 1}}", "failed", "paused before its first pod"),
        (DEPLOYMENT, "paused, one missing", "{spec: {replicas: 2, paused: true}, status: {replicas: 2, readyReplicas: 1, availableReplicas: 1}}", "progressing", "paused: 1 of 2 pods ready"),
        (DEPLOYMENT, "being deleted", "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [foregroundDeletion]}, status: {replicas: 1}}", "terminating", "held by finalizer foregroundDeletion"),
        (DEPLOYMENT, "wrong types", "{spec: {replicas: many}, status: {replicas: [], readyReplicas: {}, updatedReplicas: no}}", "progressing", "0 of 1 pod created"),
        (DEPLOYMENT, "ready by annotation", "{metadata: {generation: 1, annotations: {rekindle.dev/ready: 'object.status.readyReplicas >= 1'}}, spec: {replicas: 3}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 3, readyReplicas: 1}}", "ready", ""),
        (DEPLOYMENT, "annotation, but stale", "{metadata: {generation: 2, annotations: {rekindle.dev/ready: 'object.status.observedGeneration >= 1'}}, spec: {replicas: 3}, status: {observedGeneration: 1, readyReplicas: 1}}", "progressing", "generation 1 of 2"),
        (DEPLOYMENT, "annotation not true", "{metadata: {annotations: {rekindle.dev/ready: 'object.status.readyReplicas >= 5'}}, spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1}}", "progressing", "rekindle.dev/ready is not true yet: object.status.readyReplicas >= 5"),
        (DEPLOYMENT, "annotation, but failed", "{metadata: {annotations: {rekindle.dev/ready: 'true'}}, status: {replicas: 1, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]}}", "failed", "no progress"),
        (DEPLOYMENT, "annotation that is no CEL", "{metadata: {annotations: {rekindle.dev/ready: 'object.status.'}}, status: {replicas: 1}}", "failed", "annotation rekindle.dev/ready: syntax error at column"),
    ]);
}

#[test]
fn replica_sets_and_replication_controllers() {
    check(&[
        ("apps/v1 ReplicaSet", "unseen", "{metadata: {generation: 1}}", "progressing", "not looked at it yet"),
        ("apps/v1 ReplicaSet", "all there", "{spec: {replicas: 2}, status: {replicas: 2, fullyLabeledReplicas: 2, readyReplicas: 2, availableReplicas: 2}}", "ready", ""),
        ("apps/v1 ReplicaSet", "not all labelled", "{spec: {replicas: 2}, status: {replicas: 2, fullyLabeledReplicas: 1, readyReplicas: 2, availableReplicas: 2}}", "progressing", "1 of 2 pods with all labels"),
        ("apps/v1 ReplicaSet", "not available", "{spec: {replicas: 2}, status: {replicas: 2, fullyLabeledReplicas: 2, readyReplicas: 2, availableReplicas: 1}}", "progressing", "1 of 2 pods available"),
        ("apps/v1 ReplicaSet", "too many", "{spec: {replicas: 1}, status: {replicas: 2, readyReplicas: 2, availableReplicas: 2}}", "progressing", "1 pod still to be removed"),
        ("apps/v1 ReplicaSet", "quota", "{spec: {replicas: 2}, status: {observedGeneration: 1, conditions: [{type: ReplicaFailure, status: 'True', message: forbidden}]}}", "refused", "0 of 2 pods created: pods cannot be created: forbidden"),
        ("apps/v1 ReplicaSet", "old and scaled to zero", "{metadata: {generation: 2}, spec: {replicas: 0}, status: {observedGeneration: 2, replicas: 0}}", "ready", "0 replicas wanted"),
        ("v1 ReplicationController", "one missing", "{spec: {replicas: 2}, status: {replicas: 2, readyReplicas: 1}}", "progressing", "1 of 2 pods ready"),
        ("v1 ReplicationController", "all there", "{spec: {replicas: 1}, status: {replicas: 1, fullyLabeledReplicas: 1, readyReplicas: 1, availableReplicas: 1}}", "ready", ""),
    ]);
}

#[test]
fn stateful_sets() {
    check(&[
        (STATEFUL_SET, "unseen", "{metadata: {generation: 1}, status: {replicas: 0}}", "progressing", "not looked at it yet"),
        (STATEFUL_SET, "all there", "{spec: {replicas: 2, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}}, status: {replicas: 2, readyReplicas: 2, availableReplicas: 2, updatedReplicas: 2, currentReplicas: 2, currentRevision: a, updateRevision: a}}", "ready", ""),
        (STATEFUL_SET, "first of three", "{spec: {replicas: 3}, status: {replicas: 2, readyReplicas: 1, updatedReplicas: 2, currentRevision: a, updateRevision: a}}", "progressing", "1 of 3 pods ready"),
        (STATEFUL_SET, "rolling", "{spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 0}}}, status: {replicas: 3, readyReplicas: 3, availableReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}", "progressing", "1 of 3 pods updated"),
        (STATEFUL_SET, "partition 0 still asks for the revision", "{spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 0}}}, status: {replicas: 3, readyReplicas: 3, availableReplicas: 3, updatedReplicas: 3, currentRevision: a, updateRevision: b}}", "progressing", "rollout is not finished"),
        (STATEFUL_SET, "partition reached", "{spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}}, status: {replicas: 3, readyReplicas: 3, availableReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}", "ready", "2 of 3 pods still of the old revision (partition 2)"),
        (STATEFUL_SET, "partition not reached", "{spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 1}}}, status: {replicas: 3, readyReplicas: 3, availableReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}", "progressing", "1 of 2 pods updated"),
        (STATEFUL_SET, "partition beyond the last", "{spec: {replicas: 2, updateStrategy: {rollingUpdate: {partition: 9}}}, status: {replicas: 2, readyReplicas: 2, availableReplicas: 2, updatedReplicas: 0, currentRevision: a, updateRevision: b}}", "ready", "2 of 2 pods still of the old revision"),
        (STATEFUL_SET, "partition, but not ready", "{spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}}, status: {replicas: 3, readyReplicas: 2, updatedReplicas: 1, currentRevision: a, updateRevision: b}}", "progressing", "2 of 3 pods ready"),
        (STATEFUL_SET, "OnDelete, not ready", "{spec: {replicas: 2, updateStrategy: {type: OnDelete}}, status: {replicas: 2, readyReplicas: 1, updatedReplicas: 0, currentRevision: a, updateRevision: b}}", "progressing", "1 of 2 pods ready"),
        (STATEFUL_SET, "OnDelete, old pods", "{spec: {replicas: 2, updateStrategy: {type: OnDelete}}, status: {replicas: 2, readyReplicas: 2, availableReplicas: 2, updatedReplicas: 0, currentRevision: a, updateRevision: b}}", "ready", "2 of 2 pods still of the old revision (update strategy OnDelete)"),
        (STATEFUL_SET, "OnDelete, all replaced", "{spec: {replicas: 2, updateStrategy: {type: OnDelete}}, status: {replicas: 2, readyReplicas: 2, availableReplicas: 2, updatedReplicas: 2, currentRevision: a, updateRevision: b}}", "ready", ""),
        (STATEFUL_SET, "scaling down", "{spec: {replicas: 1}, status: {replicas: 2, readyReplicas: 2, availableReplicas: 2, updatedReplicas: 2, currentRevision: a, updateRevision: a}}", "progressing", "1 pod still to be removed"),
        (STATEFUL_SET, "not ready for long enough", "{spec: {replicas: 1, minReadySeconds: 10}, status: {replicas: 1, readyReplicas: 1, availableReplicas: 0, updatedReplicas: 1, currentRevision: a, updateRevision: a}}", "progressing", "0 of 1 pod available, each must stay ready for 10 s"),
        (STATEFUL_SET, "no replicas wanted", "{metadata: {generation: 1}, spec: {replicas: 0}, status: {observedGeneration: 1, replicas: 0}}", "ready", "0 replicas wanted"),
        (STATEFUL_SET, "parallel", "{spec: {replicas: 3, podManagementPolicy: Parallel}, status: {replicas: 3, readyReplicas: 0, updatedReplicas: 3, currentRevision: a, updateRevision: a}}", "progressing", "0 of 3 pods ready"),
    ]);
}

#[test]
fn daemon_sets() {
    check(&[
        (DAEMON_SET, "unseen, desired 0 by default", "{metadata: {generation: 1}, status: {currentNumberScheduled: 0, desiredNumberScheduled: 0, numberReady: 0, numberMisscheduled: 0}}", "progressing", "not looked at it yet"),
        (DAEMON_SET, "no node matches", "{metadata: {generation: 1}, status: {observedGeneration: 1, currentNumberScheduled: 0, desiredNumberScheduled: 0, numberReady: 0, numberMisscheduled: 0}}", "ready", "no node matches"),
        (DAEMON_SET, "nothing counted", "{metadata: {generation: 1}, status: {observedGeneration: 1}}", "progressing", "not counted its nodes"),
        (DAEMON_SET, "one node, no pod ready (kluctl)", "{metadata: {generation: 1}, spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 1}}}, status: {observedGeneration: 1, desiredNumberScheduled: 1, currentNumberScheduled: 1, updatedNumberScheduled: 1, numberReady: 0}}", "progressing", "0 of 1 node with a ready pod"),
        (DAEMON_SET, "all there", "{metadata: {generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 2, numberAvailable: 2}}", "ready", ""),
        (DAEMON_SET, "being scheduled", "{status: {desiredNumberScheduled: 3, currentNumberScheduled: 1}}", "progressing", "1 of 3 nodes with a pod"),
        (DAEMON_SET, "rolling", "{status: {desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 1, numberReady: 3, numberAvailable: 3}}", "progressing", "1 of 3 nodes with an updated pod"),
        (DAEMON_SET, "not available", "{status: {desiredNumberScheduled: 1, currentNumberScheduled: 1, updatedNumberScheduled: 1, numberReady: 1}}", "progressing", "0 of 1 node with an available pod"),
        (DAEMON_SET, "OnDelete after a change", "{spec: {updateStrategy: {type: OnDelete}}, status: {desiredNumberScheduled: 3, currentNumberScheduled: 3, updatedNumberScheduled: 1, numberReady: 3, numberAvailable: 3}}", "ready", "2 of 3 nodes still with an old pod (update strategy OnDelete)"),
        (DAEMON_SET, "OnDelete, not ready", "{spec: {updateStrategy: {type: OnDelete}}, status: {desiredNumberScheduled: 3, currentNumberScheduled: 3, numberReady: 2}}", "progressing", "2 of 3 nodes with a ready pod"),
        (DAEMON_SET, "stale", "{metadata: {generation: 4}, status: {observedGeneration: 3, desiredNumberScheduled: 1, currentNumberScheduled: 1, updatedNumberScheduled: 1, numberReady: 1, numberAvailable: 1}}", "progressing", "generation 3 of 4"),
    ]);
}

#[test]
fn jobs() {
    check(&[
        (JOB, "unseen", "{metadata: {generation: 1}, spec: {completions: 1}}", "progressing", "not looked at it yet"),
        (JOB, "not started", "{status: {ready: 0}}", "progressing", "has not been started"),
        (JOB, "running is not done (kstatus)", "{spec: {completions: 1}, status: {startTime: '2026-01-01T00:00:00Z', active: 1}}", "progressing", "1 running"),
        (JOB, "many", "{spec: {completions: 5, parallelism: 2}, status: {startTime: '2026-01-01T00:00:00Z', active: 2, succeeded: 3}}", "progressing", "3 of 5 completed, 2 running"),
        (JOB, "retrying", "{spec: {backoffLimit: 4}, status: {startTime: '2026-01-01T00:00:00Z', active: 1, failed: 2}}", "progressing", "1 running, 2 failed, gives up after 4 retries"),
        (JOB, "complete", "{status: {startTime: '2026-01-01T00:00:00Z', succeeded: 1, conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}]}}", "ready", "completed"),
        (JOB, "success policy", "{status: {startTime: '2026-01-01T00:00:00Z', conditions: [{type: Complete, status: 'True', reason: SuccessPolicy}]}}", "ready", "completed by its success policy"),
        (JOB, "about to succeed", "{status: {startTime: '2026-01-01T00:00:00Z', active: 1, conditions: [{type: SuccessCriteriaMet, status: 'True', reason: SuccessPolicy}]}}", "progressing", "last pods are ending"),
        (JOB, "backoff limit", "{status: {startTime: '2026-01-01T00:00:00Z', failed: 7, conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit}]}}", "failed", "BackoffLimitExceeded: Job has reached the specified backoff limit"),
        (JOB, "deadline", "{status: {startTime: '2026-01-01T00:00:00Z', conditions: [{type: FailureTarget, status: 'True', reason: DeadlineExceeded}]}}", "failed", "DeadlineExceeded"),
        (JOB, "condition Failed is False", "{status: {startTime: '2026-01-01T00:00:00Z', active: 1, conditions: [{type: Failed, status: 'False'}]}}", "progressing", "1 running"),
        (JOB, "suspended", "{spec: {suspend: true}, status: {conditions: [{type: Suspended, status: 'True'}]}}", "ready", "suspended"),
        (JOB, "being suspended", "{spec: {suspend: true}, status: {startTime: '2026-01-01T00:00:00Z', active: 1}}", "progressing", "being suspended"),
        (JOB, "resumed", "{spec: {suspend: false}, status: {conditions: [{type: Suspended, status: 'True'}]}}", "progressing", "being resumed"),
        ("batch/v1 CronJob", "never run", "{spec: {schedule: '@daily'}}", "ready", ""),
        ("batch/v1 CronJob", "has run", "{spec: {schedule: '@daily'}, status: {lastScheduleTime: '2026-01-01T00:00:00Z'}}", "ready", "last started 2026-01-01T00:00:00Z"),
        ("batch/v1 CronJob", "suspended", "{spec: {suspend: true}}", "ready", "suspended"),
    ]);
}

/// A workload with its pods: the same table, with the pods that `pods_of` finds among all of them.
fn check_with(
    workload: (&'static str, &'static str),
    pods: &[&str],
    sets: &[&str],
    expected: (&'static str, &'static str),
) {
    let it = object(workload.0, workload.1);
    let pods: Vec<Value> = pods.iter().map(|pod| object("v1 Pod", pod)).collect();
    let sets: Vec<Value> = sets.iter().map(|set| object("apps/v1 ReplicaSet", set)).collect();
    let current = pods_of(&it, &pods.iter().collect::<Vec<_>>(), &sets.iter().collect::<Vec<_>>());
    let found = status(&it, Related { pods: &current, ..Related::default() });
    let row: Row = (workload.0, "with its pods", workload.1, expected.0, expected.1);
    check_row(&row, &found);
}

const API: (&str, &str) = (
    DEPLOYMENT,
    "{metadata: {name: api, uid: d, annotations: {deployment.kubernetes.io/revision: '2'}}, spec: {replicas: 2}, status: {replicas: 3, updatedReplicas: 2, readyReplicas: 1, availableReplicas: 1}}",
);
const OLD_SET: &str = "{metadata: {name: api-1, uid: r1, annotations: {deployment.kubernetes.io/revision: '1'}, ownerReferences: [{uid: d, kind: Deployment, name: api, controller: true}]}}";
const NEW_SET: &str = "{metadata: {name: api-2, uid: r2, annotations: {deployment.kubernetes.io/revision: '2'}, ownerReferences: [{uid: d, kind: Deployment, name: api, controller: true}]}}";
const OLD_CRASH: &str = "{metadata: {name: api-1-a, labels: {pod-template-hash: '1'}, creationTimestamp: '2026-01-01T00:00:00Z', ownerReferences: [{uid: r1, kind: ReplicaSet, name: api-1, controller: true}]}, status: {phase: Running, containerStatuses: [{name: api, restartCount: 9, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 9}}}]}}";
const NEW_CRASH: &str = "{metadata: {name: api-2-b, labels: {pod-template-hash: '2'}, creationTimestamp: '2026-01-02T00:00:00Z', ownerReferences: [{uid: r2, kind: ReplicaSet, name: api-2, controller: true}]}, status: {phase: Running, containerStatuses: [{name: api, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1}}}]}}";
const NEW_STARTING: &str = "{metadata: {name: api-2-c, labels: {pod-template-hash: '2'}, creationTimestamp: '2026-01-02T00:00:00Z', ownerReferences: [{uid: r2, kind: ReplicaSet, name: api-2, controller: true}]}, spec: {nodeName: n}, status: {phase: Running, containerStatuses: [{name: api, state: {running: {}}}]}}";

#[test]
fn a_workload_is_as_bad_as_the_pods_of_its_current_revision() {
    let crash = "1 of 2 pods ready: container api of pod api-2-b exits with code 1, 3 restarts";
    check_with(API, &[OLD_CRASH, NEW_STARTING, NEW_CRASH], &[OLD_SET, NEW_SET], ("crash", crash));
    check_with(API, &[OLD_CRASH, NEW_CRASH], &[], ("crash", crash));
    check_with(API, &[OLD_CRASH, NEW_STARTING], &[OLD_SET, NEW_SET], ("progressing", "container api of pod api-2-c is running but not ready"));
    check_with(API, &[OLD_CRASH], &[OLD_SET, NEW_SET], ("progressing", "1 of 2 pods ready"));
    check_with(API, &[], &[], ("progressing", "1 of 2 pods ready"));
}

#[test]
fn a_ready_workload_stays_ready_while_one_pod_stumbles() {
    let ready = "{metadata: {name: api, uid: d}, spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2}}";
    check_with((DEPLOYMENT, ready), &[NEW_CRASH], &[NEW_SET], ("ready", ""));
}

#[test]
fn pods_that_have_ended_or_are_going_do_not_count() {
    let evicted = "{metadata: {name: api-2-z, ownerReferences: [{uid: r2, controller: true}]}, status: {phase: Failed, reason: Evicted, message: 'The node was low on resource: memory.'}}";
    check_with(API, &[evicted, NEW_STARTING], &[NEW_SET], ("progressing", "pod api-2-z was evicted: The node was low on resource: memory"));
    check_with(API, &[evicted, NEW_CRASH], &[NEW_SET], ("crash", "api-2-b"));
    let going = NEW_CRASH.replace("name: api-2-b,", "name: api-2-b, deletionTimestamp: '2026-01-01T00:00:00Z',");
    check_with(API, &[&going], &[NEW_SET], ("progressing", "1 of 2 pods ready"));
}

#[test]
fn the_worst_pod_is_named() {
    let unschedulable = "{metadata: {name: api-2-u, ownerReferences: [{uid: r2, controller: true}]}, status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/1 nodes are available}]}}";
    check_with(API, &[unschedulable], &[NEW_SET], ("unschedulable", "no node takes pod api-2-u: 0/1 nodes are available"));
    check_with(API, &[unschedulable, NEW_CRASH], &[NEW_SET], ("crash", "api-2-b"));
    let invalid = "{metadata: {name: api-2-i, ownerReferences: [{uid: r2, controller: true}]}, status: {phase: Pending, containerStatuses: [{name: api, image: 'A:b:c', state: {waiting: {reason: InvalidImageName}}}]}}";
    check_with(API, &[NEW_CRASH, invalid], &[NEW_SET], ("failed", "cannot pull image A:b:c: the name is not valid"));
    let late = API.1.replace("availableReplicas: 1", "availableReplicas: 1, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, message: timed out}]");
    let late: &'static str = Box::leak(late.into_boxed_str());
    check_with((DEPLOYMENT, late), &[NEW_CRASH], &[NEW_SET], ("failed", "no progress: container api of pod api-2-b exits with code 1"));
}

fn set_pod(name: &str, revision: &str, state: &str) -> String {
    format!(
        "{{metadata: {{name: {name}, labels: {{controller-revision-hash: {revision}, pod-template-generation: '{}'}}, ownerReferences: [{{uid: s, controller: true}}]}}, status: {{phase: Running, {state}}}}}",
        if revision == "new" { 2 } else { 1 }
    )
}

const CRASHING: &str = "containerStatuses: [{name: c, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 3}}}]";
const HEALTHY: &str =
    "conditions: [{type: Ready, status: 'True'}], containerStatuses: [{name: c, ready: true, state: {running: {}}}]";

#[test]
fn stateful_set_pods() {
    let rolling = "{metadata: {name: db, uid: s}, spec: {replicas: 2}, status: {replicas: 2, readyReplicas: 1, updatedReplicas: 1, currentRevision: old, updateRevision: new}}";
    let parallel = "{metadata: {name: db, uid: s}, spec: {replicas: 2, podManagementPolicy: Parallel}, status: {replicas: 2, readyReplicas: 1, updatedReplicas: 1, currentRevision: old, updateRevision: new}}";
    let (crashing, healthy) = (set_pod("db-1", "new", CRASHING), set_pod("db-0", "old", HEALTHY));
    check_with((STATEFUL_SET, rolling), &[&healthy, &crashing], &[], ("crash", "1 of 2 pods ready: container c of pod db-1 exits with code 3"));
    let stuck = set_pod("db-0", "old", CRASHING);
    check_with((STATEFUL_SET, rolling), &[&stuck], &[], ("crash", "the old pod db-0 is replaced only once it is ready or deleted: container c of pod db-0 exits with code 3"));
    check_with((STATEFUL_SET, parallel), &[&stuck], &[], ("progressing", "1 of 2 pods ready"));
    let on_delete = "{metadata: {name: db, uid: s}, spec: {replicas: 2, updateStrategy: {type: OnDelete}}, status: {replicas: 2, readyReplicas: 1, updatedReplicas: 1, currentRevision: old, updateRevision: new}}";
    check_with((STATEFUL_SET, on_delete), &[&stuck], &[], ("crash", "exits with code 3"));
}

#[test]
fn daemon_set_pods() {
    let rolling = "{metadata: {name: agent, uid: s}, status: {desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 1, numberReady: 1}}";
    let (old, new) = (set_pod("agent-a", "old", CRASHING), set_pod("agent-b", "new", HEALTHY));
    check_with((DAEMON_SET, rolling), &[&old, &new], &[], ("progressing", "1 of 2 nodes with an updated pod"));
    let new = set_pod("agent-b", "new", CRASHING);
    check_with((DAEMON_SET, rolling), &[&old, &new], &[], ("crash", "container c of pod agent-b exits with code 3, 2 restarts"));
}

#[test]
fn job_pods() {
    let running = "{metadata: {name: migrate, uid: s}, spec: {backoffLimit: 4}, status: {startTime: '2026-01-01T00:00:00Z', active: 1, failed: 1}}";
    let crashing = set_pod("migrate-x", "a", CRASHING);
    check_with((JOB, running), &[&crashing], &[], ("progressing", "gives up after 4 retries: container c of pod migrate-x exits with code 3"));
    let pull = set_pod(
        "migrate-x",
        "a",
        "containerStatuses: [{name: c, image: 'nope:1', state: {waiting: {reason: ErrImagePull, message: 'failed to resolve: nope:1: not found'}}}]",
    );
    check_with((JOB, running), &[&pull], &[], ("pull", "container c of pod migrate-x cannot pull image nope:1: not found"));
    let failed = "{metadata: {name: migrate, uid: s}, status: {startTime: '2026-01-01T00:00:00Z', conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: limit reached}]}}";
    let ended = "{metadata: {name: migrate-x, ownerReferences: [{uid: s, controller: true}]}, spec: {restartPolicy: Never}, status: {phase: Failed, containerStatuses: [{name: c, state: {terminated: {exitCode: 2, reason: Error}}}]}}";
    check_with((JOB, failed), &[ended], &[], ("failed", "BackoffLimitExceeded: limit reached; container c of pod migrate-x exits with code 2"));
}

#[test]
fn pods_without_uids_are_found_by_name() {
    let set = "{metadata: {name: redis, namespace: a}, spec: {replicas: 1}, status: {replicas: 1, updateRevision: new, updatedReplicas: 1, currentRevision: new}}";
    let pod = |namespace: &str| {
        format!(
            "{{metadata: {{name: redis-0, namespace: {namespace}, labels: {{controller-revision-hash: new}}, ownerReferences: [{{kind: StatefulSet, name: redis, controller: true}}]}}, status: {{phase: Running, {CRASHING}}}}}"
        )
    };
    check_with((STATEFUL_SET, set), &[&pod("a")], &[], ("crash", "redis-0"));
    check_with((STATEFUL_SET, set), &[&pod("b")], &[], ("progressing", "0 of 1 pod ready"));
}
