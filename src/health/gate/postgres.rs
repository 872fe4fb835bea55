//! PostgreSQL gates: a query asked by a real client.

use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::answer::{explain, quote};
use super::spec::Postgres;
use super::{Answer, Asker};

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Postgres) -> Result<Answer, String> {
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
    // The simple protocol gives every value as text. The client goes first, so that the server sees a proper goodbye.
    let query = async {
        let rows = client.simple_query(&spec.query).await;
        drop(client);
        rows
    };
    let (rows, ended) = tokio::join!(query, connection);
    let rows = match (rows, ended) {
        (Ok(rows), _) => rows,
        (Err(error), Err(why)) if error.is_closed() => return Err(failure(&why, &peer)),
        (Err(error), _) => return Err(failure(&error, &peer)),
    };
    Ok(judge(spec, &rows))
}

/// Whether the answer passes: the first column of the first row as text.
fn judge(spec: &Postgres, rows: &[SimpleQueryMessage]) -> Answer {
    let row = rows.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    judge_value(spec.expect.as_deref(), row.map(|row| if row.is_empty() { None } else { row.get(0) }))
}

/// `None`: no row; `Some(None)`: NULL, or a row without columns.
fn judge_value(expect: Option<&str>, first: Option<Option<&str>>) -> Answer {
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
            assert_eq!(judge_value(expect, first), Answer::of(passed, text), "{expect:?} {first:?}");
        }
    }
}
