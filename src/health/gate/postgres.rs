//! PostgreSQL gates: a query asked by a real client.

use std::pin::pin;
use std::time::Duration;

use futures::future::FusedFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::answer::{beside, explain, quote};
use super::spec::Postgres;
use super::{Answer, Asker};

/// How long taking leave may take once the answer is known.
const GOODBYE: Duration = Duration::from_millis(500);

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Postgres) -> Result<Answer, String> {
    let first = value(asker, namespace, spec).await?;
    Ok(judge(spec.expect.as_deref(), first.as_ref().map(Option::as_deref)))
}

/// What the query gives: the first column of the first row, see [`first_value`].
pub(super) async fn value(asker: &Asker, namespace: &str, spec: &Postgres) -> Result<Option<Option<String>>, String> {
    let credentials = asker.credentials(namespace, &spec.credentials).await?;
    let mut config = Config::new();
    config.user(credentials.required("username")?).password(credentials.required("password")?);
    config.application_name("rekindle");
    if let Some(database) = &spec.database {
        config.dbname(database);
    }
    let reached = asker.reach(namespace, &spec.service, &spec.port).await?;
    let peer = reached.peer;
    let (client, connection) =
        config.connect_raw(reached.stream, NoTls).await.map_err(|error| failure(&error, &peer))?;
    let mut why = None;
    let first = {
        let mut driver = pin!(async { why = connection.await.err() }.fuse());
        let first = beside(first_value(&client, &spec.query), &mut driver).await;
        // A goodbye, so that the server does not log a lost client.
        drop(client);
        if !driver.is_terminated() {
            let _ = timeout(GOODBYE, driver).await;
        }
        first
    };
    match (first, why) {
        (Ok(first), _) => Ok(first),
        (Err(error), Some(why)) if error.is_closed() => Err(failure(&why, &peer)),
        (Err(error), _) => Err(failure(&error, &peer)),
    }
}

/// The first column of the first row, as the text that the simple protocol gives; more rows are not kept. `None`: no row;
/// `Some(None)`: NULL, or a row without columns.
async fn first_value(client: &Client, query: &str) -> Result<Option<Option<String>>, tokio_postgres::Error> {
    let mut messages = pin!(client.simple_query_raw(query).await?);
    while let Some(message) = messages.next().await {
        if let SimpleQueryMessage::Row(row) = message? {
            let first = if row.is_empty() { None } else { row.get(0) };
            return Ok(Some(first.map(str::to_owned)));
        }
    }
    Ok(None)
}

/// Whether the first value passes.
fn judge(expect: Option<&str>, first: Option<Option<&str>>) -> Answer {
    match (expect, first) {
        (None, None) => Answer::waiting("answered no row"),
        (Some(expect), None) => Answer::waiting(format!("answered no row, wanted {}", quote(expect))),
        (None, Some(value)) => Answer::passed(format!("answered {}", shown(value))),
        (Some(expect), Some(value)) if value == Some(expect) => Answer::passed(format!("answered {}", shown(value))),
        (Some(expect), Some(value)) => Answer::waiting(format!("answered {}, wanted {}", shown(value), quote(expect))),
    }
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "an empty text".to_owned(),
        Some(value) => quote(value),
    }
}

/// A database's error with its SQLSTATE; any other by its most telling cause.
fn failure(error: &tokio_postgres::Error, peer: &str) -> String {
    match error.as_db_error() {
        Some(refused) => format!("{} (SQLSTATE {})", quote(refused.message()), refused.code().code()),
        None if error.is_closed() => format!("connection closed by {peer}"),
        None => explain(error, peer),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_first_value_is_the_answer() {
        for (expect, first, passed, text) in [
            (Some("t"), Some(Some("t")), true, "answered t"),
            (Some("t"), Some(Some("f")), false, "answered f, wanted t"),
            (Some("t"), Some(None), false, "answered NULL, wanted t"),
            (Some("t"), None, false, "answered no row, wanted t"),
            (None, Some(Some("17")), true, "answered 17"),
            (None, Some(Some("")), true, "answered an empty text"),
            (None, Some(None), true, "answered NULL"),
            (None, None, false, "answered no row"),
        ] {
            assert_eq!(judge(expect, first), Answer::of(passed, text), "{expect:?} {first:?}");
        }
    }
}
