//! The invitation to a meeting, as calendars read it (RFC 5545, 5546).

use icalendar::{Calendar, Component, Event, EventLike, Property};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A meeting.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The same for the same meeting, so that a second invitation replaces the first.
    pub uid: String,
    pub summary: String,
    pub description: String,
    pub location: Option<String>,
    pub start: Timestamp,
    pub end: Timestamp,
    /// When it was written.
    pub stamp: Timestamp,
    pub organizer: Option<String>,
    pub attendees: Vec<String>,
}

/// `20261125T100000Z`
fn utc(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

impl Invitation {
    /// The text of an `.ics` file.
    pub fn to_ics(&self) -> String {
        let mut event = Event::new();
        event
            .uid(&self.uid)
            .summary(&self.summary)
            .description(&self.description)
            .add_property("DTSTAMP", utc(self.stamp))
            .add_property("DTSTART", utc(self.start))
            .add_property("DTEND", utc(self.end))
            .add_property("STATUS", "CONFIRMED");
        if let Some(location) = &self.location {
            event.location(location);
        }
        if let Some(organizer) = &self.organizer {
            event.add_property("ORGANIZER", format!("mailto:{organizer}"));
        }
        for attendee in &self.attendees {
            let mut property = Property::new("ATTENDEE", format!("mailto:{attendee}"));
            property
                .add_parameter("ROLE", "REQ-PARTICIPANT")
                .add_parameter("PARTSTAT", "NEEDS-ACTION")
                .add_parameter("RSVP", "TRUE");
            event.append_multi_property(property.done());
        }
        let mut calendar = Calendar::new();
        // Whom nobody is invited by, nobody can answer (RFC 5546 wants an organizer for a request).
        let method = if self.organizer.is_some() { "REQUEST" } else { "PUBLISH" };
        calendar.append_property(Property::new("METHOD", method));
        calendar.push(event.done());
        calendar.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_invitation_with_lines_as_calendars_want_them() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let text = Invitation {
            uid: "run-1@infra-rollback".into(),
            summary: "Post-mortem: Shop, rollback to v1; urgent".into(),
            description: "one\ntwo".into(),
            location: None,
            start: at("2026-11-25T10:00:00Z"),
            end: at("2026-11-25T11:00:00Z"),
            stamp: at("2026-11-24T10:00:00Z"),
            organizer: Some("lead@example.com".into()),
            attendees: vec!["a@example.com".into(), "b@example.com".into()],
        }
        .to_ics();
        let unfolded = text.replace("\r\n ", "");
        for line in [
            "BEGIN:VCALENDAR",
            "METHOD:REQUEST",
            "UID:run-1@infra-rollback",
            "DTSTART:20261125T100000Z",
            "DTEND:20261125T110000Z",
            "DESCRIPTION:one\\ntwo",
            "ORGANIZER:mailto:lead@example.com",
        ] {
            assert!(unfolded.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(unfolded.matches("ATTENDEE").count(), 2, "{text}");
        assert_eq!(unfolded.matches("DTSTAMP").count(), 1, "{text}");
        assert!(text.lines().all(|line| line.len() <= 75), "{text}");
    }
}
