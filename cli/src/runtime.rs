//! `--runtime`, of every command that has a connection.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use smoq_relay::Executor;

#[derive(clap::Args)]
pub(crate) struct RuntimeArgs {
    /// What runs sockets, timers and the protocol
    #[arg(long = "runtime", value_name = "NAME", default_value = Executor::Tokio.name(), value_parser = executors())]
    pub(crate) executor: Executor,
}

fn executors() -> impl TypedValueParser<Value = Executor> {
    let names = Executor::ALL.iter().map(|executor| executor.name());
    PossibleValuesParser::new(names).map(|name| {
        let chosen = Executor::ALL.iter().find(|executor| executor.name() == name);
        *chosen.expect("the parser takes no other names")
    })
}
