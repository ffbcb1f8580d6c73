//! The suite of every runtime, on both kinds of tokio runtime, over raw QUIC and WebTransport.

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

macro_rules! tests {
    ($runtime:ident: $($name:ident)*) => {
        mod $runtime {
            mod raw_quic {
                $(#[test] fn $name() {
                    let test = crate::bodies::$name(crate::bodies::Raw(crate::Tokio));
                    crate::run(crate::Builder::$runtime(), test);
                })*
            }
            mod web_transport {
                $(#[test] fn $name() {
                    let test = crate::bodies::$name(crate::bodies::Web(crate::Tokio));
                    crate::run(crate::Builder::$runtime(), test);
                })*
            }
        }
    };
}

macro_rules! current_thread {
    ($($name:ident)*) => { tests!(new_current_thread: $($name)*); };
}

macro_rules! multi_thread {
    ($($name:ident)*) => { tests!(new_multi_thread: $($name)*); };
}

bodies::suite!(current_thread);
bodies::suite!(multi_thread);

/// On threads of their own, where wakers cross from one to another all the time.
mod threads {
    use smoq_tokio::Thread;
    use tokio::runtime::Builder;

    macro_rules! on_threads {
        ($($name:ident)*) => {
            $(#[test] fn $name() {
                let thread = Thread::start(stringify!($name)).unwrap();
                let test = crate::bodies::$name(crate::bodies::Raw(thread));
                crate::run(Builder::new_current_thread(), test);
            })*
        };
    }

    crate::bodies::suite!(on_threads);
}
