//! `rekindle env pin`: binds an environment to the cluster that is reached, so that both sides agree afterwards.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::super::connection::block_on;
use super::super::guard::{Gathered, record, subject};
use super::super::replace::{self, replace};
use super::super::settings::Context;
use super::super::{CliError, Exit};
use crate::cluster::Cluster;
use crate::cluster::binding;
use crate::kit::edit::with_pin;
use crate::kit::pins::UserPin;
use crate::kit::{Environment, Kit, KitSource, Overrides};
use crate::report::guard::aligned;
use crate::report::text::count;

const AFTER_HELP: &str = "\
Shows the cluster that is reached, what the environment was bound to before and
what lives there; then asks: the name of a protected environment is to be typed,
another one wants a yes. Where there is no terminal, the UID of the cluster that
you mean has to be spelled out; no other flag answers the question:
  kubectl get namespace kube-system -o jsonpath={.metadata.uid}

The pin goes into the environment's file when the kit is a folder (--kit), else
into pins.yaml in your own configuration, which then wins over the kit's file.
Where the cluster remembers the environment otherwise, that is put right too.

Examples:
  rekindle env pin production --context acoustid-production
  rekindle env pin production --uid 1f0c6e1a-4a53-4d0b-9d64-2f8d1c7b9f10

Exit codes:
  0  pinned, or it was already       4  refused: not confirmed, another cluster
  2  wrong usage                     5  cluster unreachable or not allowed
  3  the kit is wrong";

/// Arguments of `env pin`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct PinArgs {
    /// The environment to bind; `rekindle env list` names them
    #[arg(value_name = "ENV")]
    environment: String,
    /// The UID of the cluster that you mean: that of its namespace kube-system
    #[arg(long, value_name = "UID")]
    uid: Option<String>,
}

/// Runs the command.
pub fn run(context: &mut Context, kit: &Kit, args: &PinArgs) -> Result<Exit, CliError> {
    // What the command line changes is for one run; a pin stays.
    let plain = kit.environment(&args.environment, &Overrides::default())?;
    let plain_uid = plain.cluster.uid.clone();
    let environment = context.pinned(plain)?;
    if environment.stack.is_empty() {
        kit.stack()?;
    }
    block_on(async {
        let cluster = context.reach(&environment).await?;
        let mut gathered = Gathered::of(context, &environment, &cluster).await;
        gathered.read_records(&cluster).await?;
        gathered.look(&cluster, &environment.namespace).await?;
        show(context, &cluster, &gathered);
        check_uid(args, &cluster)?;
        // A pin of one's own would hide from a person that the file of the kit, which others have too, has none.
        let in_file = !matches!(kit.source, KitSource::Folder(_)) || plain_uid.as_deref() == Some(cluster.uid.as_str());
        let pinned = in_file && agrees(&gathered);
        let remembered = remembers(&environment, &gathered);
        if pinned && remembered {
            context.ui.say(&format!("{} is pinned to this cluster already; nothing was written", environment.name));
            tell(context, &environment, &cluster, None);
            return Ok(Exit::Done);
        }
        confirm(context, args, &environment)?;
        cluster.verify_identity().await?;
        let place = if pinned { None } else { Some(write(context, kit, &environment, &gathered)?) };
        if !remembered {
            remember(context, &environment, &cluster, &gathered).await?;
        }
        let name = &environment.name;
        if let Some(place) = &place {
            context.ui.say(&format!("{name} is pinned to {} in {place}", cluster.uid));
        }
        tell(context, &environment, &cluster, place.as_deref());
        Ok(Exit::Done)
    })
}

/// Shows what was reached, what was pinned and remembered before, and what lives there.
fn show(context: &mut Context, cluster: &Cluster, gathered: &Gathered) {
    let (subject, scene) = (&gathered.subject, gathered.scene());
    let nodes = cluster.nodes.map(|nodes| format!(", {}", count(nodes, "node"))).unwrap_or_default();
    let mut rows = scene.reached_rows();
    rows.push((String::new(), format!("Kubernetes {}{nodes}", cluster.version)));
    rows.extend(gathered.reached.authority.iter().map(|ca| ("certificate authority".into(), format!("SHA-256 {ca}"))));
    rows.push((
        "pinned before".into(),
        match &subject.pin {
            Some(pin) if pin.uid == cluster.uid => format!("to this cluster   {}", pin.place),
            Some(pin) => format!("{}   {}", pin.uid, pin.place),
            None => "to no cluster".into(),
        },
    ));
    let own = gathered.records.iter().find(|record| record.environment == subject.name);
    if let Some(record) = own {
        let for_cluster = match record.cluster.as_str() {
            uid if uid == cluster.uid => "for this cluster".to_owned(),
            "" => "unreadable".to_owned(),
            other => format!("for {other}"),
        };
        let stack = if record.stack == subject.stack { String::new() } else { format!(", stack {}", record.stack) };
        let since = record.bound.map(|bound| format!(", since {}", bound.strftime("%Y-%m-%d"))).unwrap_or_default();
        rows.push((format!("its record of {}", subject.name), format!("{for_cluster}{stack}{since}")));
    }
    rows.extend(scene.lives_rows());
    let protected = if subject.protected { ", protected" } else { "" };
    let head = format!("{} of stack {}{protected}", subject.name, subject.stack);
    let lines: Vec<_> = aligned(&rows, "   ").into_iter().map(|row| format!("  {row}")).collect();
    for line in std::iter::once(&head).chain(&lines) {
        context.ui.say(&crate::report::sanitize::clean(line));
    }
}

/// A UID that was spelled out is meant, terminal or not.
fn check_uid(args: &PinArgs, cluster: &Cluster) -> Result<(), CliError> {
    match args.uid.as_ref().filter(|uid| **uid != cluster.uid) {
        None => Ok(()),
        Some(uid) => Err(CliError::new(
            Exit::Protected,
            format!("refused: --uid {uid} is not the cluster that was reached; nothing was written"),
        )
        .detail(format!("you have reached {}", cluster.uid))
        .hint("choose the right cluster with --kubeconfig FILE and --context NAME")),
    }
}

/// Whether the pin says what is reached, certificate authority included where it states one.
fn agrees(gathered: &Gathered) -> bool {
    gathered.subject.pin.is_some() && crate::plan::guard::may_read(&gathered.subject, &gathered.reached).is_ok()
}

/// Whether the cluster remembers the environment as it is, or has nothing to remember yet.
fn remembers(environment: &Environment, gathered: &Gathered) -> bool {
    let own = gathered.records.iter().find(|record| record.environment == environment.name);
    match own {
        Some(own) => {
            let authority = own.authority.is_none()
                || gathered.reached.authority.is_none()
                || own.authority == gathered.reached.authority;
            own.cluster == gathered.reached.uid && own.stack == environment.stack && authority
        }
        None => gathered.residents.get(&environment.name).is_none_or(|resident| resident.objects == 0),
    }
}

fn confirm(context: &mut Context, args: &PinArgs, environment: &Environment) -> Result<(), CliError> {
    let name = environment.name.as_str();
    if args.uid.is_some() {
        return Ok(());
    }
    if !context.ui.can_ask() {
        let words = ["env", "pin", name, "--uid", "UID"];
        return Err(CliError::new(
            Exit::Protected,
            format!("refused: nobody is there to ask whether this is {name}'s cluster; nothing was written"),
        )
        .hint(format!("spell out the cluster that you mean:   {}", context.command(&words)))
        .hint("its UID is that of its namespace:      kubectl get namespace kube-system -o jsonpath={.metadata.uid}"));
    }
    let (yes, what) = if environment.protected {
        let request = format!("Type the name of the environment to bind it to this cluster ({name})");
        (context.ui.confirm_typed(&request, name), "the name was not typed")
    } else {
        (context.ui.confirm(&format!("Is this {name}'s cluster?")), "there was no yes")
    };
    if yes { Ok(()) } else { Err(CliError::new(Exit::Protected, format!("refused: {what}; nothing was written"))) }
}

/// Writes the pin where it belongs; returns where that is.
fn write(context: &mut Context, kit: &Kit, environment: &Environment, gathered: &Gathered) -> Result<String, CliError> {
    let (name, reached) = (&environment.name, &gathered.reached);
    let KitSource::Folder(folder) = &kit.source else {
        let Some(mut file) = context.pins()? else {
            return Err(CliError::new(Exit::Kit, "there is no folder for your configuration; nothing was written")
                .hint("set HOME or XDG_CONFIG_HOME"));
        };
        let pin = UserPin {
            uid: reached.uid.clone(),
            ca: reached.authority.clone(),
            context: reached.context.clone(),
            time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            line: 0,
        };
        file.pins.set(&environment.stack, name, pin);
        file.write()?;
        return Ok(file.place());
    };
    let file = format!("environments/{name}.yaml");
    let text = kit.text(&file).transpose()?.unwrap_or_default();
    let edited = with_pin(text, &reached.uid, reached.authority.as_deref()).map_err(|reason| {
        CliError::new(Exit::Kit, format!("{file} was not changed: {reason}"))
            .hint(format!("write it there yourself:   cluster: {{uid: {}}}", reached.uid))
    })?;
    let modes = replace::PUBLIC;
    replace(&folder.join(&file), Some(text.as_bytes()), edited.as_bytes(), modes)
        .map_err(|failure| failure.told(&file))?;
    // It would win over what the file says now.
    if let Some(mut own) = context.pins()?
        && own.pins.remove(&environment.stack, name)
    {
        own.write()?;
        context.ui.say(&format!("your own pin of {name} in {} is gone: the kit's file holds it now", own.place()));
    }
    Ok(folder.join(&file).display().to_string())
}

/// Has the cluster remember the environment as it is.
async fn remember(
    context: &mut Context,
    environment: &Environment,
    cluster: &Cluster,
    gathered: &Gathered,
) -> Result<(), CliError> {
    let new = record(environment, gathered);
    binding::write(cluster, &environment.name, |there| {
        let mut new = new.clone();
        if let Some(there) = there {
            new.namespaces.extend(there.namespaces.iter().cloned());
            new.last.clone_from(&there.last);
        }
        Ok(Some(new))
    })
    .await?;
    context.ui.say(&format!("the cluster remembers {} as bound to it", environment.name));
    Ok(())
}

/// The result for programs.
fn tell(context: &mut Context, environment: &Environment, cluster: &Cluster, place: Option<&str>) {
    if context.json() {
        let before = subject(environment).pin.map(|pin| json!({"uid": pin.uid, "place": pin.place}));
        context.ui.out_json(json!({
            "environment": environment.name, "stack": environment.stack, "uid": cluster.uid,
            "context": cluster.context, "server": cluster.server, "written": place, "before": before,
        }));
    }
}
