//! Kubernetes objects as data: identity, reading and writing YAML, references between objects.

pub mod catalogue;
pub mod duration;
pub mod field_path;
pub mod fit;
pub mod kinds;
pub mod managed_fields;
pub mod mistake;
mod object;
pub mod references;
pub mod schema;
mod webhooks;
pub mod yaml;

pub use object::{Object, ObjectKey, Origin};
