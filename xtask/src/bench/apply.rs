//! Applying many objects: the API server's own bound, kubectl, Rekindle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::measure::{Measured, median, program, raw};
use super::{ApplyArgs, kit};
use crate::api::Api;
use crate::cargo::rekindle;
use crate::cluster::{Bed, Borrowed, Kind};
use crate::progress::{check_interrupt, duration, say};
use crate::tools::{self, Tool};

/// One way to do it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Raw,
    Kubectl,
    Rekindle,
}

impl Way {
    const ALL: [Self; 3] = [Self::Raw, Self::Kubectl, Self::Rekindle];

    fn name(self, connections: u32) -> String {
        match self {
            Self::Raw => format!("raw server-side apply, {connections} connections"),
            Self::Kubectl => "kubectl apply --server-side".to_owned(),
            Self::Rekindle => "rekindle up".to_owned(),
        }
    }
}

/// The first run and the one after it.
type Pair = (Measured, Measured);

/// Measures all ways in turn, each in namespaces of its own, and prints the table.
///
/// # Errors
/// When something cannot be built or a way fails altogether.
pub fn run(args: &ApplyArgs) -> Result<()> {
    Bed::down_abandoned()?;
    let binary = rekindle(true)?;
    let bed = Borrowed::up(&format!("bench-{}", std::process::id()), Kind::ControlPlane)?;
    let folder = std::env::temp_dir().join(format!("rekindle-bench-{}", std::process::id()));
    let measured = measure_all(args, &binary, &bed, &folder);
    // The numbers matter more than a folder that stays.
    let _ = fs::remove_dir_all(&folder);
    println!("{}", table(args, &measured?));
    Ok(())
}

fn measure_all(args: &ApplyArgs, binary: &Path, bed: &Bed, folder: &Path) -> Result<BTreeMap<Way, Vec<Pair>>> {
    let api = bed.api()?;
    let mut all: BTreeMap<Way, Vec<Pair>> = BTreeMap::new();
    // Programs and the API server's caches are cold only once.
    say("warming up");
    for way in Way::ALL {
        measure(way, &Place::new(folder, &format!("warm-{}", way as u8), 40)?, args, binary, bed)?;
    }
    for round in 0..args.rounds {
        // In turning order, so that what the store has grown by is not always the same way's burden.
        for turn in 0..Way::ALL.len() {
            let way = Way::ALL[(turn + round as usize) % Way::ALL.len()];
            let place = Place::new(folder, &format!("bench-{round}-{}", way as u8), args.objects)?;
            let pair = measure(way, &place, args, binary, bed)?;
            say(format_args!(
                "round {} of {}: {}: first {}, again {}",
                round + 1,
                args.rounds,
                way.name(args.connections),
                duration(pair.0.time),
                duration(pair.1.time)
            ));
            all.entry(way).or_default().push(pair);
            settle(&api, &place)?;
        }
    }
    Ok(all)
}

/// A fresh namespace and the kit for it.
struct Place {
    namespace: String,
    folder: PathBuf,
    manifests: PathBuf,
    objects: Vec<kit::Made>,
}

impl Place {
    fn new(folder: &Path, namespace: &str, count: u32) -> Result<Self> {
        let folder = folder.join(namespace);
        let objects = kit::objects(namespace, count);
        let manifests = kit::write(&folder, namespace, &objects)?;
        Ok(Self { namespace: namespace.to_owned(), folder, manifests, objects })
    }
}

fn measure(way: Way, place: &Place, args: &ApplyArgs, binary: &Path, bed: &Bed) -> Result<Pair> {
    let api = bed.api()?;
    let once = || -> Result<Measured> {
        let log = place.folder.join("output.log");
        match way {
            Way::Raw => raw(&api, &place.objects, args.connections),
            Way::Kubectl => program(
                Command::new(tools::path(Tool::Kubectl)?)
                    .arg("--kubeconfig")
                    .arg(bed.kubeconfig())
                    .args(["apply", "--server-side", "-f"])
                    .arg(&place.manifests),
                &log,
            ),
            Way::Rekindle => {
                let begun = Timestamp::now();
                let whole = program(
                    Command::new(binary)
                        .args(["up", "bench", "--yes", "-o", "json", "--context", bed.name(), "--kubeconfig"])
                        .arg(bed.kubeconfig())
                        .arg("--kit")
                        .arg(&place.folder),
                    &log,
                )?;
                let sent = sent(&fs::read_to_string(&log)?, begun)?;
                Ok(Measured { time: sent.unwrap_or(whole.time), ready: Some(whole.time), ..whole })
            }
        }
    };
    let first = once().with_context(|| format!("first run of: {}", way.name(args.connections)))?;
    settle(&api, place)?;
    let again = once().with_context(|| format!("second run of: {}", way.name(args.connections)))?;
    Ok((first, again))
}

/// When the last object that had to be written had been written, from the events of a run; `None` when there was none.
/// Rekindle goes on until everything is ready, which is the controllers' time and not that of applying.
fn sent(events: &str, begun: Timestamp) -> Result<Option<Duration>> {
    let mut last = None;
    for line in events.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        if event["event"] == "object-applied" && event["action"] != "unchanged" {
            let time: Timestamp = event["time"].as_str().unwrap_or_default().parse().context("the time of an event")?;
            last = Some(Duration::try_from(time.duration_since(begun)).unwrap_or_default());
        }
    }
    Ok(last)
}

/// Waits until the controllers have done their part for every Deployment: that work is nobody's measurement.
fn settle(api: &Api, place: &Place) -> Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", place.namespace);
    for _ in 0..600 {
        check_interrupt()?;
        let list = api.get(&path)?;
        let seen =
            |object: &serde_json::Value| object["status"]["observedGeneration"] == object["metadata"]["generation"];
        if list["items"].as_array().is_some_and(|items| items.iter().all(seen)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("the controllers did not come to rest in {}", place.namespace)
}

fn table(args: &ApplyArgs, all: &BTreeMap<Way, Vec<Pair>>) -> String {
    let middle = |way: Way, pick: fn(&Pair) -> Measured| {
        all.get(&way).and_then(|pairs| median(pairs.iter().map(pick).collect()))
    };
    let bound = (middle(Way::Raw, |pair| pair.0), middle(Way::Raw, |pair| pair.1));
    let mut text = format!(
        "\n{} objects, median of {} rounds\n{:42} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        args.objects, args.rounds, "", "first", "× bound", "ready", "again", "× bound", "memory"
    );
    for way in Way::ALL {
        let (Some(first), Some(again)) = (middle(way, |pair| pair.0), middle(way, |pair| pair.1)) else { continue };
        let ratio = |one: Measured, bound: Option<Measured>| {
            bound.map_or_else(String::new, |bound| format!("{:.2}", one.time.as_secs_f64() / bound.time.as_secs_f64()))
        };
        let ready = first.ready.map_or_else(String::new, |ready| format!("{:.2} s", ready.as_secs_f64()));
        let memory = first.memory.max(again.memory).map_or_else(String::new, |kb| format!("{} MB", kb.div_ceil(1024)));
        text.push_str(&format!(
            "\n{:42} {:>6.2} s {:>8} {ready:>8} {:>6.2} s {:>8} {memory:>8}",
            way.name(args.connections),
            first.time.as_secs_f64(),
            ratio(first, bound.0),
            again.time.as_secs_f64(),
            ratio(again, bound.1),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;

    #[test]
    fn applying_ends_with_the_last_write() {
        let event = |second: u32, event: &str, action: &str| {
            format!(r#"{{"time":"2026-03-02T15:00:{second:02}.500Z","event":"{event}","action":"{action}"}}"#)
        };
        let begun: Timestamp = "2026-03-02T15:00:00Z".parse().expect("a time");
        let log = [
            event(1, "object-applied", "created"),
            event(2, "object-applied", "created"),
            event(3, "object-applied", "unchanged"),
            event(9, "object-ready", ""),
            "a line of stderr".to_owned(),
        ];
        assert_eq!(sent(&log.join("\n"), begun).expect("sound events"), Some(Duration::from_millis(2500)));
        assert_eq!(sent("", begun).expect("sound events"), None);
    }

    #[test]
    fn the_table_compares_with_the_bound() {
        let pair = |first: u64, again: u64, memory| {
            let one = |millis| Measured { time: Duration::from_millis(millis), ready: None, memory };
            (one(first), one(again))
        };
        let all = BTreeMap::from([
            (Way::Raw, vec![pair(2000, 1000, None)]),
            (Way::Rekindle, vec![pair(2300, 100, Some(30_000))]),
        ]);
        let text = table(&ApplyArgs { objects: 1000, rounds: 1, connections: 16 }, &all);
        let line = text.lines().find(|line| line.starts_with("rekindle")).unwrap_or_default();
        let cells: Vec<_> = line.split_whitespace().collect();
        assert_eq!(cells, ["rekindle", "up", "2.30", "s", "1.15", "0.10", "s", "0.10", "30", "MB"]);
    }
}
