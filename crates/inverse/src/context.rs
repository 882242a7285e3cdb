//! What every judgement looks at.

use rollback_config::Configuration;
use rollback_state::{Address, Instance, ResourceAddress};

use crate::elsewhere::Elsewhere;
use crate::history::History;
use crate::input::Input;
use crate::matching::{self, Pairing};
use crate::plan::{Change, Fate, Reversibility};
use crate::redact::Redactor;
use crate::rules;

const LOST_PROVISIONER: &str = "Its destroy-time provisioner does not run: where it is destroyed the target's configuration does \
                                not have it, and Terraform runs what is written there. Do by hand what it does.";

/// The input, prepared.
pub(crate) struct Context<'a> {
    pub(crate) input: &'a Input<'a>,
    pub(crate) history: History<'a>,
    pub(crate) redactor: Redactor,
    pub(crate) elsewhere: &'a Elsewhere,
}

impl<'a> Context<'a> {
    /// Pairs the objects as well: what differs between the states must be known to find their secrets fast.
    pub(crate) fn new(input: &'a Input<'a>, elsewhere: &'a Elsewhere) -> (Self, Pairing<'a>) {
        let history = History::new(input);
        let (redactor, pairing) = Redactor::of_both(
            input.current,
            input.target,
            input.secrets,
            input.knowledge,
            || matching::pair(input.current, input.target, &history),
            |pairing| {
                let changed = pairing
                    .pairs
                    .iter()
                    .filter(|pair| !pair.identical)
                    .map(|pair| pair.target);
                changed.chain(pairing.gone.iter().copied()).collect()
            },
        );
        (
            Context {
                input,
                history,
                redactor,
                elsewhere,
            },
            pairing,
        )
    }

    /// The configuration that belongs to the current state.
    pub(crate) fn current_config(&self) -> Option<&'a Configuration> {
        self.input
            .current_config
            .or_else(|| self.input.history.first().map(|step| step.configuration))
    }

    /// The destroy of an object of the current state, with what is lost.
    pub(crate) fn destroy(&self, instance: &Instance, reason: &str) -> Change {
        let attributes = instance.attributes(self.input.current);
        let kind = instance.address().resource.kind.as_str();
        let mut change = Change::new(Some(instance.id().clone()), None, Fate::Destroy, reason);
        change.provider = instance.provider().to_string();
        change.id = self.shown_id(instance);
        let tree = self.sensitive(Some(instance), None);
        let empty = serde_json::Map::new();
        rules::apply(self.input.knowledge, kind, &mut change, &[], &attributes, &empty);
        change.before = Some(
            self.redactor
                .mask_object(kind, &tree, &serde_json::Value::Object(attributes)),
        );
        self.protect(&mut change, Reversibility::Irreversible);
        self.note_lost_provisioner(&mut change, Some(instance.address()));
        change
    }

    /// Says where something was to happen when an object is destroyed that Terraform will not do: it runs what the target's
    /// configuration has at the address at which the object is destroyed (Terraform's documentation, "Destroy-Time
    /// Provisioners": the block has to be there).
    pub(crate) fn note_lost_provisioner(&self, change: &mut Change, destroyed_at: Option<&Address>) {
        let runs = |configuration: Option<&Configuration>, address: Option<&Address>| {
            let resource = configuration.zip(address);
            let resource = resource.and_then(|(configuration, address)| configuration.resource(&address.resource));
            resource.is_some_and(|resource| resource.provisioner_texts.iter().any(|text| runs_at_destroy(text)))
        };
        let from = change.from.as_ref().map(|from| &from.address);
        let is_lost = runs(self.current_config(), from) && !runs(self.input.target_config, destroyed_at);
        if is_lost && !change.notes.iter().any(|note| note == LOST_PROVISIONER) {
            change.notes.push(LOST_PROVISIONER.to_owned());
        }
    }

    /// Says where `prevent_destroy` protects an object that would go.
    ///
    /// Terraform does not enforce it once the block that carries it is gone (1.11), and going back
    /// takes away exactly the blocks that were added since.
    pub(crate) fn protect(&self, change: &mut Change, at_least: Reversibility) {
        let now = change.from.as_ref().map(|from| from.address.resource.clone());
        let then = change.to.as_ref().map(|to| to.resource.clone());
        let found = protection(self.current_config(), now.as_ref(), "the current release").or_else(|| {
            protection(
                self.input.target_config,
                then.as_ref().or(now.as_ref()),
                "the target release",
            )
        });
        if let Some(at) = found {
            change.notes.push(format!("prevent_destroy protects it in {at}."));
            change.protected = Some(at);
            change.at_least(at_least);
        }
    }

    /// The provider's id, where it may be shown.
    pub(crate) fn shown_id(&self, instance: &Instance) -> Option<String> {
        let kind = instance.address().resource.kind.as_str();
        let id = instance.identifier(self.input.current)?;
        self.showable_id(kind, id)
    }

    pub(crate) fn showable_id(&self, kind: &str, id: String) -> Option<String> {
        let hidden = self.redactor.is_sensitive(kind, "id") || self.redactor.scrub_text(&id) != id;
        (!hidden).then_some(id)
    }
}

/// `when = destroy`, or `"when": "destroy"` in JSON.
fn runs_at_destroy(provisioner: &str) -> bool {
    let plain: String = provisioner
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '"')
        .collect();
    ["when=destroy", "when:destroy", "when:${destroy}"]
        .iter()
        .any(|text| plain.contains(text))
}

fn protection(
    configuration: Option<&Configuration>,
    resource: Option<&ResourceAddress>,
    release: &str,
) -> Option<String> {
    let block = configuration?.resource(resource?)?;
    block.prevent_destroy.then(|| format!("{release} ({})", block.at))
}

/// `tags`, `tags and input`, `tags, input and name`; long lists are cut.
pub(crate) fn quoted_list(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names {
        [] => String::new(),
        [name] => name.clone(),
        _ if names.len() <= SHOWN => {
            let (last, first) = names.split_last().expect("more than one");
            format!("{} and {last}", first.join(", "))
        }
        _ => format!(
            "{} and {} more",
            names[..SHOWN - 1].join(", "),
            names.len() - (SHOWN - 1)
        ),
    }
}
