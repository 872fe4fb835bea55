//! Exec gates: a command in a pod.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::answer::quote;
use super::spec::Exec;
use super::{Answer, Asker};
use crate::cluster::exec::{Finished, run};
use crate::cluster::forward::api_text;

/// The selector as the API takes it.
fn labels(spec: &Exec) -> String {
    let labels: Vec<String> = spec.selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.join(",")
}

/// What the command prints in the newest pod in which it can be run, ready or not; `None` where there is none or it fails.
pub(super) async fn printed(asker: &Asker, namespace: &str, spec: &Exec) -> Option<Vec<u8>> {
    let pods: Api<Pod> = Api::namespaced(asker.client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(&labels(spec))).await.ok()?;
    let running = |pod: &&Pod| {
        let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        pod.metadata.deletion_timestamp.is_none()
            && containers
                .filter(|container| spec.container.as_ref().is_none_or(|name| container.name == *name))
                .any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
    };
    let pod = newest(found.items.iter().filter(running))?;
    let finished = run(&pods, pod, spec.container.as_deref(), &spec.command).await.ok()?;
    (finished.code == 0).then_some(finished.stdout)
}

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Exec) -> Result<Answer, String> {
    let labels = labels(spec);
    let pods: Api<Pod> = Api::namespaced(asker.client.clone(), namespace);
    let found = pods.list(&ListParams::default().labels(&labels)).await.map_err(|error| api_text(&error))?;
    let pod = newest_ready(&found.items).ok_or_else(|| match found.items.len() {
        0 => format!("no pod has the labels {labels}"),
        1 => format!("pod {} is not ready", found.items[0].name_any()),
        count => format!("none of {count} pods with the labels {labels} is ready"),
    })?;
    let finished = run(&pods, pod, spec.container.as_deref(), &spec.command).await?;
    Ok(judge(spec, pod, &finished))
}

fn judge(spec: &Exec, pod: &str, finished: &Finished) -> Answer {
    let said = |bytes: &[u8]| quote(&String::from_utf8_lossy(bytes));
    if finished.code != 0 {
        let words = [said(&finished.stderr), said(&finished.stdout)].into_iter().find(|words| !words.is_empty());
        let words = words.map(|words| format!(": {words}")).unwrap_or_default();
        return Answer::waiting(format!("exit code {} in pod {pod}{words}", finished.code));
    }
    let printed = match said(&finished.stdout) {
        words if words.is_empty() => "nothing".to_owned(),
        words => words,
    };
    match &spec.expect {
        Some(expect) if !expect.matches(&finished.stdout) => {
            Answer::waiting(format!("printed {printed}, wanted {}", quote(&expect.to_string())))
        }
        Some(expect) => Answer::passed(match expect.line(&finished.stdout) {
            Some(line) => format!("printed {}", said(line)),
            None => format!("printed {printed}"),
        }),
        None => Answer::passed(format!("exit code 0 in pod {pod}")),
    }
}

/// The pod that was made last among those that are ready and not being deleted.
fn newest_ready(pods: &[Pod]) -> Option<&str> {
    let ready = |pod: &&Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        pod.metadata.deletion_timestamp.is_none()
            && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    newest(pods.iter().filter(ready))
}

fn newest<'p>(pods: impl Iterator<Item = &'p Pod>) -> Option<&'p str> {
    let made = |pod: &&Pod| (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.metadata.name.clone());
    pods.max_by_key(made).and_then(|pod| pod.metadata.name.as_deref())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use serde_json::{Value, json};

    use super::super::Pattern;
    use super::*;

    #[test]
    fn exit_code_first_then_output() {
        for (code, stdout, stderr, expect, passed, text) in [
            (0, "", "", None, true, "exit code 0 in pod cron-0"),
            (0, "noise", "", None, true, "exit code 0 in pod cron-0"),
            (0, "role: master\n", "", Some("^role: master$"), false, "printed role: master, wanted ^role: master$"),
            (0, "role: master\n", "", Some("(?m)^role: master$"), true, "printed role: master"),
            (0, "a 1\nb 2\nc 3\n", "", Some("(?m)^b .*$"), true, "printed b 2"),
            (0, "", "", Some("^$"), true, "printed nothing"),
            (0, "", "warning", Some("x"), false, "printed nothing, wanted x"),
            (2, "x", "no such file\n", Some("x"), false, "exit code 2 in pod cron-0: no such file"),
            (1, "not yet", "", None, false, "exit code 1 in pod cron-0: not yet"),
            (137, "", "", None, false, "exit code 137 in pod cron-0"),
        ] {
            let expect = expect.map(|expect| Pattern::new(expect).unwrap());
            let spec = Exec { selector: Default::default(), container: None, command: vec!["x".into()], expect };
            let finished = Finished { code, stdout: stdout.into(), stderr: stderr.into() };
            assert_eq!(judge(&spec, "cron-0", &finished), Answer::of(passed, text));
        }
    }

    #[test]
    fn the_newest_ready_pod_is_asked() {
        let pod = |name: &str, made: &str, ready: &str, extra: Value| -> Pod {
            let mut pod = json!({"metadata": {"name": name, "creationTimestamp": made},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            pod["metadata"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value(pod).unwrap()
        };
        let leaving = json!({"deletionTimestamp": "2026-01-05T00:00:00Z"});
        let pods = [
            pod("old", "2026-01-01T00:00:00Z", "True", json!({})),
            pod("new", "2026-01-02T00:00:00Z", "True", json!({})),
            pod("newer", "2026-01-03T00:00:00Z", "False", json!({})),
            pod("newest", "2026-01-04T00:00:00Z", "True", leaving),
        ];
        assert_eq!(newest_ready(&pods), Some("new"));
        assert_eq!(newest_ready(&pods[2..]), None);
    }
}
