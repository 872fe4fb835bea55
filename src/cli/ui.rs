//! The terminal: the one place where text leaves the process, and so the one place that redacts.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::report::sanitize::clean;
use crate::report::text::{Line, Tone};
use crate::secrets::redact::Redactor;

/// Columns where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 100;

/// What the process environment says about the terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Colour may be used where there is a terminal: `NO_COLOR` is not set.
    pub colour: bool,
    /// The terminal cannot move its cursor: `TERM=dumb`.
    pub dumb: bool,
    /// `$COLUMNS`.
    pub columns: Option<usize>,
}

/// Owns standard output, standard error and standard input. Data goes to stdout, all else to stderr; every byte passes the
/// redactor. Clones share the streams.
#[derive(Clone)]
pub struct Ui {
    redactor: Redactor,
    streams: Arc<Mutex<Streams>>,
    /// Whether stderr is a terminal that understands cursor movement.
    pub interactive: bool,
    /// Whether colour may be used on stderr.
    pub colour: bool,
    colour_out: bool,
    can_ask: bool,
    columns: Option<usize>,
}

struct Streams {
    redactor: Redactor,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    input: Box<dyn BufRead + Send>,
    /// Both streams end in one terminal, so that data must not be written into the live block.
    shared: bool,
    /// The live block as it stands at the end of stderr: painted lines and the columns each takes.
    block: Vec<(String, usize)>,
    /// The first failed write to stdout, other than by a reader that has gone.
    failure: Option<io::Error>,
}

impl Ui {
    /// A user interface on the process's streams.
    pub fn new(wishes: Wishes) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let redactor = Redactor::default();
        Self {
            redactor: redactor.clone(),
            interactive: err && !wishes.dumb,
            colour: err && wishes.colour && !wishes.dumb,
            colour_out: out && wishes.colour && !wishes.dumb,
            can_ask: err && io::stdin().is_terminal(),
            columns: wishes.columns,
            streams: Arc::new(Mutex::new(Streams {
                redactor,
                out: Box::new(io::stdout()),
                err: Box::new(io::stderr()),
                input: Box::new(io::BufReader::new(io::stdin())),
                shared: out && err,
                block: Vec::new(),
                failure: None,
            })),
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The redactor, to teach it secret values. Clones of it share what they know.
    pub fn redactor_mut(&mut self) -> &mut Redactor {
        &mut self.redactor
    }

    /// A text as it would be printed. For texts that are cut before they are printed: a part of a secret is not recognised.
    pub fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    /// Columns of the terminal, `$COLUMNS` if that is less or there is no terminal, else 100.
    pub fn width(&self) -> usize {
        self.size().0
    }

    /// Columns and rows.
    pub fn size(&self) -> (usize, usize) {
        match terminal_size::terminal_size_of(io::stderr()).filter(|_| self.interactive) {
            Some((width, height)) => (self.columns.unwrap_or(usize::MAX).min(width.0.into()), height.0.into()),
            None => (self.columns.unwrap_or(DEFAULT_WIDTH), usize::MAX),
        }
    }

    /// Writes a line of data to stdout.
    pub fn out(&mut self, line: &str) {
        self.streams().out(line);
    }

    /// Writes a text to stdout as it is, without a line end: the one way around the redactor, for a secret whose value
    /// was asked for by name.
    pub fn reveal(&mut self, text: &str) {
        let mut streams = self.streams();
        let written = streams.out.write_all(text.as_bytes());
        streams.note(written);
    }

    /// Writes a value as one line of JSON to stdout. Its texts are redacted before they are escaped.
    pub fn out_json(&mut self, mut value: serde_json::Value) {
        self.redactor.redact_json(&mut value);
        self.out(&value.to_string());
    }

    /// Writes lines of a view to stdout.
    pub fn out_lines(&mut self, lines: &[Line]) {
        let colour = self.colour_out;
        for line in lines {
            self.out(&line.paint(colour));
        }
    }

    /// Writes a line for people to stderr, above the live block if there is one.
    pub fn say(&mut self, line: &str) {
        let width = self.width();
        self.streams().say(&format!("{line}\n"), width);
    }

    /// Writes lines of a view to stderr, above the live block if there is one.
    pub fn say_lines(&mut self, lines: &[Line]) {
        if lines.is_empty() {
            return;
        }
        let text: String = lines.iter().map(|line| line.paint(self.colour) + "\n").collect();
        let width = self.width();
        self.streams().say(&text, width);
    }

    /// Draws the live block, in the place of the one before. Lines are cut to the terminal; only where [`Ui::interactive`].
    pub fn paint(&mut self, lines: &[Line]) {
        let (width, height) = self.size();
        // A block higher than the terminal could not be overwritten; its end is what moves.
        let first = lines.len().saturating_sub(height.saturating_sub(1));
        let colour = self.colour;
        let mut streams = self.streams();
        let block = lines[first..]
            .iter()
            .map(|line| {
                // Before it is cut: a part of a secret would not be recognised.
                let line = line.clone().map(|text| streams.redactor.redact(text)).fit(width.saturating_sub(1));
                (streams.redactor.redact(&line.paint(colour)), line.width())
            })
            .collect();
        streams.paint(block, width);
    }

    /// Removes the live block.
    pub fn clear(&mut self) {
        let width = self.width();
        self.streams().paint(Vec::new(), width);
    }

    /// Whether somebody sits at a terminal who can be asked.
    pub fn can_ask(&self) -> bool {
        self.can_ask
    }

    /// Asks a question; only `y` and `yes` are a yes. An ended input is a no.
    pub fn confirm(&mut self, question: &str) -> bool {
        matches!(self.ask(&format!("{question} [y/N] ")).to_lowercase().as_str(), "y" | "yes")
    }

    /// Asks for a name to be typed, e.g. `Type the name of the environment to go on`; true if exactly that was typed.
    pub fn confirm_typed(&mut self, request: &str, name: &str) -> bool {
        self.ask(&format!("{request}: ")) == name
    }

    fn ask(&mut self, prompt: &str) -> String {
        let width = self.width();
        let mut streams = self.streams();
        streams.paint(Vec::new(), width);
        let prompt = streams.redactor.redact(prompt);
        let _ = streams.err.write_all(prompt.as_bytes()).and_then(|()| streams.err.flush());
        let mut answer = String::new();
        let _ = streams.input.read_line(&mut answer);
        answer.trim().to_owned()
    }

    /// Shows an error with its mistakes, details and hints; with `json` also as the last line of stdout.
    pub fn error(&mut self, error: &CliError, json: bool) {
        if json {
            self.out_json(error.to_json());
        }
        // What a cluster answers is no text to trust a terminal with.
        let redactor = self.redactor.clone();
        let safe = |text: &str| clean(&redactor.redact(text));
        let mut lines = vec![Line::new().with(Tone::Bad, "✗ ").with(Tone::Strong, safe(&error.message))];
        if !error.mistakes.is_empty() {
            self.say_lines(&lines);
            self.say(&format!("\n{}", super::mistakes::render(&error.mistakes, self.colour).trim_end()));
            lines.clear();
        }
        for block in [&error.details, &error.hints] {
            if !block.is_empty() {
                lines.push(Line::new());
            }
            lines.extend(block.iter().map(|line| Line::from(format!("  {}", safe(line)))));
        }
        self.say_lines(&lines);
    }

    /// Tells of a panic. Goes around the shared streams, which the thread that panicked may hold.
    pub fn tell_of_bug(&self, panic: &str) {
        let text = format!("{}\n", clean(&self.redactor.redact(&panic.replace('\n', " "))));
        let _ = io::stderr().write_all(text.as_bytes());
    }

    /// Starts logging to stderr, through the redactor: nothing at 0, what Rekindle does and its requests to the cluster at 1,
    /// everything else too from 2 on. Call once.
    pub fn start_logging(&self, verbose: u8) {
        if verbose > 0 {
            let _ = tracing::subscriber::set_global_default(self.subscriber(verbose));
        }
    }

    fn subscriber(&self, verbose: u8) -> impl tracing::Subscriber + Send + Sync + use<> {
        // Headers and frames of the lower layers would drown the rest.
        let filter = match verbose {
            0 => "off",
            1 => "rekindle=debug,kube_client=debug",
            _ => "debug,rekindle=trace,kube_client=trace,h2=info,rustls=info",
        };
        let ui = self.clone();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_ansi(false)
            .with_timer(tracing_subscriber::fmt::time::uptime())
            .with_writer(move || LogWriter { ui: ui.clone(), text: Vec::new() })
            .finish()
    }

    /// Flushes; to be called last.
    ///
    /// # Errors
    /// When data could not be written to stdout, for instance to a full disk. A reader that has gone is no error.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut streams = self.streams();
        let flushed = streams.out.flush();
        streams.note(flushed);
        let _ = streams.err.flush();
        streams.failure.take().map_or(Ok(()), Err)
    }
}

impl Streams {
    fn out(&mut self, line: &str) {
        let block = if self.shared { self.erase() } else { Vec::new() };
        let text = self.redactor.redact(line) + "\n";
        let written = self.out.write_all(text.as_bytes());
        self.note(written);
        if !block.is_empty() {
            let flushed = self.out.flush();
            self.note(flushed);
            self.paint(block, usize::MAX);
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.failure.get_or_insert(error);
        }
    }

    fn say(&mut self, text: &str, width: usize) {
        let block = std::mem::take(&mut self.block);
        let mut bytes = up(&block, width);
        if !block.is_empty() {
            bytes.push_str("\u{1b}[J");
        }
        bytes.push_str(&self.redactor.redact(text));
        for (line, _) in &block {
            bytes.push_str(line);
            bytes.push('\n');
        }
        self.block = block;
        let _ = self.err.write_all(bytes.as_bytes()).and_then(|()| self.err.flush());
    }

    fn erase(&mut self) -> Vec<(String, usize)> {
        let block = std::mem::take(&mut self.block);
        if !block.is_empty() {
            let bytes = up(&block, usize::MAX) + "\u{1b}[J";
            let _ = self.err.write_all(bytes.as_bytes()).and_then(|()| self.err.flush());
        }
        block
    }

    /// Replaces the live block, in one write and line by line, so that nothing flickers.
    fn paint(&mut self, block: Vec<(String, usize)>, width: usize) {
        if block.is_empty() && self.block.is_empty() {
            return;
        }
        let mut bytes = up(&self.block, width);
        for (line, _) in &block {
            bytes.push_str(line);
            bytes.push_str("\u{1b}[K\n");
        }
        bytes.push_str("\u{1b}[J");
        self.block = block;
        let _ = self.err.write_all(bytes.as_bytes()).and_then(|()| self.err.flush());
    }
}

/// Moves the cursor to the block's first column. A terminal that was made narrower has broken its longer lines.
fn up(block: &[(String, usize)], width: usize) -> String {
    let rows: usize = block.iter().map(|(_, columns)| columns.div_ceil(width.max(1)).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\u{1b}[{rows}A\r") }
}

/// Collects one log record, which then leaves in one piece: a secret is not cut between two writes.
struct LogWriter {
    ui: Ui,
    text: Vec<u8>,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            let text = String::from_utf8_lossy(&self.text);
            self.ui.say(text.trim_end_matches('\n'));
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
