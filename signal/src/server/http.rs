//! HTTP: who wants what, and the way to a WebSocket.

use std::{convert::Infallible, net::SocketAddr, sync::Mutex, time::SystemTime};

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
        HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
        WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::{
    OPENING, Shared, demo,
    executor::{Runtime, timeout},
    keeper::Line,
    socket,
};
use crate::ConnectRefused;

/// The head of a request is no longer than this.
const HEAD: usize = 16 << 10;

type Answer = Response<Full<Bytes>>;

/// Serves one connection: a request, which has a time like the handshake of TLS, and the WebSocket if it asks
/// for one.
pub(super) async fn serve<R, S>(stream: S, remote: SocketAddr, shared: &Shared)
where
    R: Runtime,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgrade = Mutex::new(None);
    let service = service_fn(|request| async {
        let (answer, wanted) = answer(request, remote, shared).await;
        if let (Some(wanted), Ok(mut upgrade)) = (wanted, upgrade.lock()) {
            *upgrade = Some(wanted);
        }
        Ok::<_, Infallible>(answer)
    });
    let served = http1::Builder::new()
        // It would need a timer of hyper's own.
        .header_read_timeout(None)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    match timeout::<R, _>(OPENING, served).await {
        Some(Ok(())) => {}
        Some(Err(error)) => debug!(%remote, %error, "no request"),
        None => debug!(%remote, "no request in time"),
    }
    let Some((on_upgrade, line)) = upgrade.into_inner().ok().flatten() else { return };
    match on_upgrade.await {
        Ok(stream) => socket::run::<R, _>(TokioIo::new(stream), line, shared).await,
        Err(_) => shared.hub.disconnect(line.conn).await,
    }
}

/// The answer, and what follows it if it is the beginning of a WebSocket.
async fn answer(
    mut request: Request<Incoming>,
    remote: SocketAddr,
    shared: &Shared,
) -> (Answer, Option<(OnUpgrade, Line)>) {
    let plain = |answer| (answer, None);
    let is_shown = |request: &Request<Incoming>| {
        let token = shared.token.as_ref();
        token.is_none_or(|token| token.is_shown(request.uri(), request.headers()))
    };
    let path = request.uri().path();
    let file = if shared.demo { demo::file(path) } else { None };
    if file.is_none() && !matches!(path, "/ws" | "/ice" | "/healthz" | "/stats" | "/metrics") {
        return plain(refuse(
            StatusCode::NOT_FOUND,
            "there is /ws, /ice, /healthz, /stats and /metrics, and with --demo a page at /",
        ));
    }
    if request.method() != Method::GET {
        let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return plain(answer);
    }
    if let Some((kind, text)) = file {
        let mut answer = page(kind, text.into());
        let policy = HeaderValue::from_static(demo::CONTENT_SECURITY_POLICY);
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        return plain(answer);
    }
    if path == "/healthz" {
        return plain(page("text/plain; charset=utf-8", "ok\n".into()));
    }
    if !is_shown(&request) {
        let mut answer = refuse(
            StatusCode::UNAUTHORIZED,
            "show the access token, as `Authorization: Bearer TOKEN` or as `?token=TOKEN`",
        );
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return plain(answer);
    }
    match path {
        "/ice" => return plain(page("application/json", shared.ice.json(SystemTime::now()))),
        "/stats" | "/metrics" => {
            let Some(metrics) = shared.hub.metrics().await else {
                return plain(refuse(StatusCode::SERVICE_UNAVAILABLE, "the hub is gone"));
            };
            return plain(match path {
                "/stats" => page("application/json", metrics.json()),
                _ => page("text/plain; version=0.0.4; charset=utf-8", metrics.prometheus()),
            });
        }
        _ => {}
    }
    let Some(accept) = accept_key(request.headers()) else {
        let mut answer = refuse(StatusCode::BAD_REQUEST, "this is for WebSocket, version 13");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return plain(answer);
    };
    if !shared.origins.allow(request.headers(), remote.ip()) {
        return plain(refuse(
            StatusCode::FORBIDDEN,
            "pages of this origin may not connect; whoever runs the hub can allow it with --origin",
        ));
    }
    let line = match shared.hub.connect(remote).await {
        Ok(line) => line,
        Err(refused) => {
            let status = match refused {
                ConnectRefused::AddressFull | ConnectRefused::TooOften => {
                    StatusCode::TOO_MANY_REQUESTS
                }
                ConnectRefused::Full | ConnectRefused::Shutdown => StatusCode::SERVICE_UNAVAILABLE,
            };
            return plain(refuse(status, &refused.to_string()));
        }
    };
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    (answer, Some((hyper::upgrade::on(&mut request), line)))
}

/// The answer to the key of a request that opens a WebSocket. `None` if it does not.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name: HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(SEC_WEBSOCKET_KEY)?.as_bytes();
    let sound = has(UPGRADE, "websocket")
        && has(CONNECTION, "upgrade")
        && headers.get(SEC_WEBSOCKET_VERSION)?.as_bytes() == b"13"
        && data_encoding::BASE64.decode(key).is_ok_and(|key| key.len() == 16);
    sound.then(|| derive_accept_key(key).try_into().ok())?
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    let mut answer = page("text/plain; charset=utf-8", format!("{why}\n"));
    *answer.status_mut() = status;
    answer
}

/// One connection is one request: who keeps it open pays for nothing.
fn page(kind: &'static str, text: String) -> Answer {
    let mut answer = Answer::new(text.into());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
