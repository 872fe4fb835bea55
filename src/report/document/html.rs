//! The report as one self-contained page: no script, nothing that is loaded from elsewhere, readable when printed.

use jiff::Timestamp;

use super::contents::{Basis, Critical, Kind, Note, PhaseReport, Report, Step};
use super::markup::Page;
use crate::rebuild::event::Action;
use crate::report::duration::human;
use crate::report::text::count;
use crate::report::timeline::STEPS;

/// Ticks on the axis at most.
const TICKS: f64 = 8.0;
/// A step shorter than this share of the whole gets no bar of its own, unless it lies on the critical path or failed.
const SHORTEST: f64 = 0.01;
/// Bars below a phase at most; the longest are shown.
const BARS: usize = 24;

/// The page. `change` redacts and cleans a text from outside before it is escaped.
pub fn page(report: &Report, change: &dyn Fn(&str) -> String) -> String {
    let mut page = Page::new(change);
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // Should a text ever get out of its place, the browser still runs and loads nothing.
    page.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    page.text(&report.headline).raw("</title>\n<style>\n").raw(include_str!("style.css"));
    page.raw("</style>\n</head>\n<body>\n");
    verdict(&mut page, report);
    failures(&mut page, report);
    notes(&mut page, "Not ready yet", "What was sent goes on starting by itself.", &report.waiting);
    bound(&mut page, report);
    chart(&mut page, report);
    decisions(&mut page, report);
    proofs(&mut page, report);
    if let Some(basis) = &report.rehearsal {
        basis_of_times(&mut page, basis);
        needs(&mut page, basis);
    }
    rest(&mut page, report);
    everything(&mut page, report);
    page.raw("<footer>Written by rekindle from the events of run ").name(&report.run);
    page.raw(". Times are UTC.</footer>\n</body>\n</html>\n");
    page.end()
}

fn verdict(page: &mut Page<'_>, report: &Report) {
    page.raw("<header>\n<p class=\"kicker\">").raw(match report.kind {
        Kind::Rehearsal => "Rehearsal in a simulated cluster; nothing real was touched",
        Kind::Rebuild => "Rebuild",
        Kind::Down => "Taken down",
    });
    page.raw("</p>\n<h1>").raw(if report.good {
        "<span class=\"good\">✓</span> "
    } else {
        "<span class=\"bad\">✗</span> "
    });
    page.name(&report.headline).raw("</h1>\n<dl>\n");
    if !report.hosts.is_empty() && report.good {
        fact(page, "answers at", &report.hosts.join("  "));
    }
    let cluster = match report.kind {
        Kind::Rehearsal => "simulated".to_owned(),
        _ => format!("{} at {}", report.context, report.server),
    };
    let nodes = report.nodes.map(|nodes| format!(", {}", count(nodes, "node"))).unwrap_or_default();
    fact(page, "environment", &report.environment);
    fact(page, "cluster", &format!("{cluster}, Kubernetes {}{nodes}", report.kubernetes));
    if let Some(started) = report.started {
        fact(page, "began", &utc(started));
    }
    fact(page, "took", &took(report));
    let written = format!("{} of {}", report.written, count(report.objects(), "object"));
    match report.kind {
        Kind::Down => fact(page, "deleted", &written),
        _ => fact(page, "written", &format!("{written}; {} passed", count(report.passed(), "gate"))),
    }
    if let Some(exit) = report.exit {
        fact(page, "exit code", &format!("{exit}: {}", crate::report::ending::exit_meaning(exit)));
    }
    if !report.by.is_empty() {
        fact(page, "by", &report.by);
    }
    for (label, command) in [("command", &report.command), ("again", &report.again), ("only look", &report.look)] {
        if !command.is_empty() {
            page.raw("<dt>").text(label).raw("</dt><dd><code>").name(command).raw("</code></dd>\n");
        }
    }
    page.raw("</dl>\n</header>\n");
}

fn took(report: &Report) -> String {
    let seconds = human(report.seconds);
    match &report.rehearsal {
        Some(basis) => format!("{seconds} of simulated time, in {} of real time", human(basis.simulated_in)),
        None => seconds,
    }
}

fn fact(page: &mut Page<'_>, label: &'static str, text: &str) {
    page.raw("<dt>").raw(label).raw("</dt><dd>").name(text).raw("</dd>\n");
}

fn failures(page: &mut Page<'_>, report: &Report) {
    if report.failures.is_empty() {
        return;
    }
    page.raw("<section>\n<h2>What stopped it</h2>\n");
    for failure in &report.failures {
        page.raw("<h3 class=\"bad\">").name(&failure.step).raw("</h3>\n<p>").name(&failure.reason);
        page.raw("</p>\n<p class=\"dim\">phase ").name(&failure.phase).raw(", <code>").name(&failure.origin);
        page.raw("</code></p>\n");
        for words in &failure.containers {
            page.raw("<p>").name(&words.of).raw("</p>\n");
            if !words.lines.is_empty() {
                page.raw("<pre>");
                for line in &words.lines {
                    page.text(line).raw("\n");
                }
                page.raw("</pre>\n");
            }
        }
        if !failure.events.is_empty() {
            page.raw("<div class=\"scroll\"><table><tr><th>event</th><th>reason</th><th>message</th></tr>\n");
            for event in &failure.events {
                page.raw("<tr>");
                event.iter().for_each(|cell| {
                    page.raw("<td>").text(cell).raw("</td>");
                });
                page.raw("</tr>\n");
            }
            page.raw("</table></div>\n");
        }
    }
    page.raw("</section>\n");
}

fn bound(page: &mut Page<'_>, report: &Report) {
    if report.critical_path.is_empty() {
        return;
    }
    page.raw("<section>\n<h2>What bounds the time</h2>\n<p>The critical path, the chain of waits of which each began when the one before it had ended, takes ");
    page.text(&human(report.bound())).raw(" of ").text(&human(report.seconds));
    page.raw(". Only what makes a step of it shorter makes the whole shorter.");
    if report.rehearsal.is_some() {
        page.raw(" Of it ").text(&by_source(&report.critical_path)).raw(".");
    }
    page.raw("</p>\n<div class=\"scroll\"><table><tr><th>phase</th><th>waits for</th><th class=\"num\">time</th><th class=\"num\">share</th>");
    page.raw(if report.rehearsal.is_some() { "<th>its time is</th></tr>\n" } else { "</tr>\n" });
    for step in &report.critical_path {
        page.raw("<tr><td>").text(&step.phase).raw("</td><td>").name(&step.step).raw("</td><td class=\"num\">");
        page.text(&human(step.seconds)).raw("</td><td class=\"num\">");
        let share = if report.seconds > 0.0 { step.seconds / report.seconds * 100.0 } else { 0.0 };
        page.text(&format!("{share:.0} %")).raw("</td>");
        if let Some(source) = step.source {
            page.raw("<td>").raw(source).raw("</td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</table></div>\n</section>\n");
}

/// `3 m 2 s are assumed and 12 s measured`.
fn by_source(path: &[Critical]) -> String {
    let mut parts = Vec::new();
    for source in ["measured", "supposed", "assumed"] {
        let seconds: f64 = path.iter().filter(|step| step.source == Some(source)).map(|step| step.seconds).sum();
        if seconds > 0.0 {
            parts.push(format!(
                "{} {}",
                human(seconds),
                if parts.is_empty() { format!("are {source}") } else { source.into() }
            ));
        }
    }
    if parts.is_empty() { "nothing takes any time".into() } else { crate::report::text::list(&parts) }
}

fn chart(page: &mut Page<'_>, report: &Report) {
    let total = report.seconds;
    if !report.phases.iter().any(|phase| phase.started.is_some()) || total <= 0.0 {
        return;
    }
    let step = STEPS.into_iter().find(|step| total / step <= TICKS).unwrap_or(total);
    page.raw("<section>\n<h2>Timeline</h2>\n<p class=\"dim\"><span class=\"key\"></span>begun until ready, or passed");
    page.raw("<span class=\"key on\"></span>on the critical path");
    if !report.good {
        page.raw("<span class=\"key failed\"></span>failed");
    }
    page.raw("</p>\n<div class=\"chart\" style=\"--step:").share(step, total).raw("\">\n");
    for phase in &report.phases {
        page.raw("<div class=\"row phase\"><span class=\"label\">").text(&phase.phase);
        page.raw("</span><span class=\"track\">");
        if let Some(started) = phase.started {
            bar(page, started, phase.seconds, total, if phase.state == "failed" { "bar failed" } else { "bar" });
        }
        page.raw("</span><span class=\"took\">");
        page.text(&phase.started.map_or_else(|| phase.state.to_owned(), |_| human(phase.seconds)));
        page.raw("</span></div>\n");
        steps(page, phase, total);
    }
    page.raw("<div class=\"row axes\"><span class=\"label\"></span><span class=\"axis\">");
    let mut at = 0.0;
    while at <= total {
        page.raw("<span style=\"left:")
            .share(at, total)
            .raw("\">")
            .text(&human(at).replace(".0 s", " s"))
            .raw("</span>");
        at += step;
    }
    page.raw("</span><span class=\"took\"></span></div>\n</div>\n</section>\n");
}

/// A bar for each step of a phase that is worth one, and a line about the others.
fn steps(page: &mut Page<'_>, phase: &PhaseReport, total: f64) {
    let worth = |step: &Step| step.critical || step.state == "failed" || step.seconds >= total * SHORTEST;
    let mut shown: Vec<&Step> = phase.steps.iter().filter(|step| worth(step) && step.state != "switched off").collect();
    shown.sort_by(|a, b| {
        (b.critical, b.seconds).partial_cmp(&(a.critical, a.seconds)).unwrap_or(std::cmp::Ordering::Equal)
    });
    shown.truncate(BARS);
    let least = shown.iter().filter(|step| !step.critical).map(|step| step.seconds).fold(f64::INFINITY, f64::min);
    shown.sort_by(|a, b| a.started.total_cmp(&b.started));
    for step in &shown {
        let class = match (step.state, step.critical) {
            ("failed", _) => "bar failed",
            (_, true) => "bar on",
            _ => "bar",
        };
        page.raw(if step.critical { "<div class=\"row step on\">" } else { "<div class=\"row step\">" });
        page.raw("<span class=\"label\" title=\"").text(&step.step).raw("\">").name(&step.step);
        page.raw("</span><span class=\"track\">");
        bar(page, step.started, step.seconds, total, class);
        page.raw("</span><span class=\"took\">").text(&human(step.seconds)).raw("</span></div>\n");
    }
    let others: Vec<&Step> = phase
        .steps
        .iter()
        .filter(|step| step.state != "switched off" && !shown.iter().any(|shown| std::ptr::eq(*shown, *step)))
        .collect();
    let longest = others.iter().map(|step| step.seconds).fold(0.0, f64::max);
    if !others.is_empty() {
        let more = if shown.is_empty() { "" } else { "and " };
        let what = if shown.is_empty() { "step" } else { "more step" };
        let within = if least.is_finite() { longest.min(least) } else { longest };
        page.raw("<p class=\"rest\">").text(&format!(
            "{more}{}, none longer than {}",
            count(others.len(), what),
            human(within)
        ));
        page.raw("</p>\n");
    }
}

fn bar(page: &mut Page<'_>, started: f64, seconds: f64, total: f64, class: &'static str) {
    let started = started.min(total);
    page.raw("<span class=\"").raw(class).raw("\" style=\"left:").share(started, total).raw(";width:");
    page.share(seconds.min(total - started), total).raw("\" title=\"").text(&human(started)).raw(" to ");
    page.text(&human(started + seconds)).raw("\"></span>");
}

fn decisions(page: &mut Page<'_>, report: &Report) {
    if report.decisions.is_empty() {
        return;
    }
    page.raw("<section>\n<h2>Data</h2>\n<div class=\"scroll\"><table><tr><th>data set</th><th>claim</th><th>decision</th><th>from</th></tr>\n");
    for set in &report.decisions {
        for (index, claim) in set.claims.iter().enumerate() {
            page.raw("<tr><td>").name(if index == 0 { &set.data_set } else { "" }).raw("</td><td>").name(&claim.name);
            page.raw("</td><td>").raw(claim.choice.word()).raw("</td><td>").name(&claim.reason).raw("</td></tr>\n");
        }
        if set.claims.is_empty() {
            page.raw("<tr><td>").name(&set.data_set).raw("</td><td></td><td>").text(&set.decision);
            page.raw("</td><td></td></tr>\n");
        }
        if let Some(point) = set.recovery_point {
            page.raw("<tr><td></td><td></td><td></td><td>as it was archived until ").text(&utc(point));
            page.raw("; what was written later is lost</td></tr>\n");
        }
        if set.follows {
            page.raw("<tr><td></td><td></td><td></td><td>follows another environment's archive and takes no writes</td></tr>\n");
        }
    }
    page.raw("</table></div>\n</section>\n");
}

fn proofs(page: &mut Page<'_>, report: &Report) {
    if !report.proofs.is_empty() {
        page.raw("<section>\n<h2>Data that stays</h2>\n<div class=\"scroll\"><table><tr><th>claim</th><th>volume</th><th>phase</th><th>policy</th><th>size</th><th>at</th></tr>\n");
        for proof in &report.proofs {
            page.raw("<tr><td>").name(&format!("{}/{}", proof.namespace, proof.claim)).raw("</td>");
            for cell in [&proof.volume, &proof.phase, &proof.policy, &proof.size, &proof.place] {
                page.raw("<td>").name(cell).raw("</td>");
            }
            page.raw("</tr>\n");
        }
        page.raw("</table></div>\n</section>\n");
    }
    notes(page, "Data that was deleted", "As somebody typed.", &report.deleted_data);
}

fn basis_of_times(page: &mut Page<'_>, basis: &Basis) {
    page.raw("<section>\n<h2>What the times rest on</h2>\n");
    if basis.measured.is_empty() {
        page.raw(
            "<p>No time was measured: the journals of real runs on this machine have none of it, and <code>--measured</code> takes them from the events of one.</p>\n",
        );
    } else {
        page.raw("<h3>Measured in real runs</h3>\n");
        items(page, &basis.measured);
    }
    if !basis.supposed.is_empty() {
        page.raw("<h3>Supposed on the command line</h3>\n");
        items(page, &basis.supposed);
    }
    page.raw("<h3>Assumed of everything else</h3>\n");
    items(page, &basis.assumed);
    if !basis.filled.is_empty() {
        page.raw("<h3>Volumes that are filled</h3>\n");
        items(page, &basis.filled);
    }
    if let Some(before) = &basis.before {
        page.raw("<h3>Before this</h3>\n<p>").name(before).raw("</p>\n");
    }
    page.raw("</section>\n");
}

fn needs(page: &mut Page<'_>, basis: &Basis) {
    page.raw("<section>\n<h2>What a rebuild would need</h2>\n<p>").name(&basis.needed).raw("</p>\n");
    for (title, names) in [("Hosts that DNS must know", &basis.needs.hosts), ("Images", &basis.needs.images)] {
        if !names.is_empty() {
            page.raw("<h3>").raw(title).raw("</h3>\n");
            items(page, names);
        }
    }
    page.raw("</section>\n");
}

fn items<'i>(page: &mut Page<'_>, items: impl IntoIterator<Item = &'i String>) {
    page.raw("<ul>\n");
    for item in items {
        page.raw("<li>").name(item).raw("</li>\n");
    }
    page.raw("</ul>\n");
}

fn notes(page: &mut Page<'_>, title: &'static str, about: &'static str, notes: &[Note]) {
    if notes.is_empty() {
        return;
    }
    page.raw("<section>\n<h2>").raw(title).raw("</h2>\n<p>").raw(about).raw("</p>\n<ul>\n");
    for note in notes {
        page.raw("<li>").name(&note.name).raw(": ").name(&note.text).raw("</li>\n");
    }
    page.raw("</ul>\n</section>\n");
}

/// What was noticed beside the way.
fn rest(page: &mut Page<'_>, report: &Report) {
    if !report.warnings.is_empty() {
        page.raw("<section>\n<h2>Warnings</h2>\n");
        items(page, &report.warnings);
        page.raw("</section>\n");
    }
    notes(page, "Gates that were switched off", "By the environment, so this was not asked.", &report.switched_off);
    if !report.pruned.is_empty() {
        page.raw("<section>\n<h2>Left the kit and was deleted</h2>\n");
        items(page, &report.pruned);
        page.raw("</section>\n");
    }
    notes(page, "Stays", "It was to go, and did not.", &report.kept);
}

/// Every object and gate, phase by phase.
fn everything(page: &mut Page<'_>, report: &Report) {
    page.raw("<section>\n<h2>Every object and gate</h2>\n");
    for phase in report.phases.iter().filter(|phase| !phase.steps.is_empty()) {
        page.raw("<details><summary>").text(&phase.phase).raw(" <span class=\"dim\">");
        page.text(&format!("{}, {} of {} ready", phase.state, phase.ready, count(phase.objects, "object")));
        if phase.gates > 0 {
            page.text(&format!(", {} of {} passed", phase.passed, count(phase.gates, "gate")));
        }
        page.raw("</span></summary>\n<div class=\"scroll\"><table><tr><th>what</th><th>namespace</th><th>done</th><th>state</th><th class=\"num\">at</th><th class=\"num\">time</th><th>answer</th>");
        page.raw(if report.rehearsal.is_some() { "<th>its time is</th></tr>\n" } else { "</tr>\n" });
        for step in &phase.steps {
            page.raw("<tr><td>").name(&step.step).raw("</td><td>").name(step.namespace.as_deref().unwrap_or_default());
            page.raw("</td><td>").raw(step.action.map_or("", done)).raw("</td><td>").raw(step.state);
            page.raw("</td><td class=\"num\">").text(&human(step.started)).raw("</td><td class=\"num\">");
            page.text(&human(step.seconds)).raw("</td><td>").name(&step.answer).raw("</td>");
            if let Some(source) = step.source {
                page.raw("<td>").raw(source).raw("</td>");
            }
            page.raw("</tr>\n");
        }
        page.raw("</table></div></details>\n");
    }
    page.raw("</section>\n");
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::Changed => "changed",
        Action::Unchanged => "unchanged",
        Action::Replaced => "replaced",
        Action::Recreated => "recreated",
        Action::Adopted => "adopted",
    }
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
