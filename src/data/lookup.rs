//! Asking for backups: a short Job in Rekindle's own namespace, with the data set's own keys, because whoever runs Rekindle may
//! not reach the store. What it made is removed again, whatever came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use kube::runtime::wait::{Error, await_condition};
use serde_json::{Value, json};

use super::backups::{Archive, read, script};
use super::spec::{DataSet, Lookup};
use super::survey::Survey;
use crate::cluster::connect::{patiently, timed};
use crate::cluster::system::{MANAGED_BY_LABEL, make_namespace};
use crate::cluster::{Cluster, ClusterError, SYSTEM_NAMESPACE, watch};

/// How long a lookup may take: an image may have to be pulled, and an archive of years has many files.
const LONGEST: Duration = Duration::from_secs(180);

/// How long after a watch has broken off the next begins.
const AGAIN: Duration = Duration::from_secs(1);

/// Label of what a lookup makes: the data set whose backups it looks up.
pub const DATA_SET_LABEL: &str = "rekindle.dev/data-set";
/// Label of what a lookup makes: whether it looks into the data set's own archive ([`OWN`]) or the one that it follows
/// ([`FOLLOWED`]).
pub const ARCHIVE_LABEL: &str = "rekindle.dev/archive";
/// The data set's own archive.
pub const OWN: &str = "own";
/// The archive that the data set follows.
pub const FOLLOWED: &str = "followed";

/// How long a Job that was left behind by a killed run stays, in seconds.
const TIME_TO_LIVE: u32 = 300;

/// Looks up the backups of some data sets, and the archives that they follow, all at once. What cannot be found out is an
/// answer, too.
pub async fn look_up(cluster: &Cluster, sets: &[&DataSet], run: &str, survey: &mut Survey) {
    let own = sets.iter().filter_map(|set| Some((set.name.clone(), set.lookup()?, job_name(&set.name, run))));
    let followed = sets.iter().filter_map(|set| {
        let name = job_name(&set.name, &format!("{run}-follow"));
        Some((set.name.clone(), set.follow()?, name))
    });
    let (own, followed) = tokio::join!(ask(cluster, OWN, own), ask(cluster, FOLLOWED, followed));
    (survey.archives, survey.followed) = (own, followed);
}

async fn ask<'s>(
    cluster: &Cluster,
    archive: &str,
    asked: impl Iterator<Item = (String, &'s Lookup, String)>,
) -> BTreeMap<String, Archive> {
    let all = asked.map(|(set, lookup, name)| async move {
        let labels = json!({MANAGED_BY_LABEL: "rekindle", DATA_SET_LABEL: set, ARCHIVE_LABEL: archive});
        let found = match tokio::time::timeout(LONGEST, one(cluster, &name, labels, lookup)).await {
            Ok(Ok(printed)) => read(lookup.tool, &printed).map_or_else(Archive::Unknown, Archive::Known),
            Ok(Err(why)) => Archive::Unknown(why),
            Err(_) => Archive::Unknown(unfinished(cluster, &name).await),
        };
        clear(cluster, &name).await;
        (set, found)
    });
    join_all(all).await.into_iter().collect()
}

/// The name of the Job and its Secret: that of a data set is at most 63 characters long, as that of a Job.
fn job_name(data_set: &str, run: &str) -> String {
    let head: String = data_set.chars().take(40).collect();
    format!("backups-{}-{run}", head.trim_end_matches('-'))
}

fn jobs(cluster: &Cluster) -> Api<Job> {
    Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE)
}

fn secrets(cluster: &Cluster) -> Api<Secret> {
    Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE)
}

/// Runs the Job to its end; what it has printed, or why there is nothing.
async fn one(cluster: &Cluster, name: &str, labels: Value, lookup: &Lookup) -> Result<String, String> {
    let told = |error: ClusterError| error.to_string();
    let failed = |error: serde_json::Error| format!("the Job cannot be made: {error}");
    make_namespace(cluster).await.map_err(told)?;
    let job: Job = serde_json::from_value(job(name, &labels, lookup)).map_err(failed)?;
    let params = PostParams::default();
    let made = timed(&cluster.server, jobs(cluster).create(&params, &job)).await.map_err(told)?;
    let secret = secret(name, &labels, lookup, made.metadata.uid.as_deref().unwrap_or_default());
    let secret: Secret = serde_json::from_value(secret).map_err(failed)?;
    timed(&cluster.server, secrets(cluster).create(&params, &secret)).await.map_err(told)?;
    let job = end_of(cluster, name).await.map_err(|error| format!("the Job is lost: {error}"))?;
    let succeeded = job.as_ref().and_then(outcome) == Some(true);
    let printed = log(cluster, name).await;
    match printed {
        Some(printed) if succeeded => Ok(printed),
        Some(printed) => Err(last_line(&printed)),
        None => Err("the lookup left no log".into()),
    }
}

/// The Job when it has ended or is gone. A watch that breaks off is begun again: whoever called gives up in time.
async fn end_of(cluster: &Cluster, name: &str) -> Result<Option<Job>, ClusterError> {
    let ended = |job: Option<&Job>| job.is_none_or(|job| outcome(job).is_some());
    loop {
        let Error::ProbeFailed(error) = match await_condition(jobs(cluster), name, ended).await {
            Ok(job) => return Ok(job),
            Err(error) => error,
        };
        let cause = watch::cause(&cluster.server, error);
        if !cause.is_transient() {
            return Err(cause);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether a Job has ended, and how. Source: its conditions `Complete` and `Failed`.
fn outcome(job: &Job) -> Option<bool> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let holds = |kind: &str| conditions.iter().any(|it| it.type_ == kind && it.status == "True");
    if holds("Complete") {
        Some(true)
    } else if holds("Failed") {
        Some(false)
    } else {
        None
    }
}

async fn pod(cluster: &Cluster, name: &str) -> Option<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    let list = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    patiently(&cluster.server, || pods.list(&list)).await.ok()?.items.into_iter().next()
}

async fn log(cluster: &Cluster, name: &str) -> Option<String> {
    let pod = pod(cluster, name).await?.metadata.name?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
    let params = LogParams::default();
    patiently(&cluster.server, || pods.logs(&pod, &params)).await.ok()
}

/// What a program said last; colours and times at its beginning stay.
fn last_line(printed: &str) -> String {
    let said = printed.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with('#'));
    said.unwrap_or("the lookup failed and said nothing").to_owned()
}

/// Why a Job did not end in time.
async fn unfinished(cluster: &Cluster, name: &str) -> String {
    let minutes = LONGEST.as_secs() / 60;
    let status = pod(cluster, name).await.and_then(|pod| pod.status);
    let statuses = status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let waiting = statuses.into_iter().flatten().find_map(|it| it.state.as_ref()?.waiting.as_ref());
    let unscheduled = || {
        let conditions = status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|it| it.type_ == "PodScheduled" && it.status == "False")?.message.clone()
    };
    let reason = waiting
        .map(|waiting| {
            let text = [waiting.reason.as_deref(), waiting.message.as_deref()];
            text.into_iter().flatten().collect::<Vec<_>>().join(": ")
        })
        .or_else(unscheduled);
    match reason {
        Some(reason) => format!("the lookup did not begin within {minutes} minutes: {reason}"),
        None => format!("the lookup did not end within {minutes} minutes"),
    }
}

/// Removes the Job with its pod; the Secret goes with it. What is not removed here, the Job's own time to live removes.
async fn clear(cluster: &Cluster, name: &str) {
    let _ = timed(&cluster.server, jobs(cluster).delete(name, &DeleteParams::background())).await;
    let _ = timed(&cluster.server, secrets(cluster).delete(name, &DeleteParams::default())).await;
}

fn secret(name: &str, labels: &Value, lookup: &Lookup, owner: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": SYSTEM_NAMESPACE, "labels": labels,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": owner}],
        },
        "stringData": lookup.env,
    })
}

fn job(name: &str, labels: &Value, lookup: &Lookup) -> Value {
    let mut container = json!({
        "name": "lookup",
        "image": lookup.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script(lookup.tool)],
        "envFrom": [{"secretRef": {"name": name}}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let mut security = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    if let Some(user) = lookup.user {
        security["runAsUser"] = user.into();
        security["runAsGroup"] = user.into();
        security["runAsNonRoot"] = (user > 0).into();
    }
    // A program that keeps files for itself finds a place for them.
    container["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
    json!({
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": LONGEST.as_secs(),
            "ttlSecondsAfterFinished": TIME_TO_LIVE,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": security,
                    "containers": [container],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::spec::Tool;

    #[test]
    fn the_keys_are_in_the_secret_only() {
        let lookup = Lookup {
            tool: Tool::WalG,
            image: "postgresql:17".into(),
            user: Some(999),
            env: [("AWS_SECRET_ACCESS_KEY".to_owned(), "hidden".to_owned())].into(),
        };
        let labels = json!({MANAGED_BY_LABEL: "rekindle"});
        let made = job("backups-db-1", &labels, &lookup);
        assert!(!made.to_string().contains("hidden"));
        assert_eq!(made["spec"]["template"]["spec"]["securityContext"]["runAsUser"], 999);
        serde_json::from_value::<Job>(made).unwrap();
        let secret: Secret = serde_json::from_value(secret("backups-db-1", &labels, &lookup, "1")).unwrap();
        assert_eq!(secret.string_data.unwrap()["AWS_SECRET_ACCESS_KEY"], "hidden");
    }

    #[test]
    fn a_long_name_fits() {
        let name = job_name(&"x".repeat(63), "0123abcd");
        assert!(name.len() <= 63, "{name}");
        assert_eq!(job_name("db", "1f"), "backups-db-1f");
    }

    #[test]
    fn what_was_said_last_is_the_reason() {
        assert_eq!(last_line("#rekindle history \nINFO a\nERROR: no such bucket\n\n"), "ERROR: no such bucket");
        assert_eq!(last_line(""), "the lookup failed and said nothing");
    }
}
