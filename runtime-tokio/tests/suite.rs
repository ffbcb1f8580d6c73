//! The suite of every runtime, on both kinds of tokio runtime, and on several threads.

#[path = "../../runtime/tests/suite/mod.rs"]
mod bodies;

use smoq_tokio::Tokio;
use tokio::runtime::Builder;

fn run(mut builder: Builder, test: impl Future<Output = ()>) {
    builder.enable_all().build().unwrap().block_on(test);
}

bodies::suite!(current_thread, Tokio, |test| run(Builder::new_current_thread(), test));
bodies::suite!(multi_thread, Tokio, |test| run(Builder::new_multi_thread(), test));
bodies::suite!(threads, thread_by_thread::Threads::start(), |test| {
    run(Builder::new_current_thread(), test)
});

/// Driver by driver on another thread.
mod thread_by_thread {
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

    /// Each clone is the next thread.
    pub(crate) struct Threads {
        all: Arc<(AtomicUsize, Vec<Thread>)>,
        own: Thread,
    }

    impl Threads {
        pub(crate) fn start() -> Self {
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
}
