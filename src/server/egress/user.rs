//! The user behind a call, known by `X-Auth-Handle` and by nothing else.

use http::HeaderMap;

use crate::client::token::User;
use crate::config::EgressTarget;
use crate::reason::{Denial, Refusal};
use crate::request::headers::{same_folded, single};
use crate::server::World;
use crate::server::handles::HANDLE;

const DEAD: &str = "X-Auth-Handle names nobody: it is valid for its request and a minute after, on \
                    this gateway only.";

const REVOKED: &str = "The deny-list names the user that X-Auth-Handle stands for.";

/// Who stands behind a request for this target; `None` for the app itself. A handle that names
/// nobody (any more) is no call of the app itself: a target that would be told the user, or called
/// with the user's credential, is then not called at all. So it is with one in another spelling.
pub(super) fn find(
    world: &World,
    target: &EgressTarget,
    headers: &HeaderMap,
) -> Result<Option<User>, Refusal> {
    let user = of_handle(world, headers);
    let needed = target.forward_user || world.credentials.need_user(&target.credentials);
    match user {
        // and the app's own calls do not end with a list that cannot be read
        Err(Refusal::Denied(Denial::EgressUserUnavailable(_)) | Refusal::Failed(_)) if !needed => {
            Ok(None)
        }
        other => other,
    }
}

/// Who a handle names; `None` without one. One that names nobody (any more) is refused, and so is that of
/// whom the deny-list names by now.
pub(super) fn of_handle(world: &World, headers: &HeaderMap) -> Result<Option<User>, Refusal> {
    let handle = single(headers, &HANDLE)?;
    if let Some(user) = handle.and_then(|handle| world.handles.find(handle)) {
        let judged = world
            .gate
            .judge_again(&user.proven.principal, world.clock.now());
        return match judged {
            Ok(()) => Ok(Some(user)),
            Err(Refusal::Denied(_)) => Err(Denial::EgressUserUnavailable(REVOKED).into()),
            Err(failed) => Err(failed),
        };
    }
    if handle.is_some() || headers.keys().any(|name| same_folded(name, &HANDLE)) {
        return Err(Denial::EgressUserUnavailable(DEAD).into());
    }
    Ok(None)
}
