//! Other relays, as `--connect` names them.

use std::str::FromStr;

use smoq_core::wire::varint;
use smoq_quic::{ClientTls, TlsError};
use smoq_tokio::{Upstream, Url, UrlError};

use crate::{
    client::{DialArgs, without_query},
    failure::Failure,
};

/// A URL, and the price of the connection in its query, `cost=N`, which the other relay does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    url: Url,
    cost: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("cost={0}: the price of a connection is a number from 0 to 2^62-1, as in ?cost=5")]
    Cost(String),
}

impl FromStr for Connect {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let url: Url = text.parse()?;
        let Some((path, query)) = url.path().split_once('?') else {
            return Ok(Self { url, cost: None });
        };
        let (mut cost, mut rest) = (None, Vec::new());
        for parameter in query.split('&') {
            match parameter.strip_prefix("cost=") {
                Some(value) => {
                    let number = value.parse().ok().filter(|cost| *cost <= varint::MAX);
                    cost = Some(number.ok_or_else(|| ConnectError::Cost(value.into()))?);
                }
                None => rest.push(parameter),
            }
        }
        let mark = if rest.is_empty() { "" } else { "?" };
        let path = format!("{path}{mark}{}", rest.join("&"));
        Ok(Self { url: url.with_path(path), cost })
    }
}

impl Connect {
    pub(crate) fn upstream(&self, dial: &DialArgs) -> Result<Upstream, Failure> {
        let Self { url, cost } = self;
        let failed =
            |error: TlsError| Failure::Connect { url: without_query(url), error: error.into() };
        let tls = ClientTls::new(dial.trust(url)?).map_err(failed)?;
        let upstream = Upstream::new(url.clone(), tls);
        Ok(Upstream { versions: dial.versions(), cost: *cost, ..upstream })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_taken_out_of_the_query() {
        for (text, rest, cost) in [
            ("https://a", "https://a", None),
            ("https://a?cost=5", "https://a", Some(5)),
            ("moqt://a:1/x?jwt=y&cost=0&z", "moqt://a:1/x?jwt=y&z", Some(0)),
            ("moqt://a/?jwt=cost=3", "moqt://a/?jwt=cost=3", None),
        ] {
            let url = rest.parse().unwrap();
            assert_eq!(text.parse::<Connect>().unwrap(), Connect { url, cost }, "{text}");
        }
    }

    #[test]
    fn a_wrong_price_is_told_without_the_token() {
        for cost in ["", "x", "-1", "4611686018427387904"] {
            let error = format!("https://a?jwt=secret&cost={cost}").parse::<Connect>().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("cost={cost}:")) && !text.contains("secret"), "{text}");
        }
    }
}
