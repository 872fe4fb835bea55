//! age files: recognising, opening and sealing them. Plain `age` opens what is sealed here, and the other way round.

use std::io::{Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, Encryptor};
use zeroize::Zeroizing;

use super::recipients::Recipient;

const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const MAGIC: &[u8] = b"age-encryption.org/";

/// A sealed file, whole and of a known form, but not opened.
pub struct Sealed {
    bytes: Vec<u8>,
    /// The header's stanzas: type and first argument.
    stanzas: Vec<(String, String)>,
}

/// Why a file is not a sealed one, or is not sound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Something else than an age file.
    #[error("is not an age file: {0}")]
    NotAge(&'static str),
    /// An age file that was cut off or changed after it was sealed.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    /// An age file of a form this version does not know.
    #[error("is an age file of a form that this version does not know")]
    UnknownForm,
    /// There is nobody to seal to, or a recipient was refused.
    #[error("cannot be sealed: {0}")]
    Recipients(String),
}

impl Sealed {
    /// Recognises an age file, armored or binary.
    ///
    /// # Errors
    /// When it is none, or is cut off within its header.
    pub fn read(file: &[u8]) -> Result<Self, SealError> {
        let armored = file.trim_ascii_start();
        let bytes = if armored.starts_with(ARMOR.as_bytes()) {
            let mut bytes = Vec::new();
            ArmoredReader::new(armored)
                .read_to_end(&mut bytes)
                .map_err(|_| SealError::Damaged("its armor is cut off or was changed"))?;
            bytes
        } else {
            file.to_vec()
        };
        if !bytes.starts_with(MAGIC) {
            return Err(SealError::NotAge(what_else(file)));
        }
        let stanzas = stanzas(&bytes).ok_or(SealError::Damaged("its header is cut off"))?;
        // The library's own reading of the header, so that opening only fails for want of a key or a damaged body.
        Decryptor::new_buffered(bytes.as_slice()).map_err(|error| explain(&error))?;
        Ok(Self { bytes, stanzas })
    }

    /// Whether the file is sealed with a passphrase.
    pub fn is_passphrase(&self) -> bool {
        self.stanzas.iter().any(|(kind, _)| kind == "scrypt")
    }

    /// Whether a stanza of this type and first argument is there. An SSH key's argument is the start of its hash.
    pub(super) fn has_stanza(&self, kind: &str, argument: &str) -> bool {
        self.stanzas.iter().any(|(k, a)| k == kind && a == argument)
    }

    /// The plaintext, read and verified to its end, or `None` when this identity does not open it.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn open(&self, identity: &dyn age::Identity) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
        let decryptor = Decryptor::new_buffered(self.bytes.as_slice()).map_err(|error| explain(&error))?;
        let mut reader = match decryptor.decrypt(std::iter::once(identity)) {
            Ok(reader) => reader,
            Err(DecryptError::NoMatchingKeys) => return Ok(None),
            Err(error) => return Err(explain(&error)),
        };
        // Enough room from the start: growing would leave copies behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(self.bytes.len() + 1));
        reader
            .read_to_end(&mut plaintext)
            .map_err(|_| SealError::Damaged("its contents are cut off or were changed after sealing"))?;
        Ok(Some(plaintext))
    }
}

/// Seals a text to recipients, armored.
///
/// # Errors
/// When there are none.
pub fn seal(plaintext: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, SealError> {
    let refused = |error: &dyn std::fmt::Display| SealError::Recipients(error.to_string());
    if recipients.is_empty() {
        return Err(SealError::Recipients("there are no recipients".into()));
    }
    let encryptor = Encryptor::with_recipients(recipients.iter().map(Recipient::as_age)).map_err(|e| refused(&e))?;
    let write = || -> std::io::Result<Vec<u8>> {
        let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armor)?;
        writer.write_all(plaintext)?;
        writer.finish()?.finish()
    };
    write().map_err(|error| refused(&error))
}

/// Types and first arguments of the stanzas of a binary header, or `None` when it does not end.
fn stanzas(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').skip(1) {
        if line.starts_with(b"---") {
            return Some(found);
        }
        if let Some(stanza) = line.strip_prefix(b"-> ") {
            let stanza = String::from_utf8_lossy(stanza);
            let mut words = stanza.split(' ').map(str::to_owned);
            found.push((words.next().unwrap_or_default(), words.next().unwrap_or_default()));
        }
    }
    None
}

fn explain(error: &DecryptError) -> SealError {
    match error {
        DecryptError::UnknownFormat => SealError::UnknownForm,
        DecryptError::InvalidMac => SealError::Damaged("its header was changed after sealing"),
        DecryptError::Io(_) => SealError::Damaged("it is cut off"),
        DecryptError::InvalidHeader => SealError::Damaged("its header is not sound"),
        _ => SealError::Damaged("it was changed after sealing"),
    }
}

/// A guess at what stands in the place of an age file, to say it.
fn what_else(file: &[u8]) -> &'static str {
    let starts = |prefix: &str| file.trim_ascii_start().starts_with(prefix.as_bytes());
    if file.trim_ascii().is_empty() {
        "it is empty"
    } else if starts("<<<<<<<") || starts("=======") {
        "it holds an unfinished merge"
    } else if starts("-----BEGIN PGP") {
        "it is a PGP message"
    } else if starts("-----BEGIN") {
        "it is some other PEM file"
    } else if starts("version https://git-lfs") {
        "it is a Git LFS pointer whose contents were not fetched"
    } else if std::str::from_utf8(file).is_ok() {
        "it is plain text"
    } else {
        "it is some other binary file"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    fn pair() -> (age::x25519::Identity, Recipient) {
        let identity = age::x25519::Identity::generate();
        let recipient = Recipient::parse(&identity.to_public().to_string()).unwrap();
        (identity, recipient)
    }

    fn open(file: &[u8], identity: &age::x25519::Identity) -> Result<Option<Vec<u8>>, SealError> {
        Ok(Sealed::read(file)?.open(identity)?.map(|plaintext| plaintext.to_vec()))
    }

    #[test]
    fn opens_with_each_of_several_identities() {
        let ((one, to_one), (two, to_two), (other, _)) = (pair(), pair(), pair());
        let file = seal(b"a: secret\n", &[to_one, to_two]).unwrap();
        assert!(file.starts_with(ARMOR.as_bytes()));
        assert_eq!(open(&file, &one).unwrap().unwrap(), b"a: secret\n");
        assert_eq!(open(&file, &two).unwrap().unwrap(), b"a: secret\n");
        assert_eq!(open(&file, &other).unwrap(), None);
        let with_space = [b"\n\n".as_slice(), &file, b"\n"].concat();
        assert_eq!(open(&with_space, &one).unwrap().unwrap(), b"a: secret\n");
    }

    #[test]
    fn opens_the_binary_form_and_the_empty_text() {
        let (identity, recipient) = pair();
        let encrypted = age::encrypt(&identity.to_public(), b"binary").unwrap();
        assert_eq!(open(&encrypted, &identity).unwrap().unwrap(), b"binary");
        assert_eq!(open(&seal(b"", &[recipient]).unwrap(), &identity).unwrap().unwrap(), b"");
        assert!(matches!(seal(b"x", &[]), Err(SealError::Recipients(_))));
    }

    #[test]
    fn says_what_else_it_is() {
        for (file, words) in [
            ("", "empty"),
            (" \n", "empty"),
            ("password: hunter2\n", "plain text"),
            ("<<<<<<< HEAD\n-----BEGIN AGE", "merge"),
            ("-----BEGIN PGP MESSAGE-----", "PGP"),
            ("-----BEGIN CERTIFICATE-----", "PEM"),
            ("version https://git-lfs.github.com/spec/v1", "LFS"),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", "damaged"),
            ("age-encryption.org/v1\n-> X25519 abc", "cut off"),
            ("age-encryption.org/v9\n--- abc\n", "does not know"),
        ] {
            let error = Sealed::read(file.as_bytes()).err().expect(file).to_string();
            assert!(error.contains(words), "{file:?}: {error}");
        }
        assert_eq!(Sealed::read(&[0xff, 0xfe, 0]).err(), Some(SealError::NotAge("it is some other binary file")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_cut_or_changed_file_is_never_used(
            text in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
            armored: bool,
        ) {
            let (identity, recipient) = pair();
            let file = if armored { seal(&text, &[recipient]).unwrap() } else { age::encrypt(&identity.to_public(), &text).unwrap() };
            let cut = at.index(file.len());
            // What follows the armor's last line may be missing.
            if !file[cut..].iter().all(u8::is_ascii_whitespace) {
                prop_assert!(!matches!(open(&file[..cut], &identity), Ok(Some(_))));
            }
            let mut changed = file.clone();
            changed[cut] ^= 1 << bit;
            let opened = open(&changed, &identity);
            prop_assert!(!matches!(&opened, Ok(Some(other)) if *other != text), "{opened:?}");
        }
    }
}
