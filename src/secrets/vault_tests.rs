#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use super::*;
use crate::kit::KitSource;
use crate::secrets::identity::generate;
use crate::secrets::recipients::Recipient;
use crate::secrets::sealed::seal;

const SCHEMA: &str = "token: {description: d, required: true}\n\
                      other: {description: d, required: true}\n\
                      password: {description: d, generated: true}\n\
                      fixed: {description: d, generated: {length: 20}}\n";
const CONTENTS: &str = "seed: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\ntoken: hunter22\nfixed: chosen by hand\n\
                        leftover: from before\n";

fn kit(files: &[(&str, &[u8])]) -> Kit {
    let mut all: BTreeMap<String, Vec<u8>> = files.iter().map(|(path, text)| ((*path).into(), text.to_vec())).collect();
    all.insert("environments/production.yaml".into(), b"{}\n".to_vec());
    Kit { source: KitSource::Embedded, files: all }
}

fn sealed(contents: &str, recipient: &str) -> Vec<u8> {
    seal(contents.as_bytes(), &[Recipient::parse(recipient).unwrap()]).unwrap()
}

fn vault(kit: &Kit, identity: Option<&SecretString>, instance: Option<&str>) -> (Vault, Redactor) {
    let mut identities = Identities::new(Arc::new(NobodyToAsk));
    if let Some(identity) = identity {
        identities.add("mine", identity.expose_secret().as_bytes()).unwrap();
    }
    let redactor = Redactor::default();
    let vault = open_named(kit, "production", instance, identities, &redactor);
    (vault.unwrap_or_else(|error| panic!("{error}")), redactor)
}

fn secret(vault: &Vault, name: &str) -> String {
    vault.secret(name).unwrap().expose_secret().to_owned()
}

#[test]
fn opens_at_the_first_secret_and_teaches_the_redactor() {
    let (identity, recipient) = generate();
    let file = sealed(CONTENTS, &recipient);
    let kit = kit(&[("secrets/schema.yaml", SCHEMA.as_bytes()), ("secrets/production.yaml.age", &file)]);
    let (vault, redactor) = vault(&kit, Some(&identity), None);
    assert!(vault.outcome().is_none());
    assert_eq!(vault.names(), ["fixed", "other", "password", "token"]);
    assert_eq!(redactor.redact("hunter22"), "hunter22");
    assert_eq!(secret(&vault, "token"), "hunter22");
    assert_eq!(vault.outcome().unwrap().unwrap().with, "mine");
    let password = secret(&vault, "password");
    for known in ["hunter22", "chosen by hand", "from before", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", &password]
    {
        assert_eq!(redactor.redact(known), "•••", "{known}");
    }
    assert_eq!(secret(&vault, "fixed"), "chosen by hand");
    assert_eq!(vault.leftovers()[0].message, "leftover is not in secrets/schema.yaml");
    assert_eq!(vault.secret("tokn").unwrap_err(), SecretError::Unknown("tokn".into()));
    let missing = vault.secret("other").unwrap_err().to_string();
    assert_eq!(missing, "the secret other is required, and secrets/production.yaml.age does not hold it");
}

#[test]
fn generated_values_belong_to_the_instance_and_given_ones_do_not() {
    let (identity, recipient) = generate();
    let file = sealed(CONTENTS, &recipient);
    let kit = kit(&[("secrets/schema.yaml", SCHEMA.as_bytes()), ("secrets/production.yaml.age", &file)]);
    let values = |instance| {
        let (vault, _) = vault(&kit, Some(&identity), instance);
        (secret(&vault, "password"), secret(&vault, "token"))
    };
    let (none, one, again) = (values(None), values(Some("pr-1")), values(Some("pr-1")));
    assert_eq!(one, again);
    assert_ne!(none.0, one.0);
    assert_eq!(none.1, one.1);
}

#[test]
fn without_a_seed_only_generated_values_are_missing() {
    let (identity, recipient) = generate();
    let file = sealed("token: hunter22\nfixed: chosen by hand\n", &recipient);
    let kit = kit(&[("secrets/schema.yaml", SCHEMA.as_bytes()), ("secrets/production.yaml.age", &file)]);
    let (vault, _) = vault(&kit, Some(&identity), None);
    assert_eq!(secret(&vault, "fixed"), "chosen by hand");
    let error = vault.secret("password").unwrap_err();
    assert_eq!(error, SecretError::NoSeed("password".into(), "secrets/production.yaml.age".into()));
}

#[test]
fn says_why_it_stays_closed() {
    let ((identity, recipient), (_, others)) = (generate(), generate());
    let list = format!("production:\n  alice: {others}\n");
    let with = |file: Option<&[u8]>| {
        let mut files = vec![("secrets/schema.yaml", SCHEMA.as_bytes()), ("secrets/recipients.yaml", list.as_bytes())];
        files.extend(file.map(|file| ("secrets/production.yaml.age", file)));
        let (vault, _) = vault(&kit(&files), Some(&identity), None);
        let error = vault.secret("token").unwrap_err();
        let again = vault.secret("password").unwrap_err();
        assert_eq!(error, again);
        vault.opened().err().unwrap().clone()
    };
    assert_eq!(with(None).to_string(), "secrets/production.yaml.age does not exist, and production asks for secrets");
    let good = sealed(CONTENTS, &recipient);
    assert!(matches!(with(Some(&good[..good.len() / 2])), SecretsError::File { .. }));
    assert!(matches!(with(Some(b"token: hunter22\n")), SecretsError::File { .. }));
    assert!(matches!(with(Some(&sealed("token: abc\n", &recipient))), SecretsError::Contents(_)));
    let SecretsError::NoMatchingIdentity { recipients, tried, .. } = with(Some(&sealed(CONTENTS, &others))) else {
        panic!()
    };
    assert_eq!(recipients, [format!("alice: {others}")]);
    assert_eq!(tried, [format!("mine: {recipient}")]);
}

#[test]
fn a_kit_that_asks_for_nothing_needs_nothing() {
    let (vault, _) = vault(&kit(&[]), None, None);
    assert!(vault.names().is_empty());
    assert_eq!(vault.secret("x").unwrap_err(), SecretError::Unknown("x".into()));
    assert!(vault.outcome().is_none());
}

#[test]
fn mistakes_of_both_files_come_together() {
    let files: [(&str, &[u8]); 2] =
        [("secrets/schema.yaml", b"a: {required: true}\n"), ("secrets/recipients.yaml", b"nowhere: {x: y}\n")];
    let identities = Identities::new(Arc::new(NobodyToAsk));
    let Err(SecretsError::Kit(mistakes)) =
        open_named(&kit(&files), "production", None, identities, &Redactor::default())
    else {
        panic!()
    };
    assert_eq!(mistakes.0.len(), 3);
}

#[test]
fn the_demonstration_identity_is_tried_last_and_recognised() {
    let (identity, recipient) = generate();
    let published = include_bytes!("../../secrets/demonstration-identity.txt");
    let environment = |file: &[u8], with_identity: bool| {
        let mut files = vec![("secrets/schema.yaml", SCHEMA.as_bytes()), ("secrets/production.yaml.age", file)];
        if with_identity {
            files.push(("secrets/demonstration-identity.txt", published));
        }
        kit(&files)
    };
    let both = [DEMONSTRATION_RECIPIENT, &recipient].map(|text| Recipient::parse(text).unwrap());
    let both = seal(CONTENTS.as_bytes(), &both).unwrap();
    let kit = environment(&both, true);
    assert_eq!(vault(&kit, Some(&identity), None).0.opened().ok().unwrap().with, "mine");
    assert_eq!(vault(&kit, None, None).0.opened().ok().unwrap().with, "the kit's demonstration identity");
    let sealed_so = |kit: &Kit| is_sealed_to_demonstration_named(kit, "production");
    assert_eq!(sealed_so(&kit), Ok(true));
    // Also when the kit does not hold the identity, which then does not open it.
    let kit = environment(&both, false);
    assert_eq!(sealed_so(&kit), Ok(true));
    assert!(vault(&kit, None, None).0.opened().is_err());
    assert_eq!(sealed_so(&environment(&sealed(CONTENTS, &recipient), true)), Ok(false));
    assert_eq!(sealed_so(&self::kit(&[])), Ok(false));
    assert!(sealed_so(&environment(b"plain", true)).is_err());
}

#[test]
fn stand_ins_are_by_the_schema_and_obvious() {
    let stand_ins = StandIns::new(Schema::parse(SCHEMA).unwrap());
    assert_eq!(stand_ins.secret("token").unwrap().expose_secret(), "stand-in-for-token");
    assert_eq!(stand_ins.secret("nope").unwrap_err(), SecretError::Unknown("nope".into()));
    assert_eq!(stand_ins.names().len(), 4);
}
