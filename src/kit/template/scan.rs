//! Cuts a template into text, expressions, statements and comments, without understanding them.
//!
//! Tera keeps its syntax tree to itself. Three things need to know a little of it: output that is always YAML-safe, the
//! mapping from rendered lines back to template lines, and the lint of conditions. All of them work on these pieces.

use std::ops::Range;

/// A piece of a template; together the pieces cover it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// Bytes of the whole piece, delimiters included.
    pub range: Range<usize>,
    /// Bytes between the delimiters and their whitespace marks; for text the same as `range`.
    pub inner: Range<usize>,
    /// Whether it trims the whitespace before it: `{{-`.
    pub trims: bool,
}

/// The kinds of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Text that is copied, the inside of `raw` blocks included.
    Text,
    /// `{{ … }}`
    Expression,
    /// `{% … %}`
    Statement,
    /// `{# … #}`
    Comment,
}

/// Cuts a template. What never ends (an unclosed `{{`) is one piece to the end; Tera has refused such a template before.
pub fn scan(source: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut raw = false;
    while at < source.len() {
        let open = next_open(source, at, raw);
        let start = open.map_or(source.len(), |(start, _)| start);
        if start > at {
            pieces.push(Piece { kind: PieceKind::Text, range: at..start, inner: at..start, trims: false });
        }
        let Some((start, kind)) = open else { break };
        let piece = piece(source, start, kind);
        if kind == PieceKind::Statement {
            match source[piece.inner.clone()].trim() {
                "raw" => raw = true,
                "endraw" => raw = false,
                _ => {}
            }
        }
        at = piece.range.end;
        pieces.push(piece);
    }
    pieces
}

fn next_open(source: &str, from: usize, raw: bool) -> Option<(usize, PieceKind)> {
    let mut at = from;
    loop {
        let start = at + source[at..].find('{')?;
        let kind = match source.as_bytes().get(start + 1) {
            Some(b'{') => Some(PieceKind::Expression),
            Some(b'%') => Some(PieceKind::Statement),
            Some(b'#') => Some(PieceKind::Comment),
            _ => None,
        };
        match kind {
            Some(PieceKind::Statement) if raw => {
                let inner = source[start + 2..].trim_start_matches('-').trim_start();
                if inner.starts_with("endraw") {
                    return Some((start, PieceKind::Statement));
                }
            }
            Some(kind) if !raw => return Some((start, kind)),
            _ => {}
        }
        at = start + 1;
    }
}

fn piece(source: &str, start: usize, kind: PieceKind) -> Piece {
    let close = match kind {
        PieceKind::Expression => "}}",
        PieceKind::Statement => "%}",
        PieceKind::Comment | PieceKind::Text => "#}",
    };
    let trims = source.as_bytes().get(start + 2) == Some(&b'-');
    let inner_start = start + 2 + usize::from(trims);
    let inner_end = if kind == PieceKind::Comment {
        source[inner_start..].find(close).map(|offset| inner_start + offset)
    } else {
        end_of_code(source, inner_start, close)
    };
    let (inner_end, end) = inner_end.map_or((source.len(), source.len()), |end| (end, end + close.len()));
    let dash = end > inner_end && inner_end > inner_start && source.as_bytes()[inner_end - 1] == b'-';
    Piece { kind, range: start..end, inner: inner_start..inner_end - usize::from(dash), trims }
}

/// The end of code: the closing delimiter outside of strings, and for `}}` outside of a map's braces.
fn end_of_code(source: &str, from: usize, close: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let (mut at, mut depth, mut quote, mut escaped) = (from, 0_usize, None, false);
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if byte == b'\\' => escaped = true,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if depth == 0 && bytes[at..].starts_with(close.as_bytes()) => return Some(at),
            None => match byte {
                b'"' | b'\'' | b'`' => quote = Some(byte),
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            },
        }
        at += 1;
    }
    None
}

/// A name in code, such as `values.api.replicas`, with what stands around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its segments. A part that is only known at run time (`values[key]`) ends it.
    pub segments: Vec<String>,
    /// Bytes of the whole name.
    pub range: Range<usize>,
    /// Bytes of the end of each segment.
    pub ends: Vec<usize>,
    /// Whether a segment may be missing: `a?.b`.
    pub optional: bool,
    /// The code before it, without whitespace at its end.
    pub before: Range<usize>,
    /// The code after it, without whitespace at its start.
    pub after: Range<usize>,
}

/// The names in a range of code, in order, strings left out.
pub fn names(source: &str, code: Range<usize>) -> Vec<Name> {
    let bytes = source.as_bytes();
    let mut names = Vec::new();
    let (mut at, mut quote, mut escaped) = (code.start, None, false);
    while at < code.end {
        let byte = bytes[at];
        if quote.is_some() {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if quote == Some(byte) {
                quote = None;
            }
            at += 1;
        } else if matches!(byte, b'"' | b'\'' | b'`') {
            quote = Some(byte);
            at += 1;
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let name = name(source, at, &code);
            at = name.range.end;
            names.push(name);
        } else if byte.is_ascii_digit() {
            at += bytes[at..code.end].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        } else {
            at += 1;
        }
    }
    names
}

fn name(source: &str, start: usize, code: &Range<usize>) -> Name {
    let word = |from: usize| {
        let length =
            source[from..code.end].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        from + length
    };
    let mut end = word(start);
    let (mut segments, mut ends, mut optional) = (vec![source[start..end].to_owned()], vec![end], false);
    loop {
        let rest = &source[end..code.end];
        let question = rest.starts_with('?');
        let rest = if question { &rest[1..] } else { rest };
        let from = code.end - rest.len();
        if rest.starts_with('.') && !rest.starts_with("..") && word(from + 1) > from + 1 {
            end = word(from + 1);
            segments.push(source[from + 1..end].to_owned());
        } else if let Some(close) = quoted_index(rest) {
            end = from + close;
            segments.push(rest[2..close - 2].to_owned());
        } else {
            break;
        }
        optional |= question;
        ends.push(end);
    }
    let before = source[code.start..start].trim_end().len();
    let after = code.end - source[end..code.end].trim_start().len();
    Name {
        segments,
        range: start..end,
        ends,
        optional,
        before: code.start..code.start + before,
        after: after..code.end,
    }
}

/// The length of `["…"]` at the start of a text.
fn quoted_index(text: &str) -> Option<usize> {
    let quote = text.strip_prefix('[')?.chars().next().filter(|letter| matches!(letter, '"' | '\''))?;
    let close = 2 + text.get(2..)?.find(quote)?;
    text[close + 1..].starts_with(']').then_some(close + 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn shown(source: &str) -> Vec<(PieceKind, &str)> {
        scan(source).into_iter().map(|piece| (piece.kind, &source[piece.inner])).collect()
    }

    #[test]
    fn pieces_end_where_tera_ends_them() {
        use PieceKind::{Comment, Expression, Statement, Text};
        assert_eq!(
            shown("a {{ b }}c{%- if \"%}\" -%}{# {{ #}d"),
            [
                (Text, "a "),
                (Expression, " b "),
                (Text, "c"),
                (Statement, " if \"%}\" "),
                (Comment, " {{ "),
                (Text, "d")
            ]
        );
        assert_eq!(shown("{{ {\"a\": {\"b\": 1}} }}"), [(Expression, " {\"a\": {\"b\": 1}} ")]);
        assert_eq!(shown("{{ '}}' ~ \"\\\"}}\" }}"), [(Expression, " '}}' ~ \"\\\"}}\" ")]);
        assert_eq!(
            shown("{% raw %}{{ x }}{% y %}{% endraw %}"),
            [(Statement, " raw "), (Text, "{{ x }}{% y %}"), (Statement, " endraw ")]
        );
        assert_eq!(shown("json: {a: {b: c}}"), [(Text, "json: {a: {b: c}}")]);
    }

    #[test]
    fn names_are_found_with_their_surroundings() {
        let source = " values.api.x | default(value=\"values.z\") ~ a[\"b-c\"]?.d ~ 10m ";
        let found: Vec<_> =
            names(source, 0..source.len()).into_iter().map(|name| (name.segments.join("/"), name.optional)).collect();
        let expected = [("values/api/x", false), ("default", false), ("value", false), ("a/b-c/d", true)];
        assert_eq!(found, expected.map(|(name, optional)| (name.to_owned(), optional)));
        let first = &names(source, 0..source.len())[0];
        assert!(source[first.after.clone()].starts_with("| default"));
    }

    proptest! {
        #[test]
        fn pieces_cover_the_template(source in any::<String>(), noise in "[{}%#\\-\"'a .\\[\\]?\n]{0,40}") {
            for source in [&source, &noise] {
                let pieces = scan(source);
                let mut at = 0;
                for piece in &pieces {
                    prop_assert_eq!(piece.range.start, at);
                    prop_assert!(piece.inner.start <= piece.inner.end && piece.inner.end <= piece.range.end);
                    at = piece.range.end;
                    names(source, piece.inner.clone());
                }
                prop_assert_eq!(at, source.len());
            }
        }
    }
}
