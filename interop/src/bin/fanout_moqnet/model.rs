//! A track and its readers.

use std::task::Poll;

use bytes::Bytes;
use moq_net::{broadcast, kio::Waiter, track};

use crate::{Fanout, Shape, Writer};

/// N readers of one track.
pub(crate) struct Model {
    _broadcast: broadcast::Producer,
    writer: Writer,
    readers: Vec<track::Subscriber>,
}

impl Model {
    pub(crate) fn new(subscribers: usize) -> Self {
        let broadcast = broadcast::Info::default().produce();
        let track = broadcast.create_track("video", None).expect("a new track");
        let readers = (0..subscribers).map(|_| track.subscribe(None)).collect();
        Self { _broadcast: broadcast, writer: Writer::new(track), readers }
    }
}

impl Fanout for Model {
    const DEPTH: &'static str = "model";

    fn group(&mut self, shape: Shape, payload: &Bytes) {
        self.writer.write(shape, payload);
        let waiter = Waiter::noop();
        for reader in &mut self.readers {
            let Poll::Ready(Ok(Some(mut group))) = reader.poll_recv_group(&waiter) else {
                panic!("the group is there");
            };
            let mut bytes = 0;
            while let Poll::Ready(Ok(Some(frame))) = group.poll_read_frame(&waiter) {
                bytes += frame.payload.len();
            }
            assert_eq!(bytes, shape.frames * shape.frame_size);
        }
    }
}
