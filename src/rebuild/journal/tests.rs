#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::json;

use super::*;
use crate::report::json::value;
use crate::report::progress::Progress;
use crate::report::tests::script;

fn header(run: &str, environment: &str) -> Header {
    Header {
        journal: VERSION,
        rekindle: "0.1.0".into(),
        run: run.into(),
        time: script::time(0.0),
        command: "rekindle up production".into(),
        look: "rekindle status production".into(),
        environment: environment.into(),
        kit: None,
        stack: "acoustid".into(),
        cluster: "uid".into(),
        context: "here".into(),
        server: "https://10.0.0.1:6443".into(),
        by: "me@laptop".into(),
        process: Process { pid: 7, ..Process::default() },
        hosts: Vec::new(),
    }
}

/// The bytes of a journal of these events.
fn journal(run: &str, events: &[Event]) -> Vec<u8> {
    let lines = [json!(header(run, "production"))].into_iter().chain(events.iter().map(value));
    lines.flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

fn dead(_: &Process) -> bool {
    false
}

#[test]
fn every_event_comes_back_as_it_was() {
    for script in [script::success(), script::crash(), script::unchanged()] {
        let bytes = journal("7f3a1c02", &script.events);
        let read: Vec<Event> = events(&bytes).filter_map(event).collect();
        let plain = |events: &[Event]| events.iter().map(|event| value(event).to_string()).collect::<Vec<_>>();
        assert_eq!(plain(&read), plain(&script.events));
    }
}

#[test]
fn a_summary_tells_how_a_run_ended() {
    let done = Summary::read(&journal("a", &script::success().events)).unwrap();
    assert_eq!((done.state(dead), done.phase.as_str(), done.seconds()), (State::Done, "ingress", 252.0));
    let failed = Summary::read(&journal("a", &script::crash().events)).unwrap();
    assert_eq!((failed.state(dead), failed.phase.as_str()), (State::Failed, "services"));
    let killed = Summary::read(&journal("a", &script::in_services().events)).unwrap();
    assert_eq!((killed.state(dead), killed.state(|_| true)), (State::Killed, State::Running));
    assert_eq!(killed.written, 15);
}

#[test]
fn a_newer_run_goes_on_from_the_newest_that_did_not_end_well() {
    let read = journal;
    let killed = read("killed", &script::in_services().events);
    let done = read("done", &script::success().events);
    let only_begun = read("begun", &script::success().events[..1]);
    let ask = |journals: &[&Vec<u8>]| {
        resumes(journals.iter().map(|journal| (*journal).clone()), "production", "uid", dead).map(|found| found.run)
    };
    assert_eq!(ask(&[&killed, &done]).as_deref(), Some("killed"));
    assert_eq!(ask(&[&done, &killed]), None, "what was killed has been finished since");
    assert_eq!(ask(&[&only_begun, &killed, &done]).as_deref(), Some("killed"), "one that began nothing says nothing");
    let mut down = String::from_utf8(killed.clone()).unwrap();
    down.push_str("{\"event\":\"taking-down\",\"claims\":0,\"delete_data\":[]}\n");
    assert_eq!(ask(&[&down.into_bytes(), &killed]), None, "what is taken down is not gone on with");
    let with = |from: &str, to: &str| String::from_utf8(killed.clone()).unwrap().replacen(from, to, 1).into_bytes();
    let elsewhere = with("\"cluster\":\"uid\"", "\"cluster\":\"other\"");
    let another = with("\"environment\":\"production\"", "\"environment\":\"staging\"");
    assert_eq!(ask(&[&elsewhere, &another, &done]), None);
    assert_eq!(ask(&[&b"no journal".to_vec(), &killed]).as_deref(), Some("killed"));
}

#[test]
fn a_folder_is_private_and_keeps_the_newest() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("state/rekindle/runs");
    for index in 0..KEPT + 5 {
        let time = script::time(f64::from(u32::try_from(index).unwrap()));
        let run = format!("{index:08}");
        Writer::begin(&folder, &run, time, &json!(header(&run, "production"))).unwrap();
    }
    let kept = list(&folder).unwrap();
    assert_eq!(kept.len(), KEPT);
    assert!(kept[0].to_string_lossy().ends_with("-00000204.jsonl"), "{:?}", kept[0]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&kept[0])), (0o700, 0o600));
    assert!(list(&place.path().join("nowhere")).unwrap().is_empty());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let place = tempfile::NamedTempFile::new().unwrap();
    assert!(Writer::begin(&place.path().join("runs"), "a", script::time(0.0), &json!({})).is_err());
}

proptest::proptest! {
    #[test]
    fn a_journal_that_was_torn_anywhere_is_read_as_far_as_it_goes(at in 0.0..1.0f64, noise in proptest::collection::vec(0u8..=255, 0..20)) {
        let script = script::crash();
        let whole = journal("a", &script.events);
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a short text")]
        let cut = first + ((whole.len() - first) as f64 * at) as usize;
        let mut torn = whole[..cut].to_vec();
        torn.extend(noise);
        let lines = whole[first..cut].iter().filter(|byte| **byte == b'\n').count();
        let read: Vec<Event> = events(&torn).filter_map(event).collect();
        proptest::prop_assert!(read.len() >= lines && read.len() <= lines + 1);
        proptest::prop_assert!(Summary::read(&torn).is_some());
        let mut progress = Progress::default();
        read.iter().for_each(|event| progress.apply(event));
    }
}
