//! Times as other tools write them: ISO 8601, as far as it is used.

/// A day in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;

/// Milliseconds since 1970 of `2023-12-10T11:43:46.123Z`, also with a space for the `T`, with an offset such as
/// `+00:00`, `+0000` or `+00`, or with none, which counts as UTC. Digits finer than milliseconds are cut off.
pub(crate) fn milliseconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, "-")?[..] else { return None };
    let time = time.strip_prefix(['T', 't', ' '])?;
    let end = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(end);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = numbers(time, ":")?[..] else { return None };
    let in_range =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !in_range || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let milliseconds: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset(zone)?;
    Some((minutes * 60 + second) * 1000 + milliseconds)
}

/// The first millisecond since 1970 of a day in UTC, `2024-06-01`; none for a day that no month has.
pub(crate) fn day(text: &str) -> Option<i64> {
    let [year, month, day] = numbers(text, "-")?[..] else { return None };
    if text.len() != 10 || !(1..=12).contains(&month) {
        return None;
    }
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let length = days(next_year, next_month, 1) - days(year, month, 1);
    (1..=length).contains(&day).then(|| days(year, month, day) * DAY)
}

/// Seconds of a time in milliseconds since 1970, as the API takes them: `2024-06-01T08:00:00Z`; none outside the
/// years 1970 to 9999.
pub(crate) fn iso(at: i64) -> Option<String> {
    const LAST: i64 = 253_402_300_799_999;
    if !(0..=LAST).contains(&at) {
        return None;
    }
    let (number, second) = (at / DAY, at % DAY / 1000);
    // A day has one year, which begins no later.
    let mut year = 1970 + number / 366;
    while days(year + 1, 1, 1) <= number {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= number)?;
    let day = number - days(year, month, 1) + 1;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

fn numbers(text: &str, between: &str) -> Option<Vec<i64>> {
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
    text.split(between).map(number).collect()
}

/// Minutes east of UTC.
fn offset(zone: &str) -> Option<i64> {
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
    let (hours, minutes) = (numbers(hours, ":")?[0], numbers(minutes, ":")?[0]);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// Days since 1970 in the Gregorian calendar, which is reckoned from March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_other_tools_are_understood() {
        for text in [
            "2023-12-10T11:43:46Z",
            "2023-12-10 11:43:46",
            "2023-12-10 11:43:46+00",
            "2023-12-10T11:43:46.000000+00:00",
            "2023-12-10T13:43:46+0200",
            "2023-12-10T06:13:46-05:30",
        ] {
            assert_eq!(milliseconds(text), Some(1_702_208_626_000), "{text}");
        }
        assert_eq!(milliseconds("1970-01-01T00:00:00.1Z"), Some(100));
        assert_eq!(milliseconds("1969-12-31T23:59:59.999999Z"), Some(-1));
        assert_eq!(milliseconds("2024-02-29T00:00:00Z"), Some(1_709_164_800_000));
        assert_eq!(milliseconds("0001-01-01T00:00:00Z"), Some(-62_135_596_800_000));
    }

    #[test]
    fn days_begin_at_midnight_and_only_those_of_the_calendar() {
        assert_eq!(day("1970-01-01"), Some(0));
        assert_eq!(day("2024-02-29"), Some(1_709_164_800_000));
        assert_eq!(day("2024-12-31").map(|ms| ms + DAY), day("2025-01-01"));
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
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in
            ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2024-12-31T12:34:56Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(milliseconds(text).and_then(iso).as_deref(), Some(text));
        }
        assert_eq!((iso(-1), iso(i64::MAX)), (None, None));
        assert_eq!(iso(1999).as_deref(), Some("1970-01-01T00:00:01Z"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2023",
            "2023-12-10",
            "2023-13-10T11:43:46Z",
            "2023-12-10T11:43Z",
            "2023-12-10T11:43:46X",
            "日本日本日本日本",
            "2023-12-10T11:43:46.Z9",
            "2023-12-10T11:43:46+009223372036854775807",
            "2023-12-10T11:43:46+00-9223372036854775807",
            "2023-12-10T11:43:46+0é1",
            "2023-12-10T11:43:46+24:00",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
