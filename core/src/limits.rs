//! Every bound on what a peer can make a node keep, in one place.

use core::time::Duration;

/// Bounds on memory and patience. The defaults suit a public relay; each has its reason beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of group data held in the store, over all tracks. Default 256 MiB: several seconds of a
    /// hundred HD broadcasts. When it is reached the track that holds most gives up its oldest groups.
    pub store_bytes: usize,
    /// How long a finished group is held after its last byte. Default 60 s: longer than any live
    /// viewer lags. The newest group of a track is kept as long as its track.
    pub store_age: Duration,
    /// Bytes of one group in wire form. Default 32 MiB, the bound of moq-net: a keyframe interval of
    /// ten seconds at 25 Mbit/s. A larger group is reset with "group too large".
    pub group_bytes: usize,
    /// Frames of one group. Default 8192, the bound of moq-net.
    pub group_frames: usize,
    /// Bytes of one control message. Default 64 KiB, the bound that moq-net has for SETUP; the
    /// largest honest message is an announcement with 32 hops and a long path, far below it.
    pub message_bytes: usize,
    /// Bytes of unfinished or waiting control messages of one session, over all its streams. Default
    /// 256 KiB: four largest messages. Beyond it the session is closed.
    pub session_buffer: usize,
    /// Streams one peer may have open at a time. Default 8192; the transport normally allows fewer.
    /// A stream beyond it is refused.
    pub peer_streams: usize,
    /// Announcements of one peer that are kept at a time. Default 10,000. What is beyond it is
    /// declined: a relay between has no fault in how many its own peers make.
    pub announcements: usize,
    /// Prefixes of which one peer may be told at a time. Default 64: each costs an entry for every
    /// broadcast below it. A request beyond it is refused.
    pub announce_requests: usize,
    /// Groups of one track that may overtake a late one before a subscription gives the late one up.
    /// Default 64: more than the streams that a publisher has open on one track.
    pub reorder: usize,
    /// Streams of one session that may break a rule before the session is closed. Default 64: a
    /// faulty peer is told by resets first, a hostile one does not fill the log.
    pub violations: usize,
    /// How long a client may take to send SETUP, and a stream to say what it is. Default 10 s.
    pub opening_timeout: Duration,
    /// How long a publisher may take to answer TRACK. Default 10 s. Then the request fails with
    /// "control timeout". SUBSCRIBE has no such limit: a publisher may answer with the first group.
    pub request_timeout: Duration,
    /// Tracks that one peer may ask for and that the application has not made yet
    /// ([`Node::serve`](crate::Node::serve)). Default 32, like the groups that it may wait for; another
    /// node of the process, which asks for its peers, 64 times as many. A request beyond it is refused.
    pub wanted: usize,
    /// How long the application may take to make such a track, or to decline it. Default 5 s: who asks waits
    /// for 10 s, and hears so why it fails. Then it is declined. As long, one that it has made may be without
    /// readers before it is ended.
    pub wanted_timeout: Duration,
    /// How long a peer may take nothing of the groups that wait for it. Default 60 s, like `store_age`:
    /// what it waits for is gone by then. Then its session is closed with "timeout", even if it
    /// publishes meanwhile. One that is slow but moves stays, and misses what the store has given up. So
    /// does one whose streams are all open groups of which it has every byte, and one that does not read
    /// what it is asked for.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            store_bytes: 256 << 20,
            store_age: Duration::from_secs(60),
            group_bytes: 32 << 20,
            group_frames: 8192,
            message_bytes: 64 << 10,
            session_buffer: 256 << 10,
            peer_streams: 8192,
            announcements: 10_000,
            announce_requests: 64,
            reorder: 64,
            violations: 64,
            opening_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            wanted: 32,
            wanted_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(60),
        }
    }
}
