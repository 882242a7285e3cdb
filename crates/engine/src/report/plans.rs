//! Who is called, and when one meets afterwards: what settings and time make of it.

use jiff::{SignedDuration, Timestamp};
use rollback_config::project::ContactSection;

use super::{Contact, PostMortem, Sources};
use crate::run::Run;

/// Where settings say nothing.
const POST_MORTEM_AFTER: SignedDuration = SignedDuration::from_hours(24);
const POST_MORTEM_DURATION: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn known(contact: &ContactSection, took: SignedDuration, run: &Run) -> Contact {
    let after = contact
        .after
        .as_deref()
        .and_then(|text| text.parse::<SignedDuration>().ok());
    Contact {
        role: contact.role.clone(),
        name: contact.name.clone(),
        phone: contact.phone.clone(),
        email: contact.email.clone(),
        after: contact.after.clone(),
        due: !run.status.is_over() && after.is_none_or(|after| took >= after),
        note: contact.note.clone(),
    }
}

pub(super) fn post_mortem(sources: &Sources<'_>) -> PostMortem {
    let section = &sources.incident.post_mortem;
    let period = |text: &Option<String>, usual: SignedDuration| {
        let given = text.as_deref().and_then(|text| text.parse().ok());
        given.unwrap_or(usual)
    };
    let ended = sources.run.ended_at.unwrap_or(sources.now);
    let start = ended + period(&section.after, POST_MORTEM_AFTER);
    // Nobody meets at 14:37:12: the next full half hour.
    let half_hour = 30 * 60;
    let seconds = start.as_second().div_euclid(half_hour) * half_hour;
    let rounded = Timestamp::from_second(seconds + half_hour).unwrap_or(start);
    PostMortem {
        start: rounded,
        minutes: period(&section.duration, POST_MORTEM_DURATION).as_mins(),
        organizer: section.organizer.clone(),
        attendees: section.attendees.clone(),
        location: section.location.clone(),
    }
}
