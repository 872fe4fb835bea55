//! Containers and services that print their secrets: what Rekindle shows of them holds none, whatever the run is asked
//! to show and however it ends. What needs no containers is proven with the control plane.

use super::hidden::{Hidden, SealedKit};
use super::support::{Bed, Kit, Space};
use super::{BED, shared};

/// A password, and a key of several lines.
const PASSWORD: &str = "k7Wq2/vT9+xR4mZ8&Lp\"3s";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ3x8qk2v7Qb1\nZf0c9Tn5yRw6LhUeS4aPgXo2mK8d\n-----END PRIVATE KEY-----\n";

const SECRET: &str = r#"apiVersion: v1
kind: Secret
metadata: {name: api}
data:
  PASSWORD: {{ secret(name="password") | b64 }}
  KEY: {{ secret(name="key") | b64 }}
  TOKEN: {{ secret(name="token") | b64 }}
"#;

/// A program that gets all of them, and does as `command` says.
fn program(command: &str) -> String {
    format!(
        r#"apiVersion: apps/v1
kind: Deployment
metadata: {{name: api}}
spec:
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: docker.io/library/busybox:local
        envFrom: [{{secretRef: {{name: api}}}}]
        terminationMessagePolicy: FallbackToLogsOnError
        command: [sh, -c, '{command}']
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: api}}
spec: {{selector: {{app: api}}, ports: [{{port: 80, targetPort: 8080}}]}}
"#
    )
}

/// All of them in every way a program might write them: plain, in a sentence too long for a line, in base64.
const TALKS: &str = r#"long="$(printf "%150s" "" | tr " " .)"; echo "cannot log in with $PASSWORD"; echo "$long$TOKEN"; echo "$KEY"; printf "%s" "$PASSWORD" | base64; printf "user:%s" "$TOKEN" | base64; echo "{\"token\": \"$TOKEN\"}""#;

fn gate(probe: &str) -> String {
    format!(
        "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {{name: api answers}}\nspec: {{timeout: 8s, {probe}}}\n"
    )
}

#[test]
#[ignore = "needs a node"]
fn what_containers_and_services_say_is_redacted() {
    let bed = Bed::from_variable(BED);
    let _machine = shared();
    let space = Space::new(&bed, "secrets");
    let kit = Kit::new(&space.name, "- {name: services, crash_grace: 2s}\n- name: gates");
    let sealed = SealedKit::new(kit, &bed.kubeconfig, &[("password", PASSWORD), ("key", KEY)], &["token"]);
    let hidden = Hidden::of(Some(&sealed.kit), &bed.kubeconfig, &sealed.flags(), "test");
    let every_way = |code: i32, essential: &str| {
        for flags in [&[][..], &["-vv"], &["-o", "json"]] {
            let ran = sealed.run(&bed.kubeconfig, &[&["up", "test"], flags].concat()).exit(code);
            assert!(format!("{}{}", ran.stdout, ran.stderr).contains(essential), "{essential:?}:\n{}", ran.stderr);
            hidden.absent(&ran);
            for command in ["status", "render"] {
                hidden.absent(&sealed.run(&bed.kubeconfig, &[&[command, "test"], flags].concat()));
            }
        }
    };
    sealed.kit.write("templates/services/secret.yaml.tera", SECRET);

    sealed.kit.write("templates/services/api.yaml", &program(&format!("{TALKS}; exit 1")));
    every_way(7, "cannot log in with");

    let serves =
        "mkdir /tmp/www; (TALKS) > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www".replace("TALKS", TALKS);
    sealed.kit.write("templates/services/api.yaml", &program(&serves));
    sealed.kit.write(
        "templates/gates/gate.yaml",
        &gate("http: {service: api, port: 80, path: /, body_matches: \"^never$\"}"),
    );
    every_way(7, "cannot log in with");
    let exec = format!("exec: {{selector: {{app: api}}, command: [sh, -c, '{TALKS}'], expect: \"^never$\"}}");
    sealed.kit.write("templates/gates/gate.yaml", &gate(&exec));
    every_way(7, "cannot log in with");
    sealed.kit.write("templates/gates/gate.yaml", &gate(&exec.replace("^never$", "cannot log in")));
    every_way(0, "api answers");
}
