//! `[incident]`: what people are told of a rollback, and who they are.

use super::ProjectError;
use super::read::Section;

/// `[incident]`. Texts are as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentSection {
    /// What is rolled back, as people call it: `Acme Shop`.
    pub service: Option<String>,
    /// How often people hear of a run that goes on: `30m`.
    pub update_every: Option<String>,
    /// A template for messages, relative to infra-rollback.toml.
    pub message_template: Option<String>,
    /// A template for reports in Markdown, relative to infra-rollback.toml.
    pub report_template: Option<String>,
    /// `[[incident.contact]]`, in the order in which they are called.
    pub contacts: Vec<ContactSection>,
    pub post_mortem: PostMortemSection,
}

/// `[[incident.contact]]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactSection {
    /// `On-call engineer`
    pub role: String,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub email: Option<String>,
    /// When to call them if it is not over by then: `30m`; at once where nothing is said.
    pub after: Option<String>,
    pub note: Option<String>,
}

/// `[incident.post_mortem]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostMortemSection {
    /// How long after the end of the run: `24h`.
    pub after: Option<String>,
    /// How long it takes: `1h`.
    pub duration: Option<String>,
    /// Who invites: an address of mail.
    pub organizer: Option<String>,
    /// Addresses of mail.
    pub attendees: Vec<String>,
    pub location: Option<String>,
}

const KEYS: &[&str] = &[
    "contact",
    "message_template",
    "post_mortem",
    "report_template",
    "service",
    "update_every",
];

pub(super) fn read(incident: &Section<'_, '_>) -> Result<IncidentSection, ProjectError> {
    incident.only(KEYS)?;
    let mut section = IncidentSection {
        service: incident.string("service")?,
        update_every: incident.period("update_every")?,
        message_template: incident.string("message_template")?,
        report_template: incident.string("report_template")?,
        ..IncidentSection::default()
    };
    for contact in incident.tables("contact")? {
        contact.only(&["role", "name", "phone", "email", "after", "note"])?;
        section.contacts.push(ContactSection {
            role: contact.required("role")?,
            name: contact.string("name")?,
            phone: contact.string("phone")?,
            email: contact.string("email")?,
            after: contact.period("after")?,
            note: contact.string("note")?,
        });
    }
    if let Some(post_mortem) = incident.table("post_mortem")? {
        post_mortem.only(&["after", "duration", "organizer", "attendees", "location"])?;
        section.post_mortem = PostMortemSection {
            after: post_mortem.period("after")?,
            duration: post_mortem.period("duration")?,
            organizer: post_mortem.string("organizer")?,
            attendees: post_mortem.strings("attendees")?,
            location: post_mortem.string("location")?,
        };
    }
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::super::{ProjectError, parse};

    #[test]
    fn contacts_keep_their_order_and_unknown_keys_are_named() {
        let text = "[incident]\nservice = 'Shop'\nupdate_every = '10m'\n[[incident.contact]]\nrole = 'On-call'\n\
                    phone = '+971-1'\n[[incident.contact]]\nrole = 'CTO'\nafter = '1h'\n[incident.post_mortem]\nafter = '24h'";
        let incident = parse(text, "f").unwrap().incident;
        let roles: Vec<&str> = incident.contacts.iter().map(|contact| contact.role.as_str()).collect();
        assert_eq!(roles, ["On-call", "CTO"]);
        let error = parse("[incident]\n[[incident.contact]]\nrole = 'a'\nphon = 'b'", "f").unwrap_err();
        assert!(
            matches!(&error, ProjectError::UnknownKey { nearest: Some(nearest), .. } if nearest == "phone"),
            "{error}"
        );
        assert!(parse("[incident]\nupdate_every = 'often'", "f").is_err());
    }
}
