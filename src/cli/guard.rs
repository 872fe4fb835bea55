//! The guard at work: gathers what the decision is made of, and shows a refusal.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::process::who;
use super::settings::Context;
use super::{CliError, Exit};
use crate::cluster::binding::{self, Binding, Record};
use crate::cluster::residents::{Residents, look};
use crate::cluster::{Cluster, ClusterError};
use crate::kit::Environment;
use crate::plan::guard::{Note, Pin, Reached, Refusal, Subject, may_read, may_write, needs_residents};
use crate::report::guard::{Commands, Scene, Told};

/// What the guard knows of an environment and of the cluster that was reached.
pub struct Gathered {
    /// The environment.
    pub subject: Subject,
    /// The cluster.
    pub reached: Reached,
    /// Its records.
    pub records: Vec<Record>,
    /// What lives there, once somebody has looked.
    pub residents: Residents,
    kubeconfig: String,
}

impl Gathered {
    /// The facts without those that only the cluster's records tell.
    pub async fn of(context: &Context, environment: &Environment, cluster: &Cluster) -> Self {
        let subject = subject(environment);
        let asks = subject.pin.as_ref().is_some_and(|pin| pin.ca.is_some());
        let authority = if asks { binding::authority(cluster).await } else { None };
        let files = context.target(environment).files;
        let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        Self {
            subject,
            reached: Reached {
                uid: cluster.uid.clone(),
                authority,
                context: cluster.context.clone(),
                server: cluster.server.clone(),
            },
            records: Vec::new(),
            residents: Residents::new(),
            kubeconfig: files.join(":"),
        }
    }

    /// Adds what the cluster remembers.
    ///
    /// # Errors
    /// When it does not answer or does not let us read that.
    pub async fn read_records(&mut self, cluster: &Cluster) -> Result<(), ClusterError> {
        let (records, authority) = tokio::join!(binding::records(cluster), binding::authority(cluster));
        (self.records, self.reached.authority) = (records?, authority);
        Ok(())
    }

    /// Adds what lives there, as far as it may be read.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn look(&mut self, cluster: &Cluster, namespace: &str) -> Result<(), ClusterError> {
        self.residents = look(cluster, &self.records, namespace).await?;
        Ok(())
    }

    /// What the words are made of.
    pub fn scene(&self) -> Scene<'_> {
        Scene {
            subject: &self.subject,
            reached: &self.reached,
            records: &self.records,
            residents: &self.residents,
            kubeconfig: &self.kubeconfig,
            now: Timestamp::now(),
        }
    }

    fn refuse(&self, context: &Context, refusal: &Refusal, verb: &str) -> CliError {
        let commands = UsersCommands { context, verb, reached: &self.reached, name: &self.subject.name };
        let Told { message, details, hints } = self.scene().tell(refusal, &commands);
        CliError { details, hints, ..CliError::new(Exit::Protected, message) }
    }

    fn say(&self, context: &mut Context, notes: &[Note]) {
        for note in notes {
            let note = self.scene().note(note);
            context.ui.say(&note);
        }
    }
}

/// The environment as the guard sees it.
pub fn subject(environment: &Environment) -> Subject {
    let place = |path: &str| environment.provenance.get(path).map(ToString::to_string).unwrap_or_default();
    let pin = environment.cluster.uid.clone().map(|uid| Pin {
        instead_of: environment.overridden.get("cluster.uid").and_then(|all| all.first()).and_then(|before| {
            // A file that extends another one overrides it as a matter of course; the user's own pin does not.
            let own =
                environment.provenance.get("cluster.uid").is_some_and(|own| !own.file.starts_with("environments/"));
            let before = (before.value.as_str()?.to_owned(), before.origin.to_string());
            (own && before.0 != uid).then_some(before)
        }),
        uid,
        ca: environment.cluster.ca.clone(),
        place: place("cluster.uid"),
    });
    Subject {
        name: environment.name.clone(),
        stack: environment.stack.clone(),
        protected: environment.protected,
        pin,
        others_pin: environment.others_pin.get("cluster.uid").map(|(uid, origin)| (uid.clone(), origin.to_string())),
        hint: environment.cluster.context.clone(),
    }
}

/// The user's own commands, for refusals.
struct UsersCommands<'a> {
    context: &'a Context,
    verb: &'a str,
    reached: &'a Reached,
    name: &'a str,
}

impl Commands for UsersCommands<'_> {
    fn same_for(&self, environment: &str) -> Option<String> {
        let harmless = matches!(self.verb, "up" | "status" | "plan");
        harmless.then(|| self.context.command(&[self.verb, environment]))
    }

    fn pin(&self) -> String {
        let mut common = self.context.common.clone();
        common.context.get_or_insert_with(|| self.reached.context.clone());
        // Instances share their environment's pin.
        common.instance = None;
        super::command_line(&common, &["env", "pin", self.name])
    }
}

impl Context {
    /// Connects to look: refuses a cluster that is not the one the environment is pinned to. Writes nothing.
    ///
    /// # Errors
    /// Exit 5 when the cluster is not reached, exit 4 when it is another one.
    pub async fn connect(&self, environment: &Environment) -> Result<Cluster, CliError> {
        let environment = &self.pinned(environment.clone())?;
        self.look_from(environment).await.map(|(cluster, _)| cluster)
    }

    /// Connects to plan: as [`Context::connect`], and with why `up` would be refused, where it would be. Writes nothing.
    ///
    /// # Errors
    /// As [`Context::connect`].
    pub async fn connect_to_plan(
        &mut self,
        environment: &Environment,
    ) -> Result<(Cluster, Option<CliError>), CliError> {
        let environment = &self.pinned(environment.clone())?;
        let (cluster, gathered) = self.look_from(environment).await?;
        let refusal = self.agree(environment, &cluster, gathered, "up").await.err();
        Ok((cluster, refusal))
    }

    /// Reaches the cluster of an environment with its pin, and refuses another one.
    async fn look_from(&self, environment: &Environment) -> Result<(Cluster, Gathered), CliError> {
        let cluster = self.reach(environment).await?;
        let mut gathered = Gathered::of(self, environment, &cluster).await;
        if let Err(refusal) = may_read(&gathered.subject, &gathered.reached) {
            // Only to say whose cluster it is.
            let _ = gathered.read_records(&cluster).await;
            let _ = gathered.look(&cluster, &environment.namespace).await;
            return Err(gathered.refuse(self, &refusal, "status"));
        }
        Ok((cluster, gathered))
    }

    /// Connects to write: the environment and the cluster must agree on each other. Writes nothing. The binding is to be
    /// renewed before the first write.
    ///
    /// # Errors
    /// Exit 5 when the cluster is not reached or its records may not be read, exit 4 when they do not agree.
    pub async fn connect_bound(
        &mut self,
        environment: &Environment,
        verb: &str,
    ) -> Result<(Cluster, Binding), CliError> {
        let environment = &self.pinned(environment.clone())?;
        let cluster = self.reach(environment).await?;
        let gathered = Gathered::of(self, environment, &cluster).await;
        let binding = self.agree(environment, &cluster, gathered, verb).await?;
        Ok((cluster, binding))
    }

    /// Whether the environment and the cluster agree on each other, so that something may be written.
    async fn agree(
        &mut self,
        environment: &Environment,
        cluster: &Cluster,
        mut gathered: Gathered,
        verb: &str,
    ) -> Result<Binding, CliError> {
        gathered.read_records(cluster).await?;
        let decide = |gathered: &Gathered| {
            may_write(&gathered.subject, &gathered.reached, &gathered.records, &gathered.residents)
        };
        let mut decision = decide(&gathered);
        if needs_residents(&decision) {
            gathered.look(cluster, &environment.namespace).await?;
            decision = decide(&gathered);
        }
        match decision {
            Ok(pass) => {
                gathered.say(self, &pass.notes);
                let record = record(environment, &gathered);
                let known = gathered.records.iter().any(|known| known.environment == record.environment);
                Ok(Binding { record, by: who(), known })
            }
            Err(refusal) => Err(gathered.refuse(self, &refusal, verb)),
        }
    }
}

/// What the cluster is to remember of an environment from now on.
pub fn record(environment: &Environment, gathered: &Gathered) -> Record {
    Record {
        environment: environment.name.clone(),
        cluster: gathered.reached.uid.clone(),
        authority: gathered.reached.authority.clone(),
        stack: environment.stack.clone(),
        namespaces: BTreeSet::from([environment.namespace.clone()]),
        protected: environment.protected,
        bound: Some(Timestamp::now()),
        last: None,
    }
}
