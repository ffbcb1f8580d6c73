//! Who may connect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HOST, HeaderName, ORIGIN},
};
use thiserror::Error;

use crate::id::is_shown;

/// Which pages may connect. Programs that are no browsers name no page, and always may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origins {
    /// Pages of the server's own host and port, and of the origins in this list. To a client on the same
    /// machine its own host is `localhost` or an address only: any other name may have been pointed here by
    /// whoever owns it.
    Own(Vec<Origin>),
    /// All pages.
    Any,
}

impl Default for Origins {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Origins {
    /// Whether a client at `remote` may connect.
    pub(super) fn allow(&self, headers: &HeaderMap, remote: IpAddr) -> bool {
        let Self::Own(others) = self else { return true };
        if !headers.contains_key(ORIGIN) {
            return true;
        }
        let Some(origin) = text(headers, ORIGIN) else { return false };
        let host = origin.split_once("://").map(|(_, host)| host);
        let own = host.zip(text(headers, HOST)).is_some_and(|(origin, host)| {
            let far = !remote.to_canonical().is_loopback();
            origin.eq_ignore_ascii_case(host) && (far || is_nobodys(without_port(host)))
        });
        own || others.iter().any(|other| other.0.eq_ignore_ascii_case(origin))
    }
}

/// Where a page is from, as browsers say it: `https://app.example`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin(String);

/// A text that cannot be an origin, so no page would ever come from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "an origin is a scheme and a host, and a port if it is not the usual one, as in https://app.example \
     or http://localhost:8080; without a path, and without a slash at its end"
)]
pub struct BadOrigin;

impl Origin {
    /// Checks an origin.
    pub fn new(text: impl Into<String>) -> Result<Self, BadOrigin> {
        let text = text.into();
        let (scheme, host) = text.split_once("://").ok_or(BadOrigin)?;
        let name = without_port(host);
        let usual = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        let is_usual = !usual.is_empty() && host.ends_with(usual);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let named = !name.is_empty() && name.bytes().all(plain);
        let sound = !scheme.is_empty() && (named || is_address(name)) && !is_usual;
        sound.then_some(Self(text)).ok_or(BadOrigin)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    }
}

/// Whether nobody can make this name point elsewhere.
fn is_nobodys(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || is_address(name)
}

fn is_address(name: &str) -> bool {
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    inside.is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()) || name.parse::<Ipv4Addr>().is_ok()
}

/// A text that every client must show: as `Authorization: Bearer …`, or, since pages cannot set that, as
/// `?token=…` in the URL.
#[derive(Clone)]
pub struct AccessToken(String);

/// A text that cannot be an access token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("an access token has 8 to 128 letters, digits or any of - . _ ~ in it")]
pub struct BadToken;

impl AccessToken {
    /// Checks a token. It must stand in a URL as it is.
    pub fn new(text: impl Into<String>) -> Result<Self, BadToken> {
        let text = text.into();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let sound = (8..=128).contains(&text.len()) && text.bytes().all(plain);
        sound.then_some(Self(text)).ok_or(BadToken)
    }

    pub(super) fn is_shown(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let bearer = text(headers, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let query = uri.query().unwrap_or_default().split('&');
        let mut parameters = query.filter_map(|part| part.strip_prefix("token="));
        bearer.or_else(|| parameters.next()).is_some_and(|shown| is_shown(&self.0, shown))
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_page_may_connect_to_its_own_host_and_where_it_is_listed() {
        let from = |origin| headers(&[(HOST, "hub.example:3000"), (ORIGIN, origin)]);
        let own = Origins::default();
        assert!(own.allow(&headers(&[(HOST, "hub.example:3000")]), FAR));
        assert!(own.allow(&from("http://HUB.example:3000"), FAR));
        for stranger in ["http://hub.example", "https://evil.example", "null", "hub.example:3000"] {
            assert!(!own.allow(&from(stranger), FAR), "{stranger}");
            assert!(Origins::Any.allow(&from(stranger), FAR));
        }
        let listed = Origins::Own(vec![Origin::new("https://app.example").unwrap()]);
        assert!(listed.allow(&from("https://app.example"), FAR));
        assert!(!listed.allow(&from("https://app.example.evil.example"), FAR));
        assert!(!own.allow(&headers(&[(ORIGIN, "http://hub.example")]), FAR), "without a host");
    }

    #[test]
    fn a_name_that_was_pointed_to_this_machine_is_not_its_own() {
        let page = |host, remote: &str| {
            let origin = format!("http://{host}");
            let headers = headers(&[(HOST, host), (ORIGIN, &origin)]);
            Origins::default().allow(&headers, remote.parse().unwrap())
        };
        for own in ["localhost:3000", "LOCALHOST", "127.0.0.1:3000", "[::1]:3000", "[::1]"] {
            assert!(page(own, "127.0.0.1") && page(own, "::1"), "{own}");
        }
        for evil in ["evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!page(evil, "127.0.0.1") && !page(evil, "::ffff:127.0.0.1"), "{evil}");
        }
    }

    #[test]
    fn an_origin_is_what_browsers_say() {
        for good in ["https://app.example", "http://[::1]:8080", "app://x", "http://10.0.0.1"] {
            assert!(Origin::new(good).is_ok(), "{good}");
        }
        let bad = "app.example|https://|https://app.example/|https://app.example/x|://app.example|\
                   https://a b|https://app.example:|https://app.example:443|http://x:80|\
                   https://u@app.example|*|null|";
        for bad in bad.split('|') {
            assert_eq!(Origin::new(bad), Err(BadOrigin), "{bad}");
        }
    }

    #[test]
    fn the_token_is_shown_in_a_header_or_in_the_url() {
        let token = AccessToken::new("abc-12345").unwrap();
        let uri = |text: &'static str| Uri::from_static(text);
        let none = HeaderMap::new();
        assert!(token.is_shown(&uri("/ws?x=1&token=abc-12345"), &none));
        assert!(token.is_shown(&uri("/ws"), &headers(&[(AUTHORIZATION, "Bearer abc-12345")])));
        for wrong in ["/ws", "/ws?token=", "/ws?token=abc-1234", "/ws?token=abc-123456"] {
            assert!(!token.is_shown(&uri(wrong), &none), "{wrong}");
        }
        assert!(!token.is_shown(&uri("/ws"), &headers(&[(AUTHORIZATION, "abc-12345")])));
    }

    #[test]
    fn a_token_can_stand_in_a_url() {
        for bad in ["short", "has a space", "100%wrong", "näßnäß-näß"] {
            assert_eq!(AccessToken::new(bad).err(), Some(BadToken), "{bad}");
        }
        assert!(AccessToken::new("x".repeat(129)).is_err());
    }
}
