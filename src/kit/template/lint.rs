//! A lint of conditions: Tera takes an undefined name in `{% if … %}` for false, so a mistyped one is silent.

use std::collections::BTreeSet;

use super::errors::span_of;
use super::scan::{Name, PieceKind, names, scan};
use crate::kit::context::Scope;
use crate::kit::mistake;
use crate::manifest::mistake::Mistake;

/// Words of conditions that are no variables.
const WORDS: [&str; 14] =
    ["true", "false", "True", "False", "none", "None", "null", "and", "or", "not", "is", "in", "if", "else"];

/// Warnings for names in conditions that are not defined. A name that may be missing on purpose says so with
/// `is defined`, `default` or `?.`.
pub fn conditions(file: &str, source: &str, scope: &Scope) -> Vec<Mistake> {
    let pieces = scan(source);
    let mut locals = BTreeSet::new();
    let mut tests = Vec::new();
    let mut in_component = false;
    for piece in pieces.iter().filter(|piece| piece.kind == PieceKind::Statement) {
        let found = names(source, piece.inner.clone());
        let Some(keyword) = found.first().map(|name| name.segments[0].as_str()) else { continue };
        match keyword {
            "set" | "set_global" => locals.extend(found.get(1).map(|name| name.segments[0].clone())),
            "for" => {
                let before = found.iter().skip(1).take_while(|name| name.segments != ["in"]);
                locals.extend(before.map(|name| name.segments[0].clone()));
            }
            "component" => in_component = true,
            "if" | "elif" => tests.push(found),
            _ => {}
        }
    }
    let mut warnings = Vec::new();
    for test in tests {
        for name in test.iter().skip(1) {
            let root = &name.segments[0];
            let known = scope.variables.contains_key(root);
            // What a component or an included file may see is not known here, beyond the variables of every template.
            let foreign = in_component || !file.ends_with(".yaml.tera") || locals.contains(root) || root == "loop";
            if locals.contains(root)
                || (!known && foreign)
                || !is_variable(source, name)
                || may_be_missing(source, name)
            {
                continue;
            }
            let defined = scope.defined(&name.segments);
            if defined == name.segments.len() {
                continue;
            }
            let shown = name.segments[..=defined].join(".");
            let message = format!("{shown} is not defined, so this condition takes it for false");
            let span = span_of(source, name.range.start..name.ends[defined]);
            let hint = scope.suggestion(&name.segments, defined);
            warnings.push(Mistake { hint, ..mistake("undefined-condition", message, file, Some(span)) });
        }
    }
    warnings
}

/// Whether a name is a variable: no keyword, function, filter, test or argument.
fn is_variable(source: &str, name: &Name) -> bool {
    let (before, after) = (&source[name.before.clone()], &source[name.after.clone()]);
    let argument = after.starts_with('=') && !after.starts_with("==");
    let previous = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next();
    let test = matches!(previous, Some("is"))
        || (previous == Some("not") && before.trim_end_matches("not").trim_end().ends_with("is"));
    !WORDS.contains(&name.segments[0].as_str())
        && !after.starts_with('(')
        && !argument
        && !test
        && !before.ends_with('|')
        && !before.ends_with('.')
}

fn may_be_missing(source: &str, name: &Name) -> bool {
    let after = source[name.after.clone()].trim_start_matches('|').trim_start();
    let after_is = after.strip_prefix("is ").map(|rest| rest.trim_start().trim_start_matches("not ").trim_start());
    name.optional
        || source[name.after.clone()].starts_with('[')
        || after.starts_with("default")
        || after_is.is_some_and(|test| test.starts_with("defined") || test.starts_with("undefined"))
}
