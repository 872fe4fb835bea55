//! Writing a pin into the text of an environment file: everything else stays as it is, comments and line ends included.

use serde_json::{Value, json};

use crate::manifest::yaml::{Key, Node, NodeKind, Place, parse_node, quoted};

/// The text of an environment file with `cluster.uid` set, and `cluster.ca` where it is stated and another one is known
/// now. The result is read again and compared: nothing else in it may mean anything else.
///
/// # Errors
/// Why the text cannot be changed safely, as a fragment.
pub fn with_pin(text: &str, uid: &str, ca: Option<&str>) -> Result<String, String> {
    let mut edited = set(text, "uid", uid)?;
    let states_ca = read(&edited)?.pointer("/cluster/ca").is_some_and(Value::is_string);
    if let Some(ca) = ca.filter(|_| states_ca) {
        edited = set(&edited, "ca", ca)?;
    }
    let mut wanted = read(text)?;
    if !wanted["cluster"].is_object() {
        wanted["cluster"] = json!({});
    }
    wanted["cluster"]["uid"] = uid.into();
    if let Some(ca) = ca.filter(|_| states_ca) {
        wanted["cluster"]["ca"] = ca.into();
    }
    if read(&edited)? == wanted { Ok(edited) } else { Err("its form is too unusual to be changed safely".into()) }
}

fn read(text: &str) -> Result<Value, String> {
    let node = parse_node(text).map_err(|error| error.message)?;
    let value = node.map_or_else(|| json!({}), |node| node.to_value());
    if value.is_object() { Ok(value) } else { Err("it is not a mapping".into()) }
}

/// Sets one key of `cluster`.
fn set(text: &str, key: &str, value: &str) -> Result<String, String> {
    let value = &scalar(value);
    let entry = format!("{key}: {value}");
    let root = parse_node(text).map_err(|error| error.message)?;
    let entries = root.as_ref().and_then(Node::as_map).unwrap_or_default();
    let Some((cluster, settings)) = entries.iter().find(|(key, _)| key.text == "cluster") else {
        return Ok(match entries.first() {
            Some((first, _)) if opens_flow(text, first.place) => {
                before(text, first.place, &format!("cluster: {{{entry}}}, "))
            }
            _ => append(text, &format!("cluster:\n  {entry}\n")),
        });
    };
    let block = |key: &Key| !opens_flow(text, key.place);
    Ok(match &settings.kind {
        NodeKind::Map(known) => {
            match (known.iter().find(|(known, _)| known.text == key), known.first(), known.last()) {
                (Some((at, Node { kind: NodeKind::Null, .. })), ..) => after_key(text, at.place, value),
                (Some((_, old)), ..) => replace(text, old.place, value),
                (None, Some((first, _)), Some((_, last))) if block(first) && first.place.line > cluster.place.line => {
                    let indent = " ".repeat(first.place.column.saturating_sub(1));
                    below(text, last.place.line.max(first.place.line), &format!("{indent}{entry}"))
                }
                (None, Some((first, _)), _) => before(text, first.place, &format!("{entry}, ")),
                (None, None, _) => after_key(text, cluster.place, &format!("{{{entry}}}")),
            }
        }
        NodeKind::Null => after_key(text, cluster.place, &format!("{{{entry}}}")),
        _ => return Err(format!("cluster is {} there", settings.describe())),
    })
}

/// A text as YAML; a UUID needs no quotes.
fn scalar(text: &str) -> String {
    let dashes = text.char_indices().filter(|(_, letter)| *letter == '-').map(|(at, _)| at);
    let uuid = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if uuid && dashes.eq([8, 13, 18, 23]) { text.to_owned() } else { quoted(text) }
}

/// Whether a key is the first one of a mapping in braces.
fn opens_flow(text: &str, place: Place) -> bool {
    let before = &text[..offset(text, place)];
    before.trim_end().ends_with('{')
}

/// Where in a text a place is, in bytes.
fn offset(text: &str, place: Place) -> usize {
    let line = start_of(text, place.line);
    let rest = &text[line..];
    let within = rest.char_indices().nth(place.column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    line + within
}

/// Where a line begins, in bytes; the text's end for one behind the last.
fn start_of(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
}

fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn spliced(text: &str, from: usize, to: usize, piece: &str) -> String {
    format!("{}{piece}{}", &text[..from], &text[to..])
}

fn before(text: &str, place: Place, piece: &str) -> String {
    let at = offset(text, place);
    spliced(text, at, at, piece)
}

/// Replaces a scalar on its line.
fn replace(text: &str, place: Place, piece: &str) -> String {
    let from = offset(text, place);
    let length: usize = text[from..].chars().take(place.length).map(char::len_utf8).sum();
    // What the reader counts as a scalar may hold the blanks behind it.
    let old = text[from..from + length].trim_end();
    spliced(text, from, from + old.len(), piece)
}

/// Writes the value of a key that has none, or an empty one: whatever stands between the colon and the next comment, comma
/// or brace goes.
fn after_key(text: &str, place: Place, piece: &str) -> String {
    let from = offset(text, place);
    let line = text[from..].find(['\n', '\r']).map_or(text.len(), |end| from + end);
    let Some(colon) = text[from..line].find(':').map(|colon| from + colon + 1) else { return text.to_owned() };
    let rest = &text[colon..line];
    let value = rest.trim_start();
    let old = match value {
        _ if value.starts_with("{}") => 2,
        _ if value.starts_with('{') => value.find('}').map_or(value.len(), |end| end + 1),
        _ => value.find([' ', '\t', ',', '}', '#']).unwrap_or(value.len()),
    };
    let from = colon + rest.len() - value.len();
    let behind = &text[from + old..];
    let gap = if behind.starts_with('#') { " " } else { "" };
    format!("{} {piece}{gap}{behind}", &text[..colon])
}

fn below(text: &str, line: usize, piece: &str) -> String {
    let (at, end) = (start_of(text, line + 1), line_end(text));
    let broken = at > 0 && !text[..at].ends_with('\n');
    let lead = if broken { end } else { "" };
    spliced(text, at, at, &format!("{lead}{piece}{end}"))
}

fn append(text: &str, piece: &str) -> String {
    let end = line_end(text);
    let lead = if text.is_empty() || text.ends_with('\n') { "" } else { end };
    format!("{text}{lead}{}", piece.replace('\n', end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "1f0c6e1a-0000-4000-8000-000000000001";

    #[track_caller]
    fn pinned(before: &str, after: &str) {
        let after = after.replace("UID", UID);
        assert_eq!(with_pin(before, UID, Some("bb")).as_deref(), Ok(after.as_str()), "{before:?}");
        assert_eq!(with_pin(&after, UID, Some("bb")).as_deref(), Ok(after.as_str()), "a second time nothing changes");
    }

    #[test]
    fn a_pin_is_added_where_there_is_none() {
        pinned("", "cluster:\n  uid: UID\n");
        pinned("# only this\n", "# only this\ncluster:\n  uid: UID\n");
        pinned("namespace: a # why\n", "namespace: a # why\ncluster:\n  uid: UID\n");
        pinned("namespace: a", "namespace: a\ncluster:\n  uid: UID\n");
        pinned("namespace: a\r\n", "namespace: a\r\ncluster:\r\n  uid: UID\r\n");
        pinned("{namespace: a}\n", "{cluster: {uid: UID}, namespace: a}\n");
        pinned("# ä\n{ namespace: ä }\n", "# ä\n{ cluster: {uid: UID}, namespace: ä }\n");
    }

    #[test]
    fn a_pin_goes_into_what_is_said_of_the_cluster() {
        pinned("cluster:\nvalues: {a: 1}\n", "cluster: {uid: UID}\nvalues: {a: 1}\n");
        pinned("cluster: # later\nvalues: {}\n", "cluster: {uid: UID} # later\nvalues: {}\n");
        pinned("cluster: null # none\n", "cluster: {uid: UID} # none\n");
        pinned("cluster: ~\n", "cluster: {uid: UID}\n");
        pinned("cluster: {}\n", "cluster: {uid: UID}\n");
        pinned("cluster: { } # none\n", "cluster: {uid: UID} # none\n");
        pinned("cluster: {context: c}\n", "cluster: {uid: UID, context: c}\n");
        pinned("cluster: {context: c, uid: }\n", "cluster: {context: c, uid: UID}\n");
        pinned(
            "cluster:\n  # a hint\n  context: c # here\nvalues: {a: 1}\n",
            "cluster:\n  # a hint\n  context: c # here\n  uid: UID\nvalues: {a: 1}\n",
        );
        pinned("a:\n- 1\ncluster:\n    context: c", "a:\n- 1\ncluster:\n    context: c\n    uid: UID\n");
    }

    #[test]
    fn a_pin_is_replaced() {
        pinned(
            "cluster:\n  uid: old # the old one\n  context: c\n",
            "cluster:\n  uid: UID # the old one\n  context: c\n",
        );
        pinned("cluster:\n  uid: \"old\"\n", "cluster:\n  uid: UID\n");
        pinned("cluster:\n  uid: 'old'   # x\n", "cluster:\n  uid: UID   # x\n");
        pinned("cluster:\n  uid:\n  context: c\n", "cluster:\n  uid: UID\n  context: c\n");
        pinned("cluster:\n  uid: ~\n", "cluster:\n  uid: UID\n");
        pinned("cluster: {context: c, uid: old}\n", "cluster: {context: c, uid: UID}\n");
        pinned("{namespace: a, cluster: {uid: old}}\n", "{namespace: a, cluster: {uid: UID}}\n");
        pinned("cluster: {uid: old, ca: aa}\n", "cluster: {uid: UID, ca: \"bb\"}\n");
        pinned("cluster:\n  ca: aa\n", "cluster:\n  ca: \"bb\"\n  uid: UID\n");
    }

    #[test]
    fn what_cannot_be_changed_safely_is_left() {
        for text in [
            "cluster: c\n",
            "- a\n",
            "a: {\n",
            "x: &x {context: c}\ncluster: *x\n",
            "namespace: a\n...\n",
            "cluster:\n  uid: |\n    old\n",
        ] {
            if let Ok(edited) = with_pin(text, UID, None) {
                // Then it means what it should.
                assert_eq!(read(&edited).unwrap()["cluster"]["uid"], UID, "{text:?} became {edited:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_nothing_else_changes(text in "[a-c:{}\\[\\],#~ \n\"'&*é-]{0,40}|(cluster:|uid: x|  uid: 'y'|\n|  |\\{|\\}|# c|context: c){0,12}") {
            if let Ok(edited) = with_pin(&text, UID, None) {
                let (mut before, after) = (read(&text).unwrap(), read(&edited).unwrap());
                if !before["cluster"].is_object() {
                    before["cluster"] = json!({});
                }
                before["cluster"]["uid"] = UID.into();
                prop_assert_eq!(before, after);
                for comment in text.lines().filter_map(|line| line.strip_prefix('#')) {
                    prop_assert!(edited.contains(comment));
                }
            }
        }
    }
}
