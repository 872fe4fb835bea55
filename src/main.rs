//! The `rekindle` binary: everything happens in the library's `cli` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    rekindle::cli::main()
}
