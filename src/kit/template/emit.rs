//! The filters and functions that templates have beyond Tera's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tera::{Error, ErrorKind, Kwargs, State, Tera, TeraResult, Value};

use super::rewrite::EMIT;
use crate::data::Source;
use crate::data::lineage::{FIELDS, Lineage};
use crate::kit::Environment;
use crate::manifest::mistake::nearest;
use crate::manifest::yaml::quoted;
use crate::secrets::SecretError;

/// Functions of templates, for suggestions.
pub const FUNCTIONS: [&str; 5] = ["secret", "image", "data", "range", "throw"];
/// Filters of templates, for suggestions: ours and those of Tera that fit manifests.
pub const FILTERS: [&str; 33] = [
    "plain",
    "b64",
    "json",
    "default",
    "upper",
    "lower",
    "trim",
    "trim_start",
    "trim_end",
    "replace",
    "capitalize",
    "title",
    "truncate",
    "indent",
    "str",
    "int",
    "float",
    "length",
    "reverse",
    "split",
    "abs",
    "round",
    "first",
    "last",
    "nth",
    "join",
    "sort",
    "unique",
    "get",
    "keys",
    "values",
    "pairs",
    "group_by",
];
/// Begins the message of an error about a name, so that it can be told with a suggestion.
pub const UNDEFINED: &str = "undefined value";

/// What templates ask for while they are rendered, and what they get.
#[derive(Default)]
pub struct Answers {
    secrets: Mutex<BTreeMap<String, Result<SecretString, SecretError>>>,
    wanted: Mutex<BTreeSet<String>>,
    /// Names of data sets that were asked for since [`Answers::asked_by`] was called last.
    data: Mutex<BTreeSet<String>>,
    asked_data: Mutex<BTreeSet<(String, String)>>,
    environment: Option<Environment>,
}

impl Answers {
    /// Answers with the images and data decisions of an environment, and no secrets yet.
    pub fn new(environment: &Environment) -> Arc<Self> {
        Arc::new(Self { environment: Some(environment.clone()), ..Self::default() })
    }

    fn images(&self) -> Option<&BTreeMap<String, String>> {
        self.environment.as_ref().map(|environment| &environment.images)
    }

    /// Says which template has asked for data sets lately.
    pub fn asked_by(&self, file: &str) {
        let names = std::mem::take(&mut *self.data.lock().unwrap_or_else(PoisonError::into_inner));
        let mut asked = self.asked_data.lock().unwrap_or_else(PoisonError::into_inner);
        asked.extend(names.into_iter().map(|name| (file.to_owned(), name)));
    }

    /// The data sets that templates asked for: the template and the name.
    pub fn asked_data(&self) -> Vec<(String, String)> {
        self.asked_data.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn data(&self, name: &str) -> String {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        let source = self.environment.as_ref().map(|environment| environment.data_source(name));
        source.unwrap_or(Source::Adopt).word().to_owned()
    }

    fn lineage(&self, name: &str) -> Lineage {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        let lineages = self.environment.as_ref().map(|environment| &environment.lineages);
        lineages.and_then(|lineages| lineages.get(name).cloned()).unwrap_or_default()
    }

    /// The names of images.
    pub fn image_names(&self) -> impl Iterator<Item = &str> {
        self.images().into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Takes the names of secrets that were asked for and not known yet.
    pub fn take_wanted(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the answer for a secret.
    pub fn give(&self, name: String, value: Result<SecretString, SecretError>) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
    }

    /// Every secret value that was given.
    pub fn given(&self) -> BTreeMap<String, SecretString> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().filter_map(|(name, value)| Some((name.clone(), value.as_ref().ok()?.clone()))).collect()
    }

    fn secret(&self, name: &str) -> TeraResult<String> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        match secrets.get(name) {
            Some(Ok(value)) => Ok(value.expose_secret().to_owned()),
            Some(Err(error)) => Err(Error::message(error)),
            None => {
                self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
                // Whoever renders sees that it was wanted, answers, and renders again.
                Ok("0".repeat(32))
            }
        }
    }

    fn image(&self, name: &str) -> TeraResult<String> {
        let unknown = || Error::message(format!("no environment file has images.{name}"));
        self.images().and_then(|images| images.get(name)).cloned().ok_or_else(unknown)
    }
}

/// Registers functions and filters. Must come before templates are added.
pub fn register(tera: &mut Tera, answers: &Arc<Answers>) {
    let secrets = Arc::clone(answers);
    tera.register_function("secret", move |kwargs: Kwargs, _: &State| -> TeraResult<String> {
        secrets.secret(only_name(&kwargs, "secret")?)
    });
    let images = Arc::clone(answers);
    tera.register_function("image", move |kwargs: Kwargs, _: &State| -> TeraResult<String> {
        images.image(only_name(&kwargs, "image")?)
    });
    let data = Arc::clone(answers);
    tera.register_function("data", move |kwargs: Kwargs, _: &State| -> TeraResult<String> { data_of(&data, &kwargs) });
    tera.register_filter("plain", plain);
    tera.register_filter("json", json);
    tera.register_filter("b64", b64);
    tera.register_filter(EMIT, emit);
}

/// `data(name=…)`: where a data set's contents come from; with `of=…`: what is known of its backups.
fn data_of(answers: &Answers, kwargs: &Kwargs) -> TeraResult<String> {
    let Some(field) = kwargs.get::<&str>("of")? else {
        return Ok(answers.data(name_beside(kwargs, "data", &[])?));
    };
    let name = name_beside(kwargs, "data", &["of"])?;
    answers.lineage(name).field(field).map(str::to_owned).ok_or_else(|| {
        let near = nearest(field, FIELDS).map_or_else(|| FIELDS.join(", "), |near| format!("did you mean {near}?"));
        Error::message(format!("data knows nothing of {field}: {near}"))
    })
}

fn only_name<'k>(kwargs: &'k Kwargs, function: &str) -> TeraResult<&'k str> {
    name_beside(kwargs, function, &[])
}

/// The argument `name`, which is a text and has only these others beside it.
fn name_beside<'k>(kwargs: &'k Kwargs, function: &str, others: &[&str]) -> TeraResult<&'k str> {
    for (key, _) in kwargs.iter() {
        if key.as_str().is_none_or(|key| key != "name" && !others.contains(&key)) {
            return Err(Error::message(format!("{function} has no argument {key}, only name")));
        }
    }
    match kwargs.get::<Value>("name")? {
        None => Err(Error::message(format!("{function} needs a name: {function}(name=\"…\")"))),
        Some(value) if value.is_undefined() => Err(Error::message(UNDEFINED)),
        Some(_) => {
            kwargs.must_get::<&str>("name").map_err(|_| Error::message(format!("the name of {function} is a text")))
        }
    }
}

fn no_arguments(kwargs: &Kwargs, filter: &str) -> TeraResult<()> {
    if let Some((key, _)) = kwargs.iter().next() {
        return Err(Error::message(format!("the filter {filter} has no argument {key}")));
    }
    Ok(())
}

fn undefined() -> Error {
    // This kind carries the place of the value, not of the filter.
    let (expected_type, actual_type) = ("a value".into(), UNDEFINED.into());
    Error::new(ErrorKind::InvalidArgument { expected_type, actual_type })
}

/// A value as YAML on one line: texts quoted, lists and mappings as JSON, numbers and booleans bare.
fn emit(value: &Value, _: Kwargs, _: &State) -> TeraResult<Value> {
    if value.is_undefined() {
        return Err(undefined());
    }
    match value.as_str() {
        Some(_) if value.is_safe() => Ok(value.clone()),
        Some(text) => Ok(Value::safe_string(&quoted(text))),
        None => Ok(Value::safe_string(&escape_odd(to_json(value)?.to_string()))),
    }
}

/// A value as compact JSON text.
fn json(value: &Value, kwargs: Kwargs, _: &State) -> TeraResult<Value> {
    no_arguments(&kwargs, "json")?;
    if value.is_undefined() {
        return Err(undefined());
    }
    Ok(Value::safe_string(&escape_odd(to_json(value)?.to_string())))
}

/// A text or number without quotes, refused when it could mean something to YAML.
fn plain(value: &Value, kwargs: Kwargs, _: &State) -> TeraResult<Value> {
    no_arguments(&kwargs, "plain")?;
    if value.is_undefined() {
        return Err(undefined());
    }
    let text = match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_number() || value.is_bool() => to_json(value)?.to_string(),
        None => return Err(Error::message(format!("plain takes a text or a number, this is {}", describe(value)))),
    };
    match harm(&text) {
        Some(harm) => Err(Error::message(format!("a text with {harm} cannot stand in YAML without quotes"))),
        None => Ok(Value::safe_string(&text)),
    }
}

/// What makes a text unsafe inside a plain or block scalar.
fn harm(text: &str) -> Option<&'static str> {
    let first = text.chars().next();
    let odd = |letter: char| letter.is_control() || matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    match text {
        _ if text.contains(odd) => Some("a line end or control character"),
        _ if text.contains(['"', '\'', '`']) => Some("quotes"),
        _ if text.contains('#') => Some("a #"),
        _ if text.contains(": ") || text.ends_with(':') => Some("a colon before a space or at its end"),
        _ if text.contains(['{', '}', '[', ']']) => Some("braces or brackets"),
        _ if text != text.trim() => Some("space at its start or end"),
        _ if text.starts_with("- ") || text == "-" || text.starts_with("---") => Some("a dash at its start"),
        _ if first.is_some_and(|letter| "&*!|>%@,?".contains(letter)) => Some("a YAML sign at its start"),
        _ => None,
    }
}

fn b64(value: &Value, kwargs: Kwargs, _: &State) -> TeraResult<String> {
    no_arguments(&kwargs, "b64")?;
    if value.is_undefined() {
        return Err(undefined());
    }
    match value.as_str() {
        Some(text) => Ok(STANDARD.encode(text)),
        None => Err(Error::message(format!("b64 takes a text, this is {}", describe(value)))),
    }
}

fn to_json(value: &Value) -> TeraResult<serde_json::Value> {
    serde_json::to_value(value).map_err(|_| Error::message("the value has no JSON form"))
}

/// Line ends that only some YAML readers know, inside JSON text.
fn escape_odd(json: String) -> String {
    let odd = |letter: char| matches!(letter, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    if !json.contains(odd) {
        return json;
    }
    json.chars().map(|l| if odd(l) { format!("\\u{:04x}", u32::from(l)) } else { l.to_string() }).collect()
}

fn describe(value: &Value) -> &'static str {
    if value.is_map() {
        "a mapping"
    } else if value.is_array() {
        "a list"
    } else if value.is_number() {
        "a number"
    } else if value.is_bool() {
        "a boolean"
    } else if value.is_none() {
        "nothing"
    } else {
        "a text"
    }
}
