//! The engine's own overhead: a generated kit of many objects in many layers, rehearsed. Virtual time costs nothing, so what
//! real time it takes is the engine's and the simulation's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::RehearseArgs;
use super::measure::{Measured, median, program};
use crate::cargo::rekindle;
use crate::progress::{duration, say};

/// What it may take at most.
const TIME: Duration = Duration::from_secs(10);
/// Peak resident memory in kB.
const MEMORY: u64 = 300 * 1024;
/// Simulated time of the rebuild by that of its critical path.
const OVERHEAD: f64 = 1.05;

/// Measures, prints, and compares with the goals.
///
/// # Errors
/// When the rehearsal fails, or takes more than it may.
pub fn run(args: &RehearseArgs) -> Result<()> {
    let binary = rekindle(true)?;
    let folder = std::env::temp_dir().join(format!("rekindle-bench-rehearse-{}", std::process::id()));
    let measured = measure(args, &binary, &folder);
    // The numbers matter more than a folder that stays.
    let _ = fs::remove_dir_all(&folder);
    let (measured, overhead) = measured?;
    let memory = measured.memory.unwrap_or_default();
    println!(
        "\n{} objects in {} layers\n  real time       {} (goal: under {})\n  peak memory     {} MB (goal: under {} MB)\n  \
         simulated time  {overhead:.3} of its critical path (goal: at most {OVERHEAD})",
        args.objects,
        args.layers,
        duration(measured.time),
        duration(TIME),
        memory / 1024,
        MEMORY / 1024
    );
    if measured.time > TIME || memory > MEMORY || overhead > OVERHEAD {
        bail!("a goal is missed");
    }
    Ok(())
}

fn measure(args: &RehearseArgs, binary: &Path, folder: &Path) -> Result<(Measured, f64)> {
    write(folder, args)?;
    let log = folder.join("log");
    let mut all = Vec::new();
    let mut overhead = 0.0_f64;
    for round in 1..=args.rounds {
        let mut command = Command::new(binary);
        command.args(["rehearse", "bench", "-o", "json", "--kit"]).arg(folder);
        let measured = program(&mut command, &log)?;
        overhead = overhead.max(of_critical_path(&fs::read_to_string(&log)?)?);
        say(format_args!("round {round} of {}: {}", args.rounds, duration(measured.time)));
        all.push(measured);
    }
    Ok((median(all).context("there was no round")?, overhead))
}

/// The time of a rebuild by that of its critical path.
fn of_critical_path(events: &str) -> Result<f64> {
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let end = events.rev().find(|event| event["event"] == "run-finished").context("the rehearsal has no end")?;
    let steps = end["critical_path"].as_array().into_iter().flatten();
    let chain: f64 = steps.filter_map(|step| step["seconds"].as_f64()).sum();
    if chain <= 0.0 {
        bail!("the rehearsal has no critical path");
    }
    Ok(end["seconds"].as_f64().unwrap_or_default() / chain)
}

/// Each layer is one Deployment and what is sent beside it, and begins when the Deployment of the one before is ready.
fn write(folder: &Path, args: &RehearseArgs) -> Result<()> {
    let put = |name: &str, text: String| {
        let path = folder.join(name);
        path.parent().map(fs::create_dir_all).transpose()?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("environments/bench.yaml", "namespace: bench\n".to_owned())?;
    put("templates/stack.yaml", "name: bench\nphases:\n  - name: objects\n    timeout: 100h\n".to_owned())?;
    put("secrets/schema.yaml", "{}\n".to_owned())?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}});
    put("templates/objects/namespace.yaml", namespace.to_string())?;
    for layer in 0..args.layers {
        let count = args.objects / args.layers + u32::from(layer < args.objects % args.layers);
        let documents: Vec<String> = (0..count).map(|number| object(layer, number).to_string()).collect();
        put(&format!("templates/objects/{layer:04}.yaml"), documents.join("\n---\n"))?;
    }
    Ok(())
}

fn object(layer: u32, number: u32) -> Value {
    let name = format!("layer-{layer:04}-{number:03}");
    let mut metadata = json!({"name": name});
    if layer > 0 {
        metadata["annotations"] = json!({"rekindle.dev/after": format!("Deployment/layer-{:04}-000", layer - 1)});
    }
    let labels = json!({"app": name});
    match number {
        0 => json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {
            "replicas": 1, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "registry.invalid/main:1"}]}}}}),
        number if number % 5 == 1 => json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 80}]}}),
        number if number % 5 == 2 => json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        number => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
            "data": {"number": number.to_string()}}),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_overhead_is_read_from_the_last_event() {
        let text = "{\"event\":\"run-started\"}\n{\"event\":\"run-finished\",\"seconds\":21.0,\"critical_path\":[{\"seconds\":15.0},{\"seconds\":5.0}]}\n{\"event\":\"rehearsed\"}\n";
        assert!((of_critical_path(text).unwrap() - 1.05).abs() < 1e-9);
        assert!(of_critical_path("").is_err());
    }

    #[test]
    fn every_layer_comes_after_the_one_before() {
        assert!(object(0, 3)["metadata"].get("annotations").is_none());
        assert_eq!(object(2, 3)["metadata"]["annotations"]["rekindle.dev/after"], "Deployment/layer-0001-000");
    }
}
