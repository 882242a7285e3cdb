//! The two ends of a way back, as a policy sees them.

use rollback_inverse::Joined;

use super::way::Way;
use crate::error::Result;
use crate::policy::{self, Ends};
use crate::risk;

/// What a policy is told of what is deployed and of where it goes.
///
/// # Errors
/// The store cannot be read.
pub(super) fn ends(way: &Way<'_>, joined: &Joined) -> Result<Ends> {
    let Way {
        context,
        request,
        commit,
        goal,
        deployed,
        ..
    } = way;
    let release = request
        .target
        .release_of(&request.stack.name)
        .map(|(release, _)| release);
    let from = policy::End {
        commit: &deployed.commit,
        dir: &deployed.dir,
        release: deployed.release.as_ref().map(|(release, _)| release),
        record: deployed.record(),
    };
    let to = policy::End {
        commit,
        dir: &goal.dir,
        release,
        record: goal.record(),
    };
    Ok(Ends {
        from: from.place(context),
        to: to.place(context),
        risks: risk::find(&risk::Sides {
            target: &goal.configuration,
            deployed: &deployed.configuration,
            target_files: way.goal_tree,
            deployed_files: way.deployed_tree,
            target_record: to.record,
            target_state: goal.state.as_ref(),
            deployed_record: from.record,
            joined: &joined.state,
        }),
        providers: policy::providers(context, &from, &to, &goal.providers_too_new(joined)),
        known_bad: policy::known_bad(context, commit.as_str(), release)?,
    })
}
