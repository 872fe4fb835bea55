//! TCP gates: connect, say something, expect something.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::answer::{explain, quote};
use super::spec::Tcp;
use super::{Answer, Asker};

/// As much as is read, in bytes.
const RECEIVED: usize = 64 * 1024;

/// How long the other side may be silent before what came so far is judged.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Tcp) -> Result<Answer, String> {
    let mut reached = asker.reach(namespace, &spec.service, &spec.port).await?;
    let peer = reached.peer;
    if let Some(send) = &spec.send {
        let sent = async {
            reached.stream.write_all(send.as_bytes()).await?;
            reached.stream.flush().await
        };
        sent.await.map_err(|error| explain(&error, &peer))?;
    }
    let mut received = Vec::new();
    let mut buffer = vec![0; 4096];
    let patience = if spec.expect.is_some() { SILENCE } else { reached.settle };
    // What ended the conversation, for the answer's words.
    let end = loop {
        match timeout(patience, reached.stream.read(&mut buffer)).await {
            Err(_) => break "",
            Ok(Err(error)) => return Err(explain(&error, &peer)),
            Ok(Ok(0)) => break " and closed the connection",
            Ok(Ok(length)) => received.extend_from_slice(&buffer[..length]),
        }
        match &spec.expect {
            None => break "",
            Some(expect) if expect.matches(&received) => break "",
            Some(_) if received.len() >= RECEIVED => break " and more",
            Some(_) => {}
        }
    };
    let said = match quote(&String::from_utf8_lossy(&received)) {
        said if said.is_empty() => "nothing".to_owned(),
        said => said,
    };
    Ok(match &spec.expect {
        None => Answer::passed(format!("{peer} accepts connections")),
        Some(expect) if expect.matches(&received) => match expect.line(&received) {
            Some(line) => Answer::passed(format!("answered {}", quote(&String::from_utf8_lossy(line)))),
            None => Answer::passed(format!("answered {said}")),
        },
        Some(expect) => Answer::waiting(format!("answered {said}{end}, wanted {}", quote(&expect.to_string()))),
    })
}
