//! How a session begins.

use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ConnectionError, TransportErrorCode};
use smoq_core::{
    Carrier, Path,
    wire::{AnnounceRequest, BidiType, Body, Hop, Setup, SetupRole, UniType, varint},
};

use crate::{
    check::{ALL, Check, Cx, FROM_05, must, should},
    dial::{Dial, Opening, setup_stream},
    peer::Peer,
    stage::{Announcer, Stage, Watcher, hop},
    stream::{LIMIT, within},
    verdict::{Result, Unmet, holds, same},
};

/// A stream of SETUP with these parameters, whatever they are.
fn parameters(list: &[(u64, &[u8])]) -> Bytes {
    let mut body = BytesMut::new();
    varint::encode(list.len() as u64, &mut body);
    for (id, value) in list {
        varint::encode(*id, &mut body);
        varint::encode(value.len() as u64, &mut body);
        body.put_slice(value);
    }
    let mut out = BytesMut::new();
    varint::encode(UniType::Setup.to_varint(), &mut out);
    varint::encode(body.len() as u64, &mut out);
    out.put_slice(&body);
    out.freeze()
}

/// The same with what raw QUIC needs beside: the path of the URL, as parameter 2.
async fn opening(cx: &Cx, list: &[(u64, &[u8])]) -> Result<Peer> {
    let path = cx.target().setup_path(&cx.target().path);
    let mut list = list.to_vec();
    list.extend(path.as_ref().map(|path| (2, path.as_bytes())));
    saying(cx, parameters(&list)).await
}

async fn saying(cx: &Cx, bytes: Bytes) -> Result<Peer> {
    cx.dial(Dial { opening: Opening::Bytes(bytes), ..Dial::default() }).await
}

async fn setup_of(peer: &Peer) -> Result<Setup> {
    peer.setup_stream().await?.message("SETUP").await
}

/// A publisher below `room` and a viewer above see the same broadcast.
async fn path_is_root(cx: Cx) -> Result {
    let room = cx.name();
    let path = Some(cx.target().below(room.as_str()));
    let publisher = cx.dial(Dial { path, ..Dial::default() }).await?;
    let mut announcer = Announcer::new(&publisher, Hop::UNKNOWN).await?;
    let cam = Path::new("cam").unwrap_or_default();
    announcer.start(&cam).await?;
    let mut watcher = Watcher::new(&cx.connect().await?, &room).await?;
    watcher.started(&cam).await.map(|_| ())
}

/// Frames pass between a publisher of this version and viewers of every one that the relay speaks.
async fn mixed(cx: Cx) -> Result {
    for version in cx.spoken() {
        let viewer = cx.dial_in(*version, Dial::default()).await?;
        let stage = Stage::new(&cx, cx.connect().await?, viewer).await?;
        let (sub, mut feed) = stage.subscribe().await?;
        feed.send(0, &[b"one", b"two"]).await?;
        sub.expect(0, &[b"one", b"two"]).await?;
    }
    Ok(())
}

/// A request before SETUP is answered once SETUP has come.
async fn early_request(cx: Cx) -> Result {
    let peer = cx.dial(Dial { opening: Opening::Silent, ..Dial::default() }).await?;
    let request = AnnounceRequest { prefix: cx.name(), exclude_hop: Hop::UNKNOWN };
    let mut bi = peer.ask(BidiType::Announce, &request).await?;
    let path = cx.target().setup_path(&cx.target().path);
    let setup = setup_stream(&Setup { path, ..Setup::default() }, peer.version());
    peer.say_uni(&setup).await?.fin();
    bi.recv.take("ANNOUNCE_OK", |bytes, _| Ok((!bytes.is_empty()).then_some(((), 0)))).await
}

/// Whether the relay has said that it wants no connection, or, as clients may find out themselves, that there is no
/// common protocol.
fn is_refusal(error: &ConnectionError) -> bool {
    let no_protocol = TransportErrorCode::crypto(0x78);
    let refused = [
        no_protocol,
        TransportErrorCode::CONNECTION_REFUSED,
        TransportErrorCode::APPLICATION_ERROR,
    ];
    match error {
        ConnectionError::ConnectionClosed(close) => refused.contains(&close.error_code),
        ConnectionError::TransportError(error) => error.code == no_protocol,
        ConnectionError::ApplicationClosed(_) => true,
        ConnectionError::VersionMismatch
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => false,
    }
}

pub(super) fn checks() -> Vec<Check> {
    const SETUP: &str = "Setup";
    const PARAMETERS: &str = "SETUP";
    vec![
        must("setup/versions-mix", ALL, "Session", "publishers and viewers of every two versions understand each other through a relay", mixed),
        must("setup/unknown-alpn", ALL, "Session", "a client that offers no version which the relay speaks gets no connection", |cx| async move {
            let connecting = cx.target().handshake("moq-lite-99", &Dial::default())?;
            match within(cx.patience(), "a refusal", connecting).await? {
                Ok(_) => Err(Unmet::failed("no connection", "one without a common version")),
                Err(error) if is_refusal(&error) => Ok(()),
                Err(error) => Err(Unmet::failed("no_application_protocol, or a refusal", error)),
            }
        }).on(Carrier::Raw),
        must("setup/said-by-server", FROM_05, SETUP, "the relay opens a Setup Stream by itself, sends one SETUP that reads, and ends the stream", |cx| async move {
            let peer = cx.connect().await?;
            let mut recv = peer.setup_stream().await?;
            recv.message::<Setup>("SETUP").await?;
            recv.fin().await
        }),
        must("setup/said-once", FROM_05, SETUP, "the relay opens no second Setup Stream", |cx| async move {
            let peer = cx.connect().await?;
            setup_of(&peer).await?;
            peer.alive().await?;
            peer.alive().await?;
            same("further SETUPs", peer.setups_left(), 0)
        }),
        must("setup/server-says-no-path-or-role", FROM_05, "Path Parameter; Role Parameter", "a server sends neither Path nor Role", |cx| async move {
            let setup = setup_of(&cx.connect().await?).await?;
            holds("no Path and no Role", setup.path.is_none() && setup.role == SetupRole::Both, setup)
        }),
        must("setup/parameters-differ", FROM_05, PARAMETERS, "the relay sends no parameter twice", |cx| async move {
            let peer = cx.connect().await?;
            let mut recv = peer.setup_stream().await?;
            let take = |bytes: &[u8], _| {
                let found = smoq_core::wire::take_message(bytes, LIMIT)?;
                Ok(found.map(|found| (bytes[found.body].to_vec(), found.end)))
            };
            let body = recv.take("SETUP", take).await?;
            let mut body = Body::new(&body);
            let read = |error: smoq_core::wire::DecodeError| Unmet::failed("parameters", error);
            let mut seen = Vec::new();
            for _ in 0..body.varint().map_err(read)? {
                let id = body.varint().map_err(read)?;
                body.bytes().map_err(read)?;
                holds("an id that was not there before", !seen.contains(&id), id)?;
                seen.push(id);
            }
            Ok(())
        }),
        should("setup/origin-is-announced-hop", FROM_05, "ANNOUNCE_OK", "the relay names itself alike in SETUP and in ANNOUNCE_OK", |cx| async move {
            let peer = cx.connect().await?;
            let Some(origin) = setup_of(&peer).await?.hop else {
                return Unmet::skipped("its SETUP names no hop");
            };
            let watcher = Watcher::new(&peer, &cx.name()).await?;
            same("the hop of ANNOUNCE_OK", watcher.ok.map(|ok| ok.hop), Some(origin))
        }),
        must("setup/unknown-parameters", FROM_05, PARAMETERS, "parameters that the relay does not know are passed over", |cx| async move {
            let peer = opening(&cx, &[(0x21, b"abc"), (0x3fff, b""), (0x1234_5678, &[0; 300])]).await?;
            peer.alive().await
        }),
        must("setup/any-order", FROM_05, PARAMETERS, "parameters may come in any order", |cx| async move {
            let peer = opening(&cx, &[(5, &[7]), (4, &[1]), (1, &[0])]).await?;
            peer.alive().await
        }),
        must("setup/unknown-role", FROM_05, "Role Parameter", "a Role that the relay does not know means both: the client may publish and watch", |cx| async move {
            let publisher = opening(&cx, &[(3, &[9])]).await?;
            let viewer = opening(&cx, &[(3, &[9])]).await?;
            Stage::new(&cx, publisher, viewer).await.map(|_| ())
        }),
        must("setup/roles", FROM_05, "Role Parameter", "a client that says it publishes may publish, one that says it watches may watch", |cx| async move {
            let publisher = opening(&cx, &[(3, &[1])]).await?;
            let viewer = opening(&cx, &[(3, &[2])]).await?;
            Stage::new(&cx, publisher, viewer).await.map(|_| ())
        }),
        must("setup/unknown-probe-level", FROM_05, "Probe Parameter", "a level of Probe that the relay does not know is no fault", |cx| async move {
            opening(&cx, &[(1, &[0x40, 0xff])]).await?.alive().await
        }),
        must("setup/duplicate-parameter", FROM_05, PARAMETERS, "a parameter that comes twice closes the session, protocol violation", |cx| async move {
            opening(&cx, &[(1, &[1]), (1, &[1])]).await?.violation().await
        }),
        must("setup/second", FROM_05, SETUP, "a second Setup Stream closes the session, protocol violation", |cx| async move {
            let peer = cx.connect().await?;
            peer.alive().await?;
            peer.say_uni(&parameters(&[])).await?.fin();
            peer.violation().await
        }),
        must("setup/truncated", FROM_05, SETUP, "a SETUP that ends early closes the session", |cx| async move {
            saying(&cx, Bytes::from_static(&[1, 5, 1, 1])).await?.closed().await.map(|_| ())
        }),
        must("setup/trailing-bytes", FROM_05, SETUP, "a SETUP with bytes behind its parameters closes the session", |cx| async move {
            saying(&cx, Bytes::from_static(&[1, 3, 0, 9, 9])).await?.closed().await.map(|_| ())
        }),
        must("setup/too-large", FROM_05, SETUP, "a SETUP that declares a huge length closes the session at once", |cx| async move {
            let peer = cx.dial(Dial { opening: Opening::Silent, ..Dial::default() }).await?;
            peer.say_uni(&[1, 0xbf, 0xff, 0xff, 0xff]).await?;
            peer.closed().await.map(|_| ())
        }),
        should("setup/too-many-parameters", FROM_05, PARAMETERS, "a SETUP with a thousand parameters closes the session", |cx| async move {
            let list: Vec<_> = (100..1100).map(|id| (id, &b""[..])).collect();
            opening(&cx, &list).await?.closed().await.map(|_| ())
        }),
        must("setup/in-pieces", FROM_05, SETUP, "a SETUP that comes byte by byte is read", |cx| async move {
            let peer = cx.dial(Dial { opening: Opening::Silent, ..Dial::default() }).await?;
            let path = cx.target().setup_path(&cx.target().path);
            let mut send = peer.open_uni().await?;
            for byte in setup_stream(&Setup { path, ..Setup::default() }, peer.version()) {
                send.bytes(&[byte]).await?;
                tokio::task::yield_now().await;
            }
            send.fin();
            peer.alive().await
        }),
        must("setup/requests-wait", FROM_05, "Session", "a request that comes before SETUP is kept, and answered after it", early_request),
        must("setup/path-is-root", ALL, "Path Parameter", "names of broadcasts are relative to the path of the request", path_is_root).on(Carrier::WebTransport),
        must("setup/path-parameter", FROM_05, "Path Parameter", "names of broadcasts are relative to the Path in SETUP", path_is_root).on(Carrier::Raw),
        must("setup/invalid-path", FROM_05, "Path Parameter", "a Path that is no text closes the session, protocol violation", |cx| async move {
            saying(&cx, parameters(&[(2, b"/\xff\xfe")])).await?.violation().await
        }).on(Carrier::Raw),
        must("setup/path-twice", FROM_05, "Path Parameter", "a Path where the handshake carries a URI closes the session, protocol violation", |cx| async move {
            saying(&cx, parameters(&[(2, b"/a")])).await?.violation().await
        }).on(Carrier::WebTransport),
        must("setup/hop-is-remembered", FROM_05, "Origin Parameter", "an Origin in SETUP is understood, also the largest number", |cx| async move {
            let publisher = opening(&cx, &[(5, &[0xff; 8])]).await?;
            let mut announcer = Announcer::new(&publisher, hop(varint::MAX)).await?;
            let name = cx.name();
            announcer.start(&name).await?;
            let mut watcher = Watcher::new(&cx.connect().await?, &name).await?;
            let (hops, _) = watcher.started(&Path::root()).await?;
            holds("the hop in the list", hops.contains(hop(varint::MAX)), hops)
        }),
    ]
}
