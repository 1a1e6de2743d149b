//! What a file of the operator's may say.

use mlops_service::pricing::Prices;

use super::{HEADER, day, file, input, table};

/// The lines with errors, and all reasons.
fn errors(text: &str) -> (Vec<usize>, String) {
    let errors = Prices::parse(Some(text)).unwrap_err();
    let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
    (errors.iter().map(|error| error.line).collect(), reasons.join("\n"))
}

#[test]
fn rows_replace_those_that_stand_for_the_same_and_join_the_others() {
    let prices = table(&[
        "Google,Contains,Gemini-1.5-Flash,,0,0.05,0.2,,,,2026-11-01",
        "google,exact,gemini-2.5-flash,2027-06-01,0,0.4,3,,,,",
        "acme,exact,new,,0,1,2,,,,",
    ]);
    let flash = |tokens| prices.of("gemini-1.5-flash", day("2026-11-27"), tokens).unwrap();
    assert_eq!((flash(1).rates.input, flash(1).own), (50_000_000, true));
    assert_eq!((flash(128_001).rates.input, flash(128_001).own), (150_000_000, false), "another tier stays");
    assert_eq!(flash(1).rates.cache_read, None, "a row is replaced as a whole");
    assert_eq!(input(&prices, "gemini-2.5-flash", "2027-05-31").as_deref(), Some("0.3"));
    assert_eq!(input(&prices, "gemini-2.5-flash", "2027-06-01").as_deref(), Some("0.4"));
    assert_eq!(input(&prices, "new", "2026-11-27").as_deref(), Some("1"));
    assert_eq!(prices.rows().count(), Prices::built_in().rows().count() + 2);
}

#[test]
fn comments_empty_lines_quotes_spaces_and_any_order_of_columns_are_read() {
    let text = "\u{feff}# Our prices\r\n\r\n checked, model,provider ,match,input,output,tier_from_prompt_tokens,valid_from,\
                cache_read,cache_write,reasoning\r\n# mine\r\n2026-11-01,\"new, model\", acme,exact, 1.5 ,2,0,,,,\r\n";
    let prices = Prices::parse(Some(text)).unwrap();
    assert_eq!(input(&prices, "new, model", "2026-11-27").as_deref(), Some("1.5"));
    assert_eq!(prices.rows().filter(|price| price.own).count(), 1);
    assert!(Prices::parse(Some(HEADER)).is_ok(), "a table without rows adds none");
}

#[test]
fn every_row_that_cannot_be_right_is_told_with_its_line_and_reason() {
    let rows = [
        ("acme,exact,m1,,0,-1,2,,,,", "input"),
        ("acme,exact,m2,,0,1,NaN,,,,", "output"),
        ("acme,exact,m3,,0,1,inf,,,,", "output"),
        ("acme,exact,m4,,0,75000000,2,,,,", "input"),
        ("acme,exact,m5,,0,1,2,-0.5,,,", "cache_read"),
        ("acme,exact,m6,,0,1,2,,1e3,,", "cache_write"),
        ("acme,exact,m7,,0,1,2,,,x,", "reasoning"),
        ("acme,exact,m8,,0,,2,,,,", "input"),
        ("acme,like,m9,,0,1,2,,,,", "match"),
        ("acme,exact, ,,0,1,2,,,,", "model"),
        (",exact,m10,,0,1,2,,,,", "provider"),
        ("a/b,exact,m11,,0,1,2,,,,", "provider"),
        ("acme,exact,m12,2026-02-30,0,1,2,,,,", "valid_from"),
        ("acme,exact,m13,01.02.2026,0,1,2,,,,", "valid_from"),
        ("acme,exact,m14,,-1,1,2,,,,", "tier_from_prompt_tokens"),
        ("acme,exact,m15,,,1,2,,,,", "tier_from_prompt_tokens"),
        ("acme,exact,m16,,0,1,2,,,,yesterday", "checked"),
        ("acme,exact,m17,,0,1,2,,,", "11 fields, and has 10"),
        ("acme,exact,m18,,0,1,2,,,,,", "11 fields, and has 12"),
        ("acme,exact,m19,,128000,1,2,,,,", "tier_from_prompt_tokens 0"),
    ];
    let text = file(&rows.map(|(row, _)| row));
    let errors = Prices::parse(Some(&text)).unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, (2..2 + rows.len()).collect::<Vec<_>>());
    for (error, (row, expected)) in errors.iter().zip(rows) {
        assert!(error.reason.contains(expected), "{row}: {error}");
        assert!(!error.reason.contains("acme"), "nothing is quoted: {error}");
    }
    let (lines, reasons) = errors_of_a_row_with_two();
    assert_eq!(lines, [3, 3], "{reasons}");
}

fn errors_of_a_row_with_two() -> (Vec<usize>, String) {
    errors(&file(&["acme,exact,m1,,0,1,2,,,,", "acme,exact,m2,,0,-1,-2,,,,"]))
}

#[test]
fn a_row_that_is_there_twice_is_told_with_the_line_of_the_first() {
    let text =
        format!("# mine\n{}", file(&["acme,exact,m,,0,1,2,,,,", "", "# again", "ACME,exact,M,,0,1,2,,,,"]));
    let (lines, reasons) = errors(&text);
    assert_eq!(lines, [6]);
    assert!(reasons.contains("of line 3; remove one"), "{reasons}");
    assert!(Prices::parse(Some(&file(&["acme,exact,m,,0,1,2,,,,", "acme,prefix,m,,0,1,2,,,,"]))).is_ok());
}

#[test]
fn columns_that_are_unknown_missing_or_there_twice_are_told() {
    let row = "acme,exact,m,,0,1,2,,,,";
    for (header, line, reason) in [
        (HEADER.replace("output", "price"), 1, "column 7 is unknown"),
        (HEADER.replace(",checked", ""), 1, "checked is missing"),
        (HEADER.replace("output", "input"), 1, "input is there twice"),
        (row.to_owned(), 1, "column 1 is unknown"),
        ("# nothing else".to_owned(), 1, "header is missing"),
    ] {
        let text = if header.starts_with('#') { header } else { format!("{header}\n{row}\n") };
        let (lines, reasons) = errors(&text);
        assert_eq!(lines, [line], "{reasons}");
        assert!(reasons.contains(reason), "{reasons}");
    }
    assert_eq!(errors("").0, [1]);
}

#[test]
fn the_file_of_the_documentation_is_right() {
    let page = std::fs::read_to_string("docs/configuration.md").unwrap();
    let example = page.split("```csv\n").nth(1).unwrap().split("```").next().unwrap();
    let prices = Prices::parse(Some(example)).unwrap();
    assert_eq!(prices.rows().filter(|price| price.own).count(), 3);
    assert_eq!(prices.rows().count(), Prices::built_in().rows().count() + 2, "one row is replaced");
}
