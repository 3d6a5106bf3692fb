package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"net/http"
	"os"
	"strings"
	"time"
)

// Who may do what: the one user gets whatever a scope asks for, anybody else may pull.
type issuerOptions struct {
	certificate    string
	issuer         string
	service        string
	user, password string
	refreshToken   string
	lifetime       time.Duration
}

func issuerFlags(flags *flag.FlagSet) *issuerOptions {
	options := &issuerOptions{}
	flags.StringVar(&options.certificate, "certificate", "", "tokens: file to write the certificate to, the registry's rootcertbundle")
	flags.StringVar(&options.issuer, "issuer", "xpost-tests", "tokens: name of the issuer, as the registry's config has it")
	flags.StringVar(&options.service, "service", "xpost-registry", "tokens: name of the service, as the registry's config has it")
	flags.StringVar(&options.user, "user", "alice", "tokens: the one user")
	flags.StringVar(&options.password, "password", "secret", "tokens: the user's password")
	flags.StringVar(&options.refreshToken, "refresh-token", "refresh-me", "tokens: an identity token that stands for the user")
	flags.DurationVar(&options.lifetime, "lifetime", time.Minute, "tokens: how long a token is valid")
	return options
}

// issuer follows the distribution project's token specification: JWT, signed with ES256, certificate in x5c.
type issuer struct {
	options     *issuerOptions
	key         *ecdsa.PrivateKey
	certificate []byte
}

func newIssuer(options *issuerOptions) (*issuer, error) {
	if options.certificate == "" {
		return nil, errors.New("tokens: -certificate FILE is missing: the registry needs that file")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: options.issuer},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	if err := os.WriteFile(options.certificate, block, 0o644); err != nil {
		return nil, err
	}
	return &issuer{options, key, certificate}, nil
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (issuer *issuer) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	// POST is the OAuth 2 form of the specification, with a password or an identity token; GET the plain one.
	known, refused := false, false
	if err := request.ParseForm(); err != nil {
		http.Error(writer, "bad form", http.StatusBadRequest)
		return
	}
	switch request.Method {
	case http.MethodGet:
		if user, password, given := request.BasicAuth(); given {
			known = same(user, issuer.options.user) && same(password, issuer.options.password)
			refused = !known
		}
	case http.MethodPost:
		form := request.PostForm
		switch form.Get("grant_type") {
		case "password":
			known = same(form.Get("username"), issuer.options.user) && same(form.Get("password"), issuer.options.password)
		case "refresh_token":
			known = same(form.Get("refresh_token"), issuer.options.refreshToken)
		}
		refused = !known
	default:
		writer.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if refused || request.Form.Get("service") != issuer.options.service {
		writer.Header().Set("Content-Type", "application/json")
		writer.WriteHeader(http.StatusUnauthorized)
		_, _ = writer.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"wrong credentials or service"}]}` + "\n"))
		return
	}
	token, err := issuer.token(grant(request.Form["scope"], known))
	if err != nil {
		http.Error(writer, err.Error(), http.StatusInternalServerError)
		return
	}
	answer := map[string]any{
		"token": token, "access_token": token,
		"expires_in": int(issuer.options.lifetime.Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339),
	}
	if request.Method == http.MethodPost {
		delete(answer, "token")
	}
	writer.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(writer).Encode(answer)
}

// grant reads "repository:NAME:ACTION,ACTION", several in one value with spaces between or in several values.
func grant(scopes []string, known bool) []access {
	granted := []access{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		first, last := strings.Index(scope, ":"), strings.LastIndex(scope, ":")
		if first < 0 || first == last {
			continue
		}
		actions := []string{}
		for _, action := range strings.Split(scope[last+1:], ",") {
			if known || action == "pull" {
				actions = append(actions, action)
			}
		}
		granted = append(granted, access{scope[:first], scope[first+1 : last], actions})
	}
	return granted
}

func (issuer *issuer) token(granted []access) (string, error) {
	now := time.Now()
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	header := map[string]any{
		"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(issuer.certificate)},
	}
	claims := map[string]any{
		"iss": issuer.options.issuer, "aud": issuer.options.service, "sub": issuer.options.user,
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(issuer.options.lifetime).Unix(),
		"jti": hex.EncodeToString(nonce), "access": granted,
	}
	signed := encode(header) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, issuer.key, digest[:])
	if err != nil {
		return "", err
	}
	// RFC 7518, 3.4: the two numbers, each 32 bytes, one after the other.
	signature := make([]byte, 2*crypto.SHA256.Size())
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func encode(value any) string {
	bytes, err := json.Marshal(value)
	if err != nil {
		panic(err) // maps of strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(bytes)
}

func same(given, wanted string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(wanted)) == 1
}
