//! Readers of `/metrics`: strict parsers, promtool, and a real Prometheus that scrapes it and computes percentiles.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;
use slotmux::tools::demo::ports::PortLease;
use toml::Table;

use crate::libraries::server::Server;
use crate::libraries::tool::Tool;
use slotmux_testing::{PATIENCE, Proxy, Value, poll_for, poll_until, shared_cluster};

/// A name with all characters that must be escaped in a label, except a newline, which names cannot contain.
const ODD: &str = "a\"b\\c\\nd{e}=,ü";

/// A slotmux with traffic: for some keys of a namespace, and some unmatched ones.
fn worked() -> Proxy {
    let proxy = Proxy::start(shared_cluster(), |config| {
        let mut section = Table::new();
        section.insert("name".into(), ODD.into());
        section.insert("match".into(), "odd:".into());
        config.add_section("namespace", section);
        config.set("cluster.name", ODD);
    });
    work(&proxy);
    proxy
}

fn work(proxy: &Proxy) {
    let mut client = proxy.client();
    for key in ["odd:metrics", "metrics"] {
        for _ in 0..20 {
            assert_eq!(client.call(&["SET", key, "1"]), Value::ok());
            client.call(&["LPUSH", key, "1"]).error();
        }
    }
}

#[test]
fn strict_parsers_accept_the_page() {
    let proxy = worked();
    let page = Server {
        title: "the admin page",
        port: proxy.admin_port(),
        password: None,
    };
    let tool = Tool::python("openmetrics.py");
    let port = page.port.to_string();
    tool.args(["127.0.0.1", &port, ODD]).checks(page);
}

#[test]
fn promtool_reports_no_problem() {
    let proxy = worked();
    let (_, page) = proxy
        .admin_get_as("/metrics", "text/plain")
        .expect("a page");
    let admin = Server {
        title: "the admin page",
        port: proxy.admin_port(),
        password: None,
    };
    let tool = Tool::on_path("promtool").args(["check", "metrics"]);
    let ended = tool.input(page).run(admin);
    assert!(ended.status.success(), "{}", ended.output);
    assert_eq!(ended.output, "");
}

/// A Prometheus that scrapes one slotmux every second.
struct Prometheus {
    child: Child,
    port: PortLease,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(target: u16) -> Prometheus {
        let folder = tempfile::tempdir().expect("a folder");
        let port = PortLease::any().expect("a port");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: slotmux\n    \
             static_configs:\n      - targets: [\"127.0.0.1:{target}\"]\n"
        );
        fs::write(&config, text).expect("written");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.port()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("prometheus: {error}; run scripts/test once, it installs it")
            });
        Prometheus {
            child,
            port,
            _folder: folder,
        }
    }

    /// The reply of its API; `None` until it answers.
    fn ask(&self, path: &str) -> Option<Json> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port.port())).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let answer: Json = serde_json::from_str(body).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The values of an expression, by the given label.
    fn values(&self, expression: &str, label: &str) -> Vec<(String, f64)> {
        let escaped: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        let found = self.ask(&format!("query?query={escaped}"));
        let series = found.map(|data| data["result"].clone()).unwrap_or_default();
        let one = |series: &Json| {
            let name = series["metric"][label].as_str().unwrap_or_default();
            let value = series["value"][1].as_str()?.parse().ok()?;
            Some((name.to_owned(), value))
        };
        let series = series.as_array().cloned().unwrap_or_default();
        series.iter().filter_map(one).collect()
    }
}

#[test]
fn prometheus_reads_everything_and_computes_percentiles() {
    let proxy = worked();
    let prometheus = Prometheus::start(proxy.admin_port());
    // Rates need two scrapes with traffic in between.
    let percentiles = poll_for(PATIENCE, "percentiles", || {
        work(&proxy);
        let all = "slotmux_namespace_latency_seconds_bucket";
        let rate = format!("histogram_quantile(0.99, sum by (namespace, le) (rate({all}[1m])))");
        let found = prometheus.values(&rate, "namespace");
        (found.len() == 2 && found.iter().all(|(_, seconds)| seconds.is_finite())).then_some(found)
    });
    for (namespace, seconds) in &percentiles {
        assert!((0.0..10.0).contains(seconds), "{namespace}: {seconds}");
    }
    assert!(
        percentiles.iter().any(|(name, _)| name == ODD),
        "{percentiles:?}"
    );
    assert_eq!(
        prometheus.values("up", "job"),
        [("slotmux".to_owned(), 1.0)]
    );

    // Every family is present, with its type and its help text.
    let page = proxy.admin_get("/metrics").expect("a page").1;
    let known = poll_for(PATIENCE, "the metadata of the families", || {
        let known = prometheus.ask("targets/metadata")?;
        let known = known.as_array().cloned().unwrap_or_default();
        (!known.is_empty()).then_some(known)
    });
    let families: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    assert!(families.len() > 50, "{}", families.len());
    for (name, kind) in families {
        let described = known.iter().find(|one| one["metric"] == name);
        let described = described.unwrap_or_else(|| panic!("{name} is unknown"));
        assert_eq!(described["type"], kind, "{name}");
        assert!(
            described["help"]
                .as_str()
                .is_some_and(|help| !help.is_empty())
        );
        let series = match kind {
            "counter" => format!("{name}_total"),
            "histogram" => format!("{name}_bucket"),
            _ => name.to_owned(),
        };
        poll_until(PATIENCE, "the samples", || {
            !prometheus.values(&series, "namespace").is_empty()
        });
    }
}
