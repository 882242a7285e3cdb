//! Freeze windows: times at which nothing is rolled back without a yes of its own. They are read in a time zone, so that
//! "Friday 16:00" is Friday 16:00 there, summer or winter.

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan};

/// Why a window or an age cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    #[error("{0:?} is no time zone")]
    TimeZone(String),
    #[error("{0:?} is no time: write `fri 16:00`, `22:00`, `2026-12-20 18:00` or `2026-12-20T18:00:00Z`")]
    Time(String),
    #[error("`from` and `until` must be of one kind: both a time of day, both with a weekday, or both with a date")]
    Mixed,
    #[error("the window ends before it begins")]
    Backwards,
    #[error("{0:?} is no age: write `90d`, `12h` or `2 weeks`")]
    Age(String),
}

/// One end of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Minutes since Monday 00:00.
    Week(i64),
    /// Minutes since midnight.
    Day(i64),
    At(Timestamp),
}

/// One window.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeWindow {
    pub name: String,
    from: End,
    until: End,
    zone: TimeZone,
}

const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;

impl FreezeWindow {
    /// Reads a window: each day (`22:00` to `06:00`), each week (`fri 16:00` to `mon 08:00`), or once (with dates). The
    /// end is not part of it.
    ///
    /// # Errors
    /// [`FreezeError`]
    pub fn parse(name: &str, from: &str, until: &str, zone: &str) -> Result<FreezeWindow, FreezeError> {
        let zone = TimeZone::get(zone).map_err(|_| FreezeError::TimeZone(zone.to_owned()))?;
        let (from, until) = (end(from, &zone)?, end(until, &zone)?);
        match (from, until) {
            (End::At(from), End::At(until)) if until <= from => return Err(FreezeError::Backwards),
            (End::At(_), End::At(_)) | (End::Week(_), End::Week(_)) | (End::Day(_), End::Day(_)) => {}
            _ => return Err(FreezeError::Mixed),
        }
        Ok(FreezeWindow {
            name: name.to_owned(),
            from,
            until,
            zone,
        })
    }

    /// When it ends, where `now` lies in it.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let local = self.zone.to_datetime(now);
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let (position, from, until, whole) = match (self.from, self.until) {
            (End::At(from), End::At(until)) => return (from <= now && now < until).then_some(until),
            (End::Week(from), End::Week(until)) => {
                let day = i64::from(local.weekday().to_monday_zero_offset());
                (day * DAY + minute, from, until, WEEK)
            }
            (End::Day(from), End::Day(until)) => (minute, from, until, DAY),
            _ => return None,
        };
        let inside = if from < until {
            (from..until).contains(&position)
        } else {
            position >= from || position < until
        };
        if !inside {
            return None;
        }
        let mut left = (until - position).rem_euclid(whole);
        if left == 0 {
            left = whole;
        }
        let start = local.with().second(0).subsec_nanosecond(0).build().ok()?;
        let end = start.checked_add(left.minutes()).ok()?;
        self.zone.to_timestamp(end).ok()
    }
}

fn end(text: &str, zone: &TimeZone) -> Result<End, FreezeError> {
    let wrong = || FreezeError::Time(text.to_owned());
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(End::At(instant));
    }
    let minutes = |text: &str| -> Option<i64> {
        let text = text.trim();
        if text == "24:00" {
            return Some(DAY);
        }
        let time: Time = text.parse().ok()?;
        // A whole date is a time too, to the parser.
        (text.contains(':') && !text.contains('-')).then(|| i64::from(time.hour()) * 60 + i64::from(time.minute()))
    };
    if let Some((day, time)) = text.split_once(' ')
        && let Some(day) = weekday(day)
    {
        let minutes = minutes(time).ok_or_else(wrong)?;
        return Ok(End::Week(
            (i64::from(day.to_monday_zero_offset()) * DAY + minutes) % WEEK,
        ));
    }
    if let Some(minutes) = minutes(text) {
        return Ok(End::Day(minutes % DAY));
    }
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    zone.to_timestamp(local).map(End::At).map_err(|_| wrong())
}

fn weekday(text: &str) -> Option<Weekday> {
    let text = text.to_ascii_lowercase();
    let days = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    days.into_iter()
        .find(|(name, _)| text.len() >= 3 && name.starts_with(&text))
        .map(|(_, day)| day)
}

/// An age such as `90d` or `2 weeks`; a day has 24 hours.
///
/// # Errors
/// [`FreezeError::Age`], for months and years too: they have no one length.
pub fn parse_age(text: &str) -> Result<SignedDuration, FreezeError> {
    let wrong = || FreezeError::Age(text.to_owned());
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    if duration.is_positive() {
        Ok(duration)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_weekend_in_its_own_time_zone() {
        let window = FreezeWindow::parse("weekend", "fri 16:00", "mon 08:00", "Asia/Dubai").unwrap();
        // Dubai is four hours ahead: 16:00 there is 12:00 UTC.
        assert_eq!(window.ends(at("2026-11-27T11:59:59Z")), None);
        assert_eq!(
            window.ends(at("2026-11-27T12:00:00Z")),
            Some(at("2026-11-30T04:00:00Z"))
        );
        assert_eq!(
            window.ends(at("2026-11-29T20:30:12Z")),
            Some(at("2026-11-30T04:00:00Z"))
        );
        assert_eq!(window.ends(at("2026-11-30T04:00:00Z")), None);
    }

    #[test]
    fn a_night_over_midnight_and_over_the_end_of_summer_time() {
        let window = FreezeWindow::parse("night", "22:00", "06:00", "Europe/Berlin").unwrap();
        assert_eq!(window.ends(at("2026-07-01T19:59:00Z")), None);
        assert_eq!(
            window.ends(at("2026-07-01T20:00:00Z")),
            Some(at("2026-07-02T04:00:00Z"))
        );
        // The night of 25 October 2026 has an hour more.
        assert_eq!(
            window.ends(at("2026-10-24T20:30:00Z")),
            Some(at("2026-10-25T05:00:00Z"))
        );
        assert_eq!(
            window.ends(at("2026-10-25T04:59:00Z")),
            Some(at("2026-10-25T05:00:00Z"))
        );
        assert_eq!(window.ends(at("2026-10-25T05:00:00Z")), None);
    }

    #[test]
    fn once() {
        let window = FreezeWindow::parse("year's end", "2026-12-20", "2027-01-02 12:00", "UTC").unwrap();
        assert_eq!(window.ends(at("2026-12-19T23:59:59Z")), None);
        assert_eq!(
            window.ends(at("2026-12-31T00:00:00Z")),
            Some(at("2027-01-02T12:00:00Z"))
        );
        assert_eq!(window.ends(at("2027-01-02T12:00:00Z")), None);
    }

    #[test]
    fn what_is_no_window() {
        let parse = |from, until, zone| FreezeWindow::parse("x", from, until, zone).unwrap_err();
        assert_eq!(parse("fri 16:00", "08:00", "UTC"), FreezeError::Mixed);
        assert_eq!(parse("2026-12-20", "2026-12-19", "UTC"), FreezeError::Backwards);
        assert!(matches!(parse("fri", "mon 08:00", "UTC"), FreezeError::Time(_)));
        assert!(matches!(parse("25:00", "08:00", "UTC"), FreezeError::Time(_)));
        assert!(matches!(parse("22:00", "08:00", "Dubai"), FreezeError::TimeZone(_)));
    }

    #[test]
    fn ages() {
        assert_eq!(parse_age("90d").unwrap(), SignedDuration::from_hours(90 * 24));
        assert_eq!(parse_age("2 weeks").unwrap(), SignedDuration::from_hours(14 * 24));
        for text in ["", "3", "-2d", "1 month", "soon"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
