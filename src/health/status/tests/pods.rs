//! Pods, alone.

use super::super::{Related, status};
use super::{check, object};

const POD: &str = "v1 Pod";

#[test]
fn phases() {
    check(&[
        (POD, "only written down", "{spec: {containers: []}}", "progressing", "no scheduler has looked at it"),
        (POD, "no phase", "{status: {qosClass: Burstable}}", "progressing", "pod it has no node yet"),
        (POD, "succeeded", "{status: {phase: Succeeded}}", "ready", "completed"),
        (POD, "failed is not fine (kstatus)", "{status: {phase: Failed}}", "failed", "pod it has failed"),
        (POD, "failed with a container", "{status: {phase: Failed, containerStatuses: [{name: a, state: {terminated: {exitCode: 0}}}, {name: b, state: {terminated: {exitCode: 3, message: \"no\\nroute\"}}}]}}", "failed", "container b of pod it exits with code 3 (no route)"),
        (POD, "failed in an init container", "{spec: {restartPolicy: Never}, status: {phase: Failed, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 1}}}]}}", "failed", "init container i of pod it exits with code 1"),
        (POD, "evicted", "{status: {phase: Failed, reason: Evicted, message: 'The node was low on resource: memory. '}}", "failed", "pod it was evicted: The node was low on resource: memory"),
        (POD, "deadline", "{status: {phase: Failed, reason: DeadlineExceeded}}", "failed", "ran longer than its deadline"),
        (POD, "node shutdown", "{status: {phase: Failed, reason: Terminated, message: Pod was terminated in response to imminent node shutdown.}}", "failed", "has failed with Terminated: Pod was terminated"),
        (POD, "preempted", "{status: {phase: Failed, conditions: [{type: DisruptionTarget, status: 'True', reason: PreemptionByScheduler, message: 'default-scheduler: preempting'}]}}", "failed", "was taken away: default-scheduler: preempting"),
        (POD, "node lost", "{status: {phase: Unknown}}", "progressing", "node does not answer"),
        (POD, "running and ready", "{status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}", "ready", ""),
        (POD, "deleted", "{metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}}", "terminating", "being deleted, with 30 s to stop"),
    ]);
}

#[test]
fn places() {
    check(&[
        (POD, "unschedulable", "{status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No preemption victims found.'}]}}", "unschedulable", "no node takes pod it: 0/1 nodes are available: 1 Insufficient memory"),
        (POD, "no message", "{status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable}]}}", "unschedulable", "no node takes pod it: Unschedulable"),
        (POD, "gated", "{spec: {schedulingGates: [{name: example.com/quota}]}, status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: SchedulingGated}]}}", "progressing", "held back by scheduling gate example.com/quota"),
        (POD, "scheduler in trouble", "{status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: SchedulerError, message: timeout}]}}", "progressing", "has no node yet: timeout"),
        (POD, "no node yet", "{status: {phase: Pending}}", "progressing", "pod it has no node yet"),
        (POD, "has a node", "{spec: {nodeName: a}, status: {phase: Pending}}", "progressing", "pod it is not ready yet"),
        (POD, "creating", "{spec: {nodeName: a}, status: {phase: Pending, containerStatuses: [{name: c, ready: false, state: {waiting: {reason: ContainerCreating}}}]}}", "progressing", "container c of pod it is being created"),
    ]);
}

#[test]
fn why_nobody_is_evicted_does_not_help() {
    for end in [
        ". preemption: 0/5 nodes are available: 5 No preemption victims found.",
        ". no new claims to deallocate, preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
        ". no new claims to deallocate.",
        ".",
    ] {
        let fields = format!(
            "{{status: {{phase: Pending, conditions: [{{type: PodScheduled, status: 'False', reason: Unschedulable, \
             message: '0/5 nodes are available: 1 node(s) were busy, 4 Insufficient cpu{end}'}}]}}}}"
        );
        let found = status(&object(POD, &fields), Related::default());
        let words = "no node takes pod it: 0/5 nodes are available: 1 node(s) were busy, 4 Insufficient cpu";
        assert_eq!(found.reason(), words, "{end}");
    }
}

#[test]
fn images() {
    check(&[
        (POD, "back-off", "{status: {phase: Pending, containerStatuses: [{name: c, image: 'a/b:1', state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"a/b:1\"'}}}]}}", "pull", "container c of pod it cannot pull image a/b:1"),
        (POD, "back-off with cause", "{status: {phase: Pending, containerStatuses: [{name: c, image: 'a/b:1', state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"a/b:1\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": a/b:1: not found'}}}]}}", "pull", "cannot pull image a/b:1: not found"),
        (POD, "no such host", "{spec: {containers: [{name: c, image: 'r.invalid/b:1'}]}, status: {phase: Pending, containerStatuses: [{name: c, image: '', state: {waiting: {reason: ErrImagePull, message: 'failed to do request: Head \"https://r.invalid/v2/\": dial tcp: lookup r.invalid: no such host'}}}]}}", "pull", "cannot pull image r.invalid/b:1: no such host"),
        (POD, "never pulled", "{status: {phase: Pending, containerStatuses: [{name: c, image: x, state: {waiting: {reason: ErrImageNeverPull}}}]}}", "pull", "not on the node and imagePullPolicy is Never"),
        (POD, "registry down", "{status: {phase: Pending, containerStatuses: [{name: c, image: x, state: {waiting: {reason: RegistryUnavailable}}}]}}", "pull", "the registry is not available"),
        (POD, "invalid name", "{status: {phase: Pending, containerStatuses: [{name: c, image: 'X::y', state: {waiting: {reason: InvalidImageName}}}]}}", "failed", "cannot pull image X::y: the name is not valid"),
        (POD, "of an init container", "{spec: {initContainers: [{name: i}]}, status: {phase: Pending, initContainerStatuses: [{name: i, image: x, state: {waiting: {reason: ErrImagePull, message: unauthorized}}}]}}", "pull", "init container i of pod it cannot pull image x: unauthorized"),
    ]);
}

#[test]
fn containers_that_cannot_start() {
    check(&[
        (POD, "missing secret", "{status: {phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: CreateContainerConfigError, message: 'secret \"db\" not found'}}}]}}", "config", "container c of pod it cannot be started: secret \"db\" not found"),
        (POD, "create error", "{status: {phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: CreateContainerError}}}]}}", "config", "cannot be started: CreateContainerError"),
        (POD, "run error", "{status: {phase: Running, containerStatuses: [{name: c, state: {waiting: {reason: RunContainerError, message: 'exec: \"foo\": executable file not found in $PATH'}}}]}}", "config", "executable file not found"),
        (POD, "start error between tries", "{status: {phase: Running, containerStatuses: [{name: c, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff, message: back-off 20s restarting failed container}}, lastState: {terminated: {exitCode: 128, reason: StartError, message: 'exec: \"foo\": not found'}}}]}}", "config", "cannot be started: exec: \"foo\": not found, 2 restarts"),
    ]);
}

#[test]
fn crashes() {
    check(&[
        (POD, "loop", "{status: {phase: Running, containerStatuses: [{name: c, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff, message: back-off}}, lastState: {terminated: {exitCode: 1, reason: Error}}}]}}", "crash", "container c of pod it exits with code 1, 3 restarts"),
        (POD, "loop without history", "{status: {phase: Running, containerStatuses: [{name: c, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}}]}}", "crash", "crashes again and again, 1 restart"),
        (POD, "up between two crashes (kstatus flips)", "{status: {phase: Running, containerStatuses: [{name: c, ready: false, restartCount: 3, state: {running: {startedAt: '2026-01-01T00:00:00Z'}}, lastState: {terminated: {exitCode: 1}}}]}}", "crash", "exits with code 1, 3 restarts"),
        (POD, "down between two crashes", "{status: {phase: Running, containerStatuses: [{name: c, restartCount: 0, state: {terminated: {exitCode: 1}}}]}}", "crash", "exits with code 1"),
        (POD, "healed", "{status: {phase: Running, conditions: [{type: Ready, status: 'True'}], containerStatuses: [{name: c, ready: true, restartCount: 3, state: {running: {}}, lastState: {terminated: {exitCode: 1}}}]}}", "ready", "container c had 3 restarts, the last after exit code 1"),
        (POD, "out of memory", "{spec: {containers: [{name: c, resources: {limits: {memory: 64Mi}}}]}, status: {phase: Running, containerStatuses: [{name: c, restartCount: 1, state: {terminated: {exitCode: 137, reason: OOMKilled}}}]}}", "crash", "runs out of memory (limit 64Mi), 1 restart"),
        (POD, "out of memory without limit", "{status: {phase: Running, containerStatuses: [{name: c, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled}}}]}}", "crash", "runs out of memory, 2 restarts"),
        (POD, "ends but should run", "{spec: {restartPolicy: Always}, status: {phase: Running, containerStatuses: [{name: c, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 0, reason: Completed}}}]}}", "crash", "ends by itself (exit code 0) but should keep running, 2 restarts"),
        (POD, "may end", "{spec: {restartPolicy: OnFailure}, status: {phase: Running, containerStatuses: [{name: c, state: {terminated: {exitCode: 0}}}, {name: d, state: {running: {}}}]}}", "progressing", "*"),
        (POD, "init container loops", "{spec: {initContainers: [{name: i}]}, status: {phase: Pending, initContainerStatuses: [{name: i, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2}}}], containerStatuses: [{name: c, state: {waiting: {reason: PodInitializing}}}]}}", "crash", "init container i of pod it exits with code 2, 4 restarts"),
        (POD, "sidecar loops", "{spec: {initContainers: [{name: s, restartPolicy: Always}]}, status: {phase: Running, initContainerStatuses: [{name: s, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2}}}]}}", "crash", "container s of pod it exits with code 2"),
        (POD, "init container has succeeded after a failure", "{spec: {initContainers: [{name: i}]}, status: {phase: Running, conditions: [{type: Ready, status: 'True'}], initContainerStatuses: [{name: i, ready: true, restartCount: 2, state: {terminated: {exitCode: 0}}, lastState: {terminated: {exitCode: 1}}}]}}", "ready", ""),
    ]);
}

#[test]
fn on_the_way() {
    check(&[
        (POD, "first init container", "{spec: {nodeName: n, initContainers: [{name: i}, {name: j}]}, status: {phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}, {name: j, state: {running: {}}}]}}", "progressing", "init container j of pod it is running, 1 of 2 done"),
        (POD, "init containers not there", "{spec: {nodeName: n, initContainers: [{name: i}]}, status: {phase: Pending, initContainerStatuses: [{name: i, state: {waiting: {reason: PodInitializing}}}]}}", "progressing", "init containers of pod it are being created"),
        (POD, "a running sidecar is no unfinished init container", "{spec: {nodeName: n, initContainers: [{name: s, restartPolicy: Always}]}, status: {phase: Running, initContainerStatuses: [{name: s, ready: true, state: {running: {}}}], containerStatuses: [{name: c, state: {running: {}}}]}}", "progressing", "container c of pod it is running but not ready"),
        (POD, "startup probe", "{status: {phase: Running, containerStatuses: [{name: c, started: false, state: {running: {}}}]}}", "progressing", "its startup probe has not succeeded yet"),
        (POD, "readiness probe", "{status: {phase: Running, conditions: [{type: Ready, status: 'False', reason: ContainersNotReady}], containerStatuses: [{name: a, ready: true, state: {running: {}}}, {name: b, started: true, ready: false, state: {running: {}}}]}}", "progressing", "container b of pod it is running but not ready"),
        (POD, "readiness gate", "{spec: {nodeName: n, readinessGates: [{conditionType: lb.example.com/in-service}]}, status: {phase: Running, conditions: [{type: ContainersReady, status: 'True'}, {type: Ready, status: 'False', reason: ReadinessGatesNotReady}], containerStatuses: [{name: c, ready: true, state: {running: {}}}]}}", "progressing", "waits for its readiness gate lb.example.com/in-service"),
    ]);
}
