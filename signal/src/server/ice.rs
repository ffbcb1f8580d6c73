//! Which STUN and TURN servers clients are told of, with credentials that expire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use serde_json::json;
use thiserror::Error;

/// How long credentials are good for: a call that was begun by then goes on.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Servers that help peers to find a way to each other. None by default.
#[derive(Clone, Default)]
pub struct IceServers {
    stun: Vec<String>,
    turn: Vec<String>,
    secret: Option<Key>,
}

/// The servers do not fit together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BadIceServers {
    /// A URL is none of the kind.
    #[error(
        "a STUN server is like stun:stun.example:3478, a TURN server like turn:turn.example:3478"
    )]
    Url,
    /// One of the two is missing.
    #[error("TURN servers and the secret that is shared with them go together: give both")]
    Secret,
}

impl IceServers {
    /// URLs as browsers have them (RFC 7064, RFC 7065), and the secret that the TURN servers know
    /// (`static-auth-secret` of coturn).
    pub fn new(
        stun: Vec<String>,
        turn: Vec<String>,
        secret: Option<&str>,
    ) -> Result<Self, BadIceServers> {
        let is_of = |url: &String, kinds: [&str; 2]| {
            let plain = |b: u8| b.is_ascii_graphic() && !b"\"\\".contains(&b);
            let rest = url.split_once(':').filter(|(kind, _)| kinds.contains(kind));
            rest.is_some_and(|(_, rest)| !rest.is_empty() && rest.bytes().all(plain))
        };
        let sound = stun.iter().all(|url| is_of(url, ["stun", "stuns"]))
            && turn.iter().all(|url| is_of(url, ["turn", "turns"]));
        if !sound {
            return Err(BadIceServers::Url);
        }
        if turn.is_empty() != secret.is_none_or(str::is_empty) {
            return Err(BadIceServers::Secret);
        }
        let key = |secret: &str| Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        Ok(Self { stun, turn, secret: secret.filter(|it| !it.is_empty()).map(key) })
    }

    /// As an `RTCConfiguration` has them. The name of the user is when it expires, its password the HMAC of
    /// that, which is what TURN servers with a shared secret check.
    pub(super) fn json(&self, now: SystemTime) -> String {
        let mut servers = Vec::new();
        if !self.stun.is_empty() {
            servers.push(json!({ "urls": self.stun }));
        }
        if let Some(secret) = &self.secret {
            let expiry = now.duration_since(UNIX_EPOCH).unwrap_or_default() + LIFETIME;
            let username = expiry.as_secs().to_string();
            let credential = BASE64.encode(sign(secret, username.as_bytes()).as_ref());
            servers
                .push(json!({ "urls": self.turn, "username": username, "credential": credential }));
        }
        json!({ "iceServers": servers }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(url: &str) -> Vec<String> {
        vec![url.into()]
    }

    #[test]
    fn credentials_are_what_a_turn_server_expects() {
        let turn = urls("turn:turn.example:3478");
        let servers = IceServers::new(urls("stun:stun.example"), turn, Some("north")).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_433_895_918) - LIFETIME;
        // printf 1433895918 | openssl dgst -sha1 -hmac north -binary | base64
        let expected = r#"{"iceServers":[{"urls":["stun:stun.example"]},{"credential":"3dkl8uIBelQlraT8v9eCSJTyt+U=","urls":["turn:turn.example:3478"],"username":"1433895918"}]}"#;
        assert_eq!(servers.json(now), expected);
        assert_eq!(IceServers::default().json(now), r#"{"iceServers":[]}"#);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let turn = || urls("turns:turn.example");
        let refused = |stun, turn, secret| IceServers::new(stun, turn, secret).err();
        assert_eq!(refused(vec![], turn(), None), Some(BadIceServers::Secret));
        assert_eq!(refused(vec![], turn(), Some("")), Some(BadIceServers::Secret));
        assert_eq!(refused(vec![], vec![], Some("north")), Some(BadIceServers::Secret));
        for bad in ["stun.example", "stun:", "http://x", "turn:x", "stun:a b"] {
            assert_eq!(refused(urls(bad), vec![], None), Some(BadIceServers::Url), "{bad}");
        }
    }
}
