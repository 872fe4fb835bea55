//! The forms in which a secret value can turn up in text: escaped by some format, or inside base64.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter forms would match by accident all over a text.
pub(super) const SHORTEST: usize = 4;

/// Lines of a multi-line value that are at least this long are secrets of their own.
const SHORTEST_LINE: usize = 8;

/// Longer values are not looked for in base64 inside base64: the automaton would grow for nothing.
const LONGEST_NESTED: usize = 2048;

/// How many base64 characters beside a match still carry bits of the secret, because base64 mixes neighbouring bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Margin {
    pub(super) left: usize,
    pub(super) right: usize,
}

/// The largest margin that occurs.
pub(super) const WIDEST_MARGIN: usize = 5;

/// All texts to look for in order to find `value`, with their margins.
pub(super) fn forms(value: &str) -> BTreeMap<String, Margin> {
    let mut forms = BTreeMap::new();
    let body = value.trim_end_matches(['\r', '\n']);
    add_value(&mut forms, body);
    if body.trim() != body {
        add_value(&mut forms, body.trim());
    }
    if body.contains('\n') {
        for line in body.lines().map(str::trim) {
            // The frame of a PEM file is no secret, and a text may well name it.
            if line.chars().count() >= SHORTEST_LINE && !line.starts_with("-----") {
                add_value(&mut forms, line);
            }
        }
    }
    forms
}

fn add_value(forms: &mut BTreeMap<String, Margin>, value: &str) {
    let mut add = |form: String, margin: Margin| {
        if form.len() >= SHORTEST {
            let known = forms.entry(form).or_default();
            known.left = known.left.max(margin.left);
            known.right = known.right.max(margin.right);
        }
    };
    if value.len() < SHORTEST {
        return;
    }
    let hex: String = value.bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    add(hex.to_uppercase(), Margin::default());
    add(hex, Margin::default());
    let mut texts = escaped(value);
    texts.sort_unstable();
    texts.dedup();
    for text in texts {
        let nested = text.len() <= LONGEST_NESTED;
        for (inner, margin) in cores(&text) {
            if nested && inner.len() >= SHORTEST {
                for (outer, edge) in cores(&inner) {
                    // A character of the inner text is at most two of the outer one.
                    let widen = |inner: usize, outer: usize| outer + if inner > 0 { 2 } else { 0 };
                    let margin = Margin { left: widen(margin.left, edge.left), right: widen(margin.right, edge.right) };
                    add(outer, margin);
                }
            }
            add(inner, margin);
        }
        add(text, Margin::default());
    }
}

/// The characters of base64 that depend on `text` alone, wherever it stands in a longer encoded text: for each of the
/// three alignments, in both alphabets.
fn cores(text: &str) -> Vec<(String, Margin)> {
    let mut found = Vec::with_capacity(6);
    for offset in 0..3 {
        let mut bytes = vec![0; offset];
        bytes.extend_from_slice(text.as_bytes());
        let start = [0, 2, 3][offset];
        let partial = usize::from(bytes.len() % 3 != 0);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&bytes);
            if let Some(core) = encoded.get(start..encoded.len() - partial) {
                let form = (core.to_owned(), Margin { left: usize::from(offset > 0), right: partial });
                if !found.contains(&form) {
                    found.push(form);
                }
            }
        }
    }
    found
}

/// The value as different formats write it inside a longer text, without the surrounding quotes.
fn escaped(value: &str) -> Vec<String> {
    let json = json(value);
    let mut texts = vec![value.to_owned(), json_for_html(&json), self::json(&json), json.replace('/', "\\/")];
    texts.push(self::json(&json_for_html(&json)));
    texts.push(json);
    texts.push(value.escape_debug().to_string());
    texts.push(value.escape_default().to_string());
    // YAML and SQL single quotes; shell single quotes, two ways.
    texts.extend(["''", r"'\''", r#"'"'"'"#].map(|quote| value.replace('\'', quote)));
    // Shell double quotes, shell words (`printf %q`), libpq connection strings.
    texts.push(backslashed(value, |c| matches!(c, '"' | '$' | '`' | '\\')));
    texts.push(backslashed(value, |c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"_-./:@%+,=".contains(c)));
    texts.push(backslashed(value, |c| matches!(c, '\'' | '\\')));
    for kept in ["-._~", "-._~!$&'()*+,;=", "-._~!$&'()*+,;=:@/?", "-_.!~*'()"] {
        let upper = percent(value, kept, "%20", true);
        texts.push(percent(value, kept, "%20", false));
        texts.push(percent(value, kept, "+", true));
        texts.push(upper);
    }
    for apostrophe in ["'", "&#39;", "&#x27;", "&apos;"] {
        let html = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', apostrophe);
        texts.push(html.replace('"', "&#34;"));
        texts.push(html.replace('"', "&quot;"));
        texts.push(html);
    }
    if value.contains('\n') {
        texts.push(value.replace('\n', "\r\n"));
    }
    texts
}

/// JSON, without the quotes.
fn json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// JSON as Go's encoder writes it, and so the API server.
fn json_for_html(json: &str) -> String {
    [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")]
        .into_iter()
        .fold(json.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn backslashed(value: &str, special: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if special(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

fn percent(value: &str, kept: &str, space: &str, upper: bool) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || kept.contains(c) && c.is_ascii() {
            text.push(c);
        } else if c == ' ' {
            text.push_str(space);
        } else if upper {
            let _ = write!(text, "%{byte:02X}");
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}
