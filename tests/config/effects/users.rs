//! Logins and passwords, in each form of the configuration.

use std::fs;

use slotmux_testing::{Proxy, ProxyConfig, RawClient, Value, shared_cluster};

/// Of the password `hashed-one`.
const HASHED: &str = "sha256:6f07e14f8ccc683741478cf98a9d1add6c6ce4e8e2d022aae2af8d782a58cf84";

fn start(configure: impl FnOnce(&mut ProxyConfig)) -> Proxy {
    Proxy::start(shared_cluster(), configure)
}

/// Whether `AUTH` with these arguments admits a new client, which got nothing before.
#[track_caller]
fn gets_in(proxy: &Proxy, words: &[&str]) -> bool {
    let mut client = proxy.client();
    assert!(client.call(&["GET", "key"]).error().starts_with("NOAUTH "));
    let reply = client.call(&[&["AUTH"], words].concat());
    let is_in = reply == Value::ok();
    assert!(
        is_in || reply.error().starts_with("WRONGPASS "),
        "{reply:?}"
    );
    let next = client.call(&["GET", "no-such-key"]);
    assert_eq!(next == Value::Null, is_in, "{next:?}");
    is_in
}

fn user_of(client: &mut RawClient) -> String {
    let line = client.call(&["CLIENT", "INFO"]).text();
    let user = line
        .split(' ')
        .find_map(|field| field.strip_prefix("user="));
    user.expect("a user").to_owned()
}

#[test]
fn every_client_is_admitted_without_users() {
    let proxy = start(|_| {});
    assert_eq!(proxy.client().call(&["GET", "no-such-key"]), Value::Null);
    let reply = proxy.client().call(&["AUTH", "any"]);
    assert!(
        reply.error().contains("without any password configured"),
        "{reply:?}"
    );
}

#[test]
fn passwords_are_plain_or_hashed_or_in_files_and_any_of_them_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    fs::write(&file, "from a file\n").expect("written");
    let proxy = start(|config| {
        config.add_user("default", "");
        let all = [
            "plain one".to_owned(),
            HASHED.to_owned(),
            format!("file:{}", file.display()),
            "${PASSWORD_OF_THE_TEST}".to_owned(),
        ];
        config.set("user.passwords", all.to_vec());
        config.env("PASSWORD_OF_THE_TEST", "from a variable");
    });
    for password in ["plain one", "hashed-one", "from a file", "from a variable"] {
        assert!(gets_in(&proxy, &[password]), "{password}");
        assert!(gets_in(&proxy, &["default", password]), "{password}");
    }
    for wrong in ["plain", "plain one ", HASHED, "from a file\n", ""] {
        assert!(!gets_in(&proxy, &[wrong]), "{wrong:?}");
    }
    let hello = ["HELLO", "3", "AUTH", "default", "hashed-one"];
    let mut client = proxy.client();
    assert!(matches!(client.call(&hello), Value::Map(_)));
    assert_eq!(client.call(&["GET", "no-such-key"]), Value::Null);
}

#[test]
fn each_user_has_its_own_password() {
    let proxy = start(|config| {
        config.add_user("default", "pw of default");
        config.add_user("app", "pw of app");
    });
    assert!(gets_in(&proxy, &["pw of default"]));
    assert!(gets_in(&proxy, &["app", "pw of app"]));
    assert!(!gets_in(&proxy, &["pw of app"]));
    assert!(!gets_in(&proxy, &["app", "pw of default"]));
    assert!(!gets_in(&proxy, &["nobody", "pw of app"]));
    let mut client = proxy.client();
    assert_eq!(client.call(&["AUTH", "app", "pw of app"]), Value::ok());
    assert_eq!(user_of(&mut client), "app");
    assert_eq!(client.call(&["AUTH", "pw of default"]), Value::ok());
    assert_eq!(user_of(&mut client), "default");
}

#[test]
fn with_users_every_client_must_log_in() {
    let proxy = start(|config| config.add_user("app", "pw of app"));
    assert!(gets_in(&proxy, &["app", "pw of app"]));
    assert!(!gets_in(&proxy, &["pw of app"]), "there is no default user");
    assert!(!gets_in(&proxy, &["default", ""]));
}

#[test]
fn a_password_without_user_belongs_to_the_listeners_default_user() {
    let proxy = start(|config| {
        config.add_user("default", "pw of default");
        config.add_user("app", "pw of app");
        config.set("listener.default_user", "app");
    });
    assert!(gets_in(&proxy, &["pw of app"]));
    assert!(!gets_in(&proxy, &["pw of default"]));
    assert!(gets_in(&proxy, &["default", "pw of default"]));
}

#[test]
fn the_variable_sets_the_default_users_password() {
    for (secret, shown) in [
        ("from SLOTMUX_PASSWORD", "from SLOTMUX_PASSWORD"),
        (HASHED, "hashed-one"),
    ] {
        let proxy = start(|config| config.env("SLOTMUX_PASSWORD", secret));
        assert!(gets_in(&proxy, &[shown]));
        assert!(!gets_in(&proxy, &["another"]));
    }
    let proxy = start(|config| {
        config.add_user("default", "pw of the file");
        config.env("SLOTMUX_PASSWORD", "pw of the variable");
    });
    assert!(gets_in(&proxy, &["pw of the variable"]));
    assert!(!gets_in(&proxy, &["pw of the file"]));
}
