//! What the tests share: certificates, connections, and waiting for several things at once.

use std::{
    fmt::Display,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use smoq_runtime::{
    ClientOptions, Connection, Runtime, Server, ServerEvent, ServerOptions, Subscription, Timer,
    Url, connect,
    core::{Carrier, Path, Start, SubscribeOptions, Version, wire::GroupOrder},
    quic::{
        ServerTls, Trust, fingerprint,
        rustls::pki_types::{CertificateDer, PrivateKeyDer},
    },
};

/// What a test runs on: a runtime, and what lies between the streams and UDP.
pub(crate) trait Bed: Runtime {
    const CARRIER: Carrier;
}

/// Over raw QUIC.
#[derive(Clone)]
pub(crate) struct Raw<R>(pub(crate) R);

/// Over WebTransport.
#[derive(Clone)]
pub(crate) struct Web<R>(pub(crate) R);

macro_rules! bed {
    ($($name:ident: $carrier:expr;)*) => {
        $(impl<R: Runtime> Bed for $name<R> {
            const CARRIER: Carrier = $carrier;
        }

        impl<R: Runtime> Runtime for $name<R> {
            type Socket = R::Socket;
            type Timer = R::Timer;

            fn socket(&self, socket: UdpSocket) -> io::Result<R::Socket> {
                self.0.socket(socket)
            }

            fn timer(&self) -> R::Timer {
                self.0.timer()
            }

            fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
                self.0.spawn(task);
            }

            fn resolve(
                &self,
                host: &str,
                port: u16,
            ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
                self.0.resolve(host, port)
            }
        })*
    };
}

bed! {
    Raw: Carrier::Raw;
    Web: Carrier::WebTransport;
}

/// Far above what a test takes; one that hangs ends here.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test, for so long at most.
pub(crate) async fn within<R: Bed, T: Future<Output = ()>>(runtime: R, test: impl FnOnce(R) -> T) {
    let mut timer = runtime.timer();
    timer.reset(timer.now() + LIMIT);
    let mut test = pin!(test(runtime));
    poll_fn(|cx| {
        let done = test.as_mut().poll(cx);
        assert!(done.is_ready() || timer.poll(cx).is_pending(), "the test hangs");
        done
    })
    .await;
}

/// A new certificate for localhost, and how to trust it.
pub(crate) fn certificate() -> (ServerTls, Trust) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate = CertificateDer::from(cert);
    let trust = Trust::Fingerprints(vec![fingerprint(&certificate)]);
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    (ServerTls::new(vec![certificate], key).unwrap(), trust)
}

/// A server on loopback, and what its clients need.
pub(crate) struct Relay<R> {
    pub(crate) runtime: R,
    pub(crate) server: Server,
    pub(crate) trust: Trust,
}

impl<R: Bed> Relay<R> {
    pub(crate) fn new(runtime: R) -> Self {
        Self::with(runtime, |_| {})
    }

    pub(crate) fn with(runtime: R, change: impl FnOnce(&mut ServerOptions)) -> Self {
        Self::build(runtime, |runtime, mut options| {
            change(&mut options);
            Server::bind(runtime, options).unwrap()
        })
    }

    pub(crate) fn build(runtime: R, bind: impl FnOnce(&R, ServerOptions) -> Server) -> Self {
        let (tls, trust) = certificate();
        let options = ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), tls);
        let server = bind(&runtime, options);
        Self { runtime, server, trust }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        url::<R>(self.server.local_addr(), path)
    }

    pub(crate) fn options(&self, version: Version) -> ClientOptions {
        ClientOptions { versions: vec![version], ..ClientOptions::new(self.trust.clone()) }
    }

    pub(crate) async fn client(&self) -> Connection {
        self.client_of(Version::ALL[0]).await
    }

    pub(crate) async fn client_of(&self, version: Version) -> Connection {
        connect(&self.runtime, &self.url(""), self.options(version)).await.unwrap()
    }

    /// The next event that is the end of a session.
    pub(crate) async fn closed(&mut self) -> smoq_runtime::core::Closed {
        loop {
            if let ServerEvent::Closed { closed, .. } = self.server.next().await.unwrap() {
                return closed;
            }
        }
    }
}

/// A URL of this host (and port) for what the test runs over.
pub(crate) fn url<R: Bed>(host: impl Display, path: &str) -> Url {
    let url: Url = format!("moqt://{host}{path}").parse().unwrap();
    url.with_carrier(R::CARRIER)
}

pub(crate) fn path(text: &str) -> Path {
    Path::new(text).unwrap()
}

/// Everything that is held, in order.
pub(crate) fn lossless() -> SubscribeOptions {
    SubscribeOptions {
        max_age: Duration::MAX,
        order: GroupOrder::OldestFirst,
        start: Start::From(0),
        ..SubscribeOptions::default()
    }
}

/// The payloads of one group.
pub(crate) type Frames = Vec<Vec<u8>>;

/// Everything until the track ends, ordered by sequence.
pub(crate) async fn read_all(subscription: &mut Subscription) -> Vec<(u64, Frames)> {
    let mut groups = Vec::new();
    while let Some(mut group) = subscription.next_group().await.unwrap() {
        let mut frames = Vec::new();
        while let Some(frame) = group.next_frame().await.unwrap() {
            assert_eq!(frame.index, frames.len() as u64);
            frames.push(frame.payload.to_vec());
        }
        groups.push((group.sequence(), frames));
    }
    groups.sort_unstable();
    groups
}

/// Both, at the same time.
pub(crate) async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut done_a, mut done_b) = (None, None);
    poll_fn(|cx| {
        if done_a.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            done_a = Some(value);
        }
        if done_b.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            done_b = Some(value);
        }
        if done_a.is_none() || done_b.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(done_a.take().zip(done_b.take()).unwrap())
    })
    .await
}

/// Polls once, then drops the future, as a `select!` does whose other branch is ready.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Lets every other task run.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
