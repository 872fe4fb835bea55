//! The report as Markdown, for a ticket or a wiki.

use super::contents::{Note, Report, Step};
use crate::report::duration::human;
use crate::report::text::count;

/// Steps shorter than this share of the whole are left out, unless they lie on the critical path or failed.
const SHORTEST: f64 = 0.01;

/// Markdown that is being written: markup is part of this program, everything else is escaped.
struct Text<'c> {
    text: String,
    change: &'c dyn Fn(&str) -> String,
}

impl Text<'_> {
    fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// A text within a line.
    fn put(&mut self, text: &str) -> &mut Self {
        let text = (self.change)(text).replace(['\n', '\r'], " ");
        let digits = text.chars().take_while(char::is_ascii_digit).count();
        let numbers = digits > 0 && text.chars().nth(digits + 1).is_none_or(char::is_whitespace);
        for (index, character) in text.chars().enumerate() {
            // What only begins a list does so at the beginning, or behind a number there.
            let listed = index == 0 && matches!(character, '-' | '+' | '=')
                || index == digits && numbers && matches!(character, '.' | ')');
            if listed
                || matches!(character, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '#' | '$')
            {
                self.text.push('\\');
            }
            self.text.push(character);
        }
        self
    }

    /// A line to paste or to quote: in a block of code nothing is markup.
    fn code(&mut self, line: &str) -> &mut Self {
        let line = (self.change)(line).replace(['\n', '\r'], " ");
        self.raw("    ");
        self.text.push_str(&line);
        self.raw("\n")
    }

    fn row(&mut self, cells: &[&str]) {
        self.raw("|");
        for cell in cells {
            self.raw(" ").put(cell).raw(" |");
        }
        self.raw("\n");
    }

    fn notes(&mut self, title: &'static str, notes: &[Note]) {
        if !notes.is_empty() {
            self.raw("\n## ").raw(title).raw("\n\n");
        }
        for note in notes {
            self.raw("- ").put(&note.name).raw(": ").put(&note.text).raw("\n");
        }
    }

    fn items<'i>(&mut self, title: &'static str, items: impl IntoIterator<Item = &'i String>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() {
            self.raw("\n## ").raw(title).raw("\n\n");
        }
        for item in items {
            self.raw("- ").put(item).raw("\n");
        }
    }
}

/// The report. `change` redacts and cleans a text from outside before it is escaped.
pub fn text(report: &Report, change: &dyn Fn(&str) -> String) -> String {
    let mut text = Text { text: String::new(), change };
    text.raw("# ").raw(if report.good { "✓ " } else { "✗ " }).put(&report.headline).raw("\n\n");
    verdict(&mut text, report);
    failures(&mut text, report);
    text.notes("Not ready yet", &report.waiting);
    critical_path(&mut text, report);
    phases(&mut text, report);
    data(&mut text, report);
    if let Some(basis) = &report.rehearsal {
        text.items("Times measured in real runs", &basis.measured);
        text.items("Times supposed on the command line", &basis.supposed);
        text.items("Assumed of everything else", &basis.assumed);
        text.items("Volumes that are filled", &basis.filled);
        text.items("Before this", basis.before.as_slice());
        text.raw("\n## What a rebuild would need\n\n").put(&basis.needed).raw("\n");
    }
    text.items("Warnings", &report.warnings);
    text.notes("Gates that the environment switches off", &report.switched_off);
    text.items("Left the kit and was deleted", &report.pruned);
    text.notes("Stays", &report.kept);
    text.text
}

fn verdict(text: &mut Text<'_>, report: &Report) {
    match &report.rehearsal {
        Some(basis) => {
            text.raw("- a rehearsal in a simulated cluster; nothing real was touched\n- simulated in ");
            text.put(&human(basis.simulated_in)).raw("\n");
        }
        None => {
            text.raw("- cluster: ").put(&report.context).raw(" at ").put(&report.server).raw(", Kubernetes ");
            text.put(&report.kubernetes).raw("\n");
        }
    }
    if let Some(started) = report.started {
        text.raw("- began ").put(&started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).raw("\n");
    }
    text.raw("- took ").put(&human(report.seconds)).raw("\n- ").put(&count(report.written, "object"));
    text.raw(" written of ").put(&report.objects().to_string()).raw(", ").put(&count(report.passed(), "gate"));
    text.raw(" passed\n");
    if let Some(exit) = report.exit {
        text.raw("- exit code ").put(&exit.to_string()).raw("\n");
    }
    let commands: Vec<&String> =
        [&report.command, &report.again, &report.look].into_iter().filter(|line| !line.is_empty()).collect();
    if !commands.is_empty() {
        text.raw("\nThe command, and what goes on from there:\n\n");
        commands.into_iter().for_each(|command| {
            text.code(command);
        });
    }
}

fn failures(text: &mut Text<'_>, report: &Report) {
    if !report.failures.is_empty() {
        text.raw("\n## What stopped it\n");
    }
    for failure in &report.failures {
        text.raw("\n### ").put(&failure.step).raw("\n\nphase ").put(&failure.phase).raw(", ").put(&failure.origin);
        text.raw(": ").put(&failure.reason).raw("\n");
        for words in &failure.containers {
            text.raw("\nOf ").put(&words.of).raw(":\n\n");
            words.lines.iter().for_each(|line| {
                text.code(line);
            });
        }
        if !failure.events.is_empty() {
            text.raw("\n| event | reason | message |\n|---|---|---|\n");
            failure.events.iter().for_each(|event| text.row(&event.each_ref().map(String::as_str)));
        }
    }
}

fn critical_path(text: &mut Text<'_>, report: &Report) {
    if report.critical_path.is_empty() {
        return;
    }
    text.raw("\n## What bounds the time\n\nThe critical path is ").put(&human(report.bound())).raw(" of ");
    text.put(&human(report.seconds)).raw(".\n\n| phase | waits for | time |");
    text.raw(if report.rehearsal.is_some() { " its time is |\n|---|---|---:|---|\n" } else { "\n|---|---|---:|\n" });
    for step in &report.critical_path {
        let time = human(step.seconds);
        let cells = [step.phase.as_str(), &step.step, &time, step.source.unwrap_or_default()];
        text.row(if step.source.is_some() { &cells } else { &cells[..3] });
    }
}

fn phases(text: &mut Text<'_>, report: &Report) {
    if report.phases.is_empty() {
        return;
    }
    text.raw("\n## Phases\n\n| phase | state | began at | took | objects ready | gates passed |\n|---|---|---:|---:|---|---|\n");
    for phase in &report.phases {
        let began = phase.started.map(human).unwrap_or_default();
        let took = phase.started.map(|_| human(phase.seconds)).unwrap_or_default();
        let objects = format!("{} of {}", phase.ready, phase.objects);
        let gates = format!("{} of {}", phase.passed, phase.gates);
        text.row(&[&phase.phase, phase.state, &began, &took, &objects, &gates]);
    }
    let worth = |step: &Step| step.critical || step.state == "failed" || step.seconds >= report.seconds * SHORTEST;
    let steps = report.phases.iter().flat_map(|phase| phase.steps.iter().map(move |step| (phase, step)));
    let steps: Vec<_> = steps.filter(|(_, step)| worth(step) && step.state != "switched off").collect();
    if !steps.is_empty() {
        text.raw("\n| phase | longest steps | state | began at | took |\n|---|---|---|---:|---:|\n");
    }
    for (phase, step) in steps {
        text.row(&[&phase.phase, &step.step, step.state, &human(step.started), &human(step.seconds)]);
    }
}

fn data(text: &mut Text<'_>, report: &Report) {
    if !report.decisions.is_empty() {
        text.raw("\n## Data\n\n| data set | claim | decision | from |\n|---|---|---|---|\n");
    }
    for set in &report.decisions {
        for claim in &set.claims {
            text.row(&[&set.data_set, &claim.name, claim.choice.word(), &claim.reason]);
        }
        if let Some(point) = set.recovery_point {
            let until = format!("as it was archived until {}", point.strftime("%Y-%m-%d %H:%M:%S UTC"));
            text.row(&[&set.data_set, "", &set.decision, &until]);
        }
    }
    if !report.proofs.is_empty() {
        text.raw("\n## Data that stays\n\n| claim | volume | policy | size | at |\n|---|---|---|---|---|\n");
    }
    for proof in &report.proofs {
        text.row(&[&proof.claim, &proof.volume, &proof.policy, &proof.size, &proof.place]);
    }
    text.notes("Data that was deleted", &report.deleted_data);
}
