//! Text from the cluster made safe to show: secrets out before anything is cut, escape sequences and control characters out
//! before they reach a terminal.

use crate::health::diagnosis::{ContainerReport, Diagnosis, EventReport};
use crate::rebuild::event::{Event, EventKind};

/// Text on one line without escape sequences, control characters and invisible direction marks. A log line or an error of
/// a cluster may hold anything; a terminal must not act on it.
pub fn clean(text: &str) -> String {
    let stripped = anstream::adapter::strip_str(text).to_string();
    let mut clean = String::with_capacity(stripped.len());
    for character in stripped.chars() {
        match character {
            '\t' => clean.push_str("    "),
            '\n' if clean.ends_with(' ') => {}
            '\n' => clean.push(' '),
            character if character.is_control() => {}
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            character => clean.push(character),
        }
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Applies `change` to every text of an event that comes from the cluster or the kit. Redaction must see whole values: after
/// a line is cut to a terminal's width it is too late.
pub fn map_text(event: &mut Event, change: &dyn Fn(&str) -> String) {
    let apply = |text: &mut String| *text = change(text);
    match &mut event.kind {
        EventKind::RunStarted { environment, stack, context, server, kubernetes, .. } => {
            [environment, stack, context, server, kubernetes].into_iter().for_each(apply);
        }
        EventKind::ObjectWaiting { reason, .. }
        | EventKind::ObjectReady { reason, .. }
        | EventKind::GateSkipped { reason, .. } => apply(reason),
        EventKind::ObjectFailed { reason, diagnosis, .. } => {
            apply(reason);
            map_diagnosis(diagnosis, &apply);
        }
        EventKind::GateWaiting { answer, .. }
        | EventKind::GatePassed { answer, .. }
        | EventKind::GateFailed { answer, .. } => apply(answer),
        EventKind::ObjectKept { reason, .. } => apply(reason),
        EventKind::VolumeKept { proof } => {
            [&mut proof.place, &mut proof.phase, &mut proof.policy, &mut proof.size].into_iter().for_each(apply);
        }
        EventKind::VolumeRetained { before, .. } => apply(before),
        EventKind::Decision { claims, .. } => claims.iter_mut().for_each(|claim| apply(&mut claim.reason)),
        EventKind::Warning { message } => apply(message),
        EventKind::PhaseStarted { .. }
        | EventKind::ObjectApplied { .. }
        | EventKind::TakingDown { .. }
        | EventKind::ObjectPruned { .. }
        | EventKind::ObjectDeleted { .. }
        | EventKind::DataDeleted { .. }
        | EventKind::PhaseFinished { .. }
        | EventKind::RunFinished { .. } => {}
    }
}

fn map_diagnosis(diagnosis: &mut Diagnosis, apply: &dyn Fn(&mut String)) {
    for ContainerReport { pod, container, state, last_words } in &mut diagnosis.containers {
        [pod, container, state].into_iter().for_each(apply);
        last_words.iter_mut().for_each(apply);
    }
    for EventReport { time, severity, reason, regarding, message } in &mut diagnosis.events {
        [time, severity, reason, regarding, message].into_iter().for_each(apply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_removed() {
        for (hostile, shown) in [
            ("\u{1b}[31mERROR\u{1b}[0m gone", "ERROR gone"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("one\r\ntwo\n\nthree", "one two three"),
            ("a\tb", "a    b"),
            ("bell\u{7} back\u{8}", "bell back"),
            ("\u{202e}txt.exe", "txt.exe"),
            ("plain ✓ 日本", "plain ✓ 日本"),
        ] {
            assert_eq!(clean(hostile), shown, "{hostile:?}");
        }
    }

    #[test]
    fn every_text_of_an_event_is_changed() {
        use crate::manifest::Origin;
        use crate::rebuild::event::ObjectName;

        let secret = || "s3cret".to_owned();
        let object = ObjectName { api_version: "v1".into(), kind: "Pod".into(), namespace: None, name: "x".into() };
        let (phase, gate, origin) = ("p".to_owned(), "g".to_owned(), Origin::default());
        let container = ContainerReport {
            pod: secret(),
            container: secret(),
            state: secret(),
            last_words: vec![secret(), secret()],
        };
        let event = EventReport {
            time: secret(),
            severity: secret(),
            reason: secret(),
            regarding: secret(),
            message: secret(),
        };
        let diagnosis = Diagnosis { containers: vec![container], events: vec![event] };
        for kind in [
            EventKind::ObjectWaiting { phase: phase.clone(), object: object.clone(), reason: secret() },
            EventKind::ObjectReady { phase: phase.clone(), object: object.clone(), seconds: 1.0, reason: secret() },
            EventKind::ObjectFailed {
                phase: phase.clone(),
                object,
                origin: origin.clone(),
                reason: secret(),
                diagnosis,
            },
            EventKind::GateWaiting { phase: phase.clone(), gate: gate.clone(), answer: secret() },
            EventKind::GatePassed { phase: phase.clone(), gate: gate.clone(), answer: secret(), seconds: 1.0 },
            EventKind::GateSkipped { phase: phase.clone(), gate: gate.clone(), reason: secret() },
            EventKind::GateFailed { phase, gate, origin, answer: secret() },
            EventKind::Warning { message: secret() },
        ] {
            let mut event = Event { version: 1, time: jiff::Timestamp::UNIX_EPOCH, run: "r".into(), kind };
            map_text(&mut event, &|text| text.replace("s3cret", "•••"));
            let text = crate::report::json::value(&event).to_string();
            assert!(text.contains("•••") && !text.contains("s3cret"), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_controls_survives(text in "\\PC*|[\\x00-\\x20\\x7f-\\u{9f}\\[a-z;0-9]{0,60}") {
            proptest::prop_assert!(!clean(&text).chars().any(char::is_control));
        }
    }
}
