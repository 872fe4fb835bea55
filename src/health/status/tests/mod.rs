//! Tables: situation → verdict. Objects are written as YAML in flow style.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[rustfmt::skip] // A row is a line, however long.
mod pods;
mod properties;
#[rustfmt::skip] // A row is a line, however long.
mod rest;
#[rustfmt::skip] // A row is a line, however long.
mod workloads;

use serde_json::{Value, json};

use super::{Cause, Related, Status, status};

/// Kind, situation, the rest of the object, verdict, part of the reason (empty: the reason is empty; `*`: any).
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// An object from `apiVersion Kind` and its other fields; it is called `it` unless they say otherwise.
fn object(kind: &str, fields: &str) -> Value {
    let (version, kind) = kind.split_once(' ').unwrap_or(("v1", kind));
    let mut object: Value = serde_saphyr::from_str(fields).unwrap_or_else(|error| panic!("{fields}: {error}"));
    let map = object.as_object_mut().expect("a mapping");
    map.insert("apiVersion".into(), version.into());
    map.insert("kind".into(), kind.into());
    let metadata = map.entry("metadata").or_insert_with(|| json!({})).as_object_mut().expect("a mapping");
    metadata.entry("name").or_insert_with(|| "it".into());
    object
}

/// The verdict in a word that tells all five apart, with the cause.
fn word(status: &Status) -> &'static str {
    match status {
        Status::Ready { .. } => "ready",
        Status::Progressing { .. } => "progressing",
        Status::Failed { .. } => "failed",
        Status::Terminating { .. } => "terminating",
        Status::Failing { cause, .. } => match cause {
            Cause::Pull => "pull",
            Cause::Crash => "crash",
            Cause::Config => "config",
            Cause::Unschedulable => "unschedulable",
            Cause::Refused => "refused",
        },
    }
}

fn check_row(row: &Row, found: &Status) {
    let (kind, situation, _, expected, reason) = row;
    let told = found.reason();
    assert_eq!(word(found), *expected, "{kind}, {situation}: {told}");
    match *reason {
        "*" => {}
        "" => assert_eq!(told, "", "{kind}, {situation}"),
        part => assert!(told.contains(part), "{kind}, {situation}: {told:?} has no {part:?}"),
    }
    let clean = !told.ends_with('.') && !told.contains('\n') && !told.contains("  ") && told.trim() == told;
    assert!(clean, "{kind}, {situation}: {told:?} is no clean sentence");
    assert!(expected == &"ready" || !told.is_empty(), "{kind}, {situation}: no reason");
}

fn check(rows: &[Row]) {
    for row in rows {
        check_row(row, &status(&object(row.0, row.2), Related::default()));
    }
}
