//! What a run says of the earlier one that it goes on from.

use super::duration::ago;
use super::progress::{Progress, seconds_between};
use super::text::{Line, count};
use crate::rebuild::event::{Action, Ended};

/// `goes on from run 7f3a1c02, which was killed 3 minutes ago in services`; `None` where there is no such run.
pub fn sentence(progress: &Progress) -> Option<String> {
    let resumes = progress.resumes.as_ref()?;
    let how = match resumes.ended {
        Ended::Killed => "was killed",
        Ended::Failed => "failed",
        Ended::Interrupted => "was interrupted",
        Ended::LockLost => "lost its lock",
    };
    let when = ago(seconds_between(resumes.time, progress.started?));
    Some(format!("goes on from run {}, which {how} {when} in {}", resumes.run, resumes.phase))
}

/// The same with what came of it, for the last screen.
pub fn lines(progress: &Progress) -> Option<Line> {
    let unchanged = |action: Option<Action>| action == Some(Action::Unchanged);
    let left = progress.total(|phase| phase.items.iter().filter(|item| unchanged(item.action)).count());
    let verb = if left == 1 { "was left as it is" } else { "were left as they are" };
    sentence(progress).map(|sentence| format!("  {sentence}: {} {verb}", count(left, "object")).into())
}
