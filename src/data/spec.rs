//! `DataSet` documents, read strictly.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::Source;
use crate::health::gate::fields::{Collected, Fields, kind_of};
use crate::health::gate::parse::{DEFAULT_TIMEOUT, read_probe};
use crate::health::gate::{Gate, GateMistake, Probe};
use crate::manifest::Origin;
use crate::manifest::mistake::nearest;

/// Questions that may prove a data set.
const PROOFS: [&str; 6] = ["http", "tcp", "postgres", "redis", "exec", "condition"];

/// State that must survive (`apiVersion: rekindle.dev/v1`, `kind: DataSet`).
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// `metadata.name`, e.g. `postgresql-app`.
    pub name: String,
    /// Namespace of its claims: the environment's unless `metadata.namespace` says otherwise.
    pub namespace: String,
    /// Where it is written.
    pub origin: Origin,
    /// What holds it.
    pub claims: Vec<Holder>,
    /// Where its contents may come from, in order of preference.
    pub sources: Vec<Source>,
    /// Whether the claims hold copies of one another, so that one that survived is enough: its neighbours are filled from it.
    pub replicated: bool,
    /// Set when it can be made again from other data, so that losing it loses time only.
    pub derived: Option<Derived>,
    /// Set when a backup of it exists.
    pub restore: Option<Restore>,
    /// A question that must be answered well before the next phase when its contents were adopted or restored.
    pub proof: Option<Gate>,
    /// A question whose answer never changes in the life of the data, such as PostgreSQL's system identifier.
    pub identity: Option<Gate>,
    /// What is asked at the end of a healthy run, so that what comes back after an accident can be compared with it.
    pub remember: Vec<Fact>,
}

/// Something about data that is remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What it is, for people: `newest account`.
    pub name: String,
    /// How a later answer is compared.
    pub compare: Compare,
    /// The question: a query.
    pub question: Gate,
}

/// How an answer is compared with one that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// It never changes.
    Same,
    /// It only grows.
    AtLeast,
    /// It is a list from which nothing goes.
    Includes,
}

impl Compare {
    const ALL: [(&'static str, Self); 3] =
        [("same", Self::Same), ("at_least", Self::AtLeast), ("includes", Self::Includes)];
}

/// What holds a data set or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A claim by its name.
    Claim(String),
    /// The claims that a StatefulSet makes: one a replica and template.
    StatefulSet {
        /// Its name.
        name: String,
        /// Only those of this template; those of all without it.
        template: Option<String>,
    },
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Claim(name) => write!(f, "PersistentVolumeClaim/{name}"),
            Self::StatefulSet { name, template: None } => write!(f, "StatefulSet/{name}"),
            Self::StatefulSet { name, template: Some(template) } => {
                write!(f, "the claim template {template} of StatefulSet/{name}")
            }
        }
    }
}

/// How data that can be made again is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// From what, for people: e.g. `postgresql-fingerprint`.
    pub from: String,
    /// How long that takes.
    pub estimate: Option<Duration>,
}

/// What is known of a data set's backups. Without `backups` a person restores it, and Rekindle says how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restore {
    /// What a person does to restore it, a line or several.
    pub by_hand: Option<String>,
    /// How backups are looked up. With it the templates can restore: they see which backup by `data()`.
    pub backups: Option<Lookup>,
    /// The archive of another environment, which a stand-by is restored from and follows until it is promoted.
    pub follow: Option<Lookup>,
    /// A command that says how far a restore is: on its first line how many bytes are there, and on its second, while WAL is
    /// replayed, up to where.
    pub progress: Option<Gate>,
}

/// How the backups of a data set are looked up: by a short Job in the cluster, because whoever runs Rekindle may not reach
/// the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The program that made them.
    pub tool: Tool,
    /// An image that has the program and `sh`.
    pub image: String,
    /// User that it runs as; the image's own without it.
    pub user: Option<u64>,
    /// Its environment: where the store is, and the keys to it.
    pub env: BTreeMap<String, String>,
}

/// A program that makes backups of PostgreSQL and that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// WAL-G 2 or newer.
    WalG,
    /// pgBackRest 2.
    PgBackRest,
}

impl Tool {
    const ALL: [(&'static str, Self); 2] = [("wal-g", Self::WalG), ("pgbackrest", Self::PgBackRest)];
}

impl DataSet {
    /// How its own backups are looked up, where they can be.
    pub fn lookup(&self) -> Option<&Lookup> {
        self.restore.as_ref()?.backups.as_ref()
    }

    /// How the archive that it follows is looked up, where it is a stand-by.
    pub fn follow(&self) -> Option<&Lookup> {
        self.restore.as_ref()?.follow.as_ref()
    }

    /// Reads a DataSet document. `default_namespace` is used unless `metadata.namespace` names another one.
    ///
    /// # Errors
    /// Every mistake that is in it, at least one.
    pub fn parse(body: &Value, origin: &Origin, default_namespace: &str) -> Result<Self, Vec<GateMistake>> {
        let collected = Collected::default();
        let set = read(body, origin, default_namespace, &collected);
        let mistakes = collected.into_mistakes();
        match set {
            Some(set) if mistakes.is_empty() => Ok(set),
            _ => Err(mistakes),
        }
    }
}

fn read(body: &Value, origin: &Origin, default_namespace: &str, collected: &Collected) -> Option<DataSet> {
    let document = Fields::open(body, "", &["apiVersion", "kind", "metadata", "spec"], collected)?;
    let metadata = document.inside("metadata", &["name", "namespace"])?;
    let name = metadata.required_text("name", None);
    // It is typed in flags and stands in annotations; a slash or colon there would be ambiguous.
    if !is_name(&name) {
        let hint = Some("lower-case letters, digits and - as in postgresql-app".to_owned());
        metadata.mistake("wrong-value", "name", format!("{name:?} cannot be typed as the name of a data set"), hint);
    }
    let namespace = metadata.text("namespace").unwrap_or_else(|| default_namespace.to_owned());
    if !document.has("spec") {
        document.mistake_here("missing-key", "the data set has no spec", Some("write spec with claims".to_owned()));
    }
    let known = ["claims", "sources", "replicated", "derived", "restore", "proof", "identity", "remember"];
    let spec = document.inside("spec", &known)?;
    let claims = holders(&spec);
    let derived = spec.mapping("derived", &["from", "estimate"]).map(|fields| Derived {
        from: fields.required_text("from", Some("say what it is made from".to_owned())),
        estimate: fields.duration("estimate"),
    });
    let sources = sources(&spec);
    let gate = |fields: &Fields<'_>, title: String, questions: &[&'static str]| {
        let timeout = fields.duration("timeout").unwrap_or(DEFAULT_TIMEOUT);
        let probe = read_probe(fields, questions)?;
        let (origin, namespace, hold) = (origin.clone(), namespace.clone(), Duration::ZERO);
        Some(Gate { name: title, origin, timeout, hold, namespace, probe, skipped: None })
    };
    let restore = spec.mapping("restore", &["by_hand", "backups", "follow", "progress"]);
    let restore = restore.map(|fields| {
        let progress = fields.mapping("progress", &["timeout", "exec"]);
        let progress = progress.and_then(|fields| gate(&fields, format!("how far {name} is"), &["exec"]));
        Restore { progress, ..restore_of(&fields) }
    });
    if restore.is_none() && sources.contains(&Source::Restore) && !spec.written("restore") {
        let hint = Some("add restore: {backups: {…}} or {by_hand: …}, or take restore out of sources".to_owned());
        spec.mistake("conflict", "sources", "sources has restore, and spec does not say how", hint);
    }
    let known: Vec<&str> = ["timeout"].into_iter().chain(PROOFS).collect();
    let proof = spec.mapping("proof", &known);
    let proof = proof.and_then(|fields| gate(&fields, format!("{name} holds what it should"), &PROOFS));
    let identity = spec.mapping("identity", &["timeout", "postgres"]);
    let identity = identity.and_then(|fields| gate(&fields, format!("{name} is the same as before"), &["postgres"]));
    if let Some(Gate { probe: Probe::Postgres(postgres), .. }) = &identity
        && postgres.wanted.is_some()
    {
        let hint = Some("take it out: the answer is compared with that of the last healthy run".to_owned());
        spec.mistake("conflict", "identity", "identity wants a certain answer by itself", hint);
    }
    let remember = facts(&spec, |fields, title| gate(fields, title, &["postgres"]));
    let replicated = spec.flag("replicated");
    Some(DataSet {
        name,
        namespace,
        origin: origin.clone(),
        claims,
        sources,
        replicated,
        derived,
        restore,
        proof,
        identity,
        remember,
    })
}

/// What is remembered: a list of questions, each with a name of its own.
fn facts(spec: &Fields<'_>, gate: impl Fn(&Fields<'_>, String) -> Option<Gate>) -> Vec<Fact> {
    let list = match spec.get("remember") {
        None => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(other) => {
            let hint = Some("write remember: [{name: …, compare: at_least, postgres: {…}}]".to_owned());
            spec.mistake("wrong-type", "remember", format!("remember is {}, not a list", kind_of(other)), hint);
            return Vec::new();
        }
    };
    let mut facts: Vec<Fact> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("remember.{index}");
        let Some(fields) = spec.item(&path, value, &["name", "compare", "timeout", "postgres"]) else { continue };
        let name = fields.required_text("name", Some("what it is, as in newest order".to_owned()));
        if facts.iter().any(|fact| fact.name == name) {
            fields.mistake("wrong-value", "name", format!("{name} is remembered already"), None);
        }
        let compare = one_of(&fields, "compare", Compare::ALL, |word| format!("{word} is no way to compare answers"));
        let Some(question) = gate(&fields, name.clone()) else { continue };
        if let Probe::Postgres(postgres) = &question.probe
            && postgres.wanted.is_some()
        {
            let hint = Some("take it out: the answer is compared with the one that is remembered".to_owned());
            fields.mistake("conflict", "postgres", format!("{name} wants a certain answer by itself"), hint);
        }
        facts.extend(compare.map(|compare| Fact { name, compare, question }));
    }
    facts
}

fn restore_of(fields: &Fields<'_>) -> Restore {
    let backups = lookup(fields, "backups");
    let follow = lookup(fields, "follow");
    let by_hand = fields.text("by_hand");
    let says_something = ["backups", "follow", "by_hand"].into_iter().any(|key| fields.written(key));
    if by_hand.is_none() && backups.is_none() && follow.is_none() && !says_something {
        let hint = Some("say how: backups: {tool, image, env}, or by_hand with what a person does".to_owned());
        fields.mistake_here("missing-key", "restore says nothing", hint);
    }
    // Once promoted it archives, and its next restore comes from there.
    if follow.is_some() && !fields.written("backups") {
        let hint = Some("add backups: {tool, image, env}: where it archives to once it is promoted".to_owned());
        fields.mistake_here("missing-key", "restore follows another archive and has none of its own", hint);
    }
    Restore { by_hand, backups, follow, progress: None }
}

fn lookup(fields: &Fields<'_>, key: &str) -> Option<Lookup> {
    let fields = fields.mapping(key, &["tool", "image", "user", "env"])?;
    let tool = one_of(&fields, "tool", Tool::ALL, |word| format!("backups of {word} are not understood"));
    let user = fields.answer("user").and_then(|user| {
        let number = user.parse().ok();
        if number.is_none() {
            fields.mistake("wrong-value", "user", format!("user {user} is no number"), None);
        }
        number
    });
    let image = fields.required_text("image", Some("an image that has the tool and sh".to_owned()));
    Some(Lookup { tool: tool.unwrap_or(Tool::WalG), image, user, env: fields.texts("env").unwrap_or_default() })
}

/// What a word stands for that must be one of a few.
fn one_of<T, const N: usize>(
    fields: &Fields<'_>,
    key: &str,
    all: [(&'static str, T); N],
    wrong: impl Fn(&str) -> String,
) -> Option<T> {
    let words: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    let known = || format!("known: {}", words.join(", "));
    let word = fields.required_text(key, Some(known()));
    if !word.is_empty() && !words.contains(&word.as_str()) {
        let near = nearest(&word, words.iter().copied()).map(|near| format!("did you mean {near}?"));
        fields.mistake("wrong-value", key, wrong(&word), Some(near.unwrap_or_else(known)));
    }
    all.into_iter().find(|(known, _)| *known == word).map(|(_, what)| what)
}

/// Whether a text can be the name of a data set: as Kubernetes' own names of 63 characters at most.
fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| letter(byte) || byte == b'-')
        && text.bytes().next().is_some_and(letter)
        && text.bytes().last().is_some_and(letter)
}

fn holders(spec: &Fields<'_>) -> Vec<Holder> {
    let list = match spec.get("claims") {
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(Value::Array(_)) => {
            spec.mistake("wrong-value", "claims", "claims is empty: nothing holds the data", None);
            return Vec::new();
        }
        Some(other) => {
            let hint = Some("write claims: [NAME], or claims: [{statefulset: NAME}]".to_owned());
            spec.mistake("wrong-type", "claims", format!("claims is {}, not a list", kind_of(other)), hint);
            return Vec::new();
        }
        None => {
            let hint = Some("write claims: [NAME], or claims: [{statefulset: NAME}]".to_owned());
            spec.missing("claims", hint);
            return Vec::new();
        }
    };
    let read = |(index, value): (usize, &Value)| {
        let path = format!("claims.{index}");
        match value {
            Value::String(name) if !name.is_empty() => Some(Holder::Claim(name.clone())),
            Value::Object(_) => {
                let fields = spec.item(&path, value, &["statefulset", "template"])?;
                let name = fields.required_text("statefulset", None);
                Some(Holder::StatefulSet { name, template: fields.text("template") })
            }
            other => {
                let wrong = format!("this is {}, neither a claim's name nor {{statefulset: NAME}}", kind_of(other));
                spec.mistake("wrong-type", &path, wrong, None);
                None
            }
        }
    };
    list.iter().enumerate().filter_map(read).collect()
}

fn sources(spec: &Fields<'_>) -> Vec<Source> {
    if !spec.has("sources") {
        let restore = |source: &Source| *source != Source::Restore || spec.has("restore");
        return Source::ALL.into_iter().filter(restore).collect();
    }
    let words = Source::ALL.map(Source::word);
    let mut sources = Vec::new();
    for (index, word) in spec.words("sources").unwrap_or_default().iter().enumerate() {
        let path = format!("sources.{index}");
        match Source::of(word) {
            Some(source) if sources.contains(&source) => {
                spec.mistake("wrong-value", &path, format!("{word} is there twice"), None);
            }
            Some(source) => sources.push(source),
            None => {
                let hint = match nearest(word, words) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("known here: {}", words.join(", ")),
                };
                spec.mistake("wrong-value", &path, format!("{word} is no source of data"), Some(hint));
            }
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::manifest::yaml::parse_node;

    fn parse(spec: &str) -> Result<DataSet, Vec<String>> {
        let text = format!("apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: db}}\nspec: {spec}\n");
        let body = parse_node(&text).unwrap().unwrap().to_value();
        let told = |it: GateMistake| {
            format!("{}: {}{}", it.path, it.message, it.hint.map_or(String::new(), |hint| format!(" [{hint}]")))
        };
        DataSet::parse(&body, &Origin::default(), "shop").map_err(|all| all.into_iter().map(told).collect())
    }

    #[test]
    fn a_whole_one() {
        let set = parse(
            "{claims: [files, {statefulset: db, template: data}], sources: [restore, adopt], replicated: true, \
             derived: {from: others, estimate: 3h}, restore: {by_hand: fetch it, backups: {tool: pgbackrest, image: pg, user: 999, env: {A: b}}}, \
             proof: {timeout: 1m, postgres: {service: db, credentials: {secret: s}, query: select 1, expect: 1}}, \
             identity: {postgres: {service: db, credentials: {secret: s}, query: select system_identifier from pg_control_system()}}}",
        )
        .unwrap();
        assert_eq!(set.namespace, "shop");
        assert_eq!(
            set.claims,
            [Holder::Claim("files".into()), Holder::StatefulSet { name: "db".into(), template: Some("data".into()) }]
        );
        assert_eq!(set.sources, [Source::Restore, Source::Adopt]);
        assert_eq!(set.derived.unwrap().estimate, Some(Duration::from_secs(3 * 3600)));
        assert_eq!(set.proof.unwrap().timeout, Duration::from_secs(60));
        assert!(set.replicated && set.identity.is_some());
        let env = [("A".to_owned(), "b".to_owned())].into();
        let lookup = Lookup { tool: Tool::PgBackRest, image: "pg".into(), user: Some(999), env };
        assert_eq!(set.restore.unwrap().backups, Some(lookup));
    }

    #[test]
    fn without_sources_what_can_be_is_allowed() {
        assert_eq!(parse("{claims: [a]}").unwrap().sources, [Source::Adopt, Source::Empty]);
        assert_eq!(parse("{claims: [a], restore: {by_hand: x}}").unwrap().sources, Source::ALL);
    }

    #[test]
    fn every_mistake_is_told() {
        for (spec, told) in [
            ("{}", "spec: spec has no claims [write claims: [NAME], or claims: [{statefulset: NAME}]]"),
            (
                "{claims: [a], remember: {}}",
                "spec.remember: remember is a mapping, not a list [write remember: [{name: …, compare: at_least, postgres: {…}}]]",
            ),
            (
                "{claims: [a], remember: [{name: x, compare: at_leest, postgres: {service: db, credentials: {secret: s}, query: q}}]}",
                "spec.remember.0.compare: at_leest is no way to compare answers [did you mean at_least?]",
            ),
            (
                "{claims: [a], remember: [{name: x, compare: same, postgres: {service: db, credentials: {secret: s}, query: q, expect: 1}}]}",
                "spec.remember.0.postgres: x wants a certain answer by itself [take it out: the answer is compared with the one that is remembered]",
            ),
            ("{claims: []}", "spec.claims: claims is empty: nothing holds the data"),
            (
                "{claims: a}",
                "spec.claims: claims is a text, not a list [write claims: [NAME], or claims: [{statefulset: NAME}]]",
            ),
            ("{claims: [5]}", "spec.claims.0: this is a number, neither a claim's name nor {statefulset: NAME}"),
            (
                "{claims: [{stateful_set: a}]}",
                "spec.claims.0.stateful_set: stateful_set is not known here [did you mean statefulset?]",
            ),
            ("{claims: [a], sources: [adpt]}", "spec.sources.0: adpt is no source of data [did you mean adopt?]"),
            ("{claims: [a], sources: [adopt, adopt]}", "spec.sources.1: adopt is there twice"),
            (
                "{claims: [a], sources: [restore]}",
                "spec.sources: sources has restore, and spec does not say how [add restore: {backups: {…}} or {by_hand: …}, or take restore out of sources]",
            ),
            ("{claims: [a], source: [adopt]}", "spec.source: source is not known here [did you mean sources?]"),
            ("{claims: [a], derived: {}}", "spec.derived: derived has no from [say what it is made from]"),
            (
                "{claims: [a], restore: {}}",
                "spec.restore: restore says nothing [say how: backups: {tool, image, env}, or by_hand with what a person does]",
            ),
            (
                "{claims: [a], restore: {backups: {tool: walg, image: a}}}",
                "spec.restore.backups.tool: backups of walg are not understood [did you mean wal-g?]",
            ),
            (
                "{claims: [a], restore: {backups: {tool: wal-g}}}",
                "spec.restore.backups: backups has no image [an image that has the tool and sh]",
            ),
            (
                "{claims: [a], proof: {}}",
                "spec.proof: proof asks nothing: it needs one of http, tcp, postgres, redis, exec, condition",
            ),
            (
                "{claims: [a], identity: {exec: {}}}",
                "spec.identity.exec: exec is not known here [known here: timeout, postgres]",
            ),
        ] {
            let wrong = parse(spec).unwrap_err();
            assert!(wrong.iter().any(|it| it == told), "{spec}: {wrong:#?}");
        }
    }

    #[test]
    fn a_name_must_be_one_that_can_be_typed() {
        for bad in ["a b", "A", "", "-a", "a/b", "a=b", "a:b"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_name("postgresql-app"));
    }
}
