//! YAML in and out: the only module that knows the YAML library.
