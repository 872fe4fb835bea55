//! The report as JUnit XML, which CI systems show: a suite for each phase, a case for each object and gate.

use super::contents::{PhaseReport, Report, Step};
use super::markup::Page;

/// The report. `change` redacts and cleans a text from outside before it is escaped.
pub fn xml(report: &Report, change: &dyn Fn(&str) -> String) -> String {
    let mut page = Page::new(change);
    page.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"").text(&report.environment);
    seconds(page.raw("\""), report.seconds).raw(">\n");
    // What ends a run without an object or a gate to blame, such as a lost cluster, is a case of its own.
    if !report.good && report.failures.is_empty() {
        page.raw("  <testsuite name=\"run\" tests=\"1\" failures=\"1\" skipped=\"0\">\n    <testcase classname=\"run\" name=\"");
        page.text(&report.environment).raw("\">\n      <failure message=\"").text(&report.headline);
        page.raw("\"/>\n    </testcase>\n  </testsuite>\n");
    }
    report.phases.iter().for_each(|phase| suite(&mut page, report, phase));
    page.raw("</testsuites>\n");
    page.end()
}

fn suite(page: &mut Page<'_>, report: &Report, phase: &PhaseReport) {
    let of = |states: &[&str]| phase.steps.iter().filter(|step| states.contains(&step.state)).count().to_string();
    page.raw("  <testsuite name=\"").text(&phase.phase).raw("\" tests=\"").text(&phase.steps.len().to_string());
    page.raw("\" failures=\"").text(&of(&["failed"])).raw("\" skipped=\"").text(&of(&["waiting", "switched off"]));
    seconds(page.raw("\""), phase.seconds).raw(">\n");
    phase.steps.iter().for_each(|step| case(page, report, phase, step));
    page.raw("  </testsuite>\n");
}

fn case(page: &mut Page<'_>, report: &Report, phase: &PhaseReport, step: &Step) {
    page.raw("    <testcase classname=\"").text(&phase.phase).raw("\" name=\"").text(&step.step);
    seconds(page.raw("\""), step.seconds);
    match step.state {
        "failed" => {
            let found = report.failures.iter().find(|it| it.phase == phase.phase && it.step == step.step);
            page.raw(">\n      <failure message=\"").text(found.map_or("", |it| &it.reason)).raw("\">");
            if let Some(failure) = found {
                page.text(&failure.origin).raw("\n");
                for words in &failure.containers {
                    page.text(&words.of).raw("\n");
                    words.lines.iter().for_each(|line| {
                        page.text(line).raw("\n");
                    });
                }
            }
            page.raw("</failure>\n    </testcase>\n");
        }
        "waiting" | "switched off" => {
            page.raw(">\n      <skipped message=\"").raw(step.state).raw(": ").text(&step.answer);
            page.raw("\"/>\n    </testcase>\n");
        }
        _ => {
            page.raw("/>\n");
        }
    }
}

fn seconds<'p, 'c>(page: &'p mut Page<'c>, seconds: f64) -> &'p mut Page<'c> {
    page.raw(" time=\"").text(&format!("{seconds:.3}")).raw("\"")
}
