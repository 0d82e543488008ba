// The programs with Go's libraries: go_redis or go_redis_cluster, HOST PORT [PASSWORD].
package main

import "os"

func main() {
	map[string]func(){"go_redis": goRedis, "go_redis_cluster": goRedisCluster}[os.Args[1]]()
}
