//! Any file, environment and flags are either refused, with messages of bounded length that contain no password, or they
//! make a configuration, which `config show` prints as an equivalent file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use slotmux_core::config::{
    CommandLine, Config, EffectiveSettings, LoadedConfig, Problem, SourceFile, Sources, env, keys,
    load_with_origins, show,
};

use super::choices::Choices;

/// A file with every section; half of its lines are defaults.
const BASE: &str = r#"
[[cluster]]
seeds = ["redis://u:hush@n1:7000", "n2:7001"]
address_map = { "10.0.0.5:6379" = "node5:16379" }
[[listener]]
name = "a"
bind = ["127.0.0.1:6379", "unix:/tmp/a.sock"]
[[listener]]
name = "b"
bind = ["0.0.0.0:6380"]
announce = "[::1]:7000"
[[user]]
name = "default"
passwords = ["hush", "hush too"]
[[namespace]]
name = "s"
match = ["s:"]
ttl_env = ["S_TTL"]
deny = ["object|freq"]
[[namespace]]
name = "t-u"
match = ["t:", "u:"]
ttl.max = "36h"
[defaults.namespace]
max_key = "1KiB"
"#;

const VALUES: [&str; 48] = [
    "0",
    "1",
    "2",
    "64",
    "65536",
    "-1",
    "0x10",
    "9223372036854775807",
    "9223372036854775808",
    "0.5",
    "1.0005",
    "1e300",
    "nan",
    "inf",
    "-0.0",
    "true",
    "false",
    "yes",
    "\"\"",
    "\"none\"",
    "\"auto\"",
    "\"0\"",
    "\"0s\"",
    "\"1ms\"",
    "\"1.5s\"",
    "\"36h\"",
    "\"100d\"",
    "\"1ms..1s\"",
    "\"1s..1ms\"",
    "\"17B\"",
    "\"64KiB\"",
    "\"1.5MiB\"",
    "\"64KiB/1s\"",
    "\"on\"",
    "\"off\"",
    "\"reject\"",
    "\"cluster\"",
    "\"${X}\"",
    "\"$${X}\"",
    "\"${NOT:-1s}\"",
    "\"${\"",
    "[]",
    "[\"a\", \"b\"]",
    "{}",
    "{ a = 1 }",
    "1979-05-27",
    "[[]]",
    "\"h:1,g:2\"",
];

/// Parts of strings.
const PIECES: [&str; 24] = [
    "a",
    "h:1",
    ":",
    ",",
    "unix:",
    "redis://",
    "@",
    "/",
    "[::1]",
    "127.0.0.1:0",
    "localhost:7",
    "$",
    "${",
    "}",
    "{",
    "\\\"",
    "\\\\",
    "\\n",
    "\\u0085",
    " ",
    "%41",
    "ü",
    "*",
    "object|freq",
];

const VARIABLES: [&str; 12] = [
    "X",
    "S_TTL",
    "REDIS_TTL_S",
    "REDIS_TTL_T_U",
    "REDIS_TTL_NOBODY",
    "SLOTMUX__SERVER__WORKERS",
    "SLOTMUX__LISTENER__BIND",
    "SLOTMUX__NAMESPACE__T_U__TTL__MAX",
    "SLOTMUX__NAMESPACE__NOBODY__DENY",
    "SLOTMUX__LOG__LEVEL",
    "SLOTMUX__USER__NAME",
    "SLOTMUX__",
];

/// Texts that a problem may contain besides the input: known names and ordinary words.
const MOST_WORDS: usize = 8192;

/// The first byte chooses between a file of these bytes and one that is changed here and there.
pub fn check(data: &[u8]) {
    let mut choices = Choices(data);
    let is_raw = choices.byte().is_multiple_of(4);
    let env = environment(&mut choices);
    let flags = flags(&mut choices);
    let text = match is_raw {
        true => String::from_utf8_lossy(choices.0).into_owned(),
        false => changed(&mut choices),
    };
    // This check would access the file system.
    if text.contains("file:") || env.values().any(|value| value.contains("file:")) {
        return;
    }
    let given = text.len()
        + env
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
    let sources = Sources {
        file: Some(SourceFile {
            name: "f.toml".to_owned(),
            text,
        }),
        env,
        flags,
    };
    match load_with_origins(&sources) {
        Ok(loaded) => {
            check_words(&loaded.warnings, given, is_raw);
            check_shown(&loaded, is_raw);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a message");
            check_words(&problems, given, is_raw);
        }
    }
}

fn check_words(problems: &[Problem], given: usize, is_raw: bool) {
    assert!(problems.len() <= 64 + 2 * given, "{}", problems.len());
    for problem in problems {
        let line = problem.to_string();
        // Quoted input is escaped.
        assert!(line.len() <= MOST_WORDS + 16 * given, "{line}");
        // Passwords are known only in the texts that this file writes.
        assert!(is_raw || !line.contains("hush"), "{line}");
    }
}

fn check_shown(loaded: &LoadedConfig, is_raw: bool) {
    let config = &loaded.config;
    let plain = show(config, None);
    let shown = show(config, Some(&loaded.origins));
    assert!(is_raw || !shown.contains("hush"), "{shown}");
    assert!(
        EffectiveSettings::new(config, &loaded.origins)
            .of("server.workers")
            .is_some()
    );
    for text in [&plain, &shown] {
        let again = reread(text).unwrap_or_else(|problems| panic!("{problems:?} in\n{text}"));
        assert_eq!(show(&again, None), plain);
        assert_eq!(with_passwords_of(again, config), *config, "\n{text}");
    }
}

fn reread(text: &str) -> Result<Config, Vec<Problem>> {
    let file = SourceFile {
        name: "shown.toml".to_owned(),
        text: text.to_owned(),
    };
    load_with_origins(&Sources {
        file: Some(file),
        ..Sources::default()
    })
    .map(|loaded| loaded.config)
}

/// Passwords appear only as their number.
fn with_passwords_of(mut shown: Config, config: &Config) -> Config {
    assert_eq!(
        shown.cluster.passwords.len(),
        config.cluster.passwords.len()
    );
    shown
        .cluster
        .passwords
        .clone_from(&config.cluster.passwords);
    for (shown, user) in shown.users.iter_mut().zip(&config.users) {
        assert_eq!(shown.passwords.len(), user.passwords.len());
        shown.passwords.clone_from(&user.passwords);
    }
    shown
}

fn environment(choices: &mut Choices<'_>) -> BTreeMap<String, String> {
    let named = env::names();
    let known = keys::all();
    let mut env = BTreeMap::new();
    for _ in 0..choices.byte() % 4 {
        let name = match choices.byte() % 4 {
            0 => choices.one_of(&VARIABLES).to_owned(),
            1 => {
                let key = &known[choices.below(known.len())];
                format!("SLOTMUX__{}", key.to_uppercase().replace('.', "__"))
            }
            _ => choices.one_of(&named).to_owned(),
        };
        let value = match name.ends_with("PASSWORD") {
            true => "hush".to_owned(),
            // The text as it stands between quotes.
            false => value(choices).trim_matches('"').to_owned(),
        };
        env.insert(name, value);
    }
    env
}

fn flags(choices: &mut Choices<'_>) -> CommandLine {
    let mut flags = CommandLine::default();
    match choices.byte() % 16 {
        1 => flags.workers = Some(value(choices)),
        2 => flags.admin = Some(value(choices)),
        3 => flags.listen = vec![value(choices), value(choices)],
        4 => flags.upstream = vec![value(choices)],
        _ => {}
    }
    flags
}

/// The base as `config show` prints it: with every key.
static LINES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let base = reread(BASE).expect("it is right");
    show(&base, None).lines().map(str::to_owned).collect()
});

/// The base with some lines changed.
fn changed(choices: &mut Choices<'_>) -> String {
    let mut lines = LINES.clone();
    for _ in 0..choices.byte() % 8 {
        let at = choices.below(lines.len());
        let name = lines[at].split(" = ").next().unwrap_or_default().to_owned();
        let other = &LINES[choices.below(LINES.len())];
        lines[at] = match choices.byte() % 6 {
            _ if name.starts_with("password") => format!("{name} = [\"hush\"]"),
            0 => String::new(),
            1 => other.clone(),
            2 => {
                let value = other.split_once(" = ").map_or("", |(_, value)| value);
                format!("{name} = {value}")
            }
            _ => format!("{name} = {}", value(choices)),
        };
    }
    lines.join("\n")
}

/// A value as a file writes it.
fn value(choices: &mut Choices<'_>) -> String {
    match choices.byte() % 4 {
        0 => choices.one_of(&VALUES).to_owned(),
        1 => format!("[{}, {}]", string(choices), string(choices)),
        2 => format!("{{ {} = {} }}", string(choices), string(choices)),
        _ => string(choices),
    }
}

fn string(choices: &mut Choices<'_>) -> String {
    let count = choices.byte() % 6;
    let pieces: String = (0..count).map(|_| choices.one_of(&PIECES)).collect();
    format!("\"{pieces}\"")
}
