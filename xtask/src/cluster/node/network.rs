//! Addresses, bridges and packet filter rules of the node bed.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::packages;

/// The network of a node bed. There is one, so only one bed can exist at a time.
pub struct Network {
    /// The bridge that carries the node's own address. The kubelet refuses loopback, and not every kernel has `dummy`.
    pub node_bridge: &'static str,
    /// The node's own address: API server, kubelet and DNS listen on it.
    pub node_address: &'static str,
    /// The bridge of the pods; CNI makes it.
    pub pod_bridge: &'static str,
    /// Addresses of pods.
    pub pod_range: &'static str,
    /// Its name in CNI and, therefore, in comments of packet filter rules.
    pub name: &'static str,
}

impl Network {
    /// The one that is used.
    pub const BED: Self = Self {
        node_bridge: "rekindle0",
        node_address: "10.89.0.1",
        pod_bridge: "rekindle-pods",
        pod_range: "10.88.0.0/16",
        name: "rekindle",
    };

    /// Fails when something else on this machine uses one of the ranges.
    ///
    /// # Errors
    /// Then, and when `ip` cannot be run.
    pub fn check_free(&self) -> Result<()> {
        let routes = ip(&["-o", "route", "show", "table", "all"])?;
        match self.conflict(&routes) {
            Some(route) => bail!(
                "the node bed needs {} and {}, but this machine has the route {route:?}",
                self.node_address,
                self.pod_range
            ),
            None => Ok(()),
        }
    }

    /// A route into our ranges that is not ours.
    fn conflict<'a>(&self, routes: &'a str) -> Option<&'a str> {
        let prefixes = [prefix(self.node_address), prefix(self.pod_range)];
        routes.lines().map(str::trim).find(|route| {
            let mut words = route.split_whitespace().skip_while(|w| matches!(*w, "local" | "broadcast" | "unicast"));
            let inside = words.next().is_some_and(|to| prefixes.iter().any(|prefix| to.starts_with(prefix.as_str())));
            inside && !route.split_whitespace().any(|word| word == self.node_bridge || word == self.pod_bridge)
        })
    }

    /// Makes the node's bridge and routes Services to it, so that packets to those that do not exist stay here.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn make(&self) -> Result<()> {
        if !std::path::Path::new("/sys/class/net").join(self.node_bridge).exists() {
            ip(&["link", "add", self.node_bridge, "type", "bridge"])?;
        }
        ip(&["addr", "replace", &format!("{}/32", self.node_address), "dev", self.node_bridge])?;
        ip(&["link", "set", self.node_bridge, "up"])?;
        ip(&["route", "replace", super::super::control_plane::SERVICE_RANGE, "dev", self.node_bridge])?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot let this machine forward packets (ip_forward)")
    }

    /// Removes bridges and packet filter rules.
    ///
    /// # Errors
    /// When one is there but cannot be removed.
    pub fn remove(&self) -> Result<()> {
        for bridge in [self.pod_bridge, self.node_bridge] {
            if std::path::Path::new("/sys/class/net").join(bridge).exists() {
                ip(&["link", "del", bridge])?;
            }
        }
        for program in ["iptables", "ip6tables"] {
            if packages::find(program).is_some() {
                self.remove_rules(program)?;
            }
        }
        Ok(())
    }

    fn remove_rules(&self, program: &str) -> Result<()> {
        for table in ["nat", "filter", "mangle"] {
            let rules = Command::new(program).args(["-w", "-t", table, "-S"]).stdin(Stdio::null()).output()?;
            let Some(script) = self.removal(table, &String::from_utf8_lossy(&rules.stdout)) else { continue };
            let mut restore = Command::new(format!("{program}-restore"))
                .args(["-w", "--noflush"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut input) = restore.stdin.take() {
                input.write_all(script.as_bytes())?;
            }
            let output = restore.wait_with_output()?;
            if !output.status.success() {
                bail!("cannot remove rules with {program}: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
        }
        Ok(())
    }

    /// What to feed to iptables-restore so that nothing of ours is left in a table, given its rules as `iptables -S`
    /// prints them. Ours are the chains of the kubelet and kube-proxy, and those of CNI that name our network.
    fn removal(&self, table: &str, rules: &str) -> Option<String> {
        let name = format!("name: \\\"{}\\\"", self.name);
        let parsed: Vec<Rule> = rules.lines().filter_map(Rule::parse).collect();
        let mut chains: Vec<&str> = rules
            .lines()
            .filter_map(|line| line.strip_prefix("-N "))
            .filter(|chain| chain.starts_with("KUBE-"))
            .collect();
        for rule in &parsed {
            if rule.text.contains(&name)
                && let Some(target) = rule.target
                && target.starts_with("CNI-")
                && !target.starts_with("CNI-HOSTPORT-")
                && !chains.contains(&target)
            {
                chains.push(target);
            }
        }
        // The chains of host ports are shared by all networks of a machine: they go with their last user.
        let ports: Vec<_> = parsed.iter().filter(|rule| rule.chain == "CNI-HOSTPORT-DNAT").collect();
        if ports.iter().all(|rule| rule.text.contains(&name)) {
            let shared = rules.lines().filter_map(|line| line.strip_prefix("-N "));
            chains.extend(shared.filter(|chain| chain.starts_with("CNI-HOSTPORT-")));
        }
        let ours = |chain: &str| chains.contains(&chain);
        let mut lines: Vec<String> = parsed
            .iter()
            .filter(|rule| !ours(rule.chain) && (rule.target.is_some_and(ours) || rule.text.contains(&name)))
            .map(|rule| format!("-D {} {}", rule.chain, rule.text))
            .collect();
        lines.extend(chains.iter().map(|chain| format!("-F {chain}")));
        lines.extend(chains.iter().map(|chain| format!("-X {chain}")));
        (!lines.is_empty()).then(|| format!("*{table}\n{}\nCOMMIT\n", lines.join("\n")))
    }
}

/// One line `-A CHAIN …` of `iptables -S`.
struct Rule<'a> {
    chain: &'a str,
    text: &'a str,
    target: Option<&'a str>,
}

impl<'a> Rule<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (chain, text) = line.strip_prefix("-A ")?.split_once(' ')?;
        let target = text.rsplit_once("-j ").and_then(|(_, rest)| rest.split_whitespace().next());
        Some(Self { chain, text, target })
    }
}

/// `10.88.` of `10.88.0.0/16`.
fn prefix(address: &str) -> String {
    address.split('.').take(2).fold(String::new(), |text, part| text + part + ".")
}

fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output().context("cannot run ip")?;
    if !output.status.success() {
        bail!("ip {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn only_foreign_routes_into_our_ranges_are_in_the_way() {
        let ours = "default via 10.0.0.1 dev eth0\n10.88.0.0/16 dev rekindle-pods proto kernel\n\
                    local 10.89.0.1 dev rekindle0 table local\n10.8.0.0/16 dev tun0";
        assert_eq!(Network::BED.conflict(ours), None);
        let podman = "10.88.0.0/16 dev cni-podman0 proto kernel";
        assert_eq!(Network::BED.conflict(&format!("{ours}\n{podman}")), Some(podman));
        assert_eq!(
            Network::BED.conflict("local 10.89.0.7 dev eth1 table local"),
            Some("local 10.89.0.7 dev eth1 table local")
        );
    }

    #[test]
    fn removal_takes_our_rules_and_leaves_those_of_others() {
        let rules = r#"-P PREROUTING ACCEPT
-N CNI-aaaa
-N CNI-bbbb
-N KUBE-SERVICES
-N KUBE-MARK-MASQ
-N DOCKER
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.88.0.2/32 -m comment --comment "name: \"rekindle\" id: \"1\"" -j CNI-aaaa
-A POSTROUTING -s 10.99.0.2/32 -m comment --comment "name: \"podman\" id: \"2\"" -j CNI-bbbb
-A CNI-aaaa -d 10.88.0.0/16 -m comment --comment "name: \"rekindle\" id: \"1\"" -j ACCEPT
-A KUBE-SERVICES -j KUBE-MARK-MASQ
"#;
        let script = Network::BED.removal("nat", rules).unwrap();
        assert_eq!(
            script.lines().collect::<Vec<_>>(),
            [
                "*nat",
                r#"-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES"#,
                r#"-D POSTROUTING -s 10.88.0.2/32 -m comment --comment "name: \"rekindle\" id: \"1\"" -j CNI-aaaa"#,
                "-F KUBE-SERVICES",
                "-F KUBE-MARK-MASQ",
                "-F CNI-aaaa",
                "-X KUBE-SERVICES",
                "-X KUBE-MARK-MASQ",
                "-X CNI-aaaa",
                "COMMIT",
            ]
        );
        assert_eq!(Network::BED.removal("nat", "-P INPUT ACCEPT\n-N DOCKER\n-A INPUT -j DOCKER\n"), None);
    }

    #[test]
    fn shared_chains_of_host_ports_go_with_their_last_user() {
        let mine =
            r#"-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"rekindle\" id: \"1\"" -j CNI-DN-1"#;
        let other = r#"-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"podman\" id: \"2\"" -j CNI-DN-2"#;
        let head = "-N CNI-DN-1\n-N CNI-HOSTPORT-DNAT\n-A PREROUTING -j CNI-HOSTPORT-DNAT\n";
        let alone = Network::BED.removal("nat", &format!("{head}{mine}\n")).unwrap();
        assert!(alone.contains("-D PREROUTING -j CNI-HOSTPORT-DNAT") && alone.contains("-X CNI-HOSTPORT-DNAT"));
        let shared = Network::BED.removal("nat", &format!("{head}{mine}\n{other}\n")).unwrap();
        assert!(!shared.contains("-X CNI-HOSTPORT") && !shared.contains("PREROUTING") && !shared.contains("CNI-DN-2"));
        assert!(shared.contains(&mine.replace("-A ", "-D ")) && shared.contains("-X CNI-DN-1"));
    }
}
