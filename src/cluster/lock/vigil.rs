//! Whether the holder of a lock still lives, decided without comparing the clocks of two machines: a record that changes
//! while we look at it has somebody behind it; one that does not change for as long as it is granted has nobody.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use super::holder::{Holder, Probe};

/// The longest that a record is believed to be granted for, whatever it says.
const LONGEST: Duration = Duration::from_secs(60);

/// What is known of a lock at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody holds it.
    Free,
    /// We hold it: the answer to our own write was lost.
    Ours,
    /// Somebody holds it and lives.
    Alive(Holder),
    /// The one that holds it is dead, and this is how that is known.
    Dead(Holder, &'static str),
    /// Not known yet; it is dead when nothing changes until then.
    Unknown(Holder, Instant),
}

/// Looks at a lock again and again, by tokio's clock alone.
#[derive(Debug, Default)]
pub struct Vigil {
    /// The first version of the record that was seen, and when.
    first: Option<(Option<String>, Instant)>,
}

impl Vigil {
    /// Judges the record as it was read at this moment.
    pub fn look(&mut self, lease: &Lease, me: &Holder, probe: Probe) -> Verdict {
        let now = Instant::now();
        let Some(holder) = Holder::of(lease) else { return Verdict::Free };
        if holder.identity() == me.identity() {
            return Verdict::Ours;
        }
        let seen = me.process.as_ref().zip(holder.process.as_ref()).filter(|_| me.host == holder.host);
        match seen.and_then(|(mine, theirs)| mine.sees(theirs, probe)) {
            Some(true) => return Verdict::Alive(holder),
            Some(false) => return Verdict::Dead(holder, "its process is gone"),
            None => {}
        }
        let version = lease.metadata.resource_version.clone();
        let (first, since) = self.first.get_or_insert_with(|| (version.clone(), now));
        if *first != version {
            return Verdict::Alive(holder);
        }
        let granted = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let granted = granted.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let until = *since + granted.unwrap_or(super::DURATION).min(LONGEST);
        if now >= until { Verdict::Dead(holder, "it gave no sign of life") } else { Verdict::Unknown(holder, until) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::coordination::v1::LeaseSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

    use super::super::holder::Process;
    use super::*;

    fn holder(host: &str, boot: &str) -> Holder {
        let process = Process { pid: 7, started: 99, uid: 0, boot: boot.into(), pid_namespace: "n".into() };
        Holder::new("me".into(), host.into(), format!("run-{boot}"), process)
    }

    fn lease(holder: Option<&Holder>, version: &str, renewed: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.into()),
                annotations: holder.map(Holder::annotations),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: holder.map(Holder::identity),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(renewed.parse().unwrap())),
                ..LeaseSpec::default()
            }),
        }
    }

    const GONE: Probe = |_| None;
    const NOW: &str = "2026-03-02T15:00:00Z";

    #[tokio::test(start_paused = true)]
    async fn a_record_that_does_not_change_for_its_time_has_nobody_behind_it_whatever_its_clock_says() {
        let (me, other) = (holder("a", "1"), holder("b", "2"));
        for renewed in ["2026-03-02T14:00:00Z", NOW, "2026-03-02T16:00:00Z", "1970-01-01T00:00:00Z"] {
            let mut vigil = Vigil::default();
            let lease = lease(Some(&other), "5", renewed);
            let until = Instant::now() + Duration::from_secs(15);
            assert_eq!(vigil.look(&lease, &me, GONE), Verdict::Unknown(other.clone(), until), "{renewed}");
            tokio::time::advance(Duration::from_millis(14_999)).await;
            assert_eq!(vigil.look(&lease, &me, GONE), Verdict::Unknown(other.clone(), until), "{renewed}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(matches!(vigil.look(&lease, &me, GONE), Verdict::Dead(..)), "{renewed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_changes_lives_also_when_its_clock_goes_backwards() {
        let (me, other) = (holder("a", "1"), holder("b", "2"));
        let mut vigil = Vigil::default();
        vigil.look(&lease(Some(&other), "5", NOW), &me, GONE);
        tokio::time::advance(Duration::from_secs(100)).await;
        let changed = lease(Some(&other), "6", "2026-03-02T14:00:00Z");
        assert_eq!(vigil.look(&changed, &me, GONE), Verdict::Alive(other));
    }

    #[tokio::test(start_paused = true)]
    async fn on_the_same_machine_the_process_decides_at_once() {
        let me = holder("a", "1");
        let mut other = me.clone();
        other.run = "other".into();
        let lease = |of: &Holder| lease(Some(of), "5", NOW);
        assert!(matches!(Vigil::default().look(&lease(&other), &me, GONE), Verdict::Dead(..)));
        assert!(matches!(Vigil::default().look(&lease(&other), &me, |_| Some(98)), Verdict::Dead(..)));
        assert!(matches!(Vigil::default().look(&lease(&other), &me, |_| Some(99)), Verdict::Alive(_)));
        let mut renamed = other.clone();
        renamed.host = "b".into();
        assert!(matches!(Vigil::default().look(&lease(&renamed), &me, GONE), Verdict::Unknown(..)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_and_ourselves_are_known() {
        let me = holder("a", "1");
        assert_eq!(Vigil::default().look(&lease(None, "5", NOW), &me, GONE), Verdict::Free);
        assert_eq!(Vigil::default().look(&lease(Some(&me), "5", NOW), &me, GONE), Verdict::Ours);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_claims_an_endless_time_is_not_believed() {
        let (me, other) = (holder("a", "1"), holder("b", "2"));
        let mut lease = lease(Some(&other), "5", NOW);
        lease.spec.as_mut().unwrap().lease_duration_seconds = Some(i32::MAX);
        let mut vigil = Vigil::default();
        vigil.look(&lease, &me, GONE);
        tokio::time::advance(LONGEST).await;
        assert!(matches!(vigil.look(&lease, &me, GONE), Verdict::Dead(..)));
    }
}
