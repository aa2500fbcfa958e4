//! Wall-clock time of the sandbox, and RFC 3339 in UTC to and from milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use recover_engine::Millis;

const DAY_MS: i64 = 86_400_000;
/// Years that the sandbox can meet; a parser that takes any year would be an endless loop for a hostile one.
const YEAR_MAX: i64 = 9_999;

/// The time now.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_of_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

/// The text of a time, with milliseconds. Times before 1970 are printed as its first moment.
pub(crate) fn rfc3339(at: Millis) -> String {
    let ms = at.0.clamp(0, 8_000 * 365 * DAY_MS);
    let (mut days, in_day) = (ms / DAY_MS, ms % DAY_MS);
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    let (h, m, s, frac) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1_000 % 60, in_day % 1_000);
    format!("{year:04}-{month:02}-{:02}T{h:02}:{m:02}:{s:02}.{frac:03}Z", days + 1)
}

/// The time that a text names: UTC with `Z`, any number of decimals, of which three count.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Millis> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, frac) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [h, m, s] = numbers(clock, ':', [2, 2, 2])?;
    if !(1970..=YEAR_MAX).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
        return None;
    }
    if h > 23 || m > 59 || s > 60 || frac.is_empty() || !frac.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut days = day - 1;
    days += (1970..year).map(days_of_year).sum::<i64>();
    days += (1..month).map(|month| days_of_month(year, month)).sum::<i64>();
    let thousandths = format!("{frac:0<3}").get(..3)?.parse::<i64>().ok()?;
    Some(Millis(days * DAY_MS + h * 3_600_000 + m * 60_000 + s * 1_000 + thousandths))
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut out = [0; 3];
    for (slot, width) in out.iter_mut().zip(widths) {
        let part = parts.next().filter(|p| p.len() == width && p.bytes().all(|b| b.is_ascii_digit()))?;
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times_print_and_parse_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_316_400_123, "2026-11-22T03:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Millis(ms)), text);
            assert_eq!(parse_rfc3339(text), Some(Millis(ms)), "{text}");
        }
        assert_eq!(parse_rfc3339("2026-11-22T03:00:00Z"), Some(Millis(1_795_316_400_000)));
    }

    #[test]
    fn what_is_not_a_time_in_utc_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T03:00:00",
            "2026-11-22T03:00:00+01:00",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T03:00:00.Z",
            "1969-12-31T23:59:59Z",
            "2026-11-22-01T03:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
