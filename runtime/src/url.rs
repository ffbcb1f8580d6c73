//! `moqt://host:port/path?query` and `https://host:port/path?query`

use std::{fmt, net::Ipv6Addr, str::FromStr};

use smoq_core::Carrier;
use thiserror::Error;

/// Where a relay is: `moqt://host[:port][/path][?query]` for raw QUIC, `https://...` for WebTransport.
///
/// The port is 443 unless given. An IPv6 address stands in brackets. The path and the query travel to
/// the server as they are written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    carrier: Carrier,
    host: String,
    port: u16,
    path: String,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// There is no `scheme://`.
    #[error("{0:?} has no scheme: write moqt://HOST:PORT/PATH")]
    NoScheme(String),
    /// A scheme that says nothing of a carrier.
    #[error("unknown scheme {0}://, use moqt:// (raw QUIC) or https:// (WebTransport)")]
    Scheme(String),
    /// Nothing between the scheme and the path.
    #[error("the URL has no host: write moqt://HOST:PORT/PATH")]
    NoHost,
    /// A user name or password.
    #[error("the URL has a user name: put the credential into the query, as in ?jwt=TOKEN")]
    User,
    /// The host has characters that no host has, or brackets around something else than IPv6.
    #[error("{0:?} is no host name or address")]
    Host(String),
    /// The port is not a number between 1 and 65535.
    #[error("{0:?} is no port: use a number between 1 and 65535")]
    Port(String),
    /// `#...` never leaves a client.
    #[error("the URL has a fragment (#), which means nothing here: remove it")]
    Fragment,
    /// White space or control characters.
    #[error("the URL has a space or a control character: write it as %20 and the like")]
    Space,
}

impl Url {
    /// The port when the URL names none.
    pub const DEFAULT_PORT: u16 = 443;

    /// What lies between the streams and UDP.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Host name, IPv4 address, or IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as in `/room?jwt=x`; empty if the URL ends after the host.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path without its query.
    pub fn path_only(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The same URL over something else.
    pub fn with_carrier(self, carrier: Carrier) -> Self {
        Self { carrier, ..self }
    }

    /// The same URL, which begins with another path and query (with their `/` and `?`).
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlError::NoScheme(text.into()));
        };
        let carrier = match scheme.to_ascii_lowercase().as_str() {
            "moqt" => Carrier::Raw,
            "https" => Carrier::WebTransport,
            _ => return Err(UrlError::Scheme(scheme.into())),
        };
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Space);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let (host, port) = host_and_port(authority)?;
        Ok(Self { carrier, host: host.into(), port, path: path.into() })
    }
}

fn host_and_port(authority: &str) -> Result<(&str, u16), UrlError> {
    let bad_host = || UrlError::Host(authority.into());
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(bad_host)?;
            host.parse::<Ipv6Addr>().map_err(|_| bad_host())?;
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(bad_host()),
            }
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            if !host.chars().all(fits) {
                return Err(bad_host());
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let port = match port {
        None => Url::DEFAULT_PORT,
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 && !digits.starts_with('+') => port,
            _ => return Err(UrlError::Port(digits.into())),
        },
    };
    Ok((host, port))
}

/// Without its query: that may be a token, and what is written in this way ends in logs.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.path.contains('?') { "?..." } else { "" };
        let told = self.clone().with_path(format!("{}{query}", self.path_only()));
        write!(f, "{:?}", told.to_string())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { carrier, host, port, path } = self;
        let scheme = match carrier {
            Carrier::Raw => "moqt",
            Carrier::WebTransport => "https",
            // Nobody can dial it, and no text parses to it.
            Carrier::Link => "link",
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}{path}")
        } else {
            write!(f, "{scheme}://{host}:{port}{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16, String), UrlError> {
        text.parse::<Url>().map(|url| (url.host, url.port, url.path))
    }

    #[test]
    fn good_urls() {
        for (text, host, port, path) in [
            ("moqt://relay.example", "relay.example", 443, ""),
            ("moqt://relay.example/", "relay.example", 443, "/"),
            ("moqt://localhost:4443/room/a?jwt=x/y", "localhost", 4443, "/room/a?jwt=x/y"),
            ("MOQT://127.0.0.1:1?jwt=x", "127.0.0.1", 1, "?jwt=x"),
            ("moqt://[::1]", "::1", 443, ""),
            ("moqt://[::1]:65535/a", "::1", 65535, "/a"),
            ("HTTPS://relay.example/a", "relay.example", 443, "/a"),
        ] {
            assert_eq!(parse(text), Ok((host.into(), port, path.into())), "{text}");
        }
    }

    #[test]
    fn bad_urls() {
        for (text, error) in [
            ("localhost:4443", UrlError::NoScheme("localhost:4443".into())),
            ("http://a/", UrlError::Scheme("http".into())),
            ("moqt://", UrlError::NoHost),
            ("moqt://:443", UrlError::NoHost),
            ("moqt:///path", UrlError::NoHost),
            ("moqt://me:pw@a/", UrlError::User),
            ("moqt://a:0", UrlError::Port("0".into())),
            ("moqt://a:", UrlError::Port(String::new())),
            ("moqt://a:+1", UrlError::Port("+1".into())),
            ("moqt://a:65536", UrlError::Port("65536".into())),
            ("moqt://::1", UrlError::NoHost),
            ("moqt://[::1", UrlError::Host("[::1".into())),
            ("moqt://[a]:1", UrlError::Host("[a]:1".into())),
            ("moqt://[::1]1", UrlError::Host("[::1]1".into())),
            ("moqt://a$b", UrlError::Host("a$b".into())),
            ("moqt://a/#x", UrlError::Fragment),
            ("moqt://a/b c", UrlError::Space),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn displays_as_it_parses() {
        for (text, carrier) in [
            ("moqt://a:443/b?c", Carrier::Raw),
            ("moqt://[::1]:5", Carrier::Raw),
            ("https://127.0.0.1:1?x", Carrier::WebTransport),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.carrier()), (text, carrier));
        }
        let url: Url = "moqt://a/b?c".parse().unwrap();
        assert_eq!((url.path(), url.path_only()), ("/b?c", "/b"));
        assert_eq!(format!("{url:?}"), r#""moqt://a:443/b?...""#);
        let url = url.with_path("/d").with_carrier(Carrier::WebTransport);
        assert_eq!(url.to_string(), "https://a:443/d");
    }
}
