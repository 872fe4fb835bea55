//! Asks one question of a gate and says what was observed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;

use super::answer::redacting;
use super::condition::Kinds;
use super::{Answer, Gate, Probe, condition, exec, http, postgres, redis, tcp};
use crate::cluster::forward::Port;
use crate::cluster::forward::{PortForward, Reach, Reached, api_text};
use crate::secrets::redact::Redactor;

/// Longest time one question may take.
const QUESTION: Duration = Duration::from_secs(10);

/// Answers in place of the programs that gates ask, where there are none.
pub trait StandIn: Send + Sync {
    /// The answer; `None` when the gate is to be asked as it is.
    fn answer(&self, gate: &Gate) -> Option<Answer>;
}

/// Asks gates. One is enough for a whole run; it can be shared between tasks.
pub struct Asker {
    pub(super) client: Client,
    reach: Arc<dyn Reach>,
    /// For public URLs; the text says why there is none.
    pub(super) web: Result<reqwest::Client, String>,
    redactor: Redactor,
    pub(super) kinds: Kinds,
    stand_in: Option<Arc<dyn StandIn>>,
}

impl Asker {
    /// Reaches Services through the API server. Values of the Secrets that gates use are added to `redactor`.
    pub fn new(client: Client, redactor: Redactor) -> Self {
        let reach = Arc::new(PortForward::new(client.clone()));
        Self::with_reach(client, redactor, reach)
    }

    /// Reaches Services in another way.
    pub fn with_reach(client: Client, redactor: Redactor, reach: Arc<dyn Reach>) -> Self {
        Self { client, reach, web: http::web_client(), redactor, kinds: Kinds::default(), stand_in: None }
    }

    /// The same, with somebody who answers first.
    pub fn with_stand_in(self, stand_in: Option<Arc<dyn StandIn>>) -> Self {
        Self { stand_in, ..self }
    }

    /// The bare answer to a gate that is a query, asked once: for what has to be remembered. `None` when there is none, and where
    /// somebody stands in: what they say is not to be remembered.
    pub async fn value(&self, gate: &Gate) -> Option<String> {
        let Probe::Postgres(spec) = &gate.probe else { return None };
        if !self.asks_programs() {
            return None;
        }
        let question = postgres::value(self, &gate.namespace, spec);
        tokio::time::timeout(QUESTION.min(gate.timeout), question).await.ok()?.ok()??
    }

    /// Whether real programs are asked, and nobody stands in for them.
    pub fn asks_programs(&self) -> bool {
        self.stand_in.is_none()
    }

    /// What a gate's command prints in the newest pod in which it can be run, ready or not, asked once. `None` when there is no
    /// such pod, and when the command fails.
    pub async fn printed(&self, gate: &Gate) -> Option<String> {
        let Probe::Exec(spec) = &gate.probe else { return None };
        let question = exec::printed(self, &gate.namespace, spec);
        let printed = tokio::time::timeout(QUESTION.min(gate.timeout), question).await.ok()??;
        Some(self.redactor.redact(&String::from_utf8_lossy(&printed)))
    }

    /// Asks once, for at most 10 s or the gate's whole limit, whichever is less. Cancel-safe: dropping the future ends the
    /// connection.
    pub async fn ask(&self, gate: &Gate) -> Answer {
        if let Some(answer) = self.stand_in.as_ref().and_then(|stand_in| stand_in.answer(gate)) {
            return answer;
        }
        let limit = QUESTION.min(gate.timeout);
        let namespace = gate.namespace.as_str();
        let question = async {
            match &gate.probe {
                Probe::Http(spec) => http::ask(self, namespace, spec).await,
                Probe::Tcp(spec) => tcp::ask(self, namespace, spec).await,
                Probe::Postgres(spec) => postgres::ask(self, namespace, spec).await,
                Probe::Redis(spec) => redis::ask(self, namespace, spec).await,
                Probe::Exec(spec) => exec::ask(self, namespace, spec).await,
                Probe::Condition(spec) => condition::ask(self, namespace, spec).await,
            }
        };
        let mut answer = match redacting(&self.redactor, tokio::time::timeout(limit, question)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(text)) => Answer::waiting(text),
            Err(_) => Answer::waiting(format!("no answer within {} s", limit.as_secs_f64())),
        };
        answer.text = self.redactor.redact(&answer.text);
        answer
    }

    pub(super) async fn reach(&self, namespace: &str, service: &str, port: &Port) -> Result<Reached, String> {
        self.reach.reach(namespace, service, port).await.map_err(|error| error.to_string())
    }

    /// The values of a Secret, which are from now on redacted.
    pub(super) async fn credentials(&self, namespace: &str, name: &str) -> Result<Credentials, String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = secrets.get_opt(name).await.map_err(|error| api_text(&error))?;
        let found = found.ok_or_else(|| format!("there is no Secret {name} in namespace {namespace}"))?;
        let mut values = BTreeMap::new();
        for (key, value) in found.data.unwrap_or_default() {
            let value = String::from_utf8(value.0).map_err(|_| format!("Secret {name} has a {key} that is not UTF-8"));
            if key != "username"
                && let Ok(value) = &value
            {
                self.redactor.add(value);
            }
            values.insert(key, value);
        }
        Ok(Credentials { secret: name.to_owned(), values })
    }
}

/// Values of a Secret. There is no Debug on purpose.
pub(super) struct Credentials {
    secret: String,
    values: BTreeMap<String, Result<String, String>>,
}

impl Credentials {
    /// A value that must be there.
    pub fn required(&self, key: &str) -> Result<&str, String> {
        self.optional(key)?.ok_or_else(|| format!("Secret {} has no key {key}", self.secret))
    }

    /// A value that may be absent.
    pub fn optional(&self, key: &str) -> Result<Option<&str>, String> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(wrong)) => Err(wrong.clone()),
        }
    }
}
