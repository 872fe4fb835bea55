//! Shows a run while it happens: events in one of three forms, then the last screen.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::process;
use super::report_file::ReportFile;
use super::settings::Context;
use super::ui::Ui;
use crate::rebuild::event::{Event, EventKind, Outcome};
use crate::report::document::About;
use crate::report::down::table;
use crate::report::ending::{Setting, ending};
use crate::report::lines::Lines;
use crate::report::progress::Progress;
use crate::report::screen::{frame, header};
use crate::report::text::{Line, Tone};
use crate::report::{json, sanitize};

/// Nothing moves on the screen in a run's first moments: what is over at once needs no show.
const FIRST_PAINT: Duration = Duration::from_millis(250);
/// The screen is painted no more often than this, and only when something changed.
const LOOK: Duration = Duration::from_millis(40);
/// Clocks move once a second.
const CLOCK: Duration = Duration::from_secs(1);
/// Said as soon as somebody presses Ctrl-C.
const STOPPING: &str = "stopping: nothing more is written; Ctrl-C again ends at once";

/// Shows a run from its first event to its last. Dropped before that, it leaves no live block behind.
pub struct RunView {
    ui: Ui,
    form: Form,
    progress: Progress,
    setting: Setting,
    report: Option<(ReportFile, About)>,
    begun: Instant,
    stopping: bool,
    changed: bool,
    painted: Option<Instant>,
}

enum Form {
    /// An event a line on stdout.
    Json,
    /// A line an event on stderr.
    Lines(Box<Lines>),
    /// A live block on stderr.
    Screen,
}

impl RunView {
    /// A view of the run that these words ask for (`up production`). JSON if asked for, a live block in a terminal, else
    /// lines; with `-v` lines too, one for every event: beside a log nothing should move.
    pub fn new(context: &Context, words: &[String], hosts: Vec<String>) -> Self {
        let look = words.get(1).map(|environment| context.command(&["status", environment]));
        let (again, look) = (context.command(words), look.unwrap_or_default());
        let setting = Setting { again, look, hosts, ..Setting::default() };
        Self::on(context.ui.clone(), context.json(), context.common.verbose, setting)
    }

    /// A view of a run that takes an environment down; what comes next then is `up`.
    pub fn down(context: &Context, words: &[String]) -> Self {
        let up = words.get(1).map(|environment| context.command(&["up", environment])).unwrap_or_default();
        let setting = Setting { again: context.command(words), look: up, ..Setting::default() };
        Self::on(context.ui.clone(), context.json(), context.common.verbose, setting)
    }

    /// The same view, which writes a report at the end where one is wanted.
    pub fn reporting(mut self, file: Option<ReportFile>) -> Self {
        let about = About {
            command: self.setting.again.clone(),
            by: process::who(),
            ending: self.setting.clone(),
            rehearsal: None,
        };
        self.report = file.map(|file| (file, about));
        self
    }

    fn on(ui: Ui, json: bool, verbose: u8, setting: Setting) -> Self {
        let form = match (json, ui.interactive && verbose == 0) {
            (true, _) => Form::Json,
            (false, true) => Form::Screen,
            (false, false) => Form::Lines(Box::new(Lines::new(verbose > 0))),
        };
        let progress = Progress::default();
        let (report, begun) = (None, Instant::now());
        Self { ui, form, progress, setting, report, begun, stopping: false, changed: false, painted: None }
    }

    /// How often [`RunView::redraw`] should be called, also while events come.
    pub fn tick(&self) -> Duration {
        match self.form {
            Form::Screen => LOOK,
            Form::Lines(_) | Form::Json => CLOCK,
        }
    }

    /// Takes in an event.
    pub fn event(&mut self, event: &Event) {
        let mut event = event.clone();
        // Redacted as a whole, before anything is cut to fit and a part of a secret is no longer recognised.
        sanitize::map_text(&mut event, &|text| self.ui.redact(text));
        if let Form::Json = self.form {
            self.ui.out_json(json::value(&event));
        }
        sanitize::map_text(&mut event, &sanitize::clean);
        self.progress.apply(&event);
        self.changed = true;
        match &mut self.form {
            Form::Lines(lines) => {
                let lines = lines.event(&event);
                self.ui.say_lines(&lines);
            }
            Form::Screen if matches!(event.kind, EventKind::RunStarted { .. }) => {
                self.ui.say_lines(&header(&self.progress));
            }
            Form::Json | Form::Screen => {}
        }
        // A flood of events must not keep the screen from being painted.
        self.redraw();
    }

    /// Shows what is due: changes, and what time alone changes.
    pub fn redraw(&mut self) {
        let now = Timestamp::now();
        match &mut self.form {
            Form::Json => {}
            Form::Lines(lines) => {
                let lines = lines.tick(now);
                self.ui.say_lines(&lines);
            }
            Form::Screen => {
                let due = match self.painted {
                    None => self.begun.elapsed() >= FIRST_PAINT,
                    Some(painted) => painted.elapsed() >= if self.changed { LOOK } else { CLOCK },
                };
                if due && self.progress.started.is_some() {
                    self.paint(now);
                }
            }
        }
    }

    /// Says at once that the wish to stop was heard.
    pub fn stopping(&mut self) {
        self.stopping = true;
        match self.form {
            Form::Screen => self.paint(Timestamp::now()),
            Form::Lines(_) | Form::Json => self.ui.say(STOPPING),
        }
    }

    fn paint(&mut self, now: Timestamp) {
        let mut lines = frame(&self.progress, self.ui.width().saturating_sub(1), now);
        if self.stopping {
            lines.push(Line::new().and("  ").with(Tone::Warn, STOPPING));
        }
        self.ui.paint(&lines);
        self.painted = Some(Instant::now());
        self.changed = false;
    }

    /// The last screen, in the place of the live block. Programs get it on stderr, and only when something went wrong.
    pub fn finish(mut self) {
        self.ui.clear();
        let done = self.progress.end.as_ref().is_some_and(|end| end.outcome == Outcome::Done);
        if !(done && matches!(self.form, Form::Json)) {
            if !matches!(self.form, Form::Json) && !self.progress.proofs.is_empty() {
                // Of data, this is what is asked for.
                self.ui.out_lines(&table(&self.progress.proofs));
            }
            let lines = ending(&self.progress, &self.setting, self.ui.width());
            self.ui.say_lines(&lines);
        }
        // The exit code is the run's own: what became of the environment matters more than its report.
        if let Some((file, about)) = self.report.take()
            && let Err(error) = file.save(&mut self.ui, &self.progress, &about)
        {
            self.ui.error(&error, false);
        }
    }
}

impl Drop for RunView {
    fn drop(&mut self) {
        self.ui.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::cli::ui::tests::{Buffer, SECRET, ui};
    use crate::health::diagnosis::{ContainerReport, Diagnosis};
    use crate::manifest::Origin;
    use crate::rebuild::event::{Action, ObjectName, PhaseSummary, VERSION};

    fn event(kind: EventKind) -> Event {
        Event { version: VERSION, time: Timestamp::now(), run: "7f3a1c02".into(), kind }
    }

    /// A run that fails, with a secret in every sentence.
    fn leaking() -> Vec<Event> {
        let phase = || "services".to_owned();
        let object = || {
            let (api_version, kind, name) = ("apps/v1".into(), "Deployment".into(), "api".into());
            ObjectName { api_version, kind, namespace: Some("acoustid".into()), name }
        };
        let summary = PhaseSummary { phase: phase(), objects: 1, gates: 1, ..PhaseSummary::default() };
        let sentence = format!("cannot log in with {SECRET}: \u{1b}[1mdenied");
        let container = ContainerReport {
            pod: "api-1".into(),
            container: "api".into(),
            state: sentence.clone(),
            last_words: vec![sentence.clone()],
        };
        let diagnosis = Diagnosis { containers: vec![container], events: Vec::new() };
        let kinds = vec![
            EventKind::RunStarted {
                environment: "local".into(),
                stack: "acoustid".into(),
                context: "kind".into(),
                server: String::new(),
                kubernetes: "1.34.4".into(),
                cluster: String::new(),
                nodes: None,
                phases: vec![summary.clone()],
                left_out: Vec::new(),
                resumes: None,
            },
            EventKind::PhaseStarted { phase: phase() },
            EventKind::ObjectApplied { phase: phase(), object: object(), action: Action::Created },
            EventKind::ObjectWaiting { phase: phase(), object: object(), reason: sentence.clone() },
            EventKind::GateWaiting { phase: phase(), gate: "api answers".into(), answer: sentence.clone() },
            EventKind::Warning { message: sentence.clone() },
            EventKind::ObjectFailed {
                phase: phase(),
                object: object(),
                origin: Origin { file: "templates/services/api.yaml".into(), line: 3 },
                reason: sentence,
                diagnosis,
            },
            EventKind::RunFinished {
                outcome: Outcome::Unhealthy,
                exit: 7,
                seconds: 1.0,
                phases: vec![summary],
                written: 1,
                critical_path: Vec::new(),
            },
        ];
        kinds.into_iter().map(event).collect()
    }

    /// A view on 40 columns, of a run that has been going on for long enough to be painted.
    fn view(json: bool, verbose: u8, terminal: bool, columns: usize) -> (RunView, Buffer, Buffer) {
        let (mut ui, out, err) = ui("");
        ui.interactive = terminal;
        ui.set_columns(columns);
        let mut view = RunView::on(ui, json, verbose, Setting::default());
        view.begun -= FIRST_PAINT;
        (view, out, err)
    }

    #[test]
    fn no_form_shows_a_secret_not_even_its_beginning() {
        for (json, verbose, terminal) in [(true, 0, false), (false, 0, false), (false, 2, false), (false, 0, true)] {
            for columns in [24, 32, 40] {
                let (mut view, out, err) = view(json, verbose, terminal, columns);
                for event in leaking() {
                    view.painted = view.painted.map(|painted| painted - CLOCK);
                    view.event(&event);
                }
                view.stopping();
                view.finish();
                let text = out.text() + &err.text();
                assert!(text.contains("cannot log"), "{text}");
                assert!(!text.contains(&SECRET[..7]), "json {json}, verbose {verbose}, terminal {terminal}: {text}");
                assert!(!text.contains("\u{1b}[1m"), "{text}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_screen_is_painted_after_a_moment_then_when_something_changes_and_once_a_second() {
        let (mut view, _, err) = view(false, 0, true, 40);
        view.begun = Instant::now();
        let paints = || err.text().matches("services  ●").count();
        let mut seen = Vec::new();
        leaking().iter().take(4).for_each(|event| view.event(event));
        for _ in 0..250 {
            tokio::time::advance(LOOK).await;
            view.redraw();
            seen.push(paints());
        }
        assert_eq!((seen[4], seen[6]), (0, 1), "nothing in the first 250 ms");
        assert!((9..=11).contains(&paints()), "ten seconds: {}", paints());
        let before = paints();
        for event in leaking().iter().skip(3).take(2).cycle().take(1000) {
            tokio::time::advance(Duration::from_millis(1)).await;
            view.event(event);
        }
        assert!((20..=26).contains(&(paints() - before)), "a second of a flood: {}", paints() - before);
    }

    #[test]
    fn the_last_screen_takes_the_place_of_the_block() {
        let (mut view, _, err) = view(false, 0, true, 40);
        leaking().iter().for_each(|event| view.event(event));
        view.stopping();
        assert!(err.text().contains("stopping: nothing more is written"), "{}", err.text());
        view.finish();
        let text = err.text();
        let last = text.rsplit("\u{1b}[J").next().unwrap();
        assert!(last.starts_with("✗ services stopped: Deployment/api will not become ready"), "{last}");
    }

    #[test]
    fn a_view_that_is_dropped_leaves_no_block() {
        let (mut view, _, err) = view(false, 0, true, 40);
        leaking().iter().take(3).for_each(|event| view.event(event));
        assert!(err.text().contains("\u{1b}[K"), "{:?}", err.text());
        drop(view);
        assert!(err.text().ends_with("A\r\u{1b}[J"), "{:?}", err.text());
    }

    #[test]
    fn programs_get_the_last_screen_on_stderr_only_after_a_failure() {
        let (mut view, out, err) = view(true, 0, false, 40);
        leaking().iter().for_each(|event| view.event(event));
        view.finish();
        assert_eq!(out.text().lines().count(), 8);
        let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert!(out.text().lines().all(is_json), "{}", out.text());
        assert!(err.text().contains("exit code 7"), "{}", err.text());
    }
}
