//! The suite of every runtime, on both kinds of tokio runtime.

#[path = "../../runtime/tests/suite/mod.rs"]
mod bodies;

use std::time::Duration;

use smoq_tokio::Tokio;
use tokio::{runtime::Builder, time::timeout};

/// Far above what a test takes; one that hangs ends here.
const LIMIT: Duration = Duration::from_secs(60);

fn run(mut builder: Builder, test: impl Future<Output = ()>) {
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async { timeout(LIMIT, test).await.expect("the test hangs") });
}

macro_rules! current_thread {
    ($($name:ident)*) => {
        mod current_thread {
            $(#[test] fn $name() {
                super::run(super::Builder::new_current_thread(), super::bodies::$name(super::Tokio));
            })*
        }
    };
}

macro_rules! multi_thread {
    ($($name:ident)*) => {
        mod multi_thread {
            $(#[test] fn $name() {
                super::run(super::Builder::new_multi_thread(), super::bodies::$name(super::Tokio));
            })*
        }
    };
}

bodies::suite!(current_thread);
bodies::suite!(multi_thread);
