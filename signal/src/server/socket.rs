//! One WebSocket: what comes in goes to the hub, what the hub orders goes out.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use super::{
    PARTING, Shared,
    executor::{Runtime, timeout},
    keeper::{Line, Order},
};
use crate::{CloseReason, ConnId};

/// Pongs and pings are told to the hub this often at most.
const SIGNS: Duration = Duration::from_secs(1);

/// How a connection ends.
enum End {
    /// The client has closed it, or it is broken.
    Gone,
    /// It is closed from here: by the hub, or because of what came.
    Close(CloseReason),
}

/// Carries messages until the connection is over.
pub(super) async fn run<R, S>(stream: S, line: Line, shared: &Shared)
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let conn = line.conn;
    let config = WebSocketConfig::default()
        // Taken at once for each connection, so small.
        .read_buffer_size(4 << 10)
        .write_buffer_size(0)
        // One message, and the answer to a ping.
        .max_write_buffer_size(shared.message_bytes + (4 << 10))
        .max_message_size(Some(shared.message_bytes))
        .max_frame_size(Some(shared.message_bytes));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    // The hub is told first of all, so that its ids are free at once.
    let frame = match carry(&mut socket, line, shared).await {
        End::Gone => {
            shared.hub.disconnect(conn).await;
            None
        }
        End::Close(reason) => {
            shared.hub.close(conn, reason).await;
            Some(CloseFrame { code: reason.code().into(), reason: reason.to_string().into() })
        }
    };
    let _ = timeout::<R, _>(PARTING, part(&mut socket, frame)).await;
}

async fn carry<S>(socket: &mut WebSocketStream<S>, mut line: Line, shared: &Shared) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hub_end = |told: Result<CloseReason, _>| End::Close(told.unwrap_or(CloseReason::Shutdown));
    let mut signs = Instant::now();
    loop {
        tokio::select! {
            told = &mut line.close => return hub_end(told),
            Some(order) = line.orders.recv() => {
                let (message, is_text) = match order {
                    Order::Text(text) => (Message::text(text), true),
                    Order::Ping => (Message::Ping(Default::default()), false),
                };
                // A client that does not read holds up only this, and only until the hub has enough.
                let sent = tokio::select! {
                    told = &mut line.close => return hub_end(told),
                    sent = socket.send(message) => sent,
                };
                match sent {
                    Ok(()) if is_text => shared.hub.sent(line.conn).await,
                    Ok(()) => {}
                    Err(_) => return End::Gone,
                }
            }
            received = socket.next() => match received {
                Some(Ok(message)) => {
                    if let Some(end) = receive(message, line.conn, &mut signs, shared).await {
                        return end;
                    }
                }
                Some(Err(error)) => return fault(&error),
                None => return End::Gone,
            }
        }
    }
}

async fn receive(
    message: Message,
    conn: ConnId,
    signs: &mut Instant,
    shared: &Shared,
) -> Option<End> {
    match message {
        Message::Text(text) => shared.hub.message(conn, text).await,
        // Programs that do not care send text as bytes.
        Message::Binary(bytes) => match Utf8Bytes::try_from(bytes) {
            Ok(text) => shared.hub.message(conn, text).await,
            Err(_) => return Some(End::Close(CloseReason::NotText)),
        },
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
            if signs.elapsed() >= SIGNS {
                *signs = Instant::now();
                shared.hub.alive(conn).await;
            }
        }
        Message::Close(_) => return Some(End::Gone),
    }
    None
}

/// What a client is told that does not keep to the protocol.
fn fault(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Close(CloseReason::TooLarge),
        Error::Utf8(_) => End::Close(CloseReason::NotText),
        // The client has gone without a word.
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
        Error::Protocol(_) => End::Close(CloseReason::NotWebSocket),
        _ => End::Gone,
    }
}

/// Says the last word, and waits for the client to go: what is cut off with data in it may never reach
/// the client.
async fn part<S>(socket: &mut WebSocketStream<S>, frame: Option<CloseFrame>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let said = match frame {
        Some(frame) => socket.close(Some(frame)).await,
        // The answer, where the client has closed.
        None => SinkExt::close(socket).await,
    };
    // The client sees the end behind the last word, and has no reason to wait.
    if said.is_ok() && socket.get_mut().shutdown().await.is_ok() {
        let mut rest = [0; 4 << 10];
        while matches!(socket.get_mut().read(&mut rest).await, Ok(1..)) {}
    }
}
