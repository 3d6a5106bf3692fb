//! A time that was given, never taken: SOURCE_DATE_EPOCH as the text that documents want.

use std::fmt;
use std::str::FromStr;

/// Seconds since 1970, up to the end of the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// The first second of the year 10000, which ISO 8601 cannot write in four digits.
const END: u64 = 253_402_300_800;

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: {text:?} (expected seconds since 1970, as SOURCE_DATE_EPOCH has them)")]
pub struct BadTimestamp {
    text: String,
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        // `parse` takes a sign as well.
        Some(text)
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .filter(|seconds| *seconds < END)
            .map(Self)
            .ok_or_else(|| BadTimestamp { text: text.chars().take(40).collect() })
    }
}

/// `2023-11-14T22:13:20Z` (RFC 3339).
impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years begin in
        // March, so that the leap day is the last.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..10 => (era * 400 + year, month + 3),
            _ => (era * 400 + year + 1, month - 9),
        };
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_date_does() {
        // `date -u -d @N +%FT%TZ`
        for (seconds, text) in [
            ("0", "1970-01-01T00:00:00Z"),
            ("951782399", "2000-02-28T23:59:59Z"),
            ("951782400", "2000-02-29T00:00:00Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1709251199", "2024-02-29T23:59:59Z"),
            ("4107542400", "2100-03-01T00:00:00Z"),
            ("253402300799", "9999-12-31T23:59:59Z"),
        ] {
            let timestamp: Timestamp = seconds.parse().expect("a time");
            assert_eq!(timestamp.to_string(), text);
        }
    }

    #[test]
    fn mean_texts_are_refused() {
        for text in
            ["", "-1", "+1", "1.5", " 1", "1e9", "253402300800", "99999999999999999999", "é"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
