//! Rewrites a template before it is compiled: every `{{ expression }}` passes a filter that makes it one YAML value, and,
//! if wanted, every line of text carries a mark from which the line of any rendered line is known.
//!
//! Tera's escaping cannot do the first alone: it sees the text of a list and a text that looks like a list as the same.

use super::scan::{Piece, PieceKind, scan};

/// Name of the filter that makes a value YAML.
pub const EMIT: &str = "rekindle_emit";
/// Around a mark: characters of Unicode's private use area, which a kit has no use for.
const OPEN: char = '\u{F0A10}';
const CLOSE: char = '\u{F0A11}';

/// A rewritten template.
pub struct Rewritten {
    /// The text to compile.
    pub text: String,
    /// What was inserted: (byte in `text`, length), in order.
    inserted: Vec<(usize, usize)>,
}

impl Rewritten {
    /// Rewrites a template; `marks` is the number by which marks name it, or `None` to set none.
    pub fn new(source: &str, marks: Option<usize>) -> Self {
        let mut rewritten = Self { text: String::with_capacity(source.len() + source.len() / 8), inserted: Vec::new() };
        let marks = marks.filter(|_| !source.contains([OPEN, CLOSE]));
        let pieces = scan(source);
        for (index, piece) in pieces.iter().enumerate() {
            match piece.kind {
                PieceKind::Text => {
                    let next = pieces.get(index + 1);
                    rewritten.text_piece(source, piece, next, marks);
                }
                PieceKind::Expression => rewritten.expression(source, piece),
                PieceKind::Statement | PieceKind::Comment => rewritten.text.push_str(&source[piece.range.clone()]),
            }
        }
        rewritten
    }

    /// The byte of the source that a byte of the rewritten text comes from.
    pub fn original(&self, byte: usize) -> usize {
        let mut removed = 0;
        for (at, length) in &self.inserted {
            if *at >= byte {
                break;
            }
            removed += (*length).min(byte - at);
        }
        byte - removed
    }

    fn insert(&mut self, text: &str) {
        self.inserted.push((self.text.len(), text.len()));
        self.text.push_str(text);
    }

    fn expression(&mut self, source: &str, piece: &Piece) {
        let inner = &source[piece.inner.clone()];
        // A component call is markup already, and an empty expression is Tera's to refuse.
        let plain =
            inner.trim().is_empty() || inner.trim_start().starts_with('<') || piece.inner.end == piece.range.end;
        self.text.push_str(&source[piece.range.start..piece.inner.start]);
        if plain {
            self.text.push_str(&source[piece.inner.start..piece.range.end]);
        } else {
            self.insert("(");
            self.text.push_str(inner);
            self.insert(&format!(") | {EMIT} "));
            self.text.push_str(&source[piece.inner.end..piece.range.end]);
        }
    }

    /// A mark stands before the first letter of a line, where it cannot keep a neighbour from trimming whitespace.
    fn text_piece(&mut self, source: &str, piece: &Piece, next: Option<&Piece>, marks: Option<usize>) {
        let text = &source[piece.range.clone()];
        let Some(number) = marks else { return self.text.push_str(text) };
        let mut line = 1 + source[..piece.range.start].matches('\n').count();
        let mut at_start =
            source[..piece.range.start].rsplit('\n').next().is_some_and(|before| before.trim().is_empty());
        for (index, part) in text.split_inclusive('\n').enumerate() {
            if index > 0 {
                line += 1;
                at_start = true;
            }
            let indent = part.len() - part.trim_start().len();
            let blank = indent == part.len();
            // A line that begins with an expression is marked in front of it.
            let leads = blank
                && !part.ends_with('\n')
                && next.is_some_and(|next| next.kind == PieceKind::Expression && !next.trims);
            if at_start && (!blank || leads) {
                self.text.push_str(&part[..indent]);
                self.insert(&format!("{OPEN}{number}:{line}{CLOSE}"));
                self.text.push_str(&part[indent..]);
            } else {
                self.text.push_str(part);
            }
        }
    }
}

/// Removes marks; for every line of the text, the (template, line) that its first mark names.
pub fn strip_marks(text: &str) -> (String, Vec<Option<(usize, usize)>>) {
    let mut plain = String::with_capacity(text.len());
    let mut lines = vec![None];
    let mut rest = text;
    while let Some(start) = rest.find([OPEN, '\n']) {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix('\n') {
            plain.push('\n');
            lines.push(None);
            rest = after;
            continue;
        }
        let mark = rest.find(CLOSE).and_then(|end| {
            let (number, line) = rest[OPEN.len_utf8()..end].split_once(':')?;
            Some((end, (number.parse().ok()?, line.parse().ok()?)))
        });
        let Some((end, place)) = mark else {
            plain.push(OPEN);
            rest = &rest[OPEN.len_utf8()..];
            continue;
        };
        if let Some(last) = lines.last_mut() {
            last.get_or_insert(place);
        }
        rest = &rest[end + CLOSE.len_utf8()..];
    }
    plain.push_str(rest);
    (plain, lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn expressions_pass_the_filter() {
        let text = Rewritten::new("a: {{ x }} {{- y -}} {{<c a=1 />}}{{ }}", None).text;
        assert_eq!(text, "a: {{( x ) | rekindle_emit }} {{-( y ) | rekindle_emit -}} {{<c a=1 />}}{{ }}");
    }

    #[test]
    fn marks_stand_before_the_first_letter_of_a_line() {
        let source = "a: 1\n{% if x %}\n  b: {{ y }}\n{% endif %}\n  {{ z }}\n\nc: 2\n";
        let marked = Rewritten::new(source, Some(7)).text.replace([OPEN, CLOSE], "|");
        assert_eq!(
            marked,
            "|7:1|a: 1\n{% if x %}\n  |7:3|b: {{( y ) | rekindle_emit }}\n{% endif %}\n  |7:5|{{( z ) | rekindle_emit }}\n\n|7:7|c: 2\n"
        );
    }

    #[test]
    fn places_lead_back() {
        let source = "ab: {{ x }}{{ y }}";
        let rewritten = Rewritten::new(source, None);
        for (byte, letter) in rewritten.text.char_indices() {
            if letter == 'x' || letter == 'y' {
                assert_eq!(&source[rewritten.original(byte)..=rewritten.original(byte)], letter.to_string());
            }
        }
    }

    proptest! {
        #[test]
        fn stripping_marks_undoes_marking(source in "[a{}%# \n\\-]{0,40}") {
            let marked = Rewritten::new(&source, Some(1)).text;
            let plain = Rewritten::new(&source, None).text;
            prop_assert_eq!(strip_marks(&marked).0, plain.clone());
            prop_assert_eq!(strip_marks(&plain).1.len(), plain.matches('\n').count() + 1);
        }

        #[test]
        fn stripping_never_panics(text in any::<String>(), noise in "[\u{F0A10}\u{F0A11}0-9:\n]{0,20}") {
            strip_marks(&text);
            strip_marks(&noise);
        }
    }
}
