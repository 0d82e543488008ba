//! Requests, and where their keys are.

use super::*;
use crate::command::resolve;

fn request<T: AsRef<[u8]>>(words: &[T]) -> (Vec<u8>, Vec<Span>) {
    let mut buf = Vec::new();
    let mut args = Vec::new();
    for word in words {
        let start = buf.len() as u32;
        buf.extend_from_slice(word.as_ref());
        args.push(Span {
            start,
            end: buf.len() as u32,
        });
    }
    (buf, args)
}

fn line(line: &str) -> (Vec<u8>, Vec<Span>) {
    request(
        &line
            .split(' ')
            .map(|word| if word == "''" { "" } else { word })
            .collect::<Vec<_>>(),
    )
}

fn positions(spec: &KeySpec, buf: &[u8], args: &[Span]) -> Result<Vec<usize>, KeyError> {
    let mut found = Vec::new();
    let result = for_each_key(spec, buf, args, |at| found.push(at));
    assert!(result.is_ok() || found.is_empty(), "an error after a key");
    result.map(|()| found)
}

#[test]
fn keys_of_wrong_requests_are_errors_or_none_and_never_a_panic() {
    for (request, expected) in [
        ("mset a 1 b 2", Ok(vec![1, 3])),
        ("eval s 0", Ok(vec![])),
        ("eval s 0 a b", Ok(vec![])),
        ("eval s 2 a", Err(KeyError::NumKeys)),
        ("eval s -1 a", Err(KeyError::NumKeys)),
        ("eval s +1 a", Err(KeyError::NumKeys)),
        ("eval s 01 a", Err(KeyError::NumKeys)),
        ("eval s '' a", Err(KeyError::NumKeys)),
        ("eval s 1x a", Err(KeyError::NumKeys)),
        ("eval s 1.0 a", Err(KeyError::NumKeys)),
        ("eval s 999999999 a", Err(KeyError::NumKeys)),
        ("eval s 18446744073709551617 a", Err(KeyError::NumKeys)),
        ("zunionstore d 0 a", Err(KeyError::NumKeys)),
        ("zunionstore d 2 a", Err(KeyError::NumKeys)),
        ("msetex 2 a 1 b 2", Ok(vec![2, 4])),
        ("msetex 2 a 1 b", Ok(vec![2, 4])),
        ("msetex 3 a 1 b 2", Err(KeyError::NumKeys)),
        ("blmpop 0 2 a b left", Ok(vec![3, 4])),
        ("xread streams a b 0 0", Ok(vec![2, 3])),
        ("xread streams a b 0", Ok(vec![2])),
        ("xread count 1 block streams", Err(KeyError::None)),
        ("xread count streams streams k 0", Ok(vec![4])),
        ("xread Streams\0x a 0", Ok(vec![2])),
        ("xread block\0 streams streams k 0", Ok(vec![4])),
        ("xreadgroup group g streams streams k >", Ok(vec![5])),
        (
            "xreadgroup count 1 group g streams streams k >",
            Ok(vec![7]),
        ),
        ("xreadgroup group streams streams streams k >", Ok(vec![5])),
        // After an unknown word: the keys after any STREAMS.
        ("xread novel streams k 0", Ok(vec![3])),
        (
            "xread novel streams count 1 streams k 0",
            Ok(vec![3, 4, 5, 6]),
        ),
        ("xread streams streams streams", Ok(vec![2])),
        ("xreadgroup group streams c streams k >", Ok(vec![5])),
        (
            "sort k by w_* limit 0 1 get x_* store d store e",
            Ok(vec![1, 12]),
        ),
        ("sort k store", Ok(vec![1])),
        ("sort k Store\0x d stored e", Ok(vec![1, 3])),
        ("sort k get store store d", Ok(vec![1, 5])),
        // Nodes derive the slot from 1 and 3, and write 5.
        ("sort k store by store d", Ok(vec![1, 5, 3])),
        ("sort k store limit store d", Ok(vec![1, 5, 3])),
        ("sort k store store store d", Ok(vec![1, 5])),
        ("sort k By\0x store store\0 d", Ok(vec![1, 5])),
        ("sort k limit\0 store store store d", Ok(vec![1, 6])),
        // After an unknown word: the argument of any STORE.
        ("sort k store a novel by store d", Ok(vec![1, 3, 7])),
        ("georadius k 1 2 3 m store a storedist b", Ok(vec![1, 9])),
        ("georadius k 1 2 3 m store store store b", Ok(vec![1, 9])),
        (
            "georadius k 1 2 3 m count 1 any StoreDist\0 b",
            Ok(vec![1, 10]),
        ),
        (
            "georadius k 1 2 3 m store a novel store b",
            Ok(vec![1, 7, 10]),
        ),
        ("georadiusbymember k m 2 km store a", Ok(vec![1, 6])),
        ("migrate h 1 k 0 9", Ok(vec![3])),
        (
            "migrate h 1 '' 0 9 copy auth keys keys a b",
            Ok(vec![10, 11]),
        ),
        ("migrate h 1 k 0 9 keys a", Err(KeyError::None)),
        ("migrate h 1 '' 0 9 keys", Ok(vec![3])),
        ("migrate h 1 '' 0 9 Keys\0x a", Ok(vec![7])),
        ("migrate h 1 '' 0 9 auth\0 keys keys a", Ok(vec![9])),
        ("migrate h 1 '' 0 9 auth2 keys keys keys keys", Ok(vec![10])),
        // After an unknown word: the arguments of any KEYS, or the key.
        ("migrate h 1 '' 0 9 novel auth keys a", Ok(vec![9])),
        ("migrate h 1 k 0 9 novel keys a", Ok(vec![3])),
        ("ssubscribe a b", Ok(vec![1, 2])),
        ("sunsubscribe", Err(KeyError::None)),
        ("object freq k", Ok(vec![2])),
    ] {
        let (buf, args) = line(request);
        let command = resolve(&buf, &args).expect(request);
        assert_eq!(positions(&command.keys, &buf, &args), expected, "{request}");
    }
}

/// For any arguments, every position is that of an argument, and positions rise except for a destination.
#[test]
fn positions_are_those_of_arguments() {
    const WORDS: [&[u8]; 16] = [
        b"",
        b"0",
        b"1",
        b"2",
        b"3",
        b"-1",
        b"999999999",
        b"9999999999999999999999",
        b"STREAMS",
        b"store",
        b"storedist",
        b"keys",
        b"auth2",
        b"limit",
        b"\xff\0",
        b"k",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for command in crate::command::all().flat_map(|c| std::iter::once(c).chain(c.subcommands)) {
        for _ in 0..300 {
            let words: Vec<_> = (0..random.usize(0..14))
                .map(|_| WORDS[random.usize(0..16)])
                .collect();
            let (buf, args) = request(&words);
            if let Ok(found) = positions(&command.keys, &buf, &args) {
                assert!(
                    found.iter().all(|at| (1..args.len()).contains(at)),
                    "{}",
                    command.full_name
                );
            }
            blocks(command, &buf, &args);
        }
    }
}

#[test]
fn a_key_without_its_value_is_an_error() {
    let (buf, args) = line("mset a 1 b");
    let spec = KeySpec::Range {
        first: 1,
        last: -1,
        step: 2,
    };
    assert_eq!(positions(&spec, &buf, &args), Err(KeyError::None));
}

#[test]
fn blocking_is_told_by_the_options() {
    for (request, expected) in [
        ("blpop k 0", true),
        ("lpop k", false),
        ("xread block 0 streams k $", true),
        ("xread COUNT 2 BLOCK 0 streams k $", true),
        ("xread count block streams k 0", false),
        ("xread streams block 0", false),
        ("xread streams a block 0 0", false),
        ("xreadgroup group block block noack streams k >", false),
        (
            "xreadgroup count 1 group g c noack block 5 streams k >",
            true,
        ),
        ("xreadgroup group g c claim 100 streams k >", false),
        ("xread maxcount 5 streams k 0", false),
        ("xread novel streams block 0 streams k 0", true),
        ("xread novel 5 streams k 0", false),
        ("xread count\0 block streams k 0", false),
        ("xread Block\0x 5 streams k 0", true),
        ("xread streams\0 block 0", false),
    ] {
        let (buf, args) = line(request);
        let command = resolve(&buf, &args).expect(request);
        assert_eq!(blocks(command, &buf, &args), expected, "{request}");
    }
}
