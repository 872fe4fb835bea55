//! `rehearse ENV --serve`: the simulated cluster goes on in real time, on a socket, for kubectl and other programs.

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::settings::Context;
use crate::cli::{CliError, Exit, plain};
use crate::rehearsal::{Simulation, server};

/// The socket, open before anything is rehearsed.
pub struct Socket {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// Opens the socket.
///
/// # Errors
/// Exit 2 when others than this machine could reach the address, or it is not to be had: whoever reaches it may do everything.
pub fn open(wish: SocketAddr) -> Result<Socket, CliError> {
    if !wish.ip().is_loopback() {
        return Err(CliError::new(Exit::Usage, format!("--serve={wish}: this is no address of this machine alone"))
            .detail("the simulated cluster holds the environment's secrets and speaks without encryption")
            .hint("leave the address out, or choose a port with --serve=127.0.0.1:PORT"));
    }
    let listener = std::net::TcpListener::bind(wish).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    });
    let (address, listener) = listener.map_err(|error| {
        CliError::new(Exit::Usage, format!("--serve={wish}: cannot listen there: {}", plain(&error)))
            .hint("leave the address out: a free port is taken")
    })?;
    Ok(Socket { listener, address })
}

/// Serves until somebody stops it.
///
/// # Errors
/// Exit 1 when the kubeconfig cannot be written or the operating system does not let us wait for signals.
pub fn until_stopped(
    context: &mut Context,
    runtime: &Runtime,
    simulation: Simulation,
    socket: Socket,
) -> Result<(), CliError> {
    let bug = |error: std::io::Error| CliError::new(Exit::Bug, format!("cannot serve: {}", plain(&error)));
    let mut file =
        tempfile::Builder::new().prefix("rekindle-simulation-").suffix(".kubeconfig").tempfile().map_err(bug)?;
    let token = token().map_err(bug)?;
    // JSON is YAML.
    writeln!(file, "{:#}", server::kubeconfig(socket.address, &token)).map_err(bug)?;
    let path = file.path().display();
    context.ui.say("");
    context.ui.say("the simulated cluster goes on in real time until Ctrl-C:");
    context.ui.say(&format!("  kubectl --kubeconfig {path} get all --all-namespaces"));
    runtime.block_on(async {
        tokio::time::resume();
        let listener = TcpListener::from_std(socket.listener).map_err(bug)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(bug)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(bug)?;
        tokio::select! {
            () = server::serve(simulation, listener, &token) => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// What the kubeconfig holds and nobody can guess: only who may read that file gets an answer.
fn token() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
