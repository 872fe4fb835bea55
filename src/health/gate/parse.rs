//! Reads a Gate document strictly into a [`Gate`].

use std::time::Duration;

use serde_json::Value;

use super::fields::{Collected, Fields, GateMistake, kind_of};
use super::spec::{
    Address, Condition, Exec, Http, HttpTarget, Port, Postgres, Probe, Redis, Selected, StatusForm, Statuses, Tcp,
    Wanted, is_host,
};
use super::{Expression, Gate};
use crate::manifest::Origin;

/// Limit of a gate that states none.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

const PROBES: [&str; 6] = ["http", "tcp", "postgres", "redis", "exec", "condition"];

impl Gate {
    /// Reads a Gate document. `default_namespace` is used unless `metadata.namespace` names another one.
    ///
    /// # Errors
    /// Returns every mistake that is in it, at least one.
    pub fn parse(body: &Value, origin: &Origin, default_namespace: &str) -> Result<Self, Vec<GateMistake>> {
        let collected = Collected::default();
        let gate = read(body, origin, default_namespace, &collected);
        let mistakes = collected.into_mistakes();
        match gate {
            Some(gate) if mistakes.is_empty() => Ok(gate),
            _ => Err(mistakes),
        }
    }
}

fn read(body: &Value, origin: &Origin, default_namespace: &str, collected: &Collected) -> Option<Gate> {
    let gate = Fields::open(body, "", &["apiVersion", "kind", "metadata", "spec"], collected)?;
    for (key, wanted) in [("apiVersion", "rekindle.dev/v1"), ("kind", "Gate")] {
        let text = gate.required_text(key, Some(format!("write {key}: {wanted}")));
        if gate.get(key).is_some_and(Value::is_string) && text != wanted {
            gate.mistake("wrong-value", key, format!("{key} is {text:?}"), Some(format!("write {key}: {wanted}")));
        }
    }
    let (mut name, mut namespace) = (String::new(), default_namespace.to_owned());
    match gate.inside("metadata", &["name", "namespace"]) {
        Some(metadata) => {
            let hint = "say what is true when it passes, e.g. app database accepts writes".to_owned();
            name = metadata.required_text("name", Some(hint));
            if name.chars().any(char::is_control) {
                metadata.mistake("wrong-value", "name", "name contains control characters", None);
            }
            namespace = metadata.text("namespace").unwrap_or(namespace);
        }
        None if gate.has("metadata") => {}
        None => gate.missing("metadata", Some("write metadata: {name: …}".to_owned())),
    }
    if !gate.has("spec") {
        gate.missing("spec", Some(format!("write spec with one of {}", PROBES.join(", "))));
    }
    let known: Vec<&str> = ["timeout", "hold"].into_iter().chain(PROBES).collect();
    let spec = gate.inside("spec", &known)?;
    let timeout = spec.duration("timeout").unwrap_or(DEFAULT_TIMEOUT);
    let hold = spec.duration("hold").unwrap_or_default();
    if timeout.is_zero() {
        spec.mistake("wrong-value", "timeout", "timeout is 0: the gate could never pass", None);
    } else if hold >= timeout {
        let hint = Some("give hold less time than timeout (default 5m)".to_owned());
        spec.mistake("conflict", "hold", "hold is not shorter than timeout: the gate could never pass", hint);
    }
    let probe = read_probe(&spec, &PROBES)?;
    Some(Gate { name, origin: origin.clone(), timeout, hold, namespace, probe, skipped: None })
}

/// Reads the one question of a mapping, which may be one of these.
pub(crate) fn read_probe(spec: &Fields<'_>, known: &[&'static str]) -> Option<Probe> {
    // A key without a value, as in `http:`, is meant: it is reported as empty rather than as absent.
    let given: Vec<&str> = known.iter().copied().filter(|probe| spec.written(probe)).collect();
    match given[..] {
        [] => spec.mistake_here(
            "missing-key",
            format!("{} asks nothing: it needs one of {}", spec.name(), known.join(", ")),
            None,
        ),
        [_] => {}
        [first, ..] => {
            for other in &given[1..] {
                let hint = Some("write a gate for each question".to_owned());
                spec.mistake(
                    "conflict",
                    other,
                    format!("a gate asks one question, and this one has {first} as well"),
                    hint,
                );
            }
        }
    }
    // Every question that is there is read, so that its mistakes are reported in the same go.
    let mut probes = Vec::new();
    for probe in given {
        probes.push(match probe {
            "http" => http(spec).map(Probe::Http),
            "tcp" => tcp(spec).map(Probe::Tcp),
            "postgres" => postgres(spec).map(Probe::Postgres),
            "redis" => redis(spec).map(Probe::Redis),
            "exec" => exec(spec).map(Probe::Exec),
            _ => condition(spec).map(Probe::Condition),
        });
    }
    probes.into_iter().next().flatten()
}

fn http(spec: &Fields<'_>) -> Option<Http> {
    let known = [
        "service",
        "url",
        "ingress",
        "port",
        "path",
        "method",
        "headers",
        "body",
        "status",
        "body_matches",
        "address",
        "tls",
    ];
    let fields = spec.mapping("http", &known)?;
    let targets: Vec<&str> = ["service", "url", "ingress"].into_iter().filter(|key| fields.has(key)).collect();
    match targets[..] {
        [] => fields.mistake_here("missing-key", "http asks nobody: it needs one of service, url, ingress", None),
        [_] => {}
        [first, ..] => {
            for other in &targets[1..] {
                fields.mistake(
                    "conflict",
                    other,
                    format!("http asks one place, and this one has {first} as well"),
                    None,
                );
            }
        }
    }
    let target = targets.first().copied().unwrap_or_default();
    for (key, of) in [("address", "ingress"), ("port", "service or ingress"), ("tls", "service or ingress")] {
        if fields.has(key) && !target.is_empty() && !of.contains(target) {
            fields.mistake("conflict", key, format!("{key} goes with {of}, not with {target}"), None);
        }
    }
    let tls = fields.flag("tls");
    let port = fields.port("port").unwrap_or(Port::Number(if tls { 443 } else { 80 }));
    let target = match target {
        "url" => Some(HttpTarget::Url { url: url(&fields) }),
        "ingress" => ingress(&fields, port, tls),
        _ => fields.text("service").map(|service| HttpTarget::Service { service, port, tls }),
    };
    let path = fields.text("path").unwrap_or_else(|| "/".to_owned());
    if fields.has("path") && fields.has("url") {
        let hint = Some("write the path into url".to_owned());
        fields.mistake("conflict", "path", "path goes with service or ingress, not with url", hint);
    } else if !path.starts_with('/') {
        fields.mistake("wrong-value", "path", "path does not start with /", Some(format!("write /{path}")));
    } else if path.parse::<http::uri::PathAndQuery>().is_err() {
        fields.mistake("wrong-value", "path", "path has characters that a URL cannot have", None);
    }
    let method = fields.text("method").unwrap_or_else(|| "GET".to_owned());
    if method.parse::<http::Method>().is_err() || method.chars().any(|c| !c.is_ascii_uppercase()) {
        let hint =
            Some(method.to_ascii_uppercase()).filter(|upper| upper.bytes().all(|byte| byte.is_ascii_uppercase()));
        let hint = hint.map(|upper| format!("write {upper}"));
        fields.mistake("wrong-value", "method", format!("method {method:?} is none"), hint);
    }
    let headers = fields.texts("headers").unwrap_or_default();
    for (name, value) in &headers {
        if name.parse::<http::HeaderName>().is_err() || value.parse::<http::HeaderValue>().is_err() {
            fields.mistake(
                "wrong-value",
                "headers",
                format!("{name:?} is no header, or has a value that cannot be sent"),
                None,
            );
        }
    }
    Some(Http {
        target: target?,
        path,
        method,
        headers,
        body: fields.raw_text("body"),
        status: statuses(&fields),
        body_matches: fields.pattern("body_matches"),
    })
}

fn url(fields: &Fields<'_>) -> String {
    let url = fields.text("url").unwrap_or_default();
    if fields.get("url").is_some_and(Value::is_string) {
        let wrong = match reqwest::Url::parse(&url) {
            Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => Some("url is neither http:// nor https://"),
            Ok(parsed) if parsed.password().is_some() => Some("url contains a password, which would be shown"),
            Ok(_) => None,
            Err(_) => Some("url is not a whole URL such as https://example.org/health"),
        };
        if let Some(wrong) = wrong {
            fields.mistake("wrong-value", "url", wrong, None);
        }
    }
    url
}

fn ingress(fields: &Fields<'_>, port: Port, tls: bool) -> Option<HttpTarget> {
    let host = fields.text("ingress")?;
    if !is_host(&host) {
        let hint = Some("write the host name alone, e.g. api.example.org".to_owned());
        fields.mistake("wrong-value", "ingress", format!("{host:?} is not a host name"), hint);
    }
    let address = fields.text("address").and_then(|text| {
        let address = Address::parse(&text);
        match &address {
            None => fields.mistake(
                "wrong-value",
                "address",
                format!("{text:?} is not an address such as 192.0.2.7:443"),
                None,
            ),
            Some(address) if address.port.is_some() && fields.has("port") => {
                fields.mistake("conflict", "port", "the port is already part of address", None);
            }
            Some(_) => {}
        }
        address
    });
    let port = match port {
        Port::Number(port) => port,
        Port::Name(_) => {
            fields.mistake("wrong-value", "port", "the port of an ingress is a number", None);
            0
        }
    };
    Some(HttpTarget::Ingress { host, address, port, tls })
}

fn statuses(fields: &Fields<'_>) -> Statuses {
    let forms: Vec<(String, &Value)> = match fields.get("status") {
        None => return Statuses::default(),
        Some(Value::Array(list)) => {
            if list.is_empty() {
                fields.mistake("wrong-value", "status", "status accepts nothing", None);
            }
            list.iter().enumerate().map(|(index, value)| (format!("status.{index}"), value)).collect()
        }
        Some(value) => vec![("status".to_owned(), value)],
    };
    let read = |(path, value): &(String, &Value)| {
        let form = match value {
            Value::Number(number) => StatusForm::parse(&number.to_string()),
            Value::String(text) => StatusForm::parse(text),
            other => {
                let wrong = format!("a status is a number or a class such as 2xx, and this is {}", kind_of(other));
                fields.mistake("wrong-type", path, wrong, None);
                return None;
            }
        };
        if form.is_none() {
            fields.mistake("wrong-value", path, format!("{value} is neither a status nor a class such as 2xx"), None);
        }
        form
    };
    Statuses(forms.iter().filter_map(read).collect())
}

fn service(fields: &Fields<'_>) -> String {
    fields.required_text("service", None)
}

fn tcp(spec: &Fields<'_>) -> Option<Tcp> {
    let fields = spec.mapping("tcp", &["service", "port", "send", "expect"])?;
    if !fields.has("port") {
        fields.missing("port", None);
    }
    Some(Tcp {
        service: service(&fields),
        port: fields.port("port").unwrap_or(Port::Number(0)),
        send: fields.raw_text("send"),
        expect: fields.pattern("expect"),
    })
}

/// The Secret of `credentials: {secret: NAME}`.
fn credentials(fields: &Fields<'_>) -> Option<String> {
    let inside = fields.mapping("credentials", &["secret"])?;
    Some(inside.required_text("secret", Some("name a Secret of the cluster".to_owned())))
}

fn postgres(spec: &Fields<'_>) -> Option<Postgres> {
    let known = ["service", "port", "database", "credentials", "query", "expect", "at_least", "includes"];
    let fields = spec.mapping("postgres", &known)?;
    if !fields.written("credentials") {
        fields.missing("credentials", Some("write credentials: {secret: NAME}".to_owned()));
    }
    Some(Postgres {
        service: service(&fields),
        port: fields.port("port").unwrap_or(Port::Number(5432)),
        database: fields.text("database"),
        credentials: credentials(&fields).unwrap_or_default(),
        query: fields.required_text("query", Some("e.g. select not pg_is_in_recovery()".to_owned())),
        wanted: wanted(&fields),
    })
}

/// What an answer must be: one of three keys.
fn wanted(fields: &Fields<'_>) -> Option<Wanted> {
    let written: Vec<&str> = ["expect", "at_least", "includes"].into_iter().filter(|key| fields.has(key)).collect();
    if let [first, second, ..] = written[..] {
        fields.mistake("conflict", second, format!("{first} and {second} cannot both be wanted of one answer"), None);
    }
    let key = *written.first()?;
    let answer = fields.answer(key)?;
    Some(match key {
        "at_least" => Wanted::AtLeast(answer),
        "includes" => Wanted::Includes(answer),
        _ => Wanted::Expect(answer),
    })
}

fn redis(spec: &Fields<'_>) -> Option<Redis> {
    let fields = spec.mapping("redis", &["service", "port", "credentials", "command", "expect"])?;
    Some(Redis {
        service: service(&fields),
        port: fields.port("port").unwrap_or(Port::Number(6379)),
        credentials: credentials(&fields),
        command: fields.words("command").unwrap_or_else(|| vec!["PING".to_owned()]),
        expect: fields.answer("expect"),
    })
}

fn exec(spec: &Fields<'_>) -> Option<Exec> {
    let fields = spec.mapping("exec", &["selector", "container", "command", "expect"])?;
    if !fields.has("selector") {
        fields.missing("selector", Some("write selector: {LABEL: VALUE}".to_owned()));
    }
    if !fields.has("command") {
        fields.missing("command", None);
    }
    let selector = fields.texts("selector");
    if selector.as_ref().is_some_and(std::collections::BTreeMap::is_empty) && fields.get("selector").is_some_and(empty)
    {
        fields.mistake("wrong-value", "selector", "selector has no label: it would take any pod", None);
    }
    Some(Exec {
        selector: selector.unwrap_or_default(),
        container: fields.text("container"),
        command: fields.words("command").unwrap_or_default(),
        expect: fields.pattern("expect"),
    })
}

fn empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn condition(spec: &Fields<'_>) -> Option<Condition> {
    let known = ["kind", "api_version", "name", "selector", "namespace", "ready", "failed", "progress"];
    let fields = spec.mapping("condition", &known)?;
    let selected = match (fields.has("name"), fields.has("selector")) {
        (true, true) => {
            fields.mistake(
                "conflict",
                "selector",
                "a condition is about a name or a selector, and this one has both",
                None,
            );
            None
        }
        (false, false) => {
            fields.mistake_here("missing-key", "condition names no object: it needs name or selector", None);
            None
        }
        (true, false) => fields.text("name").map(Selected::Name),
        (false, true) => fields.texts("selector").map(Selected::Selector),
    };
    let variables: &[&str] = match (fields.has("name"), fields.has("selector")) {
        (true, false) => &["object"],
        (false, true) => &["objects"],
        _ => &["object", "objects"],
    };
    if !fields.has("ready") {
        fields.missing(
            "ready",
            Some("write a CEL expression over object (with name) or objects (with selector)".to_owned()),
        );
    }
    let kind = fields.required_text("kind", None);
    let api_version = fields.text("api_version");
    if let Some(text) =
        api_version.as_ref().filter(|text| text.split('/').count() > 2 || text.split('/').any(str::is_empty))
    {
        fields.mistake("wrong-value", "api_version", format!("{text:?} is not a version such as v1 or apps/v1"), None);
    }
    let expressions: [Option<Expression>; 3] =
        ["ready", "failed", "progress"].map(|key| fields.expression(key, variables));
    let [ready, failed, progress] = expressions;
    Some(Condition {
        kind,
        api_version,
        selected: selected?,
        namespace: fields.text("namespace"),
        ready: ready?,
        failed,
        progress,
    })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
