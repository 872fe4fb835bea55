#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

const SEED_TEXT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn parse(text: &str) -> Contents {
    Contents::parse(text.as_bytes(), "secrets/test.yaml.age").unwrap_or_else(|error| panic!("{:?}", error.0))
}

fn mistakes(text: &[u8]) -> Vec<String> {
    let Err(Mistakes(mistakes)) = Contents::parse(text, "secrets/test.yaml.age") else { return Vec::new() };
    mistakes.iter().map(ToString::to_string).collect()
}

fn value(contents: &Contents, name: &str) -> String {
    contents.value(name).unwrap().expose_secret().to_owned()
}

#[test]
fn reads_values_and_the_seed() {
    let contents =
        parse(&format!("seed: {SEED_TEXT}=\ntoken: hunter22\nno: \"yes yes\"\nkey: |\n  line one\n  line two\n"));
    assert_eq!(contents.seed().unwrap(), (0..32).collect::<Vec<u8>>());
    assert_eq!(value(&contents, "token"), "hunter22");
    assert_eq!(value(&contents, "key"), "line one\nline two\n");
    assert!(parse("").seed().is_none());
}

#[test]
fn names_every_mistake_and_shows_no_value() {
    let text = "short: abc\nempty: ''\nnothing:\nnumber: 98765432\nswitch: true\nlist: [hidden-thing]\nseed: hidden-thing\n\
                map: {hidden-thing: x}\nblank: '      '\n";
    let found = mistakes(text.as_bytes());
    for (line, words) in [
        (1, "(short) is shorter than 4 characters"),
        (2, "(empty) is empty"),
        (3, "(nothing) has no value"),
        (4, "(number) is a number: put quotes"),
        (5, "(switch) is a boolean: put quotes"),
        (6, "(list) is a list"),
        (7, "(seed) has 9 bytes, and needs at least 32"),
        (8, "(map) is a mapping"),
        (9, "(blank) is empty"),
    ] {
        let start = format!("secrets/test.yaml.age: line {line} of the decrypted text {words}");
        assert!(found.iter().any(|mistake| mistake.starts_with(&start)), "{start} in {found:#?}");
    }
    assert!(!found.join("\n").contains("hidden"), "{found:#?}");
    assert!(!found.join("\n").contains("9876"), "{found:#?}");
    for (text, words) in [
        ("a: hidden-thing\na: hidden-other\n", "line 2 of the decrypted text is not valid YAML"),
        ("a: 'hidden-thing\n", "is not valid YAML"),
        ("hidden-thing\n", "line 1 of the decrypted text is a text, not a mapping"),
        ("- hidden-thing\n", "is a list, not a mapping"),
        ("a: &x hidden-thing\nb: *hidden\n", "line 2 of the decrypted text is not valid YAML"),
        ("a: !hidden [\n", "is not valid YAML"),
        ("seed: 'hidden thing'\n", "(seed) is not base64url"),
        ("a: \"ab\\0cdef\"\n", "holds a NUL"),
    ] {
        let found = mistakes(text.as_bytes()).join("\n");
        assert!(found.contains(words), "{text:?}: {found}");
        assert!(!found.contains("hidden"), "{text:?}: {found}");
    }
    assert!(mistakes(b"a: good\nb: \xff\xfe\n")[0].contains("line 2 of the decrypted text is not UTF-8"));
    let long = format!("a: {}\n", "x".repeat(70_000));
    assert!(mistakes(long.as_bytes())[0].contains("longer than 64 KiB"));
}

#[test]
fn fresh_contents_have_a_seed_of_their_own() {
    let schema =
        Schema::parse("token: {description: \"a\\nb\", required: true}\npw: {description: d, generated: true}\n")
            .unwrap();
    let (one, two) = (Contents::fresh(&schema, "local").unwrap(), Contents::fresh(&schema, "local").unwrap());
    assert_ne!(one.seed(), two.seed());
    assert_eq!(one.seed().unwrap().len(), 32);
    assert_eq!(parse(one.text()).seed(), one.seed());
    assert!(one.text().contains("# a\n# b\n# token: \"\"\n"), "{}", one.text());
    // The seed itself may hold these letters.
    assert!(!one.text().contains("# pw") && !one.text().contains("\npw"));
    assert_eq!(one.missing(&schema), ["token"]);
    let full = one.with("token", &"hunter22".into(), "file").unwrap();
    assert!(full.missing(&schema).is_empty());
    assert!(full.against(&schema, "file").is_empty());
}

#[test]
fn names_unknown_to_the_schema_come_with_the_nearest() {
    let schema = Schema::parse("api-token: {description: d, required: true}\n").unwrap();
    let found = parse(&format!("seed: {SEED_TEXT}\napi-tokn: hunter22\n")).against(&schema, "file");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].hint.as_deref(), Some("did you mean api-token?"));
}

#[test]
fn setting_a_value_keeps_comments_and_order() {
    let text = "# top\nb: old-value # beside\n\n# about a\na: |\n  # not a comment\n  second\n\n# end\n";
    let contents = parse(text);
    let new = contents.with("b", &"new-value".into(), "f").unwrap();
    assert_eq!(new.text(), text.replace("old-value # beside", "\"new-value\""));
    let new = contents.with("a", &"one\ntwo\n".into(), "f").unwrap();
    assert_eq!(new.text(), "# top\nb: old-value # beside\n\n# about a\na: |\n  one\n  two\n\n# end\n");
    let new = contents.with("c", &"third".into(), "f").unwrap();
    assert_eq!(new.text(), format!("{text}c: \"third\"\n"));
    // A text whose layout cannot be kept is written anew.
    let new = parse("{a: one one, b: two two}").with("a", &"other".into(), "f").unwrap();
    assert_eq!((value(&new, "a").as_str(), value(&new, "b").as_str()), ("other", "two two"));
    assert_eq!(
        contents.with("a", &"abc".into(), "f").err().unwrap().split(':').next(),
        Some("is shorter than 4 characters")
    );
}

proptest! {
    #[test]
    fn any_value_can_be_set_and_read(
        text in "[ -~\n\t\u{85}é€😀\r\\\\\"#:|>-]{4,60}",
        old in "[a-z: \n#|-]{4,30}",
        last: bool,
    ) {
        prop_assume!(text.trim().len() >= 4 && old.trim().len() >= 4);
        let other = serde_json::Value::from(old.as_str()).to_string();
        let start = if last { format!("x: {other}\nname: {other}") } else { format!("name: {other}\n# about x\nx: {other}\n") };
        let contents = parse(&start).with("name", &text.as_str().into(), "f").unwrap();
        prop_assert_eq!(value(&contents, "name"), text.as_str());
        prop_assert_eq!(value(&contents, "x"), old);
        // And again over whatever was written.
        let again = contents.with("name", &"plain-value".into(), "f").unwrap();
        prop_assert_eq!(value(&again, "name"), "plain-value");
        prop_assert_eq!(last || again.text().contains("# about x"), true);
    }

    #[test]
    fn nothing_panics_and_nothing_is_quoted(text in "[a-c:\\-\\[\\]{}\"'|>&*!%#?, \n\t]{0,40}") {
        for mistake in mistakes(format!("k: zebra-secret\n{text}").as_bytes()) {
            prop_assert!(!mistake.contains("zebra"), "{}", mistake);
        }
    }
}
