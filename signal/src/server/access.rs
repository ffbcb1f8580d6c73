//! Who may connect.

use hyper::{
    HeaderMap, Uri,
    header::{AUTHORIZATION, HOST, HeaderName, ORIGIN},
};
use thiserror::Error;

/// Which pages may connect. Programs that are no browsers name no page, and always may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origins {
    /// Pages of the server's own host and port, and of the origins in this list, as in
    /// `https://app.example`.
    Own(Vec<String>),
    /// All pages.
    Any,
}

impl Default for Origins {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Origins {
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        let Self::Own(others) = self else { return true };
        if !headers.contains_key(ORIGIN) {
            return true;
        }
        let Some(origin) = text(headers, ORIGIN) else { return false };
        let host = origin.split_once("://").map(|(_, host)| host);
        let own = host.zip(text(headers, HOST)).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
        own || others.iter().any(|other| other.eq_ignore_ascii_case(origin))
    }
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
        bearer.or_else(|| parameters.next()).is_some_and(|shown| self.is(shown))
    }

    /// Takes the same time wherever the first difference is.
    fn is(&self, shown: &str) -> bool {
        let differences = self.0.bytes().zip(shown.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        self.0.len() == shown.len() && differences == 0
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

    #[test]
    fn a_page_may_connect_to_its_own_host_and_where_it_is_listed() {
        let from = |origin| headers(&[(HOST, "hub.example:3000"), (ORIGIN, origin)]);
        let own = Origins::default();
        assert!(own.allow(&headers(&[(HOST, "hub.example:3000")])));
        assert!(own.allow(&from("http://HUB.example:3000")));
        for stranger in ["http://hub.example", "https://evil.example", "null", "hub.example:3000"] {
            assert!(!own.allow(&from(stranger)), "{stranger}");
            assert!(Origins::Any.allow(&from(stranger)));
        }
        let listed = Origins::Own(vec!["https://app.example".into()]);
        assert!(listed.allow(&from("https://app.example")));
        assert!(!listed.allow(&from("https://app.example.evil.example")));
        assert!(!own.allow(&headers(&[(ORIGIN, "http://hub.example")])), "without a host");
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
