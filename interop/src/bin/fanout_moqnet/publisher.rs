//! An origin and the sessions that subscribe to it.

use bytes::Bytes;
use moq_net::{Server, Session, Version, broadcast, origin, time};
use tokio::runtime::Runtime;

use crate::{
    Fanout, Shape, Writer,
    transport::{Sent, Transport},
};

/// N server sessions, each with a client that has subscribed to the same track.
pub(crate) struct Publisher {
    runtime: Runtime,
    writer: Writer,
    sessions: Vec<(Session, Sent)>,
    _origin: origin::Producer,
    _broadcast: broadcast::Producer,
}

impl Publisher {
    pub(crate) fn new(subscribers: usize) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let guard = runtime.enter();
        let (origin, driver) = origin::Producer::new(origin::Config::default());
        tokio::spawn(time::run(driver));
        let broadcast = origin.publish("room", Default::default()).expect("a new broadcast");
        let track = broadcast.create_track("video", None).expect("a new track");
        let sessions = runtime.block_on(async {
            let mut sessions = Vec::new();
            for _ in 0..subscribers {
                sessions.push(accept(&origin).await);
            }
            sessions
        });
        drop(guard);
        let mut publisher = Self {
            runtime,
            writer: Writer::new(track),
            sessions,
            _origin: origin,
            _broadcast: broadcast,
        };
        // The first group starts the subscriptions, which are served one by one.
        let tiny = Shape { frames: 1, frame_size: 1 };
        publisher.group(tiny, &Bytes::from_static(b"x"));
        publisher
    }
}

async fn accept(origin: &origin::Producer) -> (Session, Sent) {
    let version: Version = "moq-lite-06".parse().expect("moq-net has moq-lite-06");
    let (transport, sent) = Transport::subscribed("room", "video");
    let (session, driver) = Server::new()
        .with_versions(version.into())
        .with_publisher(origin)
        .accept(std::time::Instant::now(), transport)
        .await
        .expect("the handshake is scripted");
    tokio::spawn(time::run(driver));
    (session, sent)
}

/// The same, each frame on its way as soon as it is written.
pub(crate) struct Live(pub(crate) Publisher);

impl Fanout for Live {
    const DEPTH: &'static str = "live";

    fn group(&mut self, shape: Shape, payload: &Bytes) {
        let Publisher { runtime, writer, sessions, .. } = &mut self.0;
        let mut group = writer.begin();
        runtime.block_on(async {
            for frame in 1..=shape.frames {
                group.frame(payload);
                for (_, sent) in &*sessions {
                    while !sent.has(frame * shape.frame_size) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        group.finish();
        self.0.wait(shape);
    }
}

impl Publisher {
    /// Returns when every subscriber has the whole group.
    fn wait(&self, shape: Shape) {
        self.runtime.block_on(async {
            for (_, sent) in &self.sessions {
                while !sent.take_finished(shape.frames * shape.frame_size) {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
}

impl Fanout for Publisher {
    const DEPTH: &'static str = "publisher";

    fn group(&mut self, shape: Shape, payload: &Bytes) {
        self.writer.write(shape, payload);
        self.wait(shape);
    }
}
