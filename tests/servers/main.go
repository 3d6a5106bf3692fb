// Command test-servers is the servers that xpost's tests talk to and that no package ships ready to run.
//
//	test-servers referrers-cuelabs   a registry with the referrers API that sends no OCI-Subject header
//	test-servers referrers-ggcr      a registry with the referrers API whose listing names the config's type as artifactType
//	test-servers tokens              an issuer of bearer tokens for a registry with `auth: token`
//
// Each listens on a free port of the loopback interface and nowhere else, and says which in its first line on
// standard output: "listening on 127.0.0.1:PORT". Everything is kept in memory.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "test-servers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which server? one of referrers-cuelabs, referrers-ggcr, tokens")
	}
	kind := args[0]
	flags := flag.NewFlagSet(kind, flag.ContinueOnError)
	port := flags.Int("port", 0, "port on the loopback interface; 0 takes a free one")
	options := issuerFlags(flags)
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}

	var handler http.Handler
	switch kind {
	case "referrers-cuelabs":
		handler = ociserver.New(ocimem.New(), nil)
	case "referrers-ggcr":
		handler = registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	case "tokens":
		issuer, err := newIssuer(options)
		if err != nil {
			return err
		}
		handler = issuer
	default:
		return fmt.Errorf("no server is called %q: one of referrers-cuelabs, referrers-ggcr, tokens", kind)
	}

	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	return http.Serve(listener, logged(handler))
}

// logged writes one line for each request, so that a failed test can show what was asked.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		recorder := &statusRecorder{ResponseWriter: writer, status: http.StatusOK}
		next.ServeHTTP(recorder, request)
		fmt.Fprintf(os.Stderr, "%s %s %d\n", request.Method, request.URL.RequestURI(), recorder.status)
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (recorder *statusRecorder) WriteHeader(status int) {
	recorder.status = status
	recorder.ResponseWriter.WriteHeader(status)
}
