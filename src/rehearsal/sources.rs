//! What pods take from ConfigMaps and Secrets, and what is told when it is not there: a volume is not mounted, a variable is
//! not made. Source: `makeEnvironmentVariables` of Kubernetes' pkg/kubelet, `MakePayload` of pkg/volume/secret and
//! pkg/volume/configmap.

use serde_json::{Map, Value};

use super::controllers::operators;
use super::others;
use super::store::Key;
use super::world::World;

/// What of a ConfigMap or Secret is asked for.
#[derive(Clone, Copy)]
struct Asked<'v> {
    from: Kind,
    name: &'v str,
    key: Option<&'v str>,
    optional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    ConfigMap,
    Secret,
}

/// Why it cannot be had.
enum Lack {
    Object,
    Key,
}

fn list<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

impl<'v> Asked<'v> {
    /// Reads a reference whose object is named by a field of it; a reference without a name asks for nothing.
    fn of(from: Kind, reference: Option<&'v Value>, named: &str) -> Option<Self> {
        let reference = reference?;
        let name = reference.get(named)?.as_str().filter(|name| !name.is_empty())?;
        let optional = reference.get("optional").and_then(Value::as_bool) == Some(true);
        Some(Self { from, name, key: reference.get("key").and_then(Value::as_str), optional })
    }

    /// Why it cannot be had. What others fill is taken to have every key: what an operator is played to make or adds to, and what
    /// holds no data yet. `files`: keys with bytes count.
    fn lack(&self, world: &World, namespace: &str, files: bool) -> Option<Lack> {
        if self.optional {
            return None;
        }
        let resource = if self.from == Kind::Secret { "secrets" } else { "configmaps" };
        let Some(object) = world.store.get(&Key::new("", resource, namespace, self.name)) else {
            return Some(Lack::Object);
        };
        let data = |part: &str| object.get(part).and_then(Value::as_object).filter(|data| !data.is_empty());
        let key = self.key?;
        let has = |data: Option<&Map<String, Value>>| data.is_some_and(|data| data.contains_key(key));
        let filled = data("data").is_none() && data("binaryData").is_none() || operators::made_for(object).is_some();
        let there = filled || has(data("data")) || files && has(data("binaryData"));
        (!there && !self.is_added_to(world, namespace)).then_some(Lack::Key)
    }

    /// Whether a custom resource is there to put more keys into it.
    fn is_added_to(&self, world: &World, namespace: &str) -> bool {
        let near = |key: &Key| key.namespace.is_empty() || key.namespace == namespace;
        self.from == Kind::Secret
            && world.store.all().any(|(key, resource)| near(&key) && others::adds_to(resource, self.name))
    }

    fn not_found(&self) -> String {
        let word = if self.from == Kind::Secret { "secret" } else { "configmap" };
        format!("{word} {:?} not found", self.name)
    }
}

/// Why the containers of a pod cannot be made: what a variable needs is not there.
pub fn missing_for_variables(world: &World, pod: &Value) -> Option<String> {
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let containers = || list(pod, "/spec/initContainers").chain(list(pod, "/spec/containers"));
    let each = containers().flat_map(|it| list(it, "/env")).flat_map(|it| {
        let reference = |name: &str| it.get("valueFrom").and_then(|from| from.get(name));
        [
            Asked::of(Kind::Secret, reference("secretKeyRef"), "name"),
            Asked::of(Kind::ConfigMap, reference("configMapKeyRef"), "name"),
        ]
    });
    let whole = containers().flat_map(|it| list(it, "/envFrom")).flat_map(|it| {
        [
            Asked::of(Kind::Secret, it.get("secretRef"), "name"),
            Asked::of(Kind::ConfigMap, it.get("configMapRef"), "name"),
        ]
    });
    let mut told = each.chain(whole).flatten().filter_map(|asked| {
        let lack = asked.lack(world, namespace, false)?;
        let word = if asked.from == Kind::Secret { "Secret" } else { "ConfigMap" };
        Some(match lack {
            Lack::Object => asked.not_found(),
            Lack::Key => {
                format!("couldn't find key {} in {word} {namespace}/{}", asked.key.unwrap_or_default(), asked.name)
            }
        })
    });
    told.next()
}

/// Why a volume of a pod cannot be mounted.
pub fn missing_for_volumes(world: &World, pod: &Value) -> Option<String> {
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    list(pod, "/spec/volumes").find_map(|volume| {
        let own =
            [(Kind::Secret, volume.get("secret"), "secretName"), (Kind::ConfigMap, volume.get("configMap"), "name")];
        let projected = list(volume, "/projected/sources")
            .flat_map(|it| [(Kind::Secret, it.get("secret"), "name"), (Kind::ConfigMap, it.get("configMap"), "name")]);
        let why = own.into_iter().chain(projected).find_map(|(from, source, named)| {
            let asked = Asked::of(from, source, named)?;
            let keys = list(source?, "/items").filter_map(|item| item.get("key")?.as_str());
            let all = std::iter::once(None).chain(keys.map(Some));
            all.map(|key| Asked { key, ..asked }).find_map(|asked| {
                Some(match asked.lack(world, namespace, true)? {
                    Lack::Object => asked.not_found(),
                    Lack::Key => {
                        let word = if from == Kind::Secret { "secret" } else { "config" };
                        format!("references non-existent {word} key: {}", asked.key.unwrap_or_default())
                    }
                })
            })
        });
        let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
        why.map(|why| format!("MountVolume.SetUp failed for volume {name:?} : {why}"))
    })
}
