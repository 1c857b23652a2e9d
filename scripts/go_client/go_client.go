// Go's net/http as a client of HTTP/2, and as the upstream behind the proxy, for `deno task go`. It uses the
// standard library only. Each command but `serve` prints its outcome as one line of JSON.
//
//	go_client serve                        prints its address, and serves HTTP/1.1 there until stdin ends
//	go_client get URL CA COUNT PARALLEL    COUNT requests by PARALLEL goroutines
//	go_client upload URL CA COUNT PARALLEL uploads of unknown length, with trailers in both directions
//	go_client hints URL CA COUNT PARALLEL  requests with an interim response
//	go_client bulk URL CA COUNT PARALLEL   downloads that are read in small parts, so that windows are opened often
//	go_client cancel URL CA COUNT PARALLEL requests that are cancelled by their context in the middle of a response
//	go_client load URL CA PARALLEL WHAT    requests (get), and one in ten an upload (mixed), until stdin ends or the
//	                                       server refuses connections
//
// CA is a file of certificates to be trusted, or `-` for HTTP/2 without TLS. Set GODEBUG=http2debug=1 to have GOAWAY
// counted.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// Ends a request that hangs.
	timeout = 60 * time.Second
	// Several windows of a stream.
	uploadBytes = 1 << 20
	// Many windows of a stream.
	bulkBytes = 32 << 20
	// After so many answers of a load the caller is told that it is under way.
	warm = 200
	// More errors than these are only counted.
	errorsShown = 5
)

// The outcome of a command.
type outcome struct {
	Done        int64    `json:"done"`
	Failed      int64    `json:"failed"`
	Connections int64    `json:"connections"`
	GoAways     int64    `json:"goAways"`
	Errors      []string `json:"errors"`
}

// One client with its own connections, and what has become of its requests.
type client struct {
	http        *http.Client
	url         string
	done        atomic.Int64
	failed      atomic.Int64
	connections atomic.Int64
	goAways     atomic.Int64
	lock        sync.Mutex
	errors      []string
}

// Write takes the lines of the log of net/http, and counts those that tell of a GOAWAY.
func (c *client) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("received GOAWAY")) {
		c.goAways.Add(1)
	}
	return len(line), nil
}

func newClient(url, ca string) *client {
	c := &client{url: url}
	log.SetOutput(c)
	protocols := new(http.Protocols)
	transport := &http.Transport{Protocols: protocols}
	if ca == "-" {
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP2(true)
		pem, err := os.ReadFile(ca)
		must(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	dialer := &net.Dialer{}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err == nil {
			c.connections.Add(1)
		}
		return conn, err
	}
	c.http = &http.Client{Transport: transport, Timeout: timeout}
	return c
}

// count notes how a request has ended.
func (c *client) count(err error) {
	if err == nil {
		c.done.Add(1)
		return
	}
	c.failed.Add(1)
	c.lock.Lock()
	defer c.lock.Unlock()
	if len(c.errors) < errorsShown {
		c.errors = append(c.errors, err.Error())
	}
}

// run lets `parallel` goroutines make `count` requests together.
func (c *client) run(count, parallel int, request func() error) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range parallel {
		group.Go(func() {
			for next.Add(1) <= int64(count) {
				c.count(request())
			}
		})
	}
	group.Wait()
}

func (c *client) print() {
	must(json.NewEncoder(os.Stdout).Encode(outcome{
		c.done.Load(), c.failed.Load(), c.connections.Load(), c.goAways.Load(), c.errors,
	}))
}

// text sends a request and reads the whole response, which must be a 200 over HTTP/2.
func (c *client) text(request *http.Request) (string, *http.Response, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", nil, err
	}
	if response.StatusCode != 200 || response.ProtoMajor != 2 {
		return "", nil, fmt.Errorf("%s %s: %.60q", response.Proto, response.Status, body)
	}
	return string(body), response, nil
}

func (c *client) get() error {
	request, err := http.NewRequest("GET", c.url+"/", nil)
	if err != nil {
		return err
	}
	body, _, err := c.text(request)
	return unless(err, body == "hello", "the body is %q", body)
}

// upload sends a body whose length is not known before its end, and its checksum as a trailer. It comes back as a
// trailer of the response.
func (c *client) upload() error {
	body := bytes.Repeat([]byte("0123456789abcdef"), uploadBytes/16)
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	// A reader of an unknown type has no length.
	reader := func() (io.ReadCloser, error) { return io.NopCloser(io.MultiReader(bytes.NewReader(body))), nil }
	first, _ := reader()
	request, err := http.NewRequest("POST", c.url+"/upload", first)
	if err != nil {
		return err
	}
	// net/http closes the body of a request that a GOAWAY has overtaken before it was sent, and needs another one.
	request.GetBody = reader
	request.Trailer = http.Header{"X-Sum": {sum}}
	text, response, err := c.text(request)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%d %s", len(body), sum); text != want {
		return fmt.Errorf("the upstream has seen %q instead of %q", text, want)
	}
	back := response.Trailer.Get("X-Sum")
	return unless(nil, back == sum, "the trailer is %q", back)
}

func (c *client) hints() error {
	hints := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, head textproto.MIMEHeader) error {
		if code == 103 && head.Get("Link") == "</style.css>; rel=preload" {
			hints++
		}
		return nil
	}}
	ctx := httptrace.WithClientTrace(context.Background(), trace)
	request, err := http.NewRequestWithContext(ctx, "GET", c.url+"/hints", nil)
	if err != nil {
		return err
	}
	_, _, err = c.text(request)
	return unless(err, hints == 1, "%d interim responses", hints)
}

func (c *client) bulk() error {
	response, err := c.http.Get(c.url + "/bulk")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	count := 0
	for part := make([]byte, 4096); ; {
		n, err := response.Body.Read(part)
		count += n
		if err == io.EOF {
			return unless(nil, count == bulkBytes, "%d bytes", count)
		}
		if err != nil {
			return err
		}
	}
}

// cancel reads the beginning of a response without an end, and then cancels it.
func (c *client) cancel() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	request, err := http.NewRequestWithContext(ctx, "GET", c.url+"/endless", nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, 100_000)); err != nil {
		return err
	}
	stop()
	_, err = io.ReadAll(response.Body)
	return unless(nil, errors.Is(err, context.Canceled), "it ended with %v", err)
}

// untilCancelled asks the upstream until it has lost as many clients as there were.
func (c *client) untilCancelled(count int) {
	deadline := time.Now().Add(timeout)
	for {
		request, err := http.NewRequest("GET", c.url+"/cancelled", nil)
		must(err)
		text, _, err := c.text(request)
		if err == nil && text == strconv.Itoa(count) {
			return
		}
		if time.Now().After(deadline) {
			c.count(fmt.Errorf("the upstream knows of %s cancelled requests, %v", text, err))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// load asks until stdin ends, or the server refuses connections.
func (c *client) load(parallel int, what string) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var answered atomic.Int64
	var group sync.WaitGroup
	for worker := range parallel {
		group.Go(func() {
			for ctx.Err() == nil {
				request := c.get
				if what == "mixed" && worker%10 == 0 {
					request = c.upload
				}
				err := request()
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				c.count(err)
				if answered.Add(1) == warm {
					fmt.Println("warm")
				}
			}
		})
	}
	group.Wait()
}

func serve() {
	var cancelled atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		hash := sha256.New()
		count, err := io.Copy(hash, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(w, "%d %s", count, r.Trailer.Get("X-Sum"))
		w.Header().Set("X-Sum", fmt.Sprintf("%x", hash.Sum(nil)))
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "hello")
	})
	mux.HandleFunc("/bulk", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(bulkBytes))
		part := make([]byte, 64*1024)
		for range bulkBytes / len(part) {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		part := make([]byte, 16*1024)
		for {
			if _, err := w.Write(part); err != nil {
				cancelled.Add(1)
				return
			}
		}
	})
	mux.HandleFunc("/cancelled", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, cancelled.Load())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(listener.Addr())
	go func() { must(http.Serve(listener, mux)) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// unless returns err, or, if there is none and `holds` is false, an error with these words.
func unless(err error, holds bool, format string, args ...any) error {
	if err != nil || holds {
		return err
	}
	return fmt.Errorf(format, args...)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(at int) int {
	value, err := strconv.Atoi(os.Args[at])
	must(err)
	return value
}

func main() {
	if os.Args[1] == "serve" {
		serve()
		return
	}
	c := newClient(os.Args[2], os.Args[3])
	requests := map[string]func() error{
		"get": c.get, "upload": c.upload, "hints": c.hints, "bulk": c.bulk, "cancel": c.cancel,
	}
	if os.Args[1] == "load" {
		c.load(number(4), os.Args[5])
	} else {
		count := number(4)
		c.run(count, number(5), requests[os.Args[1]])
		if os.Args[1] == "cancel" {
			c.untilCancelled(count)
		}
	}
	c.print()
}
