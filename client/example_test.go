package client_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"carillon/client"
)

// A first program: it follows a room, says hello, and prints what is said.
func Example() {
	ctx := context.Background()
	c, err := client.Dial(ctx, "ws://127.0.0.1:8000/ws", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	room, err := c.Subscribe(ctx, "chat:lobby", client.SubscribeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	c.Publish(ctx, "chat:lobby", []byte(`{"text":"hello"}`), client.PublishOptions{})
	for ev := range room.Events(ctx) {
		fmt.Printf("%s: %s\n", ev.Record.From, ev.Record.Body)
	}
}

// A reader that keeps its place over restarts, and says what it missed.
func ExampleSubscription_Next() {
	ctx := context.Background()
	c := client.New("wss://example.org/ws", client.Options{
		Token:   client.StaticToken(os.Getenv("TOKEN")),
		OnState: func(s client.State) { log.Print(s.Phase, " ", s.Err) },
	})
	defer c.Close()
	var saved client.Position // from the last run
	sub, err := c.Subscribe(ctx, "scores:nba:lakers", client.SubscribeOptions{After: saved})
	for err == nil {
		var ev client.Event
		if ev, err = sub.Next(ctx); err != nil {
			break
		}
		if ev.Gap != nil {
			log.Printf("records %d to %d are gone: %v", ev.Gap.From, ev.Gap.To, ev.Gap.Reason)
		}
		saved = sub.Position()
	}
	log.Print(err)
}

// Lines from standard input, many under way at a time, in order.
func ExampleClient_PublishAll() {
	ctx := context.Background()
	c := client.New("ws://127.0.0.1:8000/ws", client.Options{})
	defer c.Close()
	lines := func(yield func([]byte) bool) {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			if line := in.Bytes(); len(line) > 0 && !yield(bytes.Clone(line)) {
				return
			}
		}
	}
	n, err := c.PublishAll(ctx, "log:app", lines, client.PublishOptions{Binary: true}, nil)
	log.Print(n, " published ", err)
}

// The newest records, then those before them.
func ExampleClient_History() {
	ctx := context.Background()
	c := client.New("ws://127.0.0.1:8000/ws", client.Options{})
	defer c.Close()
	page, err := c.History(ctx, "chat:lobby", client.HistoryQuery{Back: true, Limit: 50})
	for err == nil {
		for _, r := range page.Records {
			fmt.Println(r.At.Offset, string(r.Body))
		}
		if !page.More {
			return
		}
		page, err = page.Prev(ctx)
	}
	log.Print(err)
}
