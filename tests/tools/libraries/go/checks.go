package main

// Shared by the Go checks: the server from the command line, values, and the run with its last line.

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
)

const (
	patience = 20 * time.Second
	addition = "return redis.call('incrby', KEYS[1], ARGV[1])"
)

var (
	address  = os.Args[2] + ":" + os.Args[3]
	password = strings.Join(os.Args[4:], "")
	random   = fmt.Sprintf("%08x", rand.Uint32())
)

func everyByte() string {
	bytes := make([]byte, 256)
	for n := range bytes {
		bytes[n] = byte(n)
	}
	return string(bytes) + "\r\n$3\r\n*1\r\n\x00"
}

func equal(found, wanted any) {
	if !reflect.DeepEqual(found, wanted) {
		panic(fmt.Sprintf("%.300q is not %.300q", fmt.Sprint(found), fmt.Sprint(wanted)))
	}
}

func refused(err error, text string) {
	if err == nil || !strings.Contains(err.Error(), text) {
		panic(fmt.Sprintf("%v has no %q", err, text))
	}
}

// must is the value of a call that may not fail.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

type check struct {
	name string
	run  func()
}

// run counts the checks that end without a panic, and exits.
func run(name string, checks []check) {
	passed, failed := 0, 0
	for _, check := range checks {
		if err := outcome(check.run); err != nil {
			failed++
			fmt.Printf("FAILED %s %s\n%v\n", name, check.name, err)
		} else {
			passed++
		}
	}
	fmt.Printf("%s: %d passed, %d failed\n", name, passed, failed)
	os.Exit(min(failed, 1))
}

func outcome(check func()) error {
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if reason := recover(); reason != nil {
				ended <- fmt.Errorf("%v\n%s", reason, debug.Stack())
			}
			close(ended)
		}()
		check()
	}()
	select {
	case err := <-ended:
		return err
	case <-time.After(3 * patience):
		return errors.New("it did not end")
	}
}
