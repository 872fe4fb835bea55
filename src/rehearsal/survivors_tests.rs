#![allow(clippy::unwrap_used)]

use super::*;
use crate::manifest::Origin;
use crate::manifest::yaml::parse_node;

const NOW: &str = "2026-11-25T16:00:00Z";

fn set(name: &str, restore: &str) -> DataSet {
    let text = format!(
        "apiVersion: rekindle.dev/v1\nkind: DataSet\nmetadata: {{name: {name}}}\nspec: {{claims: [a]{restore}}}\n"
    );
    let origin = Origin { file: "templates/db.yaml".into(), line: 4 };
    DataSet::parse(&parse_node(&text).unwrap().unwrap().to_value(), &origin, "shop").unwrap()
}

fn read_it(text: &str) -> Result<Survivors, Mistakes> {
    let lookup = "{tool: wal-g, image: i}";
    let sets = [
        set("db", &format!(", restore: {{backups: {lookup}}}")),
        set("standby", &format!(", restore: {{backups: {lookup}, follow: {lookup}}}")),
        set("files", ""),
    ];
    read(text, "survivors.yaml", NOW.parse().unwrap(), &sets)
}

fn told(text: &str) -> Vec<String> {
    let mistakes = read_it(text).unwrap_err().0;
    let line = |it: &Mistake| it.span.as_ref().map_or(0, |span| span.line);
    mistakes.iter().map(|it| format!("{}: {} ({})", line(it), it.message, it.hint.as_deref().unwrap_or("-"))).collect()
}

const VOLUME: &str =
    "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: pv-1}\nspec: {capacity: {storage: 1Gi}}\n";

#[test]
fn a_list_as_kubectl_prints_it_and_documents_are_read() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: PersistentVolume\n  metadata: {name: pv-0}\n  \
                spec: {capacity: {storage: 10Gi}}\n- {apiVersion: v1, kind: Node, metadata: {name: node-1}}\n";
    let json = r#"{"apiVersion":"v1","kind":"PersistentVolumeList","items":[]}"#;
    let found = read_it(&format!("{list}---\n{VOLUME}---\n{json}\n")).unwrap();
    let names: Vec<_> = found.volumes.iter().map(|it| it["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!((names, found.nodes.len()), (vec!["pv-0", "pv-1"], 1));
}

#[test]
fn what_is_of_the_wrong_type_is_named() {
    let claim = |text: &str| VOLUME.replace("spec: {", &format!("spec: {{claimRef: {text}, "));
    assert_eq!(
        told(&claim("{namespace: shop, name: data, uid: 5}")),
        ["4: PersistentVolume/pv-1: spec.claimRef.uid: expected string (-)"]
    );
    assert_eq!(told(&claim("shop/data")), ["4: PersistentVolume/pv-1: spec.claimRef: expected map (-)"]);
    let labels = VOLUME.replace("name: pv-1", "name: pv-1, labels: {a: 1, b: [c]}");
    assert_eq!(told(&labels).len(), 2);
    let node = "{apiVersion: v1, kind: Node, metadata: {name: node-1, labels: x}}";
    assert_eq!(told(node), ["1: Node/node-1: metadata.labels: expected map (-)"]);
    for name in ["a/../b", "\"\\e[31mred\"", "--data", "$(reboot)", &"a".repeat(400)] {
        let told = told(&VOLUME.replace("pv-1", name));
        assert!(told[0].starts_with("3: PersistentVolume/") && told[0].contains("the name "), "{told:?}");
        assert!(!told[0].contains('\u{1b}'), "{told:?}");
    }
    let newer = VOLUME.replace("spec: {", "spec: {fieldOfTomorrow: 1, ");
    assert!(read_it(&newer).is_ok());
}

#[test]
fn backups_are_histories_of_an_archive() {
    let text = "apiVersion: rekindle.dev/v1\nkind: Backups\nmetadata: {name: db}\nspec:\n  wal_until: 1m ago\n  backups:\n  \
                - {name: new, finished: 6h ago, size: 2Gi, system_identifier: 7712166068475329832}\n  \
                - {name: old, finished: 2026-11-20T04:10:00Z, missing_wal: [\"000000010000000000000009\"]}\n\
                ---\napiVersion: rekindle.dev/v1\nkind: Backups\nmetadata: {name: db}\nspec: {history: history-1, backups: []}\n\
                ---\napiVersion: rekindle.dev/v1\nkind: Backups\nmetadata: {name: standby}\nspec: {followed: true, unreadable: no such bucket}\n";
    let found = read_it(text).unwrap().archives;
    let Archive::Known(histories) = &found.own["db"] else { panic!() };
    assert_eq!(histories.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["", "history-1"]);
    let [old, new] = &histories[0].backups[..] else { panic!() };
    assert_eq!((old.name.as_str(), old.gaps.len(), old.size), ("old", 1, None));
    assert_eq!((new.finished.to_string().as_str(), new.size), ("2026-11-25T10:00:00Z", Some(2 << 30)));
    assert_eq!(new.system_identifier.as_deref(), Some("7712166068475329832"));
    assert_eq!(histories[0].newest_wal.unwrap().to_string(), "2026-11-25T15:59:00Z");
    assert_eq!(found.followed["standby"], Archive::Unknown("no such bucket".into()));
}

#[test]
fn what_a_file_may_not_hold_is_told_with_its_place() {
    for (text, wrong) in [
        ("", "0: holds no object (it may hold PersistentVolume, Node, Backups)"),
        (
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: a}\n",
            "2: PersistentVolumeClaim of v1 is nothing that says what survived (did you mean kind: PersistentVolume of apiVersion: v1?)",
        ),
        (
            "apiVersion: rekindle.dev/v1\nkind: Backup\n",
            "2: Backup of rekindle.dev/v1 is nothing that says what survived (did you mean kind: Backups of apiVersion: rekindle.dev/v1?)",
        ),
        ("apiVersion: v1\nkind: PersistentVolume\n", "1: a PersistentVolume has no metadata.name (-)"),
        (
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: a}\nspec: {capacity: {storage: much}}\n",
            "4: pv/a has no spec.capacity.storage such as 10Gi (-)",
        ),
        (&format!("{VOLUME}---\n{VOLUME}"), "8: PersistentVolume/pv-1 is in the file twice (-)"),
    ] {
        assert_eq!(told(text), [wrong], "{text}");
    }
    let label = VOLUME.replacen("name: pv-1", "name: pv-1, labels: {\"\": x}", 1);
    let told = told(&label).concat();
    assert!(
        told.contains("PersistentVolume/pv-1: metadata.labels: Invalid value: \"\": name part must be non-empty"),
        "{told}"
    );
}

#[test]
fn backups_are_read_strictly() {
    let backups = |name: &str, spec: &str| {
        format!("apiVersion: rekindle.dev/v1\nkind: Backups\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n")
    };
    for (text, wrong) in [
        (backups("standbye", "backups: []"), "3: the kit has no data set standbye (did you mean standby?)"),
        (
            backups("files", "backups: []"),
            "3: the data set files (templates/db.yaml:4) does not say how its backups are looked up (archives are looked at of db, standby)",
        ),
        (
            backups("db", "followed: true\n  backups: []"),
            "3: the data set db (templates/db.yaml:4) follows no other archive (archives are looked at of standby)",
        ),
        (
            backups("db", "backups: [{name: a, finished: yesterday}]"),
            "5: Backups: this is no time (write a time as 2026-11-25T04:10:00Z or as 6h ago)",
        ),
        (
            backups("db", "backups: [{name: a, finishd: 6h ago, finished: 6h ago}]"),
            "5: Backups: finishd is not known here (did you mean finished?)",
        ),
        (
            backups("db", "backups: [{name: a, finished: 6h ago, size: big}]"),
            "5: Backups: \"big\" is no size (write 349Gi, 349G or a number of bytes)",
        ),
        (
            backups("db", "backups: [{name: a, finished: 6h ago}, {name: a, finished: 7h ago}]"),
            "5: Backups: a is there twice (-)",
        ),
        (
            backups("db", "unreadable: no key\n  backups: []"),
            "6: Backups: backups of an archive that cannot be read is not known (-)",
        ),
        (backups("db", "wal_until: 1m ago"), "4: Backups: spec has no backups (write backups: [] where there is none)"),
    ] {
        assert_eq!(told(&text), [wrong], "{text}");
    }
    let twice = format!("{}---\n{}", backups("db", "backups: []"), backups("db", "backups: []"));
    assert_eq!(told(&twice), ["9: the archive of db is in the file twice (-)"]);
}
