//! Times and sizes as the command lines of the tools take them, with errors that name the mistake.

use std::time::Duration;

use super::{bytes_per, one};

/// Largest value: what `proto-max-bulk-len` allows by default.
const LARGEST_SIZE: usize = 512 << 20;

/// Reads a number with a unit, or of seconds without one: `250ms`, `1.5`, `10m`, `2h`.
///
/// # Errors
/// A text that names the unknown unit, the malformed number or the bounds.
pub fn time_argument(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let unit = match unit {
        "" => one("s"),
        "ms" | "s" | "m" | "h" => one(unit),
        _ => None,
    }
    .ok_or_else(|| format!("{unit}: unknown unit (ms, s, m or h)"))?;
    let seconds = number
        .parse::<f64>()
        .map(|number| number * unit.as_secs_f64())
        .map_err(|_| format!("{text}: not a time"))?;
    // A hundred days: longer is a typing error, and times are kept as nanoseconds.
    if !(0.001..=8_640_000.0).contains(&seconds) {
        return Err(format!("{text}: not a time from 1ms to 2400h"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads a number of bytes: `64`, `16KiB`, `1mb`. All units are powers of two, as redis.conf reads `kb` and `mb`.
///
/// # Errors
/// A text that names the unknown unit, or says that the size is malformed or too large.
pub fn size_argument(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => bytes_per("B"),
        "k" | "kb" | "kib" => bytes_per("KiB"),
        "m" | "mb" | "mib" => bytes_per("MiB"),
        _ => None,
    }
    .and_then(|bytes| usize::try_from(bytes).ok())
    .ok_or_else(|| {
        format!(
            "{}: unknown unit (B, KiB or MiB)",
            unit.to_ascii_lowercase()
        )
    })?;
    number
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|size| *size <= LARGEST_SIZE)
        .ok_or_else(|| format!("{text}: not a size up to 512MiB"))
}

/// The number, and the letters behind it.
fn split(text: &str) -> (&str, &str) {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    (number, &text[number.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1.5", 1_500_000_000),
            ("1.5s", 1_500_000_000),
            ("10m", 600_000_000_000),
            ("2h", 7_200_000_000_000),
            ("0.3333h", 1_199_880_000_000),
            ("1.5ms", 1_500_000),
            ("1ms", 1_000_000),
            ("0.001", 1_000_000),
            ("2400h", 8_640_000_000_000_000),
            (".5s", 500_000_000),
            ("5.", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("1e3s", 1_000_000_000_000),
            ("007", 7_000_000_000),
        ] {
            assert_eq!(
                time_argument(text),
                Ok(Duration::from_nanos(nanos)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_time() {
        for (text, error) in [
            ("", ": not a time"),
            ("s", "s: not a time"),
            ("ms", "ms: not a time"),
            ("inf", "inf: unknown unit (ms, s, m or h)"),
            ("NaN", "NaN: unknown unit (ms, s, m or h)"),
            ("5d", "d: unknown unit (ms, s, m or h)"),
            ("5S", "S: unknown unit (ms, s, m or h)"),
            ("5M", "M: unknown unit (ms, s, m or h)"),
            ("5us", "us: unknown unit (ms, s, m or h)"),
            ("5sec", "sec: unknown unit (ms, s, m or h)"),
            ("5minutes", "minutes: unknown unit (ms, s, m or h)"),
            ("5 s", "5 s: not a time"),
            (" 5s", " 5s: not a time"),
            ("5s ", "5s : not a time"),
            ("1h30m", "1h30m: not a time"),
            ("1,5s", "1,5s: not a time"),
            ("0", "0: not a time from 1ms to 2400h"),
            ("-1s", "-1s: not a time from 1ms to 2400h"),
            ("0.9ms", "0.9ms: not a time from 1ms to 2400h"),
            ("2401h", "2401h: not a time from 1ms to 2400h"),
            ("1e300h", "1e300h: not a time from 1ms to 2400h"),
        ] {
            assert_eq!(time_argument(text), Err(error.to_owned()), "{text:?}");
        }
    }
}
