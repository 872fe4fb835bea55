#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::secrets::recipients::Recipient;
use crate::secrets::sealed::seal;

const SSH: &str = include_str!("../../tests/keys/ed25519");
const SSH_PUBLIC: &str = include_str!("../../tests/keys/ed25519.pub");
const LOCKED: &str = include_str!("../../tests/keys/ed25519-locked");
const LOCKED_PUBLIC: &str = include_str!("../../tests/keys/ed25519-locked.pub");

/// Answers with one passphrase, and counts.
struct Answer(&'static str, AtomicUsize);

impl AskPassphrase for Answer {
    fn ask(&self, what: &str) -> Result<SecretString, String> {
        assert!(!what.is_empty());
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(SecretString::from(self.0.to_owned()))
    }
}

fn asking(passphrase: &'static str) -> (Identities, Arc<Answer>) {
    let answer = Arc::new(Answer(passphrase, AtomicUsize::new(0)));
    (Identities::new(answer.clone()), answer)
}

fn nobody() -> Identities {
    Identities::new(Arc::new(NobodyToAsk))
}

fn sealed_to(recipients: &[&str]) -> Sealed {
    let recipients: Vec<Recipient> = recipients.iter().map(|text| Recipient::parse(text).unwrap()).collect();
    Sealed::read(&seal(b"contents", &recipients).unwrap()).unwrap()
}

fn opened(identities: &Identities, sealed: &Sealed) -> Result<String, OpenError> {
    identities.open(sealed).map(|(plaintext, label)| {
        assert_eq!(&plaintext[..], b"contents");
        label
    })
}

#[test]
fn reads_files_with_comments_and_several_keys() {
    let ((one, to_one), (two, to_two)) = (generate(), generate());
    let file = format!("# mine\r\n\r\n{}\n  {}\n# end\n{SSH}", one.expose_secret(), two.expose_secret());
    let mut identities = nobody();
    assert!(identities.is_empty());
    identities.add("keys.txt", file.as_bytes()).unwrap();
    for recipient in [to_one.as_str(), &to_two, SSH_PUBLIC] {
        assert_eq!(opened(&identities, &sealed_to(&[recipient])).unwrap(), "keys.txt");
    }
    let described = identities.describe().join("\n");
    assert!(described.starts_with(&format!("keys.txt: {to_one}, {to_two}, ssh-ed25519 AAAA")), "{described}");
}

#[test]
fn says_which_of_several_fits_or_what_was_tried() {
    let ((one, _), (two, to_two), (_, to_other)) = (generate(), generate(), generate());
    let mut identities = nobody();
    identities.add("one", one.expose_secret().as_bytes()).unwrap();
    identities.add("two", two.expose_secret().as_bytes()).unwrap();
    assert_eq!(opened(&identities, &sealed_to(&[&to_other, &to_two])).unwrap(), "two");
    let Err(OpenError::NoMatch(tried)) = opened(&identities, &sealed_to(&[&to_other, SSH_PUBLIC])) else { panic!() };
    assert_eq!(tried.len(), 2);
    assert!(tried[1].starts_with("two: age1"));
}

#[test]
fn asks_for_a_passphrase_once_and_only_when_it_helps() {
    let (_, to_other) = generate();
    let (mut identities, answer) = asking("correct horse");
    identities.add("~/.ssh/id_ed25519", LOCKED.as_bytes()).unwrap();
    let Err(OpenError::NoMatch(tried)) = opened(&identities, &sealed_to(&[&to_other, SSH_PUBLIC])) else { panic!() };
    assert_eq!(tried.len(), 1);
    assert_eq!(answer.1.load(Ordering::SeqCst), 0);
    let sealed = sealed_to(&[SSH_PUBLIC, &to_other, SSH_PUBLIC, LOCKED_PUBLIC]);
    assert_eq!(opened(&identities, &sealed).unwrap(), "~/.ssh/id_ed25519");
    assert_eq!(answer.1.load(Ordering::SeqCst), 1);
    // A key that needs no passphrase goes first.
    identities.add("plain", SSH.as_bytes()).unwrap();
    assert_eq!(opened(&identities, &sealed).unwrap(), "plain");
    assert_eq!(answer.1.load(Ordering::SeqCst), 1);
}

#[test]
fn a_wrong_or_missing_passphrase_is_named() {
    let (mut identities, _) = asking("wrong");
    identities.add("key", LOCKED.as_bytes()).unwrap();
    let Err(OpenError::Passphrase(error)) = opened(&identities, &sealed_to(&[LOCKED_PUBLIC])) else { panic!() };
    assert_eq!(error.to_string(), "key was not opened by that passphrase");
    let mut identities = nobody();
    identities.add("key", LOCKED.as_bytes()).unwrap();
    let Err(OpenError::Passphrase(error)) = opened(&identities, &sealed_to(&[LOCKED_PUBLIC])) else { panic!() };
    assert_eq!(error.to_string(), "key needs its passphrase, and there is no terminal to ask on");
}

#[test]
fn opens_an_identity_file_that_is_itself_sealed() {
    let (one, to_one) = generate();
    let mut recipient = age::scrypt::Recipient::new(SecretString::from("correct horse".to_owned()));
    recipient.set_work_factor(4);
    let file = age::encrypt(&recipient, one.expose_secret().as_bytes()).unwrap();
    let (mut identities, answer) = asking("correct horse");
    identities.add("keys.age", &file).unwrap();
    assert_eq!(opened(&identities, &sealed_to(&[&to_one])).unwrap(), "keys.age");
    assert_eq!(answer.1.load(Ordering::SeqCst), 1);
    let (mut identities, _) = asking("wrong");
    identities.add("keys.age", &file).unwrap();
    assert!(matches!(opened(&identities, &sealed_to(&[&to_one])), Err(OpenError::Passphrase(_))));
}

#[test]
fn refuses_what_is_no_identity_without_repeating_it() {
    let (one, recipient) = generate();
    let key = one.expose_secret().lines().last().unwrap().to_owned();
    let other = if key.ends_with('X') { 'Y' } else { 'X' };
    let broken = format!("# comment\n{}{other}\n", &key[..key.len() - 1]);
    let cut = &SSH[..SSH.len() / 2];
    let sealed_file = String::from_utf8(seal(b"x", &[Recipient::parse(&recipient).unwrap()]).unwrap()).unwrap();
    for (file, words) in [
        ("", "holds no identity"),
        ("# only words\n\n", "holds no identity"),
        (broken.as_str(), "line 2 is no sound identity"),
        (recipient.as_str(), "is a recipient"),
        (SSH_PUBLIC, "take the file without .pub"),
        ("AGE-PLUGIN-YUBIKEY-1ABC", "plugin"),
        ("AGE-SECRET-KEY-PQ-1ABC", "post-quantum"),
        ("password: hunter2", "line 1 is no identity"),
        (include_str!("../../tests/keys/rsa"), "RSA"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "RSA"),
        (include_str!("../../tests/keys/ecdsa"), "ecdsa-sha2-nistp256, which age cannot use"),
        ("-----BEGIN CERTIFICATE-----\n", "neither an age nor an OpenSSH key"),
        (cut, "cut off or not sound"),
        (sealed_file.as_str(), "is a sealed file, not an identity"),
    ] {
        let error = nobody().add("the file", file.as_bytes()).expect_err(words).to_string();
        assert!(error.starts_with("the file ") && error.contains(words), "{words}: {error}");
        for secret in [&key[..30], "hunter2", "1ABC"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
    assert!(nobody().add("x", &[0xff, 0xfe]).unwrap_err().to_string().contains("not text"));
}

#[test]
fn a_generated_identity_is_an_identity_file() {
    let (text, recipient) = generate();
    assert!(text.expose_secret().starts_with(&format!("# public key: {recipient}\nAGE-SECRET-KEY-1")));
    let mut identities = nobody();
    identities.add("new", text.expose_secret().as_bytes()).unwrap();
    assert_eq!(opened(&identities, &sealed_to(&[&recipient])).unwrap(), "new");
}
