//! The cluster: connecting, discovery, applying, watching, reaching into it.

pub mod apply;
pub mod applyset;
pub mod binding;
pub mod connect;
pub mod endpoints;
mod error;
pub mod exec;
pub mod forward;
mod identity;
pub mod inventory;
pub mod kinds;
pub mod lock;
pub mod members;
#[cfg(test)]
pub(crate) mod mock;
pub mod observe;
pub mod preview;
pub mod removal;
pub mod residents;
pub mod rights;
pub mod system;
pub mod volumes;
pub mod watch;

pub use connect::{Cluster, Target};
pub use error::ClusterError;

/// Field manager of everything that Rekindle writes.
pub const FIELD_MANAGER: &str = "rekindle";

/// Namespace of Rekindle's own records.
pub const SYSTEM_NAMESPACE: &str = "rekindle-system";
