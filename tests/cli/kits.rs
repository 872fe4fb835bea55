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
