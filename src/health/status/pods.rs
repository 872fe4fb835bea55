//! Pods: what the kubelet and the scheduler wrote about containers and places.

use serde_json::Value;

use super::fields::{condition, conditions_at, count, counted, is_true, items, name, one_line, text, written_status};
use super::{Cause, Status};

/// What is wrong with one container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The container's name.
    pub container: String,
    /// Whether it is an init container that must end before the others start.
    pub init: bool,
    /// Decides its grace.
    pub cause: Cause,
    /// Whether time cannot heal it.
    pub lasting: bool,
    /// What it does, to be put after its name, e.g. `exits with code 1, 3 restarts`.
    pub what: String,
}

impl Trouble {
    /// `container api of pod api-x exits with code 1, 3 restarts`.
    pub fn sentence(&self, pod: &str) -> String {
        format!(
            "{} {} of pod {pod} {}",
            if self.init { "init container" } else { "container" },
            self.container,
            self.what
        )
    }
}

/// Waiting reasons of the kubelet's image manager (`pkg/kubelet/images/types.go`). All but an invalid name may heal.
const PULL: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "RegistryUnavailable",
    "ImageInspectError",
    "SignatureValidationFailed",
];

/// Waiting reasons of a container that cannot be made or started (`pkg/kubelet/kuberuntime/kuberuntime_container.go`).
const CONFIG: [&str; 6] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
];

/// Reasons of a terminated container that never ran its program.
const NEVER_RAN: [&str; 4] = ["StartError", "ContainerCannotRun", "ContainerStatusUnknown", "DeadlineExceeded"];

/// A container's spec, its status, and whether it is an init container that must end.
struct Container<'a> {
    spec: Option<&'a Value>,
    status: &'a Value,
    init: bool,
}

/// Containers with a status, init containers first. Sidecars (init containers that restart always) count as ordinary.
fn containers(pod: &Value) -> impl Iterator<Item = Container<'_>> {
    let part = move |statuses: &str, specs: &'static str, init: bool| {
        items(pod, statuses).iter().filter(|status| status.is_object()).map(move |status| {
            let spec = items(pod, specs).iter().find(|spec| name_of(spec) == name_of(status));
            let sidecar = spec.is_some_and(|spec| text(spec, "/restartPolicy") == "Always");
            Container { spec, status, init: init && !sidecar }
        })
    };
    part("/status/initContainerStatuses", "/spec/initContainers", true).chain(part(
        "/status/containerStatuses",
        "/spec/containers",
        false,
    ))
}

fn name_of(container: &Value) -> &str {
    text(container, "/name")
}

/// The containers of a pod that something is wrong with, init containers first.
pub(crate) fn troubles(pod: &Value) -> Vec<Trouble> {
    containers(pod).filter_map(|container| trouble(pod, &container)).collect()
}

/// The containers of a pod that run without trouble and are still not ready.
pub(crate) fn running_unready(pod: &Value) -> Vec<String> {
    containers(pod)
        .filter(|it| !it.init && !is_true(it.status, "/ready") && it.status.pointer("/state/running").is_some())
        .map(|it| name_of(it.status).to_owned())
        .collect()
}

fn trouble(pod: &Value, container: &Container<'_>) -> Option<Trouble> {
    let status = container.status;
    let make = |cause: Cause, lasting: bool, what: String| Trouble {
        container: name_of(status).to_owned(),
        init: container.init,
        cause,
        lasting,
        what,
    };
    let reason = text(status, "/state/waiting/reason");
    let message = text(status, "/state/waiting/message");
    if PULL.contains(&reason) {
        let image = match text(status, "/image") {
            "" => container.spec.map_or("", |spec| text(spec, "/image")),
            image => image,
        };
        let why = pull_problem(reason, message);
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        return Some(make(
            Cause::Pull,
            reason == "InvalidImageName",
            format!("cannot pull image {}{why}", if image.is_empty() { "(none)".into() } else { one_line(image) }),
        ));
    }
    if CONFIG.contains(&reason) {
        let message = one_line(message);
        let why = if message.is_empty() { reason.to_owned() } else { message };
        return Some(make(Cause::Config, false, format!("cannot be started: {why}")));
    }

    let restarts = count(status, "/restartCount");
    let ended = status.pointer("/state/terminated").filter(|state| state.is_object());
    let before = status.pointer("/lastState/terminated").filter(|state| state.is_object());
    let up = is_true(status, "/ready");
    let looping = reason == "CrashLoopBackOff";
    let last = match (ended, before) {
        (Some(ended), _) => ended,
        // Between two crashes a container runs for a while: it has healed only once it is ready.
        (None, Some(before)) if looping || !up => before,
        (None, _) if looping => {
            return Some(make(Cause::Crash, false, with_restarts("crashes again and again".into(), restarts)));
        }
        _ => return None,
    };
    let never_ran = NEVER_RAN.contains(&text(last, "/reason"));
    let failed = count(last, "/exitCode") != 0 || super::number(last, "/exitCode").is_none_or(|code| code != 0);
    let restarts_always = match text(pod, "/spec/restartPolicy") {
        "" | "Always" => !container.init,
        _ => container.spec.is_some_and(|spec| text(spec, "/restartPolicy") == "Always"),
    };
    // An end without error is only a fault of a container that should keep running.
    if !(failed || looping || (restarts_always && ended.is_some())) {
        return None;
    }
    let what = exit(last, container.spec);
    let cause = if never_ran { Cause::Config } else { Cause::Crash };
    Some(make(cause, false, with_restarts(what, restarts)))
}

fn with_restarts(what: String, restarts: i64) -> String {
    if restarts == 0 { what } else { format!("{what}, {}", counted(restarts, "restart")) }
}

/// How a container ended, in words.
fn exit(terminated: &Value, spec: Option<&Value>) -> String {
    let reason = text(terminated, "/reason");
    let message = one_line(text(terminated, "/message"));
    let code = super::number(terminated, "/exitCode");
    if NEVER_RAN.contains(&reason) {
        return format!("cannot be started: {}", if message.is_empty() { reason } else { &message });
    }
    let mut what = match (reason, code) {
        ("OOMKilled", _) => match spec.map_or("", |spec| text(spec, "/resources/limits/memory")) {
            "" => "runs out of memory".to_owned(),
            limit => format!("runs out of memory (limit {limit})"),
        },
        (_, Some(0)) => "ends by itself (exit code 0) but should keep running".to_owned(),
        (_, Some(code)) => format!("exits with code {code}"),
        _ => "exits".to_owned(),
    };
    if !message.is_empty() {
        what = format!("{what} ({message})");
    }
    what
}

/// The useful end of a pull error: runtimes wrap it in the image's name again and again.
fn pull_problem(reason: &str, message: &str) -> String {
    match reason {
        "ErrImageNeverPull" => return "it is not on the node and imagePullPolicy is Never".into(),
        "InvalidImageName" => return "the name is not valid".into(),
        "RegistryUnavailable" => return "the registry is not available".into(),
        _ => {}
    }
    let message = one_line(message);
    let end = message.rsplit(": ").next().unwrap_or_default().trim_matches('"');
    if end.starts_with("Back-off pulling image") || end == reason { String::new() } else { end.to_owned() }
}

/// A Pod. Read: `status.phase`, conditions `PodScheduled`, `Ready`, `ContainersReady`, readiness gates, container states.
pub fn pod(pod: &Value) -> Status {
    if written_status(pod).is_none() {
        return Status::progressing("created, no scheduler has looked at it yet");
    }
    let own = name(pod);
    match text(pod, "/status/phase") {
        "Succeeded" => return Status::ready("completed"),
        "Failed" => return Status::failed(failed_phase(pod)),
        "Unknown" => return Status::progressing("its node does not answer"),
        _ => {}
    }
    let found = troubles(pod);
    if let Some(worst) = found.iter().find(|it| it.lasting).or(found.first()) {
        let sentence = worst.sentence(own);
        return if worst.lasting { Status::failed(sentence) } else { Status::failing(worst.cause, sentence) };
    }
    if let Some(status) = place(pod) {
        return status;
    }
    if condition(pod, "Ready").is_some_and(|ready| ready.is_true()) {
        return Status::ready(remark(pod));
    }
    Status::progressing(waiting_for(pod))
}

/// A healthy pod whose container has crashed before is worth a remark.
fn remark(pod: &Value) -> String {
    containers(pod)
        .filter(|container| !container.init && count(container.status, "/restartCount") > 0)
        .find_map(|container| {
            let last = container.status.pointer("/lastState/terminated").filter(|state| state.is_object())?;
            let code = super::number(last, "/exitCode").filter(|code| *code != 0)?;
            let restarts = counted(count(container.status, "/restartCount"), "restart");
            Some(format!("container {} had {restarts}, the last after exit code {code}", name_of(container.status)))
        })
        .unwrap_or_default()
}

/// The verdict of a pod that has no node yet.
fn place(pod: &Value) -> Option<Status> {
    let scheduled = condition(pod, "PodScheduled").filter(|it| it.is_false())?;
    let own = name(pod);
    Some(match scheduled.reason {
        "SchedulingGated" => {
            let gates: Vec<&str> =
                items(pod, "/spec/schedulingGates").iter().map(name_of).filter(|gate| !gate.is_empty()).collect();
            let gates = if gates.is_empty() { String::new() } else { format!(" {}", gates.join(", ")) };
            Status::progressing(format!("pod {own} is held back by scheduling gate{gates}"))
        }
        "Unschedulable" => {
            let message = scheduled.says();
            // Behind it stands why evicting other pods would not help (`framework.FitError`), in several forms.
            let ends = [". preemption:", ". no new claims to deallocate"].iter().filter_map(|end| message.find(end));
            let message = &message[..ends.min().unwrap_or(message.len())];
            Status::failing(Cause::Unschedulable, format!("no node takes pod {own}: {}", message.trim_end_matches('.')))
        }
        _ => Status::progressing(format!("pod {own} has no node yet: {}", scheduled.says())),
    })
}

/// Why a pod ended without success.
fn failed_phase(pod: &Value) -> String {
    let own = name(pod);
    let reason = text(pod, "/status/reason");
    let message = one_line(text(pod, "/status/message"));
    let with = |words: String| if message.is_empty() { words } else { format!("{words}: {message}") };
    match reason {
        "Evicted" => return with(format!("pod {own} was evicted")),
        "DeadlineExceeded" => return with(format!("pod {own} ran longer than its deadline")),
        "" => {}
        other => return with(format!("pod {own} has failed with {}", one_line(other))),
    }
    let culprit = containers(pod).find_map(|container| {
        let ended = container.status.pointer("/state/terminated").filter(|state| state.is_object())?;
        let failed = super::number(ended, "/exitCode").is_none_or(|code| code != 0);
        failed.then(|| {
            let kind = if container.init { "init container" } else { "container" };
            format!("{kind} {} of pod {own} {}", name_of(container.status), exit(ended, container.spec))
        })
    });
    let target = conditions_at(pod, "/status/conditions").find(|it| it.kind == "DisruptionTarget" && it.is_true());
    match (culprit, target) {
        (_, Some(target)) => format!("pod {own} was taken away: {}", target.says()),
        (Some(culprit), None) => culprit,
        (None, None) => with(format!("pod {own} has failed")),
    }
}

/// What a healthy pod that is not ready yet waits for.
fn waiting_for(pod: &Value) -> String {
    let own = name(pod);
    let inits: Vec<Container<'_>> = containers(pod).filter(|container| container.init).collect();
    let done = inits.iter().filter(|it| super::number(it.status, "/state/terminated/exitCode") == Some(0)).count();
    if done < inits.len() {
        let current = inits
            .iter()
            .find(|it| it.status.pointer("/state/running").is_some())
            .or_else(|| inits.iter().find(|it| super::number(it.status, "/state/terminated/exitCode") != Some(0)));
        return match current.filter(|it| it.status.pointer("/state/running").is_some()) {
            Some(current) => {
                let done = format!("{done} of {}", inits.len());
                format!("init container {} of pod {own} is running, {done} done", name_of(current.status))
            }
            None => format!("init containers of pod {own} are being created"),
        };
    }
    if condition(pod, "ContainersReady").is_some_and(|it| it.is_true()) {
        let missing: Vec<&str> = items(pod, "/spec/readinessGates")
            .iter()
            .map(|gate| text(gate, "/conditionType"))
            .filter(|gate| !gate.is_empty() && !condition(pod, gate).is_some_and(|it| it.is_true()))
            .collect();
        if !missing.is_empty() {
            return format!("pod {own} waits for its readiness gate {}", one_line(&missing.join(", ")));
        }
    }
    let state = containers(pod).filter(|it| !it.init).find_map(|it| {
        let container = name_of(it.status);
        if is_true(it.status, "/ready") {
            None
        } else if it.status.pointer("/state/running").is_none_or(Value::is_null) {
            Some(format!("container {container} of pod {own} is being created"))
        } else if it.status.get("started").and_then(Value::as_bool) == Some(false) {
            Some(format!("container {container} of pod {own} is running, its startup probe has not succeeded yet"))
        } else {
            Some(format!("container {container} of pod {own} is running but not ready"))
        }
    });
    match (state, text(pod, "/spec/nodeName")) {
        (Some(state), _) => state,
        (None, "") => format!("pod {own} has no node yet"),
        (None, _) => format!("pod {own} is not ready yet"),
    }
}

/// What the pods of an unfinished workload add to its verdict: the worst trouble first, then what the others wait for.
pub fn explain(pods: &[&Value]) -> Option<Status> {
    let mut waiting = None;
    let mut ended = None;
    let mut worst: Option<(u8, Status)> = None;
    for pod in pods {
        if pod.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
            continue;
        }
        let verdict = self::pod(pod);
        let rank = match &verdict {
            // A pod that has ended lies about until it is cleaned up; its controller has made another one.
            Status::Failed { .. } if text(pod, "/status/phase") == "Failed" => {
                ended.get_or_insert(verdict);
                continue;
            }
            Status::Failed { .. } => 3,
            Status::Failing { cause: Cause::Unschedulable, .. } => 1,
            Status::Failing { .. } => 2,
            Status::Progressing { .. } => {
                waiting.get_or_insert(verdict);
                continue;
            }
            Status::Ready { .. } | Status::Terminating { .. } => continue,
        };
        if worst.as_ref().is_none_or(|(known, _)| rank > *known) {
            worst = Some((rank, verdict));
        }
    }
    worst.map(|(_, verdict)| verdict).or(match (waiting, ended) {
        (_, Some(ended)) => Some(Status::progressing(ended.reason())),
        (waiting, None) => waiting,
    })
}
