package main

// go-redis' cluster client, RESP2 and RESP3. Nothing is set up for slotmux.

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

type clusterKind struct {
	key    func(string) string
	client func() *redis.ClusterClient
}

func goRedisCluster() {
	var checks []check
	for _, protocol := range []int{2, 3} {
		prefix := fmt.Sprintf("go-redis-cluster:%s:%d:", random, protocol)
		kind := clusterKind{
			key: func(end string) string { return prefix + end },
			client: func() *redis.ClusterClient {
				return redis.NewClusterClient(&redis.ClusterOptions{
					Addrs: []string{address}, Password: password, Protocol: protocol, ReadTimeout: patience,
				})
			},
		}
		for _, check := range kind.checks() {
			check.name += fmt.Sprintf(" RESP%d", protocol)
			checks = append(checks, check)
		}
	}
	run("go-redis-cluster", checks)
}

func (k clusterKind) checks() []check {
	return []check{
		{"discovery", k.discovery},
		{"values", k.values},
		{"pipelines", k.pipelines},
		{"transactions and WATCH", k.transactions},
		{"scripts", k.scripts},
		{"publish and subscribe", k.subscribe},
		{"blocking", k.blocking},
		{"scans", k.scans},
		{"errors", k.errors},
		{"reconnect", k.reconnect},
	}
}

func (k clusterKind) discovery() {
	client := k.client()
	defer client.Close()
	primaries := 0
	var lock sync.Mutex
	equal(client.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		lock.Lock()
		defer lock.Unlock()
		primaries++
		return node.Ping(ctx).Err()
	}), nil)
	equal(primaries >= 1, true)
	equal(strings.Contains(must(client.ClusterInfo(ctx).Result()), "cluster_state:ok"), true)
	equal(must(client.ClusterKeySlot(ctx, "a{b}").Result()), int64(3300))
}

func (k clusterKind) values() {
	client := k.client()
	defer client.Close()
	for _, value := range []string{"v", "", everyByte(), strings.Repeat("0123456789abcdef", 65536)} {
		for n := range 30 {
			name := k.key(fmt.Sprint("value:", n))
			equal(must(client.Set(ctx, name, value, time.Minute).Result()), "OK")
			equal(must(client.Get(ctx, name).Result()), value)
		}
	}
}

func (k clusterKind) pipelines() {
	client := k.client()
	defer client.Close()
	pipe := client.Pipeline()
	var counts []*redis.IntCmd
	for n := range 500 {
		pipe.Set(ctx, k.key(fmt.Sprint("p:", n)), n, time.Minute)
		counts = append(counts, pipe.Incr(ctx, k.key(fmt.Sprint("p:", n))))
	}
	must(pipe.Exec(ctx))
	for n, count := range counts {
		equal(must(count.Result()), int64(n+1))
	}
}

func (k clusterKind) transactions() {
	client := k.client()
	defer client.Close()
	pipe := client.TxPipeline()
	first, second := pipe.Incr(ctx, k.key("{t}a")), pipe.IncrBy(ctx, k.key("{t}b"), 5)
	must(pipe.Exec(ctx))
	equal([]int64{first.Val(), second.Val()}, []int64{1, 5})
	conflict := client.Watch(ctx, func(tx *redis.Tx) error {
		must(client.Incr(ctx, k.key("{t}a")).Result())
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Set(ctx, k.key("{t}a"), "lost", 0).Err() })
		return err
	}, k.key("{t}a"))
	equal(conflict, redis.TxFailedErr)
	equal(must(client.Get(ctx, k.key("{t}a")).Int()), 2)
}

func (k clusterKind) scripts() {
	client := k.client()
	defer client.Close()
	script := redis.NewScript(addition + " -- " + k.key("script"))
	for n := range 21 {
		equal(must(script.Run(ctx, client, []string{k.key(fmt.Sprint("s:", n%7))}, 1).Int()), n/7+1)
	}
}

func (k clusterKind) subscribe() {
	client := k.client()
	defer client.Close()
	for _, listener := range []*redis.PubSub{client.Subscribe(ctx, k.key("channel")), client.SSubscribe(ctx, k.key("shard"))} {
		must(listener.Receive(ctx))
		defer listener.Close()
		for n := range 20 {
			must(client.Publish(ctx, k.key("channel"), n).Result())
			must(client.SPublish(ctx, k.key("shard"), n).Result())
		}
		// In any order: a client of a real cluster publishes over several nodes.
		found, wanted := map[string]bool{}, map[string]bool{}
		for n := range 20 {
			found[must(listener.ReceiveMessage(ctx)).Payload] = true
			wanted[fmt.Sprint(n)] = true
		}
		equal(found, wanted)
	}
}

func (k clusterKind) blocking() {
	client := k.client()
	defer client.Close()
	replies := make(chan []string, 1)
	go func() { replies <- client.BLPop(ctx, patience, k.key("list")).Val() }()
	must(client.RPush(ctx, k.key("list"), "x").Result())
	equal(<-replies, []string{k.key("list"), "x"})
}

func (k clusterKind) scans() {
	client := k.client()
	defer client.Close()
	wanted, found := map[string]bool{}, map[string]bool{}
	for n := range 200 {
		name := k.key(fmt.Sprint("scan:", n))
		must(client.Set(ctx, name, n, 0).Result())
		wanted[name] = true
	}
	var lock sync.Mutex
	equal(client.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		pages := node.Scan(ctx, 0, k.key("scan:*"), 50).Iterator()
		for pages.Next(ctx) {
			lock.Lock()
			found[pages.Val()] = true
			lock.Unlock()
		}
		return pages.Err()
	}), nil)
	equal(found, wanted)
}

func (k clusterKind) errors() {
	client := k.client()
	defer client.Close()
	must(client.Set(ctx, k.key("text"), "text", 0).Result())
	refused(client.LPush(ctx, k.key("text"), "x").Err(), "WRONGTYPE")
}

func (k clusterKind) reconnect() {
	client := k.client()
	defer client.Close()
	node := must(client.MasterForKey(ctx, k.key("again")))
	victim := must(node.ClientID(ctx).Result())
	other := redis.NewClient(&redis.Options{Addr: node.Options().Addr, Password: password})
	defer other.Close()
	equal(must(other.ClientKillByFilter(ctx, "ID", fmt.Sprint(victim)).Result()), int64(1))
	equal(must(client.Set(ctx, k.key("again"), "1", 0).Result()), "OK")
}
