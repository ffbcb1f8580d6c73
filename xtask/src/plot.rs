//! Bars, as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const LABEL: f64 = 190.0;
const BAR: f64 = 16.0;
const GAP: f64 = 12.0;
const TOP: f64 = 34.0;

/// One bar under the name of its group. Bars of one group stand together.
pub(crate) struct Bar {
    pub(crate) group: String,
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// Bars of one kind, from zero on, with their values. Each name keeps its colour.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let mut names: Vec<_> = bars.iter().map(|bar| bar.name).collect();
    names.sort_unstable();
    names.dedup();
    let (mut body, mut y) = (String::new(), TOP);
    let mut last = None;
    for bar in bars {
        if last != Some(&bar.group) {
            y += if last.is_some() { GAP } else { 0.0 };
            let _ = writeln!(body, r#"<text x="4" y="{:.0}">{}</text>"#, y + 12.0, bar.group);
            last = Some(&bar.group);
        }
        let name = names.iter().position(|name| *name == bar.name).unwrap_or_default();
        let hue = 210 + name * 360 / names.len().max(1);
        let width = (WIDTH - LABEL - 160.0) * bar.value / most;
        let _ = writeln!(
            body,
            r#"<rect x="{LABEL}" y="{y:.0}" width="{width:.1}" height="{:.0}" fill="hsl({hue},55%,50%)"/>"#,
            BAR - 2.0
        );
        let (x, base) = (LABEL + width + 6.0, y + 12.0);
        let _ = writeln!(
            body,
            r#"<text x="{x:.0}" y="{base:.0}">{:.2} {}</text>"#,
            bar.value, bar.name
        );
        y += BAR;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"4\" y=\"18\" font-weight=\"bold\">{title}</text>\n{body}</svg>\n",
        y + GAP
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_has_the_whole_width() {
        let bar = |group: &str, name, value| Bar { group: group.into(), name, value };
        let svg = bars("Cost", &[bar("a", "x", 1.0), bar("a", "y", 4.0), bar("b", "x", 2.0)]);
        let widths: Vec<_> = svg.split("width=\"").skip(2).map(|rest| &rest[..5]).collect();
        assert_eq!(widths, ["102.5", "410.0", "205.0"]);
        assert_eq!(svg.matches(">a</text>").count(), 1);
    }
}
