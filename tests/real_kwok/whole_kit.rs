//! The repository's own kit in a folder of the test's own, with an environment `kwok` that is production at its full size
//! in a place of its own, and with secrets that nobody else knows.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cloud::Cloud;
use super::order::name;
use super::support::{Bed, Kit, Ran, Space, finish, rekindle};

/// Why no gate is asked here, as the environment's file says it.
pub const NO_GATES: &str = "no containers on this bed";

/// The kit, the place it is rebuilt in, and the cloud around it.
pub struct Production<'a> {
    pub kit: Kit,
    pub cloud: Cloud<'a>,
    pub space: Space<'a>,
    identity: PathBuf,
    /// Objects outside namespaces, and namespaces: what has to be cleaned away.
    cluster_wide: RefCell<BTreeMap<String, Value>>,
}

impl<'a> Production<'a> {
    pub fn new(bed: &'a Bed) -> Self {
        let space = Space::new(bed, "kwok");
        let kit = Kit::new(&space.name, "- name: none");
        kit.remove("environments/test.yaml");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["environments", "templates", "secrets"] {
            copy(repository, &repository.join(folder), &kit);
        }
        let cloud = Cloud::of(&space);
        kit.write(
            "environments/kwok.yaml",
            &format!(
                "extends: production
protected: false
namespace: {name}
# Not production's cluster.
cluster: null
# It begins with nothing.
data: {{allow: [adopt, empty]}}
values:
  storage: {{class: {name}, provisioner: {provisioner}}}
gates:
  skip: {{\"*\": {NO_GATES}}}
# No hours of recovery here: what hangs is to be seen.
phases:
  storage: {{timeout: 60s}}
  database: {{timeout: 60s, stall_timeout: 60s}}
  services: {{timeout: 60s}}
  ingress: {{timeout: 60s}}
",
                name = space.name,
                provisioner = cloud.provisioner(),
            ),
        );
        let identity = kit.path().join("identity.txt");
        let production = Self { kit, cloud, space, identity, cluster_wide: RefCell::default() };
        production.seal();
        production
    }

    /// Makes a key, and sets every secret that the schema requires.
    fn seal(&self) {
        let identity = self.identity.to_str().unwrap();
        let made = finish(rekindle(None, self.bed_file(), &["secrets", "keygen", "--to", identity])).exit(0);
        self.kit.write("secrets/recipients.yaml", &format!("kwok: {{tests: {}}}\n", made.stdout.trim()));
        let schema = std::fs::read_to_string(self.kit.path().join("secrets/schema.yaml")).unwrap();
        let schema: BTreeMap<String, Value> = serde_saphyr::from_str(&schema).unwrap();
        let required: Vec<_> = schema.iter().filter(|(_, secret)| secret["required"] == true).collect();
        assert!(!required.is_empty());
        for (secret, _) in required {
            self.kit.write("value.txt", &format!("value of {secret} for this test"));
            let value = self.kit.path().join("value.txt");
            self.run(&["secrets", "set", "kwok", secret, "--from-file", value.to_str().unwrap()]).exit(0);
        }
        self.kit.remove("value.txt");
    }

    fn bed_file(&self) -> &Path {
        &self.space.bed.kubeconfig
    }

    /// Runs a command on this kit and cluster.
    #[must_use = "look at the exit code"]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = rekindle(Some(&self.kit), self.bed_file(), arguments);
        command.arg("--identity").arg(&self.identity);
        finish(command)
    }

    /// The objects that `render` shows.
    pub fn render(&self, arguments: &[&str]) -> Vec<Value> {
        let objects = self.run(&[&["render"], arguments, &["-o", "json"]].concat()).exit(0).events();
        let cluster_wide = objects.iter().filter(|object| object["metadata"].get("namespace").is_none());
        self.cluster_wide.borrow_mut().extend(cluster_wide.map(|object| (name(object), object.clone())));
        objects
    }

    /// The names of the gates, as the library reads them from the kit.
    pub fn gates(&self) -> BTreeSet<String> {
        let kit = rekindle::kit::Kit::open(self.kit.path()).unwrap();
        let environment = kit.environment("kwok", &rekindle::kit::Overrides::default()).unwrap();
        let secrets = rekindle::secrets::StandIns::of(&kit).unwrap();
        let rendered = kit.render(&environment, &secrets).unwrap();
        rendered.phases.into_iter().flat_map(|phase| phase.gates).map(|gate| gate.name).collect()
    }
}

impl Drop for Production<'_> {
    fn drop(&mut self) {
        for object in self.cluster_wide.borrow().values() {
            let bed = self.space.bed;
            let api = bed.api(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap(), None);
            let name = object["metadata"]["name"].as_str().unwrap();
            // Rendering production shows objects of these kinds, too, which were never made and are not ours to remove.
            if name.starts_with(&self.space.name) {
                let _ = bed.block_on(api.delete(name, &kube::api::DeleteParams::default()));
            }
        }
    }
}

fn copy(root: &Path, folder: &Path, kit: &Kit) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            copy(root, &path, kit);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            kit.write(name, &std::fs::read_to_string(&path).unwrap());
        }
    }
}
