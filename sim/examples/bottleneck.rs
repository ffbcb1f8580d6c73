//! Sound and pictures through a narrow link, as each policy has it: a table, and a plot if a file is named.
//!
//!     cargo run -p smoq-sim --example bottleneck [docs/congestion.svg]

use std::{fmt::Write as _, time::Duration};

use smoq_sim::bottleneck::{self, END, Kind, NARROW, Outcome, Policy, made};

const SEED: u64 = 1;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 40.0;

fn main() -> std::io::Result<()> {
    let runs = Policy::ALL.map(|policy| (policy, bottleneck::run(SEED, policy)));
    println!("{}", table(&runs));
    match std::env::args().nth(1) {
        Some(file) => std::fs::write(file, plot(&runs)),
        None => Ok(()),
    }
}

/// One row for each policy, track and time.
fn table(runs: &[(Policy, Outcome)]) -> String {
    let mut table = String::from(
        "| Policy | Link | Track | Made | Arrived | Late: half | 99 % | most | Cut off |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    let spans = [("narrow", NARROW), ("wide again", [NARROW[1], END])];
    for (policy, outcome) in runs {
        for ((link, span), kind) in
            spans.into_iter().flat_map(|span| Kind::ALL.map(|kind| (span, kind)))
        {
            let late = |share| match outcome.late(kind, span, share) {
                Some(late) => format!("{} ms", late.as_millis()),
                None => "-".to_owned(),
            };
            let cut = match (kind, link) {
                (Kind::Video, "narrow") => outcome.cut.to_string(),
                _ => String::new(),
            };
            let _ = writeln!(
                table,
                "| {} | {link} | {} | {} | {} | {} | {} | {} | {cut} |",
                policy.name(),
                kind.name(),
                made(kind, span),
                outcome.of(kind, span).count(),
                late(50),
                late(99),
                late(100),
            );
        }
    }
    table
}

/// Each frame a dot: when it was made, and how late it was.
fn plot(runs: &[(Policy, Outcome)]) -> String {
    let mut body = String::new();
    for (row, (policy, outcome)) in runs.iter().enumerate() {
        let top = TOP + row as f64 * (HEIGHT + TOP);
        let most = outcome.arrivals.iter().map(|arrival| arrival.late).max().unwrap_or_default();
        let scale = most.max(Duration::from_millis(1)).as_secs_f64();
        let x =
            |made: Duration| LEFT + (WIDTH - LEFT - 10.0) * made.as_secs_f64() / END.as_secs_f64();
        let y = |late: f64| top + HEIGHT * (1.0 - late / scale);
        let [from, to] = NARROW.map(x);
        let _ = writeln!(
            body,
            r##"<text x="{LEFT}" y="{:.0}" font-weight="bold">{}</text><rect x="{from:.0}" y="{top:.0}" width="{:.0}" height="{HEIGHT}" fill="#f0f0f0"/><path d="M{LEFT} {top:.0}v{HEIGHT}h{:.0}" fill="none" stroke="black"/>"##,
            top - 8.0,
            policy.name(),
            to - from,
            WIDTH - LEFT - 10.0,
        );
        for part in 0..=2 {
            let late = scale * f64::from(part) / 2.0;
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{late:.1} s</text>"#,
                LEFT - 6.0,
                y(late) + 4.0
            );
        }
        for (kind, colour) in [(Kind::Video, "hsl(30,80%,50%)"), (Kind::Audio, "hsl(210,80%,40%)")]
        {
            let mut path = String::new();
            for arrival in outcome.of(kind, [Duration::ZERO, END]) {
                let (x, y) = (x(arrival.made), y(arrival.late.as_secs_f64()));
                let _ = write!(path, "M{x:.1} {y:.1}h0");
            }
            let _ = writeln!(
                body,
                r#"<path d="{path}" stroke="{colour}" stroke-width="2.5" stroke-linecap="round"/>"#
            );
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"4\" y=\"16\">How late \
         each frame was there, by when it was made. Blue: audio, orange: video. Grey: 1 Mbit/s, else 10.</text>\n\
         {body}</svg>\n",
        TOP + runs.len() as f64 * (HEIGHT + TOP)
    )
}
