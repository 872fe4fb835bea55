//! The list of runs that `rekindle runs list` prints.

use unicode_width::UnicodeWidthStr as _;

use super::duration::human;
use super::text::{Line, Tone, count};
use crate::rebuild::journal::{State, Summary};

/// A table of runs, a line each, in the order they come in.
pub fn table(runs: &[(Summary, State)]) -> Vec<Line> {
    let heads = ["run", "started (UTC)", "environment", "context", "outcome", "took", "written"].map(str::to_owned);
    let rows: Vec<_> = runs.iter().map(|(run, state)| (row(run, *state), tone(*state))).collect();
    let cells = |column: usize| rows.iter().map(move |(row, _)| row[column].width());
    let widths: Vec<usize> =
        (0..heads.len()).map(|column| cells(column).chain([heads[column].width()]).max().unwrap_or_default()).collect();
    let line = |row: &[String], tones: &dyn Fn(usize) -> Tone| {
        let mut line = Line::new();
        let mut at = 0;
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line = line.to_column(at).with(tones(column), cell);
            at += width + 2;
        }
        line
    };
    let mut lines = vec![line(&heads, &|_| Tone::Dim)];
    lines.extend(rows.iter().map(|(row, state)| {
        line(row, &|column| match column {
            0 => Tone::Paste,
            4 => *state,
            _ => Tone::Plain,
        })
    }));
    lines
}

fn row(run: &Summary, state: State) -> [String; 7] {
    let header = &run.header;
    let place = match (state, run.phase.is_empty()) {
        (State::Done | State::Refused, _) | (_, true) => String::new(),
        (_, false) => format!(" in {}", run.phase),
    };
    let down = if run.down { "down: " } else { "" };
    [
        header.run.clone(),
        header.time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        header.environment.clone(),
        header.context.clone(),
        format!("{down}{}{place}", state.word()),
        human(run.seconds()),
        count(run.written, "object"),
    ]
}

fn tone(state: State) -> Tone {
    match state {
        State::Done => Tone::Good,
        State::Running => Tone::Strong,
        State::Interrupted | State::Refused => Tone::Warn,
        State::Failed | State::Killed | State::LockLost => Tone::Bad,
    }
}
