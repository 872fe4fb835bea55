//! Reports of scripted runs, and of runs whose every text is hostile.

#![allow(clippy::unwrap_used)]

use super::{About, Form, Report};
use crate::data::{Choice, ClaimDecision, Source};
use crate::health::diagnosis::Diagnosis;
use crate::rebuild::event::{Action, Event, EventKind, Outcome};
use crate::rehearsal::filling::{FilledSet, Via};
use crate::rehearsal::needs::Needs;
use crate::report::progress::Progress;
use crate::report::tests::script::{self, Script, cluster_event, container};
use crate::report::{ending, rehearsal, sanitize};

/// All that a text from outside may try at once.
const HOSTILE: &str = "</title></style><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;|`*_[a](b)\\ שלום";

fn about() -> About {
    About {
        command: "rekindle up production".into(),
        by: "me@laptop".into(),
        ending: ending::Setting {
            again: "rekindle up production".into(),
            look: "rekindle status production".into(),
            hosts: vec!["https://acoustid.org".into()],
            ..ending::Setting::default()
        },
        rehearsal: None,
    }
}

fn filled(data_set: &str) -> FilledSet {
    FilledSet {
        data_set: data_set.into(),
        workload: "StatefulSet/postgresql-app".into(),
        via: Via::Backup,
        volumes: 1,
        bytes: 50 << 30,
        rate: 30_000_000,
        seconds: 1800.0,
        supposed: false,
    }
}

fn rehearsed() -> About {
    let setting = rehearsal::Setting {
        took: 0.31,
        measured: vec!["Deployment/api".into()],
        supposed: vec!["StatefulSet/redis takes 20m".into()],
        assumed: vec!["4 s for an image that is new to a node".into()],
        needs: Needs { nodes: 3, images: [HOSTILE.to_owned()].into(), ..Needs::default() },
        filled: vec![filled("postgresql-app")],
        secrets: true,
        ..rehearsal::Setting::default()
    };
    About { rehearsal: Some(setting), ..about() }
}

/// What a reader of the page sees, tag by tag; only to look at.
fn shown(html: &str) -> String {
    let body = html.split_once("<body>").unwrap().1;
    let mut text = String::new();
    let mut inside = false;
    for character in body.chars() {
        match character {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            character if !inside => text.push(character),
            _ => {}
        }
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn rendered(script: &Script, about: &About, form: Form) -> String {
    form.render(&Report::of(&script.progress(), about), &str::to_owned)
}

#[test]
fn a_rebuild_is_told_on_one_page() {
    insta::assert_snapshot!(shown(&rendered(&script::success(), &about(), Form::Html)));
}

#[test]
fn a_rehearsal_says_what_its_times_rest_on() {
    insta::assert_snapshot!(shown(&rendered(&script::success(), &rehearsed(), Form::Html)));
}

#[test]
fn a_failure_comes_with_its_diagnosis() {
    insta::assert_snapshot!(shown(&rendered(&script::crash(), &about(), Form::Html)));
}

/// A run in which every text that may come from outside is the same one.
fn hostile(text: &str) -> Progress {
    let mut script = Script::new(&[(text, 2, 3, 1)]);
    let name = format!("Deployment/{text}");
    script.at(1.0).begin(text).applied(text, &name, Action::Created).waiting(text, &name, text);
    script.at(9.0).ready(text, &name, 8.0).passed(text, text, text, 1.0).skipped(text, &format!("off {text}"), text);
    script.asked(text, &format!("asked {text}"), text).warning(text);
    let diagnosis = Diagnosis {
        containers: vec![crate::health::diagnosis::ContainerReport {
            pod: text.into(),
            container: text.into(),
            ..container(text, &[text])
        }],
        events: vec![cluster_event(text, text)],
    };
    script.failed(text, &format!("Deployment/failing-{text}"), text, diagnosis);
    script.not_passed(text, &format!("failing {text}"), text);
    let claim = ClaimDecision {
        namespace: text.into(),
        name: text.into(),
        choice: Choice::Adopt { volume: text.into() },
        reason: text.into(),
    };
    let decision = EventKind::Decision {
        phase: String::new(),
        data_set: text.into(),
        decision: text.into(),
        source: Source::Adopt,
        claims: vec![claim],
        recovery_point: None,
        standby: String::new(),
    };
    let kept = EventKind::ObjectKept { phase: text.into(), object: script::object(&name), reason: text.into() };
    let pruned = EventKind::ObjectPruned { phase: text.into(), object: script::object(&name) };
    let time = script::time(9.0);
    let more = [decision, kept, pruned].map(|kind| Event { version: 1, time, run: text.into(), kind });
    script.events.extend(more);
    script.end(Outcome::Unhealthy, 7, &[(text, text, 8.0)]);
    for event in &mut script.events {
        event.run = text.into();
        if let EventKind::RunStarted { environment, context, server, kubernetes, .. } = &mut event.kind {
            [environment, context, server, kubernetes].into_iter().for_each(|it| *it = text.into());
        }
    }
    script.progress()
}

/// What the command line knows beside the events, hostile as well.
fn hostile_about(text: &str) -> About {
    let texts = || vec![text.to_owned()];
    let ending = ending::Setting { again: text.into(), look: text.into(), hosts: texts(), ..Default::default() };
    let needs = Needs { images: [text.to_owned()].into(), hosts: [text.to_owned()].into(), ..Needs::default() };
    let setting = rehearsal::Setting {
        measured: texts(),
        supposed: texts(),
        assumed: texts(),
        filled: vec![filled(text)],
        needs,
        ..Default::default()
    };
    About { command: text.into(), by: text.into(), ending, rehearsal: Some(setting) }
}

/// The tags of a page, each without what its attributes hold.
fn tags(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((_, behind)) = rest.split_once('<') {
        let (tag, behind) = behind.split_once('>').unwrap();
        let mut bare = String::new();
        for (index, piece) in tag.split('"').enumerate() {
            bare.push_str(if index % 2 == 0 { piece } else { "…" });
        }
        tags.push(bare);
        rest = behind;
    }
    tags
}

#[test]
fn no_text_from_outside_becomes_markup() {
    for rehearsal in [false, true] {
        let page = |text: &str| {
            let about = if rehearsal { hostile_about(text) } else { About { rehearsal: None, ..hostile_about(text) } };
            Form::Html.render(&Report::of(&hostile(text), &about), &sanitize::clean)
        };
        let (harmless, harmed) = (page("harmless"), page(HOSTILE));
        assert_eq!(tags(&harmless), tags(&harmed));
        assert!(harmed.contains("&lt;script&gt;alert(1)"), "{harmed}");
        // Each place that shows the harmless text shows the hostile one, whole.
        let escaped = Form::Html.render(&Report::of(&hostile("x"), &About::default()), &|_| sanitize::clean(HOSTILE));
        assert!(!escaped.contains("<script") && !escaped.contains("<img"), "{escaped}");
    }
}

#[test]
fn a_name_of_any_length_is_in_it_whole() {
    let long = "a".repeat(5000);
    let html = Form::Html.render(&Report::of(&hostile(&long), &hostile_about(&long)), &str::to_owned);
    assert!(html.contains(&format!("<bdi>Deployment/failing-{long}</bdi>")));
}

#[test]
fn every_text_is_changed_before_it_is_escaped() {
    // What only escaping would hide from a redactor: a secret with a quote in it.
    let secret = "pass\"phrase<3";
    let html =
        Form::Html.render(&Report::of(&hostile(secret), &hostile_about(secret)), &|text| text.replace(secret, "•••"));
    assert!(html.contains("•••"));
    assert!(!html.contains("phrase"), "{html}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_the_texts_the_markup_is_the_same(text in "[<>\"'&a-z=/ \u{5d0}-\u{5d4}\\PC]{1,24}") {
        // A phase of another name than another's, an object's name without a slash: what the script wants of them.
        let text = format!("x{}", sanitize::clean(&text).replace('/', "|"));
        let page = |text: &str| Form::Html.render(&Report::of(&hostile(text), &hostile_about(text)), &sanitize::clean);
        proptest::prop_assert_eq!(tags(&page("x")), tags(&page(&text)));
    }
}

#[test]
fn a_run_of_which_nothing_is_known_has_a_page_too() {
    let html = Form::Html.render(&Report::of(&Progress::default(), &About::default()), &str::to_owned);
    assert!(html.ends_with("</html>\n"), "{html}");
}

const FORMS: [Form; 4] = [Form::Html, Form::Json, Form::Markdown, Form::Junit];

#[test]
fn a_rehearsal_is_told_in_markdown() {
    insta::assert_snapshot!(rendered(&script::success(), &rehearsed(), Form::Markdown));
}

#[test]
fn a_failure_is_told_in_markdown() {
    insta::assert_snapshot!(rendered(&script::crash(), &about(), Form::Markdown));
}

#[test]
fn a_failure_is_a_case_of_junit() {
    insta::assert_snapshot!(rendered(&script::crash(), &about(), Form::Junit));
}

#[test]
fn a_lost_cluster_fails_in_junit_as_well() {
    let mut script = script::in_services();
    script.at(90.0).end(Outcome::Unreachable, 5, &[]);
    let xml = rendered(&script, &about(), Form::Junit);
    assert!(xml.contains("failures=\"1\"") && xml.contains("the cluster is not reached any more"), "{xml}");
}

#[test]
fn json_holds_numbers_times_and_steps() {
    let text = rendered(&script::success(), &rehearsed(), Form::Json);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((value["version"].as_u64(), value["kind"].as_str()), (Some(1), Some("rehearsal")));
    assert_eq!((value["good"].as_bool(), value["seconds"].as_f64()), (Some(true), Some(252.0)));
    let redis = &value["phases"][1]["steps"][4];
    assert_eq!((redis["step"].as_str(), redis["seconds"].as_f64()), (Some("StatefulSet/redis"), Some(11.2)));
    assert_eq!(redis["source"], "supposed");
    assert_eq!(value["rehearsal"]["needs"]["nodes"], 3);
}

#[test]
fn no_form_shows_a_secret() {
    let secret = "pass\"phrase<3";
    for form in FORMS {
        let report = Report::of(&hostile(secret), &hostile_about(secret));
        let text = form.render(&report, &|text| text.replace(secret, "•••"));
        assert!(text.contains("•••") && !text.contains("word<3") && !text.contains("word&lt;3"), "{form:?}: {text}");
    }
}

/// What Markdown acts on in a text, line by line; nothing is markup in a block of code.
fn acting(markdown: &str) -> Vec<String> {
    let lines = markdown.lines().filter(|line| !line.starts_with("    "));
    let acting = lines.map(|line| {
        let mut escaped = false;
        let mut acting = String::new();
        for character in line.chars() {
            match character {
                '\\' if !escaped => escaped = true,
                _ if escaped => escaped = false,
                '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '#' => acting.push(character),
                _ => {}
            }
        }
        acting
    });
    acting.collect()
}

#[test]
fn no_text_from_outside_acts_in_markdown_or_xml() {
    let render =
        |form: Form, text: &str| form.render(&Report::of(&hostile(text), &hostile_about(text)), &sanitize::clean);
    assert_eq!(acting(&render(Form::Markdown, "harmless")), acting(&render(Form::Markdown, HOSTILE)));
    assert_eq!(tags(&render(Form::Junit, "harmless")), tags(&render(Form::Junit, HOSTILE)));
    assert!(!render(Form::Junit, "a\u{1}b\u{ffff}").contains(['\u{1}', '\u{ffff}']));
    let listed = render(Form::Markdown, "1. - one");
    assert!(listed.contains("- 1\\. - one") && !listed.contains("- 1. - one"), "{listed}");
}
