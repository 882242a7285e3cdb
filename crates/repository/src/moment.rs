//! The times people write in `@{…}`.

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan, Zoned};

/// A moment, in seconds since 1970-01-01 UTC: `now`, `yesterday`, `2 hours ago`, `2.hours.ago`, `2026-11-20`,
/// `2026-11-20 12:00[:00]`, `2026-11-20T12:00:00Z`. A date without an offset is in the time zone of `now`; a
/// day without a time is its midnight. `None` where the text is none of these.
pub(crate) fn parse(text: &str, now: &Zoned) -> Option<i64> {
    let text = text.trim();
    if let Some(moment) = absolute(text, now) {
        return Some(moment);
    }
    let words: Vec<String> = text
        .split([' ', '.'])
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["now"] => Some(now.timestamp().as_second()),
        // As Git: a day ago, not midnight.
        ["yesterday"] => Some(now.checked_sub(1.day()).ok()?.timestamp().as_second()),
        [count, unit, "ago"] => {
            let count: i64 = match *count {
                "a" | "an" | "one" => 1,
                digits => digits.parse().ok().filter(|count| *count >= 0)?,
            };
            ago(count, unit, now)
        }
        _ => None,
    }
}

fn ago(count: i64, unit: &str, now: &Zoned) -> Option<i64> {
    let span = jiff::Span::new();
    let span = match unit {
        "second" | "seconds" | "sec" | "secs" | "s" => span.try_seconds(count),
        "minute" | "minutes" | "min" | "mins" | "m" => span.try_minutes(count),
        "hour" | "hours" | "h" => span.try_hours(count),
        "day" | "days" | "d" => span.try_days(count),
        "week" | "weeks" | "w" => span.try_weeks(count),
        "month" | "months" => span.try_months(count),
        "year" | "years" => span.try_years(count),
        _ => return None,
    };
    Some(now.checked_sub(span.ok()?).ok()?.timestamp().as_second())
}

fn absolute(text: &str, now: &Zoned) -> Option<i64> {
    // Every form begins with a four-digit year; without this, `jiff` would read durations and more.
    if !text
        .get(..5)?
        .bytes()
        .enumerate()
        .all(|(i, byte)| if i == 4 { byte == b'-' } else { byte.is_ascii_digit() })
    {
        return None;
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_second());
    }
    if text.len() == 10 {
        return Some(
            text.parse::<Date>()
                .ok()?
                .to_zoned(now.time_zone().clone())
                .ok()?
                .timestamp()
                .as_second(),
        );
    }
    // An offset or a Z that was no valid timestamp above must not be read as local time.
    if text.ends_with(['Z', 'z']) || text.get(11..)?.contains(['+', '-']) {
        return None;
    }
    Some(
        text.parse::<DateTime>()
            .ok()?
            .to_zoned(now.time_zone().clone())
            .ok()?
            .timestamp()
            .as_second(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-11-22T12:00:00+02:00[+02:00]".parse().unwrap()
    }

    fn at(text: &str) -> Option<String> {
        parse(text, &now()).map(|second| Timestamp::from_second(second).unwrap().to_string())
    }

    #[test]
    fn times_people_write() {
        for (text, expected) in [
            ("now", "2026-11-22T10:00:00Z"),
            ("yesterday", "2026-11-21T10:00:00Z"),
            ("2 hours ago", "2026-11-22T08:00:00Z"),
            ("2.hours.ago", "2026-11-22T08:00:00Z"),
            ("1 day ago", "2026-11-21T10:00:00Z"),
            ("an hour ago", "2026-11-22T09:00:00Z"),
            ("90 Minutes AGO", "2026-11-22T08:30:00Z"),
            ("3 weeks ago", "2026-11-01T10:00:00Z"),
            ("1 month ago", "2026-10-22T10:00:00Z"),
            ("1 year ago", "2025-11-22T10:00:00Z"),
            ("2026-11-20", "2026-11-19T22:00:00Z"),
            ("2026-11-20 12:00", "2026-11-20T10:00:00Z"),
            ("2026-11-20 12:00:30", "2026-11-20T10:00:30Z"),
            ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z"),
            ("2026-11-20T12:00:00+01:00", "2026-11-20T11:00:00Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_time() {
        for text in [
            "",
            "ago",
            "hours ago",
            "2 hours",
            "-2 hours ago",
            "2 fortnights ago",
            "99999999999999 years ago",
            "9223372036854775807 weeks ago",
            "2026-13-01",
            "2026-11-31",
            "P1D",
            "12:00",
            "2026-11-20T25:00",
            "2026",
            "next week",
            "\u{661} day ago",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
