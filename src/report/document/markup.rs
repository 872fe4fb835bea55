//! HTML and XML that cannot be broken out of: markup is part of this program, everything else is escaped.

/// A page that is being written.
pub struct Page<'c> {
    html: String,
    change: &'c dyn Fn(&str) -> String,
}

impl<'c> Page<'c> {
    /// An empty page. `change` redacts and cleans every text before it is escaped.
    pub fn new(change: &'c dyn Fn(&str) -> String) -> Self {
        Self { html: String::new(), change }
    }

    /// Markup. It can only come from this program: no text that is put together at run time lives for so long.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.html.push_str(markup);
        self
    }

    /// A text, between tags or in a quoted attribute.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for character in (self.change)(text).chars() {
            match character {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                // Characters that XML has no way to write.
                '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
                character => self.html.push(character),
            }
        }
        self
    }

    /// A name from outside, set apart so that one written from right to left does not turn what stands beside it.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.raw("<bdi>").text(name).raw("</bdi>")
    }

    /// A share of a whole, for a length in a style: `12.34%`.
    pub fn share(&mut self, part: f64, whole: f64) -> &mut Self {
        let share = if whole > 0.0 { (part / whole * 100.0).clamp(0.0, 100.0) } else { 0.0 };
        self.html.push_str(&format!("{share:.3}%"));
        self
    }

    /// The page.
    pub fn end(self) -> String {
        self.html
    }
}
