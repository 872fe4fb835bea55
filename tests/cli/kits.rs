//! Small kits that tests start from.

use crate::support::Place;

/// Two phases, a base and two environments, a component, a gate, and no secrets.
pub fn small() -> Place {
    Place::with_kit(&[
        ("templates/stack.yaml", "name: shop\nphases:\n- name: storage\n  timeout: 5m\n- name: services\n"),
        (
            "environments/base.yaml",
            "namespace: shop\nimages:\n  api: registry.example/api:1\nvalues:\n  api:\n    replicas: 1\n    port: 8080\n    flags: [a, \"no\"]\n  host: shop.example\n",
        ),
        (
            "environments/production.yaml",
            "extends: base\nprotected: true\ncluster:\n  context: shop-production\nvalues:\n  api:\n    replicas: 3\n",
        ),
        ("environments/local.yaml", "extends: base\ngates:\n  skip:\n    \"api *\": no network here\n"),
        (
            "templates/components/labels.tera",
            "{% component labels(app: string) %}{app: {{ app }}}{% endcomponent labels %}\n",
        ),
        (
            "templates/storage/config.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: raw}\ndata: {template: \"{{ .Values }}\"}\n",
        ),
        (
            "templates/services/api.yaml.tera",
            "# The api.\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: api\n  labels: {{<labels app=\"api\" />}}\nspec:\n  replicas: {{ values.api.replicas }}\n  selector:\n    matchLabels: {app: api}\n  template:\n    metadata: {labels: {app: api}}\n    spec:\n      containers:\n      - name: api\n        image: {{ image(name=\"api\") }}\n        args: {{ values.api.flags }}\n        env:\n        - {name: HOST, value: {{ values.host }}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec:\n  selector: {app: api}\n  ports: [{port: {{ values.api.port }}}]\n",
        ),
        (
            "templates/services/gates.yaml",
            "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: api answers}\nspec:\n  http: {service: api, port: 8080, path: /health}\n",
        ),
    ])
}

/// A protected environment with a replicated database that is restored from its backups, and a cache that may be lost.
pub fn with_data() -> Place {
    let set = |name: &str, replicas: u32, storage: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n---\n\
             apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  serviceName: {name}\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      \
             containers: [{{name: {name}, image: \"registry.example/{name}:1\", volumeMounts: [{{name: data, mountPath: /data}}]}}]\n  \
             volumeClaimTemplates:\n  - metadata: {{name: data}}\n    spec:\n      accessModes: [ReadWriteOnce]\n      storageClassName: fast\n      \
             resources: {{requests: {{storage: {storage}}}}}\n---\n"
        )
    };
    let data_set = |name: &str, spec: &str| {
        format!(
            "apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: {name}}}\nspec:\n  claims: [{{statefulset: {name}}}]\n{spec}---\n"
        )
    };
    let database = [
        set("db", 2, "30G"),
        set("cache", 1, "1Gi"),
        data_set(
            "db",
            "  sources: [adopt, restore, empty]\n  replicated: true\n  restore: {backups: {tool: wal-g, image: \"registry.example/db:1\"}}\n",
        ),
        data_set("cache", "  sources: [adopt, empty]\n"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: told}\ndata:\n  source: {{ data(name=\"db\") }}\n  \
         backup: {{ data(name=\"db\", of=\"backup\") }}\n---\n"
            .to_owned(),
        "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: templates see what is decided}\nspec:\n  timeout: 1m\n  condition:\n    \
         kind: ConfigMap\n    name: told\n    \
         ready: {{ \"object.data.source == '\" ~ values.told.source ~ \"' && object.data.backup == '\" ~ values.told.backup ~ \"'\" }}\n"
            .to_owned(),
    ];
    Place::with_kit(&[
        ("templates/stack.yaml", "name: shop\nphases:\n- name: storage\n- name: database\n"),
        (
            "environments/production.yaml",
            "namespace: shop\nprotected: true\ndata: {allow: [adopt, restore]}\nvalues:\n  told: {source: restore, backup: assumed-db}\n",
        ),
        (
            "templates/storage/class.yaml",
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: fast}\nprovisioner: fast.example\nreclaimPolicy: Retain\n",
        ),
        ("templates/database/database.yaml.tera", &database.concat()),
    ])
}
