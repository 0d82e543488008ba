//! A time as the command lines of the tools take it.

use std::time::Duration;

/// Reads a number with a unit, or of seconds without one: `250ms`, `1.5`, `10m`, `2h`.
///
/// # Errors
/// What is wrong with it, for whoever typed it.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("{unit}: unknown unit (ms, s, m or h)")),
    };
    let seconds = digits
        .parse::<f64>()
        .map(|n| n * unit)
        .map_err(|_| format!("{text}: not a time"))?;
    // A hundred days: longer is a typing error, and times are kept as nanoseconds.
    if !(0.001..=8_640_000.0).contains(&seconds) {
        return Err(format!("{text}: not a time from 1ms to 2400h"));
    }
    Ok(Duration::from_secs_f64(seconds))
}
