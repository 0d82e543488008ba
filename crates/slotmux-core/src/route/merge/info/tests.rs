//! Merged INFO replies, section by section.

use super::*;

fn bulk(text: &str) -> Vec<u8> {
    let text = text.replace('\n', "\r\n");
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

enum Choice {
    OfNodes,
    OfSlotmux,
}

fn joined_text(own: &str, parts: &[&str], choice: Choice) -> String {
    let mut out = Vec::new();
    let parts: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| match part.starts_with('-') {
            true => format!("{part}\r\n").into_bytes(),
            false => bulk(part),
        })
        .collect();
    let sections = match choice {
        Choice::OfNodes => SectionChoice::OfNodes,
        Choice::OfSlotmux => SectionChoice::titles_of(&bulk(own)),
    };
    let own = OwnInfo {
        asked: bulk(own),
        everything: bulk(own),
        sections,
    };
    merged(&own, &parts, &mut out);
    String::from_utf8(text_of(&out).unwrap().to_vec())
        .unwrap()
        .replace("\r\n", "\n")
}

#[test]
fn sections_about_the_data_are_those_of_the_nodes() {
    for (own, parts, expected) in [
        (
            "# Server\nredis_version:7\n\n# Keyspace\n",
            &[
                "# Server\nredis_version:8\ngcc_version:12\nvalkey_version:9\n\n# Keyspace\ndb0:keys=2,expires=1,avg_ttl=100\n",
                "# Keyspace\n",
                "# Keyspace\ndb0:keys=5,expires=3,avg_ttl=20\n",
            ][..],
            "# Server\nredis_version:7\ngcc_version:12\n\n# Keyspace\ndb0:keys=7,expires=4,avg_ttl=40\n",
        ),
        (
            "# Stats\ntotal_commands_processed:5\ntotal_error_replies:1\n",
            &["# Stats\ntotal_commands_processed:7\nkeyspace_hits:3\nlatest_fork_usec:9\npubsub_channels:1\n";
                2],
            "# Stats\ntotal_commands_processed:5\nkeyspace_hits:6\nlatest_fork_usec:9\n",
        ),
        (
            "# Memory\n",
            &[
                "# Memory\nnumber_of_cached_scripts:2\nnumber_of_functions:3\nnumber_of_libraries:1\n",
                "# Memory\nnumber_of_cached_scripts:5\nnumber_of_functions:3\nnumber_of_libraries:1\n",
            ],
            "# Memory\nnumber_of_cached_scripts:5\nnumber_of_functions:3\nnumber_of_libraries:1\n",
        ),
        (
            "# Memory\nused_memory:1\n",
            &[
                "# Memory\nused_memory:1024\nused_memory_human:1.00K\nused_memory_peak:2048\n\
                 used_memory_peak_perc:1%\nmaxmemory:9\nmaxmemory_human:9B\nmaxmemory_policy:allkeys-lru\n",
                "# Memory\nused_memory:512\nused_memory_human:0.50K\nused_memory_peak:1024\n\
                 used_memory_peak_perc:2%\nmaxmemory:0\nmaxmemory_human:0B\nmaxmemory_policy:allkeys-lru\n",
            ],
            "# Memory\nused_memory:1536\nused_memory_human:1.50K\nused_memory_peak:3072\n\
             used_memory_peak_perc:50.00%\nmaxmemory:0\nmaxmemory_human:0B\nmaxmemory_policy:allkeys-lru\n",
        ),
        (
            "# Persistence\nloading:0\n",
            &[
                "# Persistence\nloading:0\nrdb_last_save_time:20\nrdb_last_bgsave_status:ok\n",
                "# Persistence\nloading:1\nrdb_last_save_time:10\nrdb_last_bgsave_status:err\n",
            ],
            "# Persistence\nloading:1\nrdb_last_save_time:10\nrdb_last_bgsave_status:err\n",
        ),
        (
            "# Replication\nrole:master\nconnected_slaves:0\nmaster_replid:x\n",
            &["# Replication\nrole:slave\nmaster_host:h\nconnected_slaves:1\nslave0:ip=1\nmaster_replid:y\n\
                master_repl_offset:4\n"; 2],
            "# Replication\nrole:master\nconnected_slaves:2\nmaster_replid:x\nmaster_repl_offset:8\n",
        ),
        (
            "# Modules\n\n# Commandstats\n\n# Latencystats\n",
            &[
                "# Modules\nmodule:name=a\nmodule:name=b\n\n# Commandstats\n\
                 cmdstat_get:calls=3,usec=9,usec_per_call=3.00,rejected_calls=0,failed_calls=1\n\n# Latencystats\n\
                 latency_percentiles_usec_get:p50=1.5,p99=9.25\n",
                "# Commandstats\ncmdstat_get:calls=1,usec=1,usec_per_call=1.00,rejected_calls=2,failed_calls=0\n\
                 cmdstat_client|id:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\n\n\
                 # Latencystats\nlatency_percentiles_usec_get:p50=2.5,p99=3\n",
            ],
            "# Modules\nmodule:name=a\nmodule:name=b\n\n# Commandstats\n\
             cmdstat_get:calls=4,usec=10,usec_per_call=2.50,rejected_calls=2,failed_calls=1\n\
             cmdstat_client|id:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0\n\n# Latencystats\n\
             latency_percentiles_usec_get:p50=2.5,p99=9.25\n",
        ),
    ] {
        let joined = joined_text(own, parts, Choice::OfNodes);
        assert_eq!(joined, expected, "{parts:?}");
    }
}

#[test]
fn sections_and_fields_of_tomorrow_are_merged_by_rule() {
    let node = |sizes: &str| {
        format!(
            "# Server\nlistener0:name=tcp,port=1\nlistener1:name=tcp,port=2\nos:x\n\n# Clients\npaused_reason:none\n\n\
             # Keysizes\ndb0_distrib_strings_sizes:{sizes}\n\n# Tomorrow\nthings:2\nmax_thing:{}\nname:n\n\n\
             # Cluster Info\ncluster_size:3\ncluster_slots_pfail:0\n",
            sizes.len()
        )
    };
    let (one, two) = (node("1=2,4=1"), node("2=1,4=1,1K=1"));
    let parts = [&*one, &*two];
    let own = "# Server\nlistener0:name=tcp,port=9\nos:y\n\n# Clients\npaused_reason:none\n";
    let merged = "# Server\nlistener0:name=tcp,port=9\nos:y\n\n# Clients\npaused_reason:none\n\n\
                  # Keysizes\ndb0_distrib_strings_sizes:1=2,2=1,4=2,1K=1\n\n\
                  # Tomorrow\nthings:4\nmax_thing:12\nname:n\n\n# Cluster Info\n";
    assert_eq!(joined_text(own, &parts, Choice::OfNodes), merged);
    let few = joined_text(own, &parts, Choice::OfSlotmux);
    assert!(
        merged.starts_with(&few) && few.ends_with("paused_reason:none\n"),
        "{few}"
    );
    let cluster = format!("{own}\n# Cluster Info\ncluster_size:1\n");
    let joined = joined_text(&cluster, &parts, Choice::OfNodes);
    assert!(joined.ends_with("\n# Cluster Info\ncluster_size:1\ncluster_slots_pfail:0\n"));
}

#[test]
fn sections_are_chosen_by_their_names() {
    let everything = [bulk(
        "# CPU\na:1\n\n# Commandstats\nb:2\n\n# Cluster Info\n\n# Two Words\nc:3\n",
    )];
    let default = [bulk("# CPU\na:1\n\n# Two Words\nc:3\n")];
    let own = OwnInfo::default();
    for (arguments, expected) in [
        (&[][..], &["CPU", "Two Words"][..]),
        (
            &["default", "COMMANDSTATS"],
            &["CPU", "Commandstats", "Two Words"],
        ),
        (
            &["all"],
            &["CPU", "Commandstats", "Cluster Info", "Two Words"],
        ),
        (
            &["cluster_info", "twowords"],
            &["Cluster Info", "Two Words"],
        ),
        (&["nosuch", "slotmux"], &[]),
    ] {
        let mut out = Vec::new();
        let names = arguments.iter().map(|name| name.as_bytes());
        merged_some(&own, names, &everything, &default, &mut out);
        let chosen = SectionChoice::titles_of(&out);
        let expected = expected.iter().map(|title| (*title).to_owned());
        assert_eq!(
            chosen,
            SectionChoice::Titles(expected.collect()),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_node_that_does_not_answer_is_told() {
    let node = "# CPU\nused_cpu_sys:1.500000\n\n# Stats\ntotal_commands_processed:7\ninstantaneous_ops_per_sec:2\n";
    for (own, parts, expected) in [
        (
            "# CPU\nused_cpu_sys:0.1\n\n# Stats\n",
            [node, "-ERR away"],
            "# CPU\nused_cpu_sys:1.500000\n\n# Stats\n\n# Slotmux\nslotmux_nodes_asked:2\nslotmux_nodes_answered:1\n\
             slotmux_nodes_commands_processed:7\nslotmux_nodes_ops_per_sec:2\n",
        ),
        (
            "# CPU\nused_cpu_sys:0.1\n\n# Slotmux\nslotmux_shards:3\n",
            [node, node],
            "# CPU\nused_cpu_sys:3.000000\n\n# Slotmux\nslotmux_shards:3\nslotmux_nodes_asked:2\n\
             slotmux_nodes_answered:2\n",
        ),
        (
            "# CPU\nused_cpu_sys:0.1\n",
            ["-ERR away", "-ERR away"],
            "# CPU\nused_cpu_sys:0.1\n\n# Slotmux\nslotmux_nodes_asked:2\nslotmux_nodes_answered:0\n",
        ),
    ] {
        assert_eq!(joined_text(own, &parts, Choice::OfSlotmux), expected);
    }
}
