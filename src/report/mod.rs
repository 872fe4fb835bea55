//! Consumers of a run's events: text for people, JSON for programs.
