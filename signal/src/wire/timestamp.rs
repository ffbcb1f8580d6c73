//! The `timestamp` of a message: RFC 3339.

use alloc::{format, string::String};

/// A moment as text, in the shape that Go prints: the offset is kept (`Z` for none), the fraction has at
/// most nine digits and no zeros at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timestamp(String);

/// What a Go program sends when it has not set the time.
const UNSET: &str = "0001-01-01T00:00:00Z";

impl Timestamp {
    /// The moment that is so many microseconds after 1970 began in UTC.
    pub fn from_unix_micros(micros: u64) -> Self {
        let seconds = micros / 1_000_000;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let fraction = fraction(&format!("{:06}", micros % 1_000_000));
        Self(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
    }

    /// Reads RFC 3339. `None` if it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, rest) = text.split_at_checked(19)?;
        let at = |from: usize, to: usize| number(seconds.get(from..to)?);
        let separators = [4, 7, 10, 13, 16].map(|i| seconds.as_bytes()[i]);
        let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
        let sound = separators == *b"--T::"
            && (1..=12).contains(&month)
            && (1..=days(year, month)).contains(&day)
            && at(11, 13)? < 24
            && at(14, 16)? < 60
            && at(17, 19)? < 60;
        if !sound {
            return None;
        }
        let (digits, zone) = match rest.strip_prefix(['.', ',']) {
            Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
            None => ("", rest),
        };
        if rest.starts_with(['.', ',']) && digits.is_empty() {
            return None;
        }
        let zone = if matches!(offset(zone)?, 0) { "Z" } else { zone };
        let digits = digits.get(..9).unwrap_or(digits);
        Some(Self(format!("{seconds}{}{zone}", fraction(digits))))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its sender has left the time to others.
    pub(crate) fn is_unset(&self) -> bool {
        self.0 == UNSET
    }
}

/// Minutes from UTC, without the sign.
fn offset(zone: &str) -> Option<u32> {
    if zone == "Z" {
        return Some(0);
    }
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    let parts = (number(hours)?, number(minutes)?);
    let sound = (hours.len(), minutes.len()) == (2, 2) && parts.0 < 24 && parts.1 < 60;
    sound.then_some(parts.0 * 60 + parts.1)
}

fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn fraction(digits: &str) -> String {
    match digits.trim_end_matches('0') {
        "" => String::new(),
        digits => format!(".{digits}"),
    }
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Year, month and day of the day that is so many days after 1 January 1970.
fn date(mut left: u64) -> (u32, u32, u32) {
    // The calendar repeats after 400 years, which have 146,097 days.
    let mut year = 1970 + 400 * u32::try_from(left / 146_097).unwrap_or(0);
    left %= 146_097;
    let mut month = 1;
    loop {
        let length = u64::from(days(year, month));
        if left < length {
            return (year, month, left as u32 + 1);
        }
        left -= length;
        month += 1;
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_printed_as_go_does() {
        let text = |micros| Timestamp::from_unix_micros(micros).0;
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(951_827_696_500_000), "2000-02-29T12:34:56.5Z");
        assert_eq!(text(1_795_705_774_373_141), "2026-11-26T15:09:34.373141Z");
        assert_eq!(text(4_107_542_399_000_001), "2100-02-28T23:59:59.000001Z");
        assert!(Timestamp::parse(&text(u64::MAX)).is_none(), "no panic far beyond four digits");
    }

    #[test]
    fn what_is_read_is_brought_into_one_shape() {
        for (text, shape) in [
            ("2025-01-02T03:04:05.120000000+09:00", "2025-01-02T03:04:05.12+09:00"),
            ("2025-01-02T03:04:05+00:00", "2025-01-02T03:04:05Z"),
            ("2025-01-02T03:04:05.000Z", "2025-01-02T03:04:05Z"),
            ("2025-01-02T03:04:05,5Z", "2025-01-02T03:04:05.5Z"),
            ("2024-02-29T03:04:05.1234567891-23:59", "2024-02-29T03:04:05.123456789-23:59"),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().as_str(), shape);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2025-01-02",
            "2025-01-02t03:04:05Z",
            "2025-01-02T03:04:05z",
            "2025-02-29T03:04:05Z",
            "2025-13-02T03:04:05Z",
            "2025-01-02T24:04:05Z",
            "2025-01-02T03:04:05",
            "2025-01-02T03:04:05.Z",
            "2025-01-02T03:04:05.5",
            "2025-01-02T03:04:05+9:00",
            "2025-01-02T03:04:05+24:00",
            "2025-01-02T03:04:0éZ",
            "+025-01-02T03:04:05Z",
        ] {
            assert!(Timestamp::parse(text).is_none(), "{text}");
        }
    }
}
