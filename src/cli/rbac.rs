//! `rekindle env rbac`.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Value, json};

use super::settings::Context;
use super::{CliError, Exit};
use crate::kit::{Environment, Kit};
use crate::manifest::Object;
use crate::manifest::yaml::to_yaml;
use crate::plan::Plan;
use crate::plan::rights::{rights, roles};
use crate::secrets::StandIns;

/// Arguments of `env rbac`.
#[derive(Args, Debug)]
#[command(after_help = "\
Prints one Role a namespace and a ClusterRole with exactly the rights that `up`
uses for this kit, no more, and the namespaces that the Roles live in. Needs no
cluster and no key. A run that lacks one of them is refused before its first
write, and names it.

A Role goes when its namespace is deleted: whoever rebuilds from nothing needs
it granted again first.

Examples:
  rekindle env rbac staging
  rekindle env rbac staging --subject user:deployer | kubectl apply -f -
  rekindle env rbac staging --subject serviceaccount:ci/deployer")]
pub struct RbacArgs {
    /// The environment, e.g. staging
    environment: String,
    /// Print bindings as well: user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
}

/// Runs the command.
pub fn run(context: &mut Context, kit: &Kit, args: &RbacArgs) -> Result<Exit, CliError> {
    let subject = args.subject.as_deref().map(subject).transpose()?;
    let environment = kit.environment(&args.environment, &context.overrides()?)?;
    // Rights do not depend on what a secret says.
    let rendered = kit.render(&environment, &StandIns::of(kit)?)?;
    let plan = Plan::of(&rendered)?;
    let mut wanted = rights(&plan);
    // Only a cluster knows whether kinds that the kit does not define have namespaces: the roles are for either.
    let kind = |object: &Object| (object.group().to_owned(), object.kind().to_owned());
    let cluster_kinds: BTreeSet<_> = plan.of_foreign_kinds().map(kind).collect();
    if !cluster_kinds.is_empty() {
        // A kit that gives one of them a namespace knows that it has one.
        let environment = Environment { cluster_kinds, ..environment.clone() };
        if let Ok(rendered) = kit.render(&environment, &StandIns::of(kit)?) {
            wanted.extend(rights(&Plan::of(&rendered)?));
        }
    }
    for document in roles(&plan, &wanted, subject.as_ref()) {
        if context.json() {
            context.ui.out_json(document);
        } else {
            context.ui.out(&format!("---\n{}", to_yaml(&document).trim_end()));
        }
    }
    Ok(Exit::Done)
}

/// An entry of `subjects`, from what was typed.
fn subject(typed: &str) -> Result<Value, CliError> {
    let group = "rbac.authorization.k8s.io";
    match typed.split_once(':') {
        Some(("user", name)) if !name.is_empty() => Ok(json!({"kind": "User", "apiGroup": group, "name": name})),
        Some(("group", name)) if !name.is_empty() => Ok(json!({"kind": "Group", "apiGroup": group, "name": name})),
        Some(("serviceaccount", place)) => match place.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}))
            }
            _ => Err(CliError::new(
                Exit::Usage,
                format!("--subject {typed}: a service account is serviceaccount:NAMESPACE/NAME"),
            )),
        },
        _ => Err(CliError::new(Exit::Usage, format!("--subject {typed} names nobody"))
            .hint("write user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME")),
    }
}
