//! The cluster's identity: the UID of its namespace `kube-system`, which is made once and lives as long as the cluster.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::connect::patiently;
use super::{Cluster, ClusterError};

/// How long an identity that was read is taken for that of what is written to, while nothing goes wrong. Connections outlive
/// a change of the route, so that a change is seen as a failure first, mostly.
const FRESH: Duration = Duration::from_millis(500);

/// How often it is looked at while nothing is written.
const LOOK: Duration = Duration::from_secs(5);

/// When the identity was last read.
#[derive(Debug, Default)]
pub struct Verified {
    last: std::sync::Mutex<Option<Instant>>,
    /// Held while it is read before writes: of many that want to write at once, one asks.
    asking: Mutex<()>,
    doubted: AtomicBool,
    doubt: Notify,
}

/// Reads the identity of what answers a client.
///
/// # Errors
/// When the server does not answer, or does not let us read it.
pub async fn read(client: &Client, server: &str) -> Result<String, ClusterError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = patiently(server, || namespaces.get("kube-system")).await?;
    system.metadata.uid.ok_or_else(|| ClusterError::Unreachable {
        server: server.to_owned(),
        reason: "the namespace kube-system has no UID".into(),
    })
}

impl Cluster {
    /// Reads the identity again, over the client that writes. A kubeconfig's address may lead elsewhere from one moment to
    /// the next.
    ///
    /// # Errors
    /// [`ClusterError::WrongCluster`] when another cluster answers; else those of the request.
    pub async fn verify_identity(&self) -> Result<(), ClusterError> {
        // Never behind one that asks before a write: on a connection that hangs that may take longer than a lock holds.
        self.set_verified(None);
        let found = read(&self.client, &self.server).await?;
        if found != self.uid {
            let (server, expected) = (self.server.clone(), self.uid.clone());
            return Err(ClusterError::WrongCluster { server, expected, found });
        }
        self.set_verified(Some(Instant::now()));
        Ok(())
    }

    fn set_verified(&self, moment: Option<Instant>) {
        *self.verified.last.lock().unwrap_or_else(PoisonError::into_inner) = moment;
    }

    /// The same, unless it has been done a moment ago and nothing has gone wrong since. To be called before each write.
    ///
    /// # Errors
    /// As [`Cluster::verify_identity`].
    pub async fn verify_before_write(&self) -> Result<(), ClusterError> {
        let _asking = self.verified.asking.lock().await;
        let doubted = self.verified.doubted.swap(false, Ordering::Relaxed);
        let last = *self.verified.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some(moment) if !doubted && moment.elapsed() < FRESH => Ok(()),
            _ => self.verify_identity().await,
        }
    }

    /// Says that a connection has broken: what answers next may be another cluster.
    pub fn doubt(&self) {
        self.verified.doubted.store(true, Ordering::Relaxed);
        self.verified.doubt.notify_one();
    }

    /// Reads the identity again every few seconds, and as soon as a connection has broken; ends when another cluster
    /// answers. A watch that goes on in another cluster is told nothing of what it waits for.
    pub async fn until_it_is_another(&self) -> ClusterError {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.verified.doubt.notified() => {}
            }
            match self.verify_identity().await {
                Err(error @ ClusterError::WrongCluster { .. }) => return error,
                Err(_) => tokio::time::sleep(FRESH).await,
                Ok(()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::cluster::kinds::Kinds;

    /// A cluster whose identity is what stands behind the lock, and how often it was asked.
    fn cluster(uid: &Arc<Mutex<&'static str>>, asked: &Arc<Mutex<usize>>) -> Cluster {
        let (uid, asked) = (uid.clone(), asked.clone());
        let service = tower::service_fn(move |_: Request<Body>| {
            *asked.lock().unwrap() += 1;
            let body = json!({"metadata": {"name": "kube-system", "uid": *uid.lock().unwrap()}});
            async move { Ok::<_, std::convert::Infallible>(Response::new(Body::from(body.to_string().into_bytes()))) }
        });
        Cluster {
            client: Client::new(service, "default"),
            context: "c".into(),
            server: "https://c".into(),
            version: "1.34.4".into(),
            uid: "one".into(),
            nodes: None,
            kinds: Kinds::default(),
            verified: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_preceded_by_a_look_when_the_last_one_is_old_or_something_broke() {
        let (uid, asked) = (Arc::new(Mutex::new("one")), Arc::new(Mutex::new(0)));
        let cluster = cluster(&uid, &asked);
        for _ in 0..10 {
            cluster.verify_before_write().await.unwrap();
        }
        assert_eq!(*asked.lock().unwrap(), 1, "once for many writes");
        tokio::time::advance(FRESH).await;
        cluster.verify_before_write().await.unwrap();
        assert_eq!(*asked.lock().unwrap(), 2, "again after a while");
        *uid.lock().unwrap() = "two";
        cluster.verify_before_write().await.unwrap();
        cluster.doubt();
        for _ in 0..2 {
            let error = cluster.verify_before_write().await.unwrap_err();
            let ClusterError::WrongCluster { expected, found, .. } = error else { panic!("{error}") };
            assert_eq!((expected.as_str(), found.as_str()), ("one", "two"), "every time from then on");
        }
        assert!(cluster.verify_identity().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_keeper_of_a_lock_does_not_wait_behind_a_connection_that_hangs() {
        let asked = Arc::new(Mutex::new(0));
        let count = asked.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let first = std::mem::replace(&mut *count.lock().unwrap(), 1) == 0;
            async move {
                if first {
                    std::future::pending::<()>().await;
                }
                let body = json!({"metadata": {"name": "kube-system", "uid": "one"}});
                Ok::<_, std::convert::Infallible>(Response::new(Body::from(body.to_string().into_bytes())))
            }
        });
        let cluster = Cluster { client: Client::new(service, "default"), ..cluster(&Arc::default(), &Arc::default()) };
        let mut writer = std::pin::pin!(cluster.verify_before_write());
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut writer).await.is_err());
        assert_eq!(*asked.lock().unwrap(), 1);
        tokio::time::timeout(Duration::from_secs(2), cluster.verify_identity()).await.unwrap().unwrap();
    }
}
