//! CEL over JSON: the expressions of the annotation `rekindle.dev/ready` and of `condition` gates. Pure and bounded:
//! no clock, no regular expression that explodes, a limit on length, nesting and steps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::extractors::This;
use cel::objects::{Key, Map};
use cel::parser::Parser;
use cel::{Context, ExecutionError, Value as CelValue};
use serde_json::Value;

/// Longest expression, in bytes.
const MAX_LENGTH: usize = 8 * 1024;
/// Most operators, dots and opening brackets included: a chain of them is a tree as deep as it is long.
const MAX_OPERATORS: usize = 400;
/// Deepest nesting of brackets; the parser recurses once a level.
const MAX_BRACKETS: usize = 40;
/// Steps that all loops (`all`, `exists`, `map`, `filter` …) of one evaluation may take together.
const MAX_STEPS: u32 = 100_000;
/// Memory that one compiled regular expression may take, in bytes.
const MAX_REGEX: usize = 1 << 20;
/// Stack of the thread that parses and evaluates, in bytes; both recurse, up to 100 KB a level in a debug build.
const STACK: usize = 96 << 20;
/// The function that is put into every loop's condition to count its steps.
const STEP: &str = "rekindle_step";
/// What the step function fails with when the budget is used up.
const STEPS_USED_UP: &str = "steps used up";

/// Why an expression gave no answer. The texts never contain a value of the judged object, which may be a Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CelError {
    /// It is not CEL, or larger than the limits.
    #[error("{0}")]
    Syntax(String),
    /// It uses a variable that is not given here.
    #[error("`{name}` is not known here, only {known}")]
    UnknownName {
        /// As written.
        name: String,
        /// The variables that are given, e.g. `` `object` ``.
        known: String,
    },
    /// It calls a function that does not exist.
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    /// A field that it reads is not there (yet): to be treated as false.
    #[error("{0}")]
    Missing(String),
    /// It gives something else than true or false.
    #[error("its value is of type {0}, not true or false")]
    NotBoolean(String),
    /// It went wrong on the way.
    #[error("{0}")]
    Evaluation(String),
}

impl CelError {
    /// Whether it only says that something is not there yet, so that the answer is false for now.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// Whether no object could ever satisfy the expression: it is written wrongly.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Syntax(_) | Self::UnknownName { .. } | Self::UnknownFunction(_) | Self::NotBoolean(_))
    }
}

/// Evaluates an expression over named JSON values.
///
/// # Errors
/// [`CelError::Missing`] when a field that it reads is not there (`has()` asks without an error); the other
/// [`CelError`]s when it is written wrongly, gives no boolean or takes too many steps.
pub fn eval_bool(expression: &str, variables: &[(&str, &Value)]) -> Result<bool, CelError> {
    evaluate(expression, variables, |value| match value {
        CelValue::Bool(answer) => Ok(answer),
        // As an operator leaves it that has not looked yet.
        CelValue::Null => Err(CelError::Missing("its value is null".into())),
        other => Err(CelError::NotBoolean(other.type_of().to_string())),
    })
}

/// Evaluates an expression that gives a text, or a number, which is written as one.
///
/// # Errors
/// As [`eval_bool`]; [`CelError::Evaluation`] when it gives something else.
pub fn eval_text(expression: &str, variables: &[(&str, &Value)]) -> Result<String, CelError> {
    evaluate(expression, variables, |value| match value {
        CelValue::String(text) => Ok(text.as_ref().clone()),
        CelValue::Int(number) => Ok(number.to_string()),
        CelValue::UInt(number) => Ok(number.to_string()),
        CelValue::Float(number) => Ok(number.to_string()),
        other => Err(CelError::Evaluation(format!("gives a {}, not a text", other.type_of()))),
    })
}

fn evaluate<T: Send>(
    expression: &str,
    variables: &[(&str, &Value)],
    finish: impl FnOnce(CelValue) -> Result<T, CelError> + Send,
) -> Result<T, CelError> {
    with_room(|| {
        let mut ast = parse(expression)?;
        check_functions(&ast)?;
        count_steps(&mut ast);
        let mut context = context();
        for (name, value) in variables {
            context.add_variable_from_value(*name, to_cel(value));
        }
        match context.resolve(&ast) {
            Ok(value) => finish(value),
            Err(error) => Err(explain(&error, variables)),
        }
    })
}

/// Checks syntax and functions of an expression without evaluating it.
///
/// # Errors
/// [`CelError::Syntax`] or [`CelError::UnknownFunction`].
pub fn check(expression: &str) -> Result<(), CelError> {
    with_room(|| check_functions(&parse(expression)?))
}

/// Like [`check`], and also that the expression reads only the given variables.
///
/// # Errors
/// Those of [`check`] and [`CelError::UnknownName`].
pub fn check_with(expression: &str, variables: &[&str]) -> Result<(), CelError> {
    with_room(|| {
        let ast = parse(expression)?;
        check_functions(&ast)?;
        match first_unknown(&ast, &mut variables.to_vec()) {
            Some(name) => Err(unknown_name(&name, variables)),
            None => Ok(()),
        }
    })
}

/// Hands the syntax tree of an expression to `work`, which may recurse as deep as the tree is.
///
/// # Errors
/// Those of [`check`].
pub fn with_syntax<T: Send>(expression: &str, work: impl FnOnce(&IdedExpr) -> T + Send) -> Result<T, CelError> {
    with_room(|| {
        let ast = parse(expression)?;
        check_functions(&ast)?;
        Ok(work(&ast))
    })
}

/// What a part of a syntax tree evaluates to, as JSON; nothing where it does not. Within [`with_syntax`].
pub fn value_of(syntax: &IdedExpr, variables: &[(&str, &Value)]) -> Option<Value> {
    let mut syntax = syntax.clone();
    count_steps(&mut syntax);
    let mut context = context();
    for (name, value) in variables {
        context.add_variable_from_value(*name, to_cel(value));
    }
    context.resolve(&syntax).ok()?.json().ok()
}

/// Runs on a thread whose stack fits the deepest expression that [`parse`] lets through. The stack is only address
/// space until it is used, and the thread lives for well under a millisecond.
fn with_room<T: Send>(work: impl FnOnce() -> Result<T, CelError> + Send) -> Result<T, CelError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("cel".into()).stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CelError::Evaluation("cannot be evaluated".into())),
            Err(_) => Err(CelError::Evaluation("cannot be evaluated: the system refuses a thread".into())),
        }
    })
}

fn parse(expression: &str) -> Result<IdedExpr, CelError> {
    if expression.trim().is_empty() {
        return Err(CelError::Syntax("the expression is empty".into()));
    }
    if expression.len() > MAX_LENGTH {
        return Err(CelError::Syntax(format!("the expression is longer than {MAX_LENGTH} bytes")));
    }
    let (mut depth, mut operators) = (0usize, 0usize);
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                operators += 1;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'!' | b'<' | b'>' | b'=' | b'&' | b'|' | b'?' => operators += 1,
            _ => {}
        }
        if operators > MAX_OPERATORS {
            return Err(CelError::Syntax(format!("the expression has more than {MAX_OPERATORS} operators")));
        }
        if depth > MAX_BRACKETS {
            return Err(CelError::Syntax(format!("brackets are nested deeper than {MAX_BRACKETS} levels")));
        }
    }
    Parser::default().parse(expression).map_err(|errors| {
        let text = errors.errors.first().map_or_else(String::new, |error| {
            let message = error.msg.trim_start_matches("Syntax error: ");
            let message = message.split(" expecting {").next().unwrap_or(message);
            // The parser's report on its own limits is a dump of an internal error.
            let message = if message.starts_with("OtherError") { "nested too deeply" } else { message };
            let message = without_tokens(&message.replace("'<EOF>'", "the end"));
            let place = match error.pos {
                (1, column) => format!("column {}", column.max(1)),
                (line, column) => format!("line {}, column {}", line.max(1), column.max(1)),
            };
            format!("syntax error at {place}: {message}")
        });
        CelError::Syntax(if text.is_empty() { "syntax error".into() } else { text })
    })
}

/// A message of the parser without the pieces of the expression that it quotes: a template may have put a secret there,
/// and a piece of one is not recognised where text is redacted. The place tells as much.
fn without_tokens(message: &str) -> String {
    match (message.find('\''), message.rfind('\'')) {
        (Some(first), Some(last)) => {
            let before = message[..first].trim_end().trim_end_matches(" at").trim_end_matches([' ', ':']);
            let after = &message[last + 1..];
            format!("{before}{after}").replace(['\n', '\r'], " ")
        }
        _ => message.replace(['\n', '\r'], " "),
    }
}

/// The functions of the standard library (without clock and time zones), and `matches`.
fn context() -> Context<'static, 'static> {
    let mut context = Context::default();
    let taken = AtomicU32::new(0);
    // Neither name is declared by the standard library as it is built here, so neither can be refused.
    let _ = context.add_function(STEP, move || -> Result<bool, ExecutionError> {
        if taken.fetch_add(1, Ordering::Relaxed) < MAX_STEPS {
            Ok(true)
        } else {
            Err(ExecutionError::function_error(STEP, STEPS_USED_UP))
        }
    });
    let _ = context.add_function("matches", |This(text): This<Arc<String>>, pattern: Arc<String>| {
        regex::RegexBuilder::new(&pattern)
            .size_limit(MAX_REGEX)
            .build()
            .map(|regex| regex.is_match(&text))
            .map_err(|_| ExecutionError::function_error("matches", "not a valid regular expression"))
    });
    context
}

/// Puts the step counter into every loop of the expression: `condition` becomes `rekindle_step() && condition`.
fn count_steps(ast: &mut IdedExpr) {
    for child in children_mut(ast) {
        count_steps(child);
    }
    if let Expr::Comprehension(comprehension) = &mut ast.expr {
        let step =
            IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: STEP.into(), target: None, args: Vec::new() }) };
        let condition = std::mem::take(&mut comprehension.loop_cond);
        // A conditional, because `&&` would swallow the counter's error when the other side is false.
        comprehension.loop_cond = IdedExpr {
            id: 0,
            expr: Expr::Call(CallExpr {
                func_name: operators::CONDITIONAL.into(),
                target: None,
                args: vec![
                    step,
                    condition,
                    IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Boolean(false.into())) },
                ],
            }),
        };
    }
}

fn children(ast: &IdedExpr) -> Vec<&IdedExpr> {
    use cel::common::ast::EntryExpr;
    match &ast.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(it) => {
            vec![&it.iter_range, &it.accu_init, &it.loop_cond, &it.loop_step, &it.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })
            .collect(),
        Expr::Select(select) => vec![&*select.operand],
        Expr::Struct(it) => it
            .entries
            .iter()
            .flat_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })
            .collect(),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn children_mut(ast: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    use cel::common::ast::EntryExpr;
    match &mut ast.expr {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::Comprehension(it) => {
            vec![&mut it.iter_range, &mut it.accu_init, &mut it.loop_cond, &mut it.loop_step, &mut it.result]
        }
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => map
            .entries
            .iter_mut()
            .flat_map(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
                EntryExpr::StructField(field) => vec![&mut field.value],
            })
            .collect(),
        Expr::Select(select) => vec![&mut *select.operand],
        Expr::Struct(it) => it
            .entries
            .iter_mut()
            .flat_map(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
                EntryExpr::StructField(field) => vec![&mut field.value],
            })
            .collect(),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

/// Finds calls of functions that do not exist by calling each name once, as a function and as a method: only an
/// unknown name answers that it is undeclared.
fn check_functions(ast: &IdedExpr) -> Result<(), CelError> {
    let references = ast.references();
    let mut names: Vec<&str> = references
        .functions()
        .into_iter()
        .filter(|name| name.starts_with(|first: char| first.is_ascii_alphabetic()))
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        return Ok(());
    }
    let context = context();
    let literal = || IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Boolean(true.into())) };
    for name in names {
        let undeclared = |target: Option<Box<IdedExpr>>, args: Vec<IdedExpr>| {
            let call = Expr::Call(CallExpr { func_name: name.to_owned(), target, args });
            matches!(context.resolve(&IdedExpr { id: 0, expr: call }), Err(ExecutionError::UndeclaredReference(_)))
        };
        if name == STEP || (undeclared(None, vec![literal()]) && undeclared(Some(Box::new(literal())), Vec::new())) {
            return Err(CelError::UnknownFunction(name.to_owned()));
        }
    }
    Ok(())
}

/// The first variable that is neither given nor bound by a loop around it.
fn first_unknown<'a>(ast: &'a IdedExpr, known: &mut Vec<&'a str>) -> Option<String> {
    match &ast.expr {
        Expr::Ident(name) => {
            let name = name.trim_start_matches('.');
            let is_type = matches!(
                name,
                "int" | "uint" | "double" | "bool" | "string" | "bytes" | "list" | "map" | "null_type" | "type"
            );
            (!name.starts_with('@') && !is_type && !known.contains(&name)).then(|| name.to_owned())
        }
        Expr::Comprehension(it) => {
            if let Some(name) = first_unknown(&it.iter_range, known) {
                return Some(name);
            }
            let before = known.len();
            known.push(&it.iter_var);
            known.extend(it.iter_var2.as_deref());
            known.push(&it.accu_var);
            let found = [&it.accu_init, &it.loop_cond, &it.loop_step, &it.result]
                .into_iter()
                .find_map(|part| first_unknown(part, known));
            known.truncate(before);
            found
        }
        _ => children(ast).into_iter().find_map(|child| first_unknown(child, known)),
    }
}

fn unknown_name(name: &str, known: &[&str]) -> CelError {
    let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    CelError::UnknownName { name: name.to_owned(), known: if known.is_empty() { "literals".into() } else { known } }
}

/// An evaluation error in words, without the values that it holds.
fn explain(error: &ExecutionError, variables: &[(&str, &Value)]) -> CelError {
    match error {
        ExecutionError::NoSuchKey(key) => CelError::Missing(format!("there is no field `{key}`")),
        ExecutionError::IndexOutOfBounds(_) => CelError::Missing("a list is shorter than the index asked for".into()),
        ExecutionError::UndeclaredReference(name) => {
            let known: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
            unknown_name(name, &known)
        }
        ExecutionError::NoSuchOverload(overload) => {
            let types = overload.argument_types().join(", ");
            if overload.argument_types().iter().any(|name| name.contains("null")) {
                CelError::Missing(format!("`{}` meets a null ({types})", operator(overload.function())))
            } else {
                CelError::Evaluation(format!("`{}` does not work on ({types})", operator(overload.function())))
            }
        }
        ExecutionError::FunctionError { function, message } if function == STEP && message == STEPS_USED_UP => {
            CelError::Evaluation(format!("takes more than {MAX_STEPS} steps"))
        }
        ExecutionError::FunctionError { function, .. } => {
            CelError::Evaluation(format!("`{function}` cannot work with its arguments"))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            CelError::Evaluation("divides by zero".into())
        }
        ExecutionError::Overflow(..) => CelError::Evaluation("a number gets too large".into()),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            CelError::Evaluation(format!("a function takes {expected} arguments, not {actual}"))
        }
        ExecutionError::UnsupportedBinaryOperator(name, ..) => {
            CelError::Evaluation(format!("`{}` does not work on these types", operator(name)))
        }
        _ => CelError::Evaluation("compares or reads values of the wrong type".into()),
    }
}

/// CEL's internal operator names as they are written: `_==_` is `==`.
fn operator(name: &str) -> &str {
    match name {
        "_[_]" => "[ ]",
        "@in" | "_in_" => "in",
        _ => name.trim_matches('_'),
    }
}

fn to_cel(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(it) => CelValue::Bool(*it),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(it), _) => CelValue::Int(it),
            (None, Some(it)) => CelValue::UInt(it),
            (None, None) => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(it) => CelValue::String(Arc::new(it.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let map: HashMap<Key, CelValue> =
                fields.iter().map(|(key, value)| (Key::String(Arc::new(key.clone())), to_cel(value))).collect();
            CelValue::Map(Map { map: Arc::new(map) })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn eval(expression: &str) -> Result<bool, CelError> {
        let object = json!({
            "metadata": {"name": "db", "generation": 2, "labels": {"a/b": "c"}},
            "spec": {"replicas": 3, "ratio": 0.5, "huge": u64::MAX, "nothing": null},
            "status": {"ready": 3, "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "False", "reason": "Fine"}]},
        });
        eval_bool(expression, &[("object", &object)])
    }

    #[test]
    fn a_complaint_quotes_nothing_of_the_expression() {
        for expression in
            ["(31mPwqOv6BC0TMO8xyGd", "(mPwqOv6BC0TMO8xyGd", "a mPwqOv6BC0TMO8xyGd", "'mPwqOv6BC0TMO8xyGd"]
        {
            let told = check(expression).unwrap_err().to_string();
            assert!(told.starts_with("syntax error at column ") && !told.contains("mPwq"), "{told}");
        }
    }

    #[test]
    fn answers() {
        for (expression, expected) in [
            ("object.status.ready == object.spec.replicas", true),
            ("object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')", true),
            ("object.status.conditions.all(c, c.status == 'True')", false),
            ("object.status.conditions.filter(c, c.status == 'True').size() == 1", true),
            ("has(object.status.ready)", true),
            ("has(object.status.missing)", false),
            ("has(object.status.missing) && object.status.missing == 1", false),
            ("object.status.missing == 1 || true", true),
            ("object.spec.ratio < 1.0", true),
            ("object.spec.ratio < 1", true),
            ("object.spec.huge > 18446744073709551614u", true),
            ("object.spec.nothing == null", true),
            ("object.metadata.labels['a/b'] == 'c'", true),
            ("'a/b' in object.metadata.labels", true),
            ("object.metadata.name.matches('^d[bc]$')", true),
            ("matches(object.metadata.name, 'x')", false),
            ("int('3') == object.spec.replicas", true),
            ("object.status.conditions[0].type.startsWith('Re')", true),
            ("size(object.status.conditions.map(c, c.type)) == 2", true),
        ] {
            assert_eq!(eval(expression), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_missing() {
        for (expression, text) in [
            ("object.status.missing == 1", "there is no field `missing`"),
            ("object.status.conditions[7].type == 'x'", "shorter than the index"),
            ("object.spec.nothing > 1", "null"),
            ("object.spec.nothing.deeper == 1", ""),
        ] {
            let error = eval(expression).unwrap_err();
            assert!(error.is_missing() && !error.is_lasting(), "{expression}: {error:?}");
            assert!(error.to_string().contains(text), "{expression}: {error}");
        }
    }

    #[test]
    fn what_is_written_wrongly_lasts() {
        for (expression, text) in [
            ("", "empty"),
            ("object.status.", "syntax error at column"),
            ("object.a ==", "syntax error"),
            ("objekt.a == 1", "`objekt` is not known here, only `object`"),
            ("object.metadata.name.frob()", "no function `frob`"),
            ("frob(1)", "no function `frob`"),
            ("has(object.nowhere) && frob(1)", "no function `frob`"),
            ("rekindle_step()", "no function `rekindle_step`"),
            ("object.spec.replicas", "of type int"),
        ] {
            let error = eval(expression).unwrap_err();
            assert!(error.is_lasting() && !error.is_missing(), "{expression}: {error:?}");
            assert!(error.to_string().contains(text), "{expression}: {error}");
            assert!(!error.to_string().contains('\n'), "{expression}: {error}");
        }
    }

    #[test]
    fn texts_and_numbers_are_texts() {
        let object = json!({"name": "db", "ready": 2, "ratio": 0.5});
        let text = |expression| eval_text(expression, &[("object", &object)]);
        assert_eq!(text("object.name + ' ' + string(object.ready)"), Ok("db 2".to_owned()));
        assert_eq!(text("object.ready"), Ok("2".to_owned()));
        assert_eq!(text("object.ratio"), Ok("0.5".to_owned()));
        assert!(text("object.nowhere").unwrap_err().is_missing());
        assert_eq!(text("true"), Err(CelError::Evaluation("gives a bool, not a text".into())));
    }

    #[test]
    fn check_needs_no_object() {
        assert_eq!(check("object.status.ready == 1"), Ok(()));
        assert!(matches!(check("object.status.ready = 1"), Err(CelError::Syntax(_))));
        assert!(matches!(check("oops(object)"), Err(CelError::UnknownFunction(_))));
        assert_eq!(check_with("objects.all(o, has(o.status) && type(o.a) == int)", &["objects"]), Ok(()));
        assert!(matches!(
            check_with("objects.all(o, p.status == 1)", &["objects"]),
            Err(CelError::UnknownName { name, .. }) if name == "p"
        ));
    }

    #[test]
    fn an_error_never_holds_a_value() {
        let secret = json!({"data": {"password": "hunter2"}, "list": ["hunter2"]});
        for expression in [
            "object.data.password > 1",
            "object.data.password",
            "object.data.password.size() == 'x' + 1",
            "object.data.password[0] == 'h'",
            "int(object.data.password) == 1",
            "object.data.password.matches('(') == true",
            "1.matches(object.data.password)",
            "object.list + 1 == 2",
            "object[object.data.password] == 1",
            "{object.data.password: 1, object.data.password: 2}.size() == 1",
            "object.list.contains('x')",
            "object.list[object.data.password] == 1",
            "object.data.password.startsWith(1)",
        ] {
            if let Err(error) = eval_bool(expression, &[("object", &secret)]) {
                let told = expression.contains("object[object");
                assert!(told || !error.to_string().contains("hunter2"), "{expression}: {error}");
            }
        }
    }

    #[test]
    fn resources_are_bounded() {
        let many = json!({"l": (0..2000).collect::<Vec<_>>()});
        let error = eval_bool("object.l.all(a, object.l.all(b, object.l.all(c, true)))", &[("object", &many)]);
        assert!(matches!(&error, Err(CelError::Evaluation(text)) if text.contains("steps")), "{error:?}");
        let error = eval_bool("object.l.all(a, object.l.exists(b, b < 0) || true)", &[("object", &many)]);
        assert!(matches!(&error, Err(CelError::Evaluation(text)) if text.contains("steps")), "{error:?}");
        assert!(matches!(check(&"(".repeat(5000)), Err(CelError::Syntax(_))));
        assert!(check(&format!("{}1{} == 1", "(".repeat(39), ")".repeat(39))).is_ok());
        assert!(matches!(check(&"1+".repeat(9000)), Err(CelError::Syntax(_))));
        for unit in ["1+", "!", "-", "1 ? 1 : ", "object.", "object in "] {
            let nearly = eval(&format!(
                "{}object == 1",
                unit.repeat(398 / unit.matches(['?', '.', '+', '!', '-']).count().max(1))
            ));
            assert!(!format!("{nearly:?}").contains("ParseError"), "{nearly:?}");
            let _ = eval(&format!("{}object == 1", unit.repeat(3000 / unit.len())));
        }
        let _ = eval(&format!("object{}", "[0]".repeat(2700)));
        let _ = eval(&format!("object{}", "()".repeat(2700)));
        assert!(eval("'a'.matches('(a{1000}){1000}{1000}')").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = eval(&text);
        }

        #[test]
        fn no_mangled_expression_makes_it_panic(text in "(object|\\.|status|has|\\(|\\)|\\[|\\]|==|&&|!|1|'x'|\\?|:| ){0,24}") {
            let _ = eval(&text);
        }
    }
}
