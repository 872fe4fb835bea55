//! The kit that is applied: generated, because nothing else has a thousand objects.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// One object and where the API server has it.
pub struct Made {
    /// The path of the object itself.
    pub path: String,
    /// The object, with its namespace.
    pub object: Value,
}

/// A namespace and so many objects in it, the namespace first.
pub fn objects(namespace: &str, count: u32) -> Vec<Made> {
    let mut made = vec![Made {
        path: format!("/api/v1/namespaces/{namespace}"),
        object: json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
    }];
    made.extend((0..count).map(|number| object(namespace, number)));
    made
}

fn object(namespace: &str, number: u32) -> Made {
    let name = format!("object-{:05}", number / 4);
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "bench"});
    let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
    let (group, plural, object) = match number % 4 {
        0 => (
            "api/v1",
            "configmaps",
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"settings.yaml": format!("name: {name}\nlevel: info\n"), "number": number.to_string()},
            }),
        ),
        1 => (
            "api/v1",
            "serviceaccounts",
            json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": metadata,
                "automountServiceAccountToken": false,
            }),
        ),
        2 => (
            "api/v1",
            "services",
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
            }),
        ),
        _ => (
            "apis/apps/v1",
            "deployments",
            json!({
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {
                            "serviceAccountName": name,
                            "containers": [{
                                "name": "main",
                                "image": "registry.invalid/main:1",
                                "envFrom": [{"configMapRef": {"name": name}}],
                                "ports": [{"name": "http", "containerPort": 8080}],
                                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                            }],
                        },
                    },
                },
            }),
        ),
    };
    Made { path: format!("/{group}/namespaces/{namespace}/{plural}/{name}"), object }
}

/// Writes a kit with these objects and returns the folder of its manifests. JSON is YAML.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, namespace: &str, objects: &[Made]) -> Result<PathBuf> {
    let manifests = folder.join("templates/objects");
    for folder in [&manifests, &folder.join("environments"), &folder.join("secrets")] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let put = |path: PathBuf, text: String| {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put(folder.join("environments/bench.yaml"), format!("namespace: {namespace}\n"))?;
    put(folder.join("templates/stack.yaml"), "name: bench\nphases:\n  - name: objects\n    timeout: 5m\n".to_owned())?;
    put(folder.join("secrets/schema.yaml"), "{}\n".to_owned())?;
    // Named so that kubectl, which goes by file names, makes the namespace first.
    for (number, chunk) in objects.chunks(100).enumerate() {
        let documents: Vec<_> = chunk.iter().map(|made| made.object.to_string()).collect();
        put(manifests.join(format!("{number:03}.yaml")), documents.join("\n---\n") + "\n")?;
    }
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn objects_are_distinct_and_a_quarter_each() {
        let made = objects("bench", 40);
        assert_eq!(made.len(), 41);
        assert_eq!(made.iter().map(|made| &made.path).collect::<BTreeSet<_>>().len(), 41);
        for kind in ["ConfigMap", "ServiceAccount", "Service", "Deployment"] {
            assert_eq!(made.iter().filter(|made| made.object["kind"] == kind).count(), 10, "{kind}");
        }
    }
}
