//! The addresses at which a stack answers, as its Ingress objects name them.

use serde_json::Value;

use crate::manifest::Object;

/// `https://HOST` for every host of every Ingress, `http://HOST` where no `tls` names it; each once, in order. A host with
/// a wildcard is no address.
pub fn hosts<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<String> {
    let mut addresses = Vec::new();
    for object in objects.into_iter().filter(|object| object.kind() == "Ingress") {
        let list = |pointer: &str| object.body().pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let secure: Vec<&str> = list("/spec/tls")
            .filter_map(|tls| tls.get("hosts")?.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for host in list("/spec/rules").filter_map(|rule| rule.get("host")?.as_str()) {
            let scheme = if secure.contains(&host) { "https" } else { "http" };
            let address = format!("{scheme}://{host}");
            if !host.contains('*') && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    #[test]
    fn hosts_come_from_ingresses_only() {
        let object = |kind: &str, spec: Value| {
            let body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
            Object::new(body, Origin::default()).unwrap()
        };
        let objects = [
            object("Service", json!({"rules": [{"host": "no"}]})),
            object("Ingress", json!({"rules": [{"host": "a.org"}, {"host": "b.org"}], "tls": [{"hosts": ["a.org"]}]})),
            object(
                "Ingress",
                json!({"rules": [{"host": "a.org"}, {"host": "b.org"}, {"host": "*.org"}, {}], "tls": null}),
            ),
            object("Ingress", json!(null)),
        ];
        assert_eq!(hosts(&objects), ["https://a.org", "http://b.org", "http://a.org"]);
    }
}
