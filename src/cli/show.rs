//! Shows a run while it happens: events in one of three forms, then the last screen.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::ui::Ui;
use crate::rebuild::event::{Event, EventKind, Outcome};
use crate::report::ending::{Setting, ending};
use crate::report::lines::Lines;
use crate::report::progress::Progress;
use crate::report::screen::{frame, header};
use crate::report::{json, sanitize};

/// Nothing moves on the screen in a run's first moments: what is over at once needs no show.
const FIRST_PAINT: Duration = Duration::from_millis(250);
/// The screen is looked at so often; it is painted when something changed.
const LOOK: Duration = Duration::from_millis(40);
/// Clocks move once a second.
const CLOCK: Duration = Duration::from_secs(1);

/// Shows a run from its first event to its last.
pub struct Show {
    form: Form,
    progress: Progress,
    setting: Setting,
    begun: Instant,
    changed: bool,
    painted: Option<Instant>,
}

enum Form {
    /// An event a line on stdout.
    Json,
    /// A line an event on stderr.
    Lines(Lines),
    /// A live block on stderr.
    Screen,
}

impl Show {
    /// JSON if asked for, a live block in a terminal, else lines; with `-v` lines too, all of them: beside a log nothing
    /// should move.
    pub fn new(ui: &Ui, json: bool, verbose: u8, setting: Setting) -> Self {
        let form = match (json, ui.interactive && verbose == 0) {
            (true, _) => Form::Json,
            (false, true) => Form::Screen,
            (false, false) => Form::Lines(Lines::new(verbose > 0)),
        };
        Self { form, progress: Progress::default(), setting, begun: Instant::now(), changed: false, painted: None }
    }

    /// Shows events until the channel closes, then the last screen. Returns the exit code of the last event, `None` where
    /// there was none: then the engine has a bug, which the screen says.
    pub async fn until_end(mut self, ui: &mut Ui, events: &mut UnboundedReceiver<Event>) -> Option<u8> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.event(ui, event),
                    None => break,
                },
                _ = look.tick() => self.tick(ui, Timestamp::now()),
            }
            // A flood of events must not keep the screen from being painted.
            if self.painted.unwrap_or(self.begun).elapsed() > 2 * LOOK {
                self.tick(ui, Timestamp::now());
            }
        }
        self.finish(ui)
    }

    /// Takes in an event.
    pub fn event(&mut self, ui: &mut Ui, mut event: Event) {
        sanitize::map_text(&mut event, &|text| ui.redact(text));
        if let Form::Json = self.form {
            ui.out_json(json::value(&event));
        }
        sanitize::map_text(&mut event, &sanitize::clean);
        self.progress.apply(&event);
        self.changed = true;
        match &mut self.form {
            Form::Lines(lines) => ui.say_lines(&lines.event(&event)),
            Form::Screen if matches!(event.kind, EventKind::RunStarted { .. }) => ui.say_lines(&header(&self.progress)),
            Form::Json | Form::Screen => {}
        }
    }

    /// Shows what time alone changes.
    pub fn tick(&mut self, ui: &mut Ui, now: Timestamp) {
        match &mut self.form {
            Form::Json => {}
            Form::Lines(lines) => ui.say_lines(&lines.tick(now)),
            Form::Screen => {
                let due = match self.painted {
                    None => self.begun.elapsed() >= FIRST_PAINT,
                    Some(painted) => painted.elapsed() >= if self.changed { LOOK } else { CLOCK },
                };
                if due && self.progress.started.is_some() {
                    ui.paint(&frame(&self.progress, ui.width().saturating_sub(1), now));
                    self.painted = Some(Instant::now());
                    self.changed = false;
                }
            }
        }
    }

    /// The last screen, in the place of the live block. Programs get it on stderr, and only when something went wrong.
    pub fn finish(self, ui: &mut Ui) -> Option<u8> {
        ui.clear();
        let done = self.progress.end.as_ref().is_some_and(|end| end.outcome == Outcome::Done);
        if !(done && matches!(self.form, Form::Json)) {
            ui.say_lines(&ending(&self.progress, &self.setting, ui.width()));
        }
        self.progress.end.map(|end| end.exit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use tokio::sync::mpsc;

    use super::*;
    use crate::cli::ui::tests::{SECRET, ui};
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

    #[test]
    fn no_form_shows_a_secret_not_even_its_beginning() {
        for (json, verbose, interactive) in [(true, 0, false), (false, 0, false), (false, 2, false), (false, 0, true)] {
            for columns in [24, 32, 40] {
                let (mut ui, out, err) = ui("");
                ui.interactive = interactive;
                ui.set_columns(columns);
                let mut show = Show::new(&ui, json, verbose, Setting::default());
                show.begun -= FIRST_PAINT;
                for event in leaking() {
                    show.event(&mut ui, event);
                    show.painted = show.painted.map(|painted| painted - CLOCK);
                    show.tick(&mut ui, Timestamp::now());
                }
                assert_eq!(show.finish(&mut ui), Some(7));
                let text = out.text() + &err.text();
                assert!(text.contains("cannot log"), "{text}");
                assert!(!text.contains(&SECRET[..7]), "json {json}, verbose {verbose}, terminal {interactive}: {text}");
                assert!(!text.contains("\u{1b}[1m"), "{text}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_at_once_is_not_animated() {
        let shown = |pause: Duration| async move {
            let (mut ui, _, err) = ui("");
            ui.interactive = true;
            let (send, mut receive) = mpsc::unbounded_channel();
            let show = Show::new(&ui, false, 0, Setting::default());
            let run = async move {
                let mut events = leaking();
                let last = events.split_off(5);
                events.into_iter().for_each(|event| send.send(event).unwrap());
                tokio::time::sleep(pause).await;
                last.into_iter().for_each(|event| send.send(event).unwrap());
            };
            let (exit, ()) = tokio::join!(show.until_end(&mut ui, &mut receive), run);
            assert_eq!(exit, Some(7));
            err.text()
        };
        assert!(!shown(Duration::from_millis(200)).await.contains('\u{1b}'));
        let text = shown(Duration::from_millis(1500)).await;
        assert!(text.contains("\u{1b}[K"), "{text}");
        let last = text.rsplit("\u{1b}[J").next().unwrap();
        assert!(last.starts_with("✗ services stopped: Deployment/api will not become ready"), "{last}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_screen_is_painted_when_something_changes_and_once_a_second() {
        let (mut ui, _, err) = ui("");
        ui.interactive = true;
        let (send, mut receive) = mpsc::unbounded_channel();
        let show = Show::new(&ui, false, 0, Setting::default());
        let run = async move {
            leaking().into_iter().take(4).for_each(|event| send.send(event).unwrap());
            tokio::time::sleep(Duration::from_millis(10_100)).await;
        };
        tokio::join!(show.until_end(&mut ui, &mut receive), run);
        let paints = err.text().matches("services  ●").count();
        assert!((9..=11).contains(&paints), "{paints}: {}", err.text());
    }

    #[test]
    fn programs_get_the_last_screen_on_stderr_only_after_a_failure() {
        let (mut ui, out, err) = ui("");
        let mut show = Show::new(&ui, true, 0, Setting::default());
        leaking().into_iter().for_each(|event| show.event(&mut ui, event));
        show.finish(&mut ui);
        assert_eq!(out.text().lines().count(), 8);
        assert!(
            out.text().lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
            "{}",
            out.text()
        );
        assert!(err.text().contains("exit code 7"), "{}", err.text());
    }
}
