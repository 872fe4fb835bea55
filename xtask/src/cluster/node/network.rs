//! The network of node beds: each bed has a network namespace of its own, and all of them are on one bridge.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The bridge that this machine and all node beds are on.
const BRIDGE: &str = "rekindle0";
/// Begins every address on it.
const PREFIX: &str = "10.89.0.";
/// The last byte of the first bed's address; that of this machine is 1.
const FIRST: u8 = 10;

/// Of which a bed's pods have their addresses. Those of two beds never meet: what leaves a bed has the bed's address.
pub const POD_RANGE: &str = "10.88.0.0/16";
/// The bridge of a bed's pods, which CNI makes inside its namespace.
pub const POD_BRIDGE: &str = "pods";

/// The network of one node bed: addresses, bridges and packet filter rules of its own, which go with its namespace. Nothing
/// in it reaches further than this machine and the other beds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(u8);

impl Network {
    /// How many there can be at a time.
    pub const COUNT: u8 = 8;

    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// The one of a number, as recorded.
    pub fn numbered(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The node's own address: API server, kubelet and DNS listen on it.
    pub fn address(self) -> String {
        format!("{PREFIX}{}", FIRST + self.0)
    }

    /// The namespace's name, for `ip netns`.
    fn namespace(self) -> String {
        format!("rekindle-{}", self.0)
    }

    fn namespace_file(self) -> String {
        format!("/run/netns/{}", self.namespace())
    }

    /// This machine's end of the cable to it.
    fn cable(self) -> String {
        format!("rekindle-n{}", self.0)
    }

    /// The same program, but inside.
    pub fn inside(self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net={}", self.namespace_file())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Makes it, anew when something of an earlier life is there.
    ///
    /// # Errors
    /// When something else on this machine uses the addresses, or the kernel refuses.
    pub fn make(self) -> Result<()> {
        if let Some(route) = conflict(&ip(&["-o", "route", "show", "table", "all"])?) {
            bail!("node beds need {PREFIX}0/24, but this machine has the route {route:?}");
        }
        self.remove_namespace()?;
        if !exists(BRIDGE) {
            ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        }
        ip(&["addr", "replace", &format!("{PREFIX}1/24"), "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;

        let (name, cable) = (self.namespace(), self.cable());
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        ip(&["link", "set", &cable, "master", BRIDGE, "up"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "addr", "add", &format!("{}/24", self.address()), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        // Without a route to Services kube-proxy's rules are not even asked.
        ip(&["-n", &name, "route", "add", super::super::control_plane::SERVICE_RANGE, "dev", "eth0"])?;
        let mut forward = Command::new("sh");
        forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        run(&mut self.inside(&forward)).map(drop)
    }

    fn remove_namespace(self) -> Result<()> {
        // The cable goes with either of its ends, the namespace only with its last process.
        if exists(&self.cable()) {
            ip(&["link", "del", &self.cable()])?;
        }
        if Path::new(&self.namespace_file()).exists() {
            ip(&["netns", "del", &self.namespace()])?;
        }
        Ok(())
    }

    /// Removes it, and the bridge with the `last` one.
    ///
    /// # Errors
    /// When something is there but cannot be removed.
    pub fn remove(self, last: bool) -> Result<()> {
        self.remove_namespace()?;
        if last && exists(BRIDGE) {
            ip(&["link", "del", BRIDGE])?;
        }
        Ok(())
    }
}

fn exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

/// A route into our range that is not ours.
fn conflict(routes: &str) -> Option<&str> {
    routes.lines().map(str::trim).find(|route| {
        let mut words = route.split_whitespace().skip_while(|w| matches!(*w, "local" | "broadcast" | "unicast"));
        words.next().is_some_and(|to| to.starts_with(PREFIX)) && !route.split_whitespace().any(|word| word == BRIDGE)
    })
}

fn ip(arguments: &[&str]) -> Result<String> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {words}"))?;
    if !output.status.success() {
        bail!("{words} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_foreign_routes_into_our_range_are_in_the_way() {
        let ours = "default via 10.0.0.1 dev eth0\n10.89.0.0/24 dev rekindle0 proto kernel\n\
                    local 10.89.0.1 dev rekindle0 table local\n10.8.0.0/16 dev tun0";
        assert_eq!(conflict(ours), None);
        let podman = "10.89.0.0/24 dev podman1 proto kernel";
        assert_eq!(conflict(&format!("{ours}\n{podman}")), Some(podman));
        let local = "local 10.89.0.7 dev eth1 table local";
        assert_eq!(conflict(local), Some(local));
    }

    #[test]
    fn a_program_inside_keeps_its_arguments_and_environment() {
        let mut command = Command::new("etcd");
        command.args(["--name", "a b"]).env("GOGC", "50").env_remove("HOME");
        let inside = Network::numbered(3).inside(&command);
        let words: Vec<_> = inside.get_args().map(|word| word.to_string_lossy()).collect();
        assert_eq!(inside.get_program(), "nsenter");
        assert_eq!(words, ["--net=/run/netns/rekindle-3", "--", "etcd", "--name", "a b"]);
        let environment: Vec<_> = inside.get_envs().collect();
        assert_eq!(environment, [("GOGC".as_ref(), Some("50".as_ref())), ("HOME".as_ref(), None)]);
    }

    #[test]
    fn addresses_are_the_beds_own_and_names_fit_the_kernel() {
        let addresses: std::collections::BTreeSet<_> = Network::all().map(Network::address).collect();
        assert_eq!(addresses.len(), usize::from(Network::COUNT));
        assert!(Network::all().all(|network| network.cable().len() < 16));
    }
}
