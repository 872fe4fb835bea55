//! Rekindle rebuilds a whole Kubernetes environment from nothing with one command.
//!
//! Data flows down this list: a [`kit`] with its [`secrets`] renders [`manifest`] objects, the [`cluster`] is read,
//! [`health`] judges objects and asks gates, [`data`] decides where contents come from, [`plan`] orders everything, [`rebuild`] executes the plan and emits events,
//! [`report`] turns events into text, and [`cli`] is the only place that prints, exits or reads the process environment.

pub mod cli;
pub mod cluster;
pub mod data;
pub mod health;
pub mod kit;
pub mod manifest;
pub mod plan;
pub mod rebuild;
pub mod rehearsal;
pub mod report;
pub mod secrets;
