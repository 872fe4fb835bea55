//! Asking until a gate passes, and stays passed for as long as it must.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Answer, Asker, Gate};

/// Pause after the first answer that is not yet the wanted one; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// While a gate must hold it is asked this many times, at least once a second.
const QUESTIONS_PER_HOLD: u32 = 5;
const LONGEST_HOLD_PAUSE: Duration = Duration::from_secs(1);

/// Asks a gate until it passes and has stayed passed for `hold` (usually `gate.hold`). `on_change` gets every answer whose
/// text or verdict differs from the one before. Needs tokio's clock only; dropping the future ends every connection.
///
/// # Errors
/// The last answer, when the gate did not pass within `gate.timeout` or can never pass.
pub async fn wait(
    asker: &Asker,
    gate: &Gate,
    hold: Duration,
    on_change: impl FnMut(&Answer),
) -> Result<Answer, Answer> {
    wait_for(|| asker.ask(gate), gate.timeout, hold, on_change).await
}

async fn wait_for<F: Future<Output = Answer>>(
    mut ask: impl FnMut() -> F,
    limit: Duration,
    hold: Duration,
    mut on_change: impl FnMut(&Answer),
) -> Result<Answer, Answer> {
    let deadline = Instant::now() + limit;
    let mut pause = FIRST_PAUSE;
    let mut passed_since: Option<Instant> = None;
    let mut last: Option<Answer> = None;
    loop {
        let Ok(answer) = timeout_at(deadline, ask()).await else { break };
        if last.as_ref() != Some(&answer) {
            on_change(&answer);
        }
        let fatal = answer.fatal;
        let passed = answer.passed;
        last = Some(answer.clone());
        if fatal {
            return Err(answer);
        }
        let now = Instant::now();
        let next = if passed {
            let held_until = *passed_since.get_or_insert(now) + hold;
            if now >= held_until {
                return Ok(answer);
            }
            pause = FIRST_PAUSE;
            // The last question of the hold comes at its very end.
            (now + (hold / QUESTIONS_PER_HOLD).min(LONGEST_HOLD_PAUSE)).min(held_until)
        } else {
            passed_since = None;
            let next = now + pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
            next
        };
        if next >= deadline {
            sleep_until(deadline).await;
            break;
        }
        sleep_until(next).await;
    }
    Err(match last {
        Some(answer) if answer.passed => {
            Answer::waiting(format!("{}, but not for {} within the limit", answer.text, words(hold)))
        }
        Some(answer) => answer,
        None => Answer::waiting("no answer within the limit"),
    })
}

fn words(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::cell::RefCell;

    use super::*;

    /// What happened: the result, when it came, when questions were asked, and what was reported.
    struct Run {
        result: Result<Answer, Answer>,
        took: u128,
        asked_at: Vec<u128>,
        reported: Vec<String>,
    }

    /// Waits with a script of answers, one a question, the last one for ever: `+t` passes, `!t` is fatal, `~` never answers.
    async fn run(script: &[&str], limit: u64, hold: u64) -> Run {
        let start = Instant::now();
        let asked_at = RefCell::new(Vec::new());
        let mut reported = Vec::new();
        let ask = || {
            let turn = asked_at.borrow().len().min(script.len() - 1);
            asked_at.borrow_mut().push(start.elapsed().as_millis());
            let line = script[turn].to_owned();
            async move {
                match line.split_at(1) {
                    ("+", text) => Answer::passed(text),
                    ("!", text) => Answer::fatal(text),
                    ("~", _) => std::future::pending().await,
                    _ => Answer::waiting(line),
                }
            }
        };
        let result = wait_for(ask, Duration::from_millis(limit), Duration::from_millis(hold), |answer| {
            reported.push(answer.text.clone());
        })
        .await;
        Run { result, took: start.elapsed().as_millis(), asked_at: asked_at.into_inner(), reported }
    }

    #[tokio::test(start_paused = true)]
    async fn passes_at_once_without_a_hold() {
        let run = run(&["+t"], 1_000, 0).await;
        assert_eq!((run.result, run.took, run.asked_at.len()), (Ok(Answer::passed("t")), 0, 1));
        assert_eq!(run.reported, ["t"]);
    }

    #[tokio::test(start_paused = true)]
    async fn asks_again_ever_more_slowly_and_reports_changes_only() {
        let run = run(&["a", "a", "a", "b", "a", "b", "b", "b", "+t"], 60_000, 0).await;
        assert_eq!(run.result, Ok(Answer::passed("t")));
        assert_eq!(run.asked_at, [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100, 9_100]);
        assert_eq!(run.reported, ["a", "b", "a", "b", "t"]);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_at_the_limit_with_the_last_answer() {
        let run = run(&["a", "b"], 1_000, 0).await;
        assert_eq!((run.result, run.took), (Err(Answer::waiting("b")), 1_000));
        assert_eq!(run.asked_at, [0, 100, 300, 700]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_without_an_answer_is_cut_at_the_limit() {
        let first = run(&["~"], 700, 0).await;
        assert_eq!((first.result, first.took), (Err(Answer::waiting("no answer within the limit")), 700));
        let second = run(&["a", "~"], 700, 0).await;
        assert_eq!((second.result, second.took), (Err(Answer::waiting("a")), 700));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fatal_answer_ends_it() {
        let run = run(&["a", "!never"], 60_000, 0).await;
        assert_eq!((run.result, run.took), (Err(Answer::fatal("never")), 100));
        assert_eq!(run.reported, ["a", "never"]);
    }

    #[tokio::test(start_paused = true)]
    async fn must_stay_passed_for_the_hold() {
        let short = run(&["+t"], 60_000, 1_000).await;
        assert_eq!((short.result, short.took), (Ok(Answer::passed("t")), 1_000));
        assert_eq!(short.asked_at, [0, 200, 400, 600, 800, 1_000]);
        let long = run(&["+t"], 60_000, 7_500).await;
        assert_eq!((long.took, long.asked_at.len()), (7_500, 9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_restarts_the_hold() {
        let run = run(&["a", "+t", "+t", "b", "+t"], 60_000, 1_000).await;
        assert_eq!(run.result, Ok(Answer::passed("t")));
        // 0 a, 100 t, 300 t, 500 b, then 100 ms later t, held from 600 on.
        assert_eq!((run.took, &run.asked_at[..5]), (1_600, &[0, 100, 300, 500, 600][..]));
        assert_eq!(run.reported, ["a", "t", "b", "t"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_that_does_not_fit_is_not_a_pass() {
        let run = run(&["a", "a", "a", "a", "+t"], 2_000, 1_000).await;
        assert_eq!(run.result, Err(Answer::waiting("t, but not for 1 s within the limit")));
        assert_eq!(run.took, 2_000);
    }
}
