//! What an operator, or whoever else fills an object, would write so that the expression of its `rekindle.dev/ready` becomes true.
//! Nobody plays these programs in a simulation; what they would write is read off the expression, as far as it says so. Pure.

use std::cell::Cell;

use ::cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use serde_json::{Map, Value, json};

use super::keeping::kept;
use crate::health::cel;

/// What stands where an expression only asks whether something is there. It is base64 as well, as values of a Secret are.
const SOMETHING: &str = "simulate";

/// Parts of an expression that are evaluated at most while it is read. One that needs more is not read off in reasonable time.
const MOST_VALUES: usize = 5_000;

/// Bytes of an object for which fewer are.
const LARGE: usize = 64 << 10;

/// Items of a list that are written at most.
const MOST_ITEMS: u64 = 100;

/// What an expression calls all objects that it is about; each is made as if it were the only one.
const OBJECTS: &str = "objects";

/// The object as it would be then; nothing where the expression does not say enough, or the schema of its kind does not let it
/// be. Only below these fields anything is written.
pub fn fulfilled(expression: &str, object: &Value, fields: &[&str], schema: &Value) -> Option<Value> {
    let mut draft = object.clone();
    // Each evaluation takes as long as the object is large.
    let most = MOST_VALUES / (1 + object.to_string().len() / LARGE);
    let written = cel::with_syntax(expression, |syntax| {
        let of_many = expression.contains(OBJECTS);
        let mut writer = Writer { draft: &mut draft, fields, of_many, bound: Vec::new(), left: Cell::new(most) };
        writer.make(syntax, true);
    });
    for field in fields {
        let (Some(value), Some(known)) = (draft.get(*field), schema.pointer(&format!("/properties/{field}"))) else {
            continue;
        };
        draft[*field] = kept(known, value)?;
    }
    let is_true = |draft: &Value| {
        let all = json!([draft]);
        cel::eval_bool(expression, &[("object", draft), (OBJECTS, &all)]).unwrap_or(false)
    };
    (written.is_ok() && is_true(&draft)).then_some(draft)
}

fn is_objects(syntax: &IdedExpr) -> bool {
    matches!(&syntax.expr, Expr::Ident(name) if name == OBJECTS)
}

/// A step on the way to a field.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

type Place = Vec<Step>;

/// What the variable of a loop stands for.
#[derive(Clone, Debug)]
enum Bound {
    /// An item of a list of the object.
    Item(Place),
    /// An item of a list that the expression holds.
    Value(Value),
}

struct Writer<'a> {
    draft: &'a mut Value,
    fields: &'a [&'a str],
    /// Whether the expression is about all objects of some kind.
    of_many: bool,
    /// What the variables of loops stand for.
    bound: Vec<(String, Bound)>,
    /// How many parts may still be evaluated.
    left: Cell<usize>,
}

impl Writer<'_> {
    /// Writes what makes an expression true, or false. What cannot be read off it is left alone: the whole is asked at the end.
    fn make(&mut self, syntax: &IdedExpr, wanted: bool) {
        if self.left.get() == 0 || self.value(syntax) == Some(Value::Bool(wanted)) {
            return;
        }
        match &syntax.expr {
            Expr::Call(call) if call.func_name != operators::INDEX => self.make_call(call, syntax, wanted),
            Expr::Select(select) if select.test => {
                let Some(mut place) = self.place(&select.operand) else { return };
                place.push(Step::Key(select.field.clone()));
                if wanted {
                    self.put(&place, SOMETHING.into());
                } else {
                    self.take(&place);
                }
            }
            Expr::Comprehension(comprehension) => self.make_loop(comprehension, wanted),
            _ => {
                if let Some(place) = self.place(syntax) {
                    self.put(&place, wanted.into());
                }
            }
        }
    }

    fn make_call(&mut self, call: &CallExpr, syntax: &IdedExpr, wanted: bool) {
        match (call.func_name.as_str(), &call.args[..], &call.target) {
            (operators::LOGICAL_NOT, [inner], _) => self.make(inner, !wanted),
            (operators::LOGICAL_AND, sides, _) if wanted => sides.iter().for_each(|side| self.make(side, true)),
            (operators::LOGICAL_OR, sides, _) if !wanted => sides.iter().for_each(|side| self.make(side, false)),
            // One side is enough.
            (operators::LOGICAL_AND | operators::LOGICAL_OR, sides, _) => {
                for side in sides {
                    self.make(side, wanted);
                    if self.value(syntax) == Some(Value::Bool(wanted)) {
                        break;
                    }
                }
            }
            (operators::CONDITIONAL, [asked, then, _], _) => {
                self.make(asked, true);
                self.make(then, wanted);
            }
            (operators::IN, [item, list], _) if wanted => self.make_member(item, list),
            ("startsWith" | "endsWith" | "contains", [part], Some(text)) if wanted => {
                if let (Some(place), Some(part)) = (self.place(text), self.value(part)) {
                    self.put(&place, part);
                }
            }
            (operator, [left, right], _) => self.compare(operator, left, right, wanted),
            _ => {}
        }
    }

    fn make_member(&mut self, item: &IdedExpr, list: &IdedExpr) {
        if let Some(place) = self.place(item).filter(|place| self.may_write(place)) {
            if let Some(Value::Array(items)) = self.value(list)
                && let Some(first) = items.into_iter().next()
            {
                self.put(&place, first);
            }
            return;
        }
        let (Some(mut place), Some(item)) = (self.place(list), self.value(item)) else { return };
        match (self.get(&place), item) {
            (Some(Value::Array(items)), item) => {
                place.push(Step::Index(items.len()));
                self.put(&place, item);
            }
            (None, item) if place.first() == Some(&Step::Key("status".into())) => self.put(&place, json!([item])),
            (_, Value::String(key)) => {
                place.push(Step::Key(key));
                self.put(&place, SOMETHING.into());
            }
            _ => {}
        }
    }

    /// A comparison of a field, or of the size of one, with a value.
    fn compare(&mut self, operator: &str, left: &IdedExpr, right: &IdedExpr, wanted: bool) {
        let swapped = match operator {
            operators::LESS => operators::GREATER,
            operators::LESS_EQUALS => operators::GREATER_EQUALS,
            operators::GREATER => operators::LESS,
            operators::GREATER_EQUALS => operators::LESS_EQUALS,
            same => same,
        };
        for (operator, field, value) in [(operator, left, right), (swapped, right, left)] {
            let Some(wished) = self.value(value).and_then(|value| beside(operator, &value, wanted)) else { continue };
            if let Some(counted) = counted(field)
                && let (Some(place), Some(size)) =
                    (self.place(counted), wished.as_u64().filter(|size| *size <= MOST_ITEMS))
            {
                return self.put(&place, (0..size).map(|at| json!(format!("{SOMETHING}-{at}"))).collect());
            }
            if let Some(place) = self.place(field).filter(|place| self.may_write(place)) {
                return self.put(&place, wished);
            }
        }
    }

    fn make_loop(&mut self, comprehension: &ComprehensionExpr, wanted: bool) {
        let Some((which, condition)) = loop_of(comprehension) else { return };
        if is_objects(&comprehension.iter_range) {
            return match which {
                Loop::All | Loop::Some => {
                    self.within(&comprehension.iter_var, Bound::Item(Vec::new()), |it| it.make(condition, wanted));
                }
                Loop::Filter => {}
            };
        }
        let Some(range) = self.place(&comprehension.iter_range) else {
            return self.make_for_each(comprehension, (which, condition), wanted);
        };
        let there = self.get(&range).and_then(Value::as_array).map_or(0, Vec::len);
        match (which, wanted) {
            (Loop::Some, true) => drop(self.item(&comprehension.iter_var, &range, condition)),
            (Loop::All, true) | (Loop::Some, false) => {
                for at in 0..there {
                    let item = [&range[..], &[Step::Index(at)]].concat();
                    self.within(&comprehension.iter_var, Bound::Item(item), |it| it.make(condition, wanted));
                }
            }
            _ => {}
        }
    }

    /// The same for a list that the expression holds: `['Installed', 'Healthy'].all(t, …)`.
    fn make_for_each(
        &mut self,
        comprehension: &ComprehensionExpr,
        (which, condition): (Loop, &IdedExpr),
        wanted: bool,
    ) {
        let Some(Value::Array(items)) = self.value(&comprehension.iter_range) else { return };
        let each = match which {
            Loop::All if wanted => items.len(),
            Loop::Some if wanted => 1,
            _ => 0,
        };
        for item in items.into_iter().take(each) {
            self.within(&comprehension.iter_var, Bound::Value(item), |it| it.make(condition, true));
        }
    }

    /// An item of a list that meets a condition: one that is there, or a new one, in the place of what has the same type.
    fn item(&mut self, variable: &str, range: &Place, condition: &IdedExpr) -> Place {
        let mut items = self.get(range).and_then(Value::as_array).cloned().unwrap_or_default();
        let at = |index: usize| [&range[..], &[Step::Index(index)]].concat();
        for index in 0..items.len() {
            if self.within(variable, Bound::Item(at(index)), |it| it.value(condition)) == Some(Value::Bool(true)) {
                return at(index);
            }
        }
        self.put(range, items.iter().cloned().chain([json!({})]).collect());
        self.within(variable, Bound::Item(at(items.len())), |it| it.make(condition, true));
        let new = self.get(&at(items.len())).cloned().unwrap_or_default();
        let same = items.iter().position(|item| item.get("type").is_some() && item.get("type") == new.get("type"));
        let index = same.unwrap_or(items.len());
        match same {
            Some(index) => items[index] = new,
            None => items.push(new),
        }
        self.put(range, items.into());
        at(index)
    }

    /// Does something inside a loop.
    fn within<T>(&mut self, variable: &str, bound: Bound, work: impl FnOnce(&mut Self) -> T) -> T {
        self.bound.push((variable.to_owned(), bound));
        let done = work(self);
        self.bound.pop();
        done
    }

    /// The place that an expression names.
    fn place(&mut self, syntax: &IdedExpr) -> Option<Place> {
        match &syntax.expr {
            Expr::Ident(name) if name == "object" => Some(Vec::new()),
            Expr::Ident(name) => match self.bound.iter().rev().find(|(known, _)| known == name) {
                Some((_, Bound::Item(place))) => Some(place.clone()),
                _ => None,
            },
            Expr::Select(select) if !select.test => {
                let mut place = self.place(&select.operand)?;
                place.push(Step::Key(select.field.clone()));
                Some(place)
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [of, which] = &call.args[..] else { return None };
                // `conditions.filter(c, c.type == 'Ready')[0]`
                if let Expr::Comprehension(comprehension) = &of.expr
                    && let Some((Loop::Filter, condition)) = loop_of(comprehension)
                {
                    let range = self.place(&comprehension.iter_range)?;
                    return Some(self.item(&comprehension.iter_var, &range, condition));
                }
                if is_objects(of) {
                    return Some(Vec::new());
                }
                let mut place = self.place(of)?;
                place.push(match self.value(which)? {
                    Value::String(key) => Step::Key(key),
                    number => Step::Index(
                        number
                            .as_u64()
                            .filter(|index| *index < MOST_ITEMS)
                            .and_then(|index| usize::try_from(index).ok())?,
                    ),
                });
                Some(place)
            }
            _ => None,
        }
    }

    /// What an expression is now.
    fn value(&self, syntax: &IdedExpr) -> Option<Value> {
        self.left.set(self.left.get().checked_sub(1)?);
        let all = if self.of_many { json!([&*self.draft]) } else { Value::Null };
        let mut variables = vec![("object", &*self.draft), (OBJECTS, &all)];
        for (name, bound) in &self.bound {
            let value = match bound {
                Bound::Item(place) => self.get(place)?,
                Bound::Value(value) => value,
            };
            variables.push((name, value));
        }
        cel::value_of(syntax, &variables)
    }

    fn may_write(&self, place: &Place) -> bool {
        matches!(place.first(), Some(Step::Key(field)) if self.fields.contains(&field.as_str()))
    }

    fn get(&self, place: &Place) -> Option<&Value> {
        place.iter().try_fold(&*self.draft, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    fn put(&mut self, place: &Place, value: Value) {
        if !self.may_write(place) {
            return;
        }
        let mut at = &mut *self.draft;
        for step in place {
            at = match step {
                Step::Key(key) => {
                    if !at.is_object() {
                        *at = Value::Object(Map::new());
                    }
                    &mut at[key.as_str()]
                }
                Step::Index(index) => {
                    let mut items = at.as_array().cloned().unwrap_or_default();
                    items.resize(items.len().max(index + 1), json!({}));
                    *at = items.into();
                    &mut at[*index]
                }
            };
        }
        *at = value;
    }

    fn take(&mut self, place: &Place) {
        let Some((Step::Key(last), before)) = place.split_last().filter(|_| self.may_write(place)) else { return };
        let mut at = &mut *self.draft;
        for step in before {
            let next = match step {
                Step::Key(key) => at.get_mut(key),
                Step::Index(index) => at.get_mut(index),
            };
            let Some(next) = next else { return };
            at = next;
        }
        if let Some(fields) = at.as_object_mut() {
            fields.shift_remove(last);
        }
    }
}

/// What a loop asks of the items of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loop {
    /// `exists`, `exists_one`
    Some,
    /// `all`
    All,
    /// `filter`
    Filter,
}

/// What a loop that a macro has made asks, with its condition.
fn loop_of(comprehension: &ComprehensionExpr) -> Option<(Loop, &IdedExpr)> {
    let Expr::Call(step) = &comprehension.loop_step.expr else { return None };
    match (&comprehension.accu_init.expr, step.func_name.as_str(), &step.args[..]) {
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR, [_, condition]) => {
            Some((Loop::Some, condition))
        }
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND, [_, condition]) => {
            Some((Loop::All, condition))
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL, [condition, ..]) => Some((Loop::Some, condition)),
        (Expr::List(_), operators::CONDITIONAL, [condition, ..]) => Some((Loop::Filter, condition)),
        _ => None,
    }
}

/// What `size(x)` or `x.size()` counts.
fn counted(syntax: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(call) = &syntax.expr else { return None };
    (call.func_name == "size").then(|| call.target.as_deref().or(call.args.first()))?
}

/// A value that compares with another one as wanted.
fn beside(operator: &str, value: &Value, wanted: bool) -> Option<Value> {
    let more = |by: i32| match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.checked_add(by.into()).map(|number| json!(number)),
            (None, Some(number)) => Some(json!(number + f64::from(by))),
            (None, None) => None,
        },
        _ => None,
    };
    match (operator, wanted) {
        (operators::EQUALS, true) | (operators::NOT_EQUALS, false) => Some(value.clone()),
        (operators::EQUALS, false) | (operators::NOT_EQUALS, true) => match value {
            Value::Bool(is) => Some((!is).into()),
            Value::Number(_) => more(1),
            _ => Some(SOMETHING.into()),
        },
        (operators::GREATER, true) | (operators::LESS_EQUALS, false) => more(1),
        (operators::GREATER_EQUALS | operators::LESS_EQUALS, true) => more(0),
        (operators::LESS | operators::GREATER, false) => more(0),
        (operators::LESS, true) | (operators::GREATER_EQUALS, false) => more(-1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn object() -> Value {
        json!({"metadata": {"generation": 3}, "spec": {"instances": 3, "names": ["a", "b"]}, "status": {
            "observedGeneration": 3, "conditions": [{"type": "Ready", "status": "True"}, {"type": "Synced", "status": "False"}]}})
    }

    #[test]
    fn what_operators_write_is_read_off_the_expression() {
        for expression in [
            "object.status.phase == 'Cluster in healthy state'",
            "has(object.status) && has(object.status.phase) && object.status.phase == 'Running'",
            "object.status.readyInstances == object.spec.instances",
            "object.spec.instances <= object.status.readyInstances",
            "object.status.readyInstances > 2 && object.status.failed < 1",
            "object.status.ready",
            "!object.status.paused",
            "!has(object.status.conditions)",
            "object.status.observedGeneration >= object.metadata.generation && object.status.health == 'green'",
            "object.status.conditions.exists(c, c.type == 'Available' && c.status == 'True')",
            "object.status.conditions.exists(c, c.type == 'Synced' && c.status == 'True')",
            "object.status.conditions.exists_one(c, c.type == 'Synced' && c.status == 'True')",
            "object.status.conditions.all(c, c.status == 'True')",
            "object.status.conditions.filter(c, c.type == 'Synced')[0].status == 'True'",
            "!object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
            "object.status.state in ['Ready', 'Running']",
            "'a' in object.status.members",
            "size(object.status.endpoints) >= 2",
            "object.status.url.size() > 0",
            "object.status.url != ''",
            "object.status.version.startsWith('v17')",
            "has(object.status.x) ? object.status.x.y == 1 : false",
            "object.status.lag < 5 || object.metadata.name == 'x'",
            "object.metadata.name == 'x' || object.status.lag < 5",
            "object.status['current-phase'] == 'Done'",
            "object.status['is-ready']",
            "!object.status['is-held'] && has(object.status.url)",
            "object.status.shards[1].state == 'open'",
            "object.spec.names.all(n, n in object.status.members)",
            "['Installed', 'Healthy'].all(t, object.status.conditions.exists(c, c.type == t && c.status == 'True'))",
            "['open', 'ajar'].exists(s, object.status.state == s)",
            "objects.all(o, o.status.phase == 'Running')",
            "objects.size() > 0 && objects.exists(o, o.status.conditions.exists(c, c.type == 'Synced' && c.status == 'True'))",
            "objects[0].status.ready",
        ] {
            let whole = fulfilled(expression, &object(), &["status"], &Value::Null);
            let whole = whole.unwrap_or_else(|| panic!("{expression}"));
            assert_eq!(whole["spec"], object()["spec"], "{expression}");
        }
        let whole = fulfilled(
            "object.status.conditions.exists(c, c.type == 'Synced' && c.status == 'True')",
            &object(),
            &["status"],
            &Value::Null,
        );
        let types: Vec<_> =
            whole.unwrap()["status"]["conditions"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect();
        assert_eq!(types, ["Ready", "Synced"], "each type once");
    }

    #[test]
    fn what_something_else_fills_is_read_off_the_expression() {
        let config = json!({"metadata": {"name": "ca"}});
        for expression in [
            "has(object.data) && has(object.data.ca)",
            "has(object.data.ca) && object.data.ca != ''",
            "'tls.crt' in object.data",
            "object.data['tls.crt'].size() > 0",
            "has(object.data) && 'a' in object.data && object.data.a.startsWith('b')",
        ] {
            assert!(fulfilled(expression, &config, &["data"], &Value::Null).is_some(), "{expression}");
        }
        let secret = fulfilled("'tls.crt' in object.data", &config, &["data"], &Value::Null).unwrap();
        let value = secret["data"]["tls.crt"].as_str().unwrap();
        assert!(
            value.len().is_multiple_of(4) && value.bytes().all(|it| it.is_ascii_alphanumeric()),
            "base64 as well: {value}"
        );
    }

    #[test]
    fn what_the_schema_does_not_take_is_not_written() {
        let phase = json!({"type": "string", "enum": ["Pending", "Running"]});
        let schema = json!({"properties": {"status": {"type": "object", "properties": {"phase": phase}}}});
        let written = |expression: &str| fulfilled(expression, &json!({"spec": {}}), &["status"], &schema);
        assert!(written("object.status.phase == 'Running'").is_some());
        assert_eq!(written("object.status.phase == 'Runing'"), None);
        assert_eq!(written("object.status.raedy"), None);
    }

    #[test]
    fn an_expression_that_asks_for_too_much_is_given_up() {
        for expression in [
            "size(object.status.a) >= 900 && object.status.a.all(x, object.status.a.all(y, object.status.a.all(z, z.s == x.s)))",
            "size(object.status.a) >= 90 && object.status.a.all(x, object.status.a.all(y, object.status.a.all(z, z.s == x.s)))",
            "object.status.x > 9223372036854775807",
            "object.status.a[99999999].b == 1",
        ] {
            assert_eq!(fulfilled(expression, &object(), &["status"], &Value::Null), None, "{expression}");
        }
        assert!(fulfilled("object.status.percent > 0.99", &object(), &["status"], &Value::Null).is_some());
    }

    #[test]
    fn what_an_expression_does_not_say_is_not_made_up() {
        for expression in [
            "object.spec.instances == 5",
            "object.metadata.name == 'other'",
            "object.status.url.matches('^https://.*x$')",
            "object.status.a == object.status.b + 1",
            "object.status.a + 1 == 2",
            "false",
            "not CEL (",
        ] {
            assert_eq!(fulfilled(expression, &object(), &["status"], &Value::Null), None, "{expression}");
        }
    }
}
