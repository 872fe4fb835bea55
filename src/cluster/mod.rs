//! The cluster: connecting, discovery, applying, watching, reaching into it.
