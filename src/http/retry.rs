//! Patience: which failures are tried again, how often, and when what stands still is given up.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Error;

/// How often and how long something is tried.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub first_delay: Duration,
    /// What stands still for so long ends: all attempts together, those under way and the waiting between them
    /// included. A transfer that moves may take hours.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(400),
            total: Duration::from_secs(180),
        }
    }
}

/// A failure after so many bytes is another one than that before them, and is treated with fresh patience. It is what
/// has to arrive within the time that silence may last, too: with the usual minute that is 1 KiB/s.
pub(super) const PROGRESS: u64 = 1 << 16;

/// So much of the whole time an attempt has to have, or it is not worth a beginning.
const WORTH: u32 = 20;

/// The attempts at one thing.
#[derive(Debug)]
pub struct Attempts {
    patience: Patience,
    /// Bytes that have passed since a failure.
    passed: u64,
    /// When the last of them ends.
    until: Instant,
    made: u32,
}

impl Attempts {
    pub(super) fn new(patience: &Patience) -> Self {
        Self {
            patience: patience.clone(),
            passed: 0,
            until: Instant::now() + patience.total,
            made: 1,
        }
    }

    /// The attempts at a part of something that ends then.
    pub(super) fn until(self, until: Instant) -> Self {
        Self { until, ..self }
    }

    /// When the last attempt ends, whatever it waits for.
    pub fn end(&self) -> Instant {
        self.until
    }

    /// Something moves: nothing stands still. Whether it gets on is what only [`Attempts::progressed`] knows.
    pub(super) fn moved(&mut self) {
        self.until = Instant::now() + self.patience.total;
    }

    /// So many bytes have arrived: a long transfer may break more often than a short one, if it gets on in between.
    pub fn progressed(&mut self, bytes: u64) {
        self.passed = self.passed.saturating_add(bytes);
        if self.passed >= PROGRESS {
            *self = Self::new(&self.patience);
        }
    }

    /// Whether to try again after `error`; if so, the waiting has been done.
    pub fn again(&mut self, error: &Error) -> bool {
        self.passed = 0;
        if !error.is_transient() || self.made >= self.patience.attempts {
            return false;
        }
        let delay = match error {
            Error::Status { retry_after: Some(delay), .. } => *delay,
            _ => jittered(self.patience.first_delay * 2_u32.saturating_pow(self.made - 1)),
        };
        let left = self.until.saturating_duration_since(Instant::now());
        // A server may ask for more time than can be counted.
        if delay.saturating_add(self.patience.total / WORTH) > left {
            return false;
        }
        std::thread::sleep(delay);
        self.made += 1;
        true
    }
}

/// Whether a status is one that may pass. What a server has not implemented it will not have in a minute either.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504 | 506..=599)
}

/// Between half and one and a half of `delay`, so that a crowd of clients does not come back at one moment.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1000;
    delay.mul_f64(0.5 + random as f64 / 1000.0)
}

/// `Retry-After` in both forms (RFC 9110, 10.2.3): seconds, or a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a server's date means nothing without ours, and no output depends on how long is waited"
    )]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(http_date(value)?).saturating_sub(now))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970 (RFC 9110, 5.6.7, IMF-fixdate).
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.splitn(3, ':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let sane = (1970..10_000).contains(&year) && (1..=31).contains(&day);
    if parts.next() != Some("GMT") || !sane || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-01-01, with the year beginning in March so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_counted_from_1970() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        for bad in ["", "Sun", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_server_that_asks_for_all_the_time_in_the_world_is_left() {
        let mut attempts = Attempts::new(&Patience::default());
        let error = Error::Status {
            method: reqwest::Method::GET,
            url: String::new(),
            status: 503,
            message: String::new(),
            retry_after: retry_after("18446744073709551615"),
        };
        assert!(!attempts.again(&error));
    }

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("99999999999999999999999"), None);
    }
}
