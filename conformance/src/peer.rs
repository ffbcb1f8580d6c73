//! One session with the relay, on which anything can be said.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError};
use smoq_core::{
    Path, Version,
    wire::{
        BidiType, GroupHeader, Message, SessionCode, StreamCode, Subscribe, SubscribeParams, Track,
        TrackInfo, UniType, varint,
    },
};
use tokio::{sync::Notify, time::timeout};

use crate::{
    stream::{LIMIT, Recv, Send, within},
    verdict::{Result, Unmet, holds},
    web::{Web, keep},
};

/// A bidirectional stream.
pub(crate) struct Bi {
    pub(crate) send: Send,
    pub(crate) recv: Recv,
}

/// A stream that the relay has opened, and what it has said of it.
struct Opened<T> {
    kind: u64,
    stream: T,
}

/// A unidirectional stream of the relay.
struct Uni {
    group: Option<GroupHeader>,
    recv: Recv,
}

/// A group from the relay.
pub(crate) struct Group {
    pub(crate) header: GroupHeader,
    pub(crate) recv: Recv,
}

#[derive(Default)]
struct Inbox {
    bi: VecDeque<Opened<Bi>>,
    uni: VecDeque<Opened<Uni>>,
}

struct Inner {
    connection: Connection,
    web: Option<Arc<Web>>,
    version: Version,
    patience: Duration,
    inbox: Mutex<Inbox>,
    news: Notify,
    /// What is answered to every TRACK; `None` if a check answers itself.
    info: Mutex<Option<TrackInfo>>,
    next_subscribe: AtomicU64,
}

/// A session. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Peer(Arc<Inner>);

impl Peer {
    pub(crate) fn new(
        connection: Connection,
        web: Option<Arc<Web>>,
        version: Version,
        patience: Duration,
    ) -> Self {
        let peer = Self(Arc::new(Inner {
            connection,
            web,
            version,
            patience,
            inbox: Mutex::default(),
            news: Notify::new(),
            info: Mutex::new(Some(TrackInfo::default())),
            next_subscribe: AtomicU64::new(0),
        }));
        tokio::spawn(peer.clone().accept_bi());
        tokio::spawn(peer.clone().accept_uni());
        peer
    }

    pub(crate) fn version(&self) -> Version {
        self.0.version
    }

    fn recv(&self, stream: quinn::RecvStream) -> Recv {
        Recv::new(stream, self.0.version, self.0.patience)
    }

    fn send(&self, stream: quinn::SendStream) -> Send {
        Send::new(stream, self.0.version, self.0.patience)
    }

    async fn accept_bi(self) {
        while let Ok((send, recv)) = self.0.connection.accept_bi().await {
            let (peer, mut bi) =
                (self.clone(), Bi { send: self.send(send), recv: self.recv(recv) });
            tokio::spawn(async move {
                if peer.0.web.is_some() && !skip(&mut bi.recv, 2).await {
                    return;
                }
                let Some(kind) = number(&mut bi.recv).await else { return };
                let info = *peer.inner_info();
                match (kind == BidiType::Track.to_varint()).then_some(info).flatten() {
                    Some(info) => {
                        let take = |bytes: &[u8], version| Track::take(bytes, LIMIT, version);
                        if let Ok(Some(_)) = bi.recv.take_now(take).await {
                            let _ = bi.send.message(&info).await;
                            bi.send.fin();
                        }
                    }
                    None => peer.arrived(|inbox| inbox.bi.push_back(Opened { kind, stream: bi })),
                }
            });
        }
        self.0.news.notify_waiters();
    }

    async fn accept_uni(self) {
        while let Ok(stream) = self.0.connection.accept_uni().await {
            let peer = self.clone();
            tokio::spawn(async move {
                let mut recv = peer.recv(stream);
                if peer.0.web.is_some() {
                    match number(&mut recv).await {
                        Some(0x54) if skip(&mut recv, 1).await => {}
                        _ => return keep(recv.into_inner()),
                    }
                }
                let Some(kind) = number(&mut recv).await else { return };
                let group = if kind == UniType::Group.to_varint() {
                    let take = |bytes: &[u8], version| GroupHeader::take(bytes, LIMIT, version);
                    let Ok(Some(header)) = recv.take_now(take).await else { return };
                    Some(header)
                } else {
                    None
                };
                let stream = Uni { group, recv };
                peer.arrived(|inbox| inbox.uni.push_back(Opened { kind, stream }));
            });
        }
        self.0.news.notify_waiters();
    }

    fn arrived(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.0.inbox.lock().expect("nobody panics with it"));
        self.0.news.notify_waiters();
    }

    fn inner_info(&self) -> std::sync::MutexGuard<'_, Option<TrackInfo>> {
        self.0.info.lock().expect("nobody panics with it")
    }

    /// What is answered to every TRACK from now on; `None` if they are taken from
    /// [`accept`](Self::accept).
    pub(crate) fn answer_tracks(&self, info: Option<TrackInfo>) {
        *self.inner_info() = info;
    }

    /// Waits for something that the relay has opened.
    async fn next<T>(
        &self,
        what: &str,
        mut find: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> Result<T> {
        let found = async {
            loop {
                let news = self.0.news.notified();
                let mut news = std::pin::pin!(news);
                news.as_mut().enable();
                if let Some(found) = find(&mut self.0.inbox.lock().expect("nobody panics with it"))
                {
                    return Ok(found);
                }
                if let Some(reason) = self.0.connection.close_reason() {
                    return Err(Unmet::failed(what, format_args!("the end: {reason}")));
                }
                news.await;
            }
        };
        within(self.0.patience, what, found).await?
    }

    /// What has come of this kind already, if any.
    pub(crate) fn has_come(&self, kind: BidiType) -> bool {
        let inbox = self.0.inbox.lock().expect("nobody panics with it");
        inbox.bi.iter().any(|opened| opened.kind == kind.to_varint())
    }

    /// The next bidirectional stream of this kind.
    pub(crate) async fn accept(&self, kind: BidiType) -> Result<Bi> {
        self.next(&format!("a stream of the relay, {kind:?}"), |inbox| {
            let at = inbox.bi.iter().position(|opened| opened.kind == kind.to_varint())?;
            Some(inbox.bi.remove(at)?.stream)
        })
        .await
    }

    /// The next SETUP of the relay.
    pub(crate) async fn setup_stream(&self) -> Result<Recv> {
        self.next("SETUP", |inbox| {
            let at =
                inbox.uni.iter().position(|opened| opened.kind == UniType::Setup.to_varint())?;
            Some(inbox.uni.remove(at)?.stream.recv)
        })
        .await
    }

    /// How many streams of SETUP are left that nobody has taken.
    pub(crate) fn setups_left(&self) -> usize {
        let inbox = self.0.inbox.lock().expect("nobody panics with it");
        inbox.uni.iter().filter(|opened| opened.kind == UniType::Setup.to_varint()).count()
    }

    /// The next group of a subscription.
    pub(crate) async fn group(&self, subscribe: u64) -> Result<Group> {
        self.next("a group", |inbox| take_group(inbox, subscribe)).await
    }

    /// The next group of a subscription, if one has come already.
    pub(crate) fn group_now(&self, subscribe: u64) -> Option<Group> {
        take_group(&mut self.0.inbox.lock().expect("nobody panics with it"), subscribe)
    }

    /// Opens a bidirectional stream that says nothing yet.
    pub(crate) async fn open_bi(&self) -> Result<Bi> {
        let open = self.0.connection.open_bi();
        let opened = within(self.0.patience, "room for a stream", open).await?;
        let (send, recv) = opened.map_err(|error| Unmet::failed("a stream", error))?;
        let mut bi = Bi { send: self.send(send), recv: self.recv(recv) };
        if let Some(web) = &self.0.web {
            bi.send.bytes(web.prefix(true)).await?;
        }
        Ok(bi)
    }

    /// Opens a unidirectional stream that says nothing yet.
    pub(crate) async fn open_uni(&self) -> Result<Send> {
        let open = self.0.connection.open_uni();
        let opened = within(self.0.patience, "room for a stream", open).await?;
        let mut send = self.send(opened.map_err(|error| Unmet::failed("a stream", error))?);
        if let Some(web) = &self.0.web {
            send.bytes(web.prefix(false)).await?;
        }
        Ok(send)
    }

    /// Opens a bidirectional stream with these bytes.
    pub(crate) async fn say(&self, bytes: &[u8]) -> Result<Bi> {
        let mut bi = self.open_bi().await?;
        bi.send.bytes(bytes).await?;
        Ok(bi)
    }

    /// Opens a unidirectional stream with these bytes.
    pub(crate) async fn say_uni(&self, bytes: &[u8]) -> Result<Send> {
        let mut send = self.open_uni().await?;
        send.bytes(bytes).await?;
        Ok(send)
    }

    /// Opens a stream with its kind.
    pub(crate) async fn begin(&self, kind: BidiType) -> Result<Bi> {
        self.say(&[kind.to_varint() as u8]).await
    }

    /// Opens a stream with a request.
    pub(crate) async fn ask(&self, kind: BidiType, message: &impl Message) -> Result<Bi> {
        let mut out = BytesMut::new();
        varint::encode(kind.to_varint(), &mut out);
        message.encode(&mut out, self.0.version);
        self.say(&out).await
    }

    /// An id that no subscription of this session has had.
    pub(crate) fn subscribe_id(&self) -> u64 {
        self.0.next_subscribe.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a datagram. `false` if the relay's transport takes none.
    pub(crate) fn datagram(&self, bytes: &[u8]) -> bool {
        let mut out = BytesMut::new();
        if let Some(web) = &self.0.web {
            varint::encode(web.quarter, &mut out);
        }
        out.extend_from_slice(bytes);
        self.0.connection.send_datagram(out.freeze()).is_ok()
    }

    /// Waits for a datagram.
    pub(crate) async fn read_datagram(&self) -> Option<Bytes> {
        let mut bytes = self.0.connection.read_datagram().await.ok()?;
        if self.0.web.is_some() {
            let (_, used) = varint::decode(&bytes)?;
            bytes = bytes.slice(used..);
        }
        Some(bytes)
    }

    /// Waits until the relay has answered a request that it cannot grant: the session lives, and what was said
    /// on it before has arrived, unless it was lost on the way and has to be sent again, as streams have no order.
    pub(crate) async fn alive(&self) -> Result {
        let subscribe = Subscribe {
            id: self.subscribe_id(),
            broadcast: Path::new("conformance/nowhere").unwrap_or_default(),
            track: "nothing".into(),
            params: SubscribeParams::default(),
        };
        let mut bi = self.ask(BidiType::Subscribe, &subscribe).await?;
        bi.recv.reset().await.map(|_| ()).map_err(|unmet| match unmet {
            Unmet::Failed { came, .. } => {
                Unmet::failed("a session that lives, and a reset of what cannot be granted", came)
            }
            skipped => skipped,
        })
    }

    /// Waits until the relay closes the session.
    pub(crate) async fn closed(&self) -> Result<SessionCode> {
        let lost = async {
            match self.0.connection.closed().await {
                ConnectionError::ApplicationClosed(close) => match self.0.web {
                    Some(_) => Ok(Web::from_connection(close.error_code)),
                    None => Ok(SessionCode(close.error_code.into_inner())),
                },
                error => Err(Unmet::failed("a session that is closed", error)),
            }
        };
        let closed = async {
            match &self.0.web {
                None => lost.await,
                Some(web) => tokio::select! {
                    code = web.closed() => Ok(code),
                    code = lost => code,
                },
            }
        };
        within(self.0.patience, "a session that is closed", closed).await?
    }

    /// Waits until the relay closes the session for a broken rule.
    pub(crate) async fn violation(&self) -> Result {
        let code = self.closed().await?;
        // The others are those of moq-net before 0.3: a protocol violation, what cannot be decoded, and what
        // comes where it should not.
        let broken = [3, 15, 12, 5].map(SessionCode).contains(&code);
        holds("a protocol violation", broken, code)
    }

    /// Ends the session in good order.
    pub(crate) async fn close(&self) {
        if let Some(web) = &self.0.web {
            // A relay that takes no more bytes does not have to hear it.
            let _ = timeout(self.0.patience, web.close(SessionCode::NO_ERROR)).await;
        }
        let code = match self.0.web {
            Some(_) => Web::to_connection(SessionCode::NO_ERROR),
            None => 0u32.into(),
        };
        self.0.connection.close(code, b"");
    }
}

fn take_group(inbox: &mut Inbox, subscribe: u64) -> Option<Group> {
    let wanted = |opened: &Opened<Uni>| {
        opened.stream.group.is_some_and(|header| header.subscribe == subscribe)
    };
    let at = inbox.uni.iter().position(wanted)?;
    let Uni { group, recv } = inbox.uni.remove(at)?.stream;
    Some(Group { header: group?, recv })
}

async fn number(recv: &mut Recv) -> Option<u64> {
    recv.take_now(|bytes, _| Ok(varint::decode(bytes))).await.ok().flatten()
}

/// Passes over what HTTP/3 has in front of a stream.
async fn skip(recv: &mut Recv, numbers: usize) -> bool {
    for _ in 0..numbers {
        if number(recv).await.is_none() {
            return false;
        }
    }
    true
}

/// Refuses a request of the relay.
pub(crate) fn refuse(bi: &mut Bi, code: StreamCode) {
    bi.send.reset(code);
    bi.recv.stop(code);
}
