//! The log: lines on standard error.

use std::io;

use clap::{Args, ValueEnum};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How log lines look.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Args)]
pub(crate) struct LogArgs {
    /// What to log: a level (error, warn, info, debug, trace), or levels by module, as in
    /// `warn,smoq_relay=debug` [default: info for servers, warn for the rest]
    #[arg(long, global = true, help_heading = "Log", value_name = "LEVEL", env = "RUST_LOG")]
    log: Option<Targets>,
    /// How log lines look; they go to standard error
    #[arg(
        long,
        global = true,
        help_heading = "Log",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: Format,
}

impl LogArgs {
    /// Logs from now on, what is at or above `level` unless the user wants something else.
    pub(crate) fn init(self, level: LevelFilter) {
        // A line that cannot be written must not end the program, and telling so would.
        let layer =
            tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
        let targets = self.log.unwrap_or_else(|| Targets::new().with_default(level));
        let registry = tracing_subscriber::registry().with(targets);
        match self.log_format {
            Format::Text => registry.with(layer.with_ansi(false)).init(),
            Format::Json => registry.with(layer.json().flatten_event(true)).init(),
        }
    }
}
