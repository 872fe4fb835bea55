//! Lines of text with tones, measured in terminal columns: what every view for people is made of.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What colour repeats. The words always say the same without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    Plain,
    /// Done, ready, passed.
    Good,
    /// Failed.
    Bad,
    /// Worth a look.
    Warn,
    /// Beside the point.
    Dim,
    /// The subject.
    Strong,
    /// Something to paste: a command, a path.
    Paste,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Dim => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
            Self::Paste => AnsiColor::Cyan.on_default(),
        }
    }
}

/// One line, without its line end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<(Tone, String)>);

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// The line with a piece more.
    pub fn with(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// The line with a piece of ordinary text more.
    pub fn and(self, text: impl Into<String>) -> Self {
        self.with(Tone::Plain, text)
    }

    /// The line with another one behind it.
    pub fn append(mut self, other: Line) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The line filled with spaces up to a column; at least one space where it is already longer.
    pub fn to_column(self, column: usize) -> Self {
        let fill = column.saturating_sub(self.width());
        let fill = if fill == 0 && self.width() > 0 && column > 0 { 1 } else { fill };
        self.and(" ".repeat(fill))
    }

    /// Columns it takes.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.width()).sum()
    }

    /// The line with every piece's text replaced.
    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        Self(self.0.into_iter().map(|(tone, text)| (tone, change(&text))).collect())
    }

    /// The line cut to a width; a cut is shown by `…`.
    pub fn fit(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width.saturating_sub(1);
        let mut kept = Self::new();
        for (tone, text) in self.0 {
            let piece = take_columns(&text, left);
            left -= piece.width();
            let cut = piece.len() < text.len();
            kept.0.push((tone, piece.to_owned()));
            if cut {
                break;
            }
        }
        if width > 0 { kept.and("…") } else { Self::new() }
    }

    /// The line cut so that `right` stands at its end, which is at column `width`.
    pub fn with_right(self, right: Line, width: usize) -> Self {
        if right.width() == 0 {
            return self.fit(width);
        }
        let room = width.saturating_sub(right.width() + 1);
        let mut line = self.fit(room).to_column(width.saturating_sub(right.width()));
        line.0.extend(right.0);
        line
    }

    /// Its text, with escape sequences for the tones if `colour`. No blanks at the end.
    pub fn paint(&self, colour: bool) -> String {
        let mut text = String::new();
        let last = self.0.iter().rposition(|(_, piece)| !piece.trim_end().is_empty());
        for (index, (tone, piece)) in self.0.iter().enumerate() {
            let Some(last) = last.filter(|last| index <= *last) else { break };
            let piece = if index == last { piece.trim_end() } else { piece };
            let style = tone.style();
            if colour && *tone != Tone::Plain {
                let _ = write!(text, "{style}{piece}{style:#}");
            } else {
                text.push_str(piece);
            }
        }
        text
    }

    /// Its text without any colour.
    pub fn plain(&self) -> String {
        self.paint(false)
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new().and(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::new().and(text)
    }
}

/// A number with its noun: `1 object`, `14 objects`. The one place that knows plurals.
pub fn count(number: usize, noun: &str) -> String {
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, noun) if noun.ends_with("ch") || noun.ends_with('s') => format!("{} {noun}es", thousands(number)),
        _ => format!("{} {noun}s", thousands(number)),
    }
}

/// A number with commas between thousands.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `a`, `a and b`, `a, b and c`.
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [most @ .., last] => {
            format!("{} and {}", most.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "), last.as_ref())
        }
    }
}

/// The longest beginning of a text that takes at most so many columns.
fn take_columns(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (index, character) in text.char_indices() {
        used += character.width().unwrap_or(0);
        if used > columns {
            return &text[..index];
        }
    }
    text
}

/// Breaks a text into lines of at most `width` columns, between words where that is possible. Never empty.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.width() > width {
        let piece = take_columns(rest, width);
        // A break in the first half would waste more than it helps: long words are cut instead.
        let at_blank = rest[piece.len()..].starts_with(' ').then_some(piece.len());
        let cut = at_blank.or_else(|| piece.rfind(' ').filter(|at| *at > piece.len() / 2)).unwrap_or(piece.len());
        let cut = if cut == 0 { rest.chars().next().map_or(1, char::len_utf8) } else { cut };
        lines.push(rest[..cut].trim_end().to_owned());
        rest = if rest[cut..].starts_with(' ') { &rest[cut + 1..] } else { &rest[cut..] };
    }
    lines.push(rest.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn numbers_carry_their_noun() {
        assert_eq!(count(0, "object"), "0 objects");
        assert_eq!(count(1, "gate"), "1 gate");
        assert_eq!(count(2, "branch"), "2 branches");
        assert_eq!(count(1_234_567, "object"), "1,234,567 objects");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list::<&str>(&[]), "");
    }

    #[test]
    fn a_line_is_cut_in_columns_not_bytes() {
        let line = Line::new().with(Tone::Good, "✓ ").and("日本語 text");
        assert_eq!(line.width(), 13);
        assert_eq!(line.clone().fit(13).plain(), "✓ 日本語 text");
        assert_eq!(line.clone().fit(6).plain(), "✓ 日…");
        assert_eq!(line.clone().fit(1).plain(), "…");
        assert_eq!(line.fit(0).plain(), "");
    }

    #[test]
    fn the_right_end_stays_when_the_left_is_cut() {
        let line = Line::from("database   19 of 23 objects ready").with_right("1 m 42 s".into(), 24);
        assert_eq!(line.plain(), "database   19 … 1 m 42 s");
        assert_eq!(line.width(), 24);
        assert_eq!(Line::from("a").with_right("9 s".into(), 10).plain(), "a      9 s");
    }

    #[test]
    fn colour_only_repeats_the_words() {
        let line = Line::new().with(Tone::Good, "✓").and(" up   ");
        assert_eq!(line.paint(false), "✓ up");
        assert_eq!(line.paint(true), "\u{1b}[32m✓\u{1b}[0m up");
    }

    #[test]
    fn long_words_are_cut_when_wrapping() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("aaaaaaaaaaaaaaaaaaaa", 8), ["aaaaaaaa", "aaaaaaaa", "aaaa"]);
        assert_eq!(wrap("", 8), [""]);
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_than_asked(text in "[ a-z日✓]{0,200}", width in 8usize..100) {
            for line in wrap(&text, width) {
                proptest::prop_assert!(line.width() <= width);
            }
            proptest::prop_assert!(Line::from(text.as_str()).fit(width).width() <= width);
            proptest::prop_assert!(
                Line::from(text.as_str()).with_right("1 m 42 s".into(), width.max(9)).width() <= width.max(9)
            );
        }

        #[test]
        fn wrapping_loses_no_words(text in "[a-z]{1,12}( [a-z]{1,12}){0,30}", width in 8usize..60) {
            let joined: String = wrap(&text, width).concat();
            proptest::prop_assert_eq!(joined.replace(' ', ""), text.replace(' ', ""));
        }
    }
}
