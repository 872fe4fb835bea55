//! Consumers of a run's events: text for people, JSON for programs.
//!
//! [`json`] prints events as they are. Everything for people renders from [`progress::Progress`], a model fed by events:
//! [`lines`] where there is no terminal, [`screen`] where there is one, [`ending`] as the last thing in both.
//! [`document`] makes a file of the same model, to keep or to hand on.
//! [`status`] shows the verdicts of `rekindle status`. All of it is pure: text in, text out, no clock and no terminal.

pub mod data;
pub mod document;
pub mod down;
pub mod duration;
pub mod ending;
pub mod guard;
pub mod hosts;
pub mod json;
pub mod lines;
pub mod plan;
pub mod progress;
pub mod rehearsal;
pub mod resumed;
pub mod runs;
pub mod sanitize;
pub mod screen;
pub mod status;
pub mod text;
pub mod timeline;

#[cfg(test)]
pub(crate) mod tests;
