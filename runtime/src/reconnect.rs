//! Whether, when and where to connect again. No IO and no clock in here.

use std::time::{Duration, Instant};

use smoq_core::{Closed, ClosedBy, wire::SessionCode};
use smoq_quic::ConnectError as QuicError;

use crate::{error::ConnectError, url::Url};

/// How a client goes on by itself after its connection was lost, or when its server asks to go elsewhere.
///
/// Handles live through it: what is published is announced again, and a subscription goes on behind the
/// last group that it gave. Nothing of this happens after an end that would only come again: a
/// certificate or a permission that is refused, a version that is not spoken, a broken rule, a close with
/// a code of the application, or one by this side, unless the server was too slow. Of a place where a
/// server has sent us to it says no more than that the first one has to be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// How long to wait before the first attempt; each further one waits twice as long. Of each wait a
    /// random part, up to half, is left out, so that the clients of one server do not come at once.
    /// Default 100 ms.
    pub first: Duration,
    /// The longest wait. A connection that has lasted so long makes the next wait the first again.
    /// Default 10 s.
    pub most: Duration,
    /// No attempt begins later than so long after the loss; then the connection is over. Default `None`:
    /// it is tried for ever.
    pub give_up: Option<Duration>,
    /// After the loss of a connection, how long a new one may lack what the old one had: a broadcast that
    /// is subscribed to, or the subscribers of a track that is written. Its other end may still be on the
    /// way back. Then the subscription fails, and the track has no subscribers. Default 30 s.
    pub rejoin: Duration,
    /// Whether to go where a server sends us (GOAWAY).
    pub follow: Follow,
    /// After GOAWAY, how long the old connection goes on beside the new one, for what runs on it. Default
    /// 10 s.
    pub overlap: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(10),
            give_up: None,
            rejoin: Duration::from_secs(30),
            follow: Follow::SameHost,
            overlap: Duration::from_secs(10),
        }
    }
}

/// To which places a server may send a client (GOAWAY). It proves nothing about them, and they are told
/// the path of the URL with its query, which may hold a token. Whose policy does not allow a place connects
/// to the same one again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Follow {
    /// None.
    Never,
    /// Those on the host of the URL that the client was given.
    #[default]
    SameHost,
    /// Any. The certificate there has to be trusted as the first one was.
    Anywhere,
}

impl Follow {
    /// Where `uri` leads a client of `home`, if that is allowed. A URI without path and query means those
    /// that the client has.
    pub(crate) fn place(self, home: &Url, uri: &str) -> Option<Url> {
        let there: Url = uri.parse().ok()?;
        let allowed = match self {
            Self::Never => false,
            Self::SameHost => there.host().eq_ignore_ascii_case(home.host()),
            Self::Anywhere => true,
        };
        let bare = matches!(there.path(), "" | "/");
        allowed.then(|| if bare { there.with_path(home.path()) } else { there })
    }
}

/// Decides when to dial again.
#[derive(Debug)]
pub(crate) struct Redial {
    first: Duration,
    most: Duration,
    give_up: Option<Duration>,
    random: u64,
    /// Waits since the last connection that lasted.
    waits: u32,
    /// Since when there is a connection.
    up: Option<Instant>,
    /// When it was decided to dial.
    since: Option<Instant>,
    /// Attempts that have failed since.
    failures: u32,
}

impl Redial {
    pub(crate) fn new(options: &Reconnect, seed: u64) -> Self {
        let &Reconnect { first, most, give_up, .. } = options;
        Self { first, most, give_up, random: seed, waits: 0, up: None, since: None, failures: 0 }
    }

    /// There is a connection.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.up = Some(now);
        self.since = None;
    }

    /// The connection is lost, or has to be replaced. Says when to dial; `None` to give up.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Instant> {
        let up = self.up.take();
        if up.is_some_and(|up| now.saturating_duration_since(up) >= self.most) {
            self.waits = 0;
        }
        self.failures = 0;
        self.since = Some(now);
        self.next(now)
    }

    /// An attempt has failed. Says when to make the next one; `None` to give up.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Instant> {
        self.failures = self.failures.saturating_add(1);
        self.next(now)
    }

    /// Which attempt is the next, or the one under way: 1 for the first.
    pub(crate) fn attempt(&self) -> u32 {
        self.failures.saturating_add(1)
    }

    fn next(&mut self, now: Instant) -> Option<Instant> {
        let at = now.checked_add(self.wait())?;
        let limit =
            self.since.zip(self.give_up).and_then(|(since, limit)| since.checked_add(limit));
        if limit.is_none_or(|limit| at <= limit) { Some(at) } else { None }
    }

    fn wait(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.waits).unwrap_or(u32::MAX);
        self.waits = self.waits.saturating_add(1);
        let whole = self.first.saturating_mul(factor).min(self.most);
        // SplitMix64, of which the upper half is used.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32;
        let part = u32::try_from(mixed).unwrap_or(u32::MAX);
        whole - whole.mul_f64(0.5 * f64::from(part) / f64::from(u32::MAX))
    }
}

/// Whether a connection that ended so may come about again.
pub(crate) fn may_pass(closed: &Closed) -> bool {
    match closed.by {
        ClosedBy::Transport => true,
        // The node's own limits of time.
        ClosedBy::Local => closed.code == SessionCode::TIMEOUT,
        ClosedBy::Peer => {
            let lasting = [
                SessionCode::UNAUTHORIZED,
                SessionCode::PROTOCOL_VIOLATION,
                SessionCode::KEY_VALUE_FORMATTING,
                SessionCode::VERSION,
            ];
            closed.code < SessionCode::application(0) && !lasting.contains(&closed.code)
        }
    }
}

/// Whether another attempt may go better than one that failed so.
pub(crate) fn may_succeed(error: &ConnectError) -> bool {
    match error {
        ConnectError::Quic(error) => match error {
            QuicError::NoAddress(_)
            | QuicError::Unreachable(_)
            | QuicError::CannotSend { .. }
            | QuicError::Timeout { .. }
            | QuicError::Refusal(429 | 500 | 502..=599)
            | QuicError::Http3(_)
            | QuicError::Refused
            | QuicError::Reset
            | QuicError::Handshake(_) => true,
            QuicError::InvalidAddress(_)
            | QuicError::InvalidHost(_)
            | QuicError::NoVersions
            | QuicError::Certificate { .. }
            | QuicError::NoCommonVersion
            | QuicError::NoWebTransport
            | QuicError::Refusal(_)
            | QuicError::NoHttp3Here
            | QuicError::QuicVersion
            | QuicError::Closed => false,
        },
        // A network that comes back has its names again.
        ConnectError::Resolve { .. } => true,
        ConnectError::Url(_)
        | ConnectError::Bind { .. }
        | ConnectError::Tls(_)
        | ConnectError::Shutdown => false,
    }
}

#[cfg(test)]
mod tests {
    use smoq_quic::CertificateProblem;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn redial(change: impl FnOnce(&mut Reconnect)) -> Redial {
        let mut options = Reconnect::default();
        change(&mut options);
        Redial::new(&options, 1)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_differ_by_seed() {
        let now = Instant::now();
        let mut redial = redial(|_| {});
        let mut waits = vec![redial.begin(now).unwrap() - now];
        waits.extend((0..40).map(|_| redial.failed(now).unwrap() - now));
        for (nth, wait) in waits.iter().enumerate() {
            let whole = SECOND.mul_f64(0.1 * 2_f64.powi(nth as i32).min(100.0));
            assert!(whole / 2 <= *wait && *wait <= whole, "{nth}: {wait:?} of {whole:?}");
        }
        assert_eq!(redial.attempt(), 41);
        let mut other = Redial::new(&Reconnect::default(), 2);
        assert_ne!(other.begin(now).unwrap() - now, waits[0]);
    }

    #[test]
    fn only_a_connection_that_lasts_makes_the_wait_short_again() {
        let mut now = Instant::now();
        let mut redial = redial(|_| {});
        let longest = |redial: &mut Redial, now: &mut Instant, lasts: Duration| {
            redial.connected(*now);
            *now += lasts;
            redial.begin(*now).unwrap() - *now
        };
        for _ in 0..20 {
            longest(&mut redial, &mut now, SECOND);
        }
        assert!(longest(&mut redial, &mut now, SECOND) >= 5 * SECOND);
        assert!(longest(&mut redial, &mut now, 10 * SECOND) <= SECOND / 10);
        assert_eq!(redial.attempt(), 1);
    }

    #[test]
    fn it_is_given_up_in_time() {
        let start = Instant::now();
        let mut redial = redial(|options| options.give_up = Some(60 * SECOND));
        let mut at = redial.begin(start);
        let mut last = start;
        while let Some(dial) = at {
            last = dial;
            at = redial.failed(dial + SECOND);
        }
        assert!((45 * SECOND..=60 * SECOND).contains(&(last - start)), "{:?}", last - start);
        redial.connected(last);
        assert!(redial.begin(last).is_some(), "each loss has its own limit");
        let mut never =
            Redial::new(&Reconnect { give_up: Some(Duration::ZERO), ..Reconnect::default() }, 1);
        assert_eq!(never.begin(start), None);
    }

    #[test]
    fn no_time_is_too_long() {
        let now = Instant::now();
        let mut redial = redial(|options| options.give_up = Some(Duration::MAX));
        assert!(redial.begin(now).is_some());
        let (first, most) = (Duration::MAX, Duration::MAX);
        let mut redial = Redial::new(&Reconnect { first, most, ..Reconnect::default() }, 1);
        assert_eq!(redial.begin(now), None, "an attempt after the end of time is none");
    }

    #[test]
    fn what_would_only_come_again_is_not_tried_again() {
        let closed = |by, code| may_pass(&Closed { by, code, reason: String::new() });
        assert!(closed(ClosedBy::Transport, SessionCode::INTERNAL));
        assert!(closed(ClosedBy::Peer, SessionCode::NO_ERROR));
        assert!(closed(ClosedBy::Peer, SessionCode::GOAWAY_TIMEOUT));
        assert!(!closed(ClosedBy::Local, SessionCode::NO_ERROR));
        assert!(!closed(ClosedBy::Local, SessionCode::PROTOCOL_VIOLATION));
        assert!(closed(ClosedBy::Local, SessionCode::TIMEOUT), "it was too slow");
        for code in [SessionCode::UNAUTHORIZED, SessionCode::VERSION, SessionCode::application(3)] {
            assert!(!closed(ClosedBy::Peer, code), "{code}");
        }
        assert!(may_succeed(&QuicError::Refused.into()));
        assert!(may_succeed(&QuicError::Refusal(503).into()));
        assert!(!may_succeed(&QuicError::Refusal(403).into()));
        let problem = CertificateProblem::Name;
        assert!(!may_succeed(&QuicError::Certificate { problem, detail: String::new() }.into()));
    }

    #[test]
    fn a_server_sends_a_client_only_where_it_may() {
        let home: Url = "moqt://relay.example:4443/room?jwt=x".parse().unwrap();
        let place = |follow: Follow, uri| follow.place(&home, uri).map(|url| url.to_string());
        let (same, other) = ("moqt://RELAY.example:5/", "https://other.example/x");
        assert_eq!(place(Follow::Never, same), None);
        assert_eq!(
            place(Follow::SameHost, same).as_deref(),
            Some("moqt://RELAY.example:5/room?jwt=x")
        );
        assert_eq!(place(Follow::SameHost, other), None);
        assert_eq!(place(Follow::Anywhere, other).as_deref(), Some("https://other.example:443/x"));
        for uri in ["", "relay.example", "moqt://a b", "moqt://u@relay.example/"] {
            assert_eq!(place(Follow::Anywhere, uri), None, "{uri:?}");
        }
    }
}
