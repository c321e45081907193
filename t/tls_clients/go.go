// A device over Go's crypto/tls; what it does stands in device.c.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func check(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func takeLine(r *bufio.Reader) string {
	line, err := r.ReadString('\n')
	check(err)
	return strings.TrimRight(line, "\r\n")
}

func takeChunk(r *bufio.Reader) []byte {
	size, err := strconv.ParseUint(takeLine(r), 16, 32)
	check(err)
	data := make([]byte, size+2)
	_, err = io.ReadFull(r, data)
	check(err)
	return data[:size]
}

func sendChunk(w io.Writer, data []byte) {
	_, err := fmt.Fprintf(w, "%x\r\n%s\r\n", len(data), data)
	check(err)
}

func attach(conn *tls.Conn, r *bufio.Reader, device string) {
	_, err := fmt.Fprintf(conn,
		"POST /v1/applications/app1/devices/%s HTTP/1.1\r\n"+
			"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", device)
	check(err)

	if status := takeLine(r); !strings.Contains(status, " 200 ") {
		check(fmt.Errorf("%s", status))
	}

	for takeLine(r) != "" {
	}

	if first := takeChunk(r); !bytes.HasPrefix(first, []byte(`{"msg":"200"`)) {
		check(fmt.Errorf("%s", first))
	}

	state := conn.ConnectionState()
	fmt.Println("attached", map[uint16]string{tls.VersionTLS12: "TLSv1.2",
		tls.VersionTLS13: "TLSv1.3"}[state.Version],
		tls.CipherSuiteName(state.CipherSuite))
}

func reply(call []byte) []byte {
	size, err := strconv.Atoi(strings.Fields(string(call))[0])
	check(err)
	return bytes.Repeat(call, size/len(call)+1)[:size]
}

func main() {
	version := map[string]uint16{"1.2": tls.VersionTLS12,
		"1.3": tls.VersionTLS13}[os.Args[2]]

	conn, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[1], &tls.Config{
		InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	check(err)

	r := bufio.NewReader(conn)
	attach(conn, r, os.Args[3])

	for {
		call := takeChunk(r)

		switch string(call) {
		case "leave":
			sendChunk(conn, []byte("leaving"))
			check(conn.CloseWrite()) // sends close_notify

			// io.EOF only after close_notify
			if _, err = io.Copy(io.Discard, r); err != nil {
				fmt.Println("cut off")
			} else {
				fmt.Println("closed")
			}
			return
		case "update": // Go answers one, and sends none by itself
			sendChunk(conn, []byte("cannot"))
		default:
			sendChunk(conn, reply(call))
		}
	}
}
