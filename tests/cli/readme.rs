//! What the README shows to be copied works as it stands there.

use crate::support::Place;

/// A public key in the place of the README's `age1…`.
const KEY: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// The files of the README's smallest kit.
fn smallest() -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```yaml\n# templates/stack.yaml\n").unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    let mut files = vec![("templates/stack.yaml".to_owned(), String::new())];
    for line in block.lines() {
        match line.strip_prefix("# ") {
            Some(path) => files.push((path.to_owned(), String::new())),
            None => files.last_mut().unwrap().1 += &format!("{}\n", line.replace("age1…", KEY)),
        }
    }
    files
}

#[test]
fn its_smallest_kit_is_sound_and_can_be_rebuilt() {
    let files = smallest();
    assert_eq!(files.len(), 7, "{files:?}");
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let place = Place::with_kit(&files);
    let checked = place.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked}");
    for environment in ["local", "production"] {
        let rehearsed = place.run(&["rehearse", environment]);
        assert_eq!(rehearsed.code, Some(0), "{rehearsed}");
    }
}
