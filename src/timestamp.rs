//! Parses and formats times: the forms of ISO 8601 that other tools write.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime};

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeError {
    /// Its syntax is invalid.
    Syntax,
    /// It does not exist, such as 30 February or 25:00.
    OutOfRange,
}

/// Parses a time such as `2023-12-10T11:43:46.123Z` as milliseconds since 1970.
///
/// Accepts a space instead of the `T`, an offset such as `+00:00`, `+0000` or `+00`, or none, which means UTC. Digits
/// after milliseconds are truncated. A leap second, `23:59:60` in UTC at the end of June or December, is the second after
/// it, as in POSIX time.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, TimeError> {
    if let Some(at) = parse_api_form(text) {
        return Ok(at);
    }
    let (date, time) = text.split_at_checked(10).ok_or(TimeError::Syntax)?;
    let (hms, milliseconds, east) = parse_clock(time).ok_or(TimeError::Syntax)?;
    let [hour, minute, second] = hms;
    let is_leap = second == 60;
    let second = if is_leap { 59 } else { second };
    let time = NaiveTime::from_hms_milli_opt(hour, minute, second, milliseconds);
    let local = parse_date(date)?.and_time(time.ok_or(TimeError::OutOfRange)?);
    let at = local.and_utc().timestamp_millis() - east * 60_000;
    match is_leap {
        false => Ok(at),
        true if has_leap_second(at) => Ok(at + 1000),
        true => Err(TimeError::OutOfRange),
    }
}

/// Parses a time as the API writes it: `2021-05-20T20:21:14+0000`. Returns `None` for any other text.
///
/// There is one in each detection, so this is several times as fast as the rest.
fn parse_api_form(text: &str) -> Option<i64> {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', ref time @ ..] = text.as_bytes() else {
        return None;
    };
    let &[h0, h1, b':', i0, i1, b':', s0, s1, b'+', b'0', b'0', b'0', b'0'] = time else { return None };
    let two = |tens: u8, ones: u8| {
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        is_number.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
    };
    let year = i32::try_from(two(y0, y1)? * 100 + two(y2, y3)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, two(m0, m1)?, two(d0, d1)?)?;
    let time = NaiveTime::from_hms_opt(two(h0, h1)?, two(i0, i1)?, two(s0, s1)?)?;
    Some(date.and_time(time).and_utc().timestamp_millis())
}

/// Parses a day such as `2024-06-01` as its first millisecond since 1970 in UTC.
pub(crate) fn parse_day(text: &str) -> Result<i64, TimeError> {
    parse_date(text).map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

/// Formats milliseconds since 1970 in seconds, as the API requires: `2024-06-01T08:00:00Z`. Returns `None` outside the
/// years 1970 to 9999.
pub(crate) fn format_timestamp(at: i64) -> Option<String> {
    let at = DateTime::from_timestamp(at.div_euclid(1000), 0)?;
    (1970..=9999).contains(&at.year()).then(|| format!("{}T{}Z", at.date_naive(), at.time()))
}

fn parse_date(text: &str) -> Result<NaiveDate, TimeError> {
    let is_padded = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let [year, month, day] = parse_numbers(text, '-').filter(|_| is_padded).ok_or(TimeError::Syntax)?;
    let year = i32::try_from(year).map_err(|_| TimeError::Syntax)?;
    NaiveDate::from_ymd_opt(year, month, day).ok_or(TimeError::OutOfRange)
}

/// Returns hour, minute and second; milliseconds; minutes east of UTC.
fn parse_clock(text: &str) -> Option<([u32; 3], u32, i64)> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let end = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at(end);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let milliseconds = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((parse_numbers(time, ':')?, milliseconds, parse_offset(zone)?))
}

/// Whether a leap second may follow a time. So far, all were at the end of June or December.
fn has_leap_second(at: i64) -> bool {
    let next = DateTime::from_timestamp(at.div_euclid(1000) + 1, 0);
    next.is_some_and(|next| next.time() == NaiveTime::MIN && next.day() == 1 && matches!(next.month(), 1 | 7))
}

fn parse_numbers<const N: usize>(text: &str, between: char) -> Option<[u32; N]> {
    let mut parts = text.split(between);
    let mut numbers = [0; N];
    for number in &mut numbers {
        let part = parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Returns minutes east of UTC.
fn parse_offset(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        None | Some('Z' | 'z') => return (zone.len() <= 1).then_some(0),
        Some('-') => -1,
        Some(_) => 1,
    };
    let digits = zone.get(1..)?.replace(':', "");
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at_checked(2)?,
        _ => return None,
    };
    let ([hours], [minutes]) = (parse_numbers(hours, ':')?, parse_numbers(minutes, ':')?);
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_other_tools_are_parsed() {
        for text in [
            "2023-12-10T11:43:46Z",
            "2023-12-10 11:43:46",
            "2023-12-10 11:43:46+00",
            "2023-12-10T11:43:46.000000+00:00",
            "2023-12-10T13:43:46+0200",
            "2023-12-10T11:43:46+0000",
            "2023-12-10T06:13:46-05:30",
        ] {
            assert_eq!(parse_timestamp(text), Ok(1_702_208_626_000), "{text}");
        }
        assert_eq!(parse_timestamp("1970-01-01T00:00:00.1Z"), Ok(100));
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.999999Z"), Ok(-1));
        assert_eq!(parse_timestamp("2024-02-29T00:00:00Z"), Ok(1_709_164_800_000));
        assert_eq!(parse_timestamp("0001-01-01T00:00:00Z"), Ok(-62_135_596_800_000));
    }

    #[test]
    fn days_begin_at_midnight_and_must_exist() {
        assert_eq!(parse_day("1970-01-01"), Ok(0));
        assert_eq!(parse_day("2024-02-29"), Ok(1_709_164_800_000));
        assert_eq!(parse_day("2024-12-31").map(|ms| ms + DAY_MS), parse_day("2025-01-01"));
        for text in [
            "2023-02-29",
            "2024-06-31",
            "2024-00-01",
            "2024-13-01",
            "2024-6-1",
            "24-06-01",
            "2024-06-00",
            "2024-06",
            "",
        ] {
            assert!(parse_day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_formatted_as_it_is_parsed() {
        for text in
            ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2024-12-31T12:34:56Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(parse_timestamp(text).ok().and_then(format_timestamp).as_deref(), Some(text));
        }
        assert_eq!((format_timestamp(-1), format_timestamp(i64::MAX)), (None, None));
        assert_eq!(format_timestamp(1999).as_deref(), Some("1970-01-01T00:00:01Z"));
    }

    #[test]
    fn invalid_times_are_syntax_errors() {
        for text in [
            "",
            "2023",
            "2023-12-10",
            "2023-12-10T11:43Z",
            "2023-12-10T11:43:46X",
            "日本日本日本日本",
            "2023-12-10T11:43:46.Z9",
            "2023-12-10T11:43:46+009223372036854775807",
            "2023-12-10T11:43:46+00-9223372036854775807",
            "2023-12-10T11:43:46+0é1",
            "2023-12-10T11:43:46+24:00",
        ] {
            assert_eq!(parse_timestamp(text), Err(TimeError::Syntax), "{text}");
        }
    }

    #[test]
    fn days_and_hours_that_do_not_exist_have_their_own_error() {
        for text in [
            "2023-02-31T00:00:00Z",
            "2023-02-29 00:00:00",
            "2100-02-29T00:00:00Z",
            "1900-02-29T12:00:00Z",
            "2023-04-31T00:00:00Z",
            "2023-00-10T11:43:46Z",
            "2023-13-10T11:43:46Z",
            "2023-12-00T11:43:46Z",
            "2023-12-32T11:43:46Z",
            "2023-12-10T24:00:00Z",
            "2023-12-10T25:43:46Z",
            "2023-12-10T11:60:46Z",
            "2023-12-10T11:43:61Z",
            "2023-12-10T11:43:60Z",
            "2016-12-30T23:59:60Z",
            "2016-12-31T23:59:60+01:00",
        ] {
            assert_eq!(parse_timestamp(text), Err(TimeError::OutOfRange), "{text}");
        }
        for text in ["2000-02-29T00:00:00Z", "2024-02-29T23:59:59.999Z", "2023-12-31T23:59:59Z"] {
            assert!(parse_timestamp(text).is_ok(), "{text}");
        }
        assert_eq!(parse_day("2023-02-29"), Err(TimeError::OutOfRange));
        assert_eq!(parse_day("2024-6-01"), Err(TimeError::Syntax));
    }

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        let next = parse_timestamp("2017-01-01T00:00:00Z");
        assert_eq!(parse_timestamp("2016-12-31T23:59:60Z"), next);
        assert_eq!(parse_timestamp("2017-01-01T00:59:60+01:00"), next);
        assert_eq!(parse_timestamp("2015-06-30T23:59:60.500Z"), parse_timestamp("2015-07-01T00:00:00.500Z"));
    }
}
