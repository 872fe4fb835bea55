//! `rekindle health`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::settings::Context;
use super::{CliError, Exit, input};
use crate::health::input::objects_in;
use crate::health::review::review;
use crate::health::status::Status;
use crate::manifest::mistake::{Mistake, Mistakes};
use crate::report::sanitize::clean;
use crate::report::text::{Line, Tone};

/// Subjects longer than this do not push the reasons of all others to the right.
const WIDEST_SUBJECT: usize = 60;

/// Arguments of `health`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  kubectl get all -o yaml | rekindle health -
  rekindle health dump.yaml more.json -o json

The objects of all files are judged together: a workload with its pods, a claim
with its StorageClass, a custom resource with its CustomResourceDefinition.
Exit code 0 when everything is ready, 7 when something is not.")]
pub struct HealthArgs {
    /// Files of objects in YAML or JSON, lists too; - is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(context: &mut Context, args: &HealthArgs) -> Result<Exit, CliError> {
    if args.files.is_empty() {
        return Err(CliError::new(Exit::Usage, "no file was given")
            .hint("objects from standard input:  kubectl get all -o yaml | rekindle health -")
            .hint("or from files:                rekindle health FILE…"));
    }
    if args.files.iter().filter(|file| input::is_stdin(file)).count() > 1 {
        return Err(CliError::new(Exit::Usage, "standard input (-) can be read only once"));
    }
    let mut objects = Vec::new();
    let mut mistakes = Vec::new();
    for (name, bytes) in read(&args.files)? {
        match String::from_utf8(bytes) {
            Ok(text) => {
                let (found, wrong) = objects_in(&text, &name);
                objects.extend(found);
                mistakes.extend(wrong);
            }
            Err(_) => mistakes.push(Mistake {
                code: "encoding",
                message: "is not text in UTF-8".into(),
                file: name,
                span: None,
                hint: None,
            }),
        }
    }
    let verdicts = review(&objects);
    if context.json() {
        for (object, verdict) in objects.iter().zip(&verdicts) {
            context.ui.out(&as_json(object, verdict).to_string());
        }
    } else {
        context.ui.out_lines(&as_lines(&objects, &verdicts));
    }
    if !mistakes.is_empty() {
        let mut error = CliError::from(Mistakes(mistakes));
        error.message = match error.mistakes.len() {
            1 => "1 mistake in the input".into(),
            many => format!("{many} mistakes in the input"),
        };
        return Err(error);
    }
    Ok(if verdicts.iter().all(Status::is_ready) { Exit::Done } else { Exit::Unhealthy })
}

/// The bytes of every file, with the name it has in messages.
fn read(files: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let mut read = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        let name = input::name(file);
        match input::read(file) {
            Ok(bytes) => read.push((name, bytes)),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    if problems.is_empty() {
        return Ok(read);
    }
    let message = if problems.len() == 1 { "a file cannot be read" } else { "some files cannot be read" };
    let mut error = CliError::new(Exit::Usage, message);
    error.details = problems;
    Err(error)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn as_json(object: &Value, verdict: &Status) -> Value {
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    json!({
        "kind": text(object, "/kind"),
        "apiVersion": text(object, "/apiVersion"),
        "namespace": namespace,
        "name": text(object, "/metadata/name"),
        "status": verdict.to_string(),
        "reason": verdict.reason(),
    })
}

/// A verdict a line, in columns: verdict, object, reason. Namespaces are shown where the objects are in several.
fn as_lines(objects: &[Value], verdicts: &[Status]) -> Vec<Line> {
    let namespace = |object: &Value| clean(text(object, "/metadata/namespace"));
    let mut namespaces: Vec<String> = objects.iter().map(namespace).filter(|name| !name.is_empty()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let subjects: Vec<String> = objects
        .iter()
        .map(|object| {
            let subject = format!("{}/{}", clean(text(object, "/kind")), clean(text(object, "/metadata/name")));
            match namespace(object) {
                namespace if namespaces.len() < 2 || namespace.is_empty() => subject,
                namespace => format!("{subject} -n {namespace}"),
            }
        })
        .collect();
    let lengths = subjects.iter().map(|subject| subject.chars().count());
    let width = lengths.filter(|length| *length <= WIDEST_SUBJECT).max().unwrap_or_default();
    subjects
        .into_iter()
        .zip(verdicts)
        .map(|(subject, verdict)| {
            let tone = match verdict {
                Status::Ready { .. } => Tone::Good,
                Status::Progressing { .. } | Status::Terminating { .. } => Tone::Warn,
                Status::Failing { .. } | Status::Failed { .. } => Tone::Bad,
            };
            let line = Line::new().with(tone, format!("{verdict:<11}")).and("  ").and(format!("{subject:<width$}"));
            if verdict.reason().is_empty() { line } else { line.and("  ").and(clean(verdict.reason())) }
        })
        .collect()
}
