//! Writes YAML that every reader understands the same way.

use serde_json::Value;

/// Writes data as YAML that every reader understands the same way: texts that look like something else to a YAML 1.1
/// or 1.2 reader are quoted, texts of several lines are literal blocks. Ends with a line end.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_block(&mut out, value, 0);
    out
}

fn write_block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (number, (key, value)) in map.iter().enumerate() {
                if number > 0 {
                    pad(out, indent);
                }
                write_scalar_text(out, key, true);
                out.push(':');
                write_after_key(out, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                write_block(out, item, indent + 2);
            }
        }
        Value::String(text) if is_literal(text) => write_literal(out, text, indent),
        scalar => {
            write_flow(out, scalar);
            out.push('\n');
        }
    }
}

fn write_after_key(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            write_block(out, value, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(out, indent);
            write_block(out, value, indent);
        }
        Value::String(text) if is_literal(text) => {
            out.push(' ');
            write_literal(out, text, indent + 2);
        }
        scalar => {
            out.push(' ');
            write_flow(out, scalar);
            out.push('\n');
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Empty collections and scalars.
fn write_flow(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_scalar_text(out, text, false),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a text of several lines can be a literal block without any escapes or indentation hints.
fn is_literal(text: &str) -> bool {
    let plain = |letter: char| letter == '\n' || (!letter.is_control() && !is_odd(letter));
    text.trim_end_matches('\n').contains('\n')
        && text.chars().all(plain)
        && !text.starts_with([' ', '\n'])
        && text.lines().all(|line| !line.ends_with(' '))
}

/// Characters that YAML readers treat as line ends or refuse.
fn is_odd(letter: char) -> bool {
    matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn write_literal(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    out.push_str(match ends {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    out.push('\n');
    // At the top level a literal block still needs some indentation.
    let indent = indent.max(2);
    for line in body.split('\n') {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

fn write_scalar_text(out: &mut String, text: &str, key: bool) {
    if is_plain(text) && (!key || text.len() < 1000) {
        out.push_str(text);
    } else {
        out.push_str(&quoted(text));
    }
}

/// A text as a JSON string, which is also a YAML double-quoted scalar.
pub fn quoted(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    let escape = |letter: char| letter.is_control() || is_odd(letter);
    if !json.contains(escape) {
        return json;
    }
    json.chars().map(|l| if escape(l) { format!("\\u{:04x}", u32::from(l)) } else { l.to_string() }).collect()
}

/// Whether a text is a text to every reader without quotes. Conservative: letters, digits and harmless signs, not
/// beginning like a number and not a word that some reader knows.
fn is_plain(text: &str) -> bool {
    let first = |letter: char| letter.is_ascii_alphabetic() || letter == '/' || letter == '_';
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "/_-.+@ ,=()$;".contains(letter);
    let mut letters = text.chars().peekable();
    if !letters.peek().copied().is_some_and(first) || text.ends_with(' ') || text.contains(", ") {
        return false;
    }
    while let Some(letter) = letters.next() {
        let colon = letter == ':' && letters.peek().is_some_and(|next| !next.is_whitespace() && *next != ':');
        if !inside(letter) && !colon {
            return false;
        }
    }
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan", "infinity", "_", "nil"];
    !WORDS.contains(&text.to_ascii_lowercase().as_str())
}
