//! `rekindle secrets`: keys, values, the age file, and that nothing shows a value that was not asked for.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A value that must never be seen.
const VALUE: &str = "hunter22 & \"more\"";

const SCHEMA: &str = "\
token: {description: token of the import bot, required: true}
key: {description: private key of the site, required: true}
password: {description: password of the database, generated: true}
";

const SSH: &str = include_str!("../keys/ed25519");
const SSH_PUBLIC: &str = include_str!("../keys/ed25519.pub");
const SSH_LOCKED: &str = include_str!("../keys/ed25519-locked");
const SSH_LOCKED_PUBLIC: &str = include_str!("../keys/ed25519-locked.pub");

/// A home with a kit in it.
struct Home {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    /// A kit without recipients and without an age file.
    fn new() -> Self {
        let home = Self { folder: TempDir::new().unwrap(), variables: Vec::new() };
        home.write("kit/environments/local.yaml", "namespace: test\n");
        home.write("kit/environments/other.yaml", "namespace: other\n");
        home.write("kit/templates/stack.yaml", "name: test\nphases: [{name: only}]\n");
        home.write("kit/templates/only/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
        home.write("kit/secrets/schema.yaml", SCHEMA);
        home
    }

    /// A kit whose user has an identity in the usual place, which is the only recipient.
    fn with_identity() -> Self {
        let home = Self::new();
        let recipient = home.run(&["secrets", "keygen"]).done().out.trim().to_owned();
        home.recipients(&[("me", &recipient)]);
        home
    }

    /// With both required secrets set.
    fn filled() -> Self {
        let home = Self::with_identity();
        home.set("token", VALUE).done();
        home.set("key", "another value").done();
        home
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn recipients(&self, recipients: &[(&str, &str)]) {
        let lines: String = recipients.iter().map(|(name, key)| format!("  {name}: {}\n", key.trim())).collect();
        self.write("kit/secrets/recipients.yaml", &format!("local:\n{lines}"));
    }

    fn age_file(&self) -> PathBuf {
        self.path("kit/secrets/local.yaml.age")
    }

    fn sealed(&self) -> Vec<u8> {
        fs::read(self.age_file()).unwrap()
    }

    /// Seals a plaintext of our own choosing, as an editor that the schema does not stop.
    fn seal(&self, plaintext: &str) {
        let recipient = self.run(&["secrets", "keygen", "--to", "sealing.txt"]).done().out;
        let recipient: age::x25519::Recipient = recipient.trim().parse().unwrap();
        let sealed = age::encrypt_and_armor(&recipient, plaintext.as_bytes()).unwrap();
        fs::write(self.age_file(), sealed).unwrap();
        fs::create_dir_all(self.path(".config/rekindle")).unwrap();
        fs::rename(self.path("sealing.txt"), self.path(".config/rekindle/identity.txt")).unwrap();
        self.recipients(&[("me", &recipient.to_string())]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(arguments).args(["--kit", "kit"]).current_dir(self.folder.path()).env_clear();
        command.env("HOME", self.folder.path()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        finish(&mut self.command(arguments), b"")
    }

    fn set(&self, name: &str, value: &str) -> Run {
        finish(&mut self.command(&["secrets", "set", "local", name]), value.as_bytes())
    }

    fn show(&self, name: &str) -> String {
        let output = self.command(&["secrets", "show", "local", name]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `$EDITOR` as a shell script that gets the file as `$1`.
    fn editor(&mut self, script: &str) {
        self.write("editor", &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(self.path("editor"), fs::Permissions::from_mode(0o755)).unwrap();
        self.variables.push(("EDITOR", self.path("editor").display().to_string()));
    }
}

/// Runs a command with an input, and holds every one of them to keeping quiet.
fn finish(command: &mut Command, input: &[u8]) -> Run {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that fails before it reads has closed its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let run = Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    for secret in [VALUE, "hunter22", "aHVudGVyMjI", "another value", "AGE-SECRET-KEY-", "correct horse"] {
        for text in [&run.out, &run.err] {
            // Naming the beginning of every identity is no leak.
            let text = text.replace("AGE-SECRET-KEY-…", "").replace("starts with AGE-SECRET-KEY-", "");
            assert!(!text.contains(secret), "{secret} in:\n{text}");
        }
    }
    run
}

impl Run {
    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self.says(words)
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in:\n{}", self.err);
        }
        self
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn keygen_makes_a_private_file_once() {
    let home = Home::new();
    let run = home.run(&["secrets", "keygen"]).done().says(&["~/.config/rekindle/identity.txt", "recipients.yaml"]);
    assert!(run.out.starts_with("age1") && run.out.lines().count() == 1, "{}", run.out);
    let file = home.path(".config/rekindle/identity.txt");
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains(&format!("# public key: {}", run.out.trim())) && text.contains("AGE-SECRET-KEY-1"),
        "{}",
        text.len()
    );
    home.run(&["secrets", "keygen"]).fails(4, &["is there already", "--to FILE"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let run =
        home.run(&["secrets", "keygen", "--to", "other.txt", "-o", "json"]).done().says(&["--identity other.txt"]);
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(json["file"], "other.txt");
    assert!(json["recipient"].as_str().unwrap().starts_with("age1"));
    home.run(&["secrets", "keygen", "--to", "no/such/folder"]).fails(2, &["cannot be written: no such file"]);
}

#[test]
fn set_makes_the_file_and_show_lists_without_values() {
    let home = Home::with_identity();
    home.run(&["secrets", "show", "local"]).done().says(&["does not exist", "rekindle secrets edit local --kit kit"]);
    home.set("token", &format!("{VALUE}\n")).done().says(&["token set, sealed to me", "still missing: key"]);
    assert_eq!(mode(&home.age_file()), 0o644);
    assert!(home.sealed().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
    let table =
        home.run(&["secrets", "show", "local"]).done().says(&["opened with ~/.config/rekindle/identity.txt"]).out;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(
        rows[1..],
        [
            vec!["key", "required", "missing"],
            vec!["password", "generated", "derived"],
            vec!["token", "required", "set"]
        ]
    );
    let json = home.run(&["secrets", "show", "local", "-o", "json"]).done().out;
    let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(last["state"], "set");
    assert_eq!(home.show("token"), VALUE);
    home.run(&["secrets", "show", "local", "key"]).fails(3, &["the secret key is required", "secrets set local key"]);
    home.run(&["secrets", "show", "local", "tokn"]).fails(2, &["did you mean token?"]);
    home.run(&["secrets", "show", "locl"]).fails(2, &["no environment locl", "did you mean local?"]);
}

#[test]
fn derived_values_are_stable_and_belong_to_the_instance() {
    let home = Home::filled();
    let password = home.show("password");
    assert_eq!(password.len(), 32);
    home.set("token", "changed value").done();
    assert_eq!(home.show("password"), password);
    let output = home.command(&["secrets", "show", "local", "password", "--instance", "pr-1"]).output().unwrap();
    assert_eq!(output.stdout.len(), 32);
    assert_ne!(output.stdout, password.as_bytes());
    home.set("password", "chosen by hand").done().says(&["would be derived"]);
    assert_eq!(home.show("password"), "chosen by hand");
}

#[test]
fn values_come_from_a_pipe_or_a_file_and_never_from_an_argument() {
    let home = Home::with_identity();
    for value in [VALUE, "--hunter22"] {
        home.run(&["secrets", "set", "local", "token", value]).fails(2, &["the value must not be an argument"]);
    }
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter22hunter22\n\n-----END PRIVATE KEY-----\n";
    home.write("key.pem", pem);
    home.run(&["secrets", "set", "local", "key", "--from-file", "key.pem"]).done();
    assert_eq!(home.show("key"), pem);
    home.set("token", "two\r\nlines\r\n").done();
    assert_eq!(home.show("token"), "two\r\nlines");
    let before = home.sealed();
    for (name, value, words) in [
        ("token", "", "is empty"),
        ("token", "\n", "is empty"),
        ("token", "abc\n", "is shorter than 4 characters"),
        ("tokn", "hunter22", "did you mean token?"),
        ("seed", "hunter22", "the seed is made with the file"),
    ] {
        home.set(name, value).fails(2, &[words]);
    }
    finish(&mut home.command(&["secrets", "set", "local", "token"]), b"\xff\xfe\xfd\xfc").fails(2, &["not UTF-8"]);
    let long = vec![b'x'; 2 << 20];
    finish(&mut home.command(&["secrets", "set", "local", "token"]), &long).fails(2, &["far too long"]);
    home.run(&["secrets", "set", "local", "key", "--from-file", "none.pem"]).fails(2, &["none.pem cannot be read"]);
    assert_eq!(home.sealed(), before);
}

#[test]
fn only_a_folder_with_recipients_can_be_changed() {
    let home = Home::new();
    home.set("token", VALUE).fails(3, &["recipients.yaml names nobody for local", "keygen"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
    command.args(["secrets", "keygen", "--to", "x"]).current_dir(home.folder.path()).env_clear();
    finish(&mut command, b"").done();
    let mistaken = fs::read_to_string(home.path("x")).unwrap().lines().last().unwrap().to_owned();
    home.recipients(&[("me", &mistaken), ("you", "ssh-rsa AAAA")]);
    home.set("token", VALUE).fails(3, &["2 mistakes", "is a private key", "is an RSA key"]);
    assert!(!home.age_file().exists());
}

#[test]
fn the_mode_and_the_link_of_the_file_stay() {
    let home = Home::filled();
    fs::rename(home.age_file(), home.path("kit/secrets/elsewhere.age")).unwrap();
    symlink("elsewhere.age", home.age_file()).unwrap();
    fs::set_permissions(home.path("kit/secrets/elsewhere.age"), fs::Permissions::from_mode(0o640)).unwrap();
    home.set("token", "changed value").done();
    assert!(home.age_file().is_symlink());
    assert_eq!(mode(&home.path("kit/secrets/elsewhere.age")), 0o640);
    assert_eq!(home.show("token"), "changed value");
    let left: Vec<_> = fs::read_dir(home.path("kit/secrets")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn identities_come_from_flags_the_variable_and_the_usual_place() {
    let mut home = Home::filled();
    fs::rename(home.path(".config/rekindle/identity.txt"), home.path("mine.txt")).unwrap();
    let open = |home: &Home, flags: &[&str]| home.run(&[&["secrets", "show", "local"], flags].concat());
    open(&home, &[]).fails(3, &["sealed to others: there is no identity", "me: age1"]);
    open(&home, &["--identity", "mine.txt"]).done().says(&["opened with mine.txt"]);
    open(&home, &["--identity", "none.txt"]).fails(2, &["none.txt cannot be read: no such file"]);
    open(&home, &["--identity", "kit/secrets/schema.yaml"])
        .fails(2, &["schema.yaml is of no use: line 1 is no identity"]);
    home.write("other.txt", SSH);
    home.variables.push(("REKINDLE_IDENTITY", "other.txt:mine.txt".into()));
    open(&home, &[]).done().says(&["opened with mine.txt (REKINDLE_IDENTITY)"]);
    home.variables[0].1 = fs::read_to_string(home.path("mine.txt")).unwrap();
    open(&home, &[]).done().says(&["opened with REKINDLE_IDENTITY"]);
    home.variables.clear();
    // What is broken in the usual place does not keep another identity from being used.
    home.write(".config/rekindle/identity.txt", "AGE-SECRET-KEY-1BROKEN\n");
    open(&home, &["--identity", "mine.txt"])
        .done()
        .says(&["warning: ~/.config/rekindle/identity.txt is of no use: line 1"]);
}

#[test]
fn the_wrong_key_names_whom_to_ask_and_what_was_tried() {
    let home = Home::filled();
    fs::remove_file(home.path(".config/rekindle/identity.txt")).unwrap();
    home.write("ssh", SSH);
    home.run(&["secrets", "keygen"]).done();
    let run = home.run(&["secrets", "show", "local", "token", "--identity", "ssh"]);
    run.fails(
        3,
        &[
            "local.yaml.age is sealed to others: none of 2 identities opens it",
            "me: age1",
            "ssh: ssh-ed25519 AAAA",
            "identity.txt: age1",
        ],
    );
    home.set("token", "changed value").fails(3, &["is sealed to others"]);
    home.run(&["secrets", "edit", "local"]).fails(3, &["is sealed to others"]);
}

#[test]
fn ssh_keys_open_and_one_with_a_passphrase_wants_a_terminal() {
    let home = Home::with_identity();
    home.recipients(&[("ssh", SSH_PUBLIC), ("locked", SSH_LOCKED_PUBLIC)]);
    home.set("token", VALUE).done().says(&["sealed to ssh, locked", "warning: none of your identities"]);
    fs::remove_file(home.path(".config/rekindle/identity.txt")).unwrap();
    home.write("ssh", SSH);
    home.write("locked", SSH_LOCKED);
    home.run(&["secrets", "show", "local", "--identity", "ssh"]).done().says(&["opened with ssh"]);
    home.run(&["secrets", "show", "local", "--identity", "locked", "--identity", "ssh"])
        .done()
        .says(&["opened with ssh"]);
    home.run(&["secrets", "show", "local", "--identity", "locked"])
        .fails(3, &["locked needs its passphrase, and there is no terminal to ask on"]);
    home.write("rsa", include_str!("../keys/rsa"));
    home.run(&["secrets", "show", "local", "--identity", "rsa"]).fails(2, &["RSA key"]);
}

#[test]
fn a_damaged_file_is_never_used() {
    let home = Home::filled();
    let good = home.sealed();
    let try_with = |bytes: &[u8]| {
        fs::write(home.age_file(), bytes).unwrap();
        let set = home.set("token", "changed value");
        assert_eq!(fs::read(home.age_file()).unwrap(), bytes, "a damaged file was replaced");
        assert_eq!(set.code, Some(3));
        home.run(&["secrets", "show", "local", "token"])
    };
    for length in [0, 10, 40, 200, good.len() / 2, good.len() - 40] {
        let run = try_with(&good[..length]);
        assert!(run.out.is_empty() && run.code == Some(3), "{length}: {}", run.err);
    }
    for at in (40..good.len() - 40).step_by(37).filter(|at| good[*at].is_ascii_alphanumeric()) {
        let mut bytes = good.clone();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let run = try_with(&bytes);
        assert!(run.out.is_empty() && run.code == Some(3), "{at}: {}", run.err);
    }
    try_with(format!("token: {VALUE}\n").as_bytes()).fails(3, &["local.yaml.age is not an age file: it is plain text"]);
    try_with(b"<<<<<<< HEAD\n").fails(3, &["unfinished merge"]);
    fs::remove_file(home.age_file()).unwrap();
    home.run(&["secrets", "show", "local", "token"]).fails(3, &["local.yaml.age does not exist", "secrets edit local"]);
}

#[test]
fn wrong_contents_are_named_by_line_and_can_be_mended() {
    let mut home = Home::new();
    home.seal("seed: hunter22hunter22\ntoken: abc\nkey: [hunter22]\n");
    home.run(&["secrets", "show", "local", "key"]).fails(
        3,
        &[
            "3 mistakes",
            "line 1 of the decrypted text (seed) has",
            "line 2 of the decrypted text (token) is shorter than 4 characters",
            "line 3 of the decrypted text (key) is a list",
        ],
    );
    home.seal("token: hunter22\ntoken: hunter22\n");
    home.run(&["secrets", "show", "local"]).fails(3, &["line 2 of the decrypted text is not valid YAML"]);
    home.editor("sed -i 2d $1");
    home.run(&["secrets", "edit", "local"]).done();
    assert_eq!(home.show("token"), "hunter22");
    home.run(&["secrets", "show", "local", "password"])
        .fails(3, &["derived from the seed, and secrets/local.yaml.age does not hold one"]);
    home.seal("token: hunter22\nleftover: hunter22\n");
    home.run(&["secrets", "show", "local"]).done().says(&["warning: ", "leftover is not in secrets/schema.yaml"]);
}

#[test]
fn edit_checks_before_it_writes_and_leaves_nothing_behind() {
    let mut home = Home::filled();
    let before = home.sealed();
    home.editor("stat -c '%a %n' \"$1\" \"$(dirname \"$1\")\" > seen; cp \"$1\" \"$1~\"");
    home.run(&["secrets", "edit", "local"]).done().says(&["nothing was changed, nothing is written"]);
    assert_eq!(home.sealed(), before);
    let seen = fs::read_to_string(home.path("seen")).unwrap();
    let (file, folder) = seen.trim().split_once('\n').unwrap();
    assert!(file.starts_with("600 ") && folder.starts_with("700 "), "{seen}");
    assert!(!Path::new(&folder[4..]).exists());

    home.variables.clear();
    home.editor("sed -i s/tokn/token/ $1; sed -i 's/^token:.*/tokn: hunter22/' $1");
    home.run(&["secrets", "edit", "local"]).fails(3, &["tokn is not in secrets/schema.yaml", "nothing was written"]);
    home.variables.clear();
    home.editor("sed -i 's/^token:.*/token: abc/' $1");
    home.run(&["secrets", "edit", "local"]).fails(3, &["of the edited text (token) is shorter", "nothing was written"]);
    home.variables.clear();
    home.editor("rm $1");
    home.run(&["secrets", "edit", "local"]).fails(3, &["the edited text is gone"]);
    home.variables.clear();
    home.editor("exit 3");
    home.run(&["secrets", "edit", "local"]).fails(2, &["failed (exit status: 3)"]);
    home.variables.clear();
    home.variables.push(("EDITOR", "no-such-editor".into()));
    home.run(&["secrets", "edit", "local"]).fails(2, &["no-such-editor"]);
    assert_eq!(home.sealed(), before);

    home.variables.clear();
    home.editor("sed -i 's/^token:.*/token: \"hunter22 changed\"/' $1");
    home.run(&["secrets", "edit", "local"]).done().says(&["written, sealed to me"]);
    assert_eq!(home.show("token"), "hunter22 changed");
}

#[test]
fn edit_makes_the_file_and_does_not_overwrite_what_others_wrote() {
    let mut home = Home::with_identity();
    home.editor("sed -i 's/^# token:.*/token: hunter22/' $1");
    home.run(&["secrets", "edit", "local"]).done().says(&["still missing: key, token", "still missing: key\n"]);
    assert_eq!((home.show("token").as_str(), home.show("password").len()), ("hunter22", 32));
    home.variables.clear();
    home.editor("sed -i 's/hunter22/hunter23/' $1; echo theirs > kit/secrets/local.yaml.age");
    home.run(&["secrets", "edit", "local"]).fails(4, &["was changed by somebody else meanwhile; nothing was written"]);
    assert_eq!(home.sealed(), b"theirs\n");
}

#[test]
fn a_terminated_edit_leaves_no_plaintext() {
    let mut home = Home::filled();
    let before = home.sealed();
    assert!(Command::new("mkfifo").arg(home.path("started")).status().unwrap().success());
    home.editor("echo \"$1\" > started; exec sleep 600");
    let child =
        home.command(&["secrets", "edit", "local"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut path = String::new();
    fs::File::open(home.path("started")).unwrap().read_to_string(&mut path).unwrap();
    assert!(fs::read_to_string(path.trim()).unwrap().contains("hunter22"));
    for signal in ["-INT", "-TERM"] {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
    assert!(!Path::new(path.trim()).exists());
    assert_eq!(home.sealed(), before);
}

#[test]
fn the_demonstration_identity_opens_what_is_sealed_to_it_and_says_so() {
    let home = Home::new();
    let published = include_str!("../../secrets/demonstration-identity.txt");
    home.write("kit/secrets/demonstration-identity.txt", published);
    let recipient = published.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    home.recipients(&[("demonstration", recipient)]);
    home.set("token", VALUE).done().says(&["warning: everybody can open it"]);
    home.run(&["secrets", "show", "local"]).done().says(&["opened with the kit's demonstration identity"]);
}

#[test]
fn rendering_shows_no_secret_in_any_form() {
    let home = Home::with_identity();
    home.set("token", VALUE).done();
    let pem = "-----BEGIN PRIVATE KEY-----\nhunter22hunter22\nshort\n-----END PRIVATE KEY-----\n";
    home.write("key.pem", pem);
    home.run(&["secrets", "set", "local", "key", "--from-file", "key.pem"]).done();
    home.write(
        "kit/templates/only/secret.yaml.tera",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  annotations:\n    words: {{ \"x \" ~ secret(name=\"token\") ~ \" y\" }}\n\
         stringData:\n  token: {{ secret(name=\"token\") }}\n  password: {{ secret(name=\"password\") }}\n  \
         key: {{ secret(name=\"key\") }}\ndata:\n  token: {{ secret(name=\"token\") | b64 }}\n  \
         inside: {{ (\"{a: \" ~ secret(name=\"token\") ~ \"}\") | b64 }}\n  key: {{ secret(name=\"key\") | b64 }}\n",
    );
    let password = home.show("password");
    for form in [&["render", "local"][..], &["render", "local", "-o", "json"], &["render", "local", "-vv"]] {
        let run = home.run(form).done().says(&["secrets opened with ~/.config/rekindle/identity.txt"]);
        assert_eq!(run.out.matches("•••").count(), 7, "{}", run.out);
        for text in [&run.out, &run.err] {
            assert!(!text.contains(&password), "{text}");
            for piece in ["aHVudGVyMj", "h1bnRlcjIy", "odW50ZXIyM", "PRIVATE KEY-----\\n"] {
                assert!(!text.contains(piece), "{piece} in {text}");
            }
        }
    }
    // A mistake in a template that has its secrets shows none either.
    home.write(
        "kit/templates/only/bad.yaml.tera",
        "a: {{ secret(name=\"token\") ~ nothing }}\nb: {{ secret(name=\"tokn\") }}\n",
    );
    home.run(&["render", "local"]).fails(3, &["tokn"]);
    fs::remove_file(home.path("kit/templates/only/bad.yaml.tera")).unwrap();
    fs::remove_file(home.path(".config/rekindle/identity.txt")).unwrap();
    let run = home.run(&["render", "local"]).fails(3, &["is sealed to others: there is no identity"]);
    assert_eq!(run.err.matches("sealed to others").count(), 1, "{}", run.err);
}

#[test]
fn the_embedded_kit_shows_its_secrets_and_refuses_to_be_changed() {
    let home = Home::new();
    let embedded = |arguments: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekindle"));
        command.args(arguments).current_dir(home.folder.path()).env_clear();
        finish(&mut command, input)
    };
    let table =
        embedded(&["secrets", "show", "production"], b"").done().says(&["the kit's demonstration identity"]).out;
    assert!(table.lines().count() > 10 && !table.contains("missing") && !table.contains("no seed"), "{table}");
    let name = table.lines().find(|line| line.contains(" set ")).unwrap().split(' ').next().unwrap().to_owned();
    embedded(&["secrets", "set", "production", &name], VALUE.as_bytes())
        .fails(2, &["inside the binary cannot be changed", "--kit DIR"]);
}

/// Debian's `age`, or `None` with a plain word when it is missing. `REKINDLE_TEST_AGE=required` turns that into a failure.
fn plain_age() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(age) = std::env::split_paths(&path).map(|folder| folder.join("age")).find(|file| file.is_file()) {
        return Some(age);
    }
    let required = std::env::var("REKINDLE_TEST_AGE").is_ok_and(|value| value == "required");
    assert!(!required, "age is not installed, and REKINDLE_TEST_AGE=required: apt-get install age");
    // Past the test harness, which hides what passing tests print.
    std::io::stderr().write_all(b"SKIPPED: age is not installed (apt-get install age)\n").unwrap();
    None
}

#[test]
fn plain_age_opens_our_files_and_we_open_its() {
    let Some(age) = plain_age() else { return };
    let home = Home::with_identity();
    let identity = ".config/rekindle/identity.txt";
    let recipients = fs::read_to_string(home.path("kit/secrets/recipients.yaml")).unwrap();
    let mine = recipients.rsplit(' ').next().unwrap().trim().to_owned();
    home.recipients(&[("me", &mine), ("ssh", SSH_PUBLIC)]);
    home.set("token", VALUE).done();
    home.write("ssh", SSH);
    fs::set_permissions(home.path("ssh"), fs::Permissions::from_mode(0o600)).unwrap();
    let plain = |arguments: &[&str], input: &str| {
        let mut command = Command::new(&age);
        command.args(arguments).current_dir(home.folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        output.stdout
    };
    for key in [identity, "ssh"] {
        let text = plain(&["-d", "-i", key, "kit/secrets/local.yaml.age"], "");
        let line = format!("token: {}", serde_json::Value::from(VALUE));
        assert!(String::from_utf8(text).unwrap().lines().any(|l| l == line));
    }
    let text = "token: made by age itself\nseed: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";
    for (flags, opens) in [
        (vec!["-a", "-r", &mine], identity),
        (vec!["-r", &mine], identity),
        (vec!["-a", "-r", SSH_PUBLIC.trim(), "-r", &mine], "ssh"),
        (vec!["-r", SSH_PUBLIC.trim()], "ssh"),
    ] {
        fs::write(home.age_file(), plain(&flags, text)).unwrap();
        let output = home.command(&["secrets", "show", "local", "token", "--identity", opens]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "made by age itself", "{flags:?}");
    }
    // The derivation is the documented one, whoever sealed the seed.
    let output = home.command(&["secrets", "show", "local", "password", "--identity", "ssh"]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "GeOV3vGCVVpTkUn6fm48PH6pzv52xxlL");
}
