//! Project tasks: testbeds, tests, a demonstration, benches. Run as `cargo xtask`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "these tasks talk to the person who started them")]

mod api;
mod bench;
mod cache;
mod cargo;
mod cluster;
mod demo;
mod images;
mod mutants;
mod packages;
mod process;
mod progress;
mod schemas;
mod simulate;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Project tasks: testbeds, tests, a demonstration, benches
#[derive(Parser)]
#[command(name = "cargo xtask", max_term_width = 110, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Clusters on this machine: a control plane, one with simulated nodes, or a real node
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// The node bed's images: builds what is not in the cache and prints the docker-archive's path
    Images,
    /// Run everything that must hold, and set up what that needs
    Test(test::TestArgs),
    /// Rebuild the whole stack on a node that is made for it
    Demo(demo::DemoArgs),
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Rebuild by chance in the simulated cluster: random kits, states and faults
    Simulate(simulate::SimulateArgs),
    /// Break Rekindle on purpose, and count in how many seeds that is found
    Mutants(mutants::MutantsArgs),
    /// Record the kinds and types of a real API server for the simulated one
    RecordSchemas(schemas::RecordArgs),
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let result = progress::catch_interrupts().and_then(|()| match task {
        Task::Cluster(command) => cluster::run(command),
        Task::Images => images::archive().map(|path| println!("{}", path.display())),
        Task::Test(args) => test::test(&args),
        Task::Demo(args) => demo::demo(&args),
        Task::Bench(command) => bench::run(&command),
        Task::Simulate(args) => simulate::simulate(&args),
        Task::Mutants(args) => mutants::mutants(&args),
        Task::RecordSchemas(args) => schemas::record(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
