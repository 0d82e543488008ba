//! Strict decimals, as Redis' `string2ll` reads them: one spelling per number.

/// Reads the whole of `text` as a signed decimal. `None` for "+1", "01", "-0", spaces, nothing, and overflow.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // 19 digits always fit in a u64, so only the last step needs a check.
    let mut value: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative {
        0i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

/// The number of one to three digits in a header line at the start of `line`, and the line's length with its end.
/// Nearly every header is one of these; `None` says nothing about any other.
#[inline(always)]
pub(super) fn short_number(line: &[u8]) -> Option<(usize, usize)> {
    match *line {
        [_, a @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(a), 4)),
        [_, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some((digit(a) * 10 + digit(b), 5))
        }
        [
            _,
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b'\r',
            b'\n',
            ..,
        ] => Some((digit(a) * 100 + digit(b) * 10 + digit(c), 6)),
        _ => None,
    }
}

#[inline(always)]
fn digit(byte: u8) -> usize {
    usize::from(byte - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_one_spelling_of_each_number() {
        let numbers = [
            0,
            1,
            9,
            10,
            -1,
            -10,
            65_536,
            i64::MAX,
            i64::MAX - 1,
            i64::MIN,
            i64::MIN + 1,
        ];
        for number in numbers {
            assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
        }
    }

    #[test]
    fn refuses_everything_else() {
        let refused = [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            "00",
            " 1",
            "1 ",
            "1\r",
            "0x1",
            "1.0",
            "a",
            "--1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
            "/",
            ":",
            "1:",
            "1/",
        ];
        for text in refused {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }
}
