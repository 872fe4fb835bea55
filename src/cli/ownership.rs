//! Refusals that protect what is somebody else's, and the flags that allow to take it.

use clap::Args;

use super::{CliError, Exit};
use crate::cluster::ClusterError;
use crate::manifest::mistake::nearest;
use crate::plan::Plan;
use crate::plan::decide::{Adoption, Stranger, Wishes, full_name, is_called};
use crate::report::text::count;

/// Objects that are named one by one.
const SHOWN: usize = 10;

/// What a person allows beyond the ordinary; `up` and `plan` have these flags.
#[derive(Args, Clone, Debug, Default)]
pub struct WishArgs {
    /// Take over fields that another tool manages; without this such an object is refused
    #[arg(long)]
    pub take_ownership: bool,
    /// Take an object that is there and is nobody's in Rekindle (repeatable); without a name all of them. What another
    /// environment has is taken only by KIND/NAMESPACE/NAME
    #[arg(long, value_name = "KIND/NAME", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    pub adopt: Vec<String>,
}

impl WishArgs {
    /// The flags again, as words.
    pub fn words(&self) -> Vec<String> {
        let adopt = self.adopt.iter().map(|name| match name.as_str() {
            "*" => "--adopt".to_owned(),
            name => format!("--adopt={name}"),
        });
        adopt.chain(self.take_ownership.then(|| "--take-ownership".to_owned())).collect()
    }

    /// What they allow.
    pub fn wishes(&self) -> Wishes {
        let adopt = Adoption::of(self.adopt.iter().map(String::as_str));
        Wishes { adopt, take_ownership: self.take_ownership }
    }
}

/// Every name that `--adopt` was given must mean an object of the plan: a mistyped one would take nothing, and the next guess of
/// a tired person would be to take everything.
///
/// # Errors
/// Exit 2 with the nearest name.
pub fn check_names(plan: &Plan, given: &[String]) -> Result<(), CliError> {
    let keys = || plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.key);
    let unknown = given.iter().filter(|name| *name != "*").find(|name| !keys().any(|key| is_called(key, name)));
    let Some(name) = unknown else { return Ok(()) };
    if !name.contains('/') {
        return Err(CliError::new(
            Exit::Usage,
            format!("--adopt={name}: write it as KIND/NAME, such as ConfigMap/settings"),
        ));
    }
    let names: Vec<String> = keys().map(ToString::to_string).collect();
    let error = CliError::new(Exit::Usage, format!("--adopt={name}: the kit has no such object"));
    Err(match nearest(name, names.iter().map(String::as_str)) {
        Some(known) => error.hint(format!("did you mean {known}?")),
        None => error,
    })
}

/// What ended a run before its first write. `again` is the command that was given, `look` the one that shows the plan.
pub fn explain(error: ClusterError, environment: &str, again: &str, look: &str) -> CliError {
    let ClusterError::NotOurs(strangers) = error else { return error.into() };
    let (taken, foreign): (Vec<&Stranger>, Vec<&Stranger>) = strangers.iter().partition(|stranger| stranger.taken);
    let are = if strangers.len() == 1 { "is there and is" } else { "are there and are" };
    let message = format!(
        "refused: {} of the kit {are} not {environment}'s; nothing was written",
        count(strangers.len(), "object")
    );
    let mut refused = CliError::new(Exit::Protected, message).details_of(strangers.iter().map(told), SHOWN);
    if let Some(first) = foreign.first() {
        refused = refused.hint(format!("what would change:      {look}"));
        let one = if foreign.len() == 1 { "to take it:            " } else { "to take one of them:   " };
        refused = refused.hint(format!("{one} {again} --adopt={}", first.key));
        if foreign.len() > 1 {
            let all = if taken.is_empty() { "to take all of them:   " } else { "to take nobody's:      " };
            refused = refused.hint(format!("{all} {again} --adopt"));
        }
    }
    if let Some(first) = taken.first() {
        refused = refused
            .hint(format!("give {environment} a namespace and names of its own; what another environment has is taken"))
            .hint(format!("only by its full name:  {again} --adopt={}", full_name(&first.key)));
    }
    refused
}

fn told(stranger: &Stranger) -> String {
    let namespace = stranger.key.namespace.as_ref().map(|name| format!(" in namespace {name}")).unwrap_or_default();
    format!("{}{namespace}: {}", stranger.key, stranger.holder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::ObjectKey;

    fn stranger(name: &str, taken: bool) -> Stranger {
        let namespace = Some("shop".to_owned());
        let key = ObjectKey { group: String::new(), kind: "ConfigMap".into(), namespace, name: name.into() };
        let holder = if taken { "belongs to staging" } else { "managed by Helm, release web" };
        Stranger { key, holder: holder.into(), taken }
    }

    fn shown(strangers: Vec<Stranger>) -> String {
        let error = explain(
            ClusterError::NotOurs(strangers),
            "production",
            "rekindle up production",
            "rekindle plan production",
        );
        assert_eq!(error.exit, Exit::Protected);
        [vec![error.message], error.details, error.hints].concat().join("\n")
    }

    #[test]
    fn a_refusal_names_what_is_protected_and_how_to_go_on() {
        insta::assert_snapshot!(shown(vec![stranger("a", false)]), @"
        refused: 1 object of the kit is there and is not production's; nothing was written
        ConfigMap/a in namespace shop: managed by Helm, release web
        what would change:      rekindle plan production
        to take it:             rekindle up production --adopt=ConfigMap/a
        ");
        insta::assert_snapshot!(shown((0..12).map(|at| stranger(&format!("c{at}"), false)).collect()), @"
        refused: 12 objects of the kit are there and are not production's; nothing was written
        ConfigMap/c0 in namespace shop: managed by Helm, release web
        ConfigMap/c1 in namespace shop: managed by Helm, release web
        ConfigMap/c2 in namespace shop: managed by Helm, release web
        ConfigMap/c3 in namespace shop: managed by Helm, release web
        ConfigMap/c4 in namespace shop: managed by Helm, release web
        ConfigMap/c5 in namespace shop: managed by Helm, release web
        ConfigMap/c6 in namespace shop: managed by Helm, release web
        ConfigMap/c7 in namespace shop: managed by Helm, release web
        ConfigMap/c8 in namespace shop: managed by Helm, release web
        ConfigMap/c9 in namespace shop: managed by Helm, release web
        and 2 more
        what would change:      rekindle plan production
        to take one of them:    rekindle up production --adopt=ConfigMap/c0
        to take all of them:    rekindle up production --adopt
        ");
        insta::assert_snapshot!(shown(vec![stranger("a", false), stranger("b", true)]), @"
        refused: 2 objects of the kit are there and are not production's; nothing was written
        ConfigMap/a in namespace shop: managed by Helm, release web
        ConfigMap/b in namespace shop: belongs to staging
        what would change:      rekindle plan production
        to take it:             rekindle up production --adopt=ConfigMap/a
        give production a namespace and names of its own; what another environment has is taken
        only by its full name:  rekindle up production --adopt=ConfigMap/shop/b
        ");
    }
}
