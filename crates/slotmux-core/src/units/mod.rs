//! Durations and sizes with their units, read and written: `"250ms"`, `"64KiB"`. The values of the units come
//! from [`humantime`] and [`bytesize`]; both read more texts than slotmux accepts, so the grammar and the errors are ours.

use std::time::Duration;

mod arguments;
#[cfg(test)]
mod tests;

pub use arguments::{size_argument, time_argument};

/// The largest unit comes first, so that writing finds the shortest form.
const DURATION_UNITS: [&str; 5] = ["d", "h", "m", "s", "ms"];
const SIZE_UNITS: [&str; 4] = ["GiB", "MiB", "KiB", "B"];

/// A duration: digits, perhaps a fraction, and one of `ms`, `s`, `m`, `h`, `d`. `"0"` needs no unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    scaled(text, milliseconds_per).map(Duration::from_millis)
}

/// A size in bytes: digits, perhaps a fraction, and one of `B`, `KiB`, `MiB`, `GiB`. `"0"` needs no unit.
pub(crate) fn size(text: &str) -> Option<u64> {
    scaled(text, bytes_per)
}

/// Milliseconds of a unit of durations.
fn milliseconds_per(unit: &str) -> Option<u64> {
    let unit = DURATION_UNITS.contains(&unit).then_some(unit)?;
    u64::try_from(one(unit)?.as_millis()).ok()
}

/// One unit of time, by any name that humantime knows.
fn one(unit: &str) -> Option<Duration> {
    humantime::parse_duration(&format!("1{unit}")).ok()
}

/// Bytes of a unit of sizes.
fn bytes_per(unit: &str) -> Option<u64> {
    let unit = SIZE_UNITS.contains(&unit).then_some(unit)?;
    let one: bytesize::ByteSize = format!("1{unit}").parse().ok()?;
    Some(one.as_u64())
}

/// The number of smallest units in `text`; `None` if it is not of this form or not a whole number of them.
///
/// The arithmetic is exact, unlike that of the crates: bytesize reads `0.1KiB` as 102 bytes, and humantime refuses
/// `0.0001h`.
fn scaled(text: &str, scale_of: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim();
    if text == "0" {
        return Some(0);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (&text[..end], text[end..].trim_start());
    let scale = scale_of(unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let divisor = 10_u64.pow(fraction.len() as u32);
    let part = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
    if part % divisor != 0 {
        return None;
    }
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(part / divisor)
}

/// The shortest text that [`duration`] reads as this; below a millisecond nothing is kept.
pub(crate) fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(milliseconds, &DURATION_UNITS, milliseconds_per).unwrap_or_else(|| "0s".to_owned())
}

/// The shortest text that [`size`] reads as this.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS, bytes_per).unwrap_or_else(|| "0B".to_owned())
}

/// `amount` in the largest unit of which it is a whole number; `None` for zero.
fn show(amount: u64, units: &[&str], scale_of: impl Fn(&str) -> Option<u64>) -> Option<String> {
    let mut units = units.iter().filter(|_| amount > 0);
    units.find_map(|unit| {
        let scale = scale_of(unit)?;
        let is_whole = amount.is_multiple_of(scale);
        is_whole.then(|| format!("{}{unit}", amount / scale))
    })
}
