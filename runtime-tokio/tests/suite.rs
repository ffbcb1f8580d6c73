//! The suite of every runtime, on both kinds of tokio runtime.

#[path = "../../runtime/tests/suite/mod.rs"]
mod bodies;

use smoq_tokio::Tokio;
use tokio::runtime::Builder;

fn run(mut builder: Builder, test: impl Future<Output = ()>) {
    builder.enable_all().build().unwrap().block_on(test);
}

bodies::suite!(current_thread, Tokio, |test| run(Builder::new_current_thread(), test));
bodies::suite!(multi_thread, Tokio, |test| run(Builder::new_multi_thread(), test));
