//! Schedules of CronJobs, as the library reads them that the API server checks them with.

use serde_json::Value;

use crate::rehearsal::status::FieldError;

/// The five fields: least, most, and names from the least on.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Words for whole schedules.
const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// What is wrong with `spec.schedule`.
pub fn error(schedule: &Value) -> Option<FieldError> {
    let text = schedule.as_str()?;
    let detail = parse(text).err()?;
    Some(FieldError::invalid("spec.schedule", schedule, &detail))
}

fn parse(text: &str) -> Result<(), String> {
    if text.starts_with('@') {
        let known = WORDS.contains(&text) || text.starts_with("@every ");
        return if known { Ok(()) } else { Err(format!("unrecognized descriptor: {text}")) };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.iter().zip(FIELDS) {
        field.split(',').filter(|part| !part.is_empty()).try_for_each(|part| range(part, bounds))?;
    }
    Ok(())
}

/// One of a field's parts: `*`, `5`, `1-5`, each perhaps with `/2`.
fn range(text: &str, (least, most, names): (u32, u32, &[&str])) -> Result<(), String> {
    let with_step: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = with_step[0].split('-').collect();
    let point = |text: &str| -> Result<u32, String> {
        let place = names.iter().zip(least..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        place.map_or_else(|| number(text), |(_, number)| Ok(number))
    };
    let (first, mut last) = if matches!(ends[0], "*" | "?") {
        (least, most)
    } else {
        match ends[..] {
            [one] => point(one).map(|it| (it, it))?,
            [first, last] => (point(first)?, point(last)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match with_step[..] {
        [_] => 1,
        [_, step] => {
            if ends.len() == 1 {
                last = most;
            }
            number(step)?
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    if first < least {
        Err(format!("beginning of range ({first}) below minimum ({least}): {text}"))
    } else if last > most {
        Err(format!("end of range ({last}) above maximum ({most}): {text}"))
    } else if first > last {
        Err(format!("beginning of range ({first}) beyond end of range ({last}): {text}"))
    } else if step == 0 {
        Err(format!("step of range should be a positive number: {text}"))
    } else {
        Ok(())
    }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["* * * * *", "*/5 0-6,22 ? jan-MAR mon", "@daily", "@every 1h", "0 0 1/2 * 0,6"] {
            assert_eq!(parse(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("every day", "expected exactly 5 fields, found 2: [every day]"),
            ("@dayly", "unrecognized descriptor: @dayly"),
            ("61 * * * banana", "end of range (61) above maximum (59): 61"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            ("* * * * banana", "failed to parse int from banana: strconv.Atoi: parsing \"banana\": invalid syntax"),
        ] {
            assert_eq!(parse(bad), Err(why.to_owned()), "{bad}");
        }
    }
}
