//! The binary `tributary`.

use clap::Parser as _;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Most of the embedded engine's work is small allocations: with the system's allocator they took a third of an
/// import.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = local::cli::Cli::parse();
    let mut config = telemetry::Config::from_env();
    if std::env::var_os("TRIBUTARY_LOG").or_else(|| std::env::var_os("RUST_LOG")).is_none() {
        "warn".clone_into(&mut config.level);
    }
    let _telemetry = telemetry::init(config);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads to run on: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(local::cli::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(verdict) = error.downcast_ref::<local::cli::Verdict>() {
                return verdict.code();
            }
            if let Some(stopped) = error.downcast_ref::<local::cli::Stopped>() {
                return stopped.code();
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
