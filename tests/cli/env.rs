//! `rekindle env`.

use crate::kits::small;
use crate::support::{Place, copy_repositorys_kit, write};

#[test]
fn environments_are_listed() {
    let place = small();
    insta::assert_snapshot!(place.run(&["env", "list"]), @r"
    exit 0
    ── stdout
    NAME        NAMESPACE  EXTENDS  PROTECTED  CLUSTER
    base        shop       -        no         -
    local       shop       base     no         -
    production  shop       base     yes        shop-production
    ");
    insta::assert_snapshot!(place.run(&["env", "list", "-o", "json"]), @r#"
    exit 0
    ── stdout
    {"name":"base","extends":null,"namespace":"shop","protected":false,"cluster":{"context":null,"uid":null,"pinned":null},"mistakes":0}
    {"name":"local","extends":"base","namespace":"shop","protected":false,"cluster":{"context":null,"uid":null,"pinned":null},"mistakes":0}
    {"name":"production","extends":"base","namespace":"shop","protected":true,"cluster":{"context":"shop-production","uid":null,"pinned":null},"mistakes":0}
    "#);
}

#[test]
fn an_environment_is_shown_merged() {
    insta::assert_snapshot!(small().run(&["env", "show", "production", "--instance", "x", "--set", "host=null"]), @r#"
    exit 0
    ── stdout
    # production: environments/production.yaml < environments/base.yaml
    namespace: shop-x
    images:
      api: registry.example/api:1
    values:
      api:
        replicas: 3
        port: 8080
        flags:
        - a
        - "no"
    protected: true
    cluster:
      context: shop-production
    "#);
}

#[test]
fn a_setting_is_explained() {
    let place = small();
    insta::assert_snapshot!(place.run(&["env", "explain", "production", "values.api"]), @r#"
    exit 0
    ── stdout
    values.api.flags = ["a","no"]                 environments/base.yaml:8
    values.api.port = 8080                        environments/base.yaml:7
    values.api.replicas = 3                       environments/production.yaml:7
      instead of 1                                environments/base.yaml:6
    "#);
    insta::assert_snapshot!(place.run(&["env", "explain", "production", "api.replicas", "--set", "api.replicas=9", "-o", "json"]), @r#"
    exit 0
    ── stdout
    {"path":"values.api.replicas","value":9,"origin":{"file":"--set","line":0},"overridden":[{"value":3,"origin":{"file":"environments/production.yaml","line":7}},{"value":1,"origin":{"file":"environments/base.yaml","line":6}}]}
    "#);
}

#[test]
fn a_setting_that_is_not_there_is_put_right() {
    let place = small().file("environments/local.yaml", "extends: base\nvalues:\n  host: null\n");
    insta::assert_snapshot!(place.run(&["env", "explain", "local", "api.replica"]), @r"
    exit 2
    ── stderr
    ✗ local has no setting api.replica

      did you mean values.api.replicas (environments/base.yaml:6)?
    ");
    insta::assert_snapshot!(place.run(&["env", "explain", "local", "host"]), @r"
    exit 2
    ── stderr
    ✗ local has no setting host

      environments/local.yaml:3 removes it
    ");
}

#[test]
fn a_pin_of_the_extended_environment_is_told_apart() {
    let place = small()
        .file("environments/live.yaml", "extends: base\nnamespace: live\ncluster:\n  uid: 1f0c\n")
        .file("environments/standby.yaml", "extends: live\n");
    insta::assert_snapshot!(place.run(&["env", "explain", "standby", "cluster.uid"]), @r"
    exit 2
    ── stderr
    ✗ standby has no setting cluster.uid

      environments/live.yaml:4 states it for its own environment: a pin is not passed on

      bind this one:   rekindle env pin standby --kit PLACE/kit
    ");
}

#[test]
fn who_stands_in_the_folder_of_another_kit_is_told_which_one_is_read() {
    let note = "this is the kit inside the binary; the one in this folder is another: --kit .";
    let place = Place::new();
    assert!(!place.run(&["env", "list"]).stderr.contains(note), "there is no kit here");
    copy_repositorys_kit(place.folder());
    assert!(!place.run(&["env", "list"]).stderr.contains(note), "it is the very same one");
    write(&place.folder().join("environments/extra.yaml"), b"extends: local\n");
    let told = place.run(&["env", "list"]);
    assert!(told.stderr.contains(note), "{told}");
    assert!(!told.stdout.contains("extra"), "{told}");
    assert!(!place.run(&["env", "list", "--kit", "."]).stderr.contains(note), "it is the one that was asked for");
}
