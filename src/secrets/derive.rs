//! Generated secrets: derived from an environment's seed, so that there is nothing to store and nothing to lose.
//!
//! # The algorithm
//!
//! It can be done again without Rekindle, with any HKDF (RFC 5869):
//!
//! 1. `seed`: the bytes that the age file's `seed` encodes in base64url without padding.
//! 2. `info`: four netstrings, one after the other: `rekindle/secret/v1`, the secret's name, the instance (empty when
//!    there is none) and the rotation in decimal digits. A netstring is the length in bytes, `:`, the text, `,`. For the
//!    secret `redis` without an instance and with rotation 1: `18:rekindle/secret/v1,5:redis,0:,1:1,`
//! 3. `stream` = HKDF-SHA256 with `seed` as key, no salt, `info`, and a length of 8160 bytes, the most that it gives.
//! 4. The alphabet has n characters (62: `0-9A-Za-z`; 16: `0-9a-f`; 64: `A-Za-z0-9-_`). Going through the stream byte by
//!    byte: a byte below the largest multiple of n that is at most 256 gives the character at (byte mod n); any other
//!    byte is skipped, so that every character is equally likely. It ends with the length that the schema asks for.
//!
//! With OpenSSL: `openssl kdf -keylen 8160 -kdfopt digest:SHA256 -kdfopt hexkey:… -kdfopt info:… -binary HKDF`.

use hkdf::Hkdf;
use secrecy::SecretString;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::schema::Rule;

/// The value of a generated secret.
pub fn derive(seed: &[u8], name: &str, instance: Option<&str>, rule: &Rule) -> SecretString {
    // A longer output of HKDF begins with the shorter one. At least 248 of 256 values of a byte are used, so that half of
    // these would do but for a chance below 2^-200.
    let mut stream = Zeroizing::new(vec![0; (2 * rule.length + 64).min(255 * 32)]);
    expand(seed, &info(name, instance, rule.rotation), &mut stream);
    let characters = rule.alphabet.characters();
    let limit = 256 - 256 % characters.len();
    let value: String = stream
        .iter()
        .map(|byte| usize::from(*byte))
        .filter(|byte| *byte < limit)
        .take(rule.length)
        .map(|byte| char::from(characters[byte % characters.len()]))
        .collect();
    SecretString::from(value)
}

#[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
fn expand(seed: &[u8], info: &str, stream: &mut [u8]) {
    Hkdf::<Sha256>::new(None, seed).expand(info.as_bytes(), stream).expect("at most 8160 bytes are asked for");
}

fn info(name: &str, instance: Option<&str>, rotation: u64) -> String {
    ["rekindle/secret/v1", name, instance.unwrap_or_default(), &rotation.to_string()]
        .iter()
        .map(|part| format!("{}:{part},", part.len()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::secrets::schema::Alphabet;

    /// Name, instance, length, alphabet, rotation, value.
    type Vector = (&'static str, Option<&'static str>, usize, Alphabet, u64, &'static str);

    const VECTORS: [Vector; 5] = [
        ("redis", None, 32, Alphabet::Alphanumeric, 1, "9ECcBrfcdtBynZbi68lLJyLbegMRY4jA"),
        ("redis", Some("pr-123"), 32, Alphabet::Alphanumeric, 1, "Hg2jTDo6ZdoIqd64Kq0RWrCvV9a6hG2x"),
        ("redis", None, 32, Alphabet::Alphanumeric, 2, "2tVJHvOs5aWlDZWEoMjYn8jxyUoerrOk"),
        ("postgresql-app", None, 16, Alphabet::Hex, 1, "0618c9066438ef5a"),
        ("cookie.key", None, 43, Alphabet::Base64Url, 1, "6k3CUkpAXd76pSEUf1bl8cl1Nn4GtY1thKDOyjVYLLG"),
    ];

    fn value(
        seed: &[u8],
        name: &str,
        instance: Option<&str>,
        length: usize,
        alphabet: Alphabet,
        rotation: u64,
    ) -> String {
        derive(seed, name, instance, &Rule { length, alphabet, rotation }).expose_secret().to_owned()
    }

    /// Computed apart from this code, with Python's `hmac` after the description above. They must never change: that
    /// would change the password of every running database.
    #[test]
    fn test_vectors() {
        let seed: Vec<u8> = (0..32).collect();
        for (name, instance, length, alphabet, rotation, expected) in VECTORS {
            assert_eq!(value(&seed, name, instance, length, alphabet, rotation), expected, "{name}");
        }
    }

    #[test]
    fn characters_are_equally_likely() {
        for alphabet in [Alphabet::Alphanumeric, Alphabet::Hex, Alphabet::Base64Url] {
            let mut counts = BTreeMap::new();
            for n in 0..200 {
                for c in value(&[7; 32], &format!("name-{n}"), None, 1024, alphabet, 1).chars() {
                    *counts.entry(c).or_insert(0.0) += 1.0;
                }
            }
            let expected = 204_800.0 / f64::from(u32::try_from(alphabet.characters().len()).unwrap());
            assert_eq!(counts.len(), alphabet.characters().len());
            // Seven standard deviations; without skipping, alphanumeric would be off by a fifth.
            let off = counts.values().map(|n: &f64| (n - expected).abs()).fold(0.0, f64::max);
            assert!(off < 7.0 * expected.sqrt(), "{alphabet:?}: {off} of {expected}");
        }
    }

    fn alphabets() -> impl Strategy<Value = Alphabet> {
        prop::sample::select(vec![Alphabet::Alphanumeric, Alphabet::Hex, Alphabet::Base64Url])
    }

    proptest! {
        #[test]
        fn has_the_length_and_the_alphabet(name in ".{1,30}", length in 8usize..=1024, alphabet in alphabets()) {
            let value = value(b"seed seed seed seed seed seed se", &name, None, length, alphabet, 1);
            prop_assert_eq!(value.len(), length);
            prop_assert!(value.bytes().all(|c| alphabet.characters().contains(&c)));
        }

        #[test]
        fn differs_when_anything_differs(
            one in ("[a-c0-9:,]{1,4}", prop::option::of("[a-c0-9:,]{1,4}"), 0u64..30),
            other in ("[a-c0-9:,]{1,4}", prop::option::of("[a-c0-9:,]{1,4}"), 0u64..30),
            seed: [u8; 32],
        ) {
            let of = |(name, instance, rotation): &(String, Option<String>, u64)| {
                value(&seed, name, instance.as_deref(), 16, Alphabet::Alphanumeric, *rotation)
            };
            prop_assert_eq!(of(&one) == of(&other), one == other);
            prop_assert_ne!(of(&one), value(&[0; 33], &one.0, one.1.as_deref(), 16, Alphabet::Alphanumeric, one.2));
        }
    }
}
