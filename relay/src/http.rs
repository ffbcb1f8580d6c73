//! The side door for browsers: the fingerprint of the relay's certificate, over plain HTTP on the TCP
//! port with the number of the relay's UDP port.
//!
//! A page pins a development certificate with it (`serverCertificateHashes`). It is no secret, but
//! whoever is on the path can change it: on networks that are not trusted, a certificate that browsers
//! know by themselves is the right thing.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// What it is asked for.
const FINGERPRINT: &str = "/certificate.sha256";
/// Connections at a time. Each is answered in a moment; more wait.
const CONNECTIONS: usize = 64;
/// How long one may take, whatever it does.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to say what it wants.
const HEADER_PATIENCE: Duration = Duration::from_secs(1);
/// After the system refused one, for want of descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens the port. To be called within a tokio runtime.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Answers for ever.
pub(crate) async fn serve(listener: TcpListener, fingerprint: [u8; 32]) {
    let text: Bytes = crate::hex(&fingerprint).into();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let text = text.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &text);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever goes wrong is the client's business.
            let _ = timeout(PATIENCE, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, fingerprint: &Bytes) -> Response<Full<Bytes>> {
    let (status, body) = match (request.uri().path(), request.method()) {
        (FINGERPRINT, &Method::GET | &Method::HEAD) => (StatusCode::OK, fingerprint.clone()),
        (FINGERPRINT, _) => (StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(b"GET it\n")),
        _ => {
            let hint = b"WebTransport is at this port's UDP side; here is /certificate.sha256\n";
            (StatusCode::NOT_FOUND, Bytes::from_static(hint))
        }
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = [
        // Every page may know it.
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (CONTENT_TYPE, "text/plain"),
        // It changes with the certificate.
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("a constant that is valid"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("it is valid"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpStream},
    };

    use super::*;

    /// Serves, and gives what each of these requests was answered.
    fn asked(requests: &[&str]) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let guard = runtime.enter();
        let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, [0xab; 32]));
        drop(guard);
        let ask = |request: &&str| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        };
        requests.iter().map(ask).collect()
    }

    #[test]
    fn a_page_can_read_the_fingerprint() {
        let [get, head] = &asked(&[
            "GET /certificate.sha256?x HTTP/1.1\r\nhost: a\r\norigin: http://b\r\n\r\n",
            "HEAD /certificate.sha256 HTTP/1.1\r\nhost: a\r\n\r\n",
        ])[..] else {
            panic!()
        };
        assert!(get.starts_with("HTTP/1.1 200"), "{get}");
        assert!(get.contains("access-control-allow-origin: *\r\n"), "{get}");
        assert!(get.ends_with(&format!("\r\n\r\n{}", "ab".repeat(32))), "{get}");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn everything_else_is_refused_and_harms_nobody() {
        let answers = asked(&[
            "POST /certificate.sha256 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "garbage\r\n\r\n",
            "GET /certificate.sha256 HTTP/1.1\r\nhost: a\r\n\r\n",
        ]);
        for (answer, status) in answers.iter().zip(["405", "404", "400", "200"]) {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
    }

    #[test]
    fn who_says_nothing_keeps_nobody_from_being_answered() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(serve(listener, [0; 32]));
            let silent: Vec<_> =
                (0..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
            let answer = tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let request = "GET /certificate.sha256 HTTP/1.1\r\nhost: a\r\n\r\n";
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            });
            assert!(answer.await.unwrap().starts_with("HTTP/1.1 200"));
            drop(silent);
        });
    }
}
