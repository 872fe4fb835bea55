//! The binary as people run it: in a cleared environment, with kits in temporary folders.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accidents;
mod check;
mod down;
mod env;
mod health;
mod kits;
mod pin;
mod plan;
mod readme;
mod rehearse;
mod render;
mod runs;
mod secrets;
mod support;
mod up;
