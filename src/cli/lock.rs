//! Taking an environment's lock: what a person is told of its holder, and what breaking it wants.

use super::process;
use super::settings::Context;
use super::{CliError, Exit};
use crate::cluster::Cluster;
use crate::cluster::lock::{Claim, Holder, Lock, LockError, NOTICE};
use crate::report::duration::human;

/// How a lock is wanted.
pub struct Wish<'a> {
    /// The environment, with the instance.
    pub environment: &'a str,
    /// `--break-lock`: take it also from somebody who lives.
    pub breaking: bool,
    /// `--confirm`.
    pub confirm: Option<&'a str>,
    /// The words of the command, to say it again.
    pub words: &'a [String],
    /// What is true as long as there is no lock: `nothing was written`.
    pub untouched: &'static str,
}

/// Takes the lock for a run that begins now. A live holder's only with `--break-lock` and its name typed.
///
/// # Errors
/// Exit 8 when somebody else holds it, exit 4 when it was to be broken and the name was not typed.
pub async fn take(
    context: &mut Context,
    cluster: &Cluster,
    wish: &Wish<'_>,
    holder: &Holder,
    now: jiff::Timestamp,
) -> Result<Lock, CliError> {
    let name = wish.environment;
    let mut claim = Claim { holder: holder.clone(), now, probe: process::started, breaking: None };
    let mut ui = context.ui.clone();
    let mut waiting = move |other: &Holder, longest: std::time::Duration| {
        let longest = human(longest.as_secs_f64());
        ui.say(&format!("the lock of {name} is held by {other}; waiting up to {longest} for a sign of life"));
    };
    match Lock::take(cluster, name, claim.clone(), &mut waiting).await {
        Err(LockError::Held(other)) if wish.breaking => {
            confirm_breaking(context, wish, &other)?;
            claim.breaking = Some(other.identity());
            let longest = human(NOTICE.as_secs_f64());
            context.ui.say(&format!("waiting up to {longest} until {other} has noticed that it has lost the lock"));
            Lock::take(cluster, name, claim, &mut waiting).await.map_err(|error| refusal(context, wish, error))
        }
        taken => taken.map_err(|error| refusal(context, wish, error)),
    }
}

/// Asks for the environment's name before a lock is broken whose holder lives.
fn confirm_breaking(context: &mut Context, wish: &Wish<'_>, other: &Holder) -> Result<(), CliError> {
    let name = wish.environment;
    if wish.confirm == Some(name) {
        return Ok(());
    }
    let refused = |message: String| facts(CliError::new(Exit::Protected, message), other);
    if !context.ui.can_ask() {
        return Err(refused(format!(
            "refused: the lock of {name} is held by a run that lives, and nobody is there to ask; {}",
            wish.untouched
        ))
        .hint(format!("say that you mean it with --confirm {name}")));
    }
    context.ui.say(&format!("the lock of {name} is held by a run that lives; it will stop where it is:"));
    for line in facts_of(other) {
        context.ui.say(&format!("  {line}"));
    }
    if context.ui.confirm_typed("Type the name of the environment to take the lock away from it", name) {
        return Ok(());
    }
    Err(refused(format!("refused: the name was not typed; {}", wish.untouched)))
}

fn refusal(context: &Context, wish: &Wish<'_>, error: LockError) -> CliError {
    let other = match error {
        LockError::Held(other) => other,
        LockError::Cluster(error) => return error.into(),
    };
    let name = wish.environment;
    let again = context.command(wish.words);
    let breaking = context.command(&[wish.words, &["--break-lock".to_owned()]].concat());
    let environment = name.split('/').next().unwrap_or(name);
    let message = format!("{name} is locked: another run is at work; {}", wish.untouched);
    facts(CliError::new(Exit::Locked, message), &other)
        .hint(format!("look what it does:              {}", context.command(&["status", environment])))
        .hint(format!("when it has ended:              {}", again))
        .hint(format!("if it must not go on:           {}", breaking))
}

fn facts(error: CliError, other: &Holder) -> CliError {
    facts_of(other).into_iter().fold(error, CliError::detail)
}

/// Who it is, a line each.
pub fn facts_of(other: &Holder) -> Vec<String> {
    let mut facts = vec![format!("held by   {other}")];
    let since = other.since.map(|since| format!("since {}", since.strftime("%Y-%m-%d %H:%M:%S UTC")));
    let phase = (!other.phase.is_empty()).then(|| format!("in {}", other.phase));
    let place: Vec<String> = phase.into_iter().chain(since).collect();
    if !place.is_empty() {
        facts.push(format!("at work   {}", place.join(", ")));
    }
    facts
}
