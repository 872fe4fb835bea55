//! The plan: every object with its place in the order. Pure.
