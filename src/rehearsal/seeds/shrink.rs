//! Making a failing seed small: the objects of its kit, and the troubles of its run, that it fails without.

use std::collections::BTreeSet;
use std::fmt;

use super::scene::Scene;

/// Takes a trouble out of a scene.
type Spare = fn(&mut Scene);

/// Everything that goes wrong in a scene, by the name that `--without` takes.
const TROUBLES: [(&str, Spare); 16] = [
    ("errors", |scene| scene.errors = 0.0),
    ("fate", |scene| scene.fate = None),
    ("misplaced", |scene| scene.misplaced = None),
    ("foreign", |scene| scene.foreign.clear()),
    ("squatter", |scene| scene.squatter = None),
    ("lost", |scene| scene.lost.clear()),
    ("vanishing", |scene| scene.vanishing = None),
    ("crashes", |scene| scene.crashes.clear()),
    ("second", |scene| scene.second = None),
    ("sign", |scene| scene.sign = None),
    ("down", |scene| scene.down = false),
    ("meddling", |scene| scene.locks.meddling = None),
    ("left-lock", |scene| scene.locks.left = None),
    ("flapping", |scene| scene.flapping.calm()),
    ("accident", |scene| scene.data.accident = false),
    ("survivors", |scene| scene.data.forget(&scene.items)),
];

/// What is left out of a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Objects of the kit, by their numbers.
    pub objects: BTreeSet<usize>,
    troubles: BTreeSet<&'static str>,
}

impl Without {
    /// Reads `0,3,errors`: numbers of objects, and names of troubles.
    pub fn read(text: &str) -> Self {
        let mut without = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match (word.parse(), TROUBLES.iter().find(|(name, _)| *name == word)) {
                (Ok(number), _) => drop(without.objects.insert(number)),
                (_, Some((name, _))) => drop(without.troubles.insert(*name)),
                _ => panic!("there is nothing by the name {word} to leave out"),
            }
        }
        without
    }

    /// Takes the troubles out of a scene.
    pub fn spare(&self, scene: &mut Scene) {
        TROUBLES.iter().filter(|(name, _)| self.troubles.contains(name)).for_each(|(_, spare)| spare(scene));
    }

    /// The most that can be left out so that it still fails, one after the other.
    pub fn most(objects: usize, fails: impl Fn(&Self) -> bool) -> Self {
        let mut without = Self::default();
        // A trouble less makes each further look shorter.
        for (name, _) in TROUBLES {
            without.troubles.insert(name);
            if !fails(&without) {
                without.troubles.remove(name);
            }
        }
        for number in 0..objects {
            without.objects.insert(number);
            if !fails(&without) {
                without.objects.remove(&number);
            }
        }
        without
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.objects.iter().map(ToString::to_string);
        let all: Vec<String> = objects.chain(self.troubles.iter().map(ToString::to_string)).collect();
        f.write_str(&all.join(","))
    }
}

#[test]
fn what_a_failure_does_not_need_is_left_out() {
    let fails = |without: &Without| {
        !without.objects.contains(&2) && !without.troubles.contains("errors") && !without.troubles.contains("second")
    };
    let without = Without::most(4, fails);
    assert_eq!(
        without.to_string(),
        "0,1,3,accident,crashes,down,fate,flapping,foreign,left-lock,lost,meddling,misplaced,sign,squatter,survivors,vanishing"
    );
    assert_eq!(Without::read(&without.to_string()), without);
    assert!(Without::most(4, |_| false).is_empty());
}
