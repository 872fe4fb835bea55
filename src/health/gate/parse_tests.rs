#![allow(clippy::unwrap_used, clippy::expect_used)]
use serde_json::json;

use super::*;

/// A gate with this spec.
fn parse(spec: Value) -> Result<Gate, Vec<GateMistake>> {
    let body =
        json!({"apiVersion": "rekindle.dev/v1", "kind": "Gate", "metadata": {"name": "it answers"}, "spec": spec});
    Gate::parse(&body, &Origin { file: "templates/a/gates.yaml".into(), line: 3 }, "acoustid")
}

fn good(spec: Value) -> Gate {
    parse(spec.clone()).unwrap_or_else(|mistakes| panic!("{spec}: {mistakes:#?}"))
}

#[test]
fn reads_every_question_of_the_design() {
    let gate = good(json!({
        "timeout": "1h30m", "hold": "5s",
        "postgres": {"service": "postgresql-app", "port": 5432, "database": "acoustid",
            "credentials": {"secret": "postgresql-app"}, "query": "select not pg_is_in_recovery()", "expect": "t"},
    }));
    assert_eq!((gate.timeout.as_secs(), gate.hold.as_secs(), gate.namespace.as_str()), (5400, 5, "acoustid"));
    assert_eq!(gate.name, "it answers");
    let Probe::Postgres(postgres) = gate.probe else { panic!("{:?}", gate.probe) };
    assert_eq!((postgres.credentials.as_str(), postgres.wanted), ("postgresql-app", Some(Wanted::Expect("t".into()))));

    let gate =
        good(json!({"http": {"service": "api", "port": "http", "path": "/_health?x=1", "status": [200, "3xx"]}}));
    assert_eq!((gate.timeout.as_secs(), gate.hold.as_secs()), (300, 0));
    let Probe::Http(http) = &gate.probe else { panic!("{:?}", gate.probe) };
    assert_eq!(http.target, HttpTarget::Service { service: "api".into(), port: Port::Name("http".into()), tls: false });
    let accepted: Vec<u16> = [199, 200, 204, 301, 399, 400].into_iter().filter(|s| http.status.accept(*s)).collect();
    assert_eq!(accepted, [200, 301, 399]);

    let gate = good(json!({"http": {"ingress": "api.example.org", "address": "127.0.0.1:8443", "tls": true}}));
    let Probe::Http(http) = &gate.probe else { panic!("{:?}", gate.probe) };
    let address = Address { host: "127.0.0.1".into(), port: Some(8443) };
    assert_eq!(
        http.target,
        HttpTarget::Ingress { host: "api.example.org".into(), address: Some(address), port: 443, tls: true }
    );

    good(json!({"http": {"url": "https://example.org/health", "headers": {"Accept": "*/*"}, "method": "HEAD"}}));
    good(json!({"tcp": {"service": "index", "port": 6080, "send": "echo\r\n", "expect": "^OK"}}));
    good(json!({"redis": {"service": "redis"}}));
    good(
        json!({"redis": {"service": "redis", "credentials": {"secret": "redis"}, "command": ["GET", 1], "expect": 1}}),
    );
    good(json!({"exec": {"selector": {"app": "cron"}, "container": "main", "command": ["true"]}}));
    good(json!({"condition": {"kind": "Job", "selector": {}, "ready": "objects.all(o, o.status.succeeded > 0)"}}));
    good(json!({"condition": {"kind": "Certificate", "api_version": "cert-manager.io/v1", "name": "site",
        "ready": "object.status.ready", "failed": "false", "progress": "'waits'"}}));
}

#[test]
fn is_printed_as_it_was_written() {
    let spec = json!({"http": {"service": "api", "port": 80, "tls": false, "path": "/", "method": "GET", "status": ["2xx"],
        "body_matches": "^ok"}});
    let printed = serde_json::to_value(good(spec.clone())).unwrap();
    assert_eq!(printed["probe"], spec);
    assert_eq!(printed["timeout"], json!(300.0));
    assert_eq!(printed["origin"]["line"], json!(3));
}

#[test]
fn every_mistake_has_its_place() {
    let long = "x".repeat(300);
    let table: &[(Value, &str, &str, &str)] = &[
        // spec, code, path, a part of message and hint
        (json!({}), "missing-key", "spec", "one of http, tcp"),
        (json!([]), "wrong-type", "spec", "a list"),
        (json!({"http": null}), "wrong-type", "spec.http", "empty"),
        (json!({"http": "api"}), "wrong-type", "spec.http", "a text"),
        (json!({"htpp": {}}), "unknown-key", "spec.htpp", "did you mean http?"),
        (json!({"zzz": {}}), "unknown-key", "spec.zzz", "known here: timeout"),
        (json!({"redis": {"service": "r"}, "exec": {}}), "conflict", "spec.exec", "redis as well"),
        (json!({"timeout": 90, "redis": {"service": "r"}}), "wrong-type", "spec.timeout", "90s or 90m"),
        (json!({"timeout": "90", "redis": {"service": "r"}}), "wrong-value", "spec.timeout", "has no unit"),
        (json!({"timeout": "0s", "redis": {"service": "r"}}), "wrong-value", "spec.timeout", "never pass"),
        (json!({"timeout": "5s", "hold": "5s", "redis": {"service": "r"}}), "conflict", "spec.hold", "never pass"),
        (json!({"http": {}}), "missing-key", "spec.http", "service, url, ingress"),
        (json!({"http": {"service": "a", "url": "http://b"}}), "conflict", "spec.http.url", "service as well"),
        (json!({"http": {"service": "a", "path": "x"}}), "wrong-value", "spec.http.path", "write /x"),
        (json!({"http": {"service": "a", "path": "/a b\n"}}), "wrong-value", "spec.http.path", "cannot have"),
        (json!({"http": {"service": "a", "pth": "/"}}), "unknown-key", "spec.http.pth", "did you mean path?"),
        (json!({"http": {"service": "a", "method": "get"}}), "wrong-value", "spec.http.method", "write GET"),
        (json!({"http": {"service": "a", "method": "G T"}}), "wrong-value", "spec.http.method", "G T"),
        (json!({"http": {"service": "a", "status": "20x"}}), "wrong-value", "spec.http.status", "2xx"),
        (json!({"http": {"service": "a", "status": []}}), "wrong-value", "spec.http.status", "accepts nothing"),
        (json!({"http": {"service": "a", "status": [200, 999]}}), "wrong-value", "spec.http.status.1", "999"),
        (json!({"http": {"service": "a", "status": [200, true]}}), "wrong-type", "spec.http.status.1", "true or false"),
        (
            json!({"http": {"service": "a", "body_matches": "a(b"}}),
            "wrong-value",
            "spec.http.body_matches",
            "unclosed group",
        ),
        (json!({"http": {"service": "a", "headers": {"a b": "c"}}}), "wrong-value", "spec.http.headers", "a b"),
        (
            json!({"http": {"service": "a", "headers": {"a": "c\n"}}}),
            "wrong-value",
            "spec.http.headers",
            "cannot be sent",
        ),
        (
            json!({"http": {"service": "a", "headers": {"a.b": 1}}}),
            "wrong-type",
            "spec.http.headers",
            "write a.b: \"1\"",
        ),
        (json!({"http": {"service": "a", "tls": "yes"}}), "wrong-type", "spec.http.tls", "true or false"),
        (json!({"http": {"service": "a", "address": "1.2.3.4"}}), "conflict", "spec.http.address", "goes with ingress"),
        (json!({"http": {"url": "ftp://x"}}), "wrong-value", "spec.http.url", "neither http"),
        (json!({"http": {"url": "x/y"}}), "wrong-value", "spec.http.url", "whole URL"),
        (json!({"http": {"url": "http://u:p@x"}}), "wrong-value", "spec.http.url", "password"),
        (json!({"http": {"url": "http://x", "port": 8}}), "conflict", "spec.http.port", "not with url"),
        (json!({"http": {"url": "http://x", "path": "/y"}}), "conflict", "spec.http.path", "into url"),
        (json!({"http": {"ingress": "http://x"}}), "wrong-value", "spec.http.ingress", "host name alone"),
        (json!({"http": {"ingress": "x", "port": "web"}}), "wrong-value", "spec.http.port", "a number"),
        (
            json!({"http": {"ingress": "x", "address": "1.2.3.4:0"}}),
            "wrong-value",
            "spec.http.address",
            "address such as",
        ),
        (json!({"http": {"ingress": "x", "port": 1, "address": "1.2.3.4:5"}}), "conflict", "spec.http.port", "already"),
        (json!({"tcp": {"service": "a"}}), "missing-key", "spec.tcp", "has no port"),
        (json!({"tcp": {"port": 1}}), "missing-key", "spec.tcp", "has no service"),
        (json!({"tcp": {"service": 7, "port": 1}}), "wrong-type", "spec.tcp.service", "write \"7\""),
        (json!({"tcp": {"service": "", "port": 1}}), "wrong-value", "spec.tcp.service", "empty"),
        (json!({"tcp": {"service": "a", "port": 0}}), "wrong-value", "spec.tcp.port", "0 is neither"),
        (json!({"tcp": {"service": "a", "port": 65536}}), "wrong-value", "spec.tcp.port", "65536"),
        (json!({"tcp": {"service": "a", "port": -1}}), "wrong-value", "spec.tcp.port", "-1"),
        (json!({"tcp": {"service": "a", "port": "Web!"}}), "wrong-value", "spec.tcp.port", "Web!"),
        (json!({"tcp": {"service": "a", "port": [1]}}), "wrong-type", "spec.tcp.port", "a list"),
        (json!({"postgres": {"service": "a", "query": "q"}}), "missing-key", "spec.postgres", "no credentials"),
        (
            json!({"postgres": {"service": "a", "query": "q", "credentials": null}}),
            "wrong-type",
            "spec.postgres.credentials",
            "empty",
        ),
        (
            json!({"postgres": {"service": "a", "query": "q", "credentials": {"secrt": "x"}}}),
            "unknown-key",
            "spec.postgres.credentials.secrt",
            "did you mean secret?",
        ),
        (
            json!({"postgres": {"service": "a", "credentials": {"secret": "x"}}}),
            "missing-key",
            "spec.postgres",
            "no query",
        ),
        (
            json!({"postgres": {"service": "a", "credentials": {"secret": "x"}, "query": "q", "expect": true}}),
            "wrong-type",
            "spec.postgres.expect",
            "\"t\" or \"f\"",
        ),
        (
            json!({"postgres": {"service": "a", "credentials": {"secret": "x"}, "query": "q", "expect": "t", "at_least": 1}}),
            "conflict",
            "spec.postgres.at_least",
            "expect and at_least cannot both",
        ),
        (json!({"redis": {"service": "a", "command": "GET x"}}), "wrong-type", "spec.redis.command", "write [GET, x]"),
        (json!({"redis": {"service": "a", "command": []}}), "wrong-value", "spec.redis.command", "empty"),
        (json!({"redis": {"service": "a", "command": ["GET", {}]}}), "wrong-type", "spec.redis.command.1", "a mapping"),
        (json!({"exec": {"command": ["x"]}}), "missing-key", "spec.exec", "selector"),
        (json!({"exec": {"command": ["x"], "selector": {}}}), "wrong-value", "spec.exec.selector", "any pod"),
        (
            json!({"exec": {"command": ["x"], "selector": {"matchLabels": {"a": "b"}}}}),
            "wrong-type",
            "spec.exec.selector",
            "directly below",
        ),
        (json!({"exec": {"selector": {"a": "b"}}}), "missing-key", "spec.exec", "command"),
        (json!({"condition": {"kind": "Job", "ready": "true"}}), "missing-key", "spec.condition", "name or selector"),
        (
            json!({"condition": {"kind": "Job", "ready": "true", "name": "a", "selector": {}}}),
            "conflict",
            "spec.condition.selector",
            "both",
        ),
        (json!({"condition": {"kind": "Job", "name": "a"}}), "missing-key", "spec.condition", "ready"),
        (json!({"condition": {"name": "a", "ready": "true"}}), "missing-key", "spec.condition", "kind"),
        (
            json!({"condition": {"kind": "Job", "name": "a", "ready": "object.."}}),
            "wrong-value",
            "spec.condition.ready",
            "CEL",
        ),
        (
            json!({"condition": {"kind": "Job", "name": "a", "ready": "true", "api_version": "a/b/c"}}),
            "wrong-value",
            "spec.condition.api_version",
            "apps/v1",
        ),
        (
            json!({"condition": {"kind": "Job", "name": "a", "ready": "objects.size() > 0"}}),
            "wrong-value",
            "spec.condition.ready",
            "`objects` is not known here, only `object`",
        ),
        (json!({"http": {"ingress": long}}), "wrong-value", "spec.http.ingress", "host name"),
    ];
    for (spec, code, path, part) in table {
        let mistakes = parse(spec.clone()).expect_err(&spec.to_string());
        let found = mistakes.iter().any(|mistake| {
            let text = format!("{} {}", mistake.message, mistake.hint.as_deref().unwrap_or_default());
            mistake.code == *code && mistake.path == *path && text.contains(part)
        });
        assert!(found, "{spec}: wanted {code} at {path} with {part:?}, got {mistakes:#?}");
    }
}

#[test]
fn several_mistakes_come_together() {
    let body = json!({"apiVersion": "rekindle.dev/v2", "kind": "Gate", "metadata": {"nam": "x"}, "spec": {
        "hold": true,
        "http": {"service": "a", "path": "x", "status": 7},
        "tcp": {"service": "a", "port": 0},
    }});
    let mistakes = Gate::parse(&body, &Origin::default(), "acoustid").expect_err("six mistakes and more");
    let mut places: Vec<&str> = mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
    places.sort_unstable();
    let wanted = [
        "apiVersion",
        "metadata",
        "metadata.nam",
        "spec.hold",
        "spec.http.path",
        "spec.http.status",
        "spec.tcp",
        "spec.tcp.port",
    ];
    assert_eq!(places, wanted);
}

#[test]
fn metadata_names_the_namespace() {
    let body = json!({"apiVersion": "rekindle.dev/v1", "kind": "Gate", "metadata": {"name": "x", "namespace": "other"},
        "spec": {"redis": {"service": "r"}}});
    assert_eq!(Gate::parse(&body, &Origin::default(), "acoustid").map(|gate| gate.namespace), Ok("other".to_owned()));
    for body in [json!(null), json!("x"), json!({}), json!({"metadata": 1, "spec": 2})] {
        assert!(Gate::parse(&body, &Origin::default(), "acoustid").is_err(), "{body}");
    }
}

#[test]
fn addresses() {
    for (text, host, port) in [
        ("127.0.0.1", "127.0.0.1", None),
        ("127.0.0.1:80", "127.0.0.1", Some(80)),
        ("::1", "::1", None),
        ("[::1]", "::1", None),
        ("[::1]:443", "::1", Some(443)),
        ("lb.example.org:8080", "lb.example.org", Some(8080)),
    ] {
        assert_eq!(Address::parse(text), Some(Address { host: host.into(), port }), "{text}");
    }
    for text in ["", ":80", "a:b", "a:0", "a:65536", "[::1", "[x]:1", "[::1]80", "a b", "http://x", "1.2.3.4:80:90"] {
        assert_eq!(Address::parse(text), None, "{text}");
    }
}

/// Any small JSON, with the words of gates as keys.
fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let word = prop::sample::select(
        [
            &PROBES[..],
            &["service", "port", "ingress", "address", "status", "selector", "command", "expect", "timeout", "hold"],
        ]
        .concat(),
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let keys = prop_oneof![word.clone().prop_map(str::to_owned), "\\PC{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn never_panics_and_a_refusal_says_why(spec in any_json()) {
        if let Err(mistakes) = parse(spec) {
            proptest::prop_assert!(!mistakes.is_empty());
        }
    }
}
