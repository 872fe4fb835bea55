//! The cluster: connecting, discovery, applying, watching, reaching into it.

pub mod endpoints;
pub mod exec;
pub mod forward;
