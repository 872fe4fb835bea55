//! Turns Tera's errors into mistakes: the place in the template as it is written, our words, a suggestion.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use tera::{ErrorKind, ReportError};

use super::emit::{Answers, FILTERS, FUNCTIONS, UNDEFINED};
use super::scan::{self, Name};
use super::{Renderer, engine};
use crate::kit::{did_you_mean, mistake};
use crate::manifest::mistake::{Mistake, Span};

/// Compiles templates and tells every one that does not compile. Returns the names of those that cannot be rendered.
pub fn compile_errors(
    sources: &BTreeMap<&str, &str>,
    answers: &Arc<Answers>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    // One by one for syntax: an error ends a batch.
    for (name, source) in sources {
        let mut tera = engine(answers);
        if let Err(error) = tera.add_raw_template(name, source)
            && let ErrorKind::SyntaxError(report) = error.kind()
        {
            let span = span_of(source, report.span().range.clone());
            mistakes.push(mistake("template", sentence(report.message()), name, Some(span)));
            broken.insert((*name).to_owned());
        }
    }
    let components_broken = broken.iter().any(|name| !name.ends_with(".yaml.tera"));
    let empty = engine(answers);
    // Then together, for names that one file takes from another.
    loop {
        let good = sources.iter().filter(|(name, _)| !broken.contains(**name));
        let mut tera = empty.clone();
        let Err(error) = tera.add_raw_templates(good) else { return broken };
        let found = names_of_error(&error.to_string(), sources, components_broken);
        let before = broken.len();
        for (file, mistake) in found {
            broken.insert(file);
            mistakes.extend(mistake);
        }
        if broken.len() == before {
            let file = culprit(&error, sources);
            mistakes.push(mistake("template", whole(&error), &file, None));
            if !broken.insert(file.clone()) || file.is_empty() {
                // Nothing says which file it was, so none can be used.
                broken.extend(sources.keys().map(|name| (*name).to_owned()));
            }
        }
    }
}

/// Tera joins the unknown names of all templates into one text of reports; this reads them back.
fn names_of_error(
    text: &str,
    sources: &BTreeMap<&str, &str>,
    components_broken: bool,
) -> Vec<(String, Option<Mistake>)> {
    let mut found = Vec::new();
    for report in text.split("error: ").skip(1) {
        let message = report.lines().next().unwrap_or_default();
        let place = report.lines().nth(1).and_then(|line| line.split("--> ").nth(1)).unwrap_or_default();
        let mut parts = place.rsplitn(3, ':');
        let (column, line) = (parts.next().and_then(|n| n.parse().ok()), parts.next().and_then(|n| n.parse().ok()));
        let (Some(column), Some(line), Some(file)) = (column, line, parts.next()) else { continue };
        let Some(source) = sources.get(file) else { continue };
        let name = message.split('`').nth(1).unwrap_or_default();
        let what = message.strip_prefix("Unknown ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let hint = match what {
            "function" => did_you_mean(name, FUNCTIONS),
            "filter" => did_you_mean(name, FILTERS),
            "component" => did_you_mean(name, component_names(sources).iter().map(String::as_str)),
            "template" => did_you_mean(name, sources.keys().copied()),
            _ => None,
        };
        let length = name.chars().count().max(1);
        let span = Some(Span::on_line(source, line, column, length));
        let message = if what.is_empty() { sentence(message) } else { format!("there is no {what} {name}") };
        // A component whose file is broken has been told already.
        let derived = what == "component" && components_broken;
        let told = (!derived).then(|| Mistake { hint, ..mistake("undefined", message, file, span) });
        found.push((file.to_owned(), told));
    }
    found
}

fn component_names(sources: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut names = Vec::new();
    for source in sources.values() {
        for piece in scan::scan(source) {
            let code = source[piece.inner].trim();
            if let Some(rest) = code.strip_prefix("component ") {
                names.extend(rest.split(['(', ' ']).next().map(str::to_owned));
            }
        }
    }
    names
}

/// The template that an error about a whole template is about; empty when nothing says.
fn culprit(error: &tera::Error, sources: &BTreeMap<&str, &str>) -> String {
    match error.kind() {
        ErrorKind::CircularInclude { tpl: name, .. }
        | ErrorKind::CircularExtend { tpl: name, .. }
        | ErrorKind::MissingParent { current: name, .. } => name.clone(),
        _ => {
            let text = error.to_string();
            sources.keys().find(|name| text.contains(**name)).map_or_else(String::new, |name| (*name).to_owned())
        }
    }
}

/// What went wrong when a template was rendered.
pub fn render_error(renderer: &Renderer<'_>, file: &str, error: &tera::Error) -> Mistake {
    let ErrorKind::RenderingError(report) = error.kind() else {
        return mistake("template", whole(error), file, None);
    };
    let at = report.filename().to_owned();
    let Some(source) = renderer.sources.get(at.as_str()) else {
        return mistake("template", sentence(report.message()), file, None);
    };
    let mut found = explain(renderer, source, report);
    found.file = at;
    if found.file != file {
        let called = format!("called from {file}");
        found.hint = Some(found.hint.map_or(called.clone(), |hint| format!("{hint} ({called})")));
    }
    found
}

fn explain(renderer: &Renderer<'_>, source: &str, report: &ReportError) -> Mistake {
    let original = |byte: usize| {
        let rewritten = renderer.compiled.rewritten.get(report.filename());
        rewritten.map_or(byte, |rewritten| rewritten.original(byte)).min(source.len())
    };
    let range = original(report.span().range.start)..original(report.span().range.end);
    let message = report.message();
    let undefined = ["is not defined", "undefined", UNDEFINED].iter().any(|sign| message.contains(sign));
    if undefined && let Some(name) = name_at(source, range.start) {
        return undefined_name(renderer, source, &name, message);
    }
    let span = Some(span_of(source, range.clone()));
    let code = &source[range];
    let argument = || code.split(['"', '\'']).nth(1).unwrap_or_default().to_owned();
    let (kind, hint) = if message.starts_with("no environment file has images.") {
        ("unknown-image", did_you_mean(&argument(), renderer.answers.image_names()))
    } else if message.starts_with("no secret is named") {
        ("unknown-secret", did_you_mean(&argument(), renderer.secret_names.iter().map(String::as_str)))
    } else if code.starts_with("secret") && message.starts_with("the secret ") {
        ("missing-secret", None)
    } else {
        ("template", None)
    };
    Mistake { hint, ..mistake(kind, sentence(message), "", span) }
}

fn undefined_name(renderer: &Renderer<'_>, source: &str, name: &Name, message: &str) -> Mistake {
    let scope = &renderer.scope;
    let known_root = name.segments.first().is_some_and(|root| scope.variables.contains_key(root));
    let available = || message.split("Available ").nth(1).and_then(|rest| rest.split(": ").nth(1)).unwrap_or_default();
    let (depth, hint) = if known_root {
        let defined = scope.defined(&name.segments);
        (defined, scope.suggestion(&name.segments, defined))
    } else {
        // A name of a loop, a component or a `set`: only Tera knows what it holds.
        let missing = message.split('`').nth(1).unwrap_or_default();
        let depth = name.segments.iter().position(|segment| segment == missing).unwrap_or(name.segments.len() - 1);
        let known: Vec<&str> = available().split(", ").filter(|name| !name.is_empty()).collect();
        let known =
            if depth == 0 && known.is_empty() { scope.variables.keys().map(String::as_str).collect() } else { known };
        (depth, did_you_mean(missing, known))
    };
    let last = depth.min(name.segments.len() - 1);
    let shown = name.segments[..=last].join(".");
    let span = span_of(source, name.range.start..name.ends[last]);
    Mistake { hint, ..mistake("undefined", format!("{shown} is not defined"), "", Some(span)) }
}

/// The name that covers a byte of the source.
fn name_at(source: &str, byte: usize) -> Option<Name> {
    let piece = scan::scan(source).into_iter().find(|piece| piece.range.contains(&byte))?;
    scan::names(source, piece.inner).into_iter().find(|name| name.range.start <= byte && byte < name.range.end)
}

/// A span of bytes, cut at the end of its first line.
pub fn span_of(source: &str, range: Range<usize>) -> Span {
    let mut start = range.start.min(source.len());
    while !source.is_char_boundary(start) {
        start -= 1;
    }
    let line_start = source[..start].rfind('\n').map_or(0, |end| end + 1);
    let line = 1 + source[..start].matches('\n').count();
    let column = 1 + source[line_start..start].chars().count();
    let length = source.get(start..range.end).map_or(1, |text| text.lines().next().unwrap_or_default().chars().count());
    Span::on_line(source, line, column, length)
}

/// An error that is about a template as a whole.
fn whole(error: &tera::Error) -> String {
    match error.kind() {
        ErrorKind::CircularInclude { include_chain: chain, .. } => format!("includes itself: {}", chain.join(" → ")),
        ErrorKind::CircularExtend { inheritance_chain: chain, .. } => format!("extends itself: {}", chain.join(" → ")),
        ErrorKind::MissingParent { parent, .. } => format!("extends {parent}, which is no template"),
        ErrorKind::Io(_) => format!("renders to more than {} MiB", super::MAX_OUTPUT / 1024 / 1024),
        _ => sentence(&first_line(&error.to_string())),
    }
}

/// The first line of a text, without `error: `.
pub fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// A message in our manner: begins small, no backticks, no full stop.
fn sentence(message: &str) -> String {
    let message = message.split(" Available ").next().unwrap_or_default().replace('`', "");
    let message = message.trim_end_matches('.');
    let mut letters = message.chars();
    let Some(first) = letters.next() else { return String::new() };
    // A word in capitals stays as it is.
    let keep = letters.clone().next().is_some_and(char::is_uppercase);
    if keep { message.to_owned() } else { first.to_lowercase().chain(letters).collect() }
}
