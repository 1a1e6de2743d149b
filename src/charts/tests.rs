//! What holds for every chart, whatever its data.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use super::*;
use crate::business::{DayHours, OpeningHours};
use crate::locale::Locale;

fn locale() -> Locale {
    Locale::from_header(Some("en-US"))
}

fn axes(points: usize, unit: Unit) -> (XAxis, YAxis) {
    let labels = (1..=points).map(|point| format!("{point} Nov")).collect();
    (
        XAxis { title: "Day".to_owned(), labels },
        YAxis { title: "Conversations".to_owned(), unit, locale: locale() },
    )
}

fn figure(chart: Chart) -> Figure {
    let row = ["1 Nov", "12 <b>"].map(str::to_owned).to_vec();
    Figure {
        id: "per-day".to_owned(),
        heading: Heading::H2,
        title: "312 conversations & \"more\"".to_owned(),
        summary: "From 3 to 12.".to_owned(),
        csv: Some("/analytics/b.csv?a=1&b=2".to_owned()),
        chart,
        table: Table {
            caption: "Conversations by day".to_owned(),
            head: ["Day", "All"].map(str::to_owned).to_vec(),
            rows: vec![row; 2],
        },
    }
}

fn lines(points: usize, values: Vec<Vec<Option<f64>>>, unfinished: usize) -> Chart {
    let (x, y) = axes(points, Unit::Milliseconds);
    Chart::Line(LineChart { x, y, series: series(values), unfinished })
}

fn bars(points: usize, values: Vec<Vec<Option<f64>>>, unfinished: usize, reference: Option<f64>) -> Chart {
    let (x, y) = axes(points, Unit::Usd);
    let reference = reference.map(|value| Reference { value, label: "Budget".to_owned() });
    Chart::Bars(StackedBars { x, y, series: series(values), unfinished, reference })
}

fn series(values: Vec<Vec<Option<f64>>>) -> Vec<Series> {
    let named = values.into_iter().enumerate();
    named.map(|(index, values)| Series { name: format!("p<{index}>"), values }).collect()
}

/// Every attribute of a name in a text.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    html.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The corners of a path, followed command by command.
fn corners(path: &str) -> Vec<(f64, f64)> {
    let mut corners = Vec::new();
    let (mut x, mut y) = (0.0, 0.0);
    let mut rest = path;
    while let Some(command) = rest.chars().next() {
        let end = rest[1..].find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |end| end + 1);
        let numbers: Vec<f64> =
            rest[1..end].split_whitespace().map(|number| number.parse().unwrap()).collect();
        match command {
            'M' | 'L' => numbers.chunks(2).for_each(|pair| {
                (x, y) = (pair[0], pair[1]);
                corners.push((x, y));
            }),
            'H' => x = numbers[0],
            'h' => x += numbers[0],
            'v' => y += numbers[0],
            'z' => {}
            other => panic!("no command of ours: {other}"),
        }
        corners.push((x, y));
        rest = &rest[end..];
    }
    corners
}

/// Checks that all marks are within their drawing, and all texts along their axes.
fn assert_within(html: &str) {
    let area = html.split("class=\"marks\"").nth(1).map_or(html, |rest| rest.split("</svg>").next().unwrap());
    let view_box = html.split("viewBox=\"0 0 ").nth(1).unwrap().split('"').next().unwrap();
    let (width, height) = view_box.split_once(' ').unwrap();
    let (width, height): (f64, f64) = (width.parse().unwrap(), height.parse().unwrap());
    for path in attributes(area, "d") {
        for (x, y) in corners(path) {
            assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{x} {y} of {width} {height}");
        }
    }
    for name in ["x", "y"] {
        for at in attributes(html, name).into_iter().filter_map(|at| at.strip_suffix('%')) {
            assert!((0.0..=100.0).contains(&at.parse::<f64>().unwrap()), "{name} is {at} %");
        }
    }
    assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
}

fn value() -> impl Strategy<Value = Option<f64>> {
    let numbers = prop_oneof![Just(0.0), 0.0..10.0, 0.0..1e15, any::<f64>(),];
    weighted(0.8, numbers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn every_mark_is_within_the_drawing(
        points in 0..367_usize,
        values in vec(vec(value(), 0..370), 0..7),
        unfinished in 0..400_usize,
        reference in weighted(0.5, any::<f64>()),
    ) {
        assert_within(&figure(lines(points, values.clone(), unfinished)).to_string());
        assert_within(&figure(bars(points, values.clone(), unfinished, reference)).to_string());
        let values = values.into_iter().next().unwrap_or_default();
        assert_within(&Sparkline { values, unfinished, alternative: String::new() }.to_string());
    }

    #[test]
    fn every_hour_is_within_the_week(
        counts in vec(any::<i64>(), 168),
        hours in vec(weighted(0.8, (0..1_440_u16, 0..=1_440_u16)), 7),
    ) {
        let mut week = [[0; 24]; 7];
        week.as_flattened_mut().copy_from_slice(&counts);
        let hours: Vec<_> = hours.into_iter().map(|day| day.map(|(open, close)| DayHours { open, close })).collect();
        let chart = heat(&week, Some(OpeningHours::new(hours.try_into().unwrap())));
        assert_within(&figure(chart).to_string());
    }
}

fn heat(counts: &[[i64; 24]; 7], open: Option<OpeningHours>) -> Chart {
    Chart::Heat(Box::new(HeatMap {
        counts: *counts,
        open,
        title: "Conversations".to_owned(),
        locale: locale(),
    }))
}

#[test]
fn a_figure_has_words_for_everything() {
    let chart = lines(2, vec![vec![Some(1.0), Some(2.0)], vec![Some(3.0), None]], 1);
    let html = figure(chart).to_string();
    for part in [
        "<figure class=\"figure\" id=\"per-day\" data-chart=\"line\">",
        "<h2 class=\"figure-title\" id=\"per-day-title\">312 conversations &#38; &#34;more&#34;</h2>",
        "role=\"img\" aria-labelledby=\"per-day-title\" aria-describedby=\"per-day-summary\"",
        "id=\"per-day-summary\">From 3 to 12.",
        "data-columns=\"2\" data-rows=\"1\"",
        "<th scope=\"row\">1 Nov<td>12 &#60;b&#62;",
        "href=\"/analytics/b.csv?a=1&#38;b=2\"",
        "p&#60;0&#62;",
        "Not over yet",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(!html.contains("style"), "the policy forbids it");
    assert_eq!(html.matches("<tr>").count(), 3);
}

#[test]
fn lines_have_gaps_dots_and_an_unfinished_end() {
    let values = [Some(0.0), Some(5.0), None, Some(10.0), None, Some(5.0), Some(10.0)];
    let html = figure(lines(7, vec![values.to_vec()], 1)).to_string();
    assert!(html.contains("class=\"line s1\" d=\"M5 1000L 15 500\""), "{html}");
    assert!(html.contains("class=\"line s1 dot\" d=\"M35 0h0\""), "{html}");
    assert!(html.contains("class=\"line s1 unfinished\" d=\"M55 500L 65 0\""), "{html}");
}

#[test]
fn bars_stand_on_each_other_and_tell_nothing_from_none() {
    let values =
        vec![vec![Some(1.0), None, Some(0.0), Some(2.0)], vec![Some(3.0), None, Some(0.0), Some(1.0)]];
    let html = figure(bars(4, values, 1, Some(5.0))).to_string();
    assert!(
        html.contains("class=\"missing\" d=\"M10 0h10v1000h-10z\""),
        "only where nothing is known: {html}"
    );
    assert!(html.contains("class=\"bar s1\" d=\"M1 1000h8v-200h-8z\""), "{html}");
    assert!(html.contains("class=\"bar s2\" d=\"M1 800h8v-600h-8z\""), "on the first: {html}");
    assert!(html.contains("class=\"bar s2 unfinished\" d=\"M31 600h8v-200h-8z\""), "{html}");
    assert!(html.contains("class=\"line reference\" d=\"M0 0h40\""), "{html}");
    let far = figure(bars(1, vec![vec![Some(1.0)]], 0, Some(5.0))).to_string();
    assert!(
        !far.contains("line reference\" d=\"M0 ") && far.contains(">Budget"),
        "far above the bars it is a word only: {far}"
    );
}

#[test]
fn nothing_says_so() {
    for chart in
        [lines(7, vec![vec![None; 7]], 0), bars(7, vec![vec![None; 7]], 0, None), lines(0, vec![], 0)]
    {
        let html = figure(chart).to_string();
        assert!(html.contains("No data in this period") && !html.contains("legend"), "{html}");
    }
    let zeros = figure(bars(7, vec![vec![Some(0.0); 7]], 0, None)).to_string();
    assert!(!zeros.contains("No data"), "none happened, which is known");
}

#[test]
fn shades_and_their_legend_agree() {
    let mut counts = [[0; 24]; 7];
    counts[0][0] = 1;
    counts[6][23] = 10;
    let html = figure(heat(&counts, None)).to_string();
    assert!(html.contains("class=\"cell q1\" d=\"M0 0h60v60h-60z\""), "{html}");
    assert!(html.contains("class=\"cell q5\" d=\"M1380 360h60v60h-60z\""), "{html}");
    assert!(html.contains("</svg>1–2</li>") && html.contains("</svg>9–10</li>"), "{html}");
    assert!(!html.contains("opening"), "where they are not known there is no outline");
}

#[test]
fn a_year_is_light() {
    let days =
        |top: f64| (0..366).map(|day| Some(f64::from(day * 7919 % 366) / 366.0 * top)).collect::<Vec<_>>();
    for chart in [lines(366, vec![days(900.0), days(2_000.0)], 1), bars(366, vec![days(9.0); 3], 1, None)] {
        let bytes = figure(chart).to_string().len();
        assert!(bytes < 30_000, "{bytes}");
    }
}
