//! PostgreSQL gates: a query asked by a real client.

use std::pin::pin;
use std::time::Duration;

use futures::future::FusedFuture;
use futures::{FutureExt, StreamExt};
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::answer::{beside, closed, explain, quote};
use super::spec::{Postgres, Wanted};
use super::{Answer, Asker};
use crate::cluster::forward::Peer;

/// How long taking leave may take once the answer is known.
const GOODBYE: Duration = Duration::from_millis(500);

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Postgres) -> Result<Answer, String> {
    let first = value(asker, namespace, spec).await?;
    Ok(judge(spec.wanted.as_ref(), first.as_ref().map(Option::as_deref)))
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
fn judge(wanted: Option<&Wanted>, first: Option<Option<&str>>) -> Answer {
    match (wanted, first) {
        (None, None) => Answer::waiting("answered no row"),
        (Some(wanted), None) => Answer::waiting(format!("answered no row, wanted {}", wanted.told(quote))),
        (None, Some(value)) => Answer::passed(format!("answered {}", shown(value))),
        (Some(wanted), Some(value)) if value.is_some_and(|value| wanted.holds(value)) => {
            Answer::passed(format!("answered {}", shown(value)))
        }
        (Some(wanted), Some(value)) => {
            Answer::waiting(format!("answered {}, wanted {}", shown(value), wanted.told(quote)))
        }
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
fn failure(error: &tokio_postgres::Error, peer: &Peer) -> String {
    match error.as_db_error() {
        Some(refused) => format!("{} (SQLSTATE {})", quote(refused.message()), refused.code().code()),
        None if error.is_closed() => closed(peer),
        None => explain(error, peer),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_first_value_is_the_answer() {
        let exactly = |text: &str| Some(Wanted::Expect(text.into()));
        let least = |text: &str| Some(Wanted::AtLeast(text.into()));
        let all = |text: &str| Some(Wanted::Includes(text.into()));
        for (wanted, first, passed, text) in [
            (exactly("t"), Some(Some("t")), true, "answered t"),
            (exactly("t"), Some(Some("f")), false, "answered f, wanted t"),
            (exactly("t"), Some(None), false, "answered NULL, wanted t"),
            (exactly("t"), None, false, "answered no row, wanted t"),
            (None, Some(Some("17")), true, "answered 17"),
            (None, Some(Some("")), true, "answered an empty text"),
            (None, Some(None), true, "answered NULL"),
            (None, None, false, "answered no row"),
            (least("9"), Some(Some("10")), true, "answered 10"),
            (least("10"), Some(Some("9")), false, "answered 9, wanted at least 10"),
            (least("1.5"), Some(Some("1.25")), false, "answered 1.25, wanted at least 1.5"),
            (
                least("9007199254740993"),
                Some(Some("9007199254740992")),
                false,
                "answered 9007199254740992, wanted at least 9007199254740993",
            ),
            (
                least("2026-03-02 15:02:11+00"),
                Some(Some("2026-03-02 15:02:12+00")),
                true,
                "answered 2026-03-02 15:02:12+00",
            ),
            (least("0"), Some(None), false, "answered NULL, wanted at least 0"),
            (
                all("plpgsql, intarray"),
                Some(Some("intarray plpgsql pg_trgm")),
                true,
                "answered intarray plpgsql pg_trgm",
            ),
            (all("plpgsql,intarray"), Some(Some("plpgsql")), false, "answered plpgsql, wanted all of plpgsql,intarray"),
            (all(""), Some(Some("")), true, "answered an empty text"),
        ] {
            assert_eq!(judge(wanted.as_ref(), first), Answer::of(passed, text), "{wanted:?} {first:?}");
        }
    }
}
