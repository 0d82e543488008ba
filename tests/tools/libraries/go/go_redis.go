package main

// go-redis, RESP2 and RESP3. Nothing is set up for slotmux.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

// kind is a client in one protocol.
type kind struct {
	protocol int
	key      func(string) string
	client   func() *redis.Client
}

func newKind(protocol int) kind {
	prefix := fmt.Sprintf("go-redis:%s:%d:", random, protocol)
	return kind{
		protocol: protocol,
		key:      func(end string) string { return prefix + end },
		client: func() *redis.Client {
			return redis.NewClient(&redis.Options{
				Addr: address, Password: password, Protocol: protocol, ClientName: prefix + "by-name", ReadTimeout: patience,
			})
		},
	}
}

func goRedis() {
	var checks []check
	for _, protocol := range []int{2, 3} {
		for _, check := range newKind(protocol).checks() {
			check.name += fmt.Sprintf(" RESP%d", protocol)
			checks = append(checks, check)
		}
	}
	run("go-redis", checks)
}

func (k kind) checks() []check {
	return []check{
		{"defaults", k.defaults},
		{"handshake", k.handshake},
		{"a wrong password", k.wrongPassword},
		{"values", k.values},
		{"many keys", k.manyKeys},
		{"types", k.types},
		{"pipelines", k.pipelines},
		{"transactions", k.transactions},
		{"WATCH", k.watch},
		{"scripts", k.scripts},
		{"publish and subscribe", k.subscribe},
		{"blocking", k.blocking},
		{"scans", k.scans},
		{"errors", k.errors},
		{"many goroutines", k.goroutines},
		{"reconnect", k.reconnect},
	}
}

func (k kind) defaults() {
	client := redis.NewClient(&redis.Options{Addr: address, Password: password})
	defer client.Close()
	equal(must(client.Ping(ctx).Result()), "PONG")
	equal(must(client.Set(ctx, k.key("default"), "v", time.Minute).Result()), "OK")
	equal(must(client.Get(ctx, k.key("default")).Result()), "v")
}

func (k kind) handshake() {
	client := k.client()
	defer client.Close()
	connection := client.Conn()
	equal(must(connection.ClientGetName(ctx).Result()), k.key("by-name"))
	info := must(connection.ClientInfo(ctx).Result())
	equal(info.Resp, k.protocol)
	equal(strings.Contains(must(client.Info(ctx, "server").Result()), "redis_version:"), true)
	equal(must(client.Echo(ctx, "hello").Result()), "hello")
}

func (k kind) wrongPassword() {
	if password == "" {
		return
	}
	for given, text := range map[string]string{"certainly wrong": "WRONGPASS", "": "NOAUTH"} {
		client := redis.NewClient(&redis.Options{Addr: address, Password: given, Protocol: k.protocol, MaxRetries: -1})
		refused(client.Ping(ctx).Err(), text)
		client.Close()
	}
}

func (k kind) values() {
	client := k.client()
	defer client.Close()
	for _, name := range []string{k.key("k"), k.key(everyByte())} {
		for _, value := range []string{"v", "", everyByte(), strings.Repeat("0123456789abcdef", 65536)} {
			equal(must(client.Set(ctx, name, value, 1000*time.Second).Result()), "OK")
			equal(must(client.Get(ctx, name).Result()), value)
		}
	}
	equal(client.Get(ctx, k.key("missing")).Err(), redis.Nil)
	equal(must(client.SetNX(ctx, k.key("k"), "x", 0).Result()), false)
	equal(must(client.TTL(ctx, k.key("missing")).Result()), time.Duration(-2))
}

func (k kind) manyKeys() {
	client := k.client()
	defer client.Close()
	var names []string
	var pairs, wanted []any
	for n := range 300 {
		names = append(names, k.key(fmt.Sprint("many:", n)))
		pairs = append(pairs, names[n], n)
		wanted = append(wanted, fmt.Sprint(n))
	}
	equal(must(client.MSet(ctx, pairs...).Result()), "OK")
	equal(must(client.MGet(ctx, append(names, k.key("missing"))...).Result()), append(wanted, nil))
	equal(must(client.Exists(ctx, names...).Result()), int64(300))
	equal(must(client.Del(ctx, names[:200]...).Result()), int64(200))
	equal(must(client.Unlink(ctx, names...).Result()), int64(100))
}

func (k kind) types() {
	client := k.client()
	defer client.Close()
	equal(must(client.HSet(ctx, k.key("h"), "a", 1, "b", "two").Result()), int64(2))
	equal(must(client.HGetAll(ctx, k.key("h")).Result()), map[string]string{"a": "1", "b": "two"})
	scored := []redis.Z{{Score: 1, Member: "a"}, {Score: 2.5, Member: "b"}}
	equal(must(client.ZAdd(ctx, k.key("z"), scored...).Result()), int64(2))
	equal(must(client.ZRangeWithScores(ctx, k.key("z"), 0, -1).Result()), scored)
	equal(must(client.SAdd(ctx, k.key("s"), "a").Result()), int64(1))
	equal(must(client.SMembersMap(ctx, k.key("s")).Result()), map[string]struct{}{"a": {}})
	equal(must(client.RPush(ctx, k.key("l"), 0, 1, 2, 3).Result()), int64(4))
	equal(must(client.LRange(ctx, k.key("l"), 1, 2).Result()), []string{"1", "2"})
	entry := redis.XMessage{ID: "5-1", Values: map[string]any{"field": "value"}}
	equal(must(client.XAdd(ctx, &redis.XAddArgs{Stream: k.key("x"), ID: "5-1", Values: entry.Values}).Result()), "5-1")
	equal(must(client.XRange(ctx, k.key("x"), "-", "+").Result()), []redis.XMessage{entry})
	equal(must(client.XGroupCreate(ctx, k.key("x"), "group", "0").Result()), "OK")
	group := &redis.XReadGroupArgs{Group: "group", Consumer: "one", Streams: []string{k.key("x"), ">"}}
	equal(must(client.XReadGroup(ctx, group).Result()), []redis.XStream{{Stream: k.key("x"), Messages: []redis.XMessage{entry}}})
	equal(must(client.XAck(ctx, k.key("x"), "group", "5-1").Result()), int64(1))
	equal(must(client.Type(ctx, k.key("h")).Result()), "hash")
}

func (k kind) pipelines() {
	client := k.client()
	defer client.Close()
	var counts []*redis.IntCmd
	_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for n := range 2000 {
			pipe.Set(ctx, k.key(fmt.Sprint("p:", n)), n, time.Minute)
			counts = append(counts, pipe.Incr(ctx, k.key(fmt.Sprint("p:", n))))
		}
		return nil
	})
	equal(err, nil)
	for n, count := range counts {
		equal(must(count.Result()), int64(n+1))
	}
	pipe := client.Pipeline()
	first, wrong, last := pipe.Set(ctx, k.key("p"), "a", 0), pipe.Incr(ctx, k.key("p")), pipe.Get(ctx, k.key("p"))
	_, err = pipe.Exec(ctx)
	refused(err, "not an integer")
	equal(must(first.Result()), "OK")
	refused(wrong.Err(), "not an integer")
	equal(must(last.Result()), "a")
}

func (k kind) transactions() {
	client := k.client()
	defer client.Close()
	pipe := client.TxPipeline()
	var counts []*redis.IntCmd
	for n := range 100 {
		counts = append(counts, pipe.Incr(ctx, k.key(fmt.Sprintf("{t}:%d", n%10))))
	}
	must(pipe.Exec(ctx))
	for n, count := range counts {
		equal(must(count.Result()), int64(n/10+1))
	}
	equal(must(client.Set(ctx, k.key("{t}:text"), "a", 0).Result()), "OK")
	pipe = client.TxPipeline()
	wrong, after := pipe.LPush(ctx, k.key("{t}:text"), "x"), pipe.Incr(ctx, k.key("{t}:0"))
	_, err := pipe.Exec(ctx)
	refused(err, "WRONGTYPE")
	refused(wrong.Err(), "WRONGTYPE")
	equal(must(after.Result()), int64(11))
}

// watch increases a counter optimistically, and all at once.
func (k kind) watch() {
	client := k.client()
	defer client.Close()
	name := k.key("watched")
	increase := func(tx *redis.Tx) error {
		value, err := tx.Get(ctx, name).Int()
		if err != nil && err != redis.Nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, name, value+1, 0)
			return nil
		})
		return err
	}
	var all sync.WaitGroup
	failures := make(chan error, 5)
	for range 5 {
		all.Go(func() {
			for range 10 {
				var err error = redis.TxFailedErr
				for err == redis.TxFailedErr {
					err = client.Watch(ctx, increase, name)
				}
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failures)
	equal(<-failures, nil)
	equal(must(client.Get(ctx, name).Int()), 50)
	conflict := client.Watch(ctx, func(tx *redis.Tx) error {
		must(client.Incr(ctx, name).Result())
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Set(ctx, name, "lost", 0).Err() })
		return err
	}, name)
	equal(conflict, redis.TxFailedErr)
	equal(must(client.Get(ctx, name).Int()), 51)
}

func (k kind) scripts() {
	client := k.client()
	defer client.Close()
	equal(must(client.Eval(ctx, addition, []string{k.key("sum")}, 5).Int()), 5)
	refused(client.EvalSha(ctx, strings.Repeat("0", 40), []string{k.key("sum")}).Err(), "NOSCRIPT")
	script := redis.NewScript(addition + " -- " + k.key("script"))
	for n := range 21 {
		equal(must(script.Run(ctx, client, []string{k.key(fmt.Sprint("s:", n%7))}, 1).Int()), n/7+1)
	}
	loaded := redis.NewScript(addition + " -- " + k.key("loaded"))
	equal(must(loaded.Load(ctx, client).Result()), loaded.Hash())
	equal(must(loaded.Exists(ctx, client).Result()), []bool{true})
	pipe := client.Pipeline()
	for n := range 21 {
		loaded.EvalSha(ctx, pipe, []string{k.key(fmt.Sprint("piped:", n))}, 1)
	}
	for _, reply := range must(pipe.Exec(ctx)) {
		equal(must(reply.(*redis.Cmd).Int()), 1)
	}
}

func (k kind) subscribe() {
	client := k.client()
	defer client.Close()
	exact, pattern := client.Subscribe(ctx, k.key("channel")), client.PSubscribe(ctx, k.key("chan*"))
	defer exact.Close()
	defer pattern.Close()
	must(exact.Receive(ctx))
	must(pattern.Receive(ctx))
	for n := range 50 {
		equal(must(client.Publish(ctx, k.key("channel"), n).Result()), int64(2))
	}
	for n := range 50 {
		wanted := &redis.Message{Channel: k.key("channel"), Payload: fmt.Sprint(n)}
		equal(must(exact.ReceiveMessage(ctx)), wanted)
		wanted.Pattern = k.key("chan*")
		equal(must(pattern.ReceiveMessage(ctx)), wanted)
	}
	equal(exact.Ping(ctx), nil)
	_, answered := must(exact.Receive(ctx)).(*redis.Pong)
	equal(answered, true)
	equal(must(client.PubSubNumSub(ctx, k.key("channel")).Result()), map[string]int64{k.key("channel"): 1})
	equal(exact.Unsubscribe(ctx), nil)
	equal(must(exact.Receive(ctx)).(*redis.Subscription).Kind, "unsubscribe")
}

func (k kind) blocking() {
	client := k.client()
	defer client.Close()
	replies := make(chan []string, 1)
	go func() { replies <- client.BLPop(ctx, patience, k.key("list")).Val() }()
	must(client.RPush(ctx, k.key("list"), "x").Result())
	equal(<-replies, []string{k.key("list"), "x"})
	equal(client.BLPop(ctx, time.Second, k.key("list")).Err(), redis.Nil)
	moved := make(chan string, 1)
	go func() { moved <- client.BLMove(ctx, k.key("{m}a"), k.key("{m}b"), "LEFT", "RIGHT", patience).Val() }()
	must(client.RPush(ctx, k.key("{m}a"), "y").Result())
	equal(<-moved, "y")
	streams := make(chan []redis.XStream, 1)
	go func() {
		arguments := &redis.XReadArgs{Streams: []string{k.key("stream"), "0"}, Block: patience}
		streams <- client.XRead(ctx, arguments).Val()
	}()
	must(client.XAdd(ctx, &redis.XAddArgs{Stream: k.key("stream"), ID: "1-1", Values: []string{"a", "b"}}).Result())
	equal((<-streams)[0].Messages[0].ID, "1-1")
}

func (k kind) scans() {
	client := k.client()
	defer client.Close()
	wanted := map[string]bool{}
	for n := range 300 {
		name := k.key(fmt.Sprint("scan:", n))
		must(client.Set(ctx, name, n, 0).Result())
		must(client.HSet(ctx, k.key("fields"), name, n).Result())
		wanted[name] = true
	}
	found, pages := map[string]bool{}, client.Scan(ctx, 0, k.key("scan:*"), 50).Iterator()
	for pages.Next(ctx) {
		found[pages.Val()] = true
	}
	equal(pages.Err(), nil)
	equal(found, wanted)
	fields, pairs := 0, client.HScan(ctx, k.key("fields"), 0, "*", 50).Iterator()
	for pairs.Next(ctx) {
		fields++
	}
	equal(fields, 600)
}

func (k kind) errors() {
	client := k.client()
	defer client.Close()
	must(client.Set(ctx, k.key("text"), "text", 0).Result())
	refused(client.LPush(ctx, k.key("text"), "x").Err(), "WRONGTYPE")
	refused(client.Incr(ctx, k.key("text")).Err(), "value is not an integer or out of range")
	refused(client.Do(ctx, "NO-SUCH", "a").Err(), "unknown command 'NO-SUCH'")
	refused(client.Do(ctx, "GET").Err(), "wrong number of arguments for 'get'")
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	impatient := redis.NewClient(&redis.Options{Addr: address, Password: password, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer impatient.Close()
	equal(impatient.BLPop(short, 2*time.Second, k.key("empty")).Err() != nil, true)
	equal(must(client.Get(ctx, k.key("text")).Result()), "text")
}

func (k kind) goroutines() {
	client := k.client()
	defer client.Close()
	var all sync.WaitGroup
	wrong := make(chan string, 20)
	for worker := range 20 {
		all.Go(func() {
			for n := range 50 {
				name := k.key(fmt.Sprintf("g:%d:%d", worker, n))
				set, get := client.Set(ctx, name, n, 0), client.Get(ctx, name)
				if err := errors.Join(set.Err(), get.Err(), client.Incr(ctx, k.key("g:sum")).Err()); err != nil || get.Val() != fmt.Sprint(n) {
					wrong <- fmt.Sprintf("%s: %q %v", name, get.Val(), err)
					return
				}
			}
		})
	}
	all.Wait()
	close(wrong)
	equal(<-wrong, "")
	equal(must(client.GetDel(ctx, k.key("g:sum")).Int()), 1000)
}

func (k kind) reconnect() {
	client, other := k.client(), k.client()
	defer client.Close()
	defer other.Close()
	victim := must(client.ClientID(ctx).Result())
	equal(must(other.ClientKillByFilter(ctx, "ID", fmt.Sprint(victim)).Result()), int64(1))
	equal(must(client.Set(ctx, k.key("again"), "1", 0).Result()), "OK")
	equal(must(client.ClientID(ctx).Result()) != victim, true)
	// A subscriber subscribes again.
	listener := client.Subscribe(ctx, k.key("again"))
	defer listener.Close()
	must(listener.Receive(ctx))
	messages := listener.Channel()
	equal(must(other.ClientKillByFilter(ctx, "ID", idWith(other, "name="+k.key("by-name"), "sub=1")).Result()), int64(1))
	deadline := time.After(patience)
	for {
		must(other.Publish(ctx, k.key("again"), "m").Result())
		select {
		case message := <-messages:
			equal(message.Payload, "m")
			return
		case <-deadline:
			panic("no message")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// idWith is the ID of the connection whose line in CLIENT LIST has both fields.
func idWith(client *redis.Client, name, other string) string {
	for _, line := range strings.Split(must(client.ClientList(ctx).Result()), "\n") {
		if line += " "; strings.Contains(line, " "+name+" ") && strings.Contains(line, " "+other+" ") {
			return strings.TrimPrefix(strings.Fields(line)[0], "id=")
		}
	}
	panic("no connection with " + name)
}
