//! Redis' own tools: redis-cli and redis-benchmark.

use crate::libraries::server::Server;
use crate::libraries::tool::Tool;

fn tool(program: &str, server: Server) -> Tool {
    let tool = Tool::on_path(program).args(["-h", "127.0.0.1", "-p", &server.port.to_string()]);
    match server.password {
        Some(password) if program == "redis-cli" => {
            tool.args(["--no-auth-warning", "-a", password])
        }
        Some(password) => tool.args(["-a", password]),
        None => tool,
    }
}

/// The output of redis-cli.
#[track_caller]
fn cli(server: Server, arguments: &[&str]) -> String {
    let ended = tool("redis-cli", server)
        .args(arguments.iter().copied())
        .run(server);
    assert!(ended.status.success(), "{}: {}", ended.name, ended.output);
    ended.output
}

#[test]
fn redis_cli_runs_one_command() {
    for server in Server::all() {
        let name = format!("redis-cli:{}", server.port);
        for protocol in ["-2", "-3"] {
            let run = |arguments: &[&str]| cli(server, &[&[protocol], arguments].concat());
            assert_eq!(run(&["SET", &name, "a b\r\nc"]), "OK\n");
            assert_eq!(run(&["GET", &name]), "a b\r\nc\n");
            assert_eq!(run(&["DEL", &name]), "1\n");
            assert_eq!(run(&["GET", &name]), "\n");
            assert_eq!(run(&["HSET", &name, "field", "1"]), "1\n");
            assert_eq!(run(&["--no-raw", "LLEN", &name]).lines().next(), {
                Some("(error) WRONGTYPE Operation against a key holding the wrong kind of value")
            });
            let hash = run(&["--no-raw", "HGETALL", &name]);
            let wanted = match protocol {
                "-2" => "1) \"field\"\n2) \"1\"\n",
                _ => "1# \"field\" => \"1\"\n",
            };
            assert_eq!(hash, wanted);
            assert_eq!(run(&["DEL", &name]), "1\n");
        }
    }
}

#[test]
fn redis_cli_reads_commands_from_its_input() {
    for server in Server::all() {
        let name = |n: usize| format!("redis-cli:input:{}:{n}", server.port);
        let mut input: String = (0..100).map(|n| format!("SET {} {n}\n", name(n))).collect();
        input.extend((0..100).map(|n| format!("GET {}\nDEL {}\n", name(n), name(n))));
        let ended = tool("redis-cli", server).input(input).run(server);
        let mut wanted = "OK\n".repeat(100);
        wanted.extend((0..100).map(|n| format!("{n}\n1\n")));
        assert_eq!(ended.output, wanted, "{}", ended.name);
    }
}

/// As in a bulk load: raw requests, whose end `redis-cli` finds by an ECHO.
#[test]
fn redis_cli_pipes() {
    const COUNT: usize = 20_000;
    for server in Server::all() {
        let name = |n: usize| format!("redis-cli:pipe:{}:{n}", server.port);
        let load = |command: &str| -> String {
            let line = |n: usize| format!("{command} {}\r\n", name(n));
            (0..COUNT).map(line).collect()
        };
        for command in ["INCR", "DEL"] {
            let ended = tool("redis-cli", server)
                .arg("--pipe")
                .input(load(command))
                .run(server);
            assert!(
                ended.status.success()
                    && ended
                        .output
                        .contains(&format!("errors: 0, replies: {COUNT}")),
                "{}: {}",
                ended.name,
                ended.output
            );
            let exists = cli(
                server,
                &["EXISTS", &name(0), &name(COUNT / 2), &name(COUNT - 1)],
            );
            assert_eq!(exists, if command == "INCR" { "3\n" } else { "0\n" });
        }
    }
}

#[test]
fn redis_cli_scans() {
    for server in Server::all() {
        let key = "redis-cli:scanned";
        tool("redis-cli", server)
            .args(["SET", key, "v"])
            .run(server);
        let ended = tool("redis-cli", server)
            .args(["--scan", "--pattern", "redis-cli:scan*"])
            .run(server);
        assert!(
            ended.output.lines().any(|line| line == key),
            "{}: {}",
            ended.name,
            ended.output
        );
    }
}

/// Unavailable commands are refused with an error, and the tool ends.
#[test]
fn redis_cli_shows_the_refusal_of_unavailable_commands() {
    for server in Server::all().into_iter().skip(1) {
        let ended = tool("redis-cli", server)
            .args(["REPLICAOF", "NO", "ONE"])
            .run(server);
        assert!(ended.output.starts_with("ERR slotmux"), "{}", ended.output);
    }
}

#[test]
fn redis_benchmark_finds_no_error() {
    for server in Server::all() {
        for protocol in [&["-q"][..], &["-q", "-3"]] {
            let ended = tool("redis-benchmark", server)
                .args(protocol.iter().copied())
                .args(["-n", "5000", "-r", "1000", "-c", "20", "-P", "8"])
                .args([
                    "-t",
                    "ping,set,get,incr,lpush,lpop,sadd,hset,spop,zadd,mset",
                ])
                .run(server);
            // It also sends CONFIG GET and continues without an answer, but prints a warning.
            let lines = ended.output.replace('\r', "\n");
            let done = lines
                .lines()
                .filter(|line| line.contains("requests per second"));
            assert!(
                ended.status.success()
                    && done.count() >= 12
                    && !lines.to_lowercase().contains("error")
                    && !lines.contains("WARNING"),
                "{}: {}",
                ended.name,
                ended.output
            );
        }
    }
}
