//! The program `roundtable-probe`.

use std::process::ExitCode;

fn main() -> ExitCode {
    roundtable_signalling::probe::main()
}
