//! The user's own command, to show in messages: what is printed can be pasted.

use std::path::Path;

use super::Common;

/// `rekindle`, the words, and every common flag that decides what the command works on, quoted for a POSIX shell.
/// The flags for the form of the output (`-o`, `-v`) are left out.
pub fn command_line<W: AsRef<str>>(common: &Common, words: &[W]) -> String {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let mut line = vec![common.program.clone().unwrap_or_else(|| "rekindle".to_owned())];
    line.extend(words.iter().map(|word| word.as_ref().to_owned()));
    let mut flag =
        |name: &str, value: Option<String>| line.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
    flag("--kit", common.kit.as_deref().map(path));
    flag("--kubeconfig", common.kubeconfig.as_deref().map(path));
    flag("--context", common.context.clone());
    common.identity.iter().for_each(|identity| flag("--identity", Some(path(identity))));
    flag("--instance", common.instance.clone());
    common.set.iter().for_each(|set| flag("--set", Some(set.clone())));
    common.image.iter().for_each(|image| flag("--image", Some(image.clone())));
    line.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// How the program was called, for [`Common::program`]: as typed when it was called by a path, else its plain name.
pub fn program(first_argument: Option<std::ffi::OsString>) -> Option<String> {
    first_argument?.into_string().ok().filter(|argument| argument.contains('/'))
}

fn quote(word: &str) -> String {
    // Quotes that are not needed are harder to read; shlex also quotes `=`, which only the program's own name must not hold.
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c)) {
        return word.to_owned();
    }
    // A NUL cannot be quoted, but then it cannot be an argument either.
    shlex::try_quote(word).map_or_else(|_| word.replace('\0', ""), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Outer {
        #[command(flatten)]
        common: Common,
    }

    fn common(arguments: &[&str]) -> Common {
        Outer::parse_from([&["x"], arguments].concat()).common
    }

    #[test]
    fn what_decides_is_kept_and_quoted() {
        assert_eq!(command_line(&common(&[]), &["up", "production"]), "rekindle up production");
        let all = ["--kit", "my kit", "--kubeconfig", "a", "--context", "$x", "--identity", "k1", "--identity", "it's"];
        let more = [
            "--instance",
            "pr-1",
            "--set",
            "api.replicas=2",
            "--set",
            "a=[1, 2]",
            "--image",
            "a=b:c@d",
            "-o",
            "json",
            "-vv",
        ];
        assert_eq!(
            command_line(&common(&[&all[..], &more].concat()), &["up", "staging"]),
            r#"rekindle up staging --kit 'my kit' --kubeconfig a --context '$x' --identity k1 --identity "it's" --instance pr-1 --set api.replicas=2 --set 'a=[1, 2]' --image a=b:c@d"#
        );
    }

    #[test]
    fn a_program_called_by_its_path_is_called_so_again() {
        assert_eq!(program(Some("rekindle".into())), None);
        assert_eq!(program(Some("./rekindle".into())), Some("./rekindle".to_owned()));
        assert_eq!(program(None), None);
    }

    proptest::proptest! {
        #[test]
        fn a_shell_reads_back_the_same_words(value in "[^\\x00]{1,30}") {
            let line = command_line(&common(&[]), &["up", value.as_str()]);
            proptest::prop_assert_eq!(shlex::split(&line).unwrap(), ["rekindle", "up", value.as_str()]);
        }
    }
}
