//! Mistakes as a compiler shows them: the line, what is wrong underlined, what to do.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::manifest::mistake::Mistake;

/// Lines longer than this are cut around what is underlined.
const MAX_LINE: usize = 160;
/// Hints longer than this are cut at their end.
const MAX_HINT: usize = 240;

/// Mistakes one after the other, with a blank line between them and a line end after the last.
pub fn render(mistakes: &[Mistake], colour: bool) -> String {
    render_as(mistakes, Level::ERROR, colour)
}

/// The same for remarks that stop nothing.
pub fn render_warnings(warnings: &[Mistake], colour: bool) -> String {
    render_as(warnings, Level::WARNING, colour)
}

fn render_as(mistakes: &[Mistake], level: Level<'_>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Unicode);
    let shown: Vec<String> = mistakes.iter().map(|mistake| one(mistake, level.clone(), &renderer)).collect();
    if shown.is_empty() { String::new() } else { format!("{}\n", shown.join("\n\n")) }
}

fn one(mistake: &Mistake, level: Level<'_>, renderer: &Renderer) -> String {
    let hint = shorten(mistake.hint.as_deref().unwrap_or_default());
    let file = clean(&mistake.file);
    let title = level.primary_title(mistake.message.as_str()).id(mistake.code);
    let Some(span) = &mistake.span else {
        let mut group = Group::with_title(title);
        if !mistake.file.is_empty() {
            group = group.element(Origin::path(file.as_str()));
        }
        if !hint.is_empty() {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        return renderer.render(&[group]);
    };
    let (line, column) = cut(&clean(&span.text), span.column);
    let letters: Vec<usize> = line.char_indices().map(|(byte, _)| byte).chain([line.len()]).collect();
    let at = |number: usize| letters[number.min(letters.len() - 1)];
    let start = at(column - 1);
    let end = at(column - 1 + span.length).max(start);
    let annotation = AnnotationKind::Primary.span(start..end).label((!hint.is_empty()).then_some(hint.as_str()));
    let snippet = Snippet::source(line.as_str()).line_start(span.line).path(file.as_str()).annotation(annotation);
    renderer.render(&[Group::with_title(title).element(snippet)])
}

/// A source line without what a terminal would act on, letter for letter.
fn clean(line: &str) -> String {
    line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// A hint may quote a rendered line, which may be of any length. Secrets are out of it already.
fn shorten(hint: &str) -> String {
    match hint.char_indices().nth(MAX_HINT) {
        Some((end, _)) => format!("{}…", clean(&hint[..end])),
        None => clean(hint),
    }
}

/// A long line cut around a column, and the column in what is left.
fn cut(line: &str, column: usize) -> (String, usize) {
    let letters: Vec<char> = line.chars().collect();
    let column = column.max(1);
    if letters.len() <= MAX_LINE {
        return (line.to_owned(), column);
    }
    let from = (column - 1).saturating_sub(MAX_LINE / 2).min(letters.len() - MAX_LINE / 2);
    let to = (from + MAX_LINE).min(letters.len());
    let mut text: String = letters[from..to].iter().collect();
    let mut column = column - from;
    if from > 0 {
        text.insert(0, '…');
        column += 1;
    }
    if to < letters.len() {
        text.push('…');
    }
    (text, column)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::manifest::mistake::Span;

    #[test]
    fn a_mistake_shows_its_line() {
        let source = "a: 1\n  replicas: {{ values.api.replica }}\n";
        let mistake = Mistake {
            code: "undefined",
            message: "values.api.replica is not defined".into(),
            file: "templates/services/api.yaml.tera".into(),
            span: Some(Span::on_line(source, 2, 16, 18)),
            hint: Some("did you mean values.api.replicas (environments/base.yaml:12)?".into()),
        };
        let bare = Mistake {
            span: None,
            file: String::new(),
            hint: None,
            message: "no environment is named x".into(),
            ..mistake.clone()
        };
        let file = Mistake { span: None, message: "is not rendered".into(), ..mistake.clone() };
        insta::assert_snapshot!(render(&[mistake, bare, file], false), @r"
        error[undefined]: values.api.replica is not defined
          ╭▸ templates/services/api.yaml.tera:2:16
          │
        2 │   replicas: {{ values.api.replica }}
          ╰╴               ━━━━━━━━━━━━━━━━━━ did you mean values.api.replicas (environments/base.yaml:12)?

        error[undefined]: no environment is named x

        error[undefined]: is not rendered
         ╭▸ templates/services/api.yaml.tera
         ╰ help: did you mean values.api.replicas (environments/base.yaml:12)?
        ");
    }

    proptest! {
        #[test]
        fn no_span_panics(text in "\\PC{0,300}", tabs in "[\ta-z\u{1b}é漢]{0,8}", line in 0usize..5, column in 0usize..400, length in 0usize..400) {
            let span = Span { line, column, length, text: text + &tabs };
            let mistake = Mistake { code: "x", message: "m".into(), file: "f".into(), span: Some(span), hint: Some("h".into()) };
            let shown = render(&[mistake], false);
            let escape = char::from(27);
            prop_assert!(!shown.contains(escape));
        }
    }
}
