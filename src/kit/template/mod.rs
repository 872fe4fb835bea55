//! Templates: compiles every `.tera` file of a kit with Tera, renders them, and tells every mistake where it was made.

mod emit;
mod errors;
mod lint;
mod rewrite;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrecy::SecretString;
use tera::Tera;

use super::context::Scope;
use super::{Environment, Kit, mistake};
use crate::manifest::Origin;
use crate::manifest::mistake::Mistake;
use crate::manifest::yaml::quoted;
use crate::secrets::SecretSource;
use emit::Answers;
use rewrite::{Rewritten, strip_marks};

/// Limit for what one template gives, in bytes.
const MAX_OUTPUT: usize = 16 * 1024 * 1024;

/// A template's output.
#[derive(Debug)]
pub struct Output {
    /// The rendered text.
    pub text: String,
    lines: Vec<Option<Origin>>,
}

impl Output {
    /// Where a line of the text comes from, if that is known: the template, or a component it calls.
    pub fn origin(&self, line: usize) -> Option<&Origin> {
        self.lines.get(..line)?.iter().rev().flatten().next()
    }
}

/// Renders templates for one environment.
pub struct Renderer<'a> {
    sources: BTreeMap<&'a str, &'a str>,
    scope: Scope,
    answers: Arc<Answers>,
    secrets: &'a dyn SecretSource,
    secret_names: Vec<String>,
    compiled: Compiled,
    /// Templates that cannot be rendered because they, or a component, do not compile.
    broken: BTreeSet<String>,
}

/// The templates, compiled twice: with and without marks.
struct Compiled {
    plain: Tera,
    marked: Tera,
    rewritten: BTreeMap<String, Rewritten>,
    /// The templates by the number that their marks carry.
    names: Vec<String>,
}

impl<'a> Renderer<'a> {
    /// Compiles all templates of a kit. What does not compile is a mistake; the others still render.
    pub fn new(
        kit: &'a Kit,
        scope: Scope,
        environment: &Environment,
        secrets: &'a dyn SecretSource,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let (mut sources, mut unreadable) = (BTreeMap::new(), BTreeSet::new());
        for path in kit.files.keys().filter(|path| path.starts_with("templates/") && path.ends_with(".tera")) {
            match kit.text(path) {
                Some(Ok(text)) => drop(sources.insert(path.as_str(), text)),
                Some(Err(wrong)) => {
                    mistakes.extend(wrong.0);
                    unreadable.insert(path.clone());
                }
                None => {}
            }
        }
        let answers = Answers::new(environment);
        let mut broken = errors::compile_errors(&sources, &answers, mistakes);
        broken.append(&mut unreadable);
        let good: BTreeMap<&str, &str> =
            sources.iter().filter(|(name, _)| !broken.contains(**name)).map(|(name, text)| (*name, *text)).collect();
        let compiled = compile(&good, &answers, mistakes);
        let secret_names = secrets.names();
        Self { sources, scope, answers, secrets, secret_names, compiled, broken }
    }

    /// Renders one template; `None` when it has a mistake.
    pub fn render(&self, file: &str, mistakes: &mut Vec<Mistake>) -> Option<Output> {
        if self.broken.contains(file) {
            return None;
        }
        let context = self.scope.to_tera();
        let rendered = loop {
            let rendered = limited(&self.compiled.plain, file, &context);
            self.answers.asked_by(file);
            let wanted = self.answers.take_wanted();
            if wanted.is_empty() {
                break rendered;
            }
            for name in wanted {
                let value = self.secrets.secret(&name);
                self.answers.give(name, value);
            }
        };
        match rendered {
            Ok(text) => {
                let marked = self.compiled.marked.render(file, &context).unwrap_or_default();
                let (stripped, lines) = strip_marks(&marked);
                // A filter over a whole block may have counted or cut the marks; then lines are unknown, the text is not.
                let lines = if stripped == text { lines } else { Vec::new() };
                let names = &self.compiled.names;
                let origin = |(number, line): (usize, usize)| Some(Origin { file: names.get(number)?.clone(), line });
                Some(Output { text, lines: lines.into_iter().map(|place| place.and_then(origin)).collect() })
            }
            Err(error) => {
                mistakes.push(errors::render_error(self, file, &error));
                None
            }
        }
    }

    /// Conditions that ask for something that is not defined.
    pub fn lint(&self) -> Vec<Mistake> {
        let rendered = self.sources.iter().filter(|(name, _)| !self.broken.contains(**name));
        rendered.flat_map(|(name, text)| lint::conditions(name, text, &self.scope)).collect()
    }

    /// The data sets that templates asked for: the template and the name.
    pub fn asked_data(&self) -> Vec<(String, String)> {
        self.answers.asked_data()
    }

    /// Every secret value that templates got.
    pub fn secret_values(&self) -> BTreeMap<String, SecretString> {
        self.answers.given()
    }
}

/// Renders a template up to a size that no manifest has.
fn limited(tera: &Tera, file: &str, context: &tera::Context) -> tera::TeraResult<String> {
    let mut out = Limited(Vec::new());
    tera.render_to(file, context, &mut out)?;
    Ok(String::from_utf8(out.0)?)
}

/// A buffer that refuses to grow beyond [`MAX_OUTPUT`].
struct Limited(Vec<u8>);

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn compile(sources: &BTreeMap<&str, &str>, answers: &Arc<Answers>, mistakes: &mut Vec<Mistake>) -> Compiled {
    let mut compiled =
        Compiled { plain: engine(answers), marked: engine(answers), rewritten: BTreeMap::new(), names: Vec::new() };
    let mut marked = Vec::new();
    for (number, (name, source)) in sources.iter().enumerate() {
        marked.push((*name, Rewritten::new(source, Some(number)).text));
        compiled.names.push((*name).to_owned());
        compiled.rewritten.insert((*name).to_owned(), Rewritten::new(source, None));
    }
    let plain = compiled.rewritten.iter().map(|(name, rewritten)| (name.as_str(), rewritten.text.as_str()));
    // The sources compiled before they were rewritten, so this says that a rewrite went wrong, not the kit.
    if let Err(error) = compiled.plain.add_raw_templates(plain) {
        mistakes.push(mistake("template", errors::first_line(&error.to_string()), "", None));
    }
    if let Err(error) = compiled.marked.add_raw_templates(marked) {
        mistakes.push(mistake("template", errors::first_line(&error.to_string()), "", None));
    }
    compiled
}

/// Tera with our functions and filters, and without any template.
fn engine(answers: &Arc<Answers>) -> Tera {
    let mut tera = Tera::new();
    // Every expression passes our own filter, whose results are safe. With escaping on, Tera also knows blocks captured by
    // `set` and components as safe. What would still reach it is a text, and is quoted.
    tera.autoescape_on([".tera"]);
    tera.set_escape_fn(|text, out| out.write_all(quoted(text).as_bytes()));
    emit::register(&mut tera, answers);
    tera
}
