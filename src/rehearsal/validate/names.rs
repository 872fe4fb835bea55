//! Names and labels, and what is wrong with them. Source: apimachinery's pkg/util/validation.

use serde_json::{Value, json};

use crate::rehearsal::status::FieldError;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                     end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                        consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. \
                        '*.example.com', regex used for validation is \
                        '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic \
                       character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
                       validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
                     start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
                     validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const PART: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                    character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                   'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// What is wrong with a name, each a detail of its own.
type Wrong = Vec<String>;

/// An error for each thing that is wrong with a value.
pub fn errors(field: &str, value: &str, wrong: Wrong) -> impl Iterator<Item = FieldError> {
    wrong.into_iter().map(move |detail| FieldError::invalid(field, &json!(value), &detail))
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
pub fn is_label(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.iter().all(|byte| letter(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| letter(*byte))
        && bytes.last().is_some_and(|byte| letter(*byte))
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_part(name: &str) -> bool {
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    letter(bytes.first())
        && letter(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn longest(name: &str, most: usize) -> Option<String> {
    (name.len() > most).then(|| format!("must be no more than {most} characters"))
}

fn with(name: &str, most: usize, fits: bool, detail: &str) -> Wrong {
    longest(name, most).into_iter().chain((!fits).then(|| detail.to_owned())).collect()
}

/// A name between dots.
pub fn label(name: &str) -> Wrong {
    with(name, 63, is_label(name), LABEL)
}

/// A name with dots.
pub fn subdomain(name: &str) -> Wrong {
    with(name, 253, name.split('.').all(is_label), SUBDOMAIN)
}

/// The name of a Service.
pub fn service(name: &str) -> Wrong {
    with(name, 63, is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase()), SERVICE)
}

/// A host, or `*.` and a host.
pub fn host(name: &str) -> Wrong {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return vec!["must be a DNS name, not an IP address".into()];
    }
    if name.contains('*') {
        let bare = name.strip_prefix("*.");
        return with(name, 253, bare.is_some_and(|bare| bare.split('.').all(is_label)), WILDCARD);
    }
    subdomain(name)
}

/// The name of a port.
pub fn port(name: &str) -> Wrong {
    let mut wrong: Wrong = longest(name, 15).into_iter().collect();
    let mut tell = |fits: bool, detail: &str| {
        if !fits {
            wrong.push(detail.to_owned());
        }
    };
    let taken = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    tell(
        !name.is_empty() && name.bytes().all(taken),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    tell(name.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    tell(!name.contains("--"), "must not contain consecutive hyphens");
    tell(!name.starts_with('-') && !name.ends_with('-'), "must not begin or end with a hyphen");
    wrong
}

/// A port by its number or its name.
pub fn port_errors(field: &str, port: &Value) -> Vec<FieldError> {
    match port {
        Value::String(name) => errors(field, name, self::port(name)).collect(),
        number => port_number(field, number.as_i64().unwrap_or_default()).into_iter().collect(),
    }
}

/// The number of a port.
pub fn port_number(field: &str, number: i64) -> Option<FieldError> {
    let detail = "must be between 1 and 65535, inclusive";
    (!(1..=65535).contains(&number)).then(|| FieldError::invalid(field, &json!(number), detail))
}

/// A key of a ConfigMap or Secret.
pub fn key(name: &str) -> Wrong {
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    with(name, 253, fits, KEY)
}

/// The name of a label or an annotation.
fn qualified(name: &str) -> Wrong {
    let parts: Vec<&str> = name.split('/').collect();
    let (prefix, part) = match parts[..] {
        [part] => (None, part),
        [prefix, part] => (Some(prefix), part),
        _ => {
            let prefixed = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {PART} {prefixed}")];
        }
    };
    let mut wrong = match prefix {
        None => Vec::new(),
        Some("") => vec!["prefix part must be non-empty".to_owned()],
        Some(prefix) => subdomain(prefix).into_iter().map(|it| format!("prefix part {it}")).collect(),
    };
    if part.is_empty() {
        wrong.push("name part must be non-empty".into());
    }
    wrong.extend(with(part, 63, is_part(part), PART).into_iter().map(|it| format!("name part {it}")));
    wrong
}

fn value(text: &str) -> Wrong {
    with(text, 63, text.is_empty() || is_part(text), VALUE)
}

/// What is wrong with labels that stand at a field.
pub fn labels(labels: Option<&Value>, field: &str) -> Vec<FieldError> {
    let mut found = Vec::new();
    for (name, text) in labels.and_then(Value::as_object).into_iter().flatten() {
        found.extend(errors(field, name, qualified(name)));
        let text = text.as_str().unwrap_or_default();
        found.extend(errors(field, text, value(text)));
    }
    found
}

/// What is wrong with the names of annotations that stand at a field; their case does not matter.
pub fn annotations(annotations: Option<&Value>, field: &str) -> Vec<FieldError> {
    let names = annotations.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name);
    names.flat_map(|name| errors(field, name, qualified(&name.to_lowercase()))).collect()
}
