//! Redaction by value: the last thing that happens to text before it leaves the process.
//!
//! A value is found as it is and as formats write it: escaped (JSON, YAML, shell, percent, HTML), in hex, and in base64
//! of both alphabets at any alignment, so also inside a longer encoded text such as a whole `.dockerconfigjson`, up to
//! base64 within base64. Of a multi-line value every line of 8 characters or more counts as well. Overlapping finds are
//! replaced together, so that no piece of either is left.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::AhoCorasick;
use serde_json::Value;

use super::forms::{Margin, SHORTEST, WIDEST_MARGIN, forms};

/// What stands where a secret stood.
pub const REPLACEMENT: &str = "•••";

/// Replaces known secret values, plain and in their encoded forms. A clone is another handle on the same values: what
/// one learns, all know.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    patterns: BTreeMap<Vec<u8>, Margin>,
    /// Longest pattern in bytes.
    longest: usize,
    finder: Option<Arc<Finder>>,
}

/// The automaton, with the margin of each of its patterns. `None` when it could not be built.
struct Finder {
    automaton: Option<AhoCorasick>,
    margins: Vec<Margin>,
}

impl Redactor {
    /// Adds a secret value. Values shorter than 4 bytes are ignored: they would blot out ordinary text (and are refused
    /// where secrets are loaded).
    pub fn add(&self, value: &str) {
        if value.len() < SHORTEST {
            return;
        }
        let forms = forms(value);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (form, margin) in forms {
            known.longest = known.longest.max(form.len());
            let entry = known.patterns.entry(form.into_bytes()).or_default();
            entry.left = entry.left.max(margin.left);
            entry.right = entry.right.max(margin.right);
        }
        known.finder = None;
    }

    /// The text with every known value replaced by [`REPLACEMENT`]. Linear in the length of the text.
    pub fn redact(&self, text: &str) -> String {
        match self.finder() {
            None => text.to_owned(),
            // Patterns are whole characters, so replacing them in UTF-8 leaves UTF-8.
            Some(finder) => String::from_utf8_lossy(&finder.redact(text.as_bytes())).into_owned(),
        }
    }

    /// Like [`Redactor::redact`], for bytes of any kind.
    pub fn redact_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.finder().map_or_else(|| bytes.to_vec(), |finder| finder.redact(bytes))
    }

    /// Replaces known values in every text of a JSON value, keys included. Numbers that are a secret become texts. To be
    /// used before a value is written as JSON: replacing in the written text could hit an escape sequence.
    pub fn redact_json(&self, value: &mut Value) {
        let Some(finder) = self.finder() else { return };
        finder.redact_json(value);
    }

    /// A writer that redacts what is written to it, even when a secret comes in pieces.
    pub fn writer<W: Write>(&self, inner: W) -> RedactingWriter<W> {
        RedactingWriter { redactor: self.clone(), inner, held: Vec::new() }
    }

    fn finder(&self) -> Option<Arc<Finder>> {
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.patterns.is_empty() {
                return None;
            }
            if let Some(finder) = &known.finder {
                return Some(finder.clone());
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let finder = Arc::new(Finder {
            automaton: AhoCorasick::new(known.patterns.keys()).ok(),
            margins: known.patterns.values().copied().collect(),
        });
        known.finder = Some(finder.clone());
        Some(finder)
    }

    /// Bytes at the end of `bytes` that may be the beginning of a secret, or the edge of one.
    fn unfinished(&self, bytes: &[u8]) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let first = bytes.len().saturating_sub(known.longest);
        (first..bytes.len())
            .find(|&start| {
                let end = &bytes[start..];
                known.patterns.range(end.to_vec()..).next().is_some_and(|(pattern, _)| pattern.starts_with(end))
            })
            .map_or(0, |start| bytes.len() - start)
            .saturating_add(WIDEST_MARGIN)
            .min(bytes.len())
    }
}

impl Finder {
    /// Where secrets stand: sorted, neither overlapping nor touching.
    fn spans(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let Some(automaton) = &self.automaton else { return vec![(0, bytes.len())] };
        let mut spans: Vec<(usize, usize)> = automaton
            .find_overlapping_iter(bytes)
            .map(|found| {
                let margin = self.margins[found.pattern().as_usize()];
                (widen_left(bytes, found.start(), margin.left), widen_right(bytes, found.end(), margin.right))
            })
            .collect();
        spans.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (start, end) in spans {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }

    fn redact(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, &self.spans(bytes))
    }

    fn redact_json(&self, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let text = number.to_string();
                if !self.spans(text.as_bytes()).is_empty() {
                    *value = Value::from(self.redact_text(&text));
                }
            }
            Value::String(text) => {
                if !self.spans(text.as_bytes()).is_empty() {
                    *text = self.redact_text(text);
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(map) => {
                if map.keys().any(|key| !self.spans(key.as_bytes()).is_empty()) {
                    *map = std::mem::take(map).into_iter().map(|(key, v)| (self.redact_text(&key), v)).collect();
                }
                map.values_mut().for_each(|item| self.redact_json(item));
            }
        }
    }

    fn redact_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.redact(text.as_bytes())).into_owned()
    }
}

fn replace(bytes: &[u8], spans: &[(usize, usize)]) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut position = 0;
    for &(start, end) in spans {
        result.extend_from_slice(&bytes[position..start]);
        result.extend_from_slice(REPLACEMENT.as_bytes());
        position = end;
    }
    result.extend_from_slice(&bytes[position..]);
    result
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn widen_left(bytes: &[u8], start: usize, margin: usize) -> usize {
    let edge = bytes[..start].iter().rev().take(margin).take_while(|byte| is_base64(**byte)).count();
    start - edge
}

fn widen_right(bytes: &[u8], end: usize, margin: usize) -> usize {
    let edge = bytes[end..].iter().take(margin).take_while(|byte| is_base64(**byte)).count();
    let padding = match edge {
        0 => 0,
        _ => bytes[end + edge..].iter().take(2).take_while(|byte| **byte == b'=').count(),
    };
    end + edge + padding
}

/// Redacts a stream: holds back what may be the beginning of a secret until it is clear. [`RedactingWriter::finish`] (or
/// dropping it) writes the rest; `flush` only passes on what is already clear.
pub struct RedactingWriter<W: Write> {
    redactor: Redactor,
    inner: W,
    held: Vec<u8>,
}

impl<W: Write> RedactingWriter<W> {
    /// Writes what was held back.
    ///
    /// # Errors
    /// What the inner writer fails with.
    pub fn finish(mut self) -> io::Result<()> {
        self.write_rest()
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let rest = self.redactor.redact_bytes(&std::mem::take(&mut self.held));
        self.inner.write_all(&rest)?;
        self.inner.flush()
    }
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        let Some(finder) = self.redactor.finder() else {
            self.inner.write_all(&std::mem::take(&mut self.held))?;
            return Ok(bytes.len());
        };
        let mut clear = self.held.len() - self.redactor.unfinished(&self.held);
        let spans = finder.spans(&self.held);
        // A secret that reaches into the unclear end, or that more of its own edge may follow, waits with it.
        if let Some(&(start, _)) = spans.iter().find(|(start, end)| *start < clear && clear <= *end) {
            clear = start;
        }
        let done = spans.partition_point(|(_, end)| *end <= clear);
        self.inner.write_all(&replace(&self.held[..clear], &spans[..done]))?;
        self.held.drain(..clear);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for RedactingWriter<W> {
    fn drop(&mut self) {
        let _ = self.write_rest();
    }
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
