//! `--set` and `--image`: what the command line changes about an environment.

use super::layer::check_image;
use super::merge::{Merged, Tree};
use super::{Overrides, did_you_mean, mistake};
use crate::manifest::Origin;
use crate::manifest::mistake::Mistake;
use crate::manifest::yaml::{Node, NodeKind, Place, parse_node};

/// Lays the overrides over the merged files. What a kit does not know cannot be set: a mistyped path would otherwise
/// change nothing, silently.
pub fn apply(tree: &mut Tree, overrides: &Overrides, mistakes: &mut Vec<Mistake>) {
    for (path, text) in &overrides.set {
        if let Err(mistake) = set(tree, path, text) {
            mistakes.push(*mistake);
        }
    }
    for (name, image) in &overrides.images {
        if let Err(mistake) = set_image(tree, name, image) {
            mistakes.push(*mistake);
        }
    }
}

fn wrong(code: &'static str, message: String, hint: Option<String>) -> Box<Mistake> {
    Box::new(Mistake { hint, ..mistake(code, message, "", None) })
}

fn origin(flag: &'static str) -> impl Fn(&Node) -> Origin {
    move |_| Origin { file: flag.into(), line: 0 }
}

fn set(tree: &mut Tree, path: &str, text: &str) -> Result<(), Box<Mistake>> {
    let below = path.strip_prefix("values.").unwrap_or(path);
    let segments: Vec<&str> = std::iter::once("values").chain(below.split('.')).collect();
    if segments.contains(&"") {
        return Err(wrong("set", format!("--set {path}: a path is names with a dot between them"), None));
    }
    let mut at: Option<&Merged> = tree.get(&["values"]);
    for (depth, segment) in segments.iter().enumerate().skip(1) {
        let known: Vec<&str> = at.map_or(&[][..], Merged::entries).iter().map(|(key, _)| key.as_str()).collect();
        let last = depth + 1 == segments.len();
        match tree.get(&segments[..=depth]) {
            Some(merged) if last || merged.is_map() => at = Some(merged),
            Some(merged) => {
                let inner = segments[1..=depth].join(".");
                let message = format!("--set {path}: {inner} is not a mapping");
                return Err(wrong("set", message, Some(format!("it is written at {}", merged.origin))));
            }
            // A mapping that is empty everywhere says that its keys are free, such as `annotations: {}`.
            None if last && at.is_some_and(|at| at.is_map() && known.is_empty()) && depth > 1 => {}
            None => {
                let inner = segments[1..=depth].join(".");
                let hint = match crate::manifest::mistake::nearest(segment, known.iter().copied()) {
                    Some(name) => {
                        let full: Vec<&str> = segments[1..depth].iter().copied().chain([name]).collect();
                        let place: Vec<&str> = std::iter::once("values").chain(full.iter().copied()).collect();
                        let place = tree.get(&place).map(|merged| merged.origin.to_string());
                        Some(format!("did you mean {} ({})?", full.join("."), place.unwrap_or_default()))
                    }
                    None => did_you_mean(segment, known),
                };
                return Err(wrong(
                    "unknown-value",
                    format!("--set {path}: no environment file has values.{inner}"),
                    hint,
                ));
            }
        }
    }
    let node = parse_node(text)
        .map_err(|error| wrong("set", format!("--set {path}: {text} is not YAML: {error}"), None))?
        .unwrap_or(Node { kind: NodeKind::Null, place: Place::default() });
    // An empty value on the command line means an empty text; to remove something one writes null.
    let node = if text.trim().is_empty() { Node { kind: NodeKind::Text(String::new()), ..node } } else { node };
    tree.apply(&segments, &node, &origin("--set"));
    Ok(())
}

fn set_image(tree: &mut Tree, name: &str, image: &str) -> Result<(), Box<Mistake>> {
    let known: Vec<&str> =
        tree.get(&["images"]).map_or(&[][..], Merged::entries).iter().map(|(key, _)| key.as_str()).collect();
    if !known.contains(&name) {
        let message = format!("--image {name}: no environment file has images.{name}");
        return Err(wrong("unknown-image", message, did_you_mean(name, known)));
    }
    check_image(image).map_err(|message| wrong("image", format!("--image {name}: {message}"), None))?;
    let node = Node { kind: NodeKind::Text(image.to_owned()), place: Place::default() };
    tree.apply(&["images", name], &node, &origin("--image"));
    Ok(())
}
