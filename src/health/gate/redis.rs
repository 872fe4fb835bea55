//! Redis gates: a command asked by a real client.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError, Value, cmd};

use super::answer::{beside, explain, quote};
use super::spec::Redis;
use super::{Answer, Asker};
use crate::cluster::forward::Peer;

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Redis) -> Result<Answer, String> {
    let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(secret) = &spec.credentials {
        let credentials = asker.credentials(namespace, secret).await?;
        info = info.set_password(credentials.required("password")?);
        if let Some(username) = credentials.optional("username")? {
            info = info.set_username(username);
        }
    }
    let reached = asker.reach(namespace, &spec.service, &spec.port).await?;
    let peer = reached.peer;
    // The whole question has a limit already.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let opened = MultiplexedConnection::new_with_config(&info, reached.stream, config).await;
    let (mut connection, driver) = opened.map_err(|error| failure(&error, &peer))?;
    let mut command = cmd(spec.command.first().map_or("PING", String::as_str));
    for argument in spec.command.iter().skip(1) {
        command.arg(argument);
    }
    let answered = beside(command.query_async::<Value>(&mut connection), driver).await;
    let value = answered.map_err(|error| failure(&error, &peer))?;
    Ok(judge(spec.expect.as_deref(), &value))
}

fn judge(expect: Option<&str>, value: &Value) -> Answer {
    if let Value::ServerError(error) = value {
        return Answer::waiting(format!("answered {} {}", error.code(), quote(error.details().unwrap_or_default())));
    }
    let said = text(value);
    let shown = if said.is_empty() { "an empty text".to_owned() } else { quote(&said) };
    match expect {
        Some(expect) if said != expect => Answer::waiting(format!("answered {shown}, wanted {}", quote(expect))),
        _ => Answer::passed(format!("answered {shown}")),
    }
}

/// A reply as `redis-cli` would print it raw, entries of lists joined by a space.
fn text(value: &Value) -> String {
    let join = |values: &[Value]| values.iter().map(text).collect::<Vec<_>>().join(" ");
    match value {
        Value::Nil => "(nil)".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) | Value::BigNumber(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Okay => "OK".to_owned(),
        Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => join(values),
        Value::Map(pairs) => {
            pairs.iter().map(|(key, value)| format!("{} {}", text(key), text(value))).collect::<Vec<_>>().join(" ")
        }
        Value::Attribute { data, .. } => text(data),
        Value::Double(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::ServerError(error) => format!("{} {}", error.code(), error.details().unwrap_or_default()),
        _ => "something unknown".to_owned(),
    }
}

/// The server's own words for its errors; any other by its most telling cause.
fn failure(error: &RedisError, peer: &Peer) -> String {
    let words = [error.code(), error.detail()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    match error.kind() {
        ErrorKind::AuthenticationFailed => format!("{peer} refused the password"),
        ErrorKind::Io => explain(error, peer),
        ErrorKind::Parse => format!("{peer} does not speak Redis"),
        _ if words.is_empty() => format!("{peer}: {}", quote(error.category())),
        _ => format!("answered {}", quote(&words)),
    }
}
