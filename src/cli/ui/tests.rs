#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::cli::Exit;

/// A value the redactor of [`ui`] knows.
pub const SECRET: &str = "correct-horse-battery-staple";

/// What was written.
#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// All of it.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Ui {
    /// Another width.
    pub fn set_columns(&mut self, columns: usize) {
        self.columns = Some(columns);
    }
}

struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ui_on(out: impl Write + Send + 'static, input: &'static str) -> (Ui, Buffer) {
    let err = Buffer::default();
    let redactor = Redactor::default();
    let mut ui = Ui {
        redactor: redactor.clone(),
        interactive: false,
        colour: false,
        colour_out: false,
        can_ask: true,
        columns: Some(40),
        streams: Arc::new(Mutex::new(Streams {
            redactor,
            out: Box::new(out),
            err: Box::new(err.clone()),
            input: Box::new(input.as_bytes()),
            shared: true,
            block: Vec::new(),
            failure: None,
        })),
    };
    ui.redactor_mut().add(SECRET);
    (ui, err)
}

/// A user interface with 40 columns on buffers for stdout and stderr.
pub fn ui(input: &'static str) -> (Ui, Buffer, Buffer) {
    let out = Buffer::default();
    let (ui, err) = ui_on(out.clone(), input);
    (ui, out, err)
}

#[test]
fn no_way_out_passes_a_secret() {
    let (mut ui, out, err) = ui("x\n");
    let leak = format!("before {SECRET} after");
    ui.out(&leak);
    ui.out_lines(&[leak.clone().into()]);
    ui.say(&leak);
    ui.say_lines(&[leak.clone().into()]);
    ui.paint(&[leak.clone().into()]);
    ui.clear();
    ui.confirm(&leak);
    ui.confirm_typed(&leak, "x");
    ui.error(&CliError::new(Exit::Kit, &leak).detail(&leak).hint(&leak), true);
    for verbose in [1, 2, 3] {
        tracing::subscriber::with_default(ui.subscriber(verbose), || {
            tracing::debug!(target: "kube_client::client", url = %leak, body = ?leak, "requesting {SECRET}");
            let span = tracing::debug_span!(target: "kube_client::client", "HTTP", http.url = leak);
            span.in_scope(|| tracing::error!(target: "kube_client::client", "failed with {leak:?}"));
            tracing::trace!("{leak}");
        });
    }
    assert!(!out.text().contains(SECRET), "{}", out.text());
    assert!(!err.text().contains(SECRET), "{}", err.text());
    assert_eq!(out.text().matches("before").count(), 5, "{}", out.text());
    assert!(err.text().contains("requesting") && err.text().contains("failed with"), "{}", err.text());
}

#[test]
fn logging_grows_with_v() {
    let logged = |verbose| {
        let (ui, _, err) = ui("");
        tracing::subscriber::with_default(ui.subscriber(verbose), || {
            tracing::debug!(target: "kube_client::client", "a request");
            tracing::debug!(target: "hyper_util::client", "a connection");
            tracing::trace!(target: "h2::codec", "a frame");
        });
        ["request", "connection", "frame"].map(|word| err.text().contains(word))
    };
    assert_eq!(logged(0), [false, false, false]);
    assert_eq!(logged(1), [true, false, false]);
    assert_eq!(logged(2), [true, true, false]);
}

#[test]
fn the_live_block_is_overwritten_in_place() {
    let (mut ui, _, err) = ui("");
    ui.paint(&["one".into(), "two".into()]);
    ui.paint(&["three".into()]);
    ui.clear();
    assert_eq!(err.text(), "one\u{1b}[K\ntwo\u{1b}[K\n\u{1b}[J\u{1b}[2A\rthree\u{1b}[K\n\u{1b}[J\u{1b}[1A\r\u{1b}[J");
}

#[test]
fn lines_appear_above_the_live_block() {
    let (mut ui, out, err) = ui("");
    ui.paint(&["block".into()]);
    let before = err.text().len();
    ui.say("news");
    assert_eq!(&err.text()[before..], "\u{1b}[1A\r\u{1b}[Jnews\nblock\n");
    let before = err.text().len();
    ui.out("data");
    assert_eq!(out.text(), "data\n");
    assert_eq!(&err.text()[before..], "\u{1b}[1A\r\u{1b}[Jblock\u{1b}[K\n\u{1b}[J");
}

#[test]
fn a_narrower_terminal_has_broken_the_lines_of_the_block() {
    let block = [("x".repeat(30), 30), (String::new(), 0), ("y".into(), 1)];
    assert_eq!(up(&block, 40), "\u{1b}[3A\r");
    assert_eq!(up(&block, 10), "\u{1b}[5A\r");
    assert_eq!(up(&[], 10), "");
}

#[test]
fn lines_of_the_block_never_reach_the_last_column() {
    let (mut ui, _, err) = ui("");
    ui.paint(&["x".repeat(100).into()]);
    assert_eq!(err.text(), format!("{}…\u{1b}[K\n\u{1b}[J", "x".repeat(38)));
}

#[test]
fn a_secret_cut_by_the_edge_of_the_terminal_leaves_no_piece() {
    for start in 0..40 {
        let (mut ui, _, err) = ui("");
        ui.paint(&[format!("{}{SECRET}", "-".repeat(start)).into()]);
        assert!(!err.text().contains(&SECRET[..3]), "{}", err.text());
    }
}

#[test]
fn only_a_clear_yes_is_a_yes() {
    for (typed, yes) in [("y\n", true), ("YES\n", true), ("\n", false), ("n\n", false), ("", false), ("yess\n", false)]
    {
        assert_eq!(ui(typed).0.confirm("go on?"), yes, "{typed:?}");
    }
    for (typed, same) in
        [("production\n", true), ("production", true), ("Production\n", false), ("y\n", false), ("", false)]
    {
        assert_eq!(ui(typed).0.confirm_typed("type it", "production"), same, "{typed:?}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error_but_a_full_disk_is() {
    let (mut ui, _) = ui_on(Broken(io::ErrorKind::BrokenPipe), "");
    ui.out("data");
    assert!(ui.finish().is_ok());
    let (mut ui, _) = ui_on(Broken(io::ErrorKind::StorageFull), "");
    ui.out("data");
    assert_eq!(ui.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn an_error_shows_its_message_then_facts_then_what_to_do() {
    let (mut ui, out, err) = ui("");
    let error = CliError::new(Exit::Protected, "refused: this is not production's cluster")
        .detail("production is bound to   1f0c6e1a")
        .hint("you meant what lives there:   rekindle up standby");
    ui.error(&error, false);
    assert_eq!(out.text(), "");
    insta::assert_snapshot!(err.text(), @"
    ✗ refused: this is not production's cluster

      production is bound to   1f0c6e1a

      you meant what lives there:   rekindle up standby
    ");
    ui.error(&error, true);
    insta::assert_snapshot!(out.text(), @r#"{"version":1,"event":"error","exit":4,"message":"refused: this is not production's cluster","mistakes":[],"details":["production is bound to   1f0c6e1a"],"hints":["you meant what lives there:   rekindle up standby"]}"#);
}
