//! What a person has decided about data on the command line.

use std::collections::BTreeSet;

/// One answer: what is to be done about a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Bind a volume.
    Adopt {
        /// To this claim of the data set; to the one that it fits without it.
        claim: Option<String>,
        /// The volume's name.
        volume: String,
    },
    /// Restore it.
    Restore {
        /// From this backup; from the newest without it.
        backup: Option<String>,
    },
    /// Begin empty.
    Empty,
    /// Go on with what is bound.
    Keep,
}

/// Everything that was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// `--data NAME=ANSWER`, in order.
    pub given: Vec<(String, Answer)>,
    /// `--allow-empty NAME`: these may begin empty when nothing is there.
    pub allow_empty: BTreeSet<String>,
    /// `--recover-to TIME`: what is restored is recovered up to then, and not to the end of the archive.
    pub recover_to: Option<jiff::Timestamp>,
    /// `--promote`: what follows another environment's archive stops following it and takes writes.
    pub promote: bool,
}

/// What can be answered, for messages.
pub const FORMS: &str = "adopt:VOLUME, adopt:CLAIM=VOLUME, restore, restore:BACKUP, empty or keep";

impl Answers {
    /// Reads `NAME=adopt:VOLUME`, `NAME=adopt:CLAIM=VOLUME`, `NAME=restore`, `NAME=restore:BACKUP`, `NAME=empty` or `NAME=keep`.
    ///
    /// # Errors
    /// What is wrong, as a fragment after the text itself.
    pub fn read(text: &str) -> Result<(String, Answer), String> {
        let Some((name, answer)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(format!("is not NAME=ANSWER; an answer is {FORMS}"));
        };
        let answer = match answer.split_once(':') {
            None if answer == "restore" => Answer::Restore { backup: None },
            None if answer == "empty" => Answer::Empty,
            None if answer == "keep" => Answer::Keep,
            Some(("adopt", volume)) => match volume.split_once('=') {
                None if !volume.is_empty() => Answer::Adopt { claim: None, volume: bare(volume) },
                Some((claim, volume)) if !claim.is_empty() && !volume.is_empty() => {
                    Answer::Adopt { claim: Some(claim.to_owned()), volume: bare(volume) }
                }
                _ => return Err("names no volume: adopt:VOLUME".into()),
            },
            None if answer == "adopt" => return Err("names no volume: adopt:VOLUME".into()),
            Some(("restore", "")) => return Err("names no backup: restore:BACKUP, or restore for the newest".into()),
            Some(("restore", backup)) => Answer::Restore { backup: Some(backup.to_owned()) },
            _ => return Err(format!("has an unknown answer; an answer is {FORMS}")),
        };
        Ok((name.to_owned(), answer))
    }

    /// What was answered about a data set.
    pub fn of(&self, data_set: &str) -> impl Iterator<Item = &Answer> {
        self.given.iter().filter(move |(name, _)| name == data_set).map(|(_, answer)| answer)
    }

    /// Whether somebody has said that it may begin empty.
    pub fn lets_be_empty(&self, data_set: &str) -> bool {
        self.allow_empty.contains(data_set) || self.of(data_set).any(|answer| *answer == Answer::Empty)
    }

    /// The data sets that are named.
    pub fn names(&self) -> BTreeSet<&str> {
        self.given.iter().map(|(name, _)| name).chain(&self.allow_empty).map(String::as_str).collect()
    }
}

/// `pv/NAME` is how messages name a volume.
fn bare(volume: &str) -> String {
    volume.strip_prefix("pv/").unwrap_or(volume).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let adopt = |claim: Option<&str>| Answer::Adopt { claim: claim.map(str::to_owned), volume: "pv-1".into() };
        for (text, expected) in [
            ("db=adopt:pv-1", adopt(None)),
            ("db=adopt:pv/pv-1", adopt(None)),
            ("db=adopt:data-db-0=pv-1", adopt(Some("data-db-0"))),
            ("db=restore", Answer::Restore { backup: None }),
            ("db=restore:base_1", Answer::Restore { backup: Some("base_1".into()) }),
            ("db=empty", Answer::Empty),
            ("db=keep", Answer::Keep),
        ] {
            assert_eq!(Answers::read(text), Ok(("db".to_owned(), expected)), "{text}");
        }
        for text in ["db", "=empty", "db=adopt", "db=adopt:", "db=adopt:a=", "db=nothing", "db=restore:", "db=empty:x"]
        {
            assert!(Answers::read(text).is_err(), "{text}");
        }
    }
}
