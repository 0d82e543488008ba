//! A client and its connection to the running binary: its view of itself and the others, in the order of its requests;
//! how it ends itself; and replies in two pieces, of every type and cut at every byte.

use slotmux_testing::{Peer, Proxy, RawClient, Step, Value, shared_proxy};

#[test]
fn a_client_that_kills_itself_gets_the_reply_and_runs_nothing_more() {
    let mut other = shared_proxy().client();
    for (form, reply) in [("CLIENT KILL", "+OK"), ("CLIENT KILL SKIPME no ADDR", ":1")] {
        let mut client = shared_proxy().client();
        let kill = format!("{form} {}", client.local_addr());
        client.send_raw(format!("{kill}\r\nSET killed 1\r\nPING\r\n").as_bytes());
        assert_eq!(client.read_to_close(), format!("{reply}\r\n").as_bytes());
        assert_eq!(other.call(&["EXISTS", "killed"]), Value::Integer(0));
    }
}

#[test]
fn a_list_of_clients_shows_the_state_at_its_request() {
    let mut client = shared_proxy().client();
    let Value::Integer(id) = client.call(&["CLIENT", "ID"]) else {
        panic!("no id")
    };
    let id = id.to_string();
    let replies = client.pipeline(&[
        vec!["CLIENT", "SETNAME", "before"],
        vec!["CLIENT", "LIST", "ID", &id],
        vec!["CLIENT", "SETNAME", "behind"],
        vec!["CLIENT", "INFO"],
    ]);
    let line = replies[1].text();
    assert!(
        line.contains(" name=before ") && line.contains(" events=r cmd=client|list "),
        "{line}"
    );
    assert!(replies[3].text().contains(" name=behind "), "{replies:?}");
}

#[test]
fn connected_clients_are_those_of_all_workers() {
    let proxy = Proxy::start(slotmux_testing::shared_cluster(), |_| {});
    let mut clients: Vec<RawClient> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(client.call(&["PING"]), Value::Simple("PONG".into()));
    }
    let counted = |client: &mut RawClient| {
        let info = client.call(&["INFO", "clients"]).text();
        assert!(info.contains("\r\nblocked_clients:0\r\n"), "{info}");
        let count = info
            .split("connected_clients:")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        count
            .and_then(|count| count.parse::<usize>().ok())
            .expect("a count")
    };
    assert_eq!(counted(&mut clients[0]), 20);
    clients.truncate(5);
    slotmux_testing::poll_until(
        slotmux_testing::PATIENCE,
        "the other clients to be gone",
        || counted(&mut clients[0]) == 5,
    );
    let list = clients[4].call(&["CLIENT", "LIST"]).text();
    assert_eq!(list.lines().count(), 5, "{list}");
}

/// A reply of each type, as a node may send it.
const REPLIES: &[&str] = &[
    "+OK\r\n",
    "-ERR some trouble\r\n",
    ":-1234567\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$8\r\n\r\n$1\r\n\r\n\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*3\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n+b\r\n",
];

const REPLIES_IN_RESP3: &[&str] = &[
    "_\r\n",
    "#t\r\n",
    ",-1.5e3\r\n",
    "(12345678901234567890123\r\n",
    "!9\r\nERR long\n\r\n",
    "=8\r\ntxt:text\r\n",
    "~2\r\n+a\r\n:1\r\n",
    "%2\r\n+a\r\n*1\r\n$2\r\n\r\n\r\n$1\r\nb\r\n%0\r\n",
    "|1\r\n+ttl\r\n:60\r\n$3\r\nabc\r\n",
];

/// Requests every reply, cut before each of its bytes; the key selects reply and cut. All replies arrive unchanged.
fn replies_may_be_cut(client: &mut RawClient, replies: &[&str]) {
    for (index, reply) in replies.iter().enumerate() {
        for at in 0..reply.len() {
            let bytes = client.call_bytes(&["GET", &format!("{index}:{at}")]);
            assert_eq!(String::from_utf8_lossy(&bytes), *reply, "cut at {at}");
        }
    }
}

#[test]
fn replies_may_be_cut_at_any_byte() {
    let peer = Peer::start(|request| {
        let key = request.word(1);
        let (index, at) = key.split_once(':')?;
        let all = || REPLIES.iter().chain(REPLIES_IN_RESP3);
        let reply = all().nth(index.parse().ok()?)?;
        (request.name() == "GET").then(|| Step::cut(reply.as_bytes(), at.parse().expect("a place")))
    });
    let proxy = Proxy::start_at(&peer.seeds(), None, |_| {});
    replies_may_be_cut(&mut proxy.client(), REPLIES);
    let mut client = proxy.client();
    client.send(&["HELLO", "3"]);
    client.read();
    replies_may_be_cut(&mut client, &[REPLIES, REPLIES_IN_RESP3].concat());
}
