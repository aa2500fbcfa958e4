//! The wall clock, and how its times are written.

use std::time::{SystemTime, UNIX_EPOCH};

use recover_engine::{Millis, RunId};

/// The time now. Before 1970 it is negative.
pub(crate) fn now() -> Millis {
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => Millis(millis(after)),
        Err(before) => Millis(-millis(before.duration())),
    }
}

/// A new run's id.
pub(crate) fn run_id(at: Millis) -> std::io::Result<RunId> {
    let mut entropy = [0; 10];
    let got = rustix::rand::getrandom(&mut entropy, rustix::rand::GetRandomFlags::empty())?;
    if got == entropy.len() { Ok(RunId::new(at, entropy)) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

/// A time as a part of a file's name: `20261123T074526Z`.
pub(crate) fn compact(at: Millis) -> String {
    let seconds = rfc3339(at);
    let seconds = seconds.split('.').next().unwrap_or_default();
    seconds.chars().filter(|c| c.is_ascii_alphanumeric() && *c != 'Z').chain(['Z']).collect()
}

/// RFC 3339, UTC, to the millisecond.
pub(crate) fn rfc3339(at: Millis) -> String {
    let (days, ms) = (at.0.div_euclid(86_400_000), at.0.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// The civil date of a day counted from 1970-01-01, by the proleptic Gregorian calendar.
const fn date(days: i64) -> (i64, i64, i64) {
    // Count from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

/// A span as people read it.
pub(crate) fn span(ms: i64) -> String {
    match ms {
        ..0 => "?".to_owned(),
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_written_as_known() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(951_782_400_000)), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(2_147_483_648_000)), "2038-01-19T03:14:08.000Z");
        assert_eq!(rfc3339(Millis(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(Millis(1_795_316_400_123)), "2026-11-22T03:00:00.123Z");
    }
}
