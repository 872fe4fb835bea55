//! Project tasks: testbeds, tests, benches.
fn main() {}
