//! What runs the server: tokio or smol.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

#[cfg(feature = "smol")]
pub(super) use self::smol::Smol;

/// What runs sockets, timers and tasks of a server. Both do the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Executor {
    /// The runtime of tokio in which the server is bound and run.
    #[default]
    Tokio,
    /// smol, on threads of its own.
    #[cfg(feature = "smol")]
    Smol,
}

/// What the server needs of one.
pub(super) trait Runtime: Send + Sync + 'static {
    type Listener: Send + Sync;
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// Ended when it is dropped.
    type Task: Send;

    fn bind(address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    fn local_addr(listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// A connection, which sends what it is given at once: messages are small and wait for answers.
    fn accept(
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;

    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self::Task;
}

/// What comes of something, if it comes in time.
pub(super) async fn timeout<R: Runtime, T>(
    time: Duration,
    what: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        it = what => Some(it),
        () = R::sleep(time) => None,
    }
}

pub(super) struct Tokio;

pub(super) struct TokioTask(JoinHandle<()>);

impl Drop for TokioTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Runtime for Tokio {
    type Listener = tokio::net::TcpListener;
    type Stream = tokio::net::TcpStream;
    type Task = TokioTask;

    async fn bind(address: SocketAddr) -> io::Result<Self::Listener> {
        Self::Listener::bind(address).await
    }

    fn local_addr(listener: &Self::Listener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    async fn accept(listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, remote) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        Ok((stream, remote))
    }

    async fn sleep(time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> TokioTask {
        TokioTask(tokio::spawn(task))
    }
}

#[cfg(feature = "smol")]
mod smol {
    use std::{
        io,
        net::SocketAddr,
        pin::Pin,
        task::{Context, Poll, ready},
        time::Duration,
    };

    use smol::{
        Task, Timer,
        io::{AsyncRead as _, AsyncWrite as _},
        net::{TcpListener, TcpStream},
    };
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::Runtime;

    pub(in super::super) struct Smol;

    /// A stream of smol with the traits of tokio, which TLS and WebSocket are written for.
    pub(in super::super) struct Stream(TcpStream);

    impl Runtime for Smol {
        type Listener = TcpListener;
        type Stream = Stream;
        type Task = Task<()>;

        async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
            TcpListener::bind(address).await
        }

        fn local_addr(listener: &TcpListener) -> io::Result<SocketAddr> {
            listener.local_addr()
        }

        async fn accept(listener: &TcpListener) -> io::Result<(Stream, SocketAddr)> {
            let (stream, remote) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            Ok((Stream(stream), remote))
        }

        async fn sleep(time: Duration) {
            Timer::after(time).await;
        }

        fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
            smol::spawn(task)
        }
    }

    impl AsyncRead for Stream {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let stream = Pin::new(&mut self.0);
            let read = ready!(stream.poll_read(context, buffer.initialize_unfilled()))?;
            buffer.advance(read);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Stream {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_close(context)
        }
    }
}
