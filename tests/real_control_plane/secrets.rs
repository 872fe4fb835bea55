//! Secrets in places where the kit or the API server complains about them: no complaint shows one.

use super::BED;
use super::hidden::{Hidden, SealedKit};
use super::support::{Bed, Kit, Space};

/// A password with characters that every format escapes in its own way, and a key of several lines.
const PASSWORD: &str = "k7Wq2/vT9+xR4mZ8&Lp\"3s <%\\'é";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ3x8qk2v7Qb1\nZf0c9Tn5yRw6LhUeS4aPgXo2mK8d\n-----END PRIVATE KEY-----\n";

/// A value that a parser takes for a number and a name: it complains about a piece.
const DIGITS: &str = "31mPwqOv6BC0TMO8xyGdJqna7oevwvj07";

/// Three of the secrets, as they should be used.
const RIGHT: &str = r#"apiVersion: v1
kind: Secret
metadata: {name: api}
data:
  PASSWORD: {{ secret(name="password") | b64 }}
  KEY: {{ secret(name="key") | b64 }}
  TOKEN: {{ secret(name="token") | b64 }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  url: {{ "postgres://api:" ~ secret(name="password") ~ "@database" }}
  settings.json: |
    {{ {"key": secret(name="key")} | json }}
"#;

/// What is wrong, a template with it, and the exit code. `VALUE` and `SECRET` are each of the secrets in turn; those of
/// letters and digits only are allowed in some of these places.
const WRONG: &[(&str, &str, i32)] = &[
    ("a field that no Secret has", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringdata: {p: VALUE}\n", 6),
    ("not base64", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {p: VALUE}\n", 6),
    ("a list for a text", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {p: [VALUE]}\n", 6),
    ("a label's value", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {p: VALUE}}\n", 3),
    ("a key of a ConfigMap", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {? VALUE : x}\n", 6),
    ("an object's name", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: VALUE}\n", 3),
    ("a number", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: VALUE}\n", 6),
    (
        "a variable's name",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a, env: [{name: VALUE}]}]}\n",
        6,
    ),
    ("a kind", "apiVersion: v1\nkind: VALUE\nmetadata: {name: a}\n", 6),
    ("a version", "apiVersion: VALUE\nkind: ConfigMap\nmetadata: {name: a}\n", 6),
    ("YAML that ends too early", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {p: VALUE\n", 3),
    ("YAML with a key twice", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {p: VALUE, p: VALUE}\n", 3),
    ("text after a scalar", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {p: VALUE x: y}\n", 3),
    ("no object at all", "VALUE\n", 3),
    ("a list for an object", "- VALUE\n", 3),
    (
        "an order that cannot be",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {rekindle.dev/after: VALUE}}\n",
        3,
    ),
    (
        "an expression",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {rekindle.dev/ready: {{ \"(\" ~ SECRET }}}}\n",
        3,
    ),
    (
        "a limit",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {rekindle.dev/timeout: VALUE}}\n",
        3,
    ),
    ("a gate's key", "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: a}\nspec: {http: {? VALUE : x}}\n", 3),
    (
        "a gate's pattern",
        "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: a}\nspec: {tcp: {service: a, port: 1, expect: {{ \"(\" ~ SECRET }}}}\n",
        3,
    ),
    (
        "a gate's address",
        "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: a}\nspec: {timeout: 1s, http: {url: {{ \"http://127.0.0.1:9/?p=\" ~ SECRET }}}}\n",
        7,
    ),
    (
        "a gate's Service",
        "apiVersion: rekindle.dev/v1\nkind: Gate\nmetadata: {name: a}\nspec: {timeout: 1s, tcp: {service: VALUE, port: 1}}\n",
        7,
    ),
    (
        "a filter that refuses it",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {p: \"{{ SECRET | plain }}\"}\n",
        3,
    ),
    ("a name that is not there", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ SECRET[nothing] }}}\n", 3),
];

fn sealed(bed: &Bed, space: &Space<'_>) -> (SealedKit, Hidden) {
    let kit = Kit::new(&space.name, "- {name: services, timeout: 5s}");
    let sealed =
        SealedKit::new(kit, &bed.kubeconfig, &[("password", PASSWORD), ("key", KEY), ("digits", DIGITS)], &["token"]);
    let hidden = Hidden::of(Some(&sealed.kit), &bed.kubeconfig, &sealed.flags(), "test");
    (sealed, hidden)
}

#[test]
#[ignore = "needs a real control plane"]
fn a_run_that_ends_well_shows_no_secret() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "secrets");
    let (sealed, hidden) = sealed(&bed, &space);
    sealed.kit.write("templates/services/api.yaml.tera", RIGHT);
    for flags in [&[][..], &["-v"], &["-vv"], &["-o", "json"]] {
        for command in ["up", "status", "render", "check", "up"] {
            hidden.absent(&sealed.run(&bed.kubeconfig, &[&[command, "test"], flags].concat()).exit(0));
        }
    }
    assert_eq!(hidden.seen_in_journals(&sealed.kit), None);
    let live = bed.get("v1", "ConfigMap", Some(&space.name), "settings").unwrap();
    assert_eq!(live["data"]["url"], format!("postgres://api:{PASSWORD}@database"), "the cluster has what it needs");
}

#[test]
#[ignore = "needs a real control plane"]
fn no_complaint_shows_a_secret() {
    let bed = Bed::from_variable(BED);
    let space = Space::new(&bed, "complaints");
    let (sealed, hidden) = sealed(&bed, &space);
    let mut unexpected = Vec::new();
    for (what, template, code) in WRONG {
        for secret in ["password", "key", "token", "digits"] {
            let call = format!("secret(name=\"{secret}\")");
            let template = template.replace("VALUE", &format!("{{{{ {call} }}}}")).replace("SECRET", &call);
            sealed.kit.write("templates/services/wrong.yaml.tera", &template);
            // All there is to see at once: events, what is logged, the last screen.
            let ran = sealed.run(&bed.kubeconfig, &["up", "test", "-vv", "-o", "json"]);
            unexpected.extend(hidden.seen(&ran).map(|seen| format!("{what}: {seen}")));
            let harmless = matches!(secret, "token" | "digits") && matches!(ran.code, Some(0 | 7));
            if ran.code != Some(*code) && !harmless {
                unexpected.push(format!("{what}, {secret}: exit {:?}, not {code}\n{}", ran.code, ran.stderr));
            }
        }
    }
    unexpected.extend(hidden.seen_in_journals(&sealed.kit));
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}
