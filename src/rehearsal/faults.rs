//! What goes wrong between a client and the simulated API server, by chance that a seed decides: the same seed gives the same.

use std::time::Duration;

use tokio::time::Instant;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// It is answered with an error.
    Status(u16, &'static str),
    /// It takes longer.
    Delay(Duration),
    /// It does not arrive.
    NoConnection,
    /// It takes effect, and its answer does not arrive.
    LostAnswer,
}

/// Decides what happens to each request.
#[derive(Clone, Debug)]
pub struct Faults {
    chance: Chance,
    share: f64,
    /// Requests with this in their path do not arrive until then.
    silent: Option<(&'static str, Instant)>,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::new(0, 0.0)
    }

    /// A share (0 to 1) of all requests goes wrong.
    pub fn new(seed: u64, share: f64) -> Self {
        Self { chance: Chance::new(seed), share, silent: None }
    }

    /// Requests with this in their path do not arrive for some time.
    pub fn silence(&mut self, part: &'static str, time: Duration) {
        self.silent = Some((part, Instant::now() + time));
    }

    /// What happens to the next request.
    pub fn next(&mut self, path: &str, watches: bool) -> Option<Fault> {
        if self.silent.is_some_and(|(part, until)| path.contains(part) && Instant::now() < until) {
            return Some(Fault::NoConnection);
        }
        if self.share <= 0.0 || self.chance.share() >= self.share {
            return None;
        }
        let faults = [
            Fault::Status(500, "Internal error occurred: etcdserver: leader changed (simulated)"),
            Fault::Status(429, "too many requests (simulated)"),
            Fault::Status(503, "the server is currently unable to handle the request (simulated)"),
            Fault::Delay(Duration::from_secs(2)),
            Fault::NoConnection,
            Fault::LostAnswer,
        ];
        // A watch that has begun ends in other ways.
        let kinds = if watches { 5 } else { 6 };
        faults.get(self.chance.below(kinds)).copied()
    }

    /// After which time a watch breaks off, if it does.
    pub fn life_of_watch(&mut self) -> Option<Duration> {
        let breaks = self.share > 0.0 && self.chance.share() < self.share * 4.0;
        breaks.then(|| Duration::from_secs(1 + self.chance.below(60) as u64))
    }

    /// Whether the server has forgotten what came before, when a watch or the next page is asked for: `410 Expired`.
    pub fn forgets(&mut self) -> bool {
        self.share > 0.0 && self.chance.happens(self.share * 2.0)
    }
}

/// Numbers that look like chance (xorshift64*).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// A row of numbers that a seed decides.
    pub fn new(seed: u64) -> Self {
        // Seeds that differ by little must not give rows that do.
        Self(seed.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 16) % bound.max(1) as u64).unwrap_or_default()
    }

    /// A number from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this share (0 to 1) happens.
    pub fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_the_share_is_kept() {
        let faults = |seed| {
            let mut faults = Faults::new(seed, 0.1);
            (0..10_000).map(|_| faults.next("/", false)).collect::<Vec<_>>()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let wrong = faults(7).iter().flatten().count();
        assert!((800..1200).contains(&wrong), "{wrong}");
        assert!(faults(7).contains(&Some(Fault::LostAnswer)));
        let mut none = Faults::none();
        assert!((0..100).all(|_| none.next("/", false).is_none() && none.life_of_watch().is_none()));
    }
    #[tokio::test(start_paused = true)]
    async fn what_is_silent_does_not_arrive_until_its_time_is_over() {
        let mut faults = Faults::none();
        faults.silence("/leases/", Duration::from_secs(30));
        assert_eq!(faults.next("/apis/x/leases/lock", false), Some(Fault::NoConnection));
        assert_eq!(faults.next("/api/v1/namespaces", false), None);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(faults.next("/apis/x/leases/lock", false), None);
    }
}
