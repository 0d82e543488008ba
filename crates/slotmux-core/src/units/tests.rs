//! Texts that are accepted and refused as durations and sizes.

use super::*;

#[test]
fn durations() {
    for (text, millis) in [
        ("0", Some(0)),
        ("0s", Some(0)),
        ("250ms", Some(250)),
        ("1.5s", Some(1500)),
        ("0.1s", Some(100)),
        (" 2 m ", Some(120_000)),
        ("12h", Some(43_200_000)),
        ("7d", Some(604_800_000)),
        ("", None),
        ("s", None),
        ("5", None),
        ("5 minutes", None),
        ("-5s", None),
        ("+5s", None),
        ("1.s", None),
        (".5s", None),
        ("1.2.3s", None),
        ("0.5ms", None),
        ("5S", None),
        ("1m30s", None),
        ("99999999999999999999s", None),
        ("9999999999999999d", None),
        ("0.9999999999s", None),
        ("٣s", None),
        ("1 s", Some(1000)),
        ("\u{a0}1\u{2003}s\u{a0}", Some(1000)),
        ("007s", Some(7000)),
        ("0ms", Some(0)),
        ("0d", Some(0)),
        ("0.0s", Some(0)),
        ("00", None),
        ("0.0", None),
        ("+0", None),
        ("0.001s", Some(1)),
        ("0.0001s", None),
        ("1.50d", Some(129_600_000)),
        ("0.00001d", Some(864)),
        ("0.000000001d", None),
        ("0.100000000s", Some(100)),
        ("0.1000000000s", None),
        ("2.000ms", Some(2)),
        ("1..5s", None),
        (".s", None),
        ("1.5.s", None),
        ("1,5s", None),
        ("1e3s", None),
        ("1_000s", None),
        ("1s 2s", None),
        ("1h30m", None),
        ("1 h 30 m", None),
        ("1ss", None),
        ("1 m s", None),
        ("1M", None),
        ("1H", None),
        ("1D", None),
        ("1MS", None),
        ("1us", None),
        ("1µs", None),
        ("1ns", None),
        ("1w", None),
        ("1y", None),
        ("1month", None),
        ("1sec", None),
        ("1 second", None),
        ("1min", None),
        ("1 minute", None),
        ("1hr", None),
        ("1hour", None),
        ("1day", None),
        ("1 millis", None),
        ("18446744073709551615ms", Some(u64::MAX)),
        ("18446744073709551616ms", None),
        ("18446744073709551.615s", Some(u64::MAX)),
        ("18446744073709551.616s", None),
        ("213503982334d", Some(18_446_744_073_657_600_000)),
        ("213503982335d", None),
        ("9999999999999d", None),
        ("none", None),
        ("ms", None),
        ("1s\0", None),
    ] {
        assert_eq!(
            duration(text),
            millis.map(Duration::from_millis),
            "{text:?}"
        );
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("17B", Some(17)),
        ("64KiB", Some(65536)),
        ("1.5MiB", Some(1_572_864)),
        ("2GiB", Some(2_147_483_648)),
        ("64KB", None),
        ("64k", None),
        ("65536", None),
        ("0.5B", None),
        ("99999999999GiB", None),
        (" 1 KiB ", Some(1024)),
        ("\u{a0}1\u{2003}KiB\u{a0}", Some(1024)),
        ("0B", Some(0)),
        ("0GiB", Some(0)),
        ("0.0MiB", Some(0)),
        ("00", None),
        ("007KiB", Some(7168)),
        ("1.50KiB", Some(1536)),
        ("0.1KiB", None),
        ("0.0009765625KiB", None),
        ("0.001953125KiB", Some(2)),
        ("20.001953125GiB", Some(21_476_933_632)),
        ("0.125KiB", Some(128)),
        ("1.000000000B", Some(1)),
        ("1.0000000000B", None),
        ("1.KiB", None),
        (".5KiB", None),
        ("1.2.3KiB", None),
        ("1,5KiB", None),
        ("1e3B", None),
        ("-1KiB", None),
        ("+1KiB", None),
        ("KiB", None),
        ("", None),
        ("1b", None),
        ("1kib", None),
        ("1KIB", None),
        ("1Ki", None),
        ("1K", None),
        ("1kB", None),
        ("1MB", None),
        ("1M", None),
        ("1GB", None),
        ("1TiB", None),
        ("1PiB", None),
        ("1KiB 2B", None),
        ("9007199254740993B", Some(9_007_199_254_740_993)),
        ("18446744073709551615B", Some(u64::MAX)),
        ("18446744073709551616B", None),
        ("17179869183.999999999GiB", None),
        ("17179869183.5GiB", Some(18_446_744_073_172_680_704)),
        ("17179869184GiB", None),
    ] {
        assert_eq!(size(text), bytes, "{text:?}");
    }
}

#[test]
fn what_is_shown_reads_back() {
    for millis in [0, 1, 250, 1000, 1500, 60_000, 90_000, 3_600_000, 86_400_000] {
        let shown = show_duration(Duration::from_millis(millis));
        assert_eq!(
            duration(&shown),
            Some(Duration::from_millis(millis)),
            "{shown}"
        );
    }
    for bytes in [0, 1, 1000, 1024, 65536, 1 << 20, 3 << 30] {
        let shown = show_size(bytes);
        assert_eq!(size(&shown), Some(bytes), "{shown}");
    }
    assert_eq!(show_duration(Duration::from_secs(90)), "90s");
    assert_eq!(show_size(8 << 20), "8MiB");
}
