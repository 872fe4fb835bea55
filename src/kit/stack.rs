//! `templates/stack.yaml`: the stack's name and its phases in order.

use super::layer::{Checker, PHASE_KEYS, check_label};
use super::{Kit, PhaseSettings, mistake};
use crate::manifest::Origin;
use crate::manifest::duration::parse_duration;
use crate::manifest::mistake::{Mistake, Mistakes};
use crate::manifest::yaml::{Key, Node, NodeKind, parse_node};

/// Path of the stack file.
pub const STACK_FILE: &str = "templates/stack.yaml";
/// The folder below `templates/` that is no phase.
pub const COMPONENTS: &str = "components";

/// What the stack file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// `name:`.
    pub name: String,
    /// `phases:`, in order.
    pub phases: Vec<StackPhase>,
}

/// A phase as the stack file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackPhase {
    /// Its name, also the name of its folder below `templates/`.
    pub name: String,
    /// Its limits.
    pub settings: PhaseSettings,
    /// `standby: wait`: it is left out while a data set follows another environment's archive.
    pub waits: bool,
    /// Where it is named.
    pub origin: Origin,
}

impl PhaseSettings {
    /// Reads settings that [`Checker::phase_settings`] has checked.
    pub(super) fn read<'a>(entries: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let mut settings = Self::default();
        for (key, value) in entries {
            let value = value.and_then(|text| parse_duration(text).ok());
            match key {
                "timeout" => settings.timeout = value,
                "object_timeout" => settings.object_timeout = value,
                "stall_timeout" => settings.stall_timeout = value,
                "pull_grace" => settings.pull_grace = value,
                "crash_grace" => settings.crash_grace = value,
                _ => {}
            }
        }
        settings
    }

    /// These settings where they are stated, else those.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            timeout: self.timeout.or(other.timeout),
            object_timeout: self.object_timeout.or(other.object_timeout),
            stall_timeout: self.stall_timeout.or(other.stall_timeout),
            pull_grace: self.pull_grace.or(other.pull_grace),
            crash_grace: self.crash_grace.or(other.crash_grace),
        }
    }
}

impl Kit {
    /// The phases that are left out while a data set follows another environment's archive.
    ///
    /// # Errors
    /// Every mistake in the stack file.
    pub fn waiting_phases(&self) -> Result<Vec<String>, Mistakes> {
        Ok(self.stack()?.phases.into_iter().filter(|phase| phase.waits).map(|phase| phase.name).collect())
    }

    /// Reads the stack file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn stack(&self) -> Result<Stack, Mistakes> {
        let text = match self.text(STACK_FILE) {
            Some(Ok(text)) => text,
            Some(Err(mistakes)) => return Err(mistakes),
            None => return Err(mistake("no-kit", "the kit has no templates/stack.yaml", "", None).into()),
        };
        let mut mistakes = Vec::new();
        let stack = read(text, &mut mistakes);
        match stack {
            Some(stack) if mistakes.is_empty() => Ok(stack),
            _ => Err(Mistakes(mistakes)),
        }
    }
}

fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Stack> {
    let node = match parse_node(text) {
        Ok(Some(node)) => node,
        Ok(None) => {
            mistakes.push(mistake("type", "is empty, it must have name and phases", STACK_FILE, None));
            return None;
        }
        Err(error) => {
            mistakes.push(error.mistake(STACK_FILE, text));
            return None;
        }
    };
    let mut checker = Checker { file: STACK_FILE, text, mistakes };
    let entries = checker.map_of("the stack", &node)?;
    let (mut name, mut phases) = (None, None);
    for (key, value) in entries {
        if !checker.known(key, &["name", "phases"], "the stack") {
            continue;
        }
        match key.text.as_str() {
            "name" => name = checker.text_of(key, value).map(str::to_owned),
            _ => phases = Some(read_phases(&mut checker, value)),
        }
    }
    for (key, missing) in [("name", name.is_none()), ("phases", phases.is_none())] {
        if missing && !entries.iter().any(|(found, _)| found.text == key) {
            checker.wrong("missing", format!("the stack has no {key}"), &node);
        }
    }
    Some(Stack { name: name?, phases: phases? })
}

fn read_phases(checker: &mut Checker<'_>, node: &Node) -> Vec<StackPhase> {
    let mut phases: Vec<StackPhase> = Vec::new();
    let items = match &node.kind {
        NodeKind::List(items) if !items.is_empty() => items.as_slice(),
        NodeKind::List(_) => {
            checker.wrong("type", "phases is empty: a stack has at least one phase", node);
            &[]
        }
        _ => {
            checker.wrong("type", format!("phases is {}, it must be a list of phases", node.describe()), node);
            &[]
        }
    };
    for item in items {
        let Some(entries) = checker.map_of("a phase", item) else { continue };
        checker.phase_settings("a phase", entries, &["name", "standby"]);
        let find = |wanted: &str| entries.iter().find(|(key, _): &&(Key, Node)| key.text == wanted);
        let standby = find("standby").map(|(_, value)| value);
        if let Some(value) = standby.filter(|value| value.as_text() != Some("wait")) {
            checker.wrong("type", "standby is wait (leave the phase out of a stand-by), or is not written", value);
        }
        let Some((key, name_node)) = find("name") else {
            checker.wrong("missing", "a phase has no name", item);
            continue;
        };
        let Some(name) = checker.text_of(key, name_node) else { continue };
        if let Err(message) = check_label(name) {
            checker.wrong("name", format!("the phase {name} {message}"), name_node);
        } else if name == COMPONENTS {
            checker.wrong("name", "a phase cannot be called components: that folder holds Tera components", name_node);
        } else if let Some(before) = phases.iter().find(|phase| phase.name == name) {
            let message = format!("the phase {name} is already named on line {}", before.origin.line);
            checker.wrong("duplicate", message, name_node);
        } else {
            let settings = PhaseSettings::read(
                PHASE_KEYS.iter().filter_map(|key| find(key).map(|(_, value)| (*key, value.as_text()))),
            );
            let origin = Origin { file: STACK_FILE.into(), line: item.place.line };
            phases.push(StackPhase { name: name.to_owned(), settings, waits: standby.is_some(), origin });
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phases_keep_their_order_and_limits() {
        let mut mistakes = Vec::new();
        let stack = read(
            "name: s\nphases:\n- {name: z, timeout: 5m}\n- name: a\n  crash_grace: 90s\n  standby: wait\n",
            &mut mistakes,
        )
        .unwrap();
        assert_eq!(mistakes, []);
        assert_eq!(stack.phases.iter().map(|phase| phase.name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(stack.phases[0].settings.timeout, Some(Duration::from_secs(300)));
        assert_eq!(stack.phases[1].settings.crash_grace, Some(Duration::from_secs(90)));
        assert_eq!(stack.phases[1].origin.line, 4);
        assert_eq!(stack.phases.iter().map(|phase| phase.waits).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn every_mistake_is_told() {
        let mut mistakes = Vec::new();
        let text = "nmae: s\nphases:\n- {name: a, timeout: 5}\n- {nam: b}\n- {name: a}\n- {name: components}\n- x\n- {name: B}\n- {name: c, standby: leave}\n";
        read(text, &mut mistakes);
        let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        templates/stack.yaml:1:1: the stack has no key nmae
        templates/stack.yaml:3:22: timeout is a number, it must be a duration such as 90s, 10m or 1h30m
        templates/stack.yaml:4:4: a phase has no key nam
        templates/stack.yaml:4:3: a phase has no name
        templates/stack.yaml:5:10: the phase a is already named on line 3
        templates/stack.yaml:6:10: a phase cannot be called components: that folder holds Tera components
        templates/stack.yaml:7:3: a phase is a text, it must be a mapping
        templates/stack.yaml:8:10: the phase B may hold only small letters, digits and -, and begins and ends with a letter or digit
        templates/stack.yaml:9:22: standby is wait (leave the phase out of a stand-by), or is not written
        templates/stack.yaml:1:1: the stack has no name
        ");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), noise in "[a-z:\\-\\[\\]{}, \n]{0,40}") {
            read(&text, &mut Vec::new());
            read(&format!("name: a\nphases:\n{noise}"), &mut Vec::new());
        }
    }
}
