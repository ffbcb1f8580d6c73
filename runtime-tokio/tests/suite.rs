//! The suite of every runtime, on both kinds of tokio runtime, over raw QUIC and WebTransport, and on
//! several threads.

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

/// Driver by driver on another thread.
mod threads {
    use std::{
        io,
        net::{SocketAddr, UdpSocket},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use smoq_runtime::Runtime;
    use smoq_tokio::{Thread, TokioSocket, TokioTimer};
    use tokio::runtime::Builder;

    /// Each clone is the next thread.
    struct Threads {
        all: Arc<(AtomicUsize, Vec<Thread>)>,
        own: Thread,
    }

    impl Threads {
        fn start() -> Self {
            let threads: Vec<_> =
                (0..4).map(|index| Thread::start(&format!("test {index}")).unwrap()).collect();
            Self { own: threads[0].clone(), all: Arc::new((AtomicUsize::new(1), threads)) }
        }
    }

    impl Clone for Threads {
        fn clone(&self) -> Self {
            let (next, threads) = &*self.all;
            let next = next.fetch_add(1, Ordering::Relaxed) % threads.len();
            Self { own: threads[next].clone(), all: self.all.clone() }
        }
    }

    impl Runtime for Threads {
        type Socket = TokioSocket;
        type Timer = TokioTimer;

        fn socket(&self, socket: UdpSocket) -> io::Result<TokioSocket> {
            self.own.socket(socket)
        }

        fn timer(&self) -> TokioTimer {
            self.own.timer()
        }

        fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            self.own.spawn(task);
        }

        fn resolve(
            &self,
            host: &str,
            port: u16,
        ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
            self.own.resolve(host, port)
        }
    }

    macro_rules! on_threads {
        ($($name:ident)*) => {
            $(#[test] fn $name() {
                let test = crate::bodies::$name(crate::bodies::Raw(Threads::start()));
                crate::run(Builder::new_current_thread(), test);
            })*
        };
    }

    crate::bodies::suite!(on_threads);
}
