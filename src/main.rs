//! The `quickpe` binary.

mod allocator;

use std::process::ExitCode;

fn main() -> ExitCode {
    quickpe::program::main()
}
