//! Running a command in a container, through the API server.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::forward::node_text;

/// As much of each output as is kept, in bytes. The rest is read and forgotten, so that the command can end.
const KEPT: u64 = 64 * 1024;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// The beginning of what it printed.
    pub stdout: Vec<u8>,
    /// The beginning of what it printed to its standard error.
    pub stderr: Vec<u8>,
}

/// Runs a command to its end in a container of a pod, the first one when none is named. Cancel-safe: dropping the future
/// closes the connection, which is all the API allows; the command itself may go on.
///
/// # Errors
/// One sentence, when the command could not be started or its end was not reported.
pub async fn run(pods: &Api<Pod>, pod: &str, container: Option<&str>, command: &[String]) -> Result<Finished, String> {
    let mut parameters = AttachParams::default().stdin(false).stdout(true).stderr(true);
    parameters.container = container.map(str::to_owned);
    let attached = pods.exec(pod, command, &parameters).await;
    let mut process = Ended(attached.map_err(|error| format!("pod {pod} cannot be reached: {}", node_text(&error)))?);
    let (stdout, stderr) = (process.0.stdout(), process.0.stderr());
    let status = process.0.take_status();
    let status = async {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    let (stdout, stderr, status) = tokio::join!(read(stdout), read(stderr), status);
    let status = status.ok_or_else(|| format!("pod {pod} did not say how the command ended"))?;
    Ok(Finished { code: exit_code(&status).map_err(|wrong| format!("pod {pod}: {wrong}"))?, stdout, stderr })
}

/// Ends the connection when it goes out of use.
struct Ended(AttachedProcess);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        // An error ends the output like its end does; the status says what happened.
        let _ = (&mut stream).take(KEPT).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    kept
}

/// The exit code of the status channel: `Success`, or a `Failure` of reason `NonZeroExitCode` whose cause `ExitCode` holds it.
///
/// # Errors
/// The message of any other failure: the command was not started.
fn exit_code(status: &Status) -> Result<i32, String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let code = causes
        .filter(|cause| {
            status.reason.as_deref() == Some("NonZeroExitCode") && cause.reason.as_deref() == Some("ExitCode")
        })
        .find_map(|cause| cause.message.as_ref()?.parse().ok());
    code.ok_or_else(|| {
        let message = status.message.clone().unwrap_or_else(|| "the command failed".to_owned());
        message.split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn exit_codes_come_from_the_status() {
        for (status, code) in [
            (json!({"status": "Success"}), Ok(0)),
            (
                json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
                    "details": {"causes": [{"reason": "ExitCode", "message": "42"}]}}),
                Ok(42),
            ),
            (
                json!({"status": "Failure", "reason": "InternalError", "message": "exec failed:\n \"nope\": not found"}),
                Err("exec failed: \"nope\": not found".to_owned()),
            ),
            (json!({"status": "Failure"}), Err("the command failed".to_owned())),
        ] {
            let status: Status = serde_json::from_value(status).unwrap();
            assert_eq!(exit_code(&status), code);
        }
    }
}
